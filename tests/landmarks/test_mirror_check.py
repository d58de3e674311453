"""Mirror images tell whether a finder treats left and right alike."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from docs.drawing import schematic_face
from landmarks.check.altered import MIRROR, find_both_ways, mirror_check, mirror_difference
from landmarks.find.finder import FaceLandmarks
from landmarks.points import REGIONS, mirror_points
from landmarks.predictor import find_predictor

MARK = (10, 3)  # a dark pixel near the left edge of the photograph


class DrawnFinder:
    """Knows where the points of the drawn face are, mirrored or not, and adds its own `bias`."""

    def __init__(self, bias: NDArray[np.float64] | float = 0.0) -> None:
        rng = np.random.default_rng(4)
        self.points = 80 + 0.5 * schematic_face() + rng.normal(scale=4.0, size=(68, 2))
        self.bias = bias

    def find(self, rgb: NDArray[np.uint8]) -> FaceLandmarks:
        width = rgb.shape[1]
        as_it_is = rgb[MARK].max() == 0
        points = self.points if as_it_is else mirror_points(self.points, width=width)
        return FaceLandmarks(status="ok", points=points + self.bias)


@pytest.fixture
def drawn(tmp_path: Path) -> Path:
    picture = np.full((300, 400, 3), 200, dtype=np.uint8)
    picture[MARK] = 0
    cv2.imwrite(str(tmp_path / "face.png"), picture)
    return tmp_path / "face.png"


def differences(finder: DrawnFinder, photo: Path) -> NDArray[np.float64]:
    plain, mirrored = find_both_ways(finder, photo)  # type: ignore[arg-type]
    return mirror_difference(plain.points, mirrored.points)


def test_a_fair_finder_has_no_difference_on_an_asymmetric_face(drawn: Path) -> None:
    np.testing.assert_allclose(differences(DrawnFinder(), drawn), 0.0, atol=1e-10)


def test_a_finder_that_favours_one_side_is_caught_in_that_region(drawn: Path) -> None:
    bias = np.zeros((68, 2))
    bias[list(REGIONS["right_brow"])] = [0.0, -3.0]
    found = differences(DrawnFinder(bias), drawn)

    # Mirrored, the favoured brow is the other one: both brows differ, nothing else does.
    brows = [*REGIONS["right_brow"], *REGIONS["left_brow"]]
    assert found[brows].min() > 0
    np.testing.assert_allclose(np.delete(found, brows), 0.0, atol=1e-10)
    eyes = np.linalg.norm(DrawnFinder().points[45] - DrawnFinder().points[36])
    np.testing.assert_allclose(found[brows], 100 * 3.0 / eyes)


def test_unreadable_and_lost_faces_are_told(tmp_path: Path, portrait: NDArray[np.uint8]) -> None:
    bgr = cv2.cvtColor(portrait, cv2.COLOR_RGB2BGR)
    cv2.imwrite(str(tmp_path / "a.png"), bgr)
    cv2.imwrite(str(tmp_path / "b.png"), bgr[:, ::-1])
    (tmp_path / "c.png").write_bytes(b"")
    cv2.imwrite(str(tmp_path / "d.png"), np.full((60, 60, 3), 80, dtype=np.uint8))
    photos = [(name, tmp_path / name) for name in ("a.png", "b.png", "c.png", "d.png")]
    table = MIRROR.validate(mirror_check(photos, predictor=find_predictor(), jobs=1))
    table = table.set_index("image_id")

    assert list(table["status"]) == ["ok", "ok", "unreadable", "no_face"]
    assert table.loc["c.png", "reason"]
    assert table.loc[["c.png", "d.png"], list(REGIONS)].isna().all(axis=None)
    # The mirror image of a photograph has the same differences, its sides exchanged.
    for here, there in (("right_brow", "left_brow"), ("left_eye", "right_eye"), ("mouth",) * 2):
        assert table.at["a.png", here] == pytest.approx(table.at["b.png", there], abs=1e-9)
        assert 0 < table.at["a.png", here] < 20
