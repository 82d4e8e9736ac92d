"""What a modality is: what samples are, how they are digested and shown, and which backbones take them."""

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
    """As `DataSpec.input` and run.json have it."""
    plural: ClassVar[str]
    """What samples are called."""
    column: ClassVar[str]
    """What the first column of a table of predictions is called."""
    backbone: ClassVar[str]
    """A backbone for it, as it is typed, behind "use"."""
    listed: ClassVar[str] = ""
    """Which command lists doubtful samples, behind a sentence that says there are some."""

    def check_backbone(self, preprocess: Preprocess) -> None:
        """Refuse a backbone of another modality.

        Args:
            preprocess: The backbone's.

        Raises:
            ConfigError: It is such a backbone.
        """
        if preprocess.modality != self.name:
            raise ConfigError(
                f"Expected a backbone for {self.plural} but got one for {of(preprocess.modality).plural}; "
                f"use {self.backbone}."
            )

    @abstractmethod
    def channels(self, channels: int) -> int:
        """Channels of samples that are decoded; 0 where there are none.

        Raises:
            DataError: Samples cannot be decoded to so many.
        """

    @abstractmethod
    def files(self, samples: Sequence[object]) -> list[Path]:
        """Those of the samples that are files."""

    @abstractmethod
    def content(self, sample: object, whole: bool, head: int) -> bytes:
        """The content of a sample, to be digested.

        Args:
            sample: As `tunesmith.data.table.Table` has it.
            whole: Whether files are read whole; else their size, and so many bytes at the start.
            head: How many.
        """

    @abstractmethod
    def restored(self, values: Mapping[str, object]) -> Preprocess | None:
        """What run.json says of preparing inputs; ``None`` where it is for the backbone to say, on this machine."""

    @abstractmethod
    def gallery(self, mistakes: Sequence[tuple[str, object]], wandb: ModuleType) -> object:
        """What W&B shows of samples, each with a caption in front of it."""


@functools.cache
def of(name: str) -> Modality:
    """The object of a modality, which is that of the module ``modality/<name>.py``.

    Raises:
        ConfigError: There is no such modality.
    """
    if name not in modalities():
        raise ConfigError(f"Expected a modality but got '{name}'.{nearest(name, modalities())}")
    found: Modality = importlib.import_module(f"tunesmith.modality.{name}").MODALITY
    return found


@functools.cache
def modalities() -> tuple[str, ...]:
    """The names of all modalities: of the modules beside this one."""
    modules = pkgutil.iter_modules(importlib.import_module("tunesmith.modality").__path__)
    return tuple(module.name for module in modules if not module.ispkg and module.name != "base")
