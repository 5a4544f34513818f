"""Where SIP comes from and what sends it: the operator's pools, everybody else's networks, and User-Agents.

Networks outside are made up: prefixes with autonomous systems of the private range, so that no real network stands accused. The one thing
to know: an address is a hash of line and epoch, so that a line's address at any moment needs no memory.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ringfence.simulators.traffic.chance import Hashes


@dataclass(frozen=True, slots=True)
class Block:
    """A prefix: first address, bits of the mask, autonomous system, country."""

    prefix: str
    asn: int
    country: str

    @property
    def first(self) -> int:
        """The first address as a number."""
        a, b, c, d = (int(part) for part in self.prefix.partition("/")[0].split("."))
        return a << 24 | b << 16 | c << 8 | d

    @property
    def size(self) -> int:
        """Addresses."""
        return 1 << (32 - int(self.prefix.partition("/")[2]))

    def addresses(self, hashes: Hashes) -> npt.NDArray[np.uint32]:
        """One address of the block for each hash; neither the first nor the last."""
        return (np.uint64(self.first + 1) + hashes % np.uint64(self.size - 2)).astype(np.uint32)


OWN_ASN = 64_512
OWN_POOLS = tuple(
    Block(prefix, OWN_ASN, "DE") for prefix in ("79.192.0.0/11", "84.128.0.0/11", "87.128.0.0/11", "91.0.0.0/11", "93.192.0.0/11")
)
"""Dynamic pools of lines, by region."""
STATIC_POOL = Block("62.224.0.0/14", OWN_ASN, "DE")
"""Fixed addresses of business lines."""
CGNAT_POOL = Block("100.64.0.0/18", OWN_ASN, "DE")
"""Lines with IPv4 behind address translation: some hundred share an address."""
PEER_POOL = Block("193.158.0.0/22", OWN_ASN, "DE")
"""Interconnection: inbound calls come from here."""
MONITORING = Block("195.145.7.0/26", OWN_ASN, "DE")

MOBILE_HOME = (Block("46.114.0.0/19", 64_530, "DE"), Block("109.42.0.0/19", 64_531, "DE"), Block("176.0.0.0/19", 64_532, "DE"))
"""Mobile operators at home, behind their own translation: fallback links of hybrid lines, telephones on the road."""
OTHER_HOME = (Block("178.200.0.0/14", 64_533, "DE"), Block("31.16.0.0/14", 64_534, "DE"), Block("141.30.0.0/16", 64_535, "DE"))
"""Other access networks and universities at home: a softphone at a friend's, in an office, in a café."""
HOSTING_HOME = (Block("159.69.0.0/17", 64_540, "DE"), Block("144.76.64.0/18", 64_541, "DE"), Block("193.27.12.0/22", 64_542, "DE"))
"""Hosting and VPN exits at home."""
HOSTING_ABROAD = (
    *(Block("51.68.128.0/18", 64_550, "FR"), Block("45.143.220.0/22", 64_551, "NL"), Block("185.53.88.0/22", 64_552, "NL")),
    *(Block("167.114.64.0/18", 64_553, "CA"), Block("64.227.0.0/18", 64_554, "US"), Block("134.209.0.0/17", 64_555, "US")),
    *(Block("45.95.168.0/22", 64_556, "HR"), Block("193.46.255.0/24", 64_557, "RO"), Block("92.118.37.0/24", 64_558, "RU")),
    *(Block("103.145.12.0/23", 64_559, "HK"), Block("156.96.0.0/18", 64_560, "US"), Block("77.247.108.0/23", 64_561, "EE")),
)
LINES_ABROAD: dict[str, tuple[Block, ...]] = {
    "ES": (Block("88.0.0.0/13", 64_600, "ES"), Block("95.120.0.0/14", 64_601, "ES")),
    "IT": (Block("79.0.0.0/14", 64_602, "IT"), Block("151.16.0.0/14", 64_603, "IT")),
    "TR": (Block("78.160.0.0/14", 64_604, "TR"), Block("85.96.0.0/14", 64_605, "TR")),
    "AT": (Block("80.108.0.0/15", 64_606, "AT"), Block("178.112.0.0/14", 64_607, "AT")),
    "GR": (Block("94.64.0.0/14", 64_608, "GR"),),
    "HR": (Block("93.136.0.0/14", 64_609, "HR"),),
    "FR": (Block("90.0.0.0/13", 64_610, "FR"),),
    "NL": (Block("84.80.0.0/14", 64_611, "NL"),),
    "PT": (Block("85.240.0.0/14", 64_612, "PT"),),
    "EG": (Block("41.32.0.0/14", 64_613, "EG"), Block("197.32.0.0/14", 64_614, "EG")),
    "PS": (Block("37.8.0.0/17", 64_620, "PS"), Block("188.161.0.0/16", 64_621, "PS")),
    "CN": (Block("117.24.0.0/14", 64_622, "CN"),),
    "VN": (Block("113.160.0.0/13", 64_623, "VN"),),
    "BR": (Block("177.32.0.0/13", 64_624, "BR"),),
    "IR": (Block("5.112.0.0/14", 64_625, "IR"),),
    "RU": (Block("95.24.0.0/14", 64_626, "RU"),),
    "PL": (Block("83.0.0.0/14", 64_627, "PL"),),
    "GB": (Block("86.128.0.0/13", 64_628, "GB"),),
    "US": (Block("73.0.0.0/13", 64_629, "US"),),
    "CH": (Block("85.0.0.0/14", 64_630, "CH"),),
}
"""Access networks abroad: holiday flats, branch offices, and machines that were taken over."""

