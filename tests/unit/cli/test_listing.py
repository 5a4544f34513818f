"""Lists from files and from an operator's database: what may be in them, and what is refused before anything is asked."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ringfence.apps.cli.client import Api
from ringfence.apps.cli.listing import COLUMNS, import_list
from ringfence.apps.cli.operator_database import csv_of, read_source
from ringfence.base.errors import OperatorError
from ringfence.subscribers.customers.sheets import read_contacts, read_customers, read_lines
from ringfence.subscribers.model import BadRow
from ringfence.subscribers.sessions.leases import read_leases
from ringfence.subscribers.sheets import read_accounts

READERS: dict[str, Callable[[io.BytesIO], Iterator[object]]] = {
    "accounts": read_accounts, "customers": read_customers, "lines": read_lines, "contacts": read_contacts,
    "sessions": read_leases,
}  # fmt: skip
URL = "postgresql://reader:a-secret@127.0.0.1/crm"


@pytest.mark.parametrize("kind", COLUMNS)
def test_each_column_of_a_list_is_one_that_the_importer_reads(kind: str) -> None:
    good = dict.fromkeys(COLUMNS[kind], "") | {
        "account": "a",
        "customer": "c",
        "line": "l",
        "value": "a@example.net",
        "address": "192.0.2.1",
        "from": "1790000000",
    }
    good = {name: good[name] for name in COLUMNS[kind]} | ({"kind": "mail"} if kind == "contacts" else {})

    def rows(cells: dict[str, str]) -> list[object]:
        return list(READERS[kind](io.BytesIO(f"{','.join(cells)}\n{','.join(cells.values())}\n".encode())))

    assert not any(isinstance(row, BadRow) for row in rows(good))
    for name in COLUMNS[kind]:
        (row,) = rows(good | {name: "\x07"})
        assert isinstance(row, BadRow), f"{name} is read by nobody"


def test_one_source_is_named(tmp_path: Path) -> None:
    api = Api("http://127.0.0.1:1", "token")
    for file, sql in ((None, None), (tmp_path / "a.csv", tmp_path / "a.toml")):
        with pytest.raises(OperatorError, match="one of them"):
            import_list(api, "lines", file, sql, strict=False, as_json=False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("query = 'select 1'", "url_file"),
        ("url_file = 'url'\nquery = 'select 1'\npassword = 'x'", "unknown field"),
        ("url_file = 'url'\nquery = 'select 1'\n[columns]\ncolour = 'c'", "no column colour; possible are line, customer"),
        ("url_file = ", "it holds url_file, query"),
    ],
)
def test_a_description_is_refused_with_what_it_may_hold(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "lines.toml"
    file.write_text(text)
    with pytest.raises(OperatorError, match=message):
        read_source(file, COLUMNS["lines"])


@pytest.mark.parametrize(
    ("url", "mode", "message"),
    [
        (URL, 0o644, "chmod 600"),
        ("nonsense a-secret", 0o600, "its URL is none"),
        ("mysql://reader:a-secret@127.0.0.1", 0o600, "no database"),
    ],
)
def test_a_url_is_kept_from_others_and_never_shown(url: str, mode: int, message: str, tmp_path: Path) -> None:
    (tmp_path / "crm.url").write_text(url)
    (tmp_path / "crm.url").chmod(mode)
    file = tmp_path / "lines.toml"
    file.write_text("url_file = 'crm.url'\nquery = 'select 1'")
    with pytest.raises(OperatorError, match=message) as refused:
        list(csv_of(read_source(file, COLUMNS["lines"]), tmp_path, COLUMNS["lines"]))
    assert "a-secret" not in f"{refused.value!r} {refused.value}"
