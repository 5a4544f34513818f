import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.base.errors import OperatorError, PeerError
from ringfence.fleet.image_urls import ImageGrant, sign, verify
from ringfence.fleet.images import MAX_WAIT_SECONDS, ByteBucket, Leases, ServedLedger, Span, span_of

KEY = b"k" * 32
GRANT = ImageGrant(digest="ab" * 32, device_id=7, size=1_000, expires_s=2_000)
TAG = '"ab"'


def test_a_link_is_good_for_what_it_was_signed_for_until_it_expires() -> None:
    path = sign(KEY, GRANT)
    assert verify(KEY, path, 1_999_999) == GRANT
    with pytest.raises(PeerError) as expired:
        verify(KEY, path, 2_000_000)
    assert expired.value.reason == "expired_link"


@given(st.data())
def test_no_other_link_is_good(data: st.DataObject) -> None:
    path = sign(KEY, GRANT)
    at = data.draw(st.integers(0, len(path) - 1))
    character = data.draw(st.characters(codec="utf-8"))
    changed = path[:at] + character + path[at + 1 :]
    if changed != path:
        with pytest.raises(PeerError):
            verify(KEY, changed, 0)


@pytest.mark.parametrize(
    "path",
    [
        "/firmware/../../etc/passwd",
        "/firmware/%2e%2e/etc/passwd",
        f"/firmware/{'ab' * 32}/7/1000/2000/../../../x",
        f"/firmware//{'ab' * 32}/7/1000/2000/{'0' * 64}",
        f"/firmware/{'AB' * 32}/7/1000/2000/{'0' * 64}",
        sign(KEY, GRANT) + "\n",
        sign(KEY, GRANT) + "?x=1",
        sign(KEY, GRANT) + "\0",
        sign(b"q" * 32, GRANT),
        sign(KEY, GRANT).replace("/7/", "/8/"),
        "",
        "a" * 10_000,
    ],
)
def test_tricks_with_paths_are_refused(path: str) -> None:
    with pytest.raises(PeerError):
        verify(KEY, path, 0)


@pytest.mark.parametrize(("key", "digest"), [(b"short", "ab" * 32), (KEY, "../" * 20), (KEY, "AB" * 32)])
def test_what_cannot_be_verified_is_not_signed(key: bytes, digest: str) -> None:
    with pytest.raises(OperatorError):
        sign(key, ImageGrant(digest=digest, device_id=7, size=1, expires_s=1))


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", Span(0, 100, False)),
        ("bytes=10-", Span(10, 100, True)),
        ("bytes=10-19", Span(10, 20, True)),
        ("bytes=90-500", Span(90, 100, True)),
        ("bytes=-5", Span(95, 100, True)),
        ("bytes=-500", Span(0, 100, True)),
        ("bytes=100-", None),
        ("bytes=-0", None),
        ("bytes=20-10", Span(0, 100, False)),
        ("bytes=0-1,5-6", Span(0, 100, False)),
        ("lines=1-2", Span(0, 100, False)),
        ("bytes=-", Span(0, 100, False)),
    ],
)
def test_ranges(header: str, expected: Span | None) -> None:
    assert span_of(100, header, "", TAG) == expected


def test_a_range_of_another_file_gets_the_whole() -> None:
    assert span_of(100, "bytes=10-", TAG, TAG) == Span(10, 100, True)
    assert span_of(100, "bytes=10-", '"other"', TAG) == Span(0, 100, False)


@given(st.lists(st.tuples(st.floats(0, 2), st.integers(1, 5_000)), min_size=1, max_size=60))
def test_the_cap_holds_over_any_time(steps: list[tuple[float, int]]) -> None:
    bucket, now, taken, rate = ByteBucket(1_000.0, 0.0), 0.0, 0, 1_000.0
    for pause, count in steps:
        now += pause
        taken += count
        now += bucket.take(count, now)
        assert taken <= rate + rate * now + 1e-3


def test_leases_are_as_many_as_the_host_can_bear() -> None:
    leases = Leases(rate=1_000.0, slowest=250.0)
    assert [leases.take(device, 10_000) for device in range(4)] == [0, 0, 0, 0]
    waits = [leases.take(device, 10_000) for device in range(10, 110)]
    assert all(40 <= wait < 80 for wait in waits)
    assert len(set(waits)) > 20
    leases.give_back(0, 10_000)
    assert leases.open == 3
    assert leases.take(200, 10) == 0


def test_one_device_cannot_take_all_leases() -> None:
    leases = Leases(rate=1_000.0, slowest=1.0)
    assert [leases.take(1, 10) == 0 for _ in range(3)] == [True, True, False]
    leases.give_back(1, 10)
    assert leases.take(1, 10) == 0
    assert leases.take(2, 10**12) == 0
    assert leases.take(1, 10) <= MAX_WAIT_SECONDS


def test_what_was_served_is_known_and_bounded() -> None:
    ledger = ServedLedger(limit=2)
    ledger.sent(1, "a", 100, 0, 60, 1)
    ledger.sent(1, "a", 100, 40, 60, 2)
    progress = ledger.of(1)
    assert progress is not None
    assert (progress.sent, progress.last_byte, progress.at_ms) == (120, 100, 2)
    assert ledger.sent(1, "b", 50, 0, 10, 3).sent == 10
    ledger.sent(2, "a", 100, 0, 1, 4)
    ledger.sent(3, "a", 100, 0, 1, 5)
    assert ledger.of(1) is None
