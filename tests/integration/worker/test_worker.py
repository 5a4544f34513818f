"""The worker's tasks on a real PostgreSQL and a real nats-server, killed in the middle where that matters."""

import asyncio
import contextlib
import http.server
import io
import json
import os
import signal
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Literal

import msgspec
import psycopg
import pytest

from ringfence.access.model import Role
from ringfence.access.service import AccessService
from ringfence.apps.worker.archivist import Archivist
from ringfence.apps.worker.beginnings import begin
from ringfence.apps.worker.control import ControlWriter
from ringfence.apps.worker.pager import NOBODY, Pager
from ringfence.apps.worker.projector import Projector
from ringfence.archive import batches
from ringfence.archive.writer import ArchiveWriter
from ringfence.base.errors import OperatorError
from ringfence.base.secret import Secret
from ringfence.detection.composing.service import ComposingService
from ringfence.detection.model import Alert, Evidence, Subject, encode_alert, iso_time
from ringfence.detection.service import AlertFilter, DetectionService, built_in_rules
from ringfence.enforcement.events import BlockImposed, BlockLifted, BreakerOpened, BreakerReset, Event, encode_event, subject_of
from ringfence.enforcement.model import Block, Breaker, EdgeReport, Scope
from ringfence.enforcement.service import BlockFilter, EnforcementService
from ringfence.runtime.bus import Bus
from ringfence.runtime.db import Database, migrate
from ringfence.runtime.settings import Operator, Settings
from ringfence.runtime.status import StatusBoard
from ringfence.runtime.streams import log_stream
from ringfence.subscribers.service import SubscribersService
from ringfence.telephony.columns import batch_of
from ringfence.telephony.control import AccountChanged, BlockReleased, ComposedChanged, NetworksChanged, RuleSetChanged, decode_control
from ringfence.telephony.model import AccountRow, Kind
from tests.harness.engines import NatsServer, short_folder

# One of apprise's plugins imports a module of the standard library that 3.13 drops.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")

START_MS = 1_790_000_000_000
KEY = b"key of the test"


class Clock:
    def __init__(self) -> None:
        self.now_ms = START_MS

    def __call__(self) -> int:
        return self.now_ms


class Worker:
    """The parts of a worker, wired as its main does, with a clock of the test's own."""

    def __init__(self, bus: Bus, db: Database, *, urls: tuple[str, ...] = ()) -> None:
        self.bus = bus
        self.clock = Clock()
        self.board = StatusBoard("worker", "i-test")
        self.access = AccessService(db, self.clock)
        self.detection = DetectionService(db, self.clock)
        self.composing = ComposingService(db, self.clock)
        self.enforcement = EnforcementService(db, self.clock)
        self.subscribers = SubscribersService(db, KEY, self.clock)
        self.control = ControlWriter(bus, self.subscribers, self.detection, self.composing, self.board)
        self.projector = Projector(
            bus, detection=self.detection, enforcement=self.enforcement, access=self.access, control=self.control, board=self.board
        )
        self.pager = Pager(self.access, self.detection, self.board, self.clock, urls=urls, escalate_ms=300_000)

    @property
    def message(self) -> str:
        return self.board.status(0).message


def run(url: str, nats: NatsServer, body: Callable[[Worker], Awaitable[None]], **more: tuple[str, ...]) -> None:
    async def main() -> None:
        bus = await nats.connect("worker")
        try:
            async with Database(url, name="test") as db:
                await body(Worker(bus, db, **more))
        finally:
            await bus.close()

    asyncio.run(main())


@contextlib.asynccontextmanager
async def running(*coroutines: Awaitable[object]) -> AsyncIterator[None]:
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def until(question: Callable[[], Awaitable[bool]], *, seconds: float = 30) -> None:
    async with asyncio.timeout(seconds):
        while not await question():
            await asyncio.sleep(0.05)


def alert(number: int, step: int, *, state: str = "open", severity: str = "warning") -> Alert:
    return Alert(
        alert_id=f"a-{number:04}",
        step=step,
        state=state,  # type: ignore[arg-type]
        at=iso_time(START_MS + step * 1000),
        rule="D02",
        rule_version=1,
        severity=severity,  # type: ignore[arg-type]
        subject=Subject(kind="account", value=f"acc{number}"),
        account=f"acc{number}",
        score=70,
        cost_eur=20.5,
        reason="20 EUR in an hour.",
        evidence=Evidence(calls=("c1", "c2"), thresholds={"act": 20}, observed={"cost": 20.5}),
    )


