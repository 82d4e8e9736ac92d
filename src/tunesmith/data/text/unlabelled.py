"""Add unlabelled texts to training batches, for a joint language-modelling objective."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from tunesmith.contract.batch import IGNORED, Samples
from tunesmith.data.ragged import sizes
from tunesmith.data.sampler import Lengths, Stream
from tunesmith.data.table import Text
from tunesmith.data.tabular.columns import Columns, texts_of
from tunesmith.data.tabular.reading import SUFFIXES, plain_files, plain_lines
from tunesmith.data.text.language import Hiding, continued, following
from tunesmith.data.text.tokenizer import Tokenizer
from tunesmith.errors import DataError

log = logging.getLogger(__name__)

KEY = "data.unlabelled"
TRAIN = "train"
"""Value of the setting for the training texts themselves."""


@dataclass(frozen=True)
class Unlabelled:
    """Texts of which a decoder learns the next tokens, and an encoder the hidden ones.

    Attributes:
        tokens: Tokens of each text ``(R, T)``, int32.
        tokenizer: Pads them.
        hiding: Hides words; ``None`` to hide none.
        per_sample: Number of texts per training sample.
        digest: Number and digest of the texts.
    """

    tokens: Sequence[Tensor]
    tokenizer: Tokenizer
    hiding: Hiding | None
    per_sample: int
    digest: str

    @classmethod
    def of(
        cls, texts: Sequence[Text], tokenizer: Tokenizer, mlm_probability: float, seed: int, per_sample: int
    ) -> Unlabelled:
        """Tokenise texts, cutting long ones at their end.

        Args:
            texts: At least one.
            tokenizer: Tokenizer of the backbone.
            mlm_probability: Share of words that an encoder must predict.
            seed: Seed of the hidden words.
            per_sample: Number of texts per training sample.

        Raises:
            DataError: The backbone is an encoder-decoder.
            ConfigError: The backbone is an encoder whose tokenizer has no mask token.
        """
        attention = tokenizer.preprocess.attention
        if attention == "encoder_decoder":
            raise DataError(
                "Expected no data.unlabelled with an encoder-decoder, which learns from pairs alone, but got some; "
                "leave it out, or take an encoder or a decoder."
            )
        tokens, cut = continued(tokenizer, texts) if attention == "causal" else tokenizer(texts)
        if len(cut):
            most = tokenizer.preprocess.max_length
            log.warning(f"{len(cut):,} of {len(texts):,} texts without labels are cut to {most} tokens.")
        hiding = Hiding.of(tokenizer, mlm_probability, seed) if attention == "bidirectional" else None
        digest = hashlib.blake2b(repr(texts).encode(), digest_size=16).hexdigest()
        return cls(tokens, tokenizer, hiding, per_sample, f"{len(texts)} texts, {digest}")

    def stream(self, batch: int | None) -> Stream:
        """Return the texts' stream for the sampler; with a batch size, batches of similar length."""
        return Stream(len(self.tokens), self.per_sample, Lengths(sizes(self.tokens), batch) if batch else None)

    def of_position(self, position: int) -> list[tuple[int, int]]:
        """Return pass and row of the texts for a position of the split, without a sampler: always the same ones."""
        return [(0, (position * self.per_sample + i) % len(self.tokens)) for i in range(self.per_sample)]

    def __call__(self, turn: int, row: int) -> tuple[Tensor, Tensor]:
        """Return a text ``(R, T)``, with other words hidden in every pass, and the target of each token ``(T,)``."""
        tokens = self.tokens[row]
        return self.hiding(tokens, (turn, row)) if self.hiding else (tokens, following(tokens))

    def heaviest(self, count: int) -> Samples:
        """Return a batch of the longest texts, for a training batch of ``count`` samples."""
        longest = (-sizes(self.tokens)).argsort(stable=True)[: count * self.per_sample].tolist()
        return self.collate(
            [self(i // len(longest), longest[i % len(longest)]) for i in range(count * self.per_sample)]
        )

    def collate(self, drawn: Sequence[tuple[Tensor, Tensor]]) -> Samples:
        """Collate texts, padded to the longest of them, and their targets, padded with `IGNORED`."""
        targets = [target for _, target in drawn]
        return {
            "input": self.tokenizer.pad([tokens for tokens, _ in drawn]),
            "target": pad_sequence(targets, batch_first=True, padding_value=IGNORED),
        }


def read(source: str, column: str) -> list[Text]:
    """Read texts: the lines of a .txt file, or of all in a folder; or a column of a table.

    Args:
        source: The file or folder; ``~`` is the home folder.
        column: Column of a table.

    Raises:
        DataError: There is no such file or column, or a text is empty or too long.
    """
    path = Path(source).expanduser()
    if path.suffix in SUFFIXES:
        return list(texts_of(Columns.read(path, KEY), [column]))
    return [(line.strip(),) for file in plain_files(path, KEY) for line in plain_lines(file) if line.strip()]


def warn_of_tested(texts: Sequence[Text], of_split: Mapping[str, Sequence[Text]]) -> None:
    """Warn of unlabelled texts that are also in val or test, which are then not new to the model."""
    known = {text for (text,) in texts}
    for split, samples in of_split.items():
        number = sum(any(part in known for part in sample) for sample in samples)
        if split != "train" and number:
            log.warning(
                f"{number:,} of {len(samples):,} texts of {split} are among those without labels, so the model has "
                "seen them before it is tested; remove them to measure performance on new texts."
            )
