"""Train, validation and test parts by patient, with the grades spread evenly over them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from common.errors import UserError
from common.files import natural_key
from common.tables import severities
from datasets.dataset import Problem, say_list, warning

PARTS = ("train", "val", "test")
SHARES = (0.70, 0.15, 0.15)


def split_by_patient(
    manifest: pd.DataFrame, *, shares: tuple[float, ...] = SHARES, seed: int = 0
) -> tuple[pd.DataFrame, list[Problem]]:
    """Add the column `split`; all photographs of a patient are in one part.

    Patients are shuffled, put in order of their highest grade, and each in turn goes to the part
    that is furthest behind its share of the patients, so that every part gets its share of every
    grade as nearly as whole patients allow.

    Parameters
    ----------
    manifest
        With `patient_id` and, where known, `hb_grade` or `palsy_class`.
    shares
        Of train, validation and test, as parts of 1 or in percent.
    seed
        Of the shuffling.

    Returns
    -------
    manifest, problems
        The problems name the grades that a part does not have.

    Raises
    ------
    UserError
        When the shares are not three positive numbers that sum to 1 or 100.
    """
    whole = sum(shares)
    summed = any(abs(whole - full) < 1e-6 * full for full in (1, 100))
    if len(shares) != len(PARTS) or min(shares) <= 0 or not summed:
        given = " ".join(f"{share:g}" for share in shares)
        raise UserError(
            "The shares of train, val and test must be three positive numbers that sum to 1 or to "
            f"100, not {given}: give for instance --shares 70 15 15."
        )
    shares = tuple(share / whole for share in shares)
    patients = sorted(manifest["patient_id"].unique(), key=natural_key)
    rng = np.random.default_rng(seed)
    shuffled = [patients[i] for i in rng.permutation(len(patients))]
    strongest = severities(manifest).fillna(0.0).groupby(manifest["patient_id"]).max()
    ordered = sorted(shuffled, key=lambda patient: float(strongest[patient]))
    part_of = dict(zip(ordered, _deal(len(ordered), shares), strict=True))
    divided = manifest.assign(split=manifest["patient_id"].map(part_of))
    return divided, _empty_cells(divided)


def _deal(number: int, shares: tuple[float, ...]) -> list[str]:
    """Deal `number` places in turn, each to the part furthest behind its share."""
    dealt = np.zeros(len(shares))
    order = []
    for i in range(number):
        part = int(np.argmax(np.array(shares) * (i + 1) - dealt))
        dealt[part] += 1
        order.append(PARTS[part])
    return order


def _empty_cells(manifest: pd.DataFrame) -> list[Problem]:
    grades = sorted(int(grade) for grade in manifest["hb_grade"].dropna().unique())
    problems = []
    for part in PARTS:
        has = set(manifest.loc[manifest["split"] == part, "hb_grade"].dropna())
        absent = [grade for grade in grades if grade not in has]
        if absent:
            what = f"the {part} part has no patient of grade {say_list(absent, at_most=6)}"
            advice = "there are too few such patients for three parts; prefer cross-validation"
            problems.append(warning("grade_not_in_split", what, advice))
    return problems
