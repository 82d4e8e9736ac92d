"""When the last checkpoint is saved and what it says; `test_resume.py` has that it leads to the same bits."""

from __future__ import annotations

import signal
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from tunesmith.data.module import TableData
from tunesmith.errors import ConfigError, RunError, StoppedError
from tunesmith.run.logger.metrics_logger import MetricsLog
from tunesmith.run.resume import last_checkpoint
from tunesmith.run.resume.last_checkpoint import LAST, LastCheckpoint, relocated
from tunesmith.signals import Stop


class Data(TableData):
    """A data module of ours, of which only its place is asked."""

    def __init__(self):
        pass

    def start_at(self, epoch, batch):
        self.started = epoch, batch


Data.__abstractmethods__ = frozenset()


@pytest.fixture
def now(monkeypatch):
    """The time, in seconds, which the test sets."""
    times = SimpleNamespace(seconds=1000.0)
    for clock in ("monotonic", "perf_counter"):
        monkeypatch.setattr(last_checkpoint.time, clock, lambda: times.seconds)
    return times


@pytest.fixture
def trainer(tmp_path):
    """What the callback asks of a trainer; ``saved`` lists the positions of the checkpoints."""
    made = SimpleNamespace(
        current_epoch=1, global_step=6, world_size=1, global_rank=0, accumulate_grad_batches=1, overfit_batches=0.0
    )
    made.fast_dev_run, made.is_global_zero, made.should_stop = False, True, False
    made.datamodule, made.lightning_module = Data(), SimpleNamespace(head_fit=None)
    made.callback_metrics, made.loggers, made.saved = {}, [MetricsLog(tmp_path)], []
    made.fit_loop = SimpleNamespace(epoch_loop=SimpleNamespace(_batches_that_stepped=6))
    made.strategy = SimpleNamespace(reduce_boolean_decision=lambda decision, all: decision)

    def save_checkpoint(path):
        total, current = (dict.fromkeys(("ready", "started", "processed", "completed"), 6) for _ in range(2))
        state = {
            "epoch_progress": {"total": {**total}, "current": {**current}},
            "epoch_loop.batch_progress": {"total": total, "current": current, "is_last_batch": True},
        }
        checkpoint = {"loops": {"fit_loop": state}}
        made.callback.on_save_checkpoint(made, module(), checkpoint)
        made.saved.append(checkpoint["resume"])

    made.save_checkpoint = save_checkpoint
    return made


def module():
    made = nn.Module()
    made.device = torch.device("cpu")
    return made


@pytest.fixture
def last(trainer, tmp_path, now):
    """Makes the callback, after the start of training."""

    def make(**options):
        trainer.callback = LastCheckpoint(str(tmp_path / "checkpoints"), **options)
        trainer.callback.on_train_start(trainer, module())
        return trainer.callback

    return make


def positions(trainer):
    return [(state["epoch"], state["batch"], state["finished"]) for state in trainer.saved]


def batch(callback, trainer, number):
    callback.on_train_batch_start(trainer, module(), None, number)


def test_every_epoch_but_the_first_begins_with_a_save(last, trainer):
    callback = last(every_n_minutes=None)
    for epoch in range(3):
        trainer.current_epoch = epoch
        callback.on_train_epoch_start(trainer, module())
        batch(callback, trainer, 0)
    assert positions(trainer) == [(1, 0, False), (2, 0, False)]
    callback.on_train_end(trainer, module())
    assert positions(trainer)[2:] == [(2, 0, True)]


def test_after_so_many_steps_it_saves_once(last, trainer):
    callback = last(every_n_train_steps=3, every_n_minutes=None)
    for number in range(8):
        trainer.global_step = 6 + number
        batch(callback, trainer, number)
    assert positions(trainer) == [(1, 3, False), (1, 6, False)]
    batch(callback, trainer, 6)  # no step has been made since
    trainer.global_step = 12
    batch(callback, trainer, 7)
    assert len(trainer.saved) == 2


def test_after_so_many_minutes_it_saves(last, trainer, now):
    callback = last(every_n_minutes=2.0)
    for seconds, number in ((119.9, 1), (120.0, 2), (239.9, 3), (240.0, 4)):
        now.seconds = 1000 + seconds
        batch(callback, trainer, number)
    assert positions(trainer) == [(1, 2, False), (1, 4, False)]
    assert LastCheckpoint("x").every_n_minutes == 10.0


