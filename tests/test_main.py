"""The command line: what it accepts, and one sentence for each thing that it does not."""

import importlib.metadata
import re
import subprocess
import sys

import pytest

from tunesmith import __main__ as program
from tunesmith.errors import ConfigError, DataError

WRONG = [
    ("bacbone=tiny", "Expected a key that exists but got 'bacbone'. Did you mean 'backbone'?"),
    ("backbone=tinny", "Expected one of the options of 'backbone' but got 'tinny'. Did you mean 'tiny'?"),
    (
        "backbone=resnt",
        "of 'backbone' but got 'resnt'. Valid here: custom, mnist_cnn, timm, tiny, torchvision, transformers.",
    ),
    ("callback=[default,emma]", "Expected one of the options of 'callback' but got 'emma'. Did you mean 'ema'?"),
    ("logger=wandbb", "Expected one of the options of 'logger' but got 'wandbb'. Did you mean 'wandb'?"),
    ("experiment=digit", "Expected one of the options of 'experiment' but got 'digit'. Did you mean 'digits'?"),
    ("debug=nan", "Expected one of the options of 'debug' but got 'nan'."),
    ("optimizer=3", "Expected one of the options of 'optimizer' but got '3'. Valid here: adam, adamw, sgd."),
    ("+debug=overfitt", "Expected one of the options of 'debug' but got 'overfitt'. Did you mean 'overfit'?"),
    ("optimizer.lrr=1", "Expected a key that exists but got 'optimizer.lrr'. Did you mean 'optimizer.lr'?"),
    ("optimzer.lr=1", "Expected a key that exists but got 'optimzer.lr'. Did you mean 'optimizer.lr'?"),
    ("lr=1", "Expected a key that exists but got 'lr'. Did you mean 'optimizer.lr'?"),
    ("data.splt.val=0.1", "Expected a key that exists but got 'data.splt.val'. Did you mean 'data.split.val'?"),
    ("data/split=group", "Expected a key that exists but got 'data/split'."),
    (
        "trainer.max_epoch=1",
        "Expected a key that exists but got 'trainer.max_epoch'. Did you mean 'trainer.max_epochs'",
    ),
    ("+optimizer.lrr=1", "Expected a key that exists but got 'optimizer.lrr'. Did you mean 'optimizer.lr'?"),
    ("++loss.smoothing=1", "Expected a key that exists but got 'loss.smoothing'. Did you mean 'loss.label_smoothing'?"),
    ("+modle.x=1", "Expected a key that exists but got 'modle'."),
    ("~optimizer.lrr", "Expected a key that exists but got 'optimizer.lrr'. Did you mean 'optimizer.lr'?"),
    ("sed=1", "Expected a key that exists but got 'sed'. Did you mean 'seed'?"),
    ("paths.log=x", "Expected a key that exists but got 'paths.log'. Did you mean 'paths.logs'?"),
    ("optimizer.lr=abc", "Expected optimizer.lr to be float or Tensor but got 'abc'."),
    ("optimizer.lr=null", "Expected optimizer.lr to be float or Tensor but got null."),
    ("optimizer.lr=true", "Expected optimizer.lr to be float or Tensor but got true."),
    ("trainer.max_epochs=1.5", "Expected trainer.max_epochs to be int or null but got 1.5."),
    ("trainer.enable_model_summary=3", "Expected trainer.enable_model_summary to be true or false or null but got 3."),
    ("trainer.precision=bf16-mixd", "Did you mean 'bf16-mixed'"),
    ("trainer.limit_val_batches=some", "Expected trainer.limit_val_batches to be int or float or null but got 'some'."),
    ("task.metrics.auroc.average=macr", "Did you mean 'macro'"),
    ("loss.weight=3", "Expected a key that exists but got 'loss.weight'. Did you mean 'loss.class_weight'?"),
    ("seed=zero", "Expected seed to be int but got 'zero'."),
    ("name=2026", "Expected name to be str but got 2026. Quote it, as in '\"2026\"'"),
    ("tags=demo", "Expected tags to be list[str] but got 'demo'."),
    ("tags=[demo,1]", "Expected tags to be list[str] but got ['demo', 1]."),
    ("test=bst", "greedy_soup' or null but got 'bst'. Did you mean 'best'?"),
    ("paths.logs=3", "Expected paths.logs to be str but got 3."),
    ("head.num_outputs=5", "Expected head.num_outputs to be left out: it is worked out by tunesmith."),
    ("optimizer.params=5", "Expected optimizer.params to be left out: it is worked out by tunesmith."),
    ("backbone._target_=tork.Net", "there is no package 'tork'. Is the package installed"),
    ("optimizer._target_=torch.optim.Adan", "there is no 'Adan' in 'torch.optim'. Did you mean 'Adam'"),
    ("loss._target_=3", "Expected loss._target_ to be the dotted path of a class but got 3."),
    ("optimizer.lr=${optimizer.lrate}", "Expected optimizer.lr to have a value but got an error:"),
    ("data=image_folder", "Expected data.root to be given, but it is missing: add 'data.root=…'."),
    ("~test", "Expected test to be given, but it is missing: the command needs it."),
    ("~head", "Expected the group head to be there, but it is missing: choose one of its options."),
    ("scheduler=null", "Expected one of the options of 'scheduler' but got 'null'. Valid here: constant,"),
    ("optimizer.lr=1,2", "Expected one value for 'optimizer.lr' but got a sweep, '1,2': add -m"),
    ("seed=range(0,3)", "Expected one value for 'seed' but got a sweep, 'range(0,3)': add -m"),
    ("policy=full,linear_probe", "Expected one value for 'policy' but got a sweep"),
    ("seed=[1", "Expected an override such as key=value but got 'seed=[1'"),
    ("seed", "Expected an override such as key=value but got 'seed'"),
    ("hydra.sweeep.dir=x", "Could not override 'hydra.sweeep.dir'."),
    ("-m seed=0,x", "Expected seed to be int but got 'x'."),
    ("-m seed=range(0,1.5,0.5)", "Expected seed to be int but got 0.5."),
    ("-m policy=full,liner_probe", "got 'liner_probe'. Did you mean 'linear_probe'?"),
    ("-m policy=glob(x*)", "Expected 'policy=glob(x*)' to match an option."),
    ("-m trainer.limit_val_batches=1,b", "Expected trainer.limit_val_batches to be int or float or null but got 'b'."),
    ("-m optimizer=adamw,sgd optimizer.momentum=0.9", "Expected a key that exists but got 'optimizer.momentum'."),
    ("-m sweep.slots=1,2", "Expected one value for sweep.slots, since it is about the sweep as a whole"),
    ("-m sweep.slots=two", "Expected sweep.slots to be int or one of 'auto' but got 'two'."),
    ("-m sweep.slot=2", "Expected a key that exists but got 'sweep.slot'. Did you mean 'sweep.slots'?"),
    (
        "-m sweep=gird seed=0,1",
        "Expected one of the options of 'sweep' but got 'gird'. Did you mean 'grid' or 'paired'?",
    ),
    ("-m sweep.on_failure=halt", "Expected sweep.on_failure to be one of 'continue', 'stop' but got 'halt'."),
    ("-m sweep.timeout=long", "Expected sweep.timeout to be float or null but got 'long'."),
    ("-m sweep.executor.gpu=true", "Expected a key that exists but got 'sweep.executor.gpu'. Did you mean"),
    ("-m optimizer.lr=interval(0.1,1)", "Expected values that can be counted up but got 'optimizer.lr=interval"),
    ("-m hydra/launcher=basic seed=0,1", "Expected sweep=… or sweep/executor=… for how jobs are chosen and run"),
    ("-m resume=auto seed=0,1", "Expected no resume in a sweep"),
    ("--bogus", "Expected a flag that exists but got '--bogus'."),
    ("--cfg jobs", "invalid choice: 'jobs'"),
    ("--experimental-rerun run.pickle", "it unpickles a file, which can run code"),
    ("-m --cfg job", "Expected at most one of --run, --multirun, --cfg and --info"),
    ("--resolve", "Expected --resolve together with --cfg"),
    ("--config-dir nowhere", "Expected --config-dir to be a folder"),
]


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def mistakes(*argv):
    with pytest.raises(ConfigError) as caught:
        program.command_line(argv)
    return caught.value.mistakes


