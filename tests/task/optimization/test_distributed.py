"""Two ranks through thaws, interruptions, and what is chosen after training."""

from __future__ import annotations

import re
from functools import partial
from types import SimpleNamespace

import lightning
import numpy as np
import pandas as pd
import pytest
from lightning.pytorch.strategies import DDPStrategy, FSDPStrategy, SingleDeviceStrategy
from PIL import Image
from ranks import (
    ACCUMULATING,
    AVERAGED,
    KEPT,
    THAWING,
    composed,
    differing,
    fitted,
    together,
    weights,
    whole_and_resumed,
)

from tunesmith.errors import PolicyError
from tunesmith.run.callback.lr_find import RateFinder
from tunesmith.run.evaluation.weights import make, wise_ft
from tunesmith.run.record.quiet import quiet
from tunesmith.task import base
from tunesmith.task.optimization import distributed
from tunesmith.task.optimization.delta import digests

# From Python 3.12 on a fork beside threads is warned of; these have no locks that a child would wait for.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")

WAITING = (
    "policy.phases=[{train: [head], epochs: 9, patience: 1, min_delta: 9},"
    "{train: [all], freeze: [norm], optimizer: {_target_: torch.optim.SGD, lr: 0.05, momentum: 0.9}}]"
)


SETTINGS = {
    "thawing": [*KEPT, THAWING],
    "waiting": [*KEPT, WAITING],
    "accumulating": ACCUMULATING,
    "averaged": AVERAGED,
    "moving": ["policy=lora", "rates=ramp", "callback=[quiet,ema,l2_sp]", "optimizer.weight_decay=0"],
    "rates": ["policy=lora", "debug=lr_find", "trainer.max_epochs=99", "trainer.max_steps=20"],
}


def found_rates(*args):
    """What a search for rates finds, and what it leaves."""
    parts = fitted(*args)
    (finder,) = (c for c in parts.trainer.callbacks if isinstance(c, RateFinder))
    return {"losses": finder.losses, "interval": finder.interval, "left": digests(parts.task)}


@pytest.fixture(scope="module")
def ranks(quick_below, tmp_path_factory):
    """What each of two processes came to, in one go."""
    folder = tmp_path_factory.mktemp("ranks")
    for words in SETTINGS.values():
        composed(quick_below, *words)

    def work():
        found = {}
        for name in ("thawing", "waiting"):
            both = whole_and_resumed(quick_below, folder / name, "ddp", *SETTINGS[name])
            found[name], found[f"{name}, resumed"] = both
        for name in ("accumulating", "moving"):
            found[name] = weights(quick_below, folder / name, "ddp", *SETTINGS[name])
        found["rates"] = found_rates(quick_below, folder / "rates", "ddp", *SETTINGS["rates"])
        parts = fitted(quick_below, folder / "averaged", "ddp", *AVERAGED)
        for maker in ("wise_ft", "greedy_soup"):
            found[maker] = make(parts, folder / "averaged", maker)
        found["tested"] = digests(parts.task)
        base.rewrap = lambda *a: None
        found["not wrapped anew"] = weights(quick_below, folder / "control", "ddp", *SETTINGS["thawing"])
        return found

    return folder, together(folder, work)


def test_ranks_stay_equal_to_each_other_and_to_one_process_with_the_doubled_batch(ranks, quick_below, tmp_path):
    _, (first, second) = ranks
    for name in ("thawing", "waiting", "accumulating", "moving"):
        assert differing(first[name], second[name]) == [], name
        alone = weights(quick_below, tmp_path / name, "one", *SETTINGS[name])
        assert differing(first[name], alone, 1e-6) == [], name
    # Negative control: so much does wrapping anew matter.
    assert differing(first["not wrapped anew"], second["not wrapped anew"])


def test_resumed_in_the_middle_of_a_phase_they_end_with_the_bits_of_those_that_were_not(ranks):
    for rank in ranks[1]:
        for name in ("thawing", "waiting"):
            assert differing(rank[f"{name}, resumed"], rank[name]) == [], name


