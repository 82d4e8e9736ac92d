import pytest
from networks import PARAMETERS
from omegaconf import OmegaConf

from tunesmith.contract.parameters import Plateau
from tunesmith.errors import PolicyError
from tunesmith.policy.phases import Phases


def train(*selectors):
    (phase,) = Phases([{"train": list(selectors)}]).plan(PARAMETERS)
    assert phase.first_epoch == 0
    return set(phase.trainable)


def test_selectors_add_up():
    assert train("head", "stage: -1", "norm") == train("head") | train("stage: -1") | train("norm")


def test_phases_follow_each_other():
    policy = Phases(
        [{"train": ["head"], "epochs": 2}, {"train": ["head", "stage: -1"], "epochs": 3}, {"train": ["all"]}]
    )
    plan = policy.plan(PARAMETERS)
    assert [p.first_epoch for p in plan] == [0, 2, 5]
    assert [len(p.trainable) for p in plan] == [2, 5, len(PARAMETERS)]
    assert policy.plan(PARAMETERS) == plan


def test_a_config_node_means_the_same_as_plain_containers():
    phases = [{"train": ["head", {"stage": "-1:"}], "epochs": 1}, {"train": ["all"], "epochs": None}]
    assert Phases(OmegaConf.create(phases)).plan(PARAMETERS) == Phases(phases).plan(PARAMETERS)


@pytest.mark.parametrize(
    ("phases", "words"),
    [
        ([], "at least one phase"),
        ([{"train": ["head"], "epochs": 3}], "last phase to have no 'epochs' but got 3"),
        ([{"train": ["head"]}, {"train": ["all"]}], r"phases\[0\].epochs.*got None"),
        ([{"train": ["head"], "epochs": 0}, {"train": ["all"]}], r"got 0"),
        ([{"train": ["head"], "epochs": -1}, {"train": ["all"]}], r"got -1"),
        ([{"train": ["head"], "epochs": 1.5}, {"train": ["all"]}], r"got 1.5"),
        ([{"train": ["head"], "epochs": True}, {"train": ["all"]}], r"got True"),
        ([{"train": ["head"], "epoch": 3}], "got 'epoch'. Did you mean 'epochs'"),
        ([{"epochs": None}], "list of selectors"),
        ([{"train": "head"}], "list of selectors"),
        ([{"train": []}], "list of selectors"),
        ([{"train": ["all"], "freeze": []}], r"freeze to be a list of selectors.*got \[\]"),
        ([{"train": ["all"], "freeze": "norm"}], r"freeze to be a list of selectors"),
        ([{"train": ["all"], "optimizer": 1e-3}], r"optimizer to be a mapping, such as {lr: 1e-4}, but got 0.001"),
        ([{"train": ["all"], "scheduler": "cosine"}], r"scheduler to be a mapping"),
        (["head"], "mapping with 'train'"),
        ([{"train": ["head"], "epochs": 3, "patience": 0}, {"train": ["all"]}], "patience to be .* at least 1.*got 0"),
        ([{"train": ["head"], "epochs": 3, "patience": 1.5}, {"train": ["all"]}], "patience to be .*got 1.5"),
        ([{"train": ["head"], "patience": 2}, {"train": ["all"]}], r"phases\[0\].epochs.*got None"),
        (
            [{"train": ["head"], "epochs": 3, "patience": 2, "min_delta": -1}, {"train": ["all"]}],
            "min_delta to be at least 0 but got -1",
        ),
        ([{"train": ["head"], "patience": 2}], "last phase to have no 'patience'.*got 2.*early_stopping"),
    ],
)
def test_malformed_phases_are_refused_before_a_model_is_there(phases, words):
    with pytest.raises(PolicyError, match=words):
        Phases(phases)


@pytest.mark.parametrize("stages", [0, -1])
def test_the_last_no_stages_would_be_all_of_them(stages):
    with pytest.raises(PolicyError, match=r"policy.stages to be at least 1.*policy=linear_probe"):
        Phases([{"train": ["head", f"stage: -{stages}:"]}], stages=stages)


LP_FT = [{"train": ["head"], "epochs": 3, "patience": 2, "min_delta": 0.5}, {"train": ["all"]}]


@pytest.mark.parametrize(
    ("phases", "given", "way_out"),
    [
        ([{"train": ["head"]}], {"stages": 2}, "policy=last_stages"),
        ([{"train": ["head", "stage: -12:"]}], {"stages": 2}, "policy=last_stages"),
        (LP_FT, {"epochs": 4}, "policy=plateau"),
        (LP_FT, {"probe_epochs": 4}, "policy=lp_ft"),
        (LP_FT, {"patience": 3}, "policy=plateau"),
        ([{"train": ["all"]}], {"min_delta": 0.1}, "policy=plateau"),
    ],
)
def test_an_argument_that_changes_nothing_is_refused(phases, given, way_out):
    ((name, value),) = given.items()
    with pytest.raises(PolicyError, match=rf"^Expected [^\n]*but got policy.{name}={value} and none .*{way_out}\.$"):
        Phases(phases, **given)


@pytest.mark.parametrize(
    ("phases", "given"),
    [
        ([{"train": ["head", "stage: -2:"]}], {"stages": 2}),
        ([{"train": ["all"], "freeze": ["stage: :2"]}], {"stages": 2}),
        ([{"train": ["all"], "freeze": [{"stage": 2}]}], {"stages": 2}),
        (LP_FT, {"probe_epochs": 3, "patience": 2, "min_delta": 0.5}),
        ([{"train": ["all"]}], {"stages": None, "patience": None, "min_delta": 0.0}),
    ],
)
def test_an_argument_that_stands_in_the_phases_is_taken(phases, given):
    Phases(phases, **given)


def test_what_is_frozen_is_taken_away():
    (phase,) = Phases([{"train": ["all"], "freeze": ["norm", "stage: 0"]}]).plan(PARAMETERS)
    assert phase.trainable == train("all") - train("norm") - train("stage: 0")


def test_nothing_left_to_train_is_refused():
    with pytest.raises(PolicyError, match=r"phases\[0\] to leave something to train"):
        Phases([{"train": ["head"], "freeze": ["all"]}]).plan(PARAMETERS)


def test_optimizer_and_schedule_come_with_their_phase():
    phases = [{"train": ["head"], "epochs": 1, "optimizer": {"lr": 1.0}}, {"train": ["all"], "scheduler": {}}]
    one, two = Phases(phases).plan(PARAMETERS)
    assert (one.optimizer, one.scheduler, two.optimizer, two.scheduler) == ({"lr": 1.0}, None, None, {})
    assert one.apart and two.apart


def test_a_phase_with_a_patience_waits_for_a_plateau():
    phases = [{"train": ["head"], "epochs": 5, "patience": 2, "min_delta": 0.1}, {"train": ["all"], "patience": None}]
    one, two = Phases(phases).plan(PARAMETERS)
    assert (one.plateau, two.plateau, two.first_epoch) == (Plateau(2, 0.1), None, 5)
