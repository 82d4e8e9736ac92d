"""No hidden state in the process: what modules keep is listed here with its reason, and threads do not meet."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

sys.path.append(str(Path(__file__).parent / "run"))
from killing import KilledError, killed

from tunesmith.errors import StoppedError
from tunesmith.run.assembly.rebuild import rebuild
from tunesmith.run.record.run_folder import read
from tunesmith.run.resume.checkpoint import load
from tunesmith.run.session import Session
from tunesmith.run.train import train
from tunesmith.task.base import Task

SOURCE = Path(__file__).parents[1] / "src" / "tunesmith"

ALLOWED = {
    # Locks have no state but who holds them.
    "config/hydra/app.py: turn": "Hydra is one of a process: who composes takes turns",
    "run/exclusive.py: _turn": "commands of one process take turns",
    # What was read once is true for whoever asks.
    "config/check/signature.py: @cache _by_import": "signatures of what is imported, which nobody can take back",
    "config/check/signature.py: @cache _of_source": "signatures, read from source",
    "config/check/source.py: @cache load": "modules, read from source",
    "config/check/source.py: @cache resolve": "what a name means, read from source",
    "target/result/entity.py: @lru_cache entities": "a pure function",
    "config/known.py: @cache known": "what the package ships",
    "config/known.py: @cache own": "what the package ships",
    "target/base.py: @cache kinds": "what the package ships",
    "target/base.py: @cache of": "objects without state of the package's own modules",
    "modality/base.py: @cache modalities": "what the package ships",
    "modality/base.py: @cache of": "objects without state of the package's own modules",
    # A process that was made for one thing.
    "data/workers.py: _slot": "a loader's worker reads for one loader all its life",
    "data/workers.py: _slot.value": "its memory, which the training process reads",
    "sweep/executor/process.py: os.environ": "a job's process, before it begins; and the fork server's, put back",
    "sweep/executor/process.py: os.chdir": "the process of one job, before it begins",
    "sweep/executor/process.py: signal.signal": "the process of one job, before it begins",
    "sweep/executor/process.py: sys.argv": "the process of one job, before it begins",
    "sweep/executor/process.py: sys.modules": "the process of one job, before it begins",
    "sweep/executor/process.py: sys.stdin": "the process of one job, before it begins",
    "sweep/executor/warm.py: os.environ": "the fork server reads what it is to import, and forgets it",
    "config/completion.py: os.environ": "completion, which Hydra reads from there, is all that the process does",
    "recorded.py: @cache _validator": "what pydantic makes of a shape",
    "config/check/present.py: os.chdir": "put back once a server of processes has started",
    "config/check/present.py: os.environ": "the program's own process, and those that it starts: Python's safe path",
    "config/check/present.py: sys.meta_path": "modules of the present folder that passed the gate",
    "config/check/present.py: sys.path": "the program's own process: without the present folder",
    # Owned by a context manager that puts it back, in its turn (run/exclusive.py).
    "run/exclusive.py: os.environ": "the run folder, for processes that Lightning starts meanwhile",
    "run/exclusive.py: torch.backends.cudnn": "put back after each command",
    "run/exclusive.py: torch.set_num_threads": "put back after each command",
    "run/exclusive.py: torch.use_deterministic_algorithms": "put back after each command",
    "run/record/quiet.py: warnings.filterwarnings": "put back after each command",
    "run/record/record.py: logging.getLogger().addHandler": "the run's log, while it lasts",
    "run/reproduce.py: torch.set_num_threads": "put back, in its turn",
    "run/train.py: seed_everything": "the run's seed, in its turn",
    "run/resume/loop_state.py: np.random.set_state": "the run's streams, in its turn",
    "run/resume/loop_state.py: random.setstate": "the run's streams, in its turn",
    "run/resume/loop_state.py: torch.cuda.set_rng_state": "the run's streams, in its turn",
    "run/resume/loop_state.py: torch.mps.set_rng_state": "the run's streams, in its turn",
    "run/resume/loop_state.py: torch.set_rng_state": "the run's streams, in its turn",
    "data/randomness.py: np.random.seed": "a sample's own draws, between which `preserved` puts the streams back",
    "data/randomness.py: np.random.set_state": "what `preserved` puts back",
    "data/randomness.py: random.seed": "a sample's own draws",
    "data/randomness.py: random.setstate": "what `preserved` puts back",
    "data/randomness.py: torch.default_generator.manual_seed": "a sample's own draws",
    "data/randomness.py: torch.default_generator.set_state": "what `preserved` puts back",
    "check/image.py: warnings.simplefilter": "put back once all files are decoded, in its turn",
    "compat/hub.py: constants.HF_HUB_OFFLINE": "put back once weights are looked for, in its turn",
    # Handlers of signals are the main thread's, and put back.
    "data/workers.py: signal.signal": "a worker's own; and torch's, put back",
    "signals.py: signal.signal": "put back at the end of `listening`",
    "sweep/launcher.py: signal.signal": "put back at the end of the sweep",
    # Hydra's own singletons: its command line runs once in a process, and `compose` takes turns.
    "config/compose.py: GlobalHydra.instance()": "emptied in its turn",
    "config/hydra/app.py: GlobalHydra.instance()": "a command's, or in its turn `compose`'s",
    "config/hydra/app.py: HydraConfig.instance().cfg": "put back once references are resolved",
    "config/hydra/app.py: sys.path": "put back once Hydra has found its plug-ins",
    "config/hydra/hydra_gate.py: SourcesRegistry.instance().types": "the same for every command: bounded sources",
    # Set once, the same for every command.
    "run/logger/wandb_run.py: os.environ": "W&B reads it when it is imported; the user's own value wins",
}
"""What may stay in the process, and why: changes of this list are to be reviewed."""

MUTATING = frozenset(
    {
        *("add", "append", "appendleft", "clear", "discard", "extend", "insert", "pop", "popitem", "popleft", "remove"),
        *("setdefault", "update", "__setitem__", "acquire", "set"),
    }
)
SETTING = frozenset(
    {
        *("chdir", "putenv", "unsetenv", "umask", "signal", "setLevel", "addHandler", "removeHandler"),
        *("filterwarnings", "simplefilter", "seed", "setstate", "set_state", "set_rng_state", "manual_seed"),
        *("manual_seed_all", "set_num_threads", "use_deterministic_algorithms", "set_float32_matmul_precision"),
        *("set_default_dtype", "set_default_device", "seed_everything", "mallopt"),
    }
)
"""What libraries call the functions that change their own or the process's settings."""

