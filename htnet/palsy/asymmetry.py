"""Asymmetry by grade: what the network's asymmetry maps measure, photograph by photograph."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pandera.pandas as pa
import torch
from matplotlib.figure import Figure
from scipy.stats import kruskal, spearmanr

from common.errors import UserError
from common.files import write_json
from common.tables import GRADES, ROMAN, grade, number, write_csv, write_table
from htnet.network.configuration import ROI_REGIONS
from htnet.network.htnet import GradingNetwork, HTNet, to_input
from htnet.palsy.faces import Faces
from htnet.palsy.maps import asymmetry_maps, region_places
from htnet.palsy.pictures import write_figure

BY_GRADE = pa.DataFrameSchema(
    {
        "hb_grade": grade(),
        "patients": pa.Column(int, pa.Check.ge(1)),
        **{name: number() for name in ("mean", "low", "high", "std", "min", "max")},
    },
    name="asymmetry by grade",
)
"""`asymmetry_by_grade.csv`, one row per grade."""

_BATCH = 32
_RESAMPLES = 2000
_BLUE, _ORANGE = "#0072B2", "#D55E00"


@dataclass(frozen=True)
class AsymmetryReport:
    """Asymmetry of photographs and patients, and how it goes with the grade.

    `photographs`: `image_id`, `patient_id`, `hb_grade`, `asymmetry` (mean over all regions: 0 both
    sides alike, at most 1), and `asymmetry_forehead`, ... for each region.
    `by_grade`: `BY_GRADE`. Per grade: patients, mean over patients, the 95 % bootstrap interval of
    the mean, and standard deviation (n - 1), least and largest of the patients. Interval and
    deviation are NaN where a grade has one patient.
    `spearman`, `spearman_p`: rank correlation of the patients' asymmetry with their grade.
    `kruskal_p`: of no difference between grades (Kruskal and Wallis 1952), over patients.
    """

    photographs: pd.DataFrame
    by_grade: pd.DataFrame
    spearman: float
    spearman_p: float
    kruskal_p: float

    def sentence(self) -> str:
        """Say in words what was found."""
        return (
            f"Asymmetry and grade of {int(self.by_grade['patients'].sum())} patients: Spearman "
            f"rho {self.spearman:.2f} (p = {self.spearman_p:.2g}); difference between grades, "
            f"Kruskal-Wallis p = {self.kruskal_p:.2g}."
        )

    def write(self, out: Path) -> None:
        """Write tables, figures of the tests, and the picture."""
        write_csv(self.photographs, out / "asymmetry.csv")
        write_table(self.by_grade, out / "asymmetry_by_grade.csv", schema=BY_GRADE)
        tests = {name: getattr(self, name) for name in ("spearman", "spearman_p", "kruskal_p")}
        write_json(
            out / "asymmetry.json",
            {name: None if np.isnan(value) else value for name, value in tests.items()}
            | {"by_grade": json.loads(self.by_grade.to_json(orient="records"))},
        )
        write_figure(self.figure(), out / "asymmetry.png")

    def figure(self) -> Figure:
        """Draw each patient, and mean and interval of each grade."""
        figure = Figure(figsize=(5.2, 3.2), layout="constrained")
        axes = figure.subplots()
        patients = patient_means(self.photographs)
        rng = np.random.default_rng(0)
        spread = patients["hb_grade"] + rng.uniform(-0.16, 0.16, len(patients))
        axes.scatter(spread, patients["asymmetry"], s=14, color=_BLUE, alpha=0.6, label="a patient")
        error = np.abs(
            self.by_grade[["low", "high"]].to_numpy().T - self.by_grade["mean"].to_numpy()
        )
        axes.errorbar(
            self.by_grade["hb_grade"], self.by_grade["mean"], yerr=error, fmt="D", color=_ORANGE,
            capsize=4, label="mean, 95 % interval",
        )  # fmt: skip
        axes.set_xticks(GRADES, ROMAN)
        axes.set_xlabel("House-Brackmann grade")
        axes.set_ylabel("asymmetry of the face (0: sides alike)")
        axes.set_ylim(bottom=0)
        axes.legend(frameon=False, fontsize=8)
        for name in ("top", "right"):
            axes.spines[name].set_visible(False)
        return figure


def asymmetry_report(network: GradingNetwork, faces: Faces, rows: pd.DataFrame) -> AsymmetryReport:
    """Measure the asymmetry map over the face's regions and compare it with the grade.

    `rows` has `image_id`, `patient_id`, `hb_grade` of each face.
    UserError when the network makes no asymmetry map, or fewer than two grades are there.
    """
    if not isinstance(network, HTNet) or not network.config.use_micro_attention:
        raise UserError(
            "The asymmetry report needs a network with use_micro_attention: train one with it."
        )
    photographs = rows[["image_id", "patient_id", "hb_grade"]].reset_index(drop=True)
    photographs = pd.concat([photographs, _measured(network, faces)], axis=1)
    patients = patient_means(photographs)
    groups = [one["asymmetry"].to_numpy() for _, one in patients.groupby("hb_grade")]
    if len(groups) < 2:
        raise UserError("The asymmetry report needs photographs of two grades or more.")
    rank = spearmanr(patients["asymmetry"], patients["hb_grade"].astype(float))
    return AsymmetryReport(
        photographs=photographs,
        by_grade=_by_grade(patients),
        spearman=float(rank.statistic),
        spearman_p=float(rank.pvalue),
        kruskal_p=float(kruskal(*groups).pvalue),
    )


def patient_means(photographs: pd.DataFrame) -> pd.DataFrame:
    """Return the mean over each patient's photographs of one grade."""
    columns = ["asymmetry", *(f"asymmetry_{name}" for name in ROI_REGIONS)]
    return photographs.groupby(["patient_id", "hb_grade"])[columns].mean().reset_index()


def _measured(network: HTNet, faces: Faces) -> pd.DataFrame:
    network = network.eval()
    rows = []
    for at in range(0, len(faces), _BATCH):
        pixels, features = faces.at(torch.arange(at, min(at + _BATCH, len(faces))))
        with torch.inference_mode():
            maps = asymmetry_maps(network, to_input(pixels), features)
        assert maps is not None
        for heat, regions in zip(
            maps.double().numpy(), faces.regions[at : at + _BATCH], strict=True
        ):
            places = region_places(regions, size=faces.size)
            everywhere = np.any(list(places.values()), axis=0)
            row = {"asymmetry": float(heat[everywhere].mean())}
            for name in ROI_REGIONS:
                inside = np.any([p for key, p in places.items() if key.startswith(name)], axis=0)
                row[f"asymmetry_{name}"] = float(heat[inside].mean()) if inside.any() else np.nan
            rows.append(row)
    return pd.DataFrame(rows)


def _by_grade(patients: pd.DataFrame) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = []
    for hb_grade, one in patients.groupby("hb_grade"):
        values = one["asymmetry"].to_numpy()
        means = values[rng.integers(0, len(values), (_RESAMPLES, len(values)))].mean(axis=1)
        low, high = np.quantile(means, [0.025, 0.975]) if len(values) > 1 else (np.nan, np.nan)
        rows.append(
            {"hb_grade": int(str(hb_grade)), "patients": len(values), "mean": values.mean(),
             "low": low, "high": high, "std": one["asymmetry"].std(), "min": values.min(),
             "max": values.max()}
        )  # fmt: skip
    return pd.DataFrame(rows)
