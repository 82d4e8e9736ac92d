"""Reproduce a run: train it again from its record and compare the results."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import pandas as pd
import torch
from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from tunesmith.atomic import write_text
from tunesmith.compat.omegaconf import plain
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
from tunesmith.run.record.schema import Record
from tunesmith.run.resume.changed import regrouped, run_folder
from tunesmith.run.resume.checkpoint import load
from tunesmith.run.resume.last_checkpoint import LAST, relocated
from tunesmith.run.resume.resume import runnable
from tunesmith.run.session import Session
from tunesmith.run.train import train

KEPT = "reproduction.json"
"""File with the result, in the new run folder."""

Said = Literal["identical", "within tolerance", "different"]
_ORDER: tuple[Said, ...] = ("identical", "within tolerance", "different")
IDENTICAL, WITHIN, DIFFERENT = _ORDER


@dataclass(frozen=True)
class Original:
    """The run to reproduce.

    Attributes:
        record: Content of its run.json, or W&B's record of it.
        cfg: Its checked configuration.
        folder: Its folder; ``None`` if only W&B has it.
    """

    record: Record
    cfg: DictConfig
    folder: Path | None


@dataclass(frozen=True)
class Reproduction:
    """The result of a reproduction.

    Attributes:
        run: Id of the original run.
        folder: The new run folder.
        verdict: Verdict over all metrics; ``identical`` only if the weights are too.
        metrics: Original value, new value and verdict by metric.
        weights: Whether the last weights are bit-identical; ``None`` if a run kept none.
        surroundings: Differences in code, versions and hardware: then and now, by name.
        inputs: Differences in samples or pretrained weights.
        parted: Where the two logs diverge, in words; empty if they do not.
    """

    run: str
    folder: Path
    verdict: Said
    metrics: Mapping[str, tuple[float | None, float | None, Said]]
    weights: bool | None
    surroundings: Mapping[str, tuple[object, object]]
    inputs: tuple[str, ...]
    parted: str


def reproduce(cfg: DictConfig, session: Session | None = None) -> Reproduction:
    """Train a recorded run again in a new folder, with the same number of threads, and compare.

    Args:
        cfg: ``run``, ``tolerance``, ``force``.
        session: The command's session; ``None`` to read it from the environment.

    Raises:
        RunError: The run cannot be read or is not completed; its samples or pretrained weights have changed and
            ``force`` is false; or a metric is outside the tolerance.
        ConfigError: The recorded configuration does not fit this version, or names something that may not be run.
    """
    session = session or Session.read()
    console = session.console if is_main() else Console(quiet=True)
    original = find(cfg, session.trust)
    with exclusive(session.stop), _threads(original.record["hardware"].get("threads")):
        surroundings = changed(original.record)
        inputs = tuple(other_inputs(original, session))
        for name, (then, now) in surroundings.items():
            console.print(f"Changed: {name} was {then} and is {now}.", style="yellow", highlight=False)
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
    """Find the record of a run.

    Args:
        cfg: ``run``: a run folder, W&B's folder of an offline run, or ``wandb:entity/project/id``; ``paths``.
        trust: What the command may import; ``None`` for the user's general trust.

    Raises:
        RunError: There is no such run, or it has no result to compare with.
        ConfigError: Its configuration does not fit this version, or names something that may not be run.
    """
    place, folder = cfg.run, Path(cfg.run).expanduser().resolve()
    if place.startswith(wandb_record.ONLINE) or (folder.is_dir() and any(folder.glob("*.wandb"))):
        kept = wandb_record.read(place if place.startswith(wandb_record.ONLINE) else str(folder))
        _require_completed(kept, place)
        return Original(_usable(kept), _anew(kept["config"], place, cfg.paths, trust), None)
    record = read(folder)
    _require_completed(record, folder.name)
    content = plain(yaml_file.read(folder / "config.yaml"))
    return Original(_usable(record), _anew(content, folder.name, cfg.paths, trust), folder)


def _require_completed(record: Record, name: str) -> None:
    if record["status"] != "completed":
        raise RunError(f"Expected a completed run but {name} is '{record['status']}': there is no result yet.")


def _anew(content: dict[str, object], name: str, paths: DictConfig, trust: Trust | None) -> DictConfig:
    """Return a run's configuration for a new run folder."""
    content = renamed.plain_config(content)
    cfg = DictConfig(relocated(content, run_folder(content), "${paths.run}"))
    return runnable(overlaid(cfg, {"paths": paths}), name, trust)


