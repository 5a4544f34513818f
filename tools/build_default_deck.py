"""Builds `src/ringfence/telephony/decks/default.csv`, the deck of an operator who has not imported one.

    python tools/build_default_deck.py > src/ringfence/telephony/decks/default.csv

Where the prefixes come from: phonenumbers' metadata (Google's libphonenumber). The patterns of each number type are unfolded to national
prefixes of up to `DEPTH` digits; a prefix on which two types meet takes the dearer one, because a deck that errs should err towards
attention. Neighbours that say the same are folded into their common prefix again.

Where the prices come from: nobody publishes a free world deck, so these are the round figures that European carriers' wholesale A-Z lists
and regulators' tables had in 2023 to 2025, in EUR a minute as (fixed, mobile) per country. They need to be right to the class (below 5, 25,
100 ct), not to the cent. What grounds them:

- EU and EEA: Euro-rates of Delegated Regulation 2021/654: fixed 0.07 ct, mobile 0.2 ct plus transit; a surcharge on calls from outside does not
  concern an operator inside. Hence 0.8 and 1.2 ct: C2.
- North America, China, India, Singapore, South Korea, Israel and others with bill-and-keep or tiny termination: 0.5 to 4 ct.
- Switzerland, Turkey, Russia, the western Balkans, Ukraine, Belarus, the Caucasus: no Euro-rate, mobile 5 to 60 ct.
- The Maghreb and most of Africa south of the Sahara: 15 to 80 ct, kept high by international gateways and surcharges.
- Pacific and Atlantic islands, Cuba, Maldives, North Korea: 40 ct to 3 EUR: little traffic, a monopoly, and the ranges that sellers of
  international revenue-share numbers advertise most (Yates and CFCA lists name Cuba, Somalia, Sierra Leone, Gambia, Guinea, Latvia, Lithuania, Estonia,
  Maldives, Tunisia, Zimbabwe, Sao Tome, Papua New Guinea, Taiwan's and UK's personal numbers, Austria's special numbers).
- Satellite: Iridium, Inmarsat, Thuraya, Globalstar list prices, 1 to 6 EUR. International premium 979 and networks 882 and 883: 1 EUR and up.
- Premium numbers of a foreign country are rarely reachable from abroad; where they are, they cost 1 EUR and more.
"""

# ruff: noqa: E501

import csv
import re
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import phonenumbers
from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, PhoneMetadata

DEPTH = 4
NANP_DEPTH = 3

