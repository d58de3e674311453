"""Emotrics' landmark files become a landmark table without a loss that is not said."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from common.errors import UserError
from common.tables import read_table, write_table
from landmarks.exchange.tables import read_points
from landmarks.exchange.text_files import read_emotrics
from landmarks.find.iris import Iris, Irises
from landmarks.points import POINT_COLUMNS, side_of
from landmarks.tables import LANDMARKS, points_of
from tests.landmarks.emotrics_files import emotrics_text, write_emotrics_folder

IRISES = Irises(right=Iris("ok", x=150, y=200, radius=12), left=Iris("ok", x=250, y=201, radius=13))
BOX = (90.0, 100.0, 310.0, 320.0)


def some_points(seed=0):
    return np.random.default_rng(seed).integers(1, 4000, (68, 2)).astype(float)


def written(file, points, **parts):
    file.write_bytes(emotrics_text(points, **parts).encode())
    return file


def landmark_table(ids, points):
    table = pd.DataFrame(points.reshape(len(ids), -1), columns=list(POINT_COLUMNS))
    table.insert(0, "image_id", list(ids))
    table.insert(1, "status", "ok")
    return table


@pytest.mark.parametrize(("closed", "boxed"), [(False, True), (True, True), (False, False)])
def test_reads_what_the_program_writes(tmp_path, closed, boxed):
    points = some_points()
    irises = Irises(right=IRISES.right) if closed else IRISES
    file = written(tmp_path / "a.txt", points, irises=irises, box=BOX if boxed else None)
    (found,) = read_emotrics(file)
    assert found.name == "a.jpg"  # of the photograph beside it, whatever stands in the file
    assert (found.points == points).all()
    assert (found.irises.right.x, found.irises.right.radius) == (150, 12)  # the patient's right
    assert found.irises.left.status == ("unclear" if closed else "ok")
    assert np.isnan(found.irises.left.radius) == closed
    assert found.box == (BOX if boxed else None)


def test_left_is_the_side_of_points_42_to_47():
    assert {side_of(point) for point in range(42, 48)} == {"left"}


def test_numbered_points_and_further_ones_of_later_programs(tmp_path):
    points = some_points()
    rows = "".join(f"{x:.0f},{y:.0f},{i}\n" for i, (x, y) in enumerate([*points, *points[:8]], 1))
    text = emotrics_text(points)
    end = text.index("# } \n# Left")
    start = text.index("{ \n", text.index("68 facial")) + 3
    file = tmp_path / "a.txt"
    file.write_text(text[:start].replace("68 facial", "Facial") + rows + text[end:])
    assert (read_emotrics(file)[0].points == points).all()


def test_folder_becomes_a_landmark_table(tmp_path):
    ids = ["p1/b 10.jpg", "p1/b 2.jpg", "c.png"]
    points = np.stack([some_points(seed) for seed in range(3)])
    for image_id in ids:
        (tmp_path / "in" / image_id).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / image_id).touch()
    table = landmark_table(ids, points)
    write_emotrics_folder(table, tmp_path / "in", irises={ids[0]: IRISES})
    (tmp_path / "in" / "notes.txt").write_text("call back on Monday")
    found, irises = read_points(tmp_path / "in")
    assert list(found["image_id"]) == ["c.png", "p1/b 2.jpg", "p1/b 10.jpg"]
    assert (points_of(found) == points[[2, 1, 0]]).all()
    assert irises[ids[0]].left.radius == 13
    assert irises["c.png"].left.status == "unclear"
    write_table(found, tmp_path / "landmarks.csv", schema=LANDMARKS)
    assert (
        points_of(read_table(tmp_path / "landmarks.csv", schema=LANDMARKS)) == points_of(found)
    ).all()


def test_one_file_is_enough_and_its_photograph_need_not_be_there(tmp_path):
    written(tmp_path / "a.txt", some_points(), photo="a.png")
    found, _ = read_points(tmp_path / "a.txt")
    assert list(found["image_id"]) == ["a.png"]


def test_a_point_not_placed_fails_the_row_and_is_not_invented(tmp_path):
    points = some_points()
    points[30] = np.nan
    written(tmp_path / "a.txt", points, photo="a.jpg")
    found, _ = read_points(tmp_path)
    assert found["status"].item() == "failed"
    assert found["reason"].item().startswith("It lacks 1 point of 68")
    assert np.isnan(points_of(found)).all()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda text: text.replace("# Right iris", "# Wrong"), "no section for right"),
        (lambda text: text.replace("250\r\n", "near the nose\r\n"), "where numbers belong"),
        (lambda text: text.replace("[x,y] { \n", "[x,y] { \n# } \n# x { \n"), "holds 0 landmarks"),
        (lambda text: "just some text", "no landmark file"),
    ],
)  # fmt: skip
def test_damaged_files_are_named(tmp_path, change, sentence):
    file = tmp_path / "a.txt"
    file.write_bytes(change(emotrics_text(some_points(), irises=IRISES)).encode())
    with pytest.raises(UserError, match=sentence) as error:
        read_emotrics(file)
    assert str(file) in str(error.value)


def test_empty_folder_is_a_mistake(tmp_path):
    with pytest.raises(UserError, match="no file of points"):
        read_points(tmp_path)
