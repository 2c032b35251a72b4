"""Who has seen what: by pixels anywhere, by group within one data set."""

import json

import pytest
from small_store import params

from hgmnet.data.prepared import PreparedImage
from hgmnet.errors import ConfigError
from hgmnet.models.spec import FORMAT, SPEC, Seen, Spec, load_spec
from hgmnet.splitting import contamination


def spec(data, train=(), val=(), groups=(), parent=()):
    return Spec(
        format=FORMAT, model=params().model, prepare=params().prepare, classes=("benign",),
        mean=0.4, std=0.2, data=data, seed=0, fingerprint="f",
        parent=None, seen=Seen(train=train, val=val, groups=groups, parent=parent),
    )  # fmt: skip


def entry(pixels, group):
    return PreparedImage(
        image=f"benign/{pixels}.png", masks="", pixel_sha256=pixels, label="benign",
        group=group, split="test", height=1, width=1,
    )  # fmt: skip


ENTRIES = [entry("p", "g"), entry("q", "h"), entry("r", "i"), entry("s", "j")]


def test_pixels_are_known_from_train_and_val_of_any_data_set():
    checked = contamination.check(ENTRIES, "busi", [spec("other", train=("q",), val=("s",))])
    assert [e.pixel_sha256 for e in checked.seen] == ["q", "s"]
    assert [e.pixel_sha256 for e in checked.clean] == ["p", "r"]


def test_groups_are_known_within_their_data_set_alone():
    assert contamination.check(ENTRIES, "busi", [spec("busi", groups=("i",))]).seen == (ENTRIES[2],)
    assert contamination.check(ENTRIES, "busi", [spec("other", groups=("i",))]).seen == ()


def test_groups_in_clear_text_of_an_older_model_are_known_too(tmp_path):
    old = spec("busi", groups=("benign/Anna Müller (1).png", "i"))
    older = json.loads(old.model_dump_json()) | {"format": 2}
    older["seen"]["groups"] = ["benign/Anna Müller (1).png", "i"]
    (tmp_path / SPEC).write_text(json.dumps(older))
    read = load_spec(tmp_path)
    assert contamination.check(ENTRIES, "busi", [read]).seen == (ENTRIES[2],)
    assert read.seen == old.seen  # as a model that starts from it has them
    assert "Müller" not in old.model_dump_json()
    (tmp_path / SPEC).write_text(json.dumps(older | {"format": 4}))
    with pytest.raises(ConfigError, match="format 4"):
        load_spec(tmp_path)


def test_what_either_model_has_seen_is_seen():
    models = [spec("busi", train=("p",)), spec("busi", val=("q",))]
    assert contamination.check(ENTRIES, "busi", models).seen == tuple(ENTRIES[:2])
    assert contamination.check(ENTRIES, "busi", []).clean == tuple(ENTRIES)


def test_what_the_parent_had_seen_counts_too():
    checked = contamination.check(ENTRIES, "busi", [spec("busi", train=("q",), parent=("r",))])
    assert [e.pixel_sha256 for e in checked.seen] == ["q", "r"]
