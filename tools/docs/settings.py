"""`docs/settings.md` from the classes of `runtime/settings.py` and the sentence below each of their fields."""

import ast
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import annotated_types
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from ringfence.runtime import settings
from tools.docs.text import SOURCE, page, table

INTRO = """\
One TOML file, `ringfence.toml` in the data folder (or the file that `--config` or `RINGFENCE_CONFIG` names), and environment variables
over it. `--data-dir` goes before both. Every process reads them once, at its start: restart `ringfence up` after a change. A key that is
not here is refused with a sentence that names it, and so is a value that does not fit; `ringfence check` tells without starting anything.

A list or a table in a variable is JSON: `RINGFENCE_OPERATOR__AREA_CODES='["30", "331"]'`. Secrets are never settings: settings name
the files that hold them.

Variables that are no settings: `RINGFENCE_CONFIG` (the settings file), `RINGFENCE_API_URL` and `RINGFENCE_API_TOKEN` (for commands that are
clients of the API), `RINGFENCE_REQUIRE_PEERS` (for tests)."""

HEADINGS = ("key", "what it takes", "default", "meaning", "variable")
UNITS = ("bytes", "milliseconds", "seconds", "minutes", "hours", "days")

# The types with a rule of their own, in an operator's words.
WORDS: tuple[tuple[Any, str], ...] = (
    (settings.Address, "address:port"),
    (settings.Network, "network, such as `192.0.2.0/24`"),
    (settings.Name, "name of `a-z 0-9 -`"),
    (settings.Digits, "digits"),
)


def settings_page() -> str:
    """The whole page."""
    return page("# Settings", INTRO, *_sections(settings.Settings, ()))


def _sections(section: type[BaseModel], path: tuple[str, ...], *, many: bool = False) -> Iterator[str]:
    """The table of a section, then those of the sections and lists of tables inside it."""
    said = sentences()
    hints = get_type_hints(section, include_extras=True)
    rows, inner = [], []
    for name in section.model_fields:
        hint = hints[name]
        below = _section_of(hint)
        if below is not None:
            inner.append((below, (*path, name), get_origin(hint) is tuple))
            if get_origin(hint) is not tuple:
                continue
        meaning = next(said[owner.__name__, name] for owner in section.__mro__ if (owner.__name__, name) in said)
        takes = f"tables `[[{'.'.join((*path, name))}]]`" if below is not None else takes_what(hint, name)
        variable = "-" if many else f"`{settings.PREFIX}{'__'.join((*path, name)).upper()}`"
        rows.append((f"`{name}`", takes, _default(section, name), meaning, variable))
    if path:
        bracket = f"[[{'.'.join(path)}]]" if many else f"[{'.'.join(path)}]"
        yield f"## `{bracket}`\n\n{' '.join((section.__doc__ or '').split())}"
    yield table(HEADINGS, rows)
    for below, inner_path, inner_many in inner:
        yield from _sections(below, inner_path, many=inner_many)


def setting_names(section: type[BaseModel] = settings.Settings, path: tuple[str, ...] = ()) -> set[str]:
    """Every key as a person writes it: `nats_port`, `paging.escalate_minutes`, `ingest.agents.key_file`."""
    hints = get_type_hints(section, include_extras=True)
    names = {".".join((*path, name)) for name in section.model_fields}
    for name in section.model_fields:
        if (below := _section_of(hints[name])) is not None:
            names |= setting_names(below, (*path, name))
    return names


def sentences() -> dict[tuple[str, str], str]:
    """The sentence below each field, by class and field."""
    found = {}
    tree = ast.parse((SOURCE / "runtime" / "settings.py").read_text("utf-8"))
    for owner in (node for node in tree.body if isinstance(node, ast.ClassDef)):
        for field, after in zip(owner.body, owner.body[1:], strict=False):
            if not (isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(after, ast.Expr)):
                continue
            if isinstance(after.value, ast.Constant) and isinstance(after.value.value, str):
                found[owner.name, field.target.id] = " ".join(after.value.value.split())
    return found


def takes_what(hint: Any, name: str) -> str:  # noqa: PLR0911  # One line a kind of type.
    """A type in an operator's words, with its unit and bounds."""
    for known, word in WORDS:
        if hint == known:
            return word
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return takes_what(arguments[0], name) + _bounds(arguments[1:])
    if origin is Literal:
        return " or ".join(f"`{value}`" if value else "empty" for value in arguments)
    if origin is tuple:
        return f"list: {takes_what(arguments[0], name)}"
    if origin in (Union, types.UnionType):
        return takes_what(arguments[0], name)
    if origin is dict:
        return "table of texts"
    if hint is Path:
        return "folder" if name in {"folder", "data_dir"} else "file"
    if hint is bool:
        return "`true` or `false`"
    if hint is int:
        unit = next((unit for unit in UNITS if name.endswith(f"_{unit}")), "")
        return unit or "number"
    assert hint is str, f"{name}: no words for {hint}"
    return "text"


def _bounds(metadata: tuple[Any, ...]) -> str:
    limits = [limit for item in metadata for limit in getattr(item, "metadata", ())]
    low = next((limit.ge for limit in limits if isinstance(limit, annotated_types.Ge)), None)
    high = next((limit.le for limit in limits if isinstance(limit, annotated_types.Le)), None)
    return f", {low:,} to {high:,}" if isinstance(low, int) and isinstance(high, int) else ""


def _section_of(hint: Any) -> type[BaseModel] | None:
    inner = get_args(hint)[0] if get_origin(hint) is tuple else hint
    return inner if isinstance(inner, type) and issubclass(inner, BaseModel) else None


def _default(section: type[BaseModel], name: str) -> str:
    if (section.__name__, name) in DEFAULTS:
        return DEFAULTS[section.__name__, name]
    field = section.model_fields[name]
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is PydanticUndefined:
        return "must be set"
    if value is None:
        return "none"
    if isinstance(value, tuple):
        return ", ".join(f"`{each}`" for each in value) or "none"
    if isinstance(value, int):
        return f"{value:,}" if name.endswith(UNITS) else str(value)
    return f"`{value}`" if value else "empty"


# Defaults that depend on where and how it runs, which the classes do not show.
DEFAULTS = {
    ("Settings", "data_dir"): "`/var/lib/ringfence` for root, else `.run` beside the checkout",
    ("Ingest", "agents"): "`kamailio-1` on this machine, trust `hlog`, with a generated key",
    ("Enforcement", "edges"): "`kamailio-1` at `http://127.0.0.1:5065/rpc`",
    ("Edge", "token_file"): "generated: `<data_dir>/keys/edge-<name>.token`",
    ("Archive", "folder"): "`<data_dir>/archive`",
}
