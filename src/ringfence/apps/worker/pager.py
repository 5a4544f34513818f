"""Tells the on-call line about critical alerts until somebody acknowledges: mail, webhook, SMS through apprise.

What was told stands in PostgreSQL, so a worker that starts again goes on where the last one ended. Sending happens in threads of its own
with a time limit: a mail server that hangs delays nobody but itself.
"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import apprise

from ringfence.access.model import DuePage, OnCallPerson, Page
from ringfence.access.service import AccessService
from ringfence.base.clock import Clock
from ringfence.base.errors import NotFoundError, UnavailableError
from ringfence.base.secret import Secret
from ringfence.detection.service import DetectionService
from ringfence.runtime.log import get_logger
from ringfence.runtime.metrics import counter
from ringfence.runtime.status import StatusBoard

TURN_SECONDS = 1.0
SEND_SECONDS = 20.0
"""A message that is not delivered by then counts as not delivered."""

SENDERS = 4
SHOWN = 10
"""Alerts spelled out in one message; the rest are a number."""

NOBODY = "Nobody is paged: set the on-call line in the console, or paging.urls in ringfence.toml."

_log = get_logger(__name__)
_sent = counter("ringfence_worker_pages_total", "Messages to the on-call line, by outcome.", ("outcome",))


class Pager:
    """Pages by the line in PostgreSQL; without one, by the addresses of the settings in their order."""

    def __init__(
        self,
        access: AccessService,
        detection: DetectionService,
        board: StatusBoard,
        clock: Clock,
        *,
        urls: Sequence[str],
        escalate_ms: int,
    ) -> None:
        self._access = access
        self._detection = detection
        self._board = board
        self._clock = clock
        self._fallback = tuple(
            OnCallPerson(position=place, name=f"paging.urls[{place - 1}]", contact=Secret(url)) for place, url in enumerate(urls, start=1)
        )
        self._escalate_ms = escalate_ms
        self._threads = ThreadPoolExecutor(SENDERS, thread_name_prefix="pager")

    async def run(self) -> None:
        """Page until cancelled; while PostgreSQL is away, wait."""
        try:
            while True:
                try:
                    await self.turn()
                except UnavailableError as error:
                    self._board.trouble("paging", f"Paging waits: {error}")
                await asyncio.sleep(TURN_SECONDS)
        finally:
            self._threads.shutdown(wait=False, cancel_futures=True)

    async def turn(self) -> int:
        """Tell whoever is due now, one message a person; the number of messages."""
        line = await self._access.on_call() or self._fallback
        if not line:
            self._board.trouble("paging", NOBODY)
            return 0
        self._board.settled("paging")
        due = [entry for entry in await self._access.due_pages(line) if not await self._is_over(entry.page)]
        for entry in due:
            if not entry.contacts:
                await self._access.end_page(entry.page.alert_id, "nobody answered")
                _log.warning("page_unanswered", alert_id=entry.page.alert_id, told=entry.page.paged)
        return await self._tell([entry for entry in due if entry.contacts])

    async def _is_over(self, page: Page) -> bool:
        """Whether somebody acknowledged the alert, or its episode ended."""
        try:
            alert = await self._detection.alert(page.alert_id)
        except NotFoundError:
            return False  # A happening without an alert: a breaker, break-glass.
        if alert.running and not alert.acknowledged_ms:
            return False
        await self._access.end_page(page.alert_id, alert.acknowledged_by or "closed")
        return True

    async def _tell(self, due: list[DuePage]) -> int:
        """One message to each person about everything that is due to them, all at the same time."""
        people = {person.position: person for entry in due for person in entry.contacts}
        mine = {position: [entry.page for entry in due if person in entry.contacts] for position, person in people.items()}
        outcomes = await asyncio.gather(*(self._send(people[position], mine[position]) for position in people))
        reached = {position for position, delivered in zip(people, outcomes, strict=True) if delivered}
        for entry in due:
            delivered = any(person.position in reached for person in entry.contacts)
            if entry.page.everyone and delivered:
                await self._access.end_page(entry.page.alert_id, "everyone told")
            else:
                await self._access.note_paged(entry.page, delivered=delivered, escalate_ms=self._escalate_ms)
        return len(people)

    async def _send(self, person: OnCallPerson, pages: list[Page]) -> bool:
        """One message; whether it was delivered, as far as the service says."""
        title, body = text_of([page.message for page in pages])
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(SEND_SECONDS):
                delivered = await loop.run_in_executor(self._threads, _deliver, person.contact, title, body)
        except TimeoutError:
            delivered = False
        _sent.labels(outcome="delivered" if delivered else "failed").inc()
        _log.info("paged", person=person.name, alerts=[page.alert_id for page in pages[:10]], delivered=delivered)
        if delivered:
            self._board.settled(f"contact {person.position}")
        else:
            self._board.trouble(f"contact {person.position}", f"The address of {person.name} could not be reached; check it.")
        return delivered


def _deliver(contact: Secret, title: str, body: str) -> bool:
    """Hand the message to the service behind an address; runs in a thread."""
    sender = apprise.Apprise()
    return bool(sender.add(contact.open()) and sender.notify(body=body, title=title, body_format=apprise.NotifyFormat.TEXT))


def text_of(messages: Sequence[str]) -> tuple[str, str]:
    """Title and body of one message about all of these alerts."""
    title = "Ringfence: critical alert" if len(messages) == 1 else f"Ringfence: {len(messages)} critical alerts"
    lines = list(messages[:SHOWN])
    if len(messages) > SHOWN:
        lines.append(f"... and {len(messages) - SHOWN} more.")
    return title, "\n\n".join(lines)
