"""Points of other tools: every pixel comes at its place, nothing is lost, only moves come back."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import get_args

import cv2
import numpy as np
import pandas as pd
import pytest

from common.errors import UserError
from common.photos import read_photo, upright_size
from common.tables import read_manifest, write_table
from common.truth import read_truth
from datasets.simulated.shape import AVERAGE_POINTS
from features.commands.features import features
from landmarks.commands.evaluate_landmarks import evaluate_landmarks
from landmarks.commands.exchange import export_points, import_points
from landmarks.exchange.formats import FORMATS, format_of, read_marked
from landmarks.exchange.tables import matched, read_points, read_with_truth
from landmarks.find.iris import Iris, Irises
from landmarks.mesh import MESH_OF_68
from landmarks.points import MIRROR_PARTNER, POINT_COLUMNS
from landmarks.review.corrections import Journal, Move, corrected, read_corrections
from landmarks.tables import (
    IRISES,
    IRISES_FILE,
    LANDMARKS,
    OtherTool,
    iris_table,
    points_of,
    read_landmarks,
)
from tests.landmarks import files_of_tools as tools

POINTS = AVERAGE_POINTS * 1.6 + (150.0, 150.0)  # a face in a picture of 300 by 340 px
SIZE = (300, 340)
NAMES = ("a/1.jpg", 'a/<b>2 & "co".jpg', "b/1.jpg", "c/1.jpg")
WRITTEN = [name for name, form in FORMATS.items() if form.is_written]
EVERY = [(name, write) for name, writers in tools.TOOLS.items() for write in writers]


def photograph(path: Path, size: tuple[int, int] = SIZE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((size[1], size[0], 3), 128, dtype=np.uint8))
    return path


@pytest.fixture
def cohort(tmp_path: Path) -> Path:
    """Tables of four photographs; in the last no face was found."""
    for name in NAMES:
        photograph(tmp_path / "photos" / name)
    turned = (POINTS - 150.0) @ np.array([[0.995, 0.0998], [-0.0998, 0.995]]) + 150.3
    points = np.stack([POINTS, turned, POINTS + 0.4, np.full_like(POINTS, np.nan)])
    table = pd.DataFrame(points.reshape(4, -1), columns=list(POINT_COLUMNS))
    table.insert(0, "image_id", list(NAMES))
    table.insert(1, "status", ["ok", "ok", "ok", "no_face"])
    table.insert(2, "reason", pd.Series([None] * 3 + ["No face was found."], dtype="str"))
    write_table(table, tmp_path / "landmarks.csv", schema=LANDMARKS)
    irises = Irises(
        Iris("ok", x=100.0, y=120.0, radius=9.0), Iris("ok", x=200.0, y=121.0, radius=9.0)
    )
    write_table(iris_table({NAMES[0]: irises}), tmp_path / IRISES_FILE, schema=IRISES)
    return tmp_path


def exported(cohort: Path, tool: OtherTool) -> Path:
    out, form = cohort / "out", FORMATS[tool]
    result = export_points(cohort, to=tool, out=out, photos=cohort / "photos")
    assert (result.photographs, result.exit_code) == (3, 0)
    return out if form.write_one else out / f"{tool}{form.suffix}"


def moves_in(cohort: Path, name: str = "corrections.csv") -> pd.DataFrame:
    return read_corrections(cohort / name)


@pytest.mark.parametrize(
    ("tool", "write"), EVERY, ids=lambda value: getattr(value, "__name__", None)
)
def test_the_middle_of_a_pixel_comes_at_the_same_place(tool, write, tmp_path: Path) -> None:
    """68 pixels are drawn, and said as the tool says them: each is met in its middle."""
    rng = np.random.default_rng(3)
    places = rng.permutation(100 * 80)[:68]
    pixels = np.column_stack([places % 100, places // 100])
    picture = np.zeros((80, 100), dtype=np.uint8)
    picture[pixels[:, 1], pixels[:, 0]] = 255
    cv2.imwrite(str(tmp_path / "face.png"), picture)

    file = write(tmp_path / "face.png", pixels, (100, 80))
    assert format_of(file) is FORMATS[tool]
    for source in (file, tmp_path):
        table, irises = read_points(source)
        assert table["image_id"].tolist() == ["face.png"]
        assert table["points_from"].tolist() == [tool]
        found = points_of(table)[0]
        assert found == pytest.approx(pixels, abs=1e-9)
        patches = [cv2.getRectSubPix(picture, (1, 1), (x, y))[0, 0] for x, y in found]
        assert patches == [255] * 68
    if tool == "mediapipe":
        found = irises["face.png"]
        assert (found.right.x, found.right.y, found.left.x) == pytest.approx((30.0, 40.0, 60.0))
        assert found.left.radius == pytest.approx(5.0)


def test_every_format_may_stand_in_points_from() -> None:
    assert tuple(FORMATS) == get_args(OtherTool)
    assert set(tools.TOOLS) == set(FORMATS)


@pytest.mark.parametrize("tool", WRITTEN)
def test_what_comes_back_untouched_corrects_nothing(tool: OtherTool, cohort: Path) -> None:
    out = exported(cohort, tool)
    result = import_points(out, into=cohort)
    assert (result.moved, result.exit_code) == (0, 0)
    assert moves_in(cohort).empty
    table, _ = read_points(out)
    ours = points_of(read_landmarks(cohort / "landmarks.csv"))[:3]
    theirs = points_of(table.set_index("image_id").loc[list(NAMES[:3])])
    assert np.abs(theirs - ours).max() <= FORMATS[tool].step / 2 + 1e-9


def shift(out: Path, tool: OtherTool, *, by: float) -> None:
    """Move point 48 of the second photograph to the right, as the tool would."""
    if tool == "pts":
        file = (out / NAMES[1]).with_suffix(".pts")
        lines = file.read_text().splitlines()
        x, y = lines[3 + 48].split()
        lines[3 + 48] = f"{float(x) + by:.3f} {y}"
        file.write_text("\n".join(lines))
    elif tool == "emotrics":
        file = (out / NAMES[1]).with_suffix(".txt")
        lines = file.read_text().splitlines()
        at = next(i for i, line in enumerate(lines) if "Landmarks" in line) + 1 + 48
        x, y = lines[at].split(",")
        lines[at] = f"{int(x) + by:.0f},{y}"
        file.write_text("\n".join(lines))
    elif tool == "coco":
        content = json.loads(out.read_text())
        content["annotations"][1]["keypoints"][48 * 3] += by
        out.write_text(json.dumps(content))
    else:
        text = out.read_text()
        head, tail = text[: text.index("2 &amp;")], text[text.index("2 &amp;") :]
        if tool == "imglab":
            moved = re.sub(
                r'(name="48" x=")(\d+)', lambda m: f"{m[1]}{int(m[2]) + by:.0f}", tail, count=1
            )
        else:
            pairs = re.search(r'(?<= points=")[^"]+', tail)
            points = pairs[0].split(";")
            x, y = points[48].split(",")
            points[48] = f"{float(x) + by:.2f},{y}"
            moved = tail[: pairs.start()] + ";".join(points) + tail[pairs.end() :]
        assert moved != tail
        out.write_text(head + moved)


@pytest.mark.parametrize("tool", WRITTEN)
def test_one_point_moved_there_is_one_correction_here(tool: OtherTool, cohort: Path) -> None:
    out = exported(cohort, tool)
    shift(out, tool, by=3)
    result = import_points(out, into=cohort, rater="anna")
    assert (result.moved, result.exit_code) == (1, 0)
    (row,) = moves_in(cohort, "corrections-anna.csv").to_dict("records")
    assert (row["image_id"], row["point"], row["action"]) == (NAMES[1], 48, "move")
    assert (row["rater"], row["reason"]) == ("anna", f"moved in {tool}")
    assert row["to_x"] - row["from_x"] == pytest.approx(3, abs=FORMATS[tool].step / 2 + 1e-6)
    assert row["to_y"] == row["from_y"]  # what was not moved keeps its fraction of a px
    assert not (cohort / "corrections.csv").exists()

    again = import_points(out, into=cohort, rater="anna")
    assert again.moved == 0
    assert len(moves_in(cohort, "corrections-anna.csv")) == 1


def test_corrections_go_out_and_measure_after_they_came_back(cohort: Path) -> None:
    """Export takes what was corrected before; features takes what came back."""
    start, end = (float(POINTS[48, 0]), float(POINTS[48, 1])), (95.0, 222.0)
    Journal(cohort / "corrections.csv").add(NAMES[0], "move", [Move(48, start, end)])
    out = exported(cohort, "cvat")
    table, _ = read_points(out)
    assert points_of(table)[table["image_id"] == NAMES[0]][0, 48] == pytest.approx(end)
    shift(out, "cvat", by=2)
    assert import_points(out, into=cohort).moved == 1
    features(cohort / "landmarks.csv", out=cohort / "after")
    after = read_landmarks(cohort / "after" / "landmarks.csv").set_index("image_id")
    assert after["points_from"].loc[list(NAMES[:3])].tolist() == ["corrected", "corrected", "model"]


def test_a_face_that_was_not_found_gets_its_points_elsewhere(cohort: Path) -> None:
    photograph(cohort / "marked" / "c" / "1.jpg")
    tools.pts(cohort / "marked" / "c" / "1.jpg", POINTS, SIZE)
    assert import_points(cohort / "marked", into=cohort).moved == 68
    table = corrected(read_landmarks(cohort / "landmarks.csv"), moves_in(cohort))
    assert table.set_index("image_id").at[NAMES[3], "status"] == "ok"
    assert points_of(table)[3] == pytest.approx(POINTS, abs=1e-6)


def test_irises_and_corrections_of_irises_go_to_emotrics(cohort: Path) -> None:
    out = exported(cohort, "emotrics")
    _, irises = read_points(out)
    assert (irises[NAMES[0]].right.x, irises[NAMES[0]].left.radius) == (100, 9)
    assert irises[NAMES[2]].left.status == "unclear"


def test_nothing_is_taken_that_cannot_be_meant(cohort: Path, capsys) -> None:
    """Each in one sentence with the photograph's name; the others are taken."""
    folder = cohort / "marked"
    faces = {
        "a/1": POINTS * 2.0,  # marked in an enlarged picture
        "d/9": POINTS,  # of nobody here
        "c/1": POINTS[:66],
        "b/1": POINTS + 0.4 + np.eye(68, 2) * 4.0,  # two points moved
    }
    for name, points in faces.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        tools.pts(folder / f"{name}.jpg", points, SIZE)
    result = import_points(folder, into=cohort)
    assert (result.photographs, result.moved, result.failed, result.exit_code) == (1, 2, 3, 3)
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 3
    for name, part in (("a/1", "2.00 times"), ("c/1", "66 points"), ("d/9", "none of these")):
        assert [line for line in told if name in line and part in line], (name, told)
    assert set(moves_in(cohort)["image_id"]) == {NAMES[2]}


