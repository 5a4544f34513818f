"""One owner per third party: replacing a library touches one place."""

import ast
import re

from tests.architecture.source import Module, modules

# Library -> modules that may import it, as patterns over dotted names below `ringfence`.
OWNERS: dict[str, str] = {
    "psycopg": r"runtime\.(db|postgres)|[a-z]+\.store|views\..*",
    "psycopg_pool": r"runtime\.db",
    "nats": r"runtime\.(bus|pull)",
    "numba": r"detection\.kernel.*|telephony\.(columns|rates)",
    "pyarrow": r"archive\..*",
    "duckdb": r"archive\..*",
    "lxml": r"protocols\.cwmp.*",
    "sqlalchemy": r"runtime\.foreign|response\.adapters|apps\.ingest\..*",
    "fastapi": r"apps\.(api|console)\..*",
    "starlette": r"apps\.(api|console)\..*",
    "jinja2": r"apps\.(api|console)\..*",
    "uvicorn": r"runtime\.http",
    "uvloop": r"runtime\.role|apps\.bench\.(acs|radius)_client",
    "prometheus_client": r"runtime\.metrics",
    "pydantic_settings": r"runtime\.settings",
    "phonenumbers": r"telephony\..*|detection\.sentences",
    "argon2": r"access\.passwords",
    "pyotp": r"access\..*",
    "apprise": r"access\.adapters|apps\.worker\..*",
    "typer": r"apps\.cli\..*",
    "rich": r"apps\.cli\..*",
    "holidays": r"apps\.worker\..*|detection\..*",
    "maxminddb": r"archive\.origin_files",
}


def trespasses(module: Module) -> set[str]:
    libraries = {name.split(".", 1)[0] for name in module.imports()} & OWNERS.keys()
    return {library for library in libraries if re.fullmatch(OWNERS[library], module.name) is None}


def test_each_library_is_imported_by_its_owner_alone() -> None:
    used = {name.split(".", 1)[0] for module in modules() for name in module.imports()} & OWNERS.keys()
    assert len(used) > 5
    assert {module.name: found for module in modules() if (found := trespasses(module))} == {}


def test_the_inspection_sees_a_trespass() -> None:
    assert trespasses(Module("detection.service", ast.parse("import psycopg"))) == {"psycopg"}


def test_bus_and_database_stay_out_of_each_other() -> None:
    """Blocking works while PostgreSQL is down: what every role imports must not know a database."""
    lean = {"role", "bus", "bucket", "pull", "streams", "settings", "keys", "log", "metrics", "status", "lease"}
    inspected = [module for module in modules() if module.room == "runtime" and module.leaf in lean]
    assert len(inspected) == len(lean)
    for module in inspected:
        assert not any(name.startswith(("psycopg", "ringfence.runtime.db")) for name in module.imports()), module.name
