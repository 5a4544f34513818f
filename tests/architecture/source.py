"""The product's source as syntax trees: modules, rooms, imports."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2] / "src" / "ringfence"


@dataclass(frozen=True)
class Module:
    """A module by its dotted name below `ringfence` (`enforcement.store`)."""

    name: str
    tree: ast.Module

    @property
    def room(self) -> str:
        return self.name.split(".", 1)[0]

    @property
    def leaf(self) -> str:
        """The name inside the room: `store`, or `main` of `apps.edge.main`."""
        return self.name.rsplit(".", 1)[-1]

    def imports(self) -> Iterator[str]:
        """Everything it imports, anywhere in the file, as dotted names; from-imports name the module and each name in it."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield alias.name
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{self.name} has a relative import"
                yield node.module or ""
                for alias in node.names:
                    yield f"{node.module}.{alias.name}"


@cache
def modules() -> tuple[Module, ...]:
    """Every module of the product but the packages' own empty ones."""
    found = []
    for file in sorted(SOURCE.rglob("*.py")):
        parts = file.relative_to(SOURCE).with_suffix("").parts
        if parts[-1] != "__init__":
            found.append(Module(".".join(parts), ast.parse(file.read_text("utf-8"), str(file))))
    return tuple(found)


def rooms() -> set[str]:
    """Names of the rooms."""
    return {module.room for module in modules()}
