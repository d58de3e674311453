"""MediaPipe's face mesh as a predictor: its points at their places, no face where it sees none."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dlib
import numpy as np
import pytest
from numpy.typing import NDArray

from common.errors import UserError
from landmarks import mesh
from landmarks.find.finder import LandmarkFinder
from landmarks.find.method import make_method
from landmarks.mesh import MESH_OF_68, FaceMesh
from landmarks.predictor import find_predictor


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of a stand-in for the package: a face as an oval of points in every picture that it is
    shown, and none in dark ones."""

    def detect(image: SimpleNamespace) -> SimpleNamespace:
        assert image.data.dtype == np.uint8
        assert image.data.shape[2] == 3
        around = np.linspace(0, 2 * np.pi, 478)
        face = [
            SimpleNamespace(x=0.5 + 0.25 * x, y=0.55 + 0.3 * y, z=0.0)
            for x, y in zip(np.cos(around), np.sin(around), strict=True)
        ]
        return SimpleNamespace(face_landmarks=[face] if image.data.mean() > 20 else [])

    model = SimpleNamespace(detect=detect)
    parts: dict[str, Any] = {
        "mediapipe": SimpleNamespace(
            Image=lambda image_format, data: SimpleNamespace(data=data),
            ImageFormat=SimpleNamespace(SRGB=1),
        ),
        "mediapipe.tasks.python": SimpleNamespace(
            vision=SimpleNamespace(
                FaceLandmarker=SimpleNamespace(create_from_model_path=lambda path: model)
            )
        ),
    }
    monkeypatch.setattr(mesh, "import_module", parts.get)
    monkeypatch.setattr(mesh.metadata, "version", lambda name: "1.0")
    (tmp_path / "face.task").write_bytes(b"a model")
    return tmp_path / "face.task"


@pytest.mark.parametrize("shape", [(200, 300), (200, 300, 3)])
@pytest.mark.parametrize("at", [(150, 90), (20, 190)])
def test_a_point_comes_at_its_pixel(shape: tuple[int, ...], at: tuple[int, int]) -> None:
    """Also where the picture around the face reaches beyond the photograph."""
    pixels = np.zeros(shape, np.uint8)
    pixels[at[1], at[0]] = 255

    def brightest(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
        row, column = np.unravel_index(rgb[..., 0].argmax(), rgb.shape[:2])
        share = (np.array([column, row]) + 0.5) / rgb.shape[0]
        return np.tile(share, (478, 1)) + np.arange(478)[:, None] * [0.0, 1e-9]

    box = dlib.rectangle(at[0] - 45, at[1] - 40, at[0] + 35, at[1] + 41)
    points = FaceMesh(brightest).points(pixels, box)
    assert points == pytest.approx(np.tile(at, (68, 1)), abs=1e-3)
    assert np.argsort(points[:, 1]).tolist() == np.argsort(MESH_OF_68).tolist()


@pytest.mark.parametrize(("tta", "points"), [(0, "whole"), (3, "halves")])
def test_the_finder_takes_it_for_a_model(
    task: Path, portrait: NDArray[np.uint8], tta: int, points: Any
) -> None:
    predictor = find_predictor(str(task))
    assert predictor.program == {"mediapipe": "1.0"}
    finder = LandmarkFinder(predictor, method=make_method(tta=tta, points=points))
    found = finder.find(portrait)
    assert (found.status, found.copies_failed) == ("ok", 0)
    assert found.box is not None
    assert np.linalg.norm(found.points.mean(axis=0) - found.box.centre) < found.box.side / 2


@pytest.mark.parametrize("tta", [0, 3])
def test_where_the_mesh_sees_no_face_there_is_none(
    task: Path, portrait: NDArray[np.uint8], tta: int
) -> None:
    finder = LandmarkFinder(find_predictor(str(task)), method=make_method(tta=tta))
    lost = finder.find(portrait // 12)
    assert (lost.status, lost.box) == ("no_face", None)
    assert np.isnan(lost.points).all()
    assert "but not by the model" in lost.reason


def test_without_the_package_a_sentence_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "face.task").write_bytes(b"a model")
    with pytest.raises(UserError, match=r"not installed.*docs/exchange.md"):
        find_predictor(str(tmp_path / "face.task"))
