"""What an operator can set: one TOML file and `RINGFENCE_*` variables over it, read once by each `main.py`.

Each field says what it means; `docs/settings.md` is written from here. Frozen, and closed: a key that is not here is a mistake, and the
sentence about a mistake names the key, where it stands and what to do. Secrets are never settings; settings name the files that hold them.
Rooms get values, never this object.
"""

import difflib
import ipaddress
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from ringfence.base.errors import OperatorError
from ringfence.runtime.keys import key_folder

RoleName = Literal["ingest", "detector", "policy", "edge", "worker", "console", "api", "acs"]

ROLES: tuple[RoleName, ...] = ("ingest", "detector", "policy", "edge", "worker", "console", "api", "acs")
"""Every role, in the order of start; they stop in the opposite order. Its place also gives a role its metrics port."""

PREFIX = "RINGFENCE_"
OTHER_VARIABLES = frozenset({"RINGFENCE_API_URL", "RINGFENCE_API_TOKEN", "RINGFENCE_CONFIG", "RINGFENCE_REQUIRE_PEERS"})
"""Variables of ours that are no settings."""

RECEIVE_BUFFER_BYTES = 8 * 1024 * 1024


def split_address(address: str) -> tuple[str, int]:
    """`127.0.0.1:9060` or `[::1]:9060` as host and port; ValueError when it is neither."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal() or not 0 <= int(port) <= 65535:
        raise ValueError("write it as address:port, such as 127.0.0.1:9060 or [::1]:9060")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        ipaddress.ip_address(bare)
    except ValueError:
        raise ValueError(f"{bare!r} is not an IP address; write one such as 127.0.0.1:9060 or [::1]:9060") from None
    return bare, int(port)


def is_loopback(address: str) -> bool:
    """Whether `address:port` can be reached from this machine only."""
    return ipaddress.ip_address(split_address(address)[0]).is_loopback


def _address(text: str) -> str:
    split_address(text)
    return text


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text, strict=True))
    except ValueError:
        raise ValueError(f"{text!r} is not a network; write one such as 192.0.2.0/24 or 2001:db8::/32") from None


def _url(*schemes: str) -> AfterValidator:
    def check(text: str) -> str:
        if not text:
            return text
        try:
            parts = urlsplit(text)
            port_is_sane = parts.port is None or parts.port > 0
        except ValueError:
            port_is_sane, parts = False, urlsplit("")
        if not port_is_sane or parts.scheme not in schemes or not (parts.netloc or parts.query or parts.path.strip("/")):
            raise ValueError(f"not a URL that fits; write one that begins with {' or '.join(f'{s}://' for s in schemes)}")
        return text

    return AfterValidator(check)


def _time_zone(text: str) -> str:
    if text not in available_timezones():
        raise ValueError(f"{text!r} is not a time zone; write one such as Europe/Berlin")
    return text


Address = Annotated[str, AfterValidator(_address)]
Network = Annotated[str, AfterValidator(_network)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
Digits = Annotated[str, Field(pattern=r"^[0-9]{1,15}$")]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Operator(_Section):
    """The access operator: its dial plan, its emergency numbers, its clock, and whom a customer calls."""

    country: Annotated[str, Field(pattern=r"^[A-Z]{2}$")] = "DE"
    """Country whose dial plan, home tariff and public holidays hold, as two letters (ISO 3166)."""
    area_codes: tuple[Digits, ...] = ("30",)
    """Area codes without the leading 0. A local number is dialled with the first of them; emergency calls are known with any."""
    emergency: tuple[Digits, ...] = ("110", "112")
    """Numbers that are never blocked and never counted, in every spelling. 112 and the harm lines 116xxx are always among them."""
    time_zone: Annotated[str, AfterValidator(_time_zone)] = "Europe/Berlin"
    """Whose nights, weekends and holidays lower the limits of rules."""
    holiday_region: str = ""
    """Part of the country with public holidays of its own, such as `BY`; empty: those of the whole country."""
    name: str = ""
    """What the operator calls itself."""
    origins_files: tuple[Path, ...] = ()
    """Where addresses belong: MaxMind DB files (`.mmdb`) with origin network or country, or lines `prefix, asn, country` (TSV)."""
    test_numbers_file: Path | None = None
    """Numbers that fraudsters test with: one a line in E.164, or CSV whose first field is the number."""
    hotline: str = ""
    """Number that a refused caller is told and may always dial, E.164; empty: none."""

    @property
    def zone(self) -> ZoneInfo:
        """The time zone as an object."""
        return ZoneInfo(self.time_zone)


class Agent(_Section):
    """A capture agent that may send HEP, and how far it is believed (`trust`)."""

    name: Name
    """What the agent is called in figures and logs."""
    sources: tuple[Network, ...]
    """Networks its packets come from; packets from elsewhere are refused and counted."""
    key_file: Path | None = None
    """File with the key its packets carry (chunk 0x0e). Without a key, its calls raise alerts and never a block."""
    trust: Literal["hlog", "challenge", "none"] = "none"
    """What counts against an account: verdicts of our include (`hlog`), proven answers to a challenge (`challenge`), nothing (`none`)."""


class CallRecords(_Section):
    """A place where finished call records appear: files that match `path`, or rows of a table at the URL in `url_file`."""

    name: Name
    """Names the file that remembers how far was read, `<data_dir>/ingest/<name>.json`."""
    kind: Literal["csv", "parquet", "asterisk", "freeswitch", "kamailio"]
    """Who writes the records. `csv` and `asterisk` files are followed as they grow, the others are read once each."""
    holds: Literal["calls", "registrations"] = "calls"
    """What the rows of `csv` and `parquet` files are."""
    time_zone: Annotated[str, AfterValidator(_time_zone)] = ""
    """Of the host that writes the records, such as `Europe/Berlin`: must be set for `kamailio` and `asterisk`, the others write UTC."""
    path: str = ""
    """Files to follow, with `*` and `?`; for all kinds but `kamailio`."""
    url_file: Path | None = None
    """File of mode 0600 with the URL of the database, `mysql://...` or `postgresql://...`; for `kamailio`."""
    table: str = ""
    """Table of that database; empty: `acc_cdrs`."""
    columns: dict[str, str] = Field(default_factory=dict)
    """Which column holds what: our names on the left, theirs on the right. Nothing is guessed."""
    poll_seconds: Annotated[int, Field(ge=1, le=86_400)] = 10
    """Pause between two looks."""


class Ingest(_Section):
    """Where HEP arrives and who may send it. Without agents: `kamailio-1` on this machine, with a generated key."""

    hep_listen: Address = "127.0.0.1:9060"
    """Where HEP arrives, UDP and TCP."""
    receive_buffer_bytes: Annotated[int, Field(ge=65_536, le=1 << 30)] = RECEIVE_BUFFER_BYTES
    """Kernel buffer of the UDP socket. When it is set and the kernel allows less, the start is refused; by default that is a warning."""
    flush_milliseconds: Annotated[int, Field(ge=1, le=1000)] = 25
    """How long a row waits for others before it goes to the log."""
    agents: tuple[Agent, ...] = ()
    """Who may send HEP."""
    call_records: tuple[CallRecords, ...] = ()
    """Where call records come from, for calls that the wire did not show."""


class Detection(_Section):
    """`mode` overrides the mode of every rule; `rules_file` replaces the built-in rules at the first start."""

    mode: Literal["", "observe", "propose", "act"] = ""
    """Overrides the mode of every rule; empty: each rule keeps its own."""
    rules_file: Path | None = None
    """Rule set that a new installation starts with; later ones are imported."""


class Edge(_Section):
    """A SIP edge that enforces blocks: its JSON-RPC and the file with its token (default: generated in the keys folder)."""

    name: Name
    """What the edge is called; the HEP agent of the same server has the same name."""
    rpc_url: Annotated[str, _url("http", "https")]
    """Address of the server's JSON-RPC listener; its own port, never the SIP port."""
    token_file: Path | None = None
    """File with the token it asks for."""


