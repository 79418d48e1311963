"""Settings of readers; where the servers are, the processor's blocks say."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from processor.settings import Block

HOUR = 3_600


class CacheSettings(Block):
    """Readers of the cache."""

    model_config = SettingsConfigDict(env_prefix="CACHE_")

    process_seconds: int = Field(300, ge=1, le=300, description="an entry's life inside the process")
    process_entries: int = Field(10_000, ge=1, description="entries inside the process at the most")
    quality_seconds: int = Field(300, ge=1, le=HOUR, description="a quality score's life in Redis")
    timeout_seconds: float = Field(0.5, gt=0, le=10, description="of one request to Redis")
    pause_seconds: float = Field(5, ge=0, description="how long Redis is left alone after a failure")
    postgres_connections: int = Field(5, ge=1, description="per process")
    postgres_seconds: int = Field(
        5, ge=1, le=30, description="of one statement, and of waiting for a connection"
    )
