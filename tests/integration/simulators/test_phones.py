"""Telephones of simulated devices at the simulated edge: they register with what their tree holds at that moment."""

import pytest

from ringfence.base.clock import system_clock
from ringfence.base.secret import Secret
from ringfence.protocols.cwmp.messages import ParameterValue, SetParameterValues
from ringfence.simulators.devices.device import Power
from ringfence.simulators.devices.phones import LINES, Phones
from ringfence.simulators.sip_edge import SipEdge, SipEdgePlan
from ringfence.telephony.numbers import plan_for
from tests.integration.simulators.acs import TestAcs
from tests.integration.simulators.test_devices import NEW, ended, once, run, world_of
from tests.integration.simulators.test_sip_edge import EMERGENCY

ACCOUNT, PASSWORD = "493012345", "of-the-line"


@pytest.mark.parametrize(("password", "status"), [(PASSWORD, 200), ("before-the-rotation", 401)])
def test_a_telephone_registers_with_the_password_of_its_tree(password: str, status: int) -> None:
    names = [NEW.root + LINES[1] + name for name in ("AuthUserName", "AuthPassword")]
    given = SetParameterValues((ParameterValue(names[0], ACCOUNT), ParameterValue(names[1], password)), "k")
    plan = SipEdgePlan(
        accounts={ACCOUNT: PASSWORD}, plan=plan_for("DE", ("30",)), emergency=EMERGENCY, class_of=lambda _digits: 1, token=Secret("t")
    )

    async def work() -> None:
        async with await SipEdge.open(plan, system_clock) as edge, TestAcs(once(given)) as acs, world_of(acs) as world:
            (device,) = world.devices
            phones = await Phones.open(world, edge.sip_address, domain="edge.test", every_seconds=100.0)
            try:
                assert await phones.register(device) == 0, "no account yet"
                assert await world.wait(ended(1))
                assert await phones.register(device) == status
                device.power = Power.SILENT
                counted = "phones_registered" if status == 200 else "phones_refused"
                again = world.counters[counted] + 1
                assert await world.wait(lambda world: world.counters[counted] >= again), "in its own time as well, and silent"
                device.power_off()
                assert await phones.register(device) == 0
            finally:
                phones.close()

    run(work)