class Enforcement(_Section):
    """Edges and how long a first block (minutes) and a second one (hours) lasts. Without edges: `kamailio-1` on this machine."""

    edges: tuple[Edge, ...] = ()
    """SIP servers that refuse what is blocked."""
    block_ttl_minutes: Annotated[int, Field(ge=1, le=10_080)] = 60
    """How long the first automatic block of something lasts."""
    second_ttl_hours: Annotated[int, Field(ge=1, le=720)] = 24
    """How long the second one within 30 days lasts. The third lasts as long, and a person must say yes."""


class Surface(_Section):
    """An HTTP surface. Without a certificate it listens on loopback only, unless a trusted proxy (its address) is named."""

    listen: Address
    """Address and port."""
    certificate_file: Path | None = None
    """TLS certificate with its chain, PEM."""
    key_file: Path | None = None
    """Its private key, PEM."""
    trusted_proxy: str = ""
    """Address of the proxy that adds TLS and is believed about where a request came from."""

    @model_validator(mode="after")
    def _is_protected(self) -> Self:
        if (self.certificate_file is None) != (self.key_file is None):
            raise ValueError("certificate_file and key_file belong together; set both")
        if not (is_loopback(self.listen) or self.certificate_file or self.trusted_proxy):
            raise ValueError(f"{self.listen} can be reached from outside; set certificate_file and key_file, or trusted_proxy")
        return self


