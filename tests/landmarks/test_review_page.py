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

from common.tables import MANIFEST, write_table
from datasets.simulated.shape import AVERAGE_POINTS
from landmarks.find.extraction import SPREADS_FILE
from landmarks.find.iris import Iris, Irises
from landmarks.points import POINT_COLUMNS
from landmarks.review.corrections import CORRECTIONS_FILE, read_corrections
from landmarks.review.marks import BY_HAND
from landmarks.scale import mm_per_px_of
from landmarks.tables import (
    IRISES,
    LANDMARKS,
    SPREAD_COLUMNS,
    SPREADS,
    iris_table,
    read_irises,
    read_landmarks,
)

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

POINTS = AVERAGE_POINTS * 1.6 + (150.0, 150.0)
IRIS_X, IRIS_Y, RADIUS = (POINTS[36:42, 0].mean(), POINTS[42:48, 0].mean()), POINTS[36, 1], 6.0
NAMES = tuple(f"{patient}/{k}.jpg" for patient in ("<b>a&b</b>", "c") for k in (1, 2))


class Running:
    """`review` as a program of its own, which a test may kill."""

    def __init__(self, folder: Path, root: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(root / "run_pipeline.py"), "review", str(folder / "tables"),
             "--photos", str(folder / "manifest.csv"), "--no-browser"],
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
    eyes = [Iris("ok", x=IRIS_X[k], y=IRIS_Y, radius=RADIUS, strength=0.5) for k in range(2)]
    irises = {name: Irises(*eyes) for name in NAMES}
    table.insert(2, "mm_per_px", mm_per_px_of(irises[NAMES[0]]))
    write_table(table, folder / "tables" / "landmarks.csv", schema=LANDMARKS)
    spreads = pd.DataFrame(3.0, index=range(len(NAMES)), columns=list(SPREAD_COLUMNS))
    spreads[list(SPREAD_COLUMNS[1::2])] = 4.0  # as uncertain everywhere: 5 px
    head = table[["image_id", "status"]].assign(copies=10, copies_failed=0)
    write_table(head.join(spreads), folder / "tables" / SPREADS_FILE, schema=SPREADS)
    manifest = table[["image_id"]].assign(
        path=[str(folder / "photos" / name) for name in NAMES],
        patient_id=["z <i>x</i>", "z <i>x</i>", "b", "b"],
    )
    write_table(manifest, folder / "manifest.csv", schema=MANIFEST)
    write_table(iris_table(irises), folder / "tables" / "irises.csv", schema=IRISES)
    return folder


@pytest.fixture(scope="module")
def running(folder: Path, root: Path, browser: Browser) -> Iterator[list[Running]]:
    found = [Running(folder, root)]
    yield found
    found[-1].kill()


def open_review(
    browser: Browser, address: str, *, width: int = 1280, beside: bool = False, **options: object
) -> Page:
    """Open the page, alone (one that a failed test left would hold the pen) or beside another."""
    for other in [] if beside else browser.contexts:
        other.close()
    context = browser.new_context(viewport={"width": width, "height": 800}, **options)  # type: ignore[arg-type]
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: problems.extend(_elsewhere(request.url)))
    with page.expect_response("**/here"):
        page.goto(address)
    page.wait_for_selector(".dot")
    page.wait_for_selector("#film button:nth-child(4) img")
    assert problems == []
    if not beside:  # the page before may hold the pen for a few seconds yet
        page.wait_for_timeout(100)
        page.wait_for_selector("#progress:not(:has-text('read-only'))")
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


def tells(page: Page, words: str) -> None:
    """Wait until the line on the chosen point says so."""
    page.wait_for_selector(f"#point:has-text('{words}')")


def rows_of(folder: Path, *, change: int = -1) -> pd.DataFrame:
    """Return the rows of one change, by point."""
    found = read_corrections(folder / "tables" / CORRECTIONS_FILE)
    return found[found["at"] == found["at"].unique()[change]].set_index("point")


def drag(page: Page, x: float, y: float, *, by: tuple[float, float]) -> None:
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + by[0], y + by[1], steps=3)
    page.mouse.up()


def says(page: Page, words: str) -> None:
    """Wait until the progress says so."""
    page.wait_for_selector(f"#progress:has-text('{words}')")


def test_drag_nudge_undo_kill_and_everything_is_there(
    browser: Browser, running: list[Running], folder: Path, root: Path
) -> None:
    page = open_review(browser, running[-1].address)
    assert page.inner_text("#name") == f"z <i>x</i> · {NAMES[0]}"  # text, never a page's markup
    halos = page.eval_on_selector_all(".halo", "all => all.map((one) => one.r.baseVal.value)")
    assert halos == pytest.approx([5.0] * 68)
    page.select_option("#order", "patient")
    says(page, "3 of 4")
    assert page.inner_text("#name").endswith(NAMES[0])  # the same photograph, in another place
    page.select_option("#order", "worst")
    says(page, "1 of 4")
    x, y = centre(page, 48)
    scale = page.evaluate("document.querySelector('#face').getScreenCTM().a")
    drag(page, x, y, by=(-10, 30))
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
    second = open_review(browser, running[-1].address, beside=True)
    says(second, "read-only")
    rows = len(read_corrections(folder / "tables" / CORRECTIONS_FILE))
    second.keyboard.press("ArrowLeft")
    x, y = centre(second, 8)
    drag(second, x, y, by=(0, 40))
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


