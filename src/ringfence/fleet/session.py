"""What to ask a device next: desired minus reported, a few parameters at a time, and what its answer changes.

It knows no network and no clock; `Work` is a value that each answer turns into the next. The one thing to know: a secret is never read back
(devices answer with an empty text), so the ParameterKey of the last SetParameterValues is its proof, and only the last batch carries it.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TypeAlias

from ringfence.base.ids import derived_id
from ringfence.base.secret import Secret
from ringfence.fleet.meanings import BOOLEAN, is_secret
from ringfence.protocols.cwmp.messages import (
    Fault,
    GetParameterNames,
    GetParameterNamesResponse,
    GetParameterValues,
    GetParameterValuesResponse,
    ParameterValue,
    SetParameterValues,
    SetParameterValuesResponse,
)

BATCH = 16
"""Names of one GetParameterValues. A Cisco 867 answers a full read with 9004, a Vigor 2860 reboots."""
SET_BATCH = 8
MAX_ASKED = 400
"""Requests of one session; the rest is asked at the next Inform."""
MAX_PARAMETERS = 20_000
"""Names that are kept of one device; a TP-Link XX230v has 6,399."""
MAX_DEPTH = 24
MAX_INSTANCES = 64
"""Of a parameter that is wanted of every instance."""
TEMPLATE_FAULTS = frozenset({9005, 9006, 9007, 9008})
"""The setting is wrong for this model: name, type, value, not writable."""
CROWDED_FAULTS = frozenset({9002, 9004, 9021})
"""Internal error, resources, not now: ask for less, then later."""
BACK_OFF_SECONDS = 300
BACK_OFF_LONGEST = 86_400

_BOOLEANS = (("1", "true"), ("0", "false"))

Request: TypeAlias = GetParameterNames | GetParameterValues | SetParameterValues
Answer: TypeAlias = GetParameterNamesResponse | GetParameterValuesResponse | SetParameterValuesResponse | Fault


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A parameter as it is wanted on one device. `stamp` stands for a secret's value in the ParameterKey."""

    name: str
    value: str | Secret
    type: str
    stamp: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A parameter that is wanted of every instance; `{i}.` in its name stands where the device's own numbers go."""

    name: str
    value: str
    type: str

    @property
    def pattern(self) -> str:
        """What its names look like."""
        return "^" + r"[0-9]+\.".join(re.escape(part) for part in self.name.split("{i}.")) + "$"

    def among(self, names: Iterable[str]) -> tuple[Setting, ...]:
        """It for each name that the device has, 64 at the most."""
        found = sorted(filter(re.compile(self.pattern, re.ASCII).match, names))[:MAX_INSTANCES]
        return tuple(Setting(name=name, value=self.value, type=self.type) for name in found)

    def below(self, path: str) -> str | None:
        """What follows an instance of this path: a further path, or the end of a name; None when the path is not on its way."""
        parts = self.name.split("{i}.")
        for count in range(1, len(parts)):
            way = r"[0-9]+\.".join(re.escape(part) for part in parts[:count])
            if re.fullmatch(way, path, re.ASCII):
                return parts[count]
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """A setting that this model refuses."""

    name: str
    fault_code: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What is wanted of a device in this session and how far it came."""

    device_id: int
    revision: int = 0
    """Of the wanted state this was compiled from."""
    settings: tuple[Setting, ...] = ()
    reported: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    parameter_key: str = ""
    """As the device reported it, then as it accepted it."""
    templates: tuple[Template, ...] = ()
    """Parameters wanted of every instance, while it is not known which instances there are."""
    seek: tuple[str, ...] = ()
    """Paths whose instances are still to be asked for them."""
    explore: tuple[str, ...] = ()
    """Paths whose names are still to be asked, level by level."""
    read: tuple[str, ...] = ()
    """Names whose values are still to be asked."""
    learned: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    writable: Mapping[str, bool] = field(default_factory=lambda: MappingProxyType({}))
    accepted: frozenset[str] = frozenset()
    stops: tuple[Stop, ...] = ()
    widest: int = BATCH
    """Names that this device bears in one request, by its quirks."""
    width: int = BATCH
    asked: int = 0
    backed_off: int = 0
    """The FaultCode that ended the work for now, 0 for none."""
    needs_reboot: bool = False

    @property
    def key(self) -> str:
        """The ParameterKey that proves these settings: 18 characters of 32."""
        parts = [f"{setting.name}={setting.stamp or setting.value}" for setting in self.settings]
        return derived_id("k", *sorted(parts)) if parts else ""

    @property
    def settled(self) -> bool:
        """Nothing is left to set and nothing failed for now."""
        return not self.backed_off and not self.seek and not outstanding(self) and not _unread(self)


def outstanding(work: Work) -> tuple[Setting, ...]:
    """The settings that differ, secrets last."""
    stopped = {stop.name for stop in work.stops}
    proven = work.parameter_key == work.key
    left = [
        setting
        for setting in work.settings
        if setting.name not in stopped
        and setting.name not in work.accepted
        and (not proven if isinstance(setting.value, Secret) else not same(setting.value, work.reported.get(setting.name), setting.type))
    ]
    return tuple(sorted(left, key=lambda setting: (isinstance(setting.value, Secret), setting.name)))


def next_request(work: Work) -> Request | None:
    """The next RPC, None when there is nothing to ask (for now)."""
    if work.backed_off or work.asked >= MAX_ASKED:
        return None
    if work.seek:
        return GetParameterNames(path=work.seek[0], next_level=True)
    if unread := _unread(work):
        return GetParameterValues(names=unread[: work.width])
    if left := outstanding(work):
        return _set(work, left)
    if work.explore:
        return GetParameterNames(path=work.explore[0], next_level=True)
    return GetParameterValues(names=work.read[: work.width]) if work.read else None


def answered(work: Work, request: Request, response: Answer) -> Work:
    """The work after the device's answer."""
    work = replace(work, asked=work.asked + 1)
    match request, response:
        case _, Fault():
            return _failed(work, request, response)
        case GetParameterValues(), GetParameterValuesResponse():
            return _values(work, request, response)
        case GetParameterNames(path=path), GetParameterNamesResponse() if path in work.seek:
            return _instances(work, request, response)
        case GetParameterNames(), GetParameterNamesResponse():
            return _names(work, request, response)
        case SetParameterValues(), SetParameterValuesResponse():
            names = frozenset(parameter.name for parameter in request.parameters)
            values = {parameter.name: parameter.value for parameter in request.parameters if not is_secret(parameter.name)}
            values = {name: value for name, value in values.items() if name not in _secret_names(work)}
            return replace(
                work,
                accepted=work.accepted | names,
                reported={**work.reported, **values},
                learned={**work.learned, **values},
                parameter_key=request.parameter_key,
                width=min(work.widest, work.width * 2),
                needs_reboot=work.needs_reboot or response.status == 1,
            )
        case _:
            return replace(work, backed_off=9002)  # An answer to something else: the device lost its way; the next Inform begins anew.


