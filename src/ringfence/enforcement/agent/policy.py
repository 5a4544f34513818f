"""The policy process: takes suspicions and commands, decides, writes the record. One instance acts, the others stand by.

A suspicion is acknowledged after its answer is in the record; redelivered, it finds its answer there. Decisions are made one at a time, so
each sees the effect of the one before. A standby follows the same record and takes over within the lease's time. PostgreSQL is not needed.
"""

import asyncio
import contextlib

import msgspec
from msgspec.structs import replace

from ringfence.base.clock import Clock
from ringfence.base.errors import ConflictError, RingfenceError, UnavailableError, kind_of
from ringfence.enforcement.agent.desk import Desk
from ringfence.enforcement.agent.journal import RETRY_SECONDS, Journal
from ringfence.enforcement.breaker import WINDOW_MS
from ringfence.enforcement.commands import SUBJECT, decode_command, encode_done, encode_error
from ringfence.enforcement.invariants import objection
from ringfence.enforcement.ladder import MEMORY_MS
from ringfence.enforcement.model import DAY_MS, Scope
from ringfence.enforcement.policy import GRACE_MS, Decision, PolicySettings, decide
from ringfence.enforcement.table import Record, Table
from ringfence.runtime.bus import Bus
from ringfence.runtime.lease import Lease
from ringfence.runtime.log import get_logger
from ringfence.runtime.metrics import counter, gauge
from ringfence.runtime.status import StatusBoard
from ringfence.telephony.suspicion import Suspicion, decode_suspicion

LEASE_SECONDS = 3.0
SWEEP_SECONDS = 1.0
DECIDED_MS = 7 * DAY_MS
"""Decided proposals and ended exemptions leave the record then; PostgreSQL keeps the history."""

_log = get_logger(__name__)
_suspicions = counter("ringfence_enforcement_suspicions_total", "Suspicions by what became of them.", ["outcome"])
_commands = counter("ringfence_enforcement_commands_total", "Commands by kind and outcome.", ["command", "outcome"])
_blocks = gauge("ringfence_enforcement_blocks_active", "Blocks in force.")
_open = gauge("ringfence_enforcement_proposals_open", "Proposals that wait for people.")
_breaker = gauge("ringfence_enforcement_breaker_open", "1 while the breaker stops automatic blocks.", ["kind"])
_active = gauge("ringfence_enforcement_policy_active", "1 in the process that decides.")


