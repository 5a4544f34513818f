"""A private MariaDB for tests, with Kamailio's own schema and the columns an operator adds; started and killed by the test that wants to."""

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymysql
import pymysql.cursors

from tests.harness.engines import free_port, short_folder

SCHEMA = Path("/usr/share/kamailio/mysql")
USER, PASSWORD, DATABASE = "cdr_reader", "cdr-pass/word", "kamailio"
EXTRA = "caller varchar(64) not null default '', callee varchar(64) not null default '', account varchar(64) not null default '', callid varchar(255) not null default '', src_ip varchar(64) not null default ''"


class MariaDb:
    """One server on a port and a socket of its own. `url` is that of a user who may read `acc_cdrs` and nothing else."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port = free_port()
        self.url = f"mysql://{USER}:cdr-pass%2Fword@127.0.0.1:{self.port}/{DATABASE}"
        self._process: subprocess.Popen[bytes] | None = None
        as_root = ["--user=root"] if os.geteuid() == 0 else []
        self._command = [
            "mariadbd", "--no-defaults", *as_root, f"--datadir={folder}/db", f"--socket={folder}/s", f"--pid-file={folder}/pid",
            f"--port={self.port}", "--bind-address=127.0.0.1", "--innodb-buffer-pool-size=32M", "--innodb-log-file-size=32M",
            "--skip-name-resolve", "--performance-schema=OFF",
        ]  # fmt: skip
        install = ["mariadb-install-db", "--no-defaults", *as_root, f"--datadir={folder}/db", "--auth-root-authentication-method=normal"]
        subprocess.run([*install, "--skip-test-db"], check=True, capture_output=True, timeout=60)

    def start(self) -> None:
        """Start it and wait until it answers."""
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            # Not with pymysql: it leaves its socket open when it is refused.
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
                probe.connect(f"{self._folder}/s")
                return
            assert self._process.poll() is None, (self._folder / "log").read_text()[-2000:]
            time.sleep(0.05)
        raise AssertionError((self._folder / "log").read_text()[-2000:])

    def connect(self, database: str = DATABASE) -> "pymysql.Connection[pymysql.cursors.Cursor]":
        """A connection as root, by the socket."""
        return pymysql.connect(unix_socket=f"{self._folder}/s", user="root", database=database or None, charset="utf8mb4")

    def execute(self, *statements: str) -> Any:
        """Run statements as root; what the last one gives."""
        with contextlib.closing(self.connect()) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            connection.commit()
            return cursor.fetchall()

    def prepare(self) -> None:
        """Kamailio's tables as its packages make them, the operator's columns, and the reader."""
        with contextlib.closing(self.connect("")) as connection, connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {DATABASE} CHARACTER SET utf8mb4")
            cursor.execute(f"USE {DATABASE}")
            for name in ("standard-create.sql", "acc-create.sql"):
                for statement in (SCHEMA / name).read_text().split(";"):
                    if statement.strip():
                        cursor.execute(statement)
            cursor.execute("ALTER TABLE acc_cdrs " + ", ".join(f"ADD COLUMN {column}" for column in EXTRA.split(", ")))
            cursor.execute(f"CREATE USER {USER}@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'")
            cursor.execute(f"GRANT SELECT ON {DATABASE}.acc_cdrs TO {USER}@'127.0.0.1'")
            connection.commit()

    def kill(self) -> None:
        """kill -9."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()


@contextlib.contextmanager
def running_mariadb() -> Iterator[MariaDb]:
    """A server with Kamailio's schema."""
    assert shutil.which("mariadbd")
    with short_folder() as folder:
        server = MariaDb(folder)
        server.start()
        try:
            server.prepare()
            yield server
        finally:
            server.kill()