class Console(Surface):
    """The console."""

    listen: Address = "127.0.0.1:8080"
    """Address and port."""


class Api(Surface):
    """The JSON API."""

    listen: Address = "127.0.0.1:8081"
    """Address and port."""


class AcsLane(_Section):
    """A listener for devices. What asks for a proof listens on loopback only, unless it has a certificate or a trusted proxy."""

    listen: Address
    """Address and port."""
    authentication: Literal["none", "basic", "digest", "certificate"] = "digest"
    """How a device proves who it is. `none` releases no secret to anybody."""
    certificate_file: Path | None = None
    """TLS certificate with its chain, PEM."""
    key_file: Path | None = None
    """Its private key, PEM."""
    client_ca_file: Path | None = None
    """Whose certificates devices carry, PEM; for `certificate`."""
    oldest_tls: Literal["1.2", "1.0"] = "1.2"
    """Oldest TLS that is spoken. `1.0` is for devices that know no better, best on a lane of their own."""
    trusted_proxy: Network | Literal[""] = ""
    """Network of the proxy that connects for devices with the PROXY protocol, version 2. Then nobody else may connect."""

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if (self.certificate_file is None) != (self.key_file is None):
            raise ValueError("certificate_file and key_file belong together; set both")
        if self.trusted_proxy and self.certificate_file:
            raise ValueError("a trusted_proxy ends TLS itself; remove certificate_file or trusted_proxy")
        if self.authentication == "certificate" and not (self.trusted_proxy or (self.certificate_file and self.client_ca_file)):
            raise ValueError("certificates of devices need certificate_file, key_file and client_ca_file, or a trusted_proxy")
        if self.authentication == "basic" and not (self.certificate_file or self.trusted_proxy):
            raise ValueError("basic sends passwords; set certificate_file and key_file, or trusted_proxy, or use digest")
        return self


class AcsManaged(AcsLane):
    """The lane of devices that have their own credential."""

    listen: Address = "127.0.0.1:7547"
    """Address and port."""
    url: Annotated[str, _url("http", "https")] = ""
    """How devices reach it, such as `https://acs.example.net:7547/`. The bootstrap lane hands it out with a credential; empty: neither."""


class AcsBootstrap(AcsLane):
    """The lane of new and reset devices: it hands out a URL, a CA and the device's own credential, nothing else."""

    listen: Address = "127.0.0.1:7548"
    """Address and port."""
    authentication: Literal["none", "basic", "digest", "certificate"] = "none"
    """How a device proves who it is. `none` releases no secret to anybody."""


class AcsFirmware(_Section):
    """The firmware host. Without `url` it does not listen, and no Download leaves for any device."""

    url: Annotated[str, _url("http", "https")] = ""
    """How devices reach the host, such as `http://fw.example.net:7549`: the address below, or nginx in front or instead of it."""
    listen: Address = "127.0.0.1:7549"
    """Address and port of the built-in host; it speaks plain HTTP."""
    folder: Path | None = None
    """Where the files lie, each under its SHA-256 (default `<data_dir>/firmware`). The roles api and acs share it."""
    bytes_per_second: Annotated[int, Field(ge=100_000, le=100_000_000_000)] = 100_000_000
    """Bytes a second to all devices together."""
    slowest_bytes_per_second: Annotated[int, Field(ge=1_000, le=100_000_000)] = 200_000
    """Slowest download worth starting: so many run at once as fit; further devices come back later (503 with Retry-After)."""
    link_hours: Annotated[int, Field(ge=1, le=168)] = 8
    """How long a link is good, in hours; longer than a device may wait before it starts."""


