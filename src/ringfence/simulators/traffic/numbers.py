"""Telephone numbers in bulk: written patterns of national plans, filled from 64-bit hashes.

A pattern is digits with places: `x` any digit, `n` two to nine. Every ordinary pattern gives numbers that a numbering plan calls valid
(a test asks `phonenumbers`); what is abused are ranges that published cases and number sellers name. Numbers are int64 without sign, so
that a day of calls is one array. The one thing to know: a phone book is no memory but a hash of who calls and the how-manieth contact.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]


class Patterns:
    """A list of patterns as arrays. `fill` makes one number for each pair of pattern and hash."""

    def __init__(self, patterns: Sequence[str]) -> None:
        heads = [pattern.rstrip("nx") for pattern in patterns]
        places = [pattern[len(head) :] for pattern, head in zip(patterns, heads, strict=True)]
        self.texts = tuple(patterns)
        self._lead = np.array([place.startswith("n") for place in places], np.bool_)
        self._unit = np.array([10 ** max(0, len(place) - 1) for place in places], np.uint64)
        self._base = np.array(
            [int(head) * 10 ** len(place) for head, place in zip(heads, places, strict=True)],
            np.int64,
        )

    def __len__(self) -> int:
        return len(self.texts)

    def fill(self, which: npt.NDArray[np.int64], hashes: Hashes) -> Numbers:
        """Numbers of the patterns `which`, one for each hash."""
        lead = self._lead[which]
        unit = self._unit[which]
        digit = np.where(lead, np.uint64(2) + (hashes >> np.uint64(40)) % np.uint64(8), (hashes >> np.uint64(40)) % np.uint64(10))
        return self._base[which] + (digit * unit + hashes % unit).astype(np.int64)


AREAS: dict[str, int] = {
    "30": 60, "40": 32, "89": 28, "221": 19, "69": 17, "711": 15, "211": 14, "341": 11, "231": 11, "201": 11, "421": 11, "351": 10,
    "511": 10, "911": 9, "203": 9, "234": 7, "202": 7, "521": 7, "228": 7, "251": 6, "621": 6, "721": 6, "821": 6, "611": 6, "531": 5,
    "431": 5, "371": 5, "391": 5, "451": 4, "361": 4, "381": 4, "561": 4, "6131": 4, "681": 4, "331": 4, "541": 3, "6221": 3, "6151": 3,
    "941": 3, "931": 3, "731": 3, "841": 3, "7131": 3, "5251": 3, "5361": 2, "551": 2, "471": 2, "2161": 4, "2151": 4, "2131": 3,
    "7121": 2, "261": 2, "641": 2, "651": 2, "9131": 2, "921": 2, "951": 2, "9721": 1, "8031": 1, "8341": 1, "7531": 1, "4131": 1,
    "4421": 1, "4921": 1, "3641": 2, "3581": 1, "3834": 1, "3461": 1, "2861": 1, "2351": 2, "2271": 2, "2241": 2, "6421": 1,
    "6441": 1, "7071": 2, "7231": 2, "7721": 1, "7821": 1, "8421": 1, "8821": 1, "9621": 1,
}  # fmt: skip
"""Area codes of the home country with the weight of their inhabitants."""

HOME_MOBILE = (
    *("49151nxxxxxxx", "49152nxxxxxxx", "49157nxxxxxxx", "49159nxxxxxxx", "49160nxxxxxx", "49162nxxxxxx", "49163nxxxxxx"),
    *("49170nxxxxxx", "49171nxxxxxx", "49172nxxxxxx", "49173nxxxxxx", "49174nxxxxxx", "49175nxxxxxx", "49176nxxxxxxx"),
)
FREEPHONE = ("49800nxxxxxx",)
SHARED_COST = ("49180nxxxxxx",)
PREMIUM = ("499001xxxxxx",)
DIRECTORY = (11833, 11880, 11837)
TELEVOTE = ("491378xxxxxx",)
SHORT = (110, 112)
COUNTRY_CODE = 49

COUNTRIES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "TR": (("90212nxxxxxx", "90312nxxxxxx", "90232nxxxxxx", "90342nxxxxxx"), ("90532nxxxxxx", "90542nxxxxxx", "90505nxxxxxx")),
    "PL": (("4822nxxxxxx", "4832nxxxxxx", "4871nxxxxxx"), ("48501nxxxxx", "48602nxxxxx", "48791nxxxxx")),
    "RO": (("40212xxxxxx", "40213xxxxxx"), ("40722nxxxxx", "40745nxxxxx")),
    "RS": (("381112xxxxxx", "381113xxxxxx"), ("38164nxxxxxx", "38163nxxxxxx")),
    "VN": (("84243nxxxxxx", "84283nxxxxxx"), ("8490nxxxxxx", "8498nxxxxxx")),
    "SY": (("963112xxxxxx", "963113xxxxxx"), ("963933nxxxxx", "963944nxxxxx")),
    "UA": (("38044nxxxxxx",), ("38067nxxxxxx", "38050nxxxxxx")),
    "RU": (("7495nxxxxxx", "7812nxxxxxx"), ("7916nxxxxxx", "7903nxxxxxx")),
    "IT": (("3906nxxxxxxx", "3902nxxxxxxx", "39081nxxxxxx"), ("39335nxxxxxx", "39347nxxxxxx")),
    "GR": (("30210nxxxxxx", "302310nxxxxx"), ("306944nxxxxx", "306972nxxxxx")),
    "HR": (("3851nxxxxxx", "38521nxxxxx"), ("38591nxxxxxx", "38598nxxxxx")),
    "BA": (("387332xxxxx",), ("38761nxxxxx",)),
    "XK": (("38338nxxxxx",), ("38344nxxxxx",)),
    "MK": (("38923nxxxxx",), ("38970nxxxxx",)),
    "BG": (("3592nxxxxxx",), ("359888nxxxxx", "359878nxxxxx")),
    "HU": (("361nxxxxxx",), ("3620nxxxxxx", "3630nxxxxxx")),
    "AL": (("35542nxxxxx",), ("35569nxxxxxx",)),
    "ES": (("3491nxxxxxx", "3493nxxxxxx"), ("34609nxxxxx", "34655nxxxxx")),
    "PT": (("35121nxxxxxx",), ("35191nxxxxxx",)),
    "FR": (("3314nxxxxxx", "3334nxxxxxx"), ("33612nxxxxx", "33672nxxxxx")),
    "GB": (("44207nxxxxxx", "44161nxxxxxx"), ("447812nxxxxx", "447973nxxxxx")),
    "AT": (("431nxxxxxx", "43512nxxxxx"), ("43664nxxxxxx", "43676nxxxxxx")),
    "CH": (("4144nxxxxxx", "4131nxxxxxx"), ("4179nxxxxxx", "4178nxxxxxx")),
    "NL": (("3120nxxxxxx", "3110nxxxxxx"), ("3165xxxxxxx", "3162xxxxxxx")),
    "BE": (("3225xxxxxx",), ("32475nxxxxx", "32495nxxxxx")),
    "DK": (("4533nxxxxx",), ("4540nxxxxx",)),
    "SE": (("468nxxxxxx",), ("4670nxxxxxx",)),
    "CZ": (("4202nxxxxxxx",), ("420602nxxxxx", "420777nxxxxx")),
    "SK": (("4212nxxxxxxx",), ("421905nxxxxx",)),
    "US": (("1212nxxxxxx", "1415nxxxxxx", "1312nxxxxxx"), ("1646nxxxxxx",)),
    "CN": (("8610nxxxxxxx", "8621nxxxxxxx"), ("86138nxxxxxxx", "86139nxxxxxxx")),
    "IN": (("91112xxxxxxx",), ("91981xxxxxxx",)),
    "AE": (("97143xxxxxx",), ("97150nxxxxxx",)),
    "MA": (("212522nxxxxx",), ("212661nxxxxx",)),
    "TN": (("21671nxxxxx",), ("21698nxxxxx",)),
    "GH": (("233302nxxxxx",), ("233244nxxxxx",)),
    "NG": (("2348022xxxxxx",), ("234803nxxxxxx",)),
    "IR": (("9821nxxxxxxx",), ("98912nxxxxxx",)),
    "IQ": (("9641nxxxxxx",), ("964770nxxxxxx",)),
    "AF": (("9320nxxxxxx",), ("9370nxxxxxx",)),
    "TH": (("662nxxxxxx",), ("6681nxxxxxx",)),
    "LB": (("9611nxxxxx",), ("96170nxxxxx",)),
    "EG": (("202nxxxxxxx",), ("20100nxxxxxx",)),
    "IL": (("9723nxxxxxx",), ("97254nxxxxxx",)),
    "BR": (("55113nxxxxxx",), ("551199nxxxxxx",)),
    "LU": (("35226nxxxxx",), ("352621nxxxxx",)),
    "SI": (("38615xxxxxx",), ("38641nxxxxx",)),
    "IE": (("3531nxxxxxx",), ("35387nxxxxxx",)),
    "JP": (("813nxxxxxxx",), ("8190nxxxxxxx",)),
    "AU": (("6128xxxxxxx",), ("61412nxxxxx",)),
    "CU": (("537nxxxxxx",), ("5352xxxxxx",)),
    "SO": (("2526121xxxxx",), ("25261nxxxxxx",)),
    "GM": (("22024nxxxx",), ("22024nxxxx",)),
    "GN": (("22462nxxxxxx",), ("22462nxxxxxx",)),
    "ET": (("251911nxxxxx",), ("251911nxxxxx",)),
    "SN": (("221775nxxxxx",), ("22177nxxxxxx",)),
}
"""Fixed and mobile patterns of the countries that ordinary people call."""

EXPATRIATE_HOMES: dict[str, int] = {
    "TR": 27, "PL": 12, "RO": 9, "UA": 8, "SY": 7, "IT": 7, "RS": 5, "HR": 5, "BG": 4, "GR": 4, "RU": 6, "XK": 4, "BA": 4, "AT": 3,
    "HU": 3, "VN": 3, "AF": 3, "IQ": 3, "MK": 2, "ES": 2, "AL": 2, "MA": 2, "IN": 2, "CN": 2, "GH": 1, "NG": 1, "IR": 2, "TN": 1,
    "LB": 1, "TH": 1, "CU": 1, "PT": 2, "FR": 2, "GB": 1, "US": 1, "BR": 1, "EG": 1, "SO": 1, "GM": 1, "GN": 1, "ET": 1, "SN": 1,
}  # fmt: skip
"""Where the families of expatriates live, with weights."""
DEAR_HABITS: dict[str, float] = {
    "CU": 0.25, "SO": 0.25, "GM": 0.25, "GN": 0.25, "TN": 0.3, "MA": 0.4, "SN": 0.35, "ET": 0.4, "GH": 0.45, "AF": 0.5, "RS": 0.6,
    "XK": 0.55, "BA": 0.6, "MK": 0.6, "AL": 0.6, "IQ": 0.6, "SY": 0.6, "LB": 0.6, "IR": 0.6, "UA": 0.8, "RU": 0.8,
}  # fmt: skip
"""How often, and how long, families talk where a minute is dear, against where it is cheap."""
OCCASIONAL: dict[str, int] = {
    "AT": 18, "CH": 15, "NL": 9, "FR": 9, "IT": 9, "ES": 9, "GB": 7, "PL": 6, "TR": 6, "US": 5, "BE": 3, "DK": 3, "CZ": 3, "GR": 2, "HR": 2,
    "SE": 2, "HU": 1, "LU": 2, "PT": 2, "AE": 1, "CN": 1, "TH": 1, "IL": 1, "IE": 1, "RU": 1, "RO": 1, "EG": 1, "SI": 1, "SK": 1, "AU": 1,
}  # fmt: skip
"""Where everybody else calls now and then: neighbours, holidays, an aunt overseas."""
TRADE: dict[str, int] = {
    "AT": 14, "CH": 12, "NL": 10, "FR": 10, "IT": 10, "GB": 8, "PL": 8, "CZ": 6, "US": 6, "BE": 5, "CN": 6, "ES": 4, "TR": 4, "HU": 2,
    "SE": 2, "DK": 3, "RO": 2, "IN": 2, "JP": 1, "BR": 1, "AE": 2, "SK": 2, "RU": 1, "UA": 1, "IE": 1,
}  # fmt: skip
HOLIDAYS_IN = ("ES", "IT", "TR", "AT", "GR", "HR", "FR", "NL", "PT", "EG")
EXOTIC = (
    *("9603300xxx", "9606640xxx", "24842xxxxx", "23024xxxxx", "18769nxxxxx", "6799nxxxxx", "25523nxxxxxx", "5378xxxxxx", "6852xxxx"),
    *("87077xxxxxxx", "675320xxxx", "22024nxxxx"),
)
"""A hotel on an island, a sailor, a volunteer: dear numbers that a household calls once in years."""
SATELLITE = ("87077xxxxxxx", "88163xxxxxxx", "8821655xxxxx")
"""Maritime and relief telephones, as a shipping office or an aid organisation calls them by right."""

ABUSED: dict[str, tuple[str, ...]] = {
    "island": ("68673xxxxxx", "674556xxxx", "68870xxx", "68270xxx", "6835xxx", "9607xxxxxx", "6757xxxxxxx", "68572xxxxx", "67675xxxxx"),
    "africa": (
        *("23279xxxxxx", "22466xxxxxxx", "25261xxxxxxx", "22079xxxxx", "23670xxxxxx", "23566xxxxxx", "25779xxxxxx", "26377xxxxxxx"),
        *("22670xxxxxx", "22376xxxxxx", "21698xxxxxx", "26134xxxxxxx"),
    ),
    "baltic": ("3715xxxxxxx", "3718xxxxxxx", "37081xxxxxx", "37270xxxxxxxx", "3728xxxxxxx"),
    "personal": ("447024xxxxxx", "447031xxxxxx", "447077xxxxxx"),
    "satellite": ("87078xxxxxxx", "88162xxxxxxx", "8821342xxxxx", "8821667xxxxx", "883510xxxxxxxx", "882120xxxxx"),
    "maritime": ("87078xxxxxxx", "88162xxxxxxx"),
    "premium": ("9791xxxxxxxx", "38790xxxxxx", "370900xxxxx", "4239002xxx", "37877xxxxxx", "359900xxxxx", "40900xxxxxx"),
    "cuba": ("535xxxxxxx", "5342xxxxxx"),
    "unallocated": ("2329xxxxxxx", "25299xxxxxxx", "6821xxxx", "21310xxxxxx", "22099xxxxx", "96015xxxxx", "53700xxxxx"),
    "middle": (
        *("38162xxxxxxx", "38766xxxxxx", "38349xxxxxx", "37529xxxxxxx", "99450xxxxxxx", "22375xxxxxx", "21265xxxxxxx", "23324xxxxxxx"),
        *("38097xxxxxxx", "7967xxxxxxx", "90541xxxxxxx", "9379xxxxxxx"),
    ),
}
"""Ranges that fraud earns from, by kind. `middle` are mobile numbers of countries that people call by right too."""
