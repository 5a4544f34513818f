"""A room is entered through its doors: nobody imports another room's private modules."""

import ast

from tests.architecture.source import Module, modules, rooms

DOORS = {"model", "events", "service", "agent"}
OPEN_ROOMS = {"base", "runtime", "protocols", "telephony", "archive", "simulators", "views", "drills"}
"""Rooms whose every public module is a door."""

# Pure, public by intent, and not one of the four names: module -> why it is a door.
MORE_DOORS: dict[str, str] = {
    "enforcement.commands": "what api and console send to policy",
    "enforcement.kamailio": "what the first start writes for each edge",
    "detection.attacks": "steps of attacks, which the live board reads from their stream",
    "detection.composed": "the language of composed rules, from which previews, forms and pages are made",
    "detection.composed_text": "the format of composed rules",
    "detection.composed_match": "which rows a composed rule counts, for previews over the archive",
    "detection.composed_engine": "the live engine, which a preview lets judge the archive's rows",
    "detection.engine": "the live kernel, which a preview of other limits lets judge the archive's rows",
    "detection.layout": "the names of the kernel's detectors, their windows",
    "detection.rules": "rule sets as text, for a page that changes limits",
    "detection.composing.service": "versions and states of composed rules, a shell of its own beside the one of alerts",
    "fleet.adapters": "the key that seals secrets, which the processes that use the room read from its file",
    "fleet.behind": "devices behind a device, as the inventory names them, pure",
    "fleet.lifecycle": "what can happen to a device, which a person says of it, pure",
    "fleet.catalogue.adapters": "the folder of firmware, which the API fills and the firmware host serves",
    "fleet.desired": "groups and wishes as people write them, pure",
    "fleet.meanings": "the list of what can be wanted of a device, pure",
    "fleet.inventory.service": "what people ask of the fleet and change in it, a shell of its own beside the one of the ACS",
    "fleet.lists.model": "what the lists of the fleet are made of, values only",
    "fleet.links": "how a device is reached, which the waking of the role acs follows, pure",
    "fleet.enrolling.service": "how credentials of devices are made, which the role acs settles by its settings",
    "fleet.ports": "what the room needs from outside: the feed of access sessions, which the role acs hands to admission and waking",
    "fleet.wake": "the guard of connection requests and their pace, pure, which the role acs obeys",
    "fleet.strangers": "how many unknown devices are written down, pure, which the role acs gives its limits",
    "fleet.orders": "what can be wanted of a device, and what its answers mean for orders, pure, which the role acs obeys",
    "fleet.binding": "the operator's settings about who is believed, which the role acs reads",
    "fleet.session": "what to ask a device next, pure, which the ACS follows answer by answer",
    "fleet.images": "ranges, leases and bandwidth of the firmware host, which the role acs serves",
    "fleet.image_urls": "signed links to firmware, which the role acs verifies",
    "fleet.waking.service": "the queue of devices to wake and what wakes them, a shell of its own for the role acs",
    "subscribers.sessions.service": "who held an address, a shell of its own for the roles acs and worker, which know no account",
    "subscribers.sessions.accounting": "what a RADIUS packet says of a session, pure, which the worker receives",
    "subscribers.sessions.addresses": "one spelling of an address, by which the worker knows its RADIUS clients",
    "subscribers.sessions.model": "reports of sessions, which the worker hands over",
    "subscribers.sheets": "the format of account lists and networks, which a backtest reads offline, where the service needs a database",
}


INSPECTORS = ("apps.bench.",)
"""Benches measure the insides; that is what they are for."""


def broken_into(module: Module) -> set[str]:
    """Modules of other rooms that this one imports past their doors."""
    if module.name.startswith(INSPECTORS):
        return set()
    known = {other.name for other in modules()}
    found = set()
    for name in module.imports():
        target = name.removeprefix("ringfence.")
        if not name.startswith("ringfence.") or target not in known:
            continue
        room, *rest = target.split(".")
        if room == module.room or (room in OPEN_ROOMS and not rest[-1].startswith("_")):
            continue
        if rest[0] not in DOORS and target not in MORE_DOORS:
            found.add(target)
    return found


def test_rooms_are_entered_through_their_doors() -> None:
    inspected = [module for module in modules() if any(name.startswith("ringfence.") for name in module.imports())]
    assert len(inspected) > 20
    assert len(rooms()) > 5
    assert {module.name: found for module in inspected if (found := broken_into(module))} == {}


def test_the_inspection_sees_a_break_in() -> None:
    guilty = Module("views.overview", ast.parse("from ringfence.access.store import AccessStore"))
    assert broken_into(guilty) == {"access.store"}


def test_more_doors_are_still_needed() -> None:
    used = {name.removeprefix("ringfence.") for module in modules() for name in module.imports() if name.startswith("ringfence.")}
    assert MORE_DOORS.keys() <= used
