"""Connect the cache to a run: at the start of the fit, decide what to cache, fill it, and let the data serve it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, cast, final

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from rich.console import Console

from tunesmith.cache import plan
from tunesmith.cache.activation import Activation, Wanted
from tunesmith.cache.cached_split import CachedSplit, Rows
from tunesmith.cache.decoded import Decoded, Decoding
from tunesmith.cache.frozen import BATCH, Frozen
from tunesmith.cache.opener import Opener
from tunesmith.cache.plan import AT_ONCE, Span
from tunesmith.cache.store import Store
from tunesmith.cache.tokens import TokenCache
from tunesmith.config.find import cache_folder
from tunesmith.data.image.decode import Decode
from tunesmith.data.module import TableData
from tunesmith.data.randomness import preserved
from tunesmith.data.table import SPLITS
from tunesmith.errors import ConfigError
from tunesmith.task.base import Task


@final
class ActivationCache(Callback):
    """Runs the frozen stages once per sample, and serves the outputs to this run and later ones.

    Images that are still needed are decoded once.

    Args:
        mode: ``auto`` caches what pays off and fits, ``refresh`` computes it again, ``read_only`` uses existing entries
            and adds none, ``off`` does nothing.
        folder: Folder of the entries; see `place`.
        max_gb: Maximum size of all entries in gigabytes.
        dtype: Type of cached numbers: ``exact``, as computed, gives results that are bit-identical to no cache.
        views: Number of augmented views to cache per training image; epoch e uses view e modulo ``views``. With 0,
            random augmentations are not cached, and of those shown in turn (``data.augment=symmetries_in_turn``) all
            views are.
        console: Console that decisions are printed on.

    Raises:
        ConfigError: A number is negative.

    Attributes:
        tokens: Cache of the tokens of texts, which are made before anything else.
        seconds: Seconds spent on deciding and filling.
        record: Section of run.json: images found, images computed, and decisions.
    """

    def __init__(
        self,
        mode: Literal["auto", "off", "refresh", "read_only"] = "auto",
        folder: str | None = None,
        max_gb: float = 50.0,
        dtype: Literal["exact", "bfloat16", "float16"] = "exact",
        views: int = 0,
        console: Console | None = None,
    ) -> None:
        for name, value in (("max_gb", max_gb), ("views", views)):
            if value < 0:
                raise ConfigError(f"Expected cache.{name} to be 0 or more but got {value}.")
        self.mode = mode
        self.store = Store(place(folder))
        self.max_bytes = int(max_gb * 1e9)
        self.tokens = TokenCache(self.store, mode, self.max_bytes)
        self.dtype: Literal["exact", "bfloat16", "float16"] = dtype
        self.views = views
        self.console = console or Console()
        self.seconds = 0.0
        self.record: dict[str, object] = {}
        self._firsts = torch.zeros(0, dtype=torch.int64)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Decide and fill before the optimizer asks for its number of steps, for which Lightning builds the loaders.

        The task is moved to the device that Lightning is about to move it to. A resumed run has not loaded its
        checkpoint yet, but the stages before a cut are still as they were when the run began.
        """
        task = cast(Task, pl_module)
        run: Any = trainer  # its connectors set some attributes that type checkers do not see
        data, limited = run.datamodule, run.fast_dev_run or run.overfit_batches
        if stage != "fit" or self.mode == "off" or limited or not isinstance(data, TableData):
            return
        start = time.perf_counter()
        spans = plan.spans(task.table, _epochs(trainer))
        sizes = _sizes(data, run.limit_train_batches, run.limit_val_batches, run.limit_test_batches)
        self._firsts = torch.tensor([span.first for span in spans]).share_memory_()  # type: ignore[no-untyped-call]
        opener = Opener(self.store, self.mode, self.max_bytes)
        kept: dict[str, CachedSplit] = {}
        if any(span.stages for span in spans):
            task.setup(stage)
            task.to(run.strategy.root_device)
            with preserved():
                kept = self._activations(opener, spans, Frozen(task, run.precision_plugin, data.prepare), data, sizes)
        data.serve(kept.get, self._decoded(opener, spans, kept, data, sizes).get)
        said = [*self.tokens.said, *opener.said]
        self.record = {"hits": opener.hits, "computed": opener.computed, "said": said}
        self.seconds = time.perf_counter() - start
        if opener.hits or opener.computed:
            self.record["seconds"] = {part: round(seconds, 3) for part, seconds in opener.seconds.items()}
        if trainer.is_global_zero:
            for sentence in said:
                self.console.print(f"Cache: {sentence}", highlight=False)

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, object]) -> None:
        """Serve by the phases that a resumed run has reached, before its loaders read ahead."""
        self._keep_time(cast(Task, pl_module))

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Serve by the phase that begins, which may be early; loaders continue after this."""
        self._keep_time(cast(Task, pl_module))

    def _keep_time(self, task: Task) -> None:
        self._firsts.copy_(torch.tensor([phase.first_epoch for phase in task.table.phases[: len(self._firsts)]]))

    def _activations(
        self, opener: Opener, spans: list[Span], frozen: Frozen, data: TableData, sizes: Mapping[str, int]
    ) -> dict[str, CachedSplit]:
        """Open what pays for each cut, and return the cached part of each split."""
        views = self._views(data)
        if data.uncacheable_reason is not None:
            opener.say(data.uncacheable_reason)
            return {}
        if data.mixing.wanted:
            opener.say("Training images are mixed (MixUp, CutMix), so every epoch computes them.")
        elif data.augmentation() is not None and not views:
            opener.say(
                "Training images are augmented at random, so every epoch computes them; cache.views=8 caches 8 views."
            )
        by_cut = {n: self._of_cut(opener, spans, n, frozen, data, sizes) for n in {span.stages for span in spans}}
        found = {s: CachedSplit(self._firsts, [by_cut[span.stages].get(s, []) for span in spans]) for s in data.indices}
        # The test uses the weights of the best epoch, whichever it is: the last phase's cut holds for all of them.
        return found | {"test": CachedSplit(torch.zeros(1), [by_cut[spans[-1].stages].get("test", [])])}

    def _of_cut(
        self, opener: Opener, spans: list[Span], stages: int, frozen: Frozen, data: TableData, sizes: Mapping[str, int]
    ) -> dict[str, list[Rows]]:
        """Return the cached views of each split at one cut, without splits that cannot be cached."""
        if not stages:
            return {}
        varied = data.augmentation() is not None or data.mixing.wanted

        def rows_of(wanted: Wanted, spared: int) -> Rows | None:
            recipe = Activation(frozen, data, wanted, str(frozen.precision.precision), self.dtype)
            opened = opener.open(recipe, wanted.rows, spared)
            return Rows(opened, recipe.dtypes) if opened else None

        viewed = data.test_views != "none"  # then the test is of views, which are not cached
        plain = [s for s in data.indices if not (s == "train" and varied) and not (s == "test" and viewed)]
        found: dict[str, list[Rows]] = {}
        if plain:
            # In table order, and all rows if training is not augmented: another split then only selects other rows.
            rows = data.length_sorted(np.sort(np.concatenate([data.indices[split] for split in plain])), BATCH)
            spared = plan.served(spans, stages, **{split: sizes[split] if split in plain else 0 for split in SPLITS})
            opened = rows_of(Wanted(stages, rows), spared)
            found = {split: [opened] for split in plain} if opened else {}
        count = self._views(data)
        if count:
            spared = plan.served(spans, stages, sizes["train"], 0, 0) // count
            wanted = [Wanted(stages, data.indices["train"], view, bool(self.views)) for view in range(count)]
            views = [view for each in wanted if (view := rows_of(each, spared))]
            if len(views) == count:
                found["train"] = views
        return found

    def _views(self, data: TableData) -> int:
        """Return the number of training views to cache: as requested, or all of them if none is random."""
        augmentation = data.augmentation()
        return 0 if augmentation is None or data.mixing.wanted else self.views or augmentation.views

    def _decoded(
        self, opener: Opener, spans: list[Span], kept: dict[str, CachedSplit], data: TableData, sizes: Mapping[str, int]
    ) -> dict[Decode, Decoded]:
        """Open the decoded images that the run needs from files; of all splits, so that other splits reuse them."""
        needed: dict[Decode, int] = {}
        for split, size in sizes.items():
            epochs = sum(span.epochs for span in spans if not (split in kept and kept[split].views(span.first)))
            decoder = data.decoders(split)
            if split in data.indices and epochs and decoder is not None:
                needed[decoder] = needed.get(decoder, 0) + size * (1 if split == "test" else epochs)
        rows, found = np.sort(np.concatenate(list(data.indices.values()))), {}
        for decoder, spared in needed.items():
            recipe = Decoding(data, rows, decoder)
            if recipe.seconds() * len(rows) < AT_ONCE:
                continue
            opened = opener.open(recipe, rows, spared)
            if opened:
                found[decoder] = Decoded(opened)
        return found


def place(folder: str | None) -> Path:
    """Return the folder of the entries.

    Args:
        folder: Folder shared by all runs; ``None`` for the environment variable ``TUNESMITH_CACHE``, or else the
            platform's cache folder.
    """
    return cache_folder(folder) / "activations"


def _epochs(trainer: Trainer) -> int:
    """Return the number of epochs of the run; a very large number if it is limited otherwise."""
    epochs = trainer.max_epochs
    return epochs if epochs is not None and epochs >= 0 else 10**6


def _sizes(data: TableData, *limits: float) -> dict[str, int]:
    """Return the number of samples per split in an epoch, or in the test."""
    sizes = dict.fromkeys(SPLITS, 0)
    by_split = dict(zip(SPLITS, limits, strict=True))
    for split, rows in data.indices.items():
        limit = by_split[split]
        count = len(rows) * limit if isinstance(limit, float) else min(len(rows), limit * data.batch_size)
        sizes[split] = int(count)
    return sizes