def test_a_mirrored_face_and_one_given_up_are_not_taken(cohort: Path, capsys) -> None:
    mirrored = POINTS.copy()
    mirrored[:, 0] = 299 - mirrored[:, 0]  # and right is left
    (cohort / "marked" / "a").mkdir(parents=True)
    (cohort / "marked" / "b").mkdir()
    tools.pts(cohort / "marked" / "a" / "1.jpg", mirrored, SIZE)
    tools.pts(cohort / "marked" / "b" / "1.jpg", POINTS + 5.0, SIZE)
    Journal(cohort / "corrections.csv").add(NAMES[2], "unmeasurable", reason="hand before it")
    assert import_points(cohort / "marked", into=cohort).exit_code == 4
    told = capsys.readouterr().err
    assert "other side" in told or "right" in told
    assert "unmeasurable" in told


@pytest.mark.parametrize("tool", ["openface", "mediapipe"])
def test_what_is_only_read_is_not_written(tool: OtherTool, cohort: Path) -> None:
    with pytest.raises(UserError, match="read and not written"):
        export_points(cohort, to=tool, out=cohort / "x")


def test_two_photographs_never_share_a_file_and_none_lies_outside(cohort: Path) -> None:
    table = pd.read_csv(cohort / "landmarks.csv")
    for names, part in (
        ((*NAMES[:2], "a/1.png", "c"), "one file"),
        (("../x.jpg", *NAMES[1:]), "outside"),
    ):
        write_table(table.assign(image_id=names), cohort / "landmarks.csv", schema=LANDMARKS)
        with pytest.raises(UserError, match=part):
            export_points(cohort, to="pts", out=cohort / "out")
        assert not list(cohort.rglob("*.pts"))


