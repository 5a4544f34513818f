"""What the first start makes: keys, the settings of each edge, the first administrator. Every later start finds them made."""

import os
import shutil
import socket
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from ringfence.access.model import OneTimePassword
from ringfence.access.service import AccessService
from ringfence.base.clock import system_clock
from ringfence.base.errors import OperatorError
from ringfence.detection.service import DetectionService
from ringfence.enforcement.kamailio import EdgeDefinition, settings_file
from ringfence.fleet.adapters import FLEET_KEY
from ringfence.runtime.db import Database
from ringfence.runtime.keys import ACS_KEY, HASH_KEY, ensure_key, read_key
from ringfence.runtime.settings import Edge, Settings, split_address
from ringfence.telephony.control import RatesChanged
from ringfence.telephony.decks import default_deck_text
from ringfence.telephony.numbers import plan_for
from ringfence.telephony.rates import read_deck

DIALOG_KEY = "dialog.key"
"""Signs the Record-Route of calls an edge let through; the same on all edges, since calls may pass two."""

_PORTS = {"http": 80, "https": 443}


def make_keys(settings: Settings) -> None:
    """Every secret that lives in the keys folder and is not there yet."""
    keys = settings.keys_dir
    wanted = [keys / HASH_KEY, keys / DIALOG_KEY, keys / FLEET_KEY, keys / ACS_KEY]
    wanted += [agent.key_file for agent in settings.ingest.agents if agent.key_file is not None]
    wanted += [edge.token_file for edge in settings.enforcement.edges if edge.token_file is not None]
    for file in wanted:
        if file.parent == keys:
            ensure_key(file)


async def deck_in_force(settings: Settings) -> str:
    """The rate deck that was imported last, as CSV; the built-in one when none was."""
    async with Database(settings.database, name="up", size=1) as database:
        changed = await DetectionService(database).changed("rates")
    return changed.csv if isinstance(changed, RatesChanged) else default_deck_text()


def write_edge_settings(settings: Settings, deck_text: str) -> list[Path]:
    """`ringfence-settings.cfg` of each edge, mode 0600; their paths. Rewritten at each start, since settings and rates may have changed."""
    deck = read_deck(deck_text, home=settings.operator.country, at_ms=system_clock())
    classes = {prefix: int(kind) for prefix, kind in deck.class_prefixes()}
    written = []
    for number, edge in enumerate(settings.enforcement.edges, start=1):
        folder = settings.data_dir / "edges" / edge.name
        folder.mkdir(mode=0o750, exist_ok=True)
        file = folder / "ringfence-settings.cfg"
        draft = file.with_suffix(".draft")
        draft.unlink(missing_ok=True)
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as stream:
            stream.write(settings_file(_definition(settings, edge, number, classes)))
        draft.rename(file)
        written.append(file)
    return written


def copy_include(settings: Settings) -> Path:
    """Copy the Kamailio include to the edges' folder, where its path stays the same and a Kamailio can read it; the new path."""
    package = Path(str(files("ringfence")))
    places = [base / "deploy" / "kamailio" / "ringfence.cfg" for base in (package.parents[1], package)]
    source = next((place for place in places if place.exists()), None)
    if source is None:
        raise OperatorError("deploy/kamailio/ringfence.cfg is missing; install Ringfence again.", reason="include_missing")
    target = settings.data_dir / "edges" / "ringfence.cfg"
    shutil.copyfile(source, target)
    return target


async def first_administrator(settings: Settings) -> OneTimePassword | None:
    """The one-time password of the first administrator; None when there is anybody already."""
    async with Database(settings.database, name="up", size=1) as database:
        return await AccessService(database).ensure_first_administrator()


def _definition(settings: Settings, edge: Edge, number: int, classes: dict[str, int]) -> EdgeDefinition:
    assert edge.token_file is not None, "resolved settings name every token file"
    agent = next((agent for agent in settings.ingest.agents if agent.name == edge.name), None)
    rpc = _rpc_address(edge)
    return EdgeDefinition(
        name=edge.name,
        hep_address=_reachable(settings.ingest.hep_listen, rpc),
        hep_key=read_key(agent.key_file) if agent is not None and agent.key_file is not None else None,
        capture_id=2000 + number,
        rpc_address=rpc,
        rpc_token=read_key(edge.token_file),
        rpc_sources=(_our_address(rpc),),
        dialog_key=read_key(settings.keys_dir / DIALOG_KEY),
        plan=plan_for(settings.operator.country, settings.operator.area_codes),
        emergency=settings.operator.emergency,
        classes=classes,
        hotline=settings.operator.hotline.removeprefix("+"),
    )


def _rpc_address(edge: Edge) -> tuple[str, int]:
    scheme, _, rest = edge.rpc_url.partition("://")
    place = rest.split("/", 1)[0]
    try:
        return split_address(place if place.rpartition(":")[2].isdecimal() else f"{place}:{_PORTS[scheme]}")
    except ValueError as error:
        raise OperatorError(f"rpc_url of edge {edge.name}: {error}.", reason="bad_setting") from None


def _reachable(listen: str, peer: tuple[str, int]) -> tuple[str, int]:
    """Where the edge sends HEP: the address ingest listens on, or the one that faces the edge when that is all of them."""
    host, port = split_address(listen)
    return (_our_address(peer) if host in ("0.0.0.0", "::") else host), port  # noqa: S104  # Compared, not bound.


def _our_address(peer: Sequence[str | int]) -> str:
    """The address of this machine that faces a peer. Connecting a UDP socket sends nothing."""
    host, port = str(peer[0]), int(peer[1])
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((host, port))
        except OSError:
            return host
        return str(probe.getsockname()[0])


async def nobody_can_sign_in(settings: Settings) -> bool:
    """Whether the first administrator is still to be made."""
    async with Database(settings.database, name="up", size=1) as database:
        return await AccessService(database).count_approvers() == 0
