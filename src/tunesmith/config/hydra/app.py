"""Start Hydra on our folders and with our errors."""

from __future__ import annotations

import logging
import re
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from hydra import version
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.default_element import GroupDefault, ResultDefault
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.config_source import ConfigResult
from hydra.types import RunMode
from omegaconf import Container, DictConfig, ListConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError  # type: ignore[import-untyped]  # it comes with OmegaConf, without stubs

from tunesmith.compat.omegaconf import child, is_leaf, raw
from tunesmith.compat.required import assign
from tunesmith.config.gate import Trust
from tunesmith.config.hydra import hydra_gate
from tunesmith.config.hydra.upstream import ConfigLoaderImpl, Hydra, IConfigRepository, create_config_search_path
from tunesmith.errors import ConfigError

log = logging.getLogger(__name__)
turn = threading.RLock()
"""Hydra is one of a process: who composes, or asks what its job is, in Python, takes turns."""


class Loader(ConfigLoaderImpl):
    """Hydra's loader, extended with the gate; every job's configuration passes through it.

    What a file, such as an experiment, sets below a group belongs to the option that it chooses of that group, and goes
    where another one is chosen in its place: LoRA's ``policy.rank`` is nothing to ``policy=full``, and the phases of a
    protocol would make it something else.

    Args:
        path: Where configurations are searched.
        trust: What the command may import.
    """

    def __init__(self, path: ConfigSearchPath, trust: Trust | None = None) -> None:
        super().__init__(config_search_path=path)
        self.trust = trust
        self._said: set[str] = set()

    def load_configuration(self, *args: Any, **kwargs: Any) -> DictConfig:
        """Compose a configuration.

        Raises:
            ConfigError: Hydra's node names something that may not run.
        """
        cfg = super().load_configuration(*args, **kwargs)
        hydra_gate.require(cfg, self.trust)
        return cfg

    def _compose_config_from_defaults_list(self, defaults: list[ResultDefault], repo: IConfigRepository) -> DictConfig:
        self._used = {default.config_path for default in defaults}
        return super()._compose_config_from_defaults_list(defaults, repo)

    def _load_single_config(self, default: ResultDefault, repo: IConfigRepository) -> ConfigResult:
        loaded = super()._load_single_config(default, repo)
        for choice in loaded.defaults_list or ():
            if not isinstance(choice, GroupDefault) or not choice.override or not choice.group or not choice.value:
                continue
            group = choice.group.removeprefix("/")
            options = [choice.value] if isinstance(choice.value, str) else choice.value
            node, _, key = group.replace("/", ".").rpartition(".")
            below = OmegaConf.select(loaded.config, node) if node else loaded.config
            if isinstance(below, DictConfig) and key in below and not self._used & {f"{group}/{o}" for o in options}:
                self._say_once(
                    f"{default.config_path} sets {_shown(below[key], group)} for {group}={options[0]}: left out here."
                )
                del below[key]
        return loaded

    def _say_once(self, line: str) -> None:
        """Warn, once for all the jobs of a sweep."""
        if line not in self._said:
            self._said.add(line)
            log.warning(line)


def _shown(values: object, path: str) -> str:
    keys = [str(key) for key in values] if isinstance(values, DictConfig) else []
    return ", ".join(f"{path}.{key}" for key in keys) or path


def start(command: str, dirs: Sequence[Path], trust: Trust | None = None) -> Hydra:
    """Start Hydra for a command.

    Args:
        command: Name of the root file; Hydra's job takes its name.
        dirs: Folders of configurations, front to back, as `find.conf_dirs` lists them.
        trust: What the command may import; ``None`` for what the user allows whatever the command.

    Returns:
        Hydra's application. Its search path is ours: ``--config-dir`` and ``./conf`` come before the package's own
        folder, whereas Hydra would put them behind it.
    """
    *front, last = dirs
    _find_plugins()
    hydra_gate.register()
    path = create_config_search_path(str(last))
    for folder in front:
        path.prepend("tunesmith", f"file://{folder}", anchor="main")
    version.setbase("1.3")
    GlobalHydra.instance().clear()
    hydra = Hydra(task_name=command, config_loader=Loader(path, trust))
    GlobalHydra.instance().initialize(hydra)
    return hydra


def _find_plugins() -> None:
    """Let Hydra import its installed plug-ins, but not those in ``./hydra_plugins``."""
    before = list(sys.path)
    sys.path[:] = [entry for entry in before if entry and Path(entry) != Path.cwd()]
    try:
        Plugins.instance()
    finally:
        sys.path[:] = before


