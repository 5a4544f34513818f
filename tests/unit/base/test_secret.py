import pickle

import pytest

from ringfence.base.secret import Secret


def test_a_secret_prints_nothing_of_itself() -> None:
    secret = Secret("hunter2")
    assert "hunter2" not in f"{secret} {secret!r} {[secret]} {secret!s:>20}"
    assert secret.open() == "hunter2"


def test_comparison() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a").equals("a")
    assert Secret("a") != "a"
    assert not Secret("")


def test_a_secret_is_no_key_and_is_not_pickled() -> None:
    with pytest.raises(TypeError):
        hash(Secret("a"))
    with pytest.raises(TypeError):
        pickle.dumps(Secret("a"))
