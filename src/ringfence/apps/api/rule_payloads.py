"""What the routes of rules and rates take and give."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from ringfence.apps.api.payloads import Heard, Said, at
from ringfence.detection.service import RateDeckVersion, RuleSetVersion


class RateDeckSaid(Said):
    """A version of the rate deck; the newest is in force."""

    version: int
    prefixes: int
    author: str
    saved_at: datetime | None

    @classmethod
    def of(cls, deck: RateDeckVersion) -> "RateDeckSaid":
        """From the list."""
        return cls(version=deck.version, prefixes=deck.prefixes, author=deck.author, saved_at=at(deck.saved_ms))


class RuleSetSaid(Said):
    """A version of the rules."""

    version: int
    note: str
    author: str
    saved_at: datetime | None
    activated_at: datetime | None
    activated_by: str
    active: bool

    @classmethod
    def of(cls, rules: RuleSetVersion) -> "RuleSetSaid":
        """From the list."""
        return cls(
            version=rules.version,
            note=rules.note,
            author=rules.author,
            saved_at=at(rules.saved_ms),
            activated_at=at(rules.activated_ms),
            activated_by=rules.activated_by,
            active=rules.active,
        )


class RuleTextSaid(Said):
    """A version with its TOML."""

    version: int
    toml: str


class RulesHeard(Heard):
    """A rule set to keep; with `activate` it judges from now on."""

    toml: Annotated[str, Field(max_length=262_144)]
    note: Annotated[str, Field(max_length=1000)] = ""
    activate: bool = False


class VersionSaid(Said):
    """The version that was made."""

    version: int
