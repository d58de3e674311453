"""Pages of patients: small, self-contained, redacted without anything of the photographs."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from classifiers.graders.cohort import Study
from classifiers.reports.patient_answers import (
    EVERYBODY,
    MOST_TELLING,
    answers_table,
    model_answers,
    references_of,
    telling_patients,
)
from classifiers.reports.patient_page import Answer, add_patient_pages, side_table
from classifiers.reports.patient_pictures import Material, read_material
from common.grading.target import target_named
from common.report import Report
from docs.drawing import HEIGHT, WIDTH, schematic_face
from features.commands.features import write_feature_tables
from landmarks.points import POINT_COLUMNS

TASKS = ("rest", "brow_raise", "gentle_eye_closure", "full_eye_closure", "gentle_smile",
         "full_smile", "lip_pucker", "lower_teeth")  # fmt: skip


def photographed(folder: Path, *, patients: int, movements: int = 8) -> Path:
    """Write photographs with much fine texture, their tables, and return features.csv."""
    rng = np.random.default_rng(0)
    rows = []
    for patient in range(patients):
        for number, task in enumerate(TASKS[:movements]):
            image_id = f"Ann Other {patient}/{task}.jpg"
            path = folder / "photos" / image_id
            path.parent.mkdir(parents=True, exist_ok=True)
            noise = rng.integers(0, 256, (HEIGHT // 4, WIDTH // 4, 3), dtype=np.uint8)
            cv2.imwrite(str(path), cv2.resize(noise, (WIDTH, HEIGHT)))
            face = schematic_face()
            face[54, 0] += 3.0 * number
            rows.append(
                {
                    "image_id": image_id, "path": str(path), "status": "ok",
                    "patient_id": f"Ann Other {patient}", "task": task, "hb_grade": patient % 6 + 1,
                    **dict(zip(POINT_COLUMNS, face.ravel(), strict=True)),
                }
            )  # fmt: skip
    table = pd.DataFrame(rows)
    landmarks = table[["image_id", "status", *POINT_COLUMNS]]
    landmarks.to_csv(folder / "landmarks.csv", index=False)
    manifest = table[["image_id", "path", "patient_id", "task", "hb_grade"]]
    manifest.to_csv(folder / "manifest.csv", index=False)
    return write_feature_tables(landmarks, out=folder).features


def page_of(folder: Path, features: Path, *, redact: bool, patients: int) -> str:
    material = read_material(Study(features, folder / "manifest.csv"))
    report = Report(title="Report", summary="Of a test.")
    answers = {name: Answer(summary=("Answer: 3.",)) for name in material.patients}
    assert len(answers) == patients
    add_patient_pages(report, material, answers=answers, redact=redact)
    return report.html()


def pictures_in(page: str) -> list[np.ndarray]:
    found = re.findall(r'src="data:image/\w+;base64,([^"]+)"', page)
    assert len(found) == page.count("<img")  # nothing is fetched from elsewhere
    decoded = [
        cv2.imdecode(np.frombuffer(base64.b64decode(content), np.uint8), cv2.IMREAD_COLOR)
        for content in found
    ]
    assert all(picture is not None for picture in decoded)
    return [picture[..., ::-1] for picture in decoded]


def likeness(one: np.ndarray, other: np.ndarray) -> float:
    """Correlation of two pictures at the same size, without lines: the picture's own middle."""
    first, second = (
        cv2.resize(np.ascontiguousarray(p), (64, 64)).astype(float).ravel() for p in (one, other)
    )
    return float(np.corrcoef(first, second)[0, 1])


def test_a_redacted_report_holds_only_drawn_points(tmp_path):
    features = photographed(tmp_path, patients=3)
    open_page = page_of(tmp_path, features, redact=False, patients=3)
    page = page_of(tmp_path, features, redact=True, patients=3)
    shown, drawn = pictures_in(open_page), pictures_in(page)
    assert len(shown) == len(drawn) == 24
    for photo, picture in zip(shown, drawn, strict=True):
        ground = np.abs(picture.astype(int) - (38, 44, 52)).max(axis=2) < 30
        assert ground.mean() > 0.75  # the rest is lines and dots
        assert likeness(photo, picture) < 0.35
        assert likeness(photo, photo) == pytest.approx(1.0)


