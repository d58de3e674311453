"""Exploration: known separations are found, patients are counted, and little data is said to be."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifiers.commands.explore import explore, profile
from classifiers.exploration import (
    FAR_OUT,
    between_classes,
    maps,
    outliers,
    patients_of,
    rank_correlation,
    separability,
    superiority,
)
from classifiers.graders.cohort import read_cohort
from classifiers.reports.profile import (
    ENOUGH_HEALTHY,
    OUTSIDE_BY_CHANCE,
    Profile,
    limits_of,
    percentiles,
    profile_report,
)
from common.errors import UserError
from common.grading.target import target_named
from features.registry import FEATURE_NAMES, FEATURES

from .conftest import made_cohort, write_faces


@given(st.lists(st.integers(-50, 50), min_size=3, max_size=20), st.integers(1, 19))
def test_superiority_is_the_share_of_pairs(values, split):
    numbers = np.array(values, dtype=float)
    classes = np.where(np.arange(len(values)) < min(split, len(values) - 1), 1, 2)
    healthy, others = numbers[classes == 1], numbers[classes == 2]
    pairs = [(b > a) + (b == a) / 2 for a in healthy for b in others]
    assert superiority(numbers, classes) == pytest.approx(np.mean(pairs))


def test_rank_correlation_is_one_for_any_rising_relation():
    classes = np.array([1, 2, 3, 4, 5, 6])
    assert rank_correlation(np.exp(classes * 3.0), classes) == pytest.approx(1.0)
    assert rank_correlation(-classes.astype(float), classes) == pytest.approx(-1.0)
    assert np.isnan(rank_correlation(np.ones(6), classes))
    assert np.isnan(rank_correlation(classes.astype(float), np.ones(6, dtype=int)))
    assert np.isnan(superiority(classes.astype(float), np.full(6, 2)))


def test_variance_between_classes():
    classes = np.array([1, 1, 2, 2])
    assert between_classes(np.array([0.0, 0.0, 1.0, 1.0]), classes) == pytest.approx(1.0)
    assert between_classes(np.array([0.0, 1.0, 0.0, 1.0]), classes) == pytest.approx(0.0)
    assert np.isnan(between_classes(np.zeros(4), classes))


def cohort_with(feature_table, change) -> object:
    made = made_cohort(grade_strength=0.0)
    change(made)
    return read_cohort(feature_table(made), target=target_named("six_grades"))


def test_the_feature_that_carries_the_grade_comes_first(feature_table):
    def carry(made):
        made.features["f14"] += 5.0 * made.rows["hb_grade"]

    table = separability(patients_of(cohort_with(feature_table, carry)))
    first = table.iloc[0]
    assert first["feature"] == "f14"
    assert first["rank_correlation"] > 0.95
    assert first["superiority"] == pytest.approx(1.0)
    assert (table["rank_correlation_low"] <= table["rank_correlation"]).all()
    assert (table["rank_correlation"] <= table["rank_correlation_high"]).all()
    idle = table.iloc[1:]
    covered = (idle["superiority_low"] <= 0.5) & (idle["superiority_high"] >= 0.5)
    assert covered.mean() > 0.8


def test_a_patient_with_many_photographs_counts_once(feature_table, tmp_path):
    table = pd.read_csv(feature_table(made_cohort()), dtype={"patient_id": str})
    again = table[table["patient_id"] == "p00"].copy()
    copies = [again.assign(image_id=again["image_id"] + f".{at}.jpg") for at in range(5)]
    pd.concat([table, *copies]).to_csv(tmp_path / "more.csv", index=False)
    six = target_named("six_grades")
    few = patients_of(read_cohort(tmp_path / "features.csv", target=six))
    many = patients_of(read_cohort(tmp_path / "more.csv", target=six))
    pd.testing.assert_frame_equal(few.values, many.values)
    pd.testing.assert_frame_equal(separability(few), separability(many))


def test_a_misplaced_point_is_listed_with_its_photograph(feature_table):
    def misplace(made):
        made.features.loc[17, "f8"] = 90.0

    table = outliers(cohort_with(feature_table, misplace))
    assert table["feature"].iat[0] == "f8"
    assert table["image_id"].iat[0] == "p04/1.jpg"
    assert table["value"].iat[0] == 90.0
    assert (table["deviations"] > FAR_OUT).all()


def test_a_feature_that_never_varies_has_no_outliers_and_no_rank(feature_table):
    def hold(made):
        made.features["f3"] = 1.0

    cohort = cohort_with(feature_table, hold)
    assert "f3" not in set(outliers(cohort)["feature"])
    table = separability(patients_of(cohort)).set_index("feature")
    assert np.isnan(table.loc["f3", "rank_correlation"])
    assert np.isfinite(maps(patients_of(cohort)).principal).all()


def test_maps_are_the_same_for_the_same_seed_and_need_six_patients(feature_table):
    patients = patients_of(cohort_with(feature_table, lambda made: None))
    first, again = maps(patients, seed=3), maps(patients, seed=3)
    np.testing.assert_array_equal(first.neighbours, again.neighbours)
    few = type(patients)(patients.names[:5], patients.values.iloc[:5], patients.classes[:5])
    assert maps(few) is None


def test_explore_writes_its_tables_and_a_report(feature_table, tmp_path):
    found = explore(feature_table(made_cohort()), out=tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "separability.csv", "outliers.csv", "maps.csv", "report.html", "run.json"
    }  # fmt: skip
    page = (tmp_path / "out" / "report.html").read_text()
    assert all(name in page for name in FEATURE_NAMES)
    assert len(found.separability) == len(FEATURES)


def test_one_patient_and_one_class_are_explored_with_a_word_of_warning(feature_table, tmp_path):
    made = made_cohort(patients_per_grade=1)
    path = feature_table(made)
    table = pd.read_csv(path)
    table[table["patient_id"] == "p00"].to_csv(path, index=False)
    found = explore(path, out=tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text()
    assert found.maps is None
    assert "There is only 1 patient:" in page
    assert "No patient of class II, III, IV, V, VI" in page


def profiled(healthy: list[float], value: float) -> pd.DataFrame:
    rows = pd.DataFrame(
        {
            "image_id": [f"{at}.jpg" for at in range(len(healthy) + 1)],
            "patient_id": [*(f"h{at}" for at in range(len(healthy))), "ill"],
            "task": "rest",
        }
    )
    features = pd.DataFrame({name: [*healthy, value] for name in FEATURE_NAMES})
    names = [f"h{at}" for at in range(len(healthy))]
    return percentiles(rows, features, patient="ill", healthy=names)


def test_a_percentile_is_the_share_of_healthy_people_below():
    assert profiled([1.0, 2.0, 3.0, 4.0], 2.5)["percentile"].iat[0] == 50.0
    assert profiled([1.0, 2.0, 3.0, 4.0], 9.0)["percentile"].iat[0] == 100.0
    assert profiled([1.0, 2.0, 3.0, 4.0], 2.0)["percentile"].iat[0] == 37.5
    assert np.isnan(profiled([1.0, 2.0, 3.0, 4.0], np.nan)["percentile"].iat[0])
    assert np.isnan(profiled([1.0, 2.0], 1.5)["percentile"].iat[0])
    assert np.isnan(profiled([1.0, 2.0, np.nan], 1.5)["percentile"].iat[0])


@pytest.mark.parametrize("n", [ENOUGH_HEALTHY, 25, 50])
@pytest.mark.parametrize("draw", ["uniform", "normal"])
def test_one_more_healthy_person_lies_outside_the_range_as_often_as_is_said(n, draw):
    values = getattr(np.random.default_rng(0), draw)(size=(4000, n + 1))
    limits = [limits_of(row[:n]) for row in values]
    outside = [not low <= row[n] <= high for row, (low, high) in zip(values, limits, strict=True)]
    assert np.mean(outside) == pytest.approx(OUTSIDE_BY_CHANCE, abs=0.02)


def test_few_healthy_people_have_no_range_and_many_have_one():
    few = profiled(list(range(ENOUGH_HEALTHY - 1)), 30.0)
    many = profiled(list(range(ENOUGH_HEALTHY)), 30.0)
    assert few[["healthy_5", "healthy_95"]].isna().all(axis=None)
    assert many[["healthy_5", "healthy_95"]].notna().all(axis=None)
    rows = len(few)
    told = [
        profile_report(Profile(patient="ill", table=table, healthy=n)).html()
        for table, n in ((few, ENOUGH_HEALTHY - 1), (many, ENOUGH_HEALTHY))
    ]
    assert "%" not in told[0].partition('class="summary">')[2].partition("</p>")[0]
    assert "5 to 95 %" not in told[0]
    assert f"{rows} of {rows} values are larger than in every one of them" in told[0]
    assert f"about {rows / ENOUGH_HEALTHY:.0f} would be, by chance alone" in told[0]
    assert "above all 19" in told[0]
    assert f"{rows} of {rows} values lie outside the middle 90 %" in told[1]
    assert f"about {rows / 10:.0f} (10 %) would, by chance alone" in told[1]
    assert "5 to 95 %" in told[1]


def test_other_movements_are_no_reference():
    rows = pd.DataFrame(
        {
            "image_id": list("abcdefg"),
            "patient_id": ["h1", "h2", "h3", "h1", "h2", "h3", "ill"],
            "task": ["rest"] * 3 + ["smile"] * 3 + ["smile"],
        }
    )
    values = [0.0, 0.0, 0.0, 10.0, 11.0, 12.0, 5.0]
    features = pd.DataFrame(dict.fromkeys(FEATURE_NAMES, values))
    found = percentiles(rows, features, patient="ill", healthy=["h1", "h2", "h3"])
    assert set(found["percentile"]) == {0.0}


def test_a_healthy_patient_is_no_reference_for_himself(feature_table, tmp_path):
    path = feature_table(made_cohort())
    assert profile(path, patient="p00", out=tmp_path / "out").healthy == 3
    assert profile(path, patient="p20", out=tmp_path / "out").healthy == 4
    page = (tmp_path / "out" / "report.html").read_text()
    assert "There are only 4 healthy patients to compare with" in page
    assert (tmp_path / "out" / "profile.csv").is_file()


def test_a_profile_without_reference_shows_the_patient_alone(feature_table, tmp_path):
    path = feature_table(made_cohort(patients_per_grade=2))
    assert profile(path, patient="p09", out=tmp_path / "out").table["percentile"].isna().all()
    page = (tmp_path / "out" / "report.html").read_text()
    assert "There are only 2 healthy patients to compare with" in page
    assert "shown alone" in page and "The furthest values" not in page


def test_a_profile_without_patient_is_refused_in_a_sentence(feature_table, tmp_path):
    path = feature_table(made_cohort(patients_per_grade=2))
    with pytest.raises(UserError, match=r'no patient "p0".*Did you mean'):
        profile(path, patient="p0", out=tmp_path / "out")


def test_a_profile_shows_the_photographs_and_how_far_each_side_moves(tmp_path):
    path = write_faces(tmp_path, patients_per_grade=4, noise_px=0.2)
    profile(path, patient="patient05", out=tmp_path / "out", redact=True)  # VI, weak on the left
    page = (tmp_path / "out" / "report.html").read_text()
    assert "patient05" not in page
    assert page.index("<img") < page.index("The furthest values</h2>")
    sides = page[page.index("How far each side moves") :].split("</table>")[0]
    told = [
        (int(one), int(two)) for one, two in re.findall(r">(\d+) %</td>\s*<td[^>]*>(\d+) %<", sides)
    ]
    assert len(told) >= 2
    assert all(right == 100 and left < 20 for right, left in told)