BOXES = (
    *("AVM FRITZ!Box 7590 {}", "AVM FRITZ!Box 7530 {}", "AVM FRITZ!Box 7490 {}", "FRITZ!OS {}", "AVM FRITZ!Box 6591 Cable {}"),
    *("Speedport Smart 3 {}", "Speedport W 724V {}", "Zyxel VMG3312 {}", "Arcadyan VRV9510 {}", "TP-Link Archer VR2100v {}"),
    *("Sagemcom F@st 5366 {}", "Gigaset GO-Box 100 {}", "HUAWEI HG659 {}", "Homebox 3 {}"),
)
BOX_VERSIONS = (("154.07.29", "1.010137.2.0", "V5.13(AAPP.9)"), ("154.07.57", "1.010137.4.1", "V5.13(AAPP.12)"))
BOX_SHARES = (17, 11, 12, 5, 7, 12, 10, 5, 6, 5, 3, 3, 2, 2)
PHONES = (
    *("snomD385/10.1.127.10", "Yealink SIP-T46U 108.86.0.45", "Gigaset N510 IP PRO/42.250", "Grandstream GXP2170 1.0.11.64"),
    *("Cisco/SPA504G-7.6.2", "Panasonic-KX-TGP600/22.59"),
)
EXCHANGES = (
    *("Asterisk PBX 18.20.2", "Asterisk PBX 16.2.1~dfsg-1", "3CXPhoneSystem 18.0.9.23", "FPBX-16.0.40(18.9-cert7)", "LANCOM 1793VA 10.72"),
    *("OpenScape Business V3R3", "STARFACE PBX 8.1", "Swyx IpPbx 13.27", "COMpact 5000 8.4", "HiPath 3000 V9"),
)
SOFTPHONES = (
    *("Zoiper rv2.10.20.6", "Linphone Desktop/5.2.6", "MicroSIP/3.21.3", "Z 5.6.4 v2.10.20.4", "Bria 6 release 6.5.1", "FRITZ!App Fon"),
    *("Telephone 1.6", "LinphoneAndroid/5.2.5", "CSipSimple_e5-22/r2457"),
)
SCANNERS = (
    "friendly-scanner",
    "sipcli/v1.8",
    "VaxSIPUserAgent/3.1",
    "PPLSIP",
    "eyeBeam release 3006o stamp 17551",
    "Cisco-SIPGateway/IOS-12.x",
    "sundayddr",
)


def _agents() -> tuple[str, ...]:
    boxes = [box.format(versions[place % 3]) for place, box in enumerate(BOXES) for versions in BOX_VERSIONS]
    return ("", *boxes, *PHONES, *EXCHANGES, *SOFTPHONES, *SCANNERS)


USER_AGENTS = _agents()
"""All User-Agents; columns hold places in this list. Each box stands with its old firmware and, one place on, with its new."""
FIRST_BOX = 1
FIRST_PHONE = FIRST_BOX + 2 * len(BOXES)
FIRST_EXCHANGE = FIRST_PHONE + len(PHONES)
FIRST_SOFTPHONE = FIRST_EXCHANGE + len(EXCHANGES)
FIRST_SCANNER = FIRST_SOFTPHONE + len(SOFTPHONES)

EDGES = ("sbc-b1", "sbc-b2", "sbc-f1", "sbc-f2")


def network_rows() -> list[tuple[str, str, str]]:
    """`(prefix, kind, comment)` of the operator's own networks."""
    rows = [(pool.prefix, "own_pool", f"region {place}") for place, pool in enumerate(OWN_POOLS, 1)]
    return [
        *rows,
        (STATIC_POOL.prefix, "own_pool", "fixed addresses"),
        (CGNAT_POOL.prefix, "cgnat", "shared IPv4"),
        (PEER_POOL.prefix, "peer", "interconnection"),
        (MONITORING.prefix, "monitoring", "test calls"),
    ]


def origin_rows() -> list[tuple[str, int, str]]:
    """`(prefix, asn, country)` of every network that appears, by prefix."""
    abroad = [block for blocks in LINES_ABROAD.values() for block in blocks]
    own = [*OWN_POOLS, STATIC_POOL, CGNAT_POOL, PEER_POOL, MONITORING]
    blocks = [*own, *MOBILE_HOME, *OTHER_HOME, *HOSTING_HOME, *HOSTING_ABROAD, *abroad]
    return [(block.prefix, block.asn, block.country) for block in sorted(blocks, key=lambda block: (block.first, block.prefix))]
