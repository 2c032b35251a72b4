"""Saliency: the pixels that the class depends on, and how much of it is inside the lesion.

A network may classify by a shortcut: a caliper, a scanner's frame, the depth. The check compares a
gradient map (Simonyan, Vedaldi, Zisserman, ICLR workshop 2014, arXiv:1312.6034; it depends on the
weights, as Adebayo et al., NeurIPS 2018, require of such maps) with the true lesion: the fraction
of the map inside, and the fraction expected by chance, which is the lesion's area.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from hgmnet.data.prepared import PreparedDataset, PreparedImage
from hgmnet.data.progress import batches
from hgmnet.data.resize import Grey, Mask, Prob, fit_mask
from hgmnet.metrics.bootstrap import Figure, GroupBootstrap, Mean
from hgmnet.models.ensemble import Network, members
from hgmnet.models.spec import Spec, normalise

COLUMNS = ("evidence_inside", "evidence_chance")
"""Columns of per_image.csv; empty if the truth is empty or the model predicts no class."""
_BATCH = 16


@dataclass(frozen=True)
class Share:
    """The fraction of a map's sum inside the lesion, and the lesion's fraction of the area."""

    inside: float
    chance: float

    @property
    def row(self) -> dict[str, float]:
        """Return the cells of per_image.csv, by column."""
        values = (self.inside, self.chance)
        return {name: round(value, 6) for name, value in zip(COLUMNS, values, strict=True)}


def evidence(network: Network, spec: Spec, square: Grey) -> Prob:
    """Gradient magnitude of the class: |d log-odds of the most probable class / d x|.

    Log-odds, because logits are defined up to a constant. The derivative includes the coarse
    net's map, even if training does not (`detach_coarse`): the output depends on it. `network`: in
    evaluation mode, on its device; it predicts a class. `square`: (B, S, S) uint8.

    Returns:
        (B, S, S) float32, at least 0.
    """
    device = next(network.parameters()).device
    image = normalise(torch.from_numpy(square).to(device), spec).requires_grad_()
    network.to(memory_format=torch.channels_last)  # the layout of inference
    with torch.enable_grad(), _undetached(network):
        logits = network(image).class_logits.float()
        said = logits.argmax(dim=1, keepdim=True)
        others = logits.scatter(1, said, -torch.inf).logsumexp(dim=1)
        log_odds = logits.gather(1, said).squeeze(1) - others
        (gradient,) = torch.autograd.grad(log_odds.sum(), image)
    moved: Prob = gradient.abs().squeeze(1).cpu().numpy()
    return moved


def share(moved: Prob, lesion: Mask, frame: Mask) -> Share | None:
    """Fraction of a map inside the lesion, both (S, S); None if the lesion or the map is empty.

    `frame`: (S, S), the pixels that the image covers; the padding does not count.
    """
    total = float(moved[frame].sum())
    if not lesion.any() or not total > 0:
        return None
    inside = float(moved[lesion & frame].sum()) / total
    return Share(inside, float((lesion & frame).sum() / frame.sum()))


def shares(
    network: Network, spec: Spec, store: PreparedDataset, entries: Sequence[PreparedImage]
) -> dict[str, Share | None]:
    """Compute both fractions per image, by its name; one backward pass per batch of lesions.

    `network`: in evaluation mode, on its device. `entries`: some of the store's.
    """
    if not spec.model.classifies:
        return dict.fromkeys((entry.image for entry in entries), None)
    asked = {entry.image for entry in entries}
    rows = np.array([i for i, e in enumerate(store.entries) if e.image in asked], dtype=np.int64)
    found: dict[str, Share | None] = {}
    for batch in batches(len(rows), _BATCH, "explaining"):
        part = rows[batch]
        images, masks = store.read(part)
        lesions = masks.astype(bool)
        some = lesions.any(axis=(1, 2))
        moved = np.zeros(images.shape, np.float32)
        if some.any():
            moved[some] = evidence(network, spec, images[some])
        for row, one, lesion in zip(part, moved, lesions, strict=True):
            entry = store.entries[row]
            frame = fit_mask(np.ones((entry.height, entry.width), np.bool_), spec.prepare)
            found[entry.image] = share(one, lesion, frame)
    return found


@contextmanager
def _undetached(network: Network) -> Iterator[None]:
    """Let gradients pass through the coarse map within the block."""
    before = members(network)[0].model
    for member in members(network):
        member.model = before.model_copy(update={"detach_coarse": False})
    try:
        yield
    finally:
        for member in members(network):
            member.model = before


def figures(table: pd.DataFrame, draws: int, seed: int) -> dict[str, Figure]:
    """Mean fractions, over the images in `table` that have them, with 95 % intervals.

    `evidence_above_chance`: the mean difference, paired by image; none above 0 is a warning.
    """
    if not set(COLUMNS) <= set(table.columns):
        return {}
    rows = table.dropna(subset=list(COLUMNS))
    if rows.empty:
        return {}
    bootstrap = GroupBootstrap(rows["group"].tolist(), draws, seed)
    values = {name: rows[name].to_numpy(dtype=float) for name in COLUMNS}
    values["evidence_above_chance"] = values["evidence_inside"] - values["evidence_chance"]
    return {name: bootstrap.figure(Mean(v), proportion=False) for name, v in values.items()}
