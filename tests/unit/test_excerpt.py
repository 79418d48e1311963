"""Hostile text as a page may show it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from reconciler.excerpt import CONTEXT, VALUE_SHOWN, contrast, shorten, visible

SIDES = st.tuples(st.text(max_size=400), st.text(max_size=400))


@given(st.text())
def test_what_is_visible_has_no_character_that_acts(text: str) -> None:
    shown = visible(text)
    assert all(char.isprintable() or char in "\n\t" for char in shown)
    assert visible(shown) == shown
    shown.encode()


@given(st.text(max_size=200), st.integers(3, 100))
def test_a_cut_text_keeps_both_ends_and_says_what_is_left_out(text: str, shown: int) -> None:
    cut = shorten(text, shown)
    if len(text) <= shown:
        assert cut == visible(text)
    else:
        assert cut.startswith(visible(text[: shown - shown // 3]))
        assert cut.endswith(visible(text[-(shown // 3) :]))
        assert f"… {len(text) - shown} characters …" in cut


@given(SIDES)
def test_a_difference_is_shown_where_it_begins(sides: tuple[str, str]) -> None:
    for text, side in zip(sides, contrast(*sides), strict=True):
        middle = side.before + side.changed + side.after
        if middle.isascii() and middle == visible(text[side.skipped : len(text) - side.more]):
            assert len(middle) <= VALUE_SHOWN or "[U+" in middle
            assert len(side.before) <= CONTEXT or "[U+" in side.before
        first = next((n for n, pair in enumerate(zip(*sides, strict=False)) if pair[0] != pair[1]), None)
        if first is not None:
            assert side.skipped == max(first - CONTEXT, 0)


def test_a_difference_behind_half_a_million_characters_is_shown() -> None:
    expected, found = contrast("가" * 500_000 + "끝", "가" * 500_000)
    assert (expected.skipped, expected.changed, expected.more) == (499_960, "끝", 0)
    assert (found.skipped, found.changed) == (499_960, "")


def test_what_looks_alike_is_spelled() -> None:
    expected, found = contrast("a\u00a0b", "a b")
    assert (expected.changed, found.changed) == ("[U+00A0]", " ")
    composed, decomposed = contrast("한", "\u1112\u1161\u11ab")
    assert composed.changed == "[U+D55C]"
    assert decomposed.changed == "[U+1112][U+1161][U+11AB]"
