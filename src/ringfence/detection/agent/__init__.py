"""The shell of detection without SQL: one agent per lane reads the log, publishes what follows, and keeps snapshots.

It knows the bus and a folder, and decides nothing: verdicts come from `lane`. What was published is known by position, so a restart
publishes nothing twice and leaves nothing out; a second detector on the same lane is refused message by message.
"""

from ringfence.detection.agent.detector import DetectorAgent, built_in_rules, warm_up

__all__ = ["DetectorAgent", "built_in_rules", "warm_up"]
