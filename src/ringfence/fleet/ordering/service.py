"""Orders in PostgreSQL: people want them, sessions take them, devices tell what became of them.

Nothing here speaks to a device. The one thing to know: `give` and `ordered` commit before they return, so an RPC whose CommandKey was never
returned was never sent, and one whose CommandKey was returned is known for ever.
"""

from collections.abc import Sequence
from dataclasses import replace

import msgspec

from ringfence.base.errors import ConflictError, NotFoundError, OperatorError
from ringfence.base.ids import new_id
from ringfence.fleet.orders import (
    DEADLINES_MS,
    MAX_DELAY_SECONDS,
    MAX_WAITING,
    OPEN,
    TRANSFERS,
    Attempt,
    DownloadFirmware,
    Given,
    ImageUrl,
    Move,
    Order,
    Orders,
    OrderState,
    Rpc,
    Waiting,
    WantedOrder,
    WantedState,
    ends_session,
    follow_up,
    may_move,
    next_of,
    purpose_of,
    purpose_of_wanted,
    told_by_queue,
    written,
)
from ringfence.fleet.store import FleetStore, Row
from ringfence.fleet.wanting.service import WantingService
from ringfence.protocols.cwmp.messages import Download, FactoryReset, Reboot, ScheduleInform

LASTS_MS = 30 * 86_400_000
"""A wanted order that no session took until then expires."""
MAX_DETAIL_CHARS = 256


