"""Training of the ROI models: loss, recipe, seeds, and who has a say in what."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from common.errors import UserError
from htnet.micro.clips.maps import TOGETHER
from htnet.micro.loso.folds import Fold, check_fold, deal_folds, make_fold
from htnet.micro.models.inputs import NetworkClips, roi_clips, shrunk
from htnet.micro.models.recipes import RoiRecipe
from htnet.micro.models.roi import ROI_KINDS, RoiHybrid
from htnet.micro.models.training import RoiModel, Trained
from htnet.network.losses import class_weights, focal, grade_loss, steps_of
from htnet.recipe import read_recipe, recipe_from
from tests.htnet.micro.drawn_regions import SIZE, drawn_regions, tiny_recipe

# --- loss --------------------------------------------------------------------------------------

LOGITS = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.2, 0.1], [-1.0, 3.0, 0.0]])
LABELS = torch.tensor([0, 2, 1])
WEIGHTS = torch.tensor([0.5, 1.0, 2.0])


def test_without_focus_it_is_cross_entropy_smoothed_as_torch_does() -> None:
    for smoothing in (0.0, 0.1):
        target = F.one_hot(LABELS, 3) * (1 - smoothing) + smoothing / 3
        ours = focal(LOGITS, target, gamma=0).mean()
        expected = F.cross_entropy(LOGITS, LABELS, label_smoothing=smoothing)
        torch.testing.assert_close(ours, expected)


def test_the_focal_loss_of_grades_is_the_same() -> None:
    ours = (WEIGHTS[LABELS] * focal(LOGITS, F.one_hot(LABELS, 3), gamma=2)).mean()
    steps = steps_of(LABELS + 1, num_classes=3)
    torch.testing.assert_close(ours, grade_loss(LOGITS, steps, loss="focal", weights=WEIGHTS))


def test_smoothing_keeps_a_sure_answer_from_being_the_best() -> None:
    def loss(scale: float, smoothing: float) -> float:
        sure = scale * F.one_hot(LABELS, 3).float()
        target = F.one_hot(LABELS, 3) * (1 - smoothing) + smoothing / 3
        return float(focal(sure, target, gamma=2.0).mean())

    assert loss(20, 0.0) < loss(4, 0.0)
    assert loss(20, 0.1) > loss(4, 0.1)


def test_class_weights_give_classes_one_say_and_skip_absent_ones() -> None:
    labels = np.array([0, 0, 0, 2])
    weights = class_weights(labels, num_classes=3).numpy()
    assert weights.tolist() == pytest.approx([4 / 6, 1, 2])
    assert weights[labels].mean() == pytest.approx(1)


# --- recipes -----------------------------------------------------------------------------------


def test_the_shipped_recipe_is_the_published_training() -> None:
    recipe = read_recipe(RoiRecipe, "roi")
    training = recipe.training
    assert (training.gamma, training.alpha, training.label_smoothing) == (2, 0.25, 0.1)
    assert (training.epochs, training.patience, training.batch_size) == (60, 20, 32)
    assert (training.learning_rate, training.last_rate, training.clip) == (1e-4, 1e-6, 5)
    config = recipe.config(model="hybrid", num_classes=4, regions=TOGETHER, windows=4)
    assert (config.size, config.channels, config.heads) == (224, (32, 64, 128, 256), 8)


def test_recipes_survive_their_own_dictionary() -> None:
    for name in ("roi", "roi-small"):
        recipe = read_recipe(RoiRecipe, name)
        assert recipe_from(RoiRecipe, recipe.as_dict(), source="test", name=name) == recipe


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("training.epoch=3", 'Did you mean "epochs"'),
        ("training.precision=16", "precision"),
        ("training.patience=0", "patience is 0"),
        ("training.last_rate=1", "last_rate is 1.0: give 0 to the learning_rate"),
        ("training.label_smoothing=1.0", "label_smoothing"),
        ("network.siz=3", 'Did you mean "size"'),
        ("network.regions=[a]", "follows from"),
        ("netwrk.size=3", 'Did you mean "network"'),
    ],
)
def test_what_nothing_reads_is_refused(change: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        read_recipe(RoiRecipe, "roi", changes=[change])


# --- clips -------------------------------------------------------------------------------------


def test_shrinking_keeps_the_mean_and_refuses_to_enlarge() -> None:
    windows, _ = drawn_regions()
    small = shrunk(windows.values, np.array([3, 1]), size=4)
    assert small.shape == (2, 4, 3, 3, 4, 4)
    expected = windows.values[[3, 1]].mean(axis=(-2, -1))
    np.testing.assert_allclose(small.mean(axis=(-2, -1)), expected, atol=1e-7)
    with pytest.raises(UserError, match=r"16 px.*size 32.*--region-size 32"):
        shrunk(windows.values, np.array([0]), size=32)


def test_clips_are_joined_by_name_and_not_by_place() -> None:
    windows, maps = drawn_regions()
    order = np.arange(len(maps))[::-1]
    turned = replace(
        maps, maps=maps.maps[order], centres=maps.centres[order], clip_id=maps.clip_id[order],
        dataset=maps.dataset[order], subject=maps.subject[order], label=maps.label[order],
    )  # fmt: skip
    data = roi_clips(windows, turned, size=SIZE)
    np.testing.assert_array_equal(data.values, windows.values[order])
    with pytest.raises(UserError, match=r'"clip0" \(1 in all\) has no region windows'):
        roi_clips(replace(windows, clip_id=np.char.replace(windows.clip_id, "clip0", "x")), maps,
                  size=SIZE)  # fmt: skip
    with pytest.raises(UserError, match="scaled published"):
        roi_clips(replace(windows, scaling="published"), maps, size=SIZE)


def split(clips: NetworkClips, **how: Any) -> Fold:
    return make_fold(clips.subject, clips.label, **how)


# --- training ----------------------------------------------------------------------------------


def eight_clips() -> tuple[NetworkClips, Fold]:
    """Eight clips to learn by heart; the validation subject's are copies of them."""
    windows, maps = drawn_regions(subjects=2, clips=8)
    data = roi_clips(windows, maps, size=SIZE)
    values = np.concatenate([data.values[:8], data.values[:8]])
    return replace(data, values=values), Fold(np.arange(8), np.arange(8, 16), np.arange(0))