def _usable(record: Record) -> Record:
    missing = [key for key in ("packages", "hardware", "data", "weights", "metrics") if not record.get(key)]
    if missing:
        raise RunError(
            f"Expected a record with {', '.join(missing)} but it has none: the run is too old or incomplete."
        )
    return record


@contextlib.contextmanager
def _threads(recorded: int | None) -> Iterator[None]:
    """Use the run's number of threads, on which the order of summation, and so bits, depend."""
    before = torch.get_num_threads()
    torch.set_num_threads(recorded or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def other_inputs(original: Original, session: Session) -> Iterator[str]:
    """Yield the differences in samples and pretrained weights, with file names if known.

    Raises:
        TunesmithError: The samples or the weights cannot be read.
    """
    before = original.record["data"]
    backbone = build(original.cfg.backbone, session.trust)
    data = assemble_data(original.cfg.data, backbone.preprocess, session=session)
    if backbone.weights.hash != original.record["weights"]["hash"]:
        hashes = f"{original.record['weights']['hash']} then, {backbone.weights.hash} now"
        yield f"the pretrained weights differ: {hashes}"
    if data.spec.unlabelled != before.get("unlabelled"):
        yield "the texts without labels differ"
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
            "Restore them, or add force=true to train with these."
        )
    for text in inputs:
        console.print(f"Changed: {text}.", style="yellow", highlight=False)


def _verdicts(
    before: Mapping[str, float], now: Mapping[str, float], tolerance: float
) -> dict[str, tuple[float | None, float | None, Said]]:
    return {
        name: (before.get(name), now.get(name), compared(before.get(name), now.get(name), tolerance))
        for name in {**before, **now}
    }


def compared(before: float | None, now: float | None, tolerance: float) -> Said:
    """Compare one metric, relatively and absolutely within ``tolerance``; ``None`` for a missing value."""
    if before is None or now is None:
        return "identical" if before is now else "different"
    if before == now or (math.isnan(before) and math.isnan(now)):
        return "identical"
    near = math.isclose(before, now, rel_tol=tolerance, abs_tol=tolerance)
    return "within tolerance" if near else "different"


def _same_weights(before: Path | None, now: Path) -> bool | None:
    """Return whether the last weights are bit-identical; ``None`` if one of the runs kept none."""
    paths = [folder / "checkpoints" / LAST for folder in (before, now) if folder is not None]
    if len(paths) < 2 or not all(path.is_file() for path in paths):
        return None
    one, other = (load(path)["state_dict"] for path in paths)
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def _parting(before: Path | None, now: Path) -> str:
    """Describe the first logged number that differs."""
    for one, other in zip(metrics_log.read(before), metrics_log.read(now), strict=False) if before else ():
        for name in comparable(one):
            if one[name] != other.get(name):
                return f"The logs diverge at step {one.get('step')}: {name} was {one[name]} and is {other.get(name)}."
    return ""


def _print(found: Reproduction, console: Console) -> None:
    table = Table("metric", "then", "now", "", title=f"{found.run}, then and now")
    for name, (then, now, said) in sorted(found.metrics.items(), key=lambda item: -_ORDER.index(item[1][2])):
        if said == IDENTICAL and name.startswith("best/"):
            continue  # the same as val/
        style = {IDENTICAL: "", WITHIN: "yellow", DIFFERENT: "red"}[said]
        digits = 7 if said == IDENTICAL else 10  # float32 has 7 to 9
        table.add_row(name, *("–" if v is None else f"{v:.{digits}g}" for v in (then, now)), said, style=style)
    numbers = "identical to the bit" if found.verdict == IDENTICAL else found.verdict
    weights = {True: "the same bits", False: "other bits", None: "not there to compare"}[found.weights]
    console.print(table, *filter(None, [found.parted]), highlight=False)
    console.print(f"Metrics: {numbers}. Last weights: {weights}. Kept in {shorten(found.folder)}.", highlight=False)


def _enforce(found: Reproduction) -> None:
    """Require every metric to be within the tolerance.

    Raises:
        RunError: A metric is not.
    """
    names = [name for name, (*_, said) in found.metrics.items() if said == DIFFERENT]
    if names:
        raise RunError(
            f"Expected the metrics of {found.run} but {len(names)} of {len(found.metrics)} are outside the tolerance, "
            f"such as {names[0]}; see the differences above."
        )
