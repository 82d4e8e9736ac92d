"""Find reasons why runs may not be comparable: other data, another split, other code or another machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tunesmith.compare.runs import Recorded, place
from tunesmith.contract.plain import PlainData

NOT_COMPARABLE = "NOT COMPARABLE: "


def doubts(runs: Sequence[Recorded]) -> Iterator[str]:
    """Yield what differs between runs that should be alike, starting with what invalidates the numbers."""
    yield from _data(runs)
    yield from _split(runs)
    yield from _surroundings(runs)


def _data(runs: Sequence[Recorded]) -> Iterator[str]:
    examples = {str(run.data.get("fingerprint")): run for run in runs}
    if len(examples) > 1:
        shown = ", ".join(f"{place(run)} has {name}" for name, run in list(examples.items())[:3])
        yield f"{NOT_COMPARABLE}the runs had {len(examples)} different sets of data, by fingerprint: {shown}."
    partly = [run for run in runs if str(run.data.get("fingerprint")).startswith("head:")]
    if partly and len(examples) == 1:
        yield "The data are so large that the fingerprint covers only the first 64 KiB of each file."


def _split(runs: Sequence[Recorded]) -> Iterator[str]:
    """Check that runs on the same data, with the same split seed and fold, test on the same images."""
    tested: dict[tuple[object, ...], dict[str, Recorded]] = {}
    for run in runs:
        key = (run.data.get("fingerprint"), run.replicate.split_seed, run.replicate.fold)
        tested.setdefault(key, {})[tested_part(run.data)] = run
    for found in tested.values():
        if len(found) > 1:
            one, other = list(found.values())[:2]
            yield f"{NOT_COMPARABLE}{place(one)} and {place(other)} were tested on different images of the same data."
            return
    units = {str(run.data.get("split_unit")) for run in runs}
    if len(units) > 1:
        yield f"{NOT_COMPARABLE}some runs were split by {' and others by '.join(sorted(units))}."


def tested_part(data: PlainData) -> str:
    """Return the digest of the test images' names, or their number for runs that did not record it."""
    members = data.get("members") or {}
    return str(members.get("test") or (data.get("splits") or {}).get("test"))


def _surroundings(runs: Sequence[Recorded]) -> Iterator[str]:
    names = sorted({name for run in runs for name in run.made_with})
    differing = [name for name in names if len({run.made_with.get(name) for run in runs}) > 1]
    if "machine" in differing:
        yield "The runs were made on different machines, so their seconds are not comparable."
    others = [name for name in differing if name != "machine"]
    if others:
        yield f"The runs were made with different versions of {', '.join(others)}."
