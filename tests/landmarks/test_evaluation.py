"""Errors are found where they are: in the right region, on the right side, at the right size."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from docs.drawing import schematic_face
from landmarks.check.asymmetry import ASYMMETRY, asymmetry_kept
from landmarks.check.errors import (
    ERRORS,
    Evaluated,
    cumulative_share,
    error_table,
    evaluate,
    normalisers,
    part_errors,
)
from landmarks.check.plots import cumulative_figure, face_figure
from landmarks.check.scores import SCORES, patient_intervals, score_table
from landmarks.points import POINT_COLUMNS, REGIONS, mirror_points, side_of

N_PATIENTS, PER_PATIENT = 6, 4
SIDES = ("left", "right", "none")


def cohort() -> tuple[pd.DataFrame, NDArray[np.float64]]:
    """A manifest of 24 photographs and their true points: tilted, of several sizes, asymmetric."""
    rng = np.random.default_rng(8)
    rows, points = [], []
    for patient in range(N_PATIENTS):
        for k in range(PER_PATIENT):
            rows.append(
                {
                    "image_id": f"p{patient}_{k}.jpg",
                    "path": f"p{patient}_{k}.jpg",
                    "patient_id": f"{patient:03d}",
                    "side": SIDES[patient % 3],
                    "hb_grade": 1 + patient,
                }
            )
            face = schematic_face() * rng.uniform(0.5, 2.0) + rng.normal(scale=3.0, size=(68, 2))
            points.append(face + rng.uniform(0, 500, 2))
    manifest = pd.DataFrame(rows)
    return manifest.astype({"hb_grade": "Int64"}), np.array(points)


def table_of(manifest: pd.DataFrame, points: NDArray[np.float64]) -> pd.DataFrame:
    head = pd.DataFrame({"image_id": manifest["image_id"], "status": "ok", "reason": None})
    flat = pd.DataFrame(points.reshape(len(points), -1), columns=list(POINT_COLUMNS))
    return pd.concat([head, flat], axis=1)


def evaluated_with(offset: NDArray[np.float64]) -> Evaluated:
    """Predictions that are off by `offset`, `(24, 68, 2)` or what broadcasts to it."""
    manifest, true = cohort()
    return evaluate(table_of(manifest, true + offset), table_of(manifest, true), manifest)


@pytest.mark.parametrize("region", REGIONS)
def test_a_planted_error_is_found_in_its_region_and_nowhere_else(region: str) -> None:
    offset = np.zeros((68, 2))
    offset[list(REGIONS[region])] = [3.0, -4.0]
    errors = part_errors(evaluated_with(offset))

    np.testing.assert_allclose(errors[region]["rmse_px"], 5.0)
    for other in REGIONS:
        if other != region:
            np.testing.assert_allclose(errors[other]["rmse_px"], 0.0, atol=1e-12)
    share = len(REGIONS[region]) / 68
    np.testing.assert_allclose(errors["all"]["rmse_px"], 5.0 * share**0.5)
    np.testing.assert_allclose(
        errors["all"]["mean_eye"] / errors[region]["mean_eye"], np.full(24, share)
    )


@pytest.mark.parametrize("side", ["right", "left"])
def test_a_planted_error_is_found_on_the_patients_side(side: str) -> None:
    offset = np.zeros((68, 2))
    offset[[i for i in range(17, 68) if side_of(i) == side]] = [0.0, 2.0]
    evaluated = evaluated_with(offset)
    errors, sides = part_errors(evaluated), evaluated.photographs["side"]
    palsied, healthy = errors["paralysed_side"]["rmse_px"], errors["healthy_side"]["rmse_px"]

    np.testing.assert_allclose(palsied[sides == side], 2.0)
    np.testing.assert_allclose(healthy[sides == side], 0.0, atol=1e-12)
    other = (sides != side) & (sides != "none")
    np.testing.assert_allclose(palsied[other], 0.0, atol=1e-12)
    np.testing.assert_allclose(healthy[other], 2.0)
    assert np.isnan(palsied[sides == "none"]).all()
    assert np.isnan(healthy[sides == "none"]).all()


def test_normalisers_are_those_of_a_known_box() -> None:
    points = np.full((1, 68, 2), 50.0)
    points[0, 36], points[0, 45] = [20.0, 40.0], [80.0, 120.0]
    points[0, 0], points[0, 8] = [0.0, 0.0], [90.0, 160.0]
    scale = normalisers(points)

    assert scale["eye"] == pytest.approx([100.0])
    assert scale["diagonal"] == pytest.approx([np.hypot(90, 160)])
    assert scale["size"] == pytest.approx([120.0])


@settings(max_examples=25, deadline=None)
@given(scale=st.floats(0.1, 10), angle=st.floats(-180, 180), shift=st.floats(-1e3, 1e3))
def test_normalised_errors_do_not_depend_on_where_and_how_large_the_face_is(
    scale: float, angle: float, shift: float
) -> None:
    manifest, true = cohort()
    predicted = true + np.random.default_rng(1).normal(size=true.shape)
    turn = np.radians(angle)
    matrix = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    plain = Evaluated(manifest.assign(status="ok"), predicted, true)
    moved = Evaluated(plain.photographs, predicted @ matrix + shift, true @ matrix + shift)

    for measure in ("nrmse_eye", "mean_eye"):
        np.testing.assert_allclose(
            part_errors(plain)["inner"][measure], part_errors(moved)["inner"][measure], rtol=1e-6
        )


def test_mirroring_everything_swaps_the_regions_and_the_sides() -> None:
    manifest, true = cohort()
    predicted = true + np.random.default_rng(2).normal(size=true.shape) * np.arange(68)[:, None]
    plain = part_errors(Evaluated(manifest.assign(status="ok"), predicted, true))
    swapped = manifest.assign(
        status="ok", side=manifest["side"].replace({"left": "right", "right": "left"})
    )
    mirrored = part_errors(
        Evaluated(swapped, mirror_points(predicted, width=900), mirror_points(true, width=900))
    )

    for a, b in (
        ("right_brow", "left_brow"),
        ("right_eye", "left_eye"),
        ("mouth", "mouth"),
        ("paralysed_side", "paralysed_side"),
    ):
        np.testing.assert_allclose(plain[a]["nrmse_size"], mirrored[b]["nrmse_size"])


def test_photographs_without_points_or_truth_are_kept_with_their_reason() -> None:
    manifest, true = cohort()
    landmarks, truth = table_of(manifest, true + 1.0), table_of(manifest, true)
    landmarks.loc[0, ["status", "reason"]] = ["no_face", "No face was found."]
    landmarks.loc[0, list(POINT_COLUMNS)] = np.nan
    truth.loc[1, ["status", "reason"]] = ["failed", "no true landmarks"]
    truth.loc[1, list(POINT_COLUMNS)] = np.nan
    landmarks = landmarks.drop(index=2)
    evaluated = evaluate(landmarks, truth, manifest)
    table = ERRORS.validate(error_table(evaluated))

    assert list(table["status"][:4]) == ["no_face", "failed", "failed", "ok"]
    assert table["reason"][0] == "No face was found."
    assert "no row" in table["reason"][2]
    assert table["inner_nrmse_eye"].isna().sum() == 3
    scores = score_table(evaluated, setting="s").set_index(["group", "part", "measure"])
    assert scores.at[("all", "inner", "rmse_px"), "photographs"] == 21
    assert scores.at[("all", "inner", "rmse_px"), "value"] == pytest.approx(2**0.5)


def test_the_order_of_the_tables_does_not_matter() -> None:
    manifest, true = cohort()
    truth = table_of(manifest, true)
    landmarks = table_of(manifest, true + np.arange(24)[:, None, None])
    shuffled = evaluate(landmarks.sample(frac=1, random_state=1), truth[::-1], manifest)

    np.testing.assert_allclose(
        part_errors(shuffled)["all"]["rmse_px"], np.arange(24) * 2**0.5, atol=1e-9
    )


def test_scores_are_told_by_grade_and_side_and_fit_their_schema() -> None:
    grade_error = np.repeat(np.arange(1.0, 7.0), PER_PATIENT)[:, None, None]
    table = SCORES.validate(score_table(evaluated_with(grade_error * [1.0, 0.0]), setting="s"))
    of = table.set_index(["group", "part", "measure"])["value"]

    for grade in range(1, 7):
        assert of[(f"grade {grade}", "inner", "rmse_px")] == pytest.approx(grade)
    assert of[("palsy left", "inner", "rmse_px")] == pytest.approx((1 + 4) / 2)
    assert of[("no palsy", "inner", "rmse_px")] == pytest.approx((3 + 6) / 2)
    assert ("no palsy", "paralysed_side", "rmse_px") not in of.index


def test_intervals_resample_patients_and_not_photographs() -> None:
    rng = np.random.default_rng(5)
    patients = np.repeat(np.arange(10), 50)
    of_patient = rng.normal(size=10)[patients]  # every photograph of a patient alike
    together = patient_intervals(of_patient[:, None], patients).iloc[0]
    alone = patient_intervals(of_patient[:, None], np.arange(500)).iloc[0]

    assert together["value"] == pytest.approx(of_patient.mean())
    # Fifty photographs alike say no more than one: the interval is about root 50 wider.
    ratio = (together["high"] - together["low"]) / (alone["high"] - alone["low"])
    assert 5 < ratio < 9
    assert (together["photographs"], together["patients"]) == (500, 10)


def test_one_patient_has_no_interval() -> None:
    found = patient_intervals(np.array([[1.0], [3.0]]), ["a", "a"]).iloc[0]
    assert found["value"] == 2.0
    assert np.isnan([found["low"], found["high"]]).all()


@pytest.mark.parametrize("kept", [1.0, 0.6, 0.0])
def test_a_predictor_drawn_towards_symmetry_is_caught(kept: float) -> None:
    manifest, true = cohort()
    symmetric = (true + mirror_of_face(true)) / 2
    shrunk = symmetric + kept * (true - symmetric)
    evaluated = evaluate(table_of(manifest, shrunk), table_of(manifest, true), manifest)
    table = asymmetry_kept(evaluated)

    np.testing.assert_allclose(table["kept"], kept, atol=1e-9)
    if kept:
        np.testing.assert_allclose(table["r"], 1.0, atol=1e-9)
    assert (table["photographs"] == 16).all()  # those with a palsied side
    assert set(table["measured"]) == {"asymmetry"}


def imposed() -> tuple[pd.DataFrame, NDArray[np.float64], NDArray[np.float64]]:
    """Palsied photographs of 20 people behind their plain ones; brow, eye, nose, mouth keep
    0.2, 0.4, 0.6, 0.8 of the change, and each person's habit of the model is added to both."""
    rng = np.random.default_rng(3)
    plain = schematic_face() + rng.normal(scale=2.0, size=(20, 68, 2))
    pull = np.zeros((20, 68, 2))
    pull[:, [*range(22, 27), 34, 35, 43, 44, *range(51, 57)], 1] = rng.uniform(2, 9, (20, 1))
    habit = rng.normal(scale=2.0, size=(20, 68, 2))
    habit[:, [36, 39, 42, 45]] = 0.0  # the frame of the eyes stays
    share = np.zeros((68, 1))
    for region, part in {"brow": 0.2, "eye": 0.4, "nose": 0.6, "mouth": 0.8}.items():
        share[[i for name in REGIONS if name.endswith(region) for i in REGIONS[name]]] = part
    names = [f"{kind}{k}" for kind in ("plain", "palsy") for k in range(20)]
    manifest = pd.DataFrame({"image_id": names, "path": names})
    manifest["patient_id"] = [f"{k % 20:02d}" for k in range(40)]
    manifest["side"] = ["unknown"] * 20 + ["left"] * 20
    manifest["plain_image_id"] = [None] * 20 + names[:20]
    true = np.concatenate([plain, plain + pull])
    return manifest, true, np.concatenate([plain + habit, plain + habit + share * pull])


