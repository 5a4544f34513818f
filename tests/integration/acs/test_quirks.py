"""Every quirk of devices that was seen in the field has a test; here are the table of them, and those that need the whole front.

Simulated devices with a habit each log in, are bound, get their settings and a secret, and read back well: over the real front and PostgreSQL.
"""

import ast
import hashlib
import io
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ringfence.base.secret import Secret
from ringfence.fleet.binding import Rules
from ringfence.fleet.desired import Group, Wish
from ringfence.fleet.meanings import is_secret
from ringfence.fleet.model import REALM
from ringfence.protocols.cwmp import Asked, DeviceConnection
from ringfence.protocols.cwmp.messages import DeviceId, GetParameterValues, TransferComplete
from ringfence.simulators.devices.behaviour import Behaviour, Oddity
from ringfence.simulators.devices.device import TRANSFER_COMPLETE, Device
from ringfence.simulators.devices.models import built_in
from ringfence.simulators.devices.world import World, WorldSettings
from tests.harness.engines import PROJECT
from tests.integration.acs.test_sessions import PATIENCE, Acs, ask, inform, run

PARSE, BUILD, TALK = "unit/protocols/test_cwmp_parse.py", "unit/protocols/test_cwmp_build.py", "unit/protocols/test_cwmp_connection.py"
SESSIONS, HERE = "integration/acs/test_sessions.py", "integration/acs/test_quirks.py"
ODD = f"{HERE}::test_an_odd_device_is_managed_like_any_other"

QUIRKS: dict[str, tuple[str, ...]] = {
    "chunked bodies, borders inside a tag": (ODD, "unit/acs/test_reading.py::test_any_cut_gives_the_same_request"),
    "cookie not returned on the same connection": (ODD, "peers/test_cwmp_client.py::test_its_session_of_an_inform_and_nothing_else"),
    "cookie path must be /": (f"{HERE}::test_the_cookie_is_for_every_path",),
    "comma between cookies": (ODD,),
    "new connection after 401": (ODD, f"{SESSIONS}::test_digest_on_a_new_connection_after_the_401_and_never_twice"),
    "XML declaration must be absent": (ODD, f"{BUILD}::test_quirk_xml_declaration_absent_for_netcwmp"),
    "XML declaration must be present": (f"{BUILD}::test_quirk_xml_declaration_present_for_huawei",),
    "own passwords in the Inform": (ODD, "unit/protocols/test_cwmp_redact.py::test_quirk_passwords_of_the_device_in_its_inform"),
    "empty ParameterPath refused": (ODD,),
    "NextLevel 0/1 or true/false": (f"{BUILD}::test_quirk_next_level_as_word_or_number", "peers/test_cwmp_client.py::*"),
    "zero dateTime, ExternalIPAddress without root, EventStruct[03], RetryCount 05": (ODD, f"{PARSE}::test_quirk_speedtouch_780_capture"),
    "CurrentTime 1970": (f"{PARSE}::test_quirk_current_time_1970",),
    "value with line break, blanks in a name": (f"{PARSE}::test_quirk_value_with_line_break_and_blanks_inside_a_name",),
    "broken close tags": (f"{PARSE}::test_quirk_broken_close_tags_are_refused_not_guessed",),
    "missing RetryCount, missing cwmp:ID": (ODD, f"{PARSE}::test_quirk_missing_retry_count_and_id"),
    "no xsi:type, unprefixed Envelope": (
        f"{PARSE}::test_quirk_cwmpclient_unprefixed_envelope_without_types",
        "peers/test_cwmp_client.py::*",
    ),
    "prefix on child elements": (f"{PARSE}::test_quirk_alcatel_femto_prefixes_on_child_elements",),
    "gone after TransferCompleteResponse": (ODD, f"{HERE}::test_a_device_that_leaves_after_its_transfer_is_answered_has_told_it"),
    "CommandKey over 32, OUI not hex": (f"{PARSE}::test_quirk_command_key_and_oui_that_break_the_schema",),
    "Inform storm": (f"{SESSIONS}::test_a_device_that_informs_all_the_time_is_slowed", f"{PARSE}::test_quirk_retry_count_of_a_storm"),
    "Resources exceeded on a large read": (ODD, "integration/acs/test_trees.py::test_a_real_devices_tree_is_read_whole"),
    "illegal XML characters": (f"{PARSE}::test_quirk_illegal_xml_characters",),
    "ISO-8859-1 in the header": (ODD, f"{PARSE}::test_quirk_charset_iso_8859_1"),
    "UTF-8 labelled ISO-8859-1": (f"{PARSE}::test_quirk_utf_8_that_is_labelled_iso_8859_1",),
    "session before the answer to the connection request": ("integration/acs/test_knock.py::*",),
    "empty, empty, empty": (f"{TALK}::test_quirk_endings_new_and_old",),
    "gzip and x-gzip": (ODD, "integration/acs/test_front.py::test_chunks_gzip_and_expectation"),
    "HTTP/1.0": ("integration/acs/test_front.py::test_http_1_0_ends_its_connection_and_may_close_its_half_first",),
}

