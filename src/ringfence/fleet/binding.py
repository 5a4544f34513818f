"""Which standing an Inform has: proof against identity, line against line, and what the operator's setting adds; and what it entitles to.

It decides on values alone; who holds an address is looked up before. The one thing to know: the rules are asked in order and the first that
applies answers, so what refuses stands before what grants, and granting is the last line.
"""

from dataclasses import dataclass

from ringfence.fleet.lifecycle import Life, Occurrence
from ringfence.fleet.model import InformSeen, Lane, LineSeen, Proof, Standing, names_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of the device and of its line before the Inform."""

    device_id: int
    life: Life
    line: str = ""
    """The line the device belongs to, empty when none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The operator's settings. Both defaults are the safe ones."""

    trust_unproven: bool = False
    """Treat a device that proved nothing as if it had; for closed management networks."""
    release_without_feed: bool = False
    """Without access sessions, take the line a person or an import gave the device as proven."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Standing, why, what happened to the device's life, and the line to bind it to (empty: no change)."""

    standing: Standing
    reason: str
    occurrence: Occurrence | None = None
    bind: str = ""


def judge(seen: InformSeen, known: Known | None, at: LineSeen | None, taken: bool, rules: Rules) -> Verdict:
    """The standing of an Inform.

    `at` is the line that held the peer's address, None without a feed or when the address is nobody's. `taken`: another device belongs to
    that line and was not closed.
    """
    if (barred := _barred(seen, known, at)) is not None:
        return barred
    if at is not None and (known is None or known.line != at.line):
        return _stranger(known, taken)
    if at is None and (known is None or not known.line or not rules.release_without_feed):
        return Verdict(standing=Standing.UNBOUND, reason="no_session_of_address", occurrence=Occurrence.BOOTSTRAPPED)
    if seen.lane is Lane.BOOTSTRAP:
        # On its own line it may lack a proof: this lane is where it gets what it proves itself with.
        return Verdict(standing=Standing.UNBOUND, reason="bootstrap_lane", occurrence=Occurrence.BOOTSTRAPPED)
    if seen.proof is Proof.NONE and not rules.trust_unproven:
        return Verdict(standing=Standing.UNBOUND, reason="not_proven", occurrence=Occurrence.BOOTSTRAPPED)
    return Verdict(standing=Standing.MANAGED, reason="", occurrence=Occurrence.MANAGED)


def may_receive(method: str, standing: Standing, reason: str, proof: Proof, lane: Lane) -> bool:
    """Whether an order of this method may leave for a device that stands so.

    It must be that device: on its own line, or proven by its own credential where nobody knows whose address it has. Stock is updated only.
    It has no credential of ours yet, so it may prove nothing, but not from a customer's line, where stock has no place.
    """
    if standing is Standing.MANAGED:
        return True
    if standing is Standing.STOCK:
        return method == "Download" and (proof is not Proof.NONE or reason == "in_stock")
    proven = proof is not Proof.NONE and lane is Lane.MANAGED
    return standing is Standing.UNBOUND and reason == "no_session_of_address" and proven


def may_report(standing: Standing, reason: str, proof: Proof) -> bool:
    """Whether what an Inform tells without a CommandKey (a boot, a bootstrap) is news of the device's own orders.

    After a factory reset a device proves nothing; on its own line it is believed.
    """
    if standing is Standing.UNBOUND:
        return reason in {"not_proven", "bootstrap_lane"} or (reason == "no_session_of_address" and proof is not Proof.NONE)
    return standing is Standing.MANAGED or (standing is Standing.STOCK and proof is not Proof.NONE)


def _barred(seen: InformSeen, known: Known | None, at: LineSeen | None) -> Verdict | None:
    """What identity and life alone decide."""
    if seen.proof is not Proof.NONE and seen.proven_name not in names_of(seen.device):
        return Verdict(standing=Standing.REFUSED, reason="identity_mismatch")
    # Hyphens let two identities share a name (`A-B-C`); the credential is of one of them.
    if known is not None and seen.proven_device not in {0, known.device_id}:
        return Verdict(standing=Standing.REFUSED, reason="identity_mismatch")
    match known.life if known is not None else None:
        case Life.REPLACED:
            return Verdict(standing=Standing.REFUSED, reason="identity_closed")
        case Life.LOST:
            return Verdict(standing=Standing.REPLACEMENT_PENDING, reason="was_lost")
        case Life.IN_STOCK:
            return Verdict(standing=Standing.STOCK, reason="in_stock" if at is None else "in_stock_on_a_line")
        case _:
            return None


def _stranger(known: Known | None, taken: bool) -> Verdict:
    """A device on a line that is not its own."""
    if known is not None and known.line:
        return Verdict(standing=Standing.UNBOUND, reason="other_line")
    reason = "line_has_another_device" if taken else "unknown_on_line"
    return Verdict(standing=Standing.REPLACEMENT_PENDING, reason=reason, occurrence=Occurrence.BOOTSTRAPPED)
