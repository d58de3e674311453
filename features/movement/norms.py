"""What is published of movement in healthy people, and what observers notice.

What films share with the scales stands in `features/scales/thresholds.yaml`, with its source; here
stands the rest. All of it is of other people, cameras and methods.
"""

from __future__ import annotations

from collections.abc import Iterator

from features.scales.thresholds import table

_LID = {
    "measure": "gentle_eye_closure",
    "of": "amount",
    "unit": "mm",
    "normal": "9.09 ± 2.20",
    "source": "12 healthy people, motion capture, Braz J ORL",
}
_WORDS = {"amount": "amplitude", "likeness": "symmetry (another index than ours)"}

OBSERVERS_MM: dict[str, float] = {
    "brow_height": 3.5,
    "palpebral_fissure_height": 2.0,
    "commissure_displacement": 3.0,
    "commissure_height": 3.0,
    "half_mouth_width": 3.0,
    "upper_lip_height": float("nan"),
    "lower_lip_height": float("nan"),
}
"""Difference of the sides that observers notice, mm, by signal; NaN where nothing is published."""

_OF_FILMS = (
    (
        "What observers notice: lid 2 mm, mouth corner 3 mm, brow 3.5 mm",
        "review of 2017, PubMed 28200081",
    ),
    ("R of the mouth corners: 0.99 healthy, 0.75 flaccid, 0.72 synkinetic", "FacialNerveLab"),
    (
        "Closing of the eye in a blink, weak and other side: palsy 65.3 and 93.7 %, complete "
        "palsy 25.3 and 94.7 %",
        "Ogawa et al. 2021",
    ),
)


def healthy(measure: str, of: str) -> str | None:
    """Return what is published of healthy people: `amount` or `likeness`; None if nothing is."""
    return next((f"{n['normal']} {n['unit']}" for n in _norms(measure) if n["of"] == of), None)


def sources(movements: list[str]) -> Iterator[tuple[str, str]]:
    """Yield what films are compared with, and where it is from."""
    for movement in movements:
        words = movement.replace("ocular_in_", "eye narrows in ").replace("_", " ")
        for norm in _norms(movement):
            yield f"{words}, {_WORDS[norm['of']]}: {norm['normal']} {norm['unit']}", norm["source"]
    yield from _OF_FILMS


def _norms(measure: str) -> list[dict[str, str]]:
    return [norm for norm in (*table()["norms"], _LID) if norm["measure"] == measure]
