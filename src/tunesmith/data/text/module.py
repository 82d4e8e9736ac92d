"""The data module that every source of texts derives from: it supplies a table, and this does the rest."""

from __future__ import annotations

import logging
from abc import ABC
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from tunesmith.contract.asked import Asked
from tunesmith.contract.batch import UNLABELLED, Batch, Inputs
from tunesmith.contract.preprocess import Preprocess
from tunesmith.contract.spec import DataSpec
from tunesmith.data.column import Mapped, RowNames
from tunesmith.data.dataset import SplitDataset
from tunesmith.data.fingerprint import Contents
from tunesmith.data.image.mixing import Mixing
from tunesmith.data.module import TableData
from tunesmith.data.ragged import sizes
from tunesmith.data.randomness import private
from tunesmith.data.sampler import Lengths, Stream
from tunesmith.data.split.split import Split
from tunesmith.data.table import Floats, Ints, Strings, Text
from tunesmith.data.tabular.found import find_texts
from tunesmith.data.tabular.shelf import Shelf
from tunesmith.data.text import language
from tunesmith.data.text.dataset import Encoded, TextDataset
from tunesmith.data.text.language import Hiding
from tunesmith.data.text.tokenizer import Keep, Tokenizer
from tunesmith.data.text.unlabelled import TRAIN, Unlabelled, read, warn_of_tested
from tunesmith.errors import DataError
from tunesmith.modality.text import MODALITY, TextPreprocess
from tunesmith.target.base import of

log = logging.getLogger(__name__)


