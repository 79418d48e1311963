"""A connector's definition: the JSON file with its placeholders filled in. Pure but for reading the file."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Final

from processor.errors import ConfigurationError
from processor.settings import Settings
from sql.capture import CDC_TABLES, SLOT, captured_tables, full_name, private_columns

FOLDER: Final = Path(__file__).parents[2] / "connectors"
DEFAULT_BUFFER_BYTES: Final = 32 * 1024 * 1024
"""Kafka's default `buffer.memory`: a producer refuses a record larger than this, whatever its topic takes."""


def placeholders(settings: Settings) -> dict[str, str]:
    """The values that a definition may name."""
    postgres, kafka, connect = settings.postgres, settings.kafka, settings.connect
    return {
        "POSTGRES_HOST": connect.postgres_host or postgres.host,
        "POSTGRES_PORT": str(connect.postgres_port or postgres.port),
        "POSTGRES_DB": postgres.db,
        "DEBEZIUM_USER": postgres.debezium_user,
        "KAFKA_BOOTSTRAP_SERVERS": connect.kafka_bootstrap_servers or kafka.bootstrap_servers,
        "TOPIC_PREFIX": kafka.topic_prefix,
        "SLOT": SLOT,
        "MAX_MESSAGE_BYTES": str(kafka.max_message_bytes),
        "BUFFER_BYTES": str(max(DEFAULT_BUFFER_BYTES, 2 * kafka.max_message_bytes)),
        "PARTITIONS": str(kafka.partitions),
        "REPLICATION_FACTOR": str(kafka.replication_factor),
        "ROW_TOPICS": ",".join(re.escape(f"{kafka.topic_prefix}.{full_name(t)}") for t in captured_tables()),
        "CAPTURED_TABLES": ",".join([*map(full_name, captured_tables()), *CDC_TABLES]),
        "PRIVATE_COLUMNS": ",".join(map(re.escape, private_columns())),
    }


def render(text: str, values: Mapping[str, str]) -> dict[str, str]:
    """Fill the placeholders of a definition; `$$` stands for one `$`, as in Connect's own `${env:NAME}`.

    Raises:
        ConfigurationError: a placeholder without a value, or text that is not a JSON object of texts.
    """
    try:
        template = json.loads(text)
        return {key: Template(value).substitute(values) for key, value in template.items()}
    except KeyError as error:
        raise ConfigurationError(
            f"the connector's definition names ${{{error.args[0]}}}, which has no value"
        ) from error
    except (ValueError, AttributeError, TypeError) as error:
        raise ConfigurationError(
            f"the connector's definition is not a JSON object of texts: {error}"
        ) from error


def load(name: str, values: Mapping[str, str]) -> dict[str, str]:
    """The configuration of the connector `name`, as Connect takes it."""
    return render((FOLDER / f"{name}.json").read_text(), values)
