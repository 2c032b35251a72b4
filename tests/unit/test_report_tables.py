"""What page and model card say of the network and where it began."""

from dataclasses import replace

import pytest

from hgmnet.models import description
from pipelines.report.html import render_page
from pipelines.report.model_card import render_model_card
from tests.made_up import evidence

SHA = "a" * 64


def made(parent: str | None = None, **model):
    known = evidence()
    changed = type(known.spec.model).model_validate(known.spec.model.model_dump() | model)
    return replace(known, spec=known.spec.model_copy(update={"model": changed, "parent": parent}))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, ("lesion mask and class", "tied: HGM-Net", "one for each net", "no other model")),
        ({"encoder_weights": "none"}, ("random",)),
        ({"encoder_weights": "imagenet"}, ("ImageNet’s, from their hub",)),
        (
            {"encoder_weights": "imagenet", "encoder": "tu-tf_efficientnet_lite0"},
            ("ImageNet’s, from a package",),
        ),
        (
            {"encoder_weights": {"path": "weights/x", "sha256": SHA}},
            (f"the file weights/x (sha256 {SHA})",),
        ),
        ({"shared_encoder": True}, ("one for both nets",)),
        ({"coarse": False, "gate": "none"}, ("none: the fine net only", "none: nothing")),
        ({"parent": SHA}, (f"model {SHA}",)),
        ({"input": "rgb"}, ("the grey channel three times",)),
    ],
)
def test_page_and_card_say_what_the_network_is(changes, said):
    it = made(**changes)
    for text in (render_page(it, ()), render_model_card(it)):
        for part in said:
            assert part in text


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "through the Hierarchical Gating Module. One network predicts a lesion mask and"),
        ({"gate": "reverse"}, "meets the second (fine) by the gate `reverse`"),
        ({"coarse": False, "gate": "none"}, "One U-Net, HGM-Net’s fine net without a coarse net"),
        ({"tasks": "segmentation"}, "predicts a lesion mask only."),
        (
            {"tasks": "classification", "coarse": False, "gate": "none"},
            "An encoder without a coarse net. It predicts only class probabilities",
        ),
    ],
)
def test_the_card_claims_no_more_than_the_network_has(changes, said):
    it = made(**changes)
    assert said in description.summary(it.spec)
    assert said in render_model_card(it)
    assert "a reconstruction from the abstract" in render_model_card(it)
