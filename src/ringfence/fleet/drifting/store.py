"""Every SQL call about drift, on one connection inside one transaction."""

from ringfence.runtime.db import NamedQueries, load_queries


class DriftStore(NamedQueries):
    """The schema `fleet`, as far as it is about drift."""

    queries = load_queries("ringfence.fleet.drifting")
