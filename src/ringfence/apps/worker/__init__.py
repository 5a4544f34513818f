"""The worker: archives the log, writes control records, copies alerts and blocks to PostgreSQL, pages the on-call line."""
