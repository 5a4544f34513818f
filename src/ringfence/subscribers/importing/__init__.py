"""How a file becomes rows: counted, copied, merged in chunks, reported."""
