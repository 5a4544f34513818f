"""The outside world: callers, capture agents, SIP edges. They reach the product only through bytes; no capability is imported here."""
