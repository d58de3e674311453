"""The review in a real browser: mouse, touch and keyboard; the server killed in the middle."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pandas as pd
import pytest

from common.tables import write_table
from datasets.simulated.shape import AVERAGE_POINTS
from landmarks.points import POINT_COLUMNS
from landmarks.review.corrections import CORRECTIONS_FILE, read_corrections
from landmarks.tables import LANDMARKS, read_landmarks

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

POINTS = AVERAGE_POINTS * 1.6 + (150.0, 150.0)
NAMES = tuple(f"{patient}/{k}.jpg" for patient in ("<b>a&b</b>", "c") for k in (1, 2))


class Running:
    """`review` as a program of its own, which a test may kill."""

    def __init__(self, folder: Path, root: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(root / "run_pipeline.py"), "review", str(folder / "tables"),
             "--photos", str(folder / "photos"), "--no-browser"],
            stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        assert self._process.stdout is not None
        self._printed = self._process.stdout
        found = re.search(r"http://\S+", self._printed.readline())
        assert found is not None
        self.address = found[0]

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(20)
        self._printed.close()

    def end(self) -> str:
        self._process.send_signal(signal.SIGINT)
        return self._process.communicate(timeout=60)[0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("review")
    ramp = np.tile(np.linspace(60, 200, 300, dtype=np.uint8)[None, :, None], (340, 1, 3))
    for name in NAMES:
        path = folder / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), ramp)
    points = np.repeat(POINTS.reshape(1, -1), len(NAMES), axis=0)
    table = pd.DataFrame(points, columns=list(POINT_COLUMNS))
    table.insert(0, "image_id", list(NAMES))
    table.insert(1, "status", "ok")
    write_table(table, folder / "tables" / "landmarks.csv", schema=LANDMARKS)
    return folder


@pytest.fixture(scope="module")
def running(folder: Path, root: Path, browser: Browser) -> Iterator[list[Running]]:
    found = [Running(folder, root)]
    yield found
    found[-1].kill()


def open_review(browser: Browser, address: str, *, width: int = 1280, **options: object) -> Page:
    context = browser.new_context(viewport={"width": width, "height": 800}, **options)  # type: ignore[arg-type]
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: problems.extend(_elsewhere(request.url)))
    page.goto(address)
    page.wait_for_selector(".dot")
    page.wait_for_selector("#strip button:nth-child(4) img")
    assert problems == []
    return page


def _elsewhere(url: str) -> list[str]:
    """Return the address if it is not this machine's."""
    return [] if url.startswith(("http://127.0.0.1:", "blob:", "data:")) else [url]


def centre(page: Page, point: int) -> tuple[float, float]:
    box = page.locator(f'[data-point="{point}"] .dot').bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def last_move(folder: Path, *, rows: int) -> pd.Series:
    found = read_corrections(folder / "tables" / CORRECTIONS_FILE)
    assert len(found) == rows
    return found.iloc[-1]


def says(page: Page, words: str) -> None:
    """Wait until the progress says so."""
    page.wait_for_selector(f"#progress:has-text('{words}')")


def test_drag_nudge_undo_kill_and_everything_is_there(
    browser: Browser, running: list[Running], folder: Path, root: Path
) -> None:
    page = open_review(browser, running[-1].address)
    assert page.inner_text("#name").endswith(NAMES[0])  # names are text, never a page's markup
    x, y = centre(page, 48)
    scale = page.evaluate("document.querySelector('#face').getScreenCTM().a")
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 10, y + 30, steps=4)
    page.mouse.up()
    says(page, "1 corrected")
    row = last_move(folder, rows=1)
    assert row["to_x"] - POINTS[48, 0] == pytest.approx(-10 / scale, abs=0.02)
    assert row["to_y"] - POINTS[48, 1] == pytest.approx(30 / scale, abs=0.02)
    with page.expect_response("**/change/0"):
        page.keyboard.press("ArrowRight")
    nudged = last_move(folder, rows=2)
    assert nudged["to_x"] - row["to_x"] == pytest.approx(0.5)

    running[-1].kill()
    page.keyboard.press("ArrowRight")
    page.wait_for_selector("#message:not([hidden])")
    assert "does not answer" in page.inner_text("#message")
    page.context.close()
    running.append(Running(folder, root))

    page = open_review(browser, running[-1].address)
    says(page, "1 corrected")
    with page.expect_response("**/change/0"):
        page.keyboard.press("Control+z")
    with page.expect_response("**/change/0"):
        page.click("#undo")
    says(page, "0 corrected")
    assert last_move(folder, rows=4)["to_x"] == POINTS[48, 0]
    with page.expect_response("**/change/0"):
        page.keyboard.press("Control+y")
    says(page, "1 corrected")
    page.keyboard.press("n")
    says(page, "2 of 4")
    page.click("#good")  # right as it is: looked at, and not corrected
    says(page, "3 of 4 · 2 looked at · 1 corrected")
    page.context.close()


