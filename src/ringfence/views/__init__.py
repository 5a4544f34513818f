"""Read-only answers that need several rooms: the present from NATS, the past from PostgreSQL and the archive."""
