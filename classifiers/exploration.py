"""A feature table before anything is graded: what separates, what stands out, maps of the patients.

Patients, not photographs, are counted: a patient's value is the mean over the patient's
photographs. Found for the command `explore`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pandera.pandas as pa
from numpy.typing import NDArray
from scipy.stats import rankdata
from threadpoolctl import threadpool_limits

from classifiers.graders.cohort import Cohort
from common.arrays import MAD_TO_SD
from common.bootstrap import Estimate, estimates, interval
from common.errors import UserError
from common.files import found_table, sha256_of
from common.grading.folds import folds_by
from common.grading.scores import ratio
from common.provenance import recorded
from common.tables import number, read_table, text
from features.registry import FEATURE_NAMES, FEATURES

RESAMPLES = 1000
FAR_OUT = 6.0  # robust standard deviations beyond which a value is listed
EXACT_UP_TO = 300  # patients
MOST_SHIFT, LEAST_RANK = 0.5, 0.3  # of a feature that is called portable
FEWEST_FOR_MAP = 6  # patients, for a picture that shows more than where each dot fell

SEPARABILITY = pa.DataFrameSchema(
    {
        "feature": text(unique=True),
        "region": text(),
        **estimates("rank_correlation", "superiority"),
    },
    name="separability",
)
OUTLIERS = pa.DataFrameSchema(
    {
        **{name: text() for name in ("image_id", "patient_id", "feature")},
        **{name: number() for name in ("value", "usual", "deviations")},
    },
    name="outliers",
)
STABILITY = pa.DataFrameSchema(
    {
        "feature": text(unique=True),
        "region": text(),
        **{name: number() for name in ("shift", "spread_ratio", "least_rank_correlation")},
        "portable": pa.Column(bool),
    },
    name="stability",
)
"""`stability.csv`: which features keep their meaning from site to site; see `stability`."""
MAPS = pa.DataFrameSchema(
    {"patient_id": text(unique=True), **{name: number() for name in ("pc_1", "pc_2", "tsne_1",
     "tsne_2")}},
    name="maps",
)  # fmt: skip


@dataclass(frozen=True)
class Patients:
    """One row per patient: the mean features, and the class number.

    `values` are `(n, k)`, NaN where all of the patient's usable photographs lack the feature.
    """

    names: NDArray[np.str_]
    values: pd.DataFrame
    classes: NDArray[np.int64]


@dataclass(frozen=True)
class Maps:
    """Patients on two planes, by principal components and by t-SNE (`neighbours`), `(n, 2)` each.

    `explained` `(2,)` is the share of the variance that each component holds, `between` the share
    of it that lies between classes (eta squared), with interval.
    """

    principal: NDArray[np.float64]
    neighbours: NDArray[np.float64]
    explained: NDArray[np.float64]
    between: list[Estimate]


@dataclass(frozen=True)
class Exploration:
    """What was found, as it is reported."""

    cohort: Cohort
    patients: Patients
    separability: pd.DataFrame
    outliers: pd.DataFrame
    maps: Maps | None
    stability: pd.DataFrame | None = None


def patients_of(cohort: Cohort) -> Patients:
    """Return the patients of the usable photographs, sorted by name."""
    samples = cohort.usable
    by = pd.Series(samples.patients)
    values = samples.features.groupby(by.to_numpy()).mean()
    of_patient = pd.Series(samples.labels).groupby(by).first()
    names = values.index.to_numpy(dtype=np.str_)
    classes = of_patient.loc[list(values.index)].to_numpy(dtype=np.int64)
    return Patients(names=names, values=values.reset_index(drop=True), classes=classes)


def separability(patients: Patients, *, seed: int = 0) -> pd.DataFrame:
    """Say by `SEPARABILITY` how far each feature goes along with the grade, the strongest first.

    `rank_correlation` is Spearman's with the class number; `superiority` the chance that a patient
    of a higher class than the first has a larger value than one of the first (healthy), 0.5 for no
    difference (McGraw and Wong 1992). With 95 % intervals over resampled patients; NaN where there
    is nothing to compare.
    """
    rows = []
    for entry in FEATURES:
        values = patients.values[entry.name].to_numpy(dtype=np.float64)
        known = np.flatnonzero(~np.isnan(values))
        values, classes = values[known], patients.classes[known]
        drawn = np.random.default_rng(seed).integers(
            max(1, len(known)), size=(RESAMPLES, len(known))
        )
        row: dict[str, object] = {"feature": entry.name, "region": entry.region}
        for name, of in (("rank_correlation", rank_correlation), ("superiority", superiority)):
            found = interval(float(of(values, classes)), of(values[drawn], classes[drawn]))
            row |= found.cells(name)
        rows.append(row)
    table = pd.DataFrame(rows)
    order = table["rank_correlation"].abs().sort_values(ascending=False, kind="stable").index
    return table.loc[order].reset_index(drop=True)


def rank_correlation(
    values: NDArray[np.float64], classes: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return Spearman's rank correlation over the last axis; NaN where either side is constant."""
    ranks = [rankdata(side, axis=-1) for side in (values, classes)]
    middle = (values.shape[-1] + 1) / 2  # the mean of any ranks
    one, other = (side - middle for side in ranks)
    size = np.sqrt((one**2).sum(axis=-1) * (other**2).sum(axis=-1))
    return ratio((one * other).sum(axis=-1), size)


