"""The shells without SQL, and the door for whoever runs or asks them: `PolicyAgent`, `EdgeAgent`, `ask_policy`."""

from ringfence.enforcement.agent.desk import ask_policy
from ringfence.enforcement.agent.policy import PolicyAgent
from ringfence.enforcement.policy import settings_for

__all__ = ["PolicyAgent", "ask_policy", "settings_for"]
