"""Derive weights after training: without the average, interpolated, or averaged over epochs.

Every choice is made on validation by the monitored metric, before testing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor

from tunesmith.compat.lightning import unlogged
from tunesmith.contract.checkpoint import Checkpoint
from tunesmith.errors import ConfigError
from tunesmith.run.assembly.assemble import Parts
from tunesmith.run.callback.callback import Ingredients
from tunesmith.run.evaluation.outcome import test_split
from tunesmith.run.record.schema import Ingredient, Selection
from tunesmith.run.resume.checkpoint import CheckpointIO, load
from tunesmith.task.calibration import Calibration
from tunesmith.task.optimization.delta import complete

State = dict[str, Tensor]

ALPHAS = (0.0, 0.25, 0.5, 0.75, 1.0)


def make(parts: Parts, folder: Path, name: str | None) -> Selection:
    """Derive the weights to test, if ``test`` names derived ones, and save them as a checkpoint.

    Returns:
        For the record, the monitored metric, its values on validation, and the choice; empty if nothing was derived.
    """
    if name not in MAKERS or not (folder / "checkpoints" / "best.ckpt").is_file():
        return {}
    with _validating(parts):
        state, about = MAKERS[name](parts, folder / "checkpoints")
    _save(parts, folder / "checkpoints" / f"{name}.ckpt", state)
    return {"weights": name, "metric": parts.task.monitor, **about}


def without_average(parts: Parts, folder: Path, name: str | None) -> dict[str, float]:
    """Evaluate averaged and raw weights of one checkpoint, if the run kept an average, and save the raw ones.

    Neither has a calibration.

    Args:
        parts: The trained run.
        folder: Run folder.
        name: Value of ``test``: ``last`` for the last epoch, else the best; ``None`` for no test.

    Returns:
        Metrics by ``averaged/val/…``, ``raw/val/…`` and, if the run is tested, the same for test.
    """
    path = folder / "checkpoints" / ("last.ckpt" if name == "last" else "best.ckpt")
    if not any(isinstance(c, WeightAveraging) for c in parts.trainer.callbacks) or not path.is_file():
        return {}
    states = _whole(parts, path)
    splits = [s for s in ("val", "test") if s in parts.data.counts() and (s == "val" or name)]
    found: dict[str, float] = {}
    for kind, state in (("averaged", states["state_dict"]), ("raw", states["current_model_state"])):
        for split in splits:
            with _validating(parts):
                values = _metrics(parts, state, split)
            found |= {f"{kind}/{key}": value for key, value in values.items()}
    _save(parts, folder / "checkpoints" / "raw.ckpt", states["current_model_state"])
    return found


def wise_ft(parts: Parts, checkpoints: Path) -> tuple[State, Selection]:
    """Interpolate between the initial and the best weights (Wortsman et al. 2022, WiSE-FT).

    The head, initially random, is not interpolated; BatchNorm statistics are. Ties go to the larger ``alpha``.
    """
    best = _whole(parts, checkpoints / "best.ckpt")["state_dict"]
    values = {alpha: _score(parts, interpolated(parts.start, best, alpha)) for alpha in ALPHAS}
    chosen = max(ALPHAS, key=lambda alpha: (_sign(parts) * values[alpha], alpha))
    about: Selection = {"values": {str(alpha): value for alpha, value in values.items()}, "alpha": chosen}
    return interpolated(parts.start, best, chosen), about


def uniform_soup(parts: Parts, checkpoints: Path) -> tuple[State, Selection]:
    """Average the best epochs' weights (Wortsman et al. 2022, Model soups)."""
    states, about = _ingredients(parts)
    soup = mean(states)
    return soup, {"ingredients": [{**a, "used": True} for a in about], "value": _score(parts, soup)}


def greedy_soup(parts: Parts, checkpoints: Path) -> tuple[State, Selection]:
    """Average the best epochs' weights, best first, keeping those that do not lower validation (as above)."""
    states, about = _ingredients(parts)
    used, value = [states[0]], _score(parts, states[0])
    record: list[Ingredient] = [{**about[0], "used": True}]
    for state, of in zip(states[1:], about[1:], strict=True):
        tried = _score(parts, mean([*used, state]))
        better = _sign(parts) * (tried - value) >= 0
        if better:
            used, value = [*used, state], tried
        record.append({**of, "used": better})
    return mean(used), {"ingredients": record, "value": value}


MAKERS = {"wise_ft": wise_ft, "uniform_soup": uniform_soup, "greedy_soup": greedy_soup}


def interpolated(start: Mapping[str, Tensor], end: Mapping[str, Tensor], alpha: float) -> State:
    """Interpolate from ``start`` (``alpha`` 0) to ``end`` (1); tensors only in ``end`` are kept."""
    return {name: torch.lerp(start[name], tensor, alpha) if name in start else tensor for name, tensor in end.items()}


