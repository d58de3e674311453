"""Patient and side from file names, where a dataset has no table that tells them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from common.errors import UserError
from datasets.dataset import Problem, warning

DEFAULT_PATTERN = r"(?P<patient>[A-Za-z]*[-_]?\d+)"
"""Letters and the first number: `P012_left_3.jpg` is patient P012."""

_SIDE = re.compile(r"(?:^|[^a-z])(left|right|l|r)(?=$|[^a-z])", re.IGNORECASE)


class PatientPattern:
    """Finds the patient in a file or folder name.

    Parameters
    ----------
    pattern
        Regular expression, searched in the name without its ending; the group `patient`, or else
        the first group, or else the whole match is the patient. None takes `DEFAULT_PATTERN`.

    Raises
    ------
    UserError
        When the pattern is no regular expression.
    """

    def __init__(self, pattern: str | None = None) -> None:
        self.pattern = pattern or DEFAULT_PATTERN
        try:
            self._regex = re.compile(self.pattern)
        except re.error as fault:
            raise UserError(
                f'--patient-pattern "{pattern}" is no regular expression ({fault}): write for '
                "instance (?P<patient>P[0-9]+)."
            ) from fault

    def patient_in(self, name: str) -> str | None:
        """Return the patient, or None when the name does not fit."""
        match = self._regex.search(name)
        if match is None:
            return None
        if "patient" in self._regex.groupindex:
            return match["patient"] or None
        return (match[1] if self._regex.groups else match[0]) or None


def side_in(name: str) -> str:
    """Return the `left` or `right` that a name tells, `unknown` when it tells none or both."""
    words = {found.lower()[0] for found in _SIDE.findall(name.replace("_", " "))}
    return {"l": "left", "r": "right"}[words.pop()] if len(words) == 1 else "unknown"


def suspicious_patients(patients: Sequence[str], pattern: PatientPattern) -> list[Problem]:
    """Say when nearly every photograph got a patient of its own, or all got one."""
    number = len(set(patients))
    advice = "check with --patient-pattern, for a split must hold a patient's photographs together"
    if len(patients) >= 4 and number == len(patients):
        what = f'"{pattern.pattern}" gives each of {number} photographs a patient of its own'
        return [warning("doubtful_patients", what, advice)]
    if len(patients) >= 4 and number == 1:
        what = f'"{pattern.pattern}" gives all {len(patients)} photographs the same patient'
        return [warning("doubtful_patients", what, advice)]
    return []