KEEPING = frozenset({"Lock", "RLock", "Condition", "Semaphore", "count", "local", "ContextVar", "WeakSet"})
"""Calls whose result keeps something; at the top of a module it is state, whoever changes it."""


Function = ast.FunctionDef | ast.AsyncFunctionDef
HARMLESS = re.compile(r"np$|OmegaConf\b|(.*\.)?Generator\(\)|non_finite\.of\(")
"""What changes nothing, as `np.insert`, or what it is given: a configuration, a generator, a trainer's callback."""


def state(text: str) -> set[str]:
    """Names of what a module keeps, or changes of other modules, while it runs."""
    tree = ast.parse(text)
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    imported = {(name.asname or name.name).partition(".")[0] for node in imports for name in node.names}
    own = {name for node in tree.body for name in _bound(node)}
    found = {name for node in tree.body if _keeps(node) for name in _bound(node)}
    for node in tree.body:
        if not isinstance(node, Function | ast.ClassDef):
            found |= {name for name in _changed(node) if _root(name) in imported}
    for function in (node for node in ast.walk(tree) if isinstance(node, Function)):
        shared = {name for node in ast.walk(function) if isinstance(node, ast.Global) for name in node.names}
        theirs = imported | (own - _local(function)) | shared
        found |= shared | _caches(function) | {name for name in _changed(function) if _root(name) in theirs}
    return found


def _root(name: str) -> str:
    return re.split(r"[.(]", name)[0]


