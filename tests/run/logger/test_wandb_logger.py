from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys

import pytest

from tunesmith.run.logger.wandb_logger import flat
from tunesmith.run.logger.wandb_record import comparable, read_file
from tunesmith.run.logger.wandb_run import LAST, PATIENCE, begin
from tunesmith.run.train import train
from tunesmith.task.base import Task


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # wandb's service process outlives the run
def test_an_offline_run_holds_what_a_table_of_numbers_cannot_show(quick, monkeypatch):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    cfg = quick("logger=wandb", "plots=true", "logger.wandb.group=sweep", "tags=[one]", "policy=linear_probe")
    result = train(cfg)
    (file,) = result.folder.glob("wandb/offline-run-*/run-*.wandb")
    read = read_file(file)
    record = json.loads((result.folder / "run.json").read_text())
    assert read["about"] == {"id": record["id"], "group": "sweep", "job_type": "train", "tags": ["one"]}
    assert {"val/accuracy", "train/loss", "roc_table", "mistakes", "plots/reliability"} <= read["logged"]
    assert any(key.startswith("lr-") for key in read["logged"])
    assert read["config"]["policy"]["phases"] == [{"train": ["head"]}]
    assert read["policy"]["trainable"] == record["policy"]["trainable"]
    assert read["metrics"] == comparable(record["metrics"])
    assert all(read[key] == record[key] for key in ("choices", "overrides", "git", "packages", "hardware"))


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # wandb's service process outlives the run
def test_a_run_that_goes_on_keeps_its_id(quick, monkeypatch, tmp_path):
    """Two files, of the run that failed and of the one that went on with it, are of one W&B run."""
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    words = ["callback=default", "callback.progress=null", "policy=linear_probe"]
    cfg = quick("logger=wandb", *words)
    with monkeypatch.context() as patched:
        patched.setattr(Task, "on_validation_epoch_end", failing(Task.on_validation_epoch_end, 2))
        with pytest.raises(OSError, match="no more"):
            train(cfg.copy())
    (folder,) = (path.parent for path in tmp_path.rglob("run.json"))
    cfg.resume = str(folder)
    record = json.loads((train(cfg).folder / "run.json").read_text())
    read = [read_file(file) for file in sorted(folder.glob("wandb/offline-run-*/run-*.wandb"))]
    assert [each["about"]["id"] for each in read] == [record["id"]] * 2
    assert [each["status"] for each in read] == ["failed", "completed"]
    assert len(record["resumed"]) == 1 and read[1]["metrics"] == comparable(record["metrics"])


def failing(method, count):
    """The method, which fails when it is called for that time."""
    calls = itertools.count(1)

    def call(self, *args):
        if next(calls) == count:
            raise OSError("no more")
        return method(self, *args)

    return call


def test_choices_and_overrides_are_a_key_each():
    record = {
        "choices": {"head": "mlp"},
        "overrides": ["+trainer.limit_val_batches=2", "optimizer.lr=1e-2", "~callback"],
    }
    assert flat(record) == {
        "choice/head": "mlp",
        "override/trainer.limit_val_batches": "2",
        "override/optimizer.lr": "1e-2",
    }


@pytest.mark.parametrize(("key", "found"), [("api_key", False), ("note", True)])
def test_no_secret_in_any_byte_that_a_sweep_leaves(tmp_path, typed, key, found):
    """Beside it the negative control: a word that is no secret's would be found."""
    words = ["data.samples=60", "trainer.max_epochs=1", "callback=quiet", f"+backbone.{key}=open sesame"]
    (tmp_path / "conf" / "backbone").mkdir(parents=True)
    (tmp_path / "conf" / "backbone" / "open.yaml").write_text("_target_: plug.Open\n")
    (tmp_path / "plug.py").write_text(
        "from tunesmith.backbone.tiny import Tiny\n\n\ndef Open(**anything):\n    return Tiny()\n"
    )
    done = typed(tmp_path, "train", "-m", "backbone=open", *words)
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "logs").rglob("*.wandb"))
    hits = [p for p in (tmp_path / "logs").rglob("*") if p.is_file() and b"sesame" in p.read_bytes()]
    assert bool(hits) is found