class OrderingService(WantingService):
    """Orders, from a person's wish to the device's word."""

    # People

    async def want_order(self, by: str, device_id: int, order: Order, *, lasts_ms: int = LASTS_MS) -> int:
        """Want an order of a device; it leaves at one of its next sessions. Its id. ConflictError while the same waits or is under way."""
        method, argument = written(order)
        if isinstance(order, ScheduleInform) and not 1 <= order.delay_seconds <= MAX_DELAY_SECONDS:
            raise OperatorError(f"an Inform can be scheduled in 1 to {MAX_DELAY_SECONDS} seconds", reason="delay")
        async with self._db.transaction() as connection:
            store, now = FleetStore(connection), self._clock()
            await self._held(store, device_id)
            if isinstance(order, DownloadFirmware):
                await self._check_firmware(store, device_id, order.sha256)
            waiting = await store.rows("waiting_orders", device_id=device_id, now_ms=now)
            if len(waiting) >= MAX_WAITING:
                raise ConflictError(f"{MAX_WAITING} orders wait for this device already; cancel some", reason="too_many_orders")
            row = await store.row(
                "want_order",
                device_id=device_id,
                method=method,
                argument=argument,
                person=by,
                now_ms=now,
                expires_ms=now + lasts_ms,
            )
            if row is None:
                raise ConflictError("the same order waits for this device already, or is under way", reason="order_wanted")
            await store.note([(device_id, now, "order", method, "", "wanted", by)])
        return int(row["wanted_id"])

    async def cancel_order(self, by: str, wanted_id: int) -> None:
        """Take a wanted order back. ConflictError when it has left: what a device was told cannot be taken back."""
        async with self._db.transaction() as connection:
            store, now = FleetStore(connection), self._clock()
            row = await store.row("cancel_order", wanted_id=wanted_id, now_ms=now)
            if row is None:
                if await store.row("read_wanted_order", wanted_id=wanted_id) is None:
                    raise NotFoundError(f"there is no order {wanted_id}", reason="no_order")
                raise ConflictError("this order has left already, or is over", reason="order_left")
            await store.note([(row["device_id"], now, "order", row["method"], "wanted", "canceled", by)])

    async def orders(self, device_id: int) -> Orders:
        """What was wanted of a device and every attempt, the newest first."""
        async with self._db.transaction() as connection:
            store = FleetStore(connection)
            attempts = [attempt_of(row) for row in await store.rows("orders_of_device", device_id=device_id)]
            rows = await store.rows("wanted_orders_of_device", device_id=device_id)
        return Orders(
            wanted=tuple(
                WantedOrder(
                    **row | {"state": WantedState(row["state"])},
                    attempts=tuple(one for one in attempts if one.wanted_id == row["wanted_id"]),
                )
                for row in rows
            ),
            own=tuple(one for one in attempts if not one.wanted_id),
        )

    # Sessions

    async def give(self, device_id: int, methods: frozenset[str], image_url: ImageUrl | None) -> Given | None:
        """Commit the next attempt of what waits for a device, None when nothing may leave now. Send its RPC once, or never."""
        now = self._clock()
        async with self._db.transaction() as connection:
            store = FleetStore(connection)
            await self._held(store, device_id)
            under_way = await store.rows("open_orders", devices=[device_id])
            may = methods if image_url is not None else methods - TRANSFERS
            rows = [row for row in await store.rows("waiting_orders", device_id=device_id, now_ms=now) if row["method"] in may]
            waiting = [Waiting(wanted_id=row["wanted_id"], method=row["method"], argument=row["argument"]) for row in rows]
            taken = next_of(waiting, {row["method"] for row in under_way}, {row["purpose"] for row in under_way})
            if taken is None:
                return None
            command_key = new_id("o")
            rpc = await self._rpc(store, device_id, taken, command_key, image_url)
            if rpc is None:
                await store.run("end_wanted_order", wanted_id=taken.wanted_id, state=WantedState.FAILED.value, now_ms=now)
                await store.note([(device_id, now, "order", taken.method, "wanted", "failed: its file is no longer in the catalogue", "")])
                return None
            purpose = purpose_of_wanted(taken.method, taken.argument)
            await self._commit(store, device_id, rpc, command_key, purpose, wanted_id=taken.wanted_id)
            asked_by = next(row["asked_by"] for row in rows if row["wanted_id"] == taken.wanted_id)
            await store.note([(device_id, now, "order", taken.method, "wanted", command_key, asked_by)])
        return Given(command_key=command_key, rpc=rpc)

    async def ordered(self, device_id: int, request: Rpc) -> str:
        """Commit an order of the ACS's own and return the CommandKey its RPC must carry. ConflictError while it may not leave.

        Each call that returns is a new attempt: it is sent once or not at all, and never sent again under this key.
        """
        purpose = purpose_of(request)
        async with self._db.transaction() as connection:
            store = FleetStore(connection)
            await self._held(store, device_id)
            under_way = await store.rows("open_orders", devices=[device_id])
            if any(row["purpose"] == purpose or (ends_session(request) and row["method"] in TRANSFERS) for row in under_way):
                raise ConflictError(
                    "this order is under way already, or a file is on its way; wait for its end or its deadline", reason="order_open"
                )
            command_key = new_id("o")
            await self._commit(store, device_id, request, command_key, purpose, wanted_id=0)
            await store.note([(device_id, self._clock(), "order", type(request).__name__, "", command_key, "")])
        return command_key

    async def queued(self, device_id: int, command_keys: frozenset[str]) -> None:
        """What the device's own list of transfers said after a crash: those it names go on, others never began."""
        async with self._db.transaction() as connection:
            store = FleetStore(connection)
            attempts = [attempt_of(row) for row in await store.rows("open_orders", devices=[device_id])]
            for move in told_by_queue(attempts, command_keys):
                await self._move(store, device_id, move)

    async def take_steps(self, steps: Sequence[tuple[str, int]]) -> list[bool]:
        """Take steps of sessions, each once for ever and for all processes: whether each was free."""
        async with self._db.transaction() as connection:
            rows = await FleetStore(connection).rows(
                "take_steps", sessions=[name for name, _ in steps], steps=[step for _, step in steps], now_ms=self._clock()
            )
        free = {(row["session_id"], row["step"]) for row in rows}
        answers = []
        for step in steps:
            answers.append(step in free)
            free.discard(step)  # The same step twice in one batch: the first has it.
        return answers

    # The worker

    async def reconcile(self, limit: int = 1_000) -> int:
        """Give up attempts whose deadline passed, expire orders that nobody took, forget old steps. How many attempts."""
        now = self._clock()
        async with self._db.transaction() as connection:
            store = FleetStore(connection)
            rows = await store.rows("overdue_orders", now_ms=now, limit=limit)
            for row in rows:
                await self._follow(store, row, OrderState.UNKNOWN, 0)
            await store.note([(row["device_id"], now, "order", "deadline", "", row["command_key"], "") for row in rows])
            expired = await store.rows("expire_orders", now_ms=now, limit=limit)
            await store.note([(row["device_id"], now, "order", row["method"], "wanted", "expired", "") for row in expired])
            await store.run("forget_steps", before_ms=now - 3_600_000)
        return len(rows)

    # Inside

    async def _check_firmware(self, store: FleetStore, device_id: int, sha256: str) -> None:
        row = await store.row("firmware_for_device", device_id=device_id, sha256=sha256)
        if row is None:
            raise NotFoundError("there is no such file in the catalogue; name it by its SHA-256", reason="no_firmware")
        if not row["fits"]:
            raise ConflictError("this file is for another model; it would not be given to this device", reason="other_model")

    async def _rpc(self, store: FleetStore, device_id: int, taken: Waiting, command_key: str, image_url: ImageUrl | None) -> Rpc | None:
        match taken.method:
            case "Download":
                assert image_url is not None, "without URLs no transfer is taken"
                file = await store.row("firmware_for_device", device_id=device_id, sha256=taken.argument)
                if file is None or not file["fits"]:
                    return None
                url = image_url(device_id, taken.argument, file["size_bytes"])
                return Download(command_key=command_key, url=url, file_size=file["size_bytes"], target_file_name=file["file_name"])
            case "Reboot":
                return Reboot(command_key)
            case "FactoryReset":
                return FactoryReset()
            case _:
                return ScheduleInform(int(taken.argument), command_key)

    async def _commit(self, store: FleetStore, device_id: int, rpc: Rpc, command_key: str, purpose: str, *, wanted_id: int) -> None:
        method, now = type(rpc).__name__, self._clock()
        delay = rpc.delay_seconds if isinstance(rpc, ScheduleInform) else 0
        await store.run(
            "add_order",
            command_key=command_key,
            device_id=device_id,
            method=method,
            purpose=purpose,
            now_ms=now,
            deadline_ms=now + DEADLINES_MS[method] + 1_000 * delay,
            wanted_id=wanted_id,
        )

    async def _move(self, store: FleetStore, device_id: int, move: Move) -> None:
        """Change an attempt's state where its table allows it; a device can only move its own."""
        now = self._clock()
        row = await store.row(
            "move_order",
            command_key=move.command_key,
            device_id=device_id,
            to_state=move.to.value,
            from_states=[state.value for state in OrderState if may_move(state, move.to)],
            fault_code=move.fault_code,
            detail=move.detail[:MAX_DETAIL_CHARS],
            now_ms=now,
        )
        if row is None or move.to in OPEN:
            return
        await self._follow(store, row, move.to, move.fault_code)
        outcome = f"{move.to.value} {move.fault_code}" if move.fault_code else move.to.value
        await store.note([(device_id, now, "order", row["method"], move.command_key, outcome, "")])
        if move.to is not OrderState.UNKNOWN:
            told = msgspec.json.encode({"command_key": move.command_key, "method": row["method"], "fault_code": move.fault_code}).decode()
            await store.announce([("transfer", device_id, told)], now)

    async def _follow(self, store: FleetStore, row: Row, state: OrderState, fault_code: int) -> None:
        if row["wanted_id"]:
            next_ = follow_up(row["method"], state, fault_code, row["attempts"])
            await store.run(
                "follow_wanted_order",
                wanted_id=row["wanted_id"],
                state=next_.state.value,
                not_before_ms=self._clock() + next_.pause_ms if next_.pause_ms else 0,
                now_ms=self._clock(),
            )

    async def _nameless(self, store: FleetStore, device_id: int, move: Move) -> Move | None:
        """A TransferComplete without its key (the power went off meanwhile) is of the one transfer that is open; of several, of none."""
        rows = [row for row in await store.rows("open_orders", devices=[device_id]) if row["method"] in TRANSFERS]
        return replace(move, command_key=rows[0]["command_key"]) if len(rows) == 1 else None


def attempt_of(row: Row) -> Attempt:
    """A row of `fleet.orders` as a value."""
    fields = {name: row[name] for name in Attempt.__dataclass_fields__}
    return Attempt(**fields | {"state": OrderState(row["state"])})
