"""Fixtures of every test: real engines, peers by name, shared data, no sockets in unit tests.

Async tests call `asyncio.run` themselves. A missing peer skips its tests by name, or fails them with RINGFENCE_REQUIRE_PEERS=1.
"""

import asyncio
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import pytest_socket

from ringfence.base.ids import new_token
from ringfence.runtime.db import migrate
from tests.harness.engines import PROJECT, NatsServer, PostgresServer, running_postgres, short_folder

PEERS = {
    "nginx": ("nginx", "nginx-light"),
    "kamailio": ("kamailio", "kamailio kamailio-extra-modules"),
    "sipp": ("sipp", "sip-tester"),
    "mariadb": ("mariadbd", "mariadb-server"),
    "chromium": ("chromium", "chromium"),
    "tshark": ("tshark", "tshark"),
    "radclient": ("radclient", "freeradius-utils"),
}
"""Name in the marker -> (program, Debian packages)."""

SECOND_TRY = {"integration", "peers", "scenarios"}

UNIT = PROJECT / "tests" / "unit"


def pytest_configure(config: pytest.Config) -> None:
    """Programs of Debian are in sbin, which is not on an ordinary user's path."""
    os.environ["PATH"] = f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests over several real processes are tried a second time, and the summary says so: docs/decisions/0015-a-second-try.md."""
    for item in items:
        if item.path.is_relative_to(PROJECT / "tests") and item.path.relative_to(PROJECT / "tests").parts[0] in SECOND_TRY:
            item.add_marker(pytest.mark.flaky(reruns=1))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip by the name of the missing peer; with RINGFENCE_REQUIRE_PEERS=1 that is a failure."""
    for marker in item.iter_markers("peer"):
        for name in marker.args:
            program, packages = PEERS[name]
            if shutil.which(program) is None:
                message = f"{name} is not installed (apt install {packages})"
                if os.environ.get("RINGFENCE_REQUIRE_PEERS") == "1":
                    pytest.fail(message, pytrace=False)
                pytest.skip(message)


@pytest.fixture(autouse=True)
def _sockets_off_in_unit_tests(request: pytest.FixtureRequest) -> Iterator[None]:
    if not request.path.is_relative_to(UNIT):
        yield
        return
    pytest_socket.disable_socket(allow_unix_socket=True)  # An event loop wakes itself through a pair of Unix sockets.
    try:
        yield
    finally:
        pytest_socket.enable_socket()


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("RINGFENCE_") and name != "RINGFENCE_REQUIRE_PEERS":
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of shared reference data beside the checkout; tests that need it are skipped without it."""
    folder = PROJECT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("shared data (../shared/data) is not there")
    return folder


@pytest.fixture(scope="session")
def nats() -> Iterator[NatsServer]:
    """One server for tests that leave it alone; streams and buckets are made. Names and subjects are shared: use fresh ones."""
    with short_folder() as folder:
        server = NatsServer(folder)
        server.start()
        try:
            asyncio.run(server.prepare())
            yield server
        finally:
            server.stop()


@pytest.fixture
def own_nats() -> Iterator[NatsServer]:
    """A server of the test's own: empty streams and buckets, to be killed at will."""
    with short_folder() as folder:
        server = NatsServer(folder)
        server.start()
        try:
            asyncio.run(server.prepare())
            yield server
        finally:
            server.stop()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One cluster for the session."""
    with short_folder() as folder, running_postgres(folder) as server:
        yield server


@pytest.fixture(scope="session")
def _migrated(postgres: PostgresServer) -> str:
    asyncio.run(migrate(postgres.create("migrated")))
    return "migrated"


@pytest.fixture
def database_url(postgres: PostgresServer, _migrated: str) -> Iterator[str]:
    """URL of a database of the test's own, with every migration applied."""
    name = f"test_{new_token()[:12]}"
    try:
        yield postgres.create(name, template=_migrated)
    finally:
        postgres.drop(name)
