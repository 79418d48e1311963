"""Notices arrive at real servers, word by word; servers that refuse, hang, come back."""

from __future__ import annotations

import json
import logging
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from threading import Event, Thread
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from processor.errors import NotNotified
from processor.notify import Notice, notify
from processor.settings import NotifySettings
from tests.integration.scratch_server import free_port

pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")  # in apprise

NOTICE = Notice("Aegis: the stores differ", "정책 <1> & 2: missing\nnext: aegis trace", failed=True)
SECRET = "s3cr3t-t0k3n"
GONE = 0
"""Instead of a status: the connection is closed without an answer."""


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("processor.notify.WAIT_SECONDS", 0.0)
    monkeypatch.setattr("apprise.plugins.email.NotifyEmail.request_rate_per_sec", 0)


def settings(*urls: str, timeout_seconds: float = 30) -> NotifySettings:
    return NotifySettings.model_validate({"urls": " ".join(urls), "timeout_seconds": timeout_seconds})


class Webhook(ThreadingHTTPServer):
    """Takes what is posted; answers with `statuses`, the last one for ever."""

    daemon_threads = True

    def __init__(self, port: int, *statuses: int) -> None:
        super().__init__(("127.0.0.1", port), Post)
        self.statuses = list(statuses)
        self.posts: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []


class Post(BaseHTTPRequestHandler):
    server: Webhook

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        statuses = self.server.statuses
        status = statuses.pop(0) if len(statuses) > 1 else statuses[0]
        if status == GONE:
            self.close_connection = True
            return
        if status < 300:
            self.server.posts.append({"path": self.path, **json.loads(body)})
            self.server.headers.append(dict(self.headers))
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def webhook(*statuses: int, port: int = 0) -> Iterator[Webhook]:
    with Webhook(port, *statuses) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


class Mailbox:
    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.recipients: list[str] = []

    async def handle_DATA(self, server: object, session: object, envelope: Any) -> str:  # noqa: N802  aiosmtpd's name
        self.mails.append(message_from_bytes(envelope.content, policy=policy.default))
        self.recipients += envelope.rcpt_tos
        return "250 taken"


class Refusing(Mailbox):
    async def handle_RCPT(  # noqa: N802  aiosmtpd's name
        self, server: object, session: object, envelope: Any, address: str, options: object
    ) -> str:
        if SECRET in address:
            return f"550 no mail for {address}"
        envelope.rcpt_tos.append(address)
        return "250 known"


@contextmanager
def smtp(mailbox: Mailbox) -> Iterator[int]:
    controller = Controller(mailbox, hostname="127.0.0.1", port=free_port())
    controller.start()
    try:
        yield controller.port
    finally:
        controller.stop()


@pytest.fixture
def logs() -> Iterator[StringIO]:
    text = StringIO()
    handler = logging.StreamHandler(text)
    logging.getLogger().addHandler(handler)
    yield text
    logging.getLogger().removeHandler(handler)


def test_a_webhook_gets_the_notice_once_as_json() -> None:
    with webhook(200) as server:
        notify(settings(f"json://u:{SECRET}@127.0.0.1:{server.server_port}/hooks/7?+X-Key=k"), NOTICE)
        (post,) = server.posts
        assert (post["path"], post["type"]) == ("/hooks/7", "failure")
        assert (post["title"], post["message"]) == (NOTICE.title, NOTICE.body)
        assert server.headers[0]["User-Agent"] == "Aegis"
        assert server.headers[0]["X-Key"] == "k"
        assert server.headers[0]["Authorization"].startswith("Basic ")


def test_what_needs_nobody_is_told_as_a_success() -> None:
    with webhook(200) as server:
        notify(settings(f"json://127.0.0.1:{server.server_port}"), Notice("t", "b", failed=False))
        assert server.posts[0]["type"] == "success"


