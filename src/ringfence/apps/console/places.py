"""Small questions that many pages ask: which desk, where to go next, where somebody's home is."""

from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse

from ringfence.access.model import Actor, Permission
from ringfence.apps.console.desk import Desk


def desk_of(request: Request) -> Desk:
    """The process's desk."""
    desk = request.app.state.desk
    assert isinstance(desk, Desk)
    return desk


def inside(path: str) -> str:
    """A path of this console, or `/`: a form must not send people elsewhere."""
    parts = urlsplit(path)
    plain = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if plain and not parts.scheme and not parts.netloc else "/"


def said(path: str, what: str) -> RedirectResponse:
    """On to a page, which says what was done."""
    target = inside(path)
    return RedirectResponse(f"{target}{'&' if '?' in target else '?'}said={what}", status_code=303)


def at_home(actor: Actor) -> str:
    """The first page that this person may see."""
    for permission, path in ((Permission.OVERVIEW_READ, "/"), (Permission.ALERT_READ, "/alerts"), (Permission.ACCOUNT_READ, "/accounts")):
        if actor.may(permission):
            return path
    return "/me"
