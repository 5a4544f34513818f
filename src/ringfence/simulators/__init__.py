"""The outside world: callers, capture agents, SIP edges. They reach the product only through bytes and import no capability, so they cannot cheat."""
