"""Start a run from the weights of another: its backbone, and its head if the outputs mean the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

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
    """The weights of another run, and which of them were used.

    Args:
        source: Run folder or checkpoint as the user named it.
        weights: Name of these weights in that run.
        spec: Spec of that run's data.
        state: All its tensors, adapters merged.
        strict: Whether every tensor of the backbones must match.
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
        """Load the other run's backbone weights into a network.

        Raises:
            WeightsError: The tensors differ and ``strict`` is true, or none of them fits.
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
            way = "init_strict=false to load what fits" if fits else "another run"
            raise WeightsError(
                f"Expected the backbone of {self.source} to be that of this run but got {', '.join(said)}: choose the "
                f"backbone that it was trained with, or {way}."
            )
        net.load_state_dict(fits, strict=False)
        self.matched, self.left = len(fits), [name for names in kinds.values() for name in names]

    def put_head(self, head: nn.Module, spec: DataSpec) -> None:
        """Load the other run's head if its tensors match and its outputs mean the same.

        A language model's own head, whose outputs are tokens whatever the classes are, is loaded in any case.
        """
        own, theirs = head.state_dict(), _part(self.state, _HEAD)
        if (spec.target, spec.class_names) != (self.spec.target, self.spec.class_names):
            self.head = "starts from scratch, since the classes differ"
        elif {n: t.shape for n, t in own.items()} != {n: t.shape for n, t in theirs.items()}:
            self.head = "starts from scratch, since its tensors differ"
        else:
            head.load_state_dict(theirs)
            _settled(head)
            self.head = "was loaded too"
            return
        lm_head, their_lm_head = _lm_head(own), _lm_head(theirs)
        if lm_head and {part: t.shape for part, t in lm_head.items()} == {p: t.shape for p, t in their_lm_head.items()}:
            for part, tensor in lm_head.items():
                tensor.copy_(their_lm_head[part])
            _settled(head)
            self.head += ", except for the language model's own, which was loaded"

    def record(self) -> dict[str, object]:
        """Return the section ``init`` of run.json."""
        return {
            "source": self.source,
            "weights": self.weights,
            "hash": self.hash,
            "matched": self.matched,
            "left": self.left,
            "head": self.head,
        }

    def sentences(self) -> Iterator[str]:
        """Yield the sentences for the user."""
        left = f" and {len(self.left)} did not, first {self.left[0]}" if self.left else ""
        yield (
            f"Loaded the {self.weights} weights of {self.source}: {self.matched} tensors of the backbone "
            f"matched{left}; the head {self.head}."
        )


def find(source: str | None, strict: bool, trust: Trust | None = None) -> Init | None:
    """Load the weights that ``init_from`` names.

    Args:
        source: Run folder, for its tested weights, or a checkpoint in one; ``None`` for none.
        strict: Whether every tensor of the backbones must match.
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
    """Return the tensors of a language model's own head, alone or within another head."""
    return {name.partition("lm_head.")[2]: tensor for name, tensor in head.items() if "lm_head." in name}


def _part(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