@pytest.mark.parametrize("model", ROI_KINDS)
def test_eight_clips_are_learned_by_heart(model: str) -> None:
    data, fold = eight_clips()
    recipe = tiny_recipe("training.epochs=40", "training.learning_rate=0.01")
    trained = RoiModel(model, recipe).train(data, fold, seed=0)
    with torch.inference_mode():
        answers = trained.network(data.batch(fold.train)).argmax(dim=1)
    assert answers.tolist() == data.label[fold.train].tolist()
    assert trained.losses[trained.epoch] == min(trained.losses)


def test_importance_finds_the_region_that_tells_the_classes_apart() -> None:
    windows, maps = drawn_regions(subjects=8, clips=6)
    data = roi_clips(windows, maps, size=SIZE)
    fold = split(data, held_out="drawn/s0", validation_folds=4, seed=0)
    found = []
    for rate in (1, 100):
        recipe = tiny_recipe(
            "training.epochs=15", "training.learning_rate=0.003", f"training.region_rate={rate}"
        )
        network = RoiModel("hybrid", recipe).train(data, fold, seed=0).network
        assert isinstance(network, RoiHybrid)
        found.append(network.region_importance()["mouth"])
    assert found[0] == pytest.approx(1 / 3, abs=0.05)  # at the rate of all others it cannot move
    assert found[1] > 0.6


def four_subjects() -> NetworkClips:
    windows, maps = drawn_regions(subjects=4)
    return roi_clips(windows, maps, size=SIZE)


def weights_of(trained: Trained) -> dict[str, list[float]]:
    return {name: value.tolist() for name, value in trained.network.state_dict().items()}


def test_same_seed_same_weights() -> None:
    data = four_subjects()
    fold = split(data, held_out="drawn/s0", validation_folds=3, seed=0)
    recipe = tiny_recipe("training.epochs=2", "network.dropout=0.3")
    once, again, other = (
        RoiModel("hybrid", recipe).train(data, fold, seed=seed) for seed in (3, 3, 4)
    )
    assert weights_of(once) == weights_of(again)
    assert weights_of(once) != weights_of(other)


def test_training_leaves_the_callers_random_numbers_alone() -> None:
    data = four_subjects()
    fold = split(data, held_out=None, validation_folds=4, seed=0)
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    RoiModel("graph", tiny_recipe("training.epochs=1")).train(data, fold, seed=0)
    assert torch.rand(1) == expected


def test_held_out_clips_have_no_say() -> None:
    """Neither their maps nor their classes change anything of the honest training."""
    data = four_subjects()
    fold = split(data, held_out="drawn/s1", validation_folds=3, seed=0)
    recipe = tiny_recipe("training.epochs=3")
    expected = RoiModel("hybrid", recipe).train(data, fold, seed=0)
    values, label = data.values.copy(), data.label.copy()
    values[fold.held_out] = np.nan
    label[fold.held_out] = 1 - label[fold.held_out]
    spoilt = replace(data, values=values, label=label)
    trained = RoiModel("hybrid", recipe).train(spoilt, fold, seed=0)
    assert weights_of(trained) == weights_of(expected)
    assert trained.losses == expected.losses


