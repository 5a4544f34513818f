"""The parts of the database module that need no database."""

import psycopg
import pytest

from ringfence.base.errors import ConflictError, UnavailableError
from ringfence.runtime.db import list_migrations, load_queries, translated


def test_queries_are_loaded_by_name() -> None:
    queries = load_queries("ringfence.access")
    assert len(queries) > 10
    assert all((query and not query.startswith("-- ")) or "\n" in query for query in queries.values())


def test_migrations_are_numbered_without_a_gap_and_named_by_rule() -> None:
    migrations = list_migrations()
    assert [version for version, _, _ in migrations] == list(range(1, len(migrations) + 1))
    assert all(name.split("_")[1] in {"pre", "post"} for _, name, _ in migrations)


@pytest.mark.parametrize(
    ("raised", "becomes"),
    [
        (psycopg.OperationalError("gone"), UnavailableError),
        (psycopg.errors.SerializationFailure(), ConflictError),
        (psycopg.errors.DeadlockDetected(), ConflictError),
        (psycopg.errors.LockNotAvailable(), UnavailableError),
        (psycopg.errors.UniqueViolation(), psycopg.errors.UniqueViolation),
    ],
)
def test_operational_failures_become_our_kinds(raised: Exception, becomes: type[Exception]) -> None:
    with pytest.raises(becomes), translated():
        raise raised
