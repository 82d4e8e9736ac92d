"""Trees of tensors: what inputs, targets and outputs are made of, and the few things that are done to all of one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

Tree: TypeAlias = "Tensor | Sequence[Tensor] | Mapping[str, Tree]"
"""A tensor whose rows are samples ``(B, …)``, a list of B tensors of differing shapes, or several of either by name."""


def map_tree(function: Callable[[Tensor], Tensor], tree: Any) -> Any:
    """Apply a function to every tensor of a tree; plain values stay what they are."""
    if isinstance(tree, Tensor):
        return function(tree)
    if isinstance(tree, Mapping):
        return {name: map_tree(function, part) for name, part in tree.items()}
    if isinstance(tree, list | tuple):
        return [map_tree(function, part) for part in tree]
    return tree


def leaves(tree: Any) -> Iterator[Tensor]:
    """Give every tensor of a tree, in order."""
    if isinstance(tree, Tensor):
        yield tree
    elif isinstance(tree, Mapping | list | tuple):
        for part in tree.values() if isinstance(tree, Mapping) else tree:
            yield from leaves(part)


def select(tree: Any, rows: Tensor) -> Any:
    """Select samples of a tree, also of lists of plain values with one for each sample.

    Args:
        tree: Of B samples.
        rows: Their places ``(M,)``, int64, or whether each is wanted ``(B,)``, bool.

    Returns:
        The same tree of M samples.
    """
    if isinstance(tree, Tensor):
        return tree[rows]
    if isinstance(tree, Mapping):
        return {name: select(part, rows) for name, part in tree.items()}
    if isinstance(tree, list | tuple):
        places = rows.nonzero().flatten() if rows.dtype == torch.bool else rows
        return [tree[place] for place in places.tolist()]
    return tree


def flatten(tree: Any, name: str) -> dict[str, Tensor]:
    """Name every tensor of nested mappings: ``name`` for a tensor alone, else ``name/part`` and so on."""
    if not isinstance(tree, Mapping):
        return {name: tree}
    return {key: tensor for part, below in tree.items() for key, tensor in flatten(below, f"{name}/{part}").items()}


def unflatten(tensors: Mapping[str, Tensor], name: str) -> Any:
    """Undo `flatten` for one name; ``None`` where nothing has it."""
    if name in tensors:
        return tensors[name]
    found: dict[str, Any] = {}
    for key, tensor in tensors.items():
        if key.startswith(f"{name}/"):
            *above, leaf = key[len(name) + 1 :].split("/")
            place = found
            for part in above:
                place = place.setdefault(part, {})
            place[leaf] = tensor
    return found or None


def fold(tree: Any, views: int) -> Any:
    """Fold the first axis ``(B · V, …)`` of every tensor into ``(B, V, …)``; with one view nothing changes."""
    return tree if views == 1 else map_tree(lambda tensor: tensor.reshape(-1, views, *tensor.shape[1:]), tree)