def same(wanted: str, reported: str | None, kind: str) -> bool:
    """Whether a reported value is the wanted one; booleans have two spellings."""
    if reported is None:
        return False
    if kind == BOOLEAN:
        return wanted.strip().casefold() in next((words for words in _BOOLEANS if reported.strip().casefold() in words), ())
    return wanted == reported


def back_off_seconds(failures: int) -> int:
    """How long a device is left alone after so many sessions that failed."""
    return min(BACK_OFF_LONGEST, BACK_OFF_SECONDS << min(max(failures - 1, 0), 20))


def _unread(work: Work) -> tuple[str, ...]:
    """Wanted names whose value is not known yet. Secrets are not among them."""
    stopped = {stop.name for stop in work.stops}
    return tuple(
        setting.name
        for setting in work.settings
        if not isinstance(setting.value, Secret)
        and setting.name not in work.reported
        and setting.name not in stopped
        and setting.name not in work.accepted
    )


def _secret_names(work: Work) -> set[str]:
    return {setting.name for setting in work.settings if isinstance(setting.value, Secret)}


def _set(work: Work, left: tuple[Setting, ...]) -> SetParameterValues:
    batch = left[: min(work.width, SET_BATCH)]
    last = len(batch) == len(left)
    return SetParameterValues(
        parameters=tuple(
            ParameterValue(
                name=setting.name,
                value=setting.value.open() if isinstance(setting.value, Secret) else setting.value,
                type=setting.type,
            )
            for setting in batch
        ),
        parameter_key=work.key if last else work.parameter_key if work.parameter_key != work.key else "",
    )


