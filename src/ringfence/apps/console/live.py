"""Server-sent events: one stream a page, a frame at least each second, only the regions that changed.

A frame goes out even when nothing changed, because silence must mean that the line is cut. The session is looked at again while the
stream runs: who is shut out stops seeing figures within seconds.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

import msgspec
from starlette.requests import Request
from starlette.responses import StreamingResponse

from ringfence.access.model import Permission
from ringfence.apps.console.desk import Desk
from ringfence.apps.console.session import visit_of
from ringfence.apps.console.templating import may_of
from ringfence.base.errors import UnavailableError

BEAT_SECONDS = 1.0
LEAST_SECONDS = 0.25
"""However much happens, a browser gets no more than four frames a second."""
RECHECK_BEATS = 10
MAX_STREAMS = 400

Regions = Callable[[], Awaitable[Mapping[str, str]]]


_GOODBYE = b"event: goodbye\ndata: sign in again\n\n"


def stream(request: Request, desk: Desk, permission: Permission, regions: Regions) -> StreamingResponse:
    """The answer to `/live/...`: frames until the browser leaves or may no longer look."""
    if desk.streams.open >= MAX_STREAMS:
        raise UnavailableError("too many pages are open; close some of them", reason="too_many_streams")
    return StreamingResponse(
        _frames(request, desk, permission, regions), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"}
    )


async def _frames(request: Request, desk: Desk, permission: Permission, regions: Regions) -> AsyncIterator[bytes]:
    sent: dict[str, str] = {}
    beats = 0
    desk.streams.open += 1
    try:
        yield b"retry: 2000\n\n"
        while True:
            if beats % RECHECK_BEATS == RECHECK_BEATS - 1 and not await _may_look(request, permission):
                yield _GOODBYE
                return
            beats += 1
            if desk.board.connected:
                now = {**await regions(), "nav-live": _navigation(request, desk)}
                fresh = {name: html for name, html in now.items() if sent.get(name) != html}
                sent.update(fresh)
                frame = msgspec.json.encode({"at": desk.renderer.zone.clock(desk.clock()), "regions": fresh})
                yield b"event: patch\ndata: " + frame + b"\n\n"
            else:
                # The board has stopped: no frame, so that the page says since when it is stale.
                yield b": nats is away\n\n"
            await asyncio.sleep(LEAST_SECONDS)
            await desk.board.changed(seconds=BEAT_SECONDS - LEAST_SECONDS)
    finally:
        desk.streams.open -= 1


def _navigation(request: Request, desk: Desk) -> str:
    """The counts beside the names of the pages, for the page that this stream belongs to."""
    place = request.url.path.split("/")[2]
    actor = request.state.visit.actor
    here = "/" if place == "overview" else f"/{place}"
    return desk.renderer.fragment("parts/nav.html", counts=desk.counts(), here=here, may=may_of(actor.permissions))


async def _may_look(request: Request, permission: Permission) -> bool:
    try:
        visit = await visit_of(request)
    except UnavailableError:
        return True  # PostgreSQL is down and this process has forgotten the session; whoever watches keeps watching.
    return visit.actor is not None and visit.actor.may(permission)
