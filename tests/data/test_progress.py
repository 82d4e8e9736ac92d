import io

import pytest
from rich.console import Console

from tunesmith.data import progress


@pytest.mark.parametrize(("terminal", "patience", "shown"), [(True, -1, True), (True, 60, False), (False, -1, False)])
def test_a_bar_is_shown_when_it_takes_long_and_somebody_looks(monkeypatch, terminal, patience, shown):
    monkeypatch.setattr(progress, "PATIENCE", patience)
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=100)
    assert list(progress.track(range(3), "Decoding train images", 3, console)) == [0, 1, 2]
    assert ("Decoding train images" in out.getvalue()) is shown
