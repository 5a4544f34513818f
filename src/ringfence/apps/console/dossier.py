"""Everything around one device that its page shows beside its parameters: orders, what is wanted, stops, sessions, line and customer.

Each part is asked for only when the person may see it. Secrets are names and the time they were set: their values are not even asked for.
"""

from collections.abc import Sequence
from typing import Any

from ringfence.access.model import Actor, Permission
from ringfence.apps.console.desk import Desk
from ringfence.apps.console.transcripts import talk
from ringfence.fleet.behind import BehindKind
from ringfence.fleet.links import reach_of
from ringfence.fleet.meanings import MEANINGS
from ringfence.fleet.model import Device, Reported

SESSIONS = 10
STOPS = 50
REACH = {
    "http": "by a connection request over HTTP",
    "udp": "by a connection request over UDP (STUN)",
    "next_inform": "not from outside: it is heard at its next Inform",
}
LINKS = {"direct": "own public address", "nat": "behind NAT", "mobile": "mobile", "cgnat": "behind the operator's NAT (CGNAT)"}
ORDER_TONES = {
    "waiting": "info",
    "given": "info",
    "done": "good",
    "failed": "critical",
    "unknown": "warning",
    "canceled": "still",
    "expired": "warning",
}
ATTEMPT_TONES = {"committed": "info", "started": "info", "done": "good", "failed": "critical", "unknown": "warning"}
SECRETS = tuple(sorted(name for name, meaning in MEANINGS.items() if meaning.secret and not name.startswith("acs.")))


async def dossier(desk: Desk, actor: Actor, device: Device, reported: Sequence[Reported]) -> dict[str, Any]:
    """The parts as the template takes them."""
    inventory = desk.inventory
    orders = await inventory.orders(device.device_id)
    transcripts = await inventory.transcripts(device.device_id) if actor.may(Permission.TRANSCRIPT_READ) else ()
    files = await inventory.firmware() if actor.may(Permission.DEVICE_MANAGE) else ()
    return {
        "orders": orders,
        "order_tones": ORDER_TONES,
        "attempt_tones": ATTEMPT_TONES,
        "wanted": await inventory.wanted(device.device_id),
        "secret_meanings": SECRETS,
        "stops": await _stops(desk, device),
        "talks": [talk(*each) for each in transcripts],
        "behind": await inventory.behind(device.device_id),
        "behind_kinds": [kind.value for kind in BehindKind],
        "files": [each for each in files if (each.oui, each.product_class) == (device.oui, device.product_class)],
        "link": LINKS.get(device.link.value, device.link.value),
        "reach": REACH[_reach(device, reported)],
        **await _whose(desk, actor, device),
    }


async def _stops(desk: Desk, device: Device) -> list[Any]:
    """What its model refused in its version."""
    found = await desk.inventory.stops(after=(device.oui, device.product_class, device.software_version, ""), limit=STOPS)
    key = (device.oui, device.product_class, device.software_version)
    return [each for each in found if (each.oui, each.product_class, each.software_version) == key]


async def _whose(desk: Desk, actor: Actor, device: Device) -> dict[str, Any]:
    """The customer, and who was on the line when."""
    if not actor.may(Permission.CUSTOMER_READ):
        return {"customer_name": "", "accesses": ()}
    customer = await desk.subscribers.customer(device.customer) if device.customer else None
    return {
        "customer_name": customer.customer.name if customer else "",
        "accesses": await desk.subscribers.history_of_line(device.line, limit=SESSIONS) if device.line else (),
    }


def _reach(device: Device, reported: Sequence[Reported]) -> str:
    said = {each.name.rpartition(".ManagementServer.")[2]: each.value for each in reported if ".ManagementServer." in each.name}
    return reach_of(device.link, said.get("ConnectionRequestURL", ""), said.get("UDPConnectionRequestAddress", "")).value
