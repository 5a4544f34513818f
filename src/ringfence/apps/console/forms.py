"""What people send: query strings and forms, read once into typed values with bounds.

A field that does not fit is an OperatorError that names it; unknown fields are ignored (a browser extension may add some). The one thing to
know: lists are fields that may appear several times, every other field counts once.
"""

from typing import Annotated, TypeVar

import msgspec
from starlette.datastructures import ImmutableMultiDict
from starlette.requests import Request

from ringfence.base.errors import OperatorError

T = TypeVar("T", bound=msgspec.Struct)

Short = Annotated[str, msgspec.Meta(max_length=128)]
Text = Annotated[str, msgspec.Meta(max_length=500)]
Reason = Annotated[str, msgspec.Meta(min_length=3, max_length=500)]
Typed = Annotated[str, msgspec.Meta(max_length=200)]
"""A password or a code: not stripped."""
Hours = Annotated[int, msgspec.Meta(ge=1, le=8784)]

MAX_FIELDS = 64


def read_query(request: Request, kind: type[T]) -> T:
    """The query string as a value."""
    return _read(request.query_params, kind)


async def read_form(request: Request, kind: type[T]) -> T:
    """The form as a value."""
    form = await request.form(max_files=0, max_fields=MAX_FIELDS)
    return _read(ImmutableMultiDict([(key, value) for key, value in form.multi_items() if isinstance(value, str)]), kind)


def _read(fields: "ImmutableMultiDict[str, str]", kind: type[T]) -> T:
    given: dict[str, str | list[str]] = {}
    for field in msgspec.structs.fields(kind):
        if field.name not in fields:
            continue
        if field.type == tuple[str, ...]:
            given[field.name] = fields.getlist(field.name)
        else:
            value = fields[field.name]
            given[field.name] = value if field.type is Typed else value.strip()
    try:
        return msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as error:
        raise OperatorError(f"one field does not fit: {error}", reason="bad_form") from None
