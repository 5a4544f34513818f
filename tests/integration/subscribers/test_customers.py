"""Customers, lines and contacts on a real PostgreSQL: what a file changes, what it keeps, and what a search finds."""

import asyncio
import io
import re
import time
from collections.abc import Awaitable, Callable

import psycopg
import pytest

from ringfence.base.errors import NotFoundError, OperatorError
from ringfence.runtime.db import Database
from ringfence.subscribers.importing.service import CHUNK_ROWS
from ringfence.subscribers.model import Changed, Contact, ContactKind, Difference, Found, FoundBy, Segment
from ringfence.subscribers.service import SubscribersService
from ringfence.subscribers.sessions.model import ReportKind, SessionReport
from ringfence.subscribers.store import QUERIES
from ringfence.telephony.numbers import plan_for

PLACES = ["text", "past", "folded", "folded_past", "accounts", "limit", "after", "customer"]
NOW_MS = 1_790_000_000_000


def run(url: str, body: Callable[[SubscribersService], Awaitable[None]]) -> None:
    async def main() -> None:
        async with Database(url, name="test") as db:
            await body(SubscribersService(db, b"key of the test", lambda: NOW_MS))

    asyncio.run(main())


def sheet(*lines: str) -> io.BytesIO:
    return io.BytesIO("\n".join(lines).encode() + b"\n")


async def some(subscribers: SubscribersService) -> None:
    """Two customers with what belongs to them."""
    await subscribers.import_customers(
        "anna", sheet("customer,name,segment,since", "K-100,Müller Anna,,2020-01-02", "K-1001,Bäckerei Müller GmbH,business,", "K-2,,,")
    )
    await subscribers.import_lines(
        "anna", sheet("line,customer,access_node,region", "DSL-7,K-100,ber-olt-3,north", "DSL-71,K-1001,ber-olt-3,north", "DSL-9,,,")
    )
    await subscribers.import_contacts(
        "anna", sheet("customer,kind,value", "K-100,mail,anna@example.net", "K-100,phone,+49 30 123456", 'K-100,post,"Weg 1, 10115 Berlin"')
    )
    await subscribers.import_accounts(
        "anna", sheet("account,customer,line", "493012345678,K-100,DSL-7", "+4940777777,K-1001,DSL-71", "0891234567,K-2,")
    )


def test_a_customer_has_lines_accounts_and_contacts(database_url: str) -> None:
    async def body(subscribers: SubscribersService) -> None:
        await some(subscribers)
        page = await subscribers.customer("K-100")
        assert page is not None
        assert (page.customer.name, page.customer.segment, page.customer.since_ms) == (
            "Müller Anna", Segment.RESIDENTIAL, 1_577_923_200_000,
        )  # fmt: skip
        assert [(line.line, line.access_node, line.region) for line in page.lines] == [("DSL-7", "ber-olt-3", "north")]
        assert [(account.account, account.line) for account in page.accounts] == [("493012345678", "DSL-7")]
        assert page.contacts == (
            Contact(customer="K-100", kind=ContactKind.MAIL, value="anna@example.net"),
            Contact(customer="K-100", kind=ContactKind.PHONE, value="+49 30 123456"),
            Contact(customer="K-100", kind=ContactKind.POST, value="Weg 1, 10115 Berlin"),
        )
        assert await subscribers.customer("K-3") is None
        line = await subscribers.line("DSL-71")
        assert line is not None
        assert line.customer == "K-1001"
        assert await subscribers.line("DSL-8") is None

    run(database_url, body)


def test_a_report_names_what_is_another_now_and_no_value(database_url: str) -> None:
    async def body(subscribers: SubscribersService) -> None:
        await some(subscribers)
        report = await subscribers.import_customers(
            "anna", sheet("customer,name,segment,removed", "K-100,Maier Anna,business,", "K-1001,,,yes", "K-2,,,", "K-3,Neu,,", "K-4,,,yes")
        )
        assert (report.rows, report.added, report.changed, report.removed, report.same, report.bad) == (5, 1, 1, 1, 2, 0)
        assert report.examples == (
            Changed(key="K-100", difference=Difference.CHANGED, fields=("name", "segment")),
            Changed(key="K-1001", difference=Difference.REMOVED),
            Changed(key="K-3", difference=Difference.ADDED),
        )
        assert dict(report.changed_fields) == {"name": 1, "segment": 1}
        closed = await subscribers.customer("K-1001")
        assert closed is not None
        assert (closed.customer.removed, closed.customer.name) == (True, "Bäckerei Müller GmbH"), "a row that closes says nothing else"
        assert await subscribers.customer("K-4") is None, "nothing is closed that was never there"

        again = await subscribers.import_customers("anna", sheet("customer,removed", "K-1001,yes"))
        assert (again.removed, again.same) == (0, 1)
        back = await subscribers.import_customers("anna", sheet("customer", "K-1001"))
        assert back.examples == (Changed(key="K-1001", difference=Difference.CHANGED, fields=("removed",)),)

        lines = await subscribers.import_lines("anna", sheet("line,region,removed", "DSL-7,south,", "DSL-71,,1", "DSL-9,,"))
        assert (lines.changed, lines.removed, lines.same, dict(lines.changed_fields)) == (1, 1, 1, {"region": 1})
        seven = await subscribers.line("DSL-7")
        assert seven is not None
        assert (seven.customer, seven.region) == ("K-100", "south"), "a column that the file lacks keeps what is there"

        accounts = await subscribers.import_accounts("anna", sheet("account,line", "493012345678,DSL-9", "0891234567,"))
        assert (accounts.changed, accounts.same, dict(accounts.changed_fields)) == (1, 1, {"line": 1})

    run(database_url, body)


