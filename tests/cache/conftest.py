from __future__ import annotations

import numpy as np
import pytest

from tunesmith.cache import plan
from tunesmith.cache.activation import Activation, Wanted
from tunesmith.cache.cached_split import Rows
from tunesmith.cache.frozen import Frozen
from tunesmith.cache.opener import Opener
from tunesmith.cache.store import Store
from tunesmith.run.assembly.assemble import assemble


@pytest.fixture
def everything_pays(monkeypatch):
    """Computing an image of 32 pixels is as fast as reading; here it is not the speed that is tested."""
    monkeypatch.setattr(plan, "READ", 1e15)


@pytest.fixture
def assembled(quick, tmp_path):
    """Assembles a run on 60 generated images whose frozen part is ready; the policy is a linear probe."""

    def make(*overrides):
        words = ["policy=linear_probe", "data.augment=none", *overrides]
        parts = assemble(quick(*words, samples=60), tmp_path, {})
        parts.task.train()
        parts.task.apply_policy(0)
        return parts

    return make


@pytest.fixture
def opened(assembled, tmp_path, everything_pays):
    """Opens the entry of all images behind the first stages; gives the rows, or None, and the opener."""

    def make(*overrides, mode="auto", dtype="exact", stages=3, view=None, max_bytes=10**9, folder=None):
        parts = assembled(*overrides)
        frozen = Frozen(parts.task, parts.trainer.precision_plugin, parts.data.prepare)
        store = Store(folder or tmp_path / "store")
        opener = Opener(store, mode, max_bytes)
        rows = np.arange(60) if view is None else parts.data.indices["train"]
        recipe = Activation(frozen, parts.data, Wanted(stages, rows, view), str(parts.trainer.precision), dtype)
        found = opener.open(recipe, rows, spared=1000)
        return Rows(found, recipe.dtypes) if found else None, opener

    return make
