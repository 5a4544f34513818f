"""Ringfence: the security operations platform of a SIP access operator.

The layout is the design: `ARCHITECTURE.md` names the rooms, and the import contracts in `pyproject.toml` keep the direction.
"""

__version__ = "0.1.0"
