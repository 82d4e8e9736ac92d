import optuna

from tunesmith.compat import optuna as ours


def test_a_version_without_the_name_is_refused(refused):
    refused(ours, "optuna", optuna.trial.FrozenTrial, "_trial_id")


def test_a_trial_reports_although_another_process_opened_it():
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study()
    study.ask()
    study.ask()
    trial = ours.reopened(study, study.trials[1])
    trial.report(0.5, 3)
    assert trial.number == 1
    assert [t.intermediate_values for t in study.trials] == [{}, {3: 0.5}]
