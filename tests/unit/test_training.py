import lightning.pytorch as lightning
import pytest
import torch
from small_store import SIZE, network, params, small_store
from trained import same, train, weights

from hgmnet.errors import ConfigError, HgmnetError, InvalidDataError
from hgmnet.training.fit import build_trainer, quiet_lightning
from pipelines.stages.train import epoch_line

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:lightning")


@pytest.fixture(scope="module", autouse=True)
def _quiet():
    quiet_lightning()


@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights_bit_for_bit(tmp_path):
    told = []
    one = train(tmp_path / "1", on_epoch=told.append)
    two, other = train(tmp_path / "2"), train(tmp_path / "3", seed=1)
    assert same(weights(one), weights(two))
    assert not same(weights(one), weights(other))
    assert one.curves == two.curves == tuple(told)
    assert [figures.epoch for figures in told] == [1, 2]
    assert one.spec.seen.train
    assert set(one.spec.seen.train).isdisjoint(one.spec.seen.val)


@pytest.mark.slow
def test_a_set_that_is_streamed_gives_the_same_weights_as_one_that_is_held(tmp_path):
    held = train(tmp_path / "1", epochs=1)
    streamed = train(tmp_path / "2", epochs=1, resident_gib=0, workers=3)
    assert same(weights(held), weights(streamed))
    assert held.curves == streamed.curves


@pytest.mark.slow
def test_it_learns_to_find_bright_discs(tmp_path):
    trained = train(
        tmp_path, store=small_store(tmp_path / "store", 36), epochs=6, learning_rate=1e-2
    )
    assert trained.curves[-1].val_lesion_dice > 0.6
    assert trained.curves[-1].train_loss < trained.curves[0].train_loss
    assert trained.curves[-1].gate_correlation > 0.5


def test_the_encoders_rate_moves_the_encoders_alone(tmp_path):
    changes = {"epochs": 1, "weight_decay": 0, "select": "last"}
    still, moved = (
        weights(train(tmp_path / str(rate), encoder_rate=rate, **changes)) for rate in (1e-9, 1.0)
    )
    start = weights(train(tmp_path / "start", learning_rate=1e-12, **changes))
    for name in ("encoder.model.conv1.0.weight", "coarse_encoder.model.conv1.0.weight"):
        torch.testing.assert_close(still[name], start[name])
        assert (moved[name] - start[name]).abs().max() > 1e-4
    for name in ("decoder.head.0.weight", "coarse_decoder.head.0.weight", "classifier.1.weight"):
        assert (still[name] - start[name]).abs().max() > 1e-4


def test_a_dropped_map_is_one_half_in_the_gates_while_training(tmp_path):
    net = network().train()
    image = torch.rand(6, 1, SIZE, SIZE)
    net.map_dropout.p = 1.0
    assert all(gate.unique().tolist() == [0.5] for gate in net(image).gates)
    net.map_dropout.p = 0.5
    torch.manual_seed(0)
    gates = net(image).gates[0].flatten(1)
    assert 0 < sum(bool((gate == 0.5).all()) for gate in gates) < 6
    net.eval()
    kept = net(image).gates
    net.map_dropout.p = 0.0
    assert all(torch.equal(one, two) for one, two in zip(kept, net(image).gates, strict=True))
    assert train(tmp_path, epochs=1, map_dropout=0.25).network.map_dropout.p == 0.25


def test_a_loss_that_is_no_number_stops_the_training(tmp_path):
    with pytest.raises(HgmnetError, match="training diverged in epoch 1, step 2: the loss is nan"):
        train(tmp_path, learning_rate=1e30)


def test_a_split_without_images_is_refused(tmp_path):
    with pytest.raises(InvalidDataError, match="val has no images"):
        train(tmp_path, store=small_store(tmp_path / "store", 6))


def test_a_gpu_that_is_not_there_is_a_mistake_in_params(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=r"train\.accelerator: gpu, but torch sees none"):
        train(tmp_path, accelerator="gpu")


def test_a_gpu_without_bf16_is_a_mistake_in_params(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: False)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Tesla T4")
    settings = params(accelerator="gpu", precision="bf16-mixed").train
    with pytest.raises(ConfigError, match="Tesla T4 has no bf16; set it to 16-mixed or 32-true"):
        build_trainer(settings)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("resident_gib", [0, 4])
def test_a_step_does_not_wait_for_the_gpu(tmp_path, monkeypatch, resident_gib):
    """Torch raises where the host would wait for the device, from the second step to the last."""

    class Strict(lightning.Callback):
        def on_train_batch_start(self, trainer, *_):
            torch.cuda.set_sync_debug_mode("error" if trainer.global_step else "default")

        def on_train_batch_end(self, trainer, *_):
            if trainer.is_last_batch:
                torch.cuda.set_sync_debug_mode("default")

    monkeypatch.setattr(
        "hgmnet.training.fit.build_trainer",
        lambda train, *more, **kw: build_trainer(train, Strict(), *more, **kw),
    )
    try:
        train(
            tmp_path,
            store=small_store(tmp_path / "store", 36),
            accelerator="gpu",
            resident_gib=resident_gib,
        )
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("epochs", [1, 2])
def test_the_shortest_training_has_a_schedule(tmp_path, epochs):
    small = train(tmp_path, epochs=epochs, batch_size=8, warmup=0.3)
    assert len(small.curves) == epochs


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ({"tasks": "segmentation"}, ("lesion Dice", "coarse")),
        ({"tasks": "classification", "coarse": False, "gate": "none"}, ("accuracy",)),
        ({"coarse": False, "gate": "none"}, ("lesion Dice", "accuracy")),
    ],
)
def test_an_epoch_tells_of_what_the_model_learns_and_of_nothing_else(tmp_path, model, told):
    (epoch,) = train(tmp_path, epochs=1, model=model).curves
    line = epoch_line(epoch, 1)
    figures = {
        "lesion Dice": epoch.val_lesion_dice,
        "coarse": epoch.val_coarse_dice,
        "accuracy": epoch.val_accuracy,
    }
    for word, value in figures.items():
        assert (value is not None) == (word in line) == (word in told)
