from __future__ import annotations

import contextlib
import logging
import os
import random
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch import seed_everything

from tunesmith.errors import StoppedError
from tunesmith.run.exclusive import announced, exclusive
from tunesmith.run.session import FOLDER_VARIABLE, Session
from tunesmith.signals import Stop


def drawn(guard):
    """What two threads draw, each after its own seed, where the second begins while the first is under way."""
    begun, seeded = threading.Event(), threading.Event()

    def first():
        with guard():
            seed_everything(1, verbose=False)
            begun.set()
            seeded.wait(0.5)  # in its turn it waits in vain
            return torch.rand(4).tolist(), np.random.rand(2).tolist(), random.random()

    def second():
        begun.wait()
        with guard():
            seed_everything(2, verbose=False)
            seeded.set()
            return torch.rand(4).tolist(), np.random.rand(2).tolist(), random.random()

    with ThreadPoolExecutor(2) as threads:
        return [future.result() for future in [threads.submit(first), threads.submit(second)]]


def alone(seed):
    with exclusive(Stop()):
        seed_everything(seed, verbose=False)
        return torch.rand(4).tolist(), np.random.rand(2).tolist(), random.random()


def test_each_thread_draws_what_it_would_draw_alone():
    assert drawn(lambda: exclusive(Stop())) == [alone(1), alone(2)]


def test_without_turns_they_would_mix():
    assert drawn(contextlib.nullcontext)[0] != alone(1)


def test_streams_settings_and_messages_are_left_as_they_were():
    torch.manual_seed(7)
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels, filters, threads = [each.level for each in loggers], list(warnings.filters), torch.get_num_threads()
    benchmark = torch.backends.cudnn.benchmark
    with exclusive(Stop()), exclusive(Stop()):  # a command may run another
        seed_everything(3, verbose=False)
        torch.use_deterministic_algorithms(True)
        torch.backends.cudnn.benchmark = not benchmark
        torch.set_num_threads(threads + 1)
    assert before == (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())
    assert not torch.are_deterministic_algorithms_enabled() and torch.backends.cudnn.benchmark is benchmark
    assert (torch.get_num_threads(), warnings.filters) == (threads, filters)
    assert [each.level for each in loggers] == levels


def test_who_waits_can_be_stopped_and_an_error_gives_the_turn_back():
    with exclusive(Stop()), ThreadPoolExecutor(1) as threads:
        stop = Stop()
        stop.ask()

        def wait():
            with exclusive(stop):
                pass

        with pytest.raises(StoppedError):
            threads.submit(wait).result()
    with pytest.raises(KeyError), exclusive(Stop()):
        raise KeyError
    with ThreadPoolExecutor(1) as threads:
        assert threads.submit(alone, 1).result() == alone(1)


@pytest.mark.parametrize("outer", [None, "/elsewhere"])
def test_the_run_folder_is_told_for_as_long_as_the_run_lasts(outer, monkeypatch):
    if outer is None:
        monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    else:
        monkeypatch.setenv(FOLDER_VARIABLE, outer)
    with announced(Path("/here")):
        assert Session.read().run_folder == Path("/here")
    assert os.environ.get(FOLDER_VARIABLE) == outer
