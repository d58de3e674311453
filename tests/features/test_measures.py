"""Clinical measures: worked by hand, unmoved by tilt and size, swapped by a mirror."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.tables import read_table
from docs.drawing import schematic_face
from features.commands.draw_measures import draw_measures
from features.commands.features import write_feature_tables
from features.frames import curve_height, faces_in_frame
from features.measures import MEASURES, SIDES, measure_faces
from features.tables import (
    MEASURE_COLUMNS,
    MEASURES_SCHEMA,
    columns_of,
    measure_table,
    read_measures,
)
from landmarks.find.iris import Iris, Irises
from landmarks.overlay import LEFT_RGB, RIGHT_RGB
from landmarks.points import POINT_COLUMNS, mirror_points

MEASURE_NAMES = tuple(entry.name for entry in MEASURES)
BY_HAND = {  # right, left of made_face(), px and degrees
    "brow_height": (50, 44),
    "mrd1": (12, 9),
    "mrd2": (6, 8),
    "palpebral_fissure_height": (18, 17),
    "commissure_excursion": (np.hypot(50, 22), np.hypot(50, 32)),
    "smile_angle": (90 + np.degrees(np.arctan2(22, 50)), 90 + np.degrees(np.arctan2(32, 50))),
    "commissure_height": (120, 110),
    "dental_show": (14, 12),
    "upper_lip_height": (108, 107),
    "lower_lip_height": (139, 138),
}


def made_face():
    """A face on squared paper: eye corners at x 100, 160, 240, 300 and y 200."""
    points = np.zeros((68, 2))
    points[:17] = np.column_stack([np.linspace(60, 340, 17), np.full(17, 300)])
    for brow, middle, top in ((range(17, 22), 130, 150), (range(22, 27), 270, 156)):
        x = middle + np.array([-40, -20, 0, 20, 40])
        points[list(brow)] = np.column_stack([x, top + (x - middle) ** 2 / 100])
    for first, middle, up, down in ((36, 130, 12, 6), (42, 270, 9, 8)):
        x = middle + np.array([-30, -15, 15, 30, 15, -15])
        bow = 1 - ((x - middle) / 30) ** 2
        points[first : first + 6, 0] = x
        points[first : first + 6, 1] = 200 + bow * np.array([-up, -up, -up, -up, down, down])
    points[27:36] = [(200, y) for y in (200, 220, 240, 260)] + [
        (x, 275) for x in range(180, 230, 10)
    ]
    mouth = [
        (150, 320), (162, 312), (175, 308), (200, 310), (225, 307), (238, 308), (250, 310),
        (238, 333), (225, 338), (200, 342), (175, 339), (162, 335),
        (155, 319), (175, 316), (200, 317), (225, 316), (245, 311),
        (225, 328), (200, 332), (175, 330),
    ]  # fmt: skip
    points[48:] = mouth
    return points


def irises_at(right, left, radius=11.77):
    return Irises(*(Iris("ok", x=x, y=y, radius=radius, strength=0.4) for x, y in (right, left)))


def landmark_table(points, **columns):
    n = len(points)
    table = pd.DataFrame(np.reshape(points, (n, -1)), columns=list(POINT_COLUMNS))
    head = {"image_id": [f"{i}.jpg" for i in range(n)], "status": "ok", **columns}
    return pd.concat([pd.DataFrame(head), table], axis="columns")


def manifest(*sides):
    ids = [f"{i}.jpg" for i in range(len(sides))]
    return pd.DataFrame({"image_id": ids, "path": ids, "patient_id": ids, "side": list(sides)})


def moved(points, *, degrees=0.0, size=1.0, shift=(0.0, 0.0)):
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return points @ turn.T * size + np.array(shift)


def values(points, irises=None):
    measured = measure_faces(np.asarray(points)[np.newaxis], [irises]).values
    return {name: tuple(measured[name][side][0] for side in SIDES) for name in MEASURE_NAMES}


def test_every_measure_is_worked_by_hand():
    assert set(BY_HAND) == set(MEASURE_NAMES)


@pytest.mark.parametrize("name", MEASURE_NAMES)
def test_made_face(name):
    assert values(made_face())[name] == pytest.approx(BY_HAND[name])


def test_iris_centres_make_the_frame():
    """Irises 4 px above the corners' middles: what is taken from the centre is 4 px longer."""
    found = values(made_face(), irises_at((130, 196), (270, 196)))
    for name, by in (("brow_height", -4), ("mrd1", -4), ("mrd2", 4), ("commissure_height", 4)):
        assert found[name] == pytest.approx(np.array(BY_HAND[name]) + by)
    assert found["palpebral_fissure_height"] == pytest.approx((18, 17))
    assert found["smile_angle"] == pytest.approx(BY_HAND["smile_angle"])


