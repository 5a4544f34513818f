"""Sans-IO codecs: bytes to frozen values and back. No network, no clock, no randomness, no log; only PeerError leaves a decoder."""
