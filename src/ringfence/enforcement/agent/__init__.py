"""The shells without SQL, and the door for whoever runs or asks them: `PolicyAgent`, `EdgeAgent`, `ask_policy`."""

from ringfence.enforcement.agent.desk import ask_policy
from ringfence.enforcement.agent.edge import EdgeAgent
from ringfence.enforcement.agent.link import Edge
from ringfence.enforcement.agent.policy import PolicyAgent
from ringfence.enforcement.policy import decide, settings_for
from ringfence.enforcement.state import State

__all__ = ["Edge", "EdgeAgent", "PolicyAgent", "State", "ask_policy", "decide", "settings_for"]
