"""Every kind of report but the demo's, opened as its reader would: whole, readable, asking nothing.

Where no browser is installed the pages are read as text, which sees less.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from common.report import Link, Report
from common.tables import read_manifest
from tests.browser import SMALLEST_TEXT, WIDTHS, open_page, static_problems

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from pipeline.example_cohort import ExampleCohort

KINDS = ("fit", "grade", "explore", "profile", "evaluate-landmarks")


@pytest.fixture(scope="module")
def reports(
    simulated_cohort: ExampleCohort,
    tmp_path_factory: pytest.TempPathFactory,
    without_search: None,
    workers_here: None,
) -> dict[str, Path]:
    """One small report of each kind, from simulated patients."""
    from classifiers.commands.explore import explore, profile
    from classifiers.commands.fit import fit
    from classifiers.commands.grade import grade
    from landmarks.commands.evaluate_landmarks import evaluate_landmarks

    folder, cohort = tmp_path_factory.mktemp("reports"), simulated_cohort
    fit(
        cohort.features, manifest=cohort.manifest, out=folder / "fit", grader="logistic",
        n_folds=2, jobs=1,
    )  # fmt: skip
    explore(cohort.features, out=folder / "explore")
    newcomers = folder / "newcomers"
    shutil.copytree(cohort.photographs / "Normal" / "Normal1", newcomers / "one")
    grade(newcomers, model=folder / "fit", out=folder / "grade", numbered=True, jobs=1)
    some = folder / "some.csv"
    read_manifest(cohort.manifest).head(8).to_csv(some, index=False)
    evaluate_landmarks(some, out=folder / "evaluate-landmarks", tta=0, jobs=1)
    worst = pd.read_csv(cohort.features).query("hb_grade == 6")["patient_id"].iloc[0]
    profile(cohort.features, patient=worst, out=folder / "profile")
    return {kind: folder / kind / "report.html" for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_a_report_is_whole_and_readable_in_a_browser(kind, reports, browser: Browser) -> None:
    problems = [
        problem
        for width in WIDTHS
        for problem in open_page(browser, reports[kind], width=width).problems()
    ]
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("kind", KINDS)
def test_a_report_asks_for_nothing_as_far_as_its_text_tells(kind, reports) -> None:
    assert static_problems(reports[kind]) == []


PAGE = '<!doctype html><html><body><p style="font-size: 16px">Words.</p>{}</body></html>'
PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9Q"
    "DwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
FAULTS = {
    "a picture from elsewhere": '<img src="http://192.0.2.1/x.png" width="10" alt="away">',
    "a script": "<script>throw new Error('planted')</script>",
    "a broken picture": '<img src="data:image/png;base64,AAAA" width="10" alt="broken">',
    "a wide table": '<table><tr><td style="min-width: 1500px">wide</td></tr></table>',
    "small print": '<p style="font-size: 9px">small</p>',
    "a shrunken picture": f'<img src="{PIXEL}" width="900" style="width: 300px" alt="chart">',
    "a missing file": '<link rel="stylesheet" href="gone.css">',
}
SEEN_IN_TEXT = {"a picture from elsewhere", "a broken picture", "a missing file"}


@pytest.fixture()
def page_with(tmp_path: Path) -> Callable[[str], Path]:
    def write(content: str) -> Path:
        path = tmp_path / "page.html"
        path.write_text(PAGE.format(content), encoding="utf-8")
        return path

    return write


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_seen_in_the_browser(fault, page_with, browser: Browser) -> None:
    assert open_page(browser, page_with(""), width=1280).problems() == []
    assert open_page(browser, page_with(FAULTS[fault]), width=1280).problems()


@pytest.mark.parametrize("fault", FAULTS)
def test_the_text_alone_shows_what_it_can(fault, page_with) -> None:
    assert static_problems(page_with("")) == []
    assert bool(static_problems(page_with(FAULTS[fault]))) == (fault in SEEN_IN_TEXT)


@pytest.mark.parametrize(
    "content",
    [
        "<script>fetch('x')</script>",
        "<style>@import 'x.css';</style>",
        '<p onclick="x()">a</p>',
        '<div style="background: url(http://192.0.2.1/x.png)">a</div>',
        '<a href="javascript:x()">a</a>',
        '<iframe src="x.html"></iframe>',
    ],
)
def test_other_ways_out_are_seen_in_the_text(content, page_with) -> None:
    assert static_problems(page_with(content))


def test_plain_links_and_a_large_page(page_with, monkeypatch) -> None:
    assert static_problems(page_with('<a href="https://doi.org/10.1">paper</a>')) == []
    monkeypatch.setattr("tests.browser.LARGEST_BYTES", 20)
    assert "bytes" in static_problems(page_with(""))[0]


def test_folded_parts_open_when_a_link_leads_to_them(tmp_path: Path, browser: Browser) -> None:
    report = Report(title="Folded", summary="One part is closed.")
    report.section("Open").links([Link("Go there", "#closed")])
    report.section("Closed", folded=True, anchor="closed").text("Inside.")
    report.write(tmp_path / "report.html")
    page = browser.new_page()
    try:
        page.goto((tmp_path / "report.html").resolve().as_uri())
        assert not page.get_by_text("Inside.").is_visible()
        page.get_by_text("Go there").click()
        assert page.get_by_text("Inside.").is_visible()
        size = page.get_by_text("Inside.").evaluate("one => getComputedStyle(one).fontSize")
        assert float(size.removesuffix("px")) >= SMALLEST_TEXT
    finally:
        page.close()