class PolicyAgent:
    """One policy process."""

    def __init__(self, bus: Bus, settings: PolicySettings, *, instance: str, clock: Clock, board: StatusBoard) -> None:
        self._bus = bus
        self._settings = settings
        self._instance = instance
        self._clock = clock
        self._board = board
        self._table = Table(bus)
        self._lease = Lease(bus.bucket("leases"), "policy", instance, seconds=LEASE_SECONDS, clock=clock)
        self._journal = Journal(bus, self._table, self._lease)
        self._desk = Desk(self._table.state, self._journal, settings, instance=instance, clock=clock)
        self._turn = asyncio.Lock()
        self._networks_seen = -1

    @property
    def active(self) -> bool:
        """Whether this process decides now."""
        return self._lease.held

    async def ready(self) -> None:
        """Until the record was read: ready to act or to stand by."""
        await self._table.ready()

    async def run(self) -> None:
        """Stand by, act while the lease is held, stand by again; until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._table.follow())
            group.create_task(self._stand_by_or_act())

    async def _stand_by_or_act(self) -> None:
        await self._table.ready()
        try:
            while True:
                try:
                    await self._lease.acquire()
                    await self._act()
                except UnavailableError as error:
                    _log.warning("policy_waits", error=str(error))
                    await asyncio.sleep(RETRY_SECONDS)
        finally:
            await self._give_up_lease()

    async def _act(self) -> None:
        """Be the writer until the lease is lost."""
        _log.info("policy_active", instance=self._instance, blocks=len(self._table.state.active))
        _active.set(1)
        self._networks_seen = -1
        try:
            await self._journal.catch_up()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._lease.keep())
                group.create_task(self._journal.announce())
                group.create_task(self._answer_suspicions())
                group.create_task(self._bus.serve(SUBJECT, self._answer_command))
                group.create_task(self._sweep_for_ever())
        except* (ConflictError, UnavailableError) as errors:
            reasons = sorted({error.reason for error in errors.exceptions if isinstance(error, RingfenceError)})
            if "stream_replaced" in reasons:
                raise
            _log.warning("policy_stands_by", instance=self._instance, reasons=reasons)
        finally:
            _active.set(0)

    async def _give_up_lease(self) -> None:
        try:
            await self._lease.release()
        except (UnavailableError, ConflictError) as error:
            _log.info("lease_not_released", error=str(error))

    # -- suspicions ----------------------------------------------------------------------------------------------------------------

    async def _answer_suspicions(self) -> None:
        async with contextlib.aclosing(self._bus.consume("SUSPICIONS", durable="policy")) as deliveries:
            async for delivery in deliveries:
                try:
                    suspicion = decode_suspicion(delivery.payload)
                except (msgspec.DecodeError, UnicodeDecodeError) as error:
                    _log.error("suspicion_unreadable", subject=delivery.subject, error=str(error))
                    _suspicions.labels("unreadable").inc()
                else:
                    await self._answer(suspicion)
                await delivery.ack()

    async def _answer(self, suspicion: Suspicion) -> None:
        """Decide and record, however often the record moved or was out of reach meanwhile."""
        while True:
            try:
                async with self._turn:
                    decision = decide(suspicion, self._table.state, self._settings, self._clock())
                    await self._record(decision)
            except ConflictError:
                self._journal.check_lease()
                continue  # Somebody else wrote: what was read with the conflict is in the state now.
            except UnavailableError as error:
                self._board.trouble("record", str(error))
                await asyncio.sleep(RETRY_SECONDS)
                self._journal.check_lease()
                continue
            break
        self._board.settled("record")
        outcome = "imposed" if decision.impose else "proposed" if decision.propose else decision.refused
        _suspicions.labels(outcome).inc()
        _log.info("suspicion_answered", suspicion=suspicion.suspicion_id, rule=suspicion.rule, outcome=outcome, message=decision.message)

    async def _record(self, decision: Decision) -> None:
        if decision.opened is not None:
            await self._journal.write(decision.opened)
        for block in decision.impose:
            await self._journal.write(block)
        if decision.propose is not None:
            await self._journal.write(decision.propose)

    # -- commands ------------------------------------------------------------------------------------------------------------------

    async def _answer_command(self, payload: bytes) -> bytes:
        kind = "unreadable"
        try:
            command = decode_command(payload)
            kind = str(type(command).__struct_config__.tag)
            async with self._turn:
                done = await self._desk.carry_out(command)
        except RingfenceError as error:
            if error.reason == "lease_lost":
                error = UnavailableError("policy changes hands; try again in a few seconds", reason="lease_lost")
            _commands.labels(kind, kind_of(error)[2]).inc()
            return encode_error(error)
        _commands.labels(kind, "ok").inc()
        return encode_done(done)

    # -- sweeping ------------------------------------------------------------------------------------------------------------------

    async def _sweep_for_ever(self) -> None:
        while True:
            try:
                await self._sweep()
                await self._journal.mark()
            except UnavailableError as error:
                self._board.trouble("record", str(error))
            except ConflictError:
                self._journal.check_lease()  # An entry moved: the next sweep sees it as it is now.
            self._show()
            await asyncio.sleep(SWEEP_SECONDS)

    async def _sweep(self) -> None:
        """End what reached its time or became forbidden, forget what nobody needs; one write at a time, so nothing waits long."""
        now_ms, state = self._clock(), self._table.state
        changes: list[tuple[Record, Record]] = []
        if self._networks_seen != self._table.networks_version:
            self._networks_seen = self._table.networks_version
            changes += self._forbidden(now_ms)
        changes += [
            (block, replace(block, state="expired", ended_ms=block.until_ms, ended_by="time"))
            for block in state.active.values()
            if block.until_ms <= now_ms
        ]
        changes += [(p, replace(p, state="expired", decided_ms=now_ms)) for p in state.open_proposals.values() if p.until_ms <= now_ms]
        changes += [
            (exemption, replace(exemption, ended_ms=exemption.until_ms, ended_by="time"))
            for exemption in state.exemptions.values()
            if not exemption.ended_ms and exemption.until_ms <= now_ms
        ]
        for before, after in changes:
            async with self._turn:
                # A command may have changed it since the sweep began.
                if self._table.is_current(before):
                    await self._journal.write(after)
        for record in self._outdated(now_ms):
            async with self._turn:
                await self._journal.forget(record)
        for recent in state.recent.values():
            recent.forget(now_ms - WINDOW_MS)

    def _forbidden(self, now_ms: int) -> list[tuple[Record, Record]]:
        """Blocks that an invariant forbids since the networks or the emergency list changed. Exemptions end no block by themselves."""
        ended: list[tuple[Record, Record]] = []
        for block in self._table.state.active.values():
            if block.scope in {Scope.CLASS, Scope.ACCOUNT, Scope.CALL}:
                continue
            against = objection(block.scope, block.value, state=self._table.state, guard=self._settings.guard, now_ms=now_ms)
            if against is not None and against.reason != "exempt":
                _log.warning("block_forbidden", block_id=block.block_id, reason=against.reason)
                after = replace(block, state="lifted", ended_ms=now_ms, ended_by="policy", ended_reason=against.message)
                ended.append((block, after))
        return ended

    def _outdated(self, now_ms: int) -> list[Record]:
        state = self._table.state
        old: list[Record] = [block for block in state.blocks.values() if 0 < block.ended_ms < now_ms - MEMORY_MS]
        old += [release for release in state.releases.values() if release.at_ms < now_ms - 2 * GRACE_MS]
        old += [exemption for exemption in state.exemptions.values() if 0 < exemption.ended_ms < now_ms - DECIDED_MS]
        for proposal in [p for p in state.proposals.values() if 0 < p.decided_ms < now_ms - DECIDED_MS]:
            old += [*state.approvals.get(proposal.proposal_id, {}).values(), proposal]
        return old

    def _show(self) -> None:
        state = self._table.state
        _blocks.set(len(state.active))
        _open.set(len(state.open_proposals))
        for kind, breaker in state.breakers.items():
            _breaker.labels(kind).set(int(breaker.is_open))
            if breaker.is_open:
                self._board.trouble(f"breaker-{kind}", f"The breaker stopped automatic {kind} blocks; look at the proposals and reset it.")
            else:
                self._board.settled(f"breaker-{kind}")
        if self._lease.held:
            self._board.settled("record")
        self._board.figures = {
            "active": float(self._lease.held),
            "blocks_active": float(len(state.active)),
            "proposals_open": float(len(state.open_proposals)),
            "accounts": float(state.accounts),
        }
