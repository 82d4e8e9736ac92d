import signal

import pytest

from tunesmith.sweep import outcome


@pytest.mark.parametrize(
    ("says", "kills"),
    [
        ("0::/user.slice/mine\n", 3),
        ("1:cpu:/other\n0::/user.slice/mine\n", 3),
        ("0::/\n", 7),
        ("0::/absent\n", 0),
        ("4:memory:/v1\n", 0),
    ],
)
def test_the_processes_own_group_is_counted(tmp_path, monkeypatch, says, kills):
    (tmp_path / "user.slice" / "mine").mkdir(parents=True)
    (tmp_path / "memory.events").write_text("oom 9\noom_kill 7\n")
    (tmp_path / "user.slice" / "mine" / "memory.events").write_text("low 0\noom 4\noom_kill 3\n")
    (tmp_path / "cgroup").write_text(says)
    monkeypatch.setattr(outcome, "_PROC", tmp_path / "cgroup")
    monkeypatch.setattr(outcome, "_CGROUPS", tmp_path)
    assert outcome.memory_kills() == kills


@pytest.mark.parametrize(
    ("code", "before", "said"),
    [
        (-signal.SIGKILL, 1, "killed by SIGKILL: perhaps the machine was out of memory"),
        (-signal.SIGKILL, 2, "killed by SIGKILL"),
        (-signal.SIGSEGV, 1, "killed by SIGSEGV"),
    ],
)
def test_a_lack_of_memory_is_a_guess_about_kills_alone(tmp_path, monkeypatch, code, before, said):
    monkeypatch.setattr(outcome, "memory_kills", lambda: 2)
    assert outcome.reason(tmp_path, code, tmp_path / "log", 0, before) == said
