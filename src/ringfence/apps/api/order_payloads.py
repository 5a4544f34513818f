"""Orders to a device, as the API hears and says them."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from ringfence.apps.api.fleet_payloads import Sha256
from ringfence.apps.api.payloads import Heard, Said, at
from ringfence.base.errors import OperatorError
from ringfence.fleet.model import Attempt, DownloadFirmware, Order, Orders, WantedOrder
from ringfence.protocols.cwmp.messages import FactoryReset, Reboot, ScheduleInform


class OrderHeard(Heard):
    """An order. A Download names a file of the catalogue (`sha256`), a ScheduleInform its `delay_seconds`; it expires after `hours`."""

    method: Literal["Download", "Reboot", "FactoryReset", "ScheduleInform"]
    sha256: Sha256 | Literal[""] = ""
    delay_seconds: Annotated[int, Field(ge=0, le=604_800)] = 0
    hours: Annotated[int, Field(ge=1, le=8_784)] = 720

    def order(self) -> Order:
        """The same for the fleet; OperatorError when it names too much or too little."""
        if bool(self.sha256) != (self.method == "Download") or bool(self.delay_seconds) != (self.method == "ScheduleInform"):
            raise OperatorError("a Download names a sha256, a ScheduleInform delay_seconds, other orders neither", reason="bad_order")
        match self.method:
            case "Download":
                return DownloadFirmware(sha256=self.sha256)
            case "Reboot":
                return Reboot()
            case "FactoryReset":
                return FactoryReset()
            case "ScheduleInform":
                return ScheduleInform(self.delay_seconds)


class AttemptSaid(Said):
    """One attempt under one CommandKey, sent once; `unknown`: nobody knows what became of it."""

    command_key: str
    method: str
    attempt: int
    state: str
    fault_code: int
    fault_text: str
    detail: str
    committed_at: datetime | None
    changed_at: datetime | None
    deadline_at: datetime | None

    @classmethod
    def of(cls, attempt: Attempt) -> "AttemptSaid":
        """From the record."""
        names = ("command_key", "method", "attempt", "state", "fault_code", "fault_text", "detail")
        return cls(
            **{name: getattr(attempt, name) for name in names},
            committed_at=at(attempt.committed_ms),
            changed_at=at(attempt.changed_ms),
            deadline_at=at(attempt.deadline_ms),
        )


class OrderSaid(Said):
    """What somebody wanted of a device, and every attempt, the newest first."""

    order_id: int
    method: str
    argument: str
    state: str
    asked_by: str
    asked_at: datetime | None
    not_before_at: datetime | None
    expires_at: datetime | None
    attempts: list[AttemptSaid]

    @classmethod
    def of(cls, wanted: WantedOrder) -> "OrderSaid":
        """From the record."""
        facts = {name: getattr(wanted, name) for name in ("method", "argument", "state", "asked_by")}
        return cls(
            **facts,
            order_id=wanted.wanted_id,
            asked_at=at(wanted.asked_ms),
            not_before_at=at(wanted.not_before_ms),
            expires_at=at(wanted.expires_ms),
            attempts=[AttemptSaid.of(one) for one in wanted.attempts],
        )


class OrdersSaid(Said):
    """Orders of people, and attempts that the ACS made by itself to let a setting apply (`own`)."""

    wanted: list[OrderSaid]
    own: list[AttemptSaid]

    @classmethod
    def of(cls, orders: Orders) -> "OrdersSaid":
        """From the record."""
        return cls(wanted=[OrderSaid.of(one) for one in orders.wanted], own=[AttemptSaid.of(one) for one in orders.own])


class OrderMadeSaid(Said):
    """The number of an order that waits for its device."""

    order_id: int