def test_a_second_page_only_shows(browser: Browser, running: list[Running], folder: Path) -> None:
    first = open_review(browser, running[-1].address)
    second = open_review(browser, running[-1].address)
    says(second, "read-only")
    rows = len(read_corrections(folder / "tables" / CORRECTIONS_FILE))
    second.keyboard.press("ArrowLeft")
    x, y = centre(second, 8)
    second.mouse.move(x, y)
    second.mouse.down()
    second.mouse.move(x, y + 40, steps=3)
    second.mouse.up()
    second.wait_for_timeout(200)
    assert len(read_corrections(folder / "tables" / CORRECTIONS_FILE)) == rows
    first.context.close()
    second.wait_for_selector("#progress:not(:has-text('read-only'))")
    second.context.close()


def test_a_finger_moves_a_point_and_the_other_side_is_copied(
    browser: Browser, running: list[Running], folder: Path
) -> None:
    page = open_review(browser, running[-1].address, width=800, has_touch=True)
    page.keyboard.press("n")
    says(page, "2 of 4")
    rows = len(read_corrections(folder / "tables" / CORRECTIONS_FILE))
    x, y = centre(page, 19)
    touch = page.context.new_cdp_session(page)
    for kind, points in (
        ("touchStart", [{"x": x, "y": y}]),
        ("touchMove", [{"x": x, "y": y - 20}]),
        ("touchEnd", []),
    ):
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    says(page, "2 corrected")
    raised = last_move(folder, rows=rows + 1)
    assert (raised["point"], raised["to_y"] < POINTS[19, 1] - 1) == (19, True)
    page.click("#face", position={"x": 5, "y": 5})
    page.evaluate("document.querySelector('#face').focus()")
    for _ in range(5):  # from the raised brow point to its partner on the left
        page.keyboard.press("Tab")
    with page.expect_response("**/change/*"):
        page.keyboard.press("c")
    found = read_corrections(folder / "tables" / CORRECTIONS_FILE)
    copied = found[found["point"] == 24].iloc[-1]
    assert copied["to_y"] == pytest.approx(raised["to_y"], abs=0.5)  # the face is level
    page.context.close()


@pytest.mark.parametrize("width", [1280, 800, 400])
def test_it_fits_and_can_be_used_by_everyone(
    browser: Browser, running: list[Running], width: int
) -> None:
    from axe_playwright_python.sync_playwright import Axe

    for scheme in ("light", "dark"):
        page = open_review(
            browser, running[-1].address, width=width, color_scheme=scheme, bypass_csp=True
        )
        page.click("#help")
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.context.close()


def test_at_its_end_the_points_are_measured_again(
    browser: Browser, running: list[Running], folder: Path
) -> None:
    page = open_review(browser, running[-1].address)
    page.click("#bad")
    page.click("text=Blurred")
    page.wait_for_selector("#strip button[aria-current] >> text=not measurable")
    page.context.close()
    printed = running[-1].end()
    assert "1 called unmeasurable" in printed
    table = read_landmarks(folder / "tables" / "corrected" / "landmarks.csv")
    assert table["status"].tolist() == ["failed", "ok", "ok", "ok"]
    assert table["reason"][0] == "cannot be measured: blurred"
    assert table["points_from"].tolist()[1:] == ["corrected", "model", "model"]
