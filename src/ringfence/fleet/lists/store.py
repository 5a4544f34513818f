"""Every SQL call of the lists, on one connection inside one transaction."""

from ringfence.runtime.db import NamedQueries, load_queries


class ListsStore(NamedQueries):
    """The schema `fleet`, as people list and label it."""

    queries = load_queries("ringfence.fleet.lists")
