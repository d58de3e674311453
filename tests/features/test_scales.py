"""Scales without learning: identities, true weakness of simulated patients, and what is missing."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy.stats import spearmanr

from common.errors import UserError
from common.movements import MOVEMENTS
from common.tables import write_csv
from datasets.simulated.cohort import draw_cohort
from datasets.simulated.face import pose_face
from datasets.simulated.movement import Palsy, Side
from docs.drawing import schematic_face
from features.commands.scales import scales
from features.scales.registry import ITEMS, SIDE_MEASURES
from features.scales.scores import SCALES, Scored, score
from features.scales.sides import MISSING, MOVED_COLUMNS, NOT_MEASURED, TOO_LITTLE, read_sides
from features.scales.thresholds import cohort_bins, difference_of, published_bins
from features.tables import measure_table
from landmarks.points import POINT_COLUMNS, mirror_points
from tests.conftest import ROOT

Points = NDArray[np.float64]
OTHER: dict[str, str] = {"left": "right", "right": "left", "none": "none", "unknown": "unknown"}


def tables(
    faces: dict[str, dict[str, Points]], sides: dict[str, str], grades: dict[str, int]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Landmark table and what is known, of `(68, 2)` points by patient and movement."""
    rows = [(name, task, points) for name, own in faces.items() for task, points in own.items()]
    ids = [f"{name}/{task}.jpg" for name, task, _ in rows]
    found = pd.DataFrame(
        np.reshape([points for *_, points in rows], (-1, 136)), columns=list(POINT_COLUMNS)
    )
    found.insert(0, "image_id", ids)
    found.insert(1, "status", np.where(found["x_0"].notna(), "ok", "no_face"))
    known = pd.DataFrame({
        "image_id": ids, "path": ids, "patient_id": [name for name, *_ in rows],
        "task": [task for _, task, _ in rows], "side": [sides[name] for name, *_ in rows],
        "hb_grade": pd.array([grades[name] for name, *_ in rows], dtype="Int64"),
    })  # fmt: skip
    return found, known


class Cohort:
    """True points of 36 simulated patients, 6 healthy, in mm."""

    def __init__(self) -> None:
        self.people = {f"p{at}": one for at, one in enumerate(draw_cohort(36, seed=3))}
        self.faces = {
            name: {task: pose_face(one, task).points for task in MOVEMENTS}
            for name, one in self.people.items()
        }
        self.sides: dict[str, str] = {name: one.palsy.side for name, one in self.people.items()}
        self.grades = {name: one.palsy.grade for name, one in self.people.items()}

    def scored(self, **changed: dict[str, str] | dict[str, dict[str, Points]]) -> Scored:
        """Score them by a published set, with other faces or sides where given."""
        found, known = tables(
            changed.get("faces", self.faces),  # type: ignore[arg-type]
            changed.get("sides", self.sides),  # type: ignore[arg-type]
            self.grades,
        )
        return score(read_sides(found, known, source="test"), published_bins("mirror"))


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    return Cohort()


@pytest.fixture(scope="module")
def scored(cohort: Cohort) -> Scored:
    return cohort.scored()


def palsied(found: Scored) -> pd.DataFrame:
    return found.scales[found.scales["side"].isin(["left", "right"])].reset_index(drop=True)


NUMBERS = [
    name for name, column in SCALES.columns.items()
    if "float" in str(column.dtype) and not name.endswith(("_right", "_left", "_mm"))
]  # fmt: skip


def test_mirroring_swaps_the_sides_and_leaves_every_comparison_item_and_composite(
    cohort: Cohort, scored: Scored
) -> None:
    mirrored = {
        name: {task: mirror_points(points, width=1) for task, points in own.items()}
        for name, own in cohort.faces.items()
    }
    swapped = {name: OTHER[side] for name, side in cohort.sides.items()}
    other = palsied(cohort.scored(faces=mirrored, sides=swapped))
    own = palsied(scored)
    pd.testing.assert_frame_equal(own[NUMBERS], other[NUMBERS], rtol=1e-7, atol=1e-7)
    assert (own["weak_side"] == other["weak_side"].map(OTHER)).all()
    for entry in SIDE_MEASURES:
        pair = [f"{entry.name}_{side}" for side in ("right", "left")]
        np.testing.assert_allclose(own[pair], other[pair[::-1]], atol=1e-7)


