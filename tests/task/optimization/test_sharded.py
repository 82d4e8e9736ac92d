"""Two ranks whose weights are in shards."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.trainer.states import TrainerFn
from omegaconf import OmegaConf
from ranks import (
    ACCUMULATING,
    AVERAGED,
    KEPT,
    THAWING,
    composed,
    configured,
    differing,
    fitted,
    together,
    weights,
    whole_and_resumed,
)
from torch import distributed, nn
from torch.distributed.tensor import DTensor

from tunesmith.config.build import build
from tunesmith.config.compose import compose
from tunesmith.config.find import package_conf
from tunesmith.errors import ConfigError, PolicyError
from tunesmith.run.assembly.assemble import assemble
from tunesmith.run.callback import non_finite
from tunesmith.run.evaluate import evaluate
from tunesmith.run.evaluation.weights import make
from tunesmith.run.resume.checkpoint import load_weights
from tunesmith.task.optimization.delta import whole
from tunesmith.task.optimization.sharded import Sharded, shard, unshard

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")

# Without BatchNorm, whose statistics would be those of each process's own share.
NET = (
    "backbone=custom",
    "backbone.image_size=16",
    "backbone.stages={first: ['0'], second: ['1', '2'], third: ['3']}",
    "backbone.net._target_=torch.nn.Sequential",
    "+backbone.net._args_=[{_target_: torch.nn.Conv2d, in_channels: 3, out_channels: 8, kernel_size: 3, stride: 2},"
    "{_target_: torch.nn.GroupNorm, num_groups: 2, num_channels: 8}, {_target_: torch.nn.ReLU, inplace: true},"
    "{_target_: torch.nn.Conv2d, in_channels: 8, out_channels: 9, kernel_size: 3}]",
)
FULL = [*KEPT, *NET, "policy=full", "trainer.gradient_clip_val=0.05"]
LORA = ["policy=lora", "rates=layer_decay"]


def share(parts):
    """How many elements this process holds, and how many there are."""
    parameters = list(parts.task.parameters())
    assert all(isinstance(parameter, DTensor) for parameter in parameters)
    if parts.trainer.is_global_zero:  # where one process finds a loss that is NaN, the other does not look along
        assert non_finite._broken(parts.task.named_parameters()) == []
    return [sum(p.to_local().numel() for p in parameters), sum(p.numel() for p in parameters)]


def looks(task):
    """What sharding must leave as it found it: classes, attributes, hooks, and how weights lie in memory."""
    return {
        name: str((type(m), sorted(vars(m)), {k: list(v) for k, v in vars(m).items() if "hooks" in k and v}))
        + str([(n, type(p), p.stride(), p.requires_grad) for n, p in m.named_parameters(recurse=False)])
        for root in (task.backbone, task.head)
        for name, m in root.named_modules()
    }


@pytest.fixture(scope="module")
def ranks(quick_below, tmp_path_factory):
    """What each of two processes came to, in one go."""
    folder, configure, before = tmp_path_factory.mktemp("ranks"), Sharded.configure_ddp, {}
    for words in (FULL, LORA):
        composed(quick_below, *words)

    def configuring(self):
        before.clear()
        before.update(looks(self.lightning_module))
        configure(self)

    def work():
        Sharded.configure_ddp = configuring
        found = {}
        found["full"], found["full, resumed"] = whole_and_resumed(quick_below, folder / "full", "fsdp", *FULL)
        shares = []
        parts = fitted(quick_below, folder / "lora", "fsdp", *LORA, then=lambda parts: shares.extend(share(parts)))
        found |= {"lora": parts.task.state_dict(), "share": shares, "verdict": asdict(parts.self_check.verdict)}
        found["looks"] = [dict(before), looks(parts.task)]
        return found

    return folder, together(folder, work)


def test_they_end_with_the_weights_of_one_process_with_the_doubled_batch(ranks, quick_below, tmp_path):
    _, found = ranks
    for name, words in (("full", FULL), ("lora", LORA)):
        alone = weights(quick_below, tmp_path / name, "one", *words)
        for rank in found:
            assert differing(rank[name], alone, 1e-6) == [], name
    frozen = [name for name in alone if "base_layer" in name or "running" in name]
    assert frozen and not set(frozen) & set(differing(found[0]["lora"], alone))
    for rank in found:
        assert rank["verdict"]["frozen_moved"] == rank["verdict"]["trained_unmoved"] == []
        assert rank["verdict"]["frozen"] >= len(frozen)


def test_each_holds_half_while_it_fits_and_a_plain_module_afterwards(ranks):
    held = [rank["share"] for rank in ranks[1]]
    assert sum(own for own, _ in held) == held[0][1] == held[1][1]
    assert all(own < 0.51 * whole for own, whole in held)
    for rank in ranks[1]:
        before, after = rank["looks"]
        assert before == after


def test_resumed_in_the_middle_of_an_epoch_they_end_with_the_bits_of_those_that_were_not(ranks):
    for rank in ranks[1]:
        assert differing(rank["full, resumed"], rank["full"]) == []


def test_one_process_reads_their_checkpoint(ranks, quick_below, tmp_path):
    folder, found = ranks
    task = assemble(configured(quick_below, tmp_path, "one", *FULL), tmp_path, {}).task.double()
    path = folder / "full" / "checkpoints" / "last.ckpt"
    load_weights(task, path)
    assert differing(task.state_dict(), found[0]["full"]) == []
    (state,) = torch.load(path, weights_only=True)["optimizer_states"]
    shapes = {tuple(moments["exp_avg"].shape) for moments in state["state"].values()}
    assert shapes == {tuple(parameter.shape) for parameter in task.parameters()}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            "policy=lp_ft policy.patience=1 policy.phases.1.optimizer={_target_:torch.optim.Rprop,lr:0.1} head=cosine "
            "callback=[quiet,ema,l2_sp] trainer.precision=bf16-true trainer.sync_batchnorm=true",
            "EMA and L2SP and optimizer torch.optim.Rprop and a policy that waits for a plateau and "
            "trainer.sync_batchnorm=true and trainer.precision=bf16-true and the single number head.log_scale",
        ),
        ("head=ridge policy=linear_probe trainer.devices=1", "a head that is fitted"),
        ("head=mlp head.dropout=0.1 task.r_drop=1", r"two passes in a step \(task.r_drop\)"),
        (
            "debug=lr_find paths.run=. policy=full optimizer._target_=torch.optim.Adafactor",
            "RateFinder and optimizer torch.optim.Adafactor",
        ),
    ],
)
def test_what_nobody_has_shown_to_hold_in_shards_is_refused_before_anything_trains(words, said, quick, tmp_path):
    cfg = quick("trainer=fsdp", "trainer.accelerator=cpu", *words.split(), samples=60)
    with pytest.raises(ConfigError, match=f"with trainer=fsdp, but got {said}; use trainer=ddp"):
        assemble(cfg, tmp_path, {})


@pytest.mark.parametrize(("model", "refused"), [("t5", True), ("bart", False)])
def test_a_model_whose_blocks_use_weights_of_each_other(model, refused, quick, tmp_path, texts, small_text):
    words = ["data=text_table", f"data.file={texts}", "backbone=transformers", "backbone.weights=null"]
    cfg = quick("trainer=fsdp", "trainer.accelerator=cpu", *words, f"backbone.name={small_text(model)}")
    said = r"but got a model whose blocks use weights of each other, such as T5; use trainer=ddp"
    with pytest.raises(ConfigError, match=said) if refused else contextlib.nullcontext():
        assemble(cfg, tmp_path, {})


def test_a_lightning_that_shards_nowhere_is_refused(monkeypatch):
    monkeypatch.setattr(DDPStrategy, "setup", lambda *a: None)
    trainer = SimpleNamespace(state=SimpleNamespace(fn=TrainerFn.FITTING))
    with pytest.raises(PolicyError, match=r"Lightning 2.6.\*"):
        Sharded().setup(trainer)


# ── the long tier ───────────────────────────────────────────────────────────────────────────────────────────────────

ALIKE = {
    "thawing": [THAWING],
    "accumulating": [*ACCUMULATING, "trainer.gradient_clip_val=0.05"],
    "clipped by value": ["policy=full", "trainer.gradient_clip_val=1e-3", "+trainer.gradient_clip_algorithm=value"],
    "statistics": ["policy=full", "trainer.precision=32-true", "optimizer=sgd"],
    "bf16": ["policy=full", "trainer.precision=bf16-mixed", "optimizer=adam"],
    "dora": ["policy=dora"],
    "ia3": ["policy=ia3"],
    "bitfit": ["policy=bitfit"],
    "norm_only": ["policy=norm_only"],
    "surgical": ["policy=surgical", "policy.chosen=[stage2]"],
    "gradual": ["policy=gradual", "rates=ramp", "+rates.thaw_warmup=0.5"],
    "chain": ["policy=chain"],
    "cached features": ["policy=linear_probe", "cache=auto", "data.augment=none"],
    "cached maps": ["policy=last_stages", "policy.stages=1", "cache=auto", "data.augment=none"],
    "stage_features": ["policy=full", "head=multi_stage"],
}


@pytest.mark.long
def test_every_policy_gives_the_weights_that_ddp_gives(quick_below, tmp_path):
    def work():
        found = {}
        for kind in ("ddp", "fsdp"):
            folder = tmp_path / kind
            found |= {(n, kind): weights(quick_below, folder / n, kind, *words) for n, words in ALIKE.items()}
            parts = fitted(quick_below, folder / "averages", kind, *AVERAGED)
            found["averages", kind] = [make(parts, folder / "averages", name) for name in ("wise_ft", "greedy_soup")]
        found["thaw"], found["thaw, resumed"] = whole_and_resumed(
            quick_below, tmp_path / "thaw", "fsdp", *KEPT, THAWING
        )
        return found

    for rank in together(tmp_path, work):
        for name in ALIKE:
            assert differing(rank[name, "fsdp"], rank[name, "ddp"], 1e-12) == [], name
        assert rank["averages", "fsdp"] == rank["averages", "ddp"]
        assert differing(rank["thaw, resumed"], rank["thaw"]) == []


def backbones():
    """One of each family, with random weights."""
    listed = yaml.safe_load(Path(__file__).parents[2].joinpath("families.yaml").read_text())
    for name, overrides in listed.items():
        node = OmegaConf.load(package_conf() / "backbone" / f"{name.partition('/')[0]}.yaml")
        node.update({"weights": None} if "weights" in node else {})
        yield name, build(OmegaConf.merge(node, overrides))


@pytest.mark.long
def test_every_family_has_the_gradients_in_shards_that_it_has_whole(tmp_path, random_input):
    def work():
        distributed.init_process_group("gloo", rank=int(os.environ["LOCAL_RANK"]), world_size=2)
        found = {}
        for name, backbone in backbones():
            if not getattr(backbone, "apart", True):
                continue  # it is refused
            backbone.double().eval()
            torch.manual_seed(0)
            x = random_input(backbone)
            x = x.double() if isinstance(x, torch.Tensor) else x
            sides = []
            for sharded in (False, True):
                plain = shard(backbone, nn.Linear(1, 1), torch.device("cpu")) if sharded else {}
                backbone(x).pooled.square().sum().backward()
                sides.append({n: whole(p.grad) for n, p in backbone.named_parameters() if p.grad is not None})
                backbone.zero_grad()
            unshard(plain)
            found[name] = {n: float((sides[0][n] - sides[1][n]).abs().max()) for n in sides[0]}
            assert sides[0].keys() == sides[1].keys()
        return found

    one, other = together(tmp_path, work)
    for name in one:
        assert one[name] and max(one[name].values()) < 1e-9, name
    assert one == other


DRIVER = """
import os, signal, sys
from tunesmith.task.base import Task

