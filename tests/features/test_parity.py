"""The older definitions reproduce what their code gave."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features.definitions import DEFINITIONS, STANDARD, measure
from features.registry import DISTANCE_NAMES, FEATURE_NAMES
from landmarks.points import POINT_COLUMNS, SELECTION_51


@pytest.mark.parametrize(
    ("definition", "tolerance"),
    [("huo2022", 1e-4), ("parra2021", 1e-9)],  # the first was made with float32 arithmetic
)
def test_older_definitions_equal_the_parity_files(
    shared: Path, definition: str, tolerance: float
) -> None:
    expected = pd.read_csv(shared / "parity" / f"geometry_{definition}.csv")
    columns = [name.replace("_", "") for name in POINT_COLUMNS]
    points = expected[columns].to_numpy(float).reshape(-1, 68, 2)
    measured = measure(points, definition=definition)
    got = pd.concat([measured.distances, measured.features], axis="columns")

    assert len(expected) == 200
    assert [*expected.columns[136:]] == [*got.columns] == [*DISTANCE_NAMES, *FEATURE_NAMES]
    wanted = expected[got.columns].to_numpy()
    off = np.abs(got.to_numpy() - wanted)
    assert (np.minimum(off, off / np.maximum(np.abs(wanted), 1e-300)) <= tolerance).all()


# The twin that needs no data: the definitions once more, in plain Python without arrays, written
# from the paper's list of points and not from the registry.

Point = tuple[float, float]
TYPICAL_EYE_RATIO: dict[str, Callable[[float, float, float], float]] = {
    "standard": lambda a, b, A: abs(math.log((a + 0.01 * A) / (b + 0.01 * A))),
    "huo2022": lambda a, b, A: max(math.log((a + 1) / (b + 1)), math.log((b + 1) / (a + 1))),
    "parra2021": lambda a, b, A: min(a / b, b / a) if a and b else 0.0,
}


def by_hand(points: list[Point], definition: str) -> dict[str, float]:
    """Every measurement of one face, one at a time."""
    huo, parra = definition == "huo2022", definition == "parra2021"
    p = _turned([points[i] for i in SELECTION_51])

    def d(a: int, b: int) -> float:
        return math.dist(p[a], p[b])

    def dx(a: int, b: int) -> float:
        return d(a, b) if parra else abs(p[a][0] - p[b][0])

    def plain_dy(a: int, b: int) -> float:
        return abs(p[a][1] - p[b][1])

    def dy(a: int, b: int) -> float:
        return d(a, b) if parra else plain_dy(a, b)

    def angle(a: int, b: int) -> float:
        return math.degrees(math.atan2(p[a][1] - p[b][1], p[b][0] - p[a][0]))

    def slope(a: int, b: int) -> float:
        return abs((p[b][1] - p[a][1]) / (p[b][0] - p[a][0]))

    def rho(a: float, b: float) -> float:
        return min(a / b, b / a) if parra else max(a / b, b / a)

    def brow(first: int) -> float:
        x = sum(p[i][0] for i in range(first, first + 5)) / 5
        y = sum(p[i][1] for i in range(first, first + 5)) / 5
        if huo or parra:
            return y
        (x1, y1), (x2, y2) = p[10], p[19]  # distance from the line by the area of the triangle
        twice_area = (x2 - x1) * (y1 - y) - (x1 - x) * (y2 - y1)
        return twice_area / math.dist(p[10], p[19])

    def floored(value: float) -> float:
        return 0.0 if parra and value <= 1e-4 else value

    last_edge = (31, 32) if huo else (31, 37)
    wl = [(28, 29), (29, 30), (30, 31), last_edge, (37, 38), (38, 39), (39, 28)]
    wr = [(31, 32), (32, 33), (33, 34), (34, 35), (35, 36), (36, 37), (37, 31)]
    v = {
        "A": dx(48, 49), "Bl": dx(10, 13), "Br": dx(16, 19), "C": d(37, 50), "D": dx(10, 48),
        "E": dx(19, 49), "F": d(10, 37), "G": d(19, 37), "H": d(10, 23), "I": d(19, 27),
        "J": d(23, 37), "K": d(27, 37), "L": brow(0), "M": brow(5), "Nl": dy(11, 15),
        "Nr": dy(12, 14), "Ol": dy(17, 21), "Or": dy(18, 20), "Pl": dy(29, 39), "Pu": dy(30, 38),
        "Ql": dy(32, 36) if huo else dy(33, 35), "Qu": dy(33, 35) if huo else dy(32, 36),
        "R": d(3, 37), "S": d(6, 37), "T": d(2, 37), "U": d(7, 37), "Vl": d(28, 37),
        "Vr": d(34, 37), "W": dx(28, 34), "X": d(25, 31),
        "Wl": sum(d(*edge) for edge in wl), "Wr": sum(d(*edge) for edge in wr),
        "N": floored((plain_dy(11, 15) + plain_dy(12, 14)) / 2),
        "O": floored((plain_dy(17, 21) + plain_dy(18, 20)) / 2),
    }  # fmt: skip
    eyes = TYPICAL_EYE_RATIO[definition]
    for i, (a, b) in enumerate([(0, 9), (2, 7), (4, 5)]):
        v[f"f{i}"] = abs(angle(b, a) if parra else angle(a, b))
        v[f"f{4 + i}"] = slope(a, b)
    lean = angle(22, 37)
    v |= {
        "f3": rho(v["L"], v["M"]), "f7": abs(angle(10, 19)), "f8": rho(v["Bl"], v["Br"]),
        "f9": rho(v["D"], v["E"]), "f10": rho(v["H"], v["I"]),
        "f11": eyes(v["N"], v["O"], v["A"]), "f12": eyes(v["Nl"], v["Or"], v["A"]),
        "f13": eyes(v["Nr"], v["Ol"], v["A"]), "f14": abs(angle(28, 34)),
        "f15": rho(v["F"], v["G"]), "f16": rho(v["Pl"], v["Ql"]), "f17": rho(v["Pu"], v["Qu"]),
        "f18": max(v["Vl"], v["Vr"]) / v["A"], "f19": max(v["Pl"], v["Ql"]) / v["W"],
        "f20": max(v["Pu"], v["Qu"]) / v["W"], "f21": max(v["Wl"], v["Wr"]) / v["W"],
        "f22": abs(angle(23, 27)),
        "f23": abs(lean) if parra else 90 - abs(lean) if huo else abs(90 - abs(lean)),
        "f24": rho(v["J"], v["K"]), "f25": max(v["T"], v["U"]) / v["A"],
        "f26": max(v["R"], v["S"]) / v["A"], "f27": v["C"] / v["A"], "f28": v["X"] / v["A"],
    }  # fmt: skip
    return v


def _turned(p: list[Point]) -> list[Point]:
    """Turn about P48 until P48 to P49 is horizontal, with complex numbers."""
    z = [complex(x, y) for x, y in p]
    along = z[49] - z[48]
    turned = [(point - z[48]) * (along.conjugate() / abs(along)) + z[48] for point in z]
    return [(point.real, point.imag) for point in turned]


@pytest.mark.parametrize("definition", DEFINITIONS)
def test_every_definition_equals_the_plain_computation(faces: np.ndarray, definition: str) -> None:
    measured = measure(faces, definition=definition)
    got = pd.concat([measured.distances, measured.features], axis="columns")
    for row, face in enumerate(faces):
        expected = by_hand([(float(x), float(y)) for x, y in face], definition)
        assert set(expected) == set(got.columns)
        for name, value in expected.items():
            assert got[name].iloc[row] == pytest.approx(value, rel=1e-9, abs=1e-9), name


def test_hand_computed_values_of_the_drawn_face(drawn_face: np.ndarray) -> None:
    """Worked out on paper from the coordinates in schematic_face.py (half widths from x = 200)."""
    measured = measure(drawn_face[np.newaxis], definition=STANDARD)
    got = pd.concat([measured.distances, measured.features], axis="columns").iloc[0]
    # brow mean y = (162 + 146 + 139 + 142 + 150) / 5 = 147.8, eye corners at y = 194
    on_paper = {
        "A": 2 * (200 - 64), "Bl": 156 - 104, "C": 434 - 380, "D": 104 - 64, "Nl": 204 - 182,
        "Nr": 204 - 182, "Pl": 367 - 337, "Pu": 377 - 329, "W": 2 * (200 - 148), "X": 333 - 291,
        "L": 194 - 147.8, "M": 194 - 147.8, "Vl": math.sqrt(52**2 + 30**2), "N": 22, "O": 22,
        "f19": 30 / 104, "f20": 48 / 104, "f27": 54 / 272, "f28": 42 / 272,
    }  # fmt: skip
    for name, value in on_paper.items():
        assert got[name] == pytest.approx(value, rel=1e-12), name
