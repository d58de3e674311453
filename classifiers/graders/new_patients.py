"""Grade patients with a stored grader, from the tables of `extract`.

Comes from `classifiers.graders.model_store` and `features.csv` with its neighbours; gives one row
per patient: grade, probabilities, side and reasons. Whoever cannot be graded keeps a row with the
reason why.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa
from numpy.typing import NDArray

from classifiers.graders.cohort import Samples
from classifiers.graders.explain import region_effects, tree_values
from classifiers.graders.missing_movements import (
    LEAST_SIDE,
    learned_movements,
    missing_movements,
    weak_side,
    why_not_graded,
)
from classifiers.graders.model_store import SUMS_FILE, StoredModel
from classifiers.graders.patients import patient_samples
from classifiers.reports.patient_pages import Answer, Material, read_material
from classifiers.reports.side_readings import Reading, Spread, most_uneven
from common.errors import UserError
from common.exit_codes import exit_code_for
from common.files import natural_key
from common.grading.calibration import range_in_words, range_title
from common.grading.plots import roman
from common.grading.target import Target, target_named
from common.tables import choice, join_manifest, read_manifest, text
from features.registry import DISTANCES, FEATURE_NAMES, FEATURES
from features.tables import definition_of, read_features
from landmarks.tables import LANDMARKS_FILE

STATUSES = ("ok", "abstained", "failed")
SIDES_ANSWERED = ("right", "left", "none", "unknown")
WORTH_SAYING = 0.15  # of a class: smaller effects of a region are not told
_TYPES = {
    **dict.fromkeys(("predicted", "reason", "missing", "why"), "str"),
    **dict.fromkeys(("set_low", "set_high"), "Int64"),
}
_MEANING = {entry.name: entry.meaning for entry in (*DISTANCES, *FEATURES)}


def grades_schema(target: Target) -> pa.DataFrameSchema:
    """Return the schema of `grades.csv`: one row per patient, in natural order.

    `predicted` is the grade or the name of the class, empty unless `ok`; `abstained` is who lacks
    movements that the grader needs (`classifiers.graders.missing_movements`). `photographs` were
    given, `used` of them could be measured; `missing` names the movements that the grader learned
    from and that are not there. `set_low` and `set_high` bound the conformal set of adjacent
    classes (class numbers), empty for a grader without sets of patients. `side` is the weak side as
    a grader of patients learned it, with its probability `p_side`: `none` when the answer is
    healthy, `unknown` when it is less probable than `LEAST_SIDE` or the grader knows no sides.
    `why` says in words what was measured.
    """
    chance = pa.Check.in_range(0, 1, error="be a probability, 0 to 1")
    return pa.DataFrameSchema(
        {
            "patient_id": text(unique=True),
            "status": choice(STATUSES),
            "reason": text(nullable=True),
            "photographs": pa.Column("int64"),
            "used": pa.Column("int64"),
            "missing": text(nullable=True),
            "predicted": text(nullable=True),
            **{
                name: pa.Column(float, chance, coerce=True, nullable=True)
                for name in target.probability_columns
            },
            "set_low": pa.Column("Int64", nullable=True, coerce=True),
            "set_high": pa.Column("Int64", nullable=True, coerce=True),
            "side": choice(SIDES_ANSWERED),
            "p_side": pa.Column(float, chance, coerce=True, nullable=True),
            "why": text(nullable=True),
        },
        name="grades",
    )


@dataclass(frozen=True)
class Grades:
    """Answers for every patient.

    Attributes
    ----------
    table
        By `grades_schema`.
    answers
        The same for the pages of a report, by patient.
    material
        What the pages show; None without distances.
    reference
        Spread of right minus left in the healthy patients that the grader learned from.
    warnings
        Sentences for the top of a report.
    """

    table: pd.DataFrame
    target: Target
    answers: dict[str, Answer]
    material: Material | None
    reference: Mapping[tuple[str, str], Spread]
    warnings: list[str]

    @property
    def exit_code(self) -> int:
        """0 everybody was graded, 3 some were not, 4 nobody was."""
        graded = int((self.table["status"] == "ok").sum())
        return exit_code_for(ok=graded, failed=len(self.table) - graded)


def model_folder(path: Path) -> Path:
    """Return the model's own folder, also for the folder that `fit` wrote it into."""
    inside = path / "model"
    return inside if not (path / SUMS_FILE).is_file() and inside.is_dir() else path


