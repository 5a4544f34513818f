"""Plumbing without a domain word: settings, log, metrics, database, bus, engines, supervision. Rooms above bring the meaning."""
