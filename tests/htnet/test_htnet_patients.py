"""The patient network: mirrored patients, missing movements, and what grades teach."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from common.errors import UserError
from common.grading.numeric_target import NUMERIC
from htnet.network.gradients import oriented_gradients
from htnet.network.heads import PatientPooling
from htnet.network.htnet import HTNet, to_input
from htnet.network.weights import load_weights, save_weights
from htnet.palsy.asking import answer, answer_sets, summaries
from htnet.palsy.faces import LabelledFaces, sets_of
from htnet.palsy.frozen import learn_head
from htnet.palsy.maps import explain_faces
from htnet.palsy.recipe import Recipe
from htnet.palsy.sureness import CALIBRATION
from htnet.palsy.training import SHIPPED, WEIGHTS, train_network
from htnet.recipe import read_recipe, recipe_from, with_changes
from tests.htnet.drawn_faces import RECIPE, cohort

SMALL = {
    "image_size": 32, "patch_size": 8, "dim": 12, "heads": 2, "num_hierarchies": 2,
    "block_repeats": (1, 1), "num_classes": 6, "pooling": "patient", "summary": 8,
    "stem": "gradients", "face_position": True,
}  # fmt: skip
LEARNED = {
    "network": {**{k: v for k, v in SMALL.items() if k != "num_classes"}, "block_repeats": [1, 1]},
    "augmentation": {"mirror": 0.0, "mixup": 0.0},
    "training": {**RECIPE["training"], "epochs": 1},
}
TRAIN, VALIDATION = np.arange(36), np.arange(36, 48)


@pytest.fixture(scope="module")
def drawn() -> LabelledFaces:
    """24 patients, each at rest and smiling."""
    data = cohort(patients=24, size=32)
    faces = replace(data.faces, tasks=("rest", "full_smile") * 24)
    return replace(data, faces=faces)


@pytest.fixture
def network() -> HTNet:
    torch.manual_seed(0)
    return HTNet(**SMALL).eval()


def test_gradients_mirror_and_ignore_light() -> None:
    image = torch.rand(2, 3, 32, 32) * 0.5
    found = oriented_gradients(image)
    assert found.shape == (2, 8, 8, 8)
    mirrored = oriented_gradients(image.flip(-1)).flip(-1)[:, [0, 7, 6, 5, 4, 3, 2, 1]]
    torch.testing.assert_close(found, mirrored, atol=1e-5, rtol=1e-4)
    brighter = oriented_gradients(1.5 * image + 0.1)
    assert (found - brighter).abs().max() < 0.05 < found.std()


def test_a_mirrored_patient_has_the_same_grade_and_the_other_side(network: HTNet) -> None:
    image = torch.randn(4, 3, 32, 32)
    rest = torch.tensor([[True, False, False, False]])
    present = torch.ones(1, 4, dtype=torch.bool)
    one, other = (
        network.of_patients(network.summaries(seen)[None], rest=rest, present=present)
        for seen in (image, image.flip(-1))
    )
    torch.testing.assert_close(one.logits, other.logits)
    torch.testing.assert_close(one.zones, other.zones.flip(1))
    torch.testing.assert_close(one.side_logits, other.side_logits[:, [1, 0, 2]])
    assert not torch.allclose(one.zones[:, 0], one.zones[:, 1])


def test_a_photograph_that_is_not_there_has_no_say(network: HTNet) -> None:
    faces = torch.randn(1, 3, 2, 8)
    rest = torch.tensor([[True, False, False]])
    present = torch.tensor([[True, True, False]])
    pooled = network.patient
    assert isinstance(pooled, PatientPooling)
    other = faces.clone()
    other[:, 2] = 9.0
    one, two = (pooled(given, rest=rest, present=present) for given in (faces, other))
    torch.testing.assert_close(one.read, two.read)
    fewer = pooled(faces[:, :2], rest=rest[:, :2], present=present[:, :2])
    torch.testing.assert_close(one.read, fewer.read)
    turned = pooled(faces.flip(1), rest=rest.flip(1), present=present.flip(1))
    torch.testing.assert_close(one.read, turned.read)


def test_a_photograph_alone_is_a_patient_with_one(network: HTNet, drawn: LabelledFaces) -> None:
    alone = answer(network, drawn.faces, rows=np.arange(3))
    with torch.inference_mode():
        found = network.details(to_input(drawn.faces.pixels[:3]))
    np.testing.assert_allclose(alone.probabilities, found.logits.softmax(dim=1).double(), atol=1e-6)


def test_sets_hold_who_belongs_together() -> None:
    sets = sets_of(torch.tensor([1, 0, 1, 1]))
    assert [row[there].tolist() for row, there in zip(sets.rows, sets.present, strict=True)] == [
        [1], [0, 2, 3],
    ]  # fmt: skip
    values = torch.tensor([[1.0], [5.0], [3.0], [torch.nan]])
    assert sets.mean(values).tolist() == [[5.0], [2.0]]


def permuted(data: LabelledFaces) -> LabelledFaces:
    """Deal the grades anew among the patients."""
    grades = np.random.default_rng(1).permutation(data.labels[::2])
    return replace(data, labels=grades.repeat(2))


def test_grades_reach_the_trunk(tmp_path: Path, drawn: LabelledFaces) -> None:
    """With the grades dealt anew, and nothing else changed, the first layer learns otherwise."""
    recipe = with_changes(recipe_from(Recipe, LEARNED, source="t"), ["training.side_weight=0"])
    embeds = []
    for name, data in (("true", drawn), ("again", drawn), ("permuted", permuted(drawn))):
        found = train_network(
            data, train=TRAIN, validation=VALIDATION, recipe=recipe, out=tmp_path / name
        )
        assert isinstance(found.network, HTNet)
        embeds.append(found.network.embed.weight)
    assert torch.equal(embeds[0], embeds[1])
    assert not torch.allclose(embeds[0], embeds[2], atol=1e-4)


@pytest.fixture
def frozen(tmp_path: Path) -> tuple[Recipe, Path]:
    """A recipe of a frozen trunk, and weights that fit it."""
    torch.manual_seed(0)
    path = tmp_path / "pretrained.safetensors"
    save_weights(HTNet(**SMALL).half(), path)
    recipe = recipe_from(Recipe, LEARNED, source="t")
    return with_changes(recipe, ["training.trunk=frozen"]), path


def test_of_a_frozen_trunk_the_head_alone_is_learned(
    tmp_path: Path, drawn: LabelledFaces, frozen: tuple[Recipe, Path]
) -> None:
    recipe, pretrained = frozen
    given = {"train": TRAIN, "validation": VALIDATION, "recipe": recipe, "pretrained": pretrained}
    trained = train_network(drawn, out=tmp_path / "a", **given)
    theirs = load_weights(pretrained)[0].state_dict()
    network, _ = load_weights(tmp_path / "a" / WEIGHTS)
    changed = [
        name for name, value in network.state_dict().items() if not torch.equal(value, theirs[name])
    ]
    assert changed == ["head.weight", "head.bias"]
    found = answer_sets(trained.network, drawn.faces, sets_of(drawn.number_asked))
    error = np.abs(found.probabilities.argmax(axis=1) + 1 - drawn.labels[::2][drawn_order(drawn)])
    assert error.mean() < 0.8  # where guesses are 1.9 off
    assert (tmp_path / "a" / CALIBRATION).exists()
    again = train_network(drawn, out=tmp_path / "a", **given)  # finished: it is read
    assert torch.equal(
        again.network.state_dict()["head.weight"], network.state_dict()["head.weight"]
    )


def drawn_order(data: LabelledFaces) -> np.ndarray:
    """Where the patients stand, in the order of their numbers."""
    return np.unique(data.patients[::2], return_inverse=True)[1].argsort()


def test_a_score_is_answered_by_its_steps(drawn: LabelledFaces) -> None:
    score = NUMERIC["sunnybrook"]
    truth = 100.0 - 18 * (drawn.labels - 1)
    data = replace(drawn, labels=truth, classes=(), number=score)
    torch.manual_seed(0)
    network = HTNet(**{**SMALL, "num_classes": data.num_classes, "head": "coral"}).eval()
    learn_head(network, data, np.arange(48))
    chances = answer_sets(network, data.faces, sets_of(data.number_asked)).probabilities
    answers = score.low + (score.high - score.low) / 11 * chances @ np.arange(12)
    known = truth[::2][drawn_order(data)]
    assert np.corrcoef(answers, known)[0, 1] > 0.8
    assert np.abs(answers - known).mean() < 15  # where the mean of all is 27 off


def test_a_trunk_that_does_not_fit_is_refused(
    tmp_path: Path, drawn: LabelledFaces, frozen: tuple[Recipe, Path]
) -> None:
    recipe, pretrained = frozen
    other = with_changes(recipe, ["network.summary=9"])
    with pytest.raises(UserError, match=r"lacks summary.weight .*training.trunk=learned"):
        train_network(
            drawn, train=TRAIN, validation=VALIDATION, recipe=other, out=tmp_path / "b",
            pretrained=pretrained,
        )  # fmt: skip
    with pytest.raises(UserError, match=r"needs network\.pooling patient"):
        with_changes(recipe, ["network.pooling=mirror"])
    with pytest.raises(UserError, match=r"mixup and augmentation\.mirror to 0"):
        with_changes(recipe, ["augmentation.mixup=0.5"])


def test_the_same_trunk_looks_at_a_face_once(network: HTNet, drawn: LabelledFaces) -> None:
    faces = drawn.faces.subset(range(4))
    first = summaries(network, faces)
    with torch.no_grad():
        network.head.weight.add_(1.0)
    assert summaries(network, faces) is first
    with torch.no_grad():
        network.embed.weight.add_(1.0)
    assert not torch.allclose(summaries(network, faces), first)


def test_a_photograph_is_explained(network: HTNet, drawn: LabelledFaces) -> None:
    found = explain_faces(network, drawn.faces.subset([3]))[0]
    assert found.rollout.sum() == pytest.approx(1.0, abs=1e-4)
    assert found.gradients.shape == (32, 32)
    assert found.gradients.max() > 0
    assert found.side is not None


def test_the_shipped_weights_fit_the_recipe() -> None:
    network, notes = load_weights(SHIPPED)
    config = read_recipe(Recipe, "small-cpu").config(num_classes=6)
    assert network.config.model_copy(update={"head": config.head}) == config
    assert SHIPPED.stat().st_size <= 4_000_000
    assert isinstance(network, HTNet) and network.patient is not None
    assert network.patient.direction.any()
    card = SHIPPED.with_suffix(".md").read_text(encoding="utf-8")
    assert f"--seed {notes['seed']}" in card
