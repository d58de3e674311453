"""Copies in the whole extraction: tables, journal, overlays, jobs, and faces that cannot be had."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from common.tables import read_table
from landmarks.find.detector import FaceDetector
from landmarks.find.extraction import SPREADS_FILE, Extraction, extract_landmarks
from landmarks.find.finder import FaceLandmarks, LandmarkFinder
from landmarks.find.journal import fingerprint
from landmarks.find.method import Method, Points, make_method
from landmarks.overlay import SPREAD_RGB, draw_overlay
from landmarks.points import LEFT_EYE_OUTER, RIGHT_EYE_OUTER
from landmarks.predictor import find_predictor
from landmarks.tables import SPREAD_COLUMNS, SPREADS, read_landmarks
from tests.conftest import backwards_here

pytestmark = pytest.mark.usefixtures("workers_here")

DETECTING = "rotation_normal"


def finder_with(**options: object) -> LandmarkFinder:
    return LandmarkFinder(find_predictor(), method=make_method(**options))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def boxed() -> LandmarkFinder:
    """Copies of the default kind, in which the known box is moved."""
    return finder_with(tta=6)


@pytest.fixture(scope="module")
def detecting() -> LandmarkFinder:
    """Copies in which the face is detected anew."""
    return finder_with(tta=6, tta_kind=DETECTING)


def save(path: Path, rgb: NDArray[np.uint8]) -> None:
    cv2.imwrite(str(path), cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, portrait: NDArray[np.uint8]) -> Path:
    """Three photographs: the portrait, the same darker, and one without a face."""
    folder = tmp_path_factory.mktemp("photographs")
    save(folder / "a.png", portrait)
    save(folder / "b.png", portrait // 2)
    save(folder / "none.png", np.full((60, 60, 3), 90, dtype=np.uint8))
    return folder


def extract(
    folder: Path, out: Path, *, method: Method, jobs: int = 1, **options: bool
) -> Extraction:
    photos = [(path.name, path) for path in sorted(folder.glob("*.png"))]
    return extract_landmarks(
        photos, out=out, predictor=find_predictor(), method=method, jobs=jobs, **options
    )


@pytest.mark.parametrize("points", ["whole", "joined"])
def test_tables_are_the_same_to_the_byte_in_any_order_and_any_company(
    points: Points, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = make_method(tta=5, tta_kind="rotation_uniform+noise_normal", points=points, seed=3)
    extract(folder, tmp_path / "one", method=method)
    monkeypatch.setattr("landmarks.find.extraction.supervised_map", backwards_here)
    extract(folder, tmp_path / "other", method=method)
    for name in ("landmarks.csv", SPREADS_FILE):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "other" / name).read_bytes()

    # Alone, with its copies shared out to threads, a photograph gives the row that it gave above.
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "b.png").write_bytes((folder / "b.png").read_bytes())
    extract(alone, tmp_path / "out", method=method, jobs=3)
    row = (tmp_path / "out" / "landmarks.csv").read_text().splitlines()[1]
    assert row in (tmp_path / "one" / "landmarks.csv").read_text().splitlines()


def test_every_option_ends_the_journal() -> None:
    methods = [
        make_method(),
        make_method(tta=5),
        make_method(tta=6),
        make_method(tta=5, seed=1),
        make_method(tta=5, tta_average="trimmed_mean"),
        make_method(tta=5, tta_kind="box"),
        make_method(tta=5, tta_kind="box:0.01"),
        make_method(tta=5, relevel=False),
        make_method(relevel=True),
        make_method(colour=True),
        make_method(detection_width=300),
        make_method(points="halves"),
        make_method(points="own"),
        make_method(points="joined"),
    ]
    assert len({fingerprint(method.settings()) for method in methods}) == len(methods)


def test_copies_are_levelled_unless_it_is_said() -> None:
    assert make_method(tta=5) == make_method(tta=5, relevel=True)
    assert make_method() == make_method(relevel=False) == Method()


def test_copies_end_what_was_done_without_them(folder: Path, tmp_path: Path) -> None:
    extract(folder, tmp_path, method=make_method(tta=5))
    assert (tmp_path / SPREADS_FILE).exists()
    plain = extract(folder, tmp_path, method=make_method())

    assert plain.resumed == 0
    assert not (tmp_path / SPREADS_FILE).exists()
    assert plain.table["spread_px"].isna().all()


def test_a_resumed_run_gives_the_same_spreads(folder: Path, tmp_path: Path) -> None:
    method = make_method(tta=5)
    extract(folder, tmp_path, method=method)
    first = (tmp_path / SPREADS_FILE).read_bytes(), (tmp_path / "landmarks.csv").read_bytes()
    again = extract(folder, tmp_path, method=method)

    assert again.resumed == 2
    second = (tmp_path / SPREADS_FILE).read_bytes(), (tmp_path / "landmarks.csv").read_bytes()
    assert first == second


def test_the_tables_tell_spread_and_counts(folder: Path, tmp_path: Path) -> None:
    extract(folder, tmp_path, method=make_method(tta=5))
    landmarks = read_landmarks(tmp_path / "landmarks.csv").set_index("image_id")
    spreads = read_table(tmp_path / SPREADS_FILE, schema=SPREADS).set_index("image_id")
    sizes = spreads[list(SPREAD_COLUMNS)].to_numpy().reshape(-1, 68, 2)

    assert list(spreads.index) == list(landmarks.index) == ["a.png", "b.png", "none.png"]
    assert list(spreads["copies"]) == [5, 5, 0]
    lengths = np.hypot(sizes[..., 0], sizes[..., 1]).mean(axis=1)
    np.testing.assert_allclose(landmarks["spread_px"], lengths)
    assert 0 < landmarks.at["a.png", "spread_px"] < 5
    assert np.isnan(landmarks.at["none.png", "spread_px"])


def test_overlays_show_the_spread(tmp_path: Path, portrait: NDArray[np.uint8]) -> None:
    face = np.ascontiguousarray(portrait[40:220, 130:320])
    save(tmp_path / "large.png", np.asarray(cv2.resize(face, None, fx=5, fy=5)))
    yellow = {}
    for tta in (0, 5):
        out = tmp_path / f"out{tta}"
        extract(tmp_path, out, method=make_method(tta=tta), overlays=True)
        drawn = cv2.imread(str(out / "overlays" / "large.png.jpg"))[..., ::-1].astype(int)
        yellow[tta] = (np.abs(drawn - SPREAD_RGB).sum(axis=2) < 60).sum()

    assert yellow[0] == 0
    assert yellow[5] > 40  # 68 thin rings, softened by JPEG


def test_ellipses_are_twice_the_spread() -> None:
    points = np.random.default_rng(1).uniform(0, 1, (68, 2)) + 2000  # all but one out of sight
    points[5] = [200.0, 150.0]
    spread = np.full((68, 2), 0.5)
    spread[5] = [40.0, 20.0]
    blank = np.full((300, 400, 3), 128, dtype=np.uint8)
    ring = np.abs(
        draw_overlay(blank, points, spread=spread, legend=False).astype(int) - SPREAD_RGB
    ).sum(axis=2)
    y, x = np.nonzero(ring < 60)

    assert (x.min(), x.max()) == (pytest.approx(120, abs=3), pytest.approx(280, abs=3))
    assert (y.min(), y.max()) == (pytest.approx(110, abs=3), pytest.approx(190, abs=3))


def test_a_face_seen_in_no_copy_is_no_face(
    monkeypatch: pytest.MonkeyPatch, detecting: LandmarkFinder, portrait: NDArray[np.uint8]
) -> None:
    monkeypatch.setattr("landmarks.find.tta._detect", lambda detector, pixels: None)
    lost = detecting.find(portrait)

    assert (lost.status, lost.copies, lost.copies_failed) == ("no_face", 6, 6)
    assert "none of its 6 altered copies" in lost.reason
    assert lost.box is None
    assert np.isnan(lost.points).all()
    assert np.isnan(lost.spread).all()


def test_a_profile_like_face_is_lost_by_detecting_copies_and_kept_with_its_box(
    boxed: LandmarkFinder, detecting: LandmarkFinder, portrait: NDArray[np.uint8]
) -> None:
    """Squeezed to half its width the face is seen by the CNN alone, and not by HOG in a copy."""
    half = np.asarray(cv2.resize(portrait, None, fx=0.5, fy=1, interpolation=cv2.INTER_AREA))
    lost, kept = detecting.find(half), boxed.find(half)

    assert (lost.status, lost.copies_failed) == ("no_face", 6)
    assert kept.status == "ok"
    assert kept.box is not None
    assert kept.box.detector == "cnn"
    frontal = boxed.find(portrait)
    assert relative_spread(kept) > 2 * relative_spread(frontal)  # and it says how unsure it is


def relative_spread(found: FaceLandmarks) -> float:
    eyes = np.linalg.norm(found.points[LEFT_EYE_OUTER] - found.points[RIGHT_EYE_OUTER])
    return float(np.hypot(*found.spread.T).mean() / eyes)


def test_a_face_cut_by_the_border_is_unsure_and_half_a_face_is_none(
    boxed: LandmarkFinder, portrait: NDArray[np.uint8]
) -> None:
    whole = boxed.find(portrait)
    cut = boxed.find(np.ascontiguousarray(portrait[:, 200:]))
    half = boxed.find(np.ascontiguousarray(portrait[:, 225:]))

    assert cut.status == "ok"
    assert relative_spread(cut) > 1.5 * relative_spread(whole)
    assert half.status == "no_face"
    assert half.reason
    assert half.copies == 0


def test_closed_eyes_are_measured(boxed: LandmarkFinder, portrait: NDArray[np.uint8]) -> None:
    open_eyes = boxed.find(portrait)
    painted = portrait.copy()
    for eye in (range(36, 42), range(42, 48)):
        (left, top), (right, bottom) = (
            np.round(edge).astype(int)
            for edge in (
                open_eyes.points[list(eye)].min(axis=0) - 2,
                open_eyes.points[list(eye)].max(axis=0) + 2,
            )
        )
        painted[top:bottom, left:right] = painted[bottom + 2, left:right].mean(axis=0)
    closed = boxed.find(painted)

    assert closed.status == "ok"
    assert np.isfinite(closed.points).all()
    assert np.isfinite(closed.spread).all()


def test_closed_eyes_of_the_simulated_cohort(shared: Path, boxed: LandmarkFinder) -> None:
    photo = shared / "data" / "sim_meei" / "Normal" / "Normal1" / "Normal1_{}.jpg"
    rest, closed = (boxed.find_file(Path(str(photo).format(n))) for n in (1, 4))

    def fissure(found: FaceLandmarks) -> float:
        return float(np.linalg.norm(found.points[37] - found.points[41]))

    assert closed.status == "ok"
    assert np.isfinite(closed.spread).all()
    assert fissure(closed) < fissure(rest)


@pytest.mark.parametrize("side", [1, 20, 40])
def test_a_photograph_smaller_than_the_face_model_has_no_face(
    boxed: LandmarkFinder, portrait: NDArray[np.uint8], side: int
) -> None:
    face = portrait[60:200, 150:300]
    tiny = np.asarray(cv2.resize(face, (side, side), interpolation=cv2.INTER_AREA))
    found = boxed.find(tiny)

    assert found.status == "no_face"
    assert found.reason
    assert np.isnan(found.points).all()


def test_a_small_face_is_found_and_mapped_back(
    boxed: LandmarkFinder, portrait: NDArray[np.uint8]
) -> None:
    face = np.ascontiguousarray(portrait[60:200, 150:300])
    small = np.asarray(cv2.resize(face, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))
    there, here = boxed.find(small), boxed.find(face)

    eyes = np.linalg.norm(here.points[LEFT_EYE_OUTER] - here.points[RIGHT_EYE_OUTER])
    off = np.linalg.norm((there.points + 0.5) * 2 - 0.5 - here.points, axis=1).mean()
    assert off / eyes < 0.06


def test_reduced_decoding_changes_neither_place_nor_spread(
    tmp_path: Path, boxed: LandmarkFinder, portrait: NDArray[np.uint8]
) -> None:
    """A large JPEG is decoded smaller; points and spread are in px of the photograph."""
    large = np.asarray(cv2.resize(portrait, None, fx=5, fy=5, interpolation=cv2.INTER_CUBIC))
    save(tmp_path / "large.jpg", large)
    found, plain = boxed.find_file(tmp_path / "large.jpg"), boxed.find(portrait)

    off = np.linalg.norm((found.points + 0.5) / 5 - 0.5 - plain.points, axis=1).mean()
    assert off < 1.5
    ratio = np.hypot(*found.spread.T).mean() / np.hypot(*plain.spread.T).mean()
    assert 2.5 < ratio < 10


def test_noise_per_channel_reads_colour_and_gives_grey_to_the_model(
    portrait: NDArray[np.uint8],
) -> None:
    found = finder_with(tta=4, tta_kind="noise_normal_rgb:20").find(portrait)
    shared = finder_with(tta=4, tta_kind="noise_normal:20").find(portrait)

    assert found.status == shared.status == "ok"
    # Three independent channels weaken each other in grey: less spread than shared noise.
    assert relative_spread(found) < relative_spread(shared)


def test_detection_width_is_used(portrait: NDArray[np.uint8]) -> None:
    grey = np.asarray(cv2.cvtColor(portrait, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
    narrow, wide = (FaceDetector(small_width=width).find(grey)[0] for width in (200, 300))
    assert narrow.area != wide.area


def test_table_dtypes_survive_when_nothing_was_found(tmp_path: Path) -> None:
    save(tmp_path / "none.png", np.full((60, 60, 3), 90, dtype=np.uint8))
    done = extract(tmp_path, tmp_path / "out", method=make_method(tta=3))
    spreads = read_table(tmp_path / "out" / SPREADS_FILE, schema=SPREADS)

    assert done.counts["no_face"] == 1
    assert pd.isna(spreads[list(SPREAD_COLUMNS)]).all(axis=None)
