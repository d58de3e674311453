"""What is published of movement in healthy people, and what observers notice: one home for films.

Each number carries its source; they are of other people, cameras and methods.
"""

from __future__ import annotations

HEALTHY_AMPLITUDE: dict[str, str] = {
    "brow_raise": "10.57 ± 2.51 mm",
    "gentle_eye_closure": "9.09 ± 2.20 mm",
    "full_smile": "9.28 ± 2.83 mm",
}
"""Excursion of brow, lid and mouth corner by movement."""

HEALTHY_SYMMETRY: dict[str, str] = {
    "brow_raise": "91 ± 6",
    "gentle_eye_closure": "93 ± 5",
    "full_smile": "91 ± 5",
}
"""Dynamic symmetry index in percent."""

HEALTHY_NARROWING: dict[str, str] = {"full_smile": "21.6 ± 13.4", "lip_pucker": "1.7"}
"""Narrowing of the eye in percent of its opening at rest."""

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

SOURCES: tuple[tuple[str, str], ...] = (
    (
        "Excursion of brow, lid and mouth corner",
        "12 healthy people, motion capture, Braz J ORL",
    ),
    (
        "Symmetry",
        "20 healthy people, OSCAR, 1999: another index than ours, also 100 % for equal sides",
    ),
    ("Narrowing of the eye in a smile", "50 healthy people, FACE software, 2013"),
    ("Narrowing of the eye in a pucker", "12 healthy people, Dynaface, 2025"),
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
"""What is compared with, and where it is from."""
