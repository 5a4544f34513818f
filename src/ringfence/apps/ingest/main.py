"""`python -m ringfence.apps.ingest.main`: HEP and call records to the log.

Wires sockets, the pipeline of `telephony`, the publisher, the leases for ticks and the watch for new rate decks and networks. It holds no
rule of its own: what a packet means is decided in `telephony.pipeline`, what the log is in `archive.batches`.
"""

import asyncio
import contextlib
import gc
import resource
import time
from collections.abc import Sequence
from zoneinfo import ZoneInfo

import msgspec

from ringfence.apps.ingest.origins import open_hot_numbers, open_origins
from ringfence.apps.ingest.publish import Publisher
from ringfence.apps.ingest.receive import TcpServer, UdpReceiver, open_udp
from ringfence.apps.ingest.record_files import FileSource
from ringfence.apps.ingest.record_tables import KamailioSource
from ringfence.apps.ingest.records import Record, Source, follow
from ringfence.apps.ingest.recover import read_back
from ringfence.archive import call_files
from ringfence.base.clock import Clock
from ringfence.base.errors import ConflictError, OperatorError, UnavailableError
from ringfence.protocols.hep import HepPacket
from ringfence.runtime.bucket import Entry
from ringfence.runtime.keys import HASH_KEY, read_key
from ringfence.runtime.lease import Lease
from ringfence.runtime.log import get_logger
from ringfence.runtime.metrics import counter, gauge
from ringfence.runtime.role import Role, run_role
from ringfence.runtime.settings import CallRecords, Settings, split_address
from ringfence.telephony.call_records import CallRecord
from ringfence.telephony.control import NetworksChanged, RatesChanged, decode_control
from ringfence.telephony.decks import default_deck_text
from ringfence.telephony.emergency import emergency_calls
from ringfence.telephony.model import AccountRow, Kind
from ringfence.telephony.networks import OwnNetworks
from ringfence.telephony.numbers import plan_for
from ringfence.telephony.pipeline import Pipeline
from ringfence.telephony.rates import read_deck
from ringfence.telephony.trust import agent_of

TIMEOUT_SECONDS = 0.01
"""How often the pipeline is asked whether time alone brings rows."""
TURN_DATAGRAMS = 512
"""Datagrams that are read before everything else has its turn: some ten milliseconds of work."""
BEAT_SECONDS = 1.0
LEASE_SECONDS = 3.0
DRAIN_SECONDS = 3.0
RETRY_SECONDS = 1.0
COLLECT_AFTER = 20_000
"""Objects more than before that make Python look for cycles (700 by itself)."""

_log = get_logger(__name__)
_messages = counter("ringfence_ingest_messages_total", "HEP packets of known agents.")
_refused = counter("ringfence_ingest_packets_refused_total", "Packets and records refused or left aside, by reason.", ("reason",))
_lost = counter("ringfence_ingest_datagrams_lost_total", "Datagrams lost before they were read, by place.", ("place",))
_rows = counter("ringfence_ingest_rows_total", "Rows made, by kind.", ("kind",))
_open_calls = gauge("ringfence_ingest_open_calls", "Calls that are followed.")


