from hgmnet.splitting import pairs as duplicates
from hgmnet.splitting.pairs import Pair
from tests import records as made


def record(image, sha, excluded=""):
    return made.record(image, pixel_sha256=sha, excluded=excluded)


def pair(first, second, kind="scene"):
    return Pair(first=first, second=second, kind=kind, score=9, agreement=0.5, transform="shift")


def conflicts(records, *near):
    return duplicates.conflicts(records, [*duplicates.find_copies(records), *near])


def test_every_two_copies_are_a_pair():
    records = [record("b/3", "x"), record("a/1", "x"), record("a/2", "x"), record("a/9", "y")]
    pairs = duplicates.find_copies(records)
    assert [(p.first, p.second, p.kind, p.score) for p in pairs] == [
        ("a/1", "a/2", "copy", 0),
        ("a/1", "b/3", "copy", 0),
        ("a/2", "b/3", "copy", 0),
    ]
    assert {pair.agreement for pair in pairs} == {1}


def test_unreadable_images_are_like_nothing():
    assert duplicates.find_copies([record("a/1", ""), record("a/2", "")]) == []


def test_groups_are_transitive_and_called_after_the_first():
    groups = duplicates.group("edcba", [pair("d", "e"), pair("b", "d"), pair("a", "z")])
    assert groups == {"a": "a", "b": "b", "c": "c", "d": "b", "e": "b"}


def test_the_order_of_pairs_does_not_matter():
    pairs = [pair("a", "b"), pair("c", "d"), pair("b", "c")]
    assert duplicates.group("abcd", pairs) == duplicates.group("dcba", pairs[::-1])


def test_many_images_of_one_patient_are_a_chain_of_pairs():
    records = [made.record(f"a/{n:04}.png", patient="anna") for n in range(2000)]
    pairs = duplicates.of_one_patient([*records, made.record("a/x.png"), made.record("a/y.png")])
    assert len(pairs) == 1999
    assert set(duplicates.group((r.image for r in records), pairs).values()) == {"a/0000.png"}


def test_a_chain_holds_without_any_of_its_images():
    curated = duplicates.chained(dict.fromkeys("abcd", "anna") | {"x": "x", "y": "x"}, "curation")
    patient = duplicates.of_one_patient(made.record(f"{n}.png", patient="p") for n in "dx")
    assert duplicates.group("ady", curated) == {"a": "a", "d": "a", "y": "y"}
    apart = [p.model_copy(update={"first": p.first[0], "second": p.second[0]}) for p in patient]
    assert duplicates.group("ady", [*curated, *apart]) == {"a": "a", "d": "a", "y": "y"}
    assert set(duplicates.group("adxy", [*curated, *apart]).values()) == {"a"}


def test_curation_merges():
    pairs = duplicates.chained({"c": "patient 1", "a": "patient 1", "b": "patient 2"}, "curation")
    (found,) = pairs
    assert (found.first, found.second, found.transform) == ("a", "c", "curation")
    assert found.agreement == 0


def test_what_is_like_an_image_is_like_its_twins():
    records = [record("a/1", "x"), record("a/2", "y"), record("a/3", "x"), record("a/4", "z")]
    pairs = duplicates.copy_to_identical_images([pair("a/1", "a/2")], records)
    turned = pair("a/2", "a/3").model_copy(update={"transform": "inverse of shift"})
    assert pairs == [pair("a/1", "a/2"), turned]


def test_conflicts():
    records = [record("benign/1", "x"), record("malignant/1", "x"), record("benign/2", "y")]
    assert conflicts(records) == {"benign/1", "malignant/1"}


def test_near_copies_conflict_and_scenes_do_not():
    records = [record("benign/1", "x"), record("malignant/1", "y"), record("malignant/2", "z")]
    near = pair("benign/1", "malignant/1", "copy"), pair("benign/1", "malignant/2", "scene")
    assert conflicts(records, *near) == {"benign/1", "malignant/1"}


def test_copies_of_an_excluded_image_are_copies_of_each_other():
    records = [record("a/1", "x", excluded="blurred"), record("b/1", "y"), record("c/1", "z")]
    near = pair("a/1", "b/1", "copy"), pair("a/1", "c/1", "copy")
    assert conflicts(records, *near) == {"b/1", "c/1"}


def test_an_excluded_copy_contradicts_nobody():
    records = [record("benign/1", "x", excluded="wrong label"), record("malignant/1", "x")]
    assert conflicts(records) == set()


def test_one_label_is_no_conflict():
    assert conflicts([record("benign/1", "x"), record("benign/2", "x")]) == set()


def test_a_conflict_tells_labels_and_links():
    records = [record("c/1", "x"), record("b/1", "y"), record("b/2", "z"), record("b/3", "w")]
    records += [record("a/1", "v", excluded="blurred"), record("b/9", "u"), record("c/9", "t")]
    chain = pair("a/1", "b/1", "copy"), pair("a/1", "c/1", "copy"), pair("b/1", "b/2", "copy")
    others = pair("b/3", "c/1", "scene"), pair("b/9", "c/9", "copy")
    one, other = duplicates.find_conflicts(records, [*others, *chain])
    assert one.labels == {"b/1": "b", "b/2": "b", "c/1": "c"}
    assert one.pairs == chain
    assert other.labels == {"b/9": "b", "c/9": "c"}


def test_a_person_may_part_scenes_but_not_copies():
    scene = pair("a/1", "a/2")
    copy = pair("a/1", "a/3").model_copy(update={"kind": "copy"})
    groups = {"a/1": "anna", "a/2": "berta", "a/3": "carla"}
    assert duplicates.apply_curated_groups([scene, copy], groups) == [copy]
    assert duplicates.apply_curated_groups([scene], {"a/1": "anna"}) == [scene]
    assert duplicates.apply_curated_groups([scene], {"a/1": "anna", "a/2": "anna"}) == [scene]
