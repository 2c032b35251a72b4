"""Deployments of prefect.yaml and automations of automations.yaml on a Prefect server.

Only what is missing there, or has changed in these files, is written. So what a person changed on
Prefect's pages stays.
"""

import ast
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from hgmnet.config.params import load_params
from hgmnet.data.atomic import write_text
from hgmnet.errors import ConfigError, HgmnetError

POOL = "hgmnet"
"""The work pool of prefect.yaml."""
_RENAMED = (
    *("training/nightly", "promotion/by-hand", "monitoring/weekly"),
    *("data-watch/hourly", "batch-predict/of-inbox", "study/by-hand"),
)
"""Deployments of 0.1.0; they would run beside those of today."""
_MESSAGE = "{{ event.resource.name }}: {{ automation.description }}"

Api = Callable[..., Any]
"""Takes method, path and body; returns the server's answer, None if nothing is there."""


def deploy(root: Path, api: Api, prefect: Callable[[Sequence[str]], None]) -> Iterator[str]:
    """Write what is missing or changed; yield a line on that, and on what a person changed.

    `prefect` runs a command of Prefect's program.

    Raises:
        ConfigError: a file is damaged; or as `api` and `prefect`.
    """
    record = root / ".hgmnet" / "up" / "deployed.json"
    known = json.loads(record.read_text(encoding="utf-8")) if record.exists() else {}
    for name in _RENAMED:
        if old := api("GET", f"/deployments/name/{name}"):
            api("DELETE", f"/deployments/{old['id']}")
            yield f"{name}: removed; it has another name now"
    yield from _deployments(root, api, prefect, known)
    yield from _automations(root, api, known)
    write_text(record, json.dumps(known, indent=2))


def _deployments(
    root: Path, api: Api, prefect: Callable[[Sequence[str]], None], known: dict[str, Any]
) -> Iterator[str]:
    if api("GET", f"/work_pools/{POOL}") is None:
        api("POST", "/work_pools/", {"name": POOL, "type": "process"})  # a worker fills in the rest
    entries = _entries(root / "prefect.yaml", "deployments", ("name", "entrypoint"))
    named = {f"{_function(one).replace('_', '-')}/{one['name']}": one for one in entries}
    there = {name: api("GET", f"/deployments/name/{name}") for name in named}
    marks = {name: _mark(root, one) for name, one in named.items()}
    new = [name for name in named if not there[name]]
    kept = [n for n in named if there[n] and known.get(n) == [there[n]["id"], marks[n]]]
    changed = [name for name in named if name not in (*new, *kept)]
    if stale := [*new, *changed]:
        prefect(["--no-prompt", "deploy", *(word for n in stale for word in ("--name", n))])
    for name in stale:
        known[name] = [api("GET", f"/deployments/name/{name}")["id"], marks[name]]
    if new:
        yield f"Deployed: {', '.join(new)}"
    if changed:
        yield f"Deployed again, because prefect.yaml or the flow has changed: {', '.join(changed)}"
    for name in kept:
        if parts := [*_differences(named[name], there[name])]:
            yield f"{name} is not as in prefect.yaml, and stays so: {'; '.join(parts)}"


def _differences(entry: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a person changed on the deployment's page."""
    if found["paused"]:
        yield "paused"
    times, wanted = ([*map(_time, one.get("schedules", ()))] for one in (found, entry))
    if sorted(times) != sorted(wanted):
        yield f"schedules: {', '.join(times) or 'none'} (there: {', '.join(wanted) or 'none'})"
    held, given = found["parameters"], entry.get("parameters", {})
    for key in sorted(held.keys() | given.keys()):
        if held.get(key) != given.get(key):
            yield f"{key}: {held.get(key, 'not set')} (there: {given.get(key, 'not set')})"


def _time(one: Mapping[str, Any]) -> str:
    """A schedule of prefect.yaml or of the server as text."""
    plain = one.get("schedule", one)
    when = next((plain[kind] for kind in ("cron", "rrule", "interval") if plain.get(kind)), "")
    off = "" if one.get("active", True) else ", off"
    return f"{when} {plain.get('timezone') or ''}{off}".strip()


def _mark(root: Path, entry: Mapping[str, Any]) -> str:
    """Hash of an entry, and of what Prefect's form shows of the flow's parameters."""
    file = root / entry["entrypoint"].partition(":")[0]
    tree = ast.parse(file.read_text(encoding="utf-8") if file.is_file() else "")
    flows = [
        [ast.dump(node.args), ast.get_docstring(node)]
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.name == _function(entry)
    ]
    profiles = sorted(file.name for file in (root / "profiles").glob("*.yaml"))
    return _hash([entry, flows, profiles])


def _function(entry: Mapping[str, Any]) -> str:
    return str(entry["entrypoint"]).rpartition(":")[2]


def _automations(root: Path, api: Api, known: dict[str, Any]) -> Iterator[str]:
    """Write the automations; each notifies through the blocks of `flow.notify`, if any."""
    file = root / "automations.yaml"
    entries = _entries(file, "automations", ("name", "trigger")) if file.exists() else []
    actions = [*_notifications(root, api)] or [{"type": "do-nothing"}]
    for entry in entries:
        name, wanted = entry["name"], entry | {"actions": actions}
        there = api("POST", "/automations/filter", {"automations": {"name": {"any_": [name]}}})
        if there and known.get(name) == [there[0]["id"], _hash(wanted)]:
            continue
        if there:
            api("PUT", f"/automations/{there[0]['id']}", wanted)
        made = there[0] if there else api("POST", "/automations/", wanted)
        known[name] = [made["id"], _hash(wanted)]
        yield f"Automation: {name}"


def _notifications(root: Path, api: Api) -> Iterator[dict[str, Any]]:
    try:
        blocks = load_params(root / "params.yaml").flow.notify
    except HgmnetError:
        return  # a run reports the error
    for block in blocks:
        kind, _, name = block.partition("/")
        if found := api("GET", f"/block_types/slug/{kind}/block_documents/name/{name}"):
            about = {"subject": "hgmnet: {{ automation.name }}", "body": _MESSAGE}
            yield {"type": "send-notification", "block_document_id": found["id"], **about}


def _entries(file: Path, key: str, needed: tuple[str, ...]) -> list[dict[str, Any]]:
    """Read a list of prefect.yaml or automations.yaml; each entry has the needed keys."""
    text = file.read_text(encoding="utf-8").replace("{{ $HGMNET_ROOT }}", str(file.parent))
    try:
        entries = YAML(typ="safe", pure=True).load(text)[key]
        if all(name in entry for entry in entries for name in needed):
            return list(entries)
    except (YAMLError, KeyError, TypeError):
        pass
    raise ConfigError(f"{file}: expected YAML with {key}, each with {' and '.join(needed)}")


def _hash(plain: Any) -> str:
    return hashlib.sha256(json.dumps(plain, sort_keys=True, default=str).encode()).hexdigest()
