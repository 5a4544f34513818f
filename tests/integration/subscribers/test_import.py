"""Imports on a real PostgreSQL: whole or not at all, counted, with their outbox entries."""

import asyncio
import io
from collections.abc import Awaitable, Callable

import psycopg
import pytest

from ringfence.base.errors import ConflictError, NotFoundError, OperatorError
from ringfence.base.ids import keyed_hash, slot_of
from ringfence.runtime.db import Database
from ringfence.subscribers.importing.service import CHUNK_ROWS
from ringfence.subscribers.model import Segment
from ringfence.subscribers.service import SubscribersService

KEY = b"key of the test"


def run(url: str, body: Callable[[SubscribersService], Awaitable[None]]) -> None:
    async def main() -> None:
        async with Database(url, name="test") as db:
            await body(SubscribersService(db, KEY, lambda: 1_790_000_000_000))

    asyncio.run(main())


def sheet(*lines: str) -> io.BytesIO:
    return io.BytesIO("\n".join(lines).encode() + b"\n")


def test_an_import_adds_changes_and_keeps(database_url: str) -> None:
    async def body(subscribers: SubscribersService) -> None:
        report = await subscribers.import_accounts("anna", sheet("account,segment,channels", "alice,business,7", "bob,,", "carl,trunk,30"))
        assert (report.rows, report.added, report.changed, report.same, report.bad) == (3, 3, 0, 0, 0)
        report = await subscribers.import_accounts("anna", sheet("account,channels", "alice,8", "bob,1", "dora,2"))
        assert (report.rows, report.added, report.changed, report.same, report.bad) == (3, 1, 1, 1, 0)

        alice = await subscribers.account("alice")
        assert alice is not None
        assert (alice.segment, alice.channels) == (Segment.BUSINESS, 8), "a column that the file lacks keeps what is there"
        assert alice.account_key == keyed_hash(KEY, "alice")
        assert alice.slot == slot_of(alice.account_key)
        assert await subscribers.account("nobody") is None
        assert await subscribers.count_accounts() == 4

        changes = await subscribers.pending(10)
        told = [{record.account for record in await subscribers.changed_accounts(change.revision)} for change in changes]
        assert told == [{"bob", "carl"}, {"alice", "dora"}], "an account is told at its newest revision"
        await subscribers.settle(changes)
        assert await subscribers.pending(10) == ()
        assert {record.account for record in await subscribers.accounts_of_slot(alice.slot)} >= {"alice"}

    run(database_url, body)


def test_bad_rows_are_counted_named_and_skipped(database_url: str) -> None:
    async def body(subscribers: SubscribersService) -> None:
        good = [f"acc{number},1" for number in range(300)]
        report = await subscribers.import_accounts("anna", sheet("account,channels", "acc7,1", "bad account,1", *good, "acc9,9"))
        assert (report.rows, report.added, report.bad) == (303, 300, 3)
        assert [(row.line, row.reason) for row in report.bad_rows] == [(3, "bad_account"), (11, "repeated"), (304, "repeated")]
        assert dict(report.bad_reasons) == {"repeated": 2, "bad_account": 1}
        assert "line 2" in report.bad_rows[1].message
        nine = await subscribers.account("acc9")
        assert nine is not None
        assert nine.channels == 1, "the first row of an account counts"

    run(database_url, body)


def test_too_many_bad_rows_change_nothing(database_url: str) -> None:
    async def body(subscribers: SubscribersService) -> None:
        lines = ["account,channels", *(f"acc{number},1" for number in range(98)), "x,nine", "y,ten"]
        with pytest.raises(OperatorError, match=r"2 of 100 rows are bad, nothing was imported; line 100: channels 'nine'"):
            await subscribers.import_accounts("anna", sheet(*lines))
        with pytest.raises(OperatorError, match="1 of 2 rows"):
            await subscribers.import_accounts(
                "anna", sheet("account,channels", "a,1", "b,zero", *(f"c{n},1" for n in range(500))), strict=True
            )
        assert await subscribers.count_accounts() == 0
        assert await subscribers.pending(10) == ()

    run(database_url, body)


