"""What a sweep searches: read from the overrides of its command line and from ``sweep.params``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from tunesmith.config.redact import config_hash, redact, redact_override
from tunesmith.errors import ConfigError
from tunesmith.sweep.protocol import Space

CONFIGURATION = "the configuration"
"""Key of a `description` that stands, as a digest, for all that nobody typed."""

_FOREIGN = ("hydra/launcher", "hydra/sweeper", "hydra.launcher", "hydra.sweeper", "hydra.sweep")


def with_params(words: Sequence[str], cfg: DictConfig) -> list[str]:
    """Add what ``sweep.params`` searches to the overrides; what was typed for a key wins.

    Args:
        words: The overrides as typed.
        cfg: A configuration composed with them.
    """
    params = OmegaConf.select(cfg, "sweep.params") or {}
    typed = {word.partition("=")[0].lstrip("+~") for word in words}
    return [*(f"{key}={text}" for key, text in params.items() if key not in typed), *words]


def parse(overrides: Sequence[str], loader: ConfigLoader) -> Space:
    """Tell what is swept from what is the same for every job.

    Args:
        overrides: Written for Hydra; those of the sweep itself are left out.
        loader: Finds the options that a ``glob`` matches.

    Raises:
        ConfigError: The sweep's own keys are swept, or Hydra's launcher or sweeper is changed.
    """
    parsed = OverridesParser.create(config_loader=loader).parse_overrides(list(overrides))
    mistakes = [text for override in parsed if (text := _mistake(override))]
    if mistakes:
        raise ConfigError(mistakes)
    kept = [o for o in parsed if not _is_own(o.key_or_group) and o.key_or_group != "hydra.mode"]
    # Jobs are numbered by the order of the keys: the same search typed in another order means the same jobs.
    swept = tuple(sorted((o for o in kept if o.is_sweep_override()), key=lambda o: o.key_or_group))
    return Space(swept, tuple(o.input_line or "" for o in kept if not o.is_sweep_override()))


def _mistake(override: Override) -> str | None:
    key = override.key_or_group
    if _is_own(key) and override.is_sweep_override():
        return f"Expected one value for {key}, since it is about the sweep as a whole, but got '{override.input_line}'."
    if key.startswith(_FOREIGN):
        return f"Expected sweep=… or sweep/executor=… for how jobs are chosen and run but got '{override.input_line}'."
    if key == "resume":
        return "Expected no resume in a sweep, which goes on by itself in its folder, but got it."
    return None


def _is_own(key: str) -> bool:
    return key == "sweep" or key.startswith(("sweep.", "sweep/"))


def description(space: Space, searcher: DictConfig, configs: Iterable[DictConfig]) -> dict[str, str]:
    """What makes a sweep this sweep and no other: two launchers in one folder must agree on all of it.

    Args:
        space: What is searched.
        searcher: ``sweep.searcher``.
        configs: The configurations that the command line composes to.

    Returns:
        Flat, for people to read; without secrets.
    """
    texts = [*(o.input_line or "" for o in space.swept), *space.fixed]
    words = dict(redact_override(text).partition("=")[::2] for text in texts)
    how: Any = redact(OmegaConf.create({"searcher": searcher}))["searcher"]
    digests = [config_hash(_shared(redact(cfg))) for cfg in configs]
    return {
        **words,
        **{f"sweep.searcher.{key}": json.dumps(value) for key, value in how.items() if key != "jobs"},  # it may grow
        CONFIGURATION: hashlib.sha256("".join(sorted(digests)).encode()).hexdigest()[:12],
    }


def values(configs: Iterable[DictConfig]) -> dict[str, str]:
    """Every key of the configurations that a command line composes to, with its values: what differs can be named.

    Args:
        configs: As for `description`.

    Returns:
        Flat, without secrets; of a key with other values in other combinations, all of them.
    """
    found: dict[str, dict[str, None]] = {}
    for cfg in configs:
        for key, text in _flat("", _shared(redact(cfg))):
            found.setdefault(key, {})[text] = None
    return {key: " or ".join(texts) for key, texts in sorted(found.items())}


def _flat(prefix: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _flat(f"{prefix}.{key}" if prefix else str(key), item)
    else:
        yield prefix, value if isinstance(value, str) else json.dumps(value, default=str)


def digest(search: Mapping[str, str]) -> str:
    """A short name for a `description`."""
    return hashlib.sha256(json.dumps(search, sort_keys=True).encode()).hexdigest()[:8]


def _shared(plain: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration without what may change while a sweep is under way."""
    return {key: value for key, value in plain.items() if key != "sweep"}
