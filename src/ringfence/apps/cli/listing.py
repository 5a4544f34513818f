"""Importing a list: from a CSV file, or from the operator's database by a query. The same for every list."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ringfence.apps.cli.client import Api, tell, tell_facts
from ringfence.base.errors import OperatorError

ListFile = Annotated[Path | None, typer.Argument(help="CSV with a header row; see docs/formats.md.")]
FromSql = Annotated[Path | None, typer.Option("--sql", help="Instead of a CSV file: TOML with url_file, query and [columns].")]
Strict = Annotated[bool, typer.Option(help="One bad row refuses the whole file.")]

COLUMNS: dict[str, tuple[str, ...]] = {
    "accounts": (
        "account", "customer", "segment", "channels", "since", "country", "own_device", "exempt_until", "sensitivity", "line",
        "removed",
    ),
    "customers": ("customer", "name", "segment", "since", "removed"),
    "lines": ("line", "customer", "access_node", "region", "removed"),
    "contacts": ("customer", "kind", "value", "removed"),
    "sessions": ("address", "line", "from", "to", "access_node", "server"),
}  # fmt: skip
"""What a list may hold; a test compares it with what the importer reads."""

CHANGES = (("key", "which"), ("difference", "what"), ("fields", "fields"))


def import_list(api: Api, kind: str, file: Path | None, sql: Path | None, *, strict: bool, as_json: bool) -> None:
    """Import a list and say what changed."""
    if (file is None) == (sql is None):
        raise OperatorError("name a CSV file, or a query with --sql; one of them", reason="no_source")
    path = f"/{kind}/import"
    if file is not None:
        report = api.upload(path, file, strict=strict)
    else:
        assert sql is not None, "one of the two is named"
        # SQLAlchemy takes a third of a second to import, which a CSV file need not wait for.
        from ringfence.apps.cli.operator_database import csv_of, read_source

        source = read_source(sql, COLUMNS[kind])
        report = api.send(path, csv_of(source, sql.parent, COLUMNS[kind]), strict=strict)
    _tell(report, as_json=as_json)


def _tell(report: dict[str, Any], *, as_json: bool) -> None:
    examples = report["examples"]
    tell_facts(report if as_json else {name: value for name, value in report.items() if name != "examples"}, as_json=as_json)
    if examples and not as_json:
        tell(examples, as_json=False, columns=CHANGES, empty="")