class Ingest:
    """The parts of the role and what passes between them."""

    def __init__(self, role: Role) -> None:
        settings = role.settings
        self._role = role
        self._host, self._port = split_address(settings.ingest.hep_listen)
        self.pipeline = pipeline_of(settings, role.clock())
        self.publisher = Publisher(role.bus, clock=role.clock, board=role.board, flush_ms=settings.ingest.flush_milliseconds)
        self._receiver: UdpReceiver | None = None
        self._tcp = TcpServer(known=self.pipeline.directory.known, take=self._take_packet, refuse=self._refuse, clock=role.clock)
        self._sources = [source_of(entry, settings, role.clock) for entry in settings.ingest.call_records]
        self._counted: dict[str, float] = {}
        self._made = [0] * (max(Kind) + 1)
        """Rows by kind."""
        self._records: int = 0

    async def run(self) -> None:
        """Be the role until cancelled."""
        role, settings = self._role, self._role.settings
        explicit = "receive_buffer_bytes" in settings.ingest.model_fields_set
        opened, warning = open_udp(self._host, self._port, buffer_bytes=settings.ingest.receive_buffer_bytes, required=explicit)
        if warning:
            _log.warning("receive_buffer_small", message=warning)
        self._receiver = UdpReceiver(opened, role.clock)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._tcp.serve(self._host, self._port))
                # The socket is open while the log is read back: what arrives meanwhile waits in its buffer and in the ring.
                self._receiver.start()
                await self._recover()
                group.create_task(self.publisher.run())
                group.create_task(self._receive())
                group.create_task(self._timeouts())
                group.create_task(self._watch_control())
                group.create_task(self._beat())
                for view, lanes in self.publisher.views.items():
                    for lane in range(len(lanes)):
                        group.create_task(self._lead(view, lane))
                for source, entry in zip(self._sources, settings.ingest.call_records, strict=True):
                    group.create_task(self._follow(source, entry))
                _spare_the_collector()
                role.ready()
        finally:
            self._receiver.stop()
            self._read_ring()
            self._give(self.pipeline.handle_timeout(role.clock()))
            await self.publisher.finish(DRAIN_SECONDS)

    async def _recover(self) -> None:
        while True:
            try:
                found = await read_back(self._role.bus)
            except UnavailableError as error:
                self._role.board.trouble("recover", f"The log cannot be read back yet: {error}")
                await asyncio.sleep(RETRY_SECONDS)
                continue
            self._role.board.settled("recover")
            self.pipeline.restore(found.running, found.seen)
            for row in found.running:
                self.publisher.totals.restore(row)
            _log.info("running_calls_taken_up", calls=self.pipeline.open_calls)
            return

    async def _receive(self) -> None:
        assert self._receiver is not None
        receiver = self._receiver
        while True:
            # Each turn of the loop lets go of the interpreter's lock, and on a busy machine it comes back late: with a backlog, long turns.
            read = 0
            while read < TURN_DATAGRAMS and (portion := self._read_portion(receiver)):
                read += portion
            if read:
                await asyncio.sleep(0)
            else:
                await receiver.arrived.wait()

    def _read_ring(self) -> None:
        """Told to stop: what arrived is still understood."""
        assert self._receiver is not None
        while self._read_portion(self._receiver):
            pass

    def _read_portion(self, receiver: UdpReceiver) -> int:
        datagrams, received_ms = receiver.portion()
        receive, give = self.pipeline.receive, self._give
        for payload, peer_ip in datagrams:
            rows = receive(payload, peer_ip, received_ms)
            if rows:
                give(rows)
        return len(datagrams)

    async def _timeouts(self) -> None:
        while True:
            await asyncio.sleep(TIMEOUT_SECONDS)
            now_ms = self._role.clock()
            due = self.pipeline.next_timeout()
            if due is not None and due <= now_ms:
                self._give(self.pipeline.handle_timeout(now_ms))

    async def _lead(self, view: str, lane: int) -> None:
        """Tick this lane while the lease is ours; wait for it otherwise."""
        role = self._role
        lease = Lease(role.bus.bucket("leases"), f"ticks.{view}.{lane}", role.instance, seconds=LEASE_SECONDS, clock=role.clock)
        try:
            while True:
                await lease.acquire()
                with contextlib.suppress(ConflictError):
                    await self._tick_while_held(lease, view, lane)
        finally:
            with contextlib.suppress(UnavailableError, ConflictError):
                await lease.release()

    async def _tick_while_held(self, lease: Lease, view: str, lane: int) -> None:
        keeping = asyncio.ensure_future(lease.keep())
        try:
            await self.publisher.tick(view, lane, lambda: lease.held)
        finally:
            keeping.cancel()
            await asyncio.wait((keeping,))  # and not `await keeping`, whose cancellation could not be told from our own
            if not keeping.cancelled():
                with contextlib.suppress(ConflictError):
                    keeping.result()

    async def _watch_control(self) -> None:
        """Price and judge by the newest deck and list of networks; one that cannot be read leaves the old one in force."""
        async for entry in self._role.bus.bucket("control").watch():
            if not isinstance(entry, Entry) or entry.value is None or entry.key not in ("rates", "networks"):
                continue
            try:
                for record in decode_control(entry.value):
                    if isinstance(record, RatesChanged):
                        await self._use_rates(record)
                    elif isinstance(record, NetworksChanged):
                        await self._use_networks(record)
                self._role.board.settled(entry.key)
            except (OperatorError, msgspec.DecodeError) as error:
                what = "rate deck is" if entry.key == "rates" else "networks are"
                self._role.board.trouble(entry.key, f"The imported {what} not in force: {error}")

    async def _use_rates(self, record: RatesChanged) -> None:
        home = self._role.settings.operator.country
        deck = await asyncio.to_thread(read_deck, record.csv, home=home, at_ms=self._role.clock())
        self.pipeline.use_deck(deck)
        _log.info("rate_deck_in_force", version=record.version, prefixes=len(deck.rates), refused=deck.refused.total())

    async def _use_networks(self, record: NetworksChanged) -> None:
        networks = await asyncio.to_thread(OwnNetworks, record.networks)
        self.pipeline.use_networks(networks)
        _log.info("networks_in_force", version=record.version, networks=len(record.networks), refused=networks.refused)

    async def _follow(self, source: Source, entry: CallRecords) -> None:
        def trouble(message: str) -> None:
            if message:
                self._role.board.trouble(f"records.{source.name}", message)
            else:
                self._role.board.settled(f"records.{source.name}")

        def take(records: Sequence[Record]) -> None:
            now_ms = self._role.clock()
            for record in records:
                self._records += 1
                if isinstance(record, CallRecord):
                    self._give(self.pipeline.receive_call_record(record, now_ms))
                else:
                    self._give(self.pipeline.receive_registration_record(record, source.name, now_ms))

        await follow(source, take, settle=self.publisher.settle, poll_seconds=entry.poll_seconds, trouble=trouble)

    def _take_packet(self, packet: HepPacket, peer_ip: str, now_ms: int) -> None:
        self._give(self.pipeline.receive_packet(packet, peer_ip, now_ms))

    def _refuse(self, reason: str) -> None:
        self.pipeline.refused[reason] += 1

    def _give(self, rows: Sequence[AccountRow]) -> None:
        made = self._made
        for row in rows:
            made[row.kind] += 1
        self.publisher.add(rows)

    @property
    def _calls(self) -> int:
        return self._made[Kind.ATTEMPT] + self._made[Kind.CALL]

    async def _beat(self) -> None:
        """Figures of the heartbeat and the metrics, once a second."""
        before = (time.monotonic(), self.pipeline.messages, self._calls)
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            after = (time.monotonic(), self.pipeline.messages, self._calls)
            seconds = after[0] - before[0]
            self._role.board.figures = {
                "messages_per_second": (after[1] - before[1]) / seconds,
                "calls_per_second": (after[2] - before[2]) / seconds,
                "calls_total": self._calls,
                "records_total": self._records,
                "rows_published_total": sum(lane.published for lane in self.publisher.lanes),
                "rows_waiting": sum(lane.waiting_rows for lane in self.publisher.lanes),
                "rows_shed_total": sum(lane.shed for lane in self.publisher.lanes),
                "memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
                **self._reception(),
                **self.pipeline.figures(),
            }
            self._count()
            before = after

    def _reception(self) -> dict[str, float]:
        assert self._receiver is not None
        refused = {
            f"records_refused_{source.name}_{reason}_total": float(count)
            for source in self._sources
            for reason, count in source.refused.items()
        }
        return {
            "datagrams_total": self._receiver.received,
            "lost_total": self._receiver.lost + self._receiver.ring_full,
            "tcp_connections": self._tcp.connections,
            **refused,
        }

    def _count(self) -> None:
        """Move the metrics by what grew since the last second: the hot path counts in plain integers."""
        assert self._receiver is not None
        _messages.inc(self._grown("messages", self.pipeline.messages))
        _lost.labels(place="kernel").inc(self._grown("kernel", self._receiver.lost))
        _lost.labels(place="ring").inc(self._grown("ring", self._receiver.ring_full))
        for kind in Kind:
            _rows.labels(kind=kind.name.lower()).inc(self._grown(f"rows.{kind}", self._made[kind]))
        for reason, count in self.pipeline.refused.items():
            _refused.labels(reason=reason).inc(self._grown(f"refused.{reason}", count))
        _open_calls.set(self.pipeline.open_calls)

    def _grown(self, name: str, value: float) -> float:
        grown = max(0.0, value - self._counted.get(name, 0.0))
        self._counted[name] = value
        return grown


