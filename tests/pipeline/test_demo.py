"""The demo in small: the whole story runs, and its report says what happened."""

from __future__ import annotations

import functools
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest

import features.commands.extract
from common.errors import UserError
from pipeline.commands.demo import FOLDS, HEIGHT, STAGES, WIDTH, demo
from tests.browser import WIDTHS, open_page, static_problems

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from pipeline.example_cohort import ExampleCohort

REPORTS = ("", "comparison", "fusion", "benchmark")


SEED = 0
"""Of the simulated cohort that all tests share: it is the demo's patients."""


@pytest.fixture(scope="module")
def finished(
    simulated_cohort: ExampleCohort,
    tmp_path_factory: pytest.TempPathFactory,
    without_search: None,
    workers_here: None,
    coarse_maps: None,
) -> Path:
    """The demo on the patients that are drawn and measured already, in small photographs."""
    out = tmp_path_factory.mktemp("demo")
    shutil.copytree(simulated_cohort.features.parent, out / "measurements")  # `extract` goes on
    asked = {}

    def drawn_already(folder: Path, **options: object) -> None:
        asked.update(options)
        shutil.copytree(simulated_cohort.photographs, folder)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("datasets.simulated.cohort.simulate", drawn_already)
        quick = functools.partial(features.commands.extract.extract, tta=0)
        patch.setattr("features.commands.extract.extract", quick)
        result = demo(out=out, seed=SEED, graders=("logistic",), grader="logistic", jobs=1)
    size = {"width": WIDTH, "height": HEIGHT}
    assert asked == {"patients": 24, "seed": SEED, "jobs": 1, **size}
    assert result.exit_code == 0
    assert result.report == out / "report.html"
    return out


def test_every_stage_leaves_its_tables(finished: Path) -> None:
    manifest = pd.read_csv(finished / "manifest.csv")
    features = pd.read_csv(finished / "measurements" / "features.csv")
    assert len(manifest) == 24 * 8
    assert list(features["image_id"]) == list(manifest["image_id"])
    assert (features["status"] == "ok").mean() >= 0.97
    assert sorted(manifest["hb_grade"].unique()) == [1, 2, 3, 4, 5, 6]
    geometry = pd.read_csv(finished / "benchmark" / "predictions.csv")
    fused = pd.read_csv(finished / "fusion" / "predictions.csv")
    network = pd.read_csv(finished / "network_scores" / "patient_predictions.csv")
    patients = set(manifest["patient_id"])
    for table in (geometry[geometry["model"] == "logistic"], fused, network):
        assert set(table["patient_id"]) == patients
    assert "fused_stacking" in set(fused["model"])  # learned from inner predictions of both
    assert (finished / "comparison" / "comparison.csv").is_file()


def test_both_branches_are_tested_on_the_same_folds_of_whole_patients(finished: Path) -> None:
    folds = pd.read_csv(finished / "benchmark" / "folds.csv")
    assert folds["fold"].nunique() == FOLDS
    assert (folds.groupby(["repeat", "patient_id"])["fold"].nunique() == 1).all()
    pd.testing.assert_frame_equal(pd.read_csv(finished / "networks" / "folds.csv"), folds)


def test_the_report_is_one_file_with_its_warning_and_every_stage(finished: Path) -> None:
    page = (finished / "report.html").read_text(encoding="utf-8")
    for said in ("24 simulated patients", "does not diagnose", "Does the network add anything?",
                 "From photograph to 68 points", "From points to numbers", "the graders",
                 "Your own photographs", 'href="comparison/report.html"'):  # fmt: skip
        assert said in page, said
    assert page.count('id="patient-') == page.count("What the network sees: ") == 24
    assert "<script" not in page


@pytest.mark.parametrize("folder", REPORTS)
def test_reports_ask_for_nothing_as_far_as_their_text_tells(finished: Path, folder: str) -> None:
    assert static_problems(finished / folder / "report.html") == []


@pytest.mark.parametrize("folder", REPORTS)
def test_reports_are_whole_and_readable(finished: Path, folder: str, browser: Browser) -> None:
    problems = [
        problem
        for width in WIDTHS
        for problem in open_page(browser, finished / folder / "report.html", width=width).problems()
    ]
    assert not problems, "\n".join(problems)


def test_the_record_names_what_went_in(finished: Path) -> None:
    record = json.loads((finished / "measurements" / "run.json").read_text(encoding="utf-8"))
    assert record["counts"]["ok"] >= 186
    assert len(record["files"]["predictor"]["sha256"]) == 64
    assert str(finished) not in json.dumps(record)


def test_the_shares_of_the_stages_make_a_whole() -> None:
    assert sum(share for _, share in STAGES) == pytest.approx(1.0)


def test_too_few_patients_are_refused_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--patients is 5: give 24 or more"):
        demo(out=tmp_path / "x", patients=5)
    assert not (tmp_path / "x").exists()
