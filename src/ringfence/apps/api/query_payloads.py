"""A composed question over the history as the API hears it, and its answer. Times are ISO 8601, money is euro."""

from datetime import datetime
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field

from ringfence.apps.api.payloads import at
from ringfence.apps.api.watching_payloads import CallSaid
from ringfence.archive.questions import Answer, CallQuestion, FoundCall, GroupSums, Sums
from ringfence.base.errors import OperatorError
from ringfence.base.money import as_euro, parse_euro
from ringfence.enforcement.model import DAY_MS, normal_account
from ringfence.telephony.model import country_code, country_letters
from ringfence.views.spans import starts
from ringfence.views.workbench import source_of

MAX_LINES = 1_000
Digits = Annotated[str, Field(max_length=16, pattern=r"^\+?[0-9]*$")]
Word = Annotated[str, Field(max_length=128)]


class QueryHeard(BaseModel):
    """Which calls, and by what they are added up. Without times: the last `days`. Hours and days are those of the operator's zone."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    since: Annotated[datetime | None, Field(alias="from")] = None
    until: Annotated[datetime | None, Field(alias="to")] = None
    days: Annotated[int, Field(ge=1, le=400)] = 1
    account: Word = ""
    caller: Digits = ""
    callee: Digits = ""
    country: Annotated[str, Field(max_length=2)] = ""
    class_at_least: Annotated[int, Field(ge=0, le=5)] = 0
    source: Word = ""
    user_agent: Word = ""
    status: Annotated[int, Field(ge=0, le=699)] = 0
    seconds_at_least: Annotated[int, Field(ge=0, le=999_999)] = 0
    cost_at_least_eur: Annotated[str, Field(max_length=12)] = ""
    group: Literal["", "account", "destination", "country", "source", "hour", "day"] = ""
    limit: Annotated[int, Field(ge=1, le=MAX_LINES)] = 200

    def question(self, zone: ZoneInfo, now_ms: int) -> CallQuestion:
        """The same for the archive; OperatorError names what does not fit."""
        until = _milliseconds(self.until, "to") or now_ms
        since = _milliseconds(self.since, "from") or until - self.days * DAY_MS
        country = country_code(self.country)
        if self.country and not country:
            raise OperatorError("a country is two letters, such as SL", reason="bad_country")
        timed = self.group in ("hour", "day")
        return CallQuestion(
            from_ms=since,
            to_ms=until,
            account=normal_account(self.account) if self.account else "",
            caller=self.caller.removeprefix("+"),
            callee=self.callee.removeprefix("+"),
            country=country,
            class_at_least=self.class_at_least,
            source=source_of(self.source) if self.source else "",
            user_agent=self.user_agent,
            status=self.status,
            seconds_at_least=self.seconds_at_least,
            cost_at_least_micro=parse_euro(self.cost_at_least_eur) if self.cost_at_least_eur else 0,
            group=self.group,
            edges=starts(zone, since, until, days=self.group == "day")[:-1] if timed else (),
        )


class SumsSaid(BaseModel):
    """What calls add up to."""

    calls: int
    answered: int
    refused: int
    accounts: int
    seconds: int
    cost_eur: float

    @classmethod
    def of(cls, sums: Sums) -> "SumsSaid":
        """From the archive."""
        return cls(
            calls=sums.calls,
            answered=sums.answered,
            refused=sums.blocked,
            accounts=sums.accounts,
            seconds=sums.seconds,
            cost_eur=as_euro(sums.cost_micro),
        )


class SumsOfGroupSaid(SumsSaid):
    """One line of an answer by group. `key`: an account, a number range, two letters, an address, or the start of an hour or a day."""

    key: str

    @classmethod
    def line(cls, group: str, found: GroupSums) -> "SumsOfGroupSaid":
        """From the archive."""
        key = str(found.key)
        if group == "country":
            key = country_letters(int(found.key))
        elif group in ("hour", "day"):
            key = f"{at(int(found.key)):%Y-%m-%dT%H:%M:%SZ}"
        return cls(key=key, **SumsSaid.of(found.sums).model_dump())


class FoundCallSaid(CallSaid):
    """A whole call; one that still runs costs up to the end of the asked span."""

    seconds: int

    @classmethod
    def found(cls, call: FoundCall) -> "FoundCallSaid":
        """From the archive."""
        return cls(
            call_id=call.call_id,
            account=call.account,
            caller=call.caller,
            callee=call.callee,
            country=country_letters(call.country),
            destination_class=call.destination_class,
            started_at=at(call.attempted_ms),
            answered_at=at(call.answered_ms),
            ended_at=at(call.ended_ms),
            seconds=call.seconds,
            status_code=call.status_code,
            cost_eur=as_euro(call.cost_micro),
            source_ip=call.source_ip,
            user_agent=call.user_agent,
            edge=call.edge,
            refused=call.blocked,
        )


class QuerySaid(BaseModel):
    """`calls` (newest first) without a group, else `groups` (the dearest first, times ascending). `total` is of all that fits."""

    total: SumsSaid
    calls: list[FoundCallSaid]
    groups: list[SumsOfGroupSaid]
    more: bool
    """There is more than `limit` lines."""

    @classmethod
    def of(cls, group: str, answer: Answer) -> "QuerySaid":
        """From the archive."""
        return cls(
            total=SumsSaid.of(answer.total),
            calls=[FoundCallSaid.found(call) for call in answer.calls],
            groups=[SumsOfGroupSaid.line(group, line) for line in answer.groups],
            more=answer.more,
        )


def _milliseconds(moment: datetime | None, name: str) -> int:
    if moment is None:
        return 0
    if moment.tzinfo is None:
        raise OperatorError(f"the time of {name} has no zone; write it like 2026-11-21T23:40:00+01:00", reason="bad_time")
    return max(0, round(moment.timestamp() * 1000))