def test_what_was_marked_elsewhere_is_never_written_over(cohort: Path) -> None:
    for tool in ("cvat", "pts"):
        out = exported(cohort, tool)
        shift(out, tool, by=3)
        with pytest.raises(UserError, match="may hold corrections"):
            export_points(cohort, to=tool, out=cohort / "out", photos=cohort / "photos")
        assert import_points(out, into=cohort, rater=tool, points_from=tool).moved == 1


def test_sizes_are_needed_and_a_lost_photograph_is_told(cohort: Path, capsys) -> None:
    with pytest.raises(UserError, match="--photos"):
        export_points(cohort, to="coco", out=cohort / "out")
    (cohort / "photos" / NAMES[2]).unlink()
    result = export_points(cohort, to="coco", out=cohort / "o", photos=cohort / "photos")
    assert (result.photographs, result.exit_code) == (3, 3)
    assert NAMES[2] in capsys.readouterr().err
    assert import_points(cohort / "o", into=cohort).moved == 0


CVAT_HEAD = "<annotations><version>1.1</version>"


def cvat_image(name: str, *faces: object) -> str:
    shapes = "".join(
        '<points label="face" points="{}"/>'.format(";".join(f"{x},{y}" for x, y in face))
        for face in faces
    )
    return f'<image id="0" name="{name}" width="300" height="340">{shapes}</image>'


