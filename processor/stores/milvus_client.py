"""The connection to Milvus: made at the first call, every failure told apart.

The numbers are those of the server's own list (pkg/util/merr in its source) and of pymilvus.
"""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Callable
from threading import Lock
from typing import Any, Final, TypeVar

from processor.errors import Misconfigured, StoreError, Unavailable
from processor.settings import MilvusSettings

NAME: Final = "milvus"
_HINT: Final = "aegis stack up milvus, or check MILVUS_URI"
_AWAY: Final = frozenset(
    # 2 no connection; 3, 4, 7, 8, 9 out of memory, of disk or over a quota; 5xx and 9xx a node was lost
    {2, 3, 4, 7, 8, 9, 500, 501, 503, 901, 902, 903, 904, 905}
    | {"UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED", "ABORTED", "INTERNAL", "UNKNOWN"}
)
_NOT_LOADED: Final = frozenset({101, 103})
_NO_COLLECTION: Final = 100
_NO_DATABASE: Final = 800
_FORBIDDEN: Final = frozenset({1400, 1401, 1800, "UNAUTHENTICATED", "PERMISSION_DENIED"})
_PERMANENT: Final = frozenset({6, 1001, 1100})
_OF_DISK: Final = ("no space left", "[errno ")
"""How a full or failing disk is told, under codes that stand for anything. A small write may still pass."""
T = TypeVar("T")


class Doubt(Exception):
    """The server refuses a request, maybe for what is in it: smaller requests may tell.

    Attributes:
        permanent: the fault is in the request. Otherwise it may be the server's: 65535 (and 1, on
            milvus-lite) stand for anything unexpected.
    """

    def __init__(self, message: str, *, permanent: bool) -> None:
        super().__init__(message)
        self.permanent = permanent

    def error(self) -> StoreError:
        """What it is when the request cannot be smaller. Ours do not change: a collection may have."""
        if self.permanent:
            return Misconfigured(NAME, str(self), hint="restart the processor")
        return Unavailable(NAME, str(self), hint="aegis stack logs milvus")


class _NotLoaded(Exception):
    """The collection is not in the server's memory: milvus-lite forgets that at a restart."""


@functools.cache
def library() -> Any:
    """pymilvus, imported when it is needed (1.7 s), and silent: what it logs, it raises as well."""
    os.environ.setdefault("PYTHON_DOTENV_DISABLED", "1")  # it would copy `.env` into the environment
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # else gRPC prints about handshakes
    import pymilvus

    logging.getLogger("pymilvus").setLevel(logging.CRITICAL + 1)
    return pymilvus


def connect(settings: MilvusSettings) -> Any:
    """A MilvusClient with a channel of its own.

    Raises:
        pymilvus.MilvusException: no connection came about.
    """
    tls = {"server_pem_path": str(settings.ca_file)} if settings.ca_file else {}
    return library().MilvusClient(
        settings.uri,
        user=settings.user or "",
        password=settings.password.get_secret_value(),
        token=settings.token.get_secret_value(),
        db_name=settings.database,
        timeout=settings.timeout_seconds / 2,
        dedicated=True,  # a shared one would stay open after `close`
        # no pings: milvus-lite hangs up on them, and every call has a time-out of its own
        grpc_options={"grpc.keepalive_time_ms": 2**31 - 1},
        **tls,
    )


class Connection:
    """One client for all threads. `seconds` is the time-out of a call."""

    def __init__(self, settings: MilvusSettings) -> None:
        self.seconds = settings.timeout_seconds
        self.database = settings.database
        self._settings = settings
        self._client: Any = None
        self._lock = Lock()

    def call(self, request: Callable[[Any], T], collection: str | None = None) -> T:
        """Give the client to `request`, which is about `collection`.

        Raises:
            Unavailable, Misconfigured: as for every store.
        """
        try:
            return self.ask(request, collection)
        except Doubt as doubt:
            raise doubt.error() from doubt

    def ask(self, request: Callable[[Any], T], collection: str | None = None) -> T:
        """The same, when the caller can make the request smaller.

        Raises:
            Unavailable, Misconfigured: as for every store.
            Doubt: the request may be to blame.
        """
        try:
            return self._ask(request)
        except _NotLoaded as error:
            if collection is None:
                raise Unavailable(NAME, str(error)) from error
        self.call(lambda client: client.load_collection(collection, timeout=self.seconds))
        try:
            return self._ask(request)
        except _NotLoaded as error:
            raise Unavailable(NAME, f"{error}; it is being loaded") from error

    def _ask(self, request: Callable[[Any], T]) -> T:
        errors = library().exceptions
        import grpc  # type: ignore[import-untyped]

        try:
            return request(self._connected())
        except (errors.DataNotMatchException, errors.ParamError) as error:
            raise Doubt(error.message, permanent=True) from error
        except (errors.MilvusException, grpc.RpcError) as error:
            # when no connection came about, only the cause tells a wrong password from a closed port
            cause = error.__cause__ if isinstance(error.__cause__, grpc.RpcError) else error
            if isinstance(cause, grpc.RpcError):
                raise told_apart(cause.code(), cause.details()) from error
            raise told_apart(cause.code, cause.message) from error
        except ValueError as error:
            if "closed" not in str(error):
                raise Doubt(str(error), permanent=True) from error
            # another thread replaces the channel after it broke
            raise Unavailable(NAME, f"the connection broke: {error}", hint=_HINT) from error

    def _connected(self) -> Any:
        with self._lock:
            if self._client is None:
                self._client = connect(self._settings)
            return self._client

    def close(self) -> None:
        """Close the channel."""
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None


def told_apart(code: Any, message: str | None) -> Exception:
    """What a code means: a number of the server's, or a grpc.StatusCode."""
    code = code if isinstance(code, int) else code.name
    told = f"answered {code}: {message}"
    if code in _AWAY or _is_trouble(code, told.lower()):
        return Unavailable(NAME, told, hint=_HINT)
    if code in _NOT_LOADED:
        return _NotLoaded(told)
    if code == _NO_COLLECTION:
        return Misconfigured(NAME, told, hint="restart the processor, which creates what it needs")
    if code == _NO_DATABASE:
        return Misconfigured(NAME, told, hint="create that database, or check MILVUS_DATABASE")
    if code in _FORBIDDEN:
        return Misconfigured(NAME, told, hint="check MILVUS_USER and MILVUS_PASSWORD, or MILVUS_TOKEN")
    return Doubt(told, permanent=code in _PERMANENT or code == "RESOURCE_EXHAUSTED")


def _is_trouble(code: int | str, message: str) -> bool:
    """Trouble that comes under the codes of bad requests."""
    crowded = code == "RESOURCE_EXHAUSTED" and "larger than max" not in message
    return crowded or any(part in message for part in _OF_DISK)