def block(number: int, **changes: object) -> Block:
    fields = {
        "block_id": f"b-{number:04}", "scope": Scope.CLASS, "value": f"acc{number}", "destination_class": 3, "imposed_ms": START_MS,
        "until_ms": START_MS + 3_600_000, "origin": "rule:D02@1", "author": "rule:D02@1", "reason": "20 EUR", "alert_id": f"a-{number:04}",
        "account": f"acc{number}",
    }  # fmt: skip
    return msgspec.convert(fields | changes, Block)


async def messages(bus: Bus, kind: str) -> list[bytes]:
    """Every payload of a kind in the log."""
    stream = log_stream("account", 0)
    found = []
    for sequence in range(1, await bus.last_sequence(stream) + 1):
        message = await bus.get(stream, sequence)
        if message is not None and message.headers.get("Rf-Kind") == kind:
            found.append(message.payload)
    return found


async def unacknowledged(nats: NatsServer, stream: str, durable: str) -> int:
    """Messages of a durable consumer that would come again, or did not come yet."""
    supervisor = await nats.connect()
    try:
        await asyncio.sleep(0.2)  # Acknowledgements are not answered.
        info = await supervisor.api(f"CONSUMER.INFO.{stream}.{durable}")
        return int(info["num_ack_pending"]) + int(info["num_pending"])
    finally:
        await supervisor.close()


# Control records


def test_changes_go_to_the_bucket_and_the_log_and_leave_the_outbox(database_url: str, own_nats: NatsServer) -> None:
    async def body(worker: Worker) -> None:
        await worker.subscribers.import_accounts("anna", io.BytesIO(b"account,segment,channels\nalice,business,7\nbob,,\n"))
        await worker.subscribers.import_networks("anna", io.BytesIO(b"prefix,kind\n192.0.2.0/24,own_pool\n"))
        await worker.detection.ensure_first_rules(built_in_rules(), "anna")
        assert await worker.control.turn()
        assert not await worker.control.turn(), "nothing is told twice"
        assert await worker.subscribers.pending(10) == ()
        assert await worker.detection.pending(10) == ()

        told = [record for payload in await messages(worker.bus, "control") for record in decode_control(payload)]
        assert {type(record) for record in told} == {RuleSetChanged, NetworksChanged, AccountChanged}
        alice = next(record for record in told if isinstance(record, AccountChanged) and record.account == "alice")
        assert (alice.segment, alice.channels) == ("business", 7)
        entry = await worker.bus.bucket("control").get(f"accounts.{alice.slot}")
        assert entry is not None
        assert entry.value is not None
        assert alice in decode_control(entry.value)
        networks = await worker.bus.bucket("control").get("networks")
        assert networks is not None
        (changed,) = decode_control(networks.value or b"")
        assert isinstance(changed, NetworksChanged)
        assert changed in told
        assert changed.networks == (("192.0.2.0/24", "own_pool"),)

    run(database_url, own_nats, body)


def test_a_composed_rule_is_told_where_it_changes(database_url: str, own_nats: NatsServer) -> None:
    text = '[rule.night]\ncount = "calls"\nper = "account"\nwindow = "10 min"\nact = 3\n'

    async def body(worker: Worker) -> None:
        bucket = worker.bus.bucket("control")
        states: tuple[Literal["probation", "active", "retired"], ...] = ("probation", "active", "retired")
        await worker.composing.save(text, "anna")
        for state in states:
            await worker.composing.put("X-night", 1, state, "anna")
            assert await worker.control.turn()
            entry = await bucket.get("composed.X-night")
            assert entry is not None
            [kept] = decode_control(entry.value or b"")
            assert isinstance(kept, ComposedChanged)
            assert (kept.rule_id, kept.version, kept.state) == ("X-night", 1, state)
        told = [record for payload in await messages(worker.bus, "control") for record in decode_control(payload)]
        assert [record.state for record in told if isinstance(record, ComposedChanged)] == list(states)
        await bucket.delete("composed.X-night")
        await worker.control.compare()
        assert await bucket.get("composed.X-night") is not None
        assert await worker.detection.pending(1) == ()

    run(database_url, own_nats, body)


