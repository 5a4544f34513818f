"""The shell of the sessions: who a device is, what it may get, what was done.

Everything about one batch of Informs is one transaction, and in the steady state one statement. The one thing to know: what an Inform or a
TransferComplete tells of an order is committed before it is answered, because devices tell it once.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec

from ringfence.base.clock import Clock, system_clock
from ringfence.base.errors import ConflictError
from ringfence.base.secret import Secret
from ringfence.fleet.adapters import Sealer
from ringfence.fleet.behind import behind_of, is_of_table
from ringfence.fleet.binding import Known, Rules, Verdict, judge, may_receive, may_report
from ringfence.fleet.catalogue.store import CatalogueStore
from ringfence.fleet.desired import Group, SealedWish, Subject, Wish, compiled, lay, patterns
from ringfence.fleet.enrolling.service import Enrolment, enrolled
from ringfence.fleet.inventory.service import InventoryService
from ringfence.fleet.lifecycle import Life, after
from ringfence.fleet.links import link_of
from ringfence.fleet.meanings import DataModel, data_model_of, is_secret
from ringfence.fleet.model import Admitted, Credential, Errand, InformSeen, Lane, LineSeen, Link, Proof, SessionDone, Standing, names_of
from ringfence.fleet.ordering.service import attempt_of
from ringfence.fleet.orders import ATTEMPTS, TRANSFERS, Attempt, OrderState, told_by
from ringfence.fleet.ports import Lines
from ringfence.fleet.session import Stop, Work, back_off_seconds
from ringfence.fleet.store import FleetStore, Row, columns, names_like
from ringfence.fleet.strangers import Strangers
from ringfence.fleet.waking.service import Making
from ringfence.protocols.cwmp import without_userinfo
from ringfence.runtime.db import Database

DAY_MS = 86_400_000
"""How long an update of stock waits for the device, and when there is another."""
FRESH_MS = 7 * DAY_MS
"""Reported values that are older are read again before anything is compared with them."""
TRANSCRIPTS = 50
"""Kept of one device."""
MAX_VALUE_CHARS = 4_096
MAX_NAME_CHARS = 256
MAX_INFORM_PARAMETERS = 256
_BOOTSTRAP_EVENT = "0 BOOTSTRAP"
TOO_MANY = "too_many_strangers"
"""Why an Inform is refused that would be one invention too many; nothing of it is kept, and it may come again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Policy:
    revision: int
    groups: tuple[Group, ...] = ()


