"""Which rows have a dead letter that was not replayed yet: what differs because of one is known already."""

from __future__ import annotations

from threading import Lock

from processor.letter_topics import LetterTopics
from processor.settings import Settings
from processor.tables import topic_of
from processor.tables.base import Projection


class OpenLetters:
    """Reads each letter once in a run; remembers keys."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = Lock()
        self._keys: dict[str, set[str]] = {}
        self._read: dict[tuple[str, int], int] = {}

    def __call__(self, projection: Projection, keys: set[str]) -> set[str]:
        """Those of `keys` with an open letter.

        Raises:
            SourceError: the broker does not answer.
            ConfigurationError: the table has no topic for letters.
        """
        with self._lock:
            known = self._keys.setdefault(projection.full_name, set())
            known |= self._new(projection)
            return keys & known

    def _new(self, projection: Projection) -> set[str]:
        """Keys of letters that have come since the last time."""
        topic = topic_of(self._settings.kafka.topic_prefix, projection)
        topics = LetterTopics(self._settings.kafka, {topic: projection})
        found: set[str] = set()
        try:
            for span in topics.spans():
                place = (span.topic, span.partition)
                begin = max(span.start, self._read.get(place, 0))
                letters = topics.letters(span.topic, span.partition, begin, span.end)
                found |= {letter.key for letter in letters if letter.values is not None}
                self._read[place] = span.end
        finally:
            topics.close()
        return found