@pytest.mark.long
def test_language_models_too(quick_below, small_text, texts, tmp_path):
    """An encoder, a decoder and both; the decoder has no dropout, which two processes draw otherwise than one."""
    data = ["data=text_table", f"data.file={texts}", "backbone=transformers", "backbone.weights=null", THAWING]
    data.append("data.split={val: 0.125, test: 0.25}")  # whole steps
    models = {name: [*data, f"backbone.name={small_text(name)}"] for name in ("bert", "llama", "t5")}
    models["joint"] = [*models["llama"], "task=joint", "data.unlabelled=train", "task.lm_loss_weight=1"]
    work = {n: partial(weights, quick_below, tmp_path / n, "ddp", *words) for n, words in models.items()}
    first, second = together(tmp_path, lambda: {name: run() for name, run in work.items()})
    for name in models:
        assert differing(first[name], second[name]) == [], name
    for name in ("llama", "joint"):
        alone = weights(quick_below, tmp_path / "one" / name, "one", *models[name])
        assert differing(first[name], alone, 1e-6) == [], name


def measured(*args):
    """What validation came to, behind the last epoch."""
    metrics = fitted(*args).trainer.callback_metrics
    return {name: float(value) for name, value in metrics.items() if name.startswith("val/")}


@pytest.mark.long
def test_metrics_of_texts_are_those_of_one_process(quick_below, small_text, texts, tmp_path):
    """Perplexity is of all tokens, of which the processes have different numbers; written texts are scored together."""
    (tmp_path / "lines").mkdir()
    lines = [" ".join(["good", "film", "very", "dull", "a"][: 1 + i * 7 % 5]) for i in range(96)]
    (tmp_path / "lines" / "plain.txt").write_text("\n".join(lines))
    split = (
        "data.split={val: 0.135, test: 0.26, by: random}"  # 13 of 96 and 17 of 128 to validate: one rank has one more
    )
    model = ["backbone=transformers", "backbone.weights=null", "optimizer.lr=0.01", split]
    plain = ["data=text_files", f"data.file={tmp_path}/lines", "data.block_size=null", "task=causal_lm"]
    pairs = ["data=pair_table", f"data.file={texts}", "data.source=text", "data.target=text", "task=seq2seq"]
    generate = "task.generate={samples: 8, max_new_tokens: 4, num_beams: 1}"
    settings = {
        "llama": [*plain, *model, f"backbone.name={small_text('llama')}"],
        "bart": [*pairs, *model, f"backbone.name={small_text('bart')}", generate, "optimizer.lr=0"],  # it has dropout
    }
    work = {n: partial(measured, quick_below, tmp_path / n, "ddp", *words) for n, words in settings.items()}
    first, second = together(tmp_path, lambda: {name: run() for name, run in work.items()})
    for name, words in settings.items():
        alone = measured(quick_below, tmp_path / "one" / name, "one", *words)
        assert first[name] == second[name] == pytest.approx(alone, abs=1e-4), name
    assert {"val/perplexity", "val/loss"} <= first["llama"].keys() and {"val/rougeL", "val/bleu"} <= first[
        "bart"
    ].keys()


@pytest.mark.long
def test_where_processes_have_different_numbers_of_tokens_the_step_is_that_of_one(
    quick_below, small_text, tmp_path, monkeypatch
):
    """Sentences of one to seven words: the mean is over all of a step, and not of two means."""
    lengths = [1 + i * 5 % 7 for i in range(96)]
    (tmp_path / "tags.conll").write_text("\n".join("good B-X\n" + "film O\n" * (length - 1) for length in lengths))
    words = ["data=token_table", f"data.file={tmp_path}/tags.conll", "task=token_classification", "head.dropout=0"]
    words += ["backbone=transformers", f"backbone.name={small_text('llama')}", "backbone.weights=null", THAWING]
    words.append("data.split={val: 0.125, test: 0.20833}")  # whole steps
    first, second = together(tmp_path, lambda: weights(quick_below, tmp_path / "two", "ddp", *words))
    alone = weights(quick_below, tmp_path / "one", "one", *words)
    assert differing(first, second) == [] == differing(first, alone, 1e-6)

    def work():
        monkeypatch.setattr("tunesmith.task.loss.term.mean_of_processes", lambda number, device: number)
        return weights(quick_below, tmp_path / "control", "ddp", *words)

    assert differing(together(tmp_path, work)[0], alone, 1e-6)  # negative control


