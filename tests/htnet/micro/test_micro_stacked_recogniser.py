"""HTNet as a recogniser: two rules from one training, runs that go on, recipes, weights kept."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from common.class_scores import confusion_counts, macro_f1
from common.errors import UserError
from htnet.configuration import PUBLISHED_28, HTNetConfig
from htnet.micro import stacked_folds as folds
from htnet.micro.answers import LosoAnswers
from htnet.micro.htnet_recogniser import (
    WEIGHTS,
    HTNetRecogniser,
    epoch_scores,
    htnet_recogniser,
    published_epochs,
    trailing_mean,
)
from htnet.micro.recipe import FOLDER, micro_recipe_from, read_micro_recipe, with_micro_changes
from htnet.micro.stacked_batches import Member
from htnet.micro.stacked_clips import ClipTable
from htnet.micro.stacked_training import train_stack
from htnet.network import HTNet
from htnet.region_fusion import RegionHTNet, build_network
from htnet.weights import load_pretrained, load_weights
from tests.htnet.micro.drawn_maps import drawn_maps

TINY = [
    "network.dim=6", "network.heads=2", "network.block_repeats=[1, 1, 1]", "training.epochs=4",
    "training.learning_rate=0.01", "training.batch_size=16", "training.precision=float32",
]  # fmt: skip


def recogniser(*changes: str, folder: Path | None = None) -> HTNetRecogniser:
    return htnet_recogniser("small", folder=folder, device="cpu", changes=[*TINY, *changes])


def values(answers: list[LosoAnswers]) -> list[tuple[int, str, list[list[float]]]]:
    return [(one.seed, one.rule, one.probabilities.tolist()) for one in answers]


def uf1(answer: LosoAnswers, label: np.ndarray) -> float:
    return float(macro_f1(confusion_counts(label, answer.predicted, k=3)))


def test_both_rules_answer_every_clip_for_every_seed() -> None:
    clips = drawn_maps(subjects=5)
    answers = recogniser().leave_one_subject_out(clips, seeds=(0, 4))
    assert [(one.seed, one.rule) for one in answers] == [
        (0, "honest"), (0, "published"), (4, "honest"), (4, "published")
    ]  # fmt: skip
    for one in answers:
        assert one.model == "htnet-small whole"
        assert one.probabilities.dtype == np.float64
        np.testing.assert_allclose(one.probabilities.sum(axis=1), 1, rtol=0, atol=1e-12)
    assert values(answers)[0][2] != values(answers)[2][2]


def test_movements_are_learned_and_answered_in_people_not_seen() -> None:
    clips = drawn_maps(subjects=8)
    strong = recogniser("network.dim=12", "training.epochs=12")
    honest, published = strong.leave_one_subject_out(clips, seeds=(0,))
    assert uf1(honest, clips.label) > 0.9
    assert uf1(published, clips.label) >= uf1(honest, clips.label)


def test_the_planted_leak_shows_as_the_difference_of_the_rules() -> None:
    """Maps without any signal: honest answers are chance, the published rule finds 'skill'."""
    clips = drawn_maps(subjects=14, per_subject=3, signal=0.0)
    trial = recogniser(
        "training.epochs=30", "training.learning_rate=0.003", "training.schedule=constant"
    )
    answers = trial.leave_one_subject_out(clips, seeds=(0, 1))
    honest = np.mean([uf1(one, clips.label) for one in answers if one.rule == "honest"])
    published = np.mean([uf1(one, clips.label) for one in answers if one.rule == "published"])
    assert honest < 0.5
    assert published > honest + 0.12


def test_the_published_epoch_is_the_subjects_own_best_and_the_first_of_equals() -> None:
    label, fold = np.array([0, 1, 2, 2]), np.array([0, 0, 1, 1])
    right = np.array([[1, 0, 0, 0], [1, 1, 0, 1], [1, 1, 1, 0]], dtype=bool)
    answers = np.zeros((3, 4, 3), dtype=np.float32)
    for epoch, clip in np.ndindex(3, 4):
        answers[epoch, clip, label[clip] if right[epoch, clip] else (label[clip] + 1) % 3] = 1
    assert published_epochs(answers, label=label, fold=fold).tolist() == [1, 1, 1, 1]
    right_in_last = answers.copy()
    right_in_last[2, 3] = [0, 0, 1]
    epochs = published_epochs(right_in_last, label=label, fold=fold)
    assert epochs.tolist() == [1, 1, 2, 2]


def test_trailing_means_are_over_the_last_epochs() -> None:
    answers = np.arange(5, dtype=np.float32)[:, None, None] * np.ones((1, 2, 3), dtype=np.float32)
    assert trailing_mean(answers, 1)[:, 0, 0].tolist() == [0, 1, 2, 3, 4]
    assert trailing_mean(answers, 3)[:, 0, 0].tolist() == [0, 0.5, 1, 2, 3]


def test_averaging_changes_honest_answers_only() -> None:
    clips = drawn_maps(subjects=4)
    plain = values(recogniser().leave_one_subject_out(clips, seeds=(0,)))
    averaged = values(recogniser("training.average=3").leave_one_subject_out(clips, seeds=(0,)))
    assert plain[0] != averaged[0]
    assert plain[1] == averaged[1]


def test_inner_subjects_choose_the_epoch_and_the_held_out_labels_do_not() -> None:
    clips = drawn_maps(subjects=7)
    inner = recogniser("training.stop=inner", "training.inner_groups=3")
    epochs = inner.inner_epochs(clips, seed=0)
    assert set(epochs.tolist()) <= set(range(4))
    pairs, inside = inner.inner_answers(clips, seed=0)
    assert inside.shape == (3, len(clips), 3)
    own = pairs.group == 0
    # Only networks that never saw group 0 choose for it: other labels there change nothing.
    label = clips.label.copy()
    label[own] = 2 - label[own]
    changed = HTNetRecogniser(inner.recipe, device="cpu")
    same_groups = pairs.group
    groups = np.array([same_groups[clips.fold == s][0] for s in range(len(clips.subjects))])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folds, "subject_groups", lambda _, groups_=groups, **__: groups_)
        after = changed.inner_epochs(replace(clips, label=label), seed=0)
    assert after[own].tolist() == epochs[own].tolist()


def test_epochs_are_scored_by_the_mean_of_uf1_and_uar() -> None:
    label = np.array([0, 0, 1, 2])
    good = np.eye(3, dtype=np.float32)[label]
    constant = np.eye(3, dtype=np.float32)[np.zeros(4, dtype=int)]
    scores = epoch_scores(np.stack([constant, good]), label, k=3)
    assert scores[1] == 1.0
    assert scores[0] == pytest.approx(((2 * 2 / 6) / 3 + 1 / 3) / 2)


def test_a_run_that_was_stopped_goes_on(tmp_path: Path) -> None:
    clips = drawn_maps(subjects=5)
    keeping = recogniser("training.group=2", folder=tmp_path)
    expected = values(keeping.leave_one_subject_out(clips, seeds=(0,)))
    files = sorted(tmp_path.glob("htnet-small-whole/*/*.npz"))
    assert [file.name for file in files] == [
        "0.000-0.001.npz", "0.002-0.003.npz", "0.004-0.004.npz"
    ]  # fmt: skip
    untouched = files[0].stat().st_mtime_ns
    files[1].unlink()
    assert values(keeping.leave_one_subject_out(clips, seeds=(0,))) == expected
    assert files[0].stat().st_mtime_ns == untouched and files[1].exists()
    # Other clips or settings never meet these files.
    changed = replace(clips, label=(clips.label + 1) % 3)
    keeping.leave_one_subject_out(changed, seeds=(0,))
    assert len(list(tmp_path.glob("htnet-small-whole/*"))) == 2
    files[0].write_bytes(b"half a file")
    with pytest.raises(UserError, match="damaged: delete it"):
        keeping.leave_one_subject_out(clips, seeds=(0,))


def test_the_order_of_groups_changes_nothing() -> None:
    clips = drawn_maps(subjects=5)
    one, four = (
        values(recogniser(f"training.group={n}").leave_one_subject_out(clips, seeds=(0,)))
        for n in (1, 4)
    )
    np.testing.assert_allclose(one[0][2], four[0][2], rtol=0, atol=1e-4)


@pytest.mark.parametrize("inputs", ["whole", "mosaic", "both"])
def test_weights_are_kept_with_their_configuration_and_begin_a_palsy_network(
    inputs: str, tmp_path: Path
) -> None:
    clips = drawn_maps(subjects=3)
    kept = recogniser(f"training.input={inputs}").keep_weights(clips, tmp_path, seed=2)
    assert kept.name == WEIGHTS
    network, notes = load_weights(kept)
    assert isinstance(network, RegionHTNet if inputs == "both" else HTNet)
    assert notes["classes"] == list(clips.classes)
    assert network.config.num_classes == 3
    kind = "regions" if inputs == "both" else "face"
    palsy = build_network(replace(network.config, image_size=56, num_classes=6, input=kind))
    before = {name: value.clone() for name, value in palsy.state_dict().items()}
    load_pretrained(palsy, kept)
    theirs = network.state_dict()
    for name, value in palsy.state_dict().items():
        if "feed_forward" in name:
            torch.testing.assert_close(value, theirs[name])
        if name.endswith("head.weight"):
            torch.testing.assert_close(value, before[name])
    with safe_open(kept, framework="pt") as file:
        about = json.loads(file.metadata()["htnet"])
    assert about["config"]["image_size"] == 28


def test_shipped_recipes_are_the_sizes_they_say() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.yaml") if "roi" not in path.stem) == [
        "paper", "small"
    ]  # fmt: skip
    paper = read_micro_recipe("paper").config(num_classes=3)
    assert paper == PUBLISHED_28
    small = read_micro_recipe("small").config(num_classes=3)
    with torch.device("meta"):
        counts = {
            name: sum(value.numel() for value in HTNet.from_config(config).parameters())
            for name, config in (("paper", paper), ("small", small))
        }
    assert counts == {"paper": 139_582_982, "small": 4_012_934}
    assert isinstance(small, HTNetConfig)


def test_the_paper_recipe_takes_a_step_with_narrow_layers() -> None:
    """Its depth, heads and input at a width that two processor cores can bear."""
    recipe = with_micro_changes(
        read_micro_recipe("paper"),
        ["network.dim=24", "training.epochs=2", "training.batch_size=64"],
    )
    clips = drawn_maps(subjects=3, per_subject=4)
    table = ClipTable(clips, recipe, device=torch.device("cpu"))
    member = Member(fold=0, seed=0, train=np.arange(4, 12), answered=np.arange(4))
    stack = train_stack(table, [member], recipe, steps=1)
    assert np.isfinite(stack.answers[0]).all()
    assert not np.array_equal(stack.answers[0][0], stack.answers[0][1])


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"training": {}}, "no section network"),
        ({"network": {}, "trainig": {}}, 'no section "trainig".*"training"'),
        ({"training": {"epoch": 3}}, 'no setting "epoch".*"epochs"'),
        ({"augmentation": {"miror": True}}, 'no setting "miror".*"mirror"'),
        ({"training": {"input": "mosaik"}}, 'training.input is "mosaik".*"mosaic"'),
        ({"training": {"schedule": "linear"}}, "choose one of constant, cosine"),
        ({"training": {"epochs": 0}}, "give 1 or more"),
        ({"training": {"inner_groups": 2}}, "give 3 or more"),
        ({"training": {"clip": -1.0}}, "give 0 or more"),
        ({"training": {"warmup": 1.0}}, "share from 0 to below 1"),
        ({"augmentation": {"shift": -1}}, "give 0 px or more"),
        ({"network": {"num_classes": 3}}, "num_classes follows from"),
        ({"network": {"patch_size": 14, "image_size": 28, "dim": 6, "heads": 2}}, "patches a side"),
    ],
)
def test_recipes_that_cannot_be_are_refused_in_a_sentence(
    content: dict[str, object], sentence: str
) -> None:
    network = {"image_size": 28, "patch_size": 7, "dim": 6, "heads": 2, "block_repeats": [1, 1, 1]}
    given = {} if sentence == "no section network" else {"network": network}
    with pytest.raises(UserError, match=sentence):
        micro_recipe_from({**given, **content}, source="test")


def test_other_settings_have_another_folder_but_choices_afterwards_share_it(
    tmp_path: Path,
) -> None:
    clips = drawn_maps(subjects=3)
    folders = []
    for change in (
        "training.average=1",
        "training.average=2",
        "training.label_smoothing=0.1",
        "augmentation.mirror=true",
    ):
        recogniser(change, folder=tmp_path).leave_one_subject_out(clips, seeds=(0,))
        folders.append(len(list(tmp_path.glob("*/*"))))
    assert folders == [1, 1, 2, 3]


def test_a_device_that_is_not_there_is_refused() -> None:
    clips = drawn_maps(subjects=3)
    with pytest.raises(UserError, match="choose auto, cpu or cuda"):
        HTNetRecogniser(recogniser().recipe, device="gpu").leave_one_subject_out(clips, seeds=(0,))
