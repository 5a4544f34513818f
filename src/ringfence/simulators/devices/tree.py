"""Parameter trees: one `Model` shared by all devices of a kind, and a `Tree` that holds only what differs in one device.

Faults are those of the standard (TR-069 A.5.1): 9005 unknown name, 9007 bad value, 9008 not writable, all or nothing. The one thing to
know: an idle tree is empty, so that ten thousands of devices fit into one process; nothing here may copy a model.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec

from ringfence.base.errors import OperatorError
from ringfence.protocols.cwmp.messages import AttributeChange, Fault, ParameterAttributes, ParameterFault, ParameterInfo, ParameterValue

_END = "\U0010ffff"
_whole = re.compile(r"[+-]?[0-9]{1,20}").fullmatch
_BOOLEANS = frozenset({"0", "1", "true", "false"})


class Leaf(msgspec.Struct, frozen=True):
    """A parameter as the model has it."""

    type: str = "xsd:string"
    value: str = ""
    writable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A kind of device. `objects` end in a dot; the value says whether instances may be added or deleted."""

    manufacturer: str
    oui: str
    product_class: str
    leaves: dict[str, Leaf]
    objects: dict[str, bool]
    root: str = field(init=False)
    names: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        names = tuple(sorted((*self.leaves, *self.objects)))
        if not names:
            raise OperatorError("A device model has no parameters.", reason="empty_model")
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "root", names[0].partition(".")[0] + ".")

    def below(self, prefix: str) -> Iterator[str]:
        """Names that begin with a prefix, in order."""
        first = bisect_left(self.names, prefix)
        return iter(self.names[first : bisect_left(self.names, prefix + _END)])


