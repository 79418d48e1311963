"""What the page says of a run; how it looks is tests/browser's."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.counts import Kind
from reconciler.differences import Difference
from reconciler.legend import KINDS
from reconciler.page import SHOWN, Page, render
from reconciler.report import PartReport
from tests.unit import report_samples as samples

VOID = {"meta", "br", "rect", "line"}


class Parsed(HTMLParser):
    """Tags with their attributes, in order; text; and text by the `id`, `data-*` of the innermost element."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[tuple[tuple[tuple[str, dict[str, str | None]], ...], str]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(self.tags[-1])

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        self.text.append((tuple(self.open), data))

    def inside(self, **wanted: str) -> str:
        """Text within elements, the outer named first: `table="x"` stands for data-table, `id` for itself."""
        names = {("id" if name == "id" else f"data-{name}"): value for name, value in wanted.items()}
        found = (
            data
            for elements, data in self.text
            if all(any(at.get(name) == value for _, at in elements) for name, value in names.items())
        )
        return " ".join("".join(found).split())

    def shape(self) -> Counter[str]:
        return Counter(tag for tag, _ in self.tags)


def parsed(page: Page) -> Parsed:
    found = Parsed(render(page))
    assert found.open == []
    return found


def test_every_number_of_every_part_stands_in_its_cell() -> None:
    page = samples.drift()
    html = parsed(page)
    for table, stores in page.report.parts.items():
        for store, part in stores.items():
            counts = part.counts
            expected = {kind.value: getattr(counts, kind.value) for kind in Kind} | {
                "scanned_source": counts.scanned_source,
                "scanned_store": counts.scanned_store,
                "ok": counts.ok,
                "repaired": counts.repaired,
                "absent": counts.absent,
                "deep_checked": counts.deep_checked,
            }
            shown = {name: html.inside(table=table, store=store, number=name) for name in expected}
            assert shown == {name: f"{value:,}" for name, value in expected.items()}
            assert html.inside(table=table, store=store, number="seconds") == f"{counts.seconds:.1f}"


def test_each_part_has_its_own_result_and_last_success() -> None:
    html = parsed(samples.drift())

    def cell(table: str, store: str, number: str) -> str:
        return html.inside(table=table, store=store, number=number)

    assert cell("policies", "milvus", "result") == "✕ Drift"
    assert cell("policies", "redis", "result") == "? Not verified"
    assert cell("users", "neo4j", "result") == "✓ Consistent"
    assert cell("policies", "neo4j", "last_success").startswith("3 d 4 h")
    assert cell("policies", "milvus", "last_success") == "2 d 1 h ago"  # the oldest of three shares
    assert cell("policies", "redis", "last_success") == "never"  # one share of two


@pytest.mark.parametrize(
    ("exit_code", "page", "word", "said"),
    [
        (0, samples.consistent(), "✓ Consistent", "every record that was checked is as PostgreSQL has it"),
        (1, samples.with_counts(missing=1), "✕ Drift", "1 record is not as PostgreSQL has it"),
        (2, samples.with_counts(stale=2, repaired=2), "↻ Repaired", "2 records were wrong, healed"),
        (3, samples.with_counts(unverified=3), "? Not verified", "3 records could not be judged"),
        (4, samples.with_counts(4), "‖ Stopped", "1 of 1 parts did not come to their end"),
    ],
)
def test_the_verdict_is_a_word_and_a_sentence(exit_code: int, page: Page, word: str, said: str) -> None:
    html = parsed(page)
    assert page.report.exit_code == exit_code
    assert html.inside(id="outcome") == word
    assert said in html.inside(id="verdict")
    assert html.inside(**{"exit-code": str(exit_code)}) != ""


def test_a_verdict_hides_nothing_behind_the_worst() -> None:
    verdict = parsed(samples.drift()).inside(id="verdict")
    assert verdict == (
        "As of 48/61B370AB: repair of business_rules was refused; 7 records are not as PostgreSQL has it; "
        "14 records were wrong, healed, and found right then; 13 records could not be judged; "
        "1 of 8 parts did not come to their end."
    )


def test_position_run_and_times_in_both_zones_are_told() -> None:
    html = render(samples.drift())
    for text in ("48/61B370AB", samples.RUN, "2026-11-22 03:00:05 KST", "2026-11-21 18:00:05 UTC"):
        assert text in html


def test_what_was_not_checked_is_told_with_its_reason_and_the_next_command() -> None:
    notes = parsed(samples.drift()).inside(id="notes")
    assert "policies in redis did not come to its end: redis: redis://127.0.0.1:16379/0 does not" in notes
    assert "next: aegis stack up redis" in notes
    assert "13 records could not be judged" in notes
    assert "every field of share 3 of 7" in notes
    assert "Nothing was left out" not in notes


def test_only_where_nothing_was_left_out_it_says_so() -> None:
    page = samples.consistent()
    assert parsed(page).inside(id="notes") == "Nothing was left out: everything was checked by fingerprint."
    part = page.report.parts["policies"]["milvus"]
    left_out = [
        replace(page.report, notes=["only keys of shard 1/4"]),
        replace(page.report, parts={"policies": {"milvus": replace(part, unfinished=True)}}),
        replace(page.report, parts={"policies": {"milvus": replace(part, reason="away", exit_code=3)}}),
        replace(page.report, parts={}),
    ]
    for report in left_out:
        assert "Nothing was left out" not in render(replace(page, report=report))


