"""The next request, against a device made of a dictionary: it ends, it asks little at a time, and it proves secrets without reading them."""

from dataclasses import dataclass, field, replace

from hypothesis import given
from hypothesis import strategies as st

from ringfence.base.secret import Secret
from ringfence.fleet.session import (
    BATCH,
    SET_BATCH,
    Answer,
    Request,
    Setting,
    Stop,
    Template,
    Work,
    answered,
    back_off_seconds,
    next_request,
)
from ringfence.protocols.cwmp.messages import (
    Fault,
    GetParameterNames,
    GetParameterNamesResponse,
    GetParameterValues,
    GetParameterValuesResponse,
    ParameterFault,
    ParameterInfo,
    ParameterValue,
    SetParameterValues,
    SetParameterValuesResponse,
)


@dataclass
class Device:
    """A tree, names that cannot be set, and the most names it answers at once."""

    values: dict[str, str]
    stubborn: frozenset[str] = frozenset()
    room: int = 100
    key: str = ""
    asked: list[Request] = field(default_factory=list)

    def answer(self, request: Request) -> Answer:
        self.asked.append(request)
        match request:
            case GetParameterNames(path=path):
                below = {name[len(path) :].partition(".") for name in self.values if name.startswith(path)}
                names = sorted({path + head + dot for head, dot, _ in below})
                return GetParameterNamesResponse(parameters=tuple(ParameterInfo(name, True) for name in names))
            case GetParameterValues(names=names) if len(names) > self.room:
                return Fault(fault_code=9004)
            case GetParameterValues(names=names):
                if any(name not in self.values for name in names):
                    return Fault(fault_code=9005)
                return GetParameterValuesResponse(parameters=tuple(ParameterValue(name, self.values[name]) for name in names))
            case SetParameterValues(parameters=parameters, parameter_key=key):
                if bad := [one.name for one in parameters if one.name in self.stubborn or one.name not in self.values]:
                    return Fault(fault_code=9003, parameter_faults=tuple(ParameterFault(name, 9008) for name in bad))
                self.values |= {one.name: one.value for one in parameters}
                self.key = key
                return SetParameterValuesResponse(status=0)


def talk(device: Device, work: Work) -> Work:
    for _ in range(2_000):
        if (request := next_request(work)) is None:
            return work
        work = answered(work, request, device.answer(request))
    raise AssertionError("the session does not end")


def setting(name: str, value: str | Secret = "new") -> Setting:
    return Setting(name=name, value=value, type="xsd:string", stamp="7" if isinstance(value, Secret) else "")


NAMES = st.sampled_from([f"D.{part}.{number}" for part in "abc" for number in range(9)])


@given(st.sets(NAMES), st.sets(NAMES), st.sets(NAMES), st.integers(1, 20))
def test_every_session_ends_with_all_that_can_be_set(has: set[str], wanted: set[str], stubborn: set[str], room: int) -> None:
    device = Device(dict.fromkeys(has, "old"), frozenset(stubborn), room)
    settings = tuple(setting(name) for name in sorted(wanted))
    work = talk(device, Work(device_id=1, settings=settings))
    assert {name for name in wanted if device.values.get(name) == "new"} == (wanted & has) - stubborn
    assert {stop.name for stop in work.stops} == wanted - (has - stubborn)
    again = Device(dict(device.values), frozenset(stubborn), room)
    talk(again, replace(Work(device_id=1, settings=settings), stops=work.stops, parameter_key=device.key))
    assert not any(isinstance(request, SetParameterValues) for request in again.asked), "what does not differ is not set"


def test_secrets_are_never_read_and_only_the_last_batch_carries_the_key() -> None:
    names = [f"D.x.{number}" for number in range(12)]
    device = Device(dict.fromkeys([*names, "D.Password"], ""))
    work = Work(device_id=1, settings=(setting("D.Password", Secret("hidden")), *(setting(name) for name in names)))
    done = talk(device, work)
    sets = [request for request in device.asked if isinstance(request, SetParameterValues)]
    assert [len(request.parameters) for request in sets] == [SET_BATCH, 5]
    assert [request.parameter_key for request in sets] == ["", work.key]
    assert sets[-1].parameters[-1].value == "hidden"
    assert all("D.Password" not in request.names for request in device.asked if isinstance(request, GetParameterValues))
    assert "hidden" not in repr(done)
    assert done.settled
    assert next_request(replace(work, parameter_key=work.key, reported=dict.fromkeys(names, "new"))) is None, "the key is the proof"


def test_an_interrupted_session_sends_the_secret_again() -> None:
    work = Work(device_id=1, settings=(setting("D.Password", Secret("hidden")),), parameter_key="another")
    assert isinstance(next_request(work), SetParameterValues)


