import pytest
from small_store import params

from hgmnet.training.planner import BATCHES, EPOCHS, SIDES, Cost, Machine, plan, step_cost

LAPTOP = Machine(cores=2, memory=16.0, gpu="", bf16=False)
SERVER = Machine(cores=16, memory=78.0, gpu="H100", bf16=True)
BUSI = [(480, 570)] * 780


def costing(at_64: float, gib_at_64: float = 0.1):
    """A machine whose time and memory grow with the area."""

    def measure(side: int, batch: int, precision: str) -> Cost:
        return Cost(at_64 * (side / 64) ** 2, gib_at_64 * (side / 64) ** 2 * batch)

    return measure


def proposed(machine=LAPTOP, *, at_64=0.03, gib=0.01, shapes=BUSI, images=500, minutes=30.0):
    return plan(shapes, machine, costing(at_64, gib), images=images, minutes=minutes)


def test_the_side_is_the_largest_that_leaves_time_for_forty_epochs():
    # at 64 px 0.03 * 500 * 40 * 1.1 / 60 = 11 min, at 96 px 24.75, at 128 px 44
    found = proposed()
    assert (found.side, found.epochs) == (96, 48)  # 1800 s / (0.0675 * 500 * 1.1)
    assert found.minutes == pytest.approx(48 * 500 * 0.0675 * 1.1 / 60)
    assert proposed(minutes=45).side == 128
    assert proposed(minutes=1).side == SIDES[0]


def test_a_fast_machine_takes_what_the_images_show_and_no_more():
    found = proposed(SERVER, at_64=1e-5)
    assert (found.side, found.epochs, found.precision) == (480, EPOCHS[2], "bf16-mixed")
    assert proposed(SERVER, at_64=1e-5, shapes=[(700, 900)] * 9).side == SIDES[1]
    assert proposed(SERVER, at_64=1e-5, shapes=[(40, 50)] * 9).side == SIDES[0]


def test_too_little_time_proposes_the_fewest_epochs_and_says_what_they_take():
    found = proposed(minutes=2)
    assert found.epochs == EPOCHS[0]
    assert "these take 6 min" in found.reasons["epochs"]


def test_the_batch_shrinks_until_it_fits():
    assert proposed().batch_size == BATCHES[0]
    assert proposed(gib=0.5).batch_size == 8  # at 96 px 16 take 18 GiB, 8 take 9 of 16
    least = proposed(gib=5)
    assert least.batch_size == BATCHES[-1]
    assert "though it takes" in least.reasons["batch_size"]
    assert proposed(images=40).batch_size == 4


@pytest.mark.parametrize(
    ("machine", "expected"),
    [
        (LAPTOP, "32-true"),
        (SERVER, "bf16-mixed"),
        (Machine(cores=4, memory=16, gpu="V100", bf16=False), "16-mixed"),
    ],
)
def test_precision_is_what_the_device_has(machine, expected):
    assert proposed(machine).precision == expected


def test_long_images_keep_their_shape():
    assert proposed().fit == "stretch"
    assert proposed(shapes=[(300, 600)] * 5).fit == "letterbox"
    assert proposed(shapes=[(600, 300)] * 5).fit == "letterbox"


def test_every_setting_has_its_reason():
    assert set(proposed().reasons) == {"side", "fit", "batch_size", "epochs", "precision"}


def test_a_step_is_measured():
    known = params()
    cost = step_cost(known.model, known.train, 3, side=32, batch=2, precision="32-true")
    assert cost.seconds > 0
    assert cost.memory > 0.05
