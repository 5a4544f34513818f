from ringfence.protocols.sip import SipMessage, request, response
from ringfence.telephony.call_records import read_registration
from ringfence.telephony.model import AccountRow, Kind
from ringfence.telephony.registrations import BINDINGS, LAPSE_GRACE_MS
from tests.unit.telephony.wire import NOW, PHONE, SERVER, STRANGER, Wire, agent, challenged, pipeline, verdict, with_credentials


def register(
    *, account: str = "alice", call_id: str = "r1", cseq: int = 2, expires: int = 3600, agent_name: str = "Phone/1", port: int = 5060
) -> SipMessage:
    return request(
        "REGISTER", "sip:example.net", call_id=call_id, from_uri=f"sip:{account}@example.net", from_tag="f", to_uri=f"sip:{account}@example.net",
        cseq=cseq, contact=f"sip:{account}@{PHONE[0]}:{port}", expires=expires, user_agent=agent_name,
    )  # fmt: skip


def accepted(wire: Wire, message: SipMessage, *, account: str = "alice", peer_ip: str = PHONE[0]) -> None:
    wire.sip(with_credentials(message, account=account, nonce="n"), PHONE, SERVER)
    wire.event(verdict(message, account=account, peer_ip=peer_ip, user_agent=message.user_agent))


def test_the_first_sight_is_published_and_a_refresh_is_not() -> None:
    wire = Wire(pipeline())
    for cseq in range(2, 12):
        accepted(wire, register(cseq=cseq))
        wire.pass_time(600_000)
    assert wire.kinds() == ["REGISTRATION"]
    row = wire.rows[0]
    assert (row.account, row.contact, row.expires, row.status_code, row.source_ip) == (
        "alice",
        "sip:alice@198.51.100.7:5060",
        3600,
        200,
        PHONE[0],
    )


def test_a_change_of_source_user_agent_or_contact_is_published() -> None:
    wire = Wire(pipeline())
    accepted(wire, register(cseq=2))
    accepted(wire, register(cseq=3), peer_ip=STRANGER[0])
    accepted(wire, register(cseq=4, agent_name="scanner"))
    accepted(wire, register(cseq=5, port=5062))
    accepted(wire, register(cseq=6))
    assert wire.kinds() == ["REGISTRATION"] * 4


def test_a_few_phones_of_one_account_take_no_turns_in_being_news() -> None:
    wire = Wire(pipeline())
    for turn in range(5):
        for phone in range(BINDINGS):
            accepted(wire, register(cseq=2 + turn, call_id=f"p{phone}", port=6000 + phone))
    assert len(wire.rows) == BINDINGS


def test_lapse_and_return_are_published() -> None:
    wire = Wire(pipeline())
    accepted(wire, register(expires=600))
    assert wire.pass_time(600_000) == []
    lapse = wire.pass_time(LAPSE_GRACE_MS + 61_000)
    assert [(row.status_code, row.expires, row.account) for row in lapse] == [(408, 0, "alice")]
    assert lapse[0].at_ms < wire.now
    accepted(wire, register(cseq=3))
    assert len(wire.rows) == 3
    accepted(wire, register(cseq=4, expires=0))
    assert wire.rows[-1].expires == 0
    wire.pass_time(10_000_000)
    assert len(wire.rows) == 4


def test_a_server_that_challenges_decides_by_its_own_answer() -> None:
    wire = Wire(pipeline(agent("asterisk", trust="challenge")))
    first, second = register(cseq=1), with_credentials(register(cseq=2), account="alice", nonce="n1")
    wire.sip(first, PHONE, SERVER)
    wire.sip(challenged(first, "n1", status=401), SERVER, PHONE)
    wire.sip(second, PHONE, SERVER)
    wire.sip(response(second, 200), STRANGER, SERVER)
    assert wire.rows == []
    wire.sip(response(second, 200), SERVER, PHONE)
    wire.sip(response(second, 200), SERVER, PHONE)
    assert wire.kinds() == ["REGISTRATION"]


def test_refused_or_made_up_credentials_charge_no_account() -> None:
    wire = Wire(pipeline(agent("asterisk", trust="challenge")))
    first, wrong = register(account="victim", cseq=1), with_credentials(register(account="victim", cseq=2), account="victim", nonce="n1")
    wire.sip(first, STRANGER, SERVER)
    wire.sip(challenged(first, "n1", status=401), SERVER, STRANGER)
    wire.sip(wrong, STRANGER, SERVER)
    wire.sip(challenged(wrong, "n2", status=401), SERVER, STRANGER)
    invented = with_credentials(register(account="victim", cseq=9, call_id="x"), account="victim", nonce="invented")
    wire.sip(invented, STRANGER, SERVER)
    wire.sip(response(invented, 200), SERVER, STRANGER)
    assert [(row.kind, row.account, row.account_key, row.source_ip) for row in wire.rows] == [(Kind.AUTH_FAILURE, "", 0, STRANGER[0])]


def test_accounts_beyond_the_capacity_are_forgotten_and_counted() -> None:
    wire = Wire(pipeline(accounts=50))
    for number in range(200):
        accepted(wire, register(account=f"a{number}", call_id=f"r{number}"), account=f"a{number}")
    figures = wire.to.figures()
    assert figures["known_registrations"] == 50
    assert figures["account_forgotten_total"] == 150


def test_a_registration_record_is_news_as_a_register_is_and_refused_credentials_charge_no_account() -> None:
    found = pipeline()

    def give(**fields: object) -> list[AccountRow]:
        row = {"at": "2026-03-01T10:00:00Z", "account": "alice", "source_ip": "192.0.2.1", "user_agent": "x", "contact": "sip:a@192.0.2.1"}
        return found.receive_registration_record(read_registration({**row, "expires": "3600", "status_code": "200", **fields}), "r", NOW)

    (first,) = give()
    assert (first.kind, first.account, first.source_ip, first.edge, first.expires, first.flags) == (
        Kind.REGISTRATION, "alice", "192.0.2.1", "r", 3600, 0
    )  # fmt: skip
    assert give(at="2026-03-01T10:30:00Z") == []
    (moved,) = give(source_ip="198.51.100.7")
    assert moved.source_ip == "198.51.100.7"
    (refused,) = give(status_code="403")
    assert (refused.kind, refused.account, refused.caller, refused.status_code) == (Kind.AUTH_FAILURE, "", "alice", 403)
