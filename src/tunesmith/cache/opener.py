"""Opening an entry: found and compared, or computed where that pays; or not to be had, and then why."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tunesmith.cache import key
from tunesmith.cache.fill import Plain, Source, View, fill
from tunesmith.cache.frozen import BATCH, Cut, Frozen
from tunesmith.cache.kept import Rows
from tunesmith.cache.plan import Estimate, in_bytes, in_time
from tunesmith.cache.shard import Shard
from tunesmith.cache.store import Entry, Layout, Store
from tunesmith.data.memory import available_bytes

log = logging.getLogger(__name__)

LOOKED_AT = 4
"""Pictures that are run to see what comes out, and to compare with what is kept of them."""

TOLERANCE = 0.01
"""How far these may differ, as a share of the largest: another machine rounds otherwise; other code differs by more."""


@dataclass(frozen=True)
class Wanted:
    """What a run would like to be kept.

    Attributes:
        stages: Number of stages in front of the cut.
        rows: Rows of the data's table, in order.
        view: The epoch whose augmented training pictures are meant; ``None`` for pictures as in evaluation.
        spared: Pictures that the run need not compute then.
    """

    stages: int
    rows: npt.NDArray[np.int64]
    view: int | None
    spared: int


class Opener:
    """Opens entries for a run.

    Args:
        store: Where they are.
        mode: As `ActivationCache` has it.
        max_bytes: Most bytes of all entries.
        dtype: As `ActivationCache` has it.
        frozen: The frozen part.
        data: The data module.
        precision: The trainer's.

    Attributes:
        said: What was decided, a sentence each.
        hits: Pictures that were there already.
        computed: Pictures that were computed.
    """

    def __init__(
        self,
        store: Store,
        mode: Literal["auto", "refresh", "read_only"],
        max_bytes: int,
        dtype: Literal["exact", "bfloat16", "float16"],
        frozen: Frozen,
        data: Any,
        precision: str,
    ) -> None:
        self.store = store
        self.mode = mode
        self.max_bytes = max_bytes
        self.dtype = dtype
        self.frozen = frozen
        self.data = data
        self.precision = precision
        self.said: list[str] = []
        self.hits = self.computed = 0

    def open(self, wanted: Wanted) -> Rows | None:
        """Open what is wanted; ``None`` where it is not to be had, which `said` explains."""
        source = self._source(wanted)
        (few,) = source.batches([range(min(LOOKED_AT, len(wanted.rows)))])
        cut = self.frozen.wanted(few, wanted.stages)
        sample = self.frozen.run(few, cut)
        kept = {name: tensor.to(self._kept_as or tensor.dtype) for name, tensor in sample.items()}
        row_bytes = sum(tensor.nbytes for tensor in kept.values()) // len(few)
        layout = Layout.plan(len(wanted.rows), row_bytes, BATCH)
        about = key.describe(self.frozen, cut, self.data, wanted.rows, self.precision, self.dtype, wanted.view)
        entry = self.store.entry(about)
        there, missing = self._load(entry, layout, kept)
        if missing:
            done = self._complete(entry, layout, missing, source, cut, wanted.spared, row_bytes)
            if done is None:
                return None
            there |= done
        else:
            self.hits += layout.rows
            self.say(f"{_what(entry, layout, row_bytes)} are there already.")
        entry.used()
        frugal = layout.rows * row_bytes > available_bytes() / 4
        dtypes = {name: tensor.dtype for name, tensor in sample.items()}
        return Rows([there[shard] for shard in range(layout.shards)], layout, wanted.rows, dtypes, frugal)

    @property
    def _kept_as(self) -> torch.dtype | None:
        return None if self.dtype == "exact" else getattr(torch, self.dtype)

    def _source(self, wanted: Wanted) -> Source:
        if wanted.view is None:
            return Plain(self.data.pictures(wanted.rows))
        return View(self.data.training_pictures(), wanted.view)

    def _load(self, entry: Entry, layout: Layout, sample: Mapping[str, Tensor]) -> tuple[dict[int, Shard], list[int]]:
        if self.mode == "refresh":
            return {}, list(range(layout.shards))
        there, missing = entry.load(layout)
        if there and not all(_agree(shard, sample, first=i == 0) for i, shard in there.items()):
            log.warning(
                f"Expected the cache to hold what is computed now but {entry.folder.name} holds something else, though "
                "nothing that is looked at has changed: it is computed anew."
            )
            return {}, list(range(layout.shards))
        return there, missing

    def _complete(
        self,
        entry: Entry,
        layout: Layout,
        missing: list[int],
        source: Source,
        cut: Cut,
        spared: int,
        row_bytes: int,
    ) -> dict[int, Shard] | None:
        what, count = _what(entry, layout, row_bytes), sum(len(layout.span(shard)) for shard in missing)
        if self.mode == "read_only":
            self.say(f"{what} are not there, and cache=read_only adds nothing.")
            return None
        (probe,) = source.batches([range(min(BATCH, layout.rows))])
        estimate = Estimate(
            count, spared, row_bytes, layout.rows, self.frozen.seconds(probe, cut), entry.about["view"] is not None
        )
        room = min(self.max_bytes - self.store.size(), int(0.9 * self.store.free()))
        objection = estimate.objection(room, available_bytes() // 2)
        if objection:
            self.say(f"{what} are computed each time: {objection}.")
            return None
        self.say(
            f"{what} are computed once and kept: about {in_time(estimate.seconds * count)}, where this run alone would "
            f"compute {spared:,}."
        )
        try:
            self.store.sweep_up()
            done = fill(entry, layout, missing, source, self.frozen, cut, self._kept_as)
        except OSError as error:
            log.warning(f"Expected to write to the cache but got: {error}; the run computes each time.")
            return None
        self.computed += count
        self.hits += layout.rows - count
        return done

    def say(self, text: str) -> None:
        """Note a decision."""
        log.info(text)
        self.said.append(text)


def _what(entry: Entry, layout: Layout, row_bytes: int) -> str:
    about = entry.about
    part = "Features" if about["cut"]["pooled"] else f"Activations after {about['after']}"
    shown = "pictures" if about["view"] is None else f"training pictures, view {about['view'][0]}"
    return f"{part} of {layout.rows:,} {shown}, {in_bytes(layout.rows * row_bytes)},"


def _agree(shard: Shard, sample: Mapping[str, Tensor], first: bool) -> bool:
    """Whether a file holds tensors as they should be and, where it holds the first rows, about their values."""
    if {n: (t.dtype, t.shape[1:]) for n, t in shard.tensors.items()} != {
        n: (t.dtype, t.shape[1:]) for n, t in sample.items()
    }:
        return False
    return not first or all(_close(shard.tensors[name][: len(t)], t) for name, t in sample.items())


def _close(kept: Tensor, now: Tensor) -> bool:
    kept, now = kept.float(), now.float()
    return bool((kept - now).abs().max() <= TOLERANCE * now.abs().max())
