"""Why this grade: right is the patient's right, a mirror swaps the sides, and sums add up."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from classifiers.graders.cohort import Samples, Study
from classifiers.graders.estimators import XGBoostGrader
from classifiers.graders.explain import region_effects, region_of, tree_values
from classifiers.graders.nested import NestedGrader, fit_nested
from classifiers.graders.registry import GRADERS
from classifiers.reports.patient_pictures import read_material
from classifiers.reports.side_readings import (
    SIGNS,
    Reading,
    Spread,
    most_uneven,
    side_readings,
    side_spread,
    zone_table,
)
from common.grading.target import target_named
from docs.drawing import WIDTH, schematic_face
from features.definitions import measure
from features.frames import N_PARTS, mirror_parts
from features.registry import DISTANCES, FEATURE_NAMES, FEATURES
from features.scales.sides import read_sides
from landmarks.points import POINT_COLUMNS, mirror_points

from .conftest import made_cohort, write_faces

RIGHT_CORNER, LEFT_CORNER = 48, 54


def smiling(*, right: float, left: float) -> np.ndarray:
    """Return the drawn face with the mouth corners pulled outwards by so many px."""
    face = schematic_face()
    face[RIGHT_CORNER, 0] -= right
    face[LEFT_CORNER, 0] += left
    return face


def tables(faces: dict[str, np.ndarray]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return dists and landmarks of one patient's movements."""
    key = pd.DataFrame(
        {"image_id": [f"p/{name}.jpg" for name in faces], "status": "ok", "task": list(faces)}
    )
    points = np.stack(list(faces.values()))
    dists = pd.concat([key, measure(points).distances], axis=1)
    flat = pd.DataFrame(points.reshape(len(points), -1), columns=list(POINT_COLUMNS))
    return dists, pd.concat([key[["image_id", "status"]], flat], axis=1)


def reading_of(readings, movement, part):
    (found,) = (item for item in readings if (item.movement, item.sign.part) == (movement, part))
    return found


def test_the_mouth_corners_way_is_measured_on_the_patients_sides():
    dists, landmarks = tables(
        {"rest": schematic_face(), "full_smile": smiling(right=4.0, left=11.0)}
    )
    found = reading_of(side_readings(dists, landmarks=landmarks), "full_smile", "mouth corner")
    assert found.right == pytest.approx(4.0)
    assert found.left == pytest.approx(11.0)
    assert found.right_share == pytest.approx(4.0 / 272.0)  # jaw from x 64 to 336
    assert found.sentence() == (
        "Full smile: the right mouth corner moves 4.0 px (0.015 of the face's width), "
        "the left 11.0 px (0.040)."
    )


def test_moving_tilting_and_enlarging_the_face_is_no_movement_of_the_mouth():
    turn = np.exp(1j * np.radians(12.0)) * 1.7
    face = smiling(right=4.0, left=11.0)
    moved = (face[:, 0] + 1j * face[:, 1]) * turn + (300 - 40j)
    face = np.column_stack([moved.real, moved.imag])
    dists, landmarks = tables({"rest": schematic_face(), "full_smile": face})
    found = reading_of(side_readings(dists, landmarks=landmarks), "full_smile", "mouth corner")
    assert (found.right, found.left) == (pytest.approx(4.0), pytest.approx(11.0))


def test_a_mirrored_patient_has_mirrored_readings():
    faces = {
        "rest": schematic_face(),
        "full_smile": smiling(right=4.0, left=11.0),
        "brow_raise": schematic_face() - np.where(np.arange(68) < 20, 3.0, 0.0)[:, None],
        "full_eye_closure": schematic_face(),
    }
    mirrored = {name: mirror_points(face, width=WIDTH) for name, face in faces.items()}
    as_seen, swapped = (
        side_readings(*tables(of)[:1], landmarks=tables(of)[1]) for of in (faces, mirrored)
    )
    assert len(as_seen) == sum(len(SIGNS[name]) for name in faces)
    for one, other in zip(as_seen, swapped, strict=True):
        assert (one.right, one.left) == (pytest.approx(other.left), pytest.approx(other.right))