def test_no_photograph_of_a_file_is_lost(tmp_path: Path) -> None:
    """Faces too few, too many, incomplete, of a picture of another size: a row each, and why."""
    photograph(tmp_path / "large.jpg", (600, 680))
    text = CVAT_HEAD + "".join(
        (
            cvat_image("ok.jpg", POINTS + 0.5),
            cvat_image("none.jpg"),
            cvat_image("two.jpg", POINTS, POINTS),
            cvat_image("few.jpg", POINTS[:66]),
            cvat_image("large.jpg", POINTS),
            cvat_image("words.jpg", [*POINTS[:67], ("12.5", "here")]),
            cvat_image("&lt;script&gt;.jpg", POINTS),
        )
    )
    (tmp_path / "faces.xml").write_text(f"\ufeff{text}</annotations>", encoding="utf-8")
    table = read_points(tmp_path / "faces.xml")[0].set_index("image_id")
    assert len(table) == 7
    assert table.index[table["status"] == "ok"].tolist() == ["<script>.jpg", "ok.jpg"]
    assert points_of(table.loc[["ok.jpg"]])[0] == pytest.approx(POINTS)
    for name, part in {
        "none.jpg": "no face",
        "two.jpg": "everal faces",
        "few.jpg": "66 points where 68",
        "large.jpg": "300 x 340 px and the photograph has 600 x 680",
        "words.jpg": "where numbers belong",
    }.items():
        assert part in table.at[name, "reason"], name
    written = features(tmp_path / "faces.xml", out=tmp_path / "out")
    assert written.counts["ok"] == 2 and written.counts["failed"] == 5
    kept = read_landmarks(tmp_path / "out" / "landmarks.csv")
    assert kept["points_from"].dropna().tolist() == ["cvat", "cvat"]


def test_points_hidden_are_points_and_those_not_marked_are_not(tmp_path: Path) -> None:
    file = tools.coco(tmp_path / "a.jpg", POINTS, SIZE)
    content = json.loads(file.read_text())
    keypoints = content["annotations"][0]["keypoints"]
    keypoints[3 * 5 + 2] = 1
    file.write_text(json.dumps(content))
    assert read_points(file)[0]["status"].tolist() == ["ok"]
    keypoints[3 * 5 : 3 * 6] = [0, 0, 0]
    file.write_text(json.dumps(content))
    assert "lacks 1 point of 68" in read_points(file)[0]["reason"].item()
    _, (one,) = read_marked(file)
    assert np.isnan(one.points[5]).all()  # and not the corner of the picture


BOMB = '<!DOCTYPE lolz [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]>'


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        ("a.xml", f"<?xml version='1.0'?>{BOMB}<dataset>&b;</dataset>", "DOCTYPE"),
        ("a.xml", f"<?xml version='1.0'?>{BOMB}<annotations>&b;</annotations>", "DOCTYPE"),
        ("a.xml", "<annotations><track/></annotations>", "tracks of a video"),
        ("a.xml", "<annotations><image", "no whole XML"),
        ("a.xml", "<html></html>", "no file of points"),
        ("a.json", '{"annotations": [', "no whole JSON"),
        ("a.json", '{"annotations": [], "images": [3]}', "no COCO file"),
        ("a.json", '{"a": 1}', "no file of points"),
        ("a.json", '{"annotations": [' + "[" * 100_000, "no whole JSON"),
        ("a.csv", "confidence;x_0;x_67\n1;2,5;3\n", "commas between"),
        ("a.csv", '"x_0","x_467"\n', 'no column "y_0"'),
        ("a.json", '[{"image": "a"}, {"faceLandmarks": []}]', 'record without "faceLandmarks"'),
    ],
)
def test_a_file_that_is_none_is_one_sentence(tmp_path: Path, name, content, part) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=part) as error:
        read_points(tmp_path / name)
    assert name in str(error.value) and str(error.value).count(". ") == 0


