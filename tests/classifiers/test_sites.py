"""Graders at a site not learned from: whole patients and sites held out, planted shifts named."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from classifiers.commands.benchmark import benchmark
from classifiers.commands.explore import explore
from classifiers.commands.fit import fit
from classifiers.exploration import Portable, stability
from classifiers.graders.cohort import Samples, read_cohort
from classifiers.graders.model_store import load_model
from classifiers.graders.new_patients import grade_tables
from classifiers.graders.patients import patient_samples, rows_to_answer
from classifiers.graders.recalibration import Healthy, laid_onto
from classifiers.graders.sites import (
    ALL_SITES,
    RELATIVE,
    mirrored_sites,
    other_sizes,
    other_units,
    shifted_grades,
)
from common.arrays import Floats
from common.errors import UserError
from common.files import sha256_of
from common.grading.folds import folds_by, read_folds
from common.grading.predictions import answer_rows
from common.grading.target import TARGETS
from features.registry import FEATURE_NAMES
from landmarks.points import MIRROR_PARTNER

from .conftest import write_faces

SIX = TARGETS["six_grades"]
SITES = ("A", "B", "C")


@pytest.fixture(scope="module")
def faces(tmp_path_factory) -> Path:
    """Three sites with patients of every grade, both sides at each."""
    path = write_faces(tmp_path_factory.mktemp("sites"), patients_per_grade=9)
    table = pd.read_csv(path)
    number = table["patient_id"].str.removeprefix("patient").astype(int)
    table["site"] = (number // 18).map(dict(enumerate(SITES)))
    table.to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def patients(faces) -> Samples:
    return rows_to_answer(read_cohort(faces, target=SIX), level="patient", target=SIX)


@pytest.fixture(scope="module")
def places(patients) -> dict[str, np.ndarray]:
    site = np.arange(len(patients.labels)) // 18
    return {name: np.flatnonzero(site == at) for at, name in enumerate(SITES)}


def photographs(**more: list) -> pd.DataFrame:
    return pd.DataFrame(
        {"image_id": ["a/1", "a/2", "b/1", "c/1"], "patient_id": ["a", "a", "b", "c"], **more}
    )


def test_a_patient_at_two_sites_is_tested_at_both_and_learned_from_at_neither():
    table, names = folds_by(photographs(site=["x", "y", "x", "y"]), column="site")
    tested = table.groupby("fold")["image_id"].agg(list).to_dict()
    assert names == ["x", "y"]
    assert tested == {1: ["a/1", "a/2", "b/1"], 2: ["a/1", "a/2", "c/1"]}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({}, "no such column"),
        ({"site": ["x", "x", None, "y"]}, '"b/1" first'),
        ({"site": ["x"] * 4}, 'everybody has "x"'),
    ],
)
def test_columns_that_hold_out_nobody_are_refused(more, said):
    with pytest.raises(UserError, match=said):
        folds_by(photographs(**more), column="site")


def mirrored(points: Floats, *, width: float = 600.0) -> Floats:
    return points[:, list(MIRROR_PARTNER)] * [-1, 1] + [width, 0]


def test_a_mirrored_site_is_named_and_no_other(faces, patients, places):
    assert not [*mirrored_sites(patients, places)]
    cohort = read_cohort(faces, target=SIX)
    rows = cohort.usable.rows
    points = cohort.study.points(list(rows["image_id"]))
    at_b = (rows["site"] == "B").to_numpy()
    points[at_b] = mirrored(points[at_b])
    (sentence,) = mirrored_sites(patient_samples(cohort.usable, points=points), places)
    assert sentence.startswith("Site B: in ") and "mirrored" in sentence


def test_a_site_whose_grades_are_one_higher_is_named():
    truth = np.tile(np.arange(1, 6), 8)
    chances = np.full((40, 6), 0.02)
    chances[np.arange(40), truth - 1] = 0.9
    tables = []
    for fold, shift in ((1, 0), (2, 1)):
        rows = pd.DataFrame(
            {"patient_id": [f"{fold}-{n}" for n in range(40)], "hb_grade": truth + shift}
        )
        tables.append(
            answer_rows(
                rows,
                target=SIX,
                unit="patient",
                answers=chances,
                repeat=1,
                fold=fold,
                model="logistic",
            )
        )
    predictions = pd.concat(tables, ignore_index=True)
    (sentence,) = shifted_grades(predictions, ["A", "B"], target=SIX, seed=0)
    assert sentence.startswith("Site B: graders that learned elsewhere answer 0.9 grades lower")


def test_a_site_in_other_units_is_named(faces, patients, places):
    assert not [*other_units(patients, places)]
    angle = "mean.f7"
    features = patients.features.copy()
    features.iloc[places["C"], features.columns.get_loc(angle)] *= np.pi / 180
    (sentence,) = other_units(replace(patients, features=features), places)
    assert sentence.startswith("Site C: features spread f7 0.0")

    cohort = read_cohort(faces, target=SIX)
    points, site = cohort.labelled_points(), cohort.labelled["site"]
    assert not [*other_sizes(site, points)]
    points[(site == "A").to_numpy()] *= 0.1
    (sentence,) = other_sizes(site, points)
    assert sentence.startswith("Site A: the outer corners of the eyes are")


def test_local_healthy_people_undo_a_camera(patients):
    """A camera that moves and stretches every column is undone; nobody is their own zero."""
    healthy = patients.labels == 1
    seen = patients.features.filter(regex=r"^mean\.")
    camera = seen * 1.0 + 0.7 * seen.std()
    reference = Healthy.of(seen[healthy])
    back = laid_onto(reference, camera, healthy=healthy, patients=patients.patients)
    palsy = ~healthy
    np.testing.assert_allclose(back[palsy], seen[palsy], atol=1e-9)
    odd = camera.copy()
    first = np.flatnonzero(healthy)[0]
    odd.iloc[first] += 100.0 * seen.std()
    moved = laid_onto(reference, odd, healthy=healthy, patients=patients.patients)
    # The odd person is laid by the others, who are as before.
    ratio = (moved.iloc[first] - back.iloc[first]) / (100.0 * seen.std())
    assert ((ratio > 0.4) & (ratio < 2.5)).all()


def test_benchmark_tells_the_drop_first(faces, tmp_path):
    table = pd.read_csv(faces)
    table.loc[table["site"] == "B", "hb_grade"] = 7 - table["hb_grade"]
    bad = tmp_path / "features.csv"
    table.to_csv(bad, index=False)
    found = benchmark(
        bad, out=tmp_path / "out", graders=("logistic",), hold_out_by="site", n_folds=3, jobs=1
    )
    across = found.across
    assert across is not None
    assert across.drop("logistic").value == pytest.approx(
        across.table.query("site == 'all' and model == 'logistic'")["inside"].iloc[0]
        - across.table.query("site == 'all' and model == 'logistic'")["across"].iloc[0]
    )
    folds = read_folds(tmp_path / "out" / "site_folds.csv")
    assert folds.groupby("fold")["image_id"].count().tolist() == [90, 90, 90]
    written = pd.read_csv(tmp_path / "out" / "sites.csv")
    assert set(written["site"]) == {ALL_SITES, *SITES} and RELATIVE in set(written["features"])
    assert (written["patients"].where(written["site"] == "B").dropna() == 18).all()
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert page.index("that was not learned from") < page.index("How far are the answers")


def test_a_feature_that_a_camera_moves_is_not_portable(faces, tmp_path):
    table = pd.read_csv(faces)
    before = stability(read_cohort(faces, target=SIX), by="site").set_index("feature")
    steady = str(before.index[before["portable"]][0])
    spread = table.groupby("hb_grade")[steady].std().mean()
    table.loc[table["site"] == "B", steady] += 5 * spread
    moved = tmp_path / "features.csv"
    table.to_csv(moved, index=False)
    after = stability(read_cohort(moved, target=SIX), by="site").set_index("feature")
    assert after.loc[steady, "shift"] > 2 and not after.loc[steady, "portable"]
    rest = before.index.drop(steady)
    pd.testing.assert_frame_equal(after.loc[rest], before.loc[rest])


def of_sites(path: Path, sites: tuple[str, ...]) -> Path:
    table = pd.read_csv(path)
    part = path.with_name(f"of_{''.join(sites)}.csv")
    table[table["site"].isin(sites)].to_csv(part, index=False)
    return part


def test_without_what_a_camera_moves_graders_do_better_at_another_site(faces, tmp_path):
    """The table is made at A and B; learned at A is asked at C, whose camera moves as B's does."""
    table = pd.read_csv(faces)
    steady = stability(read_cohort(faces, target=SIX), by="site").query("portable")["feature"]
    shaken = list(steady[: len(steady) // 2])
    spread = table.groupby("hb_grade")[shaken].std().mean()
    table.loc[table["site"] != "A", shaken] -= 5 * spread
    moved = tmp_path / "features.csv"
    table.to_csv(moved, index=False)
    explore(of_sites(moved, ("A", "B")), out=tmp_path / "explored", by="site")
    kept = Portable.read(tmp_path / "explored" / "stability.csv")
    assert set(kept.features).isdisjoint(shaken) and kept.features
    found = {
        portable: benchmark(
            of_sites(moved, ("A", "C")), out=tmp_path / "out", graders=("logistic",),
            hold_out_by="site", n_folds=2, portable=portable, jobs=1,
        )
        for portable in (None, kept.path)
    }  # fmt: skip
    at_c = [
        one.across.table.query("site == 'C' and model == 'logistic' and features == 'as measured'")
        for one in found.values()
    ]
    assert at_c[1]["across"].iloc[0] > at_c[0]["across"].iloc[0] + 0.2
    assert not any("these same tables" in said for said in found[kept.path].problems)
    assert kept.notes({"features": moved}) == []
    (said,) = kept.notes({"features": moved.with_name("of_AB.csv")})
    assert "these same tables" in said


@pytest.mark.usefixtures("without_search")
def test_a_kept_grader_of_portable_features_needs_and_sees_no_others(faces, tmp_path):
    found = stability(read_cohort(faces, target=SIX), by="site")
    found.to_csv(tmp_path / "stability.csv", index=False)
    kept = Portable.read(tmp_path / "stability.csv")
    made = fit(
        of_sites(faces, ("A",)),
        out=tmp_path / "out",
        grader="logistic",
        n_folds=2,
        portable=kept.path,
        jobs=1,
    )
    model = load_model(made.model)
    assert model.grader.choice.columns == "portable"
    assert model.card.columns == kept.features
    sha = model.card.settings["table of portable features"].removeprefix("sha256 ")
    assert sha == sha256_of(kept.path) and sha in (made.model / "CARD.md").read_text("utf-8")
    asked = tmp_path / "asked"
    asked.mkdir()
    path = faces.with_name("of_A.csv")
    table = pd.read_csv(path)
    others = [name for name in FEATURE_NAMES if name not in kept.features]
    table[others] = 1e3  # whatever they are, the answer stays
    table.to_csv(asked / "features.csv", index=False)
    shutil.copy(faces.with_name("landmarks.csv"), asked)
    answers = [grade_tables(model, features=path).table for path in (path, asked / "features.csv")]
    pd.testing.assert_frame_equal(*(one.drop(columns="why") for one in answers))
    assert set(answers[0]["side"]) == {"left", "right", "none"}


def test_tables_that_are_no_stability_are_refused(tmp_path):
    row = {"feature": "f1", "region": "eye", "shift": 0.1, "spread_ratio": 1.0}
    row |= {"least_rank_correlation": 0.5, "portable": True}
    for change, said in (
        ({"feature": "f99"}, '"f99"'),
        ({"portable": False}, "no feature portable"),
    ):
        pd.DataFrame([row | change]).to_csv(tmp_path / "stability.csv", index=False)
        with pytest.raises(UserError, match=said):
            Portable.read(tmp_path / "stability.csv")