def test_the_readings_agree_with_the_registry_on_sides():
    sides = {entry.name: entry.side for entry in DISTANCES}
    for signs in SIGNS.values():
        for sign in signs:
            if sign.pair is not None:
                assert [sides[name] for name in sign.pair] == ["right", "left"]


def test_without_rest_no_change_is_claimed():
    dists, landmarks = tables(
        {"full_smile": smiling(right=4.0, left=11.0), "full_eye_closure": schematic_face()}
    )
    readings = side_readings(dists, landmarks=landmarks)
    assert [item.sign.part for item in readings] == ["eye"]  # a level, not a change


def test_failed_photographs_and_unknown_movements_have_no_readings():
    dists, _ = tables({"rest": schematic_face(), "full_smile": smiling(right=1, left=2)})
    dists["status"] = "no_face"
    assert side_readings(dists) == []
    assert side_readings(dists.drop(columns="task")) == []
    dists, _ = tables({"whistling": schematic_face()})
    assert side_readings(dists) == []


def test_the_most_uneven_are_counted_in_healthy_deviations():
    dists, landmarks = tables(
        {"rest": schematic_face(), "full_smile": smiling(right=4.0, left=11.0)}
    )
    readings = side_readings(dists, landmarks=landmarks)
    (largest,) = most_uneven(readings, count=1)
    assert largest.sign.part == "mouth corner"
    used_to_it = {
        ("full_smile", "mouth corner"): Spread(mean=0.0, sd=1.0),
        ("full_smile", "eye-to-lip distance"): Spread(mean=0.01, sd=0.001),
    }
    (largest,) = most_uneven(readings, reference=used_to_it, count=1)
    assert largest.sign.part == "eye-to-lip distance"


def test_a_spread_needs_three_healthy_people():
    dists, _ = tables({"full_eye_closure": schematic_face()})
    readings = side_readings(dists)
    assert side_spread([readings] * 2) == {}
    assert side_spread([readings] * 3) == {("full_eye_closure", "eye"): Spread(0.0, 0.0)}
    assert Spread(0.0, 0.0).deviations(0.5) == -1.0


def test_the_healthy_spread_counts_people_and_not_photographs():
    dists, _ = tables({"full_eye_closure": schematic_face()})
    (one,) = side_readings(dists)

    def person(*differences: float) -> list[Reading]:
        return [replace(one, right_share=d, left_share=0.0) for d in differences]

    assert side_spread([person(0.1, 0.2, 0.3)]) == {}  # one person, however often photographed
    (found,) = side_spread([person(0.1, 0.3), person(0.4), person(0.6)]).values()
    assert found == Spread(pytest.approx(0.4), pytest.approx(0.2))


def test_nobody_is_held_against_a_reference_that_contains_them(tmp_path):
    material = read_material(Study(write_faces(tmp_path, patients_per_grade=4)))
    healthy = list(material.healthy_readings)
    key = ("full_eye_closure", "eye")
    without = material.healthy_spread(without=healthy[0])
    assert without == side_spread([material.readings(name) for name in healthy[1:]])
    assert without[key] != material.healthy_spread()[key]
    assert material.healthy_spread(without="patient01") == material.healthy_spread()


def test_both_sides_are_told_by_zone_as_shares_of_the_one_that_moves_farther():
    dists, landmarks = tables(
        {"rest": schematic_face(), "full_smile": smiling(right=4.0, left=10.0),
         "full_eye_closure": schematic_face()}
    )  # fmt: skip
    known = dists.assign(patient_id="p1")
    sides = read_sides(landmarks, known, source="test")
    table = zone_table(sides, "p1", worth={"eye": 0.5, "mouth": 1.5}).set_index("Movement")
    assert tuple(table.loc["full smile", ["Zone", "Right", "Left"]]) == ("midface", "40 %", "100 %")
    assert tuple(table.loc["full eye closure", ["Right", "Left"]]) == ("hardly at all",) * 2
    assert set(table.index) == {"full smile", "full eye closure"}  # rest is no movement
    assert dict(table["Lower if healthy"]) == {"full smile": 1.5, "full eye closure": 0.5}
    assert "Lower if healthy" not in zone_table(sides, "p1")
    rising = zone_table(sides, "p1", worth={"eye": 0.5}, rises=True)  # a score, healthy at 100
    assert "Higher if healthy" in rising and "Lower if healthy" not in rising
    assert zone_table(sides, "p2").empty


