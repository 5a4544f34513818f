"""Where countries are, as far as a journey needs it: the capital, a radius, and whether telephone fraud is a neighbour's problem.

Coordinates are those of the capitals in degrees, rounded to one decimal; the radius is that of a circle with the country's area. Distances
are straight lines through the globe in whole kilometres between the edges of such circles, so they are always too short: a journey that is
called impossible is. A country that is missing here takes no part. Written from general knowledge, not from a licensed table.
"""

from functools import cache
from math import cos, isqrt, radians, sin
from typing import Final

import numpy as np

from ringfence.detection.tables import Words
from ringfence.telephony.model import country_code

EARTH_KM: Final = 6_371
MAX_RADIUS: Final = 700
"""Of a circle around the capital. Larger countries have theirs off the middle, where most of their people are."""
CELLS: Final = 26 * 26
PLACE: Final = 5
"""Words of a place: x, y, z, radius (kilometres) and whether it is in the European area; radius 0: not known."""

EUROPE: Final = frozenset(
    "AT BE BG HR CY CZ DK EE FI FR DE GR HU IE IT LV LT LU MT NL PL PT RO SK SI ES SE IS LI NO CH".split()  # noqa: SIM905  # Read as a list.
)
"""The European Union, and with it Iceland, Liechtenstein, Norway and Switzerland."""

TABLE: Final = """
AD 42.5 1.5 12; AE 24.5 54.4 163; AF 34.5 69.2 456; AG 17.1 -61.8 12; AI 18.2 -63.1 6; AL 41.3 19.8 96; AM 40.2 44.5 97; AO -8.8 13.2 630
AR -34.6 -58.4 941; AS -14.3 -170.7 8; AT 48.2 16.4 163; AU -35.3 149.1 1565; AW 12.5 -70.0 8; AX 60.1 19.9 22; AZ 40.4 49.9 166
BA 43.9 18.4 128; BB 13.1 -59.6 12; BD 23.7 90.4 217; BE 50.8 4.4 99; BF 12.4 -1.5 296; BG 42.7 23.3 188; BH 26.2 50.6 16; BI -3.4 29.4 94
BJ 6.5 2.6 191; BL 17.9 -62.8 3; BM 32.3 -64.8 4; BN 4.9 114.9 43; BO -16.5 -68.1 591; BQ 12.2 -68.3 10; BR -15.8 -47.9 1646
BS 25.1 -77.3 67; BT 27.5 89.6 111; BW -24.7 25.9 430; BY 53.9 27.6 257; BZ 17.3 -88.8 85; CA 45.4 -75.7 1783; CD -4.3 15.3 864
CF 4.4 18.6 445; CG -4.3 15.3 330; CH 46.9 7.4 115; CI 6.8 -5.3 320; CK -21.2 -159.8 9; CL -33.5 -70.7 491; CM 3.9 11.5 389
CN 39.9 116.4 1748; CO 4.7 -74.1 602; CR 9.9 -84.1 128; CU 23.1 -82.4 187; CV 14.9 -23.5 36; CW 12.1 -68.9 12; CY 35.2 33.4 54
CZ 50.1 14.4 158; DE 52.5 13.4 337; DJ 11.6 43.1 86; DK 55.7 12.6 117; DM 15.3 -61.4 15; DO 18.5 -69.9 124; DZ 36.8 3.1 871
EC -0.2 -78.5 300; EE 59.4 24.8 120; EG 30.0 31.2 568; EH 27.2 -13.2 291; ER 15.3 38.9 193; ES 40.4 -3.7 401; ET 9.0 38.7 593
FI 60.2 24.9 328; FJ -18.1 178.4 76; FK -51.7 -57.9 62; FM 6.9 158.2 15; FO 62.0 -6.8 21; FR 48.9 2.4 417; GA 0.4 9.5 292
GB 51.5 -0.1 278; GD 12.1 -61.7 10; GE 41.7 44.8 149; GF 4.9 -52.3 163; GG 49.5 -2.5 5; GH 5.6 -0.2 276; GI 36.1 -5.4 1; GL 64.2 -51.7 830
GM 13.5 -16.6 60; GN 9.5 -13.7 280; GP 16.0 -61.7 23; GQ 3.8 8.8 94; GR 38.0 23.7 205; GT 14.6 -90.5 186; GU 13.5 144.8 13
GW 11.9 -15.6 107; GY 6.8 -58.2 262; HK 22.3 114.2 19; HN 14.1 -87.2 189; HR 45.8 16.0 134; HT 18.5 -72.3 94; HU 47.5 19.0 172
ID -6.2 106.8 779; IE 53.3 -6.3 150; IL 31.8 35.2 84; IM 54.2 -4.5 13; IN 28.6 77.2 1023; IQ 33.3 44.4 373; IR 35.7 51.4 724
IS 64.1 -21.9 181; IT 41.9 12.5 310; JE 49.2 -2.1 6; JM 18.0 -76.8 59; JO 31.9 35.9 169; JP 35.7 139.7 347; KE -1.3 36.8 430
KG 42.9 74.6 252; KH 11.6 104.9 240; KI 1.3 173.0 16; KM -11.7 43.3 27; KN 17.3 -62.7 9; KP 39.0 125.8 196; KR 37.6 127.0 179
KW 29.4 48.0 75; KY 19.3 -81.4 9; KZ 51.2 71.4 931; LA 18.0 102.6 275; LB 33.9 35.5 58; LC 14.0 -61.0 14; LI 47.1 9.5 7; LK 6.9 79.9 145
LR 6.3 -10.8 188; LS -29.3 27.5 98; LT 54.7 25.3 144; LU 49.6 6.1 29; LV 57.0 24.1 143; LY 32.9 13.2 748; MA 34.0 -6.8 377; MC 43.7 7.4 1
MD 47.0 28.9 104; ME 42.4 19.3 66; MF 18.1 -63.1 4; MG -18.9 47.5 432; MH 7.1 171.4 8; MK 42.0 21.4 90; ML 12.6 -8.0 628; MM 19.7 96.1 464
MN 47.9 106.9 706; MO 22.2 113.5 3; MP 15.2 145.8 12; MQ 14.6 -61.1 19; MR 18.1 -16.0 573; MS 16.7 -62.2 6; MT 35.9 14.5 10
MU -20.2 57.5 25; MV 4.2 73.5 10; MW -14.0 33.8 194; MX 19.4 -99.1 791; MY 3.1 101.7 324; MZ -26.0 32.6 505; NA -22.6 17.1 512
NC -22.3 166.5 77; NE 13.5 2.1 635; NF -29.1 168.0 3; NG 9.1 7.5 542; NI 12.1 -86.3 204; NL 52.4 4.9 115; NO 59.9 10.8 320
NP 27.7 85.3 217; NR -0.5 166.9 3; NU -19.1 -169.9 9; NZ -41.3 174.8 292; OM 23.6 58.4 314; PA 9.0 -79.5 155; PE -12.0 -77.0 640
PF -17.5 -149.6 36; PG -9.4 147.2 384; PH 14.6 121.0 309; PK 33.7 73.1 530; PL 52.2 21.0 315; PM 46.8 -56.2 9; PR 18.5 -66.1 54
PS 31.9 35.2 44; PT 38.7 -9.1 171; PW 7.5 134.6 12; PY -25.3 -57.6 360; QA 25.3 51.5 61; RE -20.9 55.5 28; RO 44.4 26.1 275
RS 44.8 20.5 168; RU 55.8 37.6 2333; RW -1.9 30.1 92; SA 24.7 46.7 827; SB -9.4 160.0 96; SC -4.6 55.5 12; SD 15.5 32.5 770
SE 59.3 18.1 378; SG 1.3 103.8 15; SH -15.9 -5.7 11; SI 46.1 14.5 80; SK 48.1 17.1 125; SL 8.5 -13.2 151; SM 43.9 12.4 4
SN 14.7 -17.4 250; SO 2.0 45.3 450; SR 5.9 -55.2 228; SS 4.9 31.6 449; ST 0.3 6.7 18; SV 13.7 -89.2 82; SX 18.0 -63.0 3; SY 33.5 36.3 243
SZ -26.3 31.1 74; TC 21.5 -71.1 17; TD 12.1 15.0 639; TG 6.1 1.2 134; TH 13.8 100.5 404; TJ 38.6 68.8 213; TL -8.6 125.6 69
TM 37.9 58.4 394; TN 36.8 10.2 228; TO -21.1 -175.2 15; TR 39.9 32.9 500; TT 10.7 -61.5 40; TV -8.5 179.2 3; TW 25.0 121.5 107
TZ -6.2 35.7 549; UA 50.5 30.5 438; UG 0.3 32.6 277; US 38.9 -77.0 1769; UY -34.9 -56.2 237; UZ 41.3 69.2 377; VA 41.9 12.5 1
VC 13.2 -61.2 11; VE 10.5 -66.9 539; VG 18.4 -64.6 7; VI 18.3 -64.9 11; VN 21.0 105.8 325; VU -17.7 168.3 62; WF -13.3 -176.2 7
WS -13.8 -171.8 30; XK 42.7 21.2 59; YE 15.4 44.2 410; YT -12.8 45.2 11; ZA -25.7 28.2 624; ZM -15.4 28.3 489; ZW -17.8 31.0 353
"""
"""Country, latitude, longitude, radius in kilometres."""


