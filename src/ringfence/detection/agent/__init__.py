"""The shell of detection without SQL: one agent per lane reads the log, publishes what follows, and keeps snapshots.

It knows the bus and a folder, and decides nothing: verdicts come from `lane`. What was published is known by position, so a restart
publishes nothing twice and leaves nothing out; a second detector on the same lane is refused message by message. This is also the door for
the commands that judge without a bus: `backtest` and `rebuild`.
"""

from ringfence.detection.agent.attacks import AttackAgent
from ringfence.detection.agent.detector import DetectorAgent, Standing, built_in_rules, warm_up
from ringfence.detection.agent.snapshots import read_snapshot
from ringfence.detection.backtest import Result, RuleFigures, backtest
from ringfence.detection.lane import Found, Lane
from ringfence.detection.public_holidays import public_holidays
from ringfence.detection.replay import Replay, in_order
from ringfence.detection.rules import RuleSet, read_rules
from ringfence.detection.views import VIEWS

__all__ = [
    "VIEWS",
    "AttackAgent",
    "DetectorAgent",
    "Found",
    "Lane",
    "Replay",
    "Result",
    "RuleFigures",
    "RuleSet",
    "Standing",
    "backtest",
    "built_in_rules",
    "in_order",
    "public_holidays",
    "read_rules",
    "read_snapshot",
    "warm_up",
]
