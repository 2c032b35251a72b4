from collections import Counter

import pytest

from hgmnet.config.data import Fractions, Split
from hgmnet.errors import ConfigError, InvalidDataError
from hgmnet.splitting import assignment, split_lock
from hgmnet.splitting import pairs as duplicates
from hgmnet.splitting.pairs import Pair
from hgmnet.splitting.split_lock import SplitRow
from tests import records as made

PARAMS = Split(
    seed=0,
    fractions=Fractions(train=0.65, val=0.15, test=0.2),
    conflicts="exclude",
    max_lost=0.1,
)
TO_TRAIN = PARAMS.model_copy(update={"conflicts": "train"})


def record(image, sha=None, **changes):
    """An image `<class>/<stem>`; its pixels are told by `sha`, by default as unique as its path."""
    pixels = image if sha is None else sha
    return made.record(f"{image}.png", **({"pixel_sha256": pixels, "group": image} | changes))


def row(image, status, sha=None, reason=""):
    label, name = image.split("/")
    pixels = image if sha is None else sha
    return SplitRow(
        pixel_sha256=pixels, name=name, label=label, group=image, status=status, reason=reason
    )


def scene(first, second):
    first, second = sorted((f"{first}.png", f"{second}.png"))
    return Pair(first=first, second=second, kind="scene", score=9, agreement=0.5, transform="shift")


def extend(rows, records, *pairs, params=PARAMS):
    """The place of each image, by its path below raw/, and of what was withdrawn."""
    extended = assignment.extend_split(
        rows, records, [*duplicates.find_copies(records), *pairs], params
    )
    return {f"{r.label}/{r.name}": r for r in extended}


def status(rows, image):
    return rows[image].status, rows[image].reason


def test_the_proportions_hold_in_every_class():
    images = [record(f"{label}/{n}") for label in ("benign", "normal") for n in range(100)]
    rows = extend([], images).values()
    assert Counter((r.label, r.status) for r in rows) == {
        ("benign", "train"): 65, ("benign", "val"): 15, ("benign", "test"): 20,
        ("normal", "train"): 65, ("normal", "val"): 15, ("normal", "test"): 20,
    }  # fmt: skip


def test_another_seed_is_another_split():
    images = [record(f"benign/{n}") for n in range(40)]
    assert extend([], images) != extend([], images, params=PARAMS.model_copy(update={"seed": 1}))


@pytest.mark.parametrize("count", [3, 4, 5])
def test_a_rare_class_is_on_every_side(count):
    rows = extend([], [record(f"benign/{n}") for n in range(count)])
    assert {r.status for r in rows.values()} == {"train", "val", "test"}


def test_the_proportions_return_when_one_side_was_short():
    rows = [row(f"benign/{n}", "train") for n in range(65)]
    images = [record(f"benign/{n}") for n in range(100)]
    assert Counter(r.status for r in extend(rows, images).values()) == {
        "train": 65, "val": 15, "test": 20,
    }  # fmt: skip


def test_a_renamed_image_keeps_its_side():
    rows = extend([row("benign/a", "test", "p")], [record("benign/b", "p")])
    assert list(rows) == ["benign/b"]
    assert status(rows, "benign/b") == ("test", "")


def test_a_re_encoded_image_keeps_its_side_and_gets_its_new_hash():
    rows = extend([row("benign/a", "val", "p")], [record("benign/a", "q")])
    assert status(rows, "benign/a") == ("val", "")
    assert rows["benign/a"].pixel_sha256 == "q"


@pytest.mark.parametrize("sha", ["p", "q"])
def test_a_relabelled_image_keeps_its_side(sha):
    rows = extend([row("benign/a", "test", "p")], [record("malignant/a", sha)])
    assert list(rows) == ["malignant/a"]
    assert status(rows, "malignant/a") == ("test", "")


def test_names_may_repeat_across_classes():
    before = [row("benign/1", "test", "p"), row("malignant/1", "train", "q")]
    rows = extend(before, [record("benign/1", "p2"), record("malignant/1", "q2")])
    assert status(rows, "benign/1") == ("test", "")
    assert status(rows, "malignant/1") == ("train", "")


def test_a_name_that_several_bear_tells_nothing_across_classes():
    before = [row("benign/1", "test", "p"), row("malignant/1", "train", "q")]
    images = [record("malignant/1", "q"), record("normal/1", "r")]
    rows = assignment.extend_split(before, images, [], PARAMS)
    assert row("benign/1", "test", "p") in rows  # withdrawn, not taken over by normal/1
    assert len(rows) == 3


def test_renumbered_files_are_known_by_their_pixels():
    before = [
        row("benign/1", "train", "p"),
        row("benign/2", "val", "q"),
        row("benign/3", "test", "r"),
    ]
    images = [record("benign/2", "p"), record("benign/3", "q"), record("benign/1", "r")]
    rows = extend(before, images)
    assert [r.status for r in rows.values()] == ["test", "train", "val"]


