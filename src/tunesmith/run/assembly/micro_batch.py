"""Divide batches into micro-batches that fit into memory and accumulate gradients: the same step with less memory."""

from __future__ import annotations

import copy
import gc
import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor

from tunesmith.data.image.memory import available_bytes
from tunesmith.data.module import TableData
from tunesmith.errors import RunError
from tunesmith.run.assembly import allocator, memory
from tunesmith.run.assembly.plan import Plan
from tunesmith.run.assembly.trainer import Trainer
from tunesmith.run.callback.l2_sp import L2SP
from tunesmith.run.record import disk_space
from tunesmith.run.record.schema import Record
from tunesmith.run.resume import loop_state
from tunesmith.task.base import Task
from tunesmith.task.loss.joint import stream_terms
from tunesmith.task.loss.term import objective
from tunesmith.task.optimization.freeze import frozen_names

SHARE = 0.9
"""Share of the free memory that a search may use; the rest is for validation and fragmentation."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class MicroBatches:
    """How a batch is divided; section ``batch`` of run.json.

    Attributes:
        batch_size: Samples per batch (`data.batch_size`).
        micro_batch_size: Samples per forward pass, a divisor of ``batch_size``.
        found: Whether the size was searched for rather than given.
    """

    batch_size: int
    micro_batch_size: int
    found: bool

    def sentences(self) -> list[str]:
        """Return the sentence for the user if a search divided the batches."""
        if not self.found or self.micro_batch_size == self.batch_size:
            return []
        return [
            f"Of {self.batch_size} samples {self.micro_batch_size} fit into memory at once: "
            f"{self.batch_size // self.micro_batch_size} micro-batches make a step."
        ]


def settle(plan: Plan, task: Task, data: TableData, trainer: Trainer, record: Record) -> MicroBatches | None:
    """Divide the batches of a run by ``trainer.micro_batch_size``; without it do nothing.

    Args:
        plan: Plan with the trainer's options.
        task: Task, not yet on the device; it and all random states are left unchanged.
        data: Data module; its batch size becomes the micro-batch's.
        trainer: Trainer; its accumulation is multiplied by the number of micro-batches.
        record: Record of the run; the size that a resumed or repeated run found is used again.

    Raises:
        RunError: Not even one sample fits into memory.
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

    Sizes are tried on a copy of the task, smallest first, and on a CPU only if expected to fit. Trials run frozen
    stages, although a cache may skip them later.

    Raises:
        RunError: Not even one sample fits into memory.
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


def _first(samples: Mapping[str, object], share: float) -> dict[str, object]:
    """Return the first share of a batch's samples, and of each of its streams."""
    return {name: _cut_to(part, share) for name, part in samples.items()}


def _cut_to(part: object, share: float) -> object:
    if isinstance(part, Mapping):
        return _first(part, share)
    assert isinstance(part, Tensor | Sequence)
    return part[: round(len(part) * share)]


def _largest(sizes: list[int], trial: Callable[[int], int], device: torch.device) -> int:
    """Return the largest of the ascending sizes that fits; 0 if none does."""

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
    gc.freeze()  # collecting older objects after every trial would take half a second
    try:
        with memory.limited(device, SHARE):
            for size in sizes[:2]:
                fits(size, memory.Forecast(math.inf))  # load and compile once, outside the measurement
            forecast = memory.Forecast(SHARE * available_bytes() if device.type == "cpu" else math.inf)
            for size in sizes:
                if not forecast.allows(size) or not fits(size, forecast):
                    break
                best = size
    finally:
        gc.unfreeze()
        allocator.give_back()
    return best


def _try(task: Task, data: TableData, trainer: Trainer, samples: dict[str, object]) -> int:
    """Take two steps in every phase, the second with the gradients and optimizer state of the first.

    Returns:
        Bytes of weights, gradients and optimizer state, which do not depend on the number of samples.
    """
    device, precision = trainer.strategy.root_device, trainer.precision_plugin
    twin = copy.deepcopy(task)
    twin.trainer = trainer
    twin.setup("fit")
    twin = cast(Task, precision.convert_module(twin).to(device))
    # Callbacks with a second set of weights.
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
    """Check that the micro-batch size divides the batch size."""
    wanted, asked = plan.trainer.get("micro_batch_size"), plan.data.get("batch_size")
    if isinstance(wanted, int) and isinstance(asked, int) and wanted not in _divisors(asked):
        nearest = [str(n) for n in sorted(_divisors(asked), key=lambda n: abs(n - wanted))[:2]]
        yield (
            f"Expected trainer.micro_batch_size to divide data.batch_size={asked}, so that whole micro-batches "
            f"make a step, but got {wanted}; use {' or '.join(nearest)}."
        )


def mistakes(plan: Plan, task: Task, data: TableData, trainer: Trainer) -> Iterator[str]:
    """Check that batches can be divided as the plan asks."""
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
            "got auto; a run on one device records the size that it found in run.json."
        )
    if data.drop_last and len(data.indices["train"]) % data.batch_size:
        yield (
            "Expected data.drop_last=false with trainer.micro_batch_size, since fewer samples would be dropped, "
            "but got true; leave one of the two out."
        )


def _cut(data: TableData, trainer: Trainer, micro_batches: int) -> None:
    def counted(batches: int | float) -> int | float:
        """Scale a number of batches; a share of them stays."""
        return batches * micro_batches if isinstance(batches, int) else batches

    data.batch_size //= micro_batches
    trainer.accumulate_grad_batches *= micro_batches
    trainer.limit_train_batches = counted(trainer.limit_train_batches)
    trainer.limit_val_batches = counted(trainer.limit_val_batches)
    trainer.limit_test_batches = counted(trainer.limit_test_batches)
    trainer.val_check_interval = counted(trainer.val_check_interval)


def _warn(task: Task, data: TableData, micro_batch_size: int) -> None:
    """Warn if the step over micro-batches differs from that over the whole batch."""
    frozen = frozen_names(task, [phase.trainable for phase in task.table.phases])
    moving = {name for name, _ in task.named_buffers()}.difference(frozen)
    reasons = []
    if any(name.endswith("running_mean") for name in moving):
        reasons.append("BatchNorm normalises over them (a phase with freeze: [norm] would not)")
    if data.mixing.wanted:
        reasons.append("images are mixed within them")
    if reasons:
        log.warning(
            f"Micro-batches of {micro_batch_size} do not give the step of the whole batch: {' and '.join(reasons)}."
        )