CAREFUL = Rules(release_without_feed=True)
NETCWMP = "netcwmp"
SECRET = "planted-ring-password"
READABLE = sum(not is_secret(name) for name in built_in()[0].leaves)


@pytest.mark.parametrize("quirk", QUIRKS)
def test_every_quirk_has_its_tests(quirk: str) -> None:
    for test in QUIRKS[quirk]:
        file, _, name = test.partition("::")
        tree = ast.parse((PROJECT / "tests" / file).read_text("utf-8"))
        tests = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        assert name == "*" or name in tests, test


def device_of(acs: Acs, *oddities: Oddity) -> tuple[World, Device]:
    product_class = NETCWMP if Oddity.NO_XML_DECLARATION in oddities else "HomeBox"
    model = replace(built_in()[0], product_class=product_class)
    settings = WorldSettings(
        acs=f"http://127.0.0.1:{acs.port}/acs",
        devices=1,
        models=(model,),
        behaviour=Behaviour(boot_seconds=(0.0, 0.0), first_inform_seconds=(0.0, 0.0), oddities=oddities),
        password="factory-{serial}",
    )
    world = World(settings)
    return world, world.devices[0]


async def enrol(acs: Acs, device: Device) -> int:
    """Known, on a line, with the credential it was made with; a setting is wanted of it, and a secret."""
    who = device.identity
    text = f"oui,product_class,serial_number,state,line\n{who.oui},{who.product_class},{who.serial_number},shipped,L1\n"
    await acs.fleet.import_devices("anna", io.StringIO(text))
    device_id: int = ask(acs.url, f"select device_id from fleet.devices where serial_number = '{who.serial_number}'")[0][0]
    name, password = device.login()
    ha1 = hashlib.md5(f"{name}:{REALM}:{password.open()}".encode(), usedforsecurity=False).hexdigest()
    await acs.fleet.put_credential(device_id, name, Secret(ha1))
    await acs.fleet.put_group(
        "anna", Group(name="homes", oui=who.oui, wishes=(Wish(meaning="acs.inform_interval", value="4711"),)), frozenset()
    )
    await acs.fleet.put_secret("anna", device_id, "acs.request_password", Secret(SECRET))
    return device_id


def whole(acs_run: Callable[[Acs], Awaitable[None]], url: str, folder: Path) -> None:
    run(url, folder, acs_run, authentication="digest", rules=CAREFUL)


