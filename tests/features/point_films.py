"""Landmark tables of simulated films, without drawing a picture."""

from __future__ import annotations

import numpy as np
import pandas as pd

from datasets.simulated.canvas import Canvas
from datasets.simulated.film import Film
from datasets.simulated.film_folder import landmarks_truth
from datasets.simulated.relief import head_relief
from datasets.simulated.render import Projection, depth_at

WIDTH, HEIGHT = 640, 480


def landmarks_of(
    film: Film,
    *,
    name: str = "film.mp4",
    noise_px: float = 0.0,
    in_mm: bool = False,
    mouth_mm: float = 0.0,
) -> pd.DataFrame:
    """Return the points of every frame as `extract` would, with white noise added to each.

    The mouth lies `mouth_mm` nearer to the camera than the simulation has it.
    """
    rest = film.face(0.0, acts=())
    canvas = Canvas(-98.0, -140.0, 1.0, 272, 196)
    depth = depth_at(canvas, head_relief(canvas, film.patient.shape, rest), rest.points)
    depth[48:68] += mouth_mm
    rng = np.random.default_rng(1)
    points = []
    for frame, time in enumerate(film.times):
        view = film.head.view(film.patient.view, frame)
        seen = Projection.of(view, WIDTH, HEIGHT).forward(film.face(float(time)).points, depth)
        points.append(seen + noise_px * rng.normal(size=seen.shape))
    table = landmarks_truth(name, film, points, width=WIDTH, height=HEIGHT)
    return (table if in_mm else table.drop(columns="mm_per_px")).assign(reason=None)
