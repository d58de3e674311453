"""The eight standard movements, in the order in which they are photographed.

A neutral face and seven movements: the order of the numbers 1 to 8 in the photograph names of the
MEEI standard set (Greene et al. 2020, doi 10.1002/lary.27986).
"""

from __future__ import annotations

REST = "rest"
MOVEMENTS: tuple[str, ...] = (
    REST,
    "brow_raise",
    "gentle_eye_closure",
    "full_eye_closure",
    "gentle_smile",
    "full_smile",
    "lip_pucker",
    "lower_teeth",
)


def movement_of_number(number: int) -> str:
    """Return the movement of photograph `_1` to `_8`; anything else is a `KeyError`."""
    if not 1 <= number <= len(MOVEMENTS):
        raise KeyError(number)
    return MOVEMENTS[number - 1]