def test_of_imposed_palsies_the_change_counts_and_the_models_habits_do_not() -> None:
    manifest, true, predicted = imposed()
    turn = np.array([[0.8, -0.6], [0.6, 0.8]])
    for a, b in ((true, predicted), (true @ turn * 3 + 50, predicted @ turn * 3 + 50)):
        table = asymmetry_kept(evaluate(table_of(manifest, b), table_of(manifest, a), manifest))
        ASYMMETRY.validate(table.assign(setting="s")[list(ASYMMETRY.columns)])
        np.testing.assert_allclose(table["kept"], [0.2, 0.4, 0.6, 0.8], atol=1e-9)
        np.testing.assert_allclose(table["r"], 1.0, atol=1e-9)
        np.testing.assert_allclose(table["kept_low"], table["kept_high"], atol=1e-9)
        assert (table["photographs"] == 20).all()
        assert set(table["measured"]) == {"change"}


def test_noise_lowers_r_and_widens_the_interval_and_a_lost_plain_photograph_its_pair() -> None:
    manifest, true, predicted = imposed()
    noisy = predicted + np.random.default_rng(1).normal(scale=1.0, size=true.shape)
    found = table_of(manifest, noisy)
    found.loc[0, "status"] = "no_face"
    table = asymmetry_kept(evaluate(found, table_of(manifest, true), manifest))

    assert (table["photographs"] == 19).all()
    assert (table["r"] < 0.95).all()
    assert (table["kept_low"] < table["kept"]).all()
    assert (table["kept"] < table["kept_high"]).all()


