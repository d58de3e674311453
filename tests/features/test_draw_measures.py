"""Pictures of the clinical measures are drawn for the photographs that have points."""

from __future__ import annotations

import cv2
import pytest

from common.errors import UserError
from features.commands.draw_measures import draw_measures_on
from features.commands.extract import extract

pytestmark = pytest.mark.usefixtures("workers_here")


def test_one_picture_for_each_measured_photograph(portrait, tmp_path):
    photos = tmp_path / "photos"
    (photos / "visit").mkdir(parents=True)
    cv2.imwrite(str(photos / "visit" / "a.png"), portrait[..., ::-1])
    cv2.imwrite(str(photos / "noface.png"), portrait[:60, :60, ::-1])
    extract(photos, out=tmp_path / "out", tta=0, jobs=1)
    drawn = draw_measures_on(photos, landmarks=tmp_path / "out" / "landmarks.csv", out=tmp_path)
    assert (drawn.drawn, drawn.failed, drawn.exit_code) == (1, 0, 0)
    (picture,) = drawn.folder.rglob("*.jpg")
    assert picture.relative_to(drawn.folder).as_posix() == "visit/a.png.jpg"
    assert cv2.imread(str(picture)).shape[1] == 1000
    (photos / "visit" / "a.png").write_bytes(b"")
    again = draw_measures_on(photos, landmarks=tmp_path / "out" / "landmarks.csv", out=tmp_path)
    assert again.exit_code == 4
    with pytest.raises(UserError, match="none of the photographs"):
        draw_measures_on(
            photos, landmarks=tmp_path / "out" / "landmarks.csv", out=tmp_path, only="b"
        )
