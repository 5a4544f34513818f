"""Accounts and networks: import, look up, and what the worker must tell the log.

An import is one transaction: it happens whole or not at all, with its outbox entries. The one thing to know: the outbox names revisions,
and a revision is read when it is told, so the log always hears the newest state of an account.
"""

from collections.abc import Iterator, Mapping
from typing import BinaryIO

from ringfence.base.clock import Clock, system_clock
from ringfence.base.errors import NotFoundError, OperatorError
from ringfence.base.ids import keyed_hash, new_id, slot_of
from ringfence.runtime.db import Database
from ringfence.subscribers.customers.service import CustomersService
from ringfence.subscribers.importing.tally import Tally
from ringfence.subscribers.model import Account, Change, Changed, Difference, ImportReport, Network
from ringfence.subscribers.sheets import AccountRow, read_accounts, read_networks
from ringfence.subscribers.store import SubscribersStore
from ringfence.telephony.control import AccountChanged, NetworksChanged

MAX_NETWORKS = 20_000


class SubscribersService(CustomersService):
    """The room's whole shell: accounts and networks here; customers, lines and access sessions inherited.

    `key` is the installation's key for account keys (`keyed_hash`).
    """

    def __init__(self, db: Database, key: bytes, clock: Clock = system_clock) -> None:
        super().__init__(db, clock)
        self._key = key

    async def import_accounts(self, by: str, source: BinaryIO, *, strict: bool = False) -> ImportReport:
        """Add, change and close the accounts of a CSV file (`formats.md`); accounts it does not name stay as they are.

        OperatorError, and nothing changed, when more than 1 % of its rows are bad (or one, with `strict`).
        """
        return await self._import(by, "accounts", read_accounts(source), self._account_columns, strict=strict, announced=True)

    async def import_networks(self, by: str, source: BinaryIO, *, strict: bool = False) -> ImportReport:
        """Replace the operator's own ranges by those of a CSV file; the same refusals as `import_accounts`."""
        tally = Tally(strict=strict)
        fresh: dict[str, Network] = {}
        for line, network in tally.good(read_networks(source)):
            if network.prefix in fresh:
                tally.repeated(line, f"{network.prefix} stands in an earlier line already")
                continue
            fresh[network.prefix] = network
            if len(fresh) > MAX_NETWORKS:
                raise OperatorError(f"{MAX_NETWORKS} networks are possible; join neighbours into wider ranges", reason="too_many_networks")
        tally.judge()
        async with self._db.transaction() as connection:
            store = SubscribersStore(connection)
            await self._begin(store)
            old = {network.prefix: network for network in await store.networks()}
            changes = list(_differences(old, fresh))
            tally.wrote(changes)
            gone = len(old.keys() - fresh.keys())
            if changes or gone:
                await store.replace_networks(list(fresh.values()))
                revision = await store.figure("take_revision", "revision")
                await store.run("set_network_version", version=revision, now_ms=self._clock())
                await store.run("add_to_outbox", kind="networks", revision=revision, now_ms=self._clock())
            report = tally.report(new_id("i"), "networks", gone)
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

    def _account_columns(self, row: AccountRow) -> tuple[object, ...]:
        key = keyed_hash(self._key, row.account)
        if row.removed:
            row = AccountRow(file_line=row.file_line, account=row.account, removed=True)
        return (row.file_line, row.account, key, slot_of(key), row.customer, row.segment and row.segment.value, row.channels,
                row.since_ms, row.country, row.own_device, row.exempt_until_ms, row.sensitivity, row.line, row.removed)  # fmt: skip


def _differences(old: Mapping[str, Network], fresh: Mapping[str, Network]) -> Iterator[Changed]:
    """What a new list of networks adds and changes."""
    for prefix, network in fresh.items():
        before = old.get(prefix)
        if before is None:
            yield Changed(key=prefix, difference=Difference.ADDED)
        elif before != network:
            fields = tuple(name for name in ("kind", "comment") if getattr(before, name) != getattr(network, name))
            yield Changed(key=prefix, difference=Difference.CHANGED, fields=fields)
