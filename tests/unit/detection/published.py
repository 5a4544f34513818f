"""Rules with the limits as they were published, for tests that need known numbers: tuning the built-in rules changes none of them."""

from pathlib import Path


def published_rules() -> str:
    """The rules' TOML text."""
    return Path(__file__).with_name("published.toml").read_text("utf-8")
