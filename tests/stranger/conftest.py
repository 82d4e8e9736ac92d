"""A run folder as somebody might send it: whole, with what an attack puts into it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tunesmith import __main__ as program
from tunesmith.errors import TunesmithError, say
from tunesmith.run.train import train

sys.path.append(str(Path(__file__).parent))
from canary import CANARY


@pytest.fixture(scope="session")
def sent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of a tiny model on generated images; not to be changed."""
    from tunesmith.config.compose import compose

    logs = tmp_path_factory.mktemp("sent")
    words = ["logger=none", "callback=quiet", "trainer=cpu", "trainer.max_epochs=2", "data=synthetic"]
    words += ["data.samples=40", "data.workers=0", f"paths.logs={logs}", "name=sent"]
    cfg = compose("train", words)
    return Path(train(cfg).folder)


@pytest.fixture
def stranger(sent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the run folder, which is the present one; nothing of the canary's name may be found at the end."""
    folder = tmp_path / "stranger" / sent.name
    shutil.copytree(sent, folder)
    home = tmp_path / "home"
    home.mkdir()
    for name, value in {"HOME": home, "XDG_CONFIG_HOME": home / "none", "TUNESMITH_CACHE": tmp_path / "cache"}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.delenv("TUNESMITH_ALLOW", raising=False)
    monkeypatch.chdir(folder)
    yield folder
    found = [path for path in tmp_path.rglob("*") if CANARY in path.name]
    assert not found, f"written by the attack: {found}"


@pytest.fixture
def elsewhere(stranger: Path) -> Callable[[], set[str]]:
    """Lists the files that the test owns outside of the run folder, the cache and the logs."""
    root = stranger.parents[1]

    def files() -> set[str]:
        return {
            str(path.relative_to(root))
            for path in root.rglob("*")
            if not path.is_dir() and not path.is_relative_to(stranger) and not path.is_relative_to(root / "cache")
        }

    return files


@pytest.fixture
def commands(stranger: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs command lines one after the other in a fresh process that Python has started in the run folder."""

    def run(*lines: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", ONE_AFTER_THE_OTHER, *lines],
            cwd=stranger,
            env={**os.environ, **(env or {})},
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )

    return run


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs a command line that must end with one sentence per mistake and no traceback; gives what was said."""

    def run(*line: str) -> str:
        capsys.readouterr()
        try:
            code = program.command_line(line)
        except TunesmithError as error:
            code = say(error)
        said = capsys.readouterr().err
        assert code in (1, 2) and "tunesmith: Expected" in said and "Traceback" not in said, said
        return said

    return run


ONE_AFTER_THE_OTHER = """
import importlib, shlex, sys
lines, codes = sys.argv[1:], []
here, main = sys.path.pop(0), importlib.import_module("tunesmith.__main__").main
sys.path.insert(0, here)  # as Python has it; the attack shadows nothing of tunesmith's own
for line in lines:
    sys.argv = ["tunesmith", *shlex.split(line)]
    try:
        main()
    except SystemExit as ended:
        codes.append(ended.code)
print("codes", codes)
"""
