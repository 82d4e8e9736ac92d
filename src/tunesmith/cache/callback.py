"""The cache in a run: at the start of the fit it decides what is kept, fills it, and lets the data serve it."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, Literal, final

import numpy as np
import platformdirs
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from rich.console import Console

from tunesmith.cache import plan
from tunesmith.cache.activation import Activation, Wanted
from tunesmith.cache.cached_split import Kept, Rows
from tunesmith.cache.decoded import Decoded, Decoding
from tunesmith.cache.frozen import BATCH, Frozen
from tunesmith.cache.opener import Opener
from tunesmith.cache.plan import AT_ONCE, Span
from tunesmith.cache.store import Store
from tunesmith.cache.tokens import TokenCache
from tunesmith.compat.lightning import rank
from tunesmith.data.image.decode import Front
from tunesmith.data.randomness import preserved
from tunesmith.data.table import SPLITS
from tunesmith.errors import ConfigError


@final
class ActivationCache(Callback):
    """Runs the frozen stages once for every picture and serves what they gave, to this run and to later ones.

    Pictures that are needed all the same are decoded once.

    Args:
        mode: ``auto`` keeps what pays and fits, ``refresh`` computes it again, ``read_only`` takes what is there and
            adds nothing, ``off`` does nothing.
        folder: Where entries are kept; see `place`.
        max_gb: Most gigabytes of all entries; nothing is added beyond it.
        dtype: Type of numbers to keep: ``exact``, as computed, gives the bits of a run without the cache.
        views: Augmented views of each training picture to keep, where training is augmented: epoch e sees those of
            epoch e modulo ``views``. With 0, those augmented at random are computed each time, and of those shown in
            turn (``data.augment=symmetries_in_turn``) all views are kept.

    Raises:
        ConfigError: A number is negative.

    Attributes:
        tokens: Keeps tokens of texts, which are made before anything else.
        seconds: Seconds that deciding and filling took.
        record: For run.json: pictures that were there already, pictures that were computed, and what was decided.
    """

    def __init__(
        self,
        mode: Literal["auto", "off", "refresh", "read_only"] = "auto",
        folder: str | None = None,
        max_gb: float = 50.0,
        dtype: Literal["exact", "bfloat16", "float16"] = "exact",
        views: int = 0,
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
        self.seconds = 0.0
        self.record: dict[str, Any] = {}
        self._firsts = torch.zeros(0, dtype=torch.int64)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Decide and fill, before the optimizer asks for its number of steps, for which the loaders are made.

        The task is brought to where Lightning is about to bring it. A resumed run has not taken up its checkpoint yet:
        what is in front of a cut is as it was when the run began, and as it still is.
        """
        task: Any = pl_module
        run: Any = trainer  # some attributes are set by its connectors, unseen by type checkers
        data, limited = run.datamodule, run.fast_dev_run or run.overfit_batches
        if stage != "fit" or self.mode == "off" or limited or not hasattr(data, "serve"):
            return
        start = time.perf_counter()
        spans = plan.spans(task.table, _epochs(trainer))
        self._firsts = torch.tensor([span.first for span in spans]).share_memory_()  # type: ignore[no-untyped-call]
        opener = Opener(self.store, self.mode, self.max_bytes)
        kept: dict[str, Kept] = {}
        if any(span.stages for span in spans):
            task.setup(stage)
            task.to(run.strategy.root_device)
            with preserved():
                kept = self._activations(opener, spans, Frozen(task, trainer, data.prepare), trainer)
        data.serve(kept.get, self._decoded(opener, spans, kept, trainer).get)
        said = [*self.tokens.said, *opener.said]
        self.record = {"hits": opener.hits, "computed": opener.computed, "said": said}
        self.seconds = time.perf_counter() - start
        if opener.hits or opener.computed:
            self.record["seconds"] = {part: round(seconds, 3) for part, seconds in opener.seconds.items()}
        if rank() == 0:
            for sentence in said:
                Console().print(f"Cache: {sentence}", highlight=False)

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Serve by the phases as a resumed run came to them; its loaders are about to read ahead."""
        self._keep_time(pl_module)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Serve by the phase that begins, which may be ahead of its time; loaders go on after this."""
        self._keep_time(pl_module)

    def _keep_time(self, task: Any) -> None:
        self._firsts.copy_(torch.tensor([phase.first_epoch for phase in task.table.phases[: len(self._firsts)]]))

    def _activations(self, opener: Opener, spans: list[Span], frozen: Frozen, trainer: Any) -> dict[str, Kept]:
        """Open what is worth it for each cut; give what is kept of each split."""
        data, views = trainer.datamodule, self._views(trainer.datamodule)
        if data.unkept is not None:
            opener.say(data.unkept)
            return {}
        if data.mixing.wanted:
            opener.say("Training pictures are mixed with each other, so each epoch computes them.")
        elif data.augmentation() is not None and not views:
            opener.say(
                "Training pictures are augmented at random, so each epoch computes them; cache.views=8 would keep 8 "
                "views of each."
            )
        by_cut = {n: self._of_cut(opener, spans, n, frozen, trainer) for n in {span.stages for span in spans}}
        found = {s: Kept(self._firsts, [by_cut[span.stages].get(s, []) for span in spans]) for s in data.indices}
        # Tested with the weights of whatever epoch was best: the last cut holds for all of them.
        return found | {"test": Kept(torch.zeros(1), [by_cut[spans[-1].stages].get("test", [])])}

    def _of_cut(
        self, opener: Opener, spans: list[Span], stages: int, frozen: Frozen, trainer: Any
    ) -> dict[str, list[Rows]]:
        """Views of each split at one cut; no split where they are not to be had."""
        if not stages:
            return {}
        data, sizes = trainer.datamodule, _sizes(trainer.datamodule, trainer)
        varied = data.augmentation() is not None or data.mixing.wanted

        def rows_of(wanted: Wanted, spared: int) -> Rows | None:
            recipe = Activation(frozen, data, wanted, str(trainer.precision), self.dtype)
            opened = opener.open(recipe, wanted.rows, spared)
            return Rows(opened, recipe.dtypes) if opened else None

        viewed = getattr(data, "test_views", "none") != "none"  # then a test is of views, which nobody keeps
        plain = [s for s in data.indices if not (s == "train" and varied) and not (s == "test" and viewed)]
        found: dict[str, list[Rows]] = {}
        if plain:
            # In an order of the table, and all of it where training is not augmented: another split selects other rows.
            rows = data.together(np.sort(np.concatenate([data.indices[split] for split in plain])), BATCH)
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

    def _views(self, data: Any) -> int:
        """How many views of training pictures to keep: as asked, or all that there are where nothing is drawn."""
        augmentation = data.augmentation()
        return 0 if augmentation is None or data.mixing.wanted else self.views or augmentation.views

    def _decoded(self, opener: Opener, spans: list[Span], kept: dict[str, Kept], trainer: Any) -> dict[Front, Decoded]:
        """Open decoded pictures of each kind that the run needs and that are files; of all splits, as others differ."""
        data = trainer.datamodule
        needed: dict[Front, int] = {}
        for split, size in _sizes(data, trainer).items():
            epochs = sum(span.epochs for span in spans if not (split in kept and kept[split].views(span.first)))
            front = data.fronts(split)
            if split in data.indices and epochs and front is not None:
                needed[front] = needed.get(front, 0) + size * (1 if split == "test" else epochs)
        rows, found = np.sort(np.concatenate(list(data.indices.values()))), {}
        for front, spared in needed.items():
            recipe = Decoding(data, rows, front)
            if recipe.seconds() * len(rows) < AT_ONCE:
                continue
            opened = opener.open(recipe, rows, spared)
            if opened:
                found[front] = Decoded(opened)
        return found


def place(folder: str | None) -> Path:
    """The folder of entries.

    Args:
        folder: Of all that runs share; ``None`` for what the environment variable ``TUNESMITH_CACHE`` says, or else for
            the platform's place for caches.
    """
    named = folder or os.environ.get("TUNESMITH_CACHE") or platformdirs.user_cache_dir("tunesmith")
    return Path(named).expanduser() / "activations"


def _epochs(trainer: Trainer) -> int:
    """Epochs of the run; many where it is limited otherwise."""
    epochs = trainer.max_epochs
    return epochs if epochs is not None and epochs >= 0 else 10**6


def _sizes(data: Any, trainer: Any) -> dict[str, int]:
    """Pictures of each split that an epoch, or the test, goes through."""
    sizes = dict.fromkeys(SPLITS, 0)
    for split, rows in data.indices.items():
        limit = getattr(trainer, f"limit_{split}_batches")
        count = len(rows) * limit if isinstance(limit, float) else min(len(rows), limit * data.batch_size)
        sizes[split] = int(count)
    return sizes
