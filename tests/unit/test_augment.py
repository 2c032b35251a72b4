import pytest
import torch

from hgmnet.config.training import Augment
from hgmnet.training.augmentation import apply, draw

STRENGTHS = {
    "rotate_degrees": 20,
    "scale": 0.2,
    "aspect": 0.2,
    "shift": 0.1,
    "elastic": 0.03,
    "gamma": 0.3,
    "contrast": 0.3,
    "sharpness": 0.5,
    "noise": 0.1,
}
FULL = Augment(**STRENGTHS, mirror=True)
OFF = Augment(**dict.fromkeys(STRENGTHS, 0), mirror=False)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    image = torch.rand(6, 1, 32, 32, generator=seeded()) * 0.8 + 0.1
    mask = torch.zeros(6, 1, 32, 32)
    mask[:, :, 10:22, 8:20] = 1
    return image, mask


def test_strength_zero_is_the_identity(batch):
    image, mask = apply(*batch, draw(6, OFF, seeded()))
    torch.testing.assert_close(image, batch[0], atol=1e-5, rtol=0)
    torch.testing.assert_close(mask, batch[1])


def test_the_same_draw_gives_the_same_change(batch):
    drawn = draw(6, FULL, seeded(3))
    torch.testing.assert_close(apply(*batch, drawn), apply(*batch, drawn), rtol=0, atol=0)
    assert not torch.equal(draw(6, FULL, seeded(4)).theta, drawn.theta)


def test_image_and_mask_move_together(batch):
    _, mask = batch
    tones = ("gamma", "contrast", "sharpness", "noise")
    geometry = FULL.model_copy(update=dict.fromkeys(tones, 0))
    for seed in range(5):
        image, moved = apply(mask.clone(), mask, draw(6, geometry, seeded(seed)))
        torch.testing.assert_close((image >= 0.5).float(), moved)
        assert 0.5 < moved.sum() / mask.sum() < 2


def test_only_mirror_mirrors(batch):
    mirror = OFF.model_copy(update={"mirror": True})
    image, _ = apply(*batch, draw(6, mirror, seeded()))
    kinds = []
    for new, old in zip(image, batch[0], strict=True):
        same = torch.allclose(new, old, atol=1e-5)
        assert same or torch.allclose(new, old.flip(-1), atol=1e-5)
        kinds.append(same)
    assert {True, False} == set(kinds)


def test_aspect_makes_wider_or_higher_at_equal_area():
    mask = torch.zeros(50, 1, 64, 64)
    mask[:, :, 16:48, 16:48] = 1
    _, moved = apply(mask, mask, draw(50, OFF.model_copy(update={"aspect": 0.5}), seeded()))
    width, height = (moved.any(dim=axis).sum(dim=-1).squeeze(1) for axis in (2, 3))
    ratio = width / height
    assert ratio.min() < 0.8
    assert ratio.max() > 1.25
    assert 1 / 1.6 < ratio.min() <= ratio.max() < 1.6
    assert (width * height / 32**2 - 1).abs().max() < 0.08


def test_sharpness_scales_the_difference_from_the_local_mean(batch):
    image, mask = batch
    image = 0.4 + image * 0.2  # nothing is clamped
    drawn = draw(6, OFF.model_copy(update={"sharpness": 1.0}), seeded())
    changed, _ = apply(image, mask, drawn)
    detail, after = (
        one[:, :, 1:-1, 1:-1] - torch.nn.functional.avg_pool2d(image, 3, 1)
        for one in (image, changed)
    )
    factor = drawn.sharpness
    assert 0 <= factor.min() < 0.6
    assert 1.4 < factor.max() <= 2
    torch.testing.assert_close(after, detail * factor, atol=1e-5, rtol=0)


def test_values_stay_in_range(batch):
    image, mask = apply(*batch, draw(6, FULL, seeded()))
    assert 0 <= image.min() <= image.max() <= 1
    assert set(mask.unique().tolist()) <= {0.0, 1.0}


def test_part_of_a_batch_changes_as_it_does_in_the_whole(batch):
    drawn = draw(6, FULL, seeded())
    whole = apply(*batch, drawn)
    for share in (slice(0, None, 2), slice(1, None, 2), slice(4, 6)):
        image, mask = apply(batch[0][share], batch[1][share], drawn.part(share))
        torch.testing.assert_close(image, whole[0][share], atol=1e-6, rtol=0)
        assert torch.equal(mask, whole[1][share])
