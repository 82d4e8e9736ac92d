"""Define a modality: how its samples are read, hashed and shown, and which backbones take them."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import ClassVar

from tunesmith.contract.preprocess import Preprocess
from tunesmith.errors import ConfigError, nearest


class Modality(ABC):
    """A modality; the final classes have no state, and each module ``modality/<name>.py`` holds its one object."""

    name: ClassVar[str]
    """Name in `DataSpec.input` and run.json."""
    plural: ClassVar[str]
    """Word for its samples."""
    column: ClassVar[str]
    """Name of the first column in a prediction table."""
    backbone: ClassVar[str]
    """Option of a suitable backbone, for messages."""
    listed: ClassVar[str] = ""
    """End of a message about doubtful samples: the command that lists them."""

    def check_backbone(self, preprocess: Preprocess) -> None:
        """Refuse a backbone of another modality.

        Args:
            preprocess: Preprocessing of the backbone.

        Raises:
            ConfigError: The backbone is for another modality.
        """
        if preprocess.modality != self.name:
            raise ConfigError(
                f"Expected a backbone for {self.plural} but got one for {of(preprocess.modality).plural}; "
                f"use {self.backbone}."
            )

    @abstractmethod
    def channels(self, channels: int) -> int:
        """Check and return the number of channels of decoded samples; 0 for modalities without channels.

        Raises:
            DataError: Samples cannot be decoded to that number.
        """

    @abstractmethod
    def files(self, samples: Sequence[object]) -> list[Path]:
        """Return the samples that are files."""

    @abstractmethod
    def content(self, sample: object, whole: bool, head: int) -> bytes:
        """Return the content of a sample, to be hashed.

        Args:
            sample: A sample of `tunesmith.data.table.Table`.
            whole: Whether to read files whole; otherwise their size and their first bytes.
            head: Number of first bytes.
        """

    @abstractmethod
    def restored(self, values: Mapping[str, object]) -> Preprocess | None:
        """Restore the preprocessing from run.json; ``None`` if only the backbone knows it on this machine."""

    @abstractmethod
    def gallery(self, mistakes: Sequence[tuple[str, object]], wandb: ModuleType) -> object:
        """Make what W&B shows of mistakes from pairs of caption and sample."""


@functools.cache
def of(name: str) -> Modality:
    """Return the object of a modality from the module ``modality/<name>.py``.

    Raises:
        ConfigError: There is no such modality.
    """
    if name not in modalities():
        raise ConfigError(f"Expected a modality but got '{name}'.{nearest(name, modalities())}")
    found: Modality = importlib.import_module(f"tunesmith.modality.{name}").MODALITY
    return found


@functools.cache
def modalities() -> tuple[str, ...]:
    """List the names of all modalities: the modules beside this one."""
    modules = pkgutil.iter_modules(importlib.import_module("tunesmith.modality").__path__)
    return tuple(module.name for module in modules if not module.ispkg and module.name != "base")
