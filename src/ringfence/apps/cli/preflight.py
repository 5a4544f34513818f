"""What can be known to go wrong before anything is started: ports, folders, files, kernel limits.

`up` refuses on the first error, so that nothing is half started; `check` shows all of them. Changes nothing.
"""

import errno
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ringfence.base.errors import OperatorError
from ringfence.runtime.nats_server import find_binary, refuse_taken_port
from ringfence.runtime.postgres import find_binaries
from ringfence.runtime.settings import ROLES, Settings, is_loopback, split_address

RMEM_MAX = Path("/proc/sys/net/core/rmem_max")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One check: `problem` empty means fine; `fatal` ones stop a start."""

    subject: str
    problem: str = ""
    fatal: bool = True


def inspect(settings: Settings) -> Iterator[Finding]:
    """Every check, cheap ones first. Ports are those of the roles that would run."""
    yield _folder(settings.data_dir)
    if not settings.database_url:
        yield _finding("PostgreSQL binaries", find_binaries)
    if not settings.nats_url:
        yield _finding("NATS binary", find_binary)
        yield _port(f"127.0.0.1:{settings.nats_port}", "nats_port")
    yield from _ports(settings)
    yield from _files(settings)
    if "ingest" in settings.roles:
        yield _receive_buffer(settings)


def _ports(settings: Settings) -> Iterator[Finding]:
    roles = settings.roles
    if "ingest" in roles:
        yield _port(settings.ingest.hep_listen, "ingest.hep_listen")
        yield _port(settings.ingest.hep_listen, "ingest.hep_listen", kind=socket.SOCK_DGRAM)
    if "console" in roles:
        yield _port(settings.console.listen, "console.listen")
    if "api" in roles:
        yield _port(settings.api.listen, "api.listen")
    if "acs" in roles:
        yield _port(settings.acs.managed.listen, "acs.managed.listen")
        yield _port(settings.acs.bootstrap.listen, "acs.bootstrap.listen")
        if settings.acs.wake.stun_listen:
            yield _port(settings.acs.wake.stun_listen, "acs.wake.stun_listen", kind=socket.SOCK_DGRAM)
    if "worker" in roles and settings.sessions.radius.listen:
        yield _port(settings.sessions.radius.listen, "sessions.radius.listen", kind=socket.SOCK_DGRAM)
    if settings.metrics.base_port:
        for role in roles:
            yield _port(f"127.0.0.1:{settings.metrics.base_port + ROLES.index(role)}", "metrics.base_port")


def _files(settings: Settings) -> Iterator[Finding]:
    """Files that the settings name and that we do not make ourselves."""
    keys = settings.keys_dir
    named = [("ingest.agents.key_file", agent.key_file) for agent in settings.ingest.agents]
    named += [("ingest.call_records.url_file", source.url_file) for source in settings.ingest.call_records]
    named += [("enforcement.edges.token_file", edge.token_file) for edge in settings.enforcement.edges]
    named += [("sessions.radius.clients.secret_file", client.secret_file) for client in settings.sessions.radius.clients]
    named += [("detection.rules_file", settings.detection.rules_file)]
    for name, surface in (("console", settings.console), ("api", settings.api)):
        named += [(f"{name}.certificate_file", surface.certificate_file), (f"{name}.key_file", surface.key_file)]
    for lane, chosen in (("managed", settings.acs.managed), ("bootstrap", settings.acs.bootstrap)):
        named += [(f"acs.{lane}.{field}", getattr(chosen, field)) for field in ("certificate_file", "key_file", "client_ca_file")]
    for name, path in named:
        if path is not None and path.parent != keys and not os.access(path, os.R_OK):
            yield Finding(subject=name, problem=f"{name} names {path}, which cannot be read; create it or correct the setting.")


def _folder(folder: Path) -> Finding:
    """Whether the data folder is, or can be made, ours to write."""
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if existing.is_dir() and os.access(existing, os.W_OK | os.X_OK):
        return Finding(subject=f"data folder {folder}")
    return Finding(
        subject=f"data folder {folder}",
        problem=f"{folder} cannot be written; give the user write access or choose another --data-dir.",
    )


def _port(address: str, setting: str, *, kind: socket.SocketKind = socket.SOCK_STREAM) -> Finding:
    host, port = split_address(address)
    transport = "UDP" if kind is socket.SOCK_DGRAM else "TCP"
    subject = f"{setting} {address} ({transport})"
    try:
        refuse_taken_port(host, port, setting, kind=kind)
    except OperatorError as error:
        return Finding(subject=subject, problem=str(error))
    except OSError as error:
        # A machine without IPv6 cannot even ask.
        reason = "no such kind of address here" if error.errno == errno.EAFNOSUPPORT else error.strerror
        return Finding(subject=subject, problem=f"{address} cannot be used ({reason}); change {setting}.")
    return Finding(subject=subject)


def _receive_buffer(settings: Settings) -> Finding:
    """HEP arrives in bursts on one socket; a small buffer loses datagrams. Root may exceed the limit."""
    wanted = settings.ingest.receive_buffer_bytes
    subject = f"receive buffer {wanted} bytes"
    try:
        limit = int(RMEM_MAX.read_text())
    except OSError:
        return Finding(subject=subject)
    if limit >= wanted or os.geteuid() == 0:
        return Finding(subject=subject)
    return Finding(
        subject=subject,
        problem=f"The kernel allows receive buffers of {limit} bytes; run `sysctl -w net.core.rmem_max={wanted}` as root"
        " so that bursts of HEP are not lost.",
        fatal="receive_buffer_bytes" in settings.ingest.model_fields_set,
    )


def _finding(subject: str, find: object) -> Finding:
    assert callable(find)
    try:
        find()
    except OperatorError as error:
        return Finding(subject=subject, problem=str(error))
    return Finding(subject=subject)


def exposed(settings: Settings) -> list[str]:
    """Surfaces that answer other machines, for the screen."""
    return [surface.listen for surface in (settings.console, settings.api) if not is_loopback(surface.listen)]