def test_a_whole_tree_is_read_in_small_batches() -> None:
    tree = {f"D.{branch}.{leaf}": "v" for branch in range(30) for leaf in range(7)} | {"D.1.Password": "hidden"}
    device = Device(dict(tree), room=10)
    work = talk(device, Work(device_id=1, explore=("D.",)))
    assert dict(work.learned) == {name: "v" for name in tree if name != "D.1.Password"}
    assert max(len(request.names) for request in device.asked if isinstance(request, GetParameterValues)) <= BATCH
    assert all(request.path for request in device.asked if isinstance(request, GetParameterNames)), "never the root"


def test_a_session_is_bounded_and_the_rest_is_left_for_the_next() -> None:
    device = Device({f"D.{branch}.x": "v" for branch in range(900)})
    work = talk(device, Work(device_id=1, explore=("D.",)))
    assert len(device.asked) == 400
    assert work.explore
    talk(device, replace(work, asked=0))
    assert len(device.asked) > 400


def test_faults_that_are_not_the_settings_end_the_work_for_now() -> None:
    work = Work(device_id=1, settings=(setting("D.a.1"),))
    request = next_request(work)
    assert request is not None
    for code in (9001, 9002, 9004, 9021, 9000):
        after = answered(work, request, Fault(fault_code=code))
        assert (after.backed_off, next_request(after)) == (code, None)
    assert answered(work, request, Fault(fault_code=9005)).stops == (Stop(name="D.a.1", fault_code=9005),)


def test_back_off_doubles_and_ends_at_a_day() -> None:
    assert [back_off_seconds(failures) for failures in (1, 2, 3, 50)] == [300, 600, 1_200, 86_400]


def test_a_name_outside_the_asked_path_is_not_followed() -> None:
    work = Work(device_id=1, explore=("D.a.",))
    lie = GetParameterNamesResponse(parameters=(ParameterInfo("D.", True), ParameterInfo("D.a.", True), ParameterInfo("E.b", True)))
    after = answered(work, GetParameterNames(path="D.a.", next_level=True), lie)
    assert (after.explore, after.read) == ((), ())


def test_more_secrets_than_fit_a_batch_are_each_sent_once() -> None:
    names = [f"D.{number}.Password" for number in range(20)]
    device = Device(dict.fromkeys(names, ""))
    work = talk(device, Work(device_id=1, settings=tuple(setting(name, Secret("hidden")) for name in names)))
    sets = [request for request in device.asked if isinstance(request, SetParameterValues)]
    assert [len(request.parameters) for request in sets] == [SET_BATCH, SET_BATCH, 4]
    assert work.settled


def test_instances_are_asked_level_by_level_and_then_set() -> None:
    root = "InternetGatewayDevice.LANDevice."
    template = Template(name=root + "{i}.WLANConfiguration.{i}.BeaconType", value="11i", type="xsd:string")
    work = Work(device_id=1, templates=(template,), seek=(root,))
    tree = {
        root: ("1.", "1.Hosts."),
        f"{root}1.WLANConfiguration.": ("1.", "5.", "x.", "1.BeaconType"),
    }
    asked: list[str | tuple[str, ...]] = []
    while not work.settled:
        request = next_request(work)
        match request:
            case GetParameterNames(path=path):
                asked.append(path)
                found = tuple(ParameterInfo(path + end, writable=False) for end in tree[path])
                work = answered(work, request, GetParameterNamesResponse(found))
            case GetParameterValues(names=names):
                asked.append(names)
                values = tuple(ParameterValue(name, "Basic" if ".5." in name else "11i") for name in names)
                work = answered(work, request, GetParameterValuesResponse(values))
            case SetParameterValues(parameters=parameters):
                asked.append(tuple(parameter.name for parameter in parameters))
                work = answered(work, request, SetParameterValuesResponse(0))
            case _:
                raise AssertionError(request)
    both = tuple(f"{root}1.WLANConfiguration.{number}.BeaconType" for number in (1, 5))
    assert asked == [root, f"{root}1.WLANConfiguration.", both, both[1:]]


def test_a_device_without_such_instances_is_done() -> None:
    template = Template(name="Device.WiFi.AccessPoint.{i}.Security.ModeEnabled", value="WPA2-Personal", type="xsd:string")
    work = Work(device_id=1, templates=(template,), seek=("Device.WiFi.AccessPoint.",))
    request = next_request(work)
    assert request == GetParameterNames(path="Device.WiFi.AccessPoint.", next_level=True)
    assert request is not None
    assert answered(work, request, Fault(9005, "Invalid parameter name")).settled
    assert answered(work, request, GetParameterNamesResponse(())).settled
    busy = answered(work, request, Fault(9004, "Resources exceeded"))
    assert (busy.settled, busy.backed_off) == (False, 9004)
