"""`docs/metrics.md` from every declaration of a counter, gauge or histogram in the source."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ringfence.runtime.settings import ROLES, Metrics
from tools.docs.text import SOURCE, page, table

INTRO = """\
Each role serves Prometheus text at `/metrics` on a port of its own on 127.0.0.1, besides the figures of the Python process:
{ports}. `metrics.base_port` moves or removes them ([settings](settings.md)).

Names are `ringfence_<room>_<noun>_<unit>[_total]`. Labels are closed sets (reasons, kinds, states), never something a peer chose. A
histogram has the usual `_bucket`, `_sum` and `_count`."""

KINDS = ("counter", "gauge", "histogram")


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A declaration as it stands in the source."""

    name: str
    kind: str
    help: str
    labels: tuple[str, ...]
    module: str
    """Dotted name below `ringfence`."""

    @property
    def room(self) -> str:
        """The second word of the name."""
        return self.name.split("_")[1]


def metrics_page() -> str:
    """The whole page."""
    ports = ", ".join(f"{role} {Metrics().base_port + place}" for place, role in enumerate(ROLES))
    parts = ["# Metrics", INTRO.format(ports=ports)]
    found = sorted(declared(), key=lambda metric: metric.name)
    for room in sorted({metric.room for metric in found}):
        rows = (
            (f"`{metric.name}`", metric.kind, _labels(metric), ", ".join(moved_by(metric)), metric.help)
            for metric in found
            if metric.room == room
        )
        parts += [f"## {room}", table(("metric", "kind", "labels", "moved by", "meaning"), rows)]
    return page(*parts)


def declared() -> list[Metric]:
    """Every metric of the product."""
    return [metric for file in sorted(SOURCE.rglob("*.py")) for metric in in_tree(_module(file), ast.parse(file.read_text("utf-8")))]


def in_tree(module: str, tree: ast.Module) -> Iterator[Metric]:
    """The metrics that a module declares through `runtime.metrics`."""
    imported = {
        alias.asname or alias.name: alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "ringfence.runtime.metrics"
        for alias in node.names
        if alias.name in KINDS
    }
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in imported):
            continue
        kind = imported[node.func.id]
        given = dict(zip(("name", "description", *(("buckets",) if kind == "histogram" else ()), "labels"), node.args, strict=False))
        given |= {keyword.arg: keyword.value for keyword in node.keywords if keyword.arg}
        labels = ast.literal_eval(given["labels"]) if "labels" in given else ()
        yield Metric(
            name=ast.literal_eval(given["name"]),
            kind=kind,
            help=ast.literal_eval(given["description"]),
            labels=tuple(labels),
            module=module,
        )


def moved_by(metric: Metric) -> list[str]:
    """The roles that use the module that declares a metric."""
    return [role for role in ROLES if metric.module in _reached(f"apps.{role}.main")]


def _labels(metric: Metric) -> str:
    return ", ".join(f"`{label}`" for label in metric.labels) or "-"


@cache
def _reached(start: str) -> frozenset[str]:
    """Modules of ours that a module imports, directly or not."""
    found: set[str] = set()
    open_ends = [start]
    while open_ends:
        module = open_ends.pop()
        if module not in found:
            found.add(module)
            open_ends += _imports(module)
    return frozenset(found)


@cache
def _imports(module: str) -> frozenset[str]:
    """What a module imports. Of a package that gathers names, only the module that a name comes from: importing one agent of a room
    does not make a process serve the figures of the others."""
    found = set()
    for package, name in _from_imports(module):
        if _exists(f"{package}.{name}"):
            found.add(f"{package}.{name}")
        else:
            found.add(next((origin for origin, gathered in _from_imports(package) if gathered == name and _is_package(package)), package))
    return frozenset(found)


@cache
def _from_imports(module: str) -> tuple[tuple[str, str], ...]:
    """`(module, name)` of each from-import of ours."""
    return tuple(
        (node.module.removeprefix("ringfence."), alias.name)
        for node in ast.walk(ast.parse(_file(module).read_text("utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("ringfence.")
        for alias in node.names
    )


def _exists(module: str) -> bool:
    return _file(module).exists()


def _is_package(module: str) -> bool:
    return _file(module).name == "__init__.py"


def _file(module: str) -> Path:
    plain = SOURCE.joinpath(*module.split(".")).with_suffix(".py")
    return plain if plain.exists() else SOURCE.joinpath(*module.split("."), "__init__.py")


def _module(file: Path) -> str:
    parts = file.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
