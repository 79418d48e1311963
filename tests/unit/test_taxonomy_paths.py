"""Paths of the taxonomy as text, how far apart two are, and which of two versions is newer."""

from __future__ import annotations

from itertools import permutations
from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intake.errors import BadPath
from intake.paths import Candidate, Path, closest, distance, format_path, parse_path, path_of
from intake.versions import version_key

LABELS = (
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=20)
    .map(lambda text: normalize("NFC", text).strip())
    .filter(bool)
)
PATHS = st.lists(LABELS, min_size=1, max_size=4).map(tuple)
TREE: list[Path] = [
    ("정책",),
    ("정책", "창업"),
    ("정책", "창업", "청년"),
    ("정책", "고용"),
    ("정책", "고용", "청년"),
    ("정책", "수출"),
    ("주거",),
    ("주거", "청년"),
]


@given(PATHS)
def test_what_is_written_is_read_as_the_same_path(path: Path) -> None:
    assert parse_path(format_path(path)) == path


def test_a_slash_in_a_label_stands_behind_a_backslash() -> None:
    assert parse_path(r"고용\/노동/a\\b") == ("고용/노동", r"a\b")
    assert format_path(("고용/노동", r"a\b")) == r"고용\/노동/a\\b"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "part 1 of the path is empty"),
        ("정책//창업", "part 2 of the path is empty"),
        ("정책/ ", "part 2 of the path is empty"),
        ("/정책", "part 1 of the path is empty"),
        ("정책\\", "a backslash stands before the end"),
        (r"정책\n", "a backslash stands before n"),
        ("정책/" + "x" * 201, "part 2 of the path must be text of 1 to 200 characters without NUL"),
        ("/".join("x" * 51), "a path has at most 50 labels"),
        ("정\0책", "part 1 of the path must be text of 1 to 200 characters without NUL"),
    ],
)
def test_what_is_no_path_is_refused_and_the_part_is_named(text: str, reason: str) -> None:
    with pytest.raises(BadPath) as caught:
        parse_path(text)
    assert str(caught.value) == reason


def test_fifty_labels_are_a_path() -> None:
    assert path_of(["a"] * 50) == ("a",) * 50


def test_white_space_around_labels_and_the_form_of_hangul_do_not_count() -> None:
    assert path_of([" 정책 ", normalize("NFD", "창업")]) == ("정책", "창업")


def test_a_text_is_no_path_though_it_is_a_sequence_of_texts() -> None:
    with pytest.raises(BadPath, match="list of labels"):
        path_of("정책")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (("정책", "창엽", "청년"), ("정책", "창업", "청년")),  # one letter of a syllable
        (("정첵", "수출"), ("정책", "수출")),
        (("창업",), ("정책", "창업")),  # the first label forgotten
        (("창업", "청년"), ("정책", "창업", "청년")),
        (("정책", "청업"), ("정책", "창업")),
        (("정책", "창업", "청년", "여성"), ("정책", "창업", "청년")),  # one too many
        (("주거 ", "청년층"), ("주거", "청년")),
    ],
)
def test_the_path_that_was_meant_is_the_first_of_the_closest(typed: Path, meant: Path) -> None:
    assert closest(typed, TREE)[0].path == meant


def test_the_five_closest_are_named_with_their_distance_the_closest_first() -> None:
    found = closest(("정책", "창엽"), TREE)
    assert found[0] == Candidate(("정책", "창업"), 0.167)
    assert len(found) == 5
    assert [one.distance for one in found] == sorted(one.distance for one in found)
    assert found == closest(("정책", "창엽"), TREE[::-1])


@given(PATHS, PATHS)
def test_a_distance_is_the_same_in_both_directions_and_none_only_between_the_same(a: Path, b: Path) -> None:
    assert distance(a, b) == pytest.approx(distance(b, a))
    assert (distance(a, b) == 0) == (a == b)
    assert distance(a, b) <= (len(a) + len(b)) / 2  # all labels of one left out, all of the other added


@given(PATHS, LABELS)
def test_a_label_too_few_is_half_a_wrong_one(path: Path, label: str) -> None:
    assert distance(path, (*path, label)) == pytest.approx(0.5)
    assert distance((label, *path), path) == pytest.approx(0.5)


@pytest.mark.parametrize(
    "versions",
    [
        ("1.0.0", "1.9.0", "1.10.0", "2.0", "2025.1"),
        ("1.0", "1.0.0", "1.0.1"),
        ("1.0.0-alpha", "1.0.0-rc1", "1.0.0-rc2", "1.0.0-rc10", "1.0.0"),
        ("v1.2", "v1.10", "2"),
        ("draft", "1.0.0"),
        ("2024-12-31", "2025-01-02"),
    ],
)
def test_versions_are_ordered_from_the_oldest_to_the_newest(versions: tuple[str, ...]) -> None:
    for mixed in permutations(versions):
        assert tuple(sorted(mixed, key=version_key)) == versions


@given(st.lists(st.text(max_size=20), max_size=6, unique=True))
def test_any_texts_have_one_order(versions: list[str]) -> None:
    backwards = [*reversed(versions)]
    assert sorted(versions, key=version_key) == sorted(backwards, key=version_key)


@given(
    st.lists(st.integers(0, 10**6), min_size=1, max_size=4),
    st.lists(st.integers(0, 10**6), min_size=1, max_size=4),
)
def test_versions_of_numbers_are_ordered_as_the_numbers_are(a: list[int], b: list[int]) -> None:
    one, other = (".".join(map(str, numbers)) for numbers in (a, b))
    assert (version_key(one) < version_key(other)) == (a < b)