def test_the_pixels_of_one_side_under_a_name_of_another_are_a_bridge():
    before = [row("benign/a", "train", "p"), row("benign/b", "test", "q")]
    rows = assignment.extend_split(before, [record("benign/b", "p")], [], PARAMS)
    assert [(r.pixel_sha256, r.status, r.reason) for r in rows] == [
        ("p", "excluded", "bridge"),
        ("q", "test", ""),
    ]


def test_a_withdrawn_image_keeps_its_row_and_its_side_when_it_returns():
    before = [row("benign/a", "test")]
    gone = assignment.extend_split(before, [], [], PARAMS)
    assert gone == before
    assert status(extend(gone, [record("benign/a")]), "benign/a") == ("test", "")


@pytest.mark.parametrize("side", ["train", "val", "test"])
def test_a_new_copy_joins_its_side(side):
    rows = extend([row("benign/a", side, "p")], [record("benign/a", "p"), record("benign/b", "p")])
    assert status(rows, "benign/b") == (side, "")
    assert rows["benign/a"].group == rows["benign/b"].group


def test_a_new_image_between_two_sides_is_a_bridge_and_stays_one():
    before = [row("benign/a", "train"), row("benign/c", "test")]
    images = [record(f"benign/{x}") for x in "abc"]
    pairs = scene("benign/a", "benign/b"), scene("benign/b", "benign/c")
    rows = extend(before, images, *pairs)
    assert status(rows, "benign/a") == ("train", "")
    assert status(rows, "benign/b") == ("excluded", "bridge")
    assert status(rows, "benign/c") == ("test", "")
    assert rows["benign/a"].group != rows["benign/c"].group
    assert extend(list(rows.values()), images, *pairs) == rows


@pytest.mark.parametrize(
    ("first", "second", "after"),
    [
        ("train", "test", ("train", "excluded")),
        ("train", "val", ("train", "excluded")),
        ("val", "test", ("excluded", "excluded")),
    ],
)
def test_where_a_group_turns_out_to_straddle_nothing_moves_into_train(first, second, after):
    before = [row("benign/a", first), row("benign/b", second)]
    images = [record("benign/a"), record("benign/b")]
    rows = extend(before, images, scene("benign/a", "benign/b"))
    assert (rows["benign/a"].status, rows["benign/b"].status) == after


def test_label_conflicts_are_kept_out():
    rows = extend([], [record("benign/a", "p"), record("malignant/b", "p")])
    assert {status(rows, image) for image in rows} == {("excluded", "label conflict")}


def test_label_conflicts_go_to_train_where_they_may():
    rows = extend([], [record("benign/a", "p"), record("malignant/b", "p")], params=TO_TRAIN)
    assert {status(rows, image) for image in rows} == {("train", "")}


@pytest.mark.parametrize("params", [PARAMS, TO_TRAIN])
def test_a_conflict_that_arises_on_test_leaves_and_never_trains(params):
    before = [row("benign/a", "test", "p")]
    rows = extend(before, [record("benign/a", "p"), record("malignant/b", "p")], params=params)
    assert {status(rows, image) for image in rows} == {("excluded", "label conflict")}


def test_the_scene_of_a_conflict_is_dealt_whole():
    images = [record("benign/a", "p"), record("malignant/b", "p"), record("benign/c")]
    rows = extend([], images, scene("benign/a", "benign/c"), params=TO_TRAIN)
    assert {r.status for r in rows.values()} == {"train"}


def test_curation_excludes_and_what_is_excluded_stays_so():
    rows = extend([], [record("benign/a", excluded="no ultrasound")])
    assert status(rows, "benign/a") == ("excluded", "no ultrasound")
    again = extend(list(rows.values()), [record("benign/a")])
    assert status(again, "benign/a") == ("excluded", "no ultrasound")


def test_curation_takes_an_image_off_its_side():
    rows = extend([row("benign/a", "test")], [record("benign/a", excluded="blurred")])
    assert status(rows, "benign/a") == ("excluded", "blurred")


def test_scenes_linked_by_an_excluded_image_are_not_parted():
    images = [record("benign/b", excluded="blurred"), *(record(f"benign/{n}") for n in range(20))]
    pairs = [scene("benign/b", f"benign/{n}") for n in range(20)]
    rows = extend([], images, *pairs)
    assert len({r.status for r in rows.values() if r.status != "excluded"}) == 1


def test_unreadable_images_are_excluded_each_with_its_row():
    images = [record("benign/a", "", error="x"), record("benign/b", "", error="x")]
    rows = extend([], images)
    assert {status(rows, image) for image in rows} == {("excluded", "unreadable")}
    assert len(rows) == 2
    assert extend(list(rows.values()), images) == rows