def superiority(values: NDArray[np.float64], classes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the chance that a value of a class above 1 exceeds one of class 1; ties count half.

    Over the last axis; NaN where one of the two sides has nobody.
    """
    others = classes > 1
    n_others = others.sum(axis=-1).astype(np.float64)
    n_healthy = others.shape[-1] - n_others
    ranks = np.where(others, rankdata(values, axis=-1), 0.0).sum(axis=-1)
    return ratio(ranks - n_others * (n_others + 1) / 2, n_others * n_healthy)


def outliers(cohort: Cohort) -> pd.DataFrame:
    """List by `OUTLIERS` values far from those of the same movement, the furthest first.

    Those more than `FAR_OUT` robust standard deviations (1.4826 times the median absolute
    deviation) from its median: wrong landmarks, or a remarkable face.
    """
    samples = cohort.usable
    tasks = samples.rows.get("task", pd.Series("", index=samples.rows.index)).fillna("").to_numpy()
    tables = []
    for task in dict.fromkeys(tasks):
        values = samples.features[tasks == task]
        usual = values.median()
        spread = (values - usual).abs().median() * MAD_TO_SD
        away = (values - usual).abs() / spread.where(spread > 0)
        far = away.stack()
        far = far[far > FAR_OUT]
        at, names = far.index.get_level_values(0), far.index.get_level_values(1)
        who = samples.rows.loc[at, ["image_id", "patient_id"]].reset_index(drop=True)
        tables.append(
            who.assign(
                feature=names,
                value=[values.at[row, name] for row, name in far.index],
                usual=usual.loc[names].to_numpy(),
                deviations=far.to_numpy(),
            )
        )
    table = pd.concat(tables).astype(dict.fromkeys(("image_id", "patient_id", "feature"), "str"))
    return table.sort_values("deviations", ascending=False, kind="stable").reset_index(drop=True)


def maps(patients: Patients, *, seed: int = 0) -> Maps | None:
    """Lay the patients out on two planes; None with fewer than `FEWEST_FOR_MAP` patients.

    Features are standardised over patients; a missing mean takes the median, a constant feature
    says nothing.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    if len(patients.names) < FEWEST_FOR_MAP:
        return None
    values = patients.values.fillna(patients.values.median()).fillna(0.0).to_numpy()
    spread = values.std(axis=0)
    scaled = (values - values.mean(axis=0)) / np.where(spread > 1e-12, spread, 1.0)
    pca = PCA(n_components=2, svd_solver="full")
    principal = pca.fit_transform(scaled)
    # Exact up to a size at which it takes seconds; threads would only wait for each other.
    method = "exact" if len(scaled) <= EXACT_UP_TO else "barnes_hut"
    perplexity = min(30.0, (len(scaled) - 1) / 3)
    with threadpool_limits(limits=1):
        near = TSNE(
            perplexity=perplexity, init="pca", random_state=seed, method=method
        ).fit_transform(scaled)
    drawn = np.random.default_rng(seed).integers(len(scaled), size=(RESAMPLES, len(scaled)))
    between = [
        interval(
            between_classes(axis, patients.classes),
            np.array([between_classes(axis[at], patients.classes[at]) for at in drawn]),
        )
        for axis in principal.T
    ]
    return Maps(principal, np.asarray(near, np.float64), pca.explained_variance_ratio_, between)


def between_classes(values: NDArray[np.float64], classes: NDArray[np.int64]) -> float:
    """Return the share of the variance that lies between classes (eta squared), 0 to 1."""
    total = float(np.square(values - values.mean()).sum())
    if total <= 0:
        return float("nan")
    _, at, counts = np.unique(classes, return_inverse=True, return_counts=True)
    fitted = (np.bincount(at, weights=values) / counts)[at]
    return float(np.square(fitted - values.mean()).sum()) / total


def stability(cohort: Cohort, *, by: str) -> pd.DataFrame:
    """Say by `STABILITY` whether each feature keeps its meaning from site to site, steadiest first.

    Values are taken minus the median of their class over all sites; a patient at two sites counts
    at both. `shift`: largest difference between medians of two sites, in robust standard deviations
    within sites and classes; `spread_ratio`: largest over smallest spread of a site;
    `least_rank_correlation`: the smallest size of Spearman's with the class at a site, 0 where it
    changes sign. `portable`: at most `MOST_SHIFT`, and `LEAST_RANK` or more everywhere.
    """
    samples = cohort.usable
    _, names = folds_by(samples.rows, column=by)
    site = samples.rows[by].astype(str).to_numpy()
    keys = [pd.Series(site, name="site"), pd.Series(samples.patients, name="patient")]
    values = samples.features.groupby(keys).mean()
    classes = pd.Series(samples.labels).groupby(keys).first().to_numpy()
    at = values.index.get_level_values("site").to_numpy()
    rows = []
    for entry in FEATURES:
        own = values[entry.name]
        off = (own - own.groupby(classes).transform("median")).to_numpy(dtype=np.float64)
        middles = np.array([np.nanmedian(off[at == name]) for name in names])
        within = off - np.array([middles[names.index(name)] for name in at])
        sd = float(np.nanmedian(np.abs(within))) * MAD_TO_SD
        spreads = np.array([np.nanmedian(np.abs(within[at == name])) for name in names])
        found = own.to_numpy(dtype=np.float64)
        ranks = np.array([
            rank_correlation(found[here], classes[here])
            for here in ((at == name) & ~np.isnan(found) for name in names)
        ])  # fmt: skip
        least = float(np.abs(ranks).min()) if abs(np.sign(ranks).sum()) == len(names) else 0.0
        shift = float(np.ptp(middles)) / sd if sd > 0 else np.nan
        rows.append(
            {
                "feature": entry.name,
                "region": entry.region,
                "shift": shift,
                "spread_ratio": spreads.max() / spreads.min() if spreads.min() > 0 else np.nan,
                "least_rank_correlation": least,
                "portable": bool(shift <= MOST_SHIFT and least >= LEAST_RANK),
            }
        )
    return pd.DataFrame(rows).sort_values("shift", kind="stable", ignore_index=True)


@dataclass(frozen=True)
class Portable:
    """The features that a `stability.csv` calls portable; `features` are None without a table."""

    path: Path | None = None
    features: list[str] | None = None

    @classmethod
    def read(cls, path: Path | None) -> Portable:
        """Read the table; unknown features, and none that is portable, are refused."""
        if path is None:
            return cls()
        table = read_table(path, schema=STABILITY)
        if strangers := sorted(set(table["feature"]) - set(FEATURE_NAMES)):
            raise UserError(
                f'{path} names the feature "{strangers[0]}", which there is not: give the table '
                "that explore --by wrote."
            )
        portable = set(table.loc[table["portable"], "feature"])
        if not portable:
            raise UserError(
                f"{path} calls no feature portable: there is nothing left to grade by; look at "
                "its shifts, or grade without --portable."
            )
        return cls(path, [name for name in FEATURE_NAMES if name in portable])

    @property
    def settings(self) -> dict[str, object]:
        """What a run records of it."""
        if self.path is None or self.features is None:
            return {}
        return {
            "portable features": ", ".join(self.features),
            "table of portable features": f"sha256 {sha256_of(self.path)}",
        }

    def notes(self, tables: Mapping[str, Path]) -> list[str]:
        """Warn where it was made of the very tables (by role) on which graders are now tested."""
        made_of = {} if self.path is None else recorded(self.path.parent, "files")
        if (
            self.path is None
            or "features" not in made_of
            or any(
                role not in tables or file["sha256"] != sha256_of(found_table(tables[role]))
                for role, file in made_of.items()
            )
        ):
            return []
        return [
            f"{self.path.name} was made from these same tables, so that the patients tested here "
            "took part in choosing the features, and the scores may be too good: make it from "
            "the tables of other patients."
        ]


def map_table(patients: Patients, found: Maps) -> pd.DataFrame:
    """Return `maps.csv`, by `MAPS`."""
    places = np.hstack([found.principal, found.neighbours])
    table = pd.DataFrame(places, columns=["pc_1", "pc_2", "tsne_1", "tsne_2"])
    table.insert(0, "patient_id", patients.names)
    return table
