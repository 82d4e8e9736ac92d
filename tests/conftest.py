"""Small, quick runs for every test that needs one."""

from __future__ import annotations

import functools
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import yaml
from absl import logging as absl_logging
from omegaconf import DictConfig, OmegaConf

from tunesmith.config.build import build
from tunesmith.config.compose import compose
from tunesmith.config.find import package_conf
from tunesmith.modality.image import ImagePreprocess
from tunesmith.run.train import Result, train

runpy.run_path(str(Path(__file__).with_name("small_models.py")))  # registers them with torchvision

# What rouge-score logs by; when Hydra sets up logging it closes its stream, which would be pytest's own.
absl_logging.get_absl_handler().python_handler.stream = sys.__stderr__

# Images take most of the time of so short a run.
QUICK = ["logger=none", "callback=quiet", "plots=false", "data.workers=0", "trainer=cpu", "trainer.max_epochs=2"]


def _compose(logs: Path, *overrides: str, samples: int = 120) -> DictConfig:
    own_data = any(o.startswith(("data=", "experiment=")) for o in overrides)
    size = [] if own_data else [f"data.samples={samples}"]
    return compose("train", [*QUICK, f"paths.logs={logs}", *size, *overrides])


def pytest_configure(config: pytest.Config) -> None:
    """Judge warnings; hear Ctrl-C, and let child processes hear it, where a shell started tests in the background."""
    folder = Path(__file__).parent
    policy = runpy.run_path(str(folder / "warning_policy.py"))["WarningPolicy"]
    config.pluginmanager.register(policy(folder, folder.parent / "src"))
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _small_texts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Writes small language models, as files of some lines, where families.yaml looks for them."""
    folder = tmp_path_factory.mktemp("texts")
    runpy.run_path(str(Path(__file__).with_name("small_texts.py")))["write_models"](folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SMALL_TEXTS", str(folder))
        yield


@pytest.fixture(scope="session")
def small_text() -> Callable[[str], str]:
    """Folder of a small language model, by its type."""
    return lambda name: str(Path(os.environ["SMALL_TEXTS"], name))


@pytest.fixture(scope="session")
def texts() -> Path:
    """A table of 128 texts of four words each, in five classes that a word of each tells."""
    return Path(os.environ["SMALL_TEXTS"], "texts.csv")


@pytest.fixture(scope="session")
def tagged() -> Path:
    """128 sentences of four words each with its tag: entities of two kinds, of one word or more."""
    return Path(os.environ["SMALL_TEXTS"], "tags.conll")


@pytest.fixture(scope="session")
def questions() -> Path:
    """128 questions of two words on texts of eight, some without an answer."""
    return Path(os.environ["SMALL_TEXTS"], "questions.jsonl")


@pytest.fixture
def random_input() -> Callable[..., Any]:
    """Makes random images, or texts the second of which is padded, for a backbone."""

    def make(backbone: Any, count: int = 2) -> Any:
        generator = torch.Generator().manual_seed(1)
        if isinstance(backbone.preprocess, ImagePreprocess):
            shape = (count, backbone.preprocess.channels, backbone.preprocess.size, backbone.preprocess.size)
            return torch.randn(shape, generator=generator)
        mask = (torch.arange(7) < torch.tensor([7, 5]).repeat(count)[:count, None]).long()
        return {"input_ids": torch.randint(5, 16, (count, 7), generator=generator) * mask, "attention_mask": mask}

    return make


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keeps the tests, and the processes that they start, away from the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUNESMITH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def quick(tmp_path: Path) -> Callable[..., DictConfig]:
    """Compose a training configuration that ends in a second or two and logs below the test's folder."""
    return functools.partial(_compose, tmp_path / "logs")


