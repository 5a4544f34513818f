"""Databases of the operator (MySQL, MariaDB, PostgreSQL): opened by URL, read only, with limits of time.

It knows no table of theirs and writes nothing: every session is set to read only. The one thing to know: whatever a driver says may hold
the URL with its password, so a caller makes its own sentence from `trouble`, and never shows the error.
"""

from collections.abc import Generator, Sequence

import sqlalchemy as sa

from ringfence.base.errors import OperatorError, PeerError
from ringfence.base.secret import Secret

CONNECT_SECONDS = 5
PORTION = 5_000
"""Rows that are held at a time."""

_DRIVERS = {"mysql": "mysql+pymysql", "mariadb": "mysql+pymysql", "postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}

_KINDS: dict[int | str, str] = {
    **dict.fromkeys((1044, 1045, 1698, "28000", "28P01"), "credentials"),
    **dict.fromkeys((1049, "3D000"), "database"),
    **dict.fromkeys((1146, "42P01"), "table"),
    **dict.fromkeys((1054, "42703"), "column"),
    **dict.fromkeys((1142, 1143, "42501"), "permission"),
    **dict.fromkeys((1064, "42601", "0A000"), "syntax"),
    **dict.fromkeys((1792, "25006"), "read_only"),
    **dict.fromkeys((2002, 2003, 2005), "away"),
}
"""Numbers of MySQL and SQLSTATEs of PostgreSQL by what an operator has to do."""
_TEXTS = (
    ("authentication failed", "credentials"),
    ("no password supplied", "credentials"),
    ("role ", "credentials"),
    ("database ", "database"),
    ("connection refused", "away"),
    ("resolve host", "away"),
    ("no such file", "away"),
    ("timeout", "away"),
)
"""libpq tells a failed connection by text alone."""


def open_foreign(url: Secret, *, what: str, read_seconds: int) -> sa.Engine:
    """An engine of one connection, which is not made yet. `what` begins the sentence of an OperatorError: a URL that is none.

    A statement may take `read_seconds` on PostgreSQL; on MySQL so long may pass between two packets of an answer.
    """
    scheme, _, rest = url.open().strip().partition("://")
    try:
        parsed = sa.make_url(f"{_DRIVERS.get(scheme, scheme)}://{rest}")
        if parsed.get_backend_name() in ("mysql", "postgresql") and not parsed.database:
            raise OperatorError(f"{what}: its URL names no database; write .../kamailio at its end", reason="bad_url")
        limits: dict[str, object] = {}
        if parsed.get_backend_name() == "mysql":
            limits = {
                "connect_timeout": CONNECT_SECONDS,
                "read_timeout": read_seconds,
                "charset": "utf8mb4",
                "init_command": "SET SESSION TRANSACTION READ ONLY",
            }
        elif parsed.get_backend_name() == "postgresql":
            options = f"-c statement_timeout={read_seconds * 1000} -c default_transaction_read_only=on"
            limits = {"connect_timeout": CONNECT_SECONDS, "options": options}
        return sa.create_engine(parsed, pool_size=1, max_overflow=0, pool_pre_ping=True, connect_args=limits, hide_parameters=True)
    except (sa.exc.ArgumentError, sa.exc.NoSuchModuleError, ImportError, ValueError, TypeError):
        raise OperatorError(
            f"{what}: its URL is none; write mysql://user:password@host/kamailio or postgresql://...", reason="bad_url"
        ) from None


def stream(engine: sa.Engine, query: str) -> Generator[Sequence[object], None, None]:
    """The names of a query's columns, then its rows, without ever holding all of them. Close it: it holds the connection.

    PeerError with a sentence that says what to do.
    """
    options = {"stream_results": True, "no_parameters": True, "max_row_buffer": PORTION}
    try:
        with engine.connect().execution_options(**options) as connection, connection.exec_driver_sql(query) as answer:
            yield [str(name) for name in answer.keys()]  # noqa: SIM118  # A result is no mapping.
            for portion in answer.partitions(PORTION):
                yield from portion
    except sa.exc.SQLAlchemyError as error:
        raise PeerError(_sentence(engine, error), reason="database") from None


def place_of(engine: sa.Engine) -> str:
    """Where a database is, for a sentence."""
    return f"{engine.url.host or engine.url.query.get('host') or 'this machine'}"


def trouble(error: sa.exc.SQLAlchemyError) -> tuple[str, str]:
    """What went wrong and its number: `credentials database table column permission syntax read_only away`, or empty."""
    origin = getattr(error, "orig", None)
    if origin is None:
        return "", type(error).__name__
    # MySQL's own number says more than its SQLSTATE; PostgreSQL has the SQLSTATE alone.
    code = origin.args[0] if origin.args and isinstance(origin.args[0], int) else getattr(origin, "sqlstate", None)
    if code is not None:
        return _KINDS.get(code, ""), str(code)
    text = str(origin).lower()
    return next((kind for mark, kind in _TEXTS if mark in text), ""), type(origin).__name__


def _sentence(engine: sa.Engine, error: sa.exc.SQLAlchemyError) -> str:
    """What to do, from the kind of an error; its own text may hold the password."""
    url, where = engine.url, place_of(engine)
    kind, code = trouble(error)
    return {
        "credentials": f"the database at {where} refuses user {url.username}; correct its URL",
        "database": f"there is no database {url.database} at {where}; correct its URL",
        "table": f"the query names a table that {url.database} does not have",
        "column": "the query names a column that its table does not have",
        "permission": f"user {url.username} may not read what the query names; GRANT SELECT on it",
        "syntax": f"the database at {where} does not understand the query; try it there",
        "read_only": "the query would change something; only reading is possible",
        "away": f"the database at {where} does not answer; try again",
    }.get(kind, f"the database at {where} answers with error {code}; try the query there")
