"""Enrolling devices: the credential each proves itself with at the ACS."""
