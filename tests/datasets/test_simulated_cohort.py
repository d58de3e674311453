"""The simulated cohort on disk: complete layouts, the same bytes every time, and clear refusals."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pandas as pd
import pytest

from common.errors import UserError
from common.files import claimed
from common.movements import MOVEMENTS
from datasets.contact_sheet import contact_sheet
from datasets.readers.meei import read_meei
from datasets.simulated.cohort import draw_cohort, simulate
from datasets.simulated.face import visits_of
from datasets.simulated.layouts import SEVERITY
from datasets.simulated.movement import Palsy
from datasets.simulated.scales import rated, true_scales

if TYPE_CHECKING:
    from pipeline.example_cohort import ExampleCohort

ZONES = ("brow", "eye", "midface", "mouth")
SMALL = {"width": 160, "height": 214}


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_every_grade_is_present_from_six_patients_on() -> None:
    for patients in (6, 7, 24):
        grades = Counter(patient.palsy.grade for patient in draw_cohort(patients, seed=1))
        assert sorted(grades) == [1, 2, 3, 4, 5, 6]
        assert max(grades.values()) - min(grades.values()) <= 1


def test_sides_and_kinds_take_turns_within_each_grade() -> None:
    cohort = draw_cohort(24)
    for grade in range(2, 6):
        seen = {(p.palsy.side, p.palsy.kind) for p in cohort if p.palsy.grade == grade}
        assert len(seen) == 4
    assert {p.palsy.kind for p in cohort if p.palsy.grade == 6} == {"flaccid"}
    assert {p.palsy.side for p in cohort if p.palsy.grade == 6} == {"left", "right"}


def test_a_larger_cohort_begins_with_the_smaller() -> None:
    assert [p.seed for p in draw_cohort(4, seed=2)] == [p.seed for p in draw_cohort(9, seed=2)][:4]
    assert draw_cohort(1, seed=2)[0].seed != draw_cohort(1, seed=3)[0].seed


def test_the_same_bytes_for_any_number_of_jobs_and_again(tmp_path: Path) -> None:
    one = simulate(tmp_path / "one", patients=2, seed=8, jobs=1, **SMALL)
    two = simulate(tmp_path / "two", patients=2, seed=8, jobs=2, **SMALL)
    assert [p.name for p in one] == [p.name for p in two]
    first = contents(tmp_path / "one")
    assert first == contents(tmp_path / "two")
    simulate(tmp_path / "one", patients=2, seed=8, **SMALL)
    assert contents(tmp_path / "one") == first
    simulate(tmp_path / "other", patients=2, seed=9, **SMALL)
    assert contents(tmp_path / "other") != first


def test_meei_layout_is_complete(simulated_cohort: ExampleCohort) -> None:
    root = simulated_cohort.photographs
    assert len(list(root.rglob("*.jpg"))) == 192
    info = pd.read_excel(root / "pat_info.xlsx")
    scores = ["Sunnybrook", "eFACE"]
    assert list(info) == ["Category", "Sub-category", "#", "Side", "Gender", "Age", *scores]
    assert Counter(info["Category"])["Normal"] == 4 and len(info) == 24
    truth = pd.read_csv(root / "true_landmarks.csv")
    columns = [f"{axis}{point}" for point in range(68) for axis in "xy"]
    assert list(truth) == ["image", "task", "grade", *columns]
    assert list(truth["task"]) == list(MOVEMENTS) * 24
    for row in truth.itertuples():
        category, *middle, name, photo = row.image.split("/")
        assert photo == f"{name}_{MOVEMENTS.index(row.task) + 1}.jpg"
        if row.grade == 1:
            assert category == "Normal" and not middle
        else:
            assert middle == [SEVERITY[row.grade] + category] and name.startswith(middle[0])
        picture = cv2.imread(str(root / row.image))
        assert picture.shape == (320, 240, 3)
    points = truth[columns].to_numpy().reshape(-1, 68, 2)
    assert (points > 0).all() and (points < (240, 320)).all()
    assert (points[:, 36, 0] < points[:, 45, 0]).all()


def test_pat_info_names_the_patients_own_weak_side(simulated_cohort: ExampleCohort) -> None:
    """In a brow raise, the side in the table is the one whose brow stays low."""
    root = simulated_cohort.photographs
    truth = pd.read_csv(root / "true_landmarks.csv").set_index("image")
    info = pd.read_excel(root / "pat_info.xlsx")
    checked = set()
    for row in info[info["Sub-category"].isin(["Severe", "Complete"])].to_dict("records"):
        group = row["Sub-category"] + row["Category"]
        stem = f"{row['Category']}/{group}/{group}{row['#']}/{group}{row['#']}"
        rest, brow = (
            truth.loc[f"{stem}_{k}.jpg"].iloc[2:].to_numpy(float).reshape(68, 2) for k in (1, 2)
        )
        height = [
            (eyes[:, 1].mean() - brows[:, 1].mean())
            for points in (rest, brow)
            for eyes, brows in ((points[36:42], points[17:22]), (points[42:48], points[22:27]))
        ]
        risen = {"Right": height[2] - height[0], "Left": height[3] - height[1]}
        assert min(risen, key=lambda side: risen[side]) == row["Side"]
        checked.add(row["Side"])
    assert checked == {"Left", "Right"}


def test_neuroface_layout_is_complete(tmp_path: Path) -> None:
    photos = simulate(tmp_path, patients=3, layout="neuroface", width=200, height=160)
    assert len(photos) == 3 * 6 * 3
    for group, letter in (("Healthy controls", "N"), ("ALS", "A"), ("Stroke", "S")):
        tables = sorted((tmp_path / group / "Landmarks_gt").glob("*.txt"))
        assert len(tables) == 6
        for table in tables:
            assert table.name.startswith(f"{letter}001_02_NSM_") and table.name.endswith(
                "_color.txt"
            )
            truth = pd.read_csv(table)
            boxes = pd.read_csv(tmp_path / group / "Bbox_gt" / table.name)
            assert list(boxes) == ["frame", "x1", "y1", "x2", "y2"]
            assert list(truth["frame"]) == list(boxes["frame"]) == sorted(truth["frame"])
            points = truth.iloc[:, 1:].to_numpy().reshape(-1, 68, 2)
            np.testing.assert_array_equal(points.min(1), boxes[["x1", "y1"]].to_numpy())
            for frame in truth["frame"]:
                assert (tmp_path / group / "Frames" / f"{table.stem}.avi_{frame}.jpg").is_file()


def test_casme_clips_rise_to_the_apex_and_fall(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("datasets.simulated.layouts._CLIPS_PER_SUBJECT", 2)
    photos = simulate(tmp_path, patients=1, layout="casme", width=160, height=194)
    clips = pd.read_excel(tmp_path / "CASME2-coding-20140508.xlsx")
    assert len(clips) == 2 and len(photos) == 2 * 16
    truth = pd.read_csv(tmp_path / "true_landmarks.csv").set_index("image")
    assert (truth["x0"] > 0).all()
    for clip in clips.itertuples():
        assert clip.OnsetFrame < clip.ApexFrame < clip.OffsetFrame
        folder = tmp_path / "CASME2_RAW" / f"sub{clip.Subject:02d}" / clip.Filename
        for frame in (clip.OnsetFrame, clip.ApexFrame, clip.OffsetFrame):
            assert (folder / f"img{frame}.jpg").is_file()
        shape = {
            frame: truth.loc[f"CASME2_RAW/sub01/{clip.Filename}/img{frame}.jpg"].to_numpy(float)
            for frame in (clip.OnsetFrame - 1, clip.OnsetFrame, clip.ApexFrame)
        }
        still = np.abs(shape[clip.OnsetFrame] - shape[clip.OnsetFrame - 1]).max()
        moved = np.abs(shape[clip.ApexFrame] - shape[clip.OnsetFrame]).max()
        assert moved > 2 * still


def test_a_healthy_face_has_full_marks_and_each_grade_fewer() -> None:
    healthy = true_scales(Palsy(1, "none", "none"))
    assert healthy["sunnybrook"] == healthy["eface"] == 100
    assert all(healthy[f"weakness_{zone}"] == 0 for zone in ZONES)
    for kind in ("flaccid", "synkinetic"):
        scales = [true_scales(Palsy(grade, "left", kind)) for grade in range(2, 6)]
        for name in ("sunnybrook", "eface"):
            values = [scale[name] for scale in scales]
            assert values == sorted(values, reverse=True) and 0 < values[-1] < values[0] < 100
    mirrored = [true_scales(Palsy(4, side, "synkinetic")) for side in ("left", "right")]
    assert mirrored[0] == mirrored[1]


def test_the_composite_is_that_of_the_published_formula() -> None:
    """Complete flaccid palsy by hand: no movement (1 each) but a lid that sinks by a tenth."""
    complete = true_scales(Palsy(6, "right", "flaccid"))
    assert complete["sunnybrook"] == pytest.approx(4 * (5 + 4 * 0.1) - 5 * (1 + 2 + 1) - 0)
    assert complete["eface"] == pytest.approx((0 + 2 * 100 * (0.1 + 0.122) / 6 + 100) / 4)
    flaccid, synkinetic = (
        true_scales(Palsy(4, "left", kind)) for kind in ("flaccid", "synkinetic")
    )
    items = ("brow_raise", "gentle_closure", "open_smile", "snarl", "pucker")
    assert all(flaccid[f"sunnybrook_synkinesis_{item}"] == 0 for item in items)
    joins = 0.75 * 0.4 * 0.5  # the zygomatic, by half of what a brow raise wants, at grade IV
    assert synkinetic["sunnybrook_synkinesis_brow_raise"] == pytest.approx(3 * joins / 0.4)
    assert flaccid["sunnybrook_voluntary_open_smile"] == pytest.approx(1 + 4 * 0.38)


def test_who_comes_again_is_the_same_person_whose_palsy_goes_its_course() -> None:
    change = {"better": 0, "worse": 0, "same": 0}
    for patient in draw_cohort(120, seed=3):
        visits = visits_of(patient, 4)
        fewer = [(visit.date, visit.patient.palsy) for visit in visits_of(patient, 2)]
        assert fewer == [(visit.date, visit.patient.palsy) for visit in visits[:2]]
        assert [visit.number for visit in visits] == [1, 2, 3, 4] and visits[0].patient is patient
        assert [visit.date for visit in visits] == sorted({visit.date for visit in visits})
        assert {(v.patient.seed, v.patient.palsy.side, v.patient.palsy.kind) for v in visits} == {
            (patient.seed, patient.palsy.side, patient.palsy.kind)
        }
        assert all(visit.patient.shape is patient.shape for visit in visits)
        truth = [true_scales(visit.patient.palsy) for visit in visits]
        scores = [-sum(t[f"weakness_{zone}"] for zone in ZONES) for t in truth]
        course = (
            "better" if scores[-1] > scores[0] else "worse" if scores[-1] < scores[0] else "same"
        )
        assert scores == sorted(scores, reverse=course == "worse")
        change[course] += 1
        if patient.palsy.grade == 1:
            assert course == "same"
    assert min(change.values()) >= 5


def test_raters_differ_by_their_bias_and_sometimes_say_nothing() -> None:
    truth = pd.DataFrame({"patient_id": [f"P{i}" for i in range(400)], "visit": 1})
    truth = truth.assign(severity=3.0, sunnybrook=50.0, eface=60.0)
    table = rated(truth, raters=3, seed=1)
    assert len(table) == 1200 and table["rater"].tolist()[:3] == ["R1", "R2", "R3"]
    pd.testing.assert_frame_equal(
        table[table["rater"] != "R3"].reset_index(drop=True), rated(truth, raters=2, seed=1)
    )
    by_rater = table.groupby("rater")["sunnybrook"]
    assert by_rater.mean().max() - by_rater.mean().min() > 2  # each has a bias of their own
    assert by_rater.std().between(4, 6).all()
    missing = table[["hb_grade", "sunnybrook", "eface"]].isna().to_numpy().mean()
    assert 0.03 < missing < 0.07
    assert table["hb_grade"].dropna().between(1, 6).all()


def test_visits_repeats_and_raters_reach_the_manifest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def undrawn(task: tuple) -> np.ndarray:
        path = task[0] / task[1].path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
        return np.zeros((68, 2))

    monkeypatch.setattr("datasets.simulated.cohort._take", undrawn)
    options = {"patients": 2, "seed": 5, "visits": 2, "repeats": 2, "raters": 2}
    assert len(simulate(tmp_path, **options, **SMALL)) == 2 * 2 * 2 * 8
    dataset = read_meei(tmp_path)
    assert [problem.kind for problem in dataset.problems] == ["not_the_whole_set"]
    manifest = dataset.manifest
    assert manifest["patient_id"].nunique() == 2
    assert manifest["again"].isna().sum() == 32 and set(manifest["again"].dropna()) == {"b"}
    truth = pd.read_csv(tmp_path / "scales_truth.csv").set_index(["patient_id", "visit"])
    ratings = pd.read_csv(tmp_path / "ratings.csv")
    assert set(zip(ratings["patient_id"], ratings["visit"], strict=True)) == set(truth.index)
    for row in manifest.drop_duplicates(["patient_id", "visit"]).to_dict("records"):
        true = truth.loc[(row["patient_id"], int(row["visit"]))]
        assert row["sunnybrook"] == pytest.approx(true["sunnybrook"], abs=0.051)
        assert row["eface"] == pytest.approx(true["eface"], abs=0.051)
        assert row["date"] == true["date"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"visits": 2, "layout": "casme"}, "--visits is for the layout meei"),
        ({"repeats": 10}, "repeats is 10: give 9 or fewer"),
        ({"raters": -1}, "raters is -1"),
        ({"patients": 0}, "patients is 0, but must be 1 or more"),
        ({"seed": -1}, "seed is -1"),
        ({"jobs": 0}, "jobs is 0"),
        ({"width": 100}, "width is 100, but must be 160 or more"),
        ({"layout": "mee"}, 'Did you mean "meei"'),
    ],
)
def test_arguments_out_of_range_are_refused(tmp_path: Path, options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        simulate(tmp_path / "new", **options)
    assert not (tmp_path / "new").exists()


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(UserError, match="already holds other files"):
        simulate(tmp_path, patients=1)
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]
    with pytest.raises(UserError, match="is a file"):
        simulate(tmp_path / "notes.txt", patients=1)


def test_a_new_folder_that_the_command_keeps_to_itself_is_taken_for_new(tmp_path: Path) -> None:
    with claimed(tmp_path / "new"):
        assert simulate(tmp_path / "new", patients=1, width=160)


def test_contact_sheet_places_photographs_in_rows_and_columns() -> None:
    red, blue = (np.full((80, 60, 3), colour, np.uint8) for colour in ((200, 0, 0), (0, 0, 200)))
    sheet = contact_sheet(
        [[red, blue], [None, red]], row_labels=["grade I", "grade II"], column_labels=["a", "b"],
        photo_width=60,
    )  # fmt: skip
    reds = np.argwhere((sheet == (200, 0, 0)).all(2))
    blues = np.argwhere((sheet == (0, 0, 200)).all(2))
    assert len(reds) == 2 * 80 * 60 and len(blues) == 80 * 60
    assert blues[:, 1].min() > reds[:, 1].min()
    with pytest.raises(UserError, match="2 rows but 1 row label:"):
        contact_sheet([[red], [red]], row_labels=["one"])
    with pytest.raises(UserError, match="needs a photograph"):
        contact_sheet([])