class TextData(TableData, ABC):
    """Texts, or pairs of texts, and what is to be said of them.

    All texts are tokenised once, when the data are read. A batch is padded to its longest text.

    Args:
        split: How to split.
        max_length: Most tokens of a text; longer ones are cut at the end. ``None``: what the backbone takes.
        mlm_probability: Share of a text's words that a masked language model is to find; see `language.Hiding`.
        unlabelled: Texts that the joint objective learns without labels: a .txt file or a folder of some, a text a
            line; a table, with the column that the data have their texts in; ``train``: the training texts themselves.
        unlabelled_per_sample: How many of them go with each labelled one.
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

    modality = MODALITY.name
    preprocess: TextPreprocess
    between: ClassVar[str] = "\t"
    """What people see between the parts of a sample."""
    columns: Sequence[str] = ("text",)
    """What a table of texts calls them."""
    _shelf: Shelf | None = None

    def __init__(
        self,
        *,
        split: Split,
        max_length: int | None = 512,
        mlm_probability: float = 0.15,
        unlabelled: str | None = None,
        unlabelled_per_sample: int = 1,
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
        if not 0 < mlm_probability <= 1:
            raise DataError(f"Expected data.mlm_probability to be above 0 and at most 1 but got {mlm_probability}.")
        if unlabelled_per_sample < 1:
            raise DataError(f"Expected data.unlabelled_per_sample to be at least 1 but got {unlabelled_per_sample}.")
        self.max_length, self.mlm_probability = max_length, mlm_probability
        self.unlabelled, self.unlabelled_per_sample = unlabelled, unlabelled_per_sample
        self._beside: Unlabelled | None = None
        # Where a step is taken in micro-batches, these make up the batches that were asked for.
        self._grouped = batch_size if group_by_length else None
        self.mixing = Mixing(0.0, 0.0, 0)

    def connect(self, preprocess: Preprocess) -> None:
        """Take over how the backbone wants its texts; call it before `setup`."""
        own = MODALITY.own(preprocess)
        most = own.max_length
        self.preprocess = replace(own, max_length=min(self.max_length or most, most))
        self.vocabulary = self.tokenizer = Tokenizer(self.preprocess)

    def keep_tokens(self, keep: Keep | None) -> None:
        """See `TableData.keep_tokens`."""
        self.tokenizer.keep = keep

    def find(self, source: str, trained: Mapping[str, Any], spec: DataSpec, skip: bool) -> Asked:
        """Find texts; see `TableData.find`, and `found.find_texts` for what ``source`` may be."""
        return self._asked(find_texts(source, trained))

    def _asked(self, texts: Sequence[Text]) -> Asked:
        return Asked(texts, ["\t".join(parts) for parts in texts], MODALITY.column)

    def setup(self, stage: str | None = None) -> None:
        """Load, split, tokenise and publish `spec`; a second call does nothing, nor does one before prediction.

        Texts without labels are read unless the stage is ``test``.
        """
        if hasattr(self, "table") or (stage == "predict" and self._predicted is not None):
            return
        super().setup(stage)
        self._encoded = self.encode(self.table.samples, self.table.targets)
        self._tokens, cut = self._encoded.tokens, self._encoded.cut
        self._longest = int(sizes(self._tokens).max())
        self.spec = replace(self.spec, truncated=len(cut) / len(self.table))
        self._warn_of_cut(self._encoded, self.table.names)
        if self.unlabelled is not None and stage != "test":
            of_split = {split: [self.table.samples[row] for row in rows] for split, rows in self.indices.items()}
            own = self.unlabelled == TRAIN
            texts = of_split["train"] if own else read(self.unlabelled, self.columns[0])
            if not own:
                warn_of_tested(texts, of_split)
            self._beside = Unlabelled.of(
                texts, self.tokenizer, self.mlm_probability, self.seed, self.unlabelled_per_sample
            )
            self.spec = replace(self.spec, unlabelled=self._beside.digest)

    def find_shelf(self) -> Shelf | None:
        """Return where the table is kept between runs; ``None`` for nowhere."""
        return None

    def contents(self) -> Contents:
        """Read and digest the table, or find it where it is kept."""
        self._shelf = self.find_shelf()
        return self._shelf.contents(super().contents) if self._shelf else super().contents()

    def _warn_of_cut(self, encoded: Encoded, names: Sequence[str] | Strings | RowNames) -> None:
        cut = encoded.cut
        if len(cut):
            log.warning(
                f"{len(cut):,} of {len(names):,} texts ({len(cut) / len(names):.1%}) are longer than "
                f"{self.preprocess.max_length} tokens and are cut, first {names[cut[0]]} (data.max_length)."
                f"{self.lost(encoded)}"
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
        if of(self.spec.target).written and self.preprocess.attention == "causal":
            tokens, cut = (language.begun if targets is None else language.continued)(self.tokenizer, samples)
            return Encoded(tokens, nothing if targets is None else Mapped(tokens, language.following), cut)
        tokens, cut = self.tokenizer(samples)
        return Encoded(tokens, nothing if targets is None else targets, cut)

    @property
    def uncacheable_reason(self) -> str | None:
        """See `TableData.uncacheable_reason`."""
        if self._beside is not None:
            return "Texts without labels go through the backbone in every step, so nothing is kept for the others."
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
        return rows[np.argsort(-sizes(self._tokens, rows).numpy(), kind="stable")[:count]]

    def heaviest(self, count: int) -> dict[str, Any]:
        """See `TableData.heaviest`."""
        batch = super().heaviest(count)
        if self._beside is None:
            return batch
        return batch | {"streams": {UNLABELLED: self._beside.heaviest(len(batch["index"]))}}

    def length_sorted(self, rows: Ints, batch: int) -> Ints:
        """Rows in batches of texts about as long as each other, which take half of the time to compute."""
        blocks = rows[np.argsort(sizes(self._tokens, rows).numpy(), kind="stable")]
        starts = range(0, len(rows) // batch * batch, batch)
        # In no order, so that the first of them stands for all.
        order = torch.randperm(len(starts), generator=private("together")).tolist()
        rest = blocks[len(starts) * batch :]
        return np.concatenate([*(blocks[starts[i] : starts[i] + batch] for i in order), rest])

    def predict_on(self, samples: Sequence[Text], spec: DataSpec) -> None:
        """Make `predict_dataloader` serve texts; see `TableData.predict_on`."""
        super().predict_on(samples, spec)
        self._new = self.encode(samples, None)
        self._warn_of_cut(self._new, [f"row {row}" for row in range(1, len(samples) + 1)])

    def on_after_batch_transfer(self, batch: dict[str, Any], dataloader_idx: int) -> Batch:
        """Batches are what the backbone takes as they come."""
        return batch  # type: ignore[return-value]

    def _dataset(self, split: str, training: bool, tested: bool) -> TextDataset:
        if split == "predict":
            texts = self._predicted or []
            return self._of(texts, self._new, np.arange(len(self._new.tokens)))
        dataset = self._of(self.table.samples, self._encoded, self.indices[split], self.table.weights)
        dataset.anew = training
        if self._beside is not None and training:
            dataset.streams = {UNLABELLED: self._beside}
        if training == (split == "train"):  # no training order, or no cache, was made for the others
            dataset.kept = self._kept(split)
        return dataset

    def _of(self, texts: Sequence[Text], encoded: Encoded, rows: Ints, weights: Floats | None = None) -> TextDataset:
        return TextDataset(Mapped(texts, self.between.join), encoded, self.tokenizer, rows, weights, self._hiding())

    def _hiding(self) -> Hiding | None:
        """How words are hidden, where they are to be found again."""
        if self.preprocess.attention != "bidirectional" or not hasattr(self, "table"):
            return None
        if not of(self.spec.target).written:
            return None
        return Hiding.of(self.tokenizer, self.mlm_probability, self.seed)

    def _lengths(self, dataset: SplitDataset, training: bool) -> Lengths | None:
        if not training or self._grouped is None:
            return None
        return Lengths(sizes(self._tokens, dataset.rows), self._grouped)

    def _streams(self, training: bool) -> dict[str, Stream]:
        if not training or self._beside is None:
            return {}
        return {UNLABELLED: self._beside.stream(self._grouped)}