def grade_tables(model: StoredModel, *, features: Path, manifest: Path | None = None) -> Grades:
    """Grade every patient of a feature table.

    Parameters
    ----------
    model
        From `load_model`.
    features
        `features.csv`; `dists.csv` and `landmarks.csv` beside it give sides and reasons.
    manifest
        Patients of the photographs, when the table does not name them.

    Raises
    ------
    UserError
        When the table has another feature definition than the model, lacks columns or patients.
    """
    card, target = model.card, target_named(model.card.target)
    table = read_features(features)
    if manifest is not None:
        table = join_manifest(table, read_manifest(manifest), measured=FEATURE_NAMES)
    card.refuse_other_features(
        definition=definition_of(features), columns=list(table.columns), source=features
    )
    if "patient_id" not in table.columns:
        raise UserError(f'{features} has no column "patient_id": give a manifest (--manifest).')
    rows = _rows_of(table, model=model, features=features)
    material = read_material(features, manifest=manifest)
    reference = {
        (movement, part): Spread(mean, sd)
        for movement, part, mean, sd in card.data["healthy_sides"]
    }
    found, answers = [], {}
    named = table["patient_id"].astype(str).where(table["patient_id"].notna())
    for patient in sorted(set(named.dropna()), key=natural_key):
        own = np.flatnonzero(rows.patients == patient)
        row, answer = _one_patient(
            model,
            target,
            patient,
            rows.at(own),
            table[named == patient],
            readings=[] if material is None else material.readings(patient),
            reference=reference,
        )
        found.append(row)
        answers[patient] = answer
    columns = list(grades_schema(target).columns)
    return Grades(
        table=pd.DataFrame(found, columns=columns).astype(_TYPES),
        target=target,
        answers=answers,
        material=material,
        reference=reference,
        warnings=_warnings(model, table, named, definition=definition_of(features)),
    )  # fmt: skip


def _rows_of(table: pd.DataFrame, *, model: StoredModel, features: Path) -> Samples:
    """Return what the grader answers, photographs or patients; grades in the table are not used."""
    card = model.card
    values = table[card.columns].astype(np.float64).replace([np.inf, -np.inf], np.nan)
    named = table["patient_id"].notna() & (table["status"] == "ok") & ~values.isna().all(axis=1)
    rows = table[named].assign(hb_grade=1)
    rows = rows.drop(columns=["side", "palsy_class"], errors="ignore")
    photographs = Samples(
        rows=rows.reset_index(drop=True),
        features=values[named].reset_index(drop=True),
        labels=np.ones(len(rows), dtype=np.int64),
        patients=rows["patient_id"].to_numpy(dtype=np.str_),
    )
    if card.unit == "photograph" or rows.empty:
        return photographs
    patients = patient_samples(photographs, landmarks=features.with_name(LANDMARKS_FILE))
    # Movements that the grader never saw have no place; those that are not there are missing.
    return replace(patients, features=patients.features.reindex(columns=card.inputs))


def _one_patient(
    model: StoredModel,
    target: Target,
    patient: str,
    rows: Samples,
    photographs: pd.DataFrame,
    *,
    readings: list[Reading],
    reference: Mapping[tuple[str, str], Spread],
) -> tuple[dict[str, object], Answer]:
    """Return the patient's row of the table, and the same in words."""
    used = 0 if rows.rows.empty else int((photographs["status"] == "ok").sum())
    missing = missing_movements(rows, model.card.inputs)
    row: dict[str, object] = {
        "patient_id": patient,
        "photographs": len(photographs),
        "used": used,
        "missing": ", ".join(missing) or None,
        "side": "unknown",
    }
    if rows.rows.empty:
        found = ", ".join(sorted(set(photographs["status"].astype(str)) - {"ok"})) or "no features"
        reason = f"none of {len(photographs)} photographs could be measured ({found})"
        row |= {"status": "failed", "reason": reason}
        return row, Answer(summary=(f"Not graded: {reason}.",))
    uneven = [
        item.sentence() for item in most_uneven(readings, reference=reference or None, count=3)
    ]
    lacks = why_not_graded(missing, learned_movements(model.card.inputs))
    if lacks is not None:
        row |= {"status": "abstained", "reason": lacks, "why": " ".join(uneven)}
        return row, Answer(summary=(f"Not graded: {lacks}.",))
    chances = model.grader.probabilities(rows).mean(axis=0)
    number = int(target.answers(chances[None])[0])
    name = roman(target)[number - 1]
    reasons = [*_part_sentences(model, rows), *_tree_sentences(model, rows, number, name)]
    low, high = _set(model, chances)
    side, chance = _side(model, target, number, rows, chances)
    row |= {
        "status": "ok",
        "reason": None,
        "predicted": str(target.named(np.array([number]))[0]),
        **dict(zip(target.probability_columns, chances.tolist(), strict=True)),
        "set_low": low,
        "set_high": high,
        "side": side,
        "p_side": chance,
        "why": " ".join([*uneven, *reasons]),
    }
    return row, _answer(row, target, name=name, chances=chances, reasons=reasons)


