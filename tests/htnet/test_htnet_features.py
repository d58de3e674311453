"""Measured features beside the image: scale, missing values, training and refusals."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from common.errors import UserError
from htnet.network.heads import FeatureReader
from htnet.network.htnet import HTNet, RegionHTNet
from htnet.network.weights import load_weights
from htnet.palsy.asking import answer
from htnet.palsy.augmentation import mirror_some, mix
from htnet.palsy.faces import Batch, LabelledFaces
from htnet.palsy.maps import explain_faces
from htnet.palsy.recipe import Recipe
from htnet.palsy.training import WEIGHTS, train_network
from htnet.recipe import with_changes

TRAIN, VALIDATION = np.arange(12), np.arange(12, 24)
NAN = float("nan")
SMALL = {
    "image_size": 28, "patch_size": 7, "num_classes": 6, "dim": 8, "heads": 2,
    "num_hierarchies": 2, "block_repeats": (1, 1), "features": ("f0", "f1", "f2"),
}  # fmt: skip


def measured(data: LabelledFaces, features: Tensor) -> LabelledFaces:
    return dataclasses.replace(data, faces=dataclasses.replace(data.faces, features=features))


def test_scale_is_that_of_the_known_training_values_by_hand() -> None:
    reader = FeatureReader(3, 1)
    reader.learn_scale(torch.tensor([[1.0, 5.0, NAN], [3.0, 5.0, NAN], [NAN, 5.0, NAN]]))
    assert reader.mean.tolist() == [2, 5, 0]
    assert reader.deviation.tolist() == [1, 1, 1]  # the second never differs, the third is unknown
    assert reader.median.tolist() == [1, 5, 0]  # of two values the lower is the median


def test_a_missing_value_is_the_median_and_said_to_be_missing() -> None:
    reader = FeatureReader(2, 1)
    reader.learn_scale(torch.tensor([[0.0, 1.0], [2.0, 1.0], [10.0, 4.0]]))
    torch.nn.init.ones_(reader.to_logits.weight)
    missing = reader(torch.tensor([[NAN, 4.0]]))
    median = reader(torch.tensor([[2.0, 4.0]]))
    torch.testing.assert_close(missing, median + 1)  # the second input of the feature: 1


def test_at_first_the_image_speaks_alone() -> None:
    torch.manual_seed(0)
    network = HTNet(**SMALL).eval()
    image = torch.randn(2, 3, 28, 28)
    one = network(image, torch.randn(2, 3))
    assert torch.equal(one, network(image, torch.full((2, 3), NAN)))
    torch.nn.init.ones_(network.feature_reader.to_logits.weight)
    assert not torch.allclose(one, network(image, torch.randn(2, 3)))


def test_the_sum_of_two_heads_is_one_head_on_both() -> None:
    network = HTNet(**SMALL).eval()
    torch.nn.init.normal_(network.feature_reader.to_logits.weight)
    image, values = torch.randn(2, 3, 28, 28), torch.randn(2, 3)
    read: list[torch.Tensor] = []
    network.head.register_forward_pre_hook(lambda _, given: read.append(given[0]))
    found = network.details(image, values)
    together = torch.cat([*read, values, torch.zeros(2, 3)], dim=1)
    weight = torch.cat([network.head.weight, network.feature_reader.to_logits.weight], dim=1)
    torch.testing.assert_close(found.logits, together @ weight.T + network.head.bias)


@pytest.mark.parametrize("head", ["classes", "corn", "coral"])
@pytest.mark.parametrize("kind", ["face", "regions"])
def test_every_head_and_input_reads_features(head: str, kind: str) -> None:
    settings = {**SMALL, "head": head, "input": kind}
    network = (HTNet if kind == "face" else RegionHTNet)(**settings).eval()
    torch.nn.init.ones_(network.feature_reader.to_logits.weight)
    image = torch.randn(2, 3, 28, 28) if kind == "face" else torch.randn(2, 2, 3, 28, 28)
    zeros = network(image, torch.zeros(2, 3))
    ones = network(image, torch.ones(2, 3))
    torch.testing.assert_close(ones, zeros + 3)  # a CORAL score moves all its thresholds alike


def test_features_are_asked_for_in_one_sentence() -> None:
    network = HTNet(**SMALL)
    with pytest.raises(UserError, match="reads 3 measured features beside each face, but got none"):
        network(torch.zeros(1, 3, 28, 28))
    with pytest.raises(UserError, match=r"got the shape \(1, 2\)"):
        network(torch.zeros(1, 3, 28, 28), torch.zeros(1, 2))


def test_a_flip_keeps_features_and_mixing_mixes_them() -> None:
    batch = Batch(
        image=torch.zeros(2, 3, 8, 8), worse_than=torch.zeros(2, 5), side=torch.zeros(2, 3),
        regions=torch.zeros(2, 5, 32, 32),
        features=torch.tensor([[0.0, 1.0], [4.0, NAN]]),
    )  # fmt: skip
    flipped = mirror_some(batch, torch.ones(2, dtype=torch.bool))
    assert flipped.features is batch.features
    mixed = mix(batch, partner=torch.tensor([1, 0]), share=torch.tensor([0.75, 0.75])).features
    assert mixed is not None
    assert mixed[:, 0].tolist() == [1, 3]
    assert mixed[:, 1].isnan().all()  # unknown of one is unknown of both


def test_a_network_learns_the_grade_from_features_where_the_image_says_nothing(
    tmp_path: Path, drawn: LabelledFaces, recipe: Recipe
) -> None:
    """Grey pictures; the first feature is the grade, the second is missing everywhere."""
    values = torch.stack(
        [torch.from_numpy(drawn.labels).float() * 100, torch.full((24,), NAN)], dim=1
    )
    grey = dataclasses.replace(drawn.faces, pixels=torch.full_like(drawn.faces.pixels, 128))
    data = measured(dataclasses.replace(drawn, faces=grey), values)
    reading = with_changes(
        recipe, ["network.features=[grade, none]", "training.epochs=40",
                 "training.learning_rate=0.1", "training.patience=40", "augmentation.mixup=0"],
    )  # fmt: skip
    trained = train_network(
        data, train=TRAIN, validation=VALIDATION, recipe=reading, out=tmp_path,
        notes={"feature_definition": "standard"},
    )  # fmt: skip
    found = answer(trained.network, data.faces, rows=VALIDATION).probabilities
    assert np.abs(found @ np.arange(1, 7) - data.labels[VALIDATION]).mean() < 0.8
    reader = trained.network.feature_reader
    assert reader is not None
    assert float(reader.mean[0]) == pytest.approx(float(values[TRAIN, 0].mean()))
    again, notes = load_weights(tmp_path / WEIGHTS)
    assert again.config.features == ("grade", "none")
    assert notes["feature_definition"] == "standard"
    np.testing.assert_array_equal(answer(again, data.faces, rows=VALIDATION).probabilities, found)
    assert explain_faces(again, data.faces)[0].gradients.shape == (28, 28)
    with pytest.raises(UserError, match="measured features"):
        answer(again, drawn.faces)


def test_the_scale_does_not_know_validation_photographs(
    tmp_path: Path, drawn: LabelledFaces, recipe: Recipe
) -> None:
    """The known leak: a scale of all photographs. Values of the others are made enormous."""
    values = torch.ones(24, 1)
    values[VALIDATION] = 1e6
    values[TRAIN[::2]] = 3.0
    reading = with_changes(recipe, ["network.features=[f0]", "training.epochs=1"])
    trained = train_network(
        measured(drawn, values), train=TRAIN, validation=VALIDATION, recipe=reading, out=tmp_path
    )
    assert float(trained.network.feature_reader.mean[0]) == 2.0


def test_training_without_the_features_that_the_recipe_names_is_refused(
    tmp_path: Path, drawn: LabelledFaces, recipe: Recipe
) -> None:
    reading = with_changes(recipe, ["network.features=[f0, f1]"])
    with pytest.raises(UserError, match="read 2 measured features, but 0 were given"):
        train_network(drawn, train=TRAIN, validation=VALIDATION, recipe=reading, out=tmp_path)
    assert not list(tmp_path.iterdir())


def test_bf16_answers_nearly_as_fp32_does(recipe: Recipe, drawn: LabelledFaces) -> None:
    torch.manual_seed(2)
    network = HTNet.from_config(recipe.config(num_classes=6)).eval()
    exact = answer(network, drawn.faces).probabilities
    short = answer(network, drawn.faces, precision="bf16").probabilities
    np.testing.assert_allclose(short, exact, atol=0.02)
    assert not np.array_equal(short, exact)  # it is really another arithmetic
    np.testing.assert_array_equal(
        answer(network, drawn.faces).probabilities, exact
    )  # and is left again
    with pytest.raises(UserError, match='--precision is "fp16": choose one of fp32, bf16'):
        answer(network, drawn.faces, precision="fp16")
