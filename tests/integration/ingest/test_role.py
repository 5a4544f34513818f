"""The whole role in this process, with a real nats-server: HEP over UDP and TCP in, the log out."""

import asyncio
import contextlib
import csv
import socket
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ringfence.apps.ingest.main import Ingest, source_of
from ringfence.archive.batches import decode
from ringfence.base.clock import system_clock
from ringfence.base.errors import OperatorError
from ringfence.protocols.hep import HepPacket, PayloadType, encode
from ringfence.protocols.sip import build, response
from ringfence.runtime.bus import Bus
from ringfence.runtime.keys import ensure_key
from ringfence.runtime.role import Role
from ringfence.runtime.settings import Settings
from ringfence.runtime.status import StatusBoard
from ringfence.runtime.streams import log_stream
from ringfence.telephony.call_records import CALL_COLUMNS, REGISTRATION_COLUMNS
from ringfence.telephony.control import NetworksChanged, RatesChanged, encode_control
from ringfence.telephony.hlog import encode_event
from ringfence.telephony.model import AccountRow, Kind, NetworkKind
from tests.harness.engines import NatsServer, free_port
from tests.unit.telephony.wire import HEP_KEY, PHONE, SERVER, bye, invite, verdict

STREAM = log_stream("account", 0)


def settings_of(folder: Path, **ingest: object) -> Settings:
    (folder / "run").mkdir(exist_ok=True)
    ensure_key(folder / "keys" / "hash.key")
    key = folder / "keys" / "agent.key"
    if not key.exists():
        key.write_text("hep-key\n")
        key.chmod(0o600)
    agent = {"name": "kamailio-1", "sources": ["127.0.0.0/8"], "key_file": key, "trust": "hlog"}
    values: dict[str, object] = {"hep_listen": f"127.0.0.1:{free_port()}", "agents": [agent], **ingest}
    return Settings(data_dir=folder, ingest=values)  # type: ignore[arg-type]


@contextlib.asynccontextmanager
async def running(server: NatsServer, settings: Settings) -> AsyncIterator[tuple[Ingest, Bus]]:
    bus = await server.connect("ingest")
    role = Role(name="ingest", instance="i-test", settings=settings, bus=bus, clock=system_clock, board=StatusBoard("ingest", "i-test"))
    ingest = Ingest(role)
    task = asyncio.ensure_future(ingest.run())
    try:
        async with asyncio.timeout(10):
            while not (settings.run_dir / "ingest.ready").exists() and not task.done():
                await asyncio.sleep(0.01)
        if task.done():
            await task
        yield ingest, bus
    finally:
        task.cancel()
        (failure,) = await asyncio.gather(task, return_exceptions=True)
        (settings.run_dir / "ingest.ready").unlink(missing_ok=True)
        await bus.close()
        assert failure is None or isinstance(failure, asyncio.CancelledError | OperatorError), failure