PRICES = """
AC 1.60 1.60|AD .02 .18|AE .14 .15|AF .24 .28|AG .20 .28|AI .20 .28|AL .28 .42|AM .16 .28|AO .12 .18|AR .012 .10|AS .04 .04|AT .008 .012
AU .012 .025|AW .10 .20|AX .008 .012|AZ .30 .40|BA .18 .36|BB .18 .26|BD .02 .025|BE .008 .012|BF .38 .48|BG .008 .012|BH .09 .14|BI .62 .68
BJ .42 .50|BL .02 .06|BM .04 .05|BN .03 .04|BO .10 .18|BQ .10 .20|BR .008 .02|BS .12 .18|BT .05 .06|BW .18 .35|BY .38 .52|BZ .22 .26
CA .005 .005|CC .012 .025|CD .48 .62|CF .62 .72|CG .48 .60|CH .012 .05|CI .38 .48|CK .95 1.10|CL .012 .02|CM .38 .48|CN .010 .012|CO .010 .012
CR .02 .05|CU .72 .82|CV .22 .34|CW .10 .20|CX .012 .025|CY .008 .012|CZ .008 .012|DE .006 .010|DJ .42 .50|DK .008 .012|DM .22 .30|DO .03 .09
DZ .12 .62|EC .14 .24|EE .010 .020|EG .10 .14|EH .06 .42|ER .38 .46|ES .008 .012|ET .28 .34|FI .015 .020|FJ .22 .32|FK 1.60 1.70|FM .42 .48
FO .02 .06|FR .008 .012|GA .62 .72|GB .006 .012|GD .22 .28|GE .10 .16|GF .012 .03|GG .012 .16|GH .22 .32|GI .02 .06|GL .38 .50|GM .58 .66
GN .58 .66|GP .012 .03|GQ .52 .62|GR .008 .012|GT .10 .15|GU .03 .03|GW .58 .68|GY .24 .28|HK .015 .02|HN .12 .18|HR .010 .015|HT .24 .34
HU .008 .012|ID .04 .05|IE .008 .012|IL .010 .02|IM .012 .18|IN .014 .014|IO 1.80 1.80|IQ .12 .22|IR .10 .14|IS .010 .020|IT .008 .012|JE .012 .18
JM .12 .24|JO .14 .18|JP .015 .07|KE .12 .18|KG .12 .20|KH .06 .07|KI 1.70 1.80|KM .58 .66|KN .20 .26|KP .80 .90|KR .015 .025|KW .06 .09
KY .12 .20|KZ .05 .16|LA .06 .08|LB .10 .18|LC .22 .28|LI .03 .18|LK .18 .20|LR .46 .56|LS .24 .38|LT .012 .020|LU .008 .012|LV .012 .020
LY .28 .36|MA .06 .42|MC .09 .18|MD .22 .30|ME .16 .36|MF .012 .03|MG .62 .72|MH .28 .30|MK .18 .36|ML .34 .44|MM .20 .22|MN .03 .04
MO .05 .06|MP .03 .03|MQ .012 .03|MR .42 .58|MS .28 .34|MT .010 .015|MU .10 .12|MV .95 1.05|MW .32 .40|MX .008 .010|MY .014 .020|MZ .14 .28
NA .06 .14|NC .26 .32|NE .42 .52|NF 1.50 1.50|NG .06 .08|NI .14 .24|NL .008 .012|NO .010 .015|NP .10 .12|NR 1.30 1.40|NU 1.80 1.90|NZ .015 .03
OM .16 .24|PA .04 .14|PE .010 .02|PF .26 .34|PG .70 .85|PH .10 .14|PK .03 .035|PL .008 .012|PM .12 .20|PR .008 .008|PS .18 .22|PT .008 .012
PW .32 .38|PY .05 .07|QA .14 .18|RE .012 .03|RO .008 .012|RS .14 .34|RU .06 .16|RW .28 .38|SA .08 .14|SB 1.20 1.30|SC .38 .52|SD .18 .22
SE .008 .012|SG .010 .015|SH 1.80 1.80|SI .010 .020|SJ .010 .015|SK .008 .012|SL .52 .58|SM .12 .22|SN .38 .48|SO .68 .75|SR .18 .24|SS .38 .45
ST .95 1.10|SV .12 .18|SX .10 .20|SY .16 .22|SZ .10 .18|TA 1.80 1.80|TC .18 .26|TD .56 .66|TG .44 .52|TH .02 .025|TJ .16 .20|TK 1.90 1.90
TL .62 .72|TM .16 .20|TN .48 .68|TO .62 .72|TR .03 .18|TT .10 .18|TV 1.50 1.50|TW .015 .06|TZ .28 .34|UA .12 .20|UG .28 .32|US .005 .005
UY .06 .16|UZ .07 .09|VA .02 .02|VC .22 .28|VE .02 .06|VG .18 .24|VI .010 .010|VN .05 .06|VU .90 1.00|WF 1.30 1.40|WS .62 .72|XK .18 .38
YE .16 .18|YT .06 .10|ZA .03 .08|ZM .28 .36|ZW .32 .52
"""

FOREIGN_PREMIUM = 1.20
PERSONAL = 0.45
PAGER = 0.45
SHARED_COST = 0.10

# Prefixes outside any country, with user-assigned country letters: XS satellite, XN networks, XP premium, XF freephone.
GLOBAL = [
    ("800", "XF", "special", 0.0),
    ("808", "XF", "shared_cost", 0.10),
    ("870", "XS", "satellite", 4.50),
    ("878", "XN", "personal", 1.00),
    ("881", "XS", "satellite", 4.00),
    ("8816", "XS", "satellite", 5.00),
    ("8817", "XS", "satellite", 5.00),
    ("8818", "XS", "satellite", 2.00),
    ("8819", "XS", "satellite", 2.00),
    ("882", "XN", "special", 1.00),
    ("88213", "XS", "satellite", 2.50),
    ("88216", "XS", "satellite", 1.30),
    ("883", "XN", "special", 1.00),
    ("888", "XN", "special", 0.50),
    ("979", "XP", "premium", 2.00),
]