def load(hydra: Hydra, command: str, overrides: Sequence[str]) -> DictConfig:
    """Compose the whole configuration, including Hydra's own node.

    Raises:
        ConfigError: Hydra cannot compose it.
    """
    with translated():
        return hydra.config_loader.load_configuration(
            config_name=command, overrides=list(overrides), run_mode=RunMode.RUN, validate_sweep_overrides=False
        )


def run(
    hydra: Hydra, command: str, overrides: Sequence[str], task: Callable[[DictConfig], object], sweep: bool
) -> None:
    """Run one job or, with ``sweep``, one job per combination of swept values.

    Raises:
        ConfigError: Hydra cannot compose a job. Exceptions of ``task`` propagate unless they are Hydra's.
    """
    mode = "MULTIRUN" if sweep else "RUN"
    launch = hydra.multirun if sweep else hydra.run
    with translated():
        launch(config_name=command, task_function=task, overrides=[*overrides, f"hydra.mode={mode}"])


def describe_job(hydra: Hydra, command: str) -> None:
    """Complete Hydra's description of the current job, and remove a file that it should not write.

    Hydra's choices omit the groups that are chosen by a list. Its sweeper writes the whole configuration, secrets
    included, before the first job; each run folder holds all there is to know about it.
    """
    job = cast("DictConfig", HydraConfig.get())  # typed as the dataclass whose content it has
    (Path(job.sweep.dir) / "multirun.yaml").unlink(missing_ok=True)
    found = hydra.config_loader.compute_defaults_list(command, list(job.overrides.task), RunMode.RUN)
    listed: dict[str, list[str]] = {}
    for default in found.defaults:
        group, _, option = (default.config_path or "").partition("/")
        if option and group != "hydra" and group not in job.runtime.choices:
            listed.setdefault(group, []).append(option)
    with read_write(job), open_dict(job):
        job.runtime.choices.update(listed)


def settled(cfg: DictConfig) -> DictConfig:
    """Remove Hydra's node from a configuration, and replace references to it, ``${hydra:…}``, by their values.

    Args:
        cfg: A whole configuration, including its node ``hydra``; or, inside one of Hydra's jobs, without it.

    Returns:
        A copy that can be resolved, saved and rebuilt anywhere.
    """
    before = HydraConfig.instance().cfg
    if "hydra" in cfg:
        HydraConfig.instance().set_config(cfg)
    cfg = cfg.copy()
    try:
        for node, key in list(_references(cfg, "${hydra:")):
            OmegaConf.update(node, str(key), node[key])
    finally:
        assign("hydra-core", HydraConfig.instance(), "cfg", before)
    with open_dict(cfg):
        cfg.pop("hydra", None)
    return cfg


def alone(cfg: DictConfig) -> DictConfig:
    """Remove the sweep from a checked configuration: a job is the same run, alone or in a sweep."""
    with open_dict(cfg):
        cfg.pop("sweep", None)
    return cfg


def _references(node: DictConfig | ListConfig, mark: str) -> Iterator[tuple[Container, object]]:
    """Yield every (container, key) whose raw value contains ``mark``, outside Hydra's node."""
    keys = [k for k in node if k != "hydra"] if isinstance(node, DictConfig) else range(len(node))
    for key in keys:
        below = child(node, key)
        if isinstance(below, DictConfig | ListConfig) and not is_leaf(below):
            yield from _references(below, mark)
        elif mark in str(raw(below)):
            yield node, key


@contextmanager
def translated() -> Iterator[None]:
    """Translate Hydra's and OmegaConf's errors into ours, one sentence each.

    Raises:
        ConfigError: The body raised one of theirs.
    """
    try:
        yield
    except (HydraException, OmegaConfBaseException, YAMLError, ValueError) as error:
        raise ConfigError(sentence(error)) from error


def sentence(error: BaseException) -> str:
    """Condense one of Hydra's multi-line errors into one line."""
    texts = [str(error)]
    if isinstance(error.__cause__, OmegaConfBaseException):
        texts.append(str(error.__cause__))
    lines = []
    for text in texts:
        text = re.split(r"\n\s*(?:Config search path|Search path|See https|full_key|object_type)", text)[0]
        lines += [line.strip() for line in text.splitlines() if line.strip(" \t^")]
    joined = " ".join(lines) or type(error).__name__
    return joined if joined.endswith((".", "?", "!")) else f"{joined}."
