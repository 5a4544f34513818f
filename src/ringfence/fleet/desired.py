"""What is wanted of a device: groups laid over each other, its own wishes on top, compiled to the parameters of its data model.

It also says what may never be wanted (a policy that would lock the operator out or open the customer's home), and what differs. The one
thing to know: a group holds no secret. A secret belongs to one device, is named here by a stamp, and joins at the last moment.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from ringfence.base.secret import Secret
from ringfence.fleet.meanings import BOOLEAN, MEANINGS, ROOTS, UNSIGNED, DataModel, Meaning, fill
from ringfence.fleet.session import Setting, Template, same

MAX_VALUE_CHARS = 1_024
EVERY = "*"
"""The instance that stands for every one the device reported. A wish of one instance goes before it, whatever its rank."""
_TRUE = frozenset({"1", "true"})
_FALSE = frozenset({"0", "false"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A meaning that is wanted, with its instance (`1.5`; empty: all ones; `*`: each that the device reported) and value."""

    meaning: str
    value: str
    instance: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Devices that want the same. An empty filter matches every device; a higher rank is laid over a lower one."""

    name: str
    rank: int = 0
    oui: str = ""
    product_class: str = ""
    software_version: str = ""
    region: str = ""
    label: str = ""
    wishes: tuple[Wish, ...] = ()

    @property
    def filtered(self) -> bool:
        """Whether it names fewer than all devices."""
        return any((self.oui, self.product_class, self.software_version, self.region, self.label))


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What groups look at."""

    oui: str
    product_class: str
    software_version: str
    region: str
    labels: frozenset[str]
    data_model: DataModel


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedWish:
    """A secret that is wanted: its value, opened for this session, and the stamp that stands for it."""

    meaning: str
    value: Secret
    stamp: str
    instance: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """Settings of one device and the wishes its data model has no name for."""

    settings: tuple[Setting, ...]
    impossible: tuple[str, ...] = ()
    templates: tuple[Template, ...] = ()
    """Of every instance, where no instance is known yet: the device is asked which it has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A parameter that is not as it is wanted. `reported` None: the device never said."""

    name: str
    wanted: str
    reported: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is wanted of one device, for people."""

    groups: tuple[str, ...]
    """Names of those it is in, the lowest rank first."""
    own: tuple[Wish, ...]
    secrets: tuple[tuple[str, str, int], ...]
    """Meaning, instance and when it was sealed. Never the value."""
    differences: tuple[Difference, ...]
    impossible: tuple[str, ...]
    """Meanings that its data model has no name for."""


def belongs(subject: Subject, group: Group) -> bool:
    """Whether a device is in a group."""
    return (
        group.oui in {"", subject.oui}
        and group.product_class in {"", subject.product_class}
        and group.software_version in {"", subject.software_version}
        and group.region in {"", subject.region}
        and (not group.label or group.label in subject.labels)
    )


def lay(subject: Subject, groups: Iterable[Group], own: Iterable[Wish]) -> tuple[Wish, ...]:
    """The wishes for a device: lower rank first, each later one replaces an earlier one of the same meaning and instance."""
    return tuple(wish for _, wish in lay_named(subject, groups, own))


def lay_named(subject: Subject, groups: Iterable[Group], own: Iterable[Wish]) -> tuple[tuple[str, Wish], ...]:
    """The same with the name of the group that each is from, empty for a wish of the device's own."""
    laid: dict[tuple[str, str], tuple[str, Wish]] = {}
    for group in sorted((group for group in groups if belongs(subject, group)), key=lambda group: (group.rank, group.name)):
        laid |= {(wish.meaning, wish.instance): (group.name, wish) for wish in group.wishes}
    laid |= {(wish.meaning, wish.instance): ("", wish) for wish in own}
    return tuple(laid[key] for key in sorted(laid))


def compiled(
    data_model: DataModel,
    wishes: Sequence[Wish],
    secrets: Sequence[SealedWish] = (),
    *,
    names: Collection[str] = (),
    bootstrap: bool = False,
) -> Compiled:
    """The parameters of a data model that say these wishes. With `bootstrap`, only those the bootstrap lane may hand out.

    `names`: what the device reported, for wishes of every instance; no instance is ever guessed.
    """
    settings: dict[str, Setting] = {}
    impossible: list[str] = []
    templates: list[Template] = []
    together: tuple[Wish | SealedWish, ...] = (*sorted(wishes, key=lambda wish: wish.instance != EVERY), *secrets)
    for wish in together:
        meaning = MEANINGS[wish.meaning]
        if bootstrap and not meaning.bootstrap:
            continue
        if isinstance(wish, Wish) and wish.instance == EVERY and meaning.name(data_model):
            template = _template(data_model, meaning, wish)
            every = template.among(names)
            settings |= {setting.name: setting for setting in every}
            templates += [] if every else [template]
            continue
        name = _name(data_model, meaning, wish.instance)
        if name is None:
            impossible.append(wish.meaning)
        elif isinstance(wish, SealedWish):
            settings[name] = Setting(name=name, value=wish.value, type=meaning.type, stamp=wish.stamp)
        else:
            settings[name] = Setting(name=name, value=_value(data_model, meaning, wish.value), type=meaning.type)
    return Compiled(
        settings=tuple(settings[name] for name in sorted(settings)), impossible=tuple(sorted(set(impossible))), templates=tuple(templates)
    )


