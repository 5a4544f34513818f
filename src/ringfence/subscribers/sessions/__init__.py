"""Access sessions: which line held which address, from when to when, as RADIUS accounting and DHCP tell it."""
