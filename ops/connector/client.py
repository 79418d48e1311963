"""Kafka Connect's REST API, as far as we use it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_fixed

from ops.connector.cures import find_cure
from processor.errors import SourceError
from processor.settings import ConnectSettings

REBALANCE_SECONDS: Final = 30.0
"""How long workers may take to share their tasks anew."""

ANSWER_SECONDS: Final = 3.0
"""How long to try a server that does not answer: bridges a broken connection, not a wrong address."""


PAUSE_SECONDS: Final = 0.5
"""Between two tries."""


class Rebalancing(SourceError):
    """Connect answers 409 while its workers share the tasks anew: it will answer soon."""


class Unreachable(SourceError):
    """Connect does not answer at all."""


def _impatient(state: RetryCallState) -> bool:
    error = state.outcome.exception() if state.outcome else None
    limit = REBALANCE_SECONDS if isinstance(error, Rebalancing) else ANSWER_SECONDS
    return (state.seconds_since_start or 0) >= limit


@dataclass(frozen=True)
class Status:
    """State of a connector and its tasks (RUNNING, PAUSED, FAILED ...), and the trace of a failure."""

    connector: str
    tasks: tuple[str, ...]
    trace: str

    @property
    def running(self) -> bool:
        """Connector and at least one task run, and none does anything else."""
        return self.connector == "RUNNING" and set(self.tasks) == {"RUNNING"}

    @property
    def failed(self) -> bool:
        """Something stopped by itself."""
        return "FAILED" in (self.connector, *self.tasks)


class Connect:
    """One Connect cluster. All methods raise SourceError when it does not answer or refuses.

    All requests can be repeated without harm, so they are, for a moment, after a broken connection.
    """

    def __init__(self, settings: ConnectSettings) -> None:
        self._url = settings.url
        self._http = httpx.Client(base_url=settings.url.rstrip("/"), timeout=30)

    def put_config(self, name: str, config: dict[str, str]) -> None:
        """Create or change a connector."""
        self._call("PUT", f"/connectors/{name}/config", json=config)

    def config(self, name: str) -> dict[str, str] | None:
        """A connector's configuration, or None when there is no such connector."""
        answer = self._call("GET", f"/connectors/{name}/config", missing_ok=True)
        return None if answer is None else dict(answer)

    def status(self, name: str) -> Status | None:
        """A connector's state, or None when there is no such connector (yet)."""
        answer = self._call("GET", f"/connectors/{name}/status", missing_ok=True)
        if answer is None:
            return None
        tasks = answer["tasks"]
        traces = [part["trace"] for part in (answer["connector"], *tasks) if part.get("trace")]
        return Status(answer["connector"]["state"], tuple(task["state"] for task in tasks), "\n".join(traces))

    def pause(self, name: str) -> None:
        """Stop reading, keep the task."""
        self._call("PUT", f"/connectors/{name}/pause")

    def resume(self, name: str) -> None:
        """Go on after a pause or a stop."""
        self._call("PUT", f"/connectors/{name}/resume")

    def stop(self, name: str) -> None:
        """Stop and free the task; its state is forgotten, its offsets can be deleted."""
        self._call("PUT", f"/connectors/{name}/stop")

    def delete_offsets(self, name: str) -> None:
        """Forget how far a stopped connector has come: it will take a new snapshot."""
        self._call("DELETE", f"/connectors/{name}/offsets")

    def delete(self, name: str) -> None:
        """Remove a connector; its offsets stay."""
        self._call("DELETE", f"/connectors/{name}", missing_ok=True)

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def _call(self, method: str, path: str, missing_ok: bool = False, **kwargs: Any) -> Any:
        patiently = Retrying(
            retry=retry_if_exception_type((Rebalancing, Unreachable)),
            wait=wait_fixed(PAUSE_SECONDS),
            stop=_impatient,
            reraise=True,
        )
        return patiently(self._once, method, path, missing_ok, **kwargs)

    def _once(self, method: str, path: str, missing_ok: bool, **kwargs: Any) -> Any:
        try:
            response = self._http.request(method, path, **kwargs)
        except httpx.HTTPError as error:
            raise Unreachable(
                f"kafka connect at {self._url} does not answer: {error}",
                hint="aegis stack up connect, or check CONNECT_URL",
            ) from error
        if response.status_code == 404 and missing_ok:
            return None
        if response.status_code == 409:
            raise Rebalancing(f"kafka connect is rebalancing: {response.text}", hint="try again in a minute")
        if response.is_error:
            raise _refusal(method, path, response)
        return response.json() if response.content else {}


def _refusal(method: str, path: str, response: httpx.Response) -> SourceError:
    reason = _reason(response)
    cure = find_cure(reason)
    other = "aegis connector apply" if response.status_code == 404 else "aegis stack logs connect"
    return SourceError(
        f"kafka connect answered {response.status_code} to {method} {path}: {reason}",
        hint=cure.next if cure else other,
    )


def _reason(response: httpx.Response) -> str:
    try:
        message = str(response.json()["message"])
    except (ValueError, KeyError, TypeError):
        return response.text
    return message.partition("\nYou can also find the above list of errors")[0]
