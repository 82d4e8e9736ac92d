"""Guard Hydra's own node: its launcher, sweeper, callbacks and logging can each name code to run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from hydra.plugins.config_source import ConfigResult
from omegaconf import DictConfig, OmegaConf

from tunesmith.compat.omegaconf import plain
from tunesmith.config import gate, yaml_file
from tunesmith.config.gate import Trust
from tunesmith.config.hydra.upstream import FileConfigSource, ImportlibResourcesConfigSource, SourcesRegistry
from tunesmith.errors import ConfigError

CORE = frozenset(
    {
        "hydra._internal.core_plugins.basic_launcher.BasicLauncher",
        "hydra._internal.core_plugins.basic_sweeper.BasicSweeper",
    }
)
"""Hydra's own classes."""

HANDLERS = frozenset({"logging.StreamHandler", "logging.FileHandler", "logging.NullHandler"})
STREAMS = frozenset({"ext://sys.stdout", "ext://sys.stderr"})
"""What a logging configuration may name: `logging.config` could call anything."""


def require(cfg: DictConfig, trust: Trust | None = None) -> None:
    """Check Hydra's node of a whole configuration.

    Args:
        cfg: The configuration.
        trust: What the command may import; ``None`` for what the user allows whatever the command.

    Raises:
        ConfigError: It names something that does not pass the gate, or sets environment variables, which could make a
            job run it.
    """
    trust = trust or gate.trust()
    hydra = plain(cfg.hydra)
    built = [entry for part in ("launcher", "sweeper", "callbacks") for entry in _entries(hydra.get(part), part)]
    logged = [entry for part in ("job_logging", "hydra_logging") for entry in _entries(hydra.get(part), part)]
    found = [
        *(text for path, key, value in built if (text := _of_built(cfg, path, key, value, trust))),
        *(
            f"Expected {path} to be one of Python's own handlers or streams but got '{value}'."
            for path, key, value in logged
            if not _is_harmless(key, value)
        ),
    ]
    if (cfg.hydra.get("job") or {}).get("env_set"):
        found.append("Expected hydra.job.env_set to be left out: set the variables before the command.")
    if found:
        raise ConfigError(found)


def _of_built(cfg: DictConfig, path: str, key: object, value: object, trust: Trust) -> str | None:
    """Return the message for an entry that Hydra builds; ``None`` if it passes."""
    if key == "_target_" and value not in CORE and not trust.passes(str(value)):
        return f"Expected {path} {gate.refusal(str(value))}"
    if not _stays_plain(cfg, path, value):
        return f"Expected {path} to be written out but got the reference '{value}'."
    return None


def _entries(value: object, name: object, above: str = "hydra") -> Iterator[tuple[str, object, object]]:
    """Yield every (path, key, value) at or below a key of plain data whose value is not a container."""
    path = f"{above}.{name}"
    if isinstance(value, dict | list) and name not in ("_target_", "()", "class"):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _entries(item, key, path)
    else:
        yield path, name, value


def _stays_plain(cfg: DictConfig, path: str, value: object) -> bool:
    """Return whether a value refers to no whole node, and contains no interpolation once resolved."""
    if not isinstance(value, str) or "${" not in value:
        return True
    resolved = OmegaConf.select(cfg, path, throw_on_resolution_failure=False)
    return not OmegaConf.is_config(resolved) and "${" not in str(resolved)


def _is_harmless(key: object, value: object) -> bool:
    if key in ("()", "class"):
        return value in HANDLERS and key == "class"
    if not isinstance(value, str) or value in STREAMS:
        return True
    return "://" not in value and ("${" not in value or value.startswith("${hydra.runtime.output_dir}/"))


class FileSource(FileConfigSource):
    """Hydra's folder of YAML files, with bounds checked before a file is parsed."""

    def load_config(self, config_path: str) -> ConfigResult:
        """Load one file."""
        file = Path(self.path, self._normalize_file_name(config_path))
        if file.is_file():
            yaml_file.require_bounds(file)
        return super().load_config(config_path)


class PackageSource(ImportlibResourcesConfigSource):
    """Hydra's and its plug-ins' configurations in installed packages; a search path may not add others."""

    def __init__(self, provider: str, path: str) -> None:
        if provider.startswith("hydra.searchpath"):
            raise ConfigError(f"Expected hydra.searchpath to name folders, as file://…, but got '{path}'.")
        super().__init__(provider=provider, path=path)


def register() -> None:
    """Replace Hydra's sources by ours."""
    SourcesRegistry.instance().types.update({"file": FileSource, "pkg": PackageSource})
