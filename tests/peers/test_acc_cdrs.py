"""Kamailio's `acc_cdrs` on a real MariaDB (its packages' own schema) and a real PostgreSQL: each row once, whatever is lost in between."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Protocol
from urllib.parse import quote
from zoneinfo import ZoneInfo

import psycopg
import pytest

from ringfence.apps.ingest.record_tables import LATE_MS, KamailioSource
from ringfence.apps.ingest.records import PORTION
from ringfence.archive.batches import decode
from ringfence.base.clock import system_clock
from ringfence.base.errors import OperatorError, PeerError
from ringfence.base.secret import Secret
from ringfence.telephony.call_records import CallRecord
from tests.harness.engines import NatsServer, PostgresServer, free_port
from tests.harness.mariadb import MariaDb, running_mariadb

MAP = {"call_id": "callid", "account": "account", "caller": "caller", "callee": "callee", "source_ip": "src_ip", "started_at": "start_time", "duration": "duration"}  # fmt: skip
COLUMNS = "start_time, end_time, duration, caller, callee, account, callid, src_ip"


class Cdrs(Protocol):
    """A database with `acc_cdrs`."""

    url: str

    def execute(self, *statements: str) -> object: ...
    def session(self) -> "contextlib.AbstractContextManager[Callable[[str], object]]": ...
    def interrupt(self) -> None: ...
    def series(self, count: int) -> str: ...


class Maria:
    """MariaDB; an interruption is kill -9."""

    def __init__(self, server: MariaDb) -> None:
        self.server = server
        self.url = server.url

    def execute(self, *statements: str) -> object:
        return self.server.execute(*statements)

    @contextlib.contextmanager
    def session(self) -> Iterator[Callable[[str], object]]:
        with contextlib.closing(self.server.connect()) as connection, connection.cursor() as cursor:
            yield cursor.execute

    def interrupt(self) -> None:
        self.server.kill()
        self.server.start()

    def series(self, count: int) -> str:
        return f"SELECT seq AS n FROM seq_1_to_{count}"


class Postgres:
    """The embedded PostgreSQL with Kamailio's tables as its kamdbctl makes them there; an interruption ends every connection."""

    def __init__(self, server: PostgresServer, name: str) -> None:
        self._server = server
        self._name = name
        server.create(name)
        self.url = f"postgresql://ringfence@/{name}?host={quote(str(server.socket_dir))}"
        self.execute(
            "CREATE TABLE acc_cdrs (id SERIAL PRIMARY KEY NOT NULL, start_time TIMESTAMP WITHOUT TIME ZONE DEFAULT '2000-01-01 00:00:00' NOT NULL, "
            "end_time TIMESTAMP WITHOUT TIME ZONE DEFAULT '2000-01-01 00:00:00' NOT NULL, duration REAL DEFAULT 0 NOT NULL)",
            *(f"ALTER TABLE acc_cdrs ADD COLUMN {name} VARCHAR(255) NOT NULL DEFAULT ''" for name in ("caller", "callee", "account", "callid", "src_ip")),
            "GRANT SELECT ON acc_cdrs TO ringfence",
        )  # fmt: skip

    def connect(self) -> "psycopg.Connection[tuple[object, ...]]":
        return psycopg.connect(self._server.admin_url.replace("/postgres?", f"/{self._name}?"))

    def execute(self, *statements: str) -> object:
        with self.connect() as connection:
            for statement in statements:
                cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else ()

    @contextlib.contextmanager
    def session(self) -> Iterator[Callable[[str], object]]:
        with contextlib.closing(self.connect()) as connection:
            yield lambda statement: connection.execute(statement.encode())

    def interrupt(self) -> None:
        self.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND usename = 'ringfence'")

    def series(self, count: int) -> str:
        return f"SELECT n FROM generate_series(1, {count}) AS n"


@pytest.fixture(scope="module")
def mariadb() -> Iterator[MariaDb]:
    with running_mariadb() as server:
        yield server


