"""The page as a browser shows it: numbers, widths, colours, and that it asks nobody for anything.

Playwright is not among the pinned packages of `make setup`: it is imported where the browser starts.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from reconciler.counts import Kind
from reconciler.page import Page, render
from reconciler.plot import HEIGHT, numbers
from tests.unit import report_samples as samples

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")
PAGES: dict[str, Callable[[], Page]] = {
    "drift": samples.drift,
    "consistent": samples.consistent,
    "quiet_month": samples.quiet_month,
    "repaired": lambda: samples.with_counts(stale=2, repaired=2),
}
SIZES = {"phone": {"width": 390, "height": 844}, "desktop": {"width": 1280, "height": 900}}
SCHEMES = ("light", "dark")
CONTRAST = """() => {
  const channel = value => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  const parse = text => text.match(/[\\d.]+/g).map(Number);
  const light = color => color.slice(0, 3).map(value => channel(value / 255))
    .reduce((sum, value, n) => sum + value * [0.2126, 0.7152, 0.0722][n], 0);
  const behind = element => {
    for (let at = element; at; at = at.parentElement) {
      const color = parse(getComputedStyle(at).backgroundColor);
      if (color.length === 3 || color[3] === 1) return color;
    }
    throw new Error("nothing opaque behind " + element.outerHTML.slice(0, 80));
  };
  const seen = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || element.tagName === "title") continue;
    if (!element.getClientRects().length) continue;
    const style = getComputedStyle(element);
    const ink = light(parse(element.closest("svg") ? style.fill : style.color));
    const paper = light(behind(element));
    const ratio = (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
    seen.push([ratio, texts.currentNode.data.trim().slice(0, 40)]);
  }
  return seen;
}"""


class Shown:
    """A page in a browser that has no network; `asked`: what it requested; `told`: what went wrong in it."""

    def __init__(self, tab: Any) -> None:
        self.tab = tab
        self.asked: list[str] = []
        self.told: list[str] = []
        tab.on("request", lambda request: self.asked.append(request.url))
        tab.on("console", lambda message: self.told.append(message.text))
        tab.on("pageerror", lambda error: self.told.append(str(error)))

    def text(self, selector: str) -> str:
        return " ".join(self.tab.locator(selector).inner_text().split())

    def number(self, table: str, store: str, name: str) -> int:
        cell = f'[data-table="{table}"][data-store="{store}"] [data-number="{name}"]'
        return int(self.tab.locator(cell).inner_text().replace(",", ""))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        pytest.fail(f"none of {', '.join(BROWSERS)} is here. Next: apt-get install chromium fonts-noto-cjk")
    try:
        playwright = import_module("playwright.sync_api")
    except ModuleNotFoundError:
        pytest.fail("playwright is not installed. Next: make test-browser")
    with playwright.sync_playwright() as running:
        started = running.chromium.launch(executable_path=executable, args=list(FLAGS))
        yield started
        started.close()


@pytest.fixture(params=PAGES)
def page(request: pytest.FixtureRequest) -> Page:
    return PAGES[request.param]()


@pytest.fixture(scope="module")
def tab(browser: Any) -> Iterator[Any]:
    """One for all tests: a new one takes a second."""
    context = browser.new_context(offline=True)
    yield context.new_page()
    context.close()


@pytest.fixture
def show(tab: Any, tmp_path: Path) -> Iterator[Callable[..., Shown]]:
    """Opens a page; at the end it must have asked nobody, and nothing must have failed in it."""
    shown, file = Shown(tab), tmp_path / "report.html"

    def opened(page: Page, size: str = "desktop", scheme: str = "light") -> Shown:
        file.write_text(render(page), "utf-8")
        tab.set_viewport_size(SIZES[size])
        tab.emulate_media(color_scheme=scheme, media="screen")
        tab.goto(file.as_uri())
        return shown

    yield opened
    tab.goto("about:blank")
    assert set(shown.asked) == {file.as_uri()}
    assert shown.told == []


@pytest.mark.parametrize("size", SIZES)
def test_a_reader_finds_every_number_of_the_report(show: Callable[..., Shown], page: Page, size: str) -> None:
    shown = show(page, size)
    names = (*(kind.value for kind in Kind), "scanned_source", "scanned_store", "ok", "repaired", "absent")
    read = {
        (table, store, name): shown.number(table, store, name)
        for table, stores in page.report.parts.items()
        for store in stores
        for name in (*names, "deep_checked")
    }
    assert read == {
        (table, store, name): getattr(page.report.parts[table][store].counts, name)
        for table, store, name in read
    }


@pytest.mark.parametrize(
    ("name", "word"), [("drift", "Stopped"), ("consistent", "Consistent"), ("repaired", "Repaired")]
)
def test_the_verdict_is_the_first_thing_to_be_seen(show: Callable[..., Shown], name: str, word: str) -> None:
    shown = show(PAGES[name](), "phone")
    assert shown.text("#outcome").endswith(word)
    box = shown.tab.locator("#verdict").bounding_box()
    assert box["y"] + box["height"] < SIZES["phone"]["height"] / 2


@pytest.mark.parametrize("size", SIZES)
def test_nothing_is_wider_than_the_window(show: Callable[..., Shown], page: Page, size: str) -> None:
    shown = show(page, size)
    shown.tab.locator("summary").evaluate_all("all => all.forEach(one => one.parentElement.open = true)")
    wide = shown.tab.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert wide == [SIZES[size]["width"]] * 2
    outside = "all => all.filter(one => one.scrollWidth > one.clientWidth).map(one => one.outerHTML)"
    assert shown.tab.locator("dd, li, p, td, .head").evaluate_all(outside) == []


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_text_stands_out_from_what_is_behind_it(
    show: Callable[..., Shown], page: Page, size: str, scheme: str
) -> None:
    seen = show(page, size, scheme).tab.evaluate(CONTRAST)
    assert len(seen) > 50
    assert [text for ratio, text in seen if ratio < 4.5] == []


def test_light_and_dark_are_two_schemes(show: Callable[..., Shown]) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    found = [show(samples.consistent(), scheme=scheme).tab.evaluate(paper) for scheme in SCHEMES]
    assert found == ["rgb(255, 255, 255)", "rgb(15, 19, 24)"]


@pytest.mark.parametrize("size", SIZES)
def test_bars_are_as_high_as_their_numbers(show: Callable[..., Shown], size: str) -> None:
    page = samples.drift()
    bars = show(page, size).tab.locator("rect[data-number]")
    drawn = bars.evaluate_all(
        "all => all.map(one => [one.parentNode.dataset.run, one.dataset.number, +one.dataset.value,"
        " one.getBoundingClientRect().height, one.getBoundingClientRect().width])"
    )
    expected = [
        (run.run_id, number, value) for run in page.past for number, value in numbers(run).items() if value
    ]
    assert [(run, number, value) for run, number, value, _, _ in drawn] == expected
    top = 200
    assert max(sum(numbers(run).values()) for run in page.past) <= top
    for _, _, value, height, width in drawn:
        assert height == pytest.approx(max(HEIGHT * value / top, 1), abs=0.05)
        assert width > 4


def test_hostile_text_is_text(show: Callable[..., Shown]) -> None:
    shown = show(samples.drift())
    assert "</bdi></li><script>alert(1)</script><img src=http" in shown.text('[data-finding="4"] .key')
    assert shown.tab.evaluate("[document.images.length, document.scripts.length]") == [0, 0]
    # the mark that would turn what follows is spelled, so the age is still right of the key
    key, age = (
        shown.tab.locator(f'[data-finding="7"] {part}').bounding_box() for part in (".key", ".nowrap")
    )
    assert key["x"] < age["x"]


def test_a_printed_page_holds_the_runs_as_a_table(show: Callable[..., Shown]) -> None:
    shown = show(samples.drift())
    shown.tab.emulate_media(media="print")
    rows = shown.tab.locator("[data-past]")
    assert rows.count() == 30
    assert rows.first.is_visible()
