"""What enforcement announces: one value per change, on `event.enforcement.<name>.<id>.<revision>`.

The revision is that of the record's entry, so publishing again is the same message. Each event carries the whole entry: a reader that saw
none of the earlier ones still knows everything, and PostgreSQL can be rebuilt from them.
"""

import msgspec

from ringfence.base.errors import PeerError
from ringfence.enforcement.model import Approval, Block, Breaker, Exemption, Proposal


class BlockImposed(msgspec.Struct, frozen=True, kw_only=True, tag="block_imposed"):
    """A block came into force."""

    block: Block


class BlockLifted(msgspec.Struct, frozen=True, kw_only=True, tag="block_lifted"):
    """A person ended a block: the grace begins, and the worker tells detection."""

    block: Block


class BlockExpired(msgspec.Struct, frozen=True, kw_only=True, tag="block_expired"):
    """A block reached its time."""

    block: Block


class ProposalMade(msgspec.Struct, frozen=True, kw_only=True, tag="proposal_made"):
    """A block waits for people."""

    proposal: Proposal


class ProposalApproved(msgspec.Struct, frozen=True, kw_only=True, tag="proposal_approved"):
    """A proposal became a block."""

    proposal: Proposal


class ProposalRejected(msgspec.Struct, frozen=True, kw_only=True, tag="proposal_rejected"):
    """A person said no."""

    proposal: Proposal


class ProposalExpired(msgspec.Struct, frozen=True, kw_only=True, tag="proposal_expired"):
    """Nobody decided in time."""

    proposal: Proposal


class ApprovalGiven(msgspec.Struct, frozen=True, kw_only=True, tag="approval_given"):
    """One person said yes."""

    approval: Approval


class ExemptionMade(msgspec.Struct, frozen=True, kw_only=True, tag="exemption_made"):
    """Somebody answers for a value."""

    exemption: Exemption


class ExemptionEnded(msgspec.Struct, frozen=True, kw_only=True, tag="exemption_ended"):
    """By a person, or by its time."""

    exemption: Exemption


class BreakerOpened(msgspec.Struct, frozen=True, kw_only=True, tag="breaker_opened"):
    """Too many automatic blocks of a kind: they are stopped, on-call is paged."""

    breaker: Breaker


class BreakerReset(msgspec.Struct, frozen=True, kw_only=True, tag="breaker_reset"):
    """A person allowed them again."""

    breaker: Breaker


class EntryRestored(msgspec.Struct, frozen=True, kw_only=True, tag="entry_restored"):
    """An entry in force came back into a new JetStream, from the copy in PostgreSQL. One field is set."""

    block: Block | None = None
    exemption: Exemption | None = None
    proposal: Proposal | None = None
    breaker: Breaker | None = None

    @property
    def entry(self) -> Block | Exemption | Proposal | Breaker:
        """What came back; PeerError when nothing did."""
        entry = self.block or self.exemption or self.proposal or self.breaker
        if entry is None:
            raise PeerError("this event of enforcement names no entry", reason="bad_event")
        return entry


Event = (
    BlockImposed
    | BlockLifted
    | BlockExpired
    | ProposalMade
    | ProposalApproved
    | ProposalRejected
    | ProposalExpired
    | ApprovalGiven
    | ExemptionMade
    | ExemptionEnded
    | BreakerOpened
    | BreakerReset
    | EntryRestored
)

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Event)


def subject_of(event: Event, revision: int) -> str:
    """Where it is announced. Ids hold no dots, so the subject has six tokens."""
    name = type(event).__struct_config__.tag
    return f"event.enforcement.{name}.{_id_of(event)}.{revision}"


def encode_event(event: Event) -> bytes:
    """JSON with the field `type`."""
    return _encoder.encode(event)


def decode_event(payload: bytes) -> Event:
    """The event in a message; PeerError when it is none."""
    try:
        event: Event = _decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise PeerError(f"this is not an event of enforcement: {error}", reason="bad_event") from None
    return event


def _id_of(event: Event) -> str:
    match event:
        case BlockImposed() | BlockLifted() | BlockExpired():
            return event.block.block_id
        case ProposalMade() | ProposalApproved() | ProposalRejected() | ProposalExpired():
            return event.proposal.proposal_id
        case ApprovalGiven():
            return event.approval.proposal_id
        case ExemptionMade() | ExemptionEnded():
            return event.exemption.exemption_id
        case BreakerOpened() | BreakerReset():
            return event.breaker.kind
        case EntryRestored():
            return id_of(event.entry)


def id_of(entry: Block | Exemption | Proposal | Breaker) -> str:
    """What an entry is called in subjects and in history."""
    match entry:
        case Block():
            return entry.block_id
        case Exemption():
            return entry.exemption_id
        case Proposal():
            return entry.proposal_id
        case Breaker():
            return entry.kind
