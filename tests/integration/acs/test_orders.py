"""Orders over the real front and PostgreSQL: what leaves, what a device's words make of it, what a crash leaves, and two processes."""

import asyncio
import contextlib
import dataclasses
import io
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from ringfence.apps.acs.conversations import Conversations, Storms
from ringfence.apps.acs.front import Front
from ringfence.apps.acs.proof import Prover
from ringfence.apps.acs.wire import Limits
from ringfence.base.clock import system_clock
from ringfence.base.errors import ConflictError, NotFoundError, OperatorError
from ringfence.base.secret import Secret
from ringfence.fleet.binding import Rules
from ringfence.fleet.model import DownloadFirmware, Firmware, Lane, WantedState
from ringfence.protocols.cwmp import Asked, DeviceConnection, SessionEnded
from ringfence.protocols.cwmp.messages import (
    AnyQueuedTransfer,
    Download,
    DownloadResponse,
    Event,
    FactoryReset,
    FactoryResetResponse,
    Fault,
    GetAllQueuedTransfers,
    GetAllQueuedTransfersResponse,
    GetParameterValues,
    GetParameterValuesResponse,
    GetQueuedTransfers,
    GetQueuedTransfersResponse,
    ParameterValue,
    Reboot,
    RebootResponse,
    ScheduleInform,
    ScheduleInformResponse,
    SetParameterValues,
    TransferComplete,
)
from ringfence.protocols.nonces import NonceMint
from ringfence.runtime.http import open_listener
from tests.integration.acs.test_sessions import Acs, ask, inform, run

TRUSTED = Rules(trust_unproven=True, release_without_feed=True)
SHA = "a" * 64
PERIODIC = (Event("2 PERIODIC"),)
ROOT = "InternetGatewayDevice."
Answers = Callable[[Any], Any]


def image_url(device_id: int, sha256: str, size: int) -> str:
    return f"https://files.example/firmware/{sha256}/{device_id}/{size}/1/signed"


def whole(body: Callable[[Acs, int], Awaitable[None]], url: str, folder: Path) -> None:
    """A device on its line, and a file for its model."""

    async def enrolled(acs: Acs) -> None:
        text = "oui,product_class,serial_number,state,line,customer\n00040E,FRITZ,A1,shipped,L1,C1\n"
        await acs.fleet.import_devices("anna", io.StringIO(text))
        file = Firmware(sha256=SHA, oui="00040E", product_class="FRITZ", version="9", size_bytes=9, file_name="f.bin", signature="none")
        await acs.fleet.put_firmware("anna", file)
        await body(acs, ask(url, "select device_id from fleet.devices")[0][0])

    run(url, folder, enrolled, rules=TRUSTED, image_url=image_url)


def usual(request: Any) -> Any:
    """What a device answers that does what it is told."""
    kinds: dict[type, Any] = {
        Download: DownloadResponse(1),
        Reboot: RebootResponse(),
        FactoryReset: FactoryResetResponse(),
        ScheduleInform: ScheduleInformResponse(),
        GetAllQueuedTransfers: GetAllQueuedTransfersResponse(),
        GetQueuedTransfers: GetQueuedTransfersResponse(),
    }
    return kinds[type(request)]


async def talk(
    acs: Acs, *told: TransferComplete, events: tuple[Event, ...] = PERIODIC, answers: Answers = usual, version: str = "1-2"
) -> list[Any]:
    """A session of the device: what it tells, then what it is asked. An answer None: the process dies before it sees one."""
    asked: list[Any] = []
    device = DeviceConnection(version=version)
    async with acs.connected() as wire:
        event = device.receive((await wire.post(device.start(inform(events=events)))).body)
        for transfer in told:
            event = device.receive((await wire.post(device.send(transfer))).body)
        event = device.receive((await wire.post(device.hand_over())).body)
        while isinstance(event, Asked):
            asked.append(event.request)
            answer = answers(event.request)
            if answer is None:
                acs.shared.sessions.clear()
                return asked
            event = device.receive((await wire.post(device.answer(answer))).body)
        assert isinstance(event, SessionEnded)
    return asked


