"""A finished run, put together again from its folder: the same preprocessing, classes and weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, Trainer
from omegaconf import DictConfig, OmegaConf

from tunesmith.atomic import write_bytes
from tunesmith.config import renamed, yaml_file
from tunesmith.config.build import accepts, build
from tunesmith.config.check.check import check
from tunesmith.config.gate import Trust
from tunesmith.config.overlay import overlaid
from tunesmith.contract.preprocess import Preprocess
from tunesmith.contract.protocols import Backbone
from tunesmith.contract.restore import restore
from tunesmith.contract.spec import DataSpec
from tunesmith.errors import RunError, TunesmithError
from tunesmith.modality import base as modalities
from tunesmith.policy.adapter import merge
from tunesmith.run.assembly.assemble import assemble_task
from tunesmith.run.assembly.plan import Model
from tunesmith.run.callback.callback import ProgressBar
from tunesmith.run.evaluation.calibration import recorded
from tunesmith.run.record.run_folder import read
from tunesmith.run.resume.checkpoint import load, put
from tunesmith.task.base import Task
from tunesmith.task.optimization.delta import left_out
from tunesmith.task.optimization.freeze import frozen_names

MODEL = "model"
"""The folder in a run's that holds what its backbone is built from besides weights."""


@dataclass(frozen=True)
class Rebuilt:
    """What a run folder gives back.

    Attributes:
        folder: The run folder.
        record: Its run.json.
        cfg: Its configuration, with weights to come from the checkpoint alone.
        weights: What its weights are called.
        spec: What its data were.
        preprocess: How its images, or texts, were prepared.
        task: With the asked weights, and what was fitted for them on validation.
        trust: What it was built with may import.
    """

    folder: Path
    record: dict[str, Any]
    cfg: DictConfig
    weights: str
    spec: DataSpec
    preprocess: Preprocess
    task: Task
    trust: Trust


def rebuild(run: str, checkpoint: str = "tested", trust: Trust | None = None) -> Rebuilt:
    """Rebuild a run's task from its folder alone.

    Args:
        run: The run folder.
        checkpoint: Which weights, by the name of their checkpoint; ``tested`` for those that the run tested, or would
            have.
        trust: What the command may import; ``None`` for what the user allows whatever the command.

    Raises:
        RunError: The folder is not a run's, the run never came to a checkpoint or to what it was to fit on validation,
            or something in it was altered.
        ConfigError: The recorded configuration does not fit this version.
    """
    folder = Path(run).expanduser()
    record = read(folder)
    if not record["data"]:
        raise RunError(f"Expected a run that got as far as training but {folder} is '{record['status']}'.")
    saved = renamed.config(yaml_file.read(folder / "config.yaml"))
    trust = check(saved, recorded=True, trust=trust)
    if checkpoint == "tested":
        checkpoint = saved.test or "best"
    path = folder / "checkpoints" / f"{checkpoint}.ckpt"
    loaded = load(path)
    spec = restore(DataSpec, record["data"])
    recorded_preprocess = modalities.of(spec.input).restored(record["data"]["preprocess"])
    source = left_out(loaded, str(path)).source
    saved = overlaid(saved, {"backbone": _node(saved.backbone, source, recorded_preprocess, path, trust)})
    backbone = _backbone(saved.backbone, source, path, trust)
    task = assemble_task(Model.of(saved, trust), backbone, spec)
    task.calibration = recorded(record, checkpoint, task.calibrates)
    put(task, loaded, path)
    merge(task.backbone.net)  # outputs stay as they are, to 1e-5, and cost what they did without adapters
    return Rebuilt(folder, record, saved, checkpoint, spec, recorded_preprocess or backbone.preprocess, task, trust)


def keep_model(folder: Path, task: Task) -> None:
    """Copy into a run folder the small files that its backbone cannot be built without, such as a tokenizer's.

    Where the weights' source is needed too, since checkpoints leave out what it gives, these come from there.
    """
    frozen = frozen_names(task, [phase.trainable for phase in task.table.phases])
    if task.save == "changed" and task.base.given(frozen):
        return
    for file in task.backbone.files:
        (folder / MODEL).mkdir(exist_ok=True)
        write_bytes(folder / MODEL / file.name, file.read_bytes())


def _node(node: DictConfig, source: str | None, preprocess: Preprocess | None, path: Path, trust: Trust) -> DictConfig:
    """The backbone's node with what a checkpoint leaves out; where it holds every tensor, nothing is looked for."""
    model, values = path.parents[1] / MODEL, dict[str, Any]()
    if accepts(node, "weights", trust):
        values["weights"] = source
    if source is None and model.is_dir():
        values["name"] = str(model.absolute())
    # Without its weights a backbone does not know their image size, on which position embeddings depend.
    if source is None and preprocess is not None:
        values |= {k: v for k, v in preprocess.backbone_options().items() if accepts(node, k, trust)}
    return overlaid(node, values)


def _backbone(node: DictConfig, source: str | None, path: Path, trust: Trust) -> Backbone:
    try:
        backbone: Backbone = build(node, trust)
        return backbone
    except TunesmithError as error:
        if source is None:
            raise
        raise RunError(
            f"Expected the weights that the run began with ({source}), since {path} holds only what it changed, but "
            f"they cannot be had: {error}"
        ) from error


def trainer_for(found: Rebuilt, accelerator: str, callbacks: list[Callback]) -> Trainer:
    """Build a trainer for evaluation: the run's precision, one device, nothing written."""
    kept = {k: found.cfg.trainer[k] for k in ("_target_", "precision") if k in found.cfg.trainer}
    trainer: Trainer = build(
        OmegaConf.create(kept),
        found.trust,
        accelerator=accelerator,
        devices=1,
        logger=False,
        callbacks=[*callbacks, ProgressBar(leave=True)],
        enable_checkpointing=False,
        default_root_dir=str(found.folder),
    )
    return trainer
