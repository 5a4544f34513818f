"""The process that turns suspicions and commands into blocks."""
