"""Tell people and programs: one notice to every address of NOTIFY_URLS.

apprise knows the services (mail, webhooks, Slack and a hundred more), and tries again only those recipients
that did not take a message. It logs what it does, now and then with parts of an address, and addresses hold
passwords: its records end here, and no error shows more of an address than its position and scheme.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Final

from processor.errors import ConfigurationError, NotNotified
from processor.settings import NotifySettings

if TYPE_CHECKING:
    from apprise import Apprise

TRIES: Final = 3
WAIT_SECONDS: Final = 2.0
"""Between two tries: for a server that is just being restarted. A longer outage is for whoever watches the
schedule."""
STATUS: Final = re.compile(r"\berror=(\d{3})\b")
"""The one part of apprise's messages that is passed on: the status of an HTTP answer."""


@dataclass(frozen=True, slots=True)
class Notice:
    """What to tell. `failed`: somebody has to act; services show it by colour or priority."""

    title: str
    body: str
    failed: bool


@dataclass(frozen=True, slots=True)
class _Address:
    name: str
    client: Apprise


def check(settings: NotifySettings) -> None:
    """Read all addresses, without sending anything: before hours of work, not after them.

    Raises:
        ConfigurationError: an address cannot be understood; the message has its position and the reason.
    """
    _addresses(settings)


def notify(settings: NotifySettings, notice: Notice) -> None:
    """Send a notice to each address, one after the other; to nobody when there is none.

    Each is tried three times, for `settings.timeout_seconds` in all. A service that took it without saying
    so has it more than once.

    Raises:
        ConfigurationError: an address cannot be understood; nothing was sent.
        NotNotified: some addresses did not take it; the others have it.
    """
    failures = [
        f"{address.name}: {reason}"
        for address in _addresses(settings)
        if (reason := _deliver(address.client, notice, settings.timeout_seconds))
    ]
    if failures:
        raise NotNotified(
            f"{notice.title!r} was not delivered to {'; '.join(failures)}",
            hint="correct NOTIFY_URLS or the service, then try it: aegis notify",
        )


def _addresses(settings: NotifySettings) -> list[_Address]:
    urls = settings.addresses
    if not urls:
        return []
    logging.getLogger("apprise").propagate = False  # "An invalid Slack Token (...) was specified"
    from apprise import Apprise, AppriseAsset

    asset = AppriseAsset(
        app_id="Aegis",
        app_desc="Aegis",
        language="en",
        default_service_retry=TRIES - 1,
        default_service_wait=WAIT_SECONDS,
        service_timeout=0,  # its own would leave a thread behind that the end of the process waits for
    )
    addresses = []
    for position, url in enumerate(urls, 1):
        address = _Address(f"address {position} ({_scheme(url)})", Apprise(asset=asset))
        if not address.client.add(url):
            raise ConfigurationError(
                f"NOTIFY_URLS: {address.name} cannot be used: {_why_not(_scheme(url))}",
                hint="correct it in the environment or in .env, then try it: aegis notify",
            )
        addresses.append(address)
    return addresses


def _scheme(url: str) -> str:
    return url.partition(":")[0].lower()


def _why_not(scheme: str) -> str:
    from apprise import Apprise

    for service in Apprise().details()["schemas"]:
        if scheme in {*(service["protocols"] or ()), *(service["secure_protocols"] or ())}:
            return f"it is not written as {service['service_name']} needs it, see {service['setup_url']}"
    return "there is no such service"


def _deliver(client: Apprise, notice: Notice, seconds: float) -> str | None:
    """Why it was not delivered; None when it was.

    The time-outs of sockets do not bound it: they start anew with each byte that arrives.
    """
    answers: SimpleQueue[str | None] = SimpleQueue()
    Thread(target=lambda: answers.put(_send(client, notice)), daemon=True, name="notify").start()
    try:
        return answers.get(timeout=seconds)
    except Empty:
        return f"no answer within {seconds:g} s"


def _send(client: Apprise, notice: Notice) -> str | None:
    from apprise import NotifyFormat, NotifyType

    result = client.notify(
        title=notice.title,
        body=notice.body,
        notify_type=NotifyType.FAILURE if notice.failed else NotifyType.SUCCESS,
        body_format=NotifyFormat.TEXT,
    )
    if result:
        return None
    statuses = [found[1] for entry in result.logs() if (found := STATUS.search(entry.message))]
    return f"answered with status {statuses[-1]}" if statuses else "not reachable, or it refused the notice"
