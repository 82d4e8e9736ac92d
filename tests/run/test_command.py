"""The command line that repeats a run."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys

import pytest

from tunesmith.config.compose import compose
from tunesmith.errors import RunError
from tunesmith.run.command import command, command_line


def record(*overrides, **changes):
    return {
        "schema": 1,
        "id": "0a1b2c3d",
        "status": "completed",
        "command": " ".join(["tunesmith", "train", *overrides]),
        "overrides": list(overrides),
        "choices": {"data": "digits"},
        **changes,
    }


@pytest.mark.parametrize(
    "words",
    [
        ["data=digits", "seed=3"],
        ["data.root=my photos", "tags=[a,b]", "data.separator=';'", "data.pattern='$HOME/*.png'", "~callback.ema"],
        [],
    ],
)
def test_a_shell_reads_back_what_was_typed(words):
    line = command_line(record(*words))
    typed = subprocess.run(["sh", "-c", f"printf '%s\\n' {line}"], capture_output=True, text=True, check=True)
    assert typed.stdout.splitlines() == ["tunesmith", "train", *words]
    assert "\n" not in line


def test_it_begins_anew():
    assert command_line(record("resume=auto", "seed=1")) == "tunesmith train seed=1"


def test_a_folder_of_configurations_is_named_again(tmp_path, typed):
    (tmp_path / "my conf" / "experiment").mkdir(parents=True)
    (tmp_path / "my conf" / "experiment" / "mine.yaml").write_text("# @package _global_\nseed: 5\n")
    quick = ["data.samples=60", "logger=none", "plots=false", "trainer.max_epochs=1", "callback=quiet"]
    done = typed(tmp_path, "train", "--config-dir", "my conf", "experiment=mine", *quick)
    assert done.returncode == 0, done.stderr
    (folder,) = (path.parent for path in tmp_path.glob("logs/*/*/run.json"))
    line = command_line(json.loads((folder / "run.json").read_text()))
    words = ["--config-dir", str(tmp_path / "my conf"), "experiment=mine", *quick]
    assert shlex.split(line) == ["tunesmith", "train", *words]


def test_it_is_printed_alone_and_secrets_are_asked_for(tmp_path, capsys):
    (tmp_path / "run.json").write_text(json.dumps(record("data=digits", "logger.wandb.api_key=<redacted>")))
    line = command(compose("command", [f"run={tmp_path}"]))
    printed = capsys.readouterr()
    assert shlex.split(printed.out) == ["tunesmith", "train", "data=digits", "logger.wandb.api_key=<redacted>"]
    assert printed.out == f"{line}\n"
    assert "secrets are not recorded" in printed.err


def test_a_run_from_python_has_none(tmp_path):
    with pytest.raises(RunError, match="started from Python"):
        command_line(record(choices={}))
    with pytest.raises(RunError, match="Expected a run folder"):
        command(compose("command", [f"run={tmp_path}"]))


def test_it_imports_no_torch(tmp_path):
    (tmp_path / "run.json").write_text(json.dumps(record("seed=1")))
    code = (
        "import sys; from tunesmith.__main__ import command_line; command_line(sys.argv[1:]); "
        "assert not {'torch', 'lightning'} & set(sys.modules)"
    )
    words = [sys.executable, "-c", code, "command", f"run={tmp_path}"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "tunesmith train seed=1\n"), done.stderr