def test_nobody_palsied_keeps_nothing_that_could_be_told() -> None:
    manifest, true, predicted = imposed()
    manifest["side"] = ["left"] * 20 + ["none"] * 20  # plain pictures of the palsied, as they are
    table = asymmetry_kept(
        evaluate(table_of(manifest, predicted), table_of(manifest, true), manifest)
    )

    assert (table["photographs"] == 0).all()
    assert table[["kept", "kept_low", "r", "r_high"]].isna().all(axis=None)


def test_major_errors_are_counted_on_their_side_and_region() -> None:
    offset = np.zeros((24, 68, 2))
    scale = normalisers(cohort()[1])["eye"]
    offset[:6, 43, 1], offset[:6, 48, 1] = 0.11 * scale[:6], 0.09 * scale[:6]
    evaluated = evaluated_with(offset)
    errors = {part: one["major_errors"] for part, one in part_errors(evaluated).items()}

    assert errors["left_eye"].tolist() == [100.0] * 6 + [0.0] * 18
    assert not errors["mouth"].any()
    assert errors["paralysed_eye"][:4].tolist() == [100.0] * 4  # patient 0: left
    assert errors["paralysed_eye"][4:6].tolist() == [0.0] * 2  # patient 1: right
    assert errors["healthy_eye"][4:6].tolist() == [100.0] * 2