@pytest.fixture(params=[pytest.param("mariadb", marks=pytest.mark.peer("mariadb")), "postgresql"])
def cdrs(request: pytest.FixtureRequest) -> Iterator[Cdrs]:
    if request.param == "mariadb":
        server: MariaDb = request.getfixturevalue("mariadb")
        server.execute("TRUNCATE acc_cdrs")
        yield Maria(server)
        return
    postgres: PostgresServer = request.getfixturevalue("postgres")
    name = f"cdrs_{time.monotonic_ns()}"
    try:
        yield Postgres(postgres, name)
    finally:
        postgres.drop(name)


@pytest.fixture
def sources() -> Iterator[list[KamailioSource]]:
    opened: list[KamailioSource] = []
    yield opened
    for source in opened:
        source._engine.dispose()


def source_of(
    cdrs: Cdrs,
    folder: Path,
    opened: list[KamailioSource],
    *,
    zone: str = "UTC",
    ahead_ms: int = 0,
    url: str = "",
    table: str = "",
    columns: Mapping[str, str] = MappingProxyType({}),
) -> KamailioSource:
    """The reader as it is after a restart."""
    source = KamailioSource(
        "db",
        Secret(url or cdrs.url),
        table,
        MAP | dict(columns),
        folder / "p.json",
        zone=ZoneInfo(zone),
        clock=lambda: system_clock() + ahead_ms,
    )
    opened.append(source)
    return source


def insert(call_id: str, *, at: str = "2026-07-01 12:00:00", duration: str = "61.250", row: int = 0) -> str:
    columns, first = (f"id, {COLUMNS}", f"{row}, ") if row else (COLUMNS, "")
    values = f"'{at}', '{at}', {duration}, '+4930123', '0023276123456', 'alice', '{call_id}', '192.0.2.1'"
    return f"INSERT INTO acc_cdrs ({columns}) VALUES ({first}{values})"


def read(source: KamailioSource) -> list[str]:
    found = []
    for portion in source.fetch():
        found += [record.call_id for record in portion]
        source.commit()
    return found


def only(source: KamailioSource) -> CallRecord:
    ((record,),) = source.fetch()
    return record


@pytest.mark.parametrize(("zone", "winter", "summer"), [("UTC", 12, 12), ("Europe/Berlin", 11, 10), ("America/New_York", 17, 16)])
def test_a_row_with_the_operators_columns_and_the_zone_of_the_proxy(
    cdrs: Cdrs, tmp_path: Path, sources: list[KamailioSource], zone: str, winter: int, summer: int
) -> None:
    cdrs.execute(insert("w", at="2026-01-01 12:00:00"), insert("s", at="2026-07-01 12:00:00"))
    ((first, second),) = source_of(cdrs, tmp_path, sources, zone=zone).fetch()
    assert first.started_ms == first.answered_ms == int(datetime(2026, 1, 1, winter, tzinfo=UTC).timestamp() * 1000)
    assert second.started_ms == int(datetime(2026, 7, 1, summer, tzinfo=UTC).timestamp() * 1000)
    assert (first.ended_ms - first.answered_ms, first.account, first.caller, first.callee, first.source_ip, first.status_code) == (
        61_250, "alice", "+4930123", "0023276123456", "192.0.2.1", 200
    )  # fmt: skip


def test_rows_that_cannot_be_are_counted_and_the_rest_is_read(cdrs: Cdrs, tmp_path: Path, sources: list[KamailioSource]) -> None:
    cdrs.execute(insert("a"), insert("never set", at="2000-01-01 00:00:00"), insert(""), insert("b", duration="-1"), insert("c"))
    source = source_of(cdrs, tmp_path, sources, zone="America/New_York")
    assert read(source) == ["a", "c"]
    assert source.refused == {"no_start": 1, "no_call_id": 1, "bad_number": 1}
    assert read(source_of(cdrs, tmp_path, sources)) == []


def test_a_large_table_comes_in_portions(cdrs: Cdrs, tmp_path: Path, sources: list[KamailioSource]) -> None:
    count = 60_000
    values = "'2026-07-01 12:00:00', '2026-07-01 12:01:00', 60, '+4930123', '0023276123456', 'alice', CONCAT('c', n), '192.0.2.1'"
    cdrs.execute(f"INSERT INTO acc_cdrs ({COLUMNS}) SELECT {values} FROM ({cdrs.series(count)}) AS numbers ORDER BY n")
    source = source_of(cdrs, tmp_path, sources)
    seen: set[str] = set()
    total = 0
    tracemalloc.start()
    for portion in source.fetch():
        assert len(portion) <= PORTION
        total += len(portion)
        seen.update((portion[0].call_id, portion[-1].call_id))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == count
    assert {"c1", f"c{count}"} <= seen
    assert peak < 16_000_000, "a table of any size takes the memory of a portion"


