"""Which rows have a dead letter that was not replayed yet: what differs because of one is known already."""

from __future__ import annotations

from processor.letter_topics import LetterTopics
from processor.settings import Settings
from processor.tables import topic_of
from processor.tables.base import Projection


def lettered(settings: Settings, projection: Projection, keys: set[str]) -> set[str]:
    """Those of `keys` with an open letter.

    Raises:
        SourceError: the broker does not answer.
        ConfigurationError: the table has no topic for letters.
    """
    topics = LetterTopics(settings.kafka, {topic_of(settings.kafka.topic_prefix, projection): projection})
    try:
        return {
            letter.key
            for span in topics.spans()
            for letter in topics.open_letters(span)
            if letter.values is not None and letter.key in keys
        }
    finally:
        topics.close()
