"""Alignment, regions, and augmentation that keeps asymmetry."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch

from common.errors import UserError
from common.settings import settings_from
from datasets.simulated.face import draw_patient, render_photo
from datasets.simulated.photo_warp import impose
from htnet.alignment import AlignedFace, align_face, alignment_map, region_masks, shape_free_face
from htnet.network.configuration import ROI_REGIONS, HTNetConfig
from htnet.network.htnet import HTNet, build_network, to_input
from htnet.network.losses import steps_of
from htnet.palsy.augmentation import Augmentation, augment, mirror_some, mix
from htnet.palsy.faces import Batch, Faces, faces_of, mosaic, read_faces, refused
from landmarks.points import POINT_COLUMNS, mirror_points
from tests.htnet.drawn_faces import RECIPE, drawn_face, face_points


def turned(points: np.ndarray, *, degrees: float, scale: float, shift: float) -> np.ndarray:
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return scale * points @ turn.T + shift


@pytest.mark.parametrize("degrees", [0.0, -25.0, 14.0])
def test_alignment_undoes_turn_size_and_place(degrees: float) -> None:
    points = face_points(100)
    moved = turned(points, degrees=degrees, scale=3.1, shift=57.0)
    warp = alignment_map(moved, size=112)
    plain = alignment_map(points, size=112)
    np.testing.assert_allclose(
        moved @ warp[:, :2].T + warp[:, 2], points @ plain[:, :2].T + plain[:, 2], atol=1e-9
    )


def test_midline_is_in_the_middle() -> None:
    points = turned(face_points(300), degrees=9, scale=1.4, shift=40.0)
    warp = alignment_map(points, size=224)
    aligned = points @ warp[:, :2].T + warp[:, 2]
    np.testing.assert_allclose(aligned[[27, 30, 33, 51, 8], 0], 223 / 2, atol=1e-6)
    np.testing.assert_allclose(mirror_points(aligned, width=224), aligned, atol=1e-6)


def test_a_weak_mouth_does_not_move_the_midline() -> None:
    points = face_points(200)
    drawn = points.copy()
    drawn[48:68, 0] += 12  # drawn to the patient's left
    for healthy, weak in zip(
        alignment_map(points, size=224), alignment_map(drawn, size=224), strict=True
    ):
        np.testing.assert_allclose(healthy, weak)


def test_pixels_go_where_points_go() -> None:
    points = turned(face_points(300), degrees=12, scale=1.5, shift=60.0)
    photo = np.full((640, 640, 3), 30, np.uint8)
    cv2.circle(photo, tuple(np.rint(points[48]).astype(int).tolist()), 9, (255, 255, 255), -1)
    face = align_face(photo, points, size=112)
    y, x = np.nonzero(face.pixels[..., 0] > 128)
    np.testing.assert_allclose([x.mean(), y.mean()], face.points[48], atol=0.4)


def test_region_masks_lie_on_their_points_and_mirror() -> None:
    points = face_points(112)
    masks = region_masks(points, size=112)
    assert masks.shape == (5, 32, 32)
    for name, index in (("right_eye", 37), ("left_eye", 44), ("nose", 30), ("mouth", 62)):
        x, y = np.clip(points[index] * 32 / 112, 0, 31).astype(int)
        assert masks[ROI_REGIONS.index(name), y, x] > 200, name
    right, left = masks[1].astype(int), masks[2].astype(int)
    assert np.abs(right - left[:, ::-1]).mean() < 6  # rounding to whole pixels only


def landmark_rows(points: np.ndarray, status: list[str]) -> pd.DataFrame:
    rows = pd.DataFrame(points.reshape(len(points), -1), columns=list(POINT_COLUMNS))
    rows.insert(0, "image_id", [f"a/{i}.png" for i in range(len(points))])
    rows.insert(1, "status", status)
    rows.insert(2, "reason", ["" if one == "ok" else "no face was found" for one in status])
    return rows


def test_faces_are_read_from_photographs_and_landmarks(tmp_path: Path) -> None:
    paths, points = [], []
    for index in range(2):
        pixels, where = drawn_face(6, side="right", seed=index, size=80)
        path = tmp_path / f"{index}.png"
        cv2.imwrite(str(path), pixels[..., ::-1])
        paths.append(path)
        points.append(where)
    rows = landmark_rows(np.stack(points), ["ok", "ok"])
    faces = read_faces(rows, paths, size=28)
    assert faces.pixels.shape == (2, 3, 28, 28)
    assert faces.pixels.dtype == torch.uint8
    assert read_faces(rows, paths, size=28, kind="regions").pixels.shape == (2, 2, 3, 28, 28)
    weak = faces.points - mirror_points(faces.points, width=28)
    assert (weak[:, 48, 1] > 0.7).all()  # the right corner of the mouth hangs


@pytest.fixture(scope="module")
def portrait() -> tuple[np.ndarray, np.ndarray]:
    """A simulated face at rest, and its true points."""
    patient = draw_patient(seed=1, grade=1, side="none", kind="none")
    return render_photo(patient, "rest", width=450, height=600)


def test_appearance_has_no_shape(portrait: tuple[np.ndarray, np.ndarray]) -> None:
    """A palsy that moves points and nothing else leaves no trace; its folds do."""
    photo, points = portrait
    palsy = draw_patient(seed=1, grade=6, side="left", kind="flaccid", folds=True)
    shown = {"palsy": palsy.palsy, "task": "brow_raise"}
    moved, where = impose(photo, points, **shown)
    folded, _ = impose(photo, points, look=palsy.look, **shown)

    def change(cut: Callable[..., AlignedFace], other: np.ndarray) -> np.ndarray:
        one, two = cut(photo, points, size=112), cut(other, where, size=112)
        return np.abs(one.pixels.astype(float) - two.pixels)

    forehead = (slice(8, 22), slice(24, 54))  # of the patient's right, which moves
    assert change(shape_free_face, moved).mean() < 0.3 * change(align_face, moved).mean()
    bare, furrowed = (change(shape_free_face, one)[forehead].mean() for one in (moved, folded))
    assert furrowed > 1.5 * bare
    where_now = shape_free_face(moved, where, size=112).points
    np.testing.assert_array_equal(where_now, shape_free_face(photo, points, size=112).points)
    np.testing.assert_allclose(mirror_points(where_now, width=112), where_now, atol=1e-9)


@pytest.mark.parametrize("size", [28, 112])
def test_appearance_mirrors_and_does_not_mind_how_the_head_is_held(
    portrait: tuple[np.ndarray, np.ndarray], size: int
) -> None:
    photo, points = portrait
    face = shape_free_face(photo, points, size=size).pixels.astype(float)
    assert face[:, : size // 20].std() == 0, "beyond the face nothing is shown"
    mirrored = mirror_points(points, width=photo.shape[1])
    other = shape_free_face(np.ascontiguousarray(photo[:, ::-1]), mirrored, size=size).pixels
    np.testing.assert_allclose(other[:, ::-1], face, atol=2)
    lying = np.ascontiguousarray(np.rot90(photo, -1))
    turned_points = np.column_stack([photo.shape[0] - 1 - points[:, 1], points[:, 0]])
    again = shape_free_face(lying, turned_points, size=size).pixels
    np.testing.assert_allclose(again, face, atol=2)


def test_a_network_reads_appearance_as_one_face(
    tmp_path: Path, portrait: tuple[np.ndarray, np.ndarray]
) -> None:
    cv2.imwrite(str(tmp_path / "face.png"), portrait[0][..., ::-1])
    rows = landmark_rows(portrait[1][None], ["ok"])
    faces = read_faces(rows, [tmp_path / "face.png"], size=28, kind="appearance")
    settings = RECIPE["network"] | {"num_classes": 6, "input": "appearance"}
    network = build_network(settings_from(HTNetConfig, settings, section="network", source="here"))
    answers = network.details(to_input(faces.pixels)).logits
    assert isinstance(network, HTNet) and answers.shape == (1, 6)


def test_photographs_without_landmarks_are_refused_by_name(tmp_path: Path) -> None:
    rows = landmark_rows(np.zeros((2, 68, 2)), ["ok", "no_face"])
    assert refused(rows) == ["a/1.png is left out: its status is no_face (no face was found)."]
    with pytest.raises(UserError, match=r"a/1\.png is left out"):
        read_faces(rows, [tmp_path / "0.png", tmp_path / "1.png"], size=28)


def test_an_unreadable_photograph_is_named(tmp_path: Path) -> None:
    (tmp_path / "0.png").write_bytes(b"\x89PNG broken")
    rows = landmark_rows(face_points(80)[None], ["ok"])
    with pytest.raises(UserError, match=r"a/0\.png cannot be used"):
        read_faces(rows, [tmp_path / "0.png"], size=28)


def test_mosaic_keeps_sides_apart() -> None:
    points = face_points(112)
    pixels = np.zeros((112, 112, 3), np.uint8)
    x, y = np.rint(points[54]).astype(int)
    pixels[y - 3 : y + 4, x - 3 : x + 4] = 255  # the patient's left corner of the mouth
    tiles = mosaic(AlignedFace(pixels, points))
    assert tiles[56:, 56:].mean() > 5
    assert tiles[:56].max() == 0
    assert tiles[56:, :56].max() == 0
    flipped = mosaic(
        AlignedFace(np.ascontiguousarray(pixels[:, ::-1]), mirror_points(points, width=112))
    )
    assert np.abs(flipped[:, ::-1].astype(int) - tiles).mean() < 1


def batch(count: int = 4) -> Batch:
    faces = [AlignedFace(*drawn_face(5, side="right", seed=s)) for s in range(count)]
    made = faces_of(faces, image_ids=[str(s) for s in range(count)])
    return Batch(
        image=made.pixels.float() / 64 - 2,
        worse_than=steps_of(torch.tensor([5] * count), num_classes=6),
        side=torch.tensor([[1.0, 0.0, 0.0]] * count),
        regions=made.regions.float() / 255,
    )


def test_a_flip_swaps_side_and_eyes_and_twice_is_nothing() -> None:
    before = batch()
    everyone = torch.ones(4, dtype=torch.bool)
    once = mirror_some(before, everyone)
    assert once.side.tolist() == [[0.0, 1.0, 0.0]] * 4
    assert torch.equal(once.image, before.image.flip(-1))
    assert torch.equal(once.regions[:, 1], before.regions[:, 2].flip(-1))
    assert torch.equal(once.worse_than, before.worse_than)
    twice = mirror_some(once, everyone)
    for name in ("image", "side", "regions"):
        assert torch.equal(getattr(twice, name), getattr(before, name)), name


def test_without_mirror_no_face_is_flipped() -> None:
    """Whatever else is drawn, the dark corner of the mouth stays on its side."""
    settings = Augmentation(mirror=0.0, mixup=0.0)
    for seed in range(5):
        found = augment(batch(), settings, generator=torch.Generator().manual_seed(seed))
        assert torch.equal(found.side, batch().side)
        low = found.image[:, :, 22:]
        assert (low[..., :14].mean() - low[..., 14:].mean()).abs() > 0
        row = (found.image < -1).float()[:, 0, 20:].sum(1)
        assert row[:, :14].sum() > 0


def test_the_same_seed_gives_the_same_batch() -> None:
    settings = Augmentation(mixup=1.0)
    one, two, other = (
        augment(batch(), settings, generator=torch.Generator().manual_seed(s)) for s in (1, 1, 2)
    )
    assert torch.equal(one.image, two.image)
    assert torch.equal(one.worse_than, two.worse_than)
    assert not torch.equal(one.image, other.image)


def test_zero_settings_change_nothing() -> None:
    off = Augmentation(
        rotation_deg=0, scale=0, shift=0, gamma=0, noise=0, blur=0, mirror=0, mixup=0
    )
    before = batch()
    assert torch.equal(augment(before, off, generator=torch.Generator()).image, before.image)


def test_mixing_is_ordinal() -> None:
    """Half of I and half of III is worse than I by half, and never a sure II."""
    two = batch(2)
    two.worse_than = steps_of(torch.tensor([1, 3]), num_classes=6)
    mixed = mix(two, partner=torch.tensor([1, 0]), share=torch.tensor([0.5, 0.75]))
    assert mixed.worse_than[0].tolist() == [0.5, 0.5, 0, 0, 0]
    assert mixed.worse_than[1].tolist() == [0.75, 0.75, 0, 0, 0]
    torch.testing.assert_close(mixed.image[0], (two.image[0] + two.image[1]) / 2)


def test_masks_move_with_their_face() -> None:
    """A face turned by 15 degrees carries its regions along."""
    settings = Augmentation(
        rotation_deg=15, scale=0, shift=0.1, gamma=0, noise=0, blur=0, mirror=0, mixup=0
    )
    one = batch(1)
    one.image = one.regions[:, 1:2].repeat(1, 3, 1, 1)  # the mask itself as the picture
    found = augment(one, settings, generator=torch.Generator().manual_seed(4))
    image, mask = found.image[0, 0], found.regions[0, 1]
    assert not torch.allclose(mask, batch(1).regions[0, 1], atol=0.05)
    places = torch.stack(torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij"))
    for value in (image, mask):
        assert value.sum() > 1
    centre_image = (places * image).sum((1, 2)) / image.sum()
    centre_mask = (places * mask).sum((1, 2)) / mask.sum()
    torch.testing.assert_close(centre_image, centre_mask, atol=1e-3, rtol=0)


@pytest.mark.parametrize("changed", [{"rotation_deg": 90.0}, {"mirror": 2.0}, {"noise": -1.0}])
def test_augmentation_that_would_alter_the_grade_is_refused(changed: dict[str, float]) -> None:
    with pytest.raises(UserError, match=f"augmentation.{next(iter(changed))}"):
        settings_from(Augmentation, changed, source="mine.yaml", section="augmentation")


def test_faces_know_their_size() -> None:
    faces = faces_of([AlignedFace(*drawn_face(1, side="none", seed=0))], image_ids=["a"])
    assert isinstance(faces, Faces)
    assert (len(faces), faces.size) == (1, 28)
    assert not faces.rest.any()  # what they show is not known