async def states(acs: Acs, device_id: int) -> list[tuple[WantedState, list[str]]]:
    """Of every wanted order, the newest first: its state and those of its attempts."""
    found = await acs.fleet.orders(device_id)
    return [(order.state, [one.state.value for one in order.attempts]) for order in found.wanted]


def test_a_reboot_leaves_once_and_is_done_when_the_device_says_so(database_url: str, tmp_path: Path) -> None:
    async def body(acs: Acs, device_id: int) -> None:
        await acs.fleet.want_order("berta", device_id, Reboot())
        with pytest.raises(ConflictError):
            await acs.fleet.want_order("berta", device_id, Reboot())
        (asked,) = await talk(acs)
        assert isinstance(asked, Reboot)
        assert await states(acs, device_id) == [(WantedState.GIVEN, ["started"])]
        assert await talk(acs) == [], "it goes on living for a while before it restarts"
        assert await talk(acs, events=(Event("1 BOOT"), Event("M Reboot", asked.command_key))) == []
        assert await states(acs, device_id) == [(WantedState.DONE, ["done"])]
        history = [(entry.new_value, entry.person) for entry in await acs.fleet.history(device_id) if entry.kind == "order"]
        assert history == [("done", ""), (asked.command_key, "berta"), ("wanted", "berta")]
        assert await talk(acs) == []

    whole(body, database_url, tmp_path)
    assert ask(database_url, "select kind, detail ->> 'method' from fleet.outbox where kind = 'transfer'") == [("transfer", "Reboot")]


def test_several_orders_leave_in_one_session_and_the_restart_waits_for_the_file(database_url: str, tmp_path: Path) -> None:
    async def body(acs: Acs, device_id: int) -> None:
        for order in (FactoryReset(), Reboot(), DownloadFirmware(sha256=SHA), ScheduleInform(30)):
            await acs.fleet.want_order("berta", device_id, order)
        first = await talk(acs)
        assert [type(request) for request in first] == [ScheduleInform, Download]
        download = first[1]
        assert (download.url, download.file_size, download.target_file_name) == (image_url(device_id, SHA, 9), 9, "f.bin")
        transferred = TransferComplete(download.command_key, 0, "")
        second = await talk(acs, transferred, events=(Event("M ScheduleInform", first[0].command_key), Event("7 TRANSFER COMPLETE")))
        assert [type(request) for request in second] == [Reboot]
        third = await talk(acs, events=(Event("1 BOOT"), Event("M Reboot", second[0].command_key)))
        assert [type(request) for request in third] == [FactoryReset]
        assert await talk(acs, events=(Event("0 BOOTSTRAP"), Event("1 BOOT"))) == []
        assert [state for state, _ in await states(acs, device_id)] == [WantedState.DONE] * 4

    whole(body, database_url, tmp_path)


def test_what_a_crash_left_of_a_download_is_asked_of_the_devices_queue(database_url: str, tmp_path: Path) -> None:
    async def body(acs: Acs, device_id: int) -> None:
        await acs.fleet.want_order("berta", device_id, DownloadFirmware(sha256=SHA))
        (first,) = await talk(acs, answers=lambda _: None)
        assert await states(acs, device_id) == [(WantedState.GIVEN, ["committed"])]
        running = GetAllQueuedTransfersResponse((AnyQueuedTransfer(first.command_key, 2),))
        asked = await talk(acs, answers=lambda request: running if isinstance(request, GetAllQueuedTransfers) else usual(request))
        assert [type(request) for request in asked] == [GetAllQueuedTransfers], "it runs: no second one"
        assert await states(acs, device_id) == [(WantedState.GIVEN, ["started"])]
        assert await talk(acs, TransferComplete(first.command_key, 0, "")) == []
        assert await states(acs, device_id) == [(WantedState.DONE, ["done"])]

    whole(body, database_url, tmp_path)


