"""Control records: everything besides traffic that a verdict depends on, as entries of the log.

Only `apps/worker` writes them, into every lane, where they take effect where they stand. A detector that starts reads the latest version
of each from the KV bucket `control` and goes on from a position; one that replays meets them in the log.
"""

from typing import Literal

import msgspec

Segment = Literal["residential", "business", "trunk"]

MAX_RECORDS = 10_000
"""Control records in one message of the log."""


class AccountChanged(msgspec.Struct, frozen=True, kw_only=True, tag="account"):
    """What detection must know of an account. Absent accounts are residential with one channel."""

    account: str
    account_key: int
    slot: int
    segment: Segment = "residential"
    channels: int = 1
    since_ms: int = 0
    sensitivity: int = 0
    """0 to 100; raised when the account's device is exposed."""
    exempt_until_ms: int = 0
    own_device: bool = False
    removed: bool = False


class RuleSetChanged(msgspec.Struct, frozen=True, kw_only=True, tag="rules"):
    """A new rule set takes effect here. `toml` is its whole text."""

    version: int
    toml: str


class RatesChanged(msgspec.Struct, frozen=True, kw_only=True, tag="rates"):
    """A new rate deck. Ingest prices rows by it; detection only notes the version."""

    version: int
    csv: str


class HolidaysChanged(msgspec.Struct, frozen=True, kw_only=True, tag="holidays"):
    """Public holidays (`2026-12-25`) and the zone in which night, weekend and holiday are meant."""

    days: tuple[str, ...]
    time_zone: str


class NetworksChanged(msgspec.Struct, frozen=True, kw_only=True, tag="networks"):
    """The operator's own address ranges: `(prefix, kind)` with kind own_pool, cgnat, peer or monitoring."""

    version: int
    networks: tuple[tuple[str, str], ...]


class BlockReleased(msgspec.Struct, frozen=True, kw_only=True, tag="released"):
    """A person lifted a block: detection goes on, policy keeps the grace."""

    block_id: str
    alert_id: str
    account: str
    scope: str
    at_ms: int
    by: str


class ComposedChanged(msgspec.Struct, frozen=True, kw_only=True, tag="composed"):
    """A rule that an analyst composed: on probation (alerts of severity info, nothing follows), active, or gone. `toml` is its text."""

    rule_id: str
    version: int
    toml: str
    state: Literal["probation", "active", "retired"]


class AccountBaseline(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What an account ordinarily spends on C2+ calls; money in micro-euro. Accounts without such calls have none."""

    account_key: int
    month_micro: int
    """Spent in the running billing month before `BaselinesChanged.until_ms`."""
    highest_month_micro: int
    """The dearest of the last six whole billing months."""
    day_median_micro: int
    day_mad_micro: int
    """Median absolute deviation, of all days of the span."""
    countries: tuple[int, ...]
    """Countries of C4+ calls ever answered, ascending."""
    bins: tuple[tuple[int, int, int], ...]
    """`(hour of week 0 to 167, median, median absolute deviation)` of 15 minutes' spend; only hours whose median is above zero."""


class BaselinesChanged(msgspec.Struct, frozen=True, kw_only=True, tag="baselines"):
    """All baselines of one slot, in place of those before. An account of the slot that is not here spent nothing in the span."""

    version: int
    slot: int
    since_ms: int
    """Where the history begins that the archive could tell of, for every account of the slot."""
    month_ms: int
    """Start of the running billing month, local time."""
    until_ms: int
    """The history ends here; what comes after is the detector's own to count."""
    accounts: tuple[AccountBaseline, ...]


ControlRecord = (
    AccountChanged | RuleSetChanged | RatesChanged | HolidaysChanged | NetworksChanged | BlockReleased | ComposedChanged | BaselinesChanged
)

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[ControlRecord])


def encode_control(records: list[ControlRecord]) -> bytes:
    """Payload of a control message."""
    if len(records) > MAX_RECORDS:
        raise ValueError(f"a control message holds {MAX_RECORDS} records at the most")
    return _encoder.encode(records)


def decode_control(payload: bytes) -> list[ControlRecord]:
    """Records of a control message; `msgspec.DecodeError` when it was not written by `encode_control`."""
    return _decoder.decode(payload)
