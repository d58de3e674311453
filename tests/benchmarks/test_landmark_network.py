"""The training of the landmark network: labels, crops, losses, steps, export; on nobody's face."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from benchmarks.landmark_network import rendering, training
from benchmarks.landmark_network.augmentation import warped
from benchmarks.landmark_network.checking import compared
from benchmarks.landmark_network.curves import Curve, EdgeLoops, at_arc, at_width, take
from benchmarks.landmark_network.export import export
from benchmarks.landmark_network.expressions import Expression
from benchmarks.landmark_network.losses import EYE_WEIGHTS, LIDS, SIDES, heatmap_loss
from benchmarks.landmark_network.material import FaceModel, required
from benchmarks.landmark_network.networks import Eye, Face, around_peak, cells
from benchmarks.landmark_network.rendering import Pictures, Rendered, render_sets, shard
from benchmarks.landmark_network.skins import HELD_OUT, Skins
from benchmarks.landmark_network.training import Training, rate
from common.errors import UserError
from docs.drawing import schematic_face
from landmarks.find.network import (
    EYE_PX,
    FACE_PX,
    LandmarkNetwork,
    eye_heatmaps,
    face_heatmaps,
    face_map,
)
from landmarks.points import MIRROR_PARTNER, map_points, mirror_points

SIDE = 208


def face(seed: int = 3) -> NDArray[np.float32]:
    """An asymmetric face of about 110 px in a picture of 208."""
    points = schematic_face()
    points = points - (points.min(axis=0) + points.max(axis=0)) / 2
    points = points * 28 / points[45, 0] + 103.5
    return (points + np.random.default_rng(seed).normal(0, 1.5, (68, 2))).astype(np.float32)


def noise() -> NDArray[np.uint8]:
    grey = np.random.default_rng(5).integers(0, 256, (SIDE, SIDE)).astype(np.uint8)
    return np.asarray(cv2.GaussianBlur(grey, (0, 0), 3), dtype=np.uint8)


def grid(columns: int, rows: int) -> NDArray[np.int32]:
    """Quads of a grid of vertices, numbered along the rows."""
    first = np.add.outer(np.arange(rows - 1) * columns, np.arange(columns - 1)).ravel()
    return np.stack([first, first + 1, first + 1 + columns, first + columns], 1).astype(np.int32)


def test_an_edge_loop_goes_straight_on_to_the_border() -> None:
    loops = EdgeLoops(grid(5, 4))
    assert loops.walk(6, 7) == [6, 7, 8, 9]
    assert loops.walk(6, 11) == [6, 11, 16]
    assert loops.through(6, 8) == [6, 7, 8]
    with pytest.raises(ValueError, match="from vertex 6"):
        loops.through(6, 8, 7)  # not in this order


def test_a_label_lies_at_its_share_wherever_the_vertices_stand() -> None:
    x = np.array([0, 0.05, 0.1, 0.6, 1.0])
    arch = np.c_[x, 4 * x * (1 - x), 0 * x]
    third = take(arch, at_width(arch, np.array([1 / 3])))
    assert third[0, 0] == pytest.approx(1 / 3)
    fine = np.c_[np.linspace(0, 1, 500), 4 * np.linspace(0, 1, 500) * (1 - np.linspace(0, 1, 500))]
    middle = take(fine, at_arc(fine, np.array([0.5])))
    assert middle[0] == pytest.approx([0.5, 1], abs=1e-3)


def test_a_curve_moves_with_its_vertices() -> None:
    corners = np.array([[0.0, 0], [2, 0], [2, 2], [0, 2]])
    curve = Curve([[0, 1], [2, 3]], np.array([[0.5, 0.5], [0.25, 0.75]]))
    assert curve.on(corners) == pytest.approx(np.array([[1, 0], [0.5, 2]]))
    assert curve.on(corners + np.array([3, 1])) == pytest.approx(np.array([[4, 1], [3.5, 3]]))


def test_expressions_close_no_lid_too_far_and_repeat_by_their_seed() -> None:
    names = [
        f"{name}_{side}" for side in "LR" for name in (
            "browDown", "browInnerUp", "browOuterUp", "eyeBlink", "eyeSquint", "eyeWide",
            "noseSneer", "mouthSmile", "mouthDimple", "mouthFrown", "mouthStretch",
            "mouthUpperUp", "mouthLowerDown", "mouthPress", "cheekPuff", "cheekSquint",
            "eyeLookOut", "eyeLookIn", "eyeLookUp", "eyeLookDown",
        )
    ] + ["jawOpen", "mouthPucker", "mouthFunnel", "mouthRollLower", "mouthRollUpper",
         "mouthShrugUpper", "mouthLeft", "mouthRight", "jawLeft", "jawRight"]  # fmt: skip
    number = {name: row for row, name in enumerate(names)}

    def drawn(seed: int) -> NDArray[np.float32]:
        return Expression(np.random.default_rng(seed), number).weights

    weights = np.array([drawn(seed) for seed in range(300)])
    blink = weights[:, [number["eyeBlink_L"], number["eyeBlink_R"]]]
    assert blink.max() <= np.float32(1.02)
    apart = np.abs(blink[:, 0] - blink[:, 1]) > 0.3
    assert 20 < apart.sum() < 200  # one-sided closure is common, and not the rule
    assert np.array_equal(drawn(7), weights[7])


def test_no_skin_is_both_taught_and_held_out() -> None:
    names = np.array(["LightSkin", *HELD_OUT, "young_asian_male"])
    skins = Skins(np.zeros((len(names), 1, 1, 3), np.uint8), names)
    taught, held = (skins.numbers(held_out=out) for out in (False, True))
    assert sorted(taught + held) == list(range(len(names)))
    assert set(names[held]) == set(HELD_OUT)
    assert not set(shard(29).people) & set(rendering.HELD_OUT.people)


def test_labels_follow_the_warp_of_a_crop() -> None:
    points, moved = face(), 0
    for seed in range(12):
        at = np.random.default_rng(seed).choice([30, 36, 48, 57])
        grey = np.zeros((SIDE, SIDE), np.uint8)
        place = np.round(points[at] * 16).astype(int).tolist()
        cv2.circle(grey, place, 40, 255, -1, cv2.LINE_AA, 4)
        affine = face_map(points)
        crop, there = warped(
            np.random.default_rng(seed), grey, points, affine, FACE_PX,
            around=[int(at)], spread=(7, 26),
        )  # fmt: skip
        y, x = np.mgrid[:FACE_PX, :FACE_PX]
        seen = np.array([(crop * x).sum(), (crop * y).sum()]) / crop.sum()
        assert there[at] == pytest.approx(seen, abs=0.4)
        moved += np.linalg.norm(there[at] - map_points(points[at], affine)) > 1
    assert moved > 2


def spots(points: torch.Tensor, sigma: float) -> torch.Tensor:
    """Logits of heatmaps of 32 × 32 with a spot at each point of an eye's crop."""
    at = cells(torch.zeros(1, 1, 32, 32), EYE_PX)
    away = (at - points[..., 1:2])[..., :, None] ** 2 + (at - points[..., 0:1])[..., None, :] ** 2
    return -away / (2 * sigma**2)