def test_a_download_that_never_reached_the_device_leaves_again_as_another_attempt(database_url: str, tmp_path: Path) -> None:
    async def body(acs: Acs, device_id: int) -> None:
        await acs.fleet.want_order("berta", device_id, DownloadFirmware(sha256=SHA))
        (first,) = await talk(acs, answers=lambda _: None)
        question, second = await talk(acs, version="1-0")
        assert isinstance(question, GetQueuedTransfers), "CWMP 1.0 has no other question"
        assert second.command_key != first.command_key
        assert await states(acs, device_id) == [(WantedState.GIVEN, ["started", "unknown"])]
        late = TransferComplete(first.command_key, 0, "")
        assert await talk(acs, late, TransferComplete(second.command_key, 0, "")) == []
        assert await states(acs, device_id) == [(WantedState.DONE, ["done", "done"])], "what is told late is believed"

    whole(body, database_url, tmp_path)


def test_a_device_that_keeps_no_queue_is_left_in_peace_until_the_deadline(database_url: str, tmp_path: Path) -> None:
    async def body(acs: Acs, device_id: int) -> None:
        await acs.fleet.want_order("berta", device_id, DownloadFirmware(sha256=SHA))
        await acs.fleet.want_order("berta", device_id, Reboot())
        await talk(acs, answers=lambda _: None)
        unknown = Fault(9000, "Method not supported")
        asked = await talk(acs, answers=lambda _: unknown)
        assert [type(request) for request in asked] == [GetAllQueuedTransfers, GetQueuedTransfers], "and nothing new"
        assert [attempts for _, attempts in await states(acs, device_id)] == [[], ["committed"]]
        ask(acs.url, "update fleet.orders set deadline_at = now() - interval '1 s' returning 1")
        assert await acs.fleet.reconcile() == 1
        assert [type(request) for request in await talk(acs)] == [Download]

    whole(body, database_url, tmp_path)


def test_a_transfer_told_without_its_key_is_of_the_one_that_is_open(database_url: str, tmp_path: Path) -> None:
    async def body(acs: Acs, device_id: int) -> None:
        await acs.fleet.want_order("berta", device_id, DownloadFirmware(sha256=SHA))
        await talk(acs)
        assert await talk(acs, TransferComplete("", 9010, "power failure")) == [], "after a pause, not at once"
        (order,) = (await acs.fleet.orders(device_id)).wanted
        (attempt,) = order.attempts
        assert (order.state, attempt.fault_code, attempt.fault_text) == (WantedState.WAITING, 9010, "File transfer failure")
        assert order.not_before_ms > system_clock()

    whole(body, database_url, tmp_path)


@pytest.mark.parametrize(("code", "state"), [(9018, WantedState.FAILED), (9004, WantedState.WAITING), (9001, WantedState.WAITING)])
def test_a_fault_ends_an_attempt_and_its_class_the_order(database_url: str, tmp_path: Path, code: int, state: WantedState) -> None:
    async def body(acs: Acs, device_id: int) -> None:
        await acs.fleet.want_order("berta", device_id, DownloadFirmware(sha256=SHA))
        assert len(await talk(acs, answers=lambda _: Fault(code, "no"))) == 1
        assert await states(acs, device_id) == [(state, ["failed"])]

    whole(body, database_url, tmp_path)


def test_a_download_applied_at_once_is_done(database_url: str, tmp_path: Path) -> None:
    async def body(acs: Acs, device_id: int) -> None:
        await acs.fleet.want_order("berta", device_id, DownloadFirmware(sha256=SHA))
        await talk(acs, answers=lambda _: DownloadResponse(0))
        assert await states(acs, device_id) == [(WantedState.DONE, ["done"])]

    whole(body, database_url, tmp_path)