def test_a_crash_before_the_outbox_is_settled_repeats_and_changes_nothing(
    database_url: str, own_nats: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body(worker: Worker) -> None:
        await worker.subscribers.import_accounts("anna", io.BytesIO(b"account\nalice\n"))

        async def die(_changes: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(worker.subscribers, "settle", die)
        with pytest.raises(KeyboardInterrupt):
            await worker.control.turn()
        monkeypatch.undo()
        assert await worker.control.turn()
        told = await messages(worker.bus, "control")
        assert len(told) == 2
        assert told[0] == told[1]

    run(database_url, own_nats, body)


def test_an_emptied_bucket_is_filled_again_from_postgresql(database_url: str, own_nats: NatsServer) -> None:
    async def body(worker: Worker) -> None:
        await worker.subscribers.import_accounts("anna", io.BytesIO(b"account\n" + b"".join(b"acc%d\n" % n for n in range(300))))
        await worker.detection.ensure_first_rules(built_in_rules(), "anna")
        await worker.control.turn()
        bucket = worker.bus.bucket("control")
        before = {key: entry.value for key in await bucket.keys() if (entry := await bucket.get(key)) is not None}
        assert len(before) > 100
        for key in before:
            await bucket.delete(key)
        fresh = ControlWriter(worker.bus, worker.subscribers, worker.detection, worker.composing, worker.board)
        await fresh.compare()
        after = {key: entry.value for key in await bucket.keys() if (entry := await bucket.get(key)) is not None}
        assert after == before
        written = await worker.bus.last_sequence("LOG_account_0")
        await fresh.compare()
        assert await worker.bus.last_sequence("LOG_account_0") == written, "what agrees is not told again"

    run(database_url, own_nats, body)


def test_a_new_installation_gets_rules_and_holidays_once(database_url: str, own_nats: NatsServer) -> None:
    async def body(worker: Worker) -> None:
        for _ in range(2):
            async with running(begin(worker.detection, worker.board, Operator(), built_in_rules())):
                await until(lambda: _has_holidays(worker))
        changes = await worker.detection.pending(10)
        assert sorted(change.kind for change in changes) == ["holidays", "rules"]
        record = await worker.detection.changed("holidays")
        assert record is not None
        assert "2026-12-25" in msgspec.to_builtins(record)["days"]

    async def _has_holidays(worker: Worker) -> bool:
        return await worker.detection.changed("holidays") is not None

    run(database_url, own_nats, body)


# Copies


def test_alerts_are_copied_once_with_their_pages(database_url: str, own_nats: NatsServer) -> None:
    async def body(worker: Worker) -> None:
        detector = await own_nats.connect("detector")
        steps = [alert(1, 1), alert(1, 2, state="update", severity="critical"), alert(2, 1)]
        for step in steps:
            assert await detector.publish_once(f"alert.{step.alert_id}.{step.step}", encode_alert(step))
        await detector.publish("alert.a-9999.1", b"not an alert")
        async with running(worker.projector.run()):
            await until(lambda: _copied(worker, 2))
            await until(lambda: _at_step(worker, "a-0001", 2))
            first = await worker.detection.alert("a-0001")
            assert (first.state, first.severity, first.step) == ("update", "critical", 2)
            assert (first.opened_ms, first.changed_ms) == (START_MS + 1000, START_MS + 2000)
            assert first.cost_micro == 20_500_000
            assert [step.step for step in await worker.detection.steps("a-0001")] == [1, 2]
            assert not await worker.access.open_page("a-0001", "again"), "the critical one is being paged"
            assert await worker.access.open_page("a-0002", "only a warning until now")
            await detector.publish_once("alert.a-0001.3", encode_alert(alert(1, 3, state="close")))
            await until(lambda: _closed(worker, "a-0001"))
            await until(lambda: _page_ended(worker, "a-0001"))
            assert await unacknowledged(own_nats, "ALERTS", "worker-alerts") == 0, "the unreadable one is left behind, too"
        await detector.close()

    async def _page_ended(worker: Worker, alert_id: str) -> bool:
        return alert_id not in [entry.page.alert_id for entry in await worker.access.due_pages(())]

    run(database_url, own_nats, body)


async def _copied(worker: Worker, number: int) -> bool:
    return len(await worker.detection.alerts(AlertFilter(), limit=500)) == number


async def _closed(worker: Worker, alert_id: str) -> bool:
    return not (await worker.detection.alert(alert_id)).running


async def _at_step(worker: Worker, alert_id: str, step: int) -> bool:
    return (await worker.detection.alert(alert_id)).step == step


def test_announcements_become_copy_history_audit_and_release(database_url: str, own_nats: NatsServer) -> None:
    async def body(worker: Worker) -> None:
        policy = await own_nats.connect("policy")
        imposed = BlockImposed(block=block(1))
        lifted = BlockLifted(block=block(1, state="lifted", ended_ms=START_MS + 5, ended_by="anna", ended_reason="customer called"))
        for event, revision in ((imposed, 1), (lifted, 2)):
            assert await policy.publish_once(subject_of(event, revision), encode_event(event))
        async with running(worker.projector.run()):
            await until(lambda: _audited(worker, 2))
            await until(lambda: _released(worker))
        copied = await worker.enforcement.block("b-0001")
        assert copied == lifted.block
        history = await worker.enforcement.history(account="acc1")
        assert [(line.name, line.person) for line in history] == [("block_lifted", "anna"), ("block_imposed", "rule:D02@1")]
        assert (await worker.access.verify()).intact

        await worker.projector.copy_buckets()
        async with running(worker.projector.run()):  # A worker that starts again finds nothing to do.
            await asyncio.sleep(0.5)
        assert await _audited(worker, 2)
        await policy.close()

    async def _audited(worker: Worker, number: int) -> bool:
        return (await worker.access.verify()).entries == number

    async def _released(worker: Worker) -> bool:
        told = [record for payload in await messages(worker.bus, "control") for record in decode_control(payload)]
        return BlockReleased(block_id="b-0001", alert_id="a-0001", account="acc1", scope="class", at_ms=START_MS + 5, by="anna") in told

    run(database_url, own_nats, body)


def test_breakers_page_until_reset_and_break_glass_tells_everyone(database_url: str, own_nats: NatsServer) -> None:
    async def body(worker: Worker) -> None:
        policy = await own_nats.connect("policy")
        line = ()
        events: list[tuple[Event, int]] = [
            (BreakerOpened(breaker=Breaker(kind="account", opened_ms=START_MS, subjects=51, limit=50)), 1),
            (BlockImposed(block=block(2, author="anna", break_glass=True)), 2),
        ]
        for event, revision in events:
            await policy.publish_once(subject_of(event, revision), encode_event(event))
        async with running(worker.projector.run()):
            await until(lambda: _due(worker, {f"breaker-account-{START_MS}", "break-glass-b-0002"}))
            due = await worker.access.due_pages(line)
            assert {entry.page.alert_id: entry.page.everyone for entry in due} == {
                f"breaker-account-{START_MS}": False,
                "break-glass-b-0002": True,
            }
            reset = BreakerReset(breaker=Breaker(kind="account", reset_ms=START_MS + 9, reset_by="anna", reset_reason="checked"))
            await policy.publish_once(subject_of(reset, 3), encode_event(reset))
            await until(lambda: _due(worker, {"break-glass-b-0002"}))
        await policy.close()

    async def _due(worker: Worker, expected: set[str]) -> bool:
        return {entry.page.alert_id for entry in await worker.access.due_pages(())} == expected

    run(database_url, own_nats, body)


def test_buckets_and_edges_are_copied_by_revision(database_url: str, own_nats: NatsServer) -> None:
    async def body(worker: Worker) -> None:
        policy, edge = await own_nats.connect("policy"), await own_nats.connect("edge")
        bucket = policy.bucket("blocks")
        for number in range(20):
            await bucket.put(f"b-{number:04}", msgspec.json.encode(block(number)))
        await bucket.put("b-0003", msgspec.json.encode(block(3, state="expired", ended_ms=START_MS + 1)))
        await worker.projector.copy_buckets()
        assert len(await worker.enforcement.blocks(BlockFilter())) == 20
        assert (await worker.enforcement.block("b-0003")).state == "expired"
        assert not await worker.enforcement.copy(block(3), 1), "an older revision never wins"
        assert (await worker.enforcement.block("b-0003")).state == "expired"

        report = EdgeReport(edge="kamailio-1", at_ms=START_MS, reachable=True, agrees=True, keys=20)
        await edge.bucket("edges").put("kamailio-1", msgspec.json.encode(report))
        async with running(worker.projector.run()):
            await until(lambda: _edges(worker, report))
        await policy.close()
        await edge.close()

    async def _edges(worker: Worker, report: EdgeReport) -> bool:
        return await worker.enforcement.edges() == (report,)

    run(database_url, own_nats, body)


# Engines that die


def kill_postgres(folder: Path) -> None:
    """kill -9 of the postmaster."""
    pid = int((next((folder / "postgres").glob("*/postmaster.pid"))).read_text().split("\n")[0])
    os.kill(pid, signal.SIGKILL)


def test_killed_postgresql_loses_nothing_and_the_archive_goes_on(own_nats: NatsServer) -> None:
    from ringfence.runtime.engines import engine_user
    from ringfence.runtime.postgres import Postgres, copy_binaries, find_binaries

    async def main(folder: Path) -> None:
        settings = Settings(data_dir=folder)
        for name in ("run", "log"):
            folder.joinpath(name).mkdir(mode=0o755)
        owner = engine_user(folder)
        binaries = find_binaries() if owner is None else copy_binaries(find_binaries(), folder / "engines")
        await Postgres(settings, binaries=binaries, owner=owner).start()
        await migrate(settings.database)
        bus, detector, policy = [await own_nats.connect(user) for user in ("worker", "detector", "policy")]
        async with Database(settings.database, name="test") as db:
            worker = Worker(bus, db)
            archivist = Archivist(bus, ArchiveWriter(folder / "archive"), worker.board, worker.clock, lane=0)
            async with running(worker.projector.run(), worker.control.run(), archivist.run()):
                for number in range(100):
                    await detector.publish_once(f"alert.a-{number:04}.1", encode_alert(alert(number, 1)))
                    event = BlockImposed(block=block(number))
                    await policy.publish_once(subject_of(event, number + 1), encode_event(event))
                    if number == 50:
                        kill_postgres(folder)
                await until(lambda: _troubled(worker))
                await bus.publish("log.account.0", batches.encode(batch_of([row(1)])), {"Rf-Kind": "rows"})
                await asyncio.sleep(1.5)  # Until it waits to be archived; then its minute ends.
                worker.clock.now_ms += 60_000
                await until(lambda: _archived(archivist), seconds=10)
                while True:  # The killed postmaster's children have to end before the next one may start.
                    second = Postgres(settings, binaries=binaries, owner=owner)
                    try:
                        await second.start()
                        break
                    except OperatorError:
                        await asyncio.sleep(0.3)
                await until(lambda: _copied(worker, 100), seconds=60)
                await until(lambda: _blocks(worker, 100), seconds=60)
                await until(lambda: _calm(worker))
            report = await worker.access.verify()
            assert report.intact
            assert report.entries == 100
        for one in (bus, detector, policy):
            await one.close()
        await second.stop()

    async def _troubled(worker: Worker) -> bool:
        return "wait to be copied" in worker.message

    async def _calm(worker: Worker) -> bool:
        # No policy runs here, so the comparison of the record goes on waiting for one.
        return not any(text in worker.message for text in ("wait to be copied", "wait to be told", "holidays wait"))

    async def _archived(archivist: Archivist) -> bool:
        return archivist._writer.position.sequence > 0

    async def _blocks(worker: Worker, number: int) -> bool:
        return len(await worker.enforcement.blocks(BlockFilter(), limit=500)) == number and (await worker.access.verify()).entries == number

    with short_folder() as folder:
        asyncio.run(main(folder))


def test_a_killed_bus_is_waited_for(database_url: str, own_nats: NatsServer) -> None:
    async def body(worker: Worker) -> None:
        async with running(worker.projector.run(), worker.control.run()):
            await asyncio.sleep(0.5)
            own_nats.kill()
            await worker.subscribers.import_accounts("anna", io.BytesIO(b"account\nalice\n"))
            await asyncio.sleep(1)
            own_nats.start()
            detector = await own_nats.connect("detector")
            await detector.publish_once("alert.a-0001.1", encode_alert(alert(1, 1)))
            await until(lambda: _copied(worker, 1))
            await until(lambda: _settled(worker))
            await detector.close()

    async def _settled(worker: Worker) -> bool:
        return await worker.subscribers.pending(1) == ()

    run(database_url, own_nats, body)


# The archive


def row(number: int, at_ms: int = START_MS) -> AccountRow:
    return AccountRow(
        kind=Kind.ATTEMPT, at_ms=at_ms, received_ms=at_ms, account=f"acc{number}", account_key=number + 1, call_id=f"c{number}",
        call_key=number + 1, callee="+23276123456", destination_class=4, started_ms=at_ms,
    )  # fmt: skip


# Paging


@contextlib.contextmanager
def webhook() -> Iterator[tuple[str, list[str]]]:
    """A web server on loopback that keeps the messages it is sent; the apprise address for it."""
    received: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["message"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"json://127.0.0.1:{server.server_address[1]}/", received
    finally:
        server.shutdown()
        server.server_close()


def test_paging_goes_down_the_line_and_stops_with_the_acknowledgement(database_url: str, own_nats: NatsServer) -> None:
    with webhook() as (first, told_first), webhook() as (second, told_second):

        async def body(worker: Worker) -> None:
            await worker.detection.record_alert(encode_alert(alert(1, 1, severity="critical")), 1)
            await worker.access.open_page("a-0001", "D02 acc1")
            assert await worker.pager.turn() == 1
            assert await worker.pager.turn() == 0
            assert (len(told_first), len(told_second)) == (1, 0)
            assert "D02 acc1" in told_first[0]
            worker.clock.now_ms += 300_000
            restarted = Pager(worker.access, worker.detection, worker.board, worker.clock, urls=(first, second), escalate_ms=300_000)
            assert await restarted.turn() == 1
            assert (len(told_first), len(told_second)) == (1, 1)
            await worker.detection.acknowledge("a-0001", "anna")
            worker.clock.now_ms += 300_000
            assert await worker.pager.turn() == 0
            assert (len(told_first), len(told_second)) == (1, 1)

        run(database_url, own_nats, body, urls=(first, second))


def test_many_alerts_are_one_message(database_url: str, own_nats: NatsServer) -> None:
    with webhook() as (address, told):

        async def body(worker: Worker) -> None:
            for number in range(40):
                await worker.access.open_page(f"x-{number}", f"D02 acc{number}")
            assert await worker.pager.turn() == 1
            assert len(told) == 1
            assert "and 30 more" in told[0]

        run(database_url, own_nats, body, urls=(address,))


def test_a_dead_address_is_named_and_the_next_person_told_soon(database_url: str, own_nats: NatsServer) -> None:
    with webhook() as (alive, told):

        async def body(worker: Worker) -> None:
            made = await worker.access.ensure_first_administrator()
            assert made is not None
            session = await worker.access.authenticate("admin", made.password, "", "127.0.0.1")
            session = await worker.access.change_password(session.actor, made.password, Secret("correct horse battery"), "127.0.0.1")
            await worker.access.add_user(session.actor, "anna", frozenset({Role.ANALYST}))
            dead = Secret("json://user:hunter2@127.0.0.1:9/")
            await worker.access.set_on_call(session.actor, [("anna", dead), ("admin", Secret(alive))])
            await worker.access.open_page("x", "D02")
            await worker.pager.turn()
            assert told == []
            assert "address of anna" in worker.message
            assert "hunter2" not in worker.message
            worker.clock.now_ms += 15_000
            await worker.pager.turn()
            assert len(told) == 1

        run(database_url, own_nats, body, urls=())


def test_nobody_to_page_is_said_clearly(database_url: str, own_nats: NatsServer) -> None:
    async def body(worker: Worker) -> None:
        await worker.access.open_page("x", "D02")
        assert await worker.pager.turn() == 0
        assert worker.message == NOBODY
        with psycopg.connect(database_url) as connection:
            row = connection.execute("select paged, ended_at from access.pages").fetchone()
        assert row == (0, None), "it is paged as soon as there is somebody"

    run(database_url, own_nats, body)
