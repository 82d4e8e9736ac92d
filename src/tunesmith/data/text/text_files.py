"""Read a user's plain text files for language modelling."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import Tensor
from typing_extensions import Unpack

from tunesmith.data.arguments import TextArguments
from tunesmith.data.table import SPLIT_WORDS, Table, Text
from tunesmith.data.tabular.reading import plain_files, plain_lines
from tunesmith.data.text import language
from tunesmith.data.text.dataset import Encoded
from tunesmith.data.text.module import TextData
from tunesmith.errors import DataError
from tunesmith.target.table.cells import Targets


class TextFiles(TextData):
    """Files of plain text, cut into blocks of equal numbers of tokens or read line by line.

    A decoder learns the next token, an encoder the masked ones (`mlm_probability`). The blocks of a file depend on the
    file and the tokenizer only; their order is a function of seed and epoch.

    Args:
        file: A .txt file, or a folder of them. Files, or their folders, named train, val (valid, validation) and test
            define the split; else all blocks of a file go to one split, unless it is the only file.
        block_size: Tokens per block, including the marks of begin and end; ``None``: each line is a text.
        **common: Arguments of `TextData`.

    Raises:
        DataError: There is no such file, or it is empty or no text; or blocks are longer than the backbone sees.
    """

    def __init__(self, *, file: str, block_size: int | None = 128, **common: Unpack[TextArguments]) -> None:
        super().__init__(**common)
        if block_size is not None and block_size < 2:
            raise DataError(f"Expected data.block_size to be null or at least 2 tokens but got {block_size}.")
        self.file = Path(file).expanduser()
        self.block_size = block_size
        self._blocks: list[Tensor] = []

    def load(self) -> Table:
        """Read the files and cut them into blocks."""
        files = plain_files(self.file)
        parts = [self._parts(file) for file in files]
        self._blocks = [tokens for part in parts for _, _, tokens in part if tokens is not None]
        named = [str(file.relative_to(self.file)) if file != self.file else file.name for file in files]
        folders = [_split_of(name) for name in named]
        numbers = np.repeat(np.arange(len(files)), [len(part) for part in parts])
        texts: list[Text] = [(text,) for part in parts for _, text, _ in part]
        return Table(
            samples=texts,
            targets=[0] * len(texts),
            class_names=(),
            names=np.array(
                [f"{name}:{place}" for name, part in zip(named, parts, strict=True) for place, _, _ in part]
            ),
            modality=self.modality,
            groups=numbers if len(files) > 1 else None,
            group_unit="file" if len(files) > 1 else None,
            folders=np.array(folders)[numbers] if all(folders) else None,
            kind="tokens",
        )

    def encode(self, samples: Sequence[Text], targets: Targets | None) -> Encoded:
        """Tokenise samples, or use the tokens of the blocks; see `TextData.encode`."""
        if targets is None or self.block_size is None:
            return super().encode(samples, targets)
        learnt = [language.following(block) for block in self._blocks]  # not used where words are hidden
        return Encoded(self._blocks, learnt, np.zeros(0, np.int64))

    def _parts(self, file: Path) -> list[tuple[int, str, Tensor | None]]:
        """Return number, text and tokens of each block of a file; or its non-empty lines."""
        lines = plain_lines(file)
        if self.block_size is None:
            return [(number, line.strip(), None) for number, line in enumerate(lines, 1) if line.strip()]
        if self.block_size > self.preprocess.max_length:
            raise DataError(
                f"Expected data.block_size to be at most the {self.preprocess.max_length} tokens that the backbone "
                f"sees (data.max_length) but got {self.block_size}."
            )
        forward = self.preprocess.attention == "causal"
        blocks = language.pack(self.tokenizer, "\n".join(lines), self.block_size, forward)
        return [(number, text, tokens) for number, (text, tokens) in enumerate(blocks, 1)]


def _split_of(name: str) -> str:
    """Return the split in the name of a file or of its folder; an empty string if there is none."""
    path = Path(name)
    words = (path.parts[0], path.stem)
    return next((SPLIT_WORDS[word.lower()] for word in words if word.lower() in SPLIT_WORDS), "")
