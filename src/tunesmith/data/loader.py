"""Build the loader of a split: from memory or by decoding, with a suitable number of worker processes."""

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
    """Decide whether to keep a split's decoded images; ``auto``: if they take less than a quarter of the free memory.

    Args:
        dataset: The split.
        in_memory: The setting.
        processes: Training processes on this machine, each with its own copy of the images.
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
        batch_size: Samples per step and process.
        workers: Loader processes; ``auto``: none if nothing is decoded, else one per core but one, at most 8.
        timeout: Seconds without a batch after which workers count as hanging; 0 for never.
        processes: Training processes on this machine, which share the cores.
        pin_memory: Whether to put batches into page-locked memory.
        drop_last: Whether to drop a last batch that is not full.
        generator: Generator of the workers' base seed, so that ``iter()`` does not draw from the run's stream.
        watches: Watches the workers.
    """
    # Measured with EfficientNet-Lite0, all layers, ELPV at 224 px, batches of 32, 2 cores: images per second, best of
    # three, with 0 / 1 / 2 workers: 19.5 / 24.0 / 21.7 with decoding, 24.6 / 22.4 / 17.7 from memory.
    wanted = 0 if not dataset.decodes else min(max(cores() // processes - 1, 0), 8)
    number = workers if isinstance(workers, int) else wanted
    watch = watches.of(number) if number else None
    return StepLoader(
        dataset,
        batch_size=batch_size,  # by name, since Lightning recreates the loader to predict
        sampler=sampler,
        collate_fn=dataset.collate,
        drop_last=drop_last,
        num_workers=number,
        persistent_workers=number > 0,
        pin_memory=pin_memory,
        generator=generator,
        worker_init_fn=watch,
        timeout=timeout if number else 0,
        # In a sweep's job, and from Python 3.14 on, the default is a fork server, which imports everything again, and
        # whose workers would outlive a killed training process.
        multiprocessing_context=Context(watch) if watch and sys.platform.startswith("linux") else None,
    )
