"""Every report for every target, and classes from their folders to every report."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from classifiers.commands.benchmark import benchmark
from classifiers.commands.compare import compare
from classifiers.commands.explore import explore, profile
from classifiers.commands.fit import fit
from classifiers.commands.fuse import fuse
from classifiers.graders.model_store import load_model
from classifiers.graders.new_patients import grade_tables, grades_schema
from classifiers.reports.grade import grade_report
from common.grading.predictions import read_either_unit, write_predictions
from common.grading.target import TARGETS
from common.tables import read_table, write_table
from pipeline.commands.joint_report import joint_report
from tests.classifiers.conftest import write_faces

pytestmark = pytest.mark.usefixtures("without_search")

GRADER = "logistic"
FEW_MOVEMENTS = ("rest", "brow_raise", "full_smile")


@pytest.fixture(autouse=True)
def figures_are_not_rendered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rendering and importance take most of the time, and are tested elsewhere."""
    png = Figure(figsize=(0.1, 0.1))
    content = io.BytesIO()
    png.savefig(content, format="png")
    fit_module = sys.modules["classifiers.commands.fit"]
    monkeypatch.setattr(fit_module, "_add_importance", lambda *_, **__: None)
    for module in ("common.report", "classifiers.commands.benchmark"):
        monkeypatch.setattr(sys.modules[module], "figure_png", lambda figure: content.getvalue())


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tables of 12 made-up patients of all grades; returns `features.csv`."""
    return write_faces(
        tmp_path_factory.mktemp("targets"), patients_per_grade=2, movements=FEW_MOVEMENTS
    )


@pytest.fixture(scope="module")
def classes_only(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same patients sorted into three classes, without grades and without names."""
    features = write_faces(tmp_path_factory.mktemp("classes"), patients_per_grade=3)
    manifest = pd.read_csv(features.with_name("manifest.csv"))
    palsy = manifest["hb_grade"].map({1: "healthy", 2: "slight", 3: "slight"}).fillna("strong")
    named = manifest["patient_id"] != "patient00"
    manifest = manifest.drop(columns="hb_grade").assign(
        palsy_class=palsy,
        patient_id=manifest["patient_id"].where(named, manifest["image_id"]),
        patient_source=named.map({True: "folder", False: "photograph"}),
    )
    manifest.to_csv(features.with_name("manifest.csv"), index=False)
    return features


def reports(features: Path, out: Path, *, target: str, level: str) -> Iterator[tuple[str, str]]:
    """Make every report of a target; yield name and content of each."""
    manifest = features.with_name("manifest.csv")
    cheap = {"n_folds": 2, "jobs": 1, "manifest": manifest, "target": target, "level": level}
    benchmark(features, out=out / "geometric", graders=(GRADER,), **cheap)
    yield "benchmark", (out / "geometric" / "report.html").read_text()
    fit(features, out=out / "fit", grader=GRADER, **cheap)
    yield "fit", (out / "fit" / "report.html").read_text()
    model = load_model(out / "fit" / "model")
    grades = grade_tables(model, features=features, manifest=manifest)
    write_table(grades.table, out / "grades.csv", schema=grades_schema(grades.target))
    read_table(out / "grades.csv", schema=grades_schema(TARGETS[target]))
    assert set(grades.table["predicted"]) <= set(TARGETS[target].classes)
    grade_report(grades, model=model, found_by="", redact=False).write(out / "grade.html")
    yield "grade", (out / "grade.html").read_text()
    tables = (out / "geometric" / "predictions.csv", deep_twin(out, target=target))
    both = {"target": target, "manifest": manifest}
    compare(*tables, out=out / "compare", models=(GRADER, "htnet"), **both)
    yield "compare", (out / "compare" / "report.html").read_text()
    fuse(*tables, out=out / "fused", models=(GRADER, "htnet"), method=("mean",), **both)
    yield "fuse", (out / "fused" / "report.html").read_text()
    joint_report(
        *tables, fused=out / "fused" / "predictions.csv", features=features,
        models=(GRADER, "htnet"), out=out / "joint", **both,
    )  # fmt: skip
    yield "joint-report", (out / "joint" / "report.html").read_text()


def deep_twin(out: Path, *, target: str) -> Path:
    """Write the answers of the measurements again as if a network had given them."""
    question = TARGETS[target]
    table, unit = read_either_unit(out / "geometric" / "predictions.csv", target=question)
    rows = table[table["model"] == GRADER].assign(model="htnet", branch="deep")
    write_predictions(rows, out / "deep" / "predictions.csv", target=question, unit=unit)
    return out / "deep" / "predictions.csv"


@pytest.mark.parametrize("target", list(TARGETS))
def test_every_report_is_made_for_every_target(cohort: Path, tmp_path: Path, target: str) -> None:
    level = "patient" if target == "affected_side" else "photograph"
    made = dict(reports(cohort, tmp_path, target=target, level=level))
    assert list(made) == [
        "benchmark", "fit", "grade", "compare", "fuse", "joint-report",
    ]  # fmt: skip
    names = ("I", "VI") if target == "six_grades" else TARGETS[target].classes
    for name in ("benchmark", "fit", "grade", "joint-report"):
        for said in names:
            assert f">{said}<" in made[name], (name, said)
    for name in ("compare", "fuse"):
        assert "Always answering the commonest class reaches" in made[name]
    truth = json.loads((tmp_path / "geometric" / "run.json").read_text())["settings"]["truth"]
    derived = TARGETS[target].column == "palsy_class"
    assert ("IV to VI strong" in truth) == derived


def test_classes_without_grades_go_from_manifest_to_every_report(
    classes_only: Path, tmp_path: Path
) -> None:
    features = classes_only
    made = dict(reports(features, tmp_path, target="three_classes", level="photograph"))
    for name, words in made.items():
        if name != "grade":
            assert "whole patients are not held out for certain" in words, name
    table, _ = read_either_unit(
        tmp_path / "geometric" / "predictions.csv", target=TARGETS["three_classes"]
    )
    assert len(table[table["model"] == GRADER]) == 18 * 5  # all of them, not the healthy alone
    assert set(table["palsy_class"]) == {"healthy", "slight", "strong"}
    metrics = json.loads((tmp_path / "geometric" / "metrics.json").read_text())
    scores = metrics["per_photograph"]["models"][GRADER]
    assert 1 / 3 < scores["balanced_accuracy"]["low"] < scores["balanced_accuracy"]["value"] < 1
    record = json.loads((tmp_path / "geometric" / "run.json").read_text())
    assert record["settings"]["truth"] == "column palsy_class"
    assert any("5 of 90 photographs name no patient" in s for s in record["notes"]["warnings"])
    folds = pd.read_csv(tmp_path / "geometric" / "folds.csv")
    manifest = pd.read_csv(features.with_name("manifest.csv"))
    rows = folds.merge(manifest[["image_id", "palsy_class"]], on="image_id")
    counts = rows.groupby(["fold", "palsy_class"])["patient_id"].nunique().unstack()
    assert (counts.max() - counts.min() <= 1).all()  # dealt class by class
    found = explore(features, out=tmp_path / "explore", target="three_classes",
                    manifest=features.with_name("manifest.csv"))  # fmt: skip
    assert np.bincount(found.patients.classes).tolist() == [0, 7, 6, 9]
    shown = profile(features, patient="patient05", out=tmp_path / "profile",
                    manifest=features.with_name("manifest.csv"))  # fmt: skip
    assert shown.healthy == 2 + 5