def test_processes_agree_on_the_time_every_20_steps_and_one_that_finds_it_due_is_enough(last, trainer, monkeypatch):
    callback, asked = last(every_n_minutes=1.0), []

    def agree(decision, all):
        asked.append((decision, all))
        return len(asked) == 6

    monkeypatch.setattr(last_checkpoint, "_gathered", lambda share, world: [share] * world)
    trainer.world_size, trainer.strategy.reduce_boolean_decision = 2, agree
    trainer.is_global_zero = False
    for step in (19, 20, 21, 40):
        trainer.global_step = step
        batch(callback, trainer, 1)
    # Of signals before every batch; of the time before steps 20 and 40.
    assert asked == [(False, False)] * 6 and len(trainer.saved) == 1


@pytest.mark.parametrize(
    ("what", "value"),
    [("datamodule", object()), ("overfit_batches", 1.0), ("lightning_module", SimpleNamespace(head_fit="fits"))],
)
def test_who_cannot_begin_at_a_batch_is_saved_between_epochs_alone(what, value, last, trainer):
    callback = last(every_n_train_steps=1, every_n_minutes=None)
    setattr(trainer, what, value)
    trainer.global_step += 1
    batch(callback, trainer, 1)
    assert not trainer.saved
    callback.on_train_epoch_start(trainer, module())
    assert positions(trainer) == [(1, 0, False)]


def test_a_save_waits_for_the_end_of_an_accumulation(last, trainer):
    callback = last(every_n_train_steps=1, every_n_minutes=None)
    trainer.accumulate_grad_batches = 3
    for number in range(1, 5):
        trainer.global_step = 6 + number
        batch(callback, trainer, number)
    assert positions(trainer) == [(1, 3, False)]


def test_a_trial_run_saves_nothing(last, trainer):
    callback = last(every_n_train_steps=1)
    trainer.fast_dev_run = True
    trainer.global_step += 1
    batch(callback, trainer, 1)
    callback.on_train_end(trainer, module())
    callback.on_fit_start(trainer, module())
    assert not trainer.saved


# ── signals ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def asked():
    stop = Stop()
    stop.ask(signal.SIGUSR1)
    return stop


def test_a_signal_saves_and_stops_where_that_can_be(last, trainer):
    callback = last(every_n_minutes=None, stop=asked())
    trainer.accumulate_grad_batches = 2
    batch(callback, trainer, 1)
    assert not trainer.saved
    with pytest.raises(StoppedError) as caught:
        batch(callback, trainer, 2)
    assert caught.value.signal == "SIGUSR1" and positions(trainer) == [(1, 2, False)]
    with pytest.raises(StoppedError):
        callback.on_train_epoch_start(trainer, module())
    assert positions(trainer)[1:] == [(1, 0, False)]


@pytest.mark.parametrize("number", [0, 1])
def test_a_signal_stops_without_a_save_where_there_is_none_within_epochs_or_nothing_new(number, last, trainer):
    callback = last(stop=asked())
    trainer.datamodule = object() if number else Data()
    with pytest.raises(StoppedError):
        batch(callback, trainer, number)
    assert not trainer.saved


def test_a_signal_to_another_process_stops_this_one_too(last, trainer):
    callback = last()
    trainer.world_size, trainer.datamodule = 2, object()
    trainer.strategy.reduce_boolean_decision = lambda decision, all: not all
    with pytest.raises(StoppedError) as caught:
        batch(callback, trainer, 1)
    assert caught.value.signal == "SIGTERM"


def test_signals_wait_from_the_start_of_training_to_its_end(last, trainer, monkeypatch):
    said = []
    for name in ("later", "now", "obey"):
        monkeypatch.setattr(Stop, name, lambda self, name=name: said.append(name))
    callback = last()
    assert said == ["later"]
    callback.on_train_end(trainer, module())
    assert said[1:] == ["now", "obey"]
    callback.on_exception(trainer, module(), ValueError())
    assert said[3:] == ["now"]


# ── what it says, and going on ──────────────────────────────────────────────────────────────────────────────────────


def test_what_a_position_says(last, trainer, tmp_path, now):
    trainer.callback_metrics = {"val/loss": torch.tensor(0.5)}
    (tmp_path / "metrics.jsonl").write_text("{}\n")
    callback = last(every_n_train_steps=1, every_n_minutes=None)
    now.seconds += 7
    trainer.global_step += 1
    batch(callback, trainer, 2)
    (state,) = trainer.saved
    trainer.callback_metrics["val/loss"] += 1
    assert state["metrics"] == {"val/loss": 0.5}
    assert (state["stepped"], state["logged"], state["seconds"]) == (6, 3, 7.0)
    assert state["folder"] == str(tmp_path / "checkpoints")
    assert [sorted(share) for share in state["shares"]] == [["streams", "train_metrics"]]
    trainer.loggers, trainer.global_step = [], 8
    batch(callback, trainer, 3)
    assert trainer.saved[1]["logged"] == 0