@pytest.mark.parametrize(("line", "sentence"), WRONG, ids=[w[0] for w in WRONG])
def test_a_mistake_is_one_sentence(line, sentence):
    found = mistakes("train", *line.split(" "))
    assert len(found) == 1, found
    assert sentence in found[0]
    assert "\n" not in found[0]


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["trian"], "Expected a command but got 'trian'. Did you mean 'train'?"),
        (["evaluate"], "Expected run to be given, but it is missing: add 'run=…'."),
        (["evaluate", "run=x", "split=tests"], "Expected split to be one of 'train', 'val', 'test' but got 'tests'."),
        (
            ["predict", "run=x", "input=y", "data=digits"],
            "Expected a config group that 'predict' has here but got 'data'",
        ),
        (["predict", "run=x", "input=y", "seed=1"], "Expected a key that exists but got 'seed'."),
        (["--shell-completion", "instal=bash"], "Expected --shell-completion to be followed by a request"),
        (["train", "--shell-completion", "install=bash"], "Expected --shell-completion before any command"),
    ],
)
def test_other_commands(argv, sentence):
    (found,) = mistakes(*argv)
    assert found.startswith(sentence)


def test_all_mistakes_come_together():
    found = mistakes("train", "bacbone=tiny", "optimizer.lrr=1", "head=lin", "x=[", "seed=a", "trainer.max_epochs=1.5")
    assert len(found) == 6
    for part in ("bacbone", "optimizer.lrr", "'lin'", "x=[", "seed", "trainer.max_epochs"):
        assert sum(part in f for f in found) == 1


