from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import landmarks.find.extraction as extraction_module
from common.errors import UserError
from common.photos import list_photos, read_photo
from common.workers import Outcome
from landmarks.find.extraction import Extraction, extract_landmarks, spread_table
from landmarks.find.method import Method
from landmarks.plausibility import implausible
from landmarks.points import INNER, LEFT_EYE_OUTER, RIGHT_EYE_OUTER
from landmarks.predictor import find_predictor
from landmarks.tables import SPREAD_COLUMNS, points_of, read_landmarks
from tests.common.photo_files import portrait_folder, save, small_portrait
from tests.landmarks.test_plausibility import with_asymmetry

pytestmark = pytest.mark.usefixtures("workers_here")


@dataclass(frozen=True)
class SimMeei:
    """A fifth of the simulated patients' photographs, measured, and their true points."""

    extraction: Extraction
    truth: np.ndarray


@pytest.fixture(scope="session")
def sim_meei(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> SimMeei:
    folder = shared / "data" / "sim_meei"
    some = list_photos(folder).photos[::5]  # of every movement: each patient has eight
    out = tmp_path_factory.mktemp("sim_meei")
    extraction = extract_landmarks(some, out=out, predictor=find_predictor(), jobs=1)
    truth = pd.read_csv(folder / "true_landmarks.csv").set_index("image")
    columns = [f"{axis}{point}" for point in range(68) for axis in "xy"]
    values = truth.loc[extraction.table["image_id"], columns].to_numpy()
    return SimMeei(extraction, values.reshape(-1, 68, 2))


COUNT = 11  # so that p10 and p11 come after p9


@dataclass(frozen=True)
class Measured:
    """A folder of photographs, what came out of them, and where that lies."""

    photos: Path
    out: Path
    extraction: Extraction


@pytest.fixture(scope="module")
def measured(
    tmp_path_factory: pytest.TempPathFactory, portrait: np.ndarray, workers_here: None
) -> Measured:
    """Measured once; tests go on from a copy."""
    folder = tmp_path_factory.mktemp("measured")
    photos, out = portrait_folder(folder / "photos", portrait, count=COUNT), folder / "out"
    found = list_photos(photos).photos
    return Measured(
        photos, out, extract_landmarks(found, out=out, predictor=find_predictor(), jobs=1)
    )


@pytest.fixture
def photos(tmp_path: Path, measured: Measured) -> Path:
    return Path(shutil.copytree(measured.photos, tmp_path / "photos"))


Run = Callable[..., Extraction]


@pytest.fixture
def run(photos: Path, tmp_path: Path) -> Run:
    """Extract what the folder holds now into `out`."""

    def extract(**options: object) -> Extraction:
        found = list_photos(photos).photos
        settings = {"out": tmp_path / "out", "predictor": find_predictor(), "jobs": 1} | options
        return extract_landmarks(found, **settings)

    return extract


@pytest.fixture
def first(measured: Measured, photos: Path, tmp_path: Path) -> Extraction:
    """A first run into `out`, before the test touches the photographs."""
    shutil.copytree(measured.out, tmp_path / "out")
    return measured.extraction


def journal_of(out: Path) -> list[str]:
    return (out / "journal.jsonl").read_text(encoding="utf-8").splitlines()


def test_one_job_and_two_jobs_give_the_same_bytes(
    run: Run, measured: Measured, tmp_path: Path
) -> None:
    one = measured.extraction
    two = run(out=tmp_path / "two", jobs=2)
    content = (measured.out / "landmarks.csv").read_bytes()
    assert content == (tmp_path / "two" / "landmarks.csv").read_bytes()
    assert one.counts == two.counts == {
        "ok": COUNT, "no_face": 0, "several_faces": 0, "unreadable": 0, "failed": 0,
    }  # fmt: skip
    assert list(one.table["image_id"]) == [f"p{n}.jpg" for n in range(1, COUNT + 1)]
    written = read_landmarks(measured.out / "landmarks.csv")
    np.testing.assert_array_equal(points_of(written), points_of(one.table))
    assert np.isfinite(points_of(written)).all()
    assert (written["tilt_deg"].abs() < 15).all()
    assert (written["n_faces"] == 1).all()


def test_a_second_run_takes_everything_over(
    run: Run, first: Extraction, measured: Measured, tmp_path: Path
) -> None:
    (tmp_path / "out" / "landmarks.csv").unlink()
    assert run().resumed == COUNT
    before = (measured.out / "landmarks.csv").read_bytes()
    assert (tmp_path / "out" / "landmarks.csv").read_bytes() == before


def test_a_torn_last_line_costs_one_photograph(
    run: Run, first: Extraction, measured: Measured, tmp_path: Path
) -> None:
    journal = tmp_path / "out" / "journal.jsonl"
    content = journal.read_bytes()
    journal.write_bytes(content[: -len(content) // (2 * COUNT)])
    assert run().resumed == COUNT - 1
    before = (measured.out / "landmarks.csv").read_bytes()
    assert (tmp_path / "out" / "landmarks.csv").read_bytes() == before
    assert len(journal_of(tmp_path / "out")) == COUNT


def test_foreign_lines_in_the_journal_are_passed_over(
    run: Run, first: Extraction, tmp_path: Path
) -> None:
    journal = tmp_path / "out" / "journal.jsonl"
    odd = ["null", "[1, 2]", '{"settings": 3}', "\0\xff", '{"status": "ok"}']
    journal.write_text("\n".join([*odd, *journal_of(tmp_path / "out"), ""]), encoding="utf-8")
    assert run().resumed == COUNT


def test_a_photograph_with_another_content_is_done_again(
    run: Run, first: Extraction, photos: Path, portrait: np.ndarray
) -> None:
    before = first.table.set_index("image_id")
    save(photos / "p3.jpg", small_portrait(portrait, shift=-25))
    after = run()
    assert after.resumed == COUNT - 1
    moved = after.table.set_index("image_id")
    assert abs(moved.loc["p3.jpg", "x_30"] - before.loc["p3.jpg", "x_30"]) > 10
    pd.testing.assert_frame_equal(moved.drop("p3.jpg"), before.drop("p3.jpg"))


def test_another_setting_or_predictor_does_everything_again(
    run: Run, first: Extraction, photos: Path, tmp_path: Path
) -> None:
    for path in sorted(photos.iterdir())[3:]:  # three are enough
        path.unlink()
    assert run(faces="error").resumed == 0
    original = find_predictor()
    elsewhere, other = tmp_path / "elsewhere.dat", tmp_path / "other.dat"
    elsewhere.write_bytes(original.path.read_bytes())
    other.write_bytes(original.path.read_bytes() + b"\n")  # another file, the same points
    # It is the content that counts, not the name or place.
    assert run(faces="error", predictor=find_predictor(str(elsewhere))).resumed == 3
    assert run(faces="error", predictor=find_predictor(str(other))).resumed == 0


def test_what_failed_is_tried_again(run: Run, photos: Path, workers_here: None) -> None:
    whole = (photos / "p5.jpg").read_bytes()
    (photos / "p5.jpg").write_bytes(whole[:400])
    broken = run()
    assert broken.counts["unreadable"] == 1
    row = broken.table.set_index("image_id").loc["p5.jpg"]
    assert row["status"] == "unreadable"
    assert "p5.jpg" in row["reason"]
    assert np.isnan(points_of(broken.table)[4]).all()
    assert run().resumed == COUNT - 1  # the same file: tried again all the same
    (photos / "p5.jpg").write_bytes(whole)
    mended = run()
    assert (mended.resumed, mended.counts["ok"]) == (COUNT - 1, COUNT)


def test_a_photograph_that_vanished_has_a_row(
    first: Extraction, photos: Path, tmp_path: Path
) -> None:
    found = list_photos(photos).photos
    (photos / "p2.jpg").unlink()
    again = extract_landmarks(found, out=tmp_path / "out", predictor=find_predictor(), jobs=1)
    assert len(again.table) == COUNT
    assert again.table.set_index("image_id").loc["p2.jpg", "status"] == "unreadable"


def test_a_photograph_that_is_no_longer_asked_for_has_no_row(
    run: Run, first: Extraction, photos: Path
) -> None:
    (photos / "p2.jpg").unlink()
    again = run()
    assert len(again.table) == again.resumed == COUNT - 1


def test_a_photograph_that_is_given_up_fails_and_the_others_are_kept(
    run: Run, workers_here: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    all_of_them = extraction_module.supervised_map

    def give_up_the_third(*args: Any, **options: Any) -> Iterator[Outcome]:
        for outcome in all_of_them(*args, **options):
            error = "it took longer than 120 s, 2 times in a row"
            yield Outcome(2, error=error) if outcome.index == 2 else outcome

    monkeypatch.setattr(extraction_module, "supervised_map", give_up_the_third)
    extraction = run()
    assert (extraction.counts["failed"], extraction.counts["ok"]) == (1, COUNT - 1)
    row = extraction.table.set_index("image_id").loc["p3.jpg"]
    assert row["status"] == "failed"
    assert "it took longer than 120 s, 2 times in a row" in row["reason"]
    assert np.isnan(points_of(extraction.table)[2]).all()
    monkeypatch.undo()
    again = run()
    assert (again.resumed, again.counts["ok"]) == (COUNT - 1, COUNT)


def test_overlays_are_drawn_and_follow_the_photographs(
    run: Run, first: Extraction, photos: Path, tmp_path: Path
) -> None:
    (photos / "visit").mkdir()
    (photos / "p4.jpg").rename(photos / "visit" / "p4.jpg")
    overlays = tmp_path / "out" / "overlays"
    assert not overlays.exists()
    drawn = run(overlays=True)
    assert drawn.resumed == 0  # points were known, pictures were not there
    assert (overlays / "visit" / "p4.jpg.jpg").is_file()
    assert len(list(overlays.rglob("*.jpg"))) == COUNT
    original = read_photo(photos / "p1.jpg").pixels
    assert read_photo(overlays / "p1.jpg.jpg").pixels.shape == original.shape

    (overlays / "p1.jpg.jpg").unlink()
    assert run(overlays=True).resumed == COUNT - 1
    assert (overlays / "p1.jpg.jpg").is_file()

    save(photos / "p1.jpg", np.zeros((240, 240, 3), np.uint8))
    assert run(overlays=True).counts["no_face"] == 1
    assert not (overlays / "p1.jpg.jpg").exists()  # it would show the old photograph


@pytest.mark.parametrize("image_id", ["../outside.jpg", "..", "/etc/x.jpg", "a/../../b.jpg", "."])
def test_an_overlay_never_leaves_its_folder(photos: Path, tmp_path: Path, image_id: str) -> None:
    extraction = extract_landmarks(
        [(image_id, photos / "p1.jpg")],
        out=tmp_path / "out",
        predictor=find_predictor(),
        overlays=True,
        jobs=1,
    )
    assert extraction.counts["ok"] == 1
    (overlay,) = (tmp_path / "out").rglob("*.jpg")
    assert overlay.is_relative_to(tmp_path / "out" / "overlays")
    assert len(list(tmp_path.rglob("*.jpg"))) == COUNT + 1


def test_no_photographs_give_an_empty_table(tmp_path: Path) -> None:
    extraction = extract_landmarks([], out=tmp_path / "out", predictor=find_predictor(), jobs=2)
    assert extraction.table.empty
    assert read_landmarks(tmp_path / "out" / "landmarks.csv").empty


def test_the_journal_keeps_neither_paths_nor_folders(measured: Measured) -> None:
    journal = journal_of(measured.out)
    assert str(measured.photos.parent) not in "".join(journal)
    head, result = map(json.loads, journal[0].split("\t"))
    assert set(head) == {"settings", "image_id", "sha256"}
    assert {"box", "points", "copies", "irises"} <= set(result)


def test_a_disk_that_fills_up_stops_the_run_with_one_sentence(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("there is no /dev/full here")
    import landmarks.find.journal as journal

    opened = []

    def open_full(self: journal.Journal, folder: Path, *, settings: str) -> None:
        self.path, self._settings, self._lines = folder / "journal.jsonl", settings, {}
        self._file = full.open("wb")
        opened.append(self)

    monkeypatch.setattr(journal.Journal, "__init__", open_full)
    with pytest.raises(UserError, match=r"No space left on device.*run the same command again"):
        run()
    assert opened


def test_the_simulated_patients_are_measured_as_well_as_before(sim_meei: SimMeei) -> None:
    """Photographs of simulated patients with known points, from the shared test data."""
    table = sim_meei.extraction.table
    assert len(table) == 96
    assert (table["status"] == "ok").all()
    assert mean_error(points_of(table), sim_meei.truth) <= 0.0335
    for times in (1, 2, 3):  # predicted points are no slips of the hand, however weak the face
        assert not any(implausible(with_asymmetry(points_of(table), times)))


def test_the_portrait_is_measured_as_well_when_it_is_small_or_dark(measured: Measured) -> None:
    """The twin: variants of one portrait agree with each other as they agree in the world."""
    points = points_of(measured.extraction.table)
    numbers = np.arange(1, COUNT + 1)  # variant n is shifted left by n px of the portrait
    at_home = points.copy()
    at_home[..., 0] += numbers[:, None] * 240 / 300
    middle = np.median(at_home, axis=0)
    assert mean_error(at_home, np.repeat(middle[None], COUNT, axis=0)) <= 0.0335


def mean_error(points: np.ndarray, truth: np.ndarray) -> float:
    """Mean distance of the 51 inner points as a fraction of the outer-eye distance."""
    apart = np.linalg.norm(points - truth, axis=-1)[:, list(INNER)]
    eyes = np.linalg.norm(truth[:, LEFT_EYE_OUTER] - truth[:, RIGHT_EYE_OUTER], axis=-1)
    return float((apart / eyes[:, None]).mean())


def test_spreads_of_nothing_are_a_table_without_rows() -> None:
    table = spread_table({}, method=Method())
    assert len(table) == 0
    assert set(SPREAD_COLUMNS) <= set(table.columns)
