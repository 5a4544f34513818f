"""Adapters to the world outside: SIP edges."""
