"""Laws of the split, for any data set, any likeness within it and any order of the files."""

from collections import Counter, defaultdict

from hypothesis import given, settings
from hypothesis import strategies as st

from hgmnet.config.data import Fractions, Split
from hgmnet.splitting import assignment, split_lock
from hgmnet.splitting import pairs as duplicates
from hgmnet.splitting.pairs import Pair
from tests import records as made

PARAMS = Split(
    seed=0,
    fractions=Fractions(train=0.65, val=0.15, test=0.2),
    conflicts="exclude",
    max_lost=0.1,
)
LABELS = ("benign", "malignant", "normal")


def record(label, number, sha):
    return made.record(f"{label}/{number}.png", pixel_sha256=sha)


@st.composite
def sets(draw):
    """Images, some of them copies of one another, and pairs, copies included."""
    cells = draw(
        st.lists(
            st.tuples(st.sampled_from(LABELS), st.integers(0, 30), st.integers(0, 60)),
            unique_by=lambda cell: cell[:2],
            max_size=40,
        )
    )
    records = [record(label, number, f"{pixels:02}") for label, number, pixels in cells]
    images = [r.image for r in records]
    links = (
        draw(st.lists(st.tuples(st.sampled_from(images), st.sampled_from(images)), max_size=12))
        if images
        else []
    )
    scenes = [
        Pair(
            first=min(link),
            second=max(link),
            kind="scene",
            score=9,
            agreement=0.5,
            transform="shift",
        )
        for link in links
        if link[0] != link[1]
    ]
    return records, [*duplicates.find_copies(records), *scenes]


def within(pairs, records):
    images = {r.image for r in records}
    return [pair for pair in pairs if {pair.first, pair.second} <= images]


@given(sets(), st.randoms())
def test_the_order_of_files_and_pairs_does_not_matter(data, random):
    records, pairs = data
    rows = assignment.extend_split([], records, pairs, PARAMS)
    random.shuffle(records)
    random.shuffle(pairs)
    assert assignment.extend_split([], records, pairs, PARAMS) == rows


@given(sets())
def test_every_image_is_somewhere(data):
    records, pairs = data
    rows = assignment.extend_split([], records, pairs, PARAMS)
    assert Counter((r.label, r.name, r.pixel_sha256) for r in rows) == Counter(
        (r.label, r.name, r.pixel_sha256) for r in records
    )
    assert all(bool(r.reason) == (r.status == "excluded") for r in rows)


@given(sets(), st.randoms())
@settings(max_examples=200)
def test_groups_stay_whole_while_images_come(data, random):
    """In several steps: the pairs between live images never join two sides."""
    records, pairs = data
    random.shuffle(records)
    rows = []
    for end in (len(records) // 3, len(records) // 2, len(records)):
        here = records[:end]
        rows = assignment.extend_split(rows, here, within(pairs, here), PARAMS)
        sides = {
            item.record.image: item.row.status for item in split_lock.active_images(rows, here)
        }
        for pair in pairs:
            if pair.first in sides and pair.second in sides:
                assert sides[pair.first] == sides[pair.second]
        groups = defaultdict(set)
        for item in split_lock.active_images(rows, here):
            groups[item.row.group].add(item.row.status)
        assert all(len(found) == 1 for found in groups.values())


@given(sets(), st.randoms())
@settings(max_examples=200)
def test_adding_images_moves_nobody(data, random):
    """Who had a side has it still, or has left; and who had left stays away."""
    records, pairs = data
    random.shuffle(records)
    some = records[: len(records) // 2]
    before = assignment.extend_split([], some, within(pairs, some), PARAMS)
    after = {
        (r.label, r.name): r.status for r in assignment.extend_split(before, records, pairs, PARAMS)
    }
    for row in before:
        assert after[row.label, row.name] in {row.status, "excluded"}


@given(sets())
def test_extending_by_nothing_changes_nothing(data):
    records, pairs = data
    rows = assignment.extend_split([], records, pairs, PARAMS)
    assert assignment.extend_split(rows, records, pairs, PARAMS) == rows


@given(sets(), st.randoms())
def test_withdrawing_images_changes_no_row_of_the_others(data, random):
    records, pairs = data
    rows = assignment.extend_split([], records, pairs, PARAMS)
    rest = random.sample(records, len(records) // 2)
    after = assignment.extend_split(rows, rest, within(pairs, rest), PARAMS)
    assert Counter((r.label, r.name, r.status) for r in after) == Counter(
        (r.label, r.name, r.status) for r in rows
    )


@given(st.integers(20, 120), st.integers(0, 5))
def test_the_proportions_are_near_the_fractions(count, seed):
    records = [record("benign", n, str(n)) for n in range(count)]
    params = PARAMS.model_copy(update={"seed": seed})
    held = Counter(r.status for r in assignment.extend_split([], records, [], params))
    for side, share in PARAMS.fractions.model_dump().items():
        assert abs(held[side] - share * count) <= 1.5
