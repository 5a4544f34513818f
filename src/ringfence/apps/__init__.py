"""One folder per process: `main.py` reads the settings, wires and presents; it may sequence two services and decides nothing itself."""
