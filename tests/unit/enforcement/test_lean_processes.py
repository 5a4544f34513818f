"""Blocking works while PostgreSQL is down, and the connector lives on a proxy host: neither driver nor kernel is loaded, not even by others."""

import subprocess
import sys

import pytest

HEAVY = ("psycopg", "psycopg_pool", "numba", "ringfence.runtime.db", "sqlalchemy", "duckdb", "pyarrow")


@pytest.mark.parametrize("app", ["policy", "edge"])
def test_what_a_process_loads(app: str) -> None:
    program = f"import sys, ringfence.apps.{app}.main; print([name for name in {HEAVY!r} if name in sys.modules], 'nats' in sys.modules)"
    done = subprocess.run((sys.executable, "-c", program), capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] True"