def test_what_a_repair_did_would_do_and_refused_is_told() -> None:
    html = parsed(samples.drift())
    assert html.inside(plan="policies") == "policies: 17 rows written anew, 0 keys removed"
    assert "refused, nothing was changed: business_rules is empty" in html.inside(plan="business_rules")
    assert "(planned: 0 rows written anew, 1 key removed)" in html.inside(plan="business_rules")
    assert "dry run, nothing was changed; --apply acts on it: 1 row" in html.inside(plan="users")


def test_a_finding_has_kind_place_key_age_and_what_differs() -> None:
    html = parsed(samples.drift())
    finding = html.inside(finding="0")
    assert "stalepolicies in milvusPOL-2025-00017for 3 d 4 h, since 2026-11-18 22:24 KST" in finding
    assert "title 청년 월세 한시 특별지원 (2026)청년 월세 한시 특별지원 (2025)" in finding
    assert "No field differs." in html.inside(finding="2")
    assert html.inside(finding="3").count("field") == 0  # an orphan has nothing to compare with
    values = html.inside(finding="6")
    assert "display_name differs; values are not shown" in values
    assert "interests not shownnull" in values


def test_at_most_200_findings_are_shown_and_the_rest_is_counted() -> None:
    page = samples.with_counts(missing=2_000)
    findings = [samples.finding("neo4j", f"K{n}", Kind.MISSING, 1) for n in range(500)]
    html = parsed(replace(page, report=replace(page.report, findings=findings)))
    shown = [at["data-finding"] for _, at in html.tags if "data-finding" in at]
    assert shown == [str(n) for n in range(SHOWN)]
    assert html.inside(id="more") == "and 1,800 more: --json"


def test_what_was_healed_is_listed_with_what_differed() -> None:
    page = samples.drift()
    place = ("policies", "milvus", "POL-2025-00002")
    page = replace(page, differences={**page.differences, place: [Difference("region", "서울", "부산")]})
    html = parsed(page)
    assert "POL-2025-00002" in html.inside(repaired="2")
    assert "region 서울부산" in html.inside(repaired="2")
    assert html.inside(id="more-repaired") == "and 10 more: --json"


def test_every_kind_is_explained() -> None:
    assert KINDS.keys() == set(Kind)
    html = parsed(samples.consistent())
    for kind, meaning in KINDS.items():
        explained = html.inside(kind=kind.value)
        assert meaning.means in explained
        assert meaning.todo in explained


def test_nothing_is_loaded_and_nothing_runs() -> None:
    html = parsed(samples.drift())
    assert "script" not in html.shape()
    assert "img" not in html.shape()
    for _, attributes in html.tags:
        assert not attributes.keys() & {"src", "href", "srcset", "action", "background", "xlink:href"}
        assert not [name for name in attributes if name.startswith("on")]
    style = "".join(data for elements, data in html.text if elements and elements[-1][0] == "style")
    assert style
    assert not re.search(r"url\(|@import|http", style)
    policies = [at["content"] for _, at in html.tags if at.get("http-equiv") == "Content-Security-Policy"]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"]


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=300), st.text(max_size=300))
def test_no_text_becomes_a_tag_wherever_it_stands(one: str, other: str) -> None:
    def page(one: str, other: str) -> Page:
        found = [replace(samples.FINDINGS[0], table=one, store=other, key=one)]
        parts = {one: {other: PartReport(samples.RIGHT, reason=other or "x", hint=one or "x", exit_code=3)}}
        base = samples.with_counts(stale=1)
        run = replace(base.past[0], run_id=one)
        report = replace(base.report, run_id=one, parts=parts, findings=found, notes=[other])
        difference = Difference(one, f"1{one}", f"2{other}")
        return replace(base, report=report, past=[run], differences={(one, other, one): [difference]})

    html = render(page(one, other))
    html.encode()
    plain = Parsed(html).shape()
    marks = plain.pop("mark")
    expected = Parsed(render(page("a", "b"))).shape()
    assert marks in {1, 2}
    assert plain - Counter(span=9) == expected - Counter(mark=9, span=9)  # spans say how much is cut
    assert "\x00" not in html


def test_hostile_keys_and_values_are_shown_as_text() -> None:
    html = parsed(samples.drift())
    assert "</bdi></li><script>alert(1)</script>" in html.inside(finding="4")
    assert "{{ 7 * 7 }}[U+0000][U+202E][U+D800]&quot;'\"" in html.inside(finding="4")
    assert "499,880 characters" in html.inside(finding="5")
    assert len(render(samples.drift())) < 100_000


def test_a_page_without_anything_is_still_a_page() -> None:
    page = samples.consistent()
    empty = replace(page, report=replace(page.report, parts={}), past=[], successes=[])
    html = parsed(empty)
    assert html.inside(id="verdict") == "As of 1/10: nothing was checked."
    assert "svg" not in html.shape()


def test_ages_are_never_negative() -> None:
    page = samples.drift()
    early = replace(page, written_at=samples.BEGAN - timedelta(days=30))
    assert "since" in render(early)
    assert "-" not in "".join(re.findall(r"for (\S+ \S+), since", render(early)))


def test_the_plot_says_how_many_runs_it_has() -> None:
    assert "This run" in render(samples.consistent())
    assert "The last 30 runs" in render(samples.quiet_month())