def test_size_place_and_tilt_of_each_photograph_do_not_count(
    cohort: Cohort, scored: Scored
) -> None:
    rng = np.random.default_rng(0)

    def photographed(points: Points) -> Points:
        turn, size = rng.uniform(-0.4, 0.4), rng.uniform(2, 9)
        ways = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        return size * points @ ways + rng.uniform(100, 900, 2)

    faces = {
        name: {task: photographed(points) for task, points in own.items()}
        for name, own in cohort.faces.items()
    }
    other = cohort.scored(faces=faces).scales
    pd.testing.assert_frame_equal(scored.scales[NUMBERS], other[NUMBERS], rtol=1e-6, atol=1e-6)


def test_a_symmetric_face_gets_the_healthy_value_of_everything(cohort: Cohort) -> None:
    """Also where it moves, as long as both sides move alike."""
    rest = schematic_face()
    faces = {task: rest.copy() for task in MOVEMENTS}
    pulls = {  # points of the patient's right, and how far in px
        "brow_raise": (range(17, 22), (0, -12)), "gentle_smile": ((48, 60), (-7, -5)),
        "full_smile": ((48, 60), (-14, -10)), "lip_pucker": ((48, 60), (12, 0)),
        "lower_teeth": ((58, 59, 67), (0, 11)), "gentle_eye_closure": ((37, 38), (0, 17)),
        "full_eye_closure": ((37, 38), (0, 20)),
    }  # fmt: skip
    for task, (points, pull) in pulls.items():
        faces[task][list(points)] += pull
        half = mirror_points(faces[task], width=401)
        left = np.array([point for point in range(68) if rest[point, 0] > 200])
        faces[task][left] = half[left]
    found, known = tables({"even": faces}, {"even": "left"}, {"even": 2})
    row = score(read_sides(found, known, source="test"), published_bins("mirror")).scales.iloc[0]
    for entry in SIDE_MEASURES:
        if "snarl" not in entry.name:
            assert row[entry.column] == pytest.approx(entry.healthy, abs=1e-9), entry.name
    assert row["sunnybrook_style_composite"] == row["sunnybrook_style_reachable_high"] == 80
    assert row["sunnybrook_style_reachable_low"] == -6
    assert row["eface_style_total"] == pytest.approx(100)
    assert (
        row[["weakness_brow", "weakness_eye", "weakness_midface", "weakness_mouth"]] < 1e-9
    ).all()


@pytest.mark.parametrize("zone", ["brow", "eye", "midface", "mouth"])
def test_movement_falls_with_the_true_weakness_of_its_zone(
    cohort: Cohort, scored: Scored, zone: str
) -> None:
    """The simulated region that a zone looks at; whole cohort, and one person ever weaker."""
    region = {"midface": "cheek"}.get(zone, zone)
    own = palsied(scored)
    truth = [cohort.people[name].palsy.level(region) for name in own["patient_id"]]
    assert spearmanr(own[f"weakness_{zone}"], truth)[0] > 0.9
    for entry in SIDE_MEASURES:
        if entry.kind == "movement" and entry.zone == zone and entry.name != "snarl":
            assert spearmanr(own[entry.column], truth)[0] < -0.85, entry.name


def test_one_person_scores_lower_with_every_grade() -> None:
    person = draw_cohort(1, seed=8)[0]
    faces, sides, grades = {}, {}, {}
    for grade in range(1, 7):
        side: Side = "none" if grade == 1 else "right"
        palsy = Palsy(grade, side, "none" if grade == 1 else "flaccid")
        name = f"grade{grade}"
        faces[name] = {
            task: pose_face(type(person)(**{**vars(person), "palsy": palsy}), task).points
            for task in MOVEMENTS
        }
        sides[name], grades[name] = "right", grade
    found, known = tables(faces, sides, grades)
    rows = score(read_sides(found, known, source="test"), published_bins("mirror")).scales
    for name in ("sunnybrook_style_composite", "eface_style_total"):
        assert rows[name].is_monotonic_decreasing and rows[name].iloc[0] > rows[name].iloc[-1] + 40
    for zone in ("brow", "eye", "midface", "mouth"):
        assert rows[f"weakness_{zone}"].is_monotonic_increasing


def test_synkinesis_shows_where_the_kind_is_synkinetic(cohort: Cohort, scored: Scored) -> None:
    own = palsied(scored)
    kinds = np.array([cohort.people[name].palsy.kind for name in own["patient_id"]])
    fourth = own["hb_grade"].to_numpy() == 4
    for column in ("ocular_in_full_smile_weak_minus_other", "ocular_in_lip_pucker_weak_minus_other",
                   "midfacial_in_gentle_eye_closure_weak_minus_other"):  # fmt: skip
        assert own[column][fourth & (kinds == "synkinetic")].min() > 0.1, column
        assert own[column][fourth & (kinds == "flaccid")].max() < 0.1, column