def test_what_follows_from_a_wrong_option_is_not_reported():
    (found,) = mistakes("train", "data=image_foldr", "data.root=photos", "data.workers=two")
    assert "image_foldr" in found


def test_mistakes_in_a_file_are_found_too(empty_folder):
    folder = empty_folder / "extra" / "experiment"
    folder.mkdir(parents=True)
    (folder / "typo.yaml").write_text("# @package _global_\noptimzer: {lr: 3}\noptimizer: {lrr: 3}\n")
    (folder / "broken.yaml").write_text("a: b: c\n")
    (folder / "lost.yaml").write_text("# @package _global_\ndefaults:\n  - override /data: nope\n")
    typo = mistakes("train", "--config-dir", "extra", "experiment=typo")
    assert ["'optimzer'. Did you mean 'optimizer'?" in typo[0], "'optimizer.lrr'" in typo[1]] == [True, True]
    assert "broken.yaml" in mistakes("train", "--config-dir", "extra", "experiment=broken")[0]
    assert "Could not find 'data/nope'" in mistakes("train", "--config-dir", "extra", "experiment=lost")[0]


@pytest.fixture
def seen(monkeypatch):
    """What the command was called with, in place of a training."""
    calls = []

    class Stub:
        @staticmethod
        def train(cfg, session=None):
            calls.append(cfg)
            if cfg.seed == 1:
                raise DataError("Expected a file but got none.")
            if cfg.seed == 2:
                raise RuntimeError("boom")

    monkeypatch.setitem(sys.modules, "tunesmith.run.train", Stub)
    return calls


