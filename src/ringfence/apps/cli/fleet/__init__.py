"""`ringfence fleet`: clients of the API's routes of devices."""