# What the metadata cannot say, or says too coarsely. (prefix, country, kind, EUR a minute or None = unrated, EUR a call)
OWN_HAND: list[tuple[str, str, str, float | None, float]] = [
    # Germany, Bundesnetzagentur's number types: call-by-call and online prefixes lead anywhere, so they have no price.
    ("4910", "DE", "special", None, 0.0),
    ("4919", "DE", "special", None, 0.0),
    ("49118", "DE", "directory", 1.99, 0.0),
    ("49137", "DE", "televote", 0.14, 0.0),
    ("491375", "DE", "televote", 0.0, 0.14),
    ("491376", "DE", "televote", 0.0, 0.25),
    ("491377", "DE", "televote", 0.0, 1.00),
    ("491378", "DE", "televote", 0.0, 0.50),
    ("491379", "DE", "televote", 0.0, 0.50),
    ("49138", "DE", "televote", 0.14, 0.0),
    ("49180", "DE", "shared_cost", 0.14, 0.0),
    ("49700", "DE", "personal", 0.12, 0.0),
    ("49900", "DE", "premium", 1.99, 0.0),
    ("43118", "AT", "directory", 2.17, 0.0),
    ("41118", "CH", "directory", 1.90, 0.0),
    ("44118", "GB", "directory", 3.00, 0.0),
    ("33118", "FR", "directory", 2.99, 0.0),
    # Ranges that are sold as revenue share far more than they are called: priced apart from their country.
    ("4470", "GB", "personal", 0.55, 0.0),
    ("4476", "GB", "personal", 0.45, 0.0),
    ("37270", "EE", "personal", 0.90, 0.0),
    ("3728", "EE", "mobile", 0.30, 0.0),
    ("3715", "LV", "personal", 0.60, 0.0),
    ("3718", "LV", "special", 0.60, 0.0),
    ("37081", "LT", "special", 0.60, 0.0),
    ("43720", "AT", "special", 0.15, 0.0),
    ("88699", "TW", "personal", 0.60, 0.0),
    ("25280", "SO", "special", 0.95, 0.0),
    ("25299", "SO", "special", 0.95, 0.0),
    ("6723", "NF", "fixed", 1.60, 0.0),
    ("6721", "AQ", "fixed", 1.90, 0.0),
    ("4779", "SJ", "fixed", 0.010, 0.0),
    ("3906698", "VA", "fixed", 0.02, 0.0),
    ("379", "VA", "fixed", 0.02, 0.0),
]

# Territories whose metadata repeats the numbers of the country they share a code and a price with.
WITHIN_THE_MAIN_COUNTRY = {"AX", "BL", "CC", "CX", "EH", "MF", "SJ", "VA"}


def unfold(pattern: str, depth: int) -> set[str]:
    """Every digit string of up to `depth` digits with which something that the pattern accepts begins."""
    tree = re._parser.parse(re.sub(r"\s", "", pattern))  # noqa: SLF001 - the standard library has no public door to its parser
    return {text[:depth] for text, _ in _walk(list(tree), [""], depth) if len(text) >= depth or text}


def _walk(items: list, starts: list[str], depth: int) -> Iterator[tuple[str, bool]]:
    """Unfold a parsed pattern after each start; a start of `depth` digits is done."""
    current = set(starts)
    for operator, argument in items:
        done = {text for text in current if len(text) >= depth}
        growing = {text for text in current if len(text) < depth}
        if not growing:
            break
        current = done | set(_step(str(operator), argument, growing, depth))
    yield from ((text[:depth], True) for text in current)


def _step(operator: str, argument: Any, starts: set[str], depth: int) -> Iterable[str]:
    match operator:
        case "LITERAL":
            return {text + chr(argument) for text in starts}
        case "IN":
            digits = _digits(argument)
            return {text + digit for text in starts for digit in digits}
        case "BRANCH":
            return {text for branch in argument[1] for text, _ in _walk(list(branch), list(starts), depth)}
        case "SUBPATTERN":
            return {text for text, _ in _walk(list(argument[3]), list(starts), depth)}
        case "MAX_REPEAT":
            low, high, body = argument
            found, current = set(), set(starts)
            for count in range(min(int(high), depth) + 1):
                if count >= low:
                    found |= current
                current = {text for text, _ in _walk(list(body), list(current), depth)}
            return found | {text for text in current if len(text) >= depth}
        case _:
            raise ValueError(f"the metadata uses {operator}, which this script does not unfold")


def _digits(members: Any) -> str:
    found = ""
    for operator, argument in members:
        match str(operator):
            case "LITERAL":
                found += chr(argument)
            case "RANGE":
                found += "".join(chr(code) for code in range(argument[0], argument[1] + 1))
            case "CATEGORY":
                found += "0123456789"
    return found


def kinds_of(metadata: Any, depth: int) -> dict[str, set[str]]:
    """National prefixes of `depth` digits and the number types found behind each."""
    types = {
        "fixed": metadata.fixed_line,
        "mobile": metadata.mobile,
        "premium": metadata.premium_rate,
        "shared_cost": metadata.shared_cost,
        "personal": metadata.personal_number,
        "pager": metadata.pager,
        "special": metadata.uan,
    }
    found: dict[str, set[str]] = {}
    for kind, description in types.items():
        if description is None or not description.national_number_pattern or description.national_number_pattern == "NA":
            continue
        for prefix in unfold(description.national_number_pattern, depth):
            found.setdefault(prefix, set()).add(kind)
    return found


