"""Promotion: hold the challenger against champion and anchor, and let the rule say who serves."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hgmnet.errors import ConfigError
from hgmnet.promotion import ORDER, Verdict
from pipelines.openings import user
from pipelines.registry.bouts import Bout, Comparer
from pipelines.registry.champion import Resolve, Standing
from pipelines.registry.sides import read_version


@dataclass(frozen=True)
class Outcome:
    """What the comparisons came to."""

    bouts: tuple[Bout, ...]
    resolve: Resolve

    @property
    def promoted(self) -> bool:
        """Whether another version serves from now on."""
        return self.resolve.action == "promoted"


@dataclass(frozen=True)
class Request:
    """What is asked for: which version (None: the challenger), and whether a person answers for it.

    `approved`: they do, and say why in `reason`.
    """

    version: str | None
    approved: bool
    reason: str


def consider(comparer: Comparer, now: Standing, request: Request) -> Outcome:
    """Compare, and decide by the rule; nothing is moved.

    Raises:
        ConfigError: there is no such version, it did not pass its gate, or the images that it was
            judged on are not here.
        InvalidDataError: the models have seen all the images.
    """
    registry = comparer.params.registry
    number = request.version or now.challenger
    if not number:
        msg = f"{registry.name} has no challenger; `dvc repro` makes one, or say --version N"
        raise ConfigError(msg)
    gate = read_version(comparer.store, registry.name, number).tags.get("hgmnet.gate")
    if gate != "passed":
        msg = f"{registry.name} version {number}: its gate says {gate}; only one that passed serves"
        raise ConfigError(msg)
    if number == now.champion:
        return Outcome((), Resolve("kept", number, number, now.anchor, "it serves already"))
    others = {now.anchor: "anchor", now.champion: "champion"}  # one that is both is the champion
    bouts = tuple(
        comparer.bout(number, against, other)
        for other, against in reversed(others.items())
        if other not in {"", number}
    )
    return Outcome(bouts, resolve(bouts, number, now, request, by_person=registry.approval))


def resolve(
    bouts: Sequence[Bout], number: str, now: Standing, request: Request, *, by_person: bool
) -> Resolve:
    """Apply the rule to the verdicts.

    A challenger that is better than the champion, and not worse than the anchor, is promoted by
    itself, unless a person must approve (`by_person`). One that is worse than either is kept from
    serving, whoever approves. The rest is a person's decision, whose version is the anchor then.
    """
    verdicts = [bout.comparison.verdict for bout in bouts]
    least = min(verdicts, key=ORDER.index, default="better")
    said = _said(bouts)
    clear = (not bouts or verdicts[0] == "better") and least in {"better", "not worse"}
    if least == "worse":
        why = ""
    elif clear and not by_person:
        why = request.reason or said
    else:
        why = request.reason if request.approved else ""
    if not why:
        kept = said if least == "worse" else f"{said}; a person must decide: --approve --reason ..."
        return Resolve(
            "kept", number, now.champion, now.anchor, kept, least, evidence=evidence(bouts)
        )
    anchor = number if request.approved else now.anchor
    who = user() if request.approved else ""
    return Resolve("promoted", number, number, anchor, why, least, who, evidence(bouts))


def evidence(bouts: Iterable[Bout]) -> tuple[tuple[str, str], ...]:
    """The figures behind a decision, short enough to be kept with it."""
    return tuple(
        (
            f"{bout.against} {bout.version}: {name}",
            f"{figure.difference:+.4f} [{figure.lower:+.4f}, {figure.upper:+.4f}] n={figure.n}",
        )
        for bout in bouts
        for name, figure in bout.comparison.figures.items()
    )


def _said(bouts: Sequence[Bout]) -> str:
    if not bouts:
        return "it passed its gate, and none served before"
    return " and ".join(
        f"{_WORDS[bout.comparison.verdict]} {bout.against} {bout.version}" for bout in bouts
    )


_WORDS: dict[Verdict, str] = {
    "better": "better than",
    "not worse": "not worse than",
    "worse": "worse than",
    "undecided": "undecided against",
}
