"""Every SQL call of the catalogue, on one connection inside one transaction."""

from ringfence.runtime.db import NamedQueries, load_queries


class CatalogueStore(NamedQueries):
    """The schema `fleet`, as far as it is about files."""

    queries = load_queries("ringfence.fleet.catalogue")
