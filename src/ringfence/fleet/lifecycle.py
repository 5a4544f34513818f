"""The life of a device, from the shelf to its replacement, as one table that is consulted.

Nothing else sets a life: an occurrence that the table does not name for a state changes nothing, and the caller learns so. The one thing to
know: REPLACED is final. An identity that was closed never comes back to life by itself, because a closed device on the second-hand market
still knows its credential.
"""

from enum import StrEnum, unique


@unique
class Life(StrEnum):
    """Where a device is in its life."""

    IN_STOCK = "in_stock"
    SHIPPED = "shipped"
    BOOTSTRAPPED = "bootstrapped"
    MANAGED = "managed"
    SILENT = "silent"
    REPLACED = "replaced"
    LOST = "lost"


@unique
class Occurrence(StrEnum):
    """What can happen to it."""

    STOCKED = "stocked"
    """Listed or returned to the shelf by a person or an import."""
    SHIPPED = "shipped"
    BOOTSTRAPPED = "bootstrapped"
    """Informed in the bootstrap lane, or in the managed lane without a binding."""
    MANAGED = "managed"
    """Informed in the managed lane, proven and bound to its line."""
    FELL_SILENT = "fell_silent"
    REPLACED = "replaced"
    REPORTED_LOST = "reported_lost"


_HOME = (Life.BOOTSTRAPPED, Life.MANAGED, Life.SILENT)

TRANSITIONS: dict[tuple[Life, Occurrence], Life] = {
    (Life.IN_STOCK, Occurrence.SHIPPED): Life.SHIPPED,
    (Life.IN_STOCK, Occurrence.MANAGED): Life.MANAGED,
    (Life.IN_STOCK, Occurrence.REPORTED_LOST): Life.LOST,
    # A device on the shelf that Informs is updated there and stays in stock: BOOTSTRAPPED has no entry.
    (Life.SHIPPED, Occurrence.STOCKED): Life.IN_STOCK,
    (Life.SHIPPED, Occurrence.BOOTSTRAPPED): Life.BOOTSTRAPPED,
    (Life.SHIPPED, Occurrence.MANAGED): Life.MANAGED,
    (Life.SHIPPED, Occurrence.REPORTED_LOST): Life.LOST,
    (Life.BOOTSTRAPPED, Occurrence.MANAGED): Life.MANAGED,
    (Life.MANAGED, Occurrence.BOOTSTRAPPED): Life.BOOTSTRAPPED,  # A factory reset begins anew.
    (Life.SILENT, Occurrence.BOOTSTRAPPED): Life.BOOTSTRAPPED,
    (Life.SILENT, Occurrence.MANAGED): Life.MANAGED,
    (Life.BOOTSTRAPPED, Occurrence.FELL_SILENT): Life.SILENT,
    (Life.MANAGED, Occurrence.FELL_SILENT): Life.SILENT,
    **{(life, Occurrence.STOCKED): Life.IN_STOCK for life in _HOME},
    **{(life, Occurrence.REPLACED): Life.REPLACED for life in (*_HOME, Life.SHIPPED, Life.LOST)},
    **{(life, Occurrence.REPORTED_LOST): Life.LOST for life in _HOME},
    (Life.LOST, Occurrence.STOCKED): Life.IN_STOCK,
    # A lost device that Informs stays lost until a person says otherwise: whoever found it is not its customer.
}


def after(life: Life, occurrence: Occurrence) -> Life:
    """The life after an occurrence; the same life when the table names no change."""
    return TRANSITIONS.get((life, occurrence), life)


def allows(life: Life, occurrence: Occurrence) -> bool:
    """Whether the occurrence means anything in this life: what a person orders must, what a device does need not."""
    return (life, occurrence) in TRANSITIONS
