"""Serves /metrics (Prometheus), /health (alive) and /health/ready (can do its work)."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from dataclasses import asdict
from socketserver import ThreadingMixIn
from threading import Thread
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import make_wsgi_app

from processor import metrics

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

    from processor.settings import Settings

log = logging.getLogger(__name__)


class Server:
    """Answers in threads of its own until it is closed; does nothing where it may not listen."""

    def __init__(self, settings: Settings) -> None:
        """Listen; a port that is taken is a warning: several processors run on one machine."""
        self._identity = identity(settings)
        self._metrics = make_wsgi_app()
        self._server: WSGIServer | None = None
        host, port = settings.metrics.host, settings.metrics.port
        if not port:
            return
        try:
            self._server = make_server(host, port, self._answer, _Threading, _Silent)
        except OSError as error:
            log.warning("no metrics: METRICS_HOST=%s METRICS_PORT=%d: %s", host, port, error)
            return
        Thread(target=self._server.serve_forever, name="metrics", daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def _answer(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO")
        if path == "/metrics":
            return list(self._metrics(environ, start))
        if path == "/health":
            return _json(start, "200 OK", {"status": "alive"})
        if path == "/health/ready":
            ready = self._ready()
            return _json(start, "200 OK" if ready["ready"] else "503 Service Unavailable", ready)
        return _json(start, "404 Not Found", {"paths": ["/metrics", "/health", "/health/ready"]})

    def _ready(self) -> dict[str, Any]:
        waits, has_place = metrics.away(), metrics.has_place()
        return {
            **self._identity,
            "ready": has_place and not waits,
            "in_group": has_place,
            "waits_for": {name: asdict(found) for name, found in waits.items()},
        }


def identity(settings: Settings) -> dict[str, str]:
    """Whose health is told: by this a reader knows a processor of its own stack."""
    return {"group": settings.kafka.group_id, "kafka": settings.kafka.bootstrap_servers}


def _json(start: StartResponse, status: str, value: object) -> list[bytes]:
    start(status, [("Content-Type", "application/json; charset=utf-8")])
    return [json.dumps(value, ensure_ascii=False).encode()]


class _Threading(ThreadingMixIn, WSGIServer):
    """A reader that is slow keeps nobody else waiting, nor the end of the process."""

    daemon_threads = True


class _Silent(WSGIRequestHandler):
    """Requests are no news."""

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""
