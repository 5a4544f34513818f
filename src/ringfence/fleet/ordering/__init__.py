"""Orders: wanted by people, given by the ACS, told by devices."""
