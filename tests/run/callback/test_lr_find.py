"""Rates that rise until the loss diverges, and a run that is as if nobody had looked."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from tunesmith.config.check.check import check
from tunesmith.errors import ConfigError
from tunesmith.run.assembly.assemble import assemble
from tunesmith.run.callback.lr_find import RateFinder, find, middle, smoothed
from tunesmith.run.record.quiet import quiet as quietly
from tunesmith.run.resume import loop_state
from tunesmith.task.base import Task
from tunesmith.task.optimization.delta import digests


def searched(cfg, folder):
    """Assembled parts whose rates were searched, the finder, and what was kept of before."""
    cfg.paths.run = str(folder)
    check(cfg)
    with quietly():
        parts = assemble(cfg, folder, {})
        before = digests(parts.task), loop_state.streams(torch.device("cpu")), parts.task.table
        parts.trainer.fit(parts.task, datamodule=parts.data)
    (finder,) = (c for c in parts.trainer.callbacks if isinstance(c, RateFinder))
    return parts, finder, before


def test_rates_rise_by_one_factor_and_everything_is_left_as_it_was(quick, tmp_path, monkeypatch, capsys):
    seen = []
    step = Task.optimizer_step

    def noting(self, epoch, batch, optimizer, closure=None):
        seen.append([group["lr"] for group in optimizer.param_groups])
        return step(self, epoch, batch, optimizer, closure)

    monkeypatch.setattr(Task, "optimizer_step", noting)
    cache = Path(os.environ["TUNESMITH_CACHE"])
    kept = sorted(cache.rglob("*"))
    cfg = quick(
        "debug=lr_find",
        "trainer.max_epochs=99",
        "trainer.max_steps=40",
        "policy=gradual",
        "rates=head_multiplier",
        "optimizer=sgd",
    )
    parts, finder, (weights, streams, table) = searched(cfg, tmp_path)
    rates = np.array(seen)
    assert len(rates) > 20 and np.allclose(rates / rates[:, :1], rates[0] / rates[0, 0])
    growth = rates[1:, 0] / rates[:-1, 0]
    assert np.allclose(growth, 1e7 ** (1 / 39)) and rates[0].max() == pytest.approx(
        finder.rates[0] * max(row.multiplier for row in table.rows)
    )
    assert digests(parts.task) == weights and parts.task.table is table and len(table.phases) > 1
    now = loop_state.streams(torch.device("cpu"))
    assert torch.equal(now.pop("torch"), streams.pop("torch")) and now == streams
    assert sorted(cache.rglob("*")) == kept
    assert max(finder.losses) > finder.losses[0], "nothing was trained, so nothing could have been put back"
    rows = (tmp_path / "lr_find.tsv").read_text().splitlines()
    assert rows[0] == "optimizer.lr\tloss\tsmoothed" and len(rows) > 20
    assert (tmp_path / "plots" / "lr_find.png").stat().st_size > 10_000
    assert "optimizer.lr" in capsys.readouterr().out


def test_without_putting_back_the_weights_differ(quick, tmp_path, monkeypatch):
    """The negative control."""
    monkeypatch.setattr(RateFinder, "on_fit_end", lambda *a: None)
    parts, _, (weights, _, _) = searched(
        quick("debug=lr_find", "trainer.max_epochs=99", "trainer.max_steps=20", "data.batch_size=16"), tmp_path
    )
    assert digests(parts.task) != weights


def test_with_accumulation_a_step_has_one_rate_and_the_mean_loss(quick, tmp_path):
    cfg = quick(
        "debug=lr_find",
        "trainer.max_epochs=99",
        "trainer.max_steps=20",
        "trainer.accumulate_grad_batches=2",
        "callback.lr_find.max_rate=1e-5",
    )
    _, finder, _ = searched(cfg, tmp_path)
    assert len(finder.rates) == len(finder.losses) == 20
    assert abs(finder.losses[0] - np.log(3)) < 0.5  # of three classes, and not half of it


def test_the_interval_lies_below_the_lowest_loss_around_the_steepest_fall():
    rates = np.logspace(-6, 1, 100)
    losses = 2.3 - 1.5 / (1 + (1e-3 / rates) ** 2) + rates**2
    low, high = find(rates, losses)
    lowest = rates[smoothed(losses).argmin()]
    assert low <= high < lowest and 1e-3 < low < 1e-1
    assert low == pytest.approx(lowest / 10) or high == pytest.approx(lowest / 10)
    assert low <= middle(low, high) <= high


def test_a_loss_that_does_not_fall_gives_no_interval():
    rates = np.logspace(-6, 1, 50)
    assert find(rates, 2.3 + rates) is None
    assert find(rates, np.full(50, 2.3)) is None
    assert find(rates[:2], np.array([2.0, 1.0])) is None


def test_the_average_has_no_bias_at_its_start():
    assert smoothed([2.0, 2.0, 2.0]) == pytest.approx([2.0, 2.0, 2.0])


def test_rates_must_rise(tmp_path):
    with pytest.raises(ConfigError, match="min_rate above 0 and below max_rate but got 1 and 1"):
        RateFinder(str(tmp_path), 1, 1)