def test_nothing_of_wandb_is_imported_without_it(tmp_path):
    """It takes a second that a run without it should not pay."""
    code = (
        "import sys; from tunesmith.config.compose import compose; from tunesmith.run.train import train;"
        f"train(compose('train', ['logger=none', 'callback=none', 'trainer.max_epochs=1', 'trainer=cpu', 'test=null',"
        f" 'data.samples=60', 'paths.logs={tmp_path}', 'trainer.enable_progress_bar=false']));"
        "sys.exit('wandb' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.fixture
def asked(monkeypatch):
    """What `wandb.init` is asked for, in order; a stand-in that has no server to ask."""
    import wandb

    modes = []

    def init(mode, settings, **arguments):
        modes.append((mode, settings.init_timeout, settings.finish_timeout, arguments["id"]))
        if mode == "online":
            raise wandb.errors.CommError("Timed out")
        return "a run"

    monkeypatch.setattr(wandb, "init", init)
    monkeypatch.setattr(wandb, "teardown", lambda exit_code: modes.append("teardown"))
    return modes


def test_a_server_that_does_not_answer_is_not_waited_for(asked, monkeypatch, caplog):
    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    monkeypatch.delenv("WANDB_ERROR_REPORTING", raising=False)
    assert begin("auto", {"id": "a"}) == "a run"
    assert os.environ["WANDB_ERROR_REPORTING"] == "false"  # the client would wait 20 s for its reports on itself
    assert asked == [("online", PATIENCE, LAST - 1, "a"), "teardown", ("offline", 90.0, 0.0, "a")]
    assert "logged offline; wandb sync uploads it later" in caplog.text
    monkeypatch.delenv("WANDB_API_KEY")
    begin("auto", {"id": "b"}), begin("disabled", {"id": "c"})
    assert [each[0] for each in asked[3:]] == ["offline", "disabled"]


def test_disabled_leaves_nothing_and_trains_as_ever(quick):
    result = train(quick("logger=wandb", "logger.wandb.mode=disabled", "trainer.max_epochs=1"))
    assert "val/accuracy" in result.metrics and not list(result.folder.rglob("*.wandb"))


SERVED = """
import http.server, json, os, socket, sys, threading, time
class Silenced(http.server.BaseHTTPRequestHandler):
    begun = False
    def do_POST(self):
        asked = self.rfile.read(int(self.headers["Content-Length"] or 0))
        if Silenced.begun:
            time.sleep(300)
        Silenced.begun = b"upsertBucket" in asked  # the run is there: from now on, nothing is answered
        place = {"name": "tunesmith", "entity": {"name": "me"}}
        bucket = {"id": "1", "name": json.loads(asked)["variables"]["name"], "project": place}
        answer = json.dumps({"data": {"upsertBucket": {"bucket": bucket}} if Silenced.begun else {}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)
    def log_message(self, *args):
        pass
if sys.argv[1] == "silenced":
    served = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Silenced)
    threading.Thread(target=served.serve_forever, daemon=True).start()
    server = served.socket
else:
    server = socket.socket()
    server.bind(("127.0.0.1", 0))
address = f"http://127.0.0.1:{server.getsockname()[1]}"
if sys.argv[1] != "silenced":
    server.listen(50) if sys.argv[1] == "hanging" else server.close()
os.environ.update(WANDB_BASE_URL=address, WANDB_API_KEY="x" * 40)
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import WandbLogger
from tunesmith.config.compose import compose
from tunesmith.run.train import train
waited = 0.0
def counted(name):
    call = getattr(WandbLogger, name)
    def counting(*args, **kwargs):
        global waited
        start = time.perf_counter()
        call(*args, **kwargs)
        waited += time.perf_counter() - start
    setattr(WandbLogger, name, counting)
for name in ("log_hyperparams", "log_graph", "log_metrics", "save", "after_save_checkpoint", "finalize"):
    counted(name)
def timed(*args, fit=Trainer.fit, **kwargs):
    others = lambda: time.process_time() - time.thread_time()
    before, start, beside = waited, time.perf_counter(), others()
    fit(*args, **kwargs)
    print("Training:", time.perf_counter() - start, waited - before, others() - beside)
Trainer.fit = timed
words = ["callback=quiet", "trainer=cpu", "trainer.max_epochs=30", "data.samples=2000", "data.workers=0"]
train(compose("train", [*words, f"paths.logs={sys.argv[2]}", f"logger={sys.argv[3]}"]))
"""


@pytest.mark.long
@pytest.mark.parametrize("server", ["dead", "hanging", "silenced"])
def test_a_server_out_of_reach_costs_no_training(server, tmp_path):
    """Seconds in W&B's calls, and of its threads beside training, in one run: two runs differ by more than it takes."""
    records = {}
    env = {name: value for name, value in os.environ.items() if name != "WANDB_SERVICE"}  # of an earlier test
    for logger in ("none", "wandb"):
        words = [sys.executable, "-c", SERVED, server, str(tmp_path / logger), logger]
        done = subprocess.run(words, check=True, capture_output=True, text=True, env=env | {"OMP_NUM_THREADS": "1"})
        (line,) = (line for line in done.stdout.splitlines() if line.startswith("Training:"))
        training, waited, beside = map(float, line.split()[1:])
        assert waited + beside < 0.05 * training
        assert (waited > 0) == (logger == "wandb")  # negative control: what is counted is W&B's
        said = " ".join((done.stdout + done.stderr).split())
        assert ("did not take the tables" in said) == (server == "silenced" and logger == "wandb")
        (path,) = (tmp_path / logger).rglob("run.json")
        records[logger] = json.loads(path.read_text())
    assert all(record["status"] == "completed" for record in records.values())
    (file,) = (tmp_path / "wandb").rglob("run-*/*.wandb" if server == "silenced" else "offline-run-*/*.wandb")
    assert read_file(file)["metrics"] == comparable(records["wandb"]["metrics"])
