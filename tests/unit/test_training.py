import pytest
import torch
from small_store import small_store
from trained import same, train, weights

from hgmnet.errors import ConfigError, HgmnetError, InvalidDataError
from hgmnet.training import quiet_lightning

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
def test_it_learns_to_find_bright_discs(tmp_path):
    trained = train(
        tmp_path, store=small_store(tmp_path / "store", 36), epochs=12, learning_rate=5e-3
    )
    assert trained.curves[-1].val_lesion_dice > 0.6
    assert trained.curves[-1].train_loss < trained.curves[0].train_loss
    assert trained.curves[-1].gate_correlation > 0.5


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


@pytest.mark.parametrize("epochs", [1, 2])
def test_the_shortest_training_has_a_schedule(tmp_path, epochs):
    small = train(tmp_path, epochs=epochs, batch_size=8, warmup=0.3)
    assert len(small.curves) == epochs
