"""A session's lines as turns: nothing is lost, and faults are seen wherever they stand."""

from hypothesis import given
from hypothesis import strategies as st

from ringfence.apps.console.transcripts import talk

LINES = (
    "device: Inform 1 BOOT",
    "  InternetGatewayDevice.DeviceInfo.SoftwareVersion = 8.20",
    "acs: SetParameterValues, ParameterKey k1",
    "  InternetGatewayDevice.Time.NTPServer1 = (hidden)",
    "device: Fault 9003 Invalid arguments",
    "  InternetGatewayDevice.Time.NTPServer1: 9007 Invalid parameter value",
    "device: TransferComplete of o-1: fault 9010 File transfer failure",
    "A Reboot is under way already.",
    "The session ended before its time: time-out.",
)


def test_turns_with_what_they_listed_and_their_faults() -> None:
    found = talk("s", 1, LINES)
    assert [turn.who for turn in found.turns] == ["device", "acs", "device", "device", "", ""]
    assert [turn.fault for turn in found.turns] == [False, False, True, True, False, True]
    assert found.turns[0].listed == ("InternetGatewayDevice.DeviceInfo.SoftwareVersion = 8.20",)
    assert found.faults == 3


@given(st.lists(st.sampled_from([*LINES, "  ", "device: ", "acs:", "", "  acs: x"])))
def test_every_line_stands_somewhere(lines: list[str]) -> None:
    found = talk("s", 1, lines)
    assert sum(1 + len(turn.listed) for turn in found.turns) == len(lines)
    said = " ".join(f"{turn.head} {' '.join(turn.listed)}" for turn in found.turns)
    assert all(word in said for line in lines for word in line.split() if word not in {"device:", "acs:"})