def patterns(data_model: DataModel, wishes: Iterable[Wish]) -> tuple[str, ...]:
    """What the names look like that wishes of every instance need, as regular expressions; empty when there are no such wishes."""
    found = [(MEANINGS[wish.meaning], wish) for wish in wishes if wish.instance == EVERY]
    return tuple(_template(data_model, meaning, wish).pattern for meaning, wish in found if meaning.name(data_model))


def drift(settings: Sequence[Setting], reported: Mapping[str, str]) -> tuple[Difference, ...]:
    """What differs. Secrets cannot differ visibly and are left out."""
    return tuple(
        Difference(name=setting.name, wanted=setting.value, reported=reported.get(setting.name))
        for setting in settings
        if not isinstance(setting.value, Secret) and not same(setting.value, reported.get(setting.name), setting.type)
    )


def refusals(group: Group, acs_hosts: frozenset[str]) -> tuple[str, ...]:
    """Why a group cannot be saved, a sentence each; empty when it can. `acs_hosts`: names of the operator's own ACS."""
    found = [sentence for wish in group.wishes for sentence in wish_refusals(wish, acs_hosts)]
    found += [
        f"{wish.meaning} is a secret and belongs to one device: set it on the device, where it is sealed."
        for wish in group.wishes
        if wish.meaning in MEANINGS and MEANINGS[wish.meaning].secret
    ]
    counted = Counter((wish.meaning, wish.instance) for wish in group.wishes)
    found += [f"{meaning[:60]} is wanted twice of the same instance: say it once." for (meaning, _), times in counted.items() if times > 1]
    if group.wishes and not group.filtered:
        found.append("A group without model, version, region or label would set the whole fleet at once: try it on a label first.")
    return tuple(found)


def wish_refusals(wish: Wish, acs_hosts: frozenset[str]) -> tuple[str, ...]:
    """Why one wish cannot be saved, of a group or of a device."""
    meaning = MEANINGS.get(wish.meaning)
    if meaning is None:
        return (f"There is no meaning {wish.meaning[:60]!a}; `ringfence fleet meanings` lists them.",)
    found: list[str] = []
    if not meaning.settable:
        found.append(f"{wish.meaning} is what the device says of itself and cannot be set.")
    if not any(_fits(meaning.name(model), wish.instance) for model in ROOTS):
        found.append(
            f"The instance {wish.instance[:20]!a} of {wish.meaning} is not numbers with points between, as many as the name has places,"
            " nor '*' for all of them."
        )
    if len(wish.value) > MAX_VALUE_CHARS or any(ord(character) < 32 for character in wish.value):
        found.append(f"The value of {wish.meaning} must have at most {MAX_VALUE_CHARS} characters and no control characters.")
    value = wish.value.strip().casefold()
    if meaning.type == BOOLEAN and value not in _TRUE | _FALSE:
        found.append(f"{wish.meaning} is true or false.")
    if meaning.type == UNSIGNED and not (wish.value.isascii() and wish.value.isdigit() and int(wish.value) < 2**32):
        found.append(f"{wish.meaning} is a whole number from 0 to 4294967295.")
    return tuple(found) + _dangers(wish.meaning, value, wish.value, acs_hosts)


def _dangers(meaning: str, value: str, text: str, acs_hosts: frozenset[str]) -> tuple[str, ...]:
    """Policy that would lock the operator out or open the customer's home (TR-069 field practice)."""
    match meaning:
        case "acs.enable_cwmp" if value in _FALSE:
            return ("EnableCWMP=false locks the ACS out until somebody resets the device by hand: it is never set.",)
        case "acs.url" if _host(text) not in acs_hosts:
            return (f"{_host(text)!a} is not a host of this ACS, and a device sent there never comes back: add it to the settings first.",)
        case "acs.inform_enable" if value in _FALSE:
            return ("Without periodic Informs a device cannot be told from a dead one: lengthen the interval instead.",)
        case "admin.remote_access" | "admin.user_remote" | "admin.http_access" | "admin.ssh" if value in _TRUE:
            return ("Remote access opens the device's own administration to the internet: use the ACS for what you want to do there.",)
        case "wlan.security" if value in {"wep", "none", "basic"} or value.startswith("wep"):
            return ("WEP and open networks let anybody in range use the line: choose wpa2 or wpa_wpa2.",)
        case _:
            return ()


def _host(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return (parts.hostname or "") if parts.scheme in {"http", "https"} else ""


def _name(data_model: DataModel, meaning: Meaning, instance: str) -> str | None:
    below = meaning.name(data_model)
    filled = fill(below, instance) if below else None
    return None if filled is None else ROOTS[data_model] + filled


def _fits(name: str, instance: str) -> bool:
    return "{i}" in name if instance == EVERY else bool(name) and fill(name, instance) is not None


def _template(data_model: DataModel, meaning: Meaning, wish: Wish) -> Template:
    return Template(name=ROOTS[data_model] + meaning.name(data_model), value=_value(data_model, meaning, wish.value), type=meaning.type)


def _value(data_model: DataModel, meaning: Meaning, value: str) -> str:
    pair = meaning.values.get(value.strip().casefold())
    if pair is None:
        return value
    return pair[0] if data_model is DataModel.TR098 else pair[1]
