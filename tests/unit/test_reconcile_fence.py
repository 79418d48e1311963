"""What the fence says of a slot; the rest of it is tried on real servers."""

from __future__ import annotations

import pytest

from reconciler.errors import CannotVerify
from reconciler.fence import check_slot
from sql.positions import Slot

GOOD = Slot(
    "aegis_slot",
    active=True,
    wal_status="reserved",
    safe_wal_size=None,
    confirmed_flush_lsn=0x1ABC,
    lag_bytes=0,
)


def test_a_slot_that_is_read_and_kept_will_do() -> None:
    check_slot("aegis_slot", GOOD)


@pytest.mark.parametrize(
    ("slot", "cause"),
    [
        (None, "there is no replication slot aegis_slot"),
        (Slot("aegis_slot", True, "lost", None, None, None), "replication slot aegis_slot is lost"),
        (
            Slot("aegis_slot", False, "extended", None, 0x1ABC, 0),
            "nobody reads replication slot aegis_slot, which is at 0/1ABC",
        ),
    ],
)
def test_a_slot_that_brings_nothing_is_named_with_the_command_that_tells_more(
    slot: Slot | None, cause: str
) -> None:
    with pytest.raises(CannotVerify, match=cause) as caught:
        check_slot("aegis_slot", slot)
    assert caught.value.exit_code == 3
    assert str(caught.value.hint).startswith("aegis connector")
