"""A report is one page that needs nothing else, says warnings first, and escapes what it shows."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from common.errors import UserError
from common.report import RESEARCH_USE, Report, figure_picture, image_picture


class Balance(HTMLParser):
    """Counts tags that are opened and not closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag, attrs):
        if tag not in {"meta", "img", "br", "!doctype"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def drawn() -> Figure:
    figure = Figure(figsize=(2, 1))
    figure.subplots().plot([0, 1], [1, 0])
    return figure


def whole_report() -> Report:
    report = Report(title="A & B", summary="Three patients <were> graded.")
    section = report.section("Scores")
    section.text("Said & done.")
    section.table(
        pd.DataFrame(
            {
                "Grader": ["SVM", "guess"],
                "Kappa": ["0.61\n0.52 to 0.69", np.nan],
                "n": [3, 4],
                "x": [0.12345, 1.0],
            }
        ),
        caption="With intervals.",
        quiet=[False, True],
    )
    section.figure(drawn(), alt="A falling line.", caption="Line")
    report.section("Faces").image(
        np.full((40, 60, 3), (200, 30, 30), dtype=np.uint8), alt="A red face."
    )
    report.warn("Beware of <b>bold</b> claims.")
    return report


def test_the_page_is_well_formed_and_says_everything(tmp_path: Path):
    path = tmp_path / "report.html"
    whole_report().write(path)
    page = path.read_text(encoding="utf-8")
    parser = Balance()
    parser.feed(page)
    assert parser.open == []
    for words in ("A &amp; B", "Said &amp; done.", "0.61<small>0.52 to 0.69</small>", "0.12", "–",
                  "With intervals.", 'alt="A red face."', 'class="quiet"'):  # fmt: skip
        assert words in page
    assert page.count(RESEARCH_USE) == 1
    assert "<were>" not in page
    assert "<b>bold" not in page


def test_warnings_stand_first_and_once():
    report = whole_report()
    report.warn("Beware of <b>bold</b> claims.")
    page = report.html()
    assert page.count("Beware of") == 1
    assert page.index("Beware of") < page.index("<section")
    assert 'class="warnings"' not in Report(title="calm", summary="Nothing to say.").html()


def test_nothing_is_asked_from_outside():
    page = whole_report().html()
    assert not re.search(r"https?:|<script|@import|url\(|srcset|<link", page)
    assert all(src.startswith("data:image/") for src in re.findall(r'src="([^"]*)"', page))
    assert "default-src 'none'" in page


def test_pictures_come_out_in_their_colours_and_at_their_size():
    red = np.zeros((80, 120, 3), dtype=np.uint8)
    red[..., 0] = 255
    picture = image_picture(red, alt="red", width=30)
    data = base64.b64decode(picture.source.removeprefix("data:image/jpeg;base64,"))
    back = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert back.shape == (20, 30, 3)
    assert picture.width == 30
    np.testing.assert_allclose(back.reshape(-1, 3).mean(axis=0), [255, 0, 0], atol=6)
    assert image_picture(red, alt="red", width=500).width == 120  # not enlarged


@pytest.mark.parametrize(
    "pixels", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((4, 4, 4), np.uint8)]
)
def test_anything_but_rgb_is_refused(pixels):
    with pytest.raises(UserError, match="RGB"):
        image_picture(pixels, alt="")


def test_the_same_content_gives_the_same_bytes():
    assert whole_report().html() == whole_report().html()
    assert figure_picture(drawn(), alt="") == figure_picture(drawn(), alt="")


def test_a_report_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch):
    path = tmp_path / "report.html"
    path.write_text("old")

    def fails(self):
        raise RuntimeError("planted")

    report = whole_report()
    monkeypatch.setattr(Report, "html", fails)
    with pytest.raises(RuntimeError):
        report.write(path)
    assert path.read_text() == "old"
