"""Which pages are written, and by whom."""

from collections.abc import Callable
from pathlib import Path

from tools.docs.commands import commands_page
from tools.docs.metrics import metrics_page
from tools.docs.routes import routes_page
from tools.docs.rules import rules_page
from tools.docs.settings import settings_page
from tools.docs.text import ROOT

PAGES: dict[str, tuple[Path, Callable[[], str]]] = {
    name: (ROOT / "docs" / name, write)
    for name, write in (
        ("settings.md", settings_page),
        ("metrics.md", metrics_page),
        ("commands.md", commands_page),
        ("routes.md", routes_page),
        ("rule-parameters.md", rules_page),
    )
}