def test_an_iris_is_a_circle_for_mouse_finger_and_keys(
    browser: Browser, running: list[Running], folder: Path
) -> None:
    page = open_review(browser, running[-1].address, has_touch=True)
    with page.expect_response("**/face/3"):
        page.click("#film button:nth-child(4)")
    says(page, "4 of 4")
    page.keyboard.press("e")
    scale = page.evaluate("document.querySelector('#face').getScreenCTM().a")
    assert float(page.get_attribute(".rim.right", "r") or 0) == pytest.approx(RADIUS)

    x, y = centre(page, 68)
    with page.expect_response("**/change/3"):  # the rim, taken below the centre, away from points
        drag(page, x, y - RADIUS * scale, by=(0, -2 * scale))
    grown = rows_of(folder)
    assert grown.index.tolist() == [70]
    assert grown["to_x"][70] - IRIS_X[0] == pytest.approx(RADIUS + 2, abs=0.05)
    touch = page.context.new_cdp_session(page)
    with page.expect_response("**/change/3"):
        for kind, points in (
            ("touchStart", [{"x": x, "y": y}]),
            ("touchMove", [{"x": x + 3 * scale, "y": y}]),
            ("touchEnd", []),
        ):
            touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    moved = rows_of(folder)
    assert moved.index.tolist() == [68, 70]  # both, so that the radius stays
    assert np.allclose(moved["to_x"] - moved["from_x"], 3, atol=0.05)

    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    tells(page, "radius 8.0 px")
    with page.expect_response("**/change/3"):
        page.keyboard.press("ArrowUp")
    tells(page, "radius 8.5 px")
    with page.expect_response("**/change/3"):
        page.keyboard.press("Control+z")
    tells(page, "radius 8.0 px")
    assert "mm per px" in page.inner_text("#caption")

    page.keyboard.press("i")
    page.keyboard.press("i")
    tells(page, "Centre of the left iris")
    with page.expect_response("**/change/3"):
        page.keyboard.press("Delete")
    assert page.locator(".rim").count() == 1
    with page.expect_response("**/change/3"):  # put back between the lids
        page.click("#iris")
        page.click("#iris")
    assert rows_of(folder)["to_x"][69] == pytest.approx(POINTS[[42, 45], 0].mean())
    with page.expect_response("**/change/3"):
        page.keyboard.press("Control+z")
    page.wait_for_selector(".rim.left", state="detached")

    rows, width = len(read_corrections(folder / "tables" / CORRECTIONS_FILE)), page.evaluate(WIDTH)
    for kind, gap in (("touchStart", 40), ("touchMove", 80), ("touchEnd", 0)):  # two fingers zoom
        points = [{"x": x - gap, "y": y, "id": 1}, {"x": x + gap, "y": y, "id": 2}] if gap else []
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    assert page.evaluate(WIDTH) < width / 1.5
    assert len(read_corrections(folder / "tables" / CORRECTIONS_FILE)) == rows
    page.context.close()


WIDTH = "document.querySelector('#face').viewBox.baseVal.width"
SLOW = """
(slow) => {
  const ask = window.fetch;
  window.fetch = async (path, options) => {
    if (path.startsWith(slow)) await new Promise((done) => setTimeout(done, 300));
    return ask(path, options);
  };
}
"""


def test_going_on_before_an_answer_changes_the_photograph_that_is_seen(
    browser: Browser, running: list[Running], folder: Path
) -> None:
    page = open_review(browser, running[-1].address)
    page.click("#film button:nth-child(3)")
    says(page, "3 of 4")
    page.evaluate(SLOW, "change/")
    for _ in range(3):  # faster than they are answered: each builds upon the one before
        page.keyboard.press("ArrowRight")
    page.keyboard.press("p")  # the answers come after this
    says(page, "2 of 4")
    page.wait_for_selector("#film button:nth-child(3):has-text('corrected')")
    page.evaluate(SLOW, "face/")
    with page.expect_response("**/change/1"):
        page.keyboard.press("n")
        page.keyboard.press("ArrowLeft")  # the second is still seen, the third is wanted
    says(page, "3 of 4")
    assert rows_of(folder, change=-1)["image_id"].unique().tolist() == [NAMES[1]]
    first, last = rows_of(folder, change=-4), rows_of(folder, change=-2)
    assert last["image_id"].unique().tolist() == [NAMES[2]]
    assert (last["to_x"] - first["from_x"]).tolist() == pytest.approx([1.5])
    for place, times in ((2, 1), (3, 3)):  # and back
        page.click(f"#film button:nth-child({place})")
        page.wait_for_selector(f"#name:has-text('{NAMES[place - 1]}')")
        for _ in range(times):
            with page.expect_response("**/change/*"):
                page.keyboard.press("Control+z")
    page.context.close()