class AcsWake(_Section):
    """Connection requests: how devices are asked to inform now. They go to addresses inside the operator's own ranges alone."""

    requests_per_second: Annotated[int, Field(ge=0, le=10_000)] = 50
    """Connection requests that one process sends in a second, in all; 0 sends none, and devices inform when they do."""
    requests_per_access_node: Annotated[int, Field(ge=1, le=1_000)] = 5
    """The same behind one access node, where access sessions name it."""
    device_spacing_seconds: Annotated[int, Field(ge=10, le=86_400)] = 60
    """Between two connection requests to one device."""
    tries: Annotated[int, Field(ge=1, le=20)] = 3
    """Connection requests after which a device is left to its next Inform."""
    stun_listen: Address | Literal[""] = ""
    """Address and port (UDP) of the STUN server for devices behind NAT, such as 192.0.2.1:3478; empty: there is none."""


class Acs(_Section):
    """The TR-069 ACS: its lanes and how many devices it talks to at once."""

    managed: AcsManaged = AcsManaged()
    bootstrap: AcsBootstrap = AcsBootstrap()
    wake: AcsWake = AcsWake()
    firmware: AcsFirmware = AcsFirmware()
    hosts: Annotated[tuple[str, ...], Field(max_length=64)] = ()
    """Names and addresses by which devices reach this ACS. No device is ever told the URL of another one."""
    quirks_file: Path | None = None
    """The operator's own table of devices' oddities, TOML, which follows the built-in one and wins field by field."""
    sessions: Annotated[int, Field(ge=1, le=100_000)] = 1000
    """Sessions at once; further devices are told to come back in 30 to 300 seconds (503 with Retry-After)."""
    connections_per_address: Annotated[int, Field(ge=1, le=100_000)] = 64
    """Connections of one IPv4 address or IPv6 /64 at once; more when devices share an address (CGNAT)."""
    strangers_per_address: Annotated[int, Field(ge=1, le=1_000_000)] = 64
    """Devices of one IPv4 address or IPv6 /64 in an hour that nobody knows and that prove nothing; further ones come back later (503)."""
    strangers: Annotated[int, Field(ge=1, le=10_000_000)] = 200_000
    """The same of all addresses together, of each process of the ACS."""
    trust_unproven: bool = False
    """Treat devices that proved nothing as if they had. For management networks that nobody else can enter, and for no other."""
    release_without_feed: bool = False
    """Without `sessions.feed`: believe that a device is on the line that a person or an import gave it, and release its secrets."""


class RadiusClient(_Section):
    """A NAS, or a RADIUS server that passes on what its NAS say."""

    name: Name
    """Names of sessions are its own: the same Acct-Session-Id from another client is another session."""
    sources: tuple[Network, ...]
    """Networks its packets come from; packets from elsewhere are not answered."""
    secret_file: Path
    """File of mode 0600 with the secret it shares with us."""


class Radius(_Section):
    """RADIUS accounting (RFC 2866), received by the worker. Off while `listen` is empty."""

    listen: Address | Literal[""] = ""
    """Where accounting arrives over UDP, such as `192.0.2.5:1813`; empty: nowhere."""
    clients: tuple[RadiusClient, ...] = ()
    """Who may send it."""
    line: Literal["circuit_id", "remote_id", "user_name", "nas_port_id", "calling_station_id"] = "circuit_id"
    """Attribute with the name of the line: Agent-Circuit-Id, Agent-Remote-Id, User-Name, NAS-Port-Id or Calling-Station-Id."""
    receive_buffer_bytes: Annotated[int, Field(ge=65_536, le=1 << 30)] = RECEIVE_BUFFER_BYTES
    """Kernel buffer of the socket; a warning says when the kernel allows less."""

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if self.listen and not self.clients:
            raise ValueError("nobody may send; add clients, each with name, sources and secret_file")
        if len({client.name for client in self.clients}) < len(self.clients):
            raise ValueError("two clients have one name; give each its own")
        return self


class Sessions(_Section):
    """Which line holds which address, by RADIUS accounting and by leases of DHCP that are imported."""

    feed: bool = False
    """Whether access sessions are complete enough to bind devices to lines by them. Without, no binding is known."""
    retention_days: Annotated[int, Field(ge=1, le=3650)] = 7
    """Sessions that ended so long ago are deleted. The law of your country may set a limit."""
    radius: Radius = Radius()


class Fleet(_Section):
    """When a device counts as silent, and what is kept of it for how long."""

    silent_hours: Annotated[int, Field(ge=1, le=8_760)] = 48
    """A device that has not informed for so many hours is silent; more than its periodic Inform interval."""
    transcript_days: Annotated[int, Field(ge=1, le=3_650)] = 30
    """Transcripts of sessions are deleted after so many days. The history of a device stays."""


