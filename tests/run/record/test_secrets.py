"""A canary secret, put wherever a secret may come from: it is in no byte of any file that runs and sweeps leave."""

from __future__ import annotations

import subprocess

import pytest

CANARY = "zq7canaryzq7"
PLUG_IN = """
import logging
from lightning.pytorch import Callback


class Talks(Callback):
    def __init__(self, password="", token="", url="", use_cls_token=True, num_tokens=197, fails=False,
                 headers=None, args=(), env=(), dsn=""):
        said = f"cannot reach {url} with password={password} and api_key={token}, {headers} {list(args)} dsn={dsn}"
        self.text, self.fails = said, fails

    def on_fit_end(self, trainer, pl_module):
        logging.getLogger("tunesmith").warning(self.text)
        if self.fails:
            raise RuntimeError(self.text)
"""
WORDS = [
    *("data.samples=60", "trainer.max_epochs=1", "callback=[quiet,talks]", "logger=[wandb,csv]"),
    f"callback.talks.password={CANARY}",  # typed
    "callback.talks.token=${oc.env:MY_TOKEN}",  # from the environment
    f"callback.talks.url=https://me:{CANARY}@host/a",  # within an address
    f"tags=[https://{CANARY}@host]",
    f"callback.talks.headers={{Authorization: 'Bearer {CANARY}{CANARY}'}}",
    f"callback.talks.args=['--password={CANARY}','https://host/x?access_token={CANARY}']",
    f"callback.talks.env=[{{name: API_KEY, value: {CANARY}}}]",
    f"callback.talks.dsn=${{oc.env:NOT_THERE,{CANARY}}}",
]


TYPED = """
os.environ["MY_TOKEN"] = {secret!r}
{before}
import multiprocessing
import tunesmith.sweep.executor.local
tunesmith.sweep.executor.local.CONTEXT = multiprocessing.get_context("fork")
from tunesmith.__main__ import main
main()
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A checkout whose remote has a password, with a plug-in that talks about what it was given."""
    (tmp_path / "conf" / "callback").mkdir(parents=True)
    (tmp_path / "conf" / "callback" / "talks.yaml").write_text("talks: {_target_: plug.Talks, num_tokens: 197}\n")
    (tmp_path / "plug.py").write_text(PLUG_IN)
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@x", "-C", str(tmp_path)]
    for words in (["init", "-q"], ["remote", "add", "origin", f"https://me:{CANARY}@host/a.git"]):
        subprocess.run([*git, *words], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "x"], check=True)
    return tmp_path


def files(folder):
    return [p for p in folder.rglob("*") if p.is_file() and not {".git", "conf", "__pycache__"} & {*p.parts}]


def holding(folder, text):
    return [p.relative_to(folder) for p in files(folder) if text.encode() in p.read_bytes() and p.name != "plug.py"]


COMMANDS = {
    "run": ["train", "plots=true", *WORDS],
    "sweep with a job that fails": ["train", "-m", "plots=true", "callback.talks.fails=false,true", *WORDS],
}


@pytest.mark.parametrize("kind", COMMANDS)
def test_no_file_holds_it(kind, folder, forked):
    done = forked(TYPED.format(secret=CANARY, before=""), folder, *COMMANDS[kind])
    assert (done.returncode != 0) == ("fails" in kind), done.stderr
    assert CANARY not in done.stdout + done.stderr
    left = {p.suffix for p in files(folder)}
    assert {".wandb", ".json", ".jsonl", ".yaml", ".txt", ".csv"} <= left
    assert ".png" in left and "run.json" in {p.name for p in files(folder)}
    assert kind == "run" or len([p for p in files(folder) if p.name == "run.json"]) == 2
    assert holding(folder, CANARY) == []
    # Beside it, what is no secret, and what only sounds like one.
    assert holding(folder, "${oc.env:MY_TOKEN}") and holding(folder, "cannot reach")
    for path in (p for p in files(folder) if p.name == "config.yaml" and "wandb" not in p.parts):
        assert "num_tokens: 197" in path.read_text()
    assert [p for p in holding(folder, "num_tokens") if p.suffix == ".wandb"]


def test_without_redaction_it_is_found(folder, forked):
    """The negative control: the same run, where nothing counts as a secret."""
    code = "import tunesmith.config.redact as r; r.is_secret = lambda key: False; r._without_user = lambda text: text"
    done = forked(TYPED.format(secret=CANARY, before=code), folder, *COMMANDS["run"])
    assert done.returncode == 0
    found = {p.suffix for p in holding(folder, CANARY)}
    assert {".json", ".yaml", ".txt", ".wandb"} <= found