def test_other_checkpoints_are_no_place_to_go_on_from(last, trainer):
    callback, other = last(), {}
    callback.on_save_checkpoint(trainer, module(), other)
    assert not other
    trainer.save_checkpoint = lambda path: 1 / 0
    with pytest.raises(ZeroDivisionError):
        callback.on_train_end(trainer, module())
    callback.on_save_checkpoint(trainer, module(), other)
    assert not other


def test_the_one_before_is_kept_by_one_process(last, trainer, tmp_path, monkeypatch):
    kept = []
    monkeypatch.setattr(last_checkpoint, "keep_as", lambda path, name: kept.append((path, name)))
    callback = last()
    for main in (True, False):
        trainer.is_global_zero = main
        callback.on_train_epoch_start(trainer, module())
    assert kept == [(tmp_path / "checkpoints" / LAST, "last-1.ckpt")] and len(trainer.saved) == 2


@pytest.fixture
def state(last, trainer, tmp_path):
    """What a checkpoint holds that was saved in the middle of an epoch in another folder."""
    (tmp_path / "metrics.jsonl").write_text("{}\n")
    callback = last(every_n_train_steps=1, every_n_minutes=None)
    trainer.callback_metrics = {"val/loss": torch.tensor(0.5)}
    trainer.global_step += 1
    batch(callback, trainer, 4)
    (position,) = trainer.saved
    trainer.saved.clear()
    place = {"best": "/old/best.ckpt", "/old/best.ckpt": 1, "score": 2.0, "all": ["/old", "/older/x"]}
    return {"resume": position | {"folder": "/old", "seconds": 30.0, "stepped": 6}, "callbacks": place}


def resumed(tmp_path, **options):
    return LastCheckpoint(str(tmp_path / "new"), **options)


def test_going_on_takes_up_the_place_the_log_and_the_names(state, trainer, tmp_path):
    trainer.datamodule = Data()
    log = tmp_path / "metrics.jsonl"
    log.write_text("{}\n{}\n")
    resumed(tmp_path).on_load_checkpoint(trainer, module(), state)
    assert trainer.datamodule.started == (1, 4) and log.read_text() == "{}\n"
    new = str(tmp_path / "new")
    place = {"best": f"{new}/best.ckpt", f"{new}/best.ckpt": 1, "score": 2.0, "all": [new, "/older/x"]}
    assert state["callbacks"] == place


def test_a_further_process_leaves_the_log_alone_and_takes_its_own_share(state, trainer, tmp_path):
    log = tmp_path / "metrics.jsonl"
    log.write_text("{}\n{}\n")
    state["resume"]["shares"] = [{"streams": 0}, {"streams": 1}]
    trainer.world_size, trainer.global_rank, trainer.is_global_zero = 2, 1, False
    callback = resumed(tmp_path)
    callback.on_load_checkpoint(trainer, module(), state)
    assert log.read_text() == "{}\n{}\n" and callback._share["streams"] == 1
    trainer.datamodule, trainer.loggers = object(), []
    callback.on_load_checkpoint(trainer, module(), state)
    for world in (1, 3):
        trainer.world_size = world
        with pytest.raises(RunError, match=rf"resume with 2 process\(es\), as before, but got {world}"):
            callback.on_load_checkpoint(trainer, module(), state)


@pytest.fixture
def lightning(trainer):
    """What Lightning has made of the counters on its way into the epoch."""
    metrics = {}
    trainer._logger_connector = SimpleNamespace(_callback_metrics=metrics)
    trainer.fit_loop._restarting = True
    trainer.fit_loop.epoch_loop.restarting = True
    trainer.fit_loop.epoch_loop._batches_that_stepped = 9
    return metrics


@pytest.mark.parametrize("finished", [False, True])
def test_callbacks_find_the_metrics_and_a_finished_run_stays_finished(finished, state, trainer, lightning, tmp_path):
    state["resume"]["finished"] = finished
    callback = resumed(tmp_path)
    callback.on_load_checkpoint(trainer, module(), state)
    callback.on_fit_start(trainer, module())
    assert lightning == {"val/loss": 0.5} and trainer.should_stop is finished


