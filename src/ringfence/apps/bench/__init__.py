"""`ringfence bench`: figures that outsiders can repeat. Each file is one bench; it measures and never judges."""
