"""Pure modules have no network, disk, clock, randomness, log, database or bus: they could not be replayed or trusted otherwise."""

import ast

from tests.architecture.source import Module, modules

CAPABILITIES = {"telephony", "protocols", "subscribers", "access", "detection", "enforcement", "fleet"}

# The shells of a capability, by module name.
SHELLS = {"adapters", "service", "agent", "store", "table", "ports"}

IMPURE = {
    "asyncio", "socket", "ssl", "selectors", "http", "urllib.request", "requests", "httpx", "aiohttp", "subprocess", "os", "shutil",
    "tempfile", "pathlib", "glob", "random", "secrets", "uuid", "time", "logging", "structlog", "psycopg", "psycopg_pool", "nats",
    "sqlalchemy", "pymysql", "threading", "multiprocessing", "ringfence.runtime", "ringfence.base.clock.system_clock",
    "ringfence.base.clock.monotonic_seconds", "ringfence.base.ids.new_id", "ringfence.base.ids.new_token",
}  # fmt: skip

# Modules that touch one impure thing by their very nature: name -> (what, why).
EXCEPTIONS: dict[str, tuple[set[str], str]] = {}


def offences(module: Module) -> set[str]:
    allowed, _why = EXCEPTIONS.get(module.name, (set(), ""))
    names = {name for name in module.imports() if any(name == impure or name.startswith(f"{impure}.") for impure in IMPURE)}
    calls = {
        node.func.id
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"open", "input", "print"}
    }
    return {name for name in names | calls if not any(name == ok or name.startswith(f"{ok}.") for ok in allowed)}


def pure_modules() -> list[Module]:
    return [module for module in modules() if module.room in CAPABILITIES and not SHELLS & set(module.name.split("."))]


def test_pure_modules_touch_nothing_impure() -> None:
    inspected = pure_modules()
    assert len(inspected) > 20
    assert {module.name: found for module in inspected if (found := offences(module))} == {}


def test_the_inspection_sees_an_offence() -> None:
    guilty = Module("detection.windows", ast.parse("import time\nfrom ringfence.runtime.bus import Bus\nopen('x')"))
    assert {"time", "open", "ringfence.runtime.bus"} <= offences(guilty)


def test_exceptions_are_still_needed() -> None:
    names = {module.name: set(module.imports()) for module in modules()}
    for name, (allowed, why) in EXCEPTIONS.items():
        assert why
        assert name in names, f"{name} is gone; so is its exception"
        for thing in allowed:
            assert any(found == thing or found.startswith(f"{thing}.") for found in names[name]), f"{name} no longer needs {thing}"