def _spare_the_collector() -> None:
    """What is here now stays; calls and registrations are remembered for minutes and stand in no cycle, so garbage is looked for rarely."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER)


def pipeline_of(settings: Settings, now_ms: int) -> Pipeline:
    """The pipeline as the settings want it, with the built-in deck until an imported one is read."""
    operator = settings.operator
    plan = plan_for(operator.country, operator.area_codes)
    agents = [
        agent_of(
            agent.name,
            agent.sources,
            key=read_key(agent.key_file) if agent.key_file is not None else None,
            trust=agent.trust,
        )
        for agent in settings.ingest.agents
    ]
    return Pipeline(
        key=read_key(settings.keys_dir / HASH_KEY).open().encode(),
        agents=agents,
        plan=plan,
        emergency=emergency_calls(
            plan.country_code,
            plan.area_codes,
            operator.emergency,
            national_prefix=plan.national_prefix,
            international_prefixes=plan.international_prefixes,
        ),
        deck=read_deck(default_deck_text(), home=operator.country, at_ms=now_ms),
        hot=open_hot_numbers(operator.test_numbers_file) if operator.test_numbers_file is not None else None,
        origins=tuple(open_origins(path) for path in operator.origins_files),
    )


def source_of(entry: CallRecords, settings: Settings, clock: Clock) -> Source:
    """The reader of a configured source of call records. OperatorError for one that cannot be."""
    position = settings.data_dir / "ingest" / f"{entry.name}.json"
    local = entry.kind in ("kamailio", "asterisk")
    if local and not entry.time_zone:
        raise OperatorError(
            f"Call record source {entry.name} needs time_zone, that of the host that writes it: {entry.kind} writes local times",
            reason="time_zone",
        )
    if entry.time_zone and not local:
        raise OperatorError(f"Call record source {entry.name}: times in {entry.kind} are UTC; remove time_zone", reason="time_zone")
    zone = ZoneInfo(entry.time_zone or "UTC")
    if entry.holds == "registrations" and entry.kind not in ("csv", "parquet"):
        raise OperatorError(f"Call record source {entry.name}: {entry.kind} holds calls; remove holds", reason="record_kind")
    if entry.kind == "kamailio":
        if entry.url_file is None:
            raise OperatorError(
                f"Call record source {entry.name} needs url_file, a file of mode 0600 with the URL of the database", reason="no_url"
            )
        return KamailioSource(entry.name, read_key(entry.url_file), entry.table, entry.columns, position, zone=zone, clock=clock)
    content = call_files.CALLS if entry.holds == "calls" else call_files.REGISTRATIONS
    return FileSource(entry.name, entry.kind, entry.path, position, content=content, zone=zone, clock=clock)


async def run(role: Role) -> None:
    """Be the ingest role until cancelled."""
    await Ingest(role).run()


if __name__ == "__main__":
    run_role("ingest", run)