def eye_loss(heatmaps: torch.Tensor, points: torch.Tensor) -> tuple[float, float]:
    loss, off = heatmap_loss(
        heatmaps, points, side=EYE_PX, sigma=2.2, weights=EYE_WEIGHTS, pairs=LIDS
    )
    return float(loss), off


def test_the_loss_is_least_at_the_truth_and_an_opening_costs_more_than_a_shift() -> None:
    true = torch.tensor([[[12.0, 30], [25, 22], [38, 22], [52, 32], [38, 40], [25, 40]]])
    heatmaps = spots(true, 2.2)
    best, off = eye_loss(heatmaps, true)
    assert off < 1e-3
    assert eye_loss(heatmaps + 5.0, true)[0] == pytest.approx(best, rel=1e-5)  # logits
    down = torch.tensor([0.0, 2.0])
    shifted = eye_loss(spots(true + down, 2.2), true)
    wider = true.clone()
    wider[:, [1, 2]] -= down
    wider[:, [0, 3, 4, 5]] += down
    opened = eye_loss(spots(wider, 2.2), true)
    assert shifted[1] == pytest.approx(opened[1], abs=0.02)  # each point is as far off
    assert best < shifted[0] < opened[0] - 0.5


def test_a_point_outside_the_crop_teaches_nothing() -> None:
    true = torch.tensor([[[12.0, 30], [25, 22], [38, 22], [52, 32], [38, 40], [25, 40]]])
    heatmaps = spots(true, 2.2).requires_grad_()
    outside = true.clone()
    outside[:, 3] = torch.tensor([80.0, 32.0])
    heatmap_loss(
        heatmaps, outside, side=EYE_PX, sigma=2.2, weights=EYE_WEIGHTS, pairs=LIDS
    )[0].backward()  # fmt: skip
    taught = heatmaps.grad.abs().amax((0, 2, 3))
    assert taught[3] == 0 and taught[2] > 0
    assert around_peak(spots(true, 1.0), EYE_PX) == pytest.approx(true.numpy(), abs=0.05)


def test_sides_are_mirror_partners() -> None:
    assert [MIRROR_PARTNER[point] for point in SIDES[0]] == SIDES[1]
    assert len(SIDES[0]) == 5 + 2 + 6 + 8


def test_what_is_kept_of_an_asymmetry_is_known() -> None:
    true = np.array([face(seed) for seed in range(20)], float)
    true[:, [36, 45]] = [[75.5, 90], [131.5, 90]]  # level, as the measure takes them to be
    perfect = compared(true, true)
    assert perfect["NRMSE51"] == 0 and perfect["opening"] == 0
    assert perfect["mouth kept"] == pytest.approx(1) and perfect["eye r"] == pytest.approx(1)
    mirrored = mirror_points(true, width=SIDE)
    for kept in (0.1, 0.5):
        lost = (1 + kept) / 2 * true + (1 - kept) / 2 * mirrored
        assert compared(true, lost)["brow kept"] == pytest.approx(kept)
        assert compared(true, lost)["NRMSE51"] > 0