def mirror_of_face(true: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each face mirrored at the upright line through the middle of its eye centres."""
    right, left = true[:, [36, 39]].mean(axis=1), true[:, [42, 45]].mean(axis=1)
    centre, across = (right + left) / 2, left - right
    axis = (across / np.linalg.norm(across, axis=1)[:, None])[:, None]
    partners = mirror_points(true, width=1) * [-1, 1]  # the partners, where they are
    off = partners - centre[:, None]
    return partners - 2 * (off * axis).sum(axis=2, keepdims=True) * axis


def test_failures_never_reach_the_top_of_the_cumulative_curve() -> None:
    values = np.array([1.0, 2.0, np.nan, 4.0])
    share = cumulative_share(values, np.array([0.5, 1.0, 3.0, 100.0]), n=4)
    np.testing.assert_array_equal(share, [0.0, 0.25, 0.5, 0.75])


def test_discs_on_the_face_are_as_large_as_the_error() -> None:
    offset = np.zeros((68, 2))
    offset[60] = [8.0, 6.0]
    evaluated = evaluated_with(offset)
    discs = face_figure(evaluated).axes[0].patches
    expected = (10.0 / normalisers(evaluated.true)["eye"]).mean()

    assert len(discs) == 68
    assert [disc.get_radius() for disc in discs][60] == pytest.approx(expected)
    assert sum(disc.get_radius() > 1e-9 for disc in discs) == 1


def test_the_curve_of_each_setting_is_named() -> None:
    axes = cumulative_figure(
        {"plain": evaluated_with(np.ones(2)), "b": evaluated_with(np.zeros(2))}
    )
    assert [t.get_text() for t in axes.axes[0].get_legend().get_texts()] == ["plain", "b"]
