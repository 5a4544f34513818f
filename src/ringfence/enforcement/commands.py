"""What people ask of policy, and what it answers: JSON on the subject `policy.command`, one reply for each request.

Policy answers after the record holds the change, never before. A refusal comes back as the same kind of error that policy raised, so a
surface needs one table for all of them (`base.errors`). Nothing here decides.
"""

import msgspec

from ringfence.base.errors import (
    ConflictError,
    ForbiddenError,
    NotFoundError,
    OperatorError,
    PeerError,
    RingfenceError,
    UnavailableError,
    kind_of,
)
from ringfence.enforcement.model import Approval, Block, Breaker, Exemption, Proposal, Release, Scope

SUBJECT = "policy.command"

MAX_COMMAND_BYTES = 64 * 1024
"""Longer requests are refused unread."""


class ImposeBlock(msgspec.Struct, frozen=True, kw_only=True, tag="impose_block"):
    """Refuse this value from now until `until_ms`."""

    scope: Scope
    value: str
    destination_class: int = 0
    until_ms: int
    reason: str
    by: str
    break_glass: bool = False
    """A mass measure at once, by one person: recorded, everyone told, reviewed after."""
    subjects: int = 1
    """Accounts that the dry run found to be touched; more than the limit makes it a mass measure."""
    alert_id: str = ""
    account: str = ""
    """The account behind it, when it was imposed from an alert."""


class LiftBlock(msgspec.Struct, frozen=True, kw_only=True, tag="lift_block"):
    """End a block now. The same evidence does not bring it back for 24 hours."""

    block_id: str
    reason: str
    by: str


class Exempt(msgspec.Struct, frozen=True, kw_only=True, tag="exempt"):
    """Nothing automatic touches this account, number or network until `until_ms`; `owner` answers for it."""

    scope: Scope
    """`account`, `number` or `source` (there `value` may be a network)."""
    value: str
    owner: str
    until_ms: int
    reason: str
    by: str


class EndExemption(msgspec.Struct, frozen=True, kw_only=True, tag="end_exemption"):
    """The exemption ends now."""

    exemption_id: str
    reason: str
    by: str


class Approve(msgspec.Struct, frozen=True, kw_only=True, tag="approve"):
    """One person's yes; the block is imposed with the last yes that was needed."""

    proposal_id: str
    by: str


class Reject(msgspec.Struct, frozen=True, kw_only=True, tag="reject"):
    """One no ends a proposal."""

    proposal_id: str
    by: str
    reason: str


class ResetBreaker(msgspec.Struct, frozen=True, kw_only=True, tag="reset_breaker"):
    """Automatic blocks of this kind (`account` or `source`) may happen again."""

    kind: str
    by: str
    reason: str


class RestoreRecord(msgspec.Struct, frozen=True, kw_only=True, tag="restore_record", omit_defaults=True):
    """Take these into the record again, after JetStream was made anew. What the record holds already stays as it is."""

    blocks: tuple[Block, ...] = ()
    exemptions: tuple[Exemption, ...] = ()
    releases: tuple[Release, ...] = ()
    proposals: tuple[Proposal, ...] = ()
    approvals: tuple[Approval, ...] = ()
    breakers: tuple[Breaker, ...] = ()


class Ping(msgspec.Struct, frozen=True, kw_only=True, tag="ping"):
    """Is an active policy there?"""


Command = ImposeBlock | LiftBlock | Exempt | EndExemption | Approve | Reject | ResetBreaker | RestoreRecord | Ping


class Done(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of a command. Ids that do not apply are empty."""

    block_id: str = ""
    proposal_id: str = ""
    """Set without a block: the command waits for people."""
    exemption_id: str = ""
    approvals: int = 0
    approvals_needed: int = 0
    restored: int = 0
    message: str = ""
    """One sentence for the person."""
    instance: str = ""
    """Which policy process answered."""


class _Failure(msgspec.Struct, frozen=True):
    kind: str
    reason: str
    message: str


class _Reply(msgspec.Struct, frozen=True, omit_defaults=True):
    ok: bool = False
    done: Done | None = None
    error: _Failure | None = None


_ERRORS: dict[str, type[RingfenceError]] = {
    "permission": ForbiddenError,
    "not_found": NotFoundError,
    "peer": PeerError,
    "operator": OperatorError,
    "conflict": ConflictError,
    "unavailable": UnavailableError,
}

_encoder = msgspec.json.Encoder()
_commands = msgspec.json.Decoder(Command)
_replies = msgspec.json.Decoder(_Reply)


def encode_command(command: Command) -> bytes:
    """JSON of a command."""
    return _encoder.encode(command)


def decode_command(payload: bytes) -> Command:
    """The command in a request; PeerError when it is none."""
    if len(payload) > MAX_COMMAND_BYTES:
        raise PeerError(f"a command holds {MAX_COMMAND_BYTES} bytes at the most", reason="command_too_long")
    try:
        command: Command = _commands.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:  # ValidationError is one of them
        raise PeerError(f"this is not a command of policy: {error}", reason="bad_command") from None
    return command


def encode_done(done: Done) -> bytes:
    """`{"ok":true,"done":{...}}`."""
    return _encoder.encode(_Reply(ok=True, done=done))


def encode_error(error: RingfenceError) -> bytes:
    """`{"error":{"kind","reason","message"}}`."""
    return _encoder.encode(_Reply(error=_Failure(kind=kind_of(error)[2], reason=error.reason, message=str(error))))


def decode_reply(payload: bytes) -> Done:
    """The outcome in a reply; raises the error that policy answered with, PeerError when it is no reply."""
    try:
        reply = _replies.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise PeerError(f"this is not a reply of policy: {error}", reason="bad_reply") from None
    if reply.error is not None:
        raise _ERRORS.get(reply.error.kind, PeerError)(reply.error.message, reason=reply.error.reason)
    if not reply.ok or reply.done is None:
        raise PeerError("policy answered with neither an outcome nor an error", reason="bad_reply")
    return reply.done
