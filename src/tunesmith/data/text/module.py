"""Define the data module that every source of texts derives from; a source only supplies the table."""

from __future__ import annotations

import logging
from abc import ABC
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor
from typing_extensions import Unpack

from tunesmith.contract.asked import Asked
from tunesmith.contract.batch import UNLABELLED, Batch, Inputs
from tunesmith.contract.plain import PlainData
from tunesmith.contract.preprocess import Preprocess
from tunesmith.contract.spec import DataSpec
from tunesmith.data.arguments import DataArguments
from tunesmith.data.column import Mapped, RowNames
from tunesmith.data.dataset import SplitDataset
from tunesmith.data.fingerprint import Contents
from tunesmith.data.image.mixing import Mixing
from tunesmith.data.module import Parts, TableData
from tunesmith.data.ragged import sizes
from tunesmith.data.randomness import private
from tunesmith.data.sampler import Lengths, Stream
from tunesmith.data.table import Floats, Ints, Strings, Table, Text
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
from tunesmith.target.table.cells import Targets

log = logging.getLogger(__name__)


class TextData(TableData, ABC):
    """Texts, or pairs of texts, with targets.

    All texts are tokenised once, when the data are read. A batch is padded to its longest text.

    Args:
        max_length: Maximum tokens per text; longer texts are cut at the end. ``None``: the backbone's maximum.
        mlm_probability: Share of a text's words that a masked language model must predict; see `language.Hiding`.
        unlabelled: Unlabelled texts for the joint objective: a .txt file, or a folder of them, with one text per line;
            a table with the same text column as the data; or ``train``: the training texts themselves.
        unlabelled_per_sample: Number of unlabelled texts per labelled one.
        group_by_length: Whether to group training texts of similar length into batches, which need little padding; the
            groups are drawn anew in every epoch, see `sampler.by_length`.
        augment: Only ``none``, for overlays that switch augmentation off, such as debug=overfit.
        **common: Arguments of `TableData`.

    Raises:
        DataError: A number is out of range.
    """

    modality = MODALITY.name
    preprocess: TextPreprocess
    table: Table[Sequence[Text]]
    between: ClassVar[str] = "\t"
    """Separator of the parts of a sample, for display."""
    columns: Sequence[str] = ("text",)
    """Names of the text columns of a table."""
    _shelf: Shelf | None = None
    _predicted: Sequence[Text] | None

    def __init__(
        self,
        *,
        max_length: int | None = 512,
        mlm_probability: float = 0.15,
        unlabelled: str | None = None,
        unlabelled_per_sample: int = 1,
        group_by_length: bool = True,
        augment: Literal["none"] = "none",
        **common: Unpack[DataArguments],
    ) -> None:
        super().__init__(**common)
        if max_length is not None and max_length < 1:
            raise DataError(f"Expected data.max_length to be at least 1 token but got {max_length}.")
        if not 0 < mlm_probability <= 1:
            raise DataError(f"Expected data.mlm_probability to be above 0 and at most 1 but got {mlm_probability}.")
        if unlabelled_per_sample < 1:
            raise DataError(f"Expected data.unlabelled_per_sample to be at least 1 but got {unlabelled_per_sample}.")
        self.max_length, self.mlm_probability = max_length, mlm_probability
        self.unlabelled, self.unlabelled_per_sample = unlabelled, unlabelled_per_sample
        self._beside: Unlabelled | None = None
        # With micro-batches, `batch_size` shrinks later, and groups keep the size that was configured.
        self._grouped = self.batch_size if group_by_length else None
        self.mixing = Mixing(0.0, 0.0, 0)

    def connect(self, preprocess: Preprocess) -> None:
        """Take over the backbone's preprocessing; call it before `setup`."""
        own = MODALITY.own(preprocess)
        most = own.max_length
        self.preprocess = replace(own, max_length=min(self.max_length or most, most))
        self.vocabulary = self.tokenizer = Tokenizer(self.preprocess)

    def keep_tokens(self, keep: Keep | None) -> None:
        """See `TableData.keep_tokens`."""
        self.tokenizer.keep = keep

    def find(self, source: str, trained: PlainData, spec: DataSpec, skip: bool) -> Asked:
        """Find texts; see `TableData.find`, and `found.find_texts` for ``source``."""
        return self._asked(find_texts(source, trained))

    def _asked(self, texts: Sequence[Text]) -> Asked:
        return Asked(texts, ["\t".join(parts) for parts in texts], MODALITY.column)

    def setup(self, stage: str | None = None) -> None:
        """Load, split and tokenise the data and publish `spec`; see `TableData.setup`.

        Unlabelled texts are read unless the stage is ``test``.
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
        """Return the shelf that keeps the table between runs; ``None`` for none."""
        return None

    def contents(self) -> Contents:
        """Read and digest the table, or find it on its shelf."""
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
        """Return the end of the warning about cut texts, which says what is lost."""
        return ""

    def encode(self, samples: Sequence[Text], targets: Targets | None) -> Encoded:
        """Tokenise samples, and encode their targets for the model.

        Args:
            samples: Samples of a `Table`.
            targets: Their targets; ``None`` for prediction.
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
            return "Unlabelled texts pass through the backbone in every step, so caching the others saves nothing."
        return "Other words are hidden in every epoch, so no outputs can be reused." if self._hiding() else None

    def plain(self, rows: Ints) -> TextDataset:
        """Return rows of the table, as in evaluation."""
        return self._of(self.table.samples, self._encoded, rows)

    def prepare(self, samples: Sequence[Tensor], device: torch.device, alike: bool = False) -> Inputs:
        """Pad the tokens ``(R, T)`` of B texts to the longest of them; with ``alike``, to the longest of all texts."""
        padded = self.tokenizer.pad(samples, self._longest if alike else 0)
        return {name: tensor.to(device) for name, tensor in padded.items()}

    def largest(self, rows: Ints, count: int) -> Ints:
        """Return the rows of the longest texts."""
        return rows[np.argsort(-sizes(self._tokens, rows).numpy(), kind="stable")[:count]]

    def heaviest(self, count: int) -> Parts:
        """See `TableData.heaviest`."""
        batch = super().heaviest(count)
        if self._beside is None:
            return batch
        return batch | {"streams": {UNLABELLED: self._beside.heaviest(len(batch["index"]))}}

    def length_sorted(self, rows: Ints, batch: int) -> Ints:
        """Order rows in batches of texts of similar length, which halves the time to compute them."""
        blocks = rows[np.argsort(sizes(self._tokens, rows).numpy(), kind="stable")]
        starts = range(0, len(rows) // batch * batch, batch)
        # Shuffled, so that the first batches are representative of all.
        order = torch.randperm(len(starts), generator=private("together")).tolist()
        rest = blocks[len(starts) * batch :]
        return np.concatenate([*(blocks[starts[i] : starts[i] + batch] for i in order), rest])

    def predict_on(self, samples: Sequence[Text], spec: DataSpec) -> None:
        """Make `predict_dataloader` serve texts; see `TableData.predict_on`."""
        super().predict_on(samples, spec)
        self._new = self.encode(samples, None)
        self._warn_of_cut(self._new, [f"row {row}" for row in range(1, len(samples) + 1)])

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Return a batch unchanged: it is ready for the backbone."""
        return batch

    def _dataset(self, split: str, training: bool, tested: bool) -> TextDataset:
        if split == "predict":
            texts = self._predicted or []
            return self._of(texts, self._new, np.arange(len(self._new.tokens)))
        dataset = self._of(self.table.samples, self._encoded, self.indices[split], self.table.weights)
        dataset.anew = training
        if self._beside is not None and training:
            dataset.streams = {UNLABELLED: self._beside}
        if training == (split == "train"):  # the cache of train holds what training sees
            dataset.kept = self._kept(split)
        return dataset

    def _of(self, texts: Sequence[Text], encoded: Encoded, rows: Ints, weights: Floats | None = None) -> TextDataset:
        return TextDataset(Mapped(texts, self.between.join), encoded, self.tokenizer, rows, weights, self._hiding())

    def _hiding(self) -> Hiding | None:
        """Return how words are hidden for a masked language model; ``None`` for other objectives."""
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