class FleetService(InventoryService):
    """Devices in PostgreSQL. `lines` None: there is no feed of access sessions, and every binding is unknown.

    `making` None: devices that become managed get no credential for connection requests. `strangers` None: any number is written down.
    `enrolment` None: the bootstrap lane hands out no credential.
    """

    def __init__(
        self,
        db: Database,
        sealer: Sealer,
        lines: Lines | None,
        rules: Rules | None = None,
        clock: Clock = system_clock,
        making: Making | None = None,
        strangers: Strangers | None = None,
        enrolment: Enrolment | None = None,
    ) -> None:
        super().__init__(db, sealer, clock)
        self._strangers = strangers
        self._enrolment = enrolment
        self._making = making
        self._lines = lines
        self._rules = rules or Rules()
        self._policy = _Policy(revision=0)

    async def credential(self, username: str) -> Credential | None:
        """What verifies a user name (HA1), None when there is none. Callers keep it for seconds."""
        async with self._db.transaction() as connection:
            row = await FleetStore(connection).row("find_credential", username=username[:MAX_NAME_CHARS])
        if row is None:
            return None
        previous = None
        if row["sealed_previous"] is not None and row["previous_until_ms"] > self._clock():
            previous = await self._sealer.open(row["sealed_previous"], "ha1", username)
        ha1 = await self._sealer.open(row["sealed_ha1"], "ha1", username)
        return Credential(username=username, device_id=row["device_id"], ha1=ha1, previous_ha1=previous)

    async def admit(self, informs: Sequence[InformSeen]) -> list[Admitted]:
        """Identify, bind and note a batch of Informs, in their order; one transaction. ConflictError: the same again."""
        if not informs:
            return []
        lines = await self._lines_of(informs)
        async with self._db.transaction() as connection:
            store = FleetStore(connection)
            batch = _Batch(informs, lines, self._rules, self._clock(), self._strangers)
            await batch.read(store)
            await batch.add_devices(store)
            await batch.write(store)
            if stock := batch.stock():
                await self._update_stock(CatalogueStore(connection), store, stock)
            works = await self._works(store, batch)
            errands = await self._errands(store, batch)
        return [replace(answer, work=works.get(answer.device_id), errand=errands.get(answer.device_id)) for answer in batch.answers]

    async def settle(self, done: Sequence[SessionDone]) -> None:
        """Note what sessions did beyond their Inform: values learned, settings made, refusals of a model, orders, transcript."""
        async with self._db.transaction() as connection:
            store = FleetStore(connection)
            for session in sorted(done, key=lambda one: one.device_id):
                await self._settle(store, session)

    # Inside

    async def _lines_of(self, informs: Sequence[InformSeen]) -> list[LineSeen | None]:
        if self._lines is None:
            return [None] * len(informs)
        found = await self._lines(sorted({seen.peer_ip for seen in informs}), max(seen.at_ms for seen in informs))
        lines = {address: LineSeen(line=at.line, customer=at.customer, access_node=at.access_node) for address, at in found.items()}
        return [lines.get(seen.peer_ip) for seen in informs]

    async def _update_stock(self, catalogue: CatalogueStore, store: FleetStore, stock: "list[_Entry]") -> None:
        """Stock that has another version than the one it is brought to gets a Download, in this session."""
        now = self._clock()
        devices = sorted({entry.device_id for entry in stock})
        rows = await catalogue.rows("want_stock_updates", devices=devices, now_ms=now, expires_ms=now + DAY_MS, again_ms=now - DAY_MS)
        wanted = {row["device_id"] for row in rows}
        for entry in stock:
            if entry.device_id in wanted:
                entry.row["orders_wait"] = True
        await store.note([(device_id, now, "order", "Download", "", "wanted", "stock") for device_id in sorted(wanted)])

    async def _works(self, store: FleetStore, batch: "_Batch") -> dict[int, Work]:
        """The work of those that may get something and have not settled what is wanted now."""
        due = batch.due()
        if not due:
            return {}
        policy = await self._current_policy(store, batch.revision)
        devices = sorted({entry.device_id for entry in due})
        own: dict[int, list[Wish]] = {}
        for row in await store.rows("wanted_of_devices", devices=devices):
            own.setdefault(row["device_id"], []).append(Wish(meaning=row["meaning"], instance=row["instance"], value=row["value"]))
        holders = [entry.device_id for entry in due if entry.standing is Standing.MANAGED or entry.bootstrap]
        secrets = await self._secrets(store, holders)
        managed = [entry.device_id for entry in due if entry.standing is Standing.MANAGED]
        if self._making is not None and managed:
            held = {device_id: {secret.meaning for secret in secrets.get(device_id, ())} for device_id in managed}
            made = await self._make_credentials(store, held, self._making)
            for device_id, makings in made.items():
                fresh = {wish.meaning for wish in makings}
                own[device_id] = [wish for wish in own.get(device_id, ()) if wish.meaning not in fresh] + makings
            secrets |= await self._secrets(store, sorted(made))
        if self._enrolment is not None:
            fresh_ones = {
                entry.device_id: (entry.seen.device, {secret.meaning for secret in secrets.get(entry.device_id, ())})
                for entry in due
                if entry.bootstrap
            }
            secrets |= await self._secrets(store, sorted(await self._enrol(store, fresh_ones, self._enrolment)))
        discoveries = {row["device_id"]: row for row in await store.rows("discoveries_of_devices", devices=devices)}
        stops: dict[tuple[int, str], list[Stop]] = {}
        for row in await store.rows("list_stops"):
            stops.setdefault((row["model_id"], row["software_version"]), []).append(Stop(name=row["name"], fault_code=row["fault_code"]))
        works: dict[int, Work] = {}
        wishes = {
            # What is wanted of this one device is its customer's (the SIP user name): it leaves for nobody who has not proven to be it.
            entry.device_id: lay(
                entry.subject(),
                policy.groups,
                own.get(entry.device_id, ()) if entry.standing is Standing.MANAGED or entry.bootstrap else (),
            )
            for entry in due
        }
        if self._enrolment is not None:
            wishes |= {
                entry.device_id: enrolled(entry.seen.device, wishes[entry.device_id], self._enrolment) for entry in due if entry.bootstrap
            }
        known = await names_like(store, {entry.device_id: patterns(entry.data_model, wishes[entry.device_id]) for entry in due})
        for entry in due:
            wanted = compiled(
                entry.data_model,
                wishes[entry.device_id],
                secrets.get(entry.device_id, ()),
                names=known.get(entry.device_id, ()),
                bootstrap=entry.bootstrap,
            )
            discovery = discoveries.get(entry.device_id) if entry.standing is Standing.MANAGED else None
            works[entry.device_id] = Work(
                device_id=entry.device_id,
                revision=policy.revision,
                settings=wanted.settings,
                templates=wanted.templates,
                seek=tuple(dict.fromkeys(template.name.partition("{i}")[0] for template in wanted.templates)),
                parameter_key=entry.parameter_key,
                stops=tuple(stops.get((entry.model_id, entry.software), ())),
                explore=tuple(discovery["explore"]) if discovery else (),
                read=tuple(discovery["read"]) if discovery else (),
            )
        names = sorted({setting.name for work in works.values() for setting in work.settings})
        reported: dict[int, dict[str, str]] = {}
        if names:
            for row in await store.rows("reported_of_devices", devices=devices, names=names, fresh_ms=max(1, self._clock() - FRESH_MS)):
                reported.setdefault(row["device_id"], {})[row["name"]] = row["value"]
        works = {device_id: replace(work, reported=reported.get(device_id, {})) for device_id, work in works.items()}
        idle = [device_id for device_id, work in works.items() if work.settled and not work.explore and not work.read]
        if idle:
            await store.run("settled", devices=idle, revision=policy.revision)
        return {device_id: work for device_id, work in works.items() if device_id not in set(idle)}

    async def _errands(self, store: FleetStore, batch: "_Batch") -> dict[int, Errand]:
        """What Informs tell of orders, and what their sessions have to do with orders."""
        entries = {entry.device_id: entry for entry in batch.with_orders()}
        if not entries:
            return {}
        found: dict[int, list[Attempt]] = {device_id: [] for device_id in entries}
        keys = sorted({event.command_key for entry in entries.values() for event in entry.seen.events if event.command_key})
        for row in await store.rows("told_orders", devices=sorted(entries), keys=keys):
            found[row["device_id"]].append(attempt_of(row))
        errands: dict[int, Errand] = {}
        for device_id in sorted(entries):
            entry, attempts = entries[device_id], found[device_id]
            moves = told_by(entry.seen.events, attempts, believed=entry.believed)
            for move in moves:
                await self._move(store, device_id, move)
            doubtful = any(one.method in TRANSFERS and one.state is OrderState.COMMITTED for one in attempts)
            waiting = bool(moves) or doubtful or entry.row["orders_wait"]  # What is given up now waits for its next attempt.
            if entry.methods and waiting:
                errands[device_id] = Errand(methods=entry.methods, waiting=waiting, doubtful=doubtful)
        return errands

    async def _current_policy(self, store: FleetStore, revision: int) -> _Policy:
        """The groups, kept while their revision is the newest."""
        if self._policy.revision != revision:
            self._policy = _Policy(revision=revision, groups=await self._groups(store))
        return self._policy

    async def _secrets(self, store: FleetStore, devices: list[int]) -> dict[int, list[SealedWish]]:
        found: dict[int, list[SealedWish]] = {}
        for row in await store.rows("secrets_of_devices", devices=devices) if devices else ():
            value = await self._sealer.open(row["sealed"], row["device_id"], row["meaning"], row["instance"])
            wish = SealedWish(meaning=row["meaning"], instance=row["instance"], value=value, stamp=str(row["changed_ms"]))
            found.setdefault(row["device_id"], []).append(wish)
        return found

    async def _settle(self, store: FleetStore, session: SessionDone) -> None:
        device_id, now = session.device_id, session.at_ms
        for told in session.moves:
            move = told if told.command_key else await self._nameless(store, device_id, told)
            if move is not None:
                await self._move(store, device_id, move)
        if session.transcript:
            lines = msgspec.json.encode(session.transcript).decode()
            await store.run("add_transcripts", session_id=session.session_id, device_id=device_id, now_ms=now, lines=lines)
            await store.run("keep_transcripts", device_id=device_id, limit=TRANSCRIPTS)
        if (work := session.work) is None:
            return
        learned = [
            (device_id, name[:MAX_NAME_CHARS], without_userinfo(value)[:MAX_VALUE_CHARS], False, now)
            for name, value in work.learned.items()
            if not is_secret(name)
        ]
        if learned:
            await store.run("write_reported", **columns(learned, ("devices", "names", "values", "informs", "moments")))
            await self._note_behind(store, device_id, work.learned, now)
        wanted = {setting.name: setting.value for setting in work.settings}
        await store.note(
            [
                (device_id, now, "setting", name, "", "(secret)" if isinstance(value, Secret) else value, "")
                for name in sorted(work.accepted)
                if (value := wanted.get(name)) is not None
            ]
        )
        if work.stops:
            stops = [(device_id, stop.name, stop.fault_code) for stop in work.stops]
            await store.run("add_stops", now_ms=now, **columns(stops, ("devices", "names", "codes")))
        if work.explore or work.read:
            await store.run("keep_discovery", device_id=device_id, explore=list(work.explore), read=list(work.read), now_ms=now)
        else:
            await store.run("end_discovery", device_id=device_id)
        if work.backed_off:
            row = await store.row("failed", device_id=device_id)
            until = now + 1_000 * back_off_seconds(row["failures"] if row else 1)
            await store.run("leave_alone", device_id=device_id, until_ms=until)
            await store.note([(device_id, now, "fault", "", "", str(work.backed_off), "")])
        elif work.settled and not work.explore and not work.read:
            await store.run("settled", devices=[device_id], revision=work.revision)

    async def _note_behind(self, store: FleetStore, device_id: int, learned: Mapping[str, str], now: int) -> None:
        """Take what stands behind a device out of its tables, once it has told of them; an entry may take several sessions to tell."""
        if not any(is_of_table(name) for name in learned):
            return
        tables = {row["name"]: row["value"] for row in await store.rows("reported_tables", device_id=device_id)}
        rows = [(entry.mac, entry.name, entry.kind.value, entry.origin.value) for entry in behind_of(tables)]
        await store.run("put_behind", device_id=device_id, now_ms=now, **columns(rows, ("macs", "names", "kinds", "origins")))


