"""Logs: one JSON object a line for machines, plain lines on a terminal."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

from processor.mask import redact


class JsonFormatter(logging.Formatter):
    """Time, level, service, logger, message, and the trace of an exception; no personal values."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        """One record as one line of JSON."""
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "service": self._service,
            "logger": record.name,
            "message": redact(record.getMessage()),
        }
        if record.exc_info:
            entry["exception"] = redact(self.formatException(record.exc_info))
        return json.dumps(entry, ensure_ascii=False)


class PlainFormatter(logging.Formatter):
    """For a terminal: time of day, level and message; no personal values."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        """One record, with the trace of an exception."""
        return redact(super().format(record))


def configure(service: str, level: str) -> None:
    """Send logs to stderr; warnings and worse from libraries, everything of `level` from us."""
    handler = logging.StreamHandler(sys.stderr)
    if sys.stderr.isatty():
        handler.setFormatter(PlainFormatter())
    else:
        handler.setFormatter(JsonFormatter(service))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("processor").setLevel(level)
    # a node that does not answer: the adapter raises it, and the waiting tells it
    logging.getLogger("elastic_transport").setLevel(logging.ERROR)
