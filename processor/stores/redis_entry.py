"""How a row looks in the cache, as text, and the scripts that compare and write it.

    {"_stamp":{"version":"..","seen":"..","xid":"..","fp":".."},"policy_id":"POL-2025-001",...}

An entry's *head* is what a comparison needs of it: its beginning, with the whole stamp. It is compared as
text, because Lua's numbers are doubles, exact only below 2^53; and nothing of the row is decoded for it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from processor.stamp import UNREADABLE, Stamp
from processor.stores.base import Put, Record, Refused, Remove, Write

STAMP: Final = "_stamp"
LEASES: Final = "lease"
"""Begins the names of leases; see reader/lease.py."""
HEAD_BYTES: Final = 160
"""The longest stamp takes 136 bytes with its names: 19 + 17 + 10 digits, 16 + 12 hexadecimal ones, a mark."""
_STAMPED: Final = re.compile(
    rb'=\{"_stamp":\{"version":"(?P<version>\d+)","seen":"(?P<seen>\d+)","xid":"(?P<xid>\d*)",'
    rb'"fp":"(?P<fp>[\w-]*)"\}'
)
_encode: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode

_HEAD: Final = f"""
-- '' for nothing, '=' and the beginning of a text, or the name of another type
local function head(key)
  local kind = redis.call('TYPE', key).ok
  if kind == 'none' then return '' end
  if kind ~= 'string' then return kind end
  return '=' .. redis.call('GETRANGE', key, 0, {HEAD_BYTES - 1})
end
"""
READ_HEADS: Final = (
    _HEAD
    + """
local heads = {}
for i, key in ipairs(KEYS) do heads[i] = head(key) end
return heads
"""
)
WRITE: Final = (
    _HEAD
    + """
-- KEYS: the entry, then those to drop with it
-- ARGV: the head expected; text ('' removes); how many bytes it replaces (0: all); expiry in ms (0: never)
if head(KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '' then
  redis.call('UNLINK', KEYS[1])
else
  local text = ARGV[2]
  if ARGV[3] ~= '0' then text = text .. string.sub(redis.call('GET', KEYS[1]), tonumber(ARGV[3]) + 1) end
  -- before the others are dropped: a server without memory refuses a script at its first write only
  if ARGV[4] == '0' then redis.call('SET', KEYS[1], text)
  else redis.call('SET', KEYS[1], text, 'PX', ARGV[4]) end
end
-- a Lua call takes some 8,000 arguments at the most
for i = 2, #KEYS, 1000 do redis.call('UNLINK', unpack(KEYS, i, math.min(i + 999, #KEYS))) end
return 1
"""
)
"""Returns 1, or 0 when the head is another: then nothing was done."""
LEASE: Final = """
-- KEYS: an entry, its lease. ARGV: a lease to give; how long it lives, in ms
if redis.call('EXISTS', KEYS[1]) == 1 then return '' end
local standing = redis.call('GET', KEYS[2])
if standing then return standing end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
return ARGV[1]
"""
"""Returns the lease that stands now, which may be another's; '' when the entry is there."""
FILL: Final = """
-- KEYS: an entry, its lease
-- ARGV: the lease expected; text ('': none); its expiry in ms; the lease to leave ('': none), its life in ms
if redis.call('GET', KEYS[2]) ~= ARGV[1] or redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
if ARGV[2] ~= '' then redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
if ARGV[4] == '' then redis.call('UNLINK', KEYS[2])
else redis.call('SET', KEYS[2], ARGV[4], 'PX', ARGV[5]) end
return 1
"""
"""Returns 1, or 0 when the lease is gone or another: then nothing was done."""


def stamp_of(head: bytes) -> Stamp:
    """The stamp in a head; `UNREADABLE` in one that we did not write."""
    found = _STAMPED.match(head)
    if found is None:
        return UNREADABLE
    return Stamp.from_text({name: value.decode() for name, value in found.groupdict().items()})


def record_of(value: bytes) -> Record:
    """The record in an entry; an empty one where that is no JSON object."""
    try:
        fields = json.loads(value)
    except ValueError:
        fields = None
    body = fields if isinstance(fields, dict) else {}
    return Record(stamp_of(b"=" + value), {name: field for name, field in body.items() if name != STAMP})


def arguments(write: Write, expiry_ms: int) -> list[bytes | int] | Refused:
    """ARGV of the script for `write`."""
    expected: bytes = b"" if write.expected is None else write.expected.token
    if isinstance(write, Remove):
        return [expected, b"", 0, 0]
    if isinstance(write, Put):
        text = text_of(write.stamp, write.body)
        return text if isinstance(text, Refused) else [expected, text, 0, expiry_ms]
    stamped = _STAMPED.match(expected)
    if stamped is None:
        return Refused("the record is not ours: it has no stamp to move")
    return [expected, _opening(write.stamp), stamped.end() - 1, expiry_ms]


def text_of(stamp: Stamp, body: Mapping[str, Any]) -> bytes | Refused:
    """An entry's text; refused with the name of a field that JSON cannot hold."""
    try:
        members = _encode(body)[1:-1].encode()
    except (TypeError, ValueError):
        return Refused(_reason(body))
    return _opening(stamp) + (b"," + members if members else b"") + b"}"


def _reason(body: Mapping[str, Any]) -> str:
    """Which field makes encoding fail, and why."""
    for name, value in body.items():
        try:
            f"{_encode(name)}:{_encode(value)}".encode()
        except (TypeError, ValueError) as error:
            return f"{name}: {error}"
    return "the body is no JSON object"


def _opening(stamp: Stamp) -> bytes:
    """An entry up to the end of its stamp."""
    return f'{{"{STAMP}":{_encode(stamp.to_text())}'.encode()