def test_a_missing_movement_is_missing_and_never_zero(cohort: Cohort) -> None:
    faces = {name: dict(own) for name, own in cohort.faces.items()}
    del faces["p3"]["lip_pucker"]
    faces["p4"]["full_smile"] = np.full((68, 2), np.nan)
    faces["p5"] = {task: p for task, p in faces["p5"].items() if task != "rest"}
    found = cohort.scored(faces=faces)
    wide, items = found.scales.set_index("patient_id"), found.items.set_index("patient_id")
    pucker = (
        items.loc["p3"].set_index("item").query("scale == 'sunnybrook' and part == 'voluntary'")
    )
    assert pucker.loc["pucker", "status"] == MISSING
    assert pucker.loc["pucker", "reason"] == "no photograph of lip pucker"
    assert np.isnan(pucker.loc["pucker", "score"])
    assert wide.loc["p3", "status"] == "partial"
    assert np.isnan(wide.loc["p3", "sunnybrook_style_composite"])  # 3 of 5 voluntary movements
    assert not np.isnan(wide.loc["p3", "weakness_mouth"])  # the lower teeth are still there
    assert "the photograph of full smile could not be measured" in wide.loc["p4", "reason"]
    assert wide.loc["p5", "status"] == "failed" and "rest" in wide.loc["p5", "reason"]
    assert wide.loc["p5", [item.column for item in ITEMS]].isna().all()


def test_who_hardly_moves_has_no_ratio(cohort: Cohort) -> None:
    faces = {name: dict(own) for name, own in cohort.faces.items()}
    faces["p3"]["brow_raise"] = faces["p3"]["rest"] + 0.0
    found = cohort.scored(faces=faces)
    own = found.items[(found.items["patient_id"] == "p3") & (found.items["value"].isna())]
    gated = own[own["status"] == TOO_LITTLE]
    assert set(gated["item"]) == {"brow_raise", "brow"}  # Sunnybrook's two and eFACE's
    assert gated["reason"].str.contains("the other side hardly moves").all()
    assert np.isnan(found.scales.set_index("patient_id").loc["p3", "weakness_brow"])


def test_what_points_cannot_see_is_not_measured_in_every_row(scored: Scored) -> None:
    unseen = [item for item in ITEMS if not item.measures]
    assert {item.name for item in unseen} >= {"cheek", "fold", "mentalis", "platysma"}
    for item in unseen:
        assert item.why_not
        assert scored.scales[item.column].isna().all()
    rows = scored.items[scored.items["status"] == NOT_MEASURED]
    assert len(rows) == len(unseen) * len(scored.scales) and rows["reason"].notna().all()


def test_an_unknown_side_is_read_both_ways_and_nothing_is_chosen(
    cohort: Cohort, scored: Scored
) -> None:
    sides = cohort.sides | {"p3": "unknown"}
    both = cohort.scored(sides=sides).scales.query("patient_id == 'p3'")
    assert list(both["weak_side"]) == ["right", "left"]
    known = palsied(scored).query("patient_id == 'p3'").iloc[0]
    same = both[both["weak_side"] == known["weak_side"]].iloc[0]
    assert same["sunnybrook_style_composite"] == known["sunnybrook_style_composite"]


def test_visits_are_rows_of_one_patient_in_their_order(cohort: Cohort) -> None:
    """Visit 10 follows visit 2, and several photographs of a movement count as their mean."""
    found, known = tables({"p3": cohort.faces["p3"]}, cohort.sides, cohort.grades)
    visits = []
    for visit in ("10", "2", "2"):
        names = known["image_id"] + f"-{len(visits)}"
        visits.append((found.assign(image_id=names), known.assign(image_id=names, visit=visit)))
    points, about = (pd.concat(each, ignore_index=True) for each in zip(*visits, strict=True))
    again = points["image_id"].str.endswith("full_smile.jpg-2")  # a smile that is not done again
    rest = points["image_id"].str.endswith("rest.jpg-2")
    points.loc[again, list(POINT_COLUMNS)] = points.loc[rest, list(POINT_COLUMNS)].to_numpy()
    read = read_sides(points.assign(mm_per_px=1.0), about, source="test")
    wide = score(read, published_bins("mirror")).scales
    assert list(wide["visit"]) == ["2", "10"] and set(read.owners) == {0}
    half, whole = wide["full_smile_right"] + wide["full_smile_left"]
    assert half == pytest.approx(whole / 2, rel=0.2)
    assert wide["eye_distance_mm"].between(55, 68).all()


