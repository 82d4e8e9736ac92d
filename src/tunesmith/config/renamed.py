"""Load what older versions recorded: classes that moved, and keys, values and tensors that were renamed.

Recorded configurations, run.json and checkpoints stay loadable for good; typed keys are accepted for one release, with
a warning that gives the new name.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence

from omegaconf import DictConfig, OmegaConf

from tunesmith.compat.omegaconf import plain

log = logging.getLogger(__name__)

_MOVED: Mapping[str, str] = {
    "backbone.timm.Timm": "backbone.timm.timm.Timm",
    "backbone.torchvision.Torchvision": "backbone.torchvision.torchvision.Torchvision",
    "backbone.transformers.Transformers": "backbone.transformers.transformers.Transformers",
    "data.digits.Digits": "data.image.digits.Digits",
    "data.hf_dataset.HfDataset": "data.text.hf_dataset.HfDataset",
    "data.image_folder.ImageFolder": "data.image.image_folder.ImageFolder",
    "data.image_table.ImageTable": "data.image.image_table.ImageTable",
    "data.pair_table.PairTable": "data.text.pair_table.PairTable",
    "data.qa_table.QaTable": "data.text.qa_table.QaTable",
    "data.reviews.Reviews": "data.text.reviews.Reviews",
    "data.solar_cells.SolarCells": "data.image.solar_cells.SolarCells",
    "data.split.Split": "data.split.split.Split",
    "data.synthetic.Synthetic": "data.synthetic.synthetic.Synthetic",
    "data.synthetic_pairs.SyntheticPairs": "data.synthetic.synthetic_pairs.SyntheticPairs",
    "data.synthetic_questions.SyntheticQuestions": "data.synthetic.synthetic_questions.SyntheticQuestions",
    "data.synthetic_tags.SyntheticTags": "data.synthetic.synthetic_tags.SyntheticTags",
    "data.synthetic_text.SyntheticText": "data.synthetic.synthetic_text.SyntheticText",
    "data.text_files.TextFiles": "data.text.text_files.TextFiles",
    "data.text_table.TextTable": "data.text.text_table.TextTable",
    "data.token_table.TokenTable": "data.text.token_table.TokenTable",
    "data.torchvision_dataset.TorchvisionDataset": "data.image.torchvision_dataset.TorchvisionDataset",
    "head.multi_level.MultiLevel": "head.multi_stage.MultiStage",
    "head.weighted_levels.WeightedLevels": "head.weighted_stages.WeightedStages",
    "run.callback.EMA": "run.callback.callback.EMA",
    "run.callback.Ingredients": "run.callback.callback.Ingredients",
    "run.callback.LearningRates": "run.callback.callback.LearningRates",
    "run.callback.ProgressBar": "run.callback.callback.ProgressBar",
    "run.finite.Finite": "run.callback.non_finite.Finite",
    "run.l2_sp.L2SP": "run.callback.l2_sp.L2SP",
    "run.last.LastCheckpoint": "run.resume.last_checkpoint.LastCheckpoint",
    "run.lr_find.RateFinder": "run.callback.lr_find.RateFinder",
    "run.trainer.Trainer": "run.assembly.trainer.Trainer",
    "run.wandb_logger.wandb_logger": "run.logger.wandb_logger.wandb_logger",
    "sweep.grid.Grid": "sweep.search.grid.Grid",
    "sweep.local.Local": "sweep.executor.local.Local",
    "sweep.optuna.Optuna": "sweep.search.optuna.Optuna",
    "sweep.paired.Paired": "sweep.search.paired.Paired",
    "sweep.random.Random": "sweep.search.random.Random",
    "sweep.ray.Ray": "sweep.executor.ray.Ray",
    "sweep.slurm.Slurm": "sweep.executor.slurm.Slurm",
    "task.answer.AnswerScore": "task.metric.answer.AnswerScore",
    "task.entity.EntityScore": "task.metric.entity.EntityScore",
    "task.entity.WordAccuracy": "task.metric.entity.WordAccuracy",
    "task.loss.BCE": "task.loss.loss.BCE",
    "task.loss.CrossEntropy": "task.loss.loss.CrossEntropy",
    "task.loss.Focal": "task.loss.loss.Focal",
    "task.loss.Ordinal": "task.loss.loss.Ordinal",
    "task.metric.AbsoluteError": "task.metric.metric.AbsoluteError",
    "task.metric.Determination": "task.metric.metric.Determination",
    "task.metric.LevelError": "task.metric.metric.LevelError",
    "task.metric.RootSquaredError": "task.metric.metric.RootSquaredError",
    "task.perplexity.Perplexity": "task.metric.perplexity.Perplexity",
    "task.perplexity.TokenAccuracy": "task.metric.perplexity.TokenAccuracy",
    "task.schedule.constant": "task.optimization.schedule.constant",
    "task.schedule.cosine": "task.optimization.schedule.cosine",
    "task.schedule.one_cycle": "task.optimization.schedule.one_cycle",
    "task.schedule.step": "task.optimization.schedule.step",
    "task.sharded.Sharded": "task.optimization.sharded.Sharded",
    "task.text_metric.Bleu": "task.metric.text_metric.Bleu",
    "task.text_metric.Chrf": "task.metric.text_metric.Chrf",
    "task.text_metric.Rouge": "task.metric.text_metric.Rouge",
}

TARGETS: Mapping[str, str] = {f"tunesmith.{old}": f"tunesmith.{new}" for old, new in _MOVED.items()}
"""New location of classes that moved or were renamed, by the ``_target_`` of older versions."""

OPTIONS: Mapping[str, Mapping[str, str]] = {
    "head": {"multi_level": "multi_stage", "weighted_levels": "weighted_stages"},
}
"""New names of options, by config group."""

KEYS: Mapping[str, str] = {
    "trainer.batch_size": "trainer.micro_batch_size",
    "task.pretraining": "task.lm_loss_weight",
    "task.reads": "task.attention",
    "data.hidden": "data.mlm_probability",
}
"""New names of configuration keys."""

VALUES: Mapping[str, Mapping[str, str]] = {
    "task.attention": {"both_ways": "bidirectional", "forward": "causal"},
    "head.features": {"levels": "stage_features"},
}
"""New values, by the new name of their key."""

_ATTENTION = {"both_ways": "bidirectional", "forward": "causal", "in_two_stacks": "encoder_decoder"}

_IN_CHECKPOINTS: Sequence[tuple[str, str]] = (
    (r"^head\.(language\.)?words\.", r"head.\1lm_head."),
    (r"^train/pretraining_loss$", "train/lm_loss"),
    (r"^train/images_per_second$", "train/samples_per_second"),
    (r"^train_pretraining_loss\b", "train_lm_loss"),
)
"""Patterns of renamed tensors and metrics, wherever they are keys or items of a checkpoint."""


def typed(words: Sequence[str]) -> list[str]:
    """Translate typed overrides, such as ``trainer.batch_size=4``, to this version's names, and warn."""
    found = overrides(words)
    for old, new in zip(words, found, strict=True):
        if old != new:
            log.warning(f"'{old}' is now written '{new}'; the old name will go with the next release.")
    return found


