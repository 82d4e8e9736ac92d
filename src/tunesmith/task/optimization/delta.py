"""Leave out of checkpoints what a run cannot have changed, and restore it from the weights' source."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from tunesmith.contract.protocols import Backbone
from tunesmith.errors import RunError

Checkpoint: TypeAlias = dict[str, Any]
"""A checkpoint, as Lightning passes it."""

_KEY = "base"  # key of what a checkpoint leaves out: the weights' source, their hash, one digest per tensor

STATES = ("state_dict", "current_model_state")
"""Keys of a checkpoint's weights; with weight averaging, the second has the current ones."""

_NET = "backbone.net."


@dataclass(frozen=True)
class Base:
    """The tensors that the weights' source provides, which a checkpoint need not contain.

    Attributes:
        source: Where the weights came from; a file by its absolute path.
        hash: Hash of the weights, as in the record.
        digests: Digest of every tensor by its name in the network; empty if the source does not provide all of them.
    """

    source: str | None = None
    hash: str | None = None
    digests: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, backbone: Backbone) -> Base:
        """Digest a backbone that was just built; empty if any of its weights are random."""
        weights = backbone.weights
        if weights.source is None or weights.missing:
            return cls()
        path = Path(weights.source).expanduser()
        source = str(path.absolute()) if path.suffix and path.is_file() else weights.source
        return cls(source, weights.hash, digests(backbone.net))

    def given(self, frozen: Iterable[str]) -> dict[str, str]:
        """Return the digests of those frozen tensors of the task that the source provides, by name."""
        return {name: self.digests[_plain(name)] for name in frozen if _plain(name) in self.digests}

    def leave_out(self, checkpoint: Checkpoint, frozen: Iterable[str]) -> None:
        """Remove from a checkpoint the frozen tensors that still have the source's bits.

        Args:
            checkpoint: Checkpoint with all tensors; changed in place.
            frozen: Names of the frozen tensors.
        """
        states = {key: checkpoint[key] for key in STATES if key in checkpoint}
        known = self.given(frozen)
        left = {n: d for n, d in known.items() if all(n in s and digest(s[n]) == d for s in states.values())}
        if not left:
            return
        for key, state in states.items():
            checkpoint[key] = {name: tensor for name, tensor in state.items() if name not in left}
        checkpoint[_KEY] = {"source": self.source, "hash": self.hash, "tensors": left}


def left_out(checkpoint: Mapping[str, object], what: str) -> Base:
    """Read what a checkpoint leaves out, and where to get it; no digests if it is complete.

    Raises:
        RunError: The entry is malformed.
    """
    said = checkpoint.get(_KEY, {"source": None, "hash": None, "tensors": {}})
    match said:
        case {"source": str() | None as source, "hash": str() | None as content, "tensors": dict() as tensors} if all(
            isinstance(word, str) for pair in tensors.items() for word in pair
        ):
            return Base(source, content, tensors)
    raise RunError(f"Expected {what} to list under '{_KEY}' what it leaves out but got {type(said).__name__}.")


def complete(checkpoint: Checkpoint, module: nn.Module, what: str) -> None:
    """Restore what was left out of a checkpoint, and check that it fits a module.

    Args:
        checkpoint: Changed in place, to contain all tensors.
        module: The task, with a backbone built from the same source.
        what: Name of the checkpoint in errors.

    Raises:
        RunError: The source has other weights, or a tensor is missing, is unknown or has another shape.
    """
    base, own = left_out(checkpoint, what), module.state_dict()
    others = [n for n, expected in base.digests.items() if n in own and digest(own[n]) != expected]
    if others:
        raise RunError(
            f"Expected backbone.weights={base.source} to provide the weights that the run started with, since {what} "
            f"holds only what it changed, but {len(others)} of {len(base.digests)} tensors differ, first {others[0]}; "
            f"restore the weights with hash {base.hash}."
        )
    for key in STATES:
        if key in checkpoint:
            checkpoint[key] = {**checkpoint[key], **{n: own[n] for n in base.digests if n in own}}
            _check_fit(checkpoint[key], base.digests, own, what)


def _check_fit(state: Mapping[str, Tensor], absent: Iterable[str], own: Mapping[str, Tensor], what: str) -> None:
    missing = [name for name in own if name not in state]
    surplus = [name for name in dict.fromkeys([*state, *absent]) if name not in own]
    shapes = [(n, tuple(state[n].shape), tuple(own[n].shape)) for n in state if n in own]
    misshapen = [f"{name} {got} for {wanted}" for name, got, wanted in shapes if got != wanted]
    found = [("missing", missing), ("unknown", surplus), ("of another shape", misshapen)]
    said = [f"{len(n)} {kind} ({', '.join(n[:3])}{', …' if len(n) > 3 else ''})" for kind, n in found if n]
    if said:
        raise RunError(f"Expected the tensors of {what} to match its model but got {' and '.join(said)}.")


def digests(module: nn.Module) -> dict[str, str]:
    """Digest every parameter and every saved buffer, by name."""
    return {name: digest(tensor) for name, tensor in module.state_dict().items() if isinstance(tensor, Tensor)}


def whole(tensor: Tensor) -> Tensor:
    """Gather a tensor of which processes have shards; call it on all of them."""
    full: Tensor = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
    return full


def digest(tensor: Tensor) -> str:
    """Digest the bytes of a tensor, whatever its device and memory layout."""
    content = whole(tensor).detach().cpu().contiguous().reshape(-1).view(torch.uint8)
    return hashlib.blake2b(content.numpy().data, digest_size=16).hexdigest()


def _plain(name: str) -> str:
    """Return a task tensor's name in the network before adapters were inserted."""
    return name.removeprefix(_NET).replace(".base_layer.", ".") if name.startswith(_NET) else ""
