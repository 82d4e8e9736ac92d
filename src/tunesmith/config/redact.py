"""Remove secrets from everything that is saved, logged or shown."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Iterator, Mapping

from omegaconf import Container, DictConfig, ListConfig, flag_override

from tunesmith.compat.omegaconf import child, is_leaf, is_missing, is_reference, plain, raw

REDACTED = "<redacted>"

_SECRETS = frozenset(
    {"password", "passwd", "pwd", "passphrase", "secret", "secrets", "token", "apikey"}
    | {"credential", "credentials", "auth", "authorization", "bearer"}
)
_SECRET_KEYS = frozenset({"api", "private", "access", "secret"})  # … followed by the word `key`
_SPECIAL_TOKENS = frozenset(
    {"cls", "pad", "eos", "bos", "mask", "sep", "unk", "class", "special", "prefix", "suffix", "stop", "image"}
)
_URL_USER = re.compile(r"(?P<scheme>\b[a-z][a-z0-9+.-]*://)[^\s/@'\"]+@", re.IGNORECASE)
_ASSIGNMENT = re.compile(r"(?P<key>[\w./@-]+)=(?P<value>'[^']*'|\"[^\"]*\"|[^\s,]+)")
_ENVIRONMENT = "${oc.env:"


def redact(cfg: DictConfig) -> dict[str, object]:
    """Resolve a configuration into plain data that may be saved.

    Args:
        cfg: Any configuration; it is not modified.

    Returns:
        Plain containers. A secret's text is replaced wherever it is referred to; user names and passwords are removed
        from URLs; values from the environment stay ``${oc.env:…}``, and everything else is resolved.
    """
    cfg = cfg.copy()
    held: dict[str, str] = {}
    with flag_override(cfg, ["struct", "readonly"], [False, False]):
        for node, key, secret in list(_leaves(cfg, False)):
            text = str(raw(child(node, key)))
            if _ENVIRONMENT in text:
                if secret:
                    text = re.sub(r"(\$\{oc\.env:[^,}]*),[^}]*\}", r"\1}", text)  # its default would be the secret
                mark = f"\0{len(held)}\0"
                held[mark] = text
                node[key] = mark
            elif secret:
                node[key] = REDACTED
    return {k: _cleaned(v, held) for k, v in plain(cfg, resolve=True).items()}


def redact_override(override: str) -> str:
    """Hide the secret in one override as typed, ``key=value``: the whole value, in any notation.

    A dict with a secret's key is hidden completely: parsing its grammar to show the rest is not worth it.
    """
    key, equals, value = override.partition("=")
    inner = [word for word in re.findall(r"[\w-]+(?=\s*:)", value) if is_secret(word)]
    hide = is_secret(re.split(r"[./@]", key.strip("+~"))[-1]) and _ENVIRONMENT not in value and not _is_plain(value)
    return f"{key}={REDACTED}" if equals and (hide or inner) else redact_text(override)


def redact_text(text: str) -> str:
    """Hide secrets in a line of text: the value of ``key=value`` if the key is a secret's, and user names in URLs."""

    def replaced(match: re.Match[str]) -> str:
        key, value = match["key"], match["value"]
        hide = is_secret(re.split(r"[./]", key)[-1]) and _ENVIRONMENT not in value and not _is_plain(value)
        # A value may hold further ones, such as a URL with a query.
        return f"{key}={REDACTED if hide else _ASSIGNMENT.sub(replaced, value)}"

    return _without_user(_ASSIGNMENT.sub(replaced, text))


def is_secret(key: str) -> bool:
    """Return whether a key holds a secret, by its last word: ``api_key`` does; ``cls_token``, ``num_tokens`` do not."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", key)
    words = [w for w in re.split(r"[^a-z0-9]+", spaced.lower()) if w]
    if not words:
        return False
    before = words[-2] if len(words) > 1 else ""
    if words[-1] == "token":
        return before not in _SPECIAL_TOKENS
    return words[-1] in _SECRETS or (words[-1] == "key" and before in _SECRET_KEYS)


def config_hash(container: Mapping[str, object]) -> str:
    """Return a digest of a configuration's content, independent of key order and of where it runs.

    Args:
        container: Plain data, as returned by `redact`.

    Returns:
        Hex digest (SHA-256) of everything except ``paths``, ``resume`` and ``resume_force``.
    """
    content = {k: v for k, v in container.items() if k not in ("paths", "resume", "resume_force")}
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def _leaves(node: DictConfig | ListConfig, secret: bool) -> Iterator[tuple[Container, object, bool]]:
    """Yield container, key and secrecy of every text, and of every number under a secret's key."""
    if is_leaf(node):
        return
    keys = list(node) if isinstance(node, DictConfig) else range(len(node))
    for key in keys:
        hidden = (secret and key != "_target_") or (isinstance(key, str) and is_secret(key))
        below = child(node, key)
        if isinstance(below, DictConfig | ListConfig) and not is_reference(below):
            yield from _leaves(below, hidden)
        elif not is_missing(below) and (isinstance(raw(below), str) or (hidden and _is_number(raw(below)))):
            yield node, key, hidden


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _cleaned(value: object, held: Mapping[str, str]) -> object:
    if isinstance(value, dict):
        return {k: _cleaned(v, held) for k, v in value.items()}
    if isinstance(value, list):
        return [_cleaned(v, held) for v in value]
    if not isinstance(value, str):
        return value
    for mark, text in held.items():
        value = value.replace(mark, text)
    return _without_user(value)


def _without_user(text: str) -> str:
    return _URL_USER.sub(lambda m: f"{m['scheme']}{REDACTED}@", text)


def _is_plain(value: str) -> bool:
    """Return whether a value is true, false or null, which cannot be a secret."""
    return value.lower() in ("true", "false", "null")


class Redacted(logging.Formatter):
    """A log formatter that hides secrets in messages and tracebacks."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the message and its traceback without secrets."""
        return redact_text(super().format(record))