step, count = Task.training_step, 0

def counting(*args):
    global count
    count += 1
    if count == 7 and os.environ.get("LOCAL_RANK", "0") == os.environ["KILLED"]:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(*args)

Task.training_step = counting
from tunesmith.__main__ import main
main()
"""


@pytest.mark.long
@pytest.mark.parametrize("policy", ["full", "lora"])
def test_as_a_user_meets_it(policy, tmp_path):
    """Trained, killed, gone on with, evaluated and predicted with, by command lines in processes of their own."""
    words = [f"policy={policy}", "trainer=fsdp", "trainer.accelerator=cpu", "trainer.max_epochs=3", "logger=none"]
    words += ["data.samples=120", "data.batch_size=8", "callback.last.every_n_train_steps=2", "plots=false"]

    driver = tmp_path / "driver.py"  # a file, which the first process starts the second one from
    driver.write_text(DRIVER)

    def run(name, *more, killed="none"):
        command = [sys.executable, str(driver), "train", *words, f"name={name}", f"paths.logs={tmp_path}", *more]
        code = subprocess.run(command, cwd=tmp_path, check=False, env=os.environ | {"KILLED": killed}).returncode
        (path,) = (tmp_path / name).glob("*/run.json")
        return code, path.parent

    code, expected = run("whole")
    assert code == 0
    code, folder = run("killed", killed="0")
    assert code == -signal.SIGKILL
    assert run("killed", "resume=auto") == (0, folder)
    last = [torch.load(f / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"] for f in (folder, expected)]
    assert differing(*last) == []
    metrics = json.loads((folder / "run.json").read_text())["metrics"]
    outcome = evaluate(compose("evaluate", [f"run={folder}", "accelerator=cpu"]))
    assert outcome.metrics == pytest.approx({k: v for k, v in metrics.items() if k.startswith("test/")}, abs=1e-6)
    assert metrics["test/accuracy"] > 0.3
