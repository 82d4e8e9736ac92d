"""The data module that every source of texts derives from: it supplies a table, and this does the rest."""

from __future__ import annotations

import logging
from abc import ABC
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import default_collate

from tunesmith.contracts import IGNORED, Batch, DataSpec, Inputs, Preprocess, TextPreprocess
from tunesmith.data import language
from tunesmith.data.dataset import SplitDataset
from tunesmith.data.language import Hiding
from tunesmith.data.mixing import Mixing
from tunesmith.data.module import TableData
from tunesmith.data.randomness import private
from tunesmith.data.sampler import Key, Lengths
from tunesmith.data.split import Split
from tunesmith.data.table import Floats, Ints, Text
from tunesmith.data.tokens import Tokenizer
from tunesmith.errors import ConfigError, DataError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Encoded:
    """Texts as a model takes them, and what it is to say of them.

    Attributes:
        tokens: Of each text ``(R, T)``, int32, with R rows as in `tokens.ROWS`.
        targets: As `Table` has them or, of each text, int64: what each token is to give ``(T,)``, or a span ``(2,)``.
        cut: Positions of the texts that were cut.
        more: What else a batch holds of each text, by name: vectors, which are padded with `IGNORED`, numbers, or plain
            values, which stay a list.
    """

    tokens: Sequence[Tensor]
    targets: Any
    cut: Ints
    more: Mapping[str, Sequence[Any]] = field(default_factory=dict)