def test_a_row_that_was_committed_late_is_not_skipped(cdrs: Cdrs, tmp_path: Path, sources: list[KamailioSource]) -> None:
    cdrs.execute(insert("a"))
    source = source_of(cdrs, tmp_path, sources)
    assert read(source) == ["a"]
    with cdrs.session() as late:
        late(insert("late"))  # Its id is taken; it is not committed.
        cdrs.execute(insert("b"), insert("c"))
        assert read(source) == ["b", "c"]
        source = source_of(cdrs, tmp_path, sources)  # A restart in between forgets nothing.
        assert read(source) == []
        late("COMMIT")
    assert read(source) == ["late"]
    assert read(source) == []
    assert source._position.value.passed_over == {}
    cdrs.execute(insert("far", row=90_000))
    assert read(source) == ["far"]
    assert 0 < len(source._position.value.passed_over) <= 100, "ids that were never used are waited for in bounds"
    later = source_of(cdrs, tmp_path, sources, ahead_ms=2 * LATE_MS)
    assert read(later) == []
    assert read(later) == []
    assert later._position.value.passed_over == {}


def test_the_connection_is_lost_and_comes_back(cdrs: Cdrs, tmp_path: Path, sources: list[KamailioSource]) -> None:
    cdrs.execute(*(insert(f"c{number}") for number in range(10)))
    source = source_of(cdrs, tmp_path, sources)
    assert len(read(source)) == 10
    cdrs.interrupt()
    cdrs.execute(insert("after"))
    found: list[str] = []
    for _ in range(3):
        with contextlib.suppress(PeerError):
            found += read(source)
    assert found == ["after"]


def test_a_table_that_was_emptied_is_said_and_not_skipped(cdrs: Cdrs, tmp_path: Path, sources: list[KamailioSource]) -> None:
    cdrs.execute(*(insert(f"c{number}", row=number + 100) for number in range(3)))
    source = source_of(cdrs, tmp_path, sources)
    assert len(read(source)) == 3
    cdrs.execute("DELETE FROM acc_cdrs")
    assert read(source) == []
    cdrs.execute(insert("new", row=1))
    with pytest.raises(PeerError, match=r"ends at id 1, but 102 was read before: it was emptied or restored; remove .*p\.json"):
        read(source)
    (tmp_path / "p.json").unlink()
    assert read(source_of(cdrs, tmp_path, sources)) == ["new"]


