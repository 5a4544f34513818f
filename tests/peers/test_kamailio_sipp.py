"""sipp as a phone and as a gateway: a second opinion on the include by a client that we did not write."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.peers.kamailio import ACCOUNTS, Edge, edge, free_port

pytestmark = [pytest.mark.peer("kamailio"), pytest.mark.peer("sipp")]
__all__ = ["edge"]

SCENARIOS = Path(__file__).parent / "sipp"


@contextmanager
def gateway(edge: Edge, folder: Path) -> Iterator[None]:
    command = ["sipp", "-sf", str(SCENARIOS / "gateway.xml"), "-i", "127.0.0.1", "-p", str(edge.gateway_port), "-nostdin"]
    with (folder / "gateway.log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder)
        try:
            yield
        finally:
            process.kill()
            process.wait()


def calls(edge: Edge, folder: Path, scenario: str, account: str, number: str, count: int = 20) -> int:
    """sipp's exit code: 0 when every call went as the scenario says."""
    injected = folder / "fields.csv"
    injected.write_text(f"SEQUENTIAL\n{account};[authentication username={account} password={ACCOUNTS[account]}];{number}\n")
    host, port = edge.kamailio.sip_address
    done = subprocess.run(
        [
            *("sipp", f"{host}:{port}", "-sf", str(SCENARIOS / f"{scenario}.xml"), "-inf", str(injected), "-i", "127.0.0.1"),
            *("-p", str(free_port()), "-m", str(count), "-r", "50", "-timeout", "15", "-recv_timeout", "3000", "-nostdin"),
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        cwd=folder,
        check=False,
    )
    return done.returncode


def test_fraud_is_refused_while_others_and_emergency_calls_go_through(edge: Edge, tmp_path: Path) -> None:
    with gateway(edge, tmp_path):
        assert calls(edge, tmp_path, "answered", "alice", "+23276123456") == 0
        edge.impose("a:alice", "C3")
        assert calls(edge, tmp_path, "refused", "alice", "+23276123456") == 0
        assert calls(edge, tmp_path, "answered", "alice", "+23276123456", count=1) != 0
        assert calls(edge, tmp_path, "answered", "alice", "03012345678") == 0
        assert calls(edge, tmp_path, "answered", "bob", "+23276123456") == 0
        edge.impose("a:alice")
        edge.impose("s:127.0.0.1")
        assert calls(edge, tmp_path, "emergency", "alice", "112") == 0