def test_contacts_are_there_or_not(database_url: str) -> None:
    async def body(subscribers: SubscribersService) -> None:
        await some(subscribers)
        report = await subscribers.import_contacts(
            "anna",
            sheet(
                "customer,kind,value,removed", "K-100,mail,anna@example.net,yes", "K-100,mail,maier@example.net,", "K-2,phone,030 1234,",
                "K-100,phone,+49 30 123456,", "K-9,mail,never@example.net,yes",
            ),
        )  # fmt: skip
        assert (report.added, report.removed, report.changed, report.same) == (2, 1, 0, 2)
        assert [(change.key, change.difference) for change in report.examples] == [
            ("K-100 mail anna@example.net", Difference.REMOVED),
            ("K-100 mail maier@example.net", Difference.ADDED),
            ("K-2 phone 030 1234", Difference.ADDED),
        ]
        page = await subscribers.customer("K-100")
        assert page is not None
        assert [contact.value for contact in page.contacts] == ["maier@example.net", "+49 30 123456", "Weg 1, 10115 Berlin"]
        await subscribers.remove_customer("K-100")
        page = await subscribers.customer("K-100")
        assert page is not None
        assert (page.customer.removed, page.contacts, len(page.lines)) == (True, (), 1)
        with pytest.raises(NotFoundError):
            await subscribers.remove_customer("K-100")
        await subscribers.remove_line("DSL-7")
        with pytest.raises(NotFoundError):
            await subscribers.remove_line("DSL-7")

    run(database_url, body)


def test_bad_rows_and_repeated_ones_are_named(database_url: str) -> None:
    async def body(subscribers: SubscribersService) -> None:
        good = [f"K-{number},mail,k{number}@example.net" for number in range(300)]
        report = await subscribers.import_contacts(
            "anna", sheet("customer,kind,value", *good, "K-7,mail,k7@example.net", "K-7,mail,nobody", "K-7,fax,1")
        )
        assert [(row.line, row.reason) for row in report.bad_rows] == [(302, "repeated"), (303, "bad_value"), (304, "bad_kind")]
        assert "K-7 mail k7@example.net" in report.bad_rows[0].message
        with pytest.raises(OperatorError, match="nothing was imported"):
            await subscribers.import_contacts("anna", sheet("customer,kind,value", "K-1,fax,1", *good), strict=True)
        with pytest.raises(OperatorError, match="no column line"):
            await subscribers.import_lines("anna", sheet("customer", "K-1"))

    run(database_url, body)


def test_more_rows_than_a_chunk(database_url: str) -> None:
    async def body(subscribers: SubscribersService) -> None:
        number = CHUNK_ROWS + 3
        text = ["customer,name", *(f"K-{place:06},Name {place}" for place in range(number))]
        assert (await subscribers.import_customers("anna", sheet(*text))).added == number
        assert (await subscribers.import_customers("anna", sheet(*text))).same == number
        first = await subscribers.customers_page(limit=500)
        second = await subscribers.customers_page(after=first[-1].customer, limit=500)
        assert [customer.customer for customer in (*first, *second)] == [f"K-{place:06}" for place in range(1_000)]
        assert await subscribers.pending(10) == (), "detection hears of accounts and networks only"

    run(database_url, body)


def hits(found: tuple[Found, ...]) -> list[tuple[FoundBy, str, str]]:
    return [(each.by, each.value, each.customer) for each in found]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("K-100", [(FoundBy.CUSTOMER, "K-100", "K-100"), (FoundBy.CUSTOMER, "K-1001", "K-1001")]),
        ("müLLER a", [(FoundBy.NAME, "Müller Anna", "K-100")]),
        ("bäckerei", [(FoundBy.NAME, "Bäckerei Müller GmbH", "K-1001")]),
        ("493012345678", [(FoundBy.ACCOUNT, "493012345678", "K-100")]),
        ("+49 (30) 1234-5678", [(FoundBy.ACCOUNT, "493012345678", "K-100")]),
        ("030 12345678", [(FoundBy.ACCOUNT, "493012345678", "K-100")]),
        ("0049 40 777777", [(FoundBy.ACCOUNT, "+4940777777", "K-1001")]),
        ("+4989 1234567", [(FoundBy.ACCOUNT, "0891234567", "K-2")]),
        ("DSL-7", [(FoundBy.LINE, "DSL-7", "K-100"), (FoundBy.LINE, "DSL-71", "K-1001")]),
        ("DSL-9", [(FoundBy.LINE, "DSL-9", "")]),
        ("%%%", []),
        ("K_1", []),
    ],
)
def test_a_search_finds_by_every_name(text: str, expected: list[tuple[FoundBy, str, str]], database_url: str) -> None:
    async def body(subscribers: SubscribersService) -> None:
        await some(subscribers)
        assert hits(await subscribers.search(text, plan=plan_for("DE"))) == expected

    run(database_url, body)


