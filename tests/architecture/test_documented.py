"""Pages written from the code say what the code says, and the code says enough to write them."""

import ast
import re

import pytest

from ringfence.access.model import Permission
from ringfence.base.errors import ExitCode
from ringfence.runtime.settings import ROLES
from tests.architecture.source import rooms
from tools.docs.commands import EXITS, commands
from tools.docs.metrics import declared, in_tree, moved_by
from tools.docs.pages import PAGES
from tools.docs.routes import OPEN, api_places, command_places, console_places
from tools.docs.settings import sentences, settings_page


@pytest.mark.parametrize("name", PAGES)
def test_a_written_page_is_what_the_code_says(name: str) -> None:
    file, write = PAGES[name]
    written = write()
    assert len(written) > 1000
    assert file.read_text("utf-8") == written, f"docs/{name} is not what the code says; run `make docs` and commit the page"


def test_every_setting_has_a_sentence() -> None:
    said = sentences()
    assert len(said) > 40
    assert {field: sentence for field, sentence in said.items() if not sentence.endswith(".") or len(sentence) < 15} == {}


def test_settings_name_their_variable_and_their_unit() -> None:
    page = settings_page()
    assert "| `flush_milliseconds` | milliseconds, 1 to 1,000 | 25 |" in page
    assert "`RINGFENCE_INGEST__FLUSH_MILLISECONDS` |" in page


def test_every_command_explains_itself_in_one_line() -> None:
    found = list(commands())
    assert len(found) > 25
    for command in found:
        assert command.help[:1].isupper(), command.name
        assert command.help.endswith("."), command.name
        assert 15 <= len(command.help) <= 120, f"{command.name}: {command.help}"


def test_every_option_explains_itself() -> None:
    options = [(command.name, one) for command in commands() for one in command.parameters if one.names.startswith("-")]
    assert len(options) > 60
    assert [(name, one.names) for name, one in options if not one.help] == []


def test_every_exit_code_is_explained() -> None:
    assert set(EXITS) == set(ExitCode)


NAME = re.compile(r"ringfence_(?P<place>[a-z]+)_(?P<noun>[a-z]+(_[a-z]+)*)")
OTHER_UNITS = re.compile(r"_(ms|us|ns|milliseconds|microseconds|minutes|hours|days|kb|mb|gb|kib|mib|percent)(_|$)")
"""Prometheus counts in base units: seconds, bytes, ratios."""


def faults(name: str, kind: str) -> list[str]:
    """What is wrong with a metric's name."""
    match = NAME.fullmatch(name)
    if match is None or match["place"] not in rooms() | set(ROLES):
        return ["is not ringfence_<room or role>_<noun>_<unit>"]
    found = []
    if (kind == "counter") != name.endswith("_total"):
        found.append("a counter, and nothing else, ends with _total")
    if kind == "histogram" and not name.endswith(("_seconds", "_bytes")):
        found.append("a histogram ends with its unit")
    if OTHER_UNITS.search(name):
        found.append("counts in something else than seconds and bytes")
    return found


def test_metrics_have_names_by_the_rule_and_a_sentence() -> None:
    found = declared()
    assert len(found) > 25
    assert len({metric.name for metric in found}) == len(found)
    assert {metric.name: bad for metric in found if (bad := faults(metric.name, metric.kind))} == {}
    assert [metric.name for metric in found if not metric.help.endswith(".") or len(metric.help) < 10] == []


def test_every_metric_is_moved_by_some_role() -> None:
    assert [metric.name for metric in declared() if not moved_by(metric)] == []


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("ringfence_nowhere_rows_total", "counter"),
        ("ringfence_ingest_rows", "counter"),
        ("ringfence_ingest_rows_total", "gauge"),
        ("ringfence_ingest_wait_ms", "gauge"),
        ("ringfence_ingest_wait", "histogram"),
        ("ingest_rows_total", "counter"),
    ],
)
def test_the_inspection_sees_a_bad_name(name: str, kind: str) -> None:
    assert faults(name, kind)


def test_the_inspection_reads_declarations() -> None:
    source = (
        'from ringfence.runtime.metrics import counter as c\nx = c("ringfence_edge_x_total", "An x.", labels=["y"])\nCounter("no", "No.")'
    )
    [metric] = in_tree("apps.edge.main", ast.parse(source))
    assert (metric.name, metric.kind, metric.help, metric.labels) == ("ringfence_edge_x_total", "counter", "An x.", ("y",))


def test_metrics_are_declared_through_one_door() -> None:
    """A metric made with the library itself would be on no page."""
    from tests.architecture.source import modules

    importers = {module.name for module in modules() if any(name.startswith("prometheus_client") for name in module.imports())}
    assert importers == {"runtime.metrics"}


def test_every_place_needs_something_that_the_page_lists() -> None:
    needs = {need for places in (console_places(), api_places(), command_places()) for need, _ in places}
    assert len(needs) > 15
    assert needs <= {permission.value for permission in Permission} | set(OPEN)
