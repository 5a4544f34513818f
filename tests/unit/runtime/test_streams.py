"""The plan of streams and buckets."""

from ringfence.runtime.streams import ALERTS, BUCKETS, STREAMS, log_plan


def test_messages_with_an_id_are_kept_once() -> None:
    config = ALERTS.config()
    assert config["max_msgs_per_subject"] == 1
    assert config["discard_new_per_subject"] is True
    assert config["discard"] == "new"


def test_the_log_outlives_the_longest_window() -> None:
    assert log_plan("account", 3).name == "LOG_account_3"
    assert log_plan("account", 3).subjects == ("log.account.3",)
    assert log_plan("account", 3).config()["max_age"] == 26 * 3600 * 1_000_000_000


def test_no_subject_belongs_to_two_streams() -> None:
    names = [plan.name for plan in STREAMS] + [plan.stream for plan in BUCKETS]
    first_tokens = [subject.split(".")[0] for plan in STREAMS if not plan.name.startswith("LOG") for subject in plan.subjects]
    assert len(set(names)) == len(names)
    assert len(set(first_tokens)) == len(first_tokens)
