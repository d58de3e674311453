"""The Toronto NeuroFace layout, its annotations, and its truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from common.truth import POINT_COLUMNS, read_truth
from datasets.readers.neuroface import read_neuroface


def write_points(path: Path, frames: dict[int, float], *, header: bool = True) -> None:
    """One line per frame; the points are base, base + 1, ..."""
    path.parent.mkdir(parents=True, exist_ok=True)
    names = ["frame", *(f"{axis}{i + 1}" for i in range(68) for axis in "xy")]
    lines = [",".join(names)] if header else []
    lines += [
        ",".join([str(frame), *(str(base + i) for i in range(136))])
        for frame, base in frames.items()
    ]
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture
def whole(tmp_path, write_photo) -> Path:
    for group, patient in (("ALS", "A009"), ("Healthy controls", "N002")):
        for frame in (7, 431):
            write_photo(
                tmp_path / group / "Frames" / f"{patient}_02_NSM_OPEN_color.avi_{frame}.jpg"
            )
        name = f"{patient}_02_NSM_OPEN_color.txt"
        write_points(tmp_path / group / "Landmarks_gt" / name, {7: 10.5, 431: 20.25})
        boxes = tmp_path / group / "Bbox_gt" / name
        boxes.parent.mkdir(parents=True)
        boxes.write_text("frame,x1,y1,x2,y2\n7,1,2,30.5,40\n431,5,6,70,80\n")
    return tmp_path


def test_frames_points_and_boxes_come_together(whole):
    dataset = read_neuroface(whole)
    row = dataset.manifest.set_index("image_id").loc[
        "ALS/Frames/A009_02_NSM_OPEN_color.avi_431.jpg"
    ]
    assert dataset.problems == ()
    assert (row["patient_id"], row["task"], row["side"]) == ("A009", "NSM_OPEN", "unknown")
    assert (row["group"], row["visit"], row["frame"]) == ("ALS", "02", 431)
    assert (row["true_box_left"], row["true_box_bottom"]) == (5, 80)
    assert dataset.manifest["hb_grade"].isna().all()
    healthy = dataset.manifest["group"] == "Healthy controls"
    assert set(dataset.manifest.loc[healthy, "side"]) == {"none"}


def test_truth_is_that_of_the_very_frame(whole):
    dataset = read_neuroface(whole)
    truth = read_truth(dataset.manifest)
    assert list(truth["status"]) == ["ok"] * 4
    assert list(truth["x_0"]) == [10.5, 20.25, 10.5, 20.25]  # natural order: 7 before 431
    assert truth["y_67"].iloc[1] == 20.25 + 135


@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("separator", [",", "\t", "; "])
def test_truth_is_read_with_any_separator_and_without_header(whole, header, separator):
    path = whole / "ALS/Landmarks_gt/A009_02_NSM_OPEN_color.txt"
    write_points(path, {7: 1.5, 431: 2.5}, header=header)
    path.write_text(path.read_text().replace(",", separator))
    truth = read_truth(read_neuroface(whole).manifest)
    assert list(truth["x_0"])[:2] == [1.5, 2.5]


def test_every_defect_is_found_and_named(whole, write_photo, problem_of):
    path = whole / "ALS/Landmarks_gt/A009_02_NSM_OPEN_color.txt"
    write_points(path, {7: 1.0, 500: 2.0, 501: 3.0})  # 431 has no truth, 500 and 501 no image
    with path.open("a") as file:
        file.write("12,1.0,2.0\n7," + ",".join(["3.0"] * 136) + "\n")
    write_photo(whole / "ALS/Frames/A009_02_NSM_SMIRK_color.avi_3.jpg")
    write_photo(whole / "ALS/Frames/holiday.jpg")

    dataset = read_neuroface(whole)

    absent = problem_of(dataset, "frame_without_image")
    assert "500, 501" in absent.what and absent.rows == (3, 4) and absent.severity == "error"
    assert problem_of(dataset, "unreadable_annotation").rows == (5,)
    assert "137" in problem_of(dataset, "unreadable_annotation").what
    assert problem_of(dataset, "frame_twice").rows == (2, 6)
    bare = problem_of(dataset, "no_true_points")
    assert "avi_431.jpg" in bare.what and "2 frames" in bare.what
    assert '"NSM_SMIRK"' in problem_of(dataset, "unknown_task").what
    assert problem_of(dataset, "unexpected_photograph").file == "ALS/Frames/holiday.jpg"
    assert "holiday" not in " ".join(dataset.manifest["image_id"])
    truth = read_truth(dataset.manifest).set_index("image_id")
    lost = truth.loc["ALS/Frames/A009_02_NSM_OPEN_color.avi_431.jpg"]
    assert lost["status"] == "failed" and lost["reason"]
    assert np.isnan(lost[list(POINT_COLUMNS)].astype(float)).all()


def test_shared_simulated_set_is_read_whole(shared):
    dataset = read_neuroface(shared / "data/sim_neuroface")
    assert len(dataset.manifest) == 132
    assert dataset.problems == ()
    truth = read_truth(dataset.manifest)
    assert (truth["status"] == "ok").all()
    # The box is drawn around the points, so points of another frame would fall outside it.
    x = truth[[name for name in POINT_COLUMNS if name.startswith("x")]].to_numpy()
    assert np.allclose(x.min(axis=1), dataset.manifest["true_box_left"], atol=0.01)
    assert np.allclose(x.max(axis=1), dataset.manifest["true_box_right"], atol=0.01)
