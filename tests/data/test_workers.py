"""Loader workers that are killed, hang or raise: the file is named, and nobody is left behind."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time

import numpy as np
import pytest
import torch
from PIL import Image

from tunesmith.data import loader, workers
from tunesmith.data.dataset import ImageDataset
from tunesmith.data.image.decode import Decode
from tunesmith.data.sampler import EpochSampler
from tunesmith.errors import DataError
from tunesmith.run.record import process

# torch opens files to see whether it still can when a worker fails it, and its handler for dead ones raises in between.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")


@pytest.fixture
def watches():
    return workers.Watches()


@pytest.fixture
def loading(tmp_path, monkeypatch, watches):
    """Makes a loader of 16 images with two workers, where something happens to whoever reads 9.png."""

    def make(happens, timeout=600.0):
        files = [tmp_path / f"{i}.png" for i in range(16)]
        for file in files:
            Image.fromarray(np.zeros((8, 8, 3), dtype=np.uint8)).save(file)
        original = Image.open

        def opening(path, **more):
            if path.name == "9.png":
                happens()
            return original(path, **more)

        monkeypatch.setattr(Image, "open", opening)
        dataset = ImageDataset(files, np.zeros(16, dtype=np.int64), np.arange(16), Decode(8, 3))
        return loader.make_loader(
            dataset,
            EpochSampler(16, shuffle=False),
            batch_size=2,
            workers=2,
            timeout=timeout,
            processes=1,
            pin_memory=False,
            drop_last=False,
            generator=torch.Generator(),
            watches=watches,
        )

    before = set(multiprocessing.active_children())
    yield make
    assert set(multiprocessing.active_children()) <= before


def gone(pid):
    for _ in range(100):
        if process._began(pid) is None:
            return True
        time.sleep(0.05)
    return False


def test_one_that_is_killed_is_told_by_its_file(loading, watches):
    batches = loading(lambda: os.kill(os.getpid(), signal.SIGKILL))
    with (
        pytest.raises(DataError, match=r"one died .* while it read .*9\.png; .*data\.workers=0"),
        watches.explained(),
    ):
        list(batches)


def test_one_that_hangs_is_told_by_its_file(loading, watches):
    batches = loading(lambda: time.sleep(3600), timeout=0.5)
    with (
        pytest.raises(DataError, match=r"within 0\.5 seconds .* workers hang; .*9\.png.*data\.worker_timeout"),
        watches.explained(),
    ):
        list(batches)


def test_one_that_raises_is_told_by_its_file(loading, watches):
    def raises():
        raise MemoryError("no more")

    with (
        pytest.raises(DataError, match=r"Expected a readable image but got .*9\.png: no more\.$"),
        watches.explained(),
    ):
        list(loading(raises))


def test_other_errors_are_left_as_they_are_and_leave_no_worker(loading, watches):
    with pytest.raises(RuntimeError, match="another"), watches.explained():
        next(iter(loading(lambda: None)))
        raise RuntimeError("another")


def test_no_worker_outlives_a_run_that_ended_well(loading, watches):
    """They ignore the signal by which Python ends them at its own end, and it would wait for them for ever."""
    before = set(multiprocessing.active_children())
    with watches.explained():
        held = iter(loading(lambda: None))
        assert set(multiprocessing.active_children()) > before  # and none of them has said its number
        ended = {child.pid for child in set(multiprocessing.active_children()) - before}
    del held  # which had kept them
    assert not any(process._began(pid) for pid in ended)
    batches = loading(lambda: None)
    with watches.explained():
        next(iter(batches))
        assert set(multiprocessing.active_children()) > before
    assert set(multiprocessing.active_children()) <= before


def test_one_that_is_killed_while_it_looks_whether_to_end_leaves_a_loader_that_can_end():
    """Python's own event is locked by who looks: by a dead worker, for good."""
    context = workers.Context()
    for _ in range(5):
        event = context.Event()

        def look(event=event):
            while not event.is_set():
                pass

        lookers = [context.Process(target=look) for _ in range(2)]
        for looker in lookers:
            looker.start()
        time.sleep(0.05)
        for looker in lookers:
            looker.kill()
            looker.join()
        event.set()
        assert event.is_set()


def test_they_are_children_of_the_training_process_whatever_the_default_is(loading, monkeypatch, watches):
    """As a job of a sweep has another one, and Python 3.14; only children die with it."""
    monkeypatch.setattr(
        multiprocessing.context._default_context, "_actual_context", multiprocessing.get_context("spawn")
    )
    batches = loading(lambda: None)
    with watches.explained():
        next(iter(batches))
        watch = batches.worker_init_fn
        children = {child.pid for child in multiprocessing.active_children()}
        assert {pid for pid, _ in watch.reading()} <= children
        assert isinstance(batches.multiprocessing_context, multiprocessing.context.ForkContext)


def test_a_signal_is_for_the_training_process_alone(loading, watches):
    batches, others = loading(lambda: None), set(multiprocessing.active_children())
    with pytest.raises(KeyError), watches.explained():  # which ends them
        iterator = iter(batches)
        next(iterator), next(iterator)  # one of each: both have begun
        for child in set(multiprocessing.active_children()) - others:
            for name in ("SIGTERM", "SIGINT", "SIGUSR1", "SIGUSR2"):
                os.kill(child.pid, getattr(signal, name))
        assert len(list(iterator)) == 6
        raise KeyError


def test_even_one_that_hangs_dies_with_a_training_process_that_is_killed(loading):
    reading, writing = os.pipe()

    def hang():
        os.write(writing, str(os.getpid()).encode())
        time.sleep(3600)

    batches = loading(hang)
    parent = os.fork()
    if not parent:
        with contextlib.suppress(BaseException):
            list(batches)
        os._exit(1)
    os.close(writing)
    worker = int(os.read(reading, 20))
    assert process._began(worker) is not None
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    assert gone(worker)
