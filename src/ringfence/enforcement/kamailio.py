"""What one Kamailio has to know, written as the text of `ringfence-settings.cfg`.

The include `deploy/kamailio/ringfence.cfg` is the same on every server; this text is what differs: addresses, key and token, emergency
patterns, dial plan, classes of destinations, static denies. It never reads or writes a file. The one thing to know: everything in here is
parsed by Kamailio's own lexer, where a stray quote or line break would be a command, so each value is checked before it is written.
"""

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ringfence.base.errors import OperatorError
from ringfence.base.secret import Secret
from ringfence.enforcement.denies import STATIC_DENIES
from ringfence.telephony.emergency import ALWAYS, patterns
from ringfence.telephony.numbers import DialPlan

DENIED = 9
"""Stands in the class table for a destination that is refused to everyone; above every class, so that class blocks hold it too."""
MAX_CLASS_PREFIXES = 5_000
"""A bound against a mistake; the default deck makes about 1,600."""
FILL_ITEMS = 50
"""Prefixes of one text in the filling route. Kamailio ends a while loop after 100 rounds, and a statement for each prefix would cost
2 kB of package memory, of which a process has 8 MB."""
MAX_PREFIX_DIGITS = 15
ANNOUNCEMENT = "This call was refused for your protection. Please call"
MAX_ANNOUNCEMENT_CHARACTERS = 160

