"""The reference pages of `docs/`, written from the code: `python -m tools.docs` (or `make docs`).

A page that is written cannot say anything else than the code; `tests/architecture/test_documented.py` compares the two.
"""
