"""Lists from the operator's own database, on a real MariaDB and a real PostgreSQL, taken in by a real import."""

import asyncio
import contextlib
import io
import json
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psycopg
import pytest

from ringfence.access.service import AccessService
from ringfence.apps.cli.listing import COLUMNS
from ringfence.apps.cli.operator_database import csv_of, read_source
from ringfence.base.errors import ExitCode, OperatorError, PeerError
from ringfence.base.secret import Secret
from ringfence.runtime.db import Database
from ringfence.subscribers.model import ImportReport, Segment
from ringfence.subscribers.service import SubscribersService
from tests.harness.engines import PostgresServer, free_port
from tests.harness.mariadb import DATABASE, USER, running_mariadb
from tests.harness.product import Product

TABLE = (
    "create table subscriber (kdnr varchar(20), nachname varchar(80), typ varchar(10), beginn date, stamp timestamp null, score decimal(5,2), photo {blob}, gone {bool})",
    "insert into subscriber values ('K-1', 'Müller, Anna', 'R', '2020-01-02', '2020-01-02 00:00:00', 1.5, null, false)",
    "insert into subscriber values ('K-2', 'Line\"s & \\'; % :x', 'B', null, null, null, null, true)".replace("\\'", "''"),
)
QUERY = """
    -- A comment with a colon: and 100 % of signs that a driver might take for parameters
    select kdnr, nachname as name, case typ when 'B' then 'business' else 'residential' end as segment, beginn, gone
    from subscriber where nachname like '%' order by kdnr;
"""
MAPPING = "[columns]\ncustomer = 'kdnr'\nname = 'name'\nsegment = 'segment'\nsince = 'beginn'\n"


class Operators(Protocol):
    """A database of an operator, with a reader who may read everything and write too."""

    url: str

    def execute(self, *statements: str) -> None: ...
    def count(self) -> int: ...


@dataclass
class Maria:
    """MariaDB."""

    server: object
    url: str

    def execute(self, *statements: str) -> None:
        self.server.execute(*statements)  # type: ignore[attr-defined]

    def count(self) -> int:
        return int(self.server.execute("select count(*) from subscriber")[0][0])  # type: ignore[attr-defined]


@dataclass
class Postgres:
    """PostgreSQL."""

    url: str

    def execute(self, *statements: str) -> None:
        with psycopg.connect(self.url) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def count(self) -> int:
        with psycopg.connect(self.url) as connection:
            row = connection.execute("select count(*) from subscriber").fetchone()
        assert row is not None
        return int(row[0])


@pytest.fixture(scope="module")
def maria() -> Iterator[Operators]:
    with running_mariadb() as server:
        server.execute(f"grant all on {DATABASE}.* to {USER}@'127.0.0.1'")
        server.execute(*(statement.format(blob="blob", bool="boolean") for statement in TABLE[:1]), *TABLE[1:])
        yield Maria(server, server.url)


@pytest.fixture(scope="module")
def postgresql(postgres: PostgresServer) -> Iterator[Operators]:
    operators = Postgres(postgres.create("operator_crm"))
    operators.execute(*(statement.format(blob="bytea", bool="boolean") for statement in TABLE[:1]), *TABLE[1:])
    yield operators
    postgres.drop("operator_crm")


@pytest.fixture(params=["maria", "postgresql"])
def operators(request: pytest.FixtureRequest) -> Operators:
    found: Operators = request.getfixturevalue(request.param)
    return found


def described(folder: Path, url: str, query: str, mapping: str = "") -> Path:
    """The file for --sql, with its URL beside it."""
    (folder / "crm.url").write_text(url + "\n")
    (folder / "crm.url").chmod(0o600)
    file = folder / "customers.toml"
    file.write_text(f"url_file = 'crm.url'\nquery = '''{query}'''\n{mapping}")
    return file


def sheet(folder: Path, url: str, query: str, mapping: str = "") -> bytes:
    """What goes to the API."""
    source = read_source(described(folder, url, query, mapping), COLUMNS["customers"])
    return b"".join(csv_of(source, folder, COLUMNS["customers"]))


def imported(database_url: str, content: bytes) -> tuple[ImportReport, SubscribersService]:
    async def main() -> tuple[ImportReport, SubscribersService]:
        async with Database(database_url, name="test") as db:
            subscribers = SubscribersService(db, b"key of the test")
            report = await subscribers.import_customers("anna", io.BytesIO(content), strict=True)
            page = await subscribers.customer("K-1")
            assert page is not None
            assert (page.customer.name, page.customer.segment, page.customer.since_ms) == (
                "Müller, Anna", Segment.RESIDENTIAL, 1_577_923_200_000,
            )  # fmt: skip
            return report, subscribers

    return asyncio.run(main())


def test_a_query_and_a_mapping_become_customers(operators: Operators, database_url: str, tmp_path: Path) -> None:
    content = sheet(tmp_path, operators.url, QUERY, MAPPING)
    assert content.decode().splitlines() == [
        "customer,name,segment,since",
        'K-1,"Müller, Anna",residential,2020-01-02',
        'K-2,"Line""s & \'; % :x",business,',
    ]
    report, _ = imported(database_url, content)
    assert (report.rows, report.added) == (2, 2)
    report, _ = imported(database_url, content)
    assert (report.same, report.changed) == (2, 0)


def test_without_a_mapping_the_query_names_our_columns(operators: Operators, tmp_path: Path) -> None:
    query = "select kdnr as customer, score, stamp as since, gone as removed from subscriber order by kdnr"
    lines = sheet(tmp_path, operators.url, query).decode().splitlines()
    assert lines[0] == "customer,since,removed"
    assert lines[1] in {"K-1,2020-01-02T00:00:00,false", "K-1,2020-01-02T00:00:00,0"}