def test_the_learning_rate_rises_and_falls_to_nothing() -> None:
    assert rate(0, 9_000) < rate(299, 9_000) == rate(6_000, 9_000)
    assert rate(8_999, 9_000) < rate(6_400, 9_000) < rate(6_000, 9_000)
    assert rate(9_000, 9_000) == 0


def test_a_training_goes_on_as_if_it_had_not_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "BATCH", 2)
    monkeypatch.setattr(training, "SHARD", 3)
    shards = [Pictures(np.array([noise()] * 3), np.array([face(seed) for seed in range(3)]))]
    whole = Training(4)
    whole.take_step(shards, steps=10)
    path = tmp_path / "network.pt"
    whole.save(path)
    resumed = Training.load(path)
    assert (resumed.seed, resumed.step) == (4, 1)
    for one in (whole, resumed):
        one.take_step(shards, steps=10)
    for name, weights in whole.means.state_dict().items():
        assert torch.equal(weights, resumed.means.state_dict()[name]), name
    for content in (b"no checkpoint", b""):
        path.write_bytes(content)
        with pytest.raises(UserError, match="no checkpoint"):
            Training.load(path)


def test_what_is_exported_answers_as_the_networks(tmp_path: Path) -> None:
    torch.manual_seed(1)
    made = {"face": Face().eval(), "eye": Eye().eval()}
    for layer in (one for network in made.values() for one in network.modules()):
        if isinstance(layer, torch.nn.BatchNorm2d):
            for values in (layer.weight, layer.running_var):
                torch.nn.init.uniform_(values, 0.5, 2)
            for values in (layer.bias, layer.running_mean):
                torch.nn.init.normal_(values, std=0.2)
    path = tmp_path / "network.safetensors"
    export(made, path, notes={"steps": 5})
    shipped = LandmarkNetwork.load(path)
    assert shipped.about == {"steps": 5}
    for name, side, heatmaps in (("face", FACE_PX, face_heatmaps), ("eye", EYE_PX, eye_heatmaps)):
        crops = torch.randn(2, 1, side, side)
        with torch.no_grad():
            known = made[name](crops).permute(0, 2, 3, 1).numpy()
        found = heatmaps(shipped.layers[name], crops[:, 0].numpy())
        assert np.abs(found - known).max() < 1e-3 * np.abs(known).max()


def test_shards_that_are_there_are_not_rendered_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = []

    def piece(task: tuple[Path, Rendered, int, int]) -> Pictures:
        _, wanted, first, count = task
        drawn.append((wanted.name, first))
        numbers = np.arange(first, first + count)
        return Pictures(
            np.full((count, 2, 2), wanted.seed % 256, np.uint8),
            numbers[:, None, None] * np.ones((1, 68, 2), np.float32),
        )

    monkeypatch.setattr(rendering, "_draw_piece", piece)
    sets = [Rendered("a", 1, 250), Rendered("b", 2, 50)]
    render_sets(tmp_path, sets[1:], jobs=1)
    render_sets(tmp_path, sets, jobs=1)
    assert drawn == [("b", 0), ("a", 0), ("a", 100), ("a", 200)]
    kept = Pictures.load(sets[0].file(tmp_path))
    assert np.array_equal(kept.points[:, 0, 0], np.arange(250))
    assert kept.grey.shape == (250, 2, 2) and (kept.grey == 1).all()


def test_the_face_model_is_read_from_its_files(tmp_path: Path) -> None:
    folder = tmp_path / "ICT-FaceKit" / "FaceXModel"
    folder.mkdir(parents=True)
    corners = "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\n"
    (folder / "generic_neutral_mesh.obj").write_text(
        corners + "vt 0.25 0.5\nvt 1 0\nf 1/1 2/2 3/1 4/2\nf 1/1 2/2 3/1\n"
    )
    for name in ("identity000", "jawOpen"):
        (folder / f"{name}.obj").write_text(corners.replace("0\n", "2\n"))
    (folder / "vertex_indices.json").write_text(json.dumps({"idx_to_landmark_verts": [2, 0]}))
    model = FaceModel.read(tmp_path)
    assert model.quads.tolist() == [[0, 1, 2, 3], [0, 1, 2, 2]]
    assert model.quad_places[1].tolist() == [0, 1, 0, 0]
    assert model.names.tolist() == ["jawOpen"] and model.landmarks.tolist() == [2, 0]
    assert (model.expressions == [0, 0, 2]).all() and model.identities.shape == (1, 4, 3)
    model.save(tmp_path / "face.npz")
    assert np.array_equal(FaceModel.load(tmp_path / "face.npz").neutral, model.neutral)
    with pytest.raises(UserError, match="where it comes from"):
        required(tmp_path / "none")
