"""Rebuild a finished run from its folder: the same preprocessing, classes and weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

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
from tunesmith.run.record.schema import Record
from tunesmith.run.resume.checkpoint import load, put
from tunesmith.task.base import Task
from tunesmith.task.optimization.delta import left_out
from tunesmith.task.optimization.freeze import frozen_names

MODEL = "model"
"""Subfolder of a run with the files, besides weights, that its backbone is built from."""


@dataclass(frozen=True)
class Rebuilt:
    """A run rebuilt from its folder.

    Attributes:
        folder: Run folder.
        record: Content of its run.json.
        cfg: Its configuration, with the checkpoint as the source of weights.
        weights: Name of the weights.
        spec: Spec of its data.
        preprocess: How its inputs were prepared.
        task: The task with these weights and their calibration.
        trust: What it may import.
    """

    folder: Path
    record: Record
    cfg: DictConfig
    weights: str
    spec: DataSpec
    preprocess: Preprocess
    task: Task
    trust: Trust


def rebuild(run: str, checkpoint: str = "tested", trust: Trust | None = None) -> Rebuilt:
    """Rebuild a run's task from its folder alone.

    Args:
        run: Run folder.
        checkpoint: Name of the checkpoint; ``tested`` for the weights that the run tests.
        trust: What the command may import; ``None`` for the user's general trust.

    Raises:
        RunError: The folder is not a run folder, the run ended before its checkpoint or calibration was saved, or a
            file was altered.
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
    merge(task.backbone.net)  # the same outputs to 1e-5, at the cost of a model without adapters
    return Rebuilt(folder, record, saved, checkpoint, spec, recorded_preprocess or backbone.preprocess, task, trust)


def keep_model(folder: Path, task: Task) -> None:
    """Copy the small files that the backbone needs, such as a tokenizer's, into a run folder.

    If checkpoints leave out weights, the weights' source is needed anyway and provides these files too.
    """
    frozen = frozen_names(task, [phase.trainable for phase in task.table.phases])
    if task.save == "changed" and task.base.given(frozen):
        return
    for file in task.backbone.files:
        (folder / MODEL).mkdir(exist_ok=True)
        write_bytes(folder / MODEL / file.name, file.read_bytes())


def _node(node: DictConfig, source: str | None, preprocess: Preprocess | None, path: Path, trust: Trust) -> DictConfig:
    """Return the backbone's node with the source of the weights that a checkpoint leaves out; ``None`` for none."""
    model, values = path.parents[1] / MODEL, dict[str, object]()
    if accepts(node, "weights", trust):
        values["weights"] = source
    if source is None and model.is_dir():
        values["name"] = str(model.absolute())
    # Position embeddings depend on the image size of the weights, which are not loaded here.
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
            f"they are not available: {error}"
        ) from error


def trainer_for(found: Rebuilt, accelerator: str, callbacks: list[Callback]) -> Trainer:
    """Build a trainer for evaluation with the run's precision, on one device, that writes nothing."""
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
