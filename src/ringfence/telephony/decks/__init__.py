"""The built-in rate deck, as package data. `tools/build_default_deck.py` makes it and says where its figures come from."""

from importlib.resources import files


def default_deck_text() -> str:
    """The built-in deck as CSV text. Reads a file of the package: call it at start, not on the hot path."""
    return files(__name__).joinpath("default.csv").read_text(encoding="utf-8")
