"""`docs/routes.md`: which page, route and command needs which permission, from where each declares it."""

from collections.abc import Iterator
from importlib import import_module

from fastapi import FastAPI

from ringfence.access.model import Permission
from ringfence.apps.api import routing as api_routing
from ringfence.apps.api.routes import ALL_ROUTES
from ringfence.apps.cli.client import ClientApp
from ringfence.apps.cli.main import COMMANDS
from ringfence.apps.console import routing as console_routing
from ringfence.apps.console.pages import ALL_PAGES
from tools.docs.text import page, table

INTRO = """\
What each permission means and who has it: [permissions](permissions.md). Everything else is refused with 403 and a sentence that names the
permission; generated tests try every page and route without it. Commands that are not here work on the machine itself, with the rights of
whoever runs them. `break_glass` is asked for inside a route, beside `block.impose`, when the order says so."""

OPEN = {
    "everybody": "Open to everybody: signing in.",
    "signed_in": "Open to everybody who is signed in: the own account.",
}

Place = tuple[str, str]
"""A permission (or how far it is open), and the page, route or command that needs it."""


def routes_page() -> str:
    """The whole page."""
    columns = (list(console_places()), list(api_places()), list(command_places()))
    rows = []
    for need in (*(permission.value for permission in Permission), *OPEN):
        cells = (", ".join(f"`{where}`" for value, where in places if value == need) or "-" for places in columns)
        rows.append((OPEN.get(need, f"`{need}`"), *cells))
    return page("# Which page, route and command needs which permission", INTRO, table(("permission", "console", "API", "command"), rows))


def console_places() -> Iterator[Place]:
    """Pages and actions of the console."""
    app = FastAPI()
    app.router.routes.clear()
    for pages in ALL_PAGES:
        pages.add_to(app)
    for method, path, need in console_routing.declared(app):
        yield need.value, f"{method} {path}"


def api_places() -> Iterator[Place]:
    """Routes of the API."""
    app = FastAPI()
    app.router.routes.clear()
    for routes in ALL_ROUTES:
        routes.add_to(app)
    for method, path, need in api_routing.declared(app):
        yield need.value, f"{method} {path}"


def command_places() -> Iterator[Place]:
    """Commands that are clients of the API."""
    for name, (module, _) in COMMANDS.items():
        client = getattr(import_module(module), "client", None)
        if isinstance(client, ClientApp):
            for verb, (permission, _method, _path) in client.declared.items():
                yield permission.value if permission else "everybody", f"{name} {verb}"
