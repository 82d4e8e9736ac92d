"""Every policy that is shipped, with one or another way of spreading rates, for a few epochs."""

from __future__ import annotations

from itertools import cycle

import pytest
import torch

from tunesmith.config.find import package_conf
from tunesmith.run.assembly.assemble import assemble
from tunesmith.run.record.quiet import quiet

NEEDED = {
    "policy=last_stages": "policy.stages=1",
    "policy=lp_ft": "policy.probe_epochs=1",
    "policy=plateau": "policy.epochs=1",
}
POLICIES = [f"policy={path.stem}" for path in sorted((package_conf() / "policy").glob("*.yaml"))]
RATES = [
    "rates=uniform",
    "rates=layer_decay",
    "rates=ramp",
    "rates=head_multiplier",
    "rates=layer_decay +rates.thaw_warmup=1.5",
]


@pytest.mark.parametrize(("policy", "rates"), list(zip(POLICIES, cycle(RATES), strict=False)))
def test_frozen_is_frozen_the_rest_moves_and_groups_stay_what_they_are(policy, rates, quick, tmp_path):
    words = [policy, *rates.split(), NEEDED.get(policy, "test=null"), "test=null", "cache=off", "callback=none"]
    words += ["trainer.max_epochs=4", "optimizer.lr=0.01", "data.batch_size=18", f"paths.run={tmp_path}"]
    parts = assemble(quick(*words, samples=60), tmp_path, {})
    task, seen = parts.task, []
    start = {name: tensor.clone() for name, tensor in task.state_dict().items()}
    task.on_train_epoch_end = lambda: seen.append(
        [(g["name"], len(g["params"])) for g in task.optimizers().param_groups]
    )
    with quiet():
        parts.trainer.fit(task, datamodule=parts.data)
    moved = {name for name, tensor in task.state_dict().items() if not torch.equal(tensor, start[name])}
    trained = frozenset().union(*(phase.trainable for phase in task.table.phases if phase.first_epoch < 4))
    parameters = dict(task.named_parameters())
    assert moved & parameters.keys() == trained
    for name in moved - trained:  # statistics of a normalisation that trained
        owner = name.rpartition(".")[0]
        assert f"{owner}.weight" in trained and f"{owner}.bias" in trained, name
    assert parts.self_check.verdict.frozen_moved == parts.self_check.verdict.trained_unmoved == []
    assert len(seen) == 4 and all(groups == seen[0] for groups in seen)
    assert sum(count for _, count in seen[0]) == len(parameters)