def test_validation_clips_choose_the_epoch_and_teach_nothing() -> None:
    data = four_subjects()
    fold = split(data, held_out="drawn/s1", validation_folds=3, seed=0)
    recipe = tiny_recipe("training.epochs=1")  # one epoch, so there is nothing to choose
    expected = RoiModel("hybrid", recipe).train(data, fold, seed=0)
    values = data.values.copy()
    values[fold.validation] *= -3
    trained = RoiModel("hybrid", recipe).train(replace(data, values=values), fold, seed=0)
    assert weights_of(trained) == weights_of(expected)
    assert trained.losses != expected.losses


def test_every_subject_is_in_one_part_of_a_fold() -> None:
    data = four_subjects()
    for subject in dict.fromkeys(data.subject.tolist()):
        for seed in range(5):
            fold = split(data, held_out=subject, validation_folds=3, seed=seed)
            parts = [set(data.subject[rows].tolist()) for rows in vars(fold).values()]
            assert parts[2] == {subject}
            assert [len(part) for part in parts] == [2, 1, 1]
            assert len(set.union(*parts)) == 4


def test_a_subject_in_two_parts_is_refused() -> None:
    data = four_subjects()
    fold = Fold(np.arange(0, 8), np.arange(8, 13), np.arange(12, 16))
    with pytest.raises(UserError, match='"drawn/s3" is both validated and held out'):
        check_fold(data.subject, fold)
    two = replace(data, subject=np.where(np.arange(16) < 8, "a", "b"))
    with pytest.raises(UserError, match="three or more"):
        split(two, held_out="a", validation_folds=5, seed=0)


def test_the_only_subject_with_a_class_learns_and_does_not_validate() -> None:
    data = four_subjects()
    label = np.zeros(16, dtype=np.int64)
    label[4:8] = 1
    rare = replace(data, label=label)
    for seed in range(10):
        fold = split(rare, held_out="drawn/s0", validation_folds=3, seed=seed)
        assert set(fold.validation).isdisjoint(range(4, 8))


def test_dealt_folds_validate_every_subject_once_and_learn_every_class() -> None:
    """The networks of a kept model: drawn one by one, parts would overlap and leave people out."""
    subject = np.repeat([f"s{number}" for number in range(11)], 3)
    label = np.zeros(33, dtype=np.int64)
    label[[0, 3]] = 1  # two subjects alone have the second class
    for seed in range(5):
        folds = deal_folds(subject, label, parts=5, seed=seed)
        validated = np.concatenate([fold.validation for fold in folds])
        assert sorted(validated.tolist()) == list(range(33))
        for fold in folds:
            check_fold(subject, fold)
            assert set(label[fold.train]) == {0, 1}
            assert len(fold.train) + len(fold.validation) == 33
    with pytest.raises(UserError, match="of one subject"):
        deal_folds(subject[:3], label[:3], parts=5, seed=0)


def test_patience_ends_a_training() -> None:
    data = four_subjects()
    fold = split(data, held_out="drawn/s0", validation_folds=3, seed=0)
    recipe = tiny_recipe("training.epochs=30", "training.patience=2", "training.learning_rate=0.1")
    trained = RoiModel("graph", recipe).train(data, fold, seed=0)
    assert len(trained.losses) == min(30, trained.epoch + 3)
    assert trained.answers.shape == (len(trained.losses), 4, 2)


def test_a_training_that_diverges_says_so() -> None:
    data = four_subjects()
    fold = split(data, held_out="drawn/s0", validation_folds=3, seed=0)
    values = data.values.copy()
    values[fold.train[0]] = np.inf
    with pytest.raises(UserError, match="diverged in epoch 1"):
        RoiModel("graph", tiny_recipe()).train(replace(data, values=values), fold, seed=0)


def test_flow_of_fractions_is_brought_to_one() -> None:
    data = four_subjects()
    fold = split(data, held_out="drawn/s0", validation_folds=3, seed=0)
    unit = data.unit(fold.train).numpy()
    expected = np.sqrt(np.square(data.values[fold.train].astype(float)).mean((0, 1, 2, 4, 5)))
    np.testing.assert_allclose(unit, expected, rtol=1e-5)
    assert data.unit(fold.held_out).numpy() != pytest.approx(unit)  # of the training clips alone