def test_what_may_be_wanted_and_what_can_be_taken_back(database_url: str, tmp_path: Path) -> None:
    async def body(acs: Acs, device_id: int) -> None:
        with pytest.raises(NotFoundError):
            await acs.fleet.want_order("berta", device_id, DownloadFirmware(sha256="b" * 64))
        with pytest.raises(NotFoundError):
            await acs.fleet.want_order("berta", 0, Reboot())
        with pytest.raises(OperatorError):
            await acs.fleet.want_order("berta", device_id, ScheduleInform(0))
        canceled = await acs.fleet.want_order("berta", device_id, Reboot())
        await acs.fleet.cancel_order("carla", canceled)
        with pytest.raises(ConflictError):
            await acs.fleet.cancel_order("carla", canceled)
        with pytest.raises(NotFoundError):
            await acs.fleet.cancel_order("carla", 0)
        assert await talk(acs) == []
        given = await acs.fleet.want_order("berta", device_id, Reboot())
        await talk(acs)
        with pytest.raises(ConflictError):
            await acs.fleet.cancel_order("carla", given)
        await acs.fleet.want_order("berta", device_id, ScheduleInform(9), lasts_ms=-1)
        await acs.fleet.reconcile()
        assert [state for state, _ in await states(acs, device_id)] == [WantedState.EXPIRED, WantedState.GIVEN, WantedState.CANCELED]

    whole(body, database_url, tmp_path)


def test_a_stranger_with_the_devices_serial_gets_no_order_and_ends_none(database_url: str, tmp_path: Path) -> None:
    async def body(acs: Acs) -> None:
        await acs.give_credential("A1")
        device_id = ask(acs.url, "select device_id from fleet.devices")[0][0]
        await acs.fleet.want_order("berta", device_id, Reboot())
        assert await talk(acs) == [], "it proved nothing"
        await acs.fleet.give(device_id, frozenset({"Reboot"}), None)
        assert await talk(acs, events=(Event("1 BOOT"),)) == []
        assert await states(acs, device_id) == [(WantedState.GIVEN, ["committed"])]

    run(database_url, tmp_path, body)


@contextlib.asynccontextmanager
async def another_process(acs: Acs) -> AsyncIterator[Acs]:
    """A second ACS with the same key and the same database, and nothing else in common."""
    shared = dataclasses.replace(acs.shared, sessions={}, ended=OrderedDict(), storms=Storms())
    prover = Prover(
        acs.fleet.credential,
        NonceMint(b"a key of 16 bytes"),
        system_clock,
        lane=Lane.MANAGED,
        authentication="none",
        refused=shared.refused,
    )
    conversations = Conversations(shared, prover, Lane.MANAGED)
    async with asyncio.TaskGroup() as group:
        front = Front(conversations.handle, name="other", limits=Limits(), group=group, refused=shared.refused, left=conversations.left)
        listener = open_listener("127.0.0.1:0", name="other")
        await front.start(listener)
        try:
            yield Acs(listener.getsockname()[1], acs.fleet, shared, acs.auditor, acs.told, acs.url)
        finally:
            front.stop()
            front.abort()


def test_a_cookie_is_taken_once_whichever_process_it_comes_to(database_url: str, tmp_path: Path) -> None:
    async def at(acs: Acs, cookie: str) -> int:
        async with acs.connected() as wire:
            return (await wire.post(b"", Cookie=cookie)).status

    async def body(acs: Acs, _: int) -> None:
        async with another_process(acs) as second, another_process(acs) as third:
            for elsewhere in ((second,), (second, third), (acs, second, third)):
                async with acs.connected() as wire:
                    cookie = (await wire.post(DeviceConnection().start(inform()))).cookie
                answers = await asyncio.gather(*(at(process, cookie) for process in elsewhere))
                assert sorted(answers) == sorted([204, *[403] * (len(elsewhere) - 1)])
                assert {await at(process, cookie) for process in (acs, second, third)} == {403}
        await acs.auditor.flush()
        assert {reason for reason, _ in await acs.audited()} == {"cookie_replayed"}

    whole(body, database_url, tmp_path)


