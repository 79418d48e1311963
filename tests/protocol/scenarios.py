"""What happens around the key. Each is small enough to be explored completely, in seconds."""

from __future__ import annotations

from typing import Final

from tests.protocol.explore import Scenario
from tests.protocol.path import Limits
from tests.protocol.source import BEGIN, DELETE, HIDDEN, LOCK, aborts, commits

_REFRESH: Final = Limits(refreshes=1)
_CRASH: Final = Limits(refreshes=1, crashes=1)
_SLOW: Final = Limits(refreshes=1, slow=True)
_LATE: Final = Limits(refreshes=1, crashes=1, late=True)

SCENARIOS: Final = {
    "a row is made, replaced, and its owner crashes": Scenario(None, (commits("a"), commits("b")), _CRASH),
    "a row is changed and changed back, and its owner crashes": Scenario(
        "a", (commits("b"), commits("a")), _CRASH
    ),
    "a row is changed and changed back while every read takes time": Scenario(
        "a", (commits("b"), commits("a")), _SLOW
    ),
    "a row is changed, and what an evicted owner had read is written late": Scenario(
        "a", (commits("b"), commits("a")), _LATE
    ),
    "a row is deleted while every read takes time, and its owner crashes": Scenario(
        "a", (commits(DELETE),), _LATE._replace(slow=True)
    ),
    "a row is deleted and made again": Scenario("a", (commits(DELETE), commits("b")), _CRASH),
    "a row is made, deleted and made again": Scenario(
        None, (commits("a"), commits(DELETE), commits("b")), _REFRESH
    ),
    "each transaction changes the row twice": Scenario(
        None, (commits("a", DELETE), commits("b", "a")), _REFRESH
    ),
    "a transaction deletes the row and makes it again": Scenario("a", (commits(DELETE, "a"),), _CRASH),
    "a row is no longer to be shown, and then it is": Scenario(
        "a", (commits(HIDDEN), commits("a")), _REFRESH
    ),
    "an older transaction changes the row after a younger one": Scenario(
        "a", (commits("b"), commits(BEGIN, "a")), _REFRESH
    ),
    "others commit beside a change": Scenario("a", (commits("b"), commits(BEGIN), aborts(BEGIN)), Limits()),
    "others commit beside a delete": Scenario("a", (commits(DELETE), commits(BEGIN)), _REFRESH),
    "a row is locked and changed": Scenario("a", (commits("b"), commits(LOCK)), _REFRESH),
    "a row is locked and deleted": Scenario("a", (commits(DELETE), commits(LOCK)), _CRASH),
    "a delete is taken back, and the row is locked": Scenario("a", (aborts(DELETE), commits(LOCK)), _REFRESH),
    "a delete is taken back, and another one is not": Scenario(
        "a", (aborts(DELETE), commits(DELETE)), _CRASH
    ),
    "a joined view's other rows are changed, and its owner crashes": Scenario(
        "a", (commits("b"), commits("a")), Limits(crashes=1, joined=True)
    ),
    "a joined view's other rows are changed while every read takes time": Scenario(
        "a", (commits("b"), commits("a")), Limits(slow=True, joined=True)
    ),
    "a change is taken back, and another one is not": Scenario("a", (aborts("b"), commits("b")), _CRASH),
}
LARGE: Final = {
    "a row is made, replaced, and its owner crashes",
    "a row is changed and changed back, and its owner crashes",
    "a row is changed, and what an evicted owner had read is written late",
    "a row is made, deleted and made again",
    "an older transaction changes the row after a younger one",
    "others commit beside a change",
    "others commit beside a delete",
    "a row is locked and changed",
    "a joined view's other rows are changed, and its owner crashes",
}
"""Those of more than 115,000 states."""
