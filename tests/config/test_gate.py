"""The gate, through each way in: nothing hostile is imported, nothing is run; a canary file would tell."""

import contextlib
import os
import sys
from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf

from tunesmith import __main__ as program
from tunesmith.config import gate
from tunesmith.config.build import build, target
from tunesmith.config.check.check import check, mistakes
from tunesmith.config.compose import compose
from tunesmith.config.find import conf_dirs, group_names
from tunesmith.config.hydra import app, hydra_gate
from tunesmith.errors import ConfigError

sys.path.append(str(Path(__file__).parent))
from hostile_targets import CANARY, CODE, HOSTILE, RUNNING

sys.path.pop()
NAMES = [name for name, _ in HOSTILE]
PLAIN = [name for name in NAMES if name.replace(".", "").replace("_", "").isalnum()]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """An empty present folder, a module elsewhere that touches the canary when it is imported, and no settings."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "here").mkdir()
    (tmp_path / "elsewhere" / "evil.py").write_text(f"import os\n{CODE}\nclass Thing: ...\ndef function(): ...\n")
    (tmp_path / "here" / "evil.py").write_text(f"{CODE}\n")  # hidden by the other, but to be run by its path
    (tmp_path / "here" / "source.txt").touch()
    monkeypatch.syspath_prepend(tmp_path / "elsewhere")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(gate, "settings_file", lambda: tmp_path / "settings.yaml")
    monkeypatch.setenv(gate.VARIABLE, "")
    before = set(sys.modules)
    yield tmp_path / "here"
    tops = {name.partition(".")[0].strip() for name in NAMES} - {"tunesmith", "omegaconf", "hydra", "torch", ""}
    if not (tmp_path / "control").exists():
        assert not Path(CANARY).exists()
        assert not {name.partition(".")[0] for name in set(sys.modules) - before} & (tops | {"evil"})
    for name in {"evil"} & set(sys.modules):
        del sys.modules[name]


@pytest.fixture(scope="module")
def shipped():
    cfg = compose("train")
    OmegaConf.set_struct(cfg, False)
    return cfg


def node(name, arguments):
    return {"_target_": name, "_args_": arguments}


SHAPES = {
    "plain": lambda each: each,
    "partial": lambda each: {**each, "_partial_": True},
    "not recursive": lambda each: {"_target_": "torch.nn.ReLU", "_recursive_": False, "inplace": each},
    "nested": lambda each: {"_target_": "torch.nn.ReLU", "inplace": each},
    "deep": lambda each: {"_target_": "torch.nn.ReLU", "inplace": {"a": {"b": [[each]]}}},
    "list": lambda each: {"_target_": "torch.nn.ReLU", "inplace": [1, each]},
    "args": lambda each: {"_target_": "torch.nn.Sequential", "_args_": [each]},
    "args of a partial": lambda each: {"_target_": "torch.nn.ReLU", "_args_": [each], "_partial_": True},
}


def hostile(found):
    return [m for m in found if "to be a class that tunesmith knows" in m.text or "_target_" in m.text]


def test_there_are_enough():
    assert len(set(NAMES)) == len(HOSTILE) >= 60


@pytest.mark.parametrize("shape", SHAPES)
def test_the_check_refuses_each(shape, shipped):
    cfg = shipped.copy()
    cfg.callback = {f"h{i}": SHAPES[shape](node(*each)) for i, each in enumerate(HOSTILE)}
    found = hostile(mistakes(cfg, "train", group_names(conf_dirs()), gate.trust()))
    assert {m.path.split(".")[1] for m in found} == {f"h{i}" for i in range(len(HOSTILE))}


@pytest.mark.parametrize("shape", SHAPES)
def test_build_refuses_each_by_itself(shape):
    for each in HOSTILE:
        with pytest.raises(ConfigError, match="to be a class that tunesmith knows"):
            build(SHAPES[shape](node(*each)))


def test_references_are_resolved_before_the_gate(shipped):
    cfg = shipped.copy()
    cfg.tags = NAMES
    cfg.callback = {f"h{i}": {"_target_": f"${{tags.{i}}}"} for i in range(len(NAMES))}
    cfg.logger = {f"h{i}": f"${{callback.h{i}}}" for i in range(len(NAMES))}
    found = {
        ".".join(m.path.split(".")[:2]) for m in hostile(mistakes(cfg, "train", group_names(conf_dirs()), gate.trust()))
    }
    assert found == {f"{group}.h{i}" for group in ("callback", "logger") for i in range(len(NAMES))}


@pytest.fixture
def keeper(folder, monkeypatch):
    """A class that keeps its arguments, allowed."""
    (folder.parent / "elsewhere" / "keeper.py").write_text(
        "class Keep:\n    def __init__(self, value): self.value = value\n"
    )
    monkeypatch.setenv(gate.VARIABLE, "keeper")
    yield "keeper.Keep"
    sys.modules.pop("keeper", None)


@pytest.mark.parametrize(
    "text", ["${oc.create:{_target_: os.mkdir, path: canary}}", "${oc.decode:'{_target_: os.mkdir}'}"]
)
def test_no_node_comes_of_a_string(text, keeper):
    """Hydra resolves while it builds: there, the escaped text becomes a node on the way, and is built."""
    with pytest.raises(ConfigError, match=r"tunesmith knows but got 'os\.mkdir'"):
        build({"_target_": keeper, "value": text})
    for escapes in (1, 3):
        built = build({"_target_": keeper, "value": "\\" * escapes + text})
        assert isinstance(built.value, str)
        built = build({"_target_": keeper, "value": {"_target_": keeper, "value": ["\\" * escapes + text]}})
        assert isinstance(built.value.value[0], str)


def test_the_command_line_is_refused():
    words = [f"+callback.h{i}={{_target_: {name}}}" for i, name in enumerate(PLAIN)]
    with pytest.raises(ConfigError) as caught:
        program.command_line(["train", *words])
    assert len(caught.value.mistakes) == len(words) >= 60


def test_a_configuration_in_the_present_folder_is_refused(folder):
    (folder / "conf" / "callback").mkdir(parents=True)
    nodes = {f"h{i}": node(*each) for i, each in enumerate(HOSTILE)}
    (folder / "conf" / "callback" / "mine.yaml").write_text(yaml.safe_dump(nodes))
    with pytest.raises(ConfigError) as caught:
        program.command_line(["train", "callback=mine"])
    assert len(caught.value.mistakes) >= len(HOSTILE)


@pytest.fixture(scope="module")
def whole():
    """A configuration with Hydra's node."""
    cfg = app.load(app.start("train", conf_dirs()), "train", [])
    OmegaConf.set_readonly(cfg, False)
    OmegaConf.set_readonly(cfg.hydra, False)
    OmegaConf.set_struct(cfg, False)
    return cfg


