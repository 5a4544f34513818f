"""Every stream and bucket of the installation, in one list.

Pure data. The numbers here are promises to whoever recovers: how long the log can be replayed, and how long a message's own
subject refuses a second copy. `ringfence up` creates them before the first role starts; roles only check that they are there.
"""

from dataclasses import dataclass

HOUR_SECONDS = 3600
DAY_SECONDS = 24 * HOUR_SECONDS

LOG_SECONDS = 26 * HOUR_SECONDS
"""The longest detector window (a day) and two hours to notice that something is wrong."""

MESSAGE_SECONDS = 7 * DAY_SECONDS
"""Alerts, suspicions and announcements wait this long for a worker whose database is down."""

TOMBSTONE_SECONDS = DAY_SECONDS
"""A deleted key's marker stays this long, so that a watch that was cut off learns of the deletion."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamPlan:
    """A JetStream stream as we want it: `once` means one message per subject for ever, a second one is refused."""

    name: str
    subjects: tuple[str, ...]
    max_age_seconds: int
    once: bool = False

    def config(self) -> dict[str, object]:
        """The JetStream configuration (durations in nanoseconds), as `$JS.API.STREAM.CREATE` takes it."""
        config: dict[str, object] = {
            "name": self.name,
            "subjects": list(self.subjects),
            "retention": "limits",
            "storage": "file",
            "max_age": self.max_age_seconds * 1_000_000_000,
            "allow_direct": True,
            "discard": "old",
        }
        if self.once:
            # The de-duplication window of JetStream is two minutes of memory; this one lasts as long as the message.
            config |= {"max_msgs_per_subject": 1, "discard": "new", "discard_new_per_subject": True}
        return config


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketPlan:
    """A key-value bucket: the newest value of each key, and markers of deleted keys for a day."""

    name: str

    @property
    def stream(self) -> str:
        """The stream that holds the bucket."""
        return bucket_stream(self.name)

    def config(self) -> dict[str, object]:
        """The JetStream configuration, compatible with other NATS key-value clients."""
        return {
            "name": self.stream,
            "subjects": [f"{bucket_prefix(self.name)}>"],
            "retention": "limits",
            "storage": "file",
            "max_msgs_per_subject": 1,
            "discard": "new",
            "allow_rollup_hdrs": True,
            "deny_delete": True,
            "allow_direct": True,
            "allow_msg_ttl": True,
        }


def bucket_stream(bucket: str) -> str:
    """Name of the stream behind a bucket."""
    return f"KV_{bucket}"


def bucket_prefix(bucket: str) -> str:
    """What stands before the key in the subjects of a bucket."""
    return f"$KV.{bucket}."


def log_stream(view: str, lane: int) -> str:
    """Name of the log stream of a lane of a view."""
    return f"LOG_{view}_{lane}"


def log_subject(view: str, lane: int) -> str:
    """The one subject of that stream."""
    return f"log.{view}.{lane}"


def log_plan(view: str, lane: int) -> StreamPlan:
    """The log of one lane."""
    return StreamPlan(name=log_stream(view, lane), subjects=(log_subject(view, lane),), max_age_seconds=LOG_SECONDS)


ALERTS = StreamPlan(name="ALERTS", subjects=("alert.*.*",), max_age_seconds=MESSAGE_SECONDS, once=True)
SUSPICIONS = StreamPlan(name="SUSPICIONS", subjects=("suspicion.*.*",), max_age_seconds=MESSAGE_SECONDS, once=True)
ATTACKS = StreamPlan(name="ATTACKS", subjects=("attack.*.*",), max_age_seconds=MESSAGE_SECONDS, once=True)
EVENTS = StreamPlan(name="EVENTS", subjects=("event.>",), max_age_seconds=MESSAGE_SECONDS, once=True)

LANES = {"account": 1, "range": 1, "source": 1, "network": 1}
"""Lanes per view (`telephony.views` says what each holds). More lanes are more streams; no stored format changes."""

STREAMS: tuple[StreamPlan, ...] = (
    *(log_plan(view, lane) for view, lanes in LANES.items() for lane in range(lanes)),
    ALERTS,
    ATTACKS,
    SUSPICIONS,
    EVENTS,
)

BUCKETS: tuple[BucketPlan, ...] = tuple(
    BucketPlan(name=name)
    for name in (
        "blocks",
        "exemptions",
        "releases",
        "breaker",
        "approvals",
        "proposals",
        "control",
        "leases",
        "edges",
        "detectors",
    )
)
