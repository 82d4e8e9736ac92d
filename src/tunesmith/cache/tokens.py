"""Cache the tokens of texts between runs if tokenising takes long."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, final

import torch
from torch import Tensor

from tunesmith.cache import key
from tunesmith.cache.plan import AT_ONCE, in_bytes, in_time
from tunesmith.cache.shard import BrokenShardError, Shard
from tunesmith.cache.store import Entry, Store
from tunesmith.data.text.tokenizer import Columns, Tokenizer

log = logging.getLogger(__name__)


@final
class TokenCache:
    """Caches the output of a tokenizer; see `data.text.tokenizer.Keep`.

    An entry is one file, written by one process; of several that write it at once, the first to finish wins.

    Args:
        store: The entries.
        mode: As in `ActivationCache`.
        max_bytes: Size limit of all entries.

    Attributes:
        said: Decisions, one sentence each.
    """

    def __init__(self, store: Store, mode: Literal["auto", "off", "refresh", "read_only"], max_bytes: int) -> None:
        self.store = store
        self.mode = mode
        self.max_bytes = max_bytes
        self.said: list[str] = []

    def __call__(self, tokenizer: Tokenizer, how: str, texts: Sequence[object], make: Callable[[], Columns]) -> Columns:
        """Return the tokens of these texts from the cache, or make them."""
        if self.mode == "off":
            return make()
        entry = self.store.entry(key.of_tokens(tokenizer, how, texts))
        kept = None if self.mode == "refresh" else _read(entry)
        if kept is not None:
            entry.used()
            self._say(f"Reused the tokens of {_counted(texts)} from the cache.")
            return kept
        start = time.perf_counter()
        made = make()
        seconds = time.perf_counter() - start
        if self.mode != "read_only" and seconds >= AT_ONCE:
            self._write(entry, made, f"the tokens of {_counted(texts)}", in_time(seconds))
        return made

    def _write(self, entry: Entry, made: Columns, what: str, took: str) -> None:
        tensors = _packed(made)
        size = sum(tensor.nbytes for tensor in tensors.values())
        if size > self.store.room(self.max_bytes, but=entry):
            self._say(f"Not cached: {what}; {in_bytes(size)} do not fit (cache.max_gb, or the disk).")
            return
        try:
            entry.prepare()
            entry.save(0, tensors)
        except OSError as error:
            log.warning(f"Expected to write to the cache but got: {error}; {what} are not cached.")
            return
        self._say(f"Cached {what} ({in_bytes(size)}), made in {took}; later runs reuse them.")

    def _say(self, text: str) -> None:
        log.info(text)
        self.said.append(text)


def _counted(texts: Sequence[object]) -> str:
    return f"{len(texts):,} texts" if len(texts) > 1 else "a text"


def _read(entry: Entry) -> Columns | None:
    """Return the content of an entry; ``None`` if it is missing or damaged."""
    path = entry.path(0)
    if not path.exists():
        return None
    try:
        return _unpacked(Shard(path).tensors)
    except BrokenShardError as error:
        log.warning(f"Expected intact tokens in the cache but got a damaged file, so they are made anew: {error}.")
        return None


def _packed(columns: Columns) -> dict[str, Tensor]:
    """Concatenate the numbers of each column, with a table of shapes beside them."""
    found = {}
    for name, column in columns.items():
        if column:
            found[f"{name}.shapes"] = torch.tensor([tensor.shape for tensor in column], dtype=torch.int32)
            found[name] = torch.cat([tensor.reshape(-1) for tensor in column])
    return found


def _unpacked(tensors: Mapping[str, Tensor]) -> Columns:
    found = {}
    for name in [name for name in tensors if f"{name}.shapes" in tensors]:
        shapes = tensors[f"{name}.shapes"]
        parts = torch.split(tensors[name], shapes.long().prod(1).tolist())
        found[name] = [part.view(shape) for part, shape in zip(parts, shapes.tolist(), strict=True)]
    return found
