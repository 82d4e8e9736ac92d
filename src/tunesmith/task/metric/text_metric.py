"""Metrics of texts that were written, by the field's own implementations of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Literal, final

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from tunesmith.errors import ConfigError, MissingExtraError

_END = b"\x00"  # behind each text, which holds none


class OfTexts(Metric, ABC):
    """A metric of pairs of texts: what was written, and what was to be.

    It keeps the texts as bytes, which processes can bring together, and scores all of them at once.
    """

    higher_is_better = True
    full_state_update = False
    texts: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("texts", [], dist_reduce_fx="cat")

    def update(self, said: Sequence[str], truth: Sequence[str]) -> None:
        """Take texts, and what they were to be."""
        for text in (text for pair in zip(said, truth, strict=True) for text in pair):
            content = text.replace("\x00", " ").encode() + _END
            self.texts.append(torch.frombuffer(bytearray(content), dtype=torch.uint8).to(self.device))

    def compute(self) -> Tensor:
        """A scalar; NaN of no texts."""
        kept: Any = self.texts
        if isinstance(kept, list) and not kept:
            return torch.tensor(torch.nan, device=self.device)
        content = bytes(dim_zero_cat(kept).cpu().numpy())
        texts = [text.decode() for text in content.split(_END)[:-1]]
        return torch.tensor(self.score(texts[::2], texts[1::2]), device=self.device)

    @abstractmethod
    def score(self, said: list[str], truth: list[str]) -> float:
        """Score texts, each with the one it was to be."""


@final
class Rouge(OfTexts):
    """ROUGE (Lin, 2004): mean F1 of the n-grams, or longest common subsequences, from 0 to 1, by rouge-score.

    Args:
        kind: ``rouge1``, ``rouge2``, ``rougeL``, or ``rougeLsum``, of texts with a sentence a line.
        stem: Whether words are the same where Porter's stemmer makes them so.

    Raises:
        MissingExtraError: The package is not installed.
        ConfigError: There is no such kind.
    """

    def __init__(self, kind: Literal["rouge1", "rouge2", "rougeL", "rougeLsum"] = "rougeL", stem: bool = True) -> None:
        super().__init__()
        if kind not in ("rouge1", "rouge2", "rougeL", "rougeLsum"):
            raise ConfigError(f"Expected a metric's kind to be rouge1, rouge2, rougeL or rougeLsum but got '{kind}'.")
        self.kind, self.stem = kind, stem
        self._library()

    def _library(self) -> Any:
        try:
            from rouge_score import rouge_scorer
        except ImportError as error:
            raise MissingExtraError("rouge-score", "text") from error
        return rouge_scorer

    def score(self, said: list[str], truth: list[str]) -> float:
        """The mean over the texts."""
        scorer = self._library().RougeScorer([self.kind], use_stemmer=self.stem)
        found = [scorer.score(true, own)[self.kind].fmeasure for own, true in zip(said, truth, strict=True)]
        return float(sum(found) / len(found))


class _Sacrebleu(OfTexts, ABC):
    """By sacrebleu."""

    def __init__(self) -> None:
        super().__init__()
        self._library()

    def _library(self) -> Any:
        try:
            import sacrebleu
        except ImportError as error:
            raise MissingExtraError("sacrebleu", "text") from error
        return sacrebleu


@final
class Bleu(_Sacrebleu):
    """BLEU of the whole (Papineni et al., 2002), from 0 to 100, by sacrebleu.

    Args:
        tokenize: Its tokenizer, such as ``13a``, ``intl``, ``zh`` or ``char``.
        lowercase: Whether capitals count as small letters.
    """

    def __init__(self, tokenize: Literal["13a", "intl", "zh", "char", "none"] = "13a", lowercase: bool = False) -> None:
        super().__init__()
        self.tokenize, self.lowercase = tokenize, lowercase

    def score(self, said: list[str], truth: list[str]) -> float:
        """Of all texts together."""
        library = self._library()
        return float(library.corpus_bleu(said, [truth], tokenize=self.tokenize, lowercase=self.lowercase).score)


@final
class Chrf(_Sacrebleu):
    """chrF of the whole (Popović, 2015), from 0 to 100, by sacrebleu.

    Args:
        word_order: Words of the longest n-grams of words that count too; 0 for none, 2 is chrF++.
    """

    def __init__(self, word_order: int = 0) -> None:
        super().__init__()
        self.word_order = word_order

    def score(self, said: list[str], truth: list[str]) -> float:
        """Of all texts together."""
        return float(self._library().corpus_chrf(said, [truth], word_order=self.word_order).score)
