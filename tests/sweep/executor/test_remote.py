"""Jobs in workers of other engines: what holds for each of them."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from tunesmith import __main__ as program
from tunesmith.sweep import journal as journals
from tunesmith.sweep.claim import Claims
from tunesmith.sweep.executor import remote
from tunesmith.sweep.executor.ray import Ray
from tunesmith.sweep.executor.remote import Remote, prepare
from tunesmith.sweep.protocol import Work

TINY = [
    *("logger=none", "callback=quiet", "data.workers=0", "trainer=cpu", "trainer.max_epochs=1", "test=null"),
    *("data.samples=60", "trainer.log_every_n_steps=1"),
]


@pytest.fixture
def work(tmp_path):
    """A job that costs nothing."""
    return Work("0000", ("--version",), {}, tmp_path / "log.txt", Claims(tmp_path / "claims").take(0).path)


def test_a_command_line_runs_and_its_code_comes_back(work, tmp_path):
    assert Remote(work)() == 0
    assert work.log.read_text().startswith("tunesmith ")
    assert not list(tmp_path.rglob("*.alive"))
    wrong = Work("0000", ("trian",), {}, work.log, work.claim)
    assert Remote(wrong)() == 2 and "Did you mean 'train'?" in work.log.read_text()


@pytest.mark.parametrize("how", ["stopped", "taken over"])
def test_a_job_that_is_not_wanted_any_more_does_not_begin(work, how):
    job = Remote(work)
    if how == "stopped":
        job.ask_to_end(hard=False)
    else:
        work.claim.with_name("0000-2.json").write_text("{}")
    assert job() == 143
    assert not work.log.exists()


def test_a_job_has_begun_once_a_worker_has_it(work):
    job = Remote(work)
    assert not job.has_begun()
    remote._Watch(job).live()
    assert job.has_begun() and not Remote(work).has_begun()


def test_an_order_holds_for_one_try(work):
    lost, again = prepare(work, threads=2), prepare(work, threads=2)
    assert lost.lost("the worker was lost") == 1 and work.log.read_text() == "\nthe worker was lost\n"
    assert again() == 0
    assert lost() == 143  # the queue may bring it back
    assert again.work.env["OMP_NUM_THREADS"] == "2"


def test_a_lost_job_is_over_before_the_next_try_begins(work):
    """Its worker lives on, seen by nobody, and has the job save for a while when it finds the order to end."""
    lost, again = prepare(work, threads=1), prepare(work, threads=1)
    told = []

    def live_on():
        watch = remote._Watch(lost)
        while watch.order() != "kill":
            watch.live()
            time.sleep(0.01)
        time.sleep(3 * remote.LOOK)
        told.append(work.log.read_text())
        watch.end()

    thread = threading.Thread(target=live_on)
    thread.start()
    while not lost.has_begun():
        time.sleep(0.01)
    lost.lost("lost")
    assert again() == 0
    thread.join()
    assert told == ["\nlost\n"] and "tunesmith" in work.log.read_text()


def test_a_try_without_a_sign_of_life_is_waited_for_once(work, monkeypatch):
    monkeypatch.setattr(remote, "STALE", 0.5)
    lost = Remote(work)
    remote._Watch(lost).live()
    assert Remote(work)() == 0
    assert not list(work.claim.parent.glob("*.alive"))


def test_a_job_begins_when_the_one_before_has_ended(work, tmp_path):
    later = Work(work.name, work.argv, {}, work.log, work.claim.with_name("0000-2.json"))
    later.claim.write_text("{}")
    earlier = remote._Watch(Remote(work))
    earlier.live()
    thread = threading.Thread(target=Remote(later))
    thread.start()
    time.sleep(3 * remote.LOOK)
    assert not work.log.exists()
    earlier.end()
    thread.join()
    assert work.log.exists()


def test_a_launcher_without_a_sign_of_life_ends_its_jobs(work, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(remote.time, "monotonic", lambda: now[0])
    watch = remote._Watch(Remote(work))
    assert watch.order() == ""
    now[0] += remote.SILENT + 1
    assert watch.order() == "term"


@pytest.mark.parametrize(("address", "wanted"), [(None, "local"), ("auto", "auto")])
def test_ray_joins_no_cluster_that_was_not_asked_for(monkeypatch, address, wanted):
    asked = []
    ray = SimpleNamespace(is_initialized=lambda: False, init=lambda address, **_: asked.append(address))
    monkeypatch.setitem(sys.modules, "ray", ray)
    Ray(2, address=address)
    assert asked == [wanted]


def sweep(tmp_path, monkeypatch, *words):
    monkeypatch.chdir(tmp_path)
    code = program.command_line(["train", "-m", *TINY, *words])
    (folder,) = Path("logs/synthetic").glob("sweep-*")
    return code, journals.read(folder.absolute())


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")  # Ray's own, and submitit's
@pytest.mark.parametrize("engine", ["ray", "slurm"])
def test_other_engines_run_jobs_with_several_devices_too(engine, tmp_path, monkeypatch, spied, ranks):
    words = [f"sweep/executor={engine}", "optimizer.lr=0.01,0.02", "trainer.strategy=ddp", "trainer.devices=1,2"]
    more = ["sweep.executor.cluster=local"] if engine == "slurm" else []
    # As if the launcher were a task of Slurm's itself: its jobs' ranks are not counted by that.
    for name, value in {"SLURM_NTASKS": "4", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.syspath_prepend(str(tmp_path))
    code, journal = sweep(tmp_path, monkeypatch, *words, *more, spied(tmp_path), "sweep.slots=2")
    assert code == 0
    results = {number: entry.result.status for number, entry in journal.entries.items()}
    assert results == dict.fromkeys(range(4), "completed")
    for number, entry in journal.entries.items():
        changes = dict(change.split("=") for change in entry.job.changes)
        if changes["trainer.devices"] == "2":
            told = ranks(journal.run_folder(number))
            assert (told["world"], told["lr"]) == (2, float(changes["optimizer.lr"]))
    assert sum((journal.run_folder(number) / "rank-1.json").exists() for number in range(4)) == 2


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")  # submitit's own
def test_a_job_that_is_pre_empted_goes_on_where_it_was(tmp_path, monkeypatch):
    from submitit.local.local import LocalExecutor

    submitted = []
    submit = LocalExecutor._submit_command
    monkeypatch.setattr(
        LocalExecutor, "_submit_command", lambda self, command: submitted.append(submit(self, command)) or submitted[-1]
    )

    def pre_empt():
        while not any(tmp_path.rglob("checkpoints/last.ckpt")):
            time.sleep(0.05)
        controller = submitted[0]._process.pid
        (task,) = Path(f"/proc/{controller}/task/{controller}/children").read_text().split()
        os.kill(int(task), signal.SIGUSR2)  # as Slurm does before it takes the machine away

    thread = threading.Thread(target=pre_empt, daemon=True)
    thread.start()
    words = ["sweep/executor=slurm", "sweep.executor.cluster=local", "trainer.max_epochs=20", "callback=default"]
    code, journal = sweep(tmp_path, monkeypatch, *words, "data.samples=600")
    thread.join(1)
    record = json.loads((journal.run_folder(0) / "run.json").read_text())
    assert code == 0 and record["status"] == "completed"
    assert len(record["resumed"]) == 1 and record["resumed"][0]["step"] > 0
