"""Who was seen where: pairs of source and account in a table of fixed size, for the source view.

Eight places a row; a full row forgets the pair that was seen longest ago in event time. Nothing here grows, whatever an attacker invents.
"""

from typing import Final

from ringfence.detection.kernel_range import Words, compiled

WAYS: Final = 8
ROW: Final = 2 * WAYS
"""Words of a row: the pairs, then when each was last seen."""


@compiled
def acquaint(table: Words, pairs: Words, times: Words, news: Words) -> int:
    """Remember pairs (never 0) in order; `news` becomes 1 where one was not known. Returns how many others were forgotten."""
    forgotten = 0
    mask = table.shape[0] - 1
    for row in range(pairs.shape[0]):
        pair, at = pairs[row], times[row]
        place = ((pair * -7046029254386353131) >> 32) & mask
        oldest = 0
        known = False
        for way in range(WAYS):
            if table[place, way] == pair:
                table[place, WAYS + way] = max(table[place, WAYS + way], at)
                known = True
                break
            if table[place, WAYS + way] < table[place, WAYS + oldest]:
                oldest = way
        if not known:
            forgotten += table[place, oldest] != 0
            table[place, oldest] = pair
            table[place, WAYS + oldest] = at
            news[row] = 1
    return forgotten