def test_no_row_is_a_header_alone(operators: Operators, database_url: str, tmp_path: Path) -> None:
    content = sheet(tmp_path, operators.url, "select kdnr as customer from subscriber where 1 = 0")
    assert content == b"customer\r\n"

    async def main() -> int:
        async with Database(database_url, name="test") as db:
            return (await SubscribersService(db, b"key").import_customers("anna", io.BytesIO(content))).rows

    assert asyncio.run(main()) == 0


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("select nothing from subscriber", "names a column that its table does not have"),
        ("select * from no_such_table", "names a table"),
        ("selekt 1", "does not understand the query"),
        ("delete from subscriber", "would change something|does not understand the query"),
        ("with gone as (delete from subscriber returning *) select * from gone", "would change something|does not understand the query"),
        ("select kdnr as customer, photo as name from subscriber", ""),
    ],
)
def test_what_a_database_refuses_is_said_without_its_password(query: str, message: str, operators: Operators, tmp_path: Path) -> None:
    before = operators.count()
    if not message:
        assert sheet(tmp_path, operators.url, query).startswith(b"customer,name")
        return
    with pytest.raises(PeerError, match=message) as refused:
        sheet(tmp_path, operators.url, query)
    assert not any(secret in f"{refused.value!r}" for secret in ("cdr-pass", operators.url))
    assert refused.value.__suppress_context__, "a traceback does not show what the driver said"
    assert operators.count() == before, "nothing is ever changed there"


def test_a_column_that_the_query_lacks_is_named(operators: Operators, tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="the query has no column phone; it has kdnr, nachname"):
        sheet(tmp_path, operators.url, "select kdnr, nachname from subscriber", "[columns]\ncustomer = 'kdnr'\nname = 'phone'")


def test_a_wrong_password_and_a_database_that_is_away_are_told_without_the_password(maria: Operators, tmp_path: Path) -> None:
    place = maria.url.rpartition("@")[2]
    for url, message in (
        (f"mysql://wrong:hunter2@{place}", "refuses user wrong"),
        (f"mysql://wrong:hunter2@127.0.0.1:{free_port()}/crm", "does not answer"),
        (f"postgresql://wrong:hunter2@127.0.0.1:{free_port()}/crm", "does not answer"),
    ):
        with pytest.raises(PeerError, match=message) as refused:
            sheet(tmp_path, url, "select 1 as customer")
        assert "hunter2" not in f"{refused.value!r}"
        assert refused.value.__suppress_context__


def test_many_rows_are_never_held_together(operators: Operators, tmp_path: Path) -> None:
    digits = "(select 0 d union all select 1 union all select 2 union all select 3 union all select 4)"
    joined = " cross join ".join(f"{digits} t{number}" for number in range(7))
    query = f"select concat('K-', t0.d, t1.d, t2.d, t3.d, t4.d, t5.d, t6.d) as customer, 'a name of forty characters, for the size' as name from {joined}"
    file = described(tmp_path, operators.url, query)
    with contextlib.closing(csv_of(read_source(file, COLUMNS["customers"]), tmp_path, COLUMNS["customers"])) as chunks:
        next(chunks)
        tracemalloc.start()
        rows = sum(chunk.count(b"\n") for chunk in chunks)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert rows > 70_000
    assert peak < 8_000_000, "78,125 rows are some 12 MB as Python values"


HALFWAY = {
    "maria": "select seq as customer, if(seq = 12000, (select 1 union select 2), 'a name') as name from seq_1_to_14000",
    "postgresql": "select g as customer, 'name ' || 1 / (12000 - g) as name from generate_series(1, 14000) g",
}


def test_the_command_sends_rows_to_the_api_and_half_a_list_changes_nothing(maria: Operators, postgresql: Operators, tmp_path: Path) -> None:
    with Product("api") as product:
        token = asyncio.run(token_of(product.database_url))

        def ringfence(*arguments: str) -> subprocess.CompletedProcess[str]:
            own = {"RINGFENCE_API_URL": product.api_url, "RINGFENCE_API_TOKEN": token, "PATH": os.environ["PATH"]}
            command = (sys.executable, "-m", "ringfence.apps.cli.main", *arguments)
            return subprocess.run(command, env=own, capture_output=True, text=True, timeout=120, check=False)

        told = ringfence("customer", "import", "--json", "--sql", str(described(tmp_path, maria.url, QUERY, MAPPING)))
        assert told.returncode == 0, told.stderr
        assert json.loads(told.stdout)["added"] == 2
        for name, operators in (("maria", maria), ("postgresql", postgresql)):
            told = ringfence("customer", "import", "--sql", str(described(tmp_path, operators.url, HALFWAY[name])))
            assert told.returncode == ExitCode.OPERATOR, told.stderr
            assert told.stderr.startswith("ringfence: the database at ")
            assert "cdr-pass" not in told.stderr
        known = asyncio.run(customers_of(product.database_url))
        assert known == ["K-1", "K-2"], "of 11,999 rows before the error none is there"
        assert "cdr-pass" not in product.log("api")


async def customers_of(database_url: str) -> list[str]:
    """Their numbers."""
    async with Database(database_url, name="test") as db:
        return [customer.customer for customer in await SubscribersService(db, b"key").customers_page()]


async def token_of(database_url: str) -> str:
    """A session of the first administrator."""
    async with Database(database_url, name="test") as db:
        access = AccessService(db)
        first = await access.ensure_first_administrator("root")
        assert first is not None
        begun = await access.authenticate("root", first.password, "", "127.0.0.1")
        await access.change_password(begun.actor, first.password, Secret("a quiet saturday night"), "127.0.0.1")
        return (await access.authenticate("root", Secret("a quiet saturday night"), "", "127.0.0.1")).token.open()