@dataclass(slots=True, kw_only=True)
class _Entry:
    """One Inform of a batch, before and after."""

    seen: InformSeen
    at: LineSeen | None
    values: dict[str, str]
    digest: bytes
    row: Row
    verdict: Verdict
    device_id: int = 0
    model_id: int = 0
    life: Life = Life.BOOTSTRAPPED
    line: str = ""
    link: Link = Link.DIRECT
    data_model: DataModel = DataModel.UNKNOWN
    software: str = ""
    hardware: str = ""
    parameter_key: str = ""

    @property
    def standing(self) -> Standing:
        return self.verdict.standing

    @property
    def bootstrap(self) -> bool:
        """Bound to its line, but in the lane that hands out little."""
        return self.verdict.reason == "bootstrap_lane"

    @property
    def stands_anew(self) -> bool:
        """Another standing than at its last Inform, so what it settled then was less or more than what it may get now."""
        return (self.row["standing"], self.row["standing_reason"]) != (self.verdict.standing, self.verdict.reason)

    @property
    def methods(self) -> frozenset[str]:
        """The orders that may leave for it."""
        seen, verdict = self.seen, self.verdict
        return frozenset(one for one in ATTEMPTS if may_receive(one, verdict.standing, verdict.reason, seen.proof, seen.lane))

    @property
    def believed(self) -> bool:
        """What it tells without a CommandKey is news of its orders."""
        return may_report(self.verdict.standing, self.verdict.reason, self.seen.proof)

    @property
    def reset(self) -> bool:
        return any(event.event_code == _BOOTSTRAP_EVENT for event in self.seen.events)

    def subject(self) -> Subject:
        """What groups look at."""
        return Subject(
            oui=self.seen.device.oui,
            product_class=self.seen.device.product_class,
            software_version=self.software,
            region=self.row["region"] or "",
            labels=frozenset(self.row["labels"] or ()),
            data_model=self.data_model,
        )


