"""Name the arguments that data modules pass on to their base."""

from __future__ import annotations

from typing import Literal, TypedDict

from typing_extensions import Required

from tunesmith.data.image.augment import Preset
from tunesmith.data.image.inputs import Views
from tunesmith.data.split.split import Split


class DataArguments(TypedDict, total=False):
    """The arguments of `tunesmith.data.module.TableData`, which every data module shares."""

    split: Required[Split]
    sampler: Literal["shuffled", "balanced"]
    batch_size: int
    workers: int | Literal["auto"]
    worker_timeout: float
    pin_memory: bool | Literal["auto"]
    seed: int
    drop_last: bool


class MaskedArguments(DataArguments, total=False):
    """The arguments of `tunesmith.data.image.module.ImageData` that images with masks take."""

    magnitude: int
    erase: float
    mixup: float
    cutmix: float
    mix_off_epochs: int
    on_bad_file: Literal["error", "skip"]
    in_memory: bool | Literal["auto"]


class ImageArguments(MaskedArguments, total=False):
    """The arguments of `tunesmith.data.image.module.ImageData`."""

    augment: Preset
    test_views: Views


class WindowArguments(DataArguments, total=False):
    """The arguments of `tunesmith.data.text.module.TextData`, without the length."""

    mlm_probability: float
    unlabelled: str | None
    unlabelled_per_sample: int
    group_by_length: bool
    augment: Literal["none"]


class TextArguments(WindowArguments, total=False):
    """The arguments of `tunesmith.data.text.module.TextData`."""

    max_length: int | None


class QuestionArguments(TextArguments, total=False):
    """The arguments of `tunesmith.data.text.questions.QuestionData`."""

    stride: int
    max_question: int


class PairArguments(TextArguments, total=False):
    """The arguments of `tunesmith.data.text.pair_data.PairData`."""

    prefix: str
    max_target_length: int
    languages: list[str] | None


class TextTableArguments(TextArguments, total=False):
    """The arguments of `tunesmith.data.text.text_table.TextTable`."""

    file: Required[str]
    text: str
    second: str | None
    labels: str | list[str]
    target: Literal["auto", "class", "multilabel", "value", "ordinal", "tokens"]
    separator: str | None
    classes: list[str | int] | None
    split_column: str | None
    group: str | None
    weight: str | None
