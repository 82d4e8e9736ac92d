"""Asks whether the tests notice faults: puts small ones into the modules that the promises hang on, and counts.

``make mutants`` runs all; ``python tools/mutants.py --sample 200 --seed 1`` runs some of every module, always the same;
``--only rates/rules.py`` runs those of one module, ``--list`` shows what there is. A mutant is killed where a test
fails or takes far too long. The checkout is never edited: each job has a copy of it, under ``build/mutants``.

Every result is written down at once, so that the next call goes on where the last one was cut short: what was killed
stays killed while its module is the same, what survived runs again when a test file is another; ``--fresh`` forgets.
A mutant that changes nothing is listed in ``mutants_equivalent.txt`` with the reason, and does not count.

Own operators: mutmut 3 (BSD) wraps functions, which our check would read in their place, and leaves constants alone;
cosmic-ray (MIT) starts a process per mutant, 8 s of imports for tests of 0.1 s. Here each mutant runs in a process
forked from one that has imported everything but tunesmith.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import hashlib
import json
import multiprocessing
import os
import queue
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from mutation import Mutant, mutants

ROOT = Path(__file__).resolve().parents[1]
SOURCE, BUILD = Path("src", "tunesmith"), ROOT / "build" / "mutants"
MODULES, EQUIVALENT = (Path(__file__).with_name(f"mutants_{name}.txt") for name in ("modules", "equivalent"))
FLOOR = 0.9
"""Share of the mutants that are not equivalent that must die."""

MEMORY = 8 * 2**30
"""Bytes that a test process may take."""

PRELOADED = [
    *("pytest", "hypothesis", "torch", "lightning.pytorch", "torchmetrics", "torchvision.transforms.v2", "timm"),
    *("transformers", "peft", "datasets", "wandb", "hydra.main", "rich.progress", "pandas", "pyarrow.parquet"),
    *("scipy.special", "sklearn.datasets", "sklearn.linear_model", "sklearn.model_selection", "imagehash"),
    "matplotlib.backends.backend_agg",
]


@dataclass(frozen=True)
class Case:
    """A mutant of a module, or the module as it is.

    Attributes:
        module: Its file, below the package.
        beside: Test files that are to kill it beside the one that mirrors the module, and pytest's options.
        mutant: ``None`` for the module as it is.
    """

    module: str
    beside: tuple[str, ...]
    mutant: Mutant | None = None

    @property
    def name(self) -> str:
        """What no other mutant is called."""
        return f"{self.module} {self.mutant.name}" if self.mutant else self.module

    @property
    def tests(self) -> list[str]:
        """All the test files that are to kill it."""
        mirrored = Path("tests", self.module).with_name(f"test_{Path(self.module).name}")
        return [name for name in (mirrored.as_posix(), *self.beside) if name[0] == "-" or (ROOT / name).is_file()]


def digests(case: Case, root: Path) -> dict[str, str]:
    """What a result depends on, in the checkout or in a copy: digests of the module and of its tests."""
    tests = [name for name in case.tests if name[0] != "-"]
    files = {"module": [str(SOURCE / case.module)], "tests": tests}
    contents = {key: b"\0".join((root / name).read_bytes() for name in names) for key, names in files.items()}
    return {key: hashlib.blake2b(content, digest_size=8).hexdigest() for key, content in contents.items()}


def cases(only: Sequence[str], sample: int | None, seed: int) -> list[Case]:
    """The mutants of the modules; a sample takes of each in proportion, and a larger one holds every smaller one."""
    found: list[tuple[float, int, Case]] = []
    for place, line in enumerate(_lines(MODULES)):
        module, *beside = line.split()
        if only and not module.startswith(tuple(only)):
            continue
        source = (ROOT / SOURCE / module).read_text(encoding="utf-8")
        listed = [Case(module, tuple(beside), mutant) for mutant in mutants(source)]
        random.Random(f"{seed} {module}").shuffle(listed)
        found += [((i + 0.5) / len(listed), place, case) for i, case in enumerate(listed)]
    chosen = sorted(found, key=lambda entry: entry[:2])[:sample]
    return [case for _, _, case in sorted(chosen, key=lambda entry: entry[1])]


def _lines(path: Path) -> list[str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.strip() and not line.startswith("#")]


# ── one mutant ──────────────────────────────────────────────────────────────────────────────────────────────────────


def run_tests(copy: str, tests: Sequence[str], said: str, keep: bool) -> None:
    """Run tests in this process, which was forked for it; its exit code is pytest's."""
    os.setsid()
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: it ends with the process that forked it
    for stream in (1, 2):
        os.dup2(os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream)
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))  # a fault may never come to an end
    os.chdir(copy)
    sys.path.insert(0, str(Path(copy, "src")))
    sys.dont_write_bytecode = not keep
    os.environ |= {"PYTHONPATH": sys.path[0], **({} if keep else {"PYTHONDONTWRITEBYTECODE": "1"})}
    import pytest

    # Plugins were imported before, which is too late for pytest to rewrite their assertions, and it warns.
    code = pytest.main(["-x", "-q", "--assert=plain", "-p", "no:cacheprovider", "-m", "not long", *tests])
    sys.stdout.flush()
    os._exit(int(code))


