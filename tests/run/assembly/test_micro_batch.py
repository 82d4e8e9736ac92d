"""Batches in pieces: the step of the whole batch, and a search for what fits that leaves no trace but its answer."""

from __future__ import annotations

import json
import math
import os
import re
from pathlib import Path

import pytest
import torch
from killing import bits, configured, differing, go_on, killed

from tunesmith.errors import ConfigError, RunError
from tunesmith.run.assembly import memory, micro_batch
from tunesmith.run.assembly.assemble import assemble
from tunesmith.run.record.quiet import quiet as quietly
from tunesmith.run.resume import loop_state
from tunesmith.run.train import train
from tunesmith.task.base import Task
from tunesmith.task.optimization.delta import digests

NO_NORMS = "policy.phases=[{train: [all], freeze: [norm]}]"
FULL = RuntimeError("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory")


def assembled(quick, folder, *words, record=None, samples=60):
    cfg = quick("test=null", "callback=none", f"paths.run={folder}", *words, samples=samples)
    torch.manual_seed(0)
    folder.mkdir(exist_ok=True)
    return assemble(cfg, folder, record or {})


@pytest.fixture
def memory_for(monkeypatch):
    """Makes every trial of more than so many samples run out of memory."""

    def limit(most, error=FULL):
        original = micro_batch._try

        def trying(task, data, trainer, samples):
            found = original(task, data, trainer, samples)
            if len(samples["index"]) > most:
                raise error
            return found

        monkeypatch.setattr(micro_batch, "_try", trying)

    return limit


# 36 images of 60 train: 4 batches of 8 and one of 4.
@pytest.mark.parametrize("more", [[], ["trainer.accumulate_grad_batches=2"], ["+trainer.limit_train_batches=2"]])
def test_pieces_make_the_step_of_the_whole_batch(more, quick, tmp_path):
    words = [
        "trainer.precision=64-true",
        "optimizer=sgd",
        "optimizer.momentum=0.9",
        NO_NORMS,
        "data.batch_size=8",
        *more,
    ]
    states = []
    for name, own in {"whole": [], "pieces": ["trainer.micro_batch_size=2"]}.items():
        parts = assembled(quick, tmp_path / name, *words, *own)
        with quietly():
            parts.trainer.fit(parts.task, datamodule=parts.data)
        states.append((parts.trainer.global_step, parts.task.state_dict()))
    (steps, whole), (same_steps, cut) = states
    assert steps == same_steps > 2
    assert [k for k in whole if not torch.allclose(whole[k].double(), cut[k].double(), rtol=0, atol=1e-6)] == []


def test_the_largest_divisor_that_fits_is_found(quick, tmp_path, memory_for):
    memory_for(7)
    parts = assembled(quick, tmp_path, "trainer.micro_batch_size=auto", "data.batch_size=30", NO_NORMS)
    assert (parts.micro_batches.micro_batch_size, parts.data.batch_size, parts.trainer.accumulate_grad_batches) == (
        6,
        6,
        5,
    )
    assert parts.micro_batches.sentences() == ["Of 30 samples 6 fit into memory at once: 5 micro-batches make a step."]


def test_the_search_leaves_no_trace(quick, tmp_path, memory_for, monkeypatch):
    memory_for(4)
    kept = {}

    def finding(task, data, trainer):
        found = []
        for look in range(2):
            found.append((digests(task), {n: p.requires_grad for n, p in task.named_parameters()}, task.training))
            streams = loop_state.streams(torch.device("cpu"))
            found[-1] += (
                streams.pop("torch").tolist(),
                streams,
                sorted(Path(os.environ["TUNESMITH_CACHE"]).rglob("*")),
            )
            kept["answer"] = kept["answer"] if look else find(task, data, trainer)
        assert found[0] == found[1]
        assert not task._forward_hooks and all(p.grad is None for p in task.parameters())
        return kept["answer"]

    find = micro_batch.find
    monkeypatch.setattr(micro_batch, "find", finding)
    words = ["policy=gradual", "head=mlp", "callback=ema", "trainer.max_epochs=4"]
    parts = assembled(quick, tmp_path, "trainer.micro_batch_size=auto", *words)
    assert kept["answer"] == 4 and parts.task._trainer is None


def test_without_a_copy_of_the_task_it_would(quick, tmp_path, monkeypatch):
    """The negative control."""
    parts = assembled(quick, tmp_path, "data.batch_size=4")
    before = digests(parts.task)
    monkeypatch.setattr(micro_batch.copy, "deepcopy", lambda task: task)
    micro_batch.find(parts.task, parts.data, parts.trainer)
    assert digests(parts.task) != before


def test_a_run_that_searched_has_the_bits_of_one_that_was_told_and_resumes_without_another_search(
    tmp_path, memory_for, monkeypatch
):
    memory_for(4)
    told = bits(train(configured(tmp_path / "told", "ema", "trainer.micro_batch_size=4")).folder)
    cfg = configured(tmp_path / "found", "ema", "trainer.micro_batch_size=auto")
    folder = killed(cfg, monkeypatch, (Task, "training_step"), 17)
    record = json.loads((folder / "run.json").read_text())
    assert record["batch"] == {"batch_size": 8, "micro_batch_size": 4, "found": True}
    monkeypatch.setattr(micro_batch, "find", lambda *a: pytest.fail("it searched again"))
    go_on(folder)
    assert differing(bits(folder), told) == []


