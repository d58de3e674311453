"""Grades of new photographs and of new patients, from the answers of one or several networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pandera.pandas as pa
from numpy.typing import NDArray

from common.arrays import Places
from common.files import natural_key, patient_of
from common.grading.calibration import ScoreIntervals, interval_in_words, tempered
from common.grading.numeric_target import AnyTarget, NumericTarget, answered_by, shown
from common.grading.target import VISIT
from common.tables import STATUSES, choice, number, read_table, text
from htnet.network.configuration import SIDE_CLASSES
from htnet.network.heads import ZONES
from htnet.network.losses import SCORE_STEPS
from htnet.palsy.answers import score_answers
from htnet.palsy.asking import Answers
from htnet.palsy.sureness import PatientReach, PatientTemperature, Sureness
from htnet.palsy.training import PATIENTS, PHOTOGRAPHS, SEEN_PATIENTS, SEEN_PHOTOGRAPHS
from landmarks.find.source import Source

SEEN = "seen_in_training"
SEEN_ANSWERS = ("no", "unknown", "patient", "photograph")  # the later the worse
_NAMED = 5  # patients named in a sentence
SIDE_COLUMNS = tuple(f"p_{side}" for side in SIDE_CLASSES)
ZONE_COLUMNS = tuple(f"weak_{zone}_{side}" for side in ("right", "left") for zone in ZONES)
Together = Callable[[Places], Answers]
"""What a network says of some photographs of one patient together, by their row numbers."""


def photograph_grades_schema(target: AnyTarget) -> pa.DataFrameSchema:
    """Return the schema of `photograph_grades.csv`: an answer, or a status and a reason.

    `weak_side` is the patient's side that is taken for weak, or none; empty without a side head.
    `seen_in_training` says what a network learned from: this very `photograph`, another one of a
    `patient` of this name, `no` neither; `unknown` when its weights lie alone. Of a target that is
    a number `predicted` is the score, with no probabilities, and `visit` that of the manifest.
    """
    return pa.DataFrameSchema(
        {
            "image_id": text(unique=True),
            "patient_id": text(),
            **_visit(target),
            "status": choice(STATUSES),
            "reason": text(nullable=True),
            SEEN: choice(SEEN_ANSWERS),
            **_answer_columns(target),
        },
        name="photograph grades",
    )


def patient_grades_schema(target: AnyTarget) -> pa.DataFrameSchema:
    """Return the schema of `patient_grades.csv`: an answer from all photographs of a patient.

    `photographs` is how many were graded; `calibrated` whether they were as many as those of the
    patients from whom the network learned how sure its answers to whole patients may be. With
    fewer the answer is the plain mean, which is too unsure. `seen_in_training` is the worst of the
    photographs. `weak_brow_right`, ... say how weak each zone is, 0 none to 1 no movement, as a
    network sees it that takes a patient's photographs together; empty otherwise. Of scores `low`
    and `high` are the 90 % interval, where calibrated, and each visit has a row.
    """
    of_score = isinstance(target, NumericTarget)
    return pa.DataFrameSchema(
        {
            "patient_id": text(unique=not of_score),
            **_visit(target),
            "photographs": pa.Column("int64", coerce=True),
            "calibrated": pa.Column(bool, coerce=True),
            SEEN: choice(SEEN_ANSWERS),
            **_answer_columns(target),
            **{name: number() for name in ZONE_COLUMNS},
            **({name: number() for name in ("low", "high")} if of_score else {}),
        },
        name="patient grades",
    )


def patients_of(source: Path, found: Source) -> Mapping[str, str]:
    """Return the patient of each photograph: as the manifest says, else the folder it lies in."""
    if found.manifest is not None:
        return dict(zip(found.manifest["image_id"], found.manifest["patient_id"], strict=True))
    return {image_id: patient_of(image_id, photos=source) for image_id, _ in found.photos}


def visits_of(found: Source) -> Mapping[str, str] | None:
    """Return the visit of each photograph, where a manifest names visits."""
    if found.manifest is None or VISIT not in found.manifest:
        return None
    return dict(zip(found.manifest["image_id"], found.manifest[VISIT], strict=True))


def photograph_grades(
    table: pd.DataFrame,
    answers: Sequence[Answers],
    *,
    patients: Mapping[str, str],
    seen: SeenInTraining,
    target: AnyTarget,
    visits: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Return a row for each photograph of a landmark table, with the mean of the networks' answers.

    The rows of status `ok` are those that were answered, in this order. `visits` are those of a
    manifest, by `image_id`, for scores.
    """
    grades = table[["image_id", "status", "reason"]].copy()
    grades.insert(1, "patient_id", [patients[image_id] for image_id in grades["image_id"]])
    if visits and isinstance(target, NumericTarget):
        grades.insert(2, VISIT, [visits[image_id] for image_id in grades["image_id"]])
    grades[SEEN] = seen.answers(grades)
    ok = np.flatnonzero(table["status"] == "ok")
    chances, sides = np.empty((0, _width(target))), np.empty((0, len(SIDE_CLASSES)))
    if answers:
        chances = np.mean([one.probabilities for one in answers], axis=0)
        sides = _mean_sides(answers)
    found = _answered(chances, sides, target=target).set_index(ok).reindex(range(len(grades)))
    return pd.concat([grades, found.set_axis(grades.index)], axis=1)


