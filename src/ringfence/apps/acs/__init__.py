"""The acs role: TR-069 sessions of devices. One process a listener; several may run, each with listeners of its own."""