@pytest.mark.long
def test_batches_and_processes_of_a_step_give_one_gradient(quick_below, small_text, tmp_path):
    """Classes whose samples have weights, tags of sentences of one to seven words, and the joint objective.

    The last step of an epoch has fewer batches than others; none of the models has dropout.
    """
    rng, images = np.random.default_rng(0), tmp_path / "images"
    images.mkdir()
    for i in range(80):
        Image.fromarray(rng.integers(0, 256, (12, 12, 3), dtype=np.uint8)).save(images / f"{i}.png")
    table = pd.DataFrame({"path": [f"{i}.png" for i in range(80)], "label": [f"c{i % 3}" for i in range(80)]})
    table.assign(weight=rng.uniform(0, 2, 80)).to_csv(images / "table.csv", index=False)
    lengths = [1 + i * 5 % 7 for i in range(80)]
    (tmp_path / "tags.conll").write_text("\n".join("good B-X\n" + "film O\n" * (length - 1) for length in lengths))
    lines = "".join(f"good film {'very ' * (i % 5)},{'ab'[i % 2]}\n" for i in range(80))
    (tmp_path / "texts.csv").write_text("text,label\n" + lines)
    model = ["backbone=transformers", f"backbone.name={small_text('llama')}", "backbone.weights=null"]
    joint = ["data=text_table", f"data.file={tmp_path}/texts.csv", "task=joint", "data.unlabelled=train"]
    common = [THAWING, "trainer.accumulate_grad_batches=2", "data.split={val: 0.2, test: 0.2}"]  # 48 train: 3 batches
    kinds = {
        "class": ["data=image_table", f"data.file={images}/table.csv", "data.labels=label", "data.weight=weight"],
        "tags": ["data=token_table", f"data.file={tmp_path}/tags.conll", "task=token_classification", *model],
        "joint": [*joint, *model],
    }
    kinds = {name: [*words, *common, *(["head.dropout=0"] if name != "class" else [])] for name, words in kinds.items()}
    for words in kinds.values():
        composed(quick_below, *words)
    work = {name: partial(weights, quick_below, tmp_path / name, "ddp", *words) for name, words in kinds.items()}
    first, second = together(tmp_path, lambda: {name: run() for name, run in work.items()})
    for name, words in kinds.items():
        assert differing(first[name], second[name]) == [], name
        alone = weights(quick_below, tmp_path / "one" / name, "one", *words)
        assert differing(first[name], alone, 1e-6) == [], name


def test_both_evaluate_the_same_averages_and_choose_the_same_and_as_one_process_would(ranks, quick_below, tmp_path):
    folder, (first, second) = ranks
    for name in ("wise_ft", "greedy_soup", "tested"):
        assert first[name] == second[name]
    assert len(set(first["wise_ft"]["values"].values())) > 1 < len(first["greedy_soup"]["ingredients"])
    parts = fitted(quick_below, tmp_path / "one", "one", *AVERAGED)
    with quiet():
        alone = wise_ft(parts, folder / "averaged" / "checkpoints")[1]
    assert alone["values"] == pytest.approx(first["wise_ft"]["values"], abs=1e-9)
    assert alone["alpha"] == first["wise_ft"]["alpha"]


def test_both_find_the_rates_that_one_process_finds(ranks, quick_below, tmp_path):
    first, second = (rank["rates"] for rank in ranks[1])
    alone = found_rates(quick_below, tmp_path / "alone", "one", *SETTINGS["rates"])
    assert first == second and alone["left"] == first["left"] and alone["interval"] == first["interval"]
    assert alone["losses"] == pytest.approx(first["losses"], rel=1e-5) and len(set(alone["losses"])) > 10


def test_other_strategies_and_for_several_phases_other_versions_are_refused(monkeypatch):
    for strategy in (DDPStrategy(), SingleDeviceStrategy()):
        assert not [*distributed.phases_mistakes(strategy, 1), *distributed.phases_mistakes(strategy, 3)]
    for phases in (1, 3):
        (sentence,) = distributed.phases_mistakes(FSDPStrategy(), phases)
        assert re.search(r"strategy to be auto or ddp.* but got FSDPStrategy; use trainer=ddp", sentence)
    monkeypatch.setattr(lightning, "__version__", "2.7.0")
    assert not list(distributed.phases_mistakes(SingleDeviceStrategy(), 3))
    (sentence,) = distributed.phases_mistakes(DDPStrategy(), 3)
    assert re.search(r"Lightning 2.6.\*.*but got 2.7.0.*trainer.devices=1", sentence)
    with pytest.raises(PolicyError, match=r"got 2\.7\.0"):
        distributed.rewrap(DDPStrategy(), SimpleNamespace())


def test_the_installed_lightning_is_known():
    assert lightning.__version__.startswith(distributed.KNOWN)
