"""Writer's schemas by id, from the registry's Confluent-compatible API."""

from __future__ import annotations

import json
from typing import Any

import httpx
from fastavro import parse_schema
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from processor.errors import DecodeError, SourceError
from processor.settings import RegistrySettings


class UnknownSchema(DecodeError):
    """The registry does not know a schema id, also after waiting for a lagging replica."""


class SchemaRegistry:
    """Schemas by id, each fetched once: an id never changes its schema."""

    def __init__(self, settings: RegistrySettings) -> None:
        self._patience = settings.unknown_id_seconds
        self._http = httpx.Client(base_url=settings.url.rstrip("/") + "/", timeout=5)
        self._schemas: dict[int, Any] = {}

    def schema(self, schema_id: int) -> Any:
        """The parsed schema of `schema_id`.

        Raises:
            UnknownSchema: no such id within the configured time.
            SourceError: the registry does not answer; the message is not at fault, try again.
        """
        if schema_id not in self._schemas:
            self._schemas[schema_id] = self._fetch_patiently(schema_id)
        return self._schemas[schema_id]

    def _fetch_patiently(self, schema_id: int) -> Any:
        for attempt in Retrying(
            retry=retry_if_exception_type(UnknownSchema),
            stop=stop_after_delay(self._patience),
            wait=wait_random_exponential(0.1, max=5),
            reraise=True,
        ):
            with attempt:
                return self._fetch(schema_id)
        raise AssertionError("unreachable")

    def _fetch(self, schema_id: int) -> Any:
        hint = "aegis stack up registry, or check SCHEMA_REGISTRY_URL"
        try:
            response = self._http.get(f"schemas/ids/{schema_id}")
        except httpx.HTTPError as error:
            raise SourceError(f"schema registry does not answer: {error}", hint=hint) from error
        if response.status_code == 404:
            raise UnknownSchema(f"schema id {schema_id} is not known to the registry", hint=hint)
        if response.status_code != 200:
            raise SourceError(f"schema registry answered {response.status_code}: {response.text}", hint=hint)
        return parse_schema(json.loads(response.json()["schema"]))

    def close(self) -> None:
        """Close the connection."""
        self._http.close()