def test_a_new_run_begins_with_nothing(trainer, lightning, tmp_path):
    trainer.should_stop = "untouched"
    callback = resumed(tmp_path)
    callback.on_fit_start(trainer, module())
    callback.on_train_start(trainer, module())
    assert lightning == {} and trainer.should_stop == "untouched"
    assert trainer.fit_loop.epoch_loop.restarting


def entered(state, trainer, tmp_path, now):
    trainer.callback = callback = resumed(tmp_path, every_n_train_steps=1)
    callback.on_load_checkpoint(trainer, module(), state)
    callback.on_fit_start(trainer, module())
    callback.on_train_start(trainer, module())
    now.seconds += 5
    return callback


@pytest.mark.usefixtures("lightning")
def test_the_middle_of_an_epoch_is_entered_once_and_with_the_streams(state, trainer, tmp_path, now):
    torch.manual_seed(1)
    state["resume"]["shares"][0]["streams"]["torch"] = torch.get_rng_state()
    expected = torch.rand(3)
    callback = entered(state, trainer, tmp_path, now)
    assert trainer.fit_loop.epoch_loop.restarting
    batch(callback, trainer, 4)
    assert torch.equal(torch.rand(3), expected) and not trainer.saved
    assert trainer.fit_loop.epoch_loop._batches_that_stepped == 6 and not trainer.fit_loop._restarting
    torch.manual_seed(2)
    untouched = torch.get_rng_state()
    trainer.global_step += 1
    batch(callback, trainer, 5)
    assert torch.equal(torch.get_rng_state(), untouched)
    (position,) = trainer.saved
    assert (position["batch"], position["seconds"]) == (5, 35.0)


@pytest.mark.usefixtures("lightning")
def test_the_start_of_an_epoch_is_entered_before_its_first_batch(state, trainer, tmp_path, now):
    state["resume"]["batch"] = 0
    torch.manual_seed(1)
    state["resume"]["shares"][0]["streams"]["torch"] = torch.get_rng_state()
    expected = torch.rand(3)
    callback = entered(state, trainer, tmp_path, now)
    assert not trainer.fit_loop.epoch_loop.restarting
    callback.on_train_epoch_start(trainer, module())
    assert torch.equal(torch.rand(3), expected) and not trainer.saved
    trainer.fit_loop.epoch_loop._batches_that_stepped = 9
    torch.manual_seed(2)
    untouched = torch.get_rng_state()
    batch(callback, trainer, 0)
    assert torch.equal(torch.get_rng_state(), untouched) and not trainer.saved
    assert trainer.fit_loop.epoch_loop._batches_that_stepped == 6
    callback.on_train_epoch_start(trainer, module())
    assert positions(trainer) == [(1, 0, False)]


@pytest.mark.usefixtures("lightning")
def test_what_was_just_gone_on_from_is_not_saved_again_before_a_stop(state, trainer, tmp_path, now):
    callback = entered(state, trainer, tmp_path, now)
    callback.stop.ask(signal.SIGUSR1)
    with pytest.raises(StoppedError):
        batch(callback, trainer, 4)
    assert not trainer.saved


@pytest.mark.parametrize(("going_on", "copies"), [(False, 3), (True, 1)])
def test_there_is_room_for_the_checkpoints_to_come(going_on, copies, state, trainer, lightning, tmp_path, monkeypatch):
    sizes = []
    monkeypatch.setattr(last_checkpoint.disk_space, "check", lambda folder, size: sizes.append((folder, size)))
    callback, made = resumed(tmp_path), module()
    made.weight = nn.Parameter(torch.zeros(25))
    if going_on:
        callback.on_load_checkpoint(trainer, made, state)
    callback.on_fit_start(trainer, made)
    assert sizes == [(tmp_path / "new", copies * 100)]


@pytest.mark.parametrize("key", ["every_n_train_steps", "every_n_minutes"])
@pytest.mark.parametrize("value", [0, -1])
def test_an_interval_is_positive(key, value, tmp_path):
    with pytest.raises(ConfigError, match=rf"callback\.last\.{key} to be positive or null but got {value}"):
        LastCheckpoint(str(tmp_path), **{key: value})
    made = LastCheckpoint(str(tmp_path), **{key: 1})
    assert made.folder == Path(tmp_path) and getattr(made, key) == 1


def test_only_whole_folders_are_replaced():
    found = relocated({"/a": ["/a/b", "/ab", "x/a", 1, None], "k": {"/a/": "/a"}}, "/a", "/new")
    assert found == {"/new": ["/new/b", "/ab", "x/a", 1, None], "k": {"/new/": "/new"}}
