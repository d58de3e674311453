"""Light on a coloured relief: a main light with shadows, light from everywhere, and a shine."""

from __future__ import annotations

import cv2
import numpy as np

from datasets.simulated.canvas import Image, blurred
from datasets.simulated.look import View


def shade(colour: Image, relief: Image, scale: float, view: View, gloss: Image | float) -> Image:
    """Light a coloured relief; linear light, ``(rows, cols, 3)``."""
    slope_x = cv2.Sobel(relief, cv2.CV_32F, 1, 0, ksize=3) * np.float32(scale / 8)
    slope_y = cv2.Sobel(relief, cv2.CV_32F, 0, 1, ksize=3) * np.float32(scale / 8)
    upright = 1 / np.sqrt(slope_x * slope_x + slope_y * slope_y + 1)
    light = view.light.astype(np.float32)
    facing = (light[2] - light[0] * slope_x - light[1] * slope_y) * upright
    facing *= 1 - 0.55 * _cast_shadow(relief, scale, view)
    half = light + np.array([0, 0, 1], np.float32)
    half /= np.linalg.norm(half)
    mirror = np.clip((half[2] - half[0] * slope_x - half[1] * slope_y) * upright, 0, 1)
    mirror = mirror * mirror
    mirror = mirror * mirror
    shine = (mirror**4) * gloss
    around = blurred(relief, 7.0 * scale)
    hollow = np.clip(around - relief, -1.0, 8.0)
    open_sky = np.exp(-0.10 * hollow) * (0.72 + 0.28 * upright)
    from_above = 0.88 + 0.12 * np.clip(slope_y * upright, -1, 1)
    key = np.float32(view.key)
    fill = np.float32(view.fill) * open_sky * from_above
    lit = np.empty_like(colour)
    # Light scatters in skin, red the farthest: the edge of a shadow is soft and warm.
    for channel, wrap in enumerate((0.38, 0.24, 0.18)):
        diffuse = np.clip((facing + wrap) / (1 + wrap), 0, None)
        lit[..., channel] = (
            colour[..., channel] * (key * diffuse * (0.4 + 0.6 * open_sky) + fill) + shine
        )
    return lit


def _cast_shadow(relief: Image, scale: float, view: View) -> Image:
    """How much of the main light each point loses to the nose, brow and lips, 0 to 1."""
    light = view.light
    coarse = cv2.resize(relief, None, fx=0.3, fy=0.3, interpolation=cv2.INTER_AREA)
    rows, cols = coarse.shape
    shadow = np.zeros_like(coarse)
    for reach in (4.0, 8.0, 13.0, 19.0, 26.0):
        shift = np.array(
            [[1, 0, light[0] * reach * scale * 0.3], [0, 1, light[1] * reach * scale * 0.3]]
        )
        beyond = cv2.warpAffine(
            coarse,
            shift,
            (cols, rows),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        shadow = np.maximum(shadow, np.clip((beyond - coarse - light[2] * reach) / 3.0, 0, 1))
    soft = cv2.GaussianBlur(shadow, (0, 0), 1.6 * scale * 0.3)
    return np.asarray(
        cv2.resize(soft, relief.shape[::-1], interpolation=cv2.INTER_LINEAR), np.float32
    )
