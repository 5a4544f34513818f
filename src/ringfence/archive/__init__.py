"""Calls and registrations on disk: the coding of the log's batches, Parquet, questions by DuckDB, retention, state snapshots."""
