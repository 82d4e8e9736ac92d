"""How batches come into being beside the training: from memory or decoded anew, by how many worker processes."""

from __future__ import annotations

import sys
from typing import Literal

import torch

from tunesmith.data.dataset import ImageDataset, SplitDataset
from tunesmith.data.image.memory import available_bytes, cores
from tunesmith.data.sampler import EpochSampler
from tunesmith.data.window import StepLoader
from tunesmith.data.workers import Context, Watches
from tunesmith.errors import DataError

Loader = StepLoader


def fits(dataset: ImageDataset, in_memory: bool | Literal["auto"], processes: int) -> bool:
    """Whether a split's decoded images are to be kept; ``auto``: they take less than a quarter of the free memory.

    Args:
        dataset: The split.
        in_memory: What was asked for.
        processes: Training processes on this machine, each with images of its own.
    """
    if in_memory != "auto":
        return in_memory
    return len(dataset) * dataset.decoder.max_bytes * processes < available_bytes() / 4


def check_full_batch(samples: int, batch_size: int, what: str) -> None:
    """Refuse to drop the only batch.

    Raises:
        DataError: Train holds fewer samples than a batch.
    """
    if samples < batch_size:
        raise DataError(
            f"Expected at least one full batch of {batch_size} but train holds {samples} {what}; use "
            "data.drop_last=false or a smaller data.batch_size."
        )


def make_loader(
    dataset: SplitDataset,
    sampler: EpochSampler,
    *,
    batch_size: int,
    workers: int | Literal["auto"],
    timeout: float,
    processes: int,
    pin_memory: bool,
    drop_last: bool,
    generator: torch.Generator,
    watches: Watches,
) -> Loader:
    """Build the loader of a split.

    Args:
        dataset: The split.
        sampler: Its order.
        batch_size: Samples a step and process.
        workers: Loader processes; ``auto``: none where nothing is decoded, else one for each core but one, at most 8.
        timeout: Seconds without a batch after which those count as hanging; 0 for never.
        processes: Training processes on this machine, which share the cores.
        pin_memory: Whether batches are put into page-locked memory.
        drop_last: Whether a last batch that is not full is left out.
        generator: What ``iter()`` draws a number for the workers from, in place of the run's stream.
        watches: Where what the workers are reading is noted.
    """
    # Measured with EfficientNet-Lite0, all layers, ELPV at 224 px, batches of 32, 2 cores: images per second, the best
    # of three, with 0 / 1 / 2 workers: 19.5 / 24.0 / 21.7 decoding each time, 24.6 / 22.4 / 17.7 from memory.
    wanted = 0 if not dataset.decodes else min(max(cores() // processes - 1, 0), 8)
    number = workers if isinstance(workers, int) else wanted
    watch = watches.of(number) if number else None
    return StepLoader(
        dataset,
        batch_size=batch_size,  # by name, since Lightning makes the loader anew to predict
        sampler=sampler,
        collate_fn=dataset.collate,
        drop_last=drop_last,
        num_workers=number,
        persistent_workers=number > 0,
        pin_memory=pin_memory,
        generator=generator,
        worker_init_fn=watch,
        timeout=timeout if number else 0,
        # In a job of a sweep, and from Python 3.14 on, the default is a server that imports all again, and whose
        # workers would outlive a training process that is killed.
        multiprocessing_context=Context(watch) if watch and sys.platform.startswith("linux") else None,
    )
