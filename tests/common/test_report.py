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
from common.report import (
    RESEARCH_USE,
    Fact,
    Link,
    Picture,
    Report,
    Share,
    figure_picture,
    image_picture,
)


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
    red = np.full((40, 60, 3), (200, 30, 30), dtype=np.uint8)
    report.section("Faces").gallery([image_picture(red, alt="A red face.")])
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


def test_an_answer_box_shows_each_number_with_what_must_be_known_beside_it():
    report = Report(title="Box", summary="Two ways.")
    report.section("Answer").facts(
        "How well?",
        [Fact("SVM & co", "0.61", ("0.52 to 0.69",)), Fact("guess", "0.00", quiet=True)],
    )
    page = report.html()
    box = page[page.index('<div class="answer">') :]
    for words in ("How well?", "SVM &amp; co", ">0.61<", ">0.52 to 0.69<"):
        assert words in box, words
    assert box.count('class="fact quiet"') == 1


def test_links_lead_to_sections_and_to_files_beside_the_report():
    report = Report(title="Links", summary="Two.")
    section = report.section("From")
    section.links([Link("there", "#there"), Link("else", "other/report.html")], before="Go:")
    section.table(pd.DataFrame({"Who": [Link("Ann", "#there")]}))
    report.section("To", anchor="there").subheading("A part")
    page = report.html()
    assert page.count('<a href="#there">') == 2
    assert '<a href="other/report.html">else</a>' in page
    assert 'id="there"' in page
    assert "<h3>A part</h3>" in page


def test_shares_are_percent_on_a_ground_as_dark_as_they_are_large():
    report = Report(title="Shares", summary="Three.")
    report.section("Table").table(pd.DataFrame({"p": [Share(0.0), Share(0.25), Share(1.0)]}))
    cells = re.findall(r'<td class="number"([^>]*)>(\d+)</td>', report.html())
    assert [words for _, words in cells] == ["0", "25", "100"]
    grounds = [float(m[1]) if (m := re.search(r"114, 178, ([.\d]+)", s)) else 0.0 for s, _ in cells]
    assert grounds == sorted(grounds)
    assert grounds[0] == 0.0
    assert grounds[2] == pytest.approx(4 * grounds[1])


def test_folded_sections_stay_out_of_the_contents():
    report = Report(title="Folded", summary="Many.")
    for number in range(3):
        report.section(f"Open {number}")
    report.section("Behind", folded=True).text("Hidden at first.")
    page = report.html()
    contents = page[page.index("<nav") : page.index("</nav>")]
    assert "Open 2" in contents
    assert "Behind" not in contents
    assert re.search(r"<details>\s*<summary><h2>Behind</h2></summary>", page)
    parser = Balance()
    parser.feed(page)
    assert parser.open == []


def test_a_wide_picture_keeps_most_of_its_width_and_a_narrow_one_gives_way():
    wide, narrow = (Picture("data:,", "", "", width) for width in (1000, 360))
    assert wide.least_width == 750
    assert narrow.least_width == 0
    assert Picture("data:,", "", "", 400).least_width == 360  # what every window has
