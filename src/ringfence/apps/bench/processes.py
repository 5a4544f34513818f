"""Processor time and memory of a rehearsal's processes: on a machine that others use too, that is what compares."""

import os
from pathlib import Path

from ringfence.drills.product import Product

_TICK_US = 1_000_000 // os.sysconf("SC_CLK_TCK")


def processor_us(product: Product, role: str) -> dict[str, int]:
    """Processor time so far of a role, and of PostgreSQL with its sessions, in microseconds."""
    postgres = _pid(product, "postgres")
    children = [pid for pid in _processes() if _stat(pid)[1] == postgres]
    return {role: _stat(_pid(product, role))[0], "postgres": sum(_stat(pid)[0] for pid in (postgres, *children))}


def resident_bytes(product: Product, role: str) -> int:
    """Memory of a role as the kernel counts it (VmRSS)."""
    text = Path(f"/proc/{_pid(product, role)}/status").read_text()
    return int(text.partition("VmRSS:")[2].split()[0]) * 1024


def _pid(product: Product, name: str) -> int:
    return int((product.folder / "run" / f"{name}.pid").read_text().split()[0])


def _processes() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]


def _stat(pid: int) -> tuple[int, int]:
    """Processor time, ended children included, and the parent."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0, 0
    return sum(int(ticks) for ticks in fields[11:15]) * _TICK_US, int(fields[1])
