from bptt.errors import TrainingDiverged, UserError


def test_a_users_mistake_and_a_diverged_training_are_told_apart():
    assert not issubclass(TrainingDiverged, UserError)
    assert not issubclass(UserError, TrainingDiverged)
