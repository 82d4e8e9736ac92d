"""Load weights into a network: every tensor must match by name and shape."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import torch
from torch import Tensor, nn

from tunesmith.backbone import sources
from tunesmith.contract.protocols import Weights
from tunesmith.errors import WeightsError

CLASSIFIERS = ("fc.", "classifier.", "head.")
"""Prefixes of the libraries' classifiers, which are ignored because a backbone has none."""

OWN_HEAD = "tunesmith.head."
"""Prefix of the head's tensors in files that `tunesmith export` writes; ignored for the same reason."""

WRAPPED = ("module.", "model.")
"""Prefixes that DistributedDataParallel and training scripts add to every name."""


@dataclass
class _Match:
    """The match between a source and a network.

    Attributes:
        fits: Matching tensors by the network's own names.
        ignored: Names ignored by design.
        surplus: Other names that the network does not have.
        missing: Names that the source does not have.
        misshapen: Names with another shape, each with both shapes.
    """

    fits: dict[str, Tensor] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)
    surplus: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    misshapen: list[str] = field(default_factory=list)


def load_weights(
    net: nn.Module,
    source: str | None,
    *,
    pretrained: Callable[[], Mapping[str, Tensor]] | None = None,
    named: Mapping[str, Callable[[], Mapping[str, Tensor]]] = MappingProxyType({}),
    classifier: tuple[str, ...] = CLASSIFIERS,
    adapt: Callable[[dict[str, Tensor]], dict[str, Tensor]] | None = None,
    strict: bool = True,
) -> Weights:
    """Load weights into a network without classifier.

    The classifier's entries in the source are ignored, and missing counters of BatchNorm batches are accepted: old
    checkpoints have none, and nothing that we compute depends on them.

    Args:
        net: The network, modified in place.
        source: ``pretrained``, ``package:<name>``, the path of a file, or ``None`` to keep the random weights.
        pretrained: The library's own download of its weights; ``None`` if it has none.
        named: Further downloads of the library, by the values of ``source`` that select them.
        classifier: Prefixes of the classifier's entries.
        adapt: Fits a source's tensors, by the network's names, to another number of channels or image size.
        strict: Reject unknown and missing tensors. Tensors of another shape, and a source without any match, are always
            rejected.

    Returns:
        What was loaded, for the run's record.

    Raises:
        WeightsError: The source cannot be found or read, or does not fit the network.
        MissingExtraError: The package that contains the weights is not installed.
    """
    if source is None:
        return Weights()
    own = net.state_dict()
    if source.startswith(sources.PACKAGE):
        package = sources.find_package(source)
        match = _match_positions(own, sources.read_package(package), package, source, adapt)
    else:
        downloads = {sources.PRETRAINED: pretrained, **named}
        known = source in downloads
        tensors = sources.read_pretrained(downloads[source]) if known else sources.read_file(source, tuple(named))
        tensors = _unwrapped(tensors, own)
        match = _match_names(own, adapt(tensors) if adapt else tensors, classifier)
    _refuse_misfits(match, source, strict)
    net.load_state_dict(match.fits, strict=False)
    return Weights(
        source=source,
        hash=content_hash({name: own[name] for name in match.fits}),
        matched=len(match.fits),
        ignored=tuple(match.ignored + match.surplus),
        missing=tuple(match.missing),
    )


def content_hash(tensors: Mapping[str, Tensor]) -> str:
    """Hash names, types, shapes and bytes of tensors, independent of their order, device and memory layout."""
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _unwrapped(tensors: dict[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Remove a common prefix of all names, unless the network's own names match already."""
    while not any(name in own for name in tensors):
        prefix = next((p for p in WRAPPED if all(name.startswith(p) for name in tensors)), None)
        if prefix is None:
            break
        tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return tensors


def _match_names(own: Mapping[str, Tensor], tensors: Mapping[str, Tensor], classifier: tuple[str, ...]) -> _Match:
    match = _Match()
    for name, tensor in tensors.items():
        if name in own:
            _place(match, name, tensor, own[name])
        else:
            (match.ignored if name.startswith((*classifier, OWN_HEAD)) else match.surplus).append(name)
    match.missing = [n for n in own if n not in tensors and not n.endswith("num_batches_tracked")]
    return match


def _match_positions(
    own: Mapping[str, Tensor],
    tensors: dict[str, Tensor],
    package: sources.Package,
    source: str,
    adapt: Callable[[dict[str, Tensor]], dict[str, Tensor]] | None,
) -> _Match:
    """Match by position, for sources with other names; shapes and the last parts of the names must still agree."""
    match = _Match(ignored=[name for name in tensors if name in package.classifier])
    theirs = [name for name in tensors if name not in package.classifier]
    same_kind = [ours.rpartition(".")[2] == name.rpartition(".")[2] for ours, name in zip(own, theirs, strict=False)]
    if len(theirs) != len(own) or not all(same_kind):
        raise WeightsError(
            f"Expected a backbone with the {len(theirs)} tensors of '{source}', in the same order, but got one with "
            f"{len(own)} or of another order: these weights are for {package.fits}."
        )
    renamed = {ours: tensors[name] for ours, name in zip(own, theirs, strict=True)}
    for ours, tensor in (adapt(renamed) if adapt else renamed).items():
        _place(match, ours, tensor, own[ours])
    return match


def _place(match: _Match, name: str, tensor: Tensor, target: Tensor) -> None:
    if tensor.shape == target.shape:
        match.fits[name] = tensor
    else:
        match.misshapen.append(f"{name} {tuple(tensor.shape)} for {tuple(target.shape)}")


def _refuse_misfits(match: _Match, source: str, strict: bool) -> None:
    mistakes = [_some("of another shape", match.misshapen)]
    if strict:
        mistakes += [_some("unknown", match.surplus), _some("missing", match.missing)]
    found = [mistake for mistake in mistakes if mistake]
    if not match.fits:
        found = ["none of them"]
    if not found:
        return
    loose = "" if match.misshapen or not match.fits else ", or backbone.strict=false to load what fits"
    raise WeightsError(
        f"Expected the tensors in '{source}' to match the backbone but got {', '.join(found)}: "
        f"choose the model that they were saved from{loose}."
    )


def _some(what: str, names: Iterable[str]) -> str:
    """Return the number of names and the first three; empty for none."""
    listed = list(names)
    if not listed:
        return ""
    return f"{len(listed)} {what} ({', '.join(listed[:3])}{', …' if len(listed) > 3 else ''})"
