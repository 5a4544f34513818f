"""A real Kamailio in a folder of its own, for tests, drills and benches: the stock Debian configuration with the Ringfence include.

It pastes exactly the lines that `deploy/kamailio/README.md` asks of an operator, adds a gateway and subscribers, starts the program and
stops it with all its children. The one thing to know: settings come in as text, because this room may not ask enforcement for them.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Self

from ringfence.base.clock import monotonic_seconds
from ringfence.base.errors import OperatorError, UnavailableError

STOCK_CONFIGURATION = Path("/etc/kamailio/kamailio.cfg")
INCLUDE = Path(__file__).parents[3] / "deploy" / "kamailio" / "ringfence.cfg"
DOMAIN = "edge.test"
START_SECONDS = 15.0
STOP_SECONDS = 5.0

_MARK_INCLUDES = "####### Routing Logic ########"
_MARK_EARLY = "\troute(WITHINDLG);\n"
_MARK_FAIL = '\t\t\tauth_challenge("$fd", "0");\n'
_MARK_OK = "\t\t# user authenticated - remove auth header\n"
_MARK_IP = "\t\t# source IP allowed\n"
_STOCK_CHECK = 'auth_check("$fd", "subscriber", "1")'
_OWN_CHECK = 'pv_auth_check("$fd", "$sht(sim_password=>$au)", "0", "1")'
_OWN_PASSWORDS = """#!ifndef MOD_htable
loadmodule "htable.so"
#!endif
modparam("htable", "db_url", "text://{folder}/db")
modparam("htable", "htable", "sim_password=>size=16;dbtable=sim_password;")
"""


class Authentication(StrEnum):
    """Who checks passwords."""

    STOCK = "stock"
    """auth_db of the stock configuration, over text files; looks through all accounts, so for thousands at most."""
    OWN = "own"
    """The operator's own check (pv_auth_check) against a table in memory; for some ten thousand accounts."""
    ONE = "one"
    """One password for whatever account is named, for more accounts than a text table can be loaded with."""
    NONE = "none"
    """No WITH_AUTH at all; route calls are pasted where there is something to paste them to."""