def test_a_redacted_report_does_not_depend_on_the_photographs(tmp_path):
    features = photographed(tmp_path, patients=2)
    with_photographs = page_of(tmp_path, features, redact=True, patients=2)
    for path in (tmp_path / "photos").rglob("*.jpg"):
        path.unlink()
    assert page_of(tmp_path, features, redact=True, patients=2) == with_photographs


def test_a_redacted_report_names_nobody(tmp_path):
    features = photographed(tmp_path, patients=2)
    assert "Ann Other 1" in page_of(tmp_path, features, redact=False, patients=2)
    page = page_of(tmp_path, features, redact=True, patients=2)
    assert "Ann Other" not in page
    assert "Patient 2" in page


def test_thumbnails_are_small_and_sixty_patients_would_stay_under_15_megabytes(tmp_path):
    features = photographed(tmp_path, patients=10)
    page = page_of(tmp_path, features, redact=False, patients=10)
    pictures = pictures_in(page)
    assert len(pictures) == 80
    assert max(max(picture.shape[:2]) for picture in pictures) <= 200
    assert len(page.encode()) < 15e6 * 10 / 60


def test_the_photograph_is_cut_to_the_face_and_the_points_lie_on_it(tmp_path):
    features = photographed(tmp_path, patients=1, movements=1)
    photo = np.full((HEIGHT, WIDTH, 3), 90, dtype=np.uint8)
    photo[:, : WIDTH // 2] = 60  # the patient's right half is darker
    cv2.imwrite(str(tmp_path / "photos" / "Ann Other 0" / "rest.jpg"), photo)
    (picture,) = pictures_in(page_of(tmp_path, features, redact=False, patients=1))
    height, width = picture.shape[:2]
    assert height == width
    corner = picture[-height // 6, width // 5], picture[-height // 6, -width // 5]
    assert abs(int(corner[0].mean()) - 60) < 8
    assert abs(int(corner[1].mean()) - 90) < 8
    warm = picture[..., 0].astype(int) - picture[..., 2]  # orange positive, blue negative
    middle = width // 2
    on_the_right, on_the_left = warm[:, : middle - 20], warm[:, middle + 20 :]
    assert on_the_right.max() > 40
    assert on_the_right.max() > -2 * on_the_right.min()
    assert on_the_left.min() < -40
    assert -on_the_left.min() > 2 * on_the_left.max()


def test_what_is_missing_is_said_and_nothing_stands_in_for_it(tmp_path):
    features = photographed(tmp_path, patients=2, movements=3)
    marks = pd.read_csv(tmp_path / "landmarks.csv")
    gone = marks["image_id"] == "Ann Other 1/rest.jpg"
    marks.loc[gone, "status"] = "no_face"
    marks.loc[gone, list(POINT_COLUMNS)] = np.nan
    marks.to_csv(tmp_path / "landmarks.csv", index=False)
    write_feature_tables(marks, out=tmp_path)
    assert "rest: no face" in page_of(tmp_path, features, redact=False, patients=2)
    page = page_of(tmp_path, features, redact=True, patients=2)
    assert len(pictures_in(page)) == 5  # and no empty picture in place of the sixth
    (tmp_path / "landmarks.csv").unlink()
    assert pictures_in(page_of(tmp_path, features, redact=True, patients=2)) == []
    (tmp_path / "dists.csv").unlink()
    assert read_material(Study(features, tmp_path / "manifest.csv")) is None


def test_material_without_movements_says_that_sides_are_not_compared(tmp_path):
    features = photographed(tmp_path, patients=1)
    manifest = pd.read_csv(tmp_path / "manifest.csv").drop(columns="task")
    manifest.to_csv(tmp_path / "manifest.csv", index=False)
    page = page_of(tmp_path, features, redact=True, patients=1)
    assert "Right and left are not compared" in page


def test_patients_are_numbered_in_natural_order():
    dists = pd.DataFrame({"patient_id": ["p10", "p9", None, "p9"]})
    assert Material(dists, None, {}).patients == {"p9": 1, "p10": 2}


def test_answers_of_a_benchmark_are_summed_over_repeats():
    target = target_named("healthy_palsy")
    predictions = pd.DataFrame(
        {
            "patient_id": "p1", "palsy_class": "strong", "model": "svm",
            "repeat": [1, 2, 3], "predicted": ["palsy", "palsy", "healthy"],
            "p_healthy": [0.2, 0.3, 0.7], "p_palsy": [0.8, 0.7, 0.3],
        }
    )  # fmt: skip
    found, references = (
        model_answers(predictions, target=target),
        references_of(predictions, target=target),
    )
    table = answers_table(found["p1"], reference=references["p1"], target=target)
    row, reference = table.to_dict("records")
    assert row["Answer"] == "palsy\n2 of 3 repeats"
    assert row["palsy"].value == pytest.approx(0.6)
    assert reference == {
        "Answer of": "Reference", "Answer": "palsy", "healthy": "", "palsy": "●"
    }  # fmt: skip


def test_a_patient_of_two_references_has_none_and_ranges_span_the_repeats():
    target = target_named("six_grades")
    predictions = pd.DataFrame(
        {
            "patient_id": ["a", "a", "b"], "hb_grade": [2, 3, 5], "model": "svm",
            "predicted": [2, 3, 5], "set_low": [1, 2, pd.NA], "set_high": [2, 4, pd.NA],
            **{f"p_{grade}": [0.0, 0.5, 1.0] for grade in range(1, 7)},
        }
    )  # fmt: skip
    assert references_of(predictions, target=target) == {"b": 5}
    found = model_answers(predictions, target=target)
    assert found["a"]["svm"].span == (1, 4)
    assert found["b"]["svm"].span is None
    table = answers_table(found["a"], reference=None, target=target)
    assert list(table["Likely range (90 %)"]) == ["I to IV", ""]


def test_sides_are_told_with_their_difference_and_unit() -> None:
    row = {"patient_id": "a", "task": "full_smile", "status": "ok", "unit": "mm"}
    for name in ("commissure_excursion", "smile_angle", "dental_show"):
        row |= {f"{name}_right": 5.0, f"{name}_left": 7.5}
    found = side_table(pd.DataFrame([row]), "a").set_index("Measure")
    assert list(found.index) == ["Commissure excursion, mm", "Smile angle, °", "Dental show, mm"]
    assert set(found["Difference"]) == {-2.5}
    assert side_table(pd.DataFrame([row]), "b").empty
    assert side_table(None, "a").empty


def test_of_a_large_cohort_those_have_a_page_whose_reference_is_least_expected() -> None:
    target = target_named("healthy_palsy")
    names = [f"p{number}" for number in range(EVERYBODY + 1)]
    p_healthy = np.linspace(0.0, 1.0, len(names))

    def shown(patients: int) -> tuple[set[str], str]:
        one = pd.DataFrame(
            {
                "patient_id": names[:patients], "hb_grade": 1, "model": "svm",
                "predicted": "healthy", "p_healthy": p_healthy[:patients],
                "p_palsy": 1 - p_healthy[:patients],
            }
        )  # fmt: skip
        return telling_patients(pd.concat([one, one.assign(model="mlp")]), target=target)

    assert shown(EVERYBODY) == (set(names[:EVERYBODY]), "")
    told, sentence = shown(EVERYBODY + 1)
    assert told == set(names[:MOST_TELLING])  # all are healthy, and these were thought palsied
    assert sentence.startswith(f"Of {EVERYBODY + 1} patients, the {MOST_TELLING} ")
