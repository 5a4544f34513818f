"""Waking devices: who is to be woken, with which credential, and where they were seen."""
