"""The cache for those who make absent entries: readers. See reader/lease.py for why they need leases."""

from __future__ import annotations

from processor.settings import RedisSettings
from processor.stores.redis import RedisStore
from processor.stores.redis_entry import FILL, LEASE


class RedisLeases(RedisStore):
    """Entries by whole names: `<view>:<key>`, or what `View.invalidates` names. Raises as the adapter."""

    def __init__(self, settings: RedisSettings) -> None:
        super().__init__(settings)
        self._give = self._client.register_script(LEASE)
        self._fill = self._client.register_script(FILL)

    def lease(self, name: str, offer: str, seconds: int) -> str:
        """For one who misses entry `name`: the lease that stands, which is `offer` if none did.

        Empty when the entry is there.
        """
        with self._calling():
            standing: bytes = self._give(keys=self._leased(name), args=[offer, seconds * 1_000])
        return standing.decode()

    def fill(self, name: str, lease: str, text: bytes, seconds: int, leave: str = "", life: int = 0) -> bool:
        """Make entry `name`, if `lease` still stands; False if it does not, and nothing was done.

        Without a `text` no entry is made. The lease `leave` takes the other's place for `life` seconds.
        """
        args: list[str | bytes | int] = [lease, text, seconds * 1_000, leave, life * 1_000]
        with self._calling():
            return bool(self._fill(keys=self._leased(name), args=args))
