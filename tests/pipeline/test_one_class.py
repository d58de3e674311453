"""A cohort of one class goes through all that tells no classes apart, and is told so plainly."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import pandas as pd
import pytest

from classifiers.commands.benchmark import benchmark
from classifiers.commands.explore import explore, profile
from classifiers.commands.fit import fit
from common.errors import UserError
from datasets.commands.prepare import prepare
from datasets.simulated.face import draw_patient, render_photo
from features.commands.extract import extract
from features.commands.features import features

pytestmark = pytest.mark.usefixtures("workers_here", "figures_not_rendered")

TASKS = ("rest", "full_smile")


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four people, at rest and smiling."""
    root = tmp_path_factory.mktemp("photographs")
    for number in range(4):
        patient = draw_patient(seed=number, grade=1, side="none", kind="none")
        (root / f"P{number}").mkdir()
        for task in TASKS:
            rgb, _ = render_photo(patient, task, width=240, height=320)
            picture = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
            cv2.imwrite(str(root / f"P{number}" / f"{task}.jpg"), picture)
    return root


def prepared(photographs: Path, out: Path, *, grade: int) -> Path:
    """Give all of them one grade, in a manifest whose problems are checked."""
    names = [f"P{number}/{task}.jpg" for number in range(4) for task in TASKS]
    with (table := out / "grades.csv").open("w", newline="") as file:
        rows = [(name, name[:2], Path(name).stem, grade) for name in names]
        csv.writer(file).writerows([("image", "patient", "task", "grade"), *rows])
    result = prepare("folder", photographs, table=table, out=out / "manifest.csv", check=True)
    (said,) = (problem for problem in result.problems if problem.kind == "one_class")
    assert said.severity == "note" and f"has the same, {grade}" in said.what
    assert result.exit_code == 0
    return out / "manifest.csv"


@pytest.fixture(scope="module")
def landmarks(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("healthy")
    found = extract(prepared(photographs, out, grade=1), out=out / "x", tta=0, jobs=1)
    assert found.exit_code == 0
    return out / "x/landmarks.csv"


@pytest.mark.parametrize("grade", [1, 4])
def test_one_class_is_measured_shown_and_explored(
    photographs: Path, landmarks: Path, tmp_path: Path, grade: int
) -> None:
    manifest = prepared(photographs, tmp_path, grade=grade)
    features(landmarks, manifest=manifest, out=tmp_path)
    table = tmp_path / "features.csv"
    assert set(pd.read_csv(table)["hb_grade"]) == {grade}

    explore(table, out=tmp_path / "explore")
    report = (tmp_path / "explore/report.html").read_text(encoding="utf-8")
    assert "too few classes" in report

    shown = profile(table, patient="P0", out=tmp_path / "profile", manifest=manifest)
    report = (tmp_path / "profile/report.html").read_text(encoding="utf-8")
    assert shown.healthy == (3 if grade == 1 else 0)
    assert shown.table["percentile"].isna().all() == (grade != 1)
    assert "How far each side moves" in report
    assert ("no healthy patient to compare with" in report) == (grade != 1)


def test_nothing_is_taught_to_tell_one_class_apart(landmarks: Path, tmp_path: Path) -> None:
    for command in (benchmark, fit):
        with pytest.raises(UserError, match="are of one class, 1"):
            command(landmarks.parent / "features.csv", out=tmp_path / command.__name__)
