"""Who is not managed: customers whose phone registers and of whom no device informs, by model read off the SIP User-Agent.

Who registers stands in the archive; whose account it is and which device informs, in PostgreSQL: there they are joined, in a temporary
table. The answer is kept for a while, because millions of registrations take seconds. The one thing to know: a User-Agent is the sender's
own claim, good enough to say which box to look for in a home, and a registration that never changes is as old as its last change.
"""

import asyncio
from dataclasses import dataclass
from typing import Final

import structlog

from ringfence.archive.layout import DAY_MS
from ringfence.archive.questions import CallQuestions
from ringfence.base.clock import Clock
from ringfence.base.errors import UnavailableError
from ringfence.runtime.db import Database, Row
from ringfence.telephony.user_agents import family_of
from ringfence.views.store import ViewsStore

DAYS: Final = 31
"""How far back a registration is looked for."""
PARTS: Final = 8
"""Parts that accounts are read in, so that millions are never in memory together."""
KEEP_MS: Final = 3_600_000
"""So long an answer is good enough."""
AGAIN_SECONDS: Final = 60.0
MAX_LISTED: Final = 50_000
MAX_MODELS: Final = 200
UNKNOWN: Final = "unknown"
"""A phone that says nothing of itself."""

_log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Uncovered:
    """A customer to work off. `model`: what the phone that registered last says it is. `device_id` 0: none of theirs is known."""

    customer: str
    account: str
    model: str
    seen_ms: int
    device_id: int
    life: str
    """Of that device: `shipped`, `silent`, `lost` or empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelGap:
    """How many customers with this model are not managed, and of how many of them a device is known that does not inform."""

    model: str
    customers: int
    known: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CoverageSeen:
    """Who registers and who of them is managed. `own`: they brought a box of their own, so nobody looks for it."""

    counted_ms: int
    accounts: int
    nameless: int
    """Accounts that register and belong to no known customer."""
    customers: int
    managed: int
    own: int
    silent: int
    """Of those to work off: their device informed once and fell silent."""
    by_model: tuple[ModelGap, ...]
    """Most frequent first."""
    uncovered: tuple[Uncovered, ...]
    """By customer, the first `MAX_LISTED`."""

    @property
    def missing(self) -> int:
        """Customers to work off."""
        return self.customers - self.managed - self.own


class CoverageView:
    """The answer and its age. `keep` renews it for ever; without it, it is made when somebody asks."""

    def __init__(self, archive: CallQuestions, db: Database, clock: Clock) -> None:
        self._archive = archive
        self._db = db
        self._clock = clock
        self._one = asyncio.Lock()
        self._known: CoverageSeen | None = None

    async def keep(self) -> None:
        """Count each hour, for ever."""
        while True:
            try:
                await self.current()
            except UnavailableError as error:
                _log.warning("coverage_not_counted", reason=error.reason)
                await asyncio.sleep(AGAIN_SECONDS)
            else:
                await asyncio.sleep(KEEP_MS / 1000)

    @property
    def known(self) -> CoverageSeen | None:
        """The last answer, whatever its age; None before the first one."""
        return self._known

    async def current(self) -> CoverageSeen:
        """An answer of the last hour. UnavailableError when archive or PostgreSQL cannot tell."""
        async with self._one:
            now = self._clock()
            if self._known is None or now - self._known.counted_ms >= KEEP_MS:
                self._known = await self._counted(now)
            return self._known

    async def anew(self) -> CoverageSeen:
        """The answer of now."""
        async with self._one:
            self._known = await self._counted(self._clock())
            return self._known

    async def _counted(self, now: int) -> CoverageSeen:
        async with self._db.transaction() as connection:
            store = ViewsStore(connection)
            await store.run("allow_minutes")
            await store.run("create_registering")
            for part in range(PARTS):
                found = await asyncio.to_thread(self._archive.registered, from_ms=now - DAYS * DAY_MS, to_ms=now, part=part, parts=PARTS)
                await store.copy("copy_registering", _named(found))
            await store.run("analyze_registering")
            await store.run("create_customers")
            (counts,) = await store.rows("count_coverage")
            models = await store.rows("count_uncovered_models", limit=MAX_MODELS)
            listed = await store.rows("list_uncovered", limit=MAX_LISTED)
        return CoverageSeen(
            counted_ms=now,
            by_model=tuple(ModelGap(model=row["family"], customers=row["customers"], known=row["known"]) for row in models),
            uncovered=tuple(map(_uncovered, listed)),
            **counts,
        )


def _named(found: list[tuple[str, str, int]]) -> list[tuple[object, ...]]:
    families: dict[str, str] = {}
    rows: list[tuple[object, ...]] = []
    for account, user_agent, at_ms in found:
        if user_agent not in families:
            families[user_agent] = family_of(user_agent) or UNKNOWN
        rows.append((account.replace("\x00", ""), families[user_agent].replace("\x00", ""), at_ms))
    return rows


def _uncovered(row: Row) -> Uncovered:
    return Uncovered(
        customer=row["customer"],
        account=row["account"],
        model=row["family"],
        seen_ms=row["at_ms"],
        device_id=row["device_id"],
        life=row["life"],
    )
