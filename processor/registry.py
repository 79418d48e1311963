"""Writer's schemas by id, from the registry's Confluent-compatible API."""

from __future__ import annotations

import json
import time
from typing import Any

import httpx
from fastavro import parse_schema

from processor.errors import DecodeError, SourceError
from processor.settings import RegistrySettings

_HINT = "aegis stack up registry, or check SCHEMA_REGISTRY_URL"


class UnknownSchema(DecodeError):
    """The registry does not know a schema id, also after waiting for a lagging replica."""


class SchemaRegistry:
    """Schemas by id, each fetched once: an id never changes its schema."""

    def __init__(self, settings: RegistrySettings) -> None:
        self._patience = settings.unknown_id_seconds
        self._http = httpx.Client(base_url=settings.url.rstrip("/") + "/", timeout=5)
        self._schemas: dict[int, Any] = {}
        self._missing: dict[int, float] = {}

    def schema(self, schema_id: int) -> Any:
        """The parsed schema of `schema_id`.

        Raises:
            UnknownSchema: the id has been unknown for the configured time.
            SourceError: the registry does not answer, or does not know the id *yet* (a replica may lag); the
                message is not at fault, try again.
        """
        if schema_id not in self._schemas:
            self._schemas[schema_id] = self._fetch(schema_id)
        return self._schemas[schema_id]

    def _fetch(self, schema_id: int) -> Any:
        try:
            response = self._http.get(f"schemas/ids/{schema_id}")
        except httpx.HTTPError as error:
            raise SourceError(f"schema registry does not answer: {error}", hint=_HINT) from error
        if response.status_code == 404:
            raise self._unknown(schema_id)
        try:
            response.raise_for_status()
            text = response.json()["schema"]
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            raise SourceError(f"schema registry answers what is no schema: {error}", hint=_HINT) from error
        try:
            return parse_schema(json.loads(text))
        except Exception as error:  # fastavro raises whatever it meets in what is not Avro
            raise DecodeError(f"schema {schema_id} is not an Avro schema: {error}") from error

    def _unknown(self, schema_id: int) -> SourceError | UnknownSchema:
        since = self._missing.setdefault(schema_id, time.monotonic())
        if time.monotonic() - since < self._patience:
            return SourceError(f"schema id {schema_id} is not known to the registry yet", hint=_HINT)
        return UnknownSchema(f"schema id {schema_id} is not known to the registry", hint=_HINT)

    def close(self) -> None:
        """Close the connection."""
        self._http.close()