class Archive(_Section):
    """Where calls and registrations are kept as Parquet (default `<data_dir>/archive`) and for how many days."""

    folder: Path | None = None
    """Where the Parquet files lie."""
    retention_days: Annotated[int, Field(ge=1, le=3650)] = 90
    """Older days are removed."""


class Paging(_Section):
    """How the on-call person is reached (apprise URLs) and after how many minutes the next one is."""

    urls: tuple[str, ...] = ()
    """Whom to page while the on-call line in the console is empty, in order, as apprise URLs."""
    escalate_minutes: Annotated[int, Field(ge=1, le=1440)] = 5
    """How long a page waits for somebody before the next person is told."""


class Metrics(_Section):
    """Prometheus text of each role on 127.0.0.1 at `base_port` plus the role's place; 0 switches it off."""

    base_port: Annotated[int, Field(ge=0, le=65_000)] = 9400
    """First of eight ports on 127.0.0.1, one a role; 0 switches metrics off."""


class Log(_Section):
    """`auto` is console on a terminal and JSON elsewhere."""

    format: Literal["auto", "json", "console"] = "auto"
    """`auto`: for people on a terminal, JSON lines elsewhere."""
    level: Literal["debug", "info", "warning", "error"] = "info"
    """What is at least this serious is written."""


class Settings(BaseSettings):
    """Everything. `database_url` and `nats_url` empty: the engines that `ringfence up` starts inside `data_dir`."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_prefix=PREFIX, env_nested_delimiter="__", hide_input_in_errors=True)

    data_dir: Path
    """Everything this installation owns. `--data-dir` goes before it."""
    database_url: Annotated[str, _url("postgresql", "postgres")] = ""
    """PostgreSQL 15 to 18; empty: the embedded one."""
    nats_url: Annotated[str, _url("nats", "tls")] = ""
    """NATS with JetStream, 2.12 or newer; empty: the embedded one."""
    nats_port: Annotated[int, Field(ge=1, le=65_535)] = 4222
    """Port of the embedded NATS on 127.0.0.1."""
    roles: tuple[RoleName, ...] = ROLES
    """Processes that `ringfence up` starts here."""
    operator: Operator = Operator()
    ingest: Ingest = Ingest()
    detection: Detection = Detection()
    enforcement: Enforcement = Enforcement()
    console: Console = Console()
    api: Api = Api()
    acs: Acs = Acs()
    sessions: Sessions = Sessions()
    fleet: Fleet = Fleet()
    archive: Archive = Archive()
    paging: Paging = Paging()
    metrics: Metrics = Metrics()
    log: Log = Log()

    @model_validator(mode="after")
    def _has_one_truth_about_lines(self) -> Self:
        if self.sessions.feed and self.acs.release_without_feed:
            raise ValueError("acs.release_without_feed is for installations without sessions.feed; set one of them")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003  # pydantic-settings names the arguments, here and below.
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Variables win over the file (which arrives as keyword arguments); nothing else is read."""
        return env_settings, init_settings

    @property
    def run_dir(self) -> Path:
        """Sockets, ready files and the lock of the running installation."""
        return self.data_dir / "run"

    @property
    def keys_dir(self) -> Path:
        """The secrets."""
        return key_folder(self.data_dir)

    @property
    def archive_dir(self) -> Path:
        """The Parquet files."""
        return self.archive.folder or self.data_dir / "archive"

    @property
    def firmware_dir(self) -> Path:
        """The firmware, each file under its hash."""
        return self.acs.firmware.folder or self.data_dir / "firmware"

    @property
    def bus_url(self) -> str:
        """Where NATS is, embedded or not."""
        return self.nats_url or f"nats://127.0.0.1:{self.nats_port}"

    @property
    def postgres_socket_dir(self) -> Path:
        """Folder of the embedded PostgreSQL's socket."""
        return self.run_dir / "postgres"

    @property
    def database(self) -> str:
        """Where PostgreSQL is, embedded or not."""
        return self.database_url or f"postgresql:///ringfence?user=ringfence&host={self.postgres_socket_dir}"

    def resolved(self) -> Self:
        """With the agent and the edge a new installation has, and every default path filled in."""
        keys = self.keys_dir
        agents = self.ingest.agents or (
            Agent(name="kamailio-1", sources=("127.0.0.0/8", "::1/128"), key_file=keys / "agent-kamailio-1.key", trust="hlog"),
        )
        edges = self.enforcement.edges or (Edge(name="kamailio-1", rpc_url="http://127.0.0.1:5065/rpc"),)
        filled = tuple(e.model_copy(update={"token_file": e.token_file or keys / f"edge-{e.name}.token"}) for e in edges)
        return self.model_copy(
            update={
                "ingest": self.ingest.model_copy(update={"agents": agents}),
                "enforcement": self.enforcement.model_copy(update={"edges": filled}),
            }
        )


