"""Reproduce a run: train it again from what was recorded, and say whether it came to the same."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import torch
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.table import Table

from tunesmith.atomic import write_text
from tunesmith.config import renamed, yaml_file
from tunesmith.config.build import build
from tunesmith.config.gate import Trust
from tunesmith.config.overlay import overlaid
from tunesmith.data.listing import LISTING, differences, listing
from tunesmith.data.spec import members
from tunesmith.errors import RunError
from tunesmith.run.assembly.assemble import assemble_data
from tunesmith.run.exclusive import exclusive
from tunesmith.run.logger import wandb_record
from tunesmith.run.logger.wandb_record import comparable
from tunesmith.run.record import metrics_log
from tunesmith.run.record.environment import changed
from tunesmith.run.record.record import is_main
from tunesmith.run.record.run_folder import read, shorten
from tunesmith.run.resume.changed import regrouped
from tunesmith.run.resume.checkpoint import load
from tunesmith.run.resume.last_checkpoint import LAST, relocated
from tunesmith.run.resume.resume import runnable
from tunesmith.run.session import Session
from tunesmith.run.train import train

KEPT = "reproduction.json"
"""What it came to, in the new run folder."""

Said = Literal["identical", "within tolerance", "different"]
_ORDER: tuple[Said, ...] = ("identical", "within tolerance", "different")
IDENTICAL, WITHIN, DIFFERENT = _ORDER


@dataclass(frozen=True)
class Original:
    """The run to reproduce.

    Attributes:
        record: Its run.json, or what W&B keeps of it.
        cfg: Its configuration, checked.
        folder: Its folder; ``None`` where only W&B knows it.
    """

    record: Mapping[str, Any]
    cfg: DictConfig
    folder: Path | None


@dataclass(frozen=True)
class Reproduction:
    """What came of it.

    Attributes:
        run: Id of the run.
        folder: The new run folder.
        verdict: Over all metrics; identical only where the weights are too.
        metrics: Then, now and the verdict, by metric.
        weights: Whether the last weights are the same bits; ``None`` where the run's are gone.
        surroundings: What is not as it was: then and now, by name.
        inputs: In what images or pretrained weights are not those of the run.
        parted: Where the two logs part, in words; empty where they do not.
    """

    run: str
    folder: Path
    verdict: Said
    metrics: Mapping[str, tuple[float | None, float | None, Said]]
    weights: bool | None
    surroundings: Mapping[str, tuple[Any, Any]]
    inputs: tuple[str, ...]
    parted: str


def reproduce(cfg: DictConfig, session: Session | None = None) -> Reproduction:
    """Train a recorded run again in a new folder, with as many threads, and compare.

    Args:
        cfg: ``run``, ``tolerance``, ``force``.
        session: What the command has of its own; ``None``, as from Python, to read it from what surrounds it.

    Raises:
        RunError: The run cannot be read or did not end well; its images or pretrained weights are not what they were,
            and ``force`` was not given; or a metric is outside the tolerance.
        ConfigError: The recorded configuration does not fit this version, or names what may not be run.
    """
    session = session or Session.read()
    console = session.console if is_main() else Console(quiet=True)
    original = find(cfg, session.trust)
    with exclusive(session.stop), _threads(original.record["hardware"].get("threads")):
        surroundings = changed(original.record)
        inputs = tuple(other_inputs(original, session))
        for name, (then, now) in surroundings.items():
            console.print(f"Not as it was: {name} was {then} and is {now}.", style="yellow", highlight=False)
        _require(inputs, cfg.force, console)
        result = train(original.cfg, original.record, session)
    metrics = _verdicts(comparable(original.record["metrics"]), comparable(result.metrics), cfg.tolerance)
    weights = _same_weights(original.folder, result.folder)
    verdict = max((said for *_, said in metrics.values()), key=_ORDER.index, default=DIFFERENT)
    if verdict == IDENTICAL and weights is False:
        verdict = WITHIN
    parted = _parting(original.folder, result.folder)
    run = str(original.record["id"])
    found = Reproduction(run, result.folder, verdict, metrics, weights, surroundings, inputs, parted)
    if is_main():
        write_text(found.folder / KEPT, json.dumps(asdict(found), indent=1, default=str) + "\n")
        _print(found, console)
        _enforce(found)
    return found


def find(cfg: DictConfig, trust: Trust | None = None) -> Original:
    """Find what was recorded of a run.

    Args:
        cfg: ``run``: a run folder, W&B's folder of an offline run, or ``wandb:entity/project/id``; ``paths``.
        trust: What the command may import; ``None`` for what the user allows whatever the command.

    Raises:
        RunError: There is no such run, or it has no result to compare with.
        ConfigError: Its configuration does not fit this version, or names what may not be run.
    """
    place, folder = cfg.run, Path(cfg.run).expanduser().resolve()
    if place.startswith(wandb_record.ONLINE) or (folder.is_dir() and any(folder.glob("*.wandb"))):
        record = wandb_record.read(place if place.startswith(wandb_record.ONLINE) else str(folder))
        _require_completed(record, place)
        return Original(_usable(record), _anew(renamed.plain_config(record["config"]), place, cfg.paths, trust), None)
    record = read(folder)
    _require_completed(record, folder.name)
    plain: Any = OmegaConf.to_container(yaml_file.read(folder / "config.yaml"), resolve=False)
    return Original(_usable(record), _anew(renamed.plain_config(plain), folder.name, cfg.paths, trust), folder)


def _require_completed(record: Mapping[str, Any], name: str) -> None:
    if record["status"] != "completed":
        raise RunError(f"Expected a completed run but {name} is '{record['status']}': there is no result yet.")


def _anew(plain: dict[str, Any], name: str, paths: DictConfig, trust: Trust | None) -> DictConfig:
    """The configuration for a folder of its own: nothing is written where the run wrote."""
    cfg = DictConfig(relocated(plain, str(plain["paths"]["run"]), "${paths.run}"))
    return runnable(overlaid(cfg, {"paths": paths}), name, trust)


def _usable(record: Mapping[str, Any]) -> Mapping[str, Any]:
    missing = [key for key in ("packages", "hardware", "data", "weights", "metrics") if not record.get(key)]
    if missing:
        raise RunError(
            f"Expected a record with {', '.join(missing)} but it has none: the run is too old or incomplete."
        )
    return record


@contextlib.contextmanager
def _threads(recorded: int | None) -> Iterator[None]:
    """Split sums over as many threads as the run did: bits depend on it."""
    before = torch.get_num_threads()
    torch.set_num_threads(recorded or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def other_inputs(original: Original, session: Session) -> Iterator[str]:
    """Say in what the images and the pretrained weights are not those of the run, naming files where they are known.

    Raises:
        TunesmithError: They are not there.
    """
    before = original.record["data"]
    backbone = build(original.cfg.backbone, session.trust)
    data = assemble_data(original.cfg.data, backbone.preprocess, session=session)
    if backbone.weights.hash != original.record["weights"]["hash"]:
        hashes = f"{original.record['weights']['hash']} then, {backbone.weights.hash} now"
        yield f"the pretrained weights are others: {hashes}"
    if data.spec.unlabelled != before.get("unlabelled"):
        yield "the texts without labels are others"
    moved = regrouped(before, members(data.table, data.indices))
    if data.spec.fingerprint == before["fingerprint"] and not moved:
        return
    path = original.folder / LISTING if original.folder else None
    if path and path.is_file():
        named = list(differences(pd.read_parquet(path), listing(data.table, data.indices, data.digests[0])))
        yield from (f"images {text}" for text in named)
        if named:
            return
    yield f"the fingerprint of the images is {data.spec.fingerprint} and was {before['fingerprint']}"
    if moved:
        yield f"other images are in {' and '.join(moved)}"


def _require(inputs: tuple[str, ...], force: bool, console: Console) -> None:
    if inputs and not force:
        raise RunError(
            f"Expected what the run was trained on but got other inputs: {'; '.join(inputs)}. "
            "Restore them, or add force=true to see what it comes to with these."
        )
    for text in inputs:
        console.print(f"Not as it was: {text}.", style="yellow", highlight=False)


def _verdicts(
    before: Mapping[str, float], now: Mapping[str, float], tolerance: float
) -> dict[str, tuple[float | None, float | None, Said]]:
    return {
        name: (before.get(name), now.get(name), compared(before.get(name), now.get(name), tolerance))
        for name in {**before, **now}
    }


def compared(before: float | None, now: float | None, tolerance: float) -> Said:
    """Compare one metric; one that only one of the runs has is different."""
    if before is None or now is None:
        return "identical" if before is now else "different"
    if before == now or (math.isnan(before) and math.isnan(now)):
        return "identical"
    near = math.isclose(before, now, rel_tol=tolerance, abs_tol=tolerance)
    return "within tolerance" if near else "different"


def _same_weights(before: Path | None, now: Path) -> bool | None:
    """Whether the last weights are bit for bit the same; ``None`` where one of the two runs kept none."""
    paths = [folder / "checkpoints" / LAST for folder in (before, now) if folder is not None]
    if len(paths) < 2 or not all(path.is_file() for path in paths):
        return None
    one, other = (load(path)["state_dict"] for path in paths)
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def _parting(before: Path | None, now: Path) -> str:
    """The first number logged that is another, in words."""
    for one, other in zip(metrics_log.read(before), metrics_log.read(now), strict=False) if before else ():
        for name in comparable(one):
            if one[name] != other.get(name):
                return f"The logs part at step {one.get('step')}: {name} was {one[name]} and is {other.get(name)}."
    return ""


def _print(found: Reproduction, console: Console) -> None:
    table = Table("metric", "then", "now", "", title=f"{found.run}, then and now")
    for name, (then, now, said) in sorted(found.metrics.items(), key=lambda item: -_ORDER.index(item[1][2])):
        if said == IDENTICAL and name.startswith("best/"):
            continue  # val says it already
        style = {IDENTICAL: "", WITHIN: "yellow", DIFFERENT: "red"}[said]
        digits = 7 if said == IDENTICAL else 10  # float32 has 7 to 9
        table.add_row(name, *("–" if v is None else f"{v:.{digits}g}" for v in (then, now)), said, style=style)
    numbers = "identical to the bit" if found.verdict == IDENTICAL else found.verdict
    weights = {True: "the same bits", False: "other bits", None: "not there to compare"}[found.weights]
    console.print(table, *filter(None, [found.parted]), highlight=False)
    console.print(f"Metrics: {numbers}. Last weights: {weights}. Kept in {shorten(found.folder)}.", highlight=False)


def _enforce(found: Reproduction) -> None:
    """Fail where a metric is outside the tolerance, so that a script can tell.

    Raises:
        RunError: One is.
    """
    names = [name for name, (*_, said) in found.metrics.items() if said == DIFFERENT]
    if names:
        raise RunError(
            f"Expected the metrics of {found.run} but {len(names)} of {len(found.metrics)} are outside the tolerance, "
            f"such as {names[0]}; what is not as it was stands above."
        )