def _values(work: Work, request: GetParameterValues, response: GetParameterValuesResponse) -> Work:
    wanted = set(request.names)
    found = {
        parameter.name: parameter.value for parameter in response.parameters if parameter.name in wanted and not is_secret(parameter.name)
    }
    # A device that leaves a name out has no such parameter, whatever it should have answered.
    missing = tuple(
        Stop(name=name, fault_code=9005) for name in request.names if name not in found and name in {s.name for s in work.settings}
    )
    return replace(
        work,
        reported={**work.reported, **found},
        learned={**work.learned, **found},
        read=tuple(name for name in work.read if name not in wanted),
        stops=work.stops + missing,
        width=min(work.widest, work.width * 2),
    )


def _names(work: Work, request: GetParameterNames, response: GetParameterNamesResponse) -> Work:
    """Objects join the paths to ask, parameters the values to read. A name that is not below the asked path is no answer to it."""
    room = MAX_PARAMETERS - len(work.writable)
    below = [
        entry
        for entry in response.parameters
        if entry.name.startswith(request.path) and entry.name != request.path and entry.name.count(".") <= MAX_DEPTH
    ][: max(room, 0)]
    objects = tuple(dict.fromkeys(entry.name for entry in below if entry.name.endswith(".")))
    leaves = {entry.name: entry.writable for entry in below if not entry.name.endswith(".")}
    rest = tuple(path for path in work.explore if path != request.path)
    return replace(
        work,
        explore=objects + tuple(path for path in rest if path not in objects),
        read=work.read + tuple(name for name in leaves if not is_secret(name) and name not in work.read),
        writable={**work.writable, **leaves},
    )


def _instances(work: Work, request: GetParameterNames, response: GetParameterNamesResponse) -> Work:
    """The instances of a path: further paths to seek in, or parameters that are wanted from now on."""
    instance = re.compile(re.escape(request.path) + r"[0-9]+\.", re.ASCII).fullmatch
    found = sorted({entry.name for entry in response.parameters if instance(entry.name)})[:MAX_INSTANCES]
    seek = [path for path in work.seek if path != request.path]
    settings = {setting.name: setting for setting in work.settings}
    for template in work.templates:
        if (below := template.below(request.path)) is None:
            continue
        if below.endswith("."):
            seek += [path + below for path in found if path + below not in seek]
        else:
            for path in found:  # A wish of this one instance is there already.
                settings.setdefault(path + below, Setting(name=path + below, value=template.value, type=template.type))
    return replace(work, seek=tuple(seek), settings=tuple(settings[name] for name in sorted(settings)))


def _failed(work: Work, request: Request, fault: Fault) -> Work:
    code = fault.fault_code
    if isinstance(request, GetParameterNames) and request.path in work.seek and code not in CROWDED_FAULTS:
        return replace(work, seek=tuple(path for path in work.seek if path != request.path))  # It has none of these.
    if isinstance(request, GetParameterNames):
        explore = tuple(path for path in work.explore if path != request.path)
        return replace(work, backed_off=code) if code in CROWDED_FAULTS else replace(work, explore=explore)
    names = tuple(request.names) if isinstance(request, GetParameterValues) else tuple(parameter.name for parameter in request.parameters)
    named = {entry.name: entry.code for entry in fault.parameter_faults if entry.name in names and entry.code in TEMPLATE_FAULTS}
    if named:
        return _stopped(work, named)
    if code in CROWDED_FAULTS or code == 9003 or code in TEMPLATE_FAULTS:
        if len(names) > 1:
            return replace(work, width=max(1, len(names) // 2))  # One of them is the culprit, or they are too many: half of them next.
        if code not in CROWDED_FAULTS:
            return _stopped(work, {names[0]: code})
    return replace(work, backed_off=code)


def _stopped(work: Work, named: Mapping[str, int]) -> Work:
    """Ask these no more, and look again at what the device has where a name was wrong."""
    wanted = {setting.name for setting in work.settings}
    parents = tuple(dict.fromkeys(name.rpartition(".")[0] + "." for name, code in named.items() if code == 9005 and name in wanted))
    return replace(
        work,
        stops=work.stops + tuple(Stop(name=name, fault_code=code) for name, code in named.items() if name in wanted),
        read=tuple(name for name in work.read if name not in named),
        explore=work.explore + tuple(path for path in parents if path not in work.explore),
        width=min(work.widest, work.width * 2),
    )
