"""Accounts and networks: import, look up, and what the worker must tell the log.

An import is one transaction: it happens whole or not at all, with its outbox entries. The one thing to know: the outbox names revisions,
and a revision is read when it is told, so the log always hears the newest state of an account.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import BinaryIO, TypeVar

from ringfence.base.clock import Clock, system_clock
from ringfence.base.errors import ConflictError, NotFoundError, OperatorError
from ringfence.base.ids import keyed_hash, new_id, slot_of
from ringfence.runtime.db import Database
from ringfence.subscribers.model import Account, BadRow, Change, ImportReport, Network
from ringfence.subscribers.sheets import AccountRow, read_accounts, read_networks
from ringfence.subscribers.store import SubscribersStore
from ringfence.telephony.control import AccountChanged, NetworksChanged

CHUNK_ROWS = 5_000
"""Rows that are parsed, copied and merged at a time; half of what a control message may hold."""

MAX_IMPORT_ROWS = 100_000_000
MAX_NETWORKS = 20_000
BAD_SHARE = 100
"""More than one bad row in this many ends an import."""

SHOWN_BAD_ROWS = 100

Item = TypeVar("Item")


class SubscribersService:
    """Accounts and networks in PostgreSQL. `key` is the installation's key for account keys (`keyed_hash`)."""

    def __init__(self, db: Database, key: bytes, clock: Clock = system_clock) -> None:
        self._db = db
        self._key = key
        self._clock = clock

    async def import_accounts(self, by: str, source: BinaryIO, *, strict: bool = False) -> ImportReport:
        """Add and change the accounts of a CSV file (`formats.md`); accounts it does not name stay as they are.

        OperatorError, and nothing changed, when more than 1 % of its rows are bad (or one, with `strict`).
        """
        tally = _Tally(strict=strict)
        async with self._db.transaction() as connection:
            store = SubscribersStore(connection)
            await self._begin(store)
            await store.run("create_incoming")
            rows = tally.good(read_accounts(source))
            while chunk := await asyncio.to_thread(self._keyed, rows):
                await store.copy_incoming(chunk)
            for row in await store.rows("drop_repeated"):
                message = f"{row['account'][:60]!a} stands in line {row['first_line']} already"
                tally.add(BadRow(line=row["line"], reason="repeated", message=message))
                tally.kept -= 1
            tally.judge()
            added, changed = await self._merge(store, tally.kept)
            report = tally.report("accounts", added, changed)
            await self._note(store, by, report)
        return report

    async def import_networks(self, by: str, source: BinaryIO, *, strict: bool = False) -> ImportReport:
        """Replace the operator's own ranges by those of a CSV file; the same refusals as `import_accounts`."""
        tally = _Tally(strict=strict)
        fresh: dict[str, Network] = {}
        for line, network in tally.good(read_networks(source)):
            if network.prefix in fresh:
                tally.add(BadRow(line=line, reason="repeated", message=f"{network.prefix} stands in an earlier line already"))
                tally.kept -= 1
                continue
            fresh[network.prefix] = network
            if len(fresh) > MAX_NETWORKS:
                raise OperatorError(f"{MAX_NETWORKS} networks are possible; join neighbours into wider ranges", reason="too_many_networks")
        tally.judge()
        async with self._db.transaction() as connection:
            store = SubscribersStore(connection)
            await self._begin(store)
            old = {network.prefix: network for network in await store.networks()}
            added = len(fresh.keys() - old.keys())
            changed = sum(old[prefix] != fresh[prefix] for prefix in fresh.keys() & old.keys())
            removed = len(old.keys() - fresh.keys())
            if added or changed or removed:
                await store.replace_networks(list(fresh.values()))
                revision = await store.figure("take_revision", "revision")
                await store.run("set_network_version", version=revision, now_ms=self._clock())
                await store.run("add_to_outbox", kind="networks", revision=revision, now_ms=self._clock())
            report = tally.report("networks", added, changed, removed)
            await self._note(store, by, report)
        return report

    async def remove_account(self, account: str) -> None:
        """Forget an account's attributes; it counts as residential with one channel from then on."""
        async with self._db.transaction() as connection:
            store = SubscribersStore(connection)
            revision = await store.figure("take_revision", "revision")
            if await store.row("remove_account", account=account, revision=revision, now_ms=self._clock()) is None:
                raise NotFoundError(f"there is no account {account[:60]!a}", reason="no_account")
            await store.run("add_to_outbox", kind="accounts", revision=revision, now_ms=self._clock())

    async def account(self, account: str) -> Account | None:
        """What is known of an account; None when it was never imported or was removed."""
        async with self._db.transaction() as connection:
            found = await SubscribersStore(connection).accounts("find_account", account=account)
        return found[0] if found and not found[0].removed else None

    async def accounts_of_customer(self, customer: str) -> tuple[Account, ...]:
        """The accounts of a customer, 500 at the most."""
        async with self._db.transaction() as connection:
            return await SubscribersStore(connection).accounts("list_accounts_of_customer", customer=customer)

    async def count_accounts(self) -> int:
        """How many accounts are known."""
        async with self._db.transaction() as connection:
            return await SubscribersStore(connection).figure("count_accounts", "accounts")

    async def networks(self) -> tuple[Network, ...]:
        """The operator's own ranges, in address order."""
        async with self._db.transaction() as connection:
            return await SubscribersStore(connection).networks()

    async def network_of(self, address: str) -> Network | None:
        """The longest own range that holds an IP address; None for everybody else's."""
        async with self._db.transaction() as connection:
            return await SubscribersStore(connection).network_of(address)

    # For the worker: what to tell the log

    async def pending(self, limit: int) -> tuple[Change, ...]:
        """Outbox entries, oldest first."""
        async with self._db.transaction() as connection:
            return await SubscribersStore(connection).changes(limit)

    async def changed_accounts(self, revision: int) -> list[AccountChanged]:
        """The accounts whose newest change is this revision; `CHUNK_ROWS` at the most."""
        async with self._db.transaction() as connection:
            found = await SubscribersStore(connection).accounts("list_accounts_of_revision", revision=revision)
        return [account.changed() for account in found]

    async def accounts_of_slot(self, slot: int) -> list[AccountChanged]:
        """Every account of a slot, for the snapshot in the bucket `control`."""
        async with self._db.transaction() as connection:
            found = await SubscribersStore(connection).accounts("list_accounts_of_slot", slot=slot)
        return [account.changed() for account in found]

    async def slots(self) -> tuple[int, ...]:
        """The slots that have an account."""
        async with self._db.transaction() as connection:
            return tuple(row["slot"] for row in await SubscribersStore(connection).rows("list_slots"))

    async def networks_changed(self) -> NetworksChanged:
        """The ranges as they are now, with their version."""
        async with self._db.transaction() as connection:
            store = SubscribersStore(connection)
            version = await store.figure("read_network_version", "version")
            networks = await store.networks()
        return NetworksChanged(version=version, networks=tuple((network.prefix, network.kind.value) for network in networks))

    async def settle(self, changes: tuple[Change, ...]) -> None:
        """Take entries out of the outbox: the log and the bucket have them."""
        async with self._db.transaction() as connection:
            await SubscribersStore(connection).run("settle_outbox", entries=[change.entry_id for change in changes])

    # Inside

    def _keyed(self, rows: Iterator[AccountRow]) -> list[tuple[object, ...]]:
        """The next chunk as rows of the temporary table; runs in a thread."""
        chunk: list[tuple[object, ...]] = []
        for row in islice(rows, CHUNK_ROWS):
            key = keyed_hash(self._key, row.account)
            chunk.append((row.line, row.account, key, slot_of(key), row.customer, row.segment and row.segment.value, row.channels,
                          row.since_ms, row.country, row.own_device, row.exempt_until_ms, row.sensitivity))  # fmt: skip
        return chunk

    async def _begin(self, store: SubscribersStore) -> None:
        row = await store.row("lock_imports")
        if row is None or not row["locked"]:
            raise ConflictError("another import is running; try again when it is done", reason="import_running")
        await store.run("allow_an_hour")

    async def _merge(self, store: SubscribersStore, rows: int) -> tuple[int, int]:
        await store.run("number_incoming", size=CHUNK_ROWS)
        await store.run("index_incoming")
        added = changed = 0
        for chunk in range(-(-rows // CHUNK_ROWS)):
            revision = await store.figure("take_revision", "revision")
            row = await store.row("merge_chunk", chunk=chunk, revision=revision, now_ms=self._clock())
            assert row is not None, "a count without a group always has a row"
            added, changed = added + row["added"], changed + row["changed"]
            if row["added"] or row["changed"]:
                await store.run("add_to_outbox", kind="accounts", revision=revision, now_ms=self._clock())
        return added, changed

    async def _note(self, store: SubscribersStore, by: str, report: ImportReport) -> None:
        await store.run(
            "note_import",
            import_id=report.import_id,
            kind=report.kind,
            author=by,
            now_ms=self._clock(),
            rows=report.rows,
            bad=report.bad,
            added=report.added,
            changed=report.changed,
            removed=report.removed,
            same=report.same,
        )


class _Tally:
    """Counts good and bad rows while they pass, and ends an import that has too many bad ones."""

    def __init__(self, *, strict: bool) -> None:
        self._strict = strict
        self._reasons: Counter[str] = Counter()
        self._shown: list[BadRow] = []
        self.kept = 0

    def good(self, rows: Iterator[Item | BadRow]) -> Iterator[Item]:
        """The rows that could be read."""
        for row in rows:
            if isinstance(row, BadRow):
                self.add(row)
                if self._strict:
                    self.judge()
                continue
            self.kept += 1
            if self.kept > MAX_IMPORT_ROWS:
                raise OperatorError(f"an import holds {MAX_IMPORT_ROWS} rows at the most; split the file", reason="too_many_rows")
            yield row

    def add(self, row: BadRow) -> None:
        """One more bad row; the first hundred are kept whole."""
        self._reasons[row.reason] += 1
        if len(self._shown) < SHOWN_BAD_ROWS:
            self._shown.append(row)

    def judge(self) -> None:
        """Refuse the whole file when too much of it is bad."""
        bad = self._reasons.total()
        if bad and (self._strict or bad * BAD_SHARE > self.kept + bad):
            first = min(self._shown, key=lambda row: row.line)
            raise OperatorError(
                f"{bad} of {self.kept + bad} rows are bad, nothing was imported; line {first.line}: {first.message}",
                reason="too_many_bad_rows",
            )

    def report(self, kind: str, added: int, changed: int, removed: int = 0) -> ImportReport:
        """What happened, for the person."""
        bad = self._reasons.total()
        return ImportReport(
            import_id=new_id("i"),
            kind=kind,
            rows=self.kept + bad,
            added=added,
            changed=changed,
            removed=removed,
            same=self.kept - added - changed,
            bad=bad,
            bad_rows=tuple(sorted(self._shown, key=lambda row: row.line)),
            bad_reasons=tuple(self._reasons.most_common()),
        )
