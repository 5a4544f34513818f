"""The ingest role: HEP and call records in, rows of the log out. One process; several may run, each with agents of its own."""
