"""Begin a new run with the weights of another one: its backbone, and its head where it says the same things."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tunesmith.backbone.transformers.lm_head import LMHead
from tunesmith.backbone.weights import content_hash
from tunesmith.config.gate import Trust
from tunesmith.contract.spec import DataSpec
from tunesmith.errors import RunError, WeightsError
from tunesmith.run.assembly.rebuild import rebuild

_BACKBONE, _HEAD = "backbone.net.", "head."


@dataclass
class Init:
    """The weights of another run, and what became of them.

    Args:
        source: As the user named it.
        weights: What these weights are called in that run.
        spec: What its data were.
        state: All its tensors, adapters merged.
        strict: Refuse a backbone that is not wholly that of the other run.
    """

    source: str
    weights: str
    spec: DataSpec
    state: Mapping[str, Tensor]
    strict: bool

    def __post_init__(self) -> None:
        self.hash = content_hash(self.state)
        self.matched, self.head = 0, ""
        self.left: list[str] = []

    def put_backbone(self, net: nn.Module) -> None:
        """Give a network the weights of the other run's.

        Args:
            net: As its own weights' source left it, before adapters are put in.

        Raises:
            WeightsError: They are of another network, and that was not said to be meant; or nothing of them fits.
        """
        own, theirs = net.state_dict(), _part(self.state, _BACKBONE)
        fits = {n: t for n, t in theirs.items() if n in own and t.shape == own[n].shape}
        kinds = {
            "missing": [n for n in own if n not in theirs],
            "unknown": [n for n in theirs if n not in own],
            "of another shape": [n for n in theirs if n in own and n not in fits],
        }
        said = [f"{len(names)} {kind} ({', '.join(names[:3])})" for kind, names in kinds.items() if names]
        if said and (self.strict or not fits):
            way = "init_strict=false to begin with what fits" if fits else "another run"
            raise WeightsError(
                f"Expected the backbone of {self.source} to be that of this run but got {', '.join(said)}: choose the "
                f"backbone that it was trained with, or {way}."
            )
        net.load_state_dict(fits, strict=False)
        self.matched, self.left = len(fits), [name for names in kinds.values() for name in names]

    def put_head(self, head: nn.Module, spec: DataSpec) -> None:
        """Give a head the weights of the other run's, if it has the same tensors and its outputs mean the same.

        A language model's own head, whose outputs are words whatever the classes are, gets them in any case.

        Args:
            head: The new run's.
            spec: What its data are.
        """
        own, theirs = head.state_dict(), _part(self.state, _HEAD)
        if (spec.target, spec.class_names) != (self.spec.target, self.spec.class_names):
            self.head = "begins anew, since the classes are others"
        elif {n: t.shape for n, t in own.items()} != {n: t.shape for n, t in theirs.items()}:
            self.head = "begins anew, since it is another"
        else:
            head.load_state_dict(theirs)
            _settled(head)
            self.head = "is that of the run too"
            return
        lm_head, their_lm_head = _lm_head(own), _lm_head(theirs)
        if lm_head and {part: t.shape for part, t in lm_head.items()} == {p: t.shape for p, t in their_lm_head.items()}:
            for part, tensor in lm_head.items():
                tensor.copy_(their_lm_head[part])
            _settled(head)
            self.head += ", but for the language model's own, which is that of the run"

    def record(self) -> dict[str, Any]:
        """What run.json says of it."""
        return {
            "source": self.source,
            "weights": self.weights,
            "hash": self.hash,
            "matched": self.matched,
            "left": self.left,
            "head": self.head,
        }

    def sentences(self) -> Iterator[str]:
        """What the user should know."""
        left = f" and {len(self.left)} did not, first {self.left[0]}" if self.left else ""
        yield (
            f"Began with the {self.weights} weights of {self.source}: {self.matched} tensors of the backbone "
            f"matched{left}; the head {self.head}."
        )


def find(source: str | None, strict: bool, trust: Trust | None = None) -> Init | None:
    """Load the weights that ``init_from`` names.

    Args:
        source: A run folder, for the weights that the run tested, or a checkpoint in one; ``None`` for none.
        strict: Refuse a backbone that is not wholly that of the other run.
        trust: What the command may import.

    Raises:
        RunError: There is no such run, or its weights cannot be loaded.
        ConfigError: Its recorded configuration does not fit this version.
    """
    if source is None:
        return None
    path = Path(source).expanduser()
    if path.suffix == ".ckpt" and path.parent.name != "checkpoints":
        raise RunError(
            f"Expected init_from to be a run folder, or a checkpoint in the checkpoints of one, but got '{source}'."
        )
    folder, checkpoint = (path.parents[1], path.stem) if path.suffix == ".ckpt" else (path, "tested")
    with torch.random.fork_rng(devices=[]):
        found = rebuild(str(folder), checkpoint, trust)
    return Init(source, found.weights, found.spec, found.task.state_dict(), strict)


def _settled(head: nn.Module) -> None:
    for module in head.modules():
        if isinstance(module, LMHead):
            module.random = []


def _lm_head(head: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What a head holds of the one that a language model was pretrained with, alone or beside another."""
    return {name.partition("lm_head.")[2]: tensor for name, tensor in head.items() if "lm_head." in name}


def _part(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
