"""A device's parameters as a tree: nothing is lost, numbers are in order, a search keeps the way to what it found."""

from hypothesis import given
from hypothesis import strategies as st

from ringfence.apps.console.trees import Branch, tree_of
from ringfence.fleet.model import Reported


def reported(name: str, value: str = "x") -> Reported:
    return Reported(name=name, value=value, writable=None, in_inform=False, reported_ms=0)


def names(branch: Branch) -> list[str]:
    return [leaf.name for leaf in branch.leaves] + [name for below in branch.branches for name in names(below)]


@given(
    st.sets(
        st.lists(st.sampled_from(["Device", "Hosts", "Host", "1", "2", "10", "Name"]), min_size=1, max_size=5).map(".".join), max_size=30
    )
)
def test_every_parameter_is_in_the_tree_once(paths: set[str]) -> None:
    roots = tree_of([reported(path) for path in paths])
    rooted = [name for root in roots for name in names(root)]
    alone = {path for path in paths if "." not in path}
    assert sorted(rooted) == sorted(paths - alone if len(paths) > len(alone) else paths)
    assert all(root.count == len(names(root)) for root in roots)


def test_instances_are_in_the_order_of_their_numbers() -> None:
    (root,) = tree_of([reported(f"Device.Hosts.Host.{number}.Name") for number in (10, 2, 1)])
    (host,) = root.branches[0].branches
    assert [each.name for each in host.branches] == ["1", "2", "10"]


def test_a_search_finds_names_and_values() -> None:
    found = tree_of([reported("Device.A.URL", "http://acs"), reported("Device.B.Name", "kitchen")], "ACS")
    assert [name for root in found for name in names(root)] == ["Device.A.URL"]
    assert tree_of([reported("Device.A.URL")], "nothing") == []
