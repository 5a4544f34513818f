"""What is wanted of devices: groups, wishes of one device, its secrets, and the list of what can be wanted.

A secret goes in and never comes out: no answer, audit entry, history or log line holds one.
"""

from typing import Annotated

from fastapi import Path, Query

from ringfence.access.model import Permission
from ringfence.apps.api.device_payloads import PLAIN
from ringfence.apps.api.routes.devices import DeviceNumber
from ringfence.apps.api.routing import Acting, AtDesk, Routes
from ringfence.apps.api.wanted_payloads import INSTANCE, GroupHeard, GroupSaid, MeaningSaid, Name, SecretHeard, ValueHeard, WantedSaid
from ringfence.base.errors import NotFoundError
from ringfence.base.secret import Secret
from ringfence.fleet.desired import Wish
from ringfence.fleet.meanings import MEANINGS

routes = Routes("what is wanted")

GROUP_BYTES = 1024 * 1024
MeaningName = Annotated[str, Path(max_length=60, pattern=PLAIN)]
GroupName = Annotated[Name, Path()]


@routes.get("/fleet/meanings", permission=Permission.DEVICE_READ)
async def list_meanings() -> list[MeaningSaid]:
    """What can be wanted, said once for both data models."""
    return [MeaningSaid.of(name, MEANINGS[name]) for name in sorted(MEANINGS)]


@routes.get("/fleet/groups", permission=Permission.DEVICE_READ)
async def list_groups(desk: AtDesk) -> list[GroupSaid]:
    """Every group with its wishes, the lowest rank first: each is laid over those before it."""
    return [GroupSaid.of(group) for group in await desk.inventory.groups()]


@routes.get("/fleet/groups/{name}", permission=Permission.DEVICE_READ)
async def show_group(desk: AtDesk, name: GroupName) -> GroupSaid:
    """One group."""
    for group in await desk.inventory.groups():
        if group.name == name:
            return GroupSaid.of(group)
    raise NotFoundError(f"there is no group {name!a}; `ringfence fleet group list` names them", reason="no_group")


@routes.put("/fleet/groups/{name}", permission=Permission.DESIRED_WRITE, max_body_size=GROUP_BYTES)
async def put_group(desk: AtDesk, actor: Acting, name: GroupName, entry: GroupHeard) -> GroupSaid:
    """Make a group or replace it; 422 with every reason why it cannot be. Its devices get what is new at their next Inform."""
    group = entry.group(name)
    await desk.inventory.put_group(actor.name, group, desk.acs_hosts)
    await desk.access.audit(actor.name, "put_group", name, {"wishes": len(group.wishes), "rank": group.rank})
    return GroupSaid.of(group)


@routes.delete("/fleet/groups/{name}", permission=Permission.DESIRED_WRITE)
async def remove_group(desk: AtDesk, actor: Acting, name: GroupName) -> None:
    """Take a group away; its devices keep what was set until something else is wanted."""
    await desk.inventory.remove_group(actor.name, name)
    await desk.access.audit(actor.name, "remove_group", name)


@routes.get("/devices/{device_id}/wanted", permission=Permission.DEVICE_READ)
async def show_wanted(desk: AtDesk, device_id: DeviceNumber) -> WantedSaid:
    """What is wanted of a device, from which groups, and what of it differs from what it last reported."""
    return WantedSaid.of(await desk.inventory.wanted(device_id))


@routes.put("/devices/{device_id}/wishes/{meaning}", permission=Permission.DESIRED_WRITE)
async def put_wish(desk: AtDesk, actor: Acting, device_id: DeviceNumber, meaning: MeaningName, entry: ValueHeard) -> WantedSaid:
    """Want something of this device alone; laid over what its groups want."""
    wish = Wish(meaning=meaning, instance=entry.instance, value=entry.value)
    await desk.inventory.want(actor.name, device_id, wish, desk.acs_hosts)
    await desk.access.audit(actor.name, "put_wish", str(device_id), {"meaning": meaning, "instance": entry.instance})
    return WantedSaid.of(await desk.inventory.wanted(device_id))


@routes.delete("/devices/{device_id}/wishes/{meaning}", permission=Permission.DESIRED_WRITE)
async def remove_wish(
    desk: AtDesk,
    actor: Acting,
    device_id: DeviceNumber,
    meaning: MeaningName,
    instance: Annotated[str, Query(max_length=20, pattern=INSTANCE)] = "",
) -> None:
    """Take a wish or a secret of this device away; the device keeps what was set until something else is wanted."""
    await desk.inventory.wish_no_more(actor.name, device_id, meaning, instance)
    await desk.access.audit(actor.name, "remove_wish", str(device_id), {"meaning": meaning, "instance": instance})


@routes.put("/devices/{device_id}/secrets/{meaning}", permission=Permission.DESIRED_WRITE, status=204)
async def put_secret(desk: AtDesk, actor: Acting, device_id: DeviceNumber, meaning: MeaningName, entry: SecretHeard) -> None:
    """Seal a secret for this device; it is written at the next session, over a connection that proved who it is, and never shown."""
    await desk.inventory.put_secret(actor.name, device_id, meaning, Secret(entry.secret.get_secret_value()), entry.instance)
    await desk.access.audit(actor.name, "put_secret", str(device_id), {"meaning": meaning, "instance": entry.instance})