_CLASSES = range(6)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_TOKEN = re.compile(r"[A-Za-z0-9_.~+/=-]{16,128}")
_TEXT = re.compile(r"[A-Za-z0-9 .,;:()+/?'-]*")
_DIGITS = re.compile(r"[0-9]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeDefinition:
    """One Kamailio, as its settings file describes it. `settings_file` checks the values.

    Addresses are `(address, port)`; an address is numeric, because Kamailio would resolve a name for every packet.
    """

    name: str
    hep_address: tuple[str, int]
    hep_key: Secret | None
    """HEP authenticate key (chunk 0x0e). None: this edge causes alerts but never a block."""
    capture_id: int
    rpc_address: tuple[str, int]
    """A listener of its own, loopback or private; never the SIP port."""
    rpc_token: Secret
    rpc_sources: tuple[str, ...]
    """Addresses that may send commands."""
    dialog_key: Secret
    """Signs the Record-Route of calls that were let through. The same on edges that share calls; a new one ends what runs."""
    plan: DialPlan
    emergency: tuple[str, ...]
    """Emergency numbers, `x` for any digit: 110, 112, 116xxx."""
    classes: Mapping[str, int]
    """E.164 prefix to class 0 to 5, longest prefix wins: `dict(deck.class_prefixes())`."""
    hotline: str
    """E.164 digits of the operator's own hotline: always reachable, and named in a refusal. Empty: none."""
    announcement: str = ANNOUNCEMENT
    """In the Reason header of a refusal, before the hotline."""
    static_denies: tuple[str, ...] = STATIC_DENIES


def settings_file(edge: EdgeDefinition) -> str:
    """The text of `ringfence-settings.cfg`; OperatorError names the value that cannot stand in it."""
    hep_address, hep_port = _address(edge.hep_address, "hep_address")
    rpc_address, rpc_port = _address(edge.rpc_address, "rpc_address")
    if not ipaddress.ip_address(edge.rpc_address[0]).is_private:
        raise OperatorError(
            f"{edge.rpc_address[0]} is a public address; the commands of an edge need a loopback or private one", reason="rpc_public"
        )
    if not 0 < edge.capture_id < 2**31:
        raise OperatorError("The HEP capture id is a number from 1 to 2147483647", reason="bad_setting")
    table = class_table(edge.classes, edge.static_denies, home=edge.plan.country_code)
    lines = [
        "# Written by Ringfence for one Kamailio; changes are overwritten. Holds secrets: mode 0600, owner kamailio.",
        f'#!define RF_EDGE "{_checked(edge.name, _NAME, "name")}"',
        f"#!define RF_CAPTURE_ID {edge.capture_id}",
        f'#!define RF_HEP_URI "sip:{hep_address}:{hep_port}"',
    ]
    if edge.hep_key is not None:
        lines.append(f'#!define RF_HEP_KEY "{_checked(edge.hep_key.open(), _TOKEN, "hep_key")}"')
    lines += [
        f'#!define RF_RPC_ADDRESS "{rpc_address.strip("[]")}"',
        f"#!define RF_RPC_PORT {rpc_port}",
        f'#!define RF_RPC_TOKEN "{_checked(edge.rpc_token.open(), _TOKEN, "rpc_token")}"',
        f'#!define RF_DIALOG_KEY "{_checked(edge.dialog_key.open(), _TOKEN, "dialog_key")}"',
        f'#!define RF_HOTLINE "{_checked(edge.hotline, _DIGITS, "hotline") if edge.hotline else "none"}"',
        f'#!define RF_REASON "{_reason(edge)}"',
        "",
        "# The first listen= switches the automatic listeners on port 5060 off: kamailio.cfg needs listen= lines of its own.",
        f"listen=tcp:{rpc_address}:{rpc_port}",
        "",
        *_rpc_source_route(edge.rpc_sources),
        *_emergency_route(edge),
        *_plan_route(edge.plan),
        "#!ifndef MOD_htable",
        'loadmodule "htable.so"',
        "#!endif",
        'modparam("htable", "htable", "rf_class=>size=10;")',
        *_class_routes(table, edge.plan.country_code),
    ]
    return "\n".join(lines) + "\n"


def class_table(classes: Mapping[str, int], denies: Sequence[str], *, home: str) -> dict[str, int]:
    """Prefixes with their class, or `DENIED`, without those that a shorter prefix implies; sorted.

    A deny of the operator's own country is left out: national premium numbers are the customer's choice. OperatorError for what is no
    prefix or no class, and for more than `MAX_CLASS_PREFIXES`.
    """
    wanted: dict[str, int] = {}
    for prefix, destination_class in classes.items():
        if destination_class not in _CLASSES:
            raise OperatorError(f"Prefix {prefix[:20]!r} has class {destination_class}; classes are 0 to 5", reason="bad_class")
        wanted[_prefix(prefix)] = int(destination_class)
    foreign = sorted(_prefix(deny) for deny in denies if not deny.startswith(home))
    for prefix in [prefix for prefix in wanted if _implied(prefix, dict.fromkeys(foreign, DENIED)) is not None]:
        # A cheaper prefix inside a denied range would open a hole in it.
        del wanted[prefix]
    wanted.update(dict.fromkeys(foreign, DENIED))
    table: dict[str, int] = {}
    for prefix in sorted(wanted):
        implied = _implied(prefix[:-1], table)
        if wanted[prefix] != implied:
            table[prefix] = wanted[prefix]
    if len(table) > MAX_CLASS_PREFIXES:
        raise OperatorError(
            f"The class table has {len(table)} prefixes, more than {MAX_CLASS_PREFIXES}; give the edge fewer and shorter ones",
            reason="class_table_too_long",
        )
    return table


def paste_lines(include: str, settings: str) -> str:
    """What an operator pastes into a stock kamailio.cfg, for the screen of the first start. Arguments: the paths of the two files."""
    return (
        "# above '####### Routing Logic ########' (and listen= lines for your SIP addresses, if you have none):\n"
        f'include_file "{settings}"\n'
        f'include_file "{include}"\n'
        "# in request_route, above route(WITHINDLG);\n"
        "route(RF_EARLY);\n"
        '# in route[AUTH], first line of the block after if (!auth_check("$fd", "subscriber", "1"))\n'
        "route(RF_AUTH_FAIL);\n"
        "# in route[AUTH], below that block\n"
        "route(RF_AUTH_OK);\n"
    )


def _reason(edge: EdgeDefinition) -> str:
    text = _checked(edge.announcement, _TEXT, "announcement")
    if edge.hotline:
        text = f"{text} +{edge.hotline}"
    if len(text) > MAX_ANNOUNCEMENT_CHARACTERS:
        raise OperatorError(f"The announcement has more than {MAX_ANNOUNCEMENT_CHARACTERS} characters; shorten it", reason="bad_setting")
    # RFC 3326: Reason = "Reason" HCOLON reason-value, with protocol, cause and text.
    return f'Reason: SIP;cause=603;text=\\"{text}\\"\\r\\n'


def _rpc_source_route(sources: Sequence[str]) -> list[str]:
    if not sources:
        raise OperatorError("No address may send commands to the edge; name at least one in rpc_sources", reason="bad_setting")
    addresses = [_address((source, 1), "rpc_sources")[0].strip("[]") for source in sources]
    condition = " || ".join(f'$si == "{address}"' for address in addresses)
    return [
        "route[RF_RPC_SOURCE] {",
        "\t$var(rf_allowed) = 0;",
        f"\tif ({condition}) $var(rf_allowed) = 1;",
        "\treturn;",
        "}",
        "",
    ]


def _emergency_route(edge: EdgeDefinition) -> list[str]:
    plan = edge.plan
    emergency_numbers = (*edge.emergency, *ALWAYS)
    found = patterns(
        plan.country_code,
        plan.area_codes,
        edge.emergency,
        national_prefix=plan.national_prefix,
        international_prefixes=plan.international_prefixes,
    )
    endings = "|".join(number.lower().replace("x", "[0-9]") for number in emergency_numbers)
    tests = [f'\tif ($ru =~ "{pattern}") {{ $var(rf_emergency) = 1; return; }}' for pattern in found]
    return [
        "route[RF_EMERGENCY] {",
        "\t$var(rf_emergency) = 0;",
        "\t# The patterns allow for escapes and separators. Plain digits with another ending match none, which spares most calls.",
        f'\tif ($rU =~ "^[+]?[0-9]+$" && !($rU =~ "({endings})$")) return;',
        *tests,
        "\treturn;",
        "}",
        "",
    ]


def _plan_route(plan: DialPlan) -> list[str]:
    """`DialPlan.e164` in Kamailio's words: $var(rf_dialled) and $var(rf_context) to $var(rf_number)."""
    code, area = plan.country_code, plan.area_codes[0] if plan.area_codes else ""
    abroad = [
        f'\tif ($var(rf_number) =~ "^{prefix}") {{ $var(rf_number) = $(var(rf_number){{s.strip,{len(prefix)}}}); return; }}'
        for prefix in plan.international_prefixes
    ]
    trunk = plan.national_prefix
    bare = 11
    lines = [
        "route[RF_PLAN] {",
        "\t$var(rf_number) = $var(rf_dialled);",
        '\tif ($var(rf_number) =~ "^[+]") { $var(rf_number) = $(var(rf_number){s.strip,1}); return; }',
        f'\t$var(rf_area) = "{area}";',
        '\tif ($var(rf_context) != "") {',
        f'\t\tif ($var(rf_context) =~ "^{code}") {{',
        f"\t\t\t$var(rf_area) = $(var(rf_context){{s.strip,{len(code)}}});",
        "\t\t} else {",
        *(f"\t\t{line}" for line in abroad),
        '\t\t\tif ($var(rf_number) =~ "^0") $var(rf_number) = $(var(rf_number){s.strip,1});',
        "\t\t\t$var(rf_number) = $var(rf_context) + $var(rf_number);",
        "\t\t\treturn;",
        "\t\t}",
        "\t}",
        *abroad,
    ]
    if trunk:
        length = f" && $(var(rf_number){{s.len}}) == {plan.national_length + len(trunk)}" if plan.national_length else ""
        lines.append(
            f'\tif ($var(rf_number) =~ "^{trunk}"{length}) '
            f'{{ $var(rf_number) = "{code}" + $(var(rf_number){{s.strip,{len(trunk)}}}); return; }}'
        )
    lines.append('\tif ($(var(rf_number){s.len}) < 3) { $var(rf_number) = ""; return; }')
    if plan.short_leads and not plan.national_length:
        leads = "|".join(plan.short_leads)
        lines.append(
            f'\tif ($var(rf_number) =~ "^({leads})" && $(var(rf_number){{s.len}}) < {bare}) '
            f'{{ $var(rf_number) = "{code}" + $var(rf_number); return; }}'
        )
    if plan.national_length:
        lines.append(
            f'\tif ($(var(rf_number){{s.len}}) == {plan.national_length}) {{ $var(rf_number) = "{code}" + $var(rf_number); return; }}'
        )
    lines += [
        f"\tif ($(var(rf_number){{s.len}}) >= {bare}) return;",
        f'\t$var(rf_number) = "{code}" + $var(rf_area) + $var(rf_number);',
        "\treturn;",
        "}",
        "",
    ]
    return lines


def _class_routes(table: Mapping[str, int], country_code: str) -> list[str]:
    """The filling of the table, and the look-up by the prefix lengths that occur in it, longest first."""
    items = [f"{prefix}={destination_class}" for prefix, destination_class in table.items()]
    lines = ["route[RF_FILL_CLASSES] {"]
    # Each text ends with an empty item, which ends the loop.
    lines += [
        f'\t$var(rf_items) = "{";".join(items[start : start + FILL_ITEMS])};"; route(RF_FILL_ITEMS);'
        for start in range(0, len(items), FILL_ITEMS)
    ]
    lines += [
        "\treturn;",
        "}",
        "",
        "route[RF_FILL_ITEMS] {",
        "\t$var(rf_place) = 0;",
        "\t$var(rf_item) = $(var(rf_items){s.select,0,;});",
        '\twhile ($var(rf_item) != "") {',
        "\t\t$sht(rf_class=>$(var(rf_item){s.select,0,=})) = $(var(rf_item){s.select,1,=}{s.int});",
        "\t\t$var(rf_place) = $var(rf_place) + 1;",
        "\t\t$var(rf_item) = $(var(rf_items){s.select,$var(rf_place),;});",
        "\t}",
        "\treturn;",
        "}",
        "",
        "route[RF_CLASS] {",
        "\t$var(rf_class) = 1;",
        '\tif ($var(rf_number) == "") return;',
    ]
    for length in sorted({len(prefix) for prefix in table}, reverse=True):
        item = f"$sht(rf_class=>$(var(rf_number){{s.substr,0,{length}}}))"
        lines.append(f"\tif ({item} != $null) {{ $var(rf_class) = {item}; return; }}")
    # Abroad and without a price: as dear as can be. At home: an ordinary call.
    lines += [f'\tif (!($var(rf_number) =~ "^{country_code}")) $var(rf_class) = 5;', "\treturn;", "}"]
    return lines


def _implied(prefix: str, table: Mapping[str, int]) -> int | None:
    for length in range(len(prefix), 0, -1):
        found = table.get(prefix[:length])
        if found is not None:
            return found
    return None


def _prefix(text: str) -> str:
    if not _DIGITS.fullmatch(text) or len(text) > MAX_PREFIX_DIGITS or text.startswith("0"):
        raise OperatorError(f"{text[:20]!r} is no E.164 prefix; write digits without + or 00", reason="bad_prefix")
    return text


def _address(address: tuple[str, int], setting: str) -> tuple[str, int]:
    """A checked address, in brackets when it is IPv6."""
    host, port = address
    try:
        parsed = ipaddress.ip_address(host)
    except ValueError:
        raise OperatorError(
            f"{setting}: {host[:60]!r} is no IP address; Kamailio would resolve a name for every packet", reason="bad_setting"
        ) from None
    if not 0 < port < 65_536:
        raise OperatorError(f"{setting}: {port} is no port", reason="bad_setting")
    return (f"[{parsed}]" if parsed.version == 6 else str(parsed)), port


def _checked(text: str, shape: re.Pattern[str], setting: str) -> str:
    if not shape.fullmatch(text):
        raise OperatorError(
            f"{setting} holds characters that cannot stand in a Kamailio configuration, or has a wrong length", reason="bad_setting"
        )
    return text
