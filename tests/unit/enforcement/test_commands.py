"""What goes over `policy.command` comes back as it was."""

import pytest

from ringfence.base.errors import ConflictError, ForbiddenError, NotFoundError, OperatorError, PeerError, RingfenceError, UnavailableError
from ringfence.enforcement.commands import (
    MAX_COMMAND_BYTES,
    Approve,
    Command,
    Done,
    EndExemption,
    Exempt,
    ImposeBlock,
    LiftBlock,
    Ping,
    Reject,
    ResetBreaker,
    decode_command,
    decode_reply,
    encode_command,
    encode_done,
    encode_error,
)
from ringfence.enforcement.model import Scope

COMMANDS: list[Command] = [
    ImposeBlock(scope=Scope.RANGE, value="232", until_ms=5, reason="IRSF", by="anna", break_glass=True, subjects=7),
    LiftBlock(block_id="b-1", reason="customer called", by="anna"),
    Exempt(scope=Scope.ACCOUNT, value="hospital", owner="Dr. Ott", until_ms=9, reason="alarm line", by="anna"),
    EndExemption(exemption_id="x-1", reason="moved", by="anna"),
    Approve(proposal_id="p-1", by="bert"),
    Reject(proposal_id="p-1", by="bert", reason="legitimate"),
    ResetBreaker(kind="account", by="bert", reason="looked at them"),
    Ping(),
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: type(command).__name__)
def test_a_command_survives_the_wire(command: Command) -> None:
    assert decode_command(encode_command(command)) == command


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{}",
        b"[]",
        b'{"type":"format_disk"}',
        b'{"type":"lift_block"}',
        b"\xff",
        b'{"type":"lift_block","block_id":"\xff","reason":"r","by":"b"}',
        b"x" * (MAX_COMMAND_BYTES + 1),
    ],
)
def test_anything_else_is_a_peer_error(payload: bytes) -> None:
    with pytest.raises(PeerError):
        decode_command(payload)


@pytest.mark.parametrize("kind", [OperatorError, ConflictError, UnavailableError, NotFoundError, ForbiddenError, PeerError])
def test_an_error_comes_back_as_its_kind(kind: type[RingfenceError]) -> None:
    with pytest.raises(kind, match="no such thing") as caught:
        decode_reply(encode_error(kind("no such thing", reason="no_thing")))
    assert type(caught.value) is kind
    assert caught.value.reason == "no_thing"


def test_an_outcome_comes_back() -> None:
    done = Done(proposal_id="p-1", approvals=1, approvals_needed=2, instance="i-1")
    payload = encode_done(done)
    assert decode_reply(payload) == done
    assert payload.startswith(b'{"ok":true')


@pytest.mark.parametrize(
    "payload",
    [b"", b"{}", b'{"ok":false}', b'{"ok":true}', b'{"error":{"kind":1}}', b'{"error":{"kind":"operator","reason":"\xff","message":""}}'],
)
def test_no_reply_is_a_peer_error(payload: bytes) -> None:
    with pytest.raises(PeerError):
        decode_reply(payload)
