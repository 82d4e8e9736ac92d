from __future__ import annotations

import pytest

from tunesmith.errors import RunError
from tunesmith.run.logger.metrics_logger import MetricsLog
from tunesmith.run.record.metrics_log import read, series


def test_what_is_logged_can_be_read(tmp_path):
    log = MetricsLog(tmp_path)
    log.log_metrics({"val/loss": 0.5, "epoch": 0}, step=3)
    log.log_metrics({"val/loss": 0.25, "epoch": 1}, step=6)
    assert list(read(tmp_path)) == [
        {"step": 3, "val/loss": 0.5, "epoch": 0.0},
        {"step": 6, "val/loss": 0.25, "epoch": 1.0},
    ]
    assert series(tmp_path, "val/loss") == ([0.0, 1.0], [0.5, 0.25])


def test_a_line_cut_short_is_passed_over(tmp_path):
    MetricsLog(tmp_path).log_metrics({"a": 1.0}, step=1)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 2, "a"')
    assert [row["step"] for row in read(tmp_path)] == [1]


def test_no_file_is_no_metrics(tmp_path):
    assert list(read(tmp_path)) == []


def test_what_came_after_a_checkpoint_can_be_dropped(tmp_path):
    log = MetricsLog(tmp_path)
    log.log_metrics({"a": 1.0}, step=1)
    size = log.size
    log.log_metrics({"a": 2.0}, step=2)
    log.cut(size)
    assert [row["step"] for row in read(tmp_path)] == [1]
    with pytest.raises(RunError, match="altered"):
        log.cut(size + 1)
