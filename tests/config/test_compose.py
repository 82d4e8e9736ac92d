"""Tests of composing outside the command line: it comes to what Hydra makes of the same words."""

import pytest
from omegaconf import OmegaConf

from tunesmith.config import find, hydra_app, overrides
from tunesmith.config.compose import compose

EXPERIMENTS = sorted(path.stem for path in (find.package_conf() / "experiment").glob("*.yaml"))
WORDS = [
    *([f"experiment={name}"] for name in EXPERIMENTS),
    ["trainer.limit_train_batches=2", "+trainer.limit_val_batches=0.5", "++trainer.max_epochs=3", "~callback.progress"],
    ["data=digits", "backbone=tiny", "callback=[default,ema]", "optimizer.lr=1e-2", "seed=7", "tags=[a,b]"],
    ["policy=custom", "policy.phases=[{train: [head], epochs: 1}, {train: [all]}]", "name='a b'"],
    ["head._target_=tunesmith.head.mlp.Mlp", "head.dropout=0.1", "paths.logs=elsewhere"],
]


@pytest.mark.parametrize("words", WORDS, ids=" ".join)
def test_it_is_what_hydra_composes(words):
    composed = compose("train", words)
    dirs = find.conf_dirs([])
    hydra = hydra_app.start("train", dirs)
    ready = overrides.prepare(hydra, "train", words, dirs)
    theirs = hydra_app.alone(hydra_app.settled(hydra_app.load(hydra, "train", ready.overrides)))
    assert OmegaConf.to_yaml(composed) == OmegaConf.to_yaml(theirs)
