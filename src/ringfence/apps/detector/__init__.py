"""The detector process: judges the log and says what it finds. Needs the bus and a folder, no database."""