KNOWN = "lightning.pytorch.callbacks.Timer"
PLACES = {
    "hydra.callbacks": lambda each: each,
    "hydra.callbacks.nested": lambda each: {"_target_": KNOWN, "duration": [each]},
    "hydra.job_logging.handlers": lambda each: {"class": f"{each['_target_']} "},
    "hydra.hydra_logging.handlers": lambda each: {"()": each["_target_"]},
    "hydra.job_logging.formatters": lambda each: {"()": each["_target_"]},
    "hydra.job_logging.filters": lambda each: [{"()": each["_target_"]}],
    "hydra.job_logging.streams": lambda each: {"class": "logging.StreamHandler", "stream": f"ext://{each['_target_']}"},
}


@pytest.mark.parametrize("place", PLACES)
def test_hydras_own_node_is_refused(place, whole):
    hydra_gate.require(whole)
    cfg = whole.copy()
    OmegaConf.update(
        cfg, place, {f"h{i}": PLACES[place](node(*each)) for i, each in enumerate(HOSTILE)}, force_add=True
    )
    with pytest.raises(ConfigError) as caught:
        hydra_gate.require(cfg)
    assert len(caught.value.mistakes) >= len(HOSTILE)


@pytest.mark.parametrize("part", ["launcher", "sweeper"])
def test_what_starts_jobs_is_hydras_own(part, whole):
    cfg = whole.copy()
    for name in NAMES:
        cfg.hydra[part]._target_ = name
        with pytest.raises(ConfigError, match=f"hydra.{part}"):
            hydra_gate.require(cfg)


