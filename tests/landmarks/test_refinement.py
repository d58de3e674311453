"""What corrections taught: on both sides alike, for others than those who taught it."""

from __future__ import annotations

import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from common.errors import UserError
from common.files import sha256_of
from common.tables import read_table
from docs.drawing import schematic_face
from landmarks import refinement_training
from landmarks.find.extraction import SPREADS_FILE, extract_landmarks
from landmarks.find.finder import LandmarkFinder
from landmarks.find.method import make_method
from landmarks.find.refinement import PICTURE_PX, LevelFace, levelled
from landmarks.points import map_points, mirror_points
from landmarks.predictor import PredictorFile, find_predictor
from landmarks.refinement import SHOWN, Refinement, Regression
from landmarks.refinement_training import CorrectedFace, learn_rounds
from landmarks.tables import SPREADS
from tests.conftest import backwards_here

LEVEL = map_points(schematic_face(), levelled(schematic_face()[None]))


def regression(points: int, *, rng: np.random.Generator) -> Regression:
    numbers = rng.normal(size=(200, 4)), rng.normal(size=200) / 14
    weights = rng.normal(size=(4 * points + 1, 2 * points))
    return Regression(*(one.astype(np.float32) for one in (*numbers, weights)))


def picture(points: NDArray[np.float64], *, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Grey noise with a bright dot on every point."""
    drawn = rng.normal(100, 4, (PICTURE_PX, PICTURE_PX))
    for x, y in points:
        drawn[round(float(y)), round(float(x))] += 4000
    return np.clip(cv2.GaussianBlur(drawn, (0, 0), 3), 0, 255).astype(np.uint8)


def faces(
    seen: bool, *, rng: np.random.Generator, own: bool = False, patients: int = 12
) -> list[CorrectedFace]:
    """Two photographs of each patient, whose mouth was found where everybody's is.

    `seen`: the picture shows where it is. `own`: each patient's is elsewhere, and unseen.
    """
    found = []
    for k in range(patients):
        off = rng.normal(0, 4, 2)
        for _ in range(2):
            true = LEVEL.copy()
            true[48:] += off if own else rng.normal(0, 4, 2)
            shown = picture(true if seen else LEVEL + rng.normal(0, 1, (68, 2)), rng=rng)
            found.append(CorrectedFace(f"p{k}", shown, LEVEL[None], true))
    return found


def test_both_sides_are_moved_alike() -> None:
    rng = np.random.default_rng(0)
    rounds = [{name: regression(len(own), rng=rng) for name, own in SHOWN.items()}] * 2
    points = LEVEL[None] + rng.normal(0, 2, (1, 68, 2))
    grey = picture(points[0], rng=rng)
    moved, mirrored = points, mirror_points(points, width=PICTURE_PX)
    for one in rounds:
        moved = LevelFace.of(grey).shifted(moved, one)
        mirrored = LevelFace.of(np.ascontiguousarray(grey[:, ::-1])).shifted(mirrored, one)
    assert np.abs(moved - points).max() > 1
    np.testing.assert_allclose(mirror_points(mirrored, width=PICTURE_PX), moved, atol=0.05)


def test_what_the_picture_shows_is_learned_for_others(monkeypatch) -> None:
    monkeypatch.setattr(refinement_training, "ROUNDS", 1)
    rng = np.random.default_rng(1)
    rounds = learn_rounds(faces(True, rng=rng, patients=8))
    assert rounds
    off = []
    for face in faces(True, rng=rng, patients=4):
        moved = face.starts
        for one in rounds:
            moved = LevelFace.of(face.picture).shifted(moved, one)
        off += [[np.hypot(*(p - face.true)[48:].T).mean() for p in (face.starts[0], moved[0])]]
    before, after = np.mean(off, axis=0)
    assert after < 0.5 * before


@pytest.mark.parametrize("own", [False, True])
def test_nothing_is_learned_where_the_picture_does_not_show_it(own: bool) -> None:
    """Neither from chance, nor from each patient's own habit, which says nothing of others."""
    for one in learn_rounds(faces(False, rng=np.random.default_rng(2), own=own)):
        assert np.abs(one["mouth"].weights).max() < 0.5 if "mouth" in one else True


def test_one_patient_cannot_teach() -> None:
    with pytest.raises(UserError, match="at least 2 patients"):
        learn_rounds(faces(True, rng=np.random.default_rng(0), patients=1))


def down(tmp_path: Path, *, px: float = 3.0, **about: object) -> Path:
    """A refinement that puts every point lower by `px` of the levelled face; 0 has no rounds."""
    one = {}
    for name, own in SHOWN.items() if px else ():
        weights = np.zeros((2 * len(own) + 1, 2 * len(own)), np.float32)
        weights[-1, 1::2] = px
        one[name] = Regression(np.eye(200, 2, dtype=np.float32), np.zeros(200, np.float32), weights)
    base = find_predictor()
    known = {"base": base.name, "base_sha256": base.sha256, "learned_from": []}
    Refinement((one,) if px else (), known | about).save(tmp_path / "lower.safetensors")
    return tmp_path / "lower.safetensors"


@pytest.mark.parametrize(("tta", "points"), [(0, "halves"), (4, "whole")])
def test_the_finder_moves_the_points_of_every_copy(portrait, tmp_path, tta, points) -> None:
    method = make_method(tta=tta, points=points)
    before, after = (
        LandmarkFinder(find_predictor(name), method=method).find(portrait)
        for name in ("ibug", str(down(tmp_path)))
    )
    level = levelled(before.points[None])
    moved = map_points(after.points, level) - map_points(before.points, level)
    np.testing.assert_allclose(moved, np.tile([0.0, 3.0], (68, 1)), atol=0.1)
    np.testing.assert_allclose(after.spread, before.spread, atol=1e-6)


def test_tables_are_the_same_to_the_byte_in_any_order_and_after_a_stop(
    tmp_path: Path, portrait_path: Path, workers_here: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And where nothing was learned, they are those of the model alone."""
    darker = tmp_path / "darker.png"
    cv2.imwrite(str(darker), cv2.imread(str(portrait_path)) // 2)
    photos = [("a.png", portrait_path), ("b.png", darker)]

    def extract(name: str, model: PredictorFile, *, some: list[tuple[str, Path]] = photos) -> int:
        method = make_method(tta=3, points="halves")
        return extract_landmarks(
            some, out=tmp_path / name, predictor=model, method=method, jobs=1
        ).resumed

    def same(one: str, other: str) -> bool:
        tables = ("landmarks.csv", SPREADS_FILE)
        return all(
            (tmp_path / one / t).read_bytes() == (tmp_path / other / t).read_bytes() for t in tables
        )

    lower = find_predictor(str(down(tmp_path)))
    extract("stopped", lower, some=photos[:1])
    assert extract("stopped", lower) == 1
    with monkeypatch.context() as patch:
        patch.setattr("landmarks.find.extraction.supervised_map", backwards_here)
        extract("backwards", pickle.loads(pickle.dumps(lower)))  # as a worker gets it
    assert same("stopped", "backwards")
    shares = read_table(tmp_path / "stopped" / SPREADS_FILE, schema=SPREADS)["halves_share"]
    assert ((shares >= 0) & (shares <= 1)).all()

    extract("model alone", find_predictor())
    assert not same("stopped", "model alone")
    nothing = find_predictor(str(down(tmp_path, px=0.0)))
    assert extract("stopped", nothing) == 0  # another refinement, and nothing is taken over
    assert same("stopped", "model alone")


def test_a_file_holds_what_was_learned_and_refuses_what_it_is_not(tmp_path: Path) -> None:
    path = down(tmp_path)
    again = tmp_path / "again.safetensors"
    Refinement.load(path).save(again)
    assert sha256_of(again) == sha256_of(path)
    assert find_predictor(str(path)).base == find_predictor()
    taught = find_predictor(str(down(tmp_path, learned_from=["a", "b"])))
    assert taught.learned_from(seen="no", photographs=["b", "c", "d"]) == (
        "1 of 3 photographs corrected for lower.safetensors; ibug: no"
    )
    again.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match="not a whole landmark refinement"):
        find_predictor(str(again))
    with pytest.raises(UserError, match="another file"):
        find_predictor(str(down(tmp_path, base_sha256="0" * 64)))