def test_one_iris_is_no_frame():
    one = Irises(right=Iris("ok", x=128.0, y=190.0, radius=12.0), left=Iris("closed", "shut"))
    measured = measure_faces(
        np.stack([made_face()] * 3), [None, one, irises_at((130, 200), (270, 200))]
    )
    assert measured.faces.source == ("eye_corners", "eye_corners", "irises")
    assert measured.values["mrd1"]["right"] == pytest.approx([12, 12, 12])


def test_lid_over_the_centre_makes_mrd1_negative():
    assert values(made_face(), irises_at((130, 185), (270, 185)))["mrd1"] == pytest.approx((-3, -6))


def test_closed_lips_show_no_teeth():
    points = made_face()
    points[[65, 66, 67]] = points[[63, 62, 61]] - (0, 2)  # predicted inner lips may cross
    assert values(points)["dental_show"] == (0, 0)


@given(
    degrees=st.floats(-40, 40),
    size=st.floats(0.2, 8),
    x=st.floats(-500, 500),
    y=st.floats(-500, 500),
)
def test_tilt_and_size_do_not_change_mm(degrees, size, x, y):
    """In mm, by an iris that grows with the photograph, nothing changes."""
    centres = np.array([(131.0, 199.0), (268.0, 201.0)])
    by = {"degrees": degrees, "size": size, "shift": (x, y)}
    before = values(made_face(), irises_at(*centres))
    after = values(moved(made_face(), **by), irises_at(*moved(centres, **by), radius=11.77 * size))
    for entry in MEASURES:
        px_per_unit = size if entry.is_length else 1.0
        assert np.array(after[entry.name]) / px_per_unit == pytest.approx(before[entry.name])


def test_mirror_swaps_the_sides():
    centres = np.array([(131.0, 199.0), (268.0, 201.0)])
    other = [(400 - x, y) for x, y in centres[::-1]]
    before = values(made_face(), irises_at(*centres))
    after = values(mirror_points(made_face(), width=401), irises_at(*other))
    for name in MEASURE_NAMES:
        assert after[name][::-1] == pytest.approx(before[name])


@pytest.mark.parametrize("name", MEASURE_NAMES)
def test_symmetric_face_is_the_same_on_both_sides(name):
    right, left = values(schematic_face())[name]
    assert right == pytest.approx(left)
    assert np.isfinite(right)


def test_mirror_in_the_table():
    """Right minus left changes its sign; affected minus healthy does not: the side goes too."""
    table = landmark_table([made_face(), mirror_points(made_face(), width=401)])
    one, other = measure_table(table, manifest=manifest("left", "right")).to_dict("records")
    assert (one["healthy_side"], other["healthy_side"]) == ("right", "left")
    for name in MEASURE_NAMES:
        for end in ("", "_percent"):
            assert one[f"{name}_right_minus_left{end}"] == pytest.approx(
                -other[f"{name}_right_minus_left{end}"]
            )
            assert one[f"{name}_affected_minus_healthy{end}"] == pytest.approx(
                other[f"{name}_affected_minus_healthy{end}"]
            )


def test_differences_to_the_healthy_side():
    row = measure_table(landmark_table([made_face()]), manifest=manifest("left")).iloc[0]
    assert row["brow_height_affected_minus_healthy"] == pytest.approx(44 - 50)
    assert row["brow_height_affected_minus_healthy_percent"] == pytest.approx(-12.0)
    assert row["brow_height_right_minus_left"] == pytest.approx(6)
    assert row["brow_height_right_minus_left_percent"] == pytest.approx(100 * 6 / 47)


@pytest.mark.parametrize("side", ["none", "both", "unknown", None])
def test_the_healthy_side_is_never_guessed(side):
    given_manifest = None if side is None else manifest(side)
    row = measure_table(landmark_table([made_face()]), manifest=given_manifest).iloc[0]
    assert pd.isna(row["healthy_side"])
    for name in MEASURE_NAMES:
        assert np.isnan(row[f"{name}_affected_minus_healthy"])
        assert np.isnan(row[f"{name}_affected_minus_healthy_percent"])
        assert np.isfinite(row[f"{name}_right_minus_left"])


