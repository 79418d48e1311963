"""Whom a notice is for is known at start, and no address is ever shown."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from io import StringIO

import pytest

from processor.errors import ConfigurationError
from processor.notify import Notice, check, notify
from processor.settings import NotifySettings, read_block
from reconciler.outputs import Outputs

pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")  # in apprise
SECRET = "s3cr3t-t0k3n"


@pytest.fixture
def logs() -> Iterator[StringIO]:
    """All that reaches the root logger; caplog listens to loggers that keep to themselves, too."""
    text = StringIO()
    handler = logging.StreamHandler(text)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield text
    root.removeHandler(handler)
    root.setLevel(level)


def settings(urls: str) -> NotifySettings:
    return NotifySettings.model_validate({"urls": urls})


@pytest.mark.parametrize(
    ("urls", "addresses"),
    [
        ("", []),
        (" , ", []),
        ("json://a/b", ["json://a/b"]),
        ("json://a  mailto://b,jsons://c, slack://d\n", ["json://a", "mailto://b", "jsons://c", "slack://d"]),
        ("mailto://host?to=a@x.org,b@x.org,json://c", ["mailto://host?to=a@x.org,b@x.org", "json://c"]),
    ],
)
def test_addresses_are_separated_by_spaces_or_commas(urls: str, addresses: list[str]) -> None:
    assert settings(urls).addresses == addresses


def test_what_is_no_address_is_refused_by_its_position_when_settings_are_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for urls, position in (
        (SECRET, 1),
        (f"json://a {SECRET}", 1),
        (f"json://a,slack://, json://{SECRET}", 2),
    ):
        monkeypatch.setenv("NOTIFY_URLS", urls)
        with pytest.raises(ConfigurationError, match=f"NOTIFY_URLS: address {position} is not") as caught:
            read_block(NotifySettings)
        assert SECRET not in str(caught.value)


def test_settings_do_not_show_addresses() -> None:
    assert SECRET not in repr(settings(f"json://user:{SECRET}@host"))


@pytest.mark.parametrize(
    ("urls", "told"),
    [
        (
            f"json://host nothing://{SECRET}",
            r"address 2 \(nothing\) cannot be used: there is no such service",
        ),
        (
            f"slack://{SECRET}",
            r"address 1 \(slack\) cannot be used: it is not written as Slack needs it, see",
        ),
        (
            f"tgram://{SECRET}/1",
            r"address 1 \(tgram\) cannot be used: it is not written as Telegram needs it",
        ),
    ],
)
def test_an_address_that_no_service_understands_is_refused_before_anything_is_sent(
    urls: str, told: str, logs: StringIO
) -> None:
    with pytest.raises(ConfigurationError, match=told) as caught:
        check(settings(urls))
    logging.getLogger("processor").warning("a line")
    assert logs.getvalue() == "a line\n"
    assert SECRET not in f"{caught.value} {caught.value.hint}"


def test_many_kinds_of_services_are_understood() -> None:
    check(
        settings(
            "json://user:pw@host:8080/path?+X-Key=value, mailtos://user:pw@mail.example.org?to=a@example.org "
            "slack://TTTTTTTTT/BBBBBBBBB/cccccccccccccccccccccccc/#ops mailto://example.org?from=a@example.org"
        )
    )


@pytest.mark.parametrize("urls", ["", " , ", f"slack://{SECRET}"])
def test_a_run_that_is_to_tell_somebody_is_refused_at_its_start_when_it_cannot(
    urls: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_URLS", urls)
    Outputs(notify=False).check()
    with pytest.raises(ConfigurationError, match="NOTIFY_URLS") as caught:
        Outputs(notify=True).check()
    assert caught.value.hint
    assert SECRET not in str(caught.value)


def test_without_an_address_nobody_is_told_and_nothing_fails() -> None:
    notify(settings(""), Notice("title", "body", failed=True))