class _Batch:
    """A batch of Informs on its way through one transaction."""

    def __init__(
        self, informs: Sequence[InformSeen], lines: list[LineSeen | None], rules: Rules, now_ms: int, strangers: Strangers | None
    ) -> None:
        self._strangers = strangers
        self._informs = informs
        self._lines = lines
        self._rules = rules
        self._now = now_ms
        self._entries: list[_Entry] = []
        self.revision = 0

    async def read(self, store: FleetStore) -> None:
        """Touch and look up every device, and judge each Inform."""
        values = [_values(seen) for seen in self._informs]
        digests = [_digest(entry) for entry in values]
        rows = await store.rows(
            "admit",
            ouis=[seen.device.oui for seen in self._informs],
            product_classes=[seen.device.product_class for seen in self._informs],
            serial_numbers=[seen.device.serial_number for seen in self._informs],
            peers=[seen.peer_ip for seen in self._informs],
            lanes=[seen.lane.value for seen in self._informs],
            digests=digests,
            retries=[min(seen.retry_count, 2**31 - 1) for seen in self._informs],
            moments=[seen.at_ms for seen in self._informs],
            lines=[at.line if at else "" for at in self._lines],
            counts=[seen.proof is Proof.NONE or seen.proven_name in names_of(seen.device) for seen in self._informs],
            provens=[seen.proven_device for seen in self._informs],
        )
        self.revision = rows[0]["revision"]
        for seen, at, found, digest, row in zip(self._informs, self._lines, values, digests, rows, strict=True):
            known = Known(device_id=row["device_id"], life=Life(row["life"]), line=row["line"]) if row["device_id"] else None
            verdict = judge(seen, known, at, row["taken"], self._rules)
            if not self._may_be_noted(seen, verdict, row):
                verdict = Verdict(standing=Standing.REFUSED, reason=TOO_MANY)
            entry = _Entry(seen=seen, at=at, values=found, digest=digest, row=row, verdict=verdict, device_id=row["device_id"])
            _fill(entry)
            self._entries.append(entry)

    def _may_be_noted(self, seen: InformSeen, verdict: Verdict, row: Row) -> bool:
        """Invented serial numbers, and names of others, are written down so often and not more often."""
        invented = (not row["device_id"] and seen.proof is Proof.NONE) or verdict.standing is Standing.REFUSED
        return self._strangers is None or not invented or self._strangers.may_enter(seen.peer_ip, self._now)

    async def add_devices(self, store: FleetStore) -> None:
        """Devices that were never seen, each once however often it stands in the batch."""
        fresh: dict[tuple[str, str, str], _Entry] = {}
        for entry in self._entries:
            if not entry.device_id and entry.standing is not Standing.REFUSED:
                fresh.setdefault(_identity(entry.seen), entry)
        if not fresh:
            return
        entries = list(fresh.values())
        models = [(entry.seen.device.oui, entry.seen.device.product_class, entry.seen.device.manufacturer) for entry in entries]
        await store.run("add_models", now_ms=self._now, **columns(models, ("ouis", "product_classes", "manufacturers")))
        rows = [
            (*_identity(entry.seen), entry.life.value, entry.standing.value, entry.verdict.reason, entry.line, "", entry.link.value,
             entry.data_model.value, entry.software, entry.hardware, entry.seen.at_ms, entry.seen.peer_ip, entry.seen.lane.value,
             entry.digest, entry.at.line if entry.at else "")
            for entry in entries
        ]  # fmt: skip
        names = ("ouis", "product_classes", "serial_numbers", "lives", "standings", "reasons", "lines", "customers", "links", "data_models",
                 "softwares", "hardwares", "moments", "peers", "lanes", "digests", "at_lines")  # fmt: skip
        made = {
            (row["oui"], row["product_class"], row["serial_number"]): row for row in await store.rows("add_devices", **columns(rows, names))
        }
        if len(made) < len(fresh):
            raise ConflictError("another process added one of these devices at this moment; the same again", reason="device_added")
        for entry in self._entries:
            if not entry.device_id and (row := made.get(_identity(entry.seen))) is not None:
                entry.device_id, entry.model_id = row["device_id"], row["model_id"]
        await store.note([(entry.device_id, entry.seen.at_ms, "life", "", "", entry.life.value, "") for entry in entries])
        await store.announce(
            [(_kind(entry), entry.device_id, _told(entry)) for entry in entries if _kind(entry)],
            self._now,
        )

    async def write(self, store: FleetStore) -> None:
        """What changed, and only that."""
        await self._audit(store)
        granted = {entry.device_id: entry for entry in self._entries if entry.device_id and entry.standing is not Standing.REFUSED}
        reset = [device_id for device_id, entry in granted.items() if entry.reset and entry.row["device_id"]]
        if reset:
            await store.run("forget_reported", devices=reset)
        changed = [entry for entry in granted.values() if entry.row["device_id"] and _changes(entry)]
        if changed:
            await self._change(store, changed)
        news = [entry for entry in granted.values() if not entry.row["same"] or entry.reset]
        rows = [
            (entry.device_id, name, without_userinfo(value), True, entry.seen.at_ms)
            for entry in news
            for name, value in entry.values.items()
            if not is_secret(name)
        ]
        if rows:
            await store.run("write_reported", **columns(rows, ("devices", "names", "values", "informs", "moments")))

    def stock(self) -> list[_Entry]:
        """Entries of devices in stock that may be updated."""
        return [entry for entry in self._entries if entry.standing is Standing.STOCK and "Download" in entry.methods]

    def due(self) -> list[_Entry]:
        """Entries that may get something and have something open."""
        found: dict[int, _Entry] = {}
        for entry in self._entries:
            may = entry.standing is Standing.MANAGED or (entry.standing is Standing.UNBOUND and entry.verdict.reason != "other_line")
            waits = entry.row["not_before_ms"] and entry.row["not_before_ms"] > self._now
            behind = entry.row["settled_revision"] < self.revision or not entry.row["same"] or entry.reset or entry.stands_anew
            if may and behind and not waits and entry.data_model is not DataModel.UNKNOWN:
                found[entry.device_id] = entry
        return list(found.values())

    def with_orders(self) -> list[_Entry]:
        """Entries of devices that have orders, or tell of one."""
        return [
            entry
            for entry in self._entries
            if entry.standing is not Standing.REFUSED
            and entry.row["device_id"]
            and (entry.row["orders_wait"] or entry.row["orders_open"] or any(event.command_key for event in entry.seen.events))
        ]

    @property
    def answers(self) -> list[Admitted]:
        """One answer an Inform, without its work."""
        return [
            Admitted(
                device_id=entry.device_id,
                standing=entry.standing,
                reason=entry.verdict.reason,
                line=entry.line,
                life=entry.life,
                believed=entry.believed,
            )
            for entry in self._entries
        ]

    async def _audit(self, store: FleetStore) -> None:
        for entry in self._entries:
            if entry.standing is not Standing.REFUSED or entry.verdict.reason == TOO_MANY:
                continue
            device = entry.seen.device
            row = await store.row(
                "note_refusal",
                proven_name=entry.seen.proven_name[:MAX_NAME_CHARS],
                oui=device.oui,
                product_class=device.product_class,
                serial_number=device.serial_number,
                reason=entry.verdict.reason,
                peer=entry.seen.peer_ip,
                now_ms=self._now,
            )
            if row is not None and row["times"] == 1:
                await store.announce([("refused", entry.device_id, _told(entry))], self._now)
                await store.note([(entry.device_id, self._now, "refused", entry.verdict.reason, "", entry.seen.peer_ip, "")])

    async def _change(self, store: FleetStore, entries: list[_Entry]) -> None:
        rows = [
            (entry.device_id, entry.life.value, entry.standing.value, entry.verdict.reason, entry.line, entry.link.value,
             entry.data_model.value, entry.software, entry.hardware, entry.seen.at_ms)
            for entry in entries
        ]  # fmt: skip
        names = ("devices", "lives", "standings", "reasons", "lines", "links", "data_models", "softwares", "hardwares", "moments")
        await store.run("change_devices", **columns(rows, names))
        if anew := [entry.device_id for entry in entries if entry.stands_anew]:
            await store.run("unsettle", devices=anew)
        history, told = [], []
        for entry in entries:
            moment, was = entry.seen.at_ms, entry.row
            pairs = (("life", was["life"], entry.life.value), ("standing", was["standing"], entry.standing.value),
                     ("firmware", was["software_version"], entry.software))  # fmt: skip
            history += [(entry.device_id, moment, kind, "", old, new, "") for kind, old, new in pairs if old != new]
            if was["software_version"] != entry.software and was["software_version"]:
                told.append(("firmware", entry.device_id, _told(entry)))
            if (was["standing"], was["life"]) != (entry.standing.value, entry.life.value) and _kind(entry):
                told.append((_kind(entry), entry.device_id, _told(entry)))
        await store.note(history)
        await store.announce(told, self._now)