def patient_grades(
    grades: pd.DataFrame,
    answers: Sequence[Answers],
    *,
    sureness: Sequence[Sureness],
    target: AnyTarget,
    together: Sequence[Together] = (),
) -> pd.DataFrame:
    """Return a row for each patient of whom a photograph was graded, in natural order.

    Each network's mean over the photographs, or what it says of them `together` (by their row
    numbers among the graded), is made as sure as suits its validation patients, if
    there are as many photographs as those had; then the networks' means are averaged. A score has
    the interval of the network that reaches furthest, under the same condition.
    """
    graded = grades[grades["status"] == "ok"]
    by = answered_by(graded, target=target)
    names = graded[by].fillna("").astype(str).apply(tuple, axis=1).to_numpy(dtype=object)
    needed = max((one.photographs for one in sureness), default=0)
    temperatures = [one for one in sureness if isinstance(one, PatientTemperature)]
    known = any(one.value != 1.0 for one in temperatures) or any(
        isinstance(one, PatientReach) and one.patients for one in sureness
    )
    ask = together or [_mean_of(one) for one in answers]
    rows, chances, sides, zones = [], [], [], []
    for name in sorted(set(names), key=lambda pair: [natural_key(one) for one in pair]):
        its = np.array([at for at, one in enumerate(names) if one == name])
        calibrated = known and len(its) >= needed
        told = [one(its) for one in ask]
        means = [one.probabilities for one in told]
        if calibrated and temperatures:
            means = [
                tempered(mean, temperature=temperature.value)
                for mean, temperature in zip(means, temperatures, strict=True)
            ]
        chances.append(np.mean(means, axis=0)[0])
        sides.append(_mean_sides(told)[0])
        zones.append(_mean_zones(told))
        seen = max(graded[SEEN].iloc[its], key=SEEN_ANSWERS.index)
        rows.append(
            dict(zip(by, name, strict=True))
            | {"photographs": len(its), "calibrated": calibrated, SEEN: seen}
        )
    found = _answered(
        np.array(chances).reshape(-1, _width(target)),
        np.array(sides).reshape(-1, len(SIDE_CLASSES)),
        target=target,
    )
    about = pd.DataFrame(rows, columns=[*by, "photographs", "calibrated", SEEN])
    if isinstance(target, NumericTarget):
        reach = max(one.reach for one in sureness if isinstance(one, PatientReach))
        answered = found["predicted"].to_numpy(dtype=np.float64)
        ends = ScoreIntervals(reach).of(answered, target=target)
        ends[~about["calibrated"].to_numpy(dtype=bool)] = np.nan
        found[["low", "high"]] = ends
    found[list(ZONE_COLUMNS)] = np.array(zones).reshape(-1, len(ZONE_COLUMNS))
    table = pd.concat([about.astype({"photographs": "int64", "calibrated": bool}), found], axis=1)
    # Of nobody, text has no type of its own.
    return table if len(table) else table.astype(dict.fromkeys(table.select_dtypes(object), "str"))


@dataclass(frozen=True)
class SeenInTraining:
    """What networks learned from, as far as the tables beside their weights tell.

    `patients`: all from whom any of them learned; None when one has no such table. `sha256`,
    `given`: of the photographs that any learned from, and of the new ones by `image_id`.
    """

    patients: frozenset[str] | None
    sha256: frozenset[str] = frozenset()
    given: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def by(cls, weights: Sequence[Path]) -> SeenInTraining:
        """Read the tables beside weights."""
        names: set[str] = set()
        hashes: set[str] = set()
        known = True
        for folder in {file.parent for file in weights}:
            if (folder / PATIENTS).exists():
                names |= set(read_table(folder / PATIENTS, schema=SEEN_PATIENTS)["patient_id"])
            else:
                known = False
            if (folder / PHOTOGRAPHS).exists():
                photographs = read_table(folder / PHOTOGRAPHS, schema=SEEN_PHOTOGRAPHS)
                hashes |= set(photographs["sha256"])
        return cls(frozenset(names) if known else None, frozenset(hashes))

    def answers(self, grades: pd.DataFrame) -> list[str]:
        """Return one of `SEEN_ANSWERS` for each row of `image_id` and `patient_id`."""
        found = []
        for image_id, patient in zip(grades["image_id"], grades["patient_id"], strict=True):
            if self.given.get(image_id) in self.sha256:
                found.append("photograph")
            elif self.patients is None:
                found.append("unknown")
            else:
                found.append("patient" if str(patient) in self.patients else "no")
        return found


