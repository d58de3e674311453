"""The baseline that every score stands beside: always the commonest class of the training patients.

One rule for graders, networks and fused answers, so that their reports name the same baseline.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

MAJORITY = "majority"
"""Name of the baseline in tables, as a grader and beside networks."""


def commonest_class(labels: NDArray[np.int64], patients: NDArray[Any]) -> int:
    """Return the class with the most patients; 0 without any row.

    Patients are counted, not photographs. Classes within one patient of the commonest count as
    equally common, and the lowest of them stands: in a balanced cohort, whoever is held out makes
    their own class rarer by one, and the strictly commonest class would be wrong every time.

    Parameters
    ----------
    labels, patients
        `(n,)` class number from 0 or 1, and patient, of each training row.
    """
    if not len(labels):
        return 0
    pairs = {(int(label), str(name)) for label, name in zip(labels, patients, strict=True)}
    counts = np.bincount([label for label, _ in pairs])
    return int(np.flatnonzero((counts > 0) & (counts >= counts.max() - 1))[0])
