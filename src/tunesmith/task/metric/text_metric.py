"""Score generated texts with the field's reference implementations."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType
from typing import Literal, final

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from tunesmith.errors import ConfigError, MissingExtraError

_END = b"\x00"  # terminates each text, which contains none


class OfTexts(Metric, ABC):
    """A metric of pairs of generated and true texts.

    It stores the texts as bytes, which can be gathered from all processes, and scores all of them at once.
    """

    higher_is_better = True
    full_state_update = False
    texts: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("texts", [], dist_reduce_fx="cat")

    def update(self, said: Sequence[str], truth: Sequence[str]) -> None:
        """Update with generated and true texts."""
        for text in (text for pair in zip(said, truth, strict=True) for text in pair):
            content = text.replace("\x00", " ").encode() + _END
            self.texts.append(torch.frombuffer(bytearray(content), dtype=torch.uint8).to(self.device))

    def compute(self) -> Tensor:
        """Return a scalar; NaN without texts."""
        if isinstance(self.texts, list) and not self.texts:  # a tensor once processes have been gathered
            return torch.tensor(torch.nan, device=self.device)
        content = bytes(dim_zero_cat(self.texts).cpu().numpy())
        texts = [text.decode() for text in content.split(_END)[:-1]]
        return torch.tensor(self.score(texts[::2], texts[1::2]), device=self.device)

    @abstractmethod
    def score(self, said: list[str], truth: list[str]) -> float:
        """Score generated texts against the true ones."""


@final
class Rouge(OfTexts):
    """ROUGE (Lin, 2004): mean F1 of n-grams or longest common subsequences, from 0 to 1, by rouge-score.

    Args:
        kind: ``rouge1``, ``rouge2``, ``rougeL``, or ``rougeLsum``, for texts with one sentence per line.
        stem: Whether to compare words after Porter stemming.

    Raises:
        MissingExtraError: The package is not installed.
        ConfigError: There is no such kind.
    """

    def __init__(self, kind: Literal["rouge1", "rouge2", "rougeL", "rougeLsum"] = "rougeL", stem: bool = True) -> None:
        super().__init__()
        if kind not in ("rouge1", "rouge2", "rougeL", "rougeLsum"):
            raise ConfigError(f"Expected a metric's kind to be rouge1, rouge2, rougeL or rougeLsum but got '{kind}'.")
        self.kind, self.stem = kind, stem
        _library("rouge_score.rouge_scorer")

    def score(self, said: list[str], truth: list[str]) -> float:
        """Return the mean over the texts."""
        scorer = _library("rouge_score.rouge_scorer").RougeScorer([self.kind], use_stemmer=self.stem)
        found = [scorer.score(true, own)[self.kind].fmeasure for own, true in zip(said, truth, strict=True)]
        return float(sum(found) / len(found))


class _Sacrebleu(OfTexts, ABC):
    """A metric of sacrebleu."""

    def __init__(self) -> None:
        super().__init__()
        _library("sacrebleu")


@final
class Bleu(_Sacrebleu):
    """Corpus BLEU (Papineni et al., 2002), from 0 to 100, by sacrebleu.

    Args:
        tokenize: sacrebleu's tokenizer, such as ``13a``, ``intl``, ``zh`` or ``char``.
        lowercase: Whether to ignore case.
    """

    def __init__(self, tokenize: Literal["13a", "intl", "zh", "char", "none"] = "13a", lowercase: bool = False) -> None:
        super().__init__()
        self.tokenize, self.lowercase = tokenize, lowercase

    def score(self, said: list[str], truth: list[str]) -> float:
        """Score the corpus."""
        return float(
            _library("sacrebleu").corpus_bleu(said, [truth], tokenize=self.tokenize, lowercase=self.lowercase).score
        )


@final
class Chrf(_Sacrebleu):
    """Corpus chrF (Popović, 2015), from 0 to 100, by sacrebleu.

    Args:
        word_order: Maximum order of word n-grams; 0 for none, 2 is chrF++.
    """

    def __init__(self, word_order: int = 0) -> None:
        super().__init__()
        self.word_order = word_order

    def score(self, said: list[str], truth: list[str]) -> float:
        """Score the corpus."""
        return float(_library("sacrebleu").corpus_chrf(said, [truth], word_order=self.word_order).score)


def _library(name: str) -> ModuleType:
    try:
        return import_module(name)
    except ImportError as error:
        raise MissingExtraError(name.partition(".")[0].replace("_", "-"), "text") from error
