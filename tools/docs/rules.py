"""The page of rule parameters: every rule that has more to set than its limits, with what can be set."""

from collections.abc import Iterator

from ringfence.detection.findings import Parameter
from ringfence.detection.rule_book import rule_specs
from ringfence.detection.rules import SEGMENTS
from tools.docs.text import page, table

SCALE = {"euro": 1_000_000, "minutes": 60_000}
HEAD = """\
What can be set in a rule's table (`[rules.D35]`) beside `name` and `mode`; what is left out has its default. A parameter takes one number,
or where three defaults stand here `{ residential = ..., business = ..., trunk = ... }`. Beyond its bounds a number is refused with
its line. [Rules and how to tune them](rules.md) says what the rules with `warn` and `act` for each segment see."""
HEADINGS = ("parameter", "default", "from", "to", "unit", "what it is")


def rules_page() -> str:
    """`docs/rule-parameters.md`."""
    return page("# Rule parameters", HEAD, *_rules())


def _rules() -> Iterator[str]:
    for spec in rule_specs().values():
        yield f"## {spec.rule}"
        yield f"{spec.name}. Mode as shipped: `{spec.mode}`. It is about: {spec.subject_kind}."
        if spec.parameters:
            yield table(HEADINGS, [_row(each) for each in spec.parameters])


def _row(each: Parameter) -> tuple[str, ...]:
    return f"`{each.name}`", _default(each), _shown(each, each.low), _shown(each, each.high), each.unit, each.about


def _default(parameter: Parameter) -> str:
    if isinstance(parameter.default, int):
        return _shown(parameter, parameter.default)
    return " / ".join(_shown(parameter, parameter.default[segment]) for segment in SEGMENTS)


def _shown(parameter: Parameter, value: int) -> str:
    return f"{value / SCALE.get(parameter.unit, 1):,.2f}".removesuffix(".00")
