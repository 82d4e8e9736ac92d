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
    {
        *("password", "passwd", "pwd", "pw", "passphrase", "secret", "apikey", "secretkey", "accesskey", "privatekey"),
        *("credential", "auth", "authorization", "bearer", "authtoken", "accesstoken", "cookie", "pat", "dsn"),
    }
)
_SECRET_KEYS = frozenset(
    {"api", "private", "access", "secret", "account", "wandb", "ssh", "hf", "signing", "encryption", "license"}
)  # … followed by the word `key`
_SECRET_TOKENS = frozenset({"access", "api", "auth", "refresh", "secret"})  # … followed by `tokens`; others are counted
_SPECIAL_TOKENS = frozenset(
    {"cls", "pad", "eos", "bos", "mask", "sep", "unk", "class", "special", "prefix", "suffix", "stop", "image"}
)
_SAME = frozenset({"value", "text", "string"})
"""Last words that add nothing: `secret_value` is a secret."""

_URL_USER = re.compile(r"(?P<scheme>\b[a-z][a-z0-9+.-]*://)[^\s/@'\"]+@", re.IGNORECASE)
_ASSIGNMENT = re.compile(r"(?P<key>[\w./@-]+)=(?P<value>'[^']*'|\"[^\"]*\"|[^\s,]+)")
_ENTRY = re.compile(r"(?P<key>(?P<quote>['\"])[\w./@ -]+(?P=quote))\s*:\s*(?P<value>'[^']*'|\"[^\"]*\"|[^\s,}\]]+)")
"""An entry of a mapping, in JSON or as Python shows it."""
_HEADER = re.compile(
    r"(?P<name>\b(?:proxy-)?authorization|\b(?:set-)?cookie|\bx-api-key)(?P<colon>['\"]?\s*[:=]\s*['\"]?)[^\r\n'\"]+",
    re.IGNORECASE,
)
_BEARER = re.compile(r"(?P<kind>\bbearer\s+)[\w.~+/=-]{12,}", re.IGNORECASE)
_TOKEN = re.compile(
    r"\b(?:hf_\w{16,}|gh[pousr]_\w{16,}|github_pat_\w{16,}|glpat-[\w-]{16,}|xox[abprs]-[\w-]{10,}|sk-[\w-]{16,}"
    r"|AKIA[0-9A-Z]{16}|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*)"
)
"""Tokens by how they begin: of Hugging Face, GitHub, GitLab, Slack, OpenAI, AWS, and JSON Web Tokens."""
_ENVIRONMENT = "${oc.env:"
_DEFAULT = re.compile(r"(?P<variable>\$\{oc\.env:(?P<name>[^,}]*)),[^}]*\}")


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
                text = _without_default(text, secret)
                mark = f"\0{len(held)}\0"
                held[mark] = text
                node[key] = mark
            elif secret:
                node[key] = REDACTED
    return {k: _cleaned(v, held) for k, v in plain(cfg, resolve=True).items()}


def redact_override(override: str) -> str:
    """Hide the secret in one override as typed, ``key=value``: the whole value, in any notation.

    A value that names a secret in it, as a key or as the name of a value, is hidden completely: parsing its grammar to
    show the rest is not worth it.
    """
    key, equals, value = override.partition("=")
    secret = is_secret(re.split(r"[./@]", key.strip("+~"))[-1])
    inner = re.findall(r"[\w-]+(?=['\"]?\s*:)", value)
    inner += re.findall(r"\b(?:name|key|variable)['\"]?\s*:\s*['\"]?([\w-]+)", value)
    hide = secret and _ENVIRONMENT not in value and not _is_plain(value)
    if equals and (hide or any(is_secret(word) for word in inner)):
        return f"{key}={REDACTED}"
    return redact_text(_without_default(override, secret))


def redact_text(text: str) -> str:
    """Hide secrets in a text.

    Values of ``key=value``, of entries of mappings and of parameters in URLs go if the key is a secret's; so do user
    names in URLs, headers that authorize, and tokens of well-known services.
    """

    def replaced(match: re.Match[str]) -> str:
        key, value = match["key"], match["value"]
        hide = is_secret(re.split(r"[./]", key)[-1]) and _ENVIRONMENT not in value and not _is_plain(value)
        # A value may hold further ones, such as a URL with a query.
        return f"{key}={REDACTED if hide else _ASSIGNMENT.sub(replaced, value)}"

    def entry(match: re.Match[str]) -> str:
        key, value = match["key"], match["value"]
        hide = is_secret(key) and _ENVIRONMENT not in value and not _is_plain(value)
        return f"{key}: {REDACTED}" if hide else match[0]

    text = _HEADER.sub(lambda m: f"{m['name']}{m['colon']}{REDACTED}", text)
    text = _BEARER.sub(lambda m: f"{m['kind']}{REDACTED}", text)
    text = _TOKEN.sub(REDACTED, _ENTRY.sub(entry, text))
    return _without_user(_ASSIGNMENT.sub(replaced, text))


def is_secret(key: str) -> bool:
    """Return whether a key holds a secret, by its last word: ``api_key`` does; ``cls_token``, ``num_tokens`` do not."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", key)
    words = [word for part in re.split(r"[^a-z0-9]+", spaced.lower()) if (word := part.rstrip("0123456789"))]
    while len(words) > 1 and words[-1] in _SAME:
        words.pop()
    before, last = [*(["", ""]), *words][-2:]
    if last == "token":
        return before not in _SPECIAL_TOKENS
    if last in ("key", "keys"):
        return before in _SECRET_KEYS
    return last in _SECRETS or last.removesuffix("s") in _SECRETS or (last == "tokens" and before in _SECRET_TOKENS)


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
    told = _told(node)
    for key in keys:
        hidden = (secret and key != "_target_") or (isinstance(key, str) and is_secret(key)) or key in told
        below = child(node, key)
        if isinstance(below, DictConfig | ListConfig) and not is_reference(below):
            yield from _leaves(below, hidden)
        elif not is_missing(below) and (isinstance(raw(below), str) or (hidden and _is_number(raw(below)))):
            yield node, key, hidden


def _told(node: DictConfig | ListConfig) -> set[str | int]:
    """Return the keys of values that another value calls secret: ``{name: API_KEY, value: …}``, ``[--password, …]``."""

    def says(key: str | int) -> bool:
        value = raw(child(node, key))
        return isinstance(value, str) and is_secret(value) and (isinstance(key, str) or value.startswith("-"))

    if isinstance(node, DictConfig):
        there = [key for key in ("name", "key", "variable") if key in node and not is_missing(child(node, key))]
        named = any(says(key) for key in there)
        return {"value"} if named and "value" in node else set()
    return {i + 1 for i in range(len(node) - 1) if not is_leaf(node) and says(i)}


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
    return redact_text(value)


def _without_default(text: str, secret: bool) -> str:
    """Take the default out of references to the environment, where the key or the variable is a secret's."""
    return _DEFAULT.sub(lambda m: f"{m['variable']}}}" if secret or is_secret(m["name"]) else m[0], text)


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