def default_data_dir() -> Path:
    """`/var/lib/ringfence` for root; else `.run` beside the checkout, or below the current folder when installed otherwise."""
    if os.geteuid() == 0:
        return Path("/var/lib/ringfence")
    checkout = Path(__file__).resolve().parents[3]
    return (checkout if (checkout / "pyproject.toml").exists() else Path.cwd()) / ".run"


def load_settings(*, data_dir: Path | None = None, config: Path | None = None) -> Settings:
    """Read file and variables. Arguments win over variables, variables over the file. OperatorError with one sentence."""
    variables = {name: value for name, value in os.environ.items() if name.startswith(PREFIX)}  # noqa: TID251  # The one reader.
    _refuse_unknown_variables(variables)
    if config is None and variables.get("RINGFENCE_CONFIG"):
        config = Path(variables["RINGFENCE_CONFIG"])
    folder = data_dir or Path(variables.get(f"{PREFIX}DATA_DIR") or default_data_dir())
    file = config or folder / "ringfence.toml"
    content = _read_toml(file, required=config is not None)
    try:
        settings = Settings(**{"data_dir": folder, **content})
    except (ValidationError, SettingsError) as error:
        raise OperatorError(_sentence(error, file, variables), reason="bad_setting") from None
    folder = data_dir or settings.data_dir
    return settings.model_copy(update={"data_dir": folder.expanduser().absolute()}).resolved()


def _read_toml(file: Path, *, required: bool) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        if required:
            raise OperatorError(f"Settings file {file} does not exist.", reason="settings_missing") from None
        return {}
    except tomllib.TOMLDecodeError as error:
        raise OperatorError(f"Settings file {file} is not TOML: {error}.", reason="settings_syntax") from error
    except (OSError, UnicodeDecodeError) as error:
        raise OperatorError(f"Settings file {file} cannot be read: {error}.", reason="settings_unreadable") from error


def _refuse_unknown_variables(variables: Mapping[str, str]) -> None:
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    for name in sorted(variables):
        if name not in OTHER_VARIABLES and name.split("__")[0] not in known:
            hint = _closest(name, [*known, *OTHER_VARIABLES])
            raise OperatorError(f"Environment variable {name} is no setting{hint}; correct or unset it.", reason="unknown_setting")


def _sentence(error: ValidationError | SettingsError, file: Path, variables: Mapping[str, str]) -> str:
    """One sentence about the first mistake: which key, where it stands, what is wrong, what to do."""
    if isinstance(error, SettingsError):
        return f"An environment variable RINGFENCE_* holds a list or table that is not JSON: {error}."
    first = error.errors(include_input=False, include_url=False)[0]
    path = [str(part) for part in first["loc"]]
    key = ".".join(path)
    place = _place(path, file, variables)
    if first["type"] == "extra_forbidden":
        return f"{key} in {place} is no setting{_closest(path[-1], _siblings(path))}; correct or remove it."
    message = first["msg"].removeprefix("Value error, ").rstrip(".")
    return f"{key} in {place} is wrong: {message[:1].lower()}{message[1:]}."


def _place(path: list[str], file: Path, variables: Mapping[str, str]) -> str:
    for length in range(len(path), 0, -1):
        name = PREFIX + "__".join(path[:length]).upper()
        if name in variables:
            return f"environment variable {name}"
    return str(file)


def _siblings(path: list[str]) -> list[str]:
    """The keys that would have been possible where the unknown one stands."""
    section: Any = Settings
    for part in path[:-1]:
        if part.isdecimal():
            continue
        annotation = section.model_fields[part].annotation
        inner = next((kind for kind in get_args(annotation) if isinstance(kind, type) and issubclass(kind, BaseModel)), annotation)
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return []
        section = inner
    return list(section.model_fields)


def _closest(word: str, words: list[str]) -> str:
    found = difflib.get_close_matches(word, words, n=1)
    return f" (did you mean {found[0]}?)" if found else ""
