"""Translate words that Hydra's grammar does not cover: those without a key, and free text.

``tunesmith compare logs/a logs/b`` becomes ``runs=['logs/a','logs/b']``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from tunesmith.errors import ConfigError

KEYS: Mapping[str, str] = {"compare": "runs"}
"""The key of positional words, by command."""

PLAIN: Mapping[str, str] = {"predict": "input"}
"""The key whose value is taken literally, by command: a text or a file name may contain any character."""


def with_keys(command: str, words: Sequence[str]) -> list[str]:
    """Assign positional words to the command's key for them, and quote values that are taken literally.

    Args:
        command: The command; most have no such key, and their words stay unchanged.
        words: The words typed, without flags.

    Raises:
        ConfigError: The key is given as well.
    """
    key = KEYS.get(command)
    words = [_plain(word, PLAIN.get(command)) for word in words]
    bare = [word for word in words if key and _is_bare(word)]
    if not bare:
        return list(words)
    if any(word.partition("=")[0] == key for word in words if word not in bare):
        raise ConfigError(f"Expected either words without a key or {key}=… but got both.")
    return [*(word for word in words if word not in bare), f"{key}=[{','.join(map(_quoted, bare))}]"]


def _plain(word: str, key: str | None) -> str:
    name, equals, value = word.partition("=")
    quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
    return word if name != key or not value or quoted else name + equals + _quoted(value)


def _quoted(word: str) -> str:
    # OmegaConf would interpolate ${}; in Hydra's grammar a backslash is literal, except before a quote.
    word = re.sub(r"(\\*)\$\{", lambda m: m[1] * 2 + "\\${", word)
    return "'" + re.sub(r"(\\*)('|$)", lambda m: m[1] * 2 + (m[2] and "\\'"), word) + "'"


def _is_bare(word: str) -> bool:
    # A folder's name may contain an equals sign.
    return "=" not in word or Path(word).exists()
