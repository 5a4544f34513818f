"""What is wanted of devices, as the API hears and says it.

The one thing to know: no model that is said has a field for a secret; what is heard of one is a `SecretStr` that is opened once, on its way
to the seal.
"""

from datetime import datetime
from typing import Annotated

from pydantic import Field, SecretStr

from ringfence.apps.api.device_payloads import Word
from ringfence.apps.api.payloads import Heard, Said, at
from ringfence.fleet.desired import Difference, Group, Wanted, Wish
from ringfence.fleet.meanings import Meaning

Name = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._-]*$")]
INSTANCE = r"^(\*|[0-9.]*)$"
Instance = Annotated[str, Field(max_length=20, pattern=INSTANCE)]
MAX_WISHES = 200


class WishSaid(Said):
    """A meaning that is wanted, with its instance (`1.5`; empty: all ones; `*`: each that the device has) and value."""

    meaning: str
    instance: str
    value: str

    @classmethod
    def of(cls, wish: Wish) -> "WishSaid":
        """From what is wanted."""
        return cls(meaning=wish.meaning, instance=wish.instance, value=wish.value)


class SealedSaid(Said):
    """That there is a secret, never the secret."""

    meaning: str
    instance: str
    sealed_at: datetime | None


class DifferenceSaid(Said):
    """A parameter that is not as it is wanted; `reported` null: the device never said."""

    name: str
    wanted: str
    reported: str | None

    @classmethod
    def of(cls, found: Difference) -> "DifferenceSaid":
        """From the comparison; what differs visibly is no secret."""
        return cls(name=found.name, wanted=str(found.wanted), reported=found.reported)


class WantedSaid(Said):
    """What is wanted of a device. `impossible`: its data model has no name for it."""

    groups: list[str]
    own: list[WishSaid]
    secrets: list[SealedSaid]
    differences: list[DifferenceSaid]
    impossible: list[str]

    @classmethod
    def of(cls, found: Wanted) -> "WantedSaid":
        """From what is wanted."""
        return cls(
            groups=list(found.groups),
            own=[WishSaid.of(wish) for wish in found.own],
            secrets=[SealedSaid(meaning=meaning, instance=instance, sealed_at=at(ms)) for meaning, instance, ms in found.secrets],
            differences=[DifferenceSaid.of(difference) for difference in found.differences],
            impossible=list(found.impossible),
        )


class ValueHeard(Heard):
    """What a meaning shall be."""

    value: Annotated[str, Field(max_length=1_024)]
    instance: Instance = ""


class SecretHeard(Heard):
    """A secret to seal; it is written to the device at its next session and never shown to anybody."""

    secret: Annotated[SecretStr, Field(min_length=1, max_length=256)]
    instance: Instance = ""


class WishHeard(ValueHeard):
    """A wish of a group."""

    meaning: Word


class GroupHeard(Heard):
    """Devices that want the same; an empty filter matches every device, a higher rank is laid over a lower one."""

    rank: Annotated[int, Field(ge=-1_000_000, le=1_000_000)] = 0
    oui: Annotated[str, Field(pattern=r"^([0-9A-F]{6})?$")] = ""
    product_class: Word = ""
    software_version: Word = ""
    region: Word = ""
    label: Word = ""
    wishes: Annotated[list[WishHeard], Field(max_length=MAX_WISHES)]

    def group(self, name: str) -> Group:
        """The same for the fleet."""
        wishes = tuple(Wish(meaning=wish.meaning, instance=wish.instance, value=wish.value) for wish in self.wishes)
        return Group(name=name, wishes=wishes, **self.model_dump(exclude={"wishes"}))


class GroupSaid(Said):
    """A group with its wishes."""

    name: str
    rank: int
    oui: str
    product_class: str
    software_version: str
    region: str
    label: str
    wishes: list[WishSaid]

    @classmethod
    def of(cls, group: Group) -> "GroupSaid":
        """From what is wanted."""
        facts = {name: getattr(group, name) for name in ("name", "rank", "oui", "product_class", "software_version", "region", "label")}
        return cls(**facts, wishes=[WishSaid.of(wish) for wish in group.wishes])


class MeaningSaid(Said):
    """Something that can be wanted, and the parameter that says it in each data model (without the root; empty: it has none)."""

    meaning: str
    tr098: str
    tr181: str
    type: str
    secret: bool
    settable: bool

    @classmethod
    def of(cls, name: str, meaning: Meaning) -> "MeaningSaid":
        """From the list."""
        return cls(
            meaning=name, tr098=meaning.tr098, tr181=meaning.tr181, type=meaning.type, secret=meaning.secret, settable=meaning.settable
        )
