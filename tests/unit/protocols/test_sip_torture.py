"""The torture messages of RFC 4475 (3.1 to 3.3): what an observer makes of each.

The RFC asks an endpoint to refuse many of these; an observer reads whatever still says which dialog it belongs to, because the server
it watches may have let it pass. Refused are those without a usable start line, CSeq, Call-ID or To. Long runs are a little shorter
than in the RFC's own files, bodies are simplified.
"""

from pathlib import Path
from typing import NamedTuple

import pytest

from ringfence.base.errors import PeerError
from ringfence.protocols.sip import Contact, Uri, build, parse

CORPUS = Path(__file__).parents[2] / "corpus" / "sip"


class Read(NamedTuple):
    """Method or status code, then what else must be read."""

    kind: str | int
    call_id: str
    cseq: int
    from_tag: str
    to_tag: str
    branch: str
    contact: str
    vias: int


EXPECTED: dict[str, Read | str] = {
    "badaspec": Read("OPTIONS", "badaspec.sdf0234n2nds0a099u23h3hnnw009cdkne3", 3923239, "433423", "", "z9hG4bKkdju43234", "", 1),
    "badbranch": Read("OPTIONS", "badbranch.sadonfo23i420jv0as0derf3j3n", 8, "33242", "", "z9hG4bK", "", 1),
    "baddate": Read(
        "INVITE", "baddate.239423mnsadf3j23lj42--sedfnm234", 1392934, "2234923", "", "z9hG4bKkdjuw", "sip:caller@host5.example.net", 1
    ),
    "baddn": Read("OPTIONS", "baddn.31415@c.example.com", 3923239, "43", "", "z9hG4bKkdjuw", "", 1),
    "badinv01": Read("INVITE", "badinv01.0ha0isndaksdjasdf3234nas", 8, "134161461246", "", "", "sip:joe@example.org", 2),
    "badvers": "bad_version",
    "bcast": Read(
        200, "bcast.0384840201234ksdfak3j2erwedfsASdf", 35, "11141343", "2229", "z9hG4bK1324923", "sip:user@host28.example.com", 2
    ),
    "bext01": Read("OPTIONS", "bext01.0ha0isndaksdj", 8, "242etr", "", "z9hG4bKkdjuw", "", 1),
    "bigcode": "bad_start_line",
    "clerr": Read(
        "INVITE", "clerr.0ha0isndaksdjweiafasdk3", 8, "93942939o2", "", "z9hG4bK-39234-23523", "sip:caller@hungry.example.net", 1
    ),
    "cparam01": Read(
        "REGISTER", "cparam01.70710@saturn.example.com", 2, "DkfVgjkrtMwaerKKpe", "", "z9hG4bKkdjuw", "sip:+19725552222@gw1.example.net", 1
    ),
    "cparam02": Read(
        "REGISTER", "cparam02.70710@saturn.example.com", 3, "838293", "", "z9hG4bKkdjuw", "sip:+19725552222@gw1.example.net;unknownparam", 1
    ),
    "dblreq": Read(
        "REGISTER", "dblreq.0ha0isndaksdj99sdfafnl3lk233412", 8, "43251j3j324", "", "z9hG4bKkdjuw23492", "sip:j.user@host.example.com", 1
    ),
    "esc01": Read(
        "INVITE",
        "esc01.239409asdfakjkn23onasd0-3234",
        234234,
        "938",
        "",
        "z9hG4bKkdjuw",
        "sip:cal%6Cer@host5.example.net;%6C%72;n%61me=v%61lue%25%34%31",
        1,
    ),
    "esc02": Read(
        "RE%47IST%45R",
        "esc02.asdfnqwo34rq23i34jrjasdcnl23nrlknsdf",
        29344,
        "f232jadfj23",
        "",
        "z9hG4bK209%fzsnel234",
        "sip:alias1@host1.example.com",
        1,
    ),
    "escnull": Read(
        "REGISTER", "escnull.39203ndfvkjdasfkq3w4otrq0adsfdfnavd", 14398234, "839923423", "", "z9hG4bKkdjuw", "sip:%00@host5.example.com", 1
    ),
    "escruri": Read(
        "INVITE",
        "escruri.23940-asdfhj-aje3br-234q098w-fawerh2q-h4n5",
        149209342,
        "341518",
        "",
        "z9hG4bKkdjuw",
        "sip:caller@host39923.example.net",
        1,
    ),
    "insuf": "no_call_id",
    "intmeth": Read(
        "!interesting-Method0123456789_*+`.%indeed'~",
        "intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{",
        139122385,
        "_token~1'+`*%!-.",
        "",
        "z9hG4bK-.!%66*_+`'~",
        "",
        1,
    ),
    "inv2543": Read("INVITE", "inv2543.1717@ift.client.example.com", 56, "", "", "", "", 1),
    "invut": Read("INVITE", "invut.0ha0isndaksdjadsfij34n23d", 235448, "8392034", "", "z9hG4bKkdjuw", "sip:caller@host5.example.net", 1),
    "longreq": Read(
        "INVITE",
        "longreq.onereallyreallyreallyreallyreallyreallyreallyreallyreallyreallyreallyreallyreallyreallyreallyreallyreallyreallyreallyreallylongcallid",
        3882340,
        "12982982982982982982982982982982982982982982982982982982982982982982982982982982982982982982982982982982982982982982982982982982982982982982982982982982424",
        "",
        "",
        "sip:amazinglylongcallernameamazinglylongcallernameamazinglylongcallernameamazinglylongcallernameamazinglylongcallername@host5.example.net",
        13,
    ),
    "ltgtruri": Read("INVITE", "ltgtruri.1@192.0.2.5", 1, "39291", "", "", "sip:caller@host5.example.net", 1),
    "lwsdisp": Read("OPTIONS", "lwsdisp.1234abcd@funky.example.com", 60, "323", "", "z9hG4bKkdjuw", "", 1),
    "lwsruri": "bad_start_line",
    "lwsstart": Read(
        "INVITE",
        "lwsstart.dfknq234oi243099adsdfnawe3@example.com",
        1893884,
        "8814",
        "",
        "z9hG4bKkdjuw3923",
        "sip:caller@host1.example.net",
        1,
    ),
    "mcl01": Read("OPTIONS", "mcl01.fhn2323orihawfdoa3o4r52o3irsdf", 15932, "3923942", "", "z9hG4bK293423", "", 1),
    "mismatch01": Read("OPTIONS", "mismatch01.dj0234sxdfl3", 8, "34525", "", "z9hG4bKkdjuw", "", 1),
    "mismatch02": Read("NEWMETHOD", "mismatch02.dj0234sxdfl3", 8, "34525", "", "z9hG4bKkdjuw", "sip:caller@host.example.net", 1),
    "mpart01": Read(
        "MESSAGE",
        "3d9485ad0c49859b@Zmx1ZmZ5LW1hYy0xNi5sb2NhbA..",
        1,
        "2fb0dcc9",
        "",
        "z9hG4bK-d87543-4dade06d0bdb11ee-1--d87543-",
        "sip:fluffy@127.0.0.1:5070",
        1,
    ),
    "multi01": Read("INVITE", "multi01.98asdh@192.0.2.1", 5, "3413415", "", "z9hG4bKkdjuw", "sip:caller@host25.example.net", 1),
    "ncl": Read("INVITE", "ncl.0ha0isndaksdj2193423r542w35", 0, "32394234", "", "z9hG4bKkdjuw", "sip:caller@example53.example.net", 1),
    "noreason": Read(
        100, "noreason.asndj203insdf99223ndf", 35, "39ansfi3", "902jndnke3", "z9hG4bK2398ndaoe", "sip:user@host105.example.com", 1
    ),
    "novelsc": Read("OPTIONS", "novelsc.nasdfasser0q239nwsdfasdkl34", 3923423, "384", "", "z9hG4bKkdjuw39234", "", 1),
    "quotbal": "bad_to",
    "regaut01": Read("REGISTER", "regaut01.0ha0isndaksdj", 9338, "87321hj23128", "", "z9hG4bKkdjuw", "", 1),
    "regbadct": Read(
        "REGISTER",
        "regbadct.k345asrl3fdbv@10.0.0.1",
        1,
        "998332",
        "",
        "z9hG4bKkdjuw",
        "sip:user@example.com?Route=%3Csip:sip.example.com%3E",
        1,
    ),
    "regescrt": Read(
        "REGISTER",
        "regescrt.k345asrl3fdbv@192.0.2.1",
        14398234,
        "8",
        "",
        "z9hG4bKkdjuw",
        "sip:user@example.com?Route=%3Csip:sip.example.com%3E",
        1,
    ),
    "scalar02": "bad_cseq",
    "scalarlg": "bad_cseq",
    "sdp01": Read("INVITE", "sdp01.ndaksdj9342dasdd", 8, "234", "", "z9hG4bKkdjuw", "sip:caller@host15.example.net", 1),
    "semiuri": Read("OPTIONS", "semiuri.0ha0isndaksdj", 8, "33242", "", "z9hG4bKkdjuw", "", 1),
    "transports": Read("OPTIONS", "transports.kijh4akdnaqjkwendsasfdj", 60, "323", "", "z9hG4bKkdjuw", "", 5),
    "trws": Read("OPTIONS", "trws.oicu34958239neffasdhr2345r", 238923, "329429089", "", "z9hG4bK299342093", "", 1),
    "unkscm": Read("OPTIONS", "unkscm.nasdfasser0q239nwsdfasdkl34", 3923423, "384", "", "z9hG4bKkdjuw39234", "", 1),
    "unksm2": Read("REGISTER", "unksm2.daksdj@hyphenated-host.example.com", 234902, "3234233", "", "z9hG4bKkdjuw", "name:John_Smith", 1),
    "unreason": Read(200, "unreason.1234ksdfak3j2erwedfsASdf", 35, "11141343", "2229", "z9hG4bK1324923", "sip:user@host198.example.com", 1),
    "wsinv": Read("INVITE", "wsinv.ndaksdj@192.0.2.1", 9, "98asjd8", "1918181833n", "390skdjuw", "sip:jdrosen@example.com", 3),
    "zeromf": Read("OPTIONS", "zeromf.jfasdlfnm2o2l43r5u0asdfas", 39234321, "3ghsd41", "", "z9hG4bKkdjuw2349i", "", 1),
}


