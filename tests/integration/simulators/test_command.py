"""`ringfence simulate devices` as a person runs it, towards an ACS that is not there."""

import json
import subprocess
import sys
from pathlib import Path

from tests.harness.engines import free_port


def simulate(*options: str) -> subprocess.CompletedProcess[str]:
    command = (sys.executable, "-m", "ringfence.apps.cli.main", "simulate", "devices", "--no-progress", "--json", *options)
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_devices_with_certificates_ears_and_telephones(tmp_path: Path) -> None:
    behaviour = tmp_path / "quick.toml"
    behaviour.write_text("boot_seconds = [0.0, 0.0]\nfirst_inform_seconds = [0.0, 0.0]\n")
    options = ("--devices", "3", "--seconds", "1", "--listening", "2", "--behaviour", str(behaviour), "--sip", f"127.0.0.1:{free_port()}")
    found = simulate("--acs", f"https://127.0.0.1:{free_port()}/", "--certificates", str(tmp_path / "certificates"), *options)
    assert found.returncode == 0, found.stderr
    figures = json.loads(found.stdout)
    assert (figures["devices"], figures["power"], figures["failed_no_connection"]) == (3, {"up": 3}, 3)
    assert len(list((tmp_path / "certificates").glob("RF*.pem"))) == 3
    assert (tmp_path / "certificates" / "ca.crt").exists()


def test_an_edge_that_is_no_address_is_refused() -> None:
    found = simulate("--acs", "http://127.0.0.1:1/", "--sip", "nonsense")
    assert found.returncode == 2
    assert "is no address such as 127.0.0.1:5060" in found.stderr
