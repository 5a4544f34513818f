"""Each room writes its own PostgreSQL schema and no other; views write nothing; SQL stands in `queries.sql`."""

import ast
import re

import pytest

from tests.architecture.source import SOURCE, modules

WRITES = re.compile(
    r"\b(?:insert\s+into|update(?!\s+set\b|\s+of\b|\s+skip\b|\s+nowait\b)|delete\s+from|truncate(?:\s+table)?|merge\s+into)\s+(?:only\s+)?([a-z_][a-z_0-9.]*)",
    re.IGNORECASE,
)
QUERIES = sorted(SOURCE.rglob("*.sql"))


def written_tables(sql: str) -> set[str]:
    """Tables that a text of SQL writes; comments and `for update` clauses are none."""
    bare = re.sub(r"--[^\n]*", "", sql)
    bare = re.sub(r"\bfor\s+(no\s+key\s+)?update\b", "", bare, flags=re.IGNORECASE)
    bare = re.sub(r"\bdo\s+update\s+set\b", "", bare, flags=re.IGNORECASE)
    return set(WRITES.findall(bare))


def test_a_room_writes_its_own_schema() -> None:
    files = [file for file in QUERIES if "migrations" not in file.parts]
    assert len(files) >= 3
    found = 0
    for file in files:
        room = file.relative_to(SOURCE).parts[0]
        text = file.read_text("utf-8")
        temporary = set(re.findall(r"\bcreate\s+temp(?:orary)?\s+table\s+([a-z_0-9]+)", text, re.IGNORECASE))
        tables = written_tables(text) - temporary
        found += len(tables)
        foreign = {table for table in tables if not table.startswith(f"{room}.")}
        assert foreign == set(), f"{file.name} of {room} writes {foreign}"
        assert not (room == "views" and tables), f"views write {tables}"
    assert found > 5


@pytest.mark.parametrize(
    ("sql", "tables"),
    [
        ("INSERT INTO access.person VALUES (1) ON CONFLICT DO UPDATE SET x = 1", {"access.person"}),
        ("SELECT 1 FROM a.b FOR UPDATE SKIP LOCKED", set()),
        ("UPDATE a.b SET c = 1; DELETE FROM c.d -- insert into e.f", {"a.b", "c.d"}),
    ],
)
def test_the_inspection_reads_sql(sql: str, tables: set[str]) -> None:
    assert written_tables(sql) == tables


def test_no_sql_stands_in_python() -> None:
    """Only runtime, which owns the list of migrations, and its engine have statements of their own."""
    statement = re.compile(r"\s*(select|insert into|update|delete from|with)\s.*\b(from|into|set|values)\b", re.IGNORECASE | re.DOTALL)
    guilty = set()
    inspected = 0
    for module in modules():
        if module.room in {"runtime", "protocols"} or module.name.startswith(("archive.", "apps.ingest.")):  # DuckDB; foreign tables.
            continue
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in {"execute", "executemany"}:
                inspected += 1
                if node.args and isinstance(node.args[0], ast.Constant | ast.JoinedStr) and statement.match(ast.unparse(node.args[0])[1:]):
                    guilty.add(module.name)
    assert inspected > 0
    assert guilty == set()