REFUSED = [
    ["+hydra.callbacks.x._target_=evil.Thing"],
    ["+hydra.callbacks.x=${callback}"],
    ["hydra.callbacks=${oc.create:{x:{_target_: evil.Thing}}}"],
    ["+hydra.callbacks.x={_target_: lightning.pytorch.callbacks.Timer, a: '\\${oc.create:{_target_: evil.Thing}}'}"],
    ["hydra.launcher._target_=evil.Thing"],
    ["hydra.launcher._target_=${name}"],
    ["hydra.sweeper._target_=evil.Thing"],
    ["+hydra.sweeper.x={_target_: evil.Thing}"],
    ["hydra/job_logging=default", "+hydra.job_logging.handlers.x={class: evil.Thing}"],
    ["hydra/job_logging=default", "hydra.job_logging.handlers.console.stream=ext://evil.Thing"],
    ["hydra/job_logging=default", "hydra.job_logging.handlers.console.stream=${name}", "name=ext://evil.Thing"],
    ["hydra.job.env_set={TUNESMITH_ALLOW: evil}"],
    ["hydra.searchpath=[pkg://evil]"],
    ["-m", "seed=0,1", "+hydra.callbacks.x._target_=evil.Thing"],
    ["-m", "hydra.launcher._target_=evil.Thing,evil.function"],
]


@pytest.mark.parametrize("line", REFUSED)
@pytest.mark.parametrize("flag", [[], ["--cfg", "all"]])
def test_hydras_own_node_is_refused_on_the_command_line(line, flag):
    if flag and "-m" in line:
        return  # one excludes the other
    with pytest.raises(ConfigError, match="hydra"):
        program.command_line(["train", *flag, *line])


def test_hydras_own_logging_is_not_refused(whole):
    for option in ("default", "stdout", "disabled", "none"):
        compose("train", [f"hydra/job_logging={option}"])


@pytest.fixture
def plug_in(folder):
    """A module of the user's in the present folder, and its name in ./conf."""
    (folder / "conf" / "loss").mkdir(parents=True)
    (folder / "conf" / "loss" / "mine.yaml").write_text("_target_: mine_here.Mine\n")
    (folder / "mine_here.py").write_text(
        f"import os, evil\nfrom os import mkdir\nfrom evil import Thing\n{CODE}\nclass Mine: ...\ndef make(): ...\n"
    )
    return "mine_here.Mine"


@pytest.fixture
def importable(folder, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path, str(folder)])


def composed(name, *words):
    return compose("train", [f"+callback.x={{_target_: {name}}}", *words])


@pytest.mark.usefixtures("importable", "plug_in")
def test_what_lies_in_the_present_folder_may_be_trained():
    check(compose("train", ["loss=mine"]))
    check(composed("mine_here.make"))
    for name in ("mine_here.os.mkdir", "mine_here.mkdir", "mine_here.Thing", "mine_here.evil.Thing", "evil.Thing"):
        with pytest.raises(ConfigError, match="to be a class that tunesmith knows"):
            check(composed(name))


@pytest.mark.usefixtures("importable")
def test_a_recorded_configuration_may_not_name_it(plug_in):
    cfg = composed(plug_in)
    for recorded, resume in ((True, None), (False, "logs/x")):
        cfg.resume = resume
        with pytest.raises(ConfigError, match="add '--allow mine_here' or name it in TUNESMITH_ALLOW"):
            check(cfg, recorded=recorded)
    with pytest.raises(ConfigError, match="mine_here"):
        compose_and_check("evaluate", "run=x", f"+data={{_target_: {plug_in}}}")
    cfg.resume = "auto"
    trust = check(cfg)
    check(cfg, recorded=True, trust=trust)  # the same command has been asked to train with it
    with pytest.raises(ConfigError, match="mine_here"):
        check(cfg, recorded=True)  # and no other one: nothing stays in the process


