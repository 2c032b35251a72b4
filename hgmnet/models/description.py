"""Text descriptions of a network, for reports and model cards."""

from hgmnet.config.model import File, Model
from hgmnet.models.spec import Spec

_GATES = {
    "tied": "tied: HGM-Net’s Hierarchical Gating Module, at the start the coarse map itself",
    "free": "free: the Hierarchical Gating Module without its tie to the coarse map",
    "self": "self: the control, the same module without the coarse map",
    "multiply": "multiply: features times the coarse map",
    "reverse": "reverse: features times 1 − the coarse map",
    "uncertainty": "uncertainty: features raised where the coarse map is uncertain",
    "input": "input: the image times the coarse map goes into the fine net",
    "none": "none: nothing acts on the fine net’s features",
}
_TASKS = {
    "joint": "lesion mask and class",
    "segmentation": "lesion mask only",
    "classification": "class only",
}


def shape(spec: Spec) -> tuple[tuple[str, str], ...]:
    """Return architecture and initial weights, as (term, value)."""
    model, side = spec.model, spec.prepare.side
    channels = "grey" if model.input == "grey" else "the grey channel three times"
    return (
        ("Learns", _TASKS[model.tasks]),
        ("Coarse net", "yes" if model.coarse else "none: the fine net only"),
        ("Gate", _GATES[model.gate]),
        ("Encoder", _encoder(model)),
        ("Encoder weights at the start", _weights(model)),
        ("Started from", "no other model" if spec.parent is None else f"model {spec.parent}"),
        ("Deep supervision", "yes" if model.deep_supervision else "no"),
        ("Ensemble", _ensemble(spec) or "no: one network"),
        ("Input", f"{side} × {side} px, {spec.prepare.fit}, {channels}"),
    )


def summary(spec: Spec) -> str:
    """Describe architecture and outputs in two sentences."""
    model, classes = spec.model, ", ".join(spec.classes)
    answers = {
        "joint": f"a lesion mask and class probabilities for {classes}",
        "segmentation": "a lesion mask only",
        "classification": f"only class probabilities for {classes}",
    }[model.tasks]
    if not model.coarse:
        part = "An encoder" if model.tasks == "classification" else "One U-Net, HGM-Net’s fine net"
        whole = f"The mean of {_ensemble(spec)}" if spec.members > 1 else "It"
        return f"{part} without a coarse net. {whole} predicts {answers}."
    acts = (
        "gates the multi-scale encoder features of the second (fine) through the Hierarchical "
        "Gating Module"
        if model.gate in {"tied", "free"}
        else f"meets the second (fine) by the gate `{model.gate}`"
    )
    first = f"Two U-Nets in sequence. The probability map of the first (coarse) {acts}."
    whole = f"The mean of {_ensemble(spec)}" if spec.members > 1 else "One network"
    return f"{first} {whole} predicts {answers}."


def _ensemble(spec: Spec) -> str:
    if spec.members == 1:
        return ""
    last = spec.seed + spec.members - 1
    return f"{spec.members} such networks, trained with seeds {spec.seed} to {last}"


def _encoder(model: Model) -> str:
    if not model.coarse:
        return model.encoder
    return f"{model.encoder}, {'one for both nets' if model.shared_encoder else 'one for each net'}"


def _weights(model: Model) -> str:
    weights = model.encoder_weights
    if isinstance(weights, File):
        return f"the file {weights.path} (sha256 {weights.sha256})"
    if weights == "none":
        return "random"
    return f"ImageNet’s, from {'a package' if model.packaged else 'their hub'}"
