"""Devices: who they are, what they report, what is wanted of them and what the ACS asks next.

Doors: `model`, `service`. Waves, leases and halts of a rollout belong to response; whether a device is dangerous, to exposure.
"""