class TextData(TableData, ABC):
    """Texts, or pairs of texts, and what is to be said of them.

    All texts are tokenised once, when the data are read. A batch is padded to its longest text.

    Args:
        split: How to split.
        max_length: Most tokens of a text; longer ones are cut at the end. ``None``: what the backbone takes.
        hidden: Share of a text's words that a masked language model is to find; see `language.Hiding`.
        group_by_length: Whether training batches are made of texts about as long as each other, which need little
            padding. Which these are is drawn anew in every epoch: see `sampler.by_length`.
        augment: Texts are not augmented; the word is there for overlays that switch it off, such as debug=overfit.
        sampler: Order of training: ``shuffled``, or ``balanced``: every epoch has equally many samples of each class.
        batch_size: Samples a step and process.
        workers: Loader processes; ``auto``: 0, since padding some lists of numbers is all that is left to do.
        worker_timeout: Seconds without a batch after which loader processes count as hanging; 0 to wait for ever.
        pin_memory: Whether batches are put into page-locked memory; ``auto`` where there is a CUDA device.
        seed: Of the order of batches; the run's seed.
        drop_last: Whether a last training batch that is not full is left out.

    Raises:
        DataError: A number is out of range.
    """

    preprocess: TextPreprocess
    between: ClassVar[str] = "\t"
    """What people see between the parts of a sample."""

    def __init__(
        self,
        *,
        split: Split,
        max_length: int | None = 512,
        hidden: float = 0.15,
        group_by_length: bool = True,
        augment: Literal["none"] = "none",
        sampler: Literal["shuffled", "balanced"] = "shuffled",
        batch_size: int = 32,
        workers: int | Literal["auto"] = "auto",
        worker_timeout: float = 600.0,
        pin_memory: bool | Literal["auto"] = "auto",
        seed: int = 0,
        drop_last: bool = False,
    ) -> None:
        super().__init__(
            split=split,
            sampler=sampler,
            batch_size=batch_size,
            workers=workers,
            worker_timeout=worker_timeout,
            pin_memory=pin_memory,
            seed=seed,
            drop_last=drop_last,
        )
        if max_length is not None and max_length < 1:
            raise DataError(f"Expected data.max_length to be at least 1 token but got {max_length}.")
        if not 0 < hidden <= 1:
            raise DataError(f"Expected data.hidden to be above 0 and at most 1 but got {hidden}.")
        self.max_length, self.hidden = max_length, hidden
        # Where a step is taken in pieces, these make up the batches that were asked for.
        self._grouped = batch_size if group_by_length else None
        self.mixing = Mixing(0.0, 0.0, 0)

    def connect(self, preprocess: Preprocess | TextPreprocess) -> None:
        """Take over how the backbone wants its texts; call it before `setup`."""
        if not isinstance(preprocess, TextPreprocess):
            raise ConfigError(
                "Expected a backbone for texts but got one for pictures; use backbone=transformers, such as "
                "backbone.name=package:minilm."
            )
        most = preprocess.max_length
        self.preprocess = replace(preprocess, max_length=min(self.max_length or most, most))
        self.tokenizer = Tokenizer(self.preprocess)

    def setup(self, stage: str | None = None) -> None:
        """Load, split, tokenise and publish `spec`; a second call does nothing, nor does one before prediction."""
        if hasattr(self, "table") or (stage == "predict" and self._predicted is not None):
            return
        super().setup(stage)
        self._encoded = self.encode(self.table.samples, self.table.targets)
        self._tokens, cut = self._encoded.tokens, self._encoded.cut
        self._longest = max(tokens.shape[1] for tokens in self._tokens)
        share = len(cut) / len(self.table)
        self.spec = replace(self.spec, truncated=share)
        if len(cut):
            log.warning(
                f"{len(cut):,} of {len(self.table):,} texts ({share:.1%}) are longer than "
                f"{self.preprocess.max_length} tokens and are cut, first {self.table.names[cut[0]]} (data.max_length)."
                f"{self.lost(self._encoded)}"
            )

    def lost(self, encoded: Encoded) -> str:
        """Say what is lost by cutting texts, behind the sentence that says how many are."""
        return ""

    def encode(self, samples: Sequence[Text], targets: Any) -> Encoded:
        """Tokenise samples, and say what of their targets the model is to give.

        Args:
            samples: As `Table` has them.
            targets: Theirs, likewise; ``None`` where they are to be predicted.
        """
        nothing = np.full(len(samples), -1)
        if self.spec.target == "tokens" and self.preprocess.reads == "forward":
            tokens, cut = (language.begun if targets is None else language.continued)(self.tokenizer, samples)
            return Encoded(tokens, nothing if targets is None else [language.following(t) for t in tokens], cut)
        tokens, cut = self.tokenizer(samples)
        return Encoded(tokens, nothing if targets is None else targets, cut)

    @property
    def unkept(self) -> str | None:
        """See `TableData.unkept`."""
        return "Other words are hidden in every epoch, so each epoch computes the texts." if self._hiding() else None

    def plain(self, rows: Ints) -> TextDataset:
        """Rows of the table."""
        return self._of(self.table.samples, self._encoded, rows)

    def prepare(self, samples: Sequence[Tensor], device: torch.device, alike: bool = False) -> Inputs:
        """Pad tokens ``(R, T)`` to the longest of them, or of all texts."""
        padded = self.tokenizer.pad(samples, self._longest if alike else 0)
        return {name: tensor.to(device) for name, tensor in padded.items()}

    def largest(self, rows: Ints, count: int) -> Ints:
        """The rows of the longest texts."""
        return rows[np.argsort([-self._tokens[row].shape[1] for row in rows], kind="stable")[:count]]

    def together(self, rows: Ints, batch: int) -> Ints:
        """Rows in batches of texts about as long as each other, which take half of the time to compute."""
        blocks = rows[np.argsort([self._tokens[row].shape[1] for row in rows], kind="stable")]
        starts = range(0, len(rows) // batch * batch, batch)
        # In no order, so that the first of them stands for all.
        order = torch.randperm(len(starts), generator=private("together")).tolist()
        rest = blocks[len(starts) * batch :]
        return np.concatenate([*(blocks[starts[i] : starts[i] + batch] for i in order), rest])

    def predict_on(self, samples: Sequence[Text], spec: DataSpec) -> None:
        """Make `predict_dataloader` serve texts; see `TableData.predict_on`."""
        super().predict_on(samples, spec)
        self._new = self.encode(samples, None)

    def on_after_batch_transfer(self, batch: dict[str, Any], dataloader_idx: int) -> Batch:
        """Batches are what the backbone takes as they come."""
        return batch  # type: ignore[return-value]

    def _dataset(self, split: str, training: bool, tested: bool) -> TextDataset:
        if split == "predict":
            texts = self._predicted or []
            return self._of(texts, self._new, np.arange(len(self._new.tokens)))
        dataset = self._of(self.table.samples, self._encoded, self.indices[split], self.table.weights)
        dataset.anew = training
        if training == (split == "train"):  # no training order, or no cache, was made for the others
            dataset.kept = self._kept(split)
        return dataset

    def _of(self, texts: Sequence[Text], encoded: Encoded, rows: Ints, weights: Floats | None = None) -> TextDataset:
        shown = [self.between.join(text) for text in texts]
        return TextDataset(shown, encoded, self.tokenizer, rows, weights, self._hiding())

    def _hiding(self) -> Hiding | None:
        """How words are hidden, where they are to be found again."""
        if self.spec.target != "tokens" or self.preprocess.reads != "both_ways" or not hasattr(self, "table"):
            return None
        return Hiding.of(self.tokenizer, self.hidden, self.seed)

    def _lengths(self, dataset: SplitDataset, training: bool) -> Lengths | None:
        if not training or self._grouped is None:
            return None
        return Lengths(torch.tensor([self._tokens[row].shape[1] for row in dataset.rows]), self._grouped)


class TextDataset(SplitDataset):
    """The tokens of a split.

    Args:
        texts: Of the whole table, as people see them.
        encoded: Of the whole table.
        tokenizer: Pads their tokens.
        rows: Rows of the table that the split holds.
        weights: Of the whole table ``(N,)``, where it has any.
        hiding: How words are hidden that are to be found again; ``None`` for not at all.

    Attributes:
        anew: Whether other words are hidden in every epoch.
    """

    def __init__(
        self,
        texts: Sequence[str],
        encoded: Encoded,
        tokenizer: Tokenizer,
        rows: Ints,
        weights: Floats | None = None,
        hiding: Hiding | None = None,
    ) -> None:
        super().__init__(encoded.targets, rows, weights)
        self.texts = texts
        self.hiding, self.anew = hiding, False
        self.encoded = encoded
        self.tokenizer = tokenizer

    def __getitem__(self, key: Key | int) -> dict[str, Any]:
        """One sample: see `SplitDataset`; and what else a batch holds of it."""
        row = int(self.rows[key.position if isinstance(key, Key) else key])
        sample = super().__getitem__(key) | {name: values[row] for name, values in self.encoded.more.items()}
        if self.hiding is not None:
            drawn = (key.epoch, row) if self.anew and isinstance(key, Key) else None
            sample["input"], sample["target"] = self.hiding(self.encoded.tokens[row], drawn)
        return sample

    def input(self, position: int) -> Tensor:
        """Tokens ``(R, T)`` of the text at a position of the split."""
        return self.encoded.tokens[int(self.rows[position])]

    def shown(self, position: int) -> str:
        """The text at a position of the split."""
        return self.texts[int(self.rows[position])]

    def collate(self, samples: list[dict[str, Any]]) -> dict[str, Any]:
        """Put samples into a batch, padded to the longest of them; vectors, such as a target, with `IGNORED`."""
        inputs = [sample["input"] for sample in samples]
        whole = isinstance(inputs[0], Tensor)
        columns = {name: [sample[name] for sample in samples] for name in samples[0] if name != "input"}
        return {
            "input": self.tokenizer.pad(inputs) if whole else default_collate(inputs),
            **{name: _together(column) for name, column in columns.items()},
        }


def _together(column: list[Any]) -> Any:
    if isinstance(column[0], Tensor) and column[0].ndim == 1:
        return pad_sequence(column, batch_first=True, padding_value=IGNORED)
    return column if isinstance(column[0], str | tuple) else default_collate(column)
