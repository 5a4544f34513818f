"""Customers, their accounts and the operator's own address ranges: who is behind a name or an address.

Doors: `model`, `service`. Whether somebody is a fraudster is not known here.
"""
