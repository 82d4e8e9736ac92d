"""Cut a batch into micro-batches that fit into memory, their gradients accumulated: the same step with less memory."""

from __future__ import annotations

import copy
import gc
import logging
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from lightning.pytorch.callbacks import WeightAveraging

from tunesmith.data.image.memory import available_bytes
from tunesmith.data.module import TableData
from tunesmith.errors import RunError
from tunesmith.run.assembly import allocator, memory
from tunesmith.run.assembly.plan import Plan
from tunesmith.run.assembly.trainer import Trainer
from tunesmith.run.callback.l2_sp import L2SP
from tunesmith.run.record import disk_space
from tunesmith.run.resume import loop_state
from tunesmith.task.base import Task
from tunesmith.task.loss.joint import stream_terms
from tunesmith.task.loss.term import objective
from tunesmith.task.optimization.freeze import frozen_names

SHARE = 0.9
"""Of the free memory that a search may use: the rest is for validation, and for what fragments."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class MicroBatches:
    """How a batch passes through the model; run.json has it as ``batch``.

    Attributes:
        batch_size: Samples of a batch, as `data.batch_size` asks for.
        micro_batch_size: Samples that pass at once: a divisor of it.
        found: Whether that was searched for, and not given.
    """

    batch_size: int
    micro_batch_size: int
    found: bool

    def sentences(self) -> list[str]:
        """What is to be said of it: nothing where it was given, or where batches stay whole."""
        if not self.found or self.micro_batch_size == self.batch_size:
            return []
        return [
            f"Of {self.batch_size} samples {self.micro_batch_size} fit into memory at once: "
            f"{self.batch_size // self.micro_batch_size} micro-batches make a step."
        ]


def settle(plan: Plan, task: Task, data: TableData, trainer: Trainer, record: Mapping[str, Any]) -> MicroBatches | None:
    """Cut the batches of a run as ``trainer.micro_batch_size`` asks; without it do nothing.

    Args:
        plan: Says it.
        task: Not yet on the device. It is left as it is, as are all random streams.
        data: Gets the size of a micro-batch as its batch size.
        trainer: Gets the number of micro-batches, over and above what it accumulates anyway.
        record: Of a run that is gone on with, or repeated: what it found counts.

    Raises:
        RunError: Not even one sample fits.
    """
    wanted, asked = plan.trainer.get("micro_batch_size"), data.batch_size
    if wanted is None:
        return None
    before = record.get("batch") or {}
    if wanted == "auto" and before.get("batch_size") == asked:
        wanted = int(before["micro_batch_size"])
    elif wanted == "auto":
        wanted = find(task, data, trainer)
    _cut(data, trainer, asked // wanted)
    if wanted < asked:
        _warn(task, data, wanted)
    return MicroBatches(asked, wanted, plan.trainer["micro_batch_size"] == "auto")


def find(task: Task, data: TableData, trainer: Trainer) -> int:
    """Find the largest divisor of the batch size that trains within the free memory.

    Each is tried on a copy of the task, the smallest first, and on a CPU only if it can be expected to fit. Frozen
    stages run in a trial, although a cache may spare them that later.

    Raises:
        RunError: Not even one sample fits.
    """
    device, asked = trainer.strategy.root_device, data.batch_size
    streams = loop_state.streams(device)
    samples = data.heaviest(asked)

    def trial(size: int) -> int:
        return _try(task, data, trainer, _first(samples, size / len(samples["index"])))

    best = _largest(_divisors(asked), trial, device)
    loop_state.restore_streams(streams, device)
    if not best:
        raise RunError(
            "Expected one sample at a time to fit into memory but it does not; use trainer.precision=bf16-mixed, a "
            "smaller backbone.image_size, or a policy that trains less."
        )
    return best


def _first(samples: Any, share: float) -> Any:
    """The first samples of a batch, and of each of its streams."""
    if isinstance(samples, Mapping):
        return {name: _first(part, share) for name, part in samples.items()}
    return samples[: round(len(samples) * share)]


def _largest(sizes: list[int], trial: Callable[[int], int], device: torch.device) -> int:
    """The largest of the rising sizes that a trial has room for; 0 where none has."""

    def fits(size: int, forecast: memory.Forecast) -> bool:
        try:
            forecast.run(size, lambda: trial(size))
        except (MemoryError, RuntimeError) as error:
            if not memory.ran_out(error):
                raise
            return False
        finally:
            gc.collect()
            if device.type == "cuda":
                torch.cuda.empty_cache()
        return forecast.allows(size)

    best = 0
    gc.collect()
    gc.freeze()  # what was there before is not looked through after every trial, which would take half a second
    try:
        with memory.limited(device, SHARE):
            for size in sizes[:2]:
                fits(size, memory.Forecast(math.inf))  # what is loaded and compiled once is no part of a trial
            forecast = memory.Forecast(SHARE * available_bytes() if device.type == "cpu" else math.inf)
            for size in sizes:
                if not forecast.allows(size) or not fits(size, forecast):
                    break
                best = size
    finally:
        gc.unfreeze()
        allocator.give_back()
    return best


def _try(task: Task, data: TableData, trainer: Trainer, samples: dict[str, Any]) -> int:
    """Take two steps in every phase, the second one with all that the first leaves: gradients and state.

    Returns:
        Bytes of weights, gradients and state: what does not depend on the number of samples.
    """
    device, precision = trainer.strategy.root_device, trainer.precision_plugin
    twin = copy.deepcopy(task)
    twin.trainer = trainer
    twin.setup("fit")
    twin = cast(Task, precision.convert_module(twin).to(device))
    # What keeps a second set of weights.
    others = [copy.deepcopy(twin) for callback in trainer.callbacks if isinstance(callback, WeightAveraging | L2SP)]
    batch = data.on_after_batch_transfer(data.transfer_batch_to_device(samples, device, 0), 0)
    images, states = precision.convert_input(batch["input"]), []
    for phase in twin.table.phases:
        twin.apply_policy(phase.first_epoch)
        optimizer = twin.optimization.optimizer(twin, twin.table, phase.first_epoch)
        for _ in range(2):
            with precision.forward_context():
                terms = twin.terms(twin(images), batch, twin.spec.mean_weight) | stream_terms(twin, batch)
                loss = objective(terms, twin.term_weights)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        gradients = [p.grad for p in twin.parameters() if p.grad is not None]
        states.append(disk_space.size_of([gradients, [dict(state) for state in optimizer.state.values()]]))
    return sum(map(disk_space.of_weights, [twin, *others])) + max(states)


def _divisors(number: int) -> list[int]:
    return [n for n in range(1, number + 1) if number % n == 0]


def undivided(plan: Plan) -> Iterator[str]:
    """Say so where whole micro-batches do not make a batch."""
    wanted, asked = plan.trainer.get("micro_batch_size"), plan.data.get("batch_size")
    if isinstance(wanted, int) and isinstance(asked, int) and wanted not in _divisors(asked):
        nearest = [str(n) for n in sorted(_divisors(asked), key=lambda n: abs(n - wanted))[:2]]
        yield (
            f"Expected trainer.micro_batch_size to divide data.batch_size={asked}, so that whole micro-batches "
            f"make a step, but got {wanted}; use {' or '.join(nearest)}."
        )


def mistakes(plan: Plan, task: Task, data: TableData, trainer: Trainer) -> Iterator[str]:
    """Say so where batches cannot be cut as the plan asks."""
    wanted = plan.trainer.get("micro_batch_size")
    if wanted is None:
        return
    if task.head_fit is not None:
        yield (
            "Expected trainer.micro_batch_size=null with a head that is fitted, which takes no steps, but got "
            f"{wanted}; a smaller data.batch_size gives the same head."
        )
    if wanted == "auto" and trainer.world_size > 1:
        yield (
            "Expected trainer.micro_batch_size to be a number on several devices, since each would find its own, but "
            "got auto; a run on one device says in its run.json what it found."
        )
    if data.drop_last and len(data.indices["train"]) % data.batch_size:
        yield (
            "Expected data.drop_last=false with trainer.micro_batch_size, since fewer samples would be dropped, "
            "but got true; leave one of the two out."
        )


def _cut(data: TableData, trainer: Trainer, micro_batches: int) -> None:
    def counted(batches: int | float) -> int | float:
        """What a trainer counts in batches where it is a whole number, else a share of them."""
        return batches * micro_batches if isinstance(batches, int) else batches

    data.batch_size //= micro_batches
    trainer.accumulate_grad_batches *= micro_batches
    trainer.limit_train_batches = counted(trainer.limit_train_batches)
    trainer.limit_val_batches = counted(trainer.limit_val_batches)
    trainer.limit_test_batches = counted(trainer.limit_test_batches)
    trainer.val_check_interval = counted(trainer.val_check_interval)


def _warn(task: Task, data: TableData, micro_batch_size: int) -> None:
    """Say where the step over micro-batches is not that over the whole batch."""
    frozen = frozen_names(task, [phase.trainable for phase in task.table.phases])
    moving = {name for name, _ in task.named_buffers()}.difference(frozen)
    reasons = []
    if any(name.endswith("running_mean") for name in moving):
        reasons.append("BatchNorm normalises over them (a phase with freeze: [norm] would not)")
    if data.mixing.wanted:
        reasons.append("images are mixed within them")
    if reasons:
        log.warning(
            f"MicroBatches of {micro_batch_size} do not give the step of the whole batch: {' and '.join(reasons)}."
        )
