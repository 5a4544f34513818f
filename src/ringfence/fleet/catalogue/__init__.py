"""The firmware catalogue: files by their hash, and what stock is brought to."""