@dataclass(slots=True, kw_only=True)
class RunningKamailio:
    """A started Kamailio. Use as a context manager, or call `stop`."""

    folder: Path
    sip_address: tuple[str, int]
    command: tuple[str, ...]
    process: subprocess.Popen[bytes]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Process id of the main process, which leads the process group of all."""
        return self.process.pid

    def log(self) -> str:
        """What it printed so far."""
        return (self.folder / "kamailio.log").read_text(errors="replace")

    def processes(self) -> list[int]:
        """Ids of all its living processes; those that ended and wait for their parent to look are left out."""
        return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and self._lives(int(entry.name))]

    def cpu_seconds(self) -> float:
        """CPU time of all its processes so far, to the nanosecond (the scheduler's own account, not ticks)."""
        spent = 0
        for process in self.processes():
            try:
                spent += int(Path(f"/proc/{process}/schedstat").read_text().split()[0])
            except OSError:
                continue
        return spent / 1e9

    def stop(self) -> None:
        """End it in order; what does not end in five seconds is killed."""
        members = self.processes()
        self._signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(STOP_SECONDS)
        self._end(members)

    def kill(self) -> None:
        """End the main process and every child by kill -9; returns when none is left."""
        self._end(self.processes())

    def start_again(self) -> None:
        """Start after `stop` or `kill`, with empty tables, as a restart does."""
        self.process = _launch(self.command, self.folder)
        _wait_until_ready(self)

    def restart(self) -> None:
        """Stop and start."""
        self.stop()
        self.start_again()

    def _end(self, members: list[int]) -> None:
        deadline = monotonic_seconds() + STOP_SECONDS
        self._signal(signal.SIGKILL)
        self.process.wait()
        # Asked one by one: a listing of /proc while processes end may miss some that still live.
        while any(self._lives(member) for member in members):
            if monotonic_seconds() > deadline:
                raise UnavailableError("Kamailio does not end; look for stopped processes", reason="kamailio_stop")
            time.sleep(0.005)

    def _lives(self, process: int) -> bool:
        try:
            state, _, group = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[:3]
        except (OSError, ValueError):
            return False
        return group == str(self.pid) and state not in {"Z", "X"}

    def _signal(self, number: signal.Signals) -> None:
        # The group outlives its leader as long as one child lives.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)


def start_kamailio(
    folder: Path,
    *,
    sip_port: int,
    settings: str,
    accounts: Mapping[str, str],
    gateway: tuple[str, int] = ("127.0.0.1", 9),
    authentication: Authentication = Authentication.STOCK,
    options: Sequence[str] = (),
    children: int = 2,
    shared_megabytes: int = 64,
    package_megabytes: int = 8,
    include: Path | None = INCLUDE,
) -> RunningKamailio:
    """Write a configuration into `folder`, start Kamailio on 127.0.0.1:`sip_port` (UDP and TCP) and wait until it answers.

    `settings` is the text of `ringfence-settings.cfg` (RPC listener, HEP address and keys are in it). `accounts` maps account to password
    in the domain `edge.test`. Numbers go to `gateway`, emergency calls too and without credentials. `options` are further WITH_ names of
    the stock configuration. `include=None` starts the same server without Ringfence, for comparison. UnavailableError when Kamailio is
    not installed or does not start; its message ends with what Kamailio said.
    """
    program = find_kamailio()
    write_configuration(
        folder,
        sip_port=sip_port,
        settings=settings,
        accounts=accounts,
        gateway=gateway,
        authentication=authentication,
        options=options,
        children=children,
        include=include,
    )
    command = (
        *(program, "-f", str(folder / "kamailio.cfg"), "-DD", "-E", "-Y", str(folder), "-w", str(folder)),
        *("-m", str(shared_megabytes), "-M", str(package_megabytes)),
    )
    running = RunningKamailio(folder=folder, sip_address=("127.0.0.1", sip_port), command=command, process=_launch(command, folder))
    _wait_until_ready(running)
    return running


def find_kamailio() -> str:
    """Path of the program; UnavailableError names the Debian package."""
    program = shutil.which("kamailio") or shutil.which("kamailio", path="/usr/sbin")
    if program is None or not STOCK_CONFIGURATION.exists():
        raise UnavailableError("Kamailio is not installed; apt-get install kamailio", reason="peer_missing")
    return program


def check_configuration(folder: Path) -> str:
    """`kamailio -c` on a written configuration: an empty text when it loads, else what Kamailio said."""
    done = subprocess.run(
        [find_kamailio(), "-f", str(folder / "kamailio.cfg"), "-c", "-Y", str(folder)], capture_output=True, text=True, check=False
    )
    return "" if done.returncode == 0 else done.stderr


def write_configuration(
    folder: Path,
    *,
    sip_port: int,
    settings: str,
    accounts: Mapping[str, str],
    gateway: tuple[str, int],
    authentication: Authentication,
    options: Sequence[str] = (),
    children: int = 2,
    include: Path | None = INCLUDE,
) -> None:
    """The stock configuration with the pasted lines, its local definitions, the settings and the subscribers."""
    folder.mkdir(parents=True, exist_ok=True)
    text = STOCK_CONFIGURATION.read_text()
    text = text.replace("children=8", f"children={children}").replace('pstn.gw_ip = ""', f'pstn.gw_ip = "{gateway[0]}"')
    text = text.replace('pstn.gw_port = ""', f'pstn.gw_port = "{gateway[1]}"')
    # The operator's own dial rules, which the stock file asks to be adapted: all numbers go to the gateway.
    text = text.replace(r'$rU=~"^(\+|00)[1-9][0-9]{3,20}$"', r'$rU=~"^[+*#0-9][-.()*#0-9]+$"')
    own = authentication is Authentication.OWN
    if own:
        passwords = _OWN_PASSWORDS.format(folder=folder)
        text = text.replace(_STOCK_CHECK, _OWN_CHECK).replace(_MARK_INCLUDES, f"{passwords}\n{_MARK_INCLUDES}")
    if authentication is Authentication.ONE:
        text = text.replace(_STOCK_CHECK, _one_check(accounts))
        accounts = {}
    if include is not None:
        text = _pasted(text, folder, include, options, gateway)
    local = ["#!define WITH_PSTN", *(f"#!define {option}" for option in options)]
    local += [f"listen=udp:127.0.0.1:{sip_port}", f"listen=tcp:127.0.0.1:{sip_port}", f'alias="{DOMAIN}"']
    local += [f'#!define DBURL "text://{folder}/db"', 'loadmodule "db_text.so"']
    local.append(f'modparam("db_text", "max_result_rows", {max(len(accounts), 1) + 1})')
    if authentication is not Authentication.NONE:
        local.append("#!define WITH_AUTH")
    _write_subscribers(folder / "db", accounts)
    (folder / "kamailio-local.cfg").write_text("\n".join([*local, ""]))
    (folder / "kamailio.cfg").write_text(text)
    settings_path = folder / "ringfence-settings.cfg"
    settings_path.touch(mode=0o600)
    settings_path.write_text(settings)


def _pasted(text: str, folder: Path, include: Path, options: Sequence[str], gateway: tuple[str, int]) -> str:
    emergency = (
        '\tif ($avp(rf_emergency) == 1 && is_method("INVITE")) {\n'
        "\t\trecord_route();\n"
        f'\t\t$ru = "sip:emergency@{gateway[0]}:{gateway[1]}";\n'
        "\t\troute(RELAY);\n"
        "\t}\n"
    )
    pastes = [
        (_MARK_INCLUDES, f'include_file "{folder}/ringfence-settings.cfg"\ninclude_file "{include}"\n\n{_MARK_INCLUDES}'),
        (_MARK_EARLY, f"\troute(RF_EARLY);\n{_MARK_EARLY}{emergency}"),
        (_MARK_FAIL, f"\t\t\troute(RF_AUTH_FAIL);\n{_MARK_FAIL}"),
        (_MARK_OK, f"\t\troute(RF_AUTH_OK);\n{_MARK_OK}"),
        (_MARK_IP, f"\t\troute(RF_NUMBERS);\n{_MARK_IP}"),
    ]
    if "WITH_JSONRPC" in options:
        pastes.append(("event_route[xhttp:request] {\n", "event_route[xhttp:request] {\n\troute(RF_RPC);\n"))
    for mark, pasted in pastes:
        if mark not in text:
            raise OperatorError(f"{STOCK_CONFIGURATION} is not the stock file of Debian: it lacks {mark.strip()!r}", reason="not_stock")
        text = text.replace(mark, pasted, 1)
    return text


def _one_check(accounts: Mapping[str, str]) -> str:
    """The check that knows one password, which all accounts must share."""
    passwords = set(accounts.values())
    if len(passwords) != 1 or not next(iter(passwords)).isalnum():
        raise OperatorError("Authentication.ONE needs accounts that share one alphanumeric password", reason="bad_accounts")
    return f'pv_auth_check("$fd", "{passwords.pop()}", "0", "1")'


def _write_subscribers(folder: Path, accounts: Mapping[str, str]) -> None:
    """Tables of db_text: a header of columns, then a row a line, `:` between and escaped within."""
    folder.mkdir(exist_ok=True)
    subscribers = ["id(int) username(string) domain(string) password(string)"]
    passwords = ["id(int) key_name(string) key_type(int) value_type(int) key_value(string) expires(int)"]
    for number, (account, password) in enumerate(accounts.items(), start=1):
        name, secret = (text.replace("\\", "\\\\").replace(":", "\\:") for text in (account, password))
        subscribers.append(f"{number}:{name}:{DOMAIN}:{secret}")
        passwords.append(f"{number}:{name}:0:0:{secret}:0")
    versions = ["table_name(string) table_version(int)", "subscriber:7", "sim_password:2", "address:6", "location:9", "acc:5", "version:1"]
    addresses = ["id(int) grp(int) ip_addr(string) mask(int) port(int) tag(string,null)"]
    tables = {"subscriber": subscribers, "sim_password": passwords, "address": addresses, "version": versions}
    for table, rows in tables.items():
        (folder / table).write_text("\n".join([*rows, ""]))


def _launch(command: Sequence[str], folder: Path) -> subprocess.Popen[bytes]:
    with (folder / "kamailio.log").open("ab") as log:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder, start_new_session=True)