def overrides(words: Sequence[str]) -> list[str]:
    """Translate recorded overrides to this version's names."""
    return [_override(word) for word in words]


def _override(word: str) -> str:
    key, equals, value = word.partition("=")
    bare = key.lstrip("+~")
    name = KEYS.get(bare, bare)
    for old, new in {**OPTIONS.get(name, {}), **VALUES.get(name, {})}.items():
        value = re.sub(rf"(?<![\w.]){old}(?![\w.])", new, value)
    return f"{key.removesuffix(bare)}{name}{equals}{value}"


def config(cfg: DictConfig) -> DictConfig:
    """Translate a recorded configuration to this version's names.

    Args:
        cfg: The saved configuration; it is not modified.
    """
    return OmegaConf.create(plain_config(plain(cfg)))


def plain_config(content: dict[str, object]) -> dict[str, object]:
    """Translate a recorded configuration, given as plain containers, to this version's names."""
    found = {key: _targets(node) for key, node in content.items()}
    for old, new in KEYS.items():
        group, _, key = old.partition(".")
        node = found.get(group)
        # A node of another class may have a key of that name with another meaning.
        if isinstance(node, dict) and key in node and (group != "data" or "max_length" in node):
            found[group] = {new.partition(".")[2] if k == key else k: v for k, v in node.items()}
    for path, values in VALUES.items():
        group, _, key = path.partition(".")
        node = found.get(group)
        if isinstance(node, dict) and isinstance(node.get(key), str):
            node[key] = values.get(node[key], node[key])
    return found


def _targets(node: object) -> object:
    if isinstance(node, dict):
        return {
            k: TARGETS.get(v, v) if k == "_target_" and isinstance(v, str) else _targets(v) for k, v in node.items()
        }
    return [_targets(value) for value in node] if isinstance(node, list) else node


def record(found: dict[str, object]) -> dict[str, object]:
    """Translate a run.json to this version's names; the original is not modified."""
    found = dict(found)
    if isinstance(words := found.get("overrides"), list):
        found["overrides"] = [_override(word) if isinstance(word, str) else word for word in words]
    if "decision" in found:
        found["calibration"] = found.pop("decision")
    if isinstance(policy := found.get("policy"), dict) and "decisions" in policy:
        found["policy"] = {"transitions" if k == "decisions" else k: v for k, v in policy.items()}
    if isinstance(batch := found.get("batch"), dict):
        found["batch"] = {"micro_batch_size" if k == "at_once" else k: v for k, v in batch.items()}
    if isinstance(timing := found.get("timing"), dict):
        found["timing"] = {"samples_per_second" if k == "images_per_second" else k: v for k, v in timing.items()}
    data = found.get("data")
    if isinstance(data, dict) and isinstance(how := data.get("preprocess"), dict) and "reads" in how:
        attention = _ATTENTION.get(how["reads"], how["reads"])
        how = {"attention" if k == "reads" else k: attention if k == "reads" else v for k, v in how.items()}
        found["data"] = data | {"preprocess": how}
    return found


def checkpoint(found: dict[str, object]) -> dict[str, object]:
    """Translate a checkpoint to this version's names."""
    renamed = {_name(key): _renamed(value) for key, value in found.items()}
    phases = renamed.get("phases")
    if isinstance(phases, dict) and "decisions" in phases:
        phases["transitions"] = phases.pop("decisions")
    callbacks = renamed.get("callbacks")
    throughput = callbacks.get("Throughput") if isinstance(callbacks, dict) else None
    if isinstance(throughput, dict) and "images" in throughput:
        throughput["samples"] = throughput.pop("images")
    return renamed


def _renamed(value: object) -> object:
    if isinstance(value, dict):
        return {_name(key) if isinstance(key, str) else key: _renamed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_renamed(item) for item in value]
    return _name(value) if isinstance(value, str) else value


def _name(text: str) -> str:
    for pattern, new in _IN_CHECKPOINTS:
        text = re.sub(pattern, new, text)
    return text
