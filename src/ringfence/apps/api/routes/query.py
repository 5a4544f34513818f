"""Composed questions over the history, and the calls they find as a file. The archive's limits of time and memory hold.

Files are orders (POST), because each is written to the audit chain before it leaves.
"""

from fastapi import Response

from ringfence.access.model import Actor, Permission
from ringfence.apps.api.desk import Desk
from ringfence.apps.api.query_payloads import QueryHeard, QuerySaid
from ringfence.apps.api.routing import Acting, AtDesk, Routes

routes = Routes("query")


@routes.post("/query", permission=Permission.CALL_READ)
async def ask(desk: AtDesk, entry: QueryHeard) -> QuerySaid:
    """Calls that fit, or what they add up to by account, range, country, source, hour or day."""
    answer = await desk.workbench.ask(entry.question(desk.zone, desk.clock()), limit=entry.limit)
    return QuerySaid.of(entry.group, answer)


@routes.post("/query/calls.csv", permission=Permission.CALL_READ)
async def take_calls(desk: AtDesk, actor: Acting, entry: QueryHeard) -> Response:
    """The calls that fit as a file; `group` and `limit` do not matter."""
    return await _file(desk, actor, entry, pseudonymised=False)


@routes.post("/query/export.csv", permission=Permission.CALL_EXPORT)
async def take_tokens(desk: AtDesk, actor: Acting, entry: QueryHeard) -> Response:
    """The same for outsiders: tokens stand for accounts, numbers and addresses, the same for the same person in every file."""
    return await _file(desk, actor, entry, pseudonymised=True)


async def _file(desk: Desk, actor: Actor, entry: QueryHeard, *, pseudonymised: bool) -> Response:
    question = entry.question(desk.zone, desk.clock())
    text, calls = await desk.workbench.export(question, pseudonymised=pseudonymised)
    detail: dict[str, str | int | bool] = {
        "calls": calls,
        "pseudonymised": pseudonymised,
        "from_ms": question.from_ms,
        "to_ms": question.to_ms,
    }
    named = {name: value for name in ("account", "caller", "callee", "source", "user_agent") if (value := getattr(question, name))}
    # Written before the file leaves: an export that nobody can be asked about does not happen.
    await desk.access.audit(actor.name, "export_calls", "calls", detail | named)
    return Response(text, media_type="text/csv; charset=utf-8", headers={"X-Calls": str(calls)})