def test_a_column_is_known_by_the_measurement_in_its_name():
    for entry in FEATURES:
        assert region_of(entry.name) == entry.region
        assert region_of(f"full_smile_{entry.name}_change") == entry.region
        assert region_of(f"{entry.name}@rest") == entry.region
    assert region_of("n_movements") == "face"


def test_a_column_of_the_antisymmetric_shape_is_known_by_its_point():
    """A face that is uneven only at the brow differs only in columns of the brow."""
    face = schematic_face()
    face[17:22, 1] -= 6.0
    parts = mirror_parts(np.stack([schematic_face(), face]))
    moved = np.flatnonzero(np.abs(parts.odd[1] - parts.odd[0]) > 1e-9)
    assert len(moved)
    assert {region_of(f"odd.full_smile.{number}") for number in moved} == {"brow"}
    regions = [region_of(f"even.rest.{number}") for number in range(N_PARTS)]
    assert set(regions) == {"brow", "eye", "nose", "mouth"}


def samples_of(cohort, labels) -> Samples:
    return Samples(
        cohort.rows, cohort.features, labels, cohort.rows["patient_id"].to_numpy(dtype=np.str_)
    )


def learned(name: str, samples: Samples) -> NestedGrader:
    """Fit with one candidate, so that the tests do not wait for a search."""
    entry = replace(GRADERS[name], search={})
    return fit_nested(entry, samples, target=target_named("six_grades"))


def fitted(name: str, *, classes: int = 6) -> tuple[NestedGrader, Samples]:
    cohort = made_cohort()
    samples = samples_of(cohort, np.minimum(cohort.rows["hb_grade"].to_numpy(), classes))
    return learned(name, samples), samples.at(np.arange(0, len(samples.labels), 7))


@pytest.mark.parametrize("classes", [2, 6])
def test_tree_values_add_up_to_the_answer(classes):
    grader, samples = fitted("xgboost", classes=classes)
    found = tree_values(grader, samples)
    total = found.base + found.values.sum(axis=1)
    assert found.values.shape == (len(samples.labels), len(FEATURE_NAMES), classes)
    total = total / (2 if classes == 2 else 1)  # two classes: one log-odds, told from both ends
    total = np.exp(total) / np.exp(total).sum(axis=1, keepdims=True)
    chances = grader.grader.answers(samples.features)[:, found.classes - 1]
    np.testing.assert_allclose(total, chances, atol=2e-6)


def test_tree_values_find_the_only_feature_that_matters():
    cohort = made_cohort(grade_strength=0.0)
    cohort.features["f14"] = cohort.rows["hb_grade"].astype(float)
    samples = samples_of(cohort, cohort.rows["hb_grade"].to_numpy())
    found = tree_values(learned("xgboost", samples), samples)
    assert replace(found, values=found.values[:1]).for_class(1).index[0] == "f14"


def test_graders_without_trees_have_no_tree_values():
    assert tree_values(*fitted("svm")) is None


def test_an_exchanged_region_tells_what_it_was_worth():
    cohort = made_cohort(grade_strength=0.0)
    mouth = [entry.name for entry in FEATURES if entry.region == "mouth"]
    grade = cohort.rows["hb_grade"].to_numpy()
    cohort.features[mouth] += 3.0 * grade[:, None]
    samples = samples_of(cohort, grade)
    typical = cohort.features[grade == 1].median().to_dict()
    effects = region_effects(learned("svm", samples), samples, typical=typical)
    worst = effects[grade == 6].mean()
    assert worst.idxmax() == "mouth"
    assert worst["mouth"] > 2.0
    assert effects[grade == 1].abs().mean().max() < 1.0


def test_boosted_trees_survive_being_sent_to_another_process():
    import pickle

    cohort = made_cohort(patients_per_grade=2)
    grader = XGBoostGrader(n_estimators=5).fit(cohort.features, cohort.rows["hb_grade"])
    again = pickle.loads(pickle.dumps(grader))
    np.testing.assert_array_equal(
        again.predict_proba(cohort.features), grader.predict_proba(cohort.features)
    )
