"""`hgmnet plan`: settings that suit the data set and this machine, with reasons."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hgmnet.planning import Machine, Plan

MINUTES = 30.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Take the time that a training may take, and whether to write."""
    parser.add_argument("--minutes", type=float, default=MINUTES, help="a training may take (30)")
    parser.add_argument("--write", action="store_true", help="put it into params.yaml")


def run(root: Path, args: argparse.Namespace) -> None:
    """Print a part of params.yaml; with --write, put it there.

    Raises:
        ConfigError: the data set is not here or has not been read yet, or no time is given.
        InvalidDataError: no image of it could be read.
    """
    from hgmnet.config import load_params
    from hgmnet.data.record import Record
    from hgmnet.errors import ConfigError, InvalidDataError
    from hgmnet.planning import plan
    from hgmnet.stepcost import step_cost
    from pipelines.files import read_rows
    from pipelines.workspace import Workspace

    if args.minutes <= 0:
        msg = f"--minutes {args.minutes:g}: expected more than 0"
        raise ConfigError(msg)
    params = load_params(root / "params.yaml")
    manifest = Workspace(root, params.data.name).manifest
    if not manifest.exists():
        msg = f"{manifest} is missing; first: dvc repro ingest"
        raise ConfigError(msg)
    shapes = [(r.height, r.width) for r in read_rows(manifest, Record) if not r.error]
    if not shapes:
        msg = f"{manifest} lists no image that can be read"
        raise InvalidDataError(msg)
    machine = this_machine()
    found = plan(
        shapes,
        machine,
        lambda side, batch, precision: step_cost(
            params.model,
            params.train,
            len(params.data.classes),
            side=side,
            batch=batch,
            precision=precision,
        ),
        images=max(1, round(len(shapes) * params.split.fractions.train)),
        minutes=args.minutes,
    )
    print("\n".join(_said(params.data.name, len(shapes), machine, found)))
    if args.write:
        _write(root / "params.yaml", found)
        print("\nWritten into params.yaml. Next: dvc repro")


def this_machine() -> "Machine":
    """Cores, memory and GPU as torch and the system tell them."""
    import os

    import torch

    from hgmnet.planning import Machine

    if torch.cuda.is_available():
        known = torch.cuda.get_device_properties(0)
        return Machine(
            cores=os.cpu_count() or 1,
            memory=known.total_memory / 2**30,
            gpu=known.name,
            bf16=torch.cuda.is_bf16_supported(),
        )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return Machine(cores=os.cpu_count() or 1, memory=memory, gpu="", bf16=False)


def _said(name: str, count: int, machine: "Machine", found: "Plan") -> Iterator[str]:
    device = machine.gpu or f"{machine.cores} cores, no GPU"
    yield f"# {name}: {count} images, on {device}, {machine.memory:.0f} GiB"
    yield f"# a training takes about {found.minutes:.0f} min and {found.memory:.1f} GiB"
    for section, settings in _sections(found).items():
        yield f"{section}:"
        for key, value in settings.items():
            yield f"  {key}: {value}".ljust(24) + f"# {found.reasons[key]}"


def _sections(found: "Plan") -> dict[str, dict[str, Any]]:
    return {
        "prepare": {"side": found.side, "fit": found.fit},
        "train": {
            "epochs": found.epochs,
            "batch_size": found.batch_size,
            "precision": found.precision,
        },
    }


def _write(path: Path, found: "Plan") -> None:
    """Change these keys alone; comments and order stay."""
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.preserve_quotes = True
    tree = yaml.load(path.read_text(encoding="utf-8"))
    for section, settings in _sections(found).items():
        tree[section].update(settings)
    with path.open("w", encoding="utf-8") as file:
        yaml.dump(tree, file)