@pytest.mark.parametrize(
    ("line", "key", "value"),
    [
        ("trainer.limit_train_batches=2", "trainer.limit_train_batches", 2),
        ("data.drop_last=true", "data.drop_last", True),
        ("+trainer.limit_train_batches=2", "trainer.limit_train_batches", 2),
        ("++optimizer.lr=1", "optimizer.lr", 1),
        ("~optimizer.lr", "optimizer.lr", None),
        ("optimizer=sgd optimizer.nesterov=true", "optimizer.nesterov", True),
        ("optimizer._target_=torch.optim.SGD optimizer.momentum=0.9", "optimizer.momentum", 0.9),
        ("optimizer.momentum=0.9 optimizer._target_=torch.optim.SGD", "optimizer.momentum", 0.9),
        ("callback=[default,ema]", "callback.ema.decay", 0.999),
        ("logger=[csv,wandb]", "logger.csv.name", "csv"),
        ("logger=csv", "logger.csv.name", "csv"),
        ("callback.progress=null", "callback.progress", None),
        ("tags=[a,b]", "tags", ["a", "b"]),
        ('name="2026"', "name", "2026"),
        ("test=null", "test", None),
        ("data=digits", "name", "digits"),
        ("task.metrics.auroc.average=none", "task.metrics.auroc.average", "none"),
        ("optimizer.betas=[0.9,0.99]", "optimizer.betas", [0.9, 0.99]),
        ("hydra.run.dir=. hydra.job.name=train_ddp_process_1 hydra.output_subdir=null", "seed", 0),
    ],
)
def test_accepted(line, key, value, seen):
    from omegaconf import OmegaConf

    assert program.command_line(["train", *line.split(" ")]) == 0
    (cfg,) = seen
    assert OmegaConf.select(cfg, key) == value
    assert "hydra" not in cfg


def test_an_error_of_the_run_is_one_sentence_and_code_2(seen, capsys):
    assert program.command_line(["train", "seed=1"]) == 2
    assert capsys.readouterr().err == "tunesmith: Expected a file but got none.\n"


def test_any_other_error_keeps_its_traceback(seen, capsys):
    assert program.command_line(["train", "seed=2"]) == 1
    assert "Traceback" in (err := capsys.readouterr().err)
    assert "boom" in err


@pytest.fixture
def swept(monkeypatch):
    """The jobs of sweeps, none of which is run."""
    from tunesmith.sweep import sweep

    listed = []
    monkeypatch.setattr(sweep, "_run", lambda argv, journal, searcher, *_: listed.extend(searcher.listed) or 0)
    return listed


@pytest.mark.parametrize(
    ("line", "jobs"),
    [
        ("seed=range(0,1) policy=full,linear_probe", 2),
        ("policy=glob(l*_*)", 3),
        ("trainer.limit_val_batches=1,2", 2),
        ("head=linear,mlp head.dropout=0.1,0.2", 4),
        ("callback=[default],[default,ema]", 2),
        ("optimizer.lr=choice(0.1,0.2)", 2),
    ],
)
def test_sweeps(line, jobs, swept):
    assert program.command_line(["train", "-m", *line.split(" ")]) == 0
    assert len(swept) == jobs


def test_a_sweep_may_come_from_hydra_mode(swept):
    assert program.command_line(["train", "seed=0,3", "hydra.mode=MULTIRUN"]) == 0
    assert len(swept) == 2


def exit_code(monkeypatch, *argv):
    monkeypatch.setattr(sys, "argv", ["tunesmith", *argv])
    monkeypatch.setattr(sys, "path", list(sys.path))
    with pytest.raises(SystemExit) as caught:
        program.main()
    assert sys.argv == ["tunesmith", *argv]
    return caught.value.code


def test_mistakes_exit_with_2(monkeypatch, capsys):
    assert exit_code(monkeypatch, "train", "seed=a", "lr=1") == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("tunesmith: Expected") for line in lines)


@pytest.mark.parametrize("lightning", [False, True])
def test_interruption_exits_with_130(monkeypatch, seen, capsys, lightning):
    def interrupted(cfg, session):
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            if lightning:
                sys.exit(1)
            raise

    monkeypatch.setattr(sys.modules["tunesmith.run.train"], "train", interrupted)
    assert exit_code(monkeypatch, "train") == 130
    assert capsys.readouterr().err.strip() == "tunesmith: interrupted"


def test_a_users_own_module_and_conf_are_found(empty_folder, monkeypatch, seen):
    (empty_folder / "my_backbone.py").write_text("class Mine:\n    def __init__(self, width: int) -> None: ...\n")
    (empty_folder / "conf" / "backbone").mkdir(parents=True)
    (empty_folder / "conf" / "backbone" / "mine.yaml").write_text("_target_: my_backbone.Mine\nwidth: 3\n")
    assert exit_code(monkeypatch, "train", "backbone=mine") == 0
    assert seen[0].backbone.width == 3
    assert exit_code(monkeypatch, "train", "backbone=mine", "backbone.width=x") == 2


