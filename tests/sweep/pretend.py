"""Stands in for the runs of a sweep where what is tested is the launcher: jobs that cost 30 ms and write a run.json."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from rich.console import Console

from tunesmith.sweep import journal as journals
from tunesmith.sweep.launcher import Launcher
from tunesmith.sweep.protocol import Executor, Handle, Space
from tunesmith.sweep.rules import Rules
from tunesmith.sweep.screen import Screen
from tunesmith.sweep.search.grid import Grid

JOB = """
import json, os, pathlib, signal, sys, time
how = dict(word.split("=", 1) for word in sys.argv[1:] if "=" in word)
folder = pathlib.Path(os.environ["TUNESMITH_JOB"])
folder.mkdir(exist_ok=True)
with open("began.txt", "a") as file:
    file.write(how["seed"] + "\\n")
def leave(status, error=None, value=None):
    metrics = {} if value is None else {"best/val/accuracy": value, "val/accuracy": value - 0.1}
    (folder / "run.json").write_text(json.dumps({"schema": 1, "id": folder.name, "status": status, "error": error,
        "metrics": metrics, "monitor": {"metric": "val/accuracy", "mode": "max"}}))
kind = how.get("kind", "fine")
if (folder / "run.json").exists() and json.loads((folder / "run.json").read_text())["status"] == "completed":
    sys.exit(0)
leave("running")
if kind == "slow":
    for epoch in range(1000):
        with open(folder / "metrics.jsonl", "a") as file:
            file.write(json.dumps({"epoch": epoch, "val/accuracy": epoch / 1000}) + "\\n")
        time.sleep(0.05)
if kind == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    (folder / "pid").write_text(str(os.getpid()))
    time.sleep(60)
if kind == "raise":
    leave("failed", {"type": "ValueError", "message": "no good"})
    sys.exit(1)
if kind == "exit":
    leave("failed", {"type": "SystemExit", "message": "3"})
    sys.exit(3)
if kind == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
if kind == "mistake":
    (folder / "run.json").unlink()
    print("tunesmith: Expected one thing but got another.")
    sys.exit(2)
if kind == "once" and len(open("began.txt").read().split()) == 1:
    leave("failed", {"type": "OSError", "message": "a passing trouble"})
    sys.exit(1)
time.sleep(float(how.get("seconds", 0)))
patience = time.monotonic() + float(how.get("patience", 60))  # with which it waits for others
while ("until" in how and int(how["seed"]) >= int(how["until"]) and not os.path.exists("released")
       or kind == "together" and len(open("began.txt").read().split()) < 4):
    if time.monotonic() > patience:
        sys.exit(1)
    time.sleep(0.01)
leave("completed", value=int(how["seed"]) / 10)
"""


class Pretend(Executor):
    """Runs `JOB` with the words of a job's command line."""

    def __init__(self, slots: int = 1) -> None:
        self.slots = slots

    def start(self, work):
        with work.log.open("a") as log:
            process = subprocess.Popen(
                [sys.executable, "-S", "-c", JOB, *work.argv],
                env={**os.environ, **work.env},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return Pretended(process)


class Pretended(Handle):
    def __init__(self, process):
        self.process, self.pid, self.slot = process, process.pid, "0"

    def poll(self):
        return self.process.poll()

    def stop(self, hard=False):
        self.process.kill() if hard else self.process.terminate()


def space(*words: str) -> Space:
    parsed = OverridesParser.create().parse_overrides(list(words))
    return Space(
        tuple(o for o in parsed if o.is_sweep_override()),
        tuple(o.input_line for o in parsed if not o.is_sweep_override()),
    )


def launch(folder: Path, *words: str, slots: int = 1, rules: Rules | None = None, searcher=None) -> Launcher:
    """Run a sweep of pretended jobs to its end."""
    searched = space(*words)
    searcher = searcher or Grid(searched, folder)
    journal = journals.open_sweep(folder, {"name": "pretended", "command": "", "search": {"words": " ".join(words)}})
    screen = Screen(searcher.total, Console(file=io.StringIO()))
    executor = Pretend(slots)
    launcher = Launcher(["train", *searched.fixed], journal, searcher, executor, rules or Rules(), screen)
    launcher.run()
    return launcher


def results(launcher: Launcher):
    """What each job came to, by number."""
    return {number: ended.result for number, ended in sorted(launcher.screen.done.items())}


if __name__ == "__main__":
    launch(Path(sys.argv[1]), *sys.argv[2:])
