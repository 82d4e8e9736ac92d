"""The command: quick, without torch, and in every form that is asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tunesmith.compare.compare import compare
from tunesmith.config.compose import compose
from tunesmith.errors import RunError

CODE = """
import sys
from tunesmith.__main__ import command_line
code = command_line(sys.argv[1:])
found = {"torch", "lightning", "torchvision", "torchmetrics"} & set(sys.modules)
sys.exit(f"was imported: {found}" if found else code)
"""


def run(*words, cwd):
    return subprocess.run([sys.executable, "-c", CODE, *words], cwd=cwd, capture_output=True, text=True, check=False)


def test_everything_that_is_asked_for_is_written_without_torch(add, tmp_path):
    for fold in (0, 1):
        files = {f"{fold}{name}": (name, "a") for name in "ab"}
        add(0.5, 0, (f"data.split.fold={fold}",), predicted=files)
    done = run("compare", "logs", "output=[out/t.csv,out/t.md,out/t.html]", "plots=out/plots", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "all folds" in done.stdout
    written = {p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*") if p.is_file()}
    assert written == {"t.csv", "t.md", "t.html", "plots/cost.png", "plots/confusion_matrices.png"}


def test_torch_would_be_noticed(tmp_path):
    code = "import sys; sys.modules['torch'] = sys\n" + CODE
    done = subprocess.run([sys.executable, "-c", code, "--version"], capture_output=True, text=True, check=False)
    assert (done.returncode, "was imported: {'torch'}" in done.stderr) == (1, True)


def test_the_cost_of_a_thousand_runs_is_a_thousand_times_that_of_a_run(add, tmp_path):
    """461 calls per run were counted, which is 0.9 s in all; pairs of runs would be 500 times as many."""
    settings = compose("compare", [f"runs={tmp_path / 'logs'}"])

    def calls(runs):
        for i in runs:
            add(0.5 + i % 7 / 100, i // 40, (f"optimizer.lr={10.0 ** -(i % 5)}", f"head.dropout={i % 8 / 10}"))
        counted = []
        sys.setprofile(lambda frame, event, _: counted.append(event) if event in ("call", "c_call") else None)
        try:
            compare(settings)
        finally:
            sys.setprofile(None)
        return len(counted)

    calls(range(80))  # imports what compares
    assert 100_000 < calls(range(80, 1000)) < 1_000_000


def test_a_wrong_ending_is_said_before_anything_is_read(tmp_path):
    with pytest.raises(RunError, match=r"\.csv, \.md or \.html but got 'table\.xlsx'"):
        compare(compose("compare", [f"runs={tmp_path}", "output=table.xlsx"]))


def test_a_file_that_cannot_be_written_is_one_sentence(add, tmp_path):
    add()
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="Expected to write"):
        compare(compose("compare", [f"runs={tmp_path / 'logs'}", f"output={tmp_path / 'file' / 'a.csv'}"]))


def test_folds_that_cannot_be_put_together_are_a_note(add, tmp_path):
    add(0.5, 0, ("data.split.fold=0",))
    found = compare(compose("compare", [f"runs={tmp_path / 'logs'}"]))
    assert "no out-of-fold metrics" in found.notes[-1]