def test_a_damaged_file_of_a_folder_is_a_row(tmp_path: Path) -> None:
    tools.pts(tmp_path / "1.jpg", POINTS, SIZE)
    (tmp_path / "2.pts").write_text("version: 1\nn_points: 68\n{\n12,5 30,25\n}\n")
    (tmp_path / "3.pts").write_bytes(
        b"\xef\xbb\xbf" + tools.pts(tmp_path / "3.jpg", POINTS, SIZE).read_bytes()
    )
    (tmp_path / "notes.txt").write_text("# Notes\ncall back on Monday")
    (tmp_path / "run.json").write_text('{"settings": {"landmarks": "landmarks.csv"}}')
    table, _ = read_points(tmp_path)
    assert table["image_id"].tolist() == ["1.jpg", "2.jpg", "3.jpg"]
    assert table["status"].tolist() == ["ok", "failed", "ok"]
    assert "decimal point" in table["reason"][1] and "line 4" in table["reason"][1]


def test_a_folder_of_two_tools_is_refused(tmp_path: Path) -> None:
    tools.pts(tmp_path / "1.jpg", POINTS, SIZE)
    tools.emotrics(tmp_path / "1.jpg", POINTS, SIZE)
    with pytest.raises(UserError, match=r"several tools \(emotrics, pts\)"):
        read_points(tmp_path)
    assert read_points(tmp_path, "pts")[0]["points_from"].tolist() == ["pts"]


def test_frames_that_openface_does_not_trust_have_no_points(tmp_path: Path) -> None:
    file = tools.openface(tmp_path / "clip.jpg", POINTS, SIZE)
    header, row = file.read_text().splitlines()
    rows = [f"{frame}, {success}, {row}" for frame, success in ((1, 1), (2, 0), (3, 1))]
    file.write_text("\n".join([f"frame, success, {header}", *rows]))
    found, _ = read_points(file)
    assert found["image_id"].tolist() == ["clip/000001", "clip/000002", "clip/000003"]
    assert found["status"].tolist() == ["ok", "failed", "ok"]
    assert "success 0" in found["reason"][1]


def test_shares_of_an_unknown_size_are_no_px(tmp_path: Path) -> None:
    file = tools.mediapipe(tmp_path / "a.jpg", POINTS, SIZE)
    assert "size, which is not known" in read_points(file)[0]["reason"].item()
    record = json.loads(file.read_text()) | {"width": SIZE[0], "height": SIZE[1]}
    empty = {"image": "b.jpg", "faceLandmarks": []}
    file.write_text(json.dumps([record, empty]))
    table, _ = read_points(file)
    assert points_of(table)[0] == pytest.approx(POINTS)
    assert "no face" in table["reason"][1]


MESH_LINES = {  # lines of the mesh as MediaPipe publishes them, the patient's right and left
    "upper lid": (
        (33, 246, 161, 160, 159, 158, 157, 173, 133), (263, 466, 388, 387, 386, 385, 384, 398, 362),
    ),
    "lower lid": (
        (33, 7, 163, 144, 145, 153, 154, 155, 133), (263, 249, 390, 373, 374, 380, 381, 382, 362),
    ),
    "brow": ((70, 63, 105, 66, 107), (300, 293, 334, 296, 336)),
    "oval": (
        (127, 234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152),
        (356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152),
    ),
    "upper lip": ((61, 185, 40, 39, 37, 0), (291, 409, 270, 269, 267, 0)),
    "lower lip": ((61, 146, 91, 181, 84, 17), (291, 375, 321, 405, 314, 17)),
    "upper lip, inner": ((78, 191, 80, 81, 82, 13), (308, 415, 310, 311, 312, 13)),
    "lower lip, inner": ((78, 95, 88, 178, 87, 14), (308, 324, 318, 402, 317, 14)),
    "base of the nose": ((98, 97, 2), (327, 326, 2)),
    "bridge of the nose": ((6, 197, 195, 5, 4, 1), (6, 197, 195, 5, 4, 1)),
}  # fmt: skip
OUR_LINES = {
    "upper lid": (36, 37, 38, 39), "lower lid": (36, 41, 40, 39), "brow": (17, 18, 19, 20, 21),
    "oval": tuple(range(9)), "upper lip": (48, 49, 50, 51), "lower lip": (48, 59, 58, 57),
    "upper lip, inner": (60, 61, 62), "lower lip, inner": (60, 67, 66),
    "base of the nose": (31, 32, 33), "bridge of the nose": (27, 28, 29, 30),
}  # fmt: skip


