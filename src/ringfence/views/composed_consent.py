"""What is known before a composed rule judges: its preview with the labels of today, and the question it asks.

A rule that would alert on more than one account in a thousand, or that could not be looked at, judges only when somebody confirms it after
seeing the figures. One that the live engine could not hold is refused, whoever confirms.
"""

import asyncio
from typing import Final

from ringfence.base.clock import Clock
from ringfence.base.errors import ConflictError, OperatorError, UnavailableError
from ringfence.base.money import show_euro
from ringfence.detection.composed import ComposedRule
from ringfence.detection.composing.service import ComposingService
from ringfence.subscribers.service import SubscribersService
from ringfence.telephony.model import account_key_of
from ringfence.views.composed_preview import DAY_MS, DEFAULT_DAYS, MAX_DAYS, ComposedPreviews, Known, Preview

ASKED: Final = "rule_asks"
UNSEEN: Final = "rule_unseen"


class RulePreviews:
    """Previews with what people and built-in rules know; one at a time, because each may use all its memory."""

    def __init__(
        self, previews: ComposedPreviews, composing: ComposingService, subscribers: SubscribersService, *, key: bytes, clock: Clock
    ) -> None:
        self._previews = previews
        self._composing = composing
        self._subscribers = subscribers
        self._key = key
        self._clock = clock
        self._one = asyncio.Semaphore(1)

    async def preview(self, rule: ComposedRule, *, days: int = DEFAULT_DAYS, version: int = 1) -> Preview:
        """The rule over the last days. OperatorError when it matches too much; UnavailableError when the archive cannot answer."""
        async with self._one:
            known = await self._known(self._clock() - min(max(days, 1), MAX_DAYS) * DAY_MS)
            return await self._previews.preview(rule, known, days=days, version=version)

    async def consent(self, rule: ComposedRule, version: int, *, confirmed: bool) -> str:
        """One sentence with the figures, for the history of the rule. ConflictError with the figures while a confirmation is missing."""
        try:
            found = await self.preview(rule, version=version)
        except UnavailableError as error:
            if not confirmed:
                told = f"what {rule.rule_id} would do could not be seen ({error}); confirm to go on without"
                raise ConflictError(told, reason=UNSEEN) from None
            return f"confirmed without a preview: {error}"[:500]
        if found.too_broad:
            raise OperatorError(
                f"{rule.rule_id} would have to keep {found.peak_rows:,} rows at a time, more than the detector holds; narrow it",
                reason="rule_too_broad",
            )
        told = sentence(found)
        if found.asks and not confirmed:
            raise ConflictError(f"{told}: more than 1 in 1,000; confirm to go on", reason=ASKED)
        return f"{told}; confirmed" if found.asks else told

    async def _known(self, since_ms: int) -> Known:
        labels = await self._composing.account_labels(since_ms)
        keys = {label.account: account_key_of(self._key, label.account, keyed=True) for label in labels}
        return Known(
            fraud=frozenset(keys[label.account] for label in labels if label.fraud),
            not_fraud=frozenset(keys[label.account] for label in labels if label.not_fraud),
            alerted=frozenset(keys[label.account] for label in labels if label.alerted),
            accounts=await self._subscribers.count_accounts(),
        )


def sentence(found: Preview) -> str:
    """The figures in a line."""
    days = max(1, round((found.to_ms - found.from_ms) / DAY_MS))
    share = f"{found.share:.2%}" if found.all_accounts else "no account called"
    return (
        f"{found.rule_id} in {days} days: {found.alerts:,} alerts on {found.accounts:,} of {found.all_accounts:,} accounts ({share}), "
        f"{show_euro(found.caught_micro)} after its first alerts, {show_euro(found.missed_micro)} missed"
    )