@pytest.mark.parametrize("form", ["text", "html"])
def test_a_mail_has_the_notice_in_either_form(form: str) -> None:
    mailbox = Mailbox()
    with smtp(mailbox) as port:
        url = f"mailto://127.0.0.1:{port}?from=aegis@example.org&to=ops@example.org,boss@example.org"
        notify(settings(f"{url}&format={form}"), NOTICE)
    assert sorted(mailbox.recipients) == ["boss@example.org", "ops@example.org"]
    for mail in mailbox.mails:
        assert mail["Subject"] == NOTICE.title
        assert "aegis@example.org" in mail["From"]
        body = mail.get_body((form.replace("text", "plain"),))
        assert body is not None
        expected = NOTICE.body if form == "text" else "정책&nbsp;&lt;1&gt;&nbsp;&amp;&nbsp;2:"
        assert expected in body.get_content().replace("\r\n", "\n")


def test_a_server_that_fails_at_first_has_the_notice_once_it_is_better() -> None:
    with webhook(GONE, 503, 200) as server:
        notify(settings(f"json://127.0.0.1:{server.server_port}"), NOTICE)
        assert [post["title"] for post in server.posts] == [NOTICE.title]


def test_only_recipients_that_did_not_take_a_mail_are_tried_again(logs: StringIO) -> None:
    mailbox = Refusing()
    with smtp(mailbox) as port:
        url = f"mailto://127.0.0.1:{port}?from=a@example.org&to=b@example.org,{SECRET}@example.org"
        with pytest.raises(NotNotified) as caught:
            notify(settings(url), NOTICE)
    assert mailbox.recipients == ["b@example.org"]
    assert SECRET not in str(caught.value) + logs.getvalue()


def test_who_did_not_take_it_is_named_without_secrets_and_the_others_have_it_once(logs: StringIO) -> None:
    away, mailbox = free_port(), Refusing()  # of mails to the secret
    with webhook(200) as good, webhook(401) as bad, smtp(mailbox) as port:
        urls = (
            f"json://127.0.0.1:{good.server_port}/first",
            f"json://u:{SECRET}@127.0.0.1:{bad.server_port}/{SECRET}",
            f"mailto://127.0.0.1:{port}?from=a@example.org&to={SECRET}@example.org",
            f"json://u:{SECRET}@127.0.0.1:{away}/{SECRET}",
            f"json://127.0.0.1:{good.server_port}/last",
        )
        with pytest.raises(NotNotified) as caught:
            notify(settings(*urls), NOTICE)
        assert [post["path"] for post in good.posts] == ["/first", "/last"]
    assert str(caught.value) == (
        "'Aegis: the stores differ' was not delivered to address 2 (json): answered with status 401; "
        "address 3 (mailto): not reachable, or it refused the notice; "
        "address 4 (json): not reachable, or it refused the notice"
    )
    assert caught.value.hint is not None
    assert SECRET not in caught.value.hint
    assert logs.getvalue() == ""
    assert mailbox.mails == []


@contextmanager
def hanging(beginning: bytes) -> Iterator[tuple[int, list[socket.socket]]]:
    """Takes connections and never answers; or begins to, and goes on byte by byte for ever."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        connections: list[socket.socket] = []
        end = Event()

        def talk(connection: socket.socket) -> None:
            connection.sendall(beginning)
            while not end.wait(0.02):
                try:
                    connection.sendall(b"x")
                except OSError:
                    return

        def take() -> None:
            while not end.is_set():
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                connections.append(connection)
                if beginning:
                    Thread(target=talk, args=(connection,), daemon=True).start()

        taker = Thread(target=take)
        taker.start()
        try:
            yield listener.getsockname()[1], connections
        finally:
            end.set()
            listener.shutdown(socket.SHUT_RDWR)
            taker.join()
            for connection in connections:
                connection.close()


@pytest.mark.parametrize(
    ("scheme", "beginning"),
    [("json", b""), ("json", b"HTTP/1.1 200 OK\r\nX: "), ("mailto", b""), ("mailto", b"220-")],
)
def test_a_server_that_never_comes_to_an_end_is_given_up(scheme: str, beginning: bytes) -> None:
    with hanging(beginning) as (port, connections):
        url = f"{scheme}://127.0.0.1:{port}?from=a@example.org&to=b@example.org"
        told = re.escape(f"address 1 ({scheme}): no answer within 0.5 s")
        with pytest.raises(NotNotified, match=told):
            notify(settings(url, timeout_seconds=0.5), NOTICE)
        assert connections
