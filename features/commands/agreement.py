"""The command `agreement`: two raters' points of the same photographs, and what they measure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pandera.pandas as pa
from matplotlib.figure import Figure
from numpy.typing import NDArray

from common.bootstrap import interval, resampling_weights, summed_by
from common.errors import UserError
from common.figures import OKABE_ITO, calm
from common.grading.agreement_scores import icc_a1, limits_of_agreement, pair_sums
from common.provenance import write_run_record
from common.report import Report
from common.tables import number, text, write_table
from common.words import counted
from features.definitions import STANDARD, DefinitionName, measure
from features.registry import FEATURES
from features.tables import patients_beside
from landmarks.points import LEFT_EYE_OUTER, N_POINTS, REGIONS, RIGHT_EYE_OUTER
from landmarks.tables import POINT_AGREEMENT, points_of, read_landmarks

FEWEST = 3  # photographs that both raters have
FEW_PATIENTS = 10  # below, the report warns
_SHOWN = 6  # Bland-Altman pictures of the least repeatable features

FEATURE_AGREEMENT = pa.DataFrameSchema(
    {
        "feature": text(),
        "photographs": pa.Column(int),
        "patients": pa.Column(int),
        **{
            name: number()
            for name in (
                "bias", "limit_low", "limit_high", "smallest_detectable_change",
                "icc", "icc_low", "icc_high",
            )
        },
    },
    name="agreement of features",
)  # fmt: skip
"""`agreement_features.csv`, in the unit of the feature. `bias` is the mean of B minus A, the limits
hold 95 % of the differences (Bland and Altman 1986), the smallest detectable change is 1.96 times
the standard deviation of the differences, and `icc` is ICC(A,1) of McGraw and Wong 1996 with a 95 %
interval that resamples patients."""


@dataclass(frozen=True)
class Agreement:
    """How far two raters agree: `points` by POINT_AGREEMENT, `features` by FEATURE_AGREEMENT.

    Without `patients_known` each photograph counts as a patient.
    """

    points: pd.DataFrame
    features: pd.DataFrame
    photographs: int
    patients: int
    patients_known: bool


def agreement(
    a: Path, b: Path, *, out: Path, definition: DefinitionName = STANDARD, seed: int = 0
) -> Agreement:
    """Compare two landmark tables of the same photographs: two raters, or one rater twice.

    Writes agreement_points.csv, agreement_features.csv, report.html and run.json: per point the
    distance between the raters, per feature bias, limits of agreement, smallest detectable change
    and ICC(A,1). A photograph counts when both have points for it. Give the model's own table as A
    to see what a rater changed.

    Parameters
    ----------
    a
        landmarks.csv of the first rater, as review leaves it in TABLES/corrected-RATER.
    b
        landmarks.csv of the second rater, or of the same one later.
    out
        Folder for the tables and the report.
    definition
        standard, huo2022 or parra2021: how features are defined.
    seed
        Seed of the intervals.
    """
    first, second = read_landmarks(a), read_landmarks(b)
    both = first.merge(second[["image_id", "status"]], on="image_id", suffixes=("", "_b"))
    ids = both.loc[(both["status"] == "ok") & (both["status_b"] == "ok"), "image_id"]
    if len(ids) < FEWEST:
        raise UserError(
            f"{a} and {b} share {counted(len(ids), 'photograph')} with points: agreement needs "
            f"{FEWEST} at least."
        )
    points = [points_of(table.set_index("image_id").loc[ids]) for table in (first, second)]
    named = patients_beside(a)
    patients = np.array([named.get(image_id, image_id) for image_id in ids], dtype=np.str_)
    values = [measure(each, definition=definition).features for each in points]
    found = Agreement(
        points=point_agreement(*points),
        features=feature_agreement(*values, patients=patients, seed=seed),
        photographs=len(ids),
        patients=len(np.unique(patients)),
        patients_known=bool(named),
    )
    write_table(found.points, out / "agreement_points.csv", schema=POINT_AGREEMENT)
    write_table(found.features, out / "agreement_features.csv", schema=FEATURE_AGREEMENT)
    _report(found, values).write(out / "report.html")
    write_run_record(
        out,
        command="agreement",
        settings={"a": a.name, "b": b.name, "definition": definition},
        seed=seed,
        files={"a": a, "b": b},
        counts={"photographs": found.photographs, "patients": found.patients},
        notes={"only in one": len(first) + len(second) - 2 * len(both)},
    )
    print(f"{_summary(found)} Report in {out / 'report.html'}")
    return found


def point_agreement(a: NDArray[np.float64], b: NDArray[np.float64]) -> pd.DataFrame:
    """Return how far two raters' points lie apart, by POINT_AGREEMENT.

    `a`, `b`: `(n, 68, 2)` px of the same photographs.
    """
    eyes = np.stack([each[:, LEFT_EYE_OUTER] - each[:, RIGHT_EYE_OUTER] for each in (a, b)])
    off = 100.0 * (b - a) / np.hypot(eyes[..., 0], eyes[..., 1]).mean(axis=0)[:, None, None]
    apart = np.hypot(off[..., 0], off[..., 1])
    regions = {point: name for name, points in REGIONS.items() for point in points}
    return pd.DataFrame(
        {
            "point": np.arange(N_POINTS),
            "region": [regions[point] for point in range(N_POINTS)],
            "photographs": len(a),
            "mean": apart.mean(axis=0),
            "median": np.median(apart, axis=0),
            "p95": np.quantile(apart, 0.95, axis=0),
            "bias_x": off[..., 0].mean(axis=0),
            "bias_y": off[..., 1].mean(axis=0),
        }
    )


def feature_agreement(
    a: pd.DataFrame, b: pd.DataFrame, *, patients: NDArray[np.str_], seed: int = 0
) -> pd.DataFrame:
    """Return bias, limits, smallest detectable change and ICC(A,1) per feature.

    `a`, `b`: features of the same photographs by both raters; a photograph without a value in
    either is left out for that feature.
    `patients`: `(n,)` patient of each photograph; whole patients are resampled.
    """
    rows = []
    for name in a.columns:
        x, y = (each[name].to_numpy(dtype=np.float64) for each in (a, b))
        known = np.isfinite(x) & np.isfinite(y)
        x, y, (_, owner) = x[known], y[known], np.unique(patients[known], return_inverse=True)
        n_patients = int(owner.max()) + 1 if len(owner) else 0
        row: dict[str, object] = {
            "feature": name, "photographs": len(x), "patients": n_patients,
        }  # fmt: skip
        if len(x) >= FEWEST:
            apart = y - x
            bias, low, high = map(
                float,
                limits_of_agreement(np.array([apart.sum(), apart @ apart, float(len(apart))])),
            )
            sums = summed_by(pair_sums(x, y), owner, n=n_patients)
            weights = resampling_weights(n_patients, seed=seed)
            icc = interval(float(icc_a1(sums.sum(axis=0))), icc_a1(weights @ sums))
            row |= {
                "bias": bias,
                "limit_low": low,
                "limit_high": high,
                "smallest_detectable_change": (high - low) / 2,
                "icc": icc.value,
                "icc_low": icc.low if n_patients > 1 else np.nan,
                "icc_high": icc.high if n_patients > 1 else np.nan,
            }
        rows.append(row)
    return pd.DataFrame(rows).reindex(columns=list(FEATURE_AGREEMENT.columns))


def _summary(found: Agreement) -> str:
    inner = found.points[found.points["region"] != "jaw"]
    return (
        f"{counted(found.photographs, 'photograph')} of {counted(found.patients, 'patient')}: the "
        f"raters' points of brows, eyes, nose and mouth lie {inner['mean'].mean():.2f} % of the "
        f"outer-eye distance apart; the median ICC of the features is "
        f"{found.features['icc'].median():.2f}."
    )


def _report(found: Agreement, values: list[pd.DataFrame]) -> Report:
    report = Report(title="Agreement of two raters", summary=_summary(found))
    if found.patients < FEW_PATIENTS:
        report.warn(
            f"There are only {counted(found.patients, 'patient')}: the intervals tell little."
        )
    if not found.patients_known:
        report.warn(
            "Nobody says which photographs show the same patient (features.csv beside A with "
            "patient_id): each counts as a patient, so that the intervals are too narrow."
        )
    section = report.section("Points")
    section.text(
        "Distance between both raters' points, percent of the outer-eye distance, over photographs "
        "and the points of a region."
    )
    by_region = found.points.groupby("region", sort=False)[["mean", "median", "p95"]].mean()
    by_region.index = by_region.index.str.replace("_", " ")
    section.table(by_region.rename(columns={"p95": "95 % lie below"}).reset_index())
    section = report.section("Features")
    section.text(
        "Bias is B minus A; 95 % of the differences lie between the limits; a change below the "
        "smallest detectable one may be the rater's own; ICC(A,1) with its 95 % interval over "
        "patients."
    )
    table = found.features.drop(columns=["photographs", "patients"])
    table.columns = table.columns.str.replace("_", " ").str.replace("icc", "ICC")
    table.insert(1, "meaning", [entry.meaning for entry in FEATURES])
    section.table(table, digits=3)
    section.figure(
        _bland_altman(found, values),
        alt="Difference against mean for the features on which the raters agree least.",
    )
    return report


def _bland_altman(found: Agreement, values: list[pd.DataFrame]) -> Figure:
    """Draw the features of the lowest ICC: B minus A against the mean of both."""
    worst = found.features.dropna(subset=["icc"]).nsmallest(_SHOWN, "icc")
    figure = Figure(figsize=(9.0, 5.6), layout="constrained")
    panels = figure.subplots(2, _SHOWN // 2, squeeze=False)
    for axes in panels.flat[len(worst) :]:
        axes.set_visible(False)
    for axes, row in zip(panels.flat, worst.itertuples(), strict=False):
        a, b = (each[row.feature].to_numpy(dtype=np.float64) for each in values)
        axes.scatter((a + b) / 2, b - a, s=14, color=OKABE_ITO[0], alpha=0.6)
        axes.axhline(row.bias, color=OKABE_ITO[1])
        for limit in (row.limit_low, row.limit_high):
            axes.axhline(limit, color=OKABE_ITO[1], linestyle="--")
        axes.set_title(f"{row.feature}: ICC {row.icc:.2f}", fontsize=9)
        axes.set_xlabel("mean of A and B")
        axes.set_ylabel("B − A")
        calm(axes)
    return figure
