"""`ringfence customer`, `line` and `account import` against the real API and PostgreSQL: what a person types and what comes of it."""

import asyncio
import json
from pathlib import Path
from typing import Any

import psycopg
import pytest
import typer

from ringfence.access.model import Role
from ringfence.apps.cli import account, customer, line
from ringfence.base.errors import ForbiddenError, NotFoundError, OperatorError
from tests.harness.command_line import CommandLine
from tests.harness.engines import NatsServer
from tests.harness.surfaces import surfaces


def test_lists_come_from_files_and_from_a_database(
    database_url: str, own_nats: NatsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "crm.url").write_text(database_url)
    (tmp_path / "crm.url").chmod(0o600)
    with psycopg.connect(database_url) as connection:
        connection.execute("create table public.kunden (kdnr text, name text, sip text, leitung text)")
        connection.execute(
            "insert into public.kunden values ('K/1', 'Müller, Anna', '493012345678', 'olt-3 pon 1/2'), ('K/2', 'Otto', null, null)"
        )
    customers, lines, contacts = (tmp_path / f"{name}.csv" for name in ("customers", "lines", "contacts"))
    customers.write_text("customer,name\nK/2,Otto GmbH\nK/3,Ida\n")
    lines.write_text("line,customer,region\nolt-3 pon 1/2,K/1,north\n")
    contacts.write_text("customer,kind,value\nK/1,phone,030 12345678\n")
    by_query = tmp_path / "customers.toml"
    by_query.write_text("url_file = 'crm.url'\nquery = 'select * from kunden'\n[columns]\ncustomer = 'kdnr'\nname = 'name'\n")
    accounts = tmp_path / "accounts.toml"
    accounts.write_text(
        "url_file = 'crm.url'\nquery = 'select sip as account, kdnr as customer, leitung as line from kunden where sip is not null'\n"
    )

    async def run() -> None:
        async with surfaces(database_url, own_nats, tmp_path) as found:
            await found.person("eva", Role.ENGINEER)
            async with found.program(await found.token("eva")) as program:
                command = CommandLine(monkeypatch, program)

                async def said(group: typer.Typer, *arguments: str) -> str:
                    told = await command.run(group, *arguments)
                    assert told.exit_code == 0, f"{arguments}: {told.output} {told.exception!r}"
                    return str(told.stdout)

                async def data(group: typer.Typer, *arguments: str) -> Any:
                    return json.loads(await said(group, *arguments, "--json"))

                async def refused(group: typer.Typer, *arguments: str) -> BaseException | None:
                    return (await command.run(group, *arguments)).exception

                assert (await data(customer.app, "import", "--sql", str(by_query)))["added"] == 2
                changed = await said(customer.app, "import", str(customers))
                assert "name 1" in changed
                assert [row.split() for row in changed.splitlines()[-2:]] == [["K/2", "changed", "name"], ["K/3", "added"]]
                assert (await data(line.app, "import", str(lines)))["added"] == 1
                assert (await data(customer.app, "import-contacts", str(contacts)))["added"] == 1
                assert (await data(account.app, "import", "--sql", str(accounts)))["added"] == 1
                assert (await data(account.app, "import", "--sql", str(accounts)))["same"] == 1

                anna = await data(customer.app, "show", "K/1")
                assert (anna["lines"][0]["region"], anna["accounts"][0]["line"]) == ("north", "olt-3 pon 1/2")
                assert "olt-3 pon 1/2" in await said(customer.app, "search", "030 12345678")
                assert [one["customer"] for one in (await data(customer.app, "list", "--limit", "2"))["customers"]] == ["K/1", "K/2"]
                assert "Ida" in await said(customer.app, "list", "--after", "K/2")
                assert "north" in await said(line.app, "list", "K/1")
                assert (await data(line.app, "show", "olt-3 pon 1/2"))["customer"] == "K/1"
                assert (await data(line.app, "remove", "olt-3 pon 1/2")) == {"closed": "olt-3 pon 1/2"}
                assert (await data(customer.app, "remove", "K/3")) == {"closed": "K/3"}
                assert (await data(account.app, "remove", "493012345678")) == {"closed": "493012345678"}
                assert (await data(account.app, "show", "493012345678"))["known"] is False
                for group, name in ((line.app, "olt-3 pon 1/2"), (customer.app, "K/3"), (account.app, "493012345678")):
                    assert isinstance(await refused(group, "remove", name), NotFoundError)
                assert isinstance(await refused(customer.app, "search", "K"), OperatorError)
                assert isinstance(await refused(customer.app, "import"), OperatorError)
            await found.person("hugo", Role.HOTLINE)
            async with found.program(await found.token("hugo")) as program:
                command = CommandLine(monkeypatch, program)
                assert isinstance(await refused(customer.app, "list"), ForbiddenError)
                assert isinstance(await refused(account.app, "remove", "1"), ForbiddenError)

    asyncio.run(run())