def cell_of(country: int) -> int:
    """Place of a country's row in `place_words`; -1 when it is none."""
    first, second = (country >> 8) - 65, (country & 255) - 65
    return first * 26 + second if 0 <= first < 26 and 0 <= second < 26 else -1


@cache
def _places() -> tuple[tuple[int, int, int, int, int], ...]:
    cells = [(0, 0, 0, 0, 0)] * CELLS
    for line in TABLE.replace("\n", ";").split(";"):
        if not line.strip():
            continue
        letters, latitude, longitude, radius = line.split()
        north, east = radians(float(latitude)), radians(float(longitude))
        x, y, z = cos(north) * cos(east), cos(north) * sin(east), sin(north)
        whole = (round(EARTH_KM * x), round(EARTH_KM * y), round(EARTH_KM * z))
        cells[cell_of(country_code(letters))] = (*whole, min(int(radius), MAX_RADIUS), int(letters in EUROPE))
    return tuple(cells)


def place_words() -> Words:
    """The table as the kernel reads it."""
    return np.array([word for place in _places() for word in place], np.int64)


def in_europe(country: int) -> bool:
    """Whether a country (as `model.country_code` writes it) is in the European area."""
    cell = cell_of(country)
    return cell >= 0 and bool(_places()[cell][4])


def kilometres(one: int, other: int) -> int:
    """Between the edges of two countries; 0 when they touch or one of them is not known."""
    first, second = cell_of(one), cell_of(other)
    if first < 0 or second < 0:
        return 0
    a, b = _places()[first], _places()[second]
    if not a[3] or not b[3]:
        return 0
    return max(isqrt(sum((p - q) ** 2 for p, q in zip(a[:3], b[:3], strict=True))) - a[3] - b[3], 0)
