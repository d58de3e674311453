"""What each facial muscle does to the 68 points, and which muscles make a movement.

The displacements are rounded from what is known of healthy adults (a brow rises 8 mm, a corner
of the mouth travels about 10 mm in a full smile); they are a caricature of anatomy, not a model.
"""

from __future__ import annotations

MUSCLES = (
    "frontalis", "corrugator", "oculi", "squeeze", "levator",
    "zygomatic", "oris", "depressor", "jaw",
)  # fmt: skip

CONTRACTIONS: dict[str, dict[str, float]] = {
    "rest": {},
    "brow_raise": {"frontalis": 1.0},
    "gentle_eye_closure": {"oculi": 1.0, "squeeze": 0.08},
    "full_eye_closure": {"oculi": 1.22, "squeeze": 1.0, "zygomatic": 0.08, "levator": 0.12},
    "gentle_smile": {"zygomatic": 0.55, "oculi": 0.05},
    "full_smile": {"zygomatic": 1.0, "levator": 0.3, "jaw": 0.3, "oculi": 0.14, "depressor": 0.1},
    "lip_pucker": {"oris": 1.0},
    "lower_teeth": {"depressor": 1.0, "jaw": 0.25, "zygomatic": 0.12},
    "mouth_open": {"jaw": 2.0},
    "lips_spread": {"zygomatic": 0.75, "depressor": 0.3},
    "blow": {"oris": 0.6, "jaw": 0.1},
    "happiness": {"zygomatic": 1.0, "oculi": 0.12},
    "surprise": {"frontalis": 1.0, "jaw": 0.35},
    "disgust": {"levator": 1.0, "corrugator": 0.8, "squeeze": 0.3},
    "repression": {"depressor": 0.35, "oris": 0.45, "corrugator": 0.25},
}
"""Contraction of each muscle, 0 to 1, in each movement; above 1 it means extra effort."""

# Millimetres at full contraction on the patient's left: point -> (dx, dy). What a muscle moves
# beyond the midline is listed too; it shows only where the other side does not pull back.
PULL: dict[str, dict[int, tuple[float, float]]] = {
    "frontalis": {
        22: (0.3, -6.2), 23: (0.2, -7.6), 24: (0, -8.2), 25: (0, -7.2), 26: (0, -4.6),
        43: (0, -0.9), 44: (0, -0.9),
    },
    "corrugator": {
        22: (-2.2, 3.2), 23: (-1.8, 2.8), 24: (-1, 2.0), 25: (-0.4, 1.2), 26: (0, 0.6),
        43: (0, 0.5), 44: (0, 0.4),
    },
    "oculi": {46: (0, -0.6), 47: (0, -0.6)},
    "squeeze": {
        22: (-0.8, 2.2), 23: (-0.5, 2.6), 24: (-0.2, 2.6), 25: (0, 2.3), 26: (0, 1.8),
        42: (-0.3, -0.3), 45: (-1.2, -0.2), 46: (-0.4, -1.0), 47: (-0.3, -0.9),
    },
    "levator": {
        35: (0.8, -1.8), 34: (0.4, -1.0), 33: (0, -0.3), 51: (0.3, -1.4), 52: (0.6, -3.0),
        53: (0.8, -2.2), 54: (0.3, -0.8), 62: (0.3, -1.5), 63: (0.6, -2.8), 64: (0.2, -0.8),
        47: (0, -0.5), 46: (0, -0.5),
    },
    "zygomatic": {
        54: (9.2, -6.6), 53: (6.2, -4.4), 52: (3.6, -2.6), 51: (2.2, -1.0),
        50: (1.8, -0.1), 49: (1.8, 0), 48: (1.7, 0), 59: (1.7, 0), 58: (1.8, 0.1),
        55: (6.6, -3.0), 56: (3.6, -0.3), 57: (2.1, 0.2), 64: (8.4, -6.0), 63: (4.0, -2.8),
        62: (2.2, -1.1), 61: (1.9, -0.1), 60: (1.7, 0), 67: (1.9, 0.1), 66: (2.1, 0.1),
        65: (3.8, -0.8), 35: (1.4, -0.9), 34: (0.8, -0.5), 33: (0.4, -0.1),
        46: (0, -0.7), 47: (0, -0.6), 13: (0.8, 0), 12: (0.6, -0.4),
    },
    "oris": {
        54: (-7.8, 0.4), 53: (-4.6, -1.2), 52: (-1.2, -1.5), 51: (-0.6, -0.5), 50: (-0.8, 0),
        49: (-0.8, 0), 48: (-0.8, 0), 59: (-0.8, 0), 58: (-0.8, 0), 55: (-5.2, 1.8),
        56: (-2.4, 2.2), 57: (-0.6, 0.9), 64: (-7.0, 0.2), 63: (-2.6, -0.2), 62: (-0.6, 0),
        61: (-0.8, 0), 60: (-0.8, 0), 67: (-0.8, 0), 66: (-0.6, 0.1), 65: (-2.6, 0.3),
    },
    "depressor": {
        54: (3.4, 3.2), 53: (1.4, 0.8), 55: (3.8, 6.4), 56: (2.4, 7.8), 57: (1.2, 4.0),
        58: (1.0, 0.8), 59: (1.0, 0.2), 48: (0.8, 0), 60: (0.8, 0), 67: (1.0, 0.9),
        66: (1.2, 4.1), 65: (2.2, 8.0), 64: (2.8, 2.6),
    },
    "jaw": {
        55: (0, 4.6), 56: (0, 6.0), 57: (0, 3.1), 65: (0, 5.8), 66: (0, 3.0), 64: (-0.3, 1.8),
        54: (-0.3, 1.8), 8: (0, 3.1), 9: (0, 6.2), 10: (0, 5.8), 11: (0, 4.6), 12: (0, 2.2),
    },
}  # fmt: skip

LAX: dict[int, tuple[float, float]] = {
    22: (-0.3, 2.4), 23: (-0.2, 3.6), 24: (0, 4.6), 25: (0, 5.0), 26: (0, 4.8),
    43: (0, -0.5), 44: (0, -0.4), 46: (0, 1.7), 47: (0, 1.4),
    51: (-1.0, 0.1), 52: (-1.6, 0.8), 53: (-2.2, 2.6), 54: (-2.4, 4.8), 55: (-2.0, 4.2),
    56: (-1.5, 2.4), 57: (-1.0, 0.6), 62: (-1.0, 0.2), 63: (-1.5, 1.2), 64: (-2.3, 4.5),
    65: (-1.5, 1.7), 66: (-1.0, 0.4), 33: (-0.4, 0), 34: (-0.8, 0.3), 35: (-1.2, 0.8),
}  # fmt: skip
"""Where a side without tone sags to, mm at complete palsy, for the patient's left."""

TIGHT: dict[int, tuple[float, float]] = {
    22: (0, -0.3), 23: (0, -0.3), 43: (0, 1.3), 44: (0, 1.4), 46: (0, -1.0), 47: (0, -0.9),
    52: (0.4, -0.5), 53: (1.1, -1.1), 54: (2.0, -1.8), 55: (1.3, -1.0), 56: (0.5, -0.2),
    63: (0.5, -0.5), 64: (1.8, -1.6), 65: (0.5, -0.3), 35: (0.6, -0.4), 34: (0.3, -0.2),
}  # fmt: skip
"""Where contracture draws a side at rest, mm, for the patient's left."""
