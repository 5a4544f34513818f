"""A figure that a page reads from a heartbeat is one that the role puts there: the two are written in different processes."""

import ast
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src" / "ringfence"
SENDERS = {
    "ingest": ("apps/ingest", "telephony/pipeline.py"),
    "detector": ("detection/agent", "apps/detector"),
    "policy": ("enforcement/agent", "apps/policy"),
    "edge": ("enforcement/agent", "apps/edge"),
    "worker": ("apps/worker",),
}
READERS = ("views", "apps/console", "apps/api")


def read_figures() -> set[tuple[str, str]]:
    """`(role, name)` of each call `figure("role", "name")`."""
    found = set()
    for folder in READERS:
        for file in (SOURCE / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "figure":
                    values = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
                    if len(values) == 2:
                        found.add((str(values[0]), str(values[1])))
    return found


def sent_names(role: str) -> set[str]:
    """Every text constant and keyword in the sources of a role."""
    found: set[str] = set()
    for place in SENDERS[role]:
        path = SOURCE / place
        for file in path.rglob("*.py") if path.is_dir() else [path]:
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.add(node.value)
                elif isinstance(node, ast.keyword) and node.arg:
                    found.add(node.arg)
    return found


def test_every_figure_that_is_read_is_sent() -> None:
    figures = read_figures()
    assert figures, "no page reads a figure: this test looks in the wrong place"
    missing = {(role, name) for role, name in figures if name not in sent_names(role)}
    assert not missing
