"""Checkpoints that hold what a run may have changed, and say where the rest comes from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tunesmith.contract.protocols import Backbone
from tunesmith.errors import RunError

_KEY = "base"  # where a checkpoint says what it leaves out: the weights' source, their hash, a digest a tensor

STATES = ("state_dict", "current_model_state")
"""Where a checkpoint holds weights; the second are those without the average, where weights are averaged."""

_NET = "backbone.net."


@dataclass(frozen=True)
class Base:
    """The backbone as its weights' source gives it, which a checkpoint need not hold.

    Attributes:
        source: Where the weights came from; a file by its absolute path.
        hash: Of the weights, as the record has it.
        digests: Of every tensor of the network, by its name in there; empty where the source cannot give all of them.
    """

    source: str | None = None
    hash: str | None = None
    digests: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, backbone: Backbone) -> Base:
        """Take the digests of a backbone that was just built; nothing can be left out of one that is random in part."""
        weights = backbone.weights
        if weights.source is None or weights.missing:
            return cls()
        path = Path(weights.source).expanduser()
        source = str(path.absolute()) if path.suffix and path.is_file() else weights.source
        return cls(source, weights.hash, digests(backbone.net))

    def given(self, frozen: Iterable[str]) -> dict[str, str]:
        """Digests of those of some tensors of the task that the source gives, by name."""
        return {name: self.digests[_plain(name)] for name in frozen if _plain(name) in self.digests}

    def leave_out(self, checkpoint: dict[str, Any], frozen: Iterable[str]) -> None:
        """Take out of a checkpoint what the source gives anyway: what nothing trains and still has the source's bits.

        Args:
            checkpoint: With whole states; changed in place.
            frozen: Names of the tensors that nothing may change.
        """
        states = {key: checkpoint[key] for key in STATES if key in checkpoint}
        known = self.given(frozen)
        left = {n: d for n, d in known.items() if all(n in s and digest(s[n]) == d for s in states.values())}
        if not left:
            return
        for key, state in states.items():
            checkpoint[key] = {name: tensor for name, tensor in state.items() if name not in left}
        checkpoint[_KEY] = {"source": self.source, "hash": self.hash, "tensors": left}


def left_out(checkpoint: Mapping[str, Any], what: str) -> Base:
    """What a checkpoint leaves out, and where that comes from; without digests where it holds everything.

    Raises:
        RunError: It does not say so as ours do.
    """
    said = checkpoint.get(_KEY, {"source": None, "hash": None, "tensors": {}})
    match said:
        case {"source": str() | None, "hash": str() | None, "tensors": dict() as tensors} if all(
            isinstance(word, str) for pair in tensors.items() for word in pair
        ):
            return Base(said["source"], said["hash"], tensors)
    raise RunError(f"Expected {what} to say under '{_KEY}' what it leaves out but got {type(said).__name__}.")


def complete(checkpoint: dict[str, Any], module: nn.Module, what: str) -> None:
    """Bring back what was left out of a checkpoint, and make sure that it fits a module.

    Args:
        checkpoint: Changed in place: its states are whole afterwards.
        module: Whose backbone was built from the same source and not changed since, but for what the checkpoint holds.
        what: What the checkpoint is called in an error.

    Raises:
        RunError: The source gave other weights, or a tensor is missing, is unknown or has another shape.
    """
    base, own = left_out(checkpoint, what), module.state_dict()
    others = [n for n, expected in base.digests.items() if n in own and digest(own[n]) != expected]
    if others:
        raise RunError(
            f"Expected backbone.weights={base.source} to give the weights that the run began with, since {what} holds "
            f"only what it changed, but {len(others)} of {len(base.digests)} tensors are others, first {others[0]}; "
            f"bring back the weights with hash {base.hash}."
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
        raise RunError(f"Expected the tensors of {what} to be those of its model but got {' and '.join(said)}.")


def digests(module: nn.Module) -> dict[str, str]:
    """A digest of every parameter and every saved buffer, by name."""
    return {name: digest(tensor) for name, tensor in module.state_dict().items() if isinstance(tensor, Tensor)}


def whole(tensor: Tensor) -> Tensor:
    """The tensor, brought together where processes have shares of it; call it on all of them."""
    full: Tensor = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
    return full


def digest(tensor: Tensor) -> str:
    """Digest the bytes of a tensor, whatever its device and memory layout."""
    content = whole(tensor).detach().cpu().contiguous().reshape(-1).view(torch.uint8)
    return hashlib.blake2b(content.numpy().data, digest_size=16).hexdigest()


def _plain(name: str) -> str:
    """The name that a tensor of the task had in the network before adapters were put in."""
    return name.removeprefix(_NET).replace(".base_layer.", ".") if name.startswith(_NET) else ""
