"""Customers, their lines and contacts."""
