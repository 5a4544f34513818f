"""What of this installation itself is never rung at."""

from pathlib import Path

from ringfence.apps.acs.waking import own_listeners
from ringfence.runtime.settings import Acs, AcsManaged, AcsWake, Settings


def test_our_own_listeners_in_their_one_spelling(tmp_path: Path) -> None:
    acs = Acs(managed=AcsManaged(listen="[2001:0db8:0::1]:7547", authentication="none"), wake=AcsWake(stun_listen="192.0.2.1:3478"))
    settings = Settings(data_dir=tmp_path, acs=acs, database_url="postgresql://u@127.0.0.3:5432/x", nats_url="nats://bus.example:4333")
    own = own_listeners(settings)
    assert {("2001:db8::1", 7547), ("192.0.2.1", 3478), ("127.0.0.3", 5432), ("bus.example", 4333)} <= own
    assert {("127.0.0.1", 7548), ("127.0.0.1", 8080), ("127.0.0.1", 8081), ("127.0.0.1", 9060), ("127.0.0.1", 4222)} <= own
