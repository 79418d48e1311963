"""Where the local stack keeps its files and on which ports its servers listen."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from processor.errors import ConfigurationError
from processor.settings import Block, read_block

ROOT = Path(__file__).resolve().parents[2]
"""The checkout that this code belongs to."""

DEFAULT_PORTS = {
    "postgres": 15432,
    "kafka": 19092,
    "kafka_controller": 19093,
    "registry": 18081,
    "registry_management": 18082,
    "connect": 18083,
    "elasticsearch": 19200,
    "elasticsearch_transport": 19201,
    "neo4j": 17687,
    "redis": 16379,
    "milvus": 19530,
    "milvus_server": 19540,
}
"""Default of each setting AEGIS_<NAME>_PORT: not the servers' usual ports, and below the ephemeral ones."""


class StackSettings(Block):
    """What a user may choose, in the environment or in the checkout's `.env`."""

    model_config = SettingsConfigDict(env_prefix="AEGIS_", env_file=ROOT / ".env")

    cache_dir: Path | None = Field(default=None, description="downloaded servers, shared by all checkouts")
    stack_dir: Path | None = Field(
        default=None, description="data, logs, pid files and passwords of this stack"
    )
    stack_env_file: Path = Field(default=ROOT / ".env.stack", description="where `up` writes the endpoints")
    start_seconds: float = Field(default=180, gt=0, description="how long a server may take until it answers")
    port_offset: int = Field(default=0, ge=0, le=45_000, description="added to every default port")
    postgres_port: int | None = Field(default=None, ge=1, le=65535)
    kafka_port: int | None = Field(default=None, ge=1, le=65535)
    kafka_controller_port: int | None = Field(default=None, ge=1, le=65535)
    registry_port: int | None = Field(default=None, ge=1, le=65535)
    registry_management_port: int | None = Field(default=None, ge=1, le=65535)
    connect_port: int | None = Field(default=None, ge=1, le=65535)
    elasticsearch_port: int | None = Field(default=None, ge=1, le=65535)
    elasticsearch_transport_port: int | None = Field(default=None, ge=1, le=65535)
    neo4j_port: int | None = Field(default=None, ge=1, le=65535)
    redis_port: int | None = Field(default=None, ge=1, le=65535)
    milvus_port: int | None = Field(default=None, ge=1, le=65535)
    milvus_server_port: int | None = Field(default=None, ge=1, le=65535)


@dataclass(frozen=True)
class StackLayout:
    """Folders and ports of one stack. `ports` has the keys of DEFAULT_PORTS; seconds in `start_seconds`."""

    cache_dir: Path
    state_dir: Path
    env_file: Path
    ports: dict[str, int]
    start_seconds: float = 180

    @property
    def credentials_file(self) -> Path:
        """The stack's passwords; it is there once the stack was brought up."""
        return self.state_dir / "credentials.json"

    def data(self, service: str) -> Path:
        """Folder that holds the service's data and rendered configuration."""
        return self.state_dir / service

    def log_file(self, service: str) -> Path:
        """Everything that the service wrote to stdout and stderr."""
        return self.state_dir / "logs" / f"{service}.log"

    def pid_file(self, service: str) -> Path:
        """Holds the id of the service's process, written by that process itself."""
        return self.state_dir / "pids" / f"{service}.pid"

    def url(self, service: str, scheme: str = "http") -> str:
        """`scheme://127.0.0.1:port` of the service."""
        return f"{scheme}://127.0.0.1:{self.ports[service]}"


def load_layout(settings: StackSettings | None = None) -> StackLayout:
    """Work out folders and ports from the settings.

    Raises:
        ConfigurationError: a setting is wrong, two servers share a port, or a folder cannot be entered by
            the unprivileged user that servers run as when root starts them.
    """
    settings = settings or read_block(StackSettings)
    layout = StackLayout(
        cache_dir=(settings.cache_dir or default_cache_dir()).expanduser().resolve(),
        state_dir=(settings.stack_dir or default_state_dir()).expanduser().resolve(),
        env_file=settings.stack_env_file.expanduser().absolute(),
        ports=_ports(settings),
        start_seconds=settings.start_seconds,
    )
    if os.geteuid() == 0:
        for folder, setting in ((layout.cache_dir, "AEGIS_CACHE_DIR"), (layout.state_dir, "AEGIS_STACK_DIR")):
            _require_traversable(folder, setting)
    return layout


def default_cache_dir() -> Path:
    """XDG cache folder; as root a folder that other users can enter, because servers run as `nobody`."""
    if os.geteuid() == 0:
        return Path("/var/cache/aegis")
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "aegis"


def default_state_dir(root: Path = ROOT) -> Path:
    """`.stack` in the checkout; as root a folder of its own per checkout that other users can enter."""
    if os.geteuid() != 0:
        return root / ".stack"
    digest = hashlib.sha256(str(root).encode()).hexdigest()[:8]
    return Path("/var/lib/aegis") / f"{root.name}-{digest}"


def _ports(settings: StackSettings) -> dict[str, int]:
    ports: dict[str, int] = {}
    for name, default in DEFAULT_PORTS.items():
        chosen = getattr(settings, f"{name}_port")
        ports[name] = chosen if chosen is not None else default + settings.port_offset
    for name, port in ports.items():
        twin = next((other for other, its in ports.items() if its == port and other != name), None)
        if twin:
            raise ConfigurationError(
                f"AEGIS_{name.upper()}_PORT and AEGIS_{twin.upper()}_PORT are both {port}",
                hint="choose different ports in the environment or in .env",
            )
    return ports


def _require_traversable(folder: Path, setting: str) -> None:
    for part in (folder, *folder.parents):
        if part.exists() and not part.stat().st_mode & 0o001:
            raise ConfigurationError(
                f"{setting}={folder}: PostgreSQL and Elasticsearch refuse root and run as `nobody`, "
                f"who cannot enter {part}",
                hint=f"unset {setting}, choose a folder that everybody can enter, or do not run as root",
            )
