from ipaddress import ip_address
from pathlib import Path

import pytest

from ringfence.apps.ingest.origins import open_hot_numbers, open_origins
from ringfence.archive.origin_files import MaxMind
from ringfence.base.errors import OperatorError
from ringfence.telephony.model import Flag, country_code
from ringfence.telephony.networks import UNKNOWN, Origin

HERE = ip_address("203.0.113.7")


class Reader:
    """What a MaxMind DB answers, in the shapes of several publishers."""

    def __init__(self, record: object) -> None:
        self.record = record

    def get(self, _address: object) -> object:
        if self.record is ValueError:
            raise ValueError("an IPv6 address in a file of IPv4")
        return self.record


@pytest.mark.parametrize(
    ("record", "origin"),
    [
        ({"autonomous_system_number": 64500, "autonomous_system_organization": "X"}, Origin(64500, 0)),
        ({"country": {"iso_code": "SL"}, "registered_country": {"iso_code": "DE"}}, Origin(0, country_code("SL"))),
        ({"registered_country": {"iso_code": "DE"}}, Origin(0, country_code("DE"))),
        ({"asn": "AS64501", "country": "LV"}, Origin(64501, country_code("LV"))),
        ({"asn": "many", "country": 7}, UNKNOWN),
        (None, UNKNOWN),
        (ValueError, UNKNOWN),
    ],
)
def test_a_maxmind_record_gives_what_it_holds(record: object, origin: Origin) -> None:
    assert MaxMind(Reader(record))(HERE) == origin


def test_tables_and_lists_are_read_and_a_bad_file_is_one_sentence(tmp_path: Path) -> None:
    table, numbers, empty, database = (tmp_path / name for name in ("origins.tsv", "numbers.csv", "empty.tsv", "bad.mmdb"))
    table.write_text("prefix\tasn\tcountry\n203.0.113.0/24\t64500\tSL\n")
    numbers.write_text("number,country\n+23276123456,SL\n")
    empty.write_text("nothing\n")
    database.write_bytes(b"no database")
    assert open_origins(table)(HERE) == Origin(64500, country_code("SL"))
    assert open_hot_numbers(numbers).flags("23276123456") == Flag.LISTED_NUMBER
    for path in (empty, database, tmp_path / "missing.tsv", tmp_path / "missing.mmdb"):
        with pytest.raises(OperatorError):
            open_origins(path)
    with pytest.raises(OperatorError, match="holds no number"):
        open_hot_numbers(empty)