def test_nobody_is_held_against_themselves(cohort: Cohort) -> None:
    """A healthy person who is made uneven moves everybody's thresholds but their own."""

    def limits(faces: dict[str, dict[str, Points]]) -> tuple[NDArray[np.float64], pd.Series]:
        found, known = tables(faces, cohort.sides, cohort.grades)
        read = read_sides(found, known, source="test")
        bins = cohort_bins(
            {e.name: difference_of(e, read.amounts[e.name]) for e in SIDE_MEASURES},
            owners=read.owners, healthy=read.rows["healthy"].to_numpy(bool), source="test",
        )  # fmt: skip
        return bins.cuts["brow_raise"][:, -1], read.rows["patient_id"]

    before, names = limits(cohort.faces)
    uneven = {name: dict(own) for name, own in cohort.faces.items()}
    changed = uneven["p0"]["brow_raise"].copy()
    changed[17:22, 1] += 3
    uneven["p0"]["brow_raise"] = changed
    after, _ = limits(uneven)
    own = (names == "p0").to_numpy()
    np.testing.assert_array_equal(before[own], after[own])
    assert (after[~own] < before[~own] - 0.05).all()


def test_measures_of_a_photograph_say_how_far_both_sides_moved(
    cohort: Cohort, scored: Scored
) -> None:
    found, known = tables(cohort.faces, cohort.sides, cohort.grades)
    rows = measure_table(found, manifest=known).set_index("image_id")
    one = palsied(scored).query("patient_id == 'p3'").iloc[0]
    smile, rest = rows.loc["p3/full_smile.jpg"], rows.loc["p3/rest.jpg"]
    assert smile["moved_right"] == pytest.approx(one["full_smile_right"])
    assert smile["moved_weak_to_other"] == pytest.approx(one["full_smile_weak_to_other"])
    assert rows.loc["p3/full_eye_closure.jpg", "moved_unit"] == "share"
    assert rest[["moved_right", "moved_weak_to_other"]].isna().all()
    assert np.isnan(rows.loc["p0/full_smile.jpg", "moved_weak_to_other"])  # no side is weak
    assert measure_table(found)[list(MOVED_COLUMNS)].isna().all(axis=None)  # nobody is named


def test_published_sets_contradict_each_other() -> None:
    jinglei, mirror = (published_bins(name).cuts["full_smile"] for name in ("jinglei", "mirror"))
    assert jinglei.tolist() == [[0.05, 0.25, 0.50, 0.75]]
    assert mirror.tolist() == [[0.08, 0.35, 0.65, 0.90]]


def test_the_command_writes_tables_and_a_report(
    cohort: Cohort, tmp_path: Path, figures_not_rendered: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("features.scales.report.SHOWN", 4)
    found, known = tables(cohort.faces, cohort.sides, cohort.grades)
    write_csv(found, tmp_path / "landmarks.csv")
    write_csv(known, tmp_path / "manifest.csv")
    made = scales(
        tmp_path / "landmarks.csv", manifest=tmp_path / "manifest.csv", out=tmp_path / "out",
        redact=True,
    )  # fmt: skip
    assert made.exit_code == 0
    assert len(made.scored.scales) == 42  # 30 patients, and 6 healthy people both ways
    healthy = made.scored.scales[made.scored.scales["hb_grade"] == 1]
    assert healthy["sunnybrook_style_percent_of_reach"].between(65, 100).all()
    page = re.sub(r"data:image[^\"]+", "", made.report.read_text(encoding="utf-8"))
    assert "No clinician has scored them" in page and "p3" not in page
    nobody = known.assign(hb_grade=pd.array([3] * len(known), dtype="Int64"))
    write_csv(nobody, tmp_path / "manifest.csv")
    with pytest.raises(UserError, match=r"0 healthy people .* --bins jinglei or --bins mirror"):
        scales(tmp_path / "landmarks.csv", manifest=tmp_path / "manifest.csv", out=tmp_path / "no")


def test_no_house_brackmann_grade_is_made_of_a_score() -> None:
    """Neither a column nor a word of the code turns a score into a grade."""
    assert [name for name in SCALES.columns if "hb" in name] == ["hb_grade"]  # carried through
    code = "".join(path.read_text() for path in (ROOT / "features/scales").glob("*.py"))
    assert not re.search(r"grade_of|to_grade|hb_from|hb_grade\"\] *=", code)
