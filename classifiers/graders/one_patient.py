"""What a stored grader says of one new patient: a row of `grades.csv`, and the same in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from classifiers.graders.cohort import Samples
from classifiers.graders.explain import part_sentences, region_effects, tree_sentences
from classifiers.graders.familiarity import FAR_OUT, Likeness, widened
from classifiers.graders.model_store import StoredModel
from classifiers.graders.patients import (
    LEAST_SIDE,
    learned_movements,
    missing_movements,
    why_not_graded,
)
from classifiers.reports.patient_page import Answer
from classifiers.reports.side_readings import Reading
from common.grading.calibration import interval_in_words, range_in_words, range_title
from common.grading.numeric_target import NumericTarget
from common.words import counted

SEEN = "Was used to recalibrate the model"
INTERVAL = range_title().replace("Likely range", "Interval")
STRETCHED = 1.5  # times as wide is the interval of a patient unlike those learned from
PROBABILITY = "Probability"


def answer_to(
    model: StoredModel,
    rows: Samples,
    photographs: pd.DataFrame,
    *,
    uneven: list[Reading],
    likeness: Likeness,
) -> tuple[dict[str, object], Answer]:
    """Return the patient's row of the table, and the same in words."""
    missing = missing_movements(rows, model.card.inputs)
    row: dict[str, object] = {
        "photographs": len(photographs),
        "used": 0 if rows.rows.empty else int((photographs["status"] == "ok").sum()),
        "missing": ", ".join(missing) or None,
        "side": "unknown",
    }
    if rows.rows.empty:
        found = ", ".join(sorted(set(photographs["status"].astype(str)) - {"ok"})) or "no features"
        reason = f"none of {counted(len(photographs), 'photograph')} could be measured ({found})"
        return row | {"status": "failed", "reason": reason}, _not_graded(reason)
    seen = None
    if model.local is not None:
        seen = model.local.saw(photographs, columns=model.card.columns)
    known = None if seen is None else f"{SEEN} ({seen})."
    row |= {
        "distance": likeness.distance,
        "caution": " ".join(said for said in (known, likeness.differs) if said) or None,
    }
    why = [item.sentence() for item in uneven]
    lacks = why_not_graded(missing, learned_movements(model.card.inputs))
    if lacks is None and likeness.distance > FAR_OUT:
        lacks = (
            f"the measurements lie {likeness.distance:.1f} times as far out as those of any "
            "patient whom the grader learned from"
        )
    if lacks is not None:
        row |= {"status": "abstained", "reason": lacks, "why": " ".join(why)}
        return row, _not_graded(lacks)
    return _answered(model, row, rows, why=why, unlike=likeness.differs is not None)


def _answered(
    model: StoredModel, row: dict[str, object], rows: Samples, *, why: list[str], unlike: bool
) -> tuple[dict[str, object], Answer]:
    """Return the row and the words of who gets an answer.

    A grader of photographs has ranges for photographs only: they promise nothing of a mean.
    """
    grader, target = model.grader, model.card.question
    found = grader.answers(rows).mean(axis=0)
    effects = region_effects(grader, rows, typical=model.card.data["typical"]).mean()
    worth: dict[str, float] = {str(part): float(effect) for part, effect in effects.items()}
    reasons = part_sentences(grader, worth)
    ends: tuple[Any, Any] | None = None
    if model.card.unit == "patient" and grader.ranges is not None:
        wider = STRETCHED if unlike else 1.0
        low, high = np.asarray(grader.bounds(rows, found[None], target=target, stretch=wider))[0]
        ends = low.item(), high.item()
    if isinstance(target, NumericTarget):
        low, high = ends or (None, None)
        cells: dict[str, object] = {"predicted": float(found), "low": low, "high": high}
        side, chance = _weak_side(model, rows)
        within = "" if ends is None else f" {INTERVAL}: {interval_in_words(*ends)}."
        name, rises = f"{found:.0f}", target.healthy == "high"
        answer = Answer(
            worth={region: -effect if rises else effect for region, effect in worth.items()},
            rises=rises,
        )
    else:
        number = int(target.answers(found[None])[0])
        name, within = target.spoken[number - 1], ""
        reasons += tree_sentences(grader, rows, number=number, name=name)
        if ends is not None:
            low, high = widened(ends, n_classes=len(target.classes)) if unlike else ends
            within = f" {range_title()}: {range_in_words(low, high, target.spoken)}."
            ends = low, high
        low, high = ends or (None, None)
        cells = {
            "predicted": str(target.named(np.array([number]))[0]),
            **dict(zip(target.probability_columns, found.tolist(), strict=True)),
            "set_low": low,
            "set_high": high,
        }
        if target.column == "side":
            side, chance = _sure(target.classes[number - 1], float(found[number - 1]))
        else:
            side, chance = ("none", None) if number == 1 else _weak_side(model, rows)
        table = pd.DataFrame([found], columns=list(target.spoken))
        table.insert(0, "", PROBABILITY)
        answer = Answer(table=table, worth=worth)
    row |= {"status": "ok", "reason": None, **cells, "side": side, "p_side": chance}
    row["why"] = " ".join([*why, *reasons])
    words = _in_words(row, f"Answer: {name}", within=within)
    return row, replace(answer, summary=(words,), reasons=reasons)


def _not_graded(reason: str) -> Answer:
    return Answer(summary=(f"Not graded: {reason}.",))


def _weak_side(model: StoredModel, rows: Samples) -> tuple[str, float | None]:
    """Return the weak side of a patient with palsy and its probability, as far as it is sure."""
    severity: Any = getattr(model.grader.columns, "severity_", None)
    if not hasattr(severity, "error_"):
        return "unknown", None
    left, sure = severity.weak_sides(rows.features)
    return _sure("left" if left[0] else "right", float(sure[0]))


def _sure(side: str, chance: float) -> tuple[str, float | None]:
    """Return a side and its probability; `unknown` when it is not probable enough."""
    return (side, chance) if chance >= LEAST_SIDE else ("unknown", None)


def _in_words(row: Mapping[str, Any], answer: str, *, within: str) -> str:
    """Say the answer, what was missing, the likely range and the side."""
    words = f"{answer}, from {row['used']} of {counted(row['photographs'], 'photograph')}."
    if row["missing"] is not None:
        words += f" Missing: {row['missing']}."
    words += within
    if row["caution"] is not None:
        words += f" {row['caution']}"
    if row["p_side"] is not None:
        words += (
            f" The patient's {row['side']} side is the weaker one "
            f"(probability {row['p_side']:.2f})."
        )
    elif row["side"] != "none":
        words += " Which side is weaker cannot be told."
    return words
