"""A DuckDB of its own for questions to the archive: bounded in memory, without reach beyond the archive folder, locked."""

from pathlib import Path
from typing import Any

import duckdb


def open_database(folder: Path, *, memory_bytes: int, threads: int, scratch: Path | None = None) -> duckdb.DuckDBPyConnection:
    """An empty database in memory that can read the files of one folder and nothing else. Spills to `scratch`, or not at all."""
    settings: dict[str, Any] = {
        "memory_limit": f"{memory_bytes}B",
        "threads": threads,
        "temp_directory": "" if scratch is None else str(scratch),
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
    }
    database = duckdb.connect(":memory:", config=settings)
    # The order matters: folders can only be allowed while access is still on, and the lock comes last.
    quoted = str(folder).replace("'", "''")
    database.execute(f"SET allowed_directories = ['{quoted}']")
    database.execute("SET enable_external_access = false")
    database.execute("SET lock_configuration = true")
    return database