def _bound(node: ast.stmt) -> Iterator[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    for target in targets:
        yield from (n.id for n in ast.walk(target) if isinstance(n, ast.Name))


def _keeps(node: ast.stmt) -> bool:
    value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
    return isinstance(value, ast.Call) and ast.unparse(value.func).rpartition(".")[2] in KEEPING


def _local(function: ast.AST) -> set[str]:
    stored = {n.id for n in ast.walk(function) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    return stored | {n.arg for n in ast.walk(function) if isinstance(n, ast.arg)}


def _caches(function: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    calls = [ast.unparse(d.func if isinstance(d, ast.Call) else d) for d in function.decorator_list]
    return {f"@{name} {function.name}" for call in calls if (name := call.rpartition(".")[2]) in ("cache", "lru_cache")}


def _changed(tree: ast.AST) -> Iterator[str]:
    """What is changed in place: items, attributes, what is asked to change itself, and settings."""
    for node in ast.walk(tree):
        name = None
        if isinstance(node, ast.Subscript | ast.Attribute) and isinstance(node.ctx, ast.Store | ast.Del):
            name = ast.unparse(node.value if isinstance(node, ast.Subscript) else node)
        elif isinstance(node, ast.Call):
            owner, _, called = ast.unparse(node.func).rpartition(".")
            if called == "assign":  # compat/required.py: library, owner, name, value
                owner, attribute = ast.unparse(node.args[1]), node.args[2]
                yield f"{owner}.{attribute.value}" if isinstance(attribute, ast.Constant) else owner
                continue
            name = owner if called in MUTATING else f"{owner}.{called}".strip(".") if called in SETTING else None
        if name and not HARMLESS.match(name):
            yield name


def test_what_stays_in_the_process_is_listed_with_its_reason():
    found = {
        f"{path.relative_to(SOURCE).as_posix()}: {name}"
        for path in sorted(SOURCE.rglob("*.py"))
        for name in state(path.read_text(encoding="utf-8"))
    }
    assert sorted(found - ALLOWED.keys()) == [], "Make it a value (run/session.py), or list it with its reason."
    assert sorted(ALLOWED.keys() - found) == [], "It is gone: take it off the list."


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("x = 0\ndef f():\n    global x\n    x = 1", "x"),
        ("x: set[int] = set()\ndef f(): x.add(1)", "x"),
        ("x = {}\ndef f(k): x[k] = 1", "x"),
        ("x = {}\ndef f(k): del x[k]", "x"),
        ("x = []\nclass A:\n    def f(self): x.append(1)", "x"),
        ("class A: ...\nx = A()\ndef f(): x.y = 1", "x.y"),
        ("import weakref\nx = weakref.WeakSet()", "x"),
        ("import itertools\nx = itertools.count()", "x"),
        ("from functools import cache\n@cache\ndef f(): ...", "@cache f"),
        ("import functools\n@functools.lru_cache(maxsize=1)\ndef f(): ...", "@lru_cache f"),
        ("import os\ndef f(): os.environ['A'] = '1'", "os.environ"),
        ("import os\ndef f(): os.environ.pop('A', None)", "os.environ"),
        ("def f():\n    import os\n    os.environ.update(A='1')", "os.environ"),
        ("import sys\ndef f(): sys.argv = []", "sys.argv"),
        ("import tunesmith\ndef f(): tunesmith.STARTED = 0", "tunesmith.STARTED"),
        ("import torch\ndef f(): torch.backends.cudnn.benchmark = True", "torch.backends.cudnn.benchmark"),
        ("import a\ndef f(): assign('a', a.b, 'c', True)", "a.b.c"),
        ("import a\ndef f(n): assign('a', a.b, n, True)", "a.b"),
    ],
)
def test_each_kind_of_state_would_be_found(text, name):
    assert name in state(text)


def test_what_is_no_state_is_not_found():
    text = "X = {'a': 1}\ndef f(x):\n    y = dict(X)\n    y['b'] = 2\n    z = []\n    z.append(1)\n    x.add(X['a'])"
    assert not state(text)


# ── threads ─────────────────────────────────────────────────────────────────────────────────────────────────────────

DIFFERENT = (
    ("seed=1", "head=mlp", "head.dropout=0.5", "data.augment=light", "callback=[quiet,ema]"),
    ("seed=2", "head=mlp", "head.dropout=0.3", "data.augment=light", "optimizer=sgd"),
)


def last_weights(folder):
    return load(folder / "checkpoints" / "last.ckpt")["state_dict"]


def test_two_trainings_in_two_threads_give_the_bits_of_each_alone(quick_below, tmp_path):
    def trained(words, logs):
        return last_weights(train(quick_below(tmp_path / logs, *words, "data.batch_size=16", samples=64)).folder)

    alone = [trained(words, f"alone{i}") for i, words in enumerate(DIFFERENT)]
    with ThreadPoolExecutor(2) as threads:
        futures = [threads.submit(trained, words, f"thread{i}") for i, words in enumerate(DIFFERENT)]
        together = [future.result() for future in futures]
    for one, other in zip(alone, together, strict=True):
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one)
    assert not all(torch.equal(one, other) for one, other in zip(*(a.values() for a in alone), strict=True))


def test_a_training_in_a_thread_is_stopped_by_its_own_request_and_goes_on(quick, monkeypatch):
    session, other = Session.read(), Session.read()
    place = (Task, "training_step")
    with ThreadPoolExecutor(1) as threads:
        ended = threads.submit(
            killed, quick(samples=64), monkeypatch, place, 3, session.stop.ask, StoppedError, session
        )
        folder = ended.result()
    record = read(folder)
    assert (record["status"], record["error"]["signal"]) == ("stopped", "SIGTERM")
    assert (folder / "checkpoints" / "last.ckpt").is_file()
    assert other.stop.asked() is None
    with pytest.raises(KilledError):  # nobody else was stopped: it is killed by what the test does
        raise KilledError


def test_models_of_two_runs_predict_beside_each_other(finished, quick):
    """What was rebuilt is a value: nothing of it is shared, and no random stream is drawn from."""
    other = train(quick("head=mlp", "seed=5", samples=64))
    models = [rebuild(str(result.folder)) for result in (finished, other)]
    images = [
        torch.rand((8, m.preprocess.channels, m.preprocess.size, m.preprocess.size), generator=torch.Generator())
        for m in models
    ]
    for model in models:
        model.task.eval()

    def outputs(i):
        with torch.inference_mode():
            return [models[i].task(images[i]) for _ in range(20)]

    before = torch.get_rng_state()
    alone = [outputs(0)[0], outputs(1)[0]]
    with ThreadPoolExecutor(2) as threads:
        together = list(threads.map(outputs, (0, 1)))
    for expected, found in zip(alone, together, strict=True):
        assert all(torch.equal(expected, each) for each in found)
    assert torch.equal(torch.get_rng_state(), before)
    shared = {id(t) for t in models[0].task.state_dict(keep_vars=True).values()}
    assert not shared & {id(t) for t in models[1].task.state_dict(keep_vars=True).values()}