def priced(kinds: set[str], fixed: float, mobile: float) -> tuple[str, float]:
    """One kind and price of a prefix: the dearer of fixed and mobile; a rarer type only where nothing ordinary shares the prefix."""
    if "mobile" in kinds:
        return "mobile", mobile
    if "fixed" in kinds:
        return "fixed", fixed
    prices = {
        "premium": FOREIGN_PREMIUM,
        "personal": max(PERSONAL, mobile),
        "pager": max(PAGER, mobile),
        "shared_cost": max(SHARED_COST, fixed),
        "special": max(fixed, mobile),
    }
    kind = max(kinds, key=lambda name: (prices[name], name))
    return ("special" if kind == "pager" else kind), prices[kind]


def country_rows(region: str, calling_code: str, main: bool, fixed: float, mobile: float) -> dict[str, tuple[str, str, float]]:
    """Rows of one country: its calling code (when it leads it) and what differs behind it, folded."""
    metadata = PhoneMetadata.metadata_for_region(region, None)
    assert metadata is not None
    found = kinds_of(metadata, NANP_DEPTH if calling_code == "1" else DEPTH)
    rows = {prefix: priced(kinds, fixed, mobile) for prefix, kinds in found.items()}
    if not main:
        # A country inside another's code has its own numbers only; premium and freephone are shared with the main one.
        rows = {prefix: row for prefix, row in rows.items() if row[0] in ("fixed", "mobile")}
    if main:
        rows[""] = ("fixed", fixed)
    return {calling_code + prefix: (region, *row) for prefix, row in rows.items()}


def folded(rows: dict[str, tuple]) -> dict[str, tuple]:
    """Ten equal neighbours become their common prefix; a row that its nearest shorter row implies goes."""
    kept = dict(rows)
    for length in range(max(map(len, kept)), 1, -1):
        for parent in {prefix[:-1] for prefix in kept if len(prefix) == length}:
            children = [kept.get(parent + digit) for digit in "0123456789"]
            if children[0] is not None and all(child == children[0] for child in children):
                kept[parent] = children[0]
    for prefix in sorted(kept, key=len, reverse=True):
        parent = next((prefix[:cut] for cut in range(len(prefix) - 1, 0, -1) if prefix[:cut] in kept), None)
        if parent is not None and kept[parent] == kept[prefix]:
            del kept[prefix]
    return kept


def main() -> None:  # noqa: C901 - one pass from metadata to file, in order
    prices = {}
    for entry in PRICES.replace("\n", "|").split("|"):
        if entry:
            region, fixed, mobile = entry.split()
            prices[region] = (float(fixed), float(mobile))
    rows: dict[str, tuple] = {}
    for calling_code, regions in COUNTRY_CODE_TO_REGION_CODE.items():
        if regions == ("001",):
            continue
        for place, region in enumerate(regions):
            if region in WITHIN_THE_MAIN_COUNTRY:
                continue
            fixed, mobile = prices[region]
            for prefix, row in country_rows(region, str(calling_code), place == 0, fixed, mobile).items():
                # Shared codes: what a smaller country claims is taken from the main one.
                rows[prefix] = row if place or prefix not in rows else rows[prefix]
    rows = folded(rows)
    table: dict[str, tuple[str, str, float | None, float]] = {prefix: (*row, 0.0) for prefix, row in rows.items()}
    for prefix, country, kind, price in GLOBAL:
        table[prefix] = (country, kind, price, 0.0)
    for prefix, country, kind, price, call in OWN_HAND:
        table = {key: row for key, row in table.items() if not (key.startswith(prefix) and len(key) > len(prefix) and len(prefix) > 3)}
        table[prefix] = (country, kind, price, call)
    for prefix, country, kind, price, call in OWN_HAND:
        table[prefix] = (country, kind, price, call)
    missing = set(prices) - {row[0] for row in table.values()} - WITHIN_THE_MAIN_COUNTRY - {"TA"}
    if missing:
        raise SystemExit(f"no prefix for {sorted(missing)}")
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["prefix", "country", "kind", "eur_per_minute", "eur_per_call"])
    for prefix in sorted(table):
        country, kind, price, call = table[prefix]
        writer.writerow([prefix, country, kind, "" if price is None else f"{price:g}", f"{call:g}" if call else ""])


if __name__ == "__main__":
    assert phonenumbers.__version__
    main()