def test_the_mesh_gives_each_point_from_its_line_and_mirrored_alike() -> None:
    assert len(set(MESH_OF_68)) == 68
    seen = set()
    for line, ours in OUR_LINES.items():
        right, left = MESH_LINES[line]
        places = [right.index(MESH_OF_68[point]) for point in ours]
        assert places == sorted(places), line  # one behind the other
        mirrored = [left.index(MESH_OF_68[MIRROR_PARTNER[point]]) for point in ours]
        assert mirrored == places, line
        seen |= {*ours, *(MIRROR_PARTNER[point] for point in ours)}
    assert seen == set(range(68))


def test_names_are_matched_where_they_are_certain() -> None:
    known = ["a/1.jpg", "b/1.jpg", "b/2.jpg", "c/deep/3.jpg"]
    names = ["a/1.jpg", "1.png", "2", "x/deep/3.JPG", "deep/3.png", "b\\2.bmp", "9.jpg"]
    assert matched(names, known) == {
        "a/1.jpg": "a/1.jpg",
        "1.png": "b/1.jpg",
        "deep/3.png": "c/deep/3.jpg",
    }
    assert matched(["1.jpg"], known) == {}  # of a or of b
    assert matched(["IMG.001"], ["p/IMG.001.jpg"]) == {"IMG.001": "p/IMG.001.jpg"}


def test_points_beside_photographs_are_truth_and_predictions(tmp_path: Path) -> None:
    """A folder of .pts against the same points of OpenFace, 2 px lower."""
    for name in ("p/1.jpg", "p/2.jpg", "q/1.jpg"):
        photograph(tmp_path / "true" / name)
        tools.bare_pts(tmp_path / "true" / name, POINTS, SIZE)
        (tmp_path / "found" / name).parent.mkdir(parents=True, exist_ok=True)
        tools.openface(tmp_path / "found" / name, POINTS.round(1) + np.array([0, 2]), SIZE)
    known = read_with_truth(tmp_path / "true")
    assert known.photos[0] == ("p/1.jpg", tmp_path / "true" / "p/1.jpg")
    result = evaluate_landmarks(
        tmp_path / "true", out=tmp_path / "out", predictions=(tmp_path / "found",)
    )
    assert result.chosen.distances == pytest.approx(np.full((3, 68), 2.0), abs=0.06)


def test_a_manifest_may_name_pts_as_truth(tmp_path: Path) -> None:
    photograph(tmp_path / "1.jpg")
    tools.pts(tmp_path / "1.jpg", POINTS, SIZE)
    row = {"image_id": "1", "path": "1.jpg", "patient_id": "p", "truth_file": "1.pts"}
    pd.DataFrame([row]).to_csv(tmp_path / "manifest.csv", index=False)
    truth = read_truth(read_manifest(tmp_path / "manifest.csv"))
    assert points_of(truth)[0] == pytest.approx(POINTS, abs=1e-6)


def test_points_of_a_tool_stay_called_so_until_they_are_moved(tmp_path: Path) -> None:
    for name in ("1.jpg", "2.jpg"):
        tools.openface(tmp_path / name, POINTS, SIZE)
    table, _ = read_points(tmp_path)
    Journal(tmp_path / "corrections.csv").add(
        "1.jpg", "move", [Move(48, (1.0, 1.0), (90.0, 220.0))]
    )
    after = corrected(table, moves_in(tmp_path))
    assert after["points_from"].tolist() == ["corrected", "openface"]


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_the_size_of_a_photograph_is_that_turned_upright(
    suffix, orientation, tmp_path: Path
) -> None:
    from PIL import Image

    image = Image.new("RGB", (40, 30))
    exif = image.getexif()
    exif[0x0112] = orientation
    image.save(tmp_path / f"a.{suffix}", exif=exif)
    photo = read_photo(tmp_path / f"a.{suffix}")
    assert upright_size(tmp_path / f"a.{suffix}") == (photo.width, photo.height)
    assert upright_size(tmp_path / "none.jpg") is None
