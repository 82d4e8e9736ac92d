import re

import pytest
from hydra._internal import config_loader_impl, sources_registry, utils
from hydra._internal import hydra as application
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Override

from tunesmith.config.hydra import upstream

LOST = [
    (upstream.ConfigLoaderImpl, "_compose_config_from_defaults_list"),
    (upstream.ConfigLoaderImpl, "_load_single_config"),
    (upstream.FileConfigSource, "_normalize_file_name"),
    (upstream.SourcesRegistry, "types"),
    (HydraConfig, "cfg"),
    (Override, "config_loader"),
    *((upstream.Hydra, name) for name in ("config_loader", "hydra_help", "multirun", "run")),
    *((upstream.Hydra, name) for name in ("shell_completion", "show_cfg", "show_info")),
    (application, "Hydra"),
    (config_loader_impl, "ConfigLoaderImpl"),
    (sources_registry, "SourcesRegistry"),
    (utils, "get_args_parser"),
]


@pytest.mark.parametrize(("owner", "name"), LOST, ids=lambda v: getattr(v, "__name__", v))
def test_a_version_without_the_name_is_refused(refused, owner, name):
    refused(upstream, "hydra-core", owner, name)


def test_every_flag_stands_in_the_parsers_usage():
    """From it the nearest flag is chosen."""
    parser = upstream.get_args_parser()
    flags = {o for action in parser._actions for o in action.option_strings if o.startswith("--")}
    assert set(re.findall(r"--[\w-]+", parser.format_usage())) == flags