@pytest.mark.parametrize("oddities", [*((odd,) for odd in Oddity), (Oddity.COMMA_COOKIES, Oddity.RECONNECTS)], ids="+".join)
def test_an_odd_device_is_managed_like_any_other(database_url: str, tmp_path: Path, oddities: tuple[Oddity, ...]) -> None:
    async def body(acs: Acs) -> None:
        world, device = device_of(acs, *oddities)
        try:
            device_id = await enrol(acs, device)
            device.told = (TransferComplete("o-unknown", 0, "", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),)
            device.note(TRANSFER_COMPLETE)
            world.start_all()
            assert await world.wait(lambda world: world.counters["sessions_done"] >= 1, PATIENCE)
            await acs.fleet.discover(device_id)
            device.wake("2 PERIODIC")
            assert await world.wait(lambda world: world.counters["sessions_done"] >= 2, PATIENCE)
            assert world.counters["session_failures"] == 0
            assert world.devices[0].told == ()
            assert device.of("ManagementServer.PeriodicInformInterval") == "4711"
            assert device.of("ManagementServer.ConnectionRequestPassword") == SECRET
            assert await acs.audited() == []
            assert ask(acs.url, f"select count(*) from fleet.reported where device_id = {device_id}") == [(READABLE,)]
            assert ask(acs.url, f"select standing, software_version from fleet.devices where device_id = {device_id}") == [
                ("managed", "1.0.0")
            ]
        finally:
            await world.close()

    whole(body, database_url, tmp_path)
    kept = ask(database_url, "select value from fleet.reported union all select lines::text from fleet.transcripts")
    assert not [text for (text,) in kept if SECRET in text or "factory-" in text]


def test_a_device_that_leaves_after_its_transfer_is_answered_has_told_it(database_url: str, tmp_path: Path) -> None:
    async def body(acs: Acs) -> None:
        for _ in range(2):  # Its next session finds nothing in the way.
            device = DeviceConnection()
            async with acs.connected() as wire:
                device.receive((await wire.post(device.start(inform()))).body)
                transfer = TransferComplete("o-unknown", 0, "", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z")
                assert b"TransferCompleteResponse" in (await wire.post(device.send(transfer))).body
        assert await acs.audited() == []

    run(database_url, tmp_path, body)


def test_the_cookie_is_for_every_path(database_url: str, tmp_path: Path) -> None:
    async def body(acs: Acs) -> None:
        async with acs.connected() as wire:
            answer = await wire.post(DeviceConnection().start(inform()))
            assert "; Path=/;" in answer.headers["set-cookie"] + ";"

    run(database_url, tmp_path, body)


@pytest.mark.parametrize(("oui", "product_class", "most"), [("00040E", "867VA", 8), ("00040E", "FRITZ", 10)])
def test_a_device_is_asked_for_as_much_at_once_as_its_row_says(
    database_url: str, tmp_path: Path, oui: str, product_class: str, most: int
) -> None:
    switches = ("acs.upgrades_managed", "acs.stun_enable", "admin.password_required", "upnp.enable", "upnp.igd")
    wishes = [Wish(meaning=meaning, value="true") for meaning in switches]
    wishes += [Wish(meaning=meaning, value="60") for meaning in ("acs.inform_interval", "acs.retry_wait", "acs.retry_multiplier")]
    wishes += [Wish(meaning="acs.stun_server", value="stun.example.net"), Wish(meaning="admin.remote_access", value="false")]

    async def body(acs: Acs) -> None:
        await acs.fleet.put_group("anna", Group(name="all", product_class=product_class, wishes=tuple(wishes)), frozenset())
        identity = DeviceId(manufacturer="", oui=oui, product_class=product_class, serial_number="S1")
        device = DeviceConnection()
        async with acs.connected() as wire:
            device.receive((await wire.post(device.start(inform(device_id=identity)))).body)
            asked = device.receive((await wire.post(device.hand_over())).body)
        assert isinstance(asked, Asked)
        assert isinstance(asked.request, GetParameterValues)
        assert len(asked.request.names) == most

    run(database_url, tmp_path, body)


def test_a_device_that_returns_no_cookies_is_sent_none(database_url: str, tmp_path: Path) -> None:
    async def body(acs: Acs) -> None:
        identity = DeviceId(manufacturer="", oui="FFFFFF", product_class="DTBox1", serial_number="S1")
        async with acs.connected() as wire:
            assert "set-cookie" not in (await wire.post(DeviceConnection().start(inform(device_id=identity)))).headers
            assert (await wire.post(b"")).status == 204

    run(database_url, tmp_path, body)