def test_what_another_run_found_counts_for_the_same_batch_size(quick, tmp_path, memory_for):
    memory_for(4)
    record = {"batch": {"batch_size": 32, "micro_batch_size": 16, "found": True}}
    for size, expected in ((32, 16), (16, 4)):
        words = ["trainer.micro_batch_size=auto", f"data.batch_size={size}"]
        assert assembled(quick, tmp_path, *words, record=record).micro_batches.micro_batch_size == expected


@pytest.mark.parametrize("free", [30, 1e-3])
def test_on_a_cpu_nothing_is_tried_that_cannot_be_expected_to_fit(free, quick, tmp_path, monkeypatch):
    """Measured, not injected: images of 64 px, batches of 256."""
    tried = []
    original = micro_batch._try

    def trying(task, data, trainer, samples):
        tried.append(len(samples["index"]))
        return original(task, data, trainer, samples)

    monkeypatch.setattr(micro_batch, "_try", trying)
    monkeypatch.setattr(micro_batch, "available_bytes", lambda: free * 2**20)
    words = ["trainer.micro_batch_size=auto", "data.batch_size=256", NO_NORMS, "data.in_memory=false"]
    if free < 1:
        with pytest.raises(RunError, match=r"one sample at a time to fit.*bf16-mixed"):
            assembled(quick, tmp_path, *words, samples=600)
        return
    found = assembled(quick, tmp_path, *words, samples=600).micro_batches.micro_batch_size
    assert 8 <= found < 256 and max(tried) <= 2 * found


@pytest.mark.parametrize("error", [FULL, torch.OutOfMemoryError("CUDA out of memory."), MemoryError()])
def test_memory_that_runs_out_ends_the_search(error):
    def trial(size):
        if size > 7:
            raise error
        return 0

    assert micro_batch._largest([1, 2, 3, 5, 6, 10, 15, 30], trial, torch.device("cpu")) == 6


def test_a_forecast():
    forecast = memory.Forecast(room=1000)
    assert forecast.allows(1)
    forecast._taken = {0: 100, 1: 150}
    assert forecast.allows(18) and not forecast.allows(19)
    forecast._taken |= {2: 300}
    assert forecast.allows(6) and not forecast.allows(7)


def test_without_a_proc_file_system_nothing_is_foretold(monkeypatch):
    monkeypatch.setattr(Path, "read_text", lambda *a, **k: (_ for _ in ()).throw(OSError))
    assert memory._resident("VmRSS") == 0


def test_the_limit_of_the_process_counts(monkeypatch):
    import resource

    from tunesmith.data.image.memory import available_bytes

    monkeypatch.setattr(resource, "getrlimit", lambda which: (2**50, -1))
    free = available_bytes()
    monkeypatch.setattr(resource, "getrlimit", lambda which: (int(memory._resident("VmSize") + 2**20), -1))
    assert available_bytes() < 2**21 < free


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["trainer.micro_batch_size=7"], "divide data.batch_size=32.*but got 7; use 8 or 4"),
        (["trainer.micro_batch_size=0"], "divide data.batch_size=32.*but got 0; use 1 or 2"),
        (["trainer.micro_batch_size=64"], "divide data.batch_size=32.*but got 64; use 32 or 16"),
        (
            ["trainer.micro_batch_size=8", "head=ridge", "policy=linear_probe", "data.augment=none"],
            "head that is fitted",
        ),
        (["trainer.micro_batch_size=8", "data.drop_last=true"], "drop_last=false"),
        (["trainer.micro_batch_size=auto", "trainer.devices=2"], "a number on several devices"),
        (["trainer.micro_batch_size=5", "head=mlp", "head.norm=batch", "data.batch_size=35"], "batch of one"),
    ],
)
def test_what_cannot_be_cut_is_a_sentence(words, says, quick, tmp_path):
    with pytest.raises(ConfigError, match=says):
        assembled(quick, tmp_path, *words)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "BatchNorm normalises over them"),
        (["data.mixup=0.2"], "BatchNorm.* and images are mixed within them"),
        ([NO_NORMS], ""),
        (["trainer.micro_batch_size=32"], ""),
    ],
)
def test_where_the_step_is_another_it_is_said(words, says, quick, tmp_path, caplog):
    assembled(quick, tmp_path, "trainer.micro_batch_size=8", *words)
    assert bool(says) == ("do not give the step of the whole batch" in caplog.text)
    assert not says or re.search(says, caplog.text)


def test_other_errors_of_a_trial_are_not_memory(quick, tmp_path, memory_for):
    memory_for(4, RuntimeError("another"))
    with pytest.raises(RuntimeError, match="another"):
        assembled(quick, tmp_path, "trainer.micro_batch_size=auto")


def test_batches_that_fit_stay_whole(quick, tmp_path):
    parts = assembled(quick, tmp_path, "trainer.micro_batch_size=auto")
    assert parts.micro_batches == micro_batch.MicroBatches(32, 32, True) and parts.micro_batches.sentences() == []
    assert parts.trainer.accumulate_grad_batches == 1 and math.isinf(memory.Forecast(math.inf).room)


def test_the_first_samples_of_a_batch_are_those_of_all_that_it_holds():
    x = {side: {"image": torch.arange(4)} for side in ("left", "right")}
    stream = {"input": torch.arange(8), "target": [torch.zeros(i) for i in range(8)]}
    found = micro_batch._first({"input": x, "meta": {"ids": ["a", "b", "c", "d"]}, "streams": {"more": stream}}, 1 / 2)
    assert found["input"]["left"]["image"].tolist() == [0, 1] and found["meta"]["ids"] == ["a", "b"]
    assert found["streams"]["more"]["input"].tolist() == [0, 1, 2, 3] and len(found["streams"]["more"]["target"]) == 4
