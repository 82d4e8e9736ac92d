"""Read a sweep's search space from the overrides of its command line and from ``sweep.params``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from tunesmith.config.redact import config_hash, redact, redact_override
from tunesmith.errors import ConfigError
from tunesmith.sweep.protocol import Space

CONFIGURATION = "the configuration"
"""Key of a `description` that holds a digest of every setting that nobody typed."""

_FOREIGN = ("hydra/launcher", "hydra/sweeper", "hydra.launcher", "hydra.sweeper", "hydra.sweep")


def with_params(words: Sequence[str], cfg: DictConfig) -> list[str]:
    """Add the searches of ``sweep.params`` to the overrides; a typed override wins.

    Args:
        words: Overrides as typed.
        cfg: Configuration composed with them.
    """
    params = OmegaConf.select(cfg, "sweep.params") or {}
    typed = {word.partition("=")[0].lstrip("+~") for word in words}
    return [*(f"{key}={text}" for key, text in params.items() if key not in typed), *words]


def parse(overrides: Sequence[str], loader: ConfigLoader) -> Space:
    """Separate the swept overrides from those that every job shares.

    Args:
        overrides: Overrides in Hydra's syntax; those of the sweep itself are dropped.
        loader: Finds the options that a ``glob`` matches.

    Raises:
        ConfigError: The sweep's own keys are swept, or Hydra's launcher or sweeper is changed.
    """
    parsed = OverridesParser.create(config_loader=loader).parse_overrides(list(overrides))
    mistakes = [text for override in parsed if (text := _mistake(override))]
    if mistakes:
        raise ConfigError(mistakes)
    kept = [o for o in parsed if not _is_own(o.key_or_group) and o.key_or_group != "hydra.mode"]
    # Jobs are numbered by the order of the keys, so the same search typed in another order means the same jobs.
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
    """Describe what identifies a sweep: two launchers in one folder must agree on all of it.

    Args:
        space: What is searched.
        searcher: ``sweep.searcher``.
        configs: Configurations that the command line composes to.

    Returns:
        Flat and readable, without secrets.
    """
    texts = [*(o.input_line or "" for o in space.swept), *space.fixed]
    words = dict(redact_override(text).partition("=")[::2] for text in texts)
    how = redact(OmegaConf.create({"searcher": searcher}))["searcher"]
    assert isinstance(how, dict)
    digests = [config_hash(_shared(redact(cfg))) for cfg in configs]
    return {
        **words,
        **{f"sweep.searcher.{key}": json.dumps(value) for key, value in how.items() if key != "jobs"},  # it may grow
        CONFIGURATION: hashlib.sha256("".join(sorted(digests)).encode()).hexdigest()[:12],
    }


def values(configs: Iterable[DictConfig]) -> dict[str, str]:
    """Return every key of the composed configurations with its values, to name the ones that differ.

    Args:
        configs: As for `description`.

    Returns:
        Flat, without secrets; all values of a key that differs between combinations.
    """
    found: dict[str, dict[str, None]] = {}
    for cfg in configs:
        for key, text in _flat("", _shared(redact(cfg))):
            found.setdefault(key, {})[text] = None
    return {key: " or ".join(texts) for key, texts in sorted(found.items())}


def _flat(prefix: str, value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _flat(f"{prefix}.{key}" if prefix else str(key), item)
    else:
        yield prefix, value if isinstance(value, str) else json.dumps(value, default=str)


def digest(search: Mapping[str, str]) -> str:
    """Return a short digest of a `description`."""
    return hashlib.sha256(json.dumps(search, sort_keys=True).encode()).hexdigest()[:8]


def _shared(plain: Mapping[str, object]) -> dict[str, object]:
    """Return a configuration without the keys that may change during a sweep."""
    return {key: value for key, value in plain.items() if key != "sweep"}