@pytest.fixture(scope="session")
def quick_below() -> Callable[..., DictConfig]:
    """As `quick`, with the folder for the logs as the first argument: for fixtures that outlive a test."""
    return _compose


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """A finished run on the digits, partly frozen; tests read it and leave it as it is."""
    logs = tmp_path_factory.mktemp("finished") / "logs"
    overrides = ["data=digits", "policy=last_stages", "policy.stages=1", "tags=[a]", "seed=3", "plots=true"]
    return train(_compose(logs, *overrides))


@pytest.fixture
def small_backbone(family: tuple[str, dict[str, Any]]) -> Any:
    """The backbone of a family, with random weights; the test runs for each family."""
    option, overrides = family
    node = OmegaConf.load(package_conf() / "backbone" / f"{option}.yaml")
    node.update({"weights": None} if "weights" in node else {})
    return build(OmegaConf.merge(node, overrides))


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Path], None]:
    """Lay a small torchvision dataset out in a folder, such as ``CIFAR10``, in the format that it is published in."""
    sets = runpy.run_path(str(Path(__file__).with_name("published_sets.py")))["SETS"]
    return lambda name, root: sets[name](root, monkeypatch)


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> Callable[[ModuleType, str, Any, str], None]:
    """Check that a module cannot be imported with a library, by its name, whose class or module lacks a name."""
    check = runpy.run_path(str(Path(__file__).with_name("compat") / "lost_names.py"))["require_refusal"]
    return functools.partial(check, monkeypatch)


# Imported once: each command then starts in a hundredth of a second instead of eight.
PRELOADED = [
    *("tunesmith.run.train", "tunesmith.run.evaluate", "tunesmith.run.predict", "tunesmith.data.image.module", "wandb"),
    *("hydra.main", "matplotlib.backends.backend_agg", "pyarrow.parquet", "sklearn.datasets"),
    *("sklearn.linear_model", "sklearn.model_selection", "torchvision.transforms.v2"),
    "wandb.sdk.launch",
]


# Text, since a fork server finds no module of the tests.
_QUIETLY = """
import os, sys
os.chdir({folder!r})
for stream, name in enumerate(("out", "err"), start=1):
    os.dup2(os.open({said!r} + "/" + name, os.O_WRONLY | os.O_CREAT), stream)
sys.argv = ["tunesmith", *{words!r}]
"""
_TYPED = """
import multiprocessing
import tunesmith.sweep.executor.local
tunesmith.sweep.executor.local.CONTEXT = multiprocessing.get_context("fork")  # all is imported
from tunesmith.__main__ import main
main()
"""


@pytest.fixture(scope="session")
def forked(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run Python code in a folder, with words as the command line: in a process forked from one with all imported."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)

    def run(code: str, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
        said = tmp_path_factory.mktemp("said")
        before = _QUIETLY.format(folder=str(folder), said=str(said), words=words)
        child = context.Process(target=exec, args=(before + code, {"__name__": "forked"}))
        child.start()
        child.join()
        out, err = ((said / name).read_text() for name in ("out", "err"))
        return subprocess.CompletedProcess(words, child.exitcode, out, err)

    return run


@pytest.fixture(scope="session")
def typed(forked: Callable[..., subprocess.CompletedProcess[str]]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Type a command line in a folder."""
    return functools.partial(forked, _TYPED)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run every test that takes a ``family`` for each of families.yaml, as (option of conf/backbone, overrides).

    Runs of language models that are like another one are for the long tier: their stages are tested in the quick one.
    """
    if "family" in metafunc.fixturenames:
        listed = yaml.safe_load(Path(__file__).with_name("families.yaml").read_text())
        like = {name for name in listed if name.startswith("transformers/")} - {
            f"transformers/{n}" for n in ("bert", "t5")
        }
        rare = like if "composed" in metafunc.fixturenames else set()
        families = [
            pytest.param((name.partition("/")[0], own), id=name, marks=[pytest.mark.long] if name in rare else [])
            for name, own in listed.items()
        ]
        metafunc.parametrize("family", families)
