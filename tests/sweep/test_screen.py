import io
from pathlib import Path

from rich.console import Console

from tunesmith.sweep.protocol import Job, Result
from tunesmith.sweep.screen import Row, Screen

JOBS = [Job(n, (f"++optimizer.lr={n}", "logger.token=abc")) for n in range(3)]
DONE = Result("completed", Path("x"), 0.91234, "val/accuracy", "max", {}, 12.34)
LOST = Result("failed", Path("y"), None, "val/accuracy", "max", {}, 3.0, "ValueError: no good")


def shown(terminal, act):
    screen = Screen(3, Console(file=io.StringIO(), force_terminal=terminal, width=100, height=30, legacy_windows=False))
    act(screen)
    screen.close()
    return screen.console.file.getvalue()


def test_plain_lines_where_there_is_no_terminal():
    def act(screen):
        for _ in range(3):
            screen.show([Row(JOBS[0], "1: gpu 0", 1.0, [])], 0)
        screen.ended(JOBS[0], DONE)
        screen.ended(JOBS[1], LOST)

    assert shown(False, act).splitlines() == [
        "job 0 begins in slot 1: gpu 0: optimizer.lr=0 logger.token=<redacted>",
        "job 0 completed in 12 s: 0.9123",
        "job 1 failed: ValueError: no good (optimizer.lr=1 logger.token=<redacted>)",
    ]


def test_a_terminal_has_a_live_table_and_a_line_for_what_failed():
    def act(screen):
        screen.ended(JOBS[0], DONE)
        screen.ended(JOBS[1], LOST)
        screen.show([Row(JOBS[2], "gpu 1", 7.0, [(0, 0.5), (1, 0.625)])], 1)

    text = shown(True, act)
    for part in (
        "job 1 failed: ValueError: no good",
        "best val/accuracy",
        "now 0.625",
        "gpu 1",
        "running",
        "2 of 3 jobs",
    ):
        assert part in text, part


def test_the_summary_names_every_job_and_each_reason():
    def act(screen):
        screen.ended(JOBS[1], LOST, new=False)
        screen.ended(JOBS[0], DONE, new=False)
        screen.summary([(JOBS[2], "not begun")])

    lines = shown(False, act).splitlines()
    assert [line.split()[0] for line in lines[1:4]] == ["0", "1", "2"]
    assert "not begun" in lines[3]
    assert lines[4:] == ["job 1: ValueError: no good"]