def compose_and_check(command, *words):
    check(compose(command, words), command)


@pytest.mark.parametrize("folder_name", ["site-packages", "a"])
def test_an_installed_package_is_no_plug_in(folder_name, folder, monkeypatch):
    (folder / folder_name).mkdir()
    (folder / folder_name / "mine_here.py").write_text("class Mine: ...\n")
    monkeypatch.chdir(folder / folder_name)
    monkeypatch.setattr(sys, "path", [*sys.path, str(folder / folder_name)])
    assert gate.trust().composing(composed("mine_here.Mine")).passes("mine_here.Mine") is (folder_name == "a")


@pytest.mark.parametrize("way", ["command line", "variable", "settings"])
def test_what_the_user_allows(way, folder, monkeypatch):
    names = ["evil", "email.message_from_string"]
    trust = None
    if way == "command line":
        trust = gate.trust(names)
    elif way == "variable":
        monkeypatch.setenv(gate.VARIABLE, " ".join(names))
    else:
        (folder.parent / "settings.yaml").write_text(f"allow: [{', '.join(names)}]\n")
    check(composed("evil.Thing"), recorded=True, trust=trust)
    trust = trust or gate.trust()
    assert trust.passes("email.message_from_string")  # a function, by its exact name
    for name in ("evil.os.mkdir", "evil.function", "email.message_from_file", "evilish.Thing", "email.message.Message"):
        assert not trust.passes(name), name


def test_an_allowed_module_lets_through_what_it_defines_and_not_what_it_imports(folder, monkeypatch):
    package = folder.parent / "elsewhere" / "own"
    package.mkdir()
    (package / "__init__.py").write_text("from subprocess import Popen\nfrom own.part import Part\nclass Own: ...\n")
    (package / "part.py").write_text("from own.other import Other\nfrom evil import Thing\nclass Part: ...\n")
    (package / "other.py").write_text("class Other: ...\n")
    monkeypatch.setenv(gate.VARIABLE, "own")
    for name in ("own.Own", "own.Part", "own.part.Part", "own.part.Other"):
        assert gate.trust().passes(name), name
    for name in ("own.Popen", "own.part.Thing", "own.Absent", "own.part", "own"):
        assert gate.trust().passes(name) is (name == "own"), name
    monkeypatch.setenv(gate.VARIABLE, "own.part")
    passing = {name for name in ("own.Own", "own.Part", "own.part.Part", "own.part.Other") if gate.trust().passes(name)}
    assert passing == {"own.part.Part"}


