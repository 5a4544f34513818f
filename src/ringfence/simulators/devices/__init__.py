"""Devices of TR-069 by the ten thousand, in one process: what homes hold, as the ACS meets it."""
