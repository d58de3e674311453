"""What a training changed: errors of both models on held-out photographs, and the report of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from common.report import Report
from common.tables import write_table
from common.words import spoken
from landmarks.check.errors import ERRORS, error_table, evaluate, part_errors
from landmarks.check.scores import in_one_row, patient_intervals
from landmarks.review.remaining import NEIGHBOURS, POINT_SHARE, Remaining

_PARTS = ("all", "inner", "right_eye", "left_eye", "mouth", "paralysed_side", "healthy_side")


def compare_models(
    people: pd.DataFrame,
    *,
    truth: pd.DataFrame,
    before: pd.DataFrame,
    after: pd.DataFrame,
    out: Path,
    seed: int,
) -> pd.DataFrame:
    """Return errors of both models on held-out photographs; writes each photograph's as tables.

    One row per part of the face: `before`, `after` and `change` with limits, percent of the
    outer-eye distance, and `photographs`.
    """
    pair = {"before": before, "after": after}
    evaluated = {name: evaluate(table, truth, people) for name, table in pair.items()}
    for name, one in evaluated.items():
        write_table(error_table(one), out / f"errors_{name}.csv", schema=ERRORS)
    errors = {name: part_errors(one) for name, one in evaluated.items()}
    patients = people["patient_id"].to_numpy()
    rows = {}
    for part in _PARTS:
        old, new = (errors[name][part]["nrmse_eye"] for name in pair)
        both = np.isfinite(old) & np.isfinite(new)
        if not both.any():
            continue  # no palsied side is named
        values = np.column_stack([old, new, new - old])[both]
        found = patient_intervals(values, patients[both], seed=seed)
        rows[part] = in_one_row(found, (*pair, "change")) | {"photographs": int(both.sum())}
    return pd.DataFrame.from_dict(rows, orient="index")


def training_report(
    errors: pd.DataFrame, *, learned: str, limits: str, remaining: Remaining | None
) -> Report:
    """Build the report of a training, of `errors` as `compare_models` gives them.

    `learned`: a sentence on what was learned from. `limits`: in words, when a point counts as off.
    `remaining`: what is left to correct; None where the points come from no review.
    """
    report = Report(title="A landmark model of your own photographs", summary=learned)
    if remaining is not None:
        section = report.section("How much remains to be corrected")
        for sentence in remaining.sentences():
            section.text(sentence)
        section.text(
            f"A photograph needs correction when more than {100 * POINT_SHARE:.0f} % of its 51 "
            "points (brows, eyes, nose, mouth) lie further from where the person put them than "
            f"{limits}. A photograph that nobody looked at counts with the share that needs it "
            f"among the {NEIGHBOURS} held-out ones nearest in uncertainty (of the points that were "
            "reviewed). Intervals of 95 % resample whole patients."
        )
    section = report.section("Errors on held-out patients")
    section.text(
        "Root mean square distance between the model's points and the corrected ones, percent of "
        "the outer-eye distance, mean over photographs, with 95 % intervals over patients."
    )
    section.table(
        {
            "Part": spoken(part),
            "Photographs": int(row["photographs"]),
            **{
                name.capitalize(): f"{row[name]:.2f} ({row[f'{name}_low']:.2f} to "
                f"{row[f'{name}_high']:.2f})"
                for name in ("before", "after", "change")
            },
        }
        for part, row in errors.iterrows()
    )
    return report