def test_percent_of_nothing_is_missing():
    points = made_face()
    points[[65, 66, 67]] = points[[63, 62, 61]]
    row = measure_table(landmark_table([points]), manifest=manifest("right")).iloc[0]
    assert row["dental_show_affected_minus_healthy"] == 0
    assert np.isnan(row["dental_show_affected_minus_healthy_percent"])
    assert np.isnan(row["dental_show_right_minus_left_percent"])


def test_lengths_take_the_unit_and_angles_do_not():
    table = landmark_table([made_face(), made_face()], mm_per_px=[0.5, np.nan])
    shut = Irises(Iris("closed", "It is shut."), Iris("closed", "It is shut."))
    found = measure_table(
        table, unit="mm", irises={"1.jpg": shut}, manifest=manifest("left", "left")
    )
    px = measure_table(table, manifest=manifest("left", "left"))
    assert list(found["unit"]) == ["mm", "mm"]
    for entry in MEASURES:
        for column in columns_of(entry):
            known, unknown = found[column]
            scaled = entry.is_length and "percent" not in column
            assert known == pytest.approx(px[column][0] * (0.5 if scaled else 1))
            assert np.isnan(unknown) if scaled else unknown == pytest.approx(px[column][1])
    assert pd.isna(found["no_scale"][0])
    assert found["no_scale"][1].count("It is shut") == 2


def test_failed_photographs_have_no_values(tmp_path):
    points = np.stack([made_face()] * 3)
    points[2, 40] = np.nan
    table = landmark_table(points)
    table["status"] = ["ok", "no_face", "ok"]
    write_feature_tables(table, out=tmp_path)
    found = read_measures(tmp_path / "measures.csv")
    assert list(found["status"]) == ["ok", "no_face", "failed"]
    assert found.loc[[1, 2], list(MEASURE_COLUMNS)].isna().all(axis=None)
    assert found.loc[0, "brow_height_right"] == pytest.approx(50)


def test_table_holds_what_the_registry_says(tmp_path):
    table = landmark_table([made_face()], mm_per_px=[0.2])
    write_feature_tables(table, out=tmp_path, unit="mm", manifest=manifest("left"))
    found = read_table(tmp_path / "measures.csv", schema=MEASURES_SCHEMA)
    first = ["image_id", "status", "unit", "frame", "healthy_side", "no_scale"]
    assert list(found)[: len(first)] == first
    assert list(found)[len(first) : len(first) + len(MEASURE_COLUMNS)] == list(MEASURE_COLUMNS)
    assert list(found)[-2:] == ["patient_id", "side"]


@given(a=st.floats(-0.05, 0.05), b=st.floats(-2, 2), c=st.floats(-50, 50), at=st.floats(-29, 29))
def test_curves_follow_parabolas_exactly(a, b, c, at):
    x = np.array([[-30.0, -11.0, 4.0, 13.0, 30.0]])
    found = curve_height(x, a * x**2 + b * x + c, at=np.array([at]))[0]
    assert found == pytest.approx(a * at**2 + b * at + c, abs=1e-9)


def test_curves_do_not_reach_beyond_their_ends():
    x = np.array([[0.0, 1.0, 2.0]] * 3)
    assert curve_height(x, x, at=np.array([-0.1, 2.0, 2.1])) == pytest.approx(
        [np.nan, 2.0, np.nan], nan_ok=True
    )
    assert np.isnan(curve_height(np.array([[0.0, 1.0, 1.0]]), np.zeros((1, 3)), at=np.array([0.5])))


def test_frame_maps_back_to_the_photograph():
    points = np.stack([made_face(), moved(made_face(), degrees=25, shift=(40, -7))])
    faces = faces_in_frame(points)
    assert faces.to_photo(faces.points) == pytest.approx(points)
    assert faces.points[0, 36] == pytest.approx(faces.points[1, 36])


@pytest.mark.parametrize("irises", [None, irises_at((130, 199), (270, 201))])
def test_picture_of_the_measures(irises):
    rgb = np.full((480, 401, 3), 180, dtype=np.uint8)
    picture = draw_measures(rgb, made_face(), irises=irises, unit="mm", factor=0.5)
    assert picture.shape[1] == 1000
    other_unit = draw_measures(rgb, made_face(), irises=irises)
    height = picture.shape[0] - 332  # of the table
    assert (picture[:height] == other_unit[:height]).all()
    assert (picture[height:] != other_unit[height:]).any()
    orange, blue = ((picture[:height] == colour).all(axis=-1) for colour in (RIGHT_RGB, LEFT_RGB))
    assert orange.any()
    assert blue.any()
    assert np.nonzero(orange)[1].mean() < 500 < np.nonzero(blue)[1].mean()
