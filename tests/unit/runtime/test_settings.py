"""Each mistake in the settings is one sentence that names the key, the place and what to do."""

from pathlib import Path

import pytest

from ringfence.base.errors import OperatorError
from ringfence.runtime.settings import ROLES, default_data_dir, load_settings, split_address


def load(folder: Path, toml: str = "") -> str:
    """The refusal of these settings."""
    (folder / "ringfence.toml").write_text(toml)
    with pytest.raises(OperatorError) as refused:
        load_settings(data_dir=folder)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_nothing_set_gives_a_whole_installation_on_loopback(tmp_path: Path) -> None:
    settings = load_settings(data_dir=tmp_path)
    assert settings.roles == ROLES
    (agent,) = settings.ingest.agents
    assert (agent.name, agent.trust, agent.key_file) == ("kamailio-1", "hlog", tmp_path / "keys" / "agent-kamailio-1.key")
    (edge,) = settings.enforcement.edges
    assert (edge.rpc_url, edge.token_file) == ("http://127.0.0.1:5065/rpc", tmp_path / "keys" / "edge-kamailio-1.token")
    assert settings.bus_url == "nats://127.0.0.1:4222"
    assert settings.database.endswith(f"host={tmp_path}/run/postgres")
    assert settings.archive_dir == tmp_path / "archive"


@pytest.mark.parametrize(
    ("toml", "sentence"),
    [
        ("[ingest]\nhep_listn = 'x'", "ingest.hep_listn in {file} is no setting (did you mean hep_listen?); correct or remove it."),
        ("colour = 'red'", "colour in {file} is no setting; correct or remove it."),
        ("[[enforcement.edges]]\nname = 'e'\nrpc = 'x'\nrpc_url = 'http://127.0.0.1:1/rpc'", "(did you mean rpc_url?)"),
        ("[ingest]\nhep_listen = 'localhost:9060'", "'localhost' is not an IP address; write one such as 127.0.0.1:9060"),
        ("[ingest]\nhep_listen = '127.0.0.1'", "write it as address:port"),
        ("[ingest]\nhep_listen = '127.0.0.1:99999'", "write it as address:port"),
        ("database_url = 'mysql://x/y'", "database_url in {file} is wrong: not a URL that fits; write one that begins with postgresql://"),
        ("nats_url = 'nats://host:port'", "nats_url in {file} is wrong"),
        ("[[ingest.agents]]\nname = 'a'\nsources = ['192.0.2.1/24']", "is not a network; write one such as 192.0.2.0/24"),
        ("[operator]\ntime_zone = 'Berlin'", "'Berlin' is not a time zone; write one such as Europe/Berlin"),
        ("[console]\nlisten = '0.0.0.0:8080'", "can be reached from outside; set certificate_file and key_file, or trusted_proxy"),
        ("[api]\ncertificate_file = 'x'", "belong together; set both"),
        ("roles = ['ingest', 'exporter']", "roles.1 in {file} is wrong"),
        ("[ingest", "is not TOML"),
    ],
)
def test_a_mistake_in_the_file_is_one_sentence(tmp_path: Path, toml: str, sentence: str) -> None:
    assert sentence.format(file=tmp_path / "ringfence.toml") in load(tmp_path, toml)


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("RINGFENCE_INGST__HEP_LISTEN", "x", "RINGFENCE_INGST__HEP_LISTEN is no setting"),
        ("RINGFENCE_INGEST__HEP_LISTN", "x", "environment variable RINGFENCE_INGEST__HEP_LISTN is no setting (did you mean hep_listen?)"),
        ("RINGFENCE_DETECTION__MODE", "kill", "detection.mode in environment variable RINGFENCE_DETECTION__MODE is wrong"),
        ("RINGFENCE_ROLES", "ingest", "not JSON"),
    ],
)
def test_a_mistake_in_a_variable_names_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, sentence: str
) -> None:
    monkeypatch.setenv(name, value)
    assert sentence in load(tmp_path)


