"""What services that read the stores import: rows from the cache, or from PostgreSQL where it lacks them."""

from reader.client import CacheClient
from reader.settings import CacheSettings

__all__ = ["CacheClient", "CacheSettings"]
