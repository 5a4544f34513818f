"""Metrics: declared beside what moves them, served as Prometheus text on loopback.

Names are `ringfence_<room>_<noun>_<unit>[_total]`; the functions here refuse another form, so that dashboards can rely on it.
Labels are closed sets (reasons, kinds, states), never something a peer chose.
"""

import re
from collections.abc import Sequence
from wsgiref.simple_server import WSGIServer

from prometheus_client import Counter, Gauge, Histogram, start_http_server

from ringfence.base.errors import OperatorError

_NAME = re.compile(r"ringfence_[a-z]+(_[a-z0-9]+)+\Z")


def counter(name: str, description: str, labels: Sequence[str] = ()) -> Counter:
    """A count that only grows; the name ends with `_total`."""
    assert _NAME.match(name), name
    assert name.endswith("_total"), name
    return Counter(name, description, labels)


def gauge(name: str, description: str, labels: Sequence[str] = ()) -> Gauge:
    """A value that goes up and down."""
    assert _NAME.match(name), name
    return Gauge(name, description, labels)


def histogram(name: str, description: str, buckets: Sequence[float], labels: Sequence[str] = ()) -> Histogram:
    """A distribution over fixed upper bounds, in the unit the name ends with."""
    assert _NAME.match(name), name
    return Histogram(name, description, labels, buckets=buckets)


def serve_metrics(port: int) -> WSGIServer:
    """Serve the metrics of this process on 127.0.0.1 in a thread of their own."""
    try:
        server, _thread = start_http_server(port, addr="127.0.0.1")
    except OSError as error:
        raise OperatorError(
            f"Metrics cannot listen on 127.0.0.1:{port} ({error.strerror}); set metrics.base_port to a free range or to 0.",
            reason="port_taken",
        ) from error
    return server
