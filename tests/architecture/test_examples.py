"""What the pages tell people to type exists: commands with their options, settings and rules in TOML, files named by their path."""

import re
import tomllib
from pathlib import Path

import pytest

from ringfence.access.model import Permission
from ringfence.apps.bench.main import BENCHES
from ringfence.apps.cli.main import COMMANDS
from ringfence.detection.composed_text import read_composed
from ringfence.detection.rules import read_rules
from ringfence.runtime.settings import Settings
from tests.architecture.source import rooms
from tools.docs.commands import Command, commands
from tools.docs.metrics import declared
from tools.docs.settings import setting_names

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = ROOT / "src" / "ringfence" / "migrations" / "schema.sql"
WRITTEN = {"commands.md", "settings.md"}
PAGES = sorted(
    [*(file for file in (ROOT / "docs").rglob("*.md") if file.name not in WRITTEN), *ROOT.glob("*.md"), *ROOT.glob("deploy/*/*.md")]
)

# `ringfence alert list --json > file` in a block or in backticks, up to what the shell or the sentence takes.
TYPED = re.compile(r"(?:^ {4,}|`)(?:[A-Z_]+=\S+ )?(?:\S*/)?ringfence ((?:[a-z]+\b|--version)[^`|>&#\n]*)", re.MULTILINE)
TOML = re.compile(r"^```toml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MADE = re.compile(r"`((?:src|tests|tools|deploy|docs)/[A-Za-z0-9_./-]+\.[a-z]+)`")
ANNOUNCED: set[str] = set()
"""Commands that pages describe before they exist; empty, or the name goes with the commit that adds the command."""


def known() -> dict[str, Command]:
    return {command.name: command for command in commands()}


def faults(typed: str, found: dict[str, Command]) -> list[str]:
    """What is wrong with a command as typed, without `ringfence`."""
    words = typed.split()
    if words[0] == "--version" or words[0] in ANNOUNCED:
        return []
    if words[0] not in COMMANDS:
        return [f"there is no command {words[0]}"]
    name, *following = words
    while any(other.startswith(f"{name} ") for other in found):
        if not following:
            return []
        name, *following = f"{name} {following[0]}", *following[1:]
    if name not in found:
        return [f"there is no command {name}"]
    if name == "bench":
        return [] if len(words) < 2 or words[1] in {*BENCHES, "NAME"} else [f"there is no bench {words[1]}"]
    options = {option for one in found[name].parameters for option in one.names.split(", ")} | {"--help"}
    given = re.findall(r"(?<=\s)(--[a-z][a-z0-9-]*)", typed)
    return [f"{name} has no option {option}" for option in given if option not in options]


def test_commands_in_the_pages_exist_with_their_options() -> None:
    found = known()
    typed = [(file, text) for file in PAGES for text in TYPED.findall(file.read_text("utf-8"))]
    assert len(typed) > 60
    wrong = {f"{file.relative_to(ROOT)}: ringfence {text.strip()}": bad for file, text in typed if (bad := faults(text, found))}
    assert wrong == {}


@pytest.mark.parametrize("typed", ["alerts", "alert lst", "alert list --stat open", "bench everything", "up --folder x", "fleet group lst"])
def test_the_inspection_sees_a_wrong_command(typed: str) -> None:
    assert faults(typed, known())


def test_commands_are_found_in_blocks_and_sentences() -> None:
    text = "    ringfence up --roles policy\n\nand `ringfence check`, but no ringfence here\n    A_B=rf_... ringfence edge list | head\n    .venv/bin/ringfence up\n"
    assert [found.strip() for found in TYPED.findall(text)] == ["up --roles policy", "check", "edge list", "up"]


def test_announced_commands_are_still_missing() -> None:
    assert {name for name in ANNOUNCED if name in COMMANDS} == set(), "it exists now: take its name from ANNOUNCED"


def test_toml_in_the_pages_is_accepted() -> None:
    blocks = [(file, text) for file in PAGES for text in TOML.findall(file.read_text("utf-8"))]
    assert len(blocks) > 5
    for file, text in blocks:
        content = tomllib.loads(text)
        if "rules" in content:
            assert read_rules(text).rules, file.name
        elif "rule" in content:
            assert read_composed(text), file.name
        else:
            Settings(**{"data_dir": Path("/nowhere"), **content})


def test_files_that_pages_name_exist() -> None:
    named = [(file, path) for file in PAGES for path in MADE.findall(file.read_text("utf-8"))]
    assert len(named) > 10
    assert [f"{file.name}: {path}" for file, path in named if not (ROOT / path).exists()] == []


METRIC = re.compile(r"\bringfence_[a-z]+_[a-z_]+[a-z]\b")
DOTTED = re.compile(r"`([a-z]+(?:\.[a-z_]+)+)`")


def test_metrics_that_pages_name_exist() -> None:
    declared_names = {metric.name for metric in declared()}
    named = {(file, name) for file in PAGES for name in METRIC.findall(file.read_text("utf-8"))}
    assert len(named) > 10
    assert [f"{file.name}: {name}" for file, name in sorted(named) if name not in declared_names] == []


def is_known(name: str, settings: set[str]) -> bool:
    """Whether a dotted name is a setting, a permission, a table, or something of a module of ours."""
    if name in settings or name in {permission.value for permission in Permission}:
        return True
    if re.search(rf"^create (table|function) {re.escape(name)}\b", SCHEMA.read_text("utf-8"), re.MULTILINE):
        return True
    parts = name.removeprefix("ringfence.").split(".")
    places = [ROOT / "src" / "ringfence", ROOT, ROOT / "src" / "ringfence" / "apps"]
    for place in places:
        path = place.joinpath(*parts)
        if path.is_dir() or path.with_suffix(".py").exists():
            return True
        module = place.joinpath(*parts[:-1])
        file = module.with_suffix(".py") if module.with_suffix(".py").exists() else module / "__init__.py"
        if len(parts) > 1 and file.exists() and re.search(rf"\b{parts[-1]}\b", file.read_text("utf-8")):
            return True
    return False


def test_dotted_names_of_pages_are_settings_permissions_or_code() -> None:
    settings = setting_names()
    assert "paging.escalate_minutes" in settings
    first_words = {name.split(".")[0] for name in settings} | rooms() | {"ringfence", "tools", "apps"}
    named = {(file, name) for file in PAGES for name in DOTTED.findall(file.read_text("utf-8")) if name.split(".")[0] in first_words}
    files = (".md", ".py", ".sql", ".toml", ".cfg")
    unknown = [f"{file.name}: {name}" for file, name in sorted(named) if not name.endswith(files) and not is_known(name, settings)]
    assert len(named) > 20
    assert unknown == []