def test_the_table_names_every_file() -> None:
    assert {path.stem for path in CORPUS.glob("*.dat")} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_torture(name: str) -> None:
    payload = (CORPUS / f"{name}.dat").read_bytes()
    expected = EXPECTED[name]
    if isinstance(expected, str):
        with pytest.raises(PeerError) as caught:
            parse(payload)
        assert caught.value.reason == expected
        return
    message = parse(payload)
    kind = message.status_code or message.method
    assert expected == Read(
        kind, message.call_id, message.cseq, message.from_tag, message.to_tag, message.branch, message.contact, len(message.vias)
    )
    assert parse(build(message)) == message


def test_escapes_are_resolved_in_users_only() -> None:
    message = parse((CORPUS / "esc01.dat").read_bytes())
    assert Uri.parse(message.request_uri) == Uri("sip", "sips:user@example.com", "example.net")
    assert Uri.parse(message.to_uri).user == "user"
    assert Uri.parse(message.contact).parameters == (("lr", ""), ("name", "value%41"))


def test_both_nulls_stay_escaped() -> None:
    message = parse((CORPUS / "escnull.dat").read_bytes())
    assert message.contacts == (Contact("sip:%00@host5.example.com", None), Contact("sip:%00%00@host5.example.com", None))
    assert Uri.parse(message.from_uri).user == "null-%00-null"


def test_the_second_message_of_a_datagram_is_not_read() -> None:
    assert "joe" not in repr(parse((CORPUS / "dblreq.dat").read_bytes()))