def test_many_rows_are_few_revisions_that_fit_a_message(database_url: str) -> None:
    async def body(subscribers: SubscribersService) -> None:
        number = 2 * CHUNK_ROWS + 1
        report = await subscribers.import_accounts("anna", sheet("account", *(f"acc{place}" for place in range(number))))
        assert report.added == number
        changes = await subscribers.pending(100)
        sizes = [len(await subscribers.changed_accounts(change.revision)) for change in changes]
        assert sizes == [CHUNK_ROWS, CHUNK_ROWS, 1]
        assert len(await subscribers.slots()) > 1_000

    run(database_url, body)


def test_two_imports_at_once_are_refused_one(database_url: str) -> None:
    async def body(subscribers: SubscribersService) -> None:
        with psycopg.connect(database_url) as other:
            other.execute("select pg_advisory_xact_lock(hashtext('subscribers.imports'))")
            with pytest.raises(ConflictError, match="another import is running"):
                await subscribers.import_accounts("anna", sheet("account", "alice"))
        assert (await subscribers.import_accounts("anna", sheet("account", "alice"))).added == 1

    run(database_url, body)


def test_a_removed_account_is_told_and_may_come_back(database_url: str) -> None:
    async def body(subscribers: SubscribersService) -> None:
        await subscribers.import_accounts("anna", sheet("account", "alice"))
        await subscribers.settle(await subscribers.pending(10))
        await subscribers.remove_account("alice")
        assert await subscribers.account("alice") is None
        (change,) = await subscribers.pending(10)
        assert [(record.account, record.removed) for record in await subscribers.changed_accounts(change.revision)] == [("alice", True)]
        with pytest.raises(NotFoundError):
            await subscribers.remove_account("alice")
        assert (await subscribers.import_accounts("anna", sheet("account", "alice"))).changed == 1
        assert await subscribers.account("alice") is not None

    run(database_url, body)


def test_networks_are_replaced_whole_and_the_longest_counts(database_url: str) -> None:
    async def body(subscribers: SubscribersService) -> None:
        report = await subscribers.import_networks(
            "anna", sheet("prefix,kind", "10.0.0.0/8,own_pool", "10.1.0.0/16,cgnat", "2001:db8::/32,peer")
        )
        assert (report.added, report.changed, report.removed) == (3, 0, 0)
        for address, kind in (("10.2.0.1", "own_pool"), ("10.1.0.1", "cgnat"), ("2001:db8::1", "peer")):
            network = await subscribers.network_of(address)
            assert network is not None
            assert network.kind == kind
        assert await subscribers.network_of("192.0.2.1") is None
        first = await subscribers.networks_changed()

        report = await subscribers.import_networks("anna", sheet("prefix,kind", "10.0.0.0/8,peer", "10.1.0.0/16,cgnat"))
        assert (report.added, report.changed, report.removed, report.same) == (0, 1, 1, 1)
        second = await subscribers.networks_changed()
        assert second.version > first.version
        assert second.networks == (("10.0.0.0/8", "peer"), ("10.1.0.0/16", "cgnat"))
        assert len(await subscribers.pending(10)) == 2
        await subscribers.import_networks("anna", sheet("prefix,kind", "10.0.0.0/8,peer", "10.1.0.0/16,cgnat"))
        assert await subscribers.networks_changed() == second, "the same file is no change"

    run(database_url, body)


def test_a_row_that_says_removed_closes_an_account_and_nothing_else(database_url: str) -> None:
    async def body(subscribers: SubscribersService) -> None:
        await subscribers.import_accounts("anna", sheet("account,segment,channels", "alice,business,7", "bob,,"))
        await subscribers.settle(await subscribers.pending(10))
        report = await subscribers.import_accounts("anna", sheet("account,segment,removed", "alice,,yes", "bob,,", "carl,,true"))
        assert (report.removed, report.added, report.changed, report.same) == (1, 0, 0, 2)
        assert await subscribers.account("alice") is None
        (change,) = await subscribers.pending(10)
        (told,) = await subscribers.changed_accounts(change.revision)
        assert (told.account, told.removed, told.channels) == ("alice", True, 7)
        back = await subscribers.import_accounts("anna", sheet("account", "alice"))
        assert [changed.fields for changed in back.examples] == [("removed",)]
        alice = await subscribers.account("alice")
        assert alice is not None
        assert alice.channels == 7, "what closed kept what it was"

    run(database_url, body)
