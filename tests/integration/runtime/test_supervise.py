"""Roles as processes: started, started again, stopped, and never left behind. The roles here are small programs of the test."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from ringfence.base.errors import OperatorError
from ringfence.runtime.processes import Child, Command, end_leftovers
from ringfence.runtime.supervise import Supervisor
from tests.harness.engines import PROJECT

READY = "import os, sys, time, pathlib; pathlib.Path({run!r}, {name!r} + '.ready').write_text('x');"


def command(folder: Path, name: str, program: str) -> Command:
    return Command(
        name=name,
        argv=(sys.executable, "-c", textwrap.dedent(program)),
        run_dir=folder,
        log_file=folder / f"{name}.log",
        patience_seconds=2.0,
    )


def role(folder: Path, name: str, body: str = "time.sleep(60)") -> Command:
    return command(folder, name, READY.format(run=str(folder), name=name) + body)


def is_running(pid: int) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def test_a_start_waits_for_every_role_and_a_stop_leaves_none(tmp_path: Path) -> None:
    async def scenario() -> None:
        supervisor = Supervisor([role(tmp_path, "one"), role(tmp_path, "two")], tell=lambda line: None)
        await supervisor.start()
        pids = [int((tmp_path / f"{name}.pid").read_text().split()[0]) for name in ("one", "two")]
        assert all(map(is_running, pids))
        await supervisor.stop()
        assert not any(map(is_running, pids))
        assert list(tmp_path.glob("*.pid")) == []

    asyncio.run(scenario())


def test_roles_stop_in_the_opposite_order(tmp_path: Path) -> None:
    body = "import signal; signal.signal(signal.SIGTERM, lambda *_: (open({log!r}, 'a').write({name!r}), sys.exit())); time.sleep(60)"
    log = tmp_path / "order"

    async def scenario() -> None:
        commands = [role(tmp_path, name, body.format(log=str(log), name=name)) for name in ("a", "b", "c")]
        supervisor = Supervisor(commands, tell=lambda line: None)
        await supervisor.start()
        await asyncio.sleep(0.3)
        await supervisor.stop()

    asyncio.run(scenario())
    assert log.read_text() == "cba"


def test_a_role_that_is_killed_is_started_again_within_a_second(tmp_path: Path) -> None:
    told: list[str] = []

    async def scenario() -> None:
        supervisor = Supervisor([role(tmp_path, "policy")], tell=told.append)
        await supervisor.start()
        watching = asyncio.ensure_future(supervisor.watch())
        first = int((tmp_path / "policy.pid").read_text().split()[0])
        os.kill(first, signal.SIGKILL)
        began = time.monotonic()
        async with asyncio.timeout(5):
            while not (tmp_path / "policy.pid").exists() or (tmp_path / "policy.pid").read_text().split()[:1] in ([], [str(first)]):
                await asyncio.sleep(0.01)
        assert time.monotonic() - began < 1
        watching.cancel()
        await supervisor.stop()

    asyncio.run(scenario())
    assert told == [f"policy ended (signal 9) and is started again; see {tmp_path}/policy.log"]


def test_a_mistake_of_the_operator_ends_the_start_with_the_roles_own_sentence(tmp_path: Path) -> None:
    async def scenario() -> None:
        failing = command(
            tmp_path, "api", "import sys; print('noise'); sys.stderr.write('ringfence: The certificate is old.\\n'); sys.exit(2)"
        )
        supervisor = Supervisor([role(tmp_path, "one"), failing], tell=lambda line: None)
        with pytest.raises(OperatorError, match=r"^api cannot start: The certificate is old\.$"):
            await supervisor.start()
        await supervisor.stop()
        assert list(tmp_path.glob("*.pid")) == []

    asyncio.run(scenario())


def test_a_role_that_keeps_dying_ends_the_start(tmp_path: Path) -> None:
    async def scenario() -> None:
        supervisor = Supervisor([command(tmp_path, "api", "raise SystemExit(1)")], tell=lambda line: None)
        with pytest.raises(OperatorError, match="api does not start"):
            await supervisor.start()
        await supervisor.stop()

    asyncio.run(scenario())


def test_a_role_that_ignores_the_signal_is_killed_after_its_patience(tmp_path: Path) -> None:
    async def scenario() -> None:
        child = await Child.start(role(tmp_path, "deaf", "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"))
        while not (tmp_path / "deaf.ready").exists():
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        began = time.monotonic()
        await child.stop()
        assert 1.5 < time.monotonic() - began < 5
        assert child.returncode == -signal.SIGKILL

    asyncio.run(scenario())


def test_killing_the_supervisor_leaves_no_process_and_the_next_start_waits_for_the_slow_ones(tmp_path: Path) -> None:
    supervisor = f"""
        import asyncio, sys
        from pathlib import Path
        sys.path[:0] = [{str(PROJECT)!r}]
        from ringfence.runtime.processes import Child
        from tests.integration.runtime.test_supervise import role
        async def main():
            slow = "import signal; signal.signal(signal.SIGTERM, lambda *_: (time.sleep(0.5), sys.exit())); time.sleep(60)"
            await Child.start(role(Path({str(tmp_path)!r}), "slow", slow))
            await asyncio.sleep(60)
        asyncio.run(main())
    """
    process = subprocess.Popen((sys.executable, "-c", textwrap.dedent(supervisor)))
    deadline = time.monotonic() + 20
    while not (tmp_path / "slow.ready").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.3)
    pid = int((tmp_path / "slow.pid").read_text().split()[0])
    process.kill()
    process.wait()
    assert is_running(pid)
    asyncio.run(end_leftovers(tmp_path))
    assert not is_running(pid)
    assert list(tmp_path.glob("*.pid")) == []


def test_a_pid_that_now_belongs_to_another_program_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "nats.pid").write_text(f"{os.getpid()} 1 15\n")
    (tmp_path / "cut.pid").write_text("12")
    asyncio.run(end_leftovers(tmp_path))
    assert list(tmp_path.glob("*.pid")) == []


def test_a_log_that_grew_is_cut_and_its_old_part_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ringfence.runtime.processes.LOG_BYTES", 1000)

    async def scenario() -> None:
        child = await Child.start(role(tmp_path, "talker", "print('x' * 2000, flush=True); time.sleep(0.5); print('after', flush=True)"))
        await asyncio.sleep(0.3)
        child.trim_log()
        await child.wait()

    asyncio.run(scenario())
    assert (tmp_path / "talker.log").read_text() == "after\n"
    assert (tmp_path / "talker.log.1").read_text() == "x" * 2000 + "\n"
