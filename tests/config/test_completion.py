"""Shell completion, through the command."""

import os
import subprocess
import sys

import pytest

from tunesmith.config import completion
from tunesmith.errors import ConfigError


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("line", "wanted", "unwanted"),
    [
        ("tunesmith ", ["train", "evaluate", "predict"], []),
        ("tunesmith tr", ["train"], ["predict"]),
        ("tunesmith train data=", ["data=digits", "data=synthetic"], ["data="]),
        ("tunesmith train optimizer.", ["optimizer.lr="], []),
        ("tunesmith train data=digits data.sp", ["data.split."], ["data.seed="]),
        ("tunesmith train -m callback=", ["callback=ema"], []),
        ("tunesmith evaluate spl", ["split="], []),
        ("tunesmith nothing data=", [], ["data=digits"]),
        ("tunesmith train data=nothing data.", [], ["data.split."]),
        ("tunesmith train 'x[ ", [], ["data="]),
    ],
)
def test_query(line, wanted, unwanted, monkeypatch, capsys):
    monkeypatch.setenv("COMP_LINE", line)
    completion.complete("query=bash")
    offered = capsys.readouterr().out.split()
    assert set(wanted) <= set(offered)
    assert not set(unwanted) & set(offered)


@pytest.mark.parametrize("request_", ["install", "install=tcsh", "", "query"])
def test_requests_that_make_no_sense(request_):
    with pytest.raises(ConfigError, match="install=bash"):
        completion.complete(request_)


def test_in_bash(tmp_path):
    program = tmp_path / "bin" / "tunesmith"
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable}\nfrom tunesmith.__main__ import main\nmain()\n")
    program.chmod(0o755)
    script = """
    eval "$(tunesmith --shell-completion install=bash)"
    complete -p tunesmith
    COMP_LINE="tunesmith train data=dig"; COMP_POINT=${#COMP_LINE}; COMP_CWORD=2; hydra_bash_completion
    echo "${COMPREPLY[@]}"
    """
    path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "--norc", "-c", script], capture_output=True, text=True, check=True, env={**os.environ, "PATH": path}
    )
    assert "hydra_bash_completion tunesmith" in done.stdout
    assert done.stdout.splitlines()[-1] == "data=digits"
