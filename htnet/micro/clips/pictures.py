"""What a flow looks like (arrows on the face, direction and speed, strain), and motion over time.

Direction is a colour on a wheel of four (Okabe and Ito's colour-blind-safe palette, in between
mixed), length is how far the colour is from white; the arrows say the same without colour. Motion
is told in px of the frames, with what that is of the face size.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from common.files import atomic_write

WHEEL = np.array([(230, 159, 0), (204, 121, 167), (0, 114, 178), (0, 158, 115)], dtype=np.float64)
"""RGB of motion to the right (orange), down (purple), left (blue) and up (green) of the picture."""

_ARROW = (213, 94, 0)  # vermillion of the same palette
_PANEL = 336  # px of a panel's side
_MARGIN, _HEAD, _FOOT = 12, 58, 96
_STEP = 16  # px of the face square between arrows
_ARROW_REACH = 30.0  # px of the panel for the fastest
_LEAST = 0.15  # of the fastest: slower motion gets no arrow
_WHEEL_SIDE = 76
_FASTEST_PERCENTILE = 99.0  # single wild pixels at the rim shall not set the scale
_LEAST_FASTEST = 0.002  # of the face size: below it, noise would be drawn as if it were motion


def flow_colours(flow: NDArray[np.float32], *, fastest: float) -> NDArray[np.uint8]:
    """Return a flow `(h, w, 2)` as colours `(h, w, 3)` RGB uint8; no motion is white.

    What is `fastest`, in the unit of the flow, or faster gets the full colour.
    """
    quarter = np.arctan2(flow[..., 1], flow[..., 0]) / (np.pi / 2) % 4.0
    first = np.floor(quarter).astype(int) % 4
    share = (quarter - np.floor(quarter))[..., None]
    hue = (1 - share) * WHEEL[first] + share * WHEEL[(first + 1) % 4]
    length = np.hypot(flow[..., 0], flow[..., 1])
    strength = np.clip(length / fastest, 0.0, 1.0)[..., None]
    return np.rint(255 * (1 - strength) + hue * strength).astype(np.uint8)


def draw_arrows(
    rgb: NDArray[np.uint8], flow: NDArray[np.float32], *, fastest: float
) -> NDArray[np.uint8]:
    """Return the face square with an arrow every `_STEP` px where it moves.

    `flow` and `fastest`, the length of the longest arrow, are in px of the square.
    """
    canvas = np.ascontiguousarray(cv2.resize(rgb, (_PANEL, _PANEL), interpolation=cv2.INTER_CUBIC))
    grow = _PANEL / len(flow)
    means = cv2.blur(flow, (_STEP // 2, _STEP // 2))
    for y in range(_STEP // 2, len(flow), _STEP):
        for x in range(_STEP // 2, len(flow), _STEP):
            u, v = means[y, x]
            length = float(np.hypot(u, v))
            if length < _LEAST * fastest:
                continue
            reach = _ARROW_REACH * min(1.0, length / fastest) / length
            start = (round(x * grow), round(y * grow))
            end = (round(x * grow + u * reach), round(y * grow + v * reach))
            cv2.arrowedLine(canvas, start, end, (255, 255, 255), 4, cv2.LINE_AA, tipLength=0.35)
            cv2.arrowedLine(canvas, start, end, _ARROW, 2, cv2.LINE_AA, tipLength=0.35)
    return canvas


def flow_picture(
    whole: NDArray[np.float32], onset_rgb: NDArray[np.uint8], *, face_px: float, title: str
) -> NDArray[np.uint8]:
    """Return three panels side by side: arrows on the onset frame, colours, strain; with legends.

    `whole` is from `face_map`, `face_px` the side of the face square in px of the frames.
    """
    size = len(whole)
    flow = whole[..., :2] * np.float32(size)
    speed = np.hypot(flow[..., 0], flow[..., 1])
    measured = float(np.percentile(speed, _FASTEST_PERCENTILE))
    fastest = max(measured, _LEAST_FASTEST * size)
    strain = whole[..., 2]
    most = max(float(np.percentile(strain, _FASTEST_PERCENTILE)), 1e-3)
    grey = np.rint(255 * (1 - np.clip(strain / most, 0, 1))).astype(np.uint8)
    panels = [
        draw_arrows(onset_rgb, flow, fastest=fastest),
        _enlarged(flow_colours(flow, fastest=fastest)),
        _enlarged(np.repeat(grey[..., None], 3, axis=-1)),
    ]
    width = 3 * _PANEL + 4 * _MARGIN
    canvas = Image.new("RGB", (width, _HEAD + _PANEL + _FOOT), "white")
    draw = ImageDraw.Draw(canvas)
    large, small = ImageFont.load_default(15), ImageFont.load_default(13)
    draw.text((_MARGIN, 8), title, fill="black", font=large)
    heads = (
        "Motion of the face, arrows enlarged",
        "Direction (colour) and length (depth)",
        "Strain: skin stretched or sheared",
    )
    for place, (head, panel) in enumerate(zip(heads, panels, strict=True)):
        left = _MARGIN + place * (_PANEL + _MARGIN)
        draw.text((left, _HEAD - 22), head, fill="black", font=small)
        canvas.paste(Image.fromarray(panel), (left, _HEAD))
        draw.rectangle(
            (left, _HEAD, left + _PANEL - 1, _HEAD + _PANEL - 1), outline=(150, 150, 150)
        )
    below = _HEAD + _PANEL + 8
    pixels, percent = fastest / size * face_px, 100 * fastest / size
    draw.multiline_text(
        (_MARGIN, below),
        f"Longest arrow: {pixels:.2f} px of the frames,\n{percent:.2f} % of the face size. Motion "
        "of the head\nis taken out. The subject's right is on your left.",
        fill="black",
        font=small,
        spacing=3,
    )
    left = 2 * _MARGIN + _PANEL
    canvas.paste(Image.fromarray(wheel_picture(_WHEEL_SIDE)), (left, below))
    draw.multiline_text(
        (left + _WHEEL_SIDE + 10, below),
        f"White: no motion. Rim: {pixels:.2f} px or more.\nOrange to the right of the picture,"
        "\npurple down, blue to the left, green up.",
        fill="black",
        font=small,
        spacing=3,
    )
    left += _PANEL + _MARGIN
    ramp = np.tile(np.linspace(255, 0, 200).astype(np.uint8)[None, :, None], (14, 1, 3))
    canvas.paste(Image.fromarray(ramp), (left, below))
    draw.rectangle((left, below, left + 199, below + 13), outline=(150, 150, 150))
    draw.text((left, below + 18), "0", fill="black", font=small)
    draw.text((left + 150, below + 18), f"{100 * most:.1f} %", fill="black", font=small)
    draw.text((left, below + 38), "change of length per length", fill="black", font=small)
    return np.asarray(canvas, dtype=np.uint8)


def wheel_picture(side: int) -> NDArray[np.uint8]:
    """Return the colour wheel: each place has the colour of motion from the centre to there."""
    along = (np.arange(side) - (side - 1) / 2) / (side / 2)
    outwards = np.stack(np.meshgrid(along, along), axis=-1).astype(np.float32)
    colours = flow_colours(outwards, fastest=1.0)
    colours[np.hypot(outwards[..., 0], outwards[..., 1]) > 1.0] = 255
    return colours


def write_flow_picture(
    path: Path,
    whole: NDArray[np.float32],
    onset_rgb: NDArray[np.uint8],
    *,
    face_px: float,
    title: str,
) -> None:
    """Write `flow_picture` as PNG, whole or not at all."""
    picture = flow_picture(whole, onset_rgb, face_px=face_px, title=title)
    with atomic_write(path) as temporary:
        Image.fromarray(picture).save(temporary, format="PNG")


def _enlarged(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return cv2.resize(rgb, (_PANEL, _PANEL), interpolation=cv2.INTER_LINEAR)
