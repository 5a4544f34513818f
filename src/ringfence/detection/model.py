"""What detection says: alerts, as `formats.md` writes them, one message per step of an episode."""

from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import msgspec

State = Literal["open", "update", "close"]
Severity = Literal["info", "warning", "critical"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """Whom an alert is about: an account's digest user name, a number range in digits, an address or network, an edge."""

    kind: Literal["account", "prefix", "source", "network", "edge"]
    value: str


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """Why: call ids (newest last, 50 at the most), thresholds in force, observed values."""

    calls: tuple[str, ...]
    thresholds: dict[str, Any]
    observed: dict[str, Any]


class Alert(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One step of an episode. `step` counts from 1; id and step together are published once."""

    alert_id: str
    step: int
    state: State
    at: str
    """ISO 8601 UTC with milliseconds."""
    rule: str
    rule_version: int
    severity: Severity
    subject: Subject
    account: str = ""
    """Kind account: the subject's value. Kinds prefix, source and network: the account it counts for, when there is one."""
    prefix: str = ""
    """Kind prefix: the subject's value."""
    source_ip: str = ""
    """Kind source: the subject's value."""
    score: int
    cost_eur: float
    reason: str
    evidence: Evidence

    @property
    def at_ms(self) -> int:
        """`at` in Unix milliseconds."""
        return (datetime.fromisoformat(self.at) - _EPOCH) // timedelta(milliseconds=1)


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Alert)


def encode_alert(alert: Alert) -> bytes:
    """One line of JSON."""
    return _encoder.encode(alert)


def decode_alert(payload: bytes) -> Alert:
    """The alert in a payload; `msgspec.DecodeError` when it is not one."""
    return _decoder.decode(payload)


def iso_time(at_ms: int) -> str:
    """`2026-11-22T03:04:05.678Z`."""
    return (_EPOCH + timedelta(milliseconds=at_ms)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