def test_a_transfer_told_to_the_process_that_took_over_is_committed_there(database_url: str, tmp_path: Path) -> None:
    async def body(acs: Acs, device_id: int) -> None:
        await acs.fleet.want_order("berta", device_id, DownloadFirmware(sha256=SHA))
        await talk(acs)
        device = DeviceConnection(version="1-2")
        async with another_process(acs) as second:
            async with acs.connected() as wire:
                answer = await wire.post(device.start(inform()))
                device.receive(answer.body)
            async with second.connected() as wire:
                body = device.send(TransferComplete("", 0, ""))
                assert b"TransferCompleteResponse" in (await wire.post(body, Cookie=answer.cookie)).body
        assert await states(acs, device_id) == [(WantedState.DONE, ["done"])]

    whole(body, database_url, tmp_path)


def test_an_answer_that_comes_to_another_process_is_its_orders(database_url: str, tmp_path: Path) -> None:
    async def body(acs: Acs, device_id: int) -> None:
        await acs.fleet.want_order("berta", device_id, Reboot())
        device = DeviceConnection(version="1-2")
        async with another_process(acs) as second:
            async with acs.connected() as wire:
                device.receive((await wire.post(device.start(inform()))).body)
                asked = await wire.post(device.hand_over())
                device.receive(asked.body)
            async with second.connected() as wire:
                assert (await wire.post(device.answer(RebootResponse()), Cookie=asked.cookie)).status == 204
        assert await states(acs, device_id) == [(WantedState.GIVEN, ["started"])]

    whole(body, database_url, tmp_path)


def test_a_transcript_holds_everything_but_secrets(database_url: str, tmp_path: Path) -> None:
    secret = "planted-sip-password"
    name = f"{ROOT}Services.VoiceService.1.VoiceProfile.1.Line.1.SIP.AuthPassword"

    def answers(request: Any) -> Any:
        match request:
            case GetParameterValues(names):
                return GetParameterValuesResponse(tuple(ParameterValue(one, "") for one in names))
            case SetParameterValues():
                return Fault(9007, f"{secret} does not please me")
            case _:
                return usual(request)

    async def body(acs: Acs, device_id: int) -> None:
        await talk(acs, events=(Event("1 BOOT"),))  # Its data model is known from now on.
        await acs.fleet.put_secret("anna", device_id, "sip.password", Secret(secret))
        await acs.fleet.want_order("berta", device_id, DownloadFirmware(sha256=SHA))
        asked = await talk(acs, answers=answers)
        assert any(isinstance(request, SetParameterValues) for request in asked), "the secret was sent"
        ((_, _, lines),) = await acs.fleet.transcripts(device_id)
        text = "\n".join(lines)
        assert secret not in text
        assert f"{name} = ***" in text
        assert "device: Fault 9007 Invalid parameter value (*** does not please me)" in text
        assert "/9/1/***" in text
        assert "/signed" not in text

    whole(body, database_url, tmp_path)
    everything = ask(
        database_url, "select lines::text from fleet.transcripts union all select new_value || detail from fleet.history, fleet.orders"
    )
    assert everything
    assert not [text for (text,) in everything if secret in text or "/signed" in text]


def test_the_last_transcripts_of_a_device_are_kept(database_url: str, tmp_path: Path) -> None:
    async def body(acs: Acs, device_id: int) -> None:
        ask(
            acs.url,
            "insert into fleet.transcripts select 'old-' || n, device_id, now() - n * interval '1 hour', '[]'::jsonb"
            " from fleet.devices, generate_series(1, 60) n returning 1",
        )
        await acs.fleet.want_order("berta", device_id, Reboot())
        await talk(acs)
        kept = await acs.fleet.transcripts(device_id, limit=100)
        assert len(kept) == 50
        assert any("Reboot" in line for line in kept[0][2])

    whole(body, database_url, tmp_path)
