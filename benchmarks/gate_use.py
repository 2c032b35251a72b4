"""Does a trained model use its coarse map? `python benchmarks/gate_use.py [MODEL] [PREPARED]`.

On val, at the prepared size, without mirror: the fine net's lesion Dice and the accuracy with the
model's own map, with another image's (shuffled), with 1/2 everywhere, with the truth; the paired
difference from its own, by groups; and how far the gates correlate with the map, scale by scale.
Shuffled and truth bound what the map is worth. Nothing is trained, and the test split stays shut.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from measuring import ROOT
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from hgmnet.data.prepared import PreparedDataset, class_indices, open_prepared
from hgmnet.metrics.bootstrap import Mean, paired
from hgmnet.models.hgmnet import HGMNet, NetworkOutput
from hgmnet.models.serialization import load_model
from hgmnet.models.spec import Spec, normalise

_BATCH = 32
Floats = NDArray[np.float64]


def main() -> None:
    """Predict val with each map, print."""
    words = sys.argv[1:]
    folder = Path(words[0]) if words else ROOT / "models" / "hgmnet"
    network, spec = load_model(folder)
    store = open_prepared(
        Path(words[1]) if len(words) > 1 else ROOT / "data" / spec.data / "prepared"
    )
    own, correlations = coarse_maps(network, spec, store)
    order = np.random.default_rng(0).permutation(len(own))
    truth = torch.from_numpy(store.masks[store.rows("val")]).float().unsqueeze(1)
    maps = {
        "its own": own,
        "another image's": own[torch.from_numpy(order)],
        "1/2 everywhere": torch.full_like(own, 0.5),
        "the truth": truth,
    }
    scores = {name: measure(network, spec, store, given) for name, given in maps.items()}
    print(f"{folder}: {spec.model.encoder}, gate {spec.model.gate}, {len(own)} val images\n")
    print("| map | lesion Dice | difference | accuracy | difference |")
    print("|---|---|---|---|---|")
    for name, found in scores.items():
        cells = [
            cell(before, now, store) for before, now in zip(scores["its own"], found, strict=True)
        ]
        print(f"| {name} | {' | '.join(cells)} |")
    print("\nCorrelation of gate and map, finest scale first:", *(f"{r:.2f}" for r in correlations))


def coarse_maps(network: HGMNet, spec: Spec, store: PreparedDataset) -> tuple[Tensor, Floats]:
    """The model's own maps, (N, 1, S, S), and the gates' mean correlation with them by scale."""
    maps, found = [], []
    for out in predict(network, spec, store, lambda _: None):
        prob = out.coarse_mask_logits.sigmoid()
        maps.append(prob)
        found += [[_correlation(prob[i], gate[i]) for gate in out.gates] for i in range(len(prob))]
    return torch.cat(maps), np.nanmean(np.array(found), axis=0)


def measure(
    network: HGMNet, spec: Spec, store: PreparedDataset, given: Tensor
) -> tuple[Floats, Floats]:
    """Dice (NaN without a lesion) and whether the class is right, of each val image."""
    rows = store.rows("val")
    truth = torch.from_numpy(store.masks[rows]).bool().flatten(1)
    outs = list(predict(network, spec, store, lambda part: given[part]))
    said = torch.cat([out.mask_logits for out in outs]).flatten(1) >= 0
    both, total = (said & truth).sum(dim=1), said.sum(dim=1) + truth.sum(dim=1)
    dice = torch.where(truth.any(dim=1), 2 * both / total.clamp(min=1), torch.nan)
    label = class_indices([store.entries[row].label for row in rows], spec.classes)
    predicted = torch.cat([out.class_logits for out in outs]).argmax(dim=1).numpy()
    return dice.double().numpy(), (predicted == label).astype(float)


def predict(
    network: HGMNet, spec: Spec, store: PreparedDataset, given: Callable[[slice], Tensor | None]
) -> list[NetworkOutput]:
    """What the network says of val, a batch at a time."""
    rows = store.rows("val")
    found = []
    with torch.inference_mode():
        for start in range(0, len(rows), _BATCH):
            part = slice(start, start + _BATCH)
            square = torch.from_numpy(store.images[rows[part]])
            found.append(network(normalise(square, spec), given(part)))
    return found


def cell(before: Floats, now: Floats, store: PreparedDataset) -> str:
    """The mean, and what it gained with its 95 % interval."""
    there = np.isfinite(before)
    groups = np.array([store.entries[row].group for row in store.rows("val")])[there].tolist()
    found = paired(groups, Mean(before[there]), Mean(now[there]), 2000, 0)
    gain = f"{found.difference:+.3f} [{found.low:+.3f}, {found.high:+.3f}]"
    return f"{found.after:.3f} | {gain if found.difference else ''}"


def _correlation(prob: Tensor, gate: Tensor) -> float:
    small = functional.adaptive_avg_pool2d(prob, gate.shape[-2:])
    both = torch.stack([small.flatten(), gate.flatten()])
    return float(torch.corrcoef(both)[0, 1])


if __name__ == "__main__":
    main()
