"""What the tests of faults share: small runs, ways to end them early, and what is compared afterwards."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from tunesmith.config.compose import compose
from tunesmith.run.record import metrics_log
from tunesmith.run.resume import checkpoint
from tunesmith.run.resume.checkpoint import load
from tunesmith.run.train import train
from tunesmith.task.base import Task

# 7 batches an epoch, dropout, augmentation: something to get wrong at every step.
BASE = [
    *("logger=none", "callback=quiet", "trainer=cpu", "trainer.max_epochs=3", "trainer.log_every_n_steps=2"),
    *("data.samples=80", "data.batch_size=8", "data.augment=light", "data.workers=0", "data.in_memory=false"),
    *(
        "head=mlp",
        "test=null",
        "plots=false",
        "callback.last.every_n_train_steps=2",
        "callback.last.every_n_minutes=null",
    ),
]
TWO_PHASES = "policy.phases=[{train: [head], epochs: 1}, {train: [all]}]"
PAIRS = (
    "policy.phases=[{train: [head], epochs: 1, optimizer: {_target_: torch.optim.Adam, lr: 1e-3}},"
    "{train: [all], optimizer: {_target_: torch.optim.SGD, lr: 5e-4, momentum: 0.9}, scheduler: {}}]"
)
SETTINGS = {
    "plain": [],
    "ema": ["callback=[quiet,ema]"],
    "accumulation": ["trainer.accumulate_grad_batches=2", "callback.last.every_n_train_steps=1"],
    "cached": ["policy=linear_probe", "data.augment=none"],
    "phases": [TWO_PHASES, "rates=layer_decay"],
    "pairs": [
        *(PAIRS, "callback=[quiet,ema]", "trainer.gradient_clip_val=0.5", "trainer.accumulate_grad_batches=2"),
        *("callback.last.every_n_train_steps=1", "rates=layer_decay", "optimizer.lr=7"),
    ],
    "gates": ["policy=gradual", "rates=ramp", "rates.over=1.0", "+rates.thaw_warmup=1.5", "scheduler=step"],
    "waiting": [
        *("policy=plateau", "policy.patience=1", "policy.min_delta=9", "rates=layer_decay", "+rates.thaw_warmup=1.5"),
        *("callback=[quiet,ema]", "trainer.max_epochs=5", "optimizer.lr=0.01", "optimizer.weight_decay=0.1"),
    ],
    "probe_waits": [
        *("policy=lp_ft", "policy.probe_epochs=4", "policy.patience=1", "policy.min_delta=9", "data.augment=none"),
        *("policy.phases.1.scheduler={}", "policy.phases.1.optimizer={lr: 0.02}"),
    ],
    "chain": ["policy=chain"],
    "masks": [
        *("data=synthetic_masks", "task=segmentation", "data.augment=none", "head=pixel_linear", "head.dropout=0.2"),
        TWO_PHASES,
    ],
    "l2_sp": [TWO_PHASES, "callback=[quiet,l2_sp]", "optimizer.weight_decay=0"],
    "lora": ["policy=lora", "policy.dropout=0.2"],
    "without_validation": ["data.split.val=0", "callback=[quiet,soup]"],
    "plateau": ["scheduler=reduce_on_plateau", "scheduler.patience=0", "scheduler.threshold=10"],
    "validation_inside": ["trainer.val_check_interval=2", "callback.last.every_n_train_steps=1"],
    "limited_in_steps": ["+trainer.max_steps=17"],
    "steps_alone": ["trainer.max_epochs=-1", "+trainer.max_steps=17"],
    "stopping_early": ["callback=[quiet,early_stopping]", "callback.early_stopping.patience=1", "optimizer.lr=0"],
}
MODELS = {"encoder": "bert", "decoder": "gpt2", "encoder_decoder": "t5", "tags": "bert", "answers": "bert"}
MODELS |= {"causal_lm": "llama", "masked_lm": "bert", "seq2seq": "t5", "joint": "bert"}
"""Settings with a small language model; 7 batches an epoch too."""

SMALL = ["data.max_length=48", "data.stride=8", "data.max_question=8"]
"""Windows for a model of 64 tokens."""

TEXTS = ["data=text_table", "data.target=tokens"]
TIMED = ("seconds", "per_second")
SHOWN = "current_score"  # Lightning saves it, never loads it, and only shows it


class KilledError(Exception):
    """What interrupts a run in a test."""


def configured(logs, setting="plain", *more):
    if setting not in MODELS:
        return compose("train", [*BASE, *SETTINGS[setting], f"paths.logs={logs}", *more])
    folder = os.environ["SMALL_TEXTS"]
    own = {
        "tags": ["data=token_table", f"data.file={folder}/tags.conll", "task=token_classification"],
        "answers": ["data=qa_table", f"data.file={folder}/questions.jsonl", "task=question_answering", *SMALL],
    }
    own |= {task: [*TEXTS, f"data.file={folder}/texts.csv", f"task={task}"] for task in ("causal_lm", "masked_lm")}
    own["joint"] = [
        "data=text_table",
        f"data.file={folder}/texts.csv",
        "task=joint",
        "data.unlabelled=train",
        "task.r_drop=1",
    ]
    pairs = ["data.source=text", "data.target=text", "task.generate={samples: 8, max_new_tokens: 4, num_beams: 1}"]
    own["seq2seq"] = ["data=pair_table", f"data.file={folder}/texts.csv", "task=seq2seq", *pairs]
    data = [
        *own.get(setting, ["data=text_table", f"data.file={folder}/texts.csv"]),
        *("data.batch_size=8", "data.split={val: 0.25, test: 0.33}"),
    ]
    model = ["backbone=transformers", f"backbone.name={folder}/{MODELS[setting]}", "backbone.weights=null"]
    model.append(TWO_PHASES.replace("[head]", "['stage: -1:']") if setting == "seq2seq" else TWO_PHASES)  # tied weights
    without = ("data.", "head=") if setting in own else ("data.",)
    plain = [word for word in BASE if not word.startswith(without)]
    return compose("train", [*plain, *data, *model, f"paths.logs={logs}", *more])


def leaves(value, name=""):
    """Every value in nested containers by its path: tensors as their bytes, what measures time left out."""
    if any(word in name for word in (*TIMED, SHOWN)):
        return {}
    if isinstance(value, torch.Tensor):
        return {name: (str(value.dtype), tuple(value.shape), value.contiguous().numpy().tobytes())}
    if isinstance(value, dict | list | tuple):
        inner = value.items() if isinstance(value, dict) else enumerate(value)
        return {k: v for key, child in inner for k, v in leaves(child, f"{name}/{key}").items()}
    return {name: value}


def bits(folder):
    """Weights, optimizer, schedule, averages, streams, counters, callbacks; and every line that was logged."""
    state = load(folder / "checkpoints" / "last.ckpt")
    del state["callbacks"]["Throughput"], state["resume"]["logged"]  # in bytes, some of which say how fast it was
    best = load(folder / "checkpoints" / "best.ckpt")["state_dict"]
    lines = [row for row in metrics_log.read(folder) if any("/" in k and "per_second" not in k for k in row)]
    found = leaves({"last": state, "best": best, "lines": lines, "count": len(lines)})
    return {k.replace(str(folder), ""): str(v).replace(str(folder), "") for k, v in found.items()}


def differing(one, other):
    """Paths of the values that are not the same."""
    return [k for k in sorted({*one, *other}) if one.get(k) != other.get(k)]


def run_folder(cfg):
    (folder,) = (path.parent for path in Path(cfg.paths.logs).rglob("run.json"))
    return folder


def die():
    raise KilledError


def killed(cfg, monkeypatch, target, count, how=die, expected=KilledError, session=None):
    """Train until a function is called for the count-th time, and let something happen there; give the folder."""
    calls = 0
    owner, name = target
    original = getattr(owner, name)

    def counting(*args, **kwargs):
        nonlocal calls
        calls += 1
        if calls == count:
            how()
        return original(*args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(owner, name, counting)
        with pytest.raises(expected):
            train(cfg, session=session)
    return run_folder(cfg)


def go_on(folder):
    return train(compose("train", [f"resume={folder}"]))


# 6 batches an epoch, 3 epochs or more; saved every 2 steps and at every start of an epoch.
PLACES = {
    "first epoch": ((Task, "training_step"), 4),
    "middle": ((Task, "training_step"), 12),
    "boundary": ((Task, "on_train_epoch_start"), 3),
    "validation": ((Task, "validation_step"), 2),
    "first save": ((checkpoint, "_write_manifest"), 2),
    "save": ((checkpoint, "_write_manifest"), 10),
}
LATER = {
    "start of the third": ((Task, "on_train_epoch_start"), 5),  # it is called twice an epoch
    "third epoch": ((Task, "training_step"), 16),
    "fourth epoch": ((Task, "training_step"), 22),
}
