"""What each role may say."""

import json
from pathlib import Path

from ringfence.runtime.nats_server import SUPERVISOR, build_config, permissions
from ringfence.runtime.settings import ROLES


def publishes(role: str) -> list[str]:
    allowed = permissions(role)["publish"]
    assert isinstance(allowed, list)
    return allowed


def test_only_policy_writes_blocks_and_only_the_worker_writes_control() -> None:
    assert [role for role in ROLES if "$KV.blocks.>" in publishes(role)] == ["policy"]
    assert [role for role in ROLES if "$KV.control.>" in publishes(role)] == ["worker"]
    assert [role for role in ROLES if "suspicion.>" in publishes(role)] == ["detector"]


def test_the_edge_connector_cannot_read_calls() -> None:
    assert not any("LOG_" in subject or "ALERTS" in subject for subject in publishes("edge"))
    assert any("KV_blocks" in subject for subject in publishes("edge"))


def test_nobody_may_create_or_delete_streams_or_hear_the_others_replies() -> None:
    for role in ROLES:
        assert not any(word in subject for subject in publishes(role) for word in ("STREAM.CREATE", "STREAM.DELETE", "STREAM.PURGE"))
        hears = permissions(role)["subscribe"]
        assert isinstance(hears, list)
        assert [subject for subject in hears if subject.startswith("_INBOX")] == [f"_INBOX_{role}.>"]


def test_the_configuration_syncs_every_write_and_stays_on_loopback() -> None:
    users = (SUPERVISOR, *ROLES)
    config = json.loads(build_config(port=4222, folder=Path("/x"), passwords={user: f"secret-{user}" for user in users}))
    assert config["jetstream"]["sync_interval"] == "always"
    assert config["listen"] == "127.0.0.1:4222"
    assert {user["user"]: user["password"] for user in config["authorization"]["users"]} == {user: f"secret-{user}" for user in users}
