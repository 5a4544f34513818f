"""The simulated edge over real sockets: what a phone hears, what the capture agent sends, what the connector's JSON-RPC answers."""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable

import pytest

from ringfence.base.clock import system_clock
from ringfence.base.errors import PeerError
from ringfence.base.secret import Secret
from ringfence.enforcement.adapters.edge_rpc import connect_edge
from ringfence.enforcement.projection import shard_of
from ringfence.protocols.hep import PayloadType
from ringfence.protocols.hep.parse import decode
from ringfence.protocols.sip import parse
from ringfence.simulators.caller import Caller, CallerLine
from ringfence.simulators.sip_edge import SipEdge, SipEdgePlan
from ringfence.telephony.emergency import corpus, emergency_calls
from ringfence.telephony.hlog import HlogEvent, decode_event
from ringfence.telephony.numbers import plan_for

pytestmark = pytest.mark.timeout(60)

EMERGENCY = emergency_calls("49", ("30",), ("110", "112"))


class Receiver:
    """What the edge mirrors and tells."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.setblocking(False)

    def read(self) -> tuple[list[bytes], list[HlogEvent]]:
        mirrored: list[bytes] = []
        told: list[HlogEvent] = []
        while True:
            try:
                packet = decode(self.socket.recv(65_535))
            except BlockingIOError:
                return mirrored, told
            assert packet.auth_key == Secret("hep-key")
            if packet.payload_type == PayloadType.LOG:
                told.append(decode_event(packet.payload))
            else:
                mirrored.append(packet.payload)


def play(scenario: Callable[[SipEdge, Caller, Receiver], Awaitable[None]]) -> None:
    async def run() -> None:
        receiver = Receiver()
        plan = SipEdgePlan(
            accounts={"alice": "wonderland"},
            plan=plan_for("DE", ("30",)),
            emergency=EMERGENCY,
            class_of=lambda digits: 4 if digits.startswith("232") else 1,
            token=Secret("token"),
            hep_target=receiver.socket.getsockname(),
            hep_key=Secret("hep-key"),
        )
        async with await SipEdge.open(plan, system_clock) as edge, await CallerLine.open(edge.sip_address) as line:
            await scenario(edge, Caller(line, "alice", "wonderland", "edge.test"), receiver)
        receiver.socket.close()

    asyncio.run(run())


def value(action: str, block_id: str, seconds: int = 600) -> str:
    return f"{action}|{int(time.time()) + seconds}|{block_id}"


def test_a_phone_registers_calls_and_hangs_up_and_all_of_it_is_mirrored() -> None:
    async def scenario(edge: SipEdge, alice: Caller, receiver: Receiver) -> None:
        assert (await alice.register()).status_code == 200
        call = await alice.invite("0023276123456")
        assert call.answer.status_code == 200
        assert (await call.invite_again()).status_code == 200
        assert (await call.hang_up()).status_code == 200
        await asyncio.sleep(0.05)
        mirrored, told = receiver.read()
        messages = [parse(payload) for payload in mirrored]
        lines = [(message.method, message.status_code) for message in messages if message.call_id == call.call_id]
        assert lines[:6] == [("INVITE", 0), ("INVITE", 407), ("ACK", 0), ("INVITE", 0), ("INVITE", 100), ("INVITE", 200)]
        assert [(event.event, event.method, event.account, event.code) for event in told] == [
            ("auth", "REGISTER", "alice", 1),
            ("auth", "INVITE", "alice", 1),
        ]
        assert (told[1].call_id, told[1].edge, told[1].peer_port) == (call.call_id, "kamailio-1", alice.line.address[1])

    play(scenario)


def test_a_running_call_is_found_and_ended_with_a_bye_to_its_caller() -> None:
    async def scenario(edge: SipEdge, alice: Caller, receiver: Receiver) -> None:
        call, other = await alice.invite("0023276123456"), await alice.invite("0023276123457")
        assert (call.answer.status_code, other.answer.status_code) == (200, 200)
        rpc = await connect_edge("kamailio-1", edge.rpc_url, Secret("token"))
        try:
            dialog = await rpc.dialog(call.call_id)
            assert dialog.confirmed
            receiver.read()
            await rpc.end_dialog(dialog)
            ended: list[tuple[str, int]] = []
            async with asyncio.timeout(10):
                while ("BYE", 200) not in ended:
                    await asyncio.sleep(0.01)
                    messages = [parse(payload) for payload in receiver.read()[0]]
                    assert all(message.call_id == call.call_id for message in messages)
                    ended += [(message.method, message.status_code) for message in messages]
            assert ended == [("BYE", 0), ("BYE", 200)]
            assert not (await rpc.dialog(call.call_id)).runs
            assert (await rpc.dialog(other.call_id)).confirmed
            with pytest.raises(PeerError, match="Dialog not found"):
                await rpc.end_dialog(dialog)
        finally:
            rpc.close()

    play(scenario)


def test_a_stranger_is_challenged_and_believed_nothing() -> None:
    async def scenario(edge: SipEdge, alice: Caller, receiver: Receiver) -> None:
        assert (await alice.invite("03012345", credentials=False)).answer.status_code == 407
        for account, password in (("alice", "wrong"), ("nobody", "wonderland")):
            stranger = Caller(alice.line, account, password, "edge.test")
            assert (await stranger.invite("03012345")).answer.status_code == 407
        await asyncio.sleep(0.05)
        assert [(event.account, event.code, event.authenticated) for event in receiver.read()[1]] == [
            ("alice", -2, False),
            ("nobody", -3, False),
        ]
        assert edge.answered == {407: 5}

    play(scenario)


@pytest.mark.parametrize(
    ("table", "key", "action", "refused", "free"),
    [
        (shard_of("a:alice"), "a:alice", "all", "03012345", ""),
        (shard_of("a:alice"), "a:alice", "C3", "0023276123456", "03012345"),
        (shard_of("a:alice"), "a:alice", "C5", "", "0023276123456"),
        ("rf_num", "23276", "all", "+23276123456", "+23277123456"),
        ("rf_num", "23276123456", "all", "0023276123456", "0023276123457"),
        (shard_of("s:127.0.0.1"), "s:127.0.0.1", "all", "03012345", ""),
    ],
)
def test_what_is_blocked_hears_603_and_why_and_emergency_calls_pass(table: str, key: str, action: str, refused: str, free: str) -> None:
    async def scenario(edge: SipEdge, alice: Caller, receiver: Receiver) -> None:
        rpc = await connect_edge("one", edge.rpc_url, Secret("token"))
        await rpc.set_text(table, key, value(action, "b-1"), 600)
        if refused:
            answer = (await alice.invite(refused)).answer
            assert (answer.status_code, "blocked" in answer.reason) == (603, True)
            await asyncio.sleep(0.05)
            told = receiver.read()[1][-1]
            assert (told.event, told.code, told.block_id, told.key) == ("blocked", 603, "b-1", key)
        if free:
            assert (await alice.invite(free)).answer.status_code == 200
        stranger = Caller(alice.line, "nobody", "", "edge.test")
        spellings = [uri for uri in corpus("49", ("30",), ("110", "112")) if uri.startswith(("sip:", "tel:", "urn:"))]
        assert len(spellings) > 60
        for uri in spellings[::5]:
            assert (await stranger.invite(uri)).answer.status_code == 200, uri
        await rpc.set_text(table, key, value(action, "b-1", seconds=-1), 600)
        if refused:  # Past its time, whatever the table says.
            assert (await alice.invite(refused)).answer.status_code == 200
        rpc.close()

    play(scenario)


def test_the_wrong_token_and_unknown_tables_are_refused() -> None:
    async def scenario(edge: SipEdge, _alice: Caller, _receiver: Receiver) -> None:
        rpc = await connect_edge("one", edge.rpc_url, Secret("wrong"))
        with pytest.raises(PeerError, match="token"):
            await rpc.get("rf_meta", "epoch")
        rpc = await connect_edge("one", edge.rpc_url, Secret("token"))
        with pytest.raises(PeerError, match="No such htable"):
            await rpc.dump("rf_x")
        assert await rpc.get("rf_meta", "epoch") is None
        await rpc.set_number("rf_meta", "epoch", 7)
        assert (await rpc.get("rf_meta", "epoch"), await rpc.get("rf_meta", "version")) == (7, "1")
        edge.restart()
        await rpc.lost
        rpc = await connect_edge("one", edge.rpc_url, Secret("token"))
        assert await rpc.get("rf_meta", "epoch") is None

    play(scenario)
