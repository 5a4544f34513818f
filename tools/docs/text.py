"""Markdown that every page needs."""

from collections.abc import Iterable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "ringfence"
NOTE = "<!-- Written by `make docs` from the code. Change it there. -->"


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; a bar inside a cell is escaped, since it would end the cell."""
    lines = ["| " + " | ".join(headings) + " |", "|" + "---|" * len(headings)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def page(*parts: str) -> str:
    """Parts with an empty line between them, and the note that this page is written."""
    title, *rest = parts
    return "\n\n".join([title, NOTE, *rest]) + "\n"
