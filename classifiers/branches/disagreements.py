"""Where branches disagree, and who was right: photograph by photograph, or patient by patient."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from classifiers.branches.branch import SharedAnswers
from common.files import natural_key

DISAGREEMENT_COLUMNS = (
    "level", "patient_id", "image_id", "task", "side", "hb_grade", "repeat", "fold",
    "apart", "right", "nearest",
)  # fmt: skip
"""`disagreements.csv`: a row for each photograph or patient that the branches answer differently.

Then for every branch `predicted_<name>`, `expected_<name>` (mean of the probabilities, in grades)
and `certainty_<name>` (probability of the answer). `apart` is the largest difference between
answers, in grades; `right` names the branches that were right, or `none`; `nearest` those that
came nearest. Ordered by `apart`, the farthest first. On the level of patients `image_id` and
`task` are empty; `side` is empty without a manifest.
"""


def disagreements_of(shared: SharedAnswers, rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that the branches answer differently, the farthest apart first.

    Parameters
    ----------
    rows
        `shared.rows` with `task` and `side`.
    """
    answers = np.stack([shared.answers[name] for name in shared.names], axis=1)
    apart = answers.max(axis=1) - answers.min(axis=1)
    off = np.abs(answers - shared.truth[:, None])
    names = np.array(shared.names)
    table = rows.assign(
        level=shared.unit,
        apart=apart,
        right=_joined(names, off == 0),
        nearest=_joined(names, off == off.min(axis=1, keepdims=True)),
    ).reindex(columns=[*_columns(shared)])
    for at, name in enumerate(shared.names):
        chances = shared.chances[name]
        table[f"predicted_{name}"] = shared.target.named(shared.answers[name])
        table[f"expected_{name}"] = shared.expected(name)
        table[f"certainty_{name}"] = chances[np.arange(len(table)), answers[:, at] - 1]
    key = "image_id" if shared.unit == "photograph" else "patient_id"
    differ: list[int] = np.flatnonzero(apart > 0).tolist()
    order = sorted(differ, key=lambda at: (-apart[at], natural_key(str(table[key].iat[at])), at))
    return table.iloc[order].reset_index(drop=True)


def who_was_right(shared: SharedAnswers) -> pd.DataFrame:
    """Count for each pair of branches how often both, one, or neither was right."""
    right = {name: shared.answers[name] == shared.truth for name in shared.names}
    return pd.DataFrame(
        [
            {
                "first": first,
                "second": second,
                "both": int((right[first] & right[second]).sum()),
                "only_first": int((right[first] & ~right[second]).sum()),
                "only_second": int((~right[first] & right[second]).sum()),
                "neither": int((~right[first] & ~right[second]).sum()),
            }
            for first, second in itertools.combinations(shared.names, 2)
        ]
    )


def _columns(shared: SharedAnswers) -> list[str]:
    """Return the fixed columns, with the target's own truth where it is another."""
    return list(
        dict.fromkeys(
            shared.target.column if name == "hb_grade" else name for name in DISAGREEMENT_COLUMNS
        )
    )


def _joined(names: NDArray[np.str_], chosen: NDArray[np.bool_]) -> list[str]:
    """Return for each row the names that are chosen, or `none`."""
    return [" + ".join(names[row]) or "none" for row in chosen]
