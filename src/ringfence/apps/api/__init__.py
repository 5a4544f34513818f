"""The JSON API: `/v1`, bearer tokens, OpenAPI 3.1. The command line is a client of it. Decides nothing; orders go to services or policy."""
