"""Two processes that train together: forked once, for all that they are to show."""

from __future__ import annotations

import functools
import multiprocessing
import os
import shutil
import socket
import traceback
from pathlib import Path

import torch
import torch._dynamo  # which sharding imports; once here instead of in each process
from omegaconf import OmegaConf

from tunesmith.config.find import package_conf
from tunesmith.run.assembly.assemble import assemble
from tunesmith.run.record.quiet import quiet
from tunesmith.run.resume.checkpoint import POSITION
from tunesmith.task.base import Task


def together(folder, work):
    """Let two processes do some work, as torchrun would start them, and give what each of them returned."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    children = [multiprocessing.get_context("fork").Process(target=_work, args=(r, port, folder, work)) for r in (0, 1)]
    for child in children:
        child.start()
    while any(child.is_alive() for child in children):
        for child in children:
            child.join(0.05)
            if child.exitcode:  # the other one waits for it
                for other in children:
                    other.terminate()
    said = [path.read_text() for path in sorted(folder.glob("error*"))]
    assert not said and not any(child.exitcode for child in children), "\n".join(said)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in (0, 1)]


def _work(rank, port, folder, work):
    os.environ |= {"LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    try:
        with quiet():
            torch.save(work(), folder / f"{rank}.pt")
        code = 0
    except BaseException:
        (folder / f"error{rank}").write_text(traceback.format_exc())
        code = 1
    os._exit(code)  # nothing of the parent's is to be cleaned up here


@functools.cache
def composed(quick, *words):
    """The configuration of a run, composed once: in the parent, where all processes are to have it."""
    common = ["trainer.max_epochs=3", "trainer.precision=64-true", "test=null", "callback=none", "cache=off"]
    return quick(Path("logs"), *common, *words)


def configured(quick, folder, kind, *words):
    """That configuration for a folder, and for one process or for two with an option of conf/trainer."""
    folder.mkdir(parents=True, exist_ok=True)
    cfg = composed(quick, *words).copy()
    OmegaConf.set_struct(cfg, False)
    if kind != "one":
        own = OmegaConf.load(package_conf() / "trainer" / f"{kind}.yaml")
        cfg.trainer.update({key: value for key, value in own.items() if key != "defaults"})
    cfg.data.batch_size = 16 if kind == "one" else 8
    cfg.paths.run = str(folder)
    return cfg


def fitted(quick, folder, kind, *words, ckpt_path=None, then=None):
    """Fit in double precision, with 16 images a step in all; give the parts.

    Args:
        kind: One process, or which strategy of two.
        then: Called in each process with the parts, before they are taken down.
    """
    torch.manual_seed(0)
    parts = assemble(configured(quick, folder, kind, *words), folder, {})
    parts.task.on_train_end = lambda: then and then(parts)
    with quiet():
        parts.trainer.fit(parts.task, datamodule=parts.data, ckpt_path=ckpt_path, weights_only=True)
    return parts


def weights(*args, **options):
    """What `fitted` ended with, by name."""
    return {name: tensor.clone() for name, tensor in fitted(*args, **options).task.state_dict().items()}


def differing(one, other, tolerance=0.0):
    assert one.keys() == other.keys()
    return [k for k in one if not torch.allclose(one[k].double(), other[k].double(), rtol=0, atol=tolerance)]


# Norms stay frozen: their statistics would be those of each process's own share.
THAWING = (
    "policy.phases=[{train: [head], epochs: 1}, {train: [all], freeze: [norm, 'stage: :2'], epochs: 1},"
    "{train: [all], freeze: [norm], optimizer: {_target_: torch.optim.SGD, lr: 0.05, momentum: 0.9}}]"
)
ACCUMULATING = [THAWING, "rates=layer_decay", "trainer.accumulate_grad_batches=2"]
# Both kinds of averages of one run.
AVERAGED = ["policy=last_stages", "policy.stages=1", "test=wise_ft", "callback=[quiet,soup]", "optimizer.lr=0.03"]
KEPT = [
    *("callback=quiet", "callback.last.every_n_train_steps=1", "callback.last.every_n_minutes=null"),
    "rates=layer_decay",
]
"""Options of a run that is interrupted."""


def whole_and_resumed(quick, folder, kind, *words, place=(2, 1)):
    """Weights of a run that was never interrupted, and of one that went on from where a kill would have left it.

    What a kill at a place leaves is what lies in the folder then, which is copied; the words hold `KEPT`.
    """
    step, killed = Task.training_step, folder.with_name(f"{folder.name}_killed")

    def copying(self, batch, batch_idx):
        if (self.current_epoch, batch_idx) == place and self.trainer.is_global_zero:
            shutil.copytree(folder, killed)
        return step(self, batch, batch_idx)

    Task.training_step = copying
    try:
        whole = weights(quick, folder, kind, *words)
    finally:
        Task.training_step = step
    last = killed / "checkpoints" / "last.ckpt"
    there = torch.load(last, weights_only=True)[POSITION]
    assert (there["epoch"], there["batch"]) == place
    return whole, weights(quick, killed, kind, *words, ckpt_path=last)