def test_live_joins_what_is_there():
    rows = [
        row("benign/a", "test"),
        row("benign/b", "excluded", reason="x"),
        row("benign/c", "val"),
    ]
    joined = split_lock.active_images(rows, [record("benign/a"), record("benign/b")])
    assert [(item.record.image, item.row.status) for item in joined] == [("benign/a.png", "test")]


def test_live_refuses_an_image_without_a_row():
    with pytest.raises(InvalidDataError, match=r"benign/a\.png is not in split\.csv"):
        split_lock.active_images([], [record("benign/a")])


def test_the_test_sha_is_of_pixels_and_labels_in_any_order():
    images = [("p", "benign"), ("q", "normal")]
    sha = split_lock.test_sha(images)
    assert sha == split_lock.test_sha(images[::-1])
    assert sha != split_lock.test_sha(images[:1])
    assert sha != split_lock.test_sha([("p", "benign"), ("q", "benign")])


def test_the_lock_follows_from_the_data_alone():
    rows = [row("benign/a", "test"), row("benign/b", "train")]
    lock = split_lock.new_lock(rows, PARAMS, None, "first assignment", 2)
    assert lock == split_lock.new_lock(rows[::-1], PARAMS, None, "first assignment", 2)
    split_lock.verify(rows, lock, PARAMS)
    assert split_lock.extended_lock(lock, rows, "more", 2) == lock
    more = [*rows, row("benign/c", "val")]
    assert split_lock.extended_lock(lock, rows, "fewer", 1).entries[-1].images == 1
    longer = split_lock.extended_lock(lock, more, "more", 3)
    assert longer.lock_id == lock.lock_id
    assert [entry.reason for entry in longer.entries] == ["first assignment", "more"]
    split_lock.verify(more, longer, PARAMS)
    again = split_lock.new_lock(rows, PARAMS, longer, "wrong seed", 2)
    assert again.lock_id != lock.lock_id
    assert len(again.entries) == 3


def test_a_set_that_lost_more_than_it_may_is_refused():
    lock = split_lock.new_lock([row("benign/a", "test")], PARAMS, None, "first assignment", 200)
    split_lock.check_size(lock, 180, 0.1)
    split_lock.check_size(lock, 500, 0.1)
    with pytest.raises(InvalidDataError, match=r"21 of 200 images are missing .* more than 10%"):
        split_lock.check_size(lock, 179, 0.1)


def test_an_edited_row_is_refused():
    rows = [row("benign/a", "test"), row("benign/b", "train")]
    lock = split_lock.new_lock(rows, PARAMS, None, "first assignment", 2)
    moved = [rows[0].model_copy(update={"status": "train"}), rows[1]]
    with pytest.raises(InvalidDataError, match="hgmnet resplit --reason"):
        split_lock.verify(moved, lock, PARAMS)


@pytest.mark.parametrize(
    "change", [{"seed": 1}, {"fractions": Fractions(train=0.6, val=0.2, test=0.2)}]
)
def test_other_settings_are_refused(change):
    rows = [row("benign/a", "test")]
    lock = split_lock.new_lock(rows, PARAMS, None, "first assignment", 2)
    with pytest.raises(ConfigError, match=r"seed 0 and 0\.65 / 0\.15 / 0\.2,.*hgmnet resplit"):
        split_lock.verify(rows, lock, PARAMS.model_copy(update=change))


@pytest.mark.parametrize("stated", [{"patient": "anna"}, {}])
def test_a_patient_straddles_though_the_image_between_is_excluded(stated):
    locked = [row("benign/a", "train"), row("benign/c", "test")]
    images = [record(f"benign/{name}", **stated) for name in "abc"]
    images[1] = images[1].model_copy(update={"excluded": "calipers"})
    groups = dict.fromkeys((image.image for image in images), "patient 12")
    pairs = duplicates.of_one_patient(images) or duplicates.chained(groups, "curation")
    assert len(pairs) == 2
    rows = extend(locked, images, *pairs)
    assert status(rows, "benign/a") == ("train", "")
    assert status(rows, "benign/c") == ("excluded", "group on several sides")


def test_a_curated_group_that_straddles_is_parted_whatever_its_first_image():
    locked = [row("benign/a", "train"), row("benign/b", "test")]
    images = [record(f"benign/{name}") for name in ("0", "a", "b")]
    groups = {image.image: "patient 12" for image in images}
    rows = extend(locked, images, *duplicates.chained(groups, "curation"))
    assert status(rows, "benign/a") == ("train", "")
    assert status(rows, "benign/b") == ("excluded", "group on several sides")
    assert rows["benign/0"].status == "train"
