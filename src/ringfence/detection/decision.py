"""Acting or asking: what going on would cost, against what blocking an innocent customer costs (FE 4.3).

Pure and in integers. Both sides travel with the suspicion and stay with the block, so that a person sees what was weighed. The one thing to
know: only a combined score is decided here; a hard rule acts by its own threshold, and its figures are for the reader.
"""

from dataclasses import dataclass

from ringfence.detection.layout import MINUTE
from ringfence.detection.rules import RuleSet
from ringfence.telephony.control import Segment
from ringfence.telephony.suspicion import Mode

RULE = "D00"


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighed:
    """Both sides, in micro-euro."""

    loss_micro: int
    """Chance of fraud x cost per minute x minutes until somebody would stop it."""
    false_block_micro: int
    """Chance that it is none x cost of a false block."""

    @property
    def worth_acting(self) -> bool:
        """Whether waiting for a person costs more than being wrong."""
        return self.loss_micro > self.false_block_micro

    def mode(self, mode: Mode) -> Mode:
        """The mode of a suspicion: what is not worth acting on is proposed."""
        return "propose" if mode == "act" and not self.worth_acting else mode


def weigh(rules: RuleSet, *, score: int, rate_micro: int, segment: Segment) -> Weighed:
    """Weigh a score (0 to 100) of an account that spends `rate_micro` a minute now.

    An intruder who has not called yet will: the rate is never taken below rule D00's `intruder`.
    """
    rate = max(rate_micro, rules.value(RULE, "intruder", segment))
    stop = rules.value(RULE, "until_stop", segment)
    return Weighed(
        loss_micro=score * rate * stop // (100 * MINUTE),
        false_block_micro=(100 - score) * rules.value(RULE, "false_block", segment) // 100,
    )


def doubted(score_ppm: int, sensitivity: int, share: int) -> int:
    """A chance in millionths, raised for an account of this sensitivity (0 to 100): at 100, `share` percent of the doubt goes."""
    return 1_000_000 - (1_000_000 - score_ppm) * (10_000 - sensitivity * share) // 10_000
