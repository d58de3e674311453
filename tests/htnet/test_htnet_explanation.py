"""Explanations: identities of the maps, where they lie, and asymmetry by grade."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from common.errors import UserError
from htnet.network.htnet import HTNet, RegionHTNet
from htnet.palsy.asymmetry import asymmetry_report
from htnet.palsy.faces import LabelledFaces
from htnet.palsy.maps import (
    Explanation,
    asymmetry_maps,
    attention_rollout,
    explain_faces,
    integrated_gradients,
    region_places,
    share_inside,
)
from htnet.palsy.pictures import explanation_figure, shared_scale
from htnet.palsy.recipe import Recipe
from htnet.recipe import read_recipe, recipe_from, shipped, with_changes
from tests.htnet.drawn_faces import RECIPE


@pytest.fixture(scope="module")
def network() -> HTNet:
    torch.manual_seed(0)
    return HTNet.from_config(
        recipe_from(Recipe, RECIPE, source="test").config(num_classes=6)
    ).eval()


@pytest.fixture(scope="module")
def explained(network: HTNet, drawn: LabelledFaces) -> list[Explanation]:
    """Of a healthy face, one of grade III and one of grade VI."""
    return explain_faces(network, drawn.faces.subset([0, 5, 23]))


@pytest.fixture(params=shipped(Recipe.folder))
def recipe_network(request: pytest.FixtureRequest) -> HTNet:
    """The network of a shipped recipe with micro-attention: smaller, random weights throughout."""
    changes = [
        "network.use_micro_attention=true", "network.dim=12", "network.block_repeats=[2, 2, 2]",
        "network.image_size=112", "network.patch_size=28",
    ]  # fmt: skip
    config = with_changes(read_recipe(Recipe, request.param), changes).config(num_classes=6)
    torch.manual_seed(1)
    network = HTNet.from_config(config).eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return network


@torch.no_grad()
def test_asymmetry_is_flat_on_a_symmetric_face_in_every_shipped_recipe(
    recipe_network: HTNet,
) -> None:
    """0 where both sides are alike, whatever their texture, and mirrored with the face."""
    face = torch.randn(2, 3, 112, 112)
    symmetric = (face + face.flip(-1)) / 2
    alike, apart = asymmetry_maps(recipe_network, symmetric), asymmetry_maps(recipe_network, face)
    assert alike is not None
    assert apart is not None
    assert alike.abs().max() < 1e-3
    assert apart.min() > 0.05
    mirrored = asymmetry_maps(recipe_network, face.flip(-1))
    torch.testing.assert_close(mirrored, apart.flip(-1), atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_rollout_of_a_mirror_network_is_mirrored_with_the_face(network: HTNet) -> None:
    face = torch.randn(2, 3, 28, 28)
    found, mirrored = attention_rollout(network, face), attention_rollout(network, face.flip(-1))
    torch.testing.assert_close(mirrored, found.flip(-1))
    assert (found - found.flip(-1)).abs().max() > 0.01 * found.max()


def test_rollout_keeps_its_sum_and_spreads_over_the_patches(network: HTNet) -> None:
    with torch.no_grad():
        found = attention_rollout(network, torch.randn(2, 3, 28, 28))
    assert found.shape == (2, 28, 28)
    assert (found >= 0).all()
    torch.testing.assert_close(found.sum((1, 2)), torch.ones(2))
    assert torch.equal(found[:, :7, :7], found[:, :1, :1].expand(2, 7, 7))  # one patch


def test_rollout_of_single_tokens_is_even() -> None:
    """Where every block holds one token nothing is mixed, and all places count alike."""
    network = HTNet(
        image_size=28, patch_size=7, num_classes=2, dim=8, heads=2, num_hierarchies=3,
        block_repeats=(1, 1, 1),
    )  # fmt: skip
    found = attention_rollout(network.eval(), torch.randn(1, 3, 28, 28))
    torch.testing.assert_close(found, torch.full((1, 28, 28), 1 / 28**2))


def test_gradients_lie_where_the_sides_differ(network: HTNet) -> None:
    """Nowhere on a symmetric face; around a change, on its side and the other; mirrored with it."""
    face = torch.randn(1, 3, 28, 28)
    published = HTNet(**{**vars(network.config), "pooling": "mean"}).eval()
    for asked in (network, published):
        symmetric = face + face.flip(-1)
        assert integrated_gradients(asked, symmetric).abs().max() < 1e-6
        changed = symmetric.clone()
        changed[:, :, 10:12, 20:22] += 2  # mirrored: columns 6 and 7
        heat = integrated_gradients(asked, changed)[0]
        assert heat[11, 21] > 1e-4
        heat[7:15, 17:25] = heat[7:15, 3:11] = 0  # half a patch around both
        assert heat.abs().max() < 1e-6
    found, mirrored = (integrated_gradients(network, x) for x in (changed, changed.flip(-1)))
    torch.testing.assert_close(mirrored, found.flip(-1), atol=1e-5, rtol=1e-3)


def test_maps_and_pictures_of_drawn_faces(explained: list[Explanation]) -> None:
    found = explained[-1]
    assert found.asymmetry is not None
    assert found.roi is not None
    assert found.side is not None
    np.testing.assert_allclose(found.asymmetry, found.asymmetry[:, ::-1], atol=1e-5)
    assert found.roi.shape == (5, 28, 28)
    assert found.probabilities.sum() == pytest.approx(1)
    weak = found.on_weak_side(np.ones((28, 28)))
    assert weak[0, 0] == pytest.approx(found.side[0])  # image-left: the patient's right
    assert weak[0, -1] == pytest.approx(found.side[1])
    figure = explanation_figure(found, title="drawn, reference VI", classes=tuple("123456"))
    titles = [ax.get_title() for ax in figure.axes]
    assert len(titles) == 6
    assert "regions found (ROI)" in titles


def test_pictures_of_one_run_have_one_scale(explained: list[Explanation]) -> None:
    """A face with little asymmetry must not look as bright as the one with the most."""
    scale = shared_scale(explained)
    highest = []
    for one in explained:
        figure = explanation_figure(one, title="", classes=tuple("123456"), answer=2, scale=scale)
        panel = next(ax for ax in figure.axes if "integrated" in ax.get_title())
        highest.append(float(np.quantile(np.asarray(panel.images[1].get_array()), 0.995)))
        assert "answer: 2" in figure.get_suptitle()
    assert max(highest) == pytest.approx(1)
    order = np.argsort([np.quantile(one.gradients, 0.995) for one in explained])
    assert np.array_equal(np.argsort(highest), order)


def test_places_are_on_the_patients_sides(drawn: LabelledFaces) -> None:
    places = region_places(drawn.faces.regions[0], size=28)
    assert set(places) == {
        "forehead_right", "forehead_left", "right_eye", "left_eye", "nose_right", "nose_left",
        "mouth_right", "mouth_left",
    }  # fmt: skip
    for name, inside in places.items():
        columns = np.nonzero(inside)[1]
        assert (columns < 14).all() if "right" in name else (columns >= 14).all(), name
    heat = np.zeros((28, 28))
    heat[places["mouth_left"]] = 2.0
    assert share_inside(heat, places["mouth_left"]) == 1
    assert share_inside(heat, places["mouth_right"]) == 0
    assert np.isnan(share_inside(0 * heat, places["mouth_left"]))


def test_asymmetry_report_finds_the_order_of_drawn_faces(
    network: HTNet, drawn: LabelledFaces
) -> None:
    rows = pd.DataFrame(
        {"image_id": drawn.faces.image_ids, "patient_id": drawn.patients, "hb_grade": drawn.labels}
    )
    report = asymmetry_report(network, drawn.faces, rows)
    assert report.spearman > 0.5  # drawn faces differ the more, the higher the grade
    assert report.by_grade["hb_grade"].tolist() == [1, 2, 3, 4, 5, 6]
    assert (report.by_grade["low"] <= report.by_grade["mean"]).all()
    assert (report.by_grade["mean"] <= report.by_grade["high"]).all()
    of_grade = report.photographs.groupby(["hb_grade", "patient_id"])["asymmetry"].mean()
    for name in ("std", "min", "max"):  # over patients, not over their photographs
        expected = getattr(of_grade.groupby("hb_grade"), name)()
        np.testing.assert_allclose(report.by_grade[name], expected)
    assert "Spearman" in report.sentence()
    assert len(report.photographs) == len(drawn.faces)
    assert report.figure().axes
    shuffled = rows.assign(hb_grade=np.random.default_rng(0).permutation(drawn.labels))
    assert abs(asymmetry_report(network, drawn.faces, shuffled).spearman) < report.spearman


def test_what_cannot_be_explained_is_said(drawn: LabelledFaces, recipe: Recipe) -> None:
    config = {**vars(recipe.config(num_classes=6)), "use_micro_attention": False}
    rows = pd.DataFrame({"image_id": [], "patient_id": [], "hb_grade": []})
    with pytest.raises(UserError, match="use_micro_attention"):
        asymmetry_report(HTNet(**config), drawn.faces, rows)
    with pytest.raises(UserError, match="face input"):
        explain_faces(RegionHTNet(**{**config, "input": "regions"}), drawn.faces)