class Runner:
    """Runs tests on copies of the checkout, one for each job.

    Args:
        jobs: How many at once.
    """

    def __init__(self, jobs: int) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(PRELOADED)
        self._limits: dict[tuple[str, ...], float] = {}
        self._copies: queue.Queue[Path] = queue.Queue()
        for number in range(jobs):
            self._copies.put(_copied(BUILD / f"copy-{os.getpid()}-{number}"))

    def run(self, case: Case, limit: float) -> dict[str, Any]:
        """Run the tests of a case, at most for some seconds; gives its line for the journal."""
        copy, began = self._copies.get(), time.monotonic()
        path, said = copy / SOURCE / case.module, copy.with_suffix(".txt")
        source, state = path.read_text(encoding="utf-8"), digests(case, copy)
        said.write_bytes(b"")
        try:
            if case.mutant:
                path.write_text(case.mutant.applied(source), encoding="utf-8")
            arguments = (str(copy), case.tests, str(said), case.mutant is None)
            child = self._context.Process(target=run_tests, args=arguments)
            child.start()
            child.join(limit)
            status = {None: "slow", 0: "survived"}.get(child.exitcode, "killed")
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid or 0, signal.SIGKILL)  # with all that it began
            child.join()
            found = re.findall(r"^(?:FAILED|ERROR) (\S+)", said.read_text(errors="replace"), re.MULTILINE)
            seconds = round(time.monotonic() - began, 1)
            return {"name": case.name, **state, "status": status, "by": "".join(found[:1]), "seconds": seconds}
        finally:
            path.write_text(source, encoding="utf-8")
            self._copies.put(copy)

    def limit(self, case: Case) -> float:
        """Seconds after which a mutant counts as killed, by what its tests take without a fault."""
        tests = tuple(case.tests)
        if tests not in self._limits:
            line = self.run(replace(case, mutant=None), 3600)
            if line["status"] != "survived":
                raise SystemExit(f"Expected the tests of {case.module} to pass without a fault but got {line}.")
            self._limits[tests] = 60.0 + 5 * float(line["seconds"])
        return self._limits[tests]

    def close(self) -> None:
        """Remove the copies."""
        while not self._copies.empty():
            copy = self._copies.get()
            shutil.rmtree(copy)
            copy.with_suffix(".txt").unlink(missing_ok=True)


def _copied(copy: Path) -> Path:
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=ROOT, capture_output=True, check=True, text=True).stdout.split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)
    return copy


# ── the campaign ────────────────────────────────────────────────────────────────────────────────────────────────────


class Journal:
    """What is known of mutants, a line each in a file; the newest line counts.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        self.known: dict[str, dict[str, Any]] = {line["name"]: line for line in map(json.loads, lines)}

    def of(self, case: Case) -> dict[str, Any] | None:
        """What is known of a case, where it still holds."""
        line, now = self.known.get(case.name), digests(case, ROOT)
        if line is None or line["module"] != now["module"]:
            return None
        return line if line["status"] != "survived" or line["tests"] == now["tests"] else None

    def add(self, line: dict[str, Any]) -> None:
        """Write down what was found."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
            self.known[line["name"]] = line


def campaign(found: Sequence[Case], journal: Journal, jobs: int) -> None:
    """Run what is not known yet, and say so line by line."""
    same = set(_lines(EQUIVALENT))
    left = [case for case in found if case.name not in same and journal.of(case) is None]
    if not left:
        return
    runner, pool = Runner(jobs), ThreadPoolExecutor(jobs)
    try:
        lines = pool.map(lambda case: runner.run(case, runner.limit(case)), left)
        for number, (case, line) in enumerate(zip(left, lines, strict=True), start=1):
            journal.add(line)
            print(
                f"{number}/{len(left)} {line['status']:8} {line['seconds']:5} s  {case.name}  {line['by']}", flush=True
            )
    finally:
        pool.shutdown(cancel_futures=True)
        runner.close()


COLUMNS = ("mutants", "killed", "survived", "equivalent", "not run")


def tally(found: Sequence[Case], journal: Journal) -> dict[str, Counter[str]]:
    """Count the mutants of each module, and last those of all, by what became of them; see `COLUMNS`."""
    same = set(_lines(EQUIVALENT))
    rows: dict[str, Counter[str]] = {case.module: Counter() for case in found}
    for case in found:
        status = "equivalent" if case.name in same else (journal.of(case) or {"status": "not run"})["status"]
        rows[case.module].update(["mutants", "killed" if status == "slow" else status])
    return {**rows, "all": sum(rows.values(), Counter())}


def share(row: Counter[str]) -> float:
    """How many of those that were run and are not equivalent were killed; 1 where none was run."""
    run = row["killed"] + row["survived"]
    return row["killed"] / run if run else 1.0


def main() -> None:
    """Run a campaign and print what came of it; ends with 1 where fewer died than should."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", type=int, help="so many mutants, of all modules in proportion")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--only", nargs="+", default=[], help="modules, or folders of modules")
    parser.add_argument("--jobs", type=int, default=1, help="how many at once")
    parser.add_argument("--fresh", action="store_true", help="forget what earlier campaigns found")
    parser.add_argument("--list", action="store_true", help="name the mutants and what is known, and run none")
    options = parser.parse_args()
    BUILD.mkdir(parents=True, exist_ok=True)
    path = BUILD / "journal.jsonl"
    if options.fresh:
        path.unlink(missing_ok=True)
    journal, found = Journal(path), cases(options.only, options.sample, options.seed)
    if options.list:
        print("\n".join(f"{(journal.of(case) or {'status': '?'})['status']:9} {case.name}" for case in found))
        return
    campaign(found, journal, options.jobs)
    rows = tally(found, journal)
    print(f"{'':36}" + "".join(f"{name:>12}" for name in (*COLUMNS, "share")))
    for name, row in rows.items():
        print(f"{name:36}" + "".join(f"{row[column]:12}" for column in COLUMNS) + f"{share(row):12.1%}")
    if share(rows["all"]) < FLOOR:
        raise SystemExit(f"Expected {FLOOR:.0%} of the mutants to be killed: see those that survived by --list.")


if __name__ == "__main__":
    main()
