"""What an analyst asks of the history: composed questions over calls, what an address did, and files to take away.

Questions run in a thread, with the archive's limits. A file for outsiders holds no account and no whole number: keyed tokens of this
installation stand for them, the same for the same person in every file, so that patterns stay and people do not. The one thing to know: the
archive is about a minute behind; what happens now is on the live pages.
"""

import asyncio
import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import ip_network
from typing import Final

from ringfence.archive.calls import ArchivedRegistration
from ringfence.archive.questions import RANGE_TAIL, Answer, CallQuestion, CallQuestions, FoundCall
from ringfence.base.errors import OperatorError
from ringfence.base.ids import encode_id, keyed_hash
from ringfence.telephony.model import country_letters
from ringfence.telephony.user_agents import family_of

MAX_EXPORT: Final = 10_000
"""Calls of one file."""
WIDEST: Final = {4: 16, 6: 32}
"""Networks of a question, by IP version."""

COLUMNS: Final = (
    "call_id",
    "account",
    "caller",
    "callee",
    "country",
    "class",
    "started_ms",
    "answered_ms",
    "ended_ms",
    "seconds",
    "status_code",
    "blocked",
    "cost_eur",
    "source_ip",
    "user_agent",
    "edge",
)
TOKEN_COLUMNS: Final = (
    "call",
    "account",
    "caller",
    "callee",
    "callee_range",
    "country",
    "class",
    "started_ms",
    "answered_ms",
    "ended_ms",
    "seconds",
    "status_code",
    "blocked",
    "cost_eur",
    "source",
    "device_family",
)


class Workbench:
    """The questions. `key` is the installation's hash key; tokens are made from it and never tell it."""

    def __init__(self, archive: CallQuestions, key: bytes) -> None:
        self._archive = archive
        self._key = key

    async def ask(self, question: CallQuestion, *, limit: int = 500) -> Answer:
        """The answer. OperatorError: too wide a span; UnavailableError: the archive cannot answer in time or memory."""
        return await asyncio.to_thread(self._archive.ask, question, limit=limit)

    async def registrations(self, account: str, *, from_ms: int, to_ms: int, limit: int = 2_000) -> list[ArchivedRegistration]:
        """Registrations and refused credentials of an account, newest first."""
        return await asyncio.to_thread(self._archive.registrations, account, from_ms=from_ms, to_ms=to_ms, limit=limit)

    async def registrations_from(self, network: str, *, from_ms: int, to_ms: int, limit: int = 2_000) -> list[ArchivedRegistration]:
        """The same from an address or a network."""
        return await asyncio.to_thread(self._archive.registrations_from, network, from_ms=from_ms, to_ms=to_ms, limit=limit)

    async def export(self, question: CallQuestion, *, pseudonymised: bool) -> tuple[str, int]:
        """Calls as CSV (RFC 4180), newest first, and how many; `MAX_EXPORT` at the most."""
        answer = await self.ask(_ungrouped(question), limit=MAX_EXPORT)
        if pseudonymised:
            return as_csv(TOKEN_COLUMNS, (pseudonyms(call, self._key) for call in answer.calls)), len(answer.calls)
        return as_csv(COLUMNS, (_plain(call) for call in answer.calls)), len(answer.calls)


def source_of(text: str) -> str:
    """An address, or a network that is no wider than an operator's own range; OperatorError for anything else."""
    try:
        found = ip_network(text.strip(), strict=False)
    except ValueError:
        raise OperatorError("a source is an address or a network, such as 192.0.2.1 or 2001:db8:1:2::/64", reason="bad_source") from None
    if found.prefixlen < WIDEST[found.version]:
        raise OperatorError(f"a network of an IPv{found.version} source has /{WIDEST[found.version]} at the widest", reason="wide_source")
    return str(found.network_address) if found.num_addresses == 1 else str(found)


def pseudonyms(call: FoundCall, key: bytes) -> Sequence[object]:
    """A call for outsiders, in the order of `TOKEN_COLUMNS`. Of the called number its range stays, of the device its family."""
    digits = call.callee.lstrip("+")
    return (
        token(key, "call", call.call_id),
        token(key, "account", call.account),
        token(key, "number", call.caller.lstrip("+")),
        token(key, "number", digits),
        digits[:-RANGE_TAIL] if len(digits) > 2 * RANGE_TAIL else "",
        country_letters(call.country),
        call.destination_class,
        call.attempted_ms,
        call.answered_ms,
        call.ended_ms,
        call.seconds,
        call.status_code,
        int(call.blocked),
        _euro(call.cost_micro),
        token(key, "source", call.source_ip),
        family_of(call.user_agent),
    )


def token(key: bytes, kind: str, value: str) -> str:
    """What stands for a value in files: the same for the same value, and not to be undone without the key. Empty stays empty."""
    return encode_id((keyed_hash(key, "export", kind, value) & (1 << 64) - 1).to_bytes(8)) if value else ""


def _plain(call: FoundCall) -> Sequence[object]:
    return (
        call.call_id,
        call.account,
        call.caller.lstrip("+"),
        call.callee.lstrip("+"),
        country_letters(call.country),
        call.destination_class,
        call.attempted_ms,
        call.answered_ms,
        call.ended_ms,
        call.seconds,
        call.status_code,
        int(call.blocked),
        _euro(call.cost_micro),
        call.source_ip,
        call.user_agent,
        call.edge,
    )


def _ungrouped(question: CallQuestion) -> CallQuestion:
    fields = {name: getattr(question, name) for name in question.__struct_fields__}
    return CallQuestion(**fields | {"group": "", "edges": ()})


def _euro(micro: int) -> str:
    return f"{micro / 1_000_000:.6f}"


def as_csv(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A file that a spreadsheet opens without running anything."""
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(columns)
    writer.writerows(_harmless(row) for row in rows)
    return file.getvalue()


def _harmless(row: Sequence[object]) -> Iterator[object]:
    """A spreadsheet takes a text that begins with one of these for a formula, and attackers choose User-Agents and Call-IDs."""
    return (f"'{cell}" if isinstance(cell, str) and cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell for cell in row)