def test_a_secret_in_a_wrong_url_is_not_printed(tmp_path: Path) -> None:
    assert "hunter2" not in load(tmp_path, "database_url = 'mysql://anna:hunter2@db/x'")


def test_variables_win_over_the_file_and_arguments_over_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ringfence.toml").write_text("nats_port = 1\ndata_dir = '/elsewhere'\n[detection]\nmode = 'act'\n[operator]\nname = 'X'\n")
    monkeypatch.setenv("RINGFENCE_DETECTION__MODE", "observe")
    monkeypatch.setenv("RINGFENCE_DATA_DIR", "/also/elsewhere")
    monkeypatch.setenv("RINGFENCE_API_TOKEN", "not a setting, but ours")
    settings = load_settings(data_dir=tmp_path)
    assert (settings.detection.mode, settings.operator.name, settings.nats_port) == ("observe", "X", 1)
    assert settings.data_dir == tmp_path


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="does not exist"):
        load_settings(data_dir=tmp_path, config=tmp_path / "mine.toml")


def test_agents_of_the_operator_keep_their_paths(tmp_path: Path) -> None:
    (tmp_path / "ringfence.toml").write_text(
        "[[ingest.agents]]\nname='sbc'\nsources=['192.0.2.0/24']\ntrust='challenge'\n"
        "[[enforcement.edges]]\nname='p1'\nrpc_url='http://10.0.0.1:5065/rpc'\ntoken_file='/etc/token'\n"
    )
    settings = load_settings(data_dir=tmp_path)
    assert [(agent.name, agent.key_file) for agent in settings.ingest.agents] == [("sbc", None)]
    assert [str(edge.token_file) for edge in settings.enforcement.edges] == ["/etc/token"]


def test_settings_are_frozen(tmp_path: Path) -> None:
    settings = load_settings(data_dir=tmp_path)
    with pytest.raises(ValueError, match="frozen"):
        settings.nats_port = 1


def test_addresses() -> None:
    assert split_address("[::1]:9060") == ("::1", 9060)
    assert split_address("127.0.0.1:0") == ("127.0.0.1", 0)
    for wrong in ("", "::1", "host:1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:70000", "[::1]"):
        with pytest.raises(ValueError, match="such as"):
            split_address(wrong)


def test_the_default_folder_is_the_systems_for_root_and_the_checkouts_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert default_data_dir() == Path("/var/lib/ringfence")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert default_data_dir() == Path(__file__).resolve().parents[3] / ".run"


CLIENT = "[[sessions.radius.clients]]\nname = 'bng'\nsources = ['192.0.2.0/28']\nsecret_file = '/etc/secret'\n"


def test_sessions_are_off_until_they_are_asked_for(tmp_path: Path) -> None:
    settings = load_settings(data_dir=tmp_path)
    assert (settings.sessions.feed, settings.sessions.radius.listen, settings.sessions.retention_days) == (False, "", 7)
    assert (settings.acs.trust_unproven, settings.acs.release_without_feed) == (False, False)
    (tmp_path / "ringfence.toml").write_text("[sessions]\nfeed = true\n[sessions.radius]\nlisten = '192.0.2.5:1813'\n" + CLIENT)
    radius = load_settings(data_dir=tmp_path).sessions.radius
    assert (radius.listen, radius.line, [client.name for client in radius.clients]) == ("192.0.2.5:1813", "circuit_id", ["bng"])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[sessions.radius]\nlisten = '127.0.0.1:1813'\n", "nobody may send"),
        (CLIENT + CLIENT, "two clients have one name"),
        ("[sessions]\nfeed = true\n[acs]\nrelease_without_feed = true\n", "set one of them"),
        ("[sessions.radius]\nline = 'mac'\n", "'circuit_id'"),
    ],
)
def test_sessions_that_contradict_themselves_are_refused(text: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "ringfence.toml").write_text(text)
    with pytest.raises(OperatorError, match=sentence):
        load_settings(data_dir=tmp_path)