def _wait_until_ready(running: RunningKamailio) -> None:
    """Until an OPTIONS for the server itself is answered, which the stock configuration does with 200 Keepalive."""
    deadline = monotonic_seconds() + START_SECONDS
    host, port = running.sip_address
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.settimeout(0.2)
        probe.connect((host, port))
        own = probe.getsockname()[1]
        number = 0
        while monotonic_seconds() < deadline and running.process.poll() is None:
            number += 1
            lines = (
                f"OPTIONS sip:{host}:{port} SIP/2.0",
                f"Via: SIP/2.0/UDP {host}:{own};branch=z9hG4bKready{number}",
                f"From: <sip:ready@{DOMAIN}>;tag=r{number}",
                f"To: <sip:{host}:{port}>",
                f"Call-ID: ready{number}-{own}",
                f"CSeq: {number} OPTIONS",
                "Max-Forwards: 5",
                "Content-Length: 0",
            )
            try:
                probe.send("\r\n".join([*lines, "", ""]).encode())
                if probe.recv(4096).startswith(b"SIP/2.0 200"):
                    return
            except TimeoutError:
                continue
            except ConnectionRefusedError:
                time.sleep(0.05)
    said = " | ".join(line for line in running.log().splitlines() if "ERROR" in line or "CRITICAL" in line)[-600:]
    running.kill()
    raise UnavailableError(f"Kamailio did not start; it said: {said}", reason="kamailio_start")