def mean(states: Sequence[Mapping[str, Tensor]]) -> State:
    """Average floating-point tensors; equal tensors keep their bits, and counters are the first state's."""

    def of(name: str) -> Tensor:
        tensors = [state[name] for state in states]
        first = tensors[0]
        if not first.is_floating_point() or all(torch.equal(first, other) for other in tensors[1:]):
            return first
        return torch.stack([t.double() for t in tensors]).mean(dim=0).to(first.dtype)

    return {name: of(name) for name in states[0]}


def check(name: str | None, parts: Parts) -> None:
    """Check before training that the run can derive the weights to test.

    Raises:
        ConfigError: There is no monitored metric, no average, no kept epoch, or nothing to interpolate.
    """
    callbacks = parts.trainer.callbacks
    if name == "raw" and not any(isinstance(c, WeightAveraging) for c in callbacks):
        raise ConfigError("Expected averaged weights for test=raw but got none: add callback=[default,ema].")
    if name not in MAKERS:
        return
    if parts.task.monitor is None:
        raise ConfigError(f"Expected a validation split to choose weights by for test={name} but got none.")
    if name == "wise_ft" and not parts.start:
        raise ConfigError(
            "Expected a policy that trains weights of the backbone itself for test=wise_ft, which interpolates them "
            "with their initial values, but got one that trains none, or adapters; use policy=full, say."
        )
    if name != "wise_ft" and not any(isinstance(c, Ingredients) for c in callbacks):
        raise ConfigError(
            f"Expected the best epochs to be kept for test={name} but got none: add callback=[default,soup]."
        )


def sentences(made: Selection, metrics: Mapping[str, float], name: str | None, monitor: str | None) -> Iterator[str]:
    """Yield sentences on which weights are tested, and on the alternatives."""
    if "alpha" in made:
        values = ", ".join(f"at {float(alpha):g} {value:.4f}" for alpha, value in made["values"].items())
        yield f"Weights at {made['alpha']:g} of the way from the first to the best; {made['metric']}: {values}."
    if "ingredients" in made:
        used = [of["epoch"] for of in made["ingredients"] if of["used"]]
        yield (
            f"Averaged {len(used)} of the {len(made['ingredients'])} best epochs ({', '.join(map(str, used))}); "
            f"{made['metric']}: {made['value']:.4f}, the best one alone {made['ingredients'][0]['value']:.4f}."
        )
    if f"raw/{monitor}" in metrics:
        which = "raw weights are" if name == "raw" else "averaged weights are"
        values = ", ".join(f"{kind} {metrics[f'{kind}/{monitor}']:.4f}" for kind in ("averaged", "raw"))
        yield f"The {which} tested; {monitor}: {values}."


def _ingredients(parts: Parts) -> tuple[list[State], list[Ingredient]]:
    """Return the weights of the kept epochs, best first, with epoch and monitored value of each."""
    (kept,) = (c for c in parts.trainer.callbacks if isinstance(c, Ingredients))
    scores = sorted(kept.best_k_models.items(), key=lambda item: (-_sign(parts) * float(item[1]), item[0]))
    loaded = [_whole(parts, Path(path)) for path, _ in scores]
    about = [Ingredient(epoch=c["epoch"], value=float(s)) for c, (_, s) in zip(loaded, scores, strict=True)]
    return [c["state_dict"] for c in loaded], about


def _whole(parts: Parts, path: Path) -> Checkpoint:
    """Load a checkpoint with the frozen tensors that it leaves out, which are those of the task."""
    checkpoint = load(path)
    complete(checkpoint, parts.task, str(path))
    for key in ("state_dict", "current_model_state"):
        if key in checkpoint:
            # Cloned, since the restored tensors are the task's own, which are about to be overwritten.
            checkpoint[key] = {name: tensor.detach().cpu().clone() for name, tensor in checkpoint[key].items()}
    return checkpoint


def _sign(parts: Parts) -> int:
    return 1 if parts.task.mode == "max" else -1


def _score(parts: Parts, state: Mapping[str, Tensor]) -> float:
    assert parts.task.monitor is not None  # `check` requires it
    return _metrics(parts, state, "val")[parts.task.monitor]


def _metrics(parts: Parts, state: Mapping[str, Tensor], split: str) -> dict[str, float]:
    parts.task.load_state_dict(state)
    parts.task.calibration = Calibration()
    return test_split(parts.data, parts.task, parts.trainer, parts.collect, "", split).metrics


@contextmanager
def _validating(parts: Parts) -> Iterator[None]:
    """Keep intermediate evaluations out of the log, where they would look like tests."""
    with unlogged(parts.trainer):
        try:
            yield
        finally:
            parts.data.evaluate_on("test")


def _save(parts: Parts, path: Path, state: State) -> None:
    if parts.trainer.is_global_zero:
        checkpoint = {
            "state_dict": state,
            "global_step": parts.trainer.global_step,
            "epoch": parts.trainer.current_epoch,
        }
        parts.task.leave_out(checkpoint)
        CheckpointIO().save_checkpoint(checkpoint, path)
    parts.trainer.strategy.barrier()
