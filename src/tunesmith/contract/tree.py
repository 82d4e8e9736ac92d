"""Apply functions to trees of tensors: the form of inputs, targets and outputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeAlias, TypeVar, cast

import torch
from torch import Tensor

Tree: TypeAlias = "Tensor | Sequence[Tensor] | Mapping[str, Tree]"
"""A tensor whose rows are samples ``(B, …)``, a list of B tensors of differing shapes, or several of either by name."""

Nested: TypeAlias = "Tensor | Mapping[str, Nested]"
"""A tensor, or several by name, nested to any depth."""

T = TypeVar("T")


def map_tree(function: Callable[[Tensor], Tensor], tree: T) -> T:
    """Apply a function to every tensor of a tree; plain values stay unchanged, and tuples become lists."""
    return cast(T, _mapped(function, tree))


def _mapped(function: Callable[[Tensor], Tensor], tree: object) -> object:
    if isinstance(tree, Tensor):
        return function(tree)
    if isinstance(tree, Mapping):
        return {name: _mapped(function, part) for name, part in tree.items()}
    if isinstance(tree, list | tuple):
        return [_mapped(function, part) for part in tree]
    return tree


def leaves(tree: object) -> Iterator[Tensor]:
    """Yield every tensor of a tree, in order."""
    if isinstance(tree, Tensor):
        yield tree
    elif isinstance(tree, Mapping | list | tuple):
        for part in tree.values() if isinstance(tree, Mapping) else tree:
            yield from leaves(part)


def select(tree: T, rows: Tensor) -> T:
    """Select samples of a tree, also from lists of plain values with one per sample.

    Args:
        tree: Of B samples.
        rows: Their indices ``(M,)``, int64, or a mask ``(B,)``, bool.

    Returns:
        The same tree of M samples.
    """
    return cast(T, _selected(tree, rows))


def _selected(tree: object, rows: Tensor) -> object:
    if isinstance(tree, Tensor):
        return tree[rows]
    if isinstance(tree, Mapping):
        return {name: _selected(part, rows) for name, part in tree.items()}
    if isinstance(tree, list | tuple):
        places = rows.nonzero().flatten() if rows.dtype == torch.bool else rows
        return [tree[place] for place in places.tolist()]
    return tree


def flatten(tree: Nested, name: str) -> dict[str, Tensor]:
    """Name every tensor of nested mappings: ``name`` for a single tensor, else ``name/part`` and so on."""
    if isinstance(tree, Tensor):
        return {name: tree}
    return {key: tensor for part, below in tree.items() for key, tensor in flatten(below, f"{name}/{part}").items()}


def unflatten(tensors: Mapping[str, Tensor], name: str) -> Nested | None:
    """Undo `flatten` for one name; ``None`` if no tensor has it."""
    if name in tensors:
        return tensors[name]
    below = {key[len(name) + 1 :]: tensor for key, tensor in tensors.items() if key.startswith(f"{name}/")}
    parts = ((part, unflatten(below, part)) for part in dict.fromkeys(key.partition("/")[0] for key in below))
    return {part: found for part, found in parts if found is not None} or None


def fold(tree: T, views: int) -> T:
    """Fold the first axis ``(B · V, …)`` of every tensor into ``(B, V, …)``; with one view nothing changes."""
    return tree if views == 1 else map_tree(lambda tensor: tensor.reshape(-1, views, *tensor.shape[1:]), tree)
