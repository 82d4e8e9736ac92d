import subprocess

import pytest

from tunesmith.sweep.executor import slots
from tunesmith.sweep.executor.slots import share, usable_gpus


@pytest.mark.parametrize(
    ("number", "gpus", "devices", "names", "threads"),
    [
        (None, "", 1, [None], 8),  # one job has the processor
        (4, "", 1, [None] * 4, 2),
        (16, "", 1, [None] * 16, 1),
        (None, "0123", 1, ["0", "1", "2", "3"], 2),  # one GPU each
        (None, "0123", 2, ["01", "23"], 4),  # several GPUs a job
        (None, "0", 2, ["0"], 8),
        (2, "0123", 1, ["01", "23"], 4),
        (4, "01", 1, ["0", "1", "0", "1"], 2),  # several jobs a GPU
        (3, "67", 1, ["6", "7", "6"], 2),
    ],
)
def test_a_machine_is_shared(number, gpus, devices, names, threads):
    shares = share(number, list(gpus), devices, cores=8)
    assert [None if s.gpus is None else "".join(s.gpus) for s in shares] == names
    assert {s.threads for s in shares} == {threads}


def test_a_slot_is_held_to_by_variables():
    (first, _) = share(2, ["a", "b"], 1, cores=8)
    assert first.env()["CUDA_VISIBLE_DEVICES"] == "a" and first.env()["OMP_NUM_THREADS"] == "4"
    (only,) = share(None, [], 1, cores=8)
    assert "CUDA_VISIBLE_DEVICES" not in only.env()


def test_a_limit_of_threads_holds_for_jobs_too(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    every = slots.usable_cores()
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert slots.usable_cores() == 1
    for nothing in ("0", "9999", "many"):
        monkeypatch.setenv("OMP_NUM_THREADS", nothing)
        assert slots.usable_cores() == every


def test_gpus_that_are_hidden_are_not_shared(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, 5")
    assert usable_gpus() == ["3", "5"]
    for nothing in ("", "-1"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", nothing)
        assert usable_gpus() == []


def test_gpus_are_counted_without_waking_them(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(slots.subprocess, "run", lambda words, **_: subprocess.CompletedProcess(words, 0, "0\n1\n", ""))
    assert usable_gpus() == ["0", "1"]

    def missing(*_, **__):
        raise FileNotFoundError

    monkeypatch.setattr(slots.subprocess, "run", missing)
    assert usable_gpus() == []