def test_each_mistake_is_one_sentence_that_says_what_to_do(cdrs: Cdrs, tmp_path: Path, sources: list[KamailioSource]) -> None:
    def sentence(*, url: str = "", table: str = "", **columns: str) -> str:
        with pytest.raises(PeerError) as refusal:
            read(source_of(cdrs, tmp_path, sources, url=url, table=table, columns=columns))
        assert "cdr-pass" not in str(refusal.value)
        assert "wrong" not in str(refusal.value)
        return str(refusal.value)

    assert sentence(callee="dst_user") == (
        "the table acc_cdrs has no column dst_user; add it (cdr_extra of Kamailio's acc module fills it) or correct `columns`."
    )
    mysql = cdrs.url.startswith("mysql")
    assert ("or there is no such table" if mysql else "there is no table cdrs in") in sentence(table="cdrs")
    where, name = (cdrs.url.rpartition("@")[2].split(":")[0], "/kamailio") if mysql else ("", "")
    secret = cdrs.url.replace("cdr-pass%2Fword", "wrong") if mysql else cdrs.url.replace("ringfence@", "nobody:wrong@")
    assert "refuses user" in sentence(url=secret)
    gone = cdrs.url.replace(name, "/nowhere") if mysql else cdrs.url.replace("/cdrs_", "/no_cdrs_")
    assert ("refuses user" if mysql else "there is no database no_cdrs_") in sentence(url=gone)
    assert "does not answer; it is tried again" in sentence(url=f"{'mysql' if mysql else 'postgresql'}://u:wrong@127.0.0.1:{free_port()}/k")
    reader = "cdr_reader@'127.0.0.1'" if mysql else "ringfence"
    cdrs.execute(f"REVOKE SELECT ON acc_cdrs FROM {reader}")
    try:
        refused = sentence()
        assert "may not read acc_cdrs, or there is no such table; GRANT SELECT ON acc_cdrs to it" in refused or "refuses user" in refused
    finally:
        cdrs.execute(f"GRANT SELECT ON acc_cdrs TO {reader}")
    assert where in ("", "127.0.0.1")
    cdrs.execute(insert("a"), "ALTER TABLE acc_cdrs ADD COLUMN newer integer")
    try:
        assert read(source_of(cdrs, tmp_path, sources)) == ["a"], "a column that is not named is nobody's business"
    finally:
        cdrs.execute("ALTER TABLE acc_cdrs DROP COLUMN newer")


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("nonsense://user:geheim@h/d", "its URL is none; write mysql://user:password@host/kamailio"),
        ("mysql://user:geheim@h", "its URL names no database"),
        ("mysql://user:geheim@h:port/k", "its URL is none"),
        ("user geheim", "its URL is none"),
    ],
)
def test_a_wrong_url_ends_the_start(tmp_path: Path, url: str, sentence: str) -> None:
    with pytest.raises(OperatorError) as refusal:
        KamailioSource("db", Secret(url), "", MAP, tmp_path / "p", zone=ZoneInfo("UTC"), clock=system_clock)
    assert sentence in str(refusal.value)
    assert "geheim" not in str(refusal.value)


# The whole role


def installation(folder: Path, nats: NatsServer, url: str) -> Path:
    for name in ("keys", "run"):
        folder.joinpath(name).mkdir(parents=True, mode=0o700)
    files = (("nats-ingest.password", "test"), ("hash.key", "key of the test"), ("db.url", url), ("hep-kamailio-1.key", "k"))
    for name, secret in files:
        file = folder / "keys" / name
        file.touch(mode=0o600)
        file.write_text(secret)
    columns = ", ".join(f'{ours} = "{theirs}"' for ours, theirs in MAP.items())
    folder.joinpath("ringfence.toml").write_text(
        f'nats_port = {nats.port}\n[metrics]\nbase_port = 0\n[ingest]\nhep_listen = "127.0.0.1:{free_port()}"\n'
        '[[ingest.agents]]\nname = "kamailio-1"\nsources = ["127.0.0.1/32"]\n'
        f'[[ingest.call_records]]\nname = "cdrs"\nkind = "kamailio"\nurl_file = "{folder}/keys/db.url"\npoll_seconds = 1\ntime_zone = "UTC"\ncolumns = {{ {columns} }}\n'
    )
    return folder


def start(folder: Path) -> subprocess.Popen[bytes]:
    (folder / "run" / "ingest.ready").unlink(missing_ok=True)
    with folder.joinpath("log").open("ab") as log:
        process = subprocess.Popen(
            (sys.executable, "-m", "ringfence.apps.ingest.main", "--data-dir", folder), stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    deadline = time.monotonic() + 40
    while not (folder / "run" / "ingest.ready").exists():
        assert process.poll() is None, folder.joinpath("log").read_text()[-3000:]
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return process


async def in_the_log(nats: NatsServer) -> list[str]:
    """Call-IDs of all rows of the log."""
    bus = await nats.connect()
    found: list[str] = []
    last = await bus.last_sequence("LOG_account_0")
    if last:
        async with contextlib.aclosing(bus.read("LOG_account_0", from_sequence=1)) as messages:
            async for message in messages:
                if message.headers.get("Rf-Kind") == "rows":
                    found += decode(message.payload).text["call_id"]
                if message.sequence >= last:
                    break
    await bus.close()
    return found


def test_ingest_killed_again_and_again_tells_of_each_row_once(cdrs: Cdrs, own_nats: NatsServer, tmp_path: Path) -> None:
    count = 12_000
    values = "'2026-07-01 12:00:00', '2026-07-01 12:01:00', 60, '+4930123', '0023276123456', 'alice', CONCAT('c', n), '192.0.2.1'"
    cdrs.execute(f"INSERT INTO acc_cdrs ({COLUMNS}) SELECT {values} FROM ({cdrs.series(count)}) AS numbers ORDER BY n")
    folder = installation(tmp_path / "data", own_nats, cdrs.url)
    position = folder / "ingest" / "cdrs.json"
    for pause in (0.15, 0.23, 0.31):
        process = start(folder)
        time.sleep(pause)
        process.kill()
        process.wait()
        if position.exists():  # As if it had died between the log's acknowledgement of a portion and the position.
            place = json.loads(position.read_text())
            position.write_text(json.dumps(place | {"id": max(0, place["id"] - PORTION)}))
    process = start(folder)
    try:
        deadline = time.monotonic() + 40
        while len(found := asyncio.run(in_the_log(own_nats))) < count and time.monotonic() < deadline:
            time.sleep(0.3)
        time.sleep(0.5)
        found = asyncio.run(in_the_log(own_nats))
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)
    assert sorted(found) == sorted(f"c{number}" for number in range(1, count + 1)), "nothing twice, nothing skipped"


