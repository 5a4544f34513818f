"""What the API says and hears, as pydantic models: the OpenAPI document is made of these.

Times are ISO 8601 in UTC (`_at`), money is euro (`_eur`), both for people; inside, both are integers. Unknown fields in orders are refused.
"""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Text = Annotated[str, Field(max_length=128)]
Reason = Annotated[str, Field(min_length=3, max_length=500)]


def at(milliseconds: int) -> datetime | None:
    """An instant; None for never."""
    return datetime.fromtimestamp(milliseconds / 1000, tz=UTC) if milliseconds else None


class Said(BaseModel):
    """What the API answers."""

    model_config = ConfigDict(frozen=True)


class Heard(BaseModel):
    """What the API is told: a field that it does not know is refused, so that a misspelt one is not silently lost."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Nothing(Heard):
    """An order without particulars."""