class Tree:
    """One device's parameters: the model's, and what was changed, added and removed here."""

    __slots__ = ("_added", "_changed", "_notify", "_removed", "model", "own")

    def __init__(self, model: Model, own: dict[str, str]) -> None:
        self.model = model
        self.own = own
        """Values that are this device's by birth: serial number, address of connection requests."""
        self._changed: dict[str, str] | None = None
        self._added: dict[str, Leaf | bool] | None = None
        self._removed: tuple[str, ...] = ()
        self._notify: dict[str, int] | None = None

    def reset(self) -> None:
        """Back to the factory's settings."""
        self._changed = self._added = self._notify = None
        self._removed = ()

    @property
    def changed(self) -> tuple[str, ...]:
        """Names of the parameters whose value is not the factory's."""
        return tuple(sorted(self._changed or ()))

    def value(self, name: str) -> str | None:
        """A parameter's value, or None where there is none of the name."""
        if self._changed is not None and (changed := self._changed.get(name)) is not None:
            return changed
        if name in self.own:
            return self.own[name]
        leaf = self._leaf(name)
        return None if leaf is None else leaf.value

    def put(self, name: str, value: str) -> None:
        """Change a value from inside: nobody is asked whether it is writable."""
        if self._changed is None:
            self._changed = {}
        self._changed[name] = value

    def get(self, asked: tuple[str, ...]) -> tuple[ParameterValue, ...] | Fault:
        """GetParameterValues: full names, partial paths, the empty path for all."""
        found: list[ParameterValue] = []
        for path in asked:
            leaves = [path] if path and not path.endswith(".") else [name for name in self._below(path) if not name.endswith(".")]
            if path and not self._exists(path):
                return Fault(9005, "Invalid parameter name")
            found.extend(ParameterValue(name, self.value(name) or "", self._type(name)) for name in leaves)
        return tuple(found)

    def infos(self, path: str, *, next_level: bool) -> tuple[ParameterInfo, ...] | Fault:
        """GetParameterNames (A.3.2.3)."""
        if path and not self._exists(path):
            return Fault(9005, "Invalid parameter name")
        if path and not path.endswith("."):
            return Fault(9003, "Invalid arguments") if next_level else (ParameterInfo(path, self._writable(path)),)
        found = (name for name in self._below(path) if not next_level or (name != path and "." not in name[len(path) : -1]))
        return tuple(ParameterInfo(name, self._writable(name)) for name in found)

    def set(self, wanted: tuple[ParameterValue, ...]) -> Fault | None:
        """SetParameterValues: all of them, or the fault that names each bad one."""
        bad: list[ParameterFault] = []
        for item in wanted:
            code = self._refusal(item)
            if code:
                bad.append(ParameterFault(item.name, code, _TEXTS[code]))
        if bad or len({item.name for item in wanted}) != len(wanted):
            return Fault(9003, "Invalid arguments", tuple(bad))
        for item in wanted:
            self.put(item.name, item.value)
        return None

    def add(self, path: str) -> int | Fault:
        """AddObject: the new instance's number. It is made like its first sister, with empty values."""
        if not path.endswith(".") or not self._exists(path):
            return Fault(9005, "Invalid parameter name")
        if not self._writable(path):
            return Fault(9003, "Invalid arguments")
        instances = {int(part) for name in self._below(path) if (part := name[len(path) :].partition(".")[0]).isdigit()}
        number = max(instances, default=0) + 1
        new = f"{path}{number}."
        added: dict[str, Leaf | bool] = {new: True}
        if instances:
            sister = f"{path}{min(instances)}."
            for name in self._below(sister):
                leaf = self._leaf(name)
                added[new + name[len(sister) :]] = self._writable(name) if leaf is None else Leaf(leaf.type, "", leaf.writable)
        self._added = {**(self._added or {}), **added}
        self._removed = tuple(prefix for prefix in self._removed if prefix != new)
        self._count(path, 1)
        return number

    def delete(self, path: str) -> Fault | None:
        """DeleteObject of one instance."""
        collection, number = path[:-1].rpartition(".")[0] + ".", path[:-1].rpartition(".")[2]
        if not path.endswith(".") or not number.isdigit() or not self._exists(path):
            return Fault(9005, "Invalid parameter name")
        if not self._writable(path):
            return Fault(9003, "Invalid arguments")
        self._removed = (*self._removed, path)
        for overlay in (self._added, self._changed, self._notify):
            for name in [name for name in overlay or () if name.startswith(path)]:
                del overlay[name]  # type: ignore[union-attr]
        self._count(collection, -1)
        return None

    def attributes(self, asked: tuple[str, ...]) -> tuple[ParameterAttributes, ...] | Fault:
        """GetParameterAttributes."""
        values = self.get(asked)
        return values if isinstance(values, Fault) else tuple(ParameterAttributes(item.name, self.notify(item.name)) for item in values)

    def set_attributes(self, changes: tuple[AttributeChange, ...]) -> Fault | None:
        """SetParameterAttributes; access lists are not kept."""
        for change in changes:
            if not self._exists(change.name):
                return Fault(9005, "Invalid parameter name")
        for change in changes:
            if change.notification_change:
                values = self.get((change.name,))
                assert not isinstance(values, Fault)
                self._notify = {**(self._notify or {}), **{item.name: change.notification for item in values}}
        return None

    def notify(self, name: str) -> int:
        """Notification of a parameter: 0 off, 1 passive, 2 active."""
        return (self._notify or {}).get(name, 0)

    def _leaf(self, name: str) -> Leaf | None:
        if self._added is not None and isinstance(found := self._added.get(name), Leaf):
            return found
        return None if self._gone(name) else self.model.leaves.get(name)

    def _gone(self, name: str) -> bool:
        return bool(self._removed) and name.startswith(self._removed) and not (self._added is not None and name in self._added)

    def _exists(self, path: str) -> bool:
        known = path in self.model.leaves or path in self.model.objects or path in self.own
        return (known and not self._gone(path)) or (self._added is not None and path in self._added)

    def _writable(self, name: str) -> bool:
        leaf = self._leaf(name)
        if leaf is not None:
            return leaf.writable
        added = (self._added or {}).get(name)
        return added if isinstance(added, bool) else self.model.objects.get(name, False)

    def _type(self, name: str) -> str:
        leaf = self._leaf(name)
        return "xsd:string" if leaf is None else leaf.type

    def _below(self, path: str) -> list[str]:
        names = [name for name in self.model.below(path) if not self._gone(name)]
        names += [name for name in self._added or () if name.startswith(path)]
        return sorted(set(names)) if self._added else names

    def _refusal(self, item: ParameterValue) -> int:
        if item.name.endswith(".") or not self._exists(item.name):
            return 9005
        if not self._writable(item.name):
            return 9008
        kind = self._type(item.name)
        if kind == "xsd:boolean":
            return 0 if item.value in _BOOLEANS else 9007
        if kind in {"xsd:int", "xsd:unsignedInt"} and (_whole(item.value) is None or (kind != "xsd:int" and item.value.startswith("-"))):
            return 9007
        return 0

    def _count(self, collection: str, by: int) -> None:
        counter = collection[:-1] + "NumberOfEntries"
        now = self.value(counter)
        if now is not None:
            self.put(counter, str(int(now or "0") + by))


_TEXTS = {9005: "Invalid parameter name", 9007: "Invalid parameter value", 9008: "Attempt to set a non-writable parameter"}