def test_a_photograph_that_cannot_be_read_is_named_and_not_taken_for_another(
    browser: Browser, running: list[Running]
) -> None:
    page = open_review(browser, running[-1].address)
    refused = {"status": 422, "content_type": "application/json", "body": '{"error": "Damaged."}'}
    page.route("**/photo/1.jpg", lambda route: route.fulfill(**refused))  # type: ignore[arg-type]
    page.reload()
    page.wait_for_selector(".dot")
    page.keyboard.press("n")
    page.wait_for_selector("#message:has-text('Damaged.')")
    assert page.inner_text("#name").endswith(NAMES[1])
    assert page.locator("#face image").count() == 0
    page.keyboard.press("n")
    says(page, "3 of 4")
    assert page.locator("#face image").count() == 1
    page.context.close()


def test_a_whole_brow_goes_along_and_the_view_follows_keys_wheel_and_hand(
    browser: Browser, running: list[Running], folder: Path
) -> None:
    from playwright.sync_api import expect

    page = open_review(browser, running[-1].address)
    page.click("#film button:nth-child(4)")
    says(page, "4 of 4")
    page.keyboard.press("w")
    x, y = centre(page, 19)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x, y - 20, steps=3)
    page.wait_for_selector("#measures tr.changed:has-text('Brow height')")  # while it is held
    with page.expect_response("**/change/3"):
        page.mouse.up()
    raised = rows_of(folder)
    up = (raised["from_y"] - raised["to_y"]).to_dict()
    assert sorted(up) == [17, 18, 19, 20, 21]
    assert up[18] == pytest.approx(up[20])
    assert up[19] > up[18] > up[17] > 0
    page.click("#undo")
    tells(page, f"{POINTS[19, 0]:.1f}, {POINTS[19, 1]:.1f} px")

    def view() -> list[float]:
        return [float(one) for one in (page.get_attribute("#face", "viewBox") or "").split()]

    whole = view()
    page.keyboard.press("m")
    stage = page.locator("#face").bounding_box()
    for k, side in enumerate(("right", "left")):  # said in every view; his right is image-left
        label = page.locator(f"text=patient's {side}").bounding_box()
        assert label is not None
        assert stage is not None
        assert 0 <= label["x"] - stage["x"] <= stage["width"] - label["width"]
        assert (label["x"] > stage["x"] + stage["width"] / 2) == bool(k)
    assert view()[2] < whole[2] / 2
    assert view()[1] > POINTS[33, 1] - whole[3] / 4  # the mouth, below the nose
    page.keyboard.press("f")
    assert view() == whole
    before = page.get_attribute("#face", "viewBox") or ""
    page.mouse.move(x, y)
    page.mouse.wheel(0, -100)
    expect(page.locator("#face")).not_to_have_attribute("viewBox", before)
    assert view()[2] < whole[2]
    page.keyboard.press("f")
    box = page.locator("#face").bounding_box()
    assert box is not None
    drag(page, box["x"] + 5, box["y"] + 5, by=(40, 0))
    assert view()[0] < whole[0]
    assert view()[2:] == whole[2:]
    page.keyboard.press("l")
    assert page.locator(".edge").count() == 0
    page.click("#unseen")
    page.wait_for_selector("#progress:not(:has-text('4 of 4'))")
    page.context.close()


def test_a_box_drawn_by_hand_gets_points_and_irises_of_the_model(
    browser: Browser, running: list[Running], folder: Path
) -> None:
    page = open_review(browser, running[-1].address)
    page.click("#film button:nth-child(4)")
    says(page, "4 of 4")
    page.click("#box")
    box = page.locator("#face").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    with page.expect_response("**/change/3") as answered:
        drag(page, x - 200, y - 200, by=(400, 400))
    assert answered.value.ok
    moved = rows_of(folder)
    assert set(range(68)) <= set(moved.index)
    assert 50 < moved["to_x"][:68].mean() < 250  # where the box was drawn
    assert page.get_attribute("#box", "aria-pressed") == "false"
    with page.expect_response("**/change/3"):
        page.keyboard.press("Control+z")
    page.context.close()


@pytest.mark.parametrize("width", [1280, 800, 400])
def test_it_fits_and_can_be_used_by_everyone(
    browser: Browser, running: list[Running], width: int
) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page = open_review(browser, running[-1].address, width=width, bypass_csp=True)
    page.click("#help")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
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
    page.wait_for_selector("#film button[aria-current] >> text=not measurable")
    page.context.close()
    printed = running[-1].end()
    assert "1 called unmeasurable" in printed
    table = read_landmarks(folder / "tables" / "corrected" / "landmarks.csv")
    assert table["status"].tolist() == ["failed", "ok", "ok", "ok"]
    assert table["reason"][0] == "cannot be measured: blurred"
    assert table["points_from"].tolist()[1:] == ["corrected", "model", "model"]
    irises = read_irises(folder / "tables" / "corrected" / "irises.csv")[NAMES[3]]
    assert (irises.right.reason, irises.left.status) == (BY_HAND, "unclear")
    assert table["mm_per_px"][3] == mm_per_px_of(irises) != table["mm_per_px"][2]
