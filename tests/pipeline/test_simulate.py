"""The command simulate, on a cohort and on a portrait."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from common.command_line import run
from common.errors import UserError
from common.photos import read_photo
from landmarks.tables import points_of, read_landmarks
from pipeline.commands.simulate import simulate
from run_pipeline import app


def test_a_cohort_is_drawn_by_the_command_line_into_a_new_folder_only(tmp_path: Path) -> None:
    """The run's own lock lies in the folder meanwhile, and is no cohort of somebody else."""
    words = ["simulate", str(tmp_path / "cohort"), "--patients", "1", "--width", "160"]
    assert run(app, words) == 0
    assert len(list((tmp_path / "cohort").rglob("*.jpg"))) == 8
    assert (tmp_path / "cohort" / "true_landmarks.csv").is_file()
    assert run(app, [*words, "--seed", "1"]) == 2


def test_a_portrait_smiles_on_the_strong_side_only(tmp_path: Path, portrait_path: Path) -> None:
    out = tmp_path / "warped"
    simulate(out, from_photo=portrait_path, grade=6, side="right", photo_task="full_smile")
    table = read_landmarks(out / "landmarks.csv").set_index("image_id")
    rest, smile = (
        points_of(table.loc[[f"astronaut_{task}.png"]])[0] for task in ("rest", "full_smile")
    )
    moved = np.linalg.norm(smile - rest, axis=1)
    right_corner, left_corner = moved[48], moved[54]
    assert left_corner > 3 * right_corner
    assert read_photo(out / "astronaut_rest.png").pixels.shape == (512, 512, 3)


def test_a_portrait_without_a_face_is_refused(tmp_path: Path) -> None:
    import cv2

    wall = tmp_path / "wall.png"
    cv2.imwrite(str(wall), np.full((200, 200, 3), 128, np.uint8))
    with pytest.raises(UserError, match="No face was found"):
        simulate(tmp_path / "out", from_photo=wall)