# A real Kamailio writes the rows


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill a program and its children."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


CONFIG = """
debug=2
log_stderror=yes
fork=yes
children=2
auto_aliases=no
listen=udp:127.0.0.1:{port}
mpath="/usr/lib/x86_64-linux-gnu/kamailio/modules/"
loadmodule "db_mysql.so"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "siputils.so"
loadmodule "textops.so"
loadmodule "dialog.so"
loadmodule "acc.so"
modparam("dialog", "dlg_match_mode", 1)
modparam("acc", "db_url", "mysql://writer:writer@127.0.0.1:{db_port}/kamailio")
modparam("acc", "cdr_enable", 1)
modparam("acc", "cdrs_table", "acc_cdrs")
modparam("acc", "cdr_extra", "caller=$fU;callee=$rU;account=$fU;callid=$ci;src_ip=$si")
request_route {{
    if (is_method("INVITE") && !has_totag()) {{ record_route(); dlg_manage(); }}
    if (has_totag()) {{ loose_route(); dlg_manage(); }}
    $du = "sip:127.0.0.1:{gateway}";
    t_relay();
}}
"""


@pytest.mark.peer("mariadb", "kamailio", "sipp")
@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Kolkata"])
def test_a_real_kamailio_writes_its_local_time(mariadb: MariaDb, tmp_path: Path, sources: list[KamailioSource], zone: str) -> None:
    mariadb.execute(
        "TRUNCATE acc_cdrs",
        "CREATE OR REPLACE USER writer@'127.0.0.1' IDENTIFIED BY 'writer'",
        "GRANT ALL ON kamailio.* TO writer@'127.0.0.1'",
    )
    port, gateway = free_port(), free_port()
    config = tmp_path / "kamailio.cfg"
    config.write_text(CONFIG.format(port=port, gateway=gateway, db_port=mariadb.port))
    environment = os.environ | {"TZ": zone}
    log = (tmp_path / "log").open("wb")
    with log, contextlib.ExitStack() as stack:

        def run(*command: str) -> subprocess.Popen[bytes]:
            process = subprocess.Popen(command, stdout=log, stderr=log, cwd=tmp_path, env=environment, start_new_session=True)
            stack.callback(end, process)
            return process

        run("kamailio", "-DD", "-E", "-f", str(config), "-Y", str(tmp_path), "-P", str(tmp_path / "pid"))
        run("sipp", "-sn", "uas", "-i", "127.0.0.1", "-p", str(gateway), "-nostdin")
        time.sleep(1.5)
        before = system_clock()
        caller = run(
            "sipp", "-sn", "uac", "-s", "0023276123456", "-i", "127.0.0.1", "-p", str(free_port()), "-m", "1", "-d", "1500", "-nostdin",
            f"127.0.0.1:{port}",
        )  # fmt: skip
        assert caller.wait(20) == 0, (tmp_path / "log").read_text()[-3000:]
        time.sleep(0.5)
    record = only(source_of(Maria(mariadb), tmp_path, sources, zone=zone))
    assert before - 1_000 <= record.started_ms <= before + 5_000
    assert 1_000 <= record.ended_ms - record.answered_ms <= 4_000
    assert (record.callee, record.source_ip) == ("0023276123456", "127.0.0.1")