def warning_of_seen(patients: pd.DataFrame) -> str | None:
    """Say that answers are about patients whom a network learned from; None when all are new."""
    seen = patients.loc[patients[SEEN].isin(("patient", "photograph")), "patient_id"]
    if len(seen):
        more = f" and {len(seen) - _NAMED} more" if len(seen) > _NAMED else ""
        named = ", ".join(seen[:_NAMED]) + more
        return (
            f"Warning: the networks learned from {len(seen)} of these {len(patients)} patients "
            f"({named}): their grades look better than those of new ones would (column {SEEN})."
        )
    if (patients[SEEN] == "unknown").any():
        return (
            "Warning: nobody can tell whether the networks learned from these patients, because "
            f"the {PATIENTS} of their training does not lie beside the weights."
        )
    return None


def summary(grades: pd.DataFrame, patients: pd.DataFrame, *, target: AnyTarget) -> str:
    """Sum up the tables: how many were graded, and how many patients got each answer."""
    if len(grades) == 1 and len(patients) == 1:
        of_score = isinstance(target, NumericTarget)
        return in_words(str(grades["image_id"].iloc[0]), (patients if of_score else grades).iloc[0])
    if isinstance(target, NumericTarget) and len(patients):
        graded, answers = int((grades["status"] == "ok").sum()), patients["predicted"]
        return (
            f"{graded} of {len(grades)} photographs graded, of {patients['patient_id'].nunique()} "
            f"patients ({target.name} {shown(answers.min())} to {shown(answers.max())})."
        )
    graded = int((grades["status"] == "ok").sum())
    counts = patients["predicted"].value_counts()
    each = ", ".join(f"{name}: {counts[name]}" for name in target.classes if name in counts)
    return f"{graded} of {len(grades)} photographs graded, of {len(patients)} patients ({each})."


def in_words(name: str, row: pd.Series) -> str:
    """Say in words what was answered."""
    answer, side = row["predicted"], row["weak_side"]
    if "low" in row:
        words = f"{name}: {shown(answer)}"
        if pd.notna(row["low"]):
            words += f" (90 % interval {interval_in_words(row['low'], row['high'])})"
    else:
        words = f"{name}: {answer} (probability {row['p_' + answer]:.2f})"
    if pd.notna(side):
        words += f", weak side {side} ({row['p_' + side]:.2f})"
    return words


def _width(target: AnyTarget) -> int:
    """Return how many probabilities stand for an answer."""
    return len(target.classes) or SCORE_STEPS + 1


def _visit(target: AnyTarget) -> dict[str, pa.Column]:
    if isinstance(target, NumericTarget):
        return {VISIT: text(nullable=True, required=False)}
    return {}


def _answer_columns(target: AnyTarget) -> dict[str, pa.Column]:
    if isinstance(target, NumericTarget):
        answers = {"predicted": number()}
    else:
        answers = {
            "predicted": text(nullable=True),
            **{name: number() for name in target.probability_columns},
        }
    return {
        **answers,
        "weak_side": text(nullable=True),
        **{name: number() for name in SIDE_COLUMNS},
    }


def _answered(
    chances: NDArray[np.float64], sides: NDArray[np.float64], *, target: AnyTarget
) -> pd.DataFrame:
    """Return answers, probabilities and sides `(n, 3)` as columns; NaN sides are not answered."""
    if isinstance(target, NumericTarget):
        table = pd.DataFrame({"predicted": score_answers(chances, target=target)})
    else:
        table = pd.DataFrame(chances, columns=list(target.probability_columns))
        named = [str(name) for name in target.named(target.answers(chances))]
        table.insert(0, "predicted", pd.Series(named, dtype=object))
    known = np.isfinite(sides.sum(axis=1))
    weak = [
        SIDE_CLASSES[side.argmax()] if is_known else None
        for side, is_known in zip(sides, known, strict=True)
    ]
    table["weak_side"] = pd.Series(weak, dtype=object)
    table[list(SIDE_COLUMNS)] = sides
    return table


def _mean_of(answers: Answers) -> Together:
    """Return what answers the mean over some photographs."""

    def mean(values: NDArray[np.float64] | None, its: Places) -> NDArray[np.float64] | None:
        return None if values is None else values[its].mean(axis=0, keepdims=True)

    return lambda its: Answers(
        probabilities=answers.probabilities[its].mean(axis=0, keepdims=True),
        sides=mean(answers.sides, its),
        zones=mean(answers.zones, its),
    )


def _mean_zones(told: Sequence[Answers]) -> NDArray[np.float64]:
    """Return the mean weakness of each of `ZONE_COLUMNS` as networks see it; else NaN."""
    seen = [one.zones.reshape(-1) for one in told if one.zones is not None]
    return np.mean(seen, axis=0) if seen else np.full(len(ZONE_COLUMNS), np.nan)


def _mean_sides(answers: Sequence[Answers]) -> NDArray[np.float64]:
    """Return the mean side probabilities `(n, 3)` of the networks that answer it; else NaN."""
    told = [one.sides for one in answers if one.sides is not None]
    if not told:
        return np.full((len(answers[0].probabilities), len(SIDE_CLASSES)), np.nan)
    return np.mean(told, axis=0)