def _set(model: StoredModel, chances: NDArray[np.float64]) -> tuple[int | None, int | None]:
    """Return lowest and highest class of the patient's conformal set; None when there is none.

    A grader of photographs has sets for photographs only: they promise nothing of a mean.
    """
    sets = model.grader.sets
    if sets is None or model.card.unit == "photograph":
        return None, None
    low, high = sets.of(chances[None])[0]
    return int(low), int(high)


def _side(
    model: StoredModel,
    target: Target,
    number: int,
    rows: Samples,
    chances: NDArray[np.float64],
) -> tuple[str, float | None]:
    """Return the weak side and its probability; `unknown` when it is not probable enough."""
    severity: Any = getattr(model.grader.columns, "severity_", None)
    if target.column == "side":
        side, chance = target.classes[number - 1], float(chances[number - 1])
    elif number == 1:
        return "none", None
    elif not hasattr(severity, "error_"):
        return "unknown", None
    else:
        side, chance = weak_side(severity, rows)
    return (side, chance) if chance >= LEAST_SIDE else ("unknown", None)


def _answer(
    row: Mapping[str, object],
    target: Target,
    *,
    name: str,
    chances: NDArray[np.float64],
    reasons: list[str],
) -> Answer:
    names = roman(target)
    low, high = row["set_low"], row["set_high"]
    within = (
        ""
        if low is None
        else f" {range_title()}: {range_in_words(int(str(low)), int(str(high)), names)}."
    )
    side = "" if row["side"] == "none" else " Which side is weaker cannot be told."
    if row["p_side"] is not None:
        side = (
            f" The patient's {row['side']} side is the weaker one "
            f"(probability {row['p_side']:.2f})."
        )
    lacks = "" if row["missing"] is None else f" Missing: {row['missing']}."
    return Answer(
        summary=(
            f"Answer: {name}, from {row['used']} of {row['photographs']} photographs."
            f"{lacks}{within}{side}",
        ),
        table=pd.DataFrame({"": ["Probability"], **{n: [c] for n, c in zip(names, chances,
                                                                          strict=True)}}),
        reasons=reasons,
    )  # fmt: skip


def _part_sentences(model: StoredModel, rows: Samples) -> list[str]:
    """Say which parts of the face moved the answer, compared with healthy ones."""
    effects = region_effects(model.grader, rows, typical=model.card.data["typical"]).mean()
    told = effects[effects.abs() >= WORTH_SAYING].sort_values(ascending=False, kind="stable")
    if told.empty:
        return []
    parts = [
        f"the {region} {abs(effect):.1f} {'lower' if effect > 0 else 'higher'}"
        for region, effect in told.items()
    ]
    return [
        "With one part of the face as in healthy people, the expected class would be: "
        f"{', '.join(parts)}."
    ]


def _tree_sentences(model: StoredModel, rows: Samples, number: int, name: str) -> list[str]:
    """Name the features that spoke most for the answer, in graders made of trees."""
    found = tree_values(model.grader, rows)
    if found is None or number not in found.classes:
        return []
    at = int(np.flatnonzero(found.classes == number)[0])
    mean = pd.Series(found.values[:, :, at].mean(axis=0), index=found.columns)
    strongest = mean.sort_values(ascending=False, kind="stable").head(3)
    spoken = ", ".join(
        f"{column} ({_meaning(str(column))}) {value:+.2f}" for column, value in strongest.items()
    )
    return [f"What spoke most for {name}, in log-odds: {spoken}."]


def _meaning(column: str) -> str:
    """Return what a column tells, in words."""
    how, _, what = column.rpartition(".")
    if column == "severity":
        return "one-sidedness of the face in all movements"
    if how in ("lack", "reach"):
        movement = what.replace("_", " ")
        return {"lack": f"how far the weak side lags in {movement}",
                "reach": f"how far {movement} goes"}[how]  # fmt: skip
    meaning = _MEANING.get(what, what)
    summary = {"mean": ", mean over photographs", "worst": ", largest of all photographs"}
    return f"{meaning[0].lower()}{meaning[1:]}{summary.get(how, '')}"


def _warnings(
    model: StoredModel, table: pd.DataFrame, named: pd.Series, *, definition: str | None
) -> list[str]:
    sentences = list(model.warnings)
    card = model.card
    if card.data["simulated"] == "yes":
        sentences.append(
            "The model learned from simulated patients: its answers mean nothing for real ones."
        )
    if definition is None:
        sentences.append(
            "With which feature definition the table was measured is not recorded; the model needs "
            f"{card.definition}."
        )
    failed = int((table["status"] != "ok").sum())
    if failed:
        sentences.append(f"{failed} of {len(table)} photographs could not be measured.")
    nobody = int(named.isna().sum())
    if nobody:
        sentences.append(f"{nobody} photographs belong to no patient and were not graded.")
    return sentences
