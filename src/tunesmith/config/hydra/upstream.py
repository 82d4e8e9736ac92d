"""What tunesmith uses of Hydra beyond its documentation: its application, its loader, its sources, its flags."""

from __future__ import annotations

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Override

from tunesmith.compat.required import imported, require

with imported("hydra-core"):
    from hydra._internal.config_loader_impl import ConfigLoaderImpl
    from hydra._internal.config_repository import IConfigRepository
    from hydra._internal.core_plugins.file_config_source import FileConfigSource
    from hydra._internal.core_plugins.importlib_resources_config_source import ImportlibResourcesConfigSource
    from hydra._internal.hydra import Hydra
    from hydra._internal.sources_registry import SourcesRegistry
    from hydra._internal.utils import create_config_search_path, get_args_parser

require("hydra-core", ConfigLoaderImpl, "_compose_config_from_defaults_list", "_load_single_config")
require("hydra-core", FileConfigSource, "_normalize_file_name")
require("hydra-core", SourcesRegistry, "types")
require("hydra-core", HydraConfig, "cfg")
require("hydra-core", Override, "config_loader")
require(
    "hydra-core", Hydra, "config_loader", "hydra_help", "run", "multirun", "shell_completion", "show_cfg", "show_info"
)

__all__ = (
    "ConfigLoaderImpl",
    "FileConfigSource",
    "Hydra",
    "IConfigRepository",
    "ImportlibResourcesConfigSource",
    "SourcesRegistry",
    "create_config_search_path",
    "get_args_parser",
)