def test_a_search_finds_who_holds_an_address_now(database_url: str) -> None:
    async def body(subscribers: SubscribersService) -> None:
        await some(subscribers)
        for line, prefix in (("DSL-7", "192.0.2.7/32"), ("DSL-71", "2001:db8:7::/56")):
            await subscribers.record(
                [SessionReport(kind=ReportKind.START, nas="bng-1", session_id=line, at_ms=NOW_MS - 9_000, prefixes=(prefix,), line=line)]
            )
        (found,) = await subscribers.search("192.0.2.7")
        assert found == Found(by=FoundBy.ADDRESS, value="192.0.2.7", customer="K-100", name="Müller Anna", line="DSL-7")
        (found,) = await subscribers.search("2001:DB8:7::1")
        assert (found.customer, found.line) == ("K-1001", "DSL-71")
        assert await subscribers.search("192.0.2.8") == ()

    run(database_url, body)


def test_a_search_is_bounded_and_finds_no_closed_ones(database_url: str) -> None:
    async def body(subscribers: SubscribersService) -> None:
        await subscribers.import_customers("anna", sheet("customer,name", *(f"K-{place:03},Anna" for place in range(200))))
        assert len(await subscribers.search("anna", limit=1_000)) == 50
        assert len(await subscribers.search("anna", limit=7)) == 7
        await subscribers.remove_customer("K-111")
        assert await subscribers.search("K-111") == ()
        for text in ("", "  a ", "ab", "x" * 201, "a\nb"):
            with pytest.raises(OperatorError, match="3 to 200"):
                await subscribers.search(text)

    run(database_url, body)


@pytest.mark.parametrize(
    "query", ["search_customers", "search_names", "search_lines", "search_accounts", "page_customers", "find_customer"]
)
def test_a_search_walks_an_index(query: str, database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "insert into subscribers.customers (customer, name, name_folded, changed_at)"
            " select 'K-' || g, 'Name ' || g, 'name ' || g, now() from generate_series(1, 20000) g"
        )
        connection.execute(
            "insert into subscribers.lines (line, customer, changed_at) select 'DSL-' || g, 'K-' || g, now() from generate_series(1, 20000) g"
        )
        connection.execute(
            "insert into subscribers.accounts (account, account_key, slot, revision, changed_at)"
            " select '4930' || g, g, 0, 1, now() from generate_series(1, 20000) g"
        )
        connection.execute("vacuum analyze subscribers.customers, subscribers.lines, subscribers.accounts")
        connection.execute("set plan_cache_mode = force_generic_plan")
        text = re.sub(r"%\((\w+)\)s(::text\[\])?", lambda found: f"${PLACES.index(found[1]) + 1}", QUERIES[query])
        connection.execute(f"prepare sought (text, text, text, text, text[], bigint, text, text) as {text}".encode())
        plan = connection.execute(
            b"explain execute sought ('DSL-7', 'DSL-8', 'name 7', 'name 8', array['49307'], 50, 'K-7', 'K-7')"
        ).fetchall()
    lines = [str(line) for (line,) in plan]
    assert any("Index Cond" in line for line in lines), lines
    assert not any("Seq Scan" in line for line in lines), lines


def test_no_chunk_of_an_import_reads_the_whole_table(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three million rows are 600 chunks: reading what is there for each of them would take hours."""
    monkeypatch.setattr("ringfence.subscribers.importing.service.CHUNK_ROWS", 250)
    rows = 5_000
    content = ["customer,name", *(f"K-{place:06},Name {place}" for place in range(rows))]

    async def body(subscribers: SubscribersService) -> None:
        assert (await subscribers.import_customers("anna", sheet(*content))).added == rows
        assert (await subscribers.import_customers("anna", sheet(*content))).same == rows
        changed = [line.replace("Name", "Nom") for line in content[1:]]
        assert (await subscribers.import_customers("anna", sheet(content[0], *changed))).changed == rows

    run(database_url, body)
    read, looked_up = counted(database_url, 3 * rows)
    assert looked_up >= 3 * rows, "the statistics are there"
    assert read < rows


def counted(database_url: str, at_least: int) -> tuple[int, int]:
    """Rows of customers that were read one after the other, and look-ups by index; a server process tells them when it ends."""
    deadline = time.monotonic() + 60
    while True:
        with psycopg.connect(database_url) as connection:
            found = connection.execute("select seq_tup_read, idx_scan from pg_stat_user_tables where relname = 'customers'").fetchone()
        assert found is not None
        if found[1] >= at_least or time.monotonic() > deadline:
            return found[0], found[1]
        time.sleep(0.05)