def test_overview(capsys):
    assert program.command_line([]) == 0
    out = capsys.readouterr().out
    for command in ("train", "evaluate", "predict"):
        assert f"tunesmith {command} " in out
    assert program.command_line(["--version"]) == 0
    assert program.command_line(["train", "--version"]) == 0
    assert len(set(capsys.readouterr().out.splitlines())) == 1


def test_help_lists_groups_options_and_keys(capsys, empty_folder):
    (empty_folder / "conf" / "backbone").mkdir(parents=True)
    (empty_folder / "conf" / "backbone" / "mine.yaml").write_text("_target_: x.Y\n")
    assert program.command_line(["train", "--help"]) == 0
    out = capsys.readouterr().out
    for text in ("*tiny", "mine", "solar_cells", "*wandb", "seed=0", "-m ", "--cfg job", "--info", "experiment=digits"):
        assert text in out
    program.command_line(["predict", "--help"])
    assert "input=…" in capsys.readouterr().out


def test_cfg_and_info_are_hydras_own(capsys):
    assert program.command_line(["evaluate", "--cfg", "job"]) == 0
    assert "run: ???" in capsys.readouterr().out
    assert program.command_line(["train", "--cfg", "job", "-p", "optimizer", "optimizer.eps=1"]) == 0
    assert "eps: 1" in capsys.readouterr().out
    assert program.command_line(["train", "--info", "defaults"]) == 0
    assert program.command_line(["train", "--hydra-help"]) == 0
    assert "--multirun" in capsys.readouterr().out


HOOK = """
import atexit, runpy, sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name in ("torch", "lightning", "timm", "torchvision"):
            raise AssertionError(f"{name} was imported")
sys.meta_path.insert(0, Refuse())
read = []
sys.addaudithook(lambda event, args: read.append(args[0]) if event == "open" else None)
def count():
    sources = [path for path in map(str, read) if path.endswith((".py", ".yaml"))]
    print(f"Counted: {len(sys.modules)} modules, {len(sources)} sources.", file=sys.stderr)
atexit.register(count)
import importlib.util
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, *a: importlib.machinery.PathFinder.find_spec(name) or found(name, *a)
sys.argv = ["tunesmith", *sys.argv[1:]]
runpy.run_module("tunesmith", run_name="__main__")
"""


@pytest.mark.parametrize(
    ("line", "code", "most"),
    [
        ("", 0, 130),
        ("train --help", 0, 130),
        ("train --cfg job", 0, 130),
        ("compare --help", 0, 130),
        ("compare", 2, 130),
        # Targets are checked: every shipped configuration is read once, in 12 ms, for the targets that it names.
        ("train bacbone=tiny", 2, 320),
        ("train backbone=resnt optimizer.lr=abc", 2, 320),
        ("train trainer.precision=x", 2, 320),
    ],
)
def test_quick_and_without_torch(line, code, most, empty_folder):
    """Start-up costs what it imports and reads: 0.5 s for the 360 modules that were counted."""
    done = hooked(line.split(), empty_folder)
    assert done.returncode == code, done.stderr
    assert "was imported" not in done.stderr
    modules, sources = counted(done)
    assert 100 < modules < 450 and sources < most


@pytest.mark.parametrize("words", [["train", "--allow", "torch.nm.X", "optimizer._target_=torch.nm.X"], ["train"]])
def test_the_hook_would_notice_torch(words, empty_folder):
    assert "was imported" in hooked(words, empty_folder).stderr


def test_the_hook_would_notice_numpy(empty_folder):
    done = hooked(["compare", "."], empty_folder)
    assert done.returncode == 2 and counted(done)[0] > 450


def hooked(words, folder):
    line = [sys.executable, "-c", HOOK, *words]
    return subprocess.run(line, cwd=folder, capture_output=True, text=True, check=False)


def counted(done):
    return [int(number) for number in re.search(r"Counted: (\d+) modules, (\d+) sources", done.stderr).groups()]


def test_console_script_module_exists():
    (script,) = importlib.metadata.entry_points(group="console_scripts", name="tunesmith")
    assert script.value == "tunesmith.__main__:main" and script.load() is program.main