def packet(payload: bytes, source: tuple[str, int] = PHONE, destination: tuple[str, int] = SERVER, kind: int = PayloadType.SIP) -> bytes:
    now = system_clock()
    return encode(HepPacket(2, 17, *source, *destination, now // 1000, now % 1000 * 1000, kind, payload, 1, "", HEP_KEY))


def one_call(call_id: str) -> list[bytes]:
    call = invite(call_id=call_id)
    end = bye(call)
    return [
        packet(build(call)),
        packet(encode_event(verdict(call)), kind=PayloadType.LOG),
        packet(build(response(call, 200, to_tag="t1")), SERVER, PHONE),
        packet(build(end)),
        packet(build(response(end, 200)), SERVER, PHONE),
    ]


async def rows_until(bus: Bus, enough: Callable[[list[AccountRow]], bool], *, ticks: int = 0) -> list[AccountRow]:
    rows: list[AccountRow] = []
    seen = 0
    async with asyncio.timeout(15), contextlib.aclosing(bus.read(STREAM, from_sequence=1)) as messages:
        async for message in messages:
            if message.headers["Rf-Kind"] == "rows":
                batch = decode(message.payload)
                rows += [batch.row(place) for place in range(batch.length)]
            elif message.headers["Rf-Kind"] == "tick":
                assert abs(int.from_bytes(message.payload) - system_clock()) < 10_000
                seen += 1
            if enough(rows) and seen >= ticks:
                break
    return rows


def send(settings: Settings, datagrams: list[bytes]) -> None:
    host, port = settings.ingest.hep_listen.split(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for datagram in datagrams:
            sender.sendto(datagram, (host, int(port)))


def test_calls_over_udp_and_tcp_become_the_log_with_ticks(own_nats: NatsServer, tmp_path: Path) -> None:
    async def scenario() -> None:
        settings = settings_of(tmp_path)
        async with running(own_nats, settings) as (ingest, bus):
            send(settings, [b"not hep", *one_call("udp"), *one_call("udp")])
            host, port = settings.ingest.hep_listen.split(":")
            _reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(b"".join(one_call("tcp")))
            await writer.drain()
            rows = await rows_until(bus, lambda rows: len(rows) >= 6, ticks=2)
            writer.close()
            await writer.wait_closed()
            assert sorted((row.call_id, Kind(row.kind).name) for row in rows) == sorted(
                (call_id, kind) for call_id in ("udp", "tcp") for kind in ("ATTEMPT", "ANSWER", "END")
            )
            await asyncio.sleep(1.1)
            figures = ingest._role.board.figures
            assert figures["refused_not_hep_total"] == 1
            assert figures["rows_published_total"] == 6
            assert figures["lost_total"] == 0
            assert figures["skew_ms:kamailio-1"] < 1_000

    asyncio.run(scenario())


def test_a_bus_that_dies_costs_nothing_for_a_while_and_order_stays(own_nats: NatsServer, tmp_path: Path) -> None:
    async def scenario() -> None:
        settings = settings_of(tmp_path)
        async with running(own_nats, settings) as (_ingest, bus):
            send(settings, one_call("a"))
            await rows_until(bus, lambda rows: len(rows) == 3)
            own_nats.kill()
            for name in ("b", "c"):
                send(settings, one_call(name))
                await asyncio.sleep(0.2)
            own_nats.start()
            rows = await rows_until(bus, lambda rows: len(rows) >= 9)
            assert [row.call_id for row in rows] == ["a"] * 3 + ["b"] * 3 + ["c"] * 3

    asyncio.run(scenario())


def test_a_restart_takes_up_running_calls_and_writes_what_was_understood(own_nats: NatsServer, tmp_path: Path) -> None:
    async def scenario() -> None:
        settings = settings_of(tmp_path)
        call = one_call("long")
        async with running(own_nats, settings):
            send(settings, call[:3])
            await asyncio.sleep(0.01)
        async with running(own_nats, settings) as (ingest, bus):
            assert ingest.pipeline.open_calls == 1
            send(settings, call[3:])
            rows = await rows_until(bus, lambda rows: len(rows) >= 3)
            assert [Kind(row.kind).name for row in rows] == ["ATTEMPT", "ANSWER", "END"]
            assert len({row.call_key for row in rows}) == 1

    asyncio.run(scenario())


def test_a_new_rate_deck_prices_the_next_call_without_a_restart(own_nats: NatsServer, tmp_path: Path) -> None:
    async def scenario() -> None:
        settings = settings_of(tmp_path)
        async with running(own_nats, settings) as (ingest, bus):
            worker = await own_nats.connect("worker")
            bucket = worker.bucket("control")
            await bucket.put("rates", encode_control([RatesChanged(version=2, csv="prefix,country,kind\n")]))
            await bucket.put(
                "rates", encode_control([RatesChanged(version=3, csv="prefix,country,kind,eur_per_minute\n232,SL,mobile,7.77\n")])
            )
            async with asyncio.timeout(5):
                while ingest.pipeline.pricing.price("sip:0023276123456@x").rate != 7_770_000:
                    await asyncio.sleep(0.01)
            send(settings, one_call("priced"))
            rows = await rows_until(bus, lambda rows: len(rows) >= 3)
            assert {row.rate for row in rows} == {7_770_000}
            assert not ingest._role.board.status(0).message
            await worker.close()

    asyncio.run(scenario())


def test_call_records_fill_what_the_wire_did_not_show_once(own_nats: NatsServer, tmp_path: Path) -> None:
    file = tmp_path / "calls.csv"

    def write(*call_ids: str) -> None:
        with file.open("a", newline="") as out:
            writer = csv.writer(out)
            if not file.stat().st_size:
                writer.writerow(CALL_COLUMNS)
            for call_id in call_ids:
                times = (f"2026-03-01T10:00:0{number}Z" for number in range(3))
                writer.writerow((call_id, "alice", "+4930123", "0023276123456", "192.0.2.1", "x", "e", *times, "200"))

    async def scenario() -> None:
        source = {"name": "files", "kind": "csv", "path": str(tmp_path / "*.csv"), "poll_seconds": 1}
        settings = settings_of(tmp_path, call_records=[source])
        file.touch()
        async with running(own_nats, settings) as (_ingest, bus):
            send(settings, one_call("seen"))
            await rows_until(bus, lambda rows: len(rows) >= 3)
            write("seen", "r1")
            with file.open("a") as out:
                out.write("broken,row\n")
            rows = await rows_until(bus, lambda rows: len(rows) >= 4)
            assert [(row.call_id, row.callee) for row in rows[3:]] == [("r1", "+23276123456")]
            await asyncio.sleep(0.1)
        async with running(own_nats, settings) as (_ingest, bus):
            write("r2")
            rows = await rows_until(bus, lambda rows: len(rows) >= 5)
            assert [row.call_id for row in rows[3:]] == ["r1", "r2"]

    asyncio.run(scenario())


def test_registration_files_and_parquet_calls_reach_the_log(own_nats: NatsServer, tmp_path: Path) -> None:
    at = pa.array([datetime(2026, 3, 1, 10, tzinfo=UTC)] * 2, pa.timestamp("ms", "UTC"))
    calls = {name: ["p1", "p2"] for name in CALL_COLUMNS} | {"callee": ["+23276123456", ""], "status_code": [200, 200]}
    pq.write_table(pa.table(calls | dict.fromkeys(("started_at", "answered_at", "ended_at"), at)), tmp_path / "calls.parquet")
    row = "2026-03-01T10:00:00Z,alice,192.0.2.1,x,sip:a@192.0.2.1,3600,200"
    (tmp_path / "registrations.csv").write_text("\n".join([",".join(REGISTRATION_COLUMNS), row, row, ""]))

    async def scenario() -> None:
        sources = [
            {"name": "calls", "kind": "parquet", "path": str(tmp_path / "*.parquet"), "poll_seconds": 1},
            {"name": "registrations", "kind": "csv", "holds": "registrations", "path": str(tmp_path / "*.csv"), "poll_seconds": 1},
        ]
        settings = settings_of(tmp_path, call_records=sources)
        async with running(own_nats, settings) as (ingest, bus):
            rows = await rows_until(bus, lambda rows: len(rows) >= 2)
            assert {(row.kind, row.account, row.callee) for row in rows} == {
                (Kind.CALL, "p1", "+23276123456"), (Kind.REGISTRATION, "alice", "")
            }  # fmt: skip
            await asyncio.sleep(1.2)
            assert ingest._role.board.figures["records_refused_calls_no_callee_total"] == 1
        async with running(own_nats, settings) as (_ingest, bus):
            await asyncio.sleep(1.5)
            rows = await rows_until(bus, lambda rows: len(rows) >= 2, ticks=3)
            assert sorted(row.kind for row in rows if row.status_code == 200) == [Kind.CALL, Kind.REGISTRATION], "nothing comes twice"

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ({"kind": "kamailio", "columns": {}}, "needs time_zone"), ({"kind": "asterisk", "path": "x"}, "needs time_zone"),
        ({"kind": "csv", "path": "x", "time_zone": "Europe/Berlin"}, "are UTC; remove time_zone"),
        ({"kind": "freeswitch", "path": "x", "holds": "registrations"}, "holds calls; remove holds"),
        ({"kind": "kamailio", "time_zone": "UTC"}, "needs url_file"), ({"kind": "csv"}, "needs path"),
    ],
)  # fmt: skip
def test_a_source_that_cannot_be_is_one_sentence(tmp_path: Path, source: dict[str, object], sentence: str) -> None:
    settings = settings_of(tmp_path, call_records=[{"name": "s", **source}])
    with pytest.raises(OperatorError, match=sentence):
        source_of(settings.ingest.call_records[0], settings, system_clock)


def test_a_taken_port_is_one_sentence(own_nats: NatsServer, tmp_path: Path) -> None:
    async def scenario() -> None:
        settings = settings_of(tmp_path)
        host, port = settings.ingest.hep_listen.split(":")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
            taken.bind((host, int(port)))
            with pytest.raises(OperatorError, match="cannot listen"):
                async with running(own_nats, settings):
                    pass

    asyncio.run(scenario())


def test_imported_networks_count_without_a_restart_and_each_view_has_its_log(own_nats: NatsServer, tmp_path: Path) -> None:
    async def scenario() -> None:
        settings = settings_of(tmp_path)
        async with running(own_nats, settings) as (ingest, bus):
            worker = await own_nats.connect("worker")
            networks = NetworksChanged(version=1, networks=((f"{PHONE[0]}/32", "cgnat"),))
            await worker.bucket("control").put("networks", encode_control([networks]))
            await worker.close()
            async with asyncio.timeout(15):
                while not ingest.pipeline.senders.of(PHONE[0], "", keyed=True).network_kind:
                    await asyncio.sleep(0.01)
            send(settings, one_call("v"))
            rows = await rows_until(bus, lambda rows: len(rows) >= 3)
            assert {row.network_kind for row in rows} == {NetworkKind.CGNAT}
            for view, kinds in (("range", {"rows", "tick"}), ("source", {"rows", "tick"}), ("network", {"second", "tick"})):
                found: set[str] = set()
                async with asyncio.timeout(15), contextlib.aclosing(bus.read(log_stream(view, 0), from_sequence=1)) as messages:
                    async for message in messages:
                        found.add(message.headers["Rf-Kind"])
                        if found == kinds:
                            break

    asyncio.run(scenario())
