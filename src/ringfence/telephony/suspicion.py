"""What detection says to whoever acts: this subject, this evidence, and the smallest measures that would stop it.

A suspicion decides nothing. Policy weighs it against emergency calls, exemptions, own networks, releases and the breaker.
"""

from typing import Literal

import msgspec

MeasureScope = Literal["number", "range", "class", "account", "source", "call"]
Mode = Literal["observe", "propose", "act"]


class Measure(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that could be refused at the edge, or (scope call) ended there.

    `value` is digits without `+` (number, range), the account (class, account), a network (source) or a Call-ID (call).
    """

    scope: MeasureScope
    value: str
    destination_class: int = 0
    """Scope class: this class and above. Scope call: the class of the running call, C4 or C5."""


class Suspicion(msgspec.Struct, frozen=True, kw_only=True):
    """One crossing of an act threshold. `suspicion_id` is `<alert_id>.<level>`: a redelivery changes nothing."""

    suspicion_id: str
    alert_id: str
    rule: str
    rule_version: int
    mode: Mode
    account: str
    measures: tuple[Measure, ...]
    """Smallest useful measure first."""
    level: int
    """2 at the act threshold, one more at each doubling."""
    score: int
    observed: int
    threshold: int
    cost_micro: int
    calls: tuple[str, ...]
    reason: str
    at_ms: int
    loss_micro: int = 0
    """What going on would cost: chance of fraud x cost per minute x minutes until somebody would stop it."""
    false_block_micro: int = 0
    """What being wrong would cost: chance that it is no fraud x cost of a false block."""
    ends: tuple[Measure, ...] = ()
    """Running calls (scope call) to end together with the block, when a rule may act; all of them in `calls`."""


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Suspicion)


def encode_suspicion(suspicion: Suspicion) -> bytes:
    """JSON of a suspicion."""
    return _encoder.encode(suspicion)


def decode_suspicion(payload: bytes) -> Suspicion:
    """The suspicion in a payload; `msgspec.DecodeError` when it is not one."""
    return _decoder.decode(payload)
