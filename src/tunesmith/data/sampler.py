"""Order the samples of an epoch: a pure function of (seed, epoch) for any number of workers and processes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor
from torch.utils.data import Sampler

from tunesmith.data.randomness import private


class Key(NamedTuple):
    """A sampler's request to the dataset.

    It carries the epoch, so that workers, which may outlive an epoch, need no state that could fall behind.

    Attributes:
        epoch: Epoch, from 0.
        position: Position in the split.
        padding: Whether the sample only fills a distributed batch and must not be counted.
        round: How often the epoch drew the sample before, in the balanced order; each time is augmented anew.
        streams: Further training samples by name: pass over the `Stream` and row of each.
    """

    epoch: int
    position: int
    padding: bool = False
    round: int = 0
    streams: Mapping[str, tuple[tuple[int, int], ...]] = {}


class Lengths(NamedTuple):
    """Lengths of samples, for batches of similar length, which need little padding.

    Attributes:
        of: Length of each sample of the split ``(count,)``, int32 or int64.
        batch: Samples per step and process.
    """

    of: Tensor
    batch: int


class Stream(NamedTuple):
    """Samples that training draws in addition, pass after pass, independently of where its epochs end.

    Attributes:
        size: Number of samples.
        per_sample: Number drawn per sample of an epoch.
        lengths: Groups them by length in batches of training samples, see `by_length`; ``None`` for random batches.
    """

    size: int
    per_sample: int
    lengths: Lengths | None = None


class EpochSampler(Sampler[Key]):
    """Deals one global order to all processes, like cards.

    Process r of W takes every W-th sample, starting with the r-th, so each step of W processes with batches of B sees
    the same samples as one process with batches of ``W * B``. All get the same number: training wraps around to fill
    up, evaluation pads with samples marked as padding. (torch's `DistributedSampler` deals the same way, but counts the
    samples that it adds in evaluation.)

    Args:
        count: Number of samples in the split.
        seed: Seed of the order.
        shuffle: Whether to draw a new order for every epoch; otherwise the order is the split's.
        epoch: First epoch. Lightning sets the epoch of a resumed run only after its first iteration has started, which
            would repeat the order of epoch 0.
        skip: Samples of this process to skip at the start of that epoch only.
        classes: Class of each sample ``(count,)``, for epochs with equally many samples per class, see `balanced`;
            needs ``shuffle``.
        lengths: Groups samples of similar length into batches, see `by_length`; ``None`` for random batches. Needs
            ``shuffle``.
        streams: Further training samples by name.
    """

    def __init__(
        self,
        count: int,
        seed: int = 0,
        shuffle: bool = True,
        epoch: int = 0,
        skip: int = 0,
        classes: Tensor | None = None,
        lengths: Lengths | None = None,
        streams: Mapping[str, Stream] | None = None,
    ) -> None:
        self.count = count
        self.lengths, self.streams = lengths, dict(streams or {})
        self.classes = classes
        self.seed = seed
        self.shuffle = shuffle
        self.epoch = epoch
        self._skipped = (epoch, skip)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next iteration; called by Lightning."""
        self.epoch = epoch

    @property
    def skipped(self) -> int:
        """Number of samples of this process that the current epoch skips at its start."""
        epoch, skip = self._skipped
        return skip if self.epoch == epoch else 0

    def __len__(self) -> int:
        """Return the number of samples of this process in a whole epoch, equal for all processes."""
        return -(-self.count // _world()[1])

    def __iter__(self) -> Iterator[Key]:
        rank, world = _world()
        epoch = self.epoch
        order, rounds = self._order(epoch)
        beside = {name: self._beside(epoch, i, stream) for i, (name, stream) in enumerate(self.streams.items())}
        begin = rank + world * self.skipped
        for place in range(begin, len(self) * world, world):
            extra = place >= self.count
            at = place % self.count
            drawn = {name: tuple(map(tuple, pairs[at].tolist())) for name, pairs in beside.items()}
            before = 0 if rounds is None else int(rounds[at])
            yield Key(epoch, int(order[at]), extra and not self.shuffle, before, drawn)

    def _beside(self, epoch: int, number: int, stream: Stream) -> Tensor:
        """Return pass and row of a stream's samples for each place of an epoch ``(count, per_sample, 2)``."""
        size, per_sample, lengths = stream
        other = (number,) if number else ()  # each stream draws by itself
        share = self.count * per_sample
        places = torch.arange(epoch * share, (epoch + 1) * share)
        turns = places // size
        rows = torch.empty_like(places)
        for turn in sorted(set(turns.tolist())):
            order = torch.randperm(size, generator=private("stream", self.seed, turn, *other))
            rows[turns == turn] = order[places[turns == turn] % size]
        if lengths is not None:
            batch = lengths.batch * per_sample * _world()[1]
            order = by_length(lengths.of[rows], batch, private("stream in batches", self.seed, epoch, *other))
            turns, rows = turns[order], rows[order]
        return torch.stack([turns, rows], dim=1).view(self.count, per_sample, 2)

    def _order(self, epoch: int) -> tuple[Tensor, Tensor | None]:
        """Order an epoch: positions and, where samples occur several times, how often each was drawn before."""
        if not self.shuffle:
            return torch.arange(self.count, dtype=torch.int32), None
        generator, rounds = private("order", self.seed, epoch), None
        if self.classes is not None:
            order, rounds = balanced(self.classes, generator)
        else:
            order = torch.randperm(self.count, generator=generator, dtype=torch.int32)  # draws as with int64
        if self.lengths is not None:
            places = by_length(self.lengths.of[order], self.lengths.batch * _world()[1], generator)
            order, rounds = order[places], None if rounds is None else rounds[places]
        return order, rounds


def balanced(classes: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw an epoch of the usual size with equally many samples per class, to within one (class-balanced resampling).

    Each class is passed through in new random orders as often as needed: samples of a rare class are drawn several
    times (oversampling), all equally often to within one; of a common class some are left out (undersampling). Drawing
    with replacement, as torch's `WeightedRandomSampler` does, would repeat and miss samples within a pass too.

    Args:
        classes: Class of each sample ``(N,)``.
        generator: Source of randomness.

    Returns:
        Positions ``(N,)``, shuffled, and how often each was drawn before ``(N,)``.
    """
    total, present = len(classes), sorted(set(classes.tolist()))
    shares = torch.full((len(present),), total // len(present))
    shares[torch.randperm(len(present), generator=generator)[: total % len(present)]] += 1
    drawn, rounds = [], []
    for label, share in zip(present, shares.tolist(), strict=True):
        own = (classes == label).nonzero().flatten()
        passes = [own[torch.randperm(len(own), generator=generator)] for _ in range(-(-share // len(own)))]
        drawn.append(torch.cat([own[:0], *passes])[:share])
        rounds.append(torch.arange(share) // len(own))
    shuffled = torch.randperm(total, generator=generator)
    return torch.cat(drawn)[shuffled], torch.cat(rounds)[shuffled]


POOL = 50
"""Batches per pool that is sorted by length: sorting more would pad less, but make the batches less random."""


def by_length(lengths: Tensor, batch: int, generator: torch.Generator) -> Tensor:
    """Group a shuffled epoch into batches of similar length (length bucketing), to save padding.

    Samples are sorted within pools of `POOL` batches, and the full batches are then shuffled; an incomplete one stays
    last. Hugging Face's `LengthGroupedSampler` also sorts within pools of 50 batches, but does not shuffle the batches.

    Args:
        lengths: Lengths of the samples in their shuffled order ``(N,)``.
        batch: Samples per step, over all processes.
        generator: Draws the order of the batches.

    Returns:
        Places in that order ``(N,)``.
    """
    size, places = POOL * batch, torch.empty(len(lengths), dtype=torch.int32)
    for start in range(0, len(lengths), size):
        pool = lengths[start : start + size].argsort(descending=True, stable=True)
        places[start : start + size] = pool + start
    whole = len(lengths) // batch
    batches = places[: whole * batch].view(whole, batch)
    batches.copy_(batches[torch.randperm(whole, generator=generator)])
    return places


def _world() -> tuple[int, int]:
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1
