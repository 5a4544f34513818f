"""What an import counts while its rows pass: good and bad ones, and what was written.

Pure. The one thing to know: too many bad rows end the import, and the caller's transaction with it.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TypeVar

from ringfence.base.errors import OperatorError
from ringfence.subscribers.model import BadRow, Changed, Difference, ImportReport

MAX_IMPORT_ROWS = 100_000_000
BAD_SHARE = 100
"""More than one bad row in this many ends an import."""
SHOWN_BAD_ROWS = 100
SHOWN_CHANGES = 100

Item = TypeVar("Item")


class Tally:
    """Counts good and bad rows while they pass, and ends an import that has too many bad ones."""

    def __init__(self, *, strict: bool) -> None:
        self._strict = strict
        self._reasons: Counter[str] = Counter()
        self._shown: list[BadRow] = []
        self._differences: Counter[Difference] = Counter()
        self._fields: Counter[str] = Counter()
        self._examples: list[Changed] = []
        self.kept = 0

    def good(self, rows: Iterator[Item | BadRow]) -> Iterator[Item]:
        """The rows that could be read."""
        for row in rows:
            if isinstance(row, BadRow):
                self.add(row)
                if self._strict:
                    self.judge()
                continue
            self.kept += 1
            if self.kept > MAX_IMPORT_ROWS:
                raise OperatorError(f"an import holds {MAX_IMPORT_ROWS} rows at the most; split the file", reason="too_many_rows")
            yield row

    def add(self, row: BadRow) -> None:
        """One more bad row; the first hundred are kept whole."""
        self._reasons[row.reason] += 1
        if len(self._shown) < SHOWN_BAD_ROWS:
            self._shown.append(row)

    def repeated(self, line: int, message: str) -> None:
        """A row that was taken for a good one repeats an earlier one."""
        self.add(BadRow(line=line, reason="repeated", message=message))
        self.kept -= 1

    def wrote(self, changes: Iterable[Changed]) -> None:
        """Rows that were written; the first hundred are kept."""
        for change in changes:
            self._differences[change.difference] += 1
            self._fields.update(change.fields)
            if len(self._examples) < SHOWN_CHANGES:
                self._examples.append(change)

    def judge(self) -> None:
        """Refuse the whole file when too much of it is bad."""
        bad = self._reasons.total()
        if bad and (self._strict or bad * BAD_SHARE > self.kept + bad):
            first = min(self._shown, key=lambda row: row.line)
            raise OperatorError(
                f"{bad} of {self.kept + bad} rows are bad, nothing was imported; line {first.line}: {first.message}",
                reason="too_many_bad_rows",
            )

    def report(self, import_id: str, kind: str, gone: int = 0) -> ImportReport:
        """What happened, for the person. `gone`: what the file no longer names and was taken away."""
        bad = self._reasons.total()
        return ImportReport(
            import_id=import_id,
            kind=kind,
            rows=self.kept + bad,
            added=self._differences[Difference.ADDED],
            changed=self._differences[Difference.CHANGED],
            removed=self._differences[Difference.REMOVED] + gone,
            same=self.kept - self._differences.total(),
            bad=bad,
            bad_rows=tuple(sorted(self._shown, key=lambda row: row.line)),
            bad_reasons=tuple(self._reasons.most_common()),
            examples=tuple(self._examples),
            changed_fields=tuple(self._fields.most_common()),
        )
