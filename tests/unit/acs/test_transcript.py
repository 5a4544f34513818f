"""Transcripts: readable, bounded, and without a secret whatever a device repeats."""

from hypothesis import given
from hypothesis import strategies as st

from ringfence.apps.acs.transcript import MAX_LINE_CHARS, MAX_LINES, MAX_LISTED, Transcript
from ringfence.fleet.image_urls import ImageGrant, sign
from ringfence.protocols.cwmp import SecretNames
from ringfence.protocols.cwmp.messages import (
    AnyQueuedTransfer,
    DeviceId,
    Download,
    DownloadResponse,
    Event,
    FactoryReset,
    Fault,
    GetAllQueuedTransfersResponse,
    GetParameterNames,
    GetParameterNamesResponse,
    GetParameterValues,
    GetParameterValuesResponse,
    Inform,
    ParameterFault,
    ParameterInfo,
    ParameterValue,
    Reboot,
    SetParameterValues,
    TransferComplete,
    Upload,
)

NAMES = SecretNames()
ROOT = "InternetGatewayDevice."
SECRET = "planted-secret-4711"


def value(name: str, text: str) -> ParameterValue:
    return ParameterValue(ROOT + name, text)


def test_a_session_reads_as_it_was() -> None:
    transcript = Transcript(NAMES)
    transcript.opens(Inform(DeviceId(), (Event("1 BOOT"), Event("M Reboot", "o-1")), retry_count=2, parameters=(value("A", "1"),)))
    transcript.acs(GetParameterValues((ROOT + "B",)))
    transcript.device(GetParameterValuesResponse((value("B", "text"),)))
    transcript.acs(SetParameterValues((value("B", "other"),), "k-1"))
    transcript.device(Fault(9003, "Invalid arguments", (ParameterFault(ROOT + "B", 9007, "no"),)))
    transcript.acs(GetParameterNames(ROOT))
    transcript.device(GetParameterNamesResponse((ParameterInfo(ROOT + "A"),)))
    transcript.acs(Reboot("o-2"))
    transcript.device(DownloadResponse(1))
    transcript.device(TransferComplete("", 9010, "power"))
    transcript.device(GetAllQueuedTransfersResponse((AnyQueuedTransfer("o-3", 2),)))
    transcript.acs(FactoryReset())
    assert transcript.taken() == (
        "device: Inform 1 BOOT, M Reboot (o-1), retry 2",
        f"  {ROOT}A = 1",
        "acs: GetParameterValues of 1 names",
        f"  {ROOT}B",
        "device: GetParameterValuesResponse, 1 values",
        f"  {ROOT}B = text",
        "acs: SetParameterValues, ParameterKey k-1",
        f"  {ROOT}B = other",
        "device: Fault 9003 Invalid arguments",
        f"  {ROOT}B: 9007 Invalid parameter value (no)",
        f"acs: GetParameterNames below {ROOT}",
        "device: GetParameterNamesResponse, 1 names",
        "acs: Reboot, CommandKey o-2",
        "device: DownloadResponse, Status 1",
        "device: TransferComplete of no CommandKey: fault 9010 File transfer failure (power)",
        "device: GetAllQueuedTransfersResponse, 1 transfers",
        "  o-3, state 2",
        "acs: FactoryReset",
    )


def test_secrets_are_hidden_by_name_and_where_a_device_repeats_them_by_value() -> None:
    transcript = Transcript(NAMES)
    transcript.hide([SECRET, "abc"])
    transcript.opens(Inform(parameters=(value("ManagementServer.Password", "own-password"),)))
    transcript.acs(SetParameterValues((value("Services.VoiceService.1.VoiceProfile.1.Line.1.SIP.AuthPassword", SECRET),)))
    transcript.device(Fault(9007, f"{SECRET} is too long", (ParameterFault(ROOT + "X", 9007, f"bad: {SECRET}"),)))
    transcript.device(GetParameterValuesResponse((value("DeviceInfo.DeviceLog", "x" * 75 + SECRET), value("DeviceInfo.Note", SECRET))))
    transcript.acs(Upload("o-1", url="https://anna:secret-word@h/f?token=abcdef", password="upload-password"))
    transcript.note(f"it said {SECRET}")
    text = "\n".join(transcript.taken())
    for hidden in (SECRET, SECRET[:8], "own-password", "secret-word", "abcdef", "upload-password"):
        assert hidden not in text, hidden
    assert "AuthPassword = ***" in text


def test_a_firmware_link_is_shown_without_what_opens_it() -> None:
    path = sign(b"k" * 32, ImageGrant(digest="a" * 64, device_id=7, size=100, expires_s=2_000_000_000))
    transcript = Transcript(NAMES)
    transcript.acs(Download("o-1", url=f"https://files.example{path}", file_size=100))
    text = "\n".join(transcript.taken())
    assert path.rpartition("/")[2] not in text
    assert f"https://files.example/firmware/{'a' * 64}/7/100/2000000000/***" in text


@given(st.lists(st.text(max_size=400), max_size=60), st.integers(1, 40))
def test_it_is_bounded_whatever_comes(texts: list[str], times: int) -> None:
    transcript = Transcript(NAMES)
    message = GetParameterValuesResponse(tuple(ParameterValue(text, text) for text in texts))
    for _ in range(times):
        transcript.device(message)
    lines = transcript.taken()
    assert len(lines) <= MAX_LINES
    assert all(len(line) <= MAX_LINE_CHARS and line.isprintable() for line in lines)
    if len(texts) > MAX_LISTED:
        assert lines[MAX_LISTED + 1] == f"  and {len(texts) - MAX_LISTED} more"


def test_of_a_session_without_end_it_says_that_it_went_on() -> None:
    transcript = Transcript(NAMES)
    for _ in range(MAX_LINES * 2):
        transcript.acs(Reboot("o-1"))
    assert len(transcript.taken()) == MAX_LINES
    assert transcript.taken()[-1] == "The session went on; no more of it is written down."
