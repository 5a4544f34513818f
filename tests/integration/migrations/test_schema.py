"""The migrations make `schema.sql`, every named query runs, and each room's queries write that room's schema only."""

import asyncio
import re
import subprocess
from collections.abc import Iterator
from importlib.resources import files

import psycopg
import pytest
from psycopg import sql

from ringfence.runtime.db import list_migrations, load_queries, migrate
from ringfence.runtime.postgres import find_binaries
from tests.harness.engines import PROJECT, PostgresServer

PACKAGES = sorted(
    ".".join(("ringfence", *path.parent.relative_to(PROJECT / "src" / "ringfence").parts))
    for path in (PROJECT / "src" / "ringfence").rglob("queries.sql")
)
PARAMETER = re.compile(r"%\((\w+)\)s(?:::(\w+(?:\[\])?))?")
WRITES = re.compile(r"\b(?:insert into|update|delete from|truncate|copy)\s+(\w+)\.(\w+)", re.IGNORECASE)


def dump(url: str) -> str:
    """The schema of a database without what differs by name or run."""
    program = find_binaries() / "pginstall" / "bin" / "pg_dump"
    text = subprocess.run(
        [program, "--schema-only", "--no-owner", "--exclude-schema=public", url], check=True, capture_output=True, text=True
    ).stdout
    return re.sub(r"^\\(?:un)?restrict .*$", "", text, flags=re.MULTILINE)


def test_migrations_make_the_schema_on_one_page(postgres: PostgresServer, database_url: str) -> None:
    page = (files("ringfence.migrations") / "schema.sql").read_text("utf-8")
    url = postgres.create("one_page")
    try:
        with psycopg.connect(url) as connection:
            connection.execute(page.encode())
        expected, found = dump(url), dump(database_url)
        assert "CREATE TABLE access.users" in found
        assert found == expected
    finally:
        postgres.drop("one_page")


def test_migrating_again_changes_nothing(database_url: str) -> None:
    assert asyncio.run(migrate(database_url)) == []
    assert [name.split("_")[1] for _, name, _ in list_migrations()] == ["pre"] * len(list_migrations())


def queries() -> Iterator[tuple[str, str]]:
    assert len(PACKAGES) >= 4, PACKAGES
    for package in PACKAGES:
        for name in load_queries(package):
            yield package, name


# What stands for each parameter while a query is tried: enough for PostgreSQL to plan and run it on empty tables.
TEXT_ARRAYS = {"roles", "proposals", "alerts"}
NUMBERS = re.compile(r"(_ms|_id)$|^(step|limit|version|revision|after|before|position|paged|slot|chunk|size|rows|bad|added|changed|removed|same"
                     r"|score|cost_micro|rule_version|destination_class|prefixes|accounts)$")  # fmt: skip
WORDS = {
    "role": "analyst", "kind": "accounts", "state": "open", "scope": "account", "severity": "warning", "address": "192.0.2.1",
    "prefix": "192.0.2.0/24", "entry": "{}", "evidence": "{}", "facets": "[]", "name": "anna", "feedback": "fraud", "time_zone": "UTC",
}  # fmt: skip
SPECIAL = {
    ("put_behind_by_hand", "kind"): "host",
    ("put_block", "state"): "active", ("want_order", "method"): "Reboot", ("add_network", "kind"): "own_pool",
    ("search_accounts", "accounts"): ["x"], ("page_customers", "after"): "x", ("list_lines_of_customer", "after"): "x", ("end_sessions_of_nas", "after"): "x",
}  # fmt: skip
FLEET = {"rank": 1, "now_ms": 1, "lines": "{}"}
FLEET_CASTS = {
    **{cast: [] for cast in ("text[]", "boolean[]", "integer[]", "bytea[]", "bigint[]")},
    "bigint": 1,
    "integer": 1,
    "bytea": b"k",
    "boolean": True,
}
FLAGS = {"disabled", "must_change", "running", "unacknowledged", "reachable", "agrees", "everyone"}


def value_of(package: str, query: str, name: str, cast: str) -> object:
    """Something of the right kind for a parameter, by its cast, its name, and where a word means different things by its query."""
    by_cast: dict[str, object] = {"date[]": [], "bytea[]": [b"k"], "bigint[]": [1]}
    if package.startswith("ringfence.fleet"):
        by_cast |= FLEET_CASTS
    if package == "ringfence.subscribers.sessions":
        by_cast |= {"text[]": [], "inet[]": [], "integer[]": [], "json": "[]"}
    by_place: dict[tuple[str, str], object] = {
        ("ringfence.access", "keys"): [b"k"],
        ("ringfence.access", "key"): b"k",
        ("ringfence.access", "token_hash"): b"k",
        ("ringfence.enforcement", "kind"): "account",
        ("ringfence.detection", "kind"): "rules",
        (query, name): SPECIAL.get((query, name)),
        **{("ringfence.fleet", found): value for found, value in FLEET.items()},
    }
    by_name: dict[str, object] = {
        "days": [],
        "entries": [1],
        **{array: ["analyst"] for array in TEXT_ARRAYS},
        **dict.fromkeys(FLAGS, False),
        **WORDS,
    }
    number = NUMBERS.search(name) and (name == "entry_id" or not name.endswith("_id"))
    chosen = by_cast.get(cast, by_place.get((package, name), by_place[query, name]))
    return chosen if chosen is not None else by_name.get(name, 1 if number else "x")


@pytest.mark.parametrize(("package", "name"), list(queries()))
def test_every_named_query_runs(package: str, name: str, database_url: str) -> None:
    loaded = load_queries(package)
    query = loaded[name]
    parameters = {found: value_of(package, name, found, cast) for found, cast in PARAMETER.findall(query)}
    with psycopg.connect(database_url) as connection:
        if package == "ringfence.subscribers" and ("incoming" in query or "numbered" in query):
            if not name.startswith("create_incoming"):
                kind = name.rpartition("_")[2]
                connection.execute(loaded.get(f"create_incoming_{kind}", loaded["create_incoming_accounts"]))
            if "numbered" in query and name != "number_incoming":
                connection.execute(loaded["number_incoming"], {"size": 5})
        if package == "ringfence.views" and name != "create_registering":
            connection.execute(loaded["create_registering"])
            if "registering_customers" in query and name != "create_customers":
                connection.execute(loaded["create_customers"])
        try:
            if query.startswith("copy") or "\nfrom stdin" in query:
                with connection.cursor().copy(query):
                    pass
            else:
                connection.execute(query, parameters)
        except psycopg.errors.ForeignKeyViolation:
            pass  # It ran as far as a table may be empty.
        connection.rollback()


def test_each_room_writes_its_own_schema() -> None:
    written = 0
    for package, name in queries():
        room = package.split(".")[1]
        for schema, table in WRITES.findall(load_queries(package)[name]):
            if schema == "set":
                continue
            assert schema == room, f"{package} {name} writes {schema}.{table}"
            written += 1
    assert written > 40


def test_a_database_of_a_newer_program_is_refused(database_url: str) -> None:
    from ringfence.base.errors import OperatorError

    with psycopg.connect(database_url) as connection:
        connection.execute(sql.SQL("insert into public.migration (version, name) values (9999, 'later')"))
    with pytest.raises(OperatorError, match="newer program"):
        asyncio.run(migrate(database_url))
