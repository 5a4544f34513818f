"""Chance that can be repeated: seeded generators by purpose, and hashes that need no generator at all.

Each purpose and each day has a generator of its own, so that one more scenario, or one more draw in it, changes nothing else. The one
thing to know: what must be equal on every day (whom somebody calls, where a line lives) comes from `mix`, never from a generator.
"""

import zlib

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]


def generator(seed: int, purpose: str, *more: int) -> np.random.Generator:
    """The generator of a purpose, and of a day or a case in it."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, zlib.crc32(purpose.encode()), *more])))


def mix(*parts: npt.ArrayLike) -> Hashes:
    """64-bit hashes of one or more integer arrays, element by element (splitmix64's finisher between the parts)."""
    with np.errstate(over="ignore"):
        state = np.uint64(0x9E3779B97F4A7C15)
        result: Hashes = np.zeros(1, np.uint64)
        for part in parts:
            result = _finish((result ^ np.asarray(part).astype(np.uint64)) * np.uint64(0x2545F4914F6CDD1D) + state)
    return result


def salt(purpose: str) -> int:
    """A number that tells one use of `mix` from another."""
    return zlib.crc32(purpose.encode())


def unit(hashes: Hashes) -> npt.NDArray[np.float64]:
    """Hashes as fractions from 0 to below 1."""
    return (hashes >> np.uint64(11)).astype(np.float64) * 2.0**-53


def weighted(fractions: npt.NDArray[np.float64], weights: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Places in `weights`, chosen by fractions from 0 to below 1."""
    edges = np.cumsum(np.asarray(weights, np.float64))
    return np.minimum(np.searchsorted(edges / edges[-1], fractions, side="right"), len(edges) - 1).astype(np.int64)


def call_identities(counter: npt.ArrayLike, seed: int) -> Hashes:
    """One-to-one scramble of counters: Call-IDs that never collide and say nothing about what made them."""
    with np.errstate(over="ignore"):
        return _finish(np.asarray(counter).astype(np.uint64) + np.uint64(mix([seed, 7])[1]))


def _finish(value: Hashes) -> Hashes:
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))