def _identity(seen: InformSeen) -> tuple[str, str, str]:
    return seen.device.oui, seen.device.product_class, seen.device.serial_number


def _values(seen: InformSeen) -> dict[str, str]:
    """The Inform's parameters, bounded; a later one of the same name counts."""
    return {entry.name[:MAX_NAME_CHARS]: entry.value[:MAX_VALUE_CHARS] for entry in seen.parameters[:MAX_INFORM_PARAMETERS] if entry.name}


def _digest(values: dict[str, str]) -> bytes:
    """What an unchanged Inform has in common with the one before; times since the start change always and say nothing."""
    steady = sorted((name, value) for name, value in values.items() if not name.endswith(("UpTime", "CurrentLocalTime")))
    return hashlib.blake2b(msgspec.json.encode(steady), digest_size=12).digest()


def _fill(entry: _Entry) -> None:
    """What the Inform says, over what was known."""
    row, verdict, values = entry.row, entry.verdict, entry.values
    said = {name.partition(".")[2]: value for name, value in values.items()}
    before = Life(row["life"]) if row["life"] else Life.BOOTSTRAPPED
    entry.model_id = row["model_id"] or 0
    entry.life = after(before, verdict.occurrence) if verdict.occurrence and row["life"] else before
    entry.line = row["line"]
    entry.software = said.get("DeviceInfo.SoftwareVersion", row["software_version"] or "")[:MAX_NAME_CHARS]
    entry.hardware = said.get("DeviceInfo.HardwareVersion", row["hardware_version"] or "")[:MAX_NAME_CHARS]
    known = DataModel(row["data_model"] or "")
    entry.data_model = known if row["same"] and known is not DataModel.UNKNOWN else data_model_of(tuple(values)) or known
    hint = Link(row["link"]) if row["link"] else None
    entry.link = link_of(entry.seen.peer_ip, said.get("ManagementServer.ConnectionRequestURL", ""), hint)
    entry.parameter_key = "" if entry.reset else said.get("ManagementServer.ParameterKey", "")


