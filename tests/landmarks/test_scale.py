"""Scales multiply lengths and nothing else; a photograph without a scale has none invented."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import UserError
from landmarks.find.iris import Iris, Irises
from landmarks.scale import (
    IRIS_DIAMETER_MM,
    iris_radii_of,
    length_factors,
    mm_per_px_of,
    no_scale_reason,
    unit_of,
)
from landmarks.tables import IRISES, iris_table, read_irises

OPEN = Iris("ok", x=100.5, y=80.25, radius=11.77, strength=0.4)
SHUT = Iris("closed", "The eye is closed: its lids are 0.03 eye widths apart.")


def table(**columns):
    n = len(next(iter(columns.values())))
    return pd.DataFrame({"image_id": [f"{i}.jpg" for i in range(n)], "status": "ok", **columns})


def boxed(boxes):
    names = ("box_left", "box_top", "box_right", "box_bottom")
    return table(**dict(zip(names, np.transpose(boxes).astype(float), strict=True)))


def test_mm_per_px_from_one_or_both_irises():
    larger = Iris("ok", x=1, y=1, radius=12.77)
    assert mm_per_px_of(Irises(OPEN, OPEN)) == pytest.approx(0.5)
    assert mm_per_px_of(Irises(SHUT, OPEN)) == pytest.approx(0.5)
    assert mm_per_px_of(Irises(OPEN, larger)) == pytest.approx(IRIS_DIAMETER_MM / (11.77 + 12.77))


def test_two_closed_eyes_give_no_scale_and_a_reason():
    closed = Irises(SHUT, SHUT)
    assert np.isnan(mm_per_px_of(closed))
    assert no_scale_reason(closed).count("closed") == 2
    assert no_scale_reason(Irises(SHUT, OPEN)) == ""


@pytest.mark.parametrize(
    ("scale", "given_mm", "unit"),
    [
        ("none", None, "px"),
        ("iris", None, "mm"),
        ("box", None, "box diagonal"),
        ("none", 0.2, "mm"),
    ],
)
def test_units(scale, given_mm, unit):
    assert unit_of(scale, mm_per_px=given_mm) == unit


@pytest.mark.parametrize(("scale", "mm"), [("iris", 0.2), ("none", 0.0), ("none", float("nan"))])
def test_wrong_scales_are_refused(scale, mm):
    with pytest.raises(UserError, match="mm-per-px"):
        unit_of(scale, mm_per_px=mm)


def test_px_need_nothing():
    assert (length_factors(table(x_0=[1.0, np.nan]), unit="px") == 1).all()


def test_a_photograph_without_scale_has_no_lengths():
    factors = length_factors(table(mm_per_px=[0.2, np.nan, 0.0, -1.0]), unit="mm")
    assert factors == pytest.approx([0.2, np.nan, np.nan, np.nan], nan_ok=True)


def test_box_diagonal_counts_first_and_last_px():
    factors = length_factors(boxed([(0, 0, 299, 399), (10, 10, 39, 49)]), unit="box diagonal")
    assert factors == pytest.approx([1 / 500, 1 / 50])


@given(st.floats(0.1, 20))
def test_box_scale_undoes_the_size_of_the_photograph(size):
    box = np.array([10.0, 20.0, 210.0, 250.0])
    larger = (box + 0.5) * size - 0.5 + np.array([0.5, 0.5, -0.5, -0.5]) * (1 - size)
    one, other = length_factors(boxed([box, larger]), unit="box diagonal")
    assert one == pytest.approx(other * size)


@pytest.mark.parametrize(("unit", "column"), [("mm", "mm_per_px"), ("box diagonal", "box_left")])
def test_a_table_without_scales_is_refused(unit, column):
    with pytest.raises(UserError, match=f'no column "{column}"'):
        length_factors(table(x_0=[1.0]), unit=unit)


def test_given_radii_are_read_from_the_manifest():
    manifest = pd.DataFrame({"image_id": ["a", "b", "c"], "iris_radius_right": [12.5, None, None]})
    assert iris_radii_of(manifest) == {"a": (12.5, None)}
    assert iris_radii_of(manifest.assign(iris_radius_left=[None, "13", None])) == {
        "a": (12.5, None),
        "b": (None, 13.0),
    }
    assert iris_radii_of(manifest[["image_id"]]) == iris_radii_of(None) == {}


@pytest.mark.parametrize("value", [-3.0, 0.0, "about 12"])
def test_impossible_radii_are_named(value):
    manifest = pd.DataFrame({"image_id": ["a.jpg"], "iris_radius_left": [value]})
    with pytest.raises(UserError, match=r"iris radius of a\.jpg"):
        iris_radii_of(manifest)


def test_iris_table_round_trip(tmp_path):
    from common.tables import write_table

    found = {"b 10.jpg": Irises(OPEN, SHUT), "b 2.jpg": Irises(SHUT, OPEN), "c.jpg": Irises()}
    frame = iris_table(found)
    assert list(frame["image_id"]) == ["b 2.jpg", "b 10.jpg", "c.jpg"]
    write_table(frame, tmp_path / "irises.csv", schema=IRISES)
    read = read_irises(tmp_path / "irises.csv")
    assert read["b 10.jpg"].right == OPEN
    assert read["b 10.jpg"].left.reason == SHUT.reason
    assert np.isnan(read["b 2.jpg"].right.radius)
    assert read["c.jpg"].right.status == "no_face"
