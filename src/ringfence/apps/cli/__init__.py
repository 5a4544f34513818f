"""`ringfence`: the command line. Local commands start, check and rehearse; the others are clients of the API."""