def _changes(entry: _Entry) -> bool:
    row = entry.row
    return (row["life"], row["standing"], row["standing_reason"], row["line"], row["link"], row["data_model"], row["software_version"],
            row["hardware_version"]) != (entry.life, entry.standing, entry.verdict.reason, entry.line, entry.link, entry.data_model,
            entry.software, entry.hardware)  # fmt: skip


def _kind(entry: _Entry) -> str:
    """The announcement of a new state, empty when nobody needs to hear of it."""
    match entry.standing, entry.life:
        case Standing.REPLACEMENT_PENDING, _:
            return "replacement_pending"
        case Standing.MANAGED, _:
            return "bound"
        case _, Life.BOOTSTRAPPED if entry.seen.lane is Lane.BOOTSTRAP or entry.reset:
            return "bootstrapped"
        case _ if entry.verdict.reason == "other_line":
            return "life"
        case _:
            return ""


def _told(entry: _Entry) -> str:
    device = entry.seen.device
    detail = {
        "oui": device.oui,
        "product_class": device.product_class,
        "serial_number": device.serial_number,
        "standing": entry.standing.value,
        "reason": entry.verdict.reason,
        "life": entry.life.value,
        "line": entry.at.line if entry.at else entry.line,
        "software_version": entry.software,
        "peer_ip": entry.seen.peer_ip,
    }
    return msgspec.json.encode(detail).decode()