@pytest.mark.parametrize("text", ["allow: evil", "allow: [1]", "alow: [evil]", "[evil]", "allow: [", "a: &a [*a]"])
def test_settings_are_as_they_should_be(text, folder):
    (folder.parent / "settings.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"settings\.yaml"):
        gate.trust()


def test_settings_that_allow_nothing(folder):
    (folder.parent / "settings.yaml").write_text("allow: []\n")
    assert gate.trust().allowed == set()
    (folder.parent / "settings.yaml").write_text("{}\n")
    assert gate.trust().allowed == set() and not gate.trust().passes("evil.Thing")


def test_names_come_from_everywhere_at_once(folder, monkeypatch):
    (folder.parent / "settings.yaml").write_text("allow: [one.two]\n")
    monkeypatch.setenv(gate.VARIABLE, " three, four:five;six\n")
    found = gate.trust(["seven", "eight.nine"]).allowed
    assert found == {"one.two", "three", "four", "five", "six", "seven", "eight.nine"}
    monkeypatch.delenv(gate.VARIABLE)
    assert gate.trust(["ten"]).allowed == {"one.two", "ten"} and gate.VARIABLE not in os.environ
    for name in ("", "a.", ".a", "a b", "a-b", "1a"):
        with pytest.raises(ConfigError, match="Expected --allow to name a module"):
            gate.trust(["fine", name])


def test_the_users_settings_lie_where_the_system_keeps_them(monkeypatch):
    monkeypatch.undo()
    assert gate.settings_file().parts[-2:] == ("tunesmith", "settings.yaml")


def test_every_target_is_found_and_each_is_named_once():
    nodes = {"a": [1, ({"_target_": "os.mkdir", "b": {"_target_": 3}},)], "_target_": "torch.nn.ReLU"}
    assert list(gate.targets(nodes)) == ["torch.nn.ReLU", "os.mkdir", "3"]
    gate.trust().require({"_target_": "torch.nn.ReLU"})
    with pytest.raises(ConfigError) as caught:
        gate.trust().require([nodes, nodes])
    assert len(caught.value.mistakes) == 2
    assert all(m.startswith("Expected _target_ to be a class") for m in caught.value.mistakes)


@pytest.mark.usefixtures("importable")
def test_which_modules_are_plug_ins(folder):
    (folder / "mine_pack").mkdir()
    (folder / "mine_pack" / "__init__.py").write_text("class Own:\n    def method(self): ...\nVALUE = 1\n")
    (folder / "mine_pack" / "part.py").write_text("from mine_pack import Own\nfrom evil import Thing\n")
    for name in ("sys", "__main__", "json"):  # of the interpreter, of no file, and another that comes first
        (folder / f"{name}.py").write_text("class Mine: ...\n")
    passing = ("mine_pack.Own", "mine_pack.part.Own")
    names = (
        "mine_pack.Own.method",
        "mine_pack.VALUE",
        "mine_pack.part.Thing",
        "sys.Mine",
        "__main__.Mine",
        "json.Mine",
        "none.Mine",
    )
    trust = gate.trust()
    assert [name for name in (*passing, *names) if trust.passes(name)] == []
    cfg = OmegaConf.create({name.replace(".", "_"): {"_target_": name} for name in (*passing, *names)})
    composing = trust.composing(cfg)
    assert [name for name in (*passing, *names) if composing.passes(name)] == [*passing]
    assert [name for name in (*passing, *names) if trust.passes(name)] == []  # of that command alone


@pytest.mark.parametrize("name", ["site-packages", "dist-packages"])
def test_what_was_installed_is_no_plug_in(name, folder, monkeypatch):
    (folder / name / "deep").mkdir(parents=True)
    (folder / name / "deep" / "mine_here.py").write_text("class Mine: ...\n")
    monkeypatch.chdir(folder / name / "deep")
    monkeypatch.setattr(sys, "path", [*sys.path, str(folder / name / "deep")])
    cfg = OmegaConf.create({"a": {"_target_": "mine_here.Mine"}})
    assert not gate.trust().composing(cfg).passes("mine_here.Mine")


def test_allow_takes_names():
    with pytest.raises(ConfigError, match="Expected --allow to name a module"):
        program.command_line(["train", "--allow", "evil/x"])


@pytest.mark.parametrize("function", [build, target])
def test_the_sentence_has_the_way_out(function):
    with pytest.raises(ConfigError) as caught:
        function({"_target_": "torch.optim.AdamWW"})
    assert "Did you mean 'torch.optim.AdamW'" in str(caught.value)
    with pytest.raises(ConfigError, match="add '--allow evil' or"):
        function({"_target_": "evil.Thing"})
    with pytest.raises(ConfigError, match=r"add '--allow evil\.function' or"):
        function({"_target_": "evil.function"})


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_without_the_gate_the_canary_appears(monkeypatch, folder, capsys):
    """The negative control."""
    (folder.parent / "control").touch()
    monkeypatch.setattr(gate.Trust, "passes", lambda *_: True)
    made = []
    for name, arguments in RUNNING:
        with contextlib.suppress(Exception):  # what some of them end with, after the deed
            build(node(name, arguments))
        if Path(CANARY).exists():
            made.append(name)
            Path(CANARY).rmdir() if Path(CANARY).is_dir() else Path(CANARY).unlink()
        sys.modules.pop("evil", None)
    assert len(made) >= 20, made
    assert {"os.system", "builtins.exec", "subprocess.call", "evil.Thing"} <= set(made)
