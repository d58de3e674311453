"""Simulated flow maps: each class moves another part of the face, each person a bit otherwise."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from htnet.micro.clips.maps import FlowMaps

CLASSES = ("negative", "positive", "surprise")
_PLACES = {  # row, column of the right-hand one of two parts, and which way they move: u, v
    0: (9.0, 9.0, 0.3, 1.0),
    1: (21.0, 8.0, -1.0, -0.6),
    2: (6.0, 8.0, 0.0, -1.0),
}
CENTRES = np.array([[6, 8], [22, 8], [14, 14], [7, 21], [21, 21]], dtype=np.float32)


def drawn_maps(
    *,
    subjects: int = 8,
    per_subject: int = 6,
    signal: float = 1.0,
    datasets: int = 2,
    seed: int = 0,
    labels: list[int] | None = None,
) -> FlowMaps:
    """Draw clips of subjects who show every class in turn; without `signal` there is only noise.

    `labels` gives the classes of a subject's clips, in place of all in turn.
    """
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:28, 0:28].astype(float)
    maps, subject, dataset, label = [], [], [], []
    for person in range(subjects):
        place = rng.normal(0, 0.8, 2)
        source = f"set{person % datasets}"
        for clip in range(per_subject):
            kind = clip % 3 if labels is None else labels[clip % len(labels)]
            top, left, u, v = _PLACES[kind]
            motion = np.zeros((28, 28, 3))
            for side, sign in ((left, 1.0), (27 - left, -1.0)):
                blob = np.exp(
                    -((rows - top - place[0]) ** 2 + (columns - side - place[1]) ** 2) / 12.0
                )
                motion[..., 0] += sign * u * blob
                motion[..., 1] += v * blob
            motion *= signal * rng.uniform(0.7, 1.3)
            motion[..., :2] += rng.normal(0, 0.25, (28, 28, 2))
            u_y, u_x = np.gradient(motion[..., 0])
            v_y, v_x = np.gradient(motion[..., 1])
            motion[..., 2] = np.sqrt(u_x**2 + v_y**2 + 0.5 * (u_y + v_x) ** 2)
            maps.append(motion)
            subject.append(f"{source}/sub{person:02d}")
            dataset.append(source)
            label.append(kind)
    n = len(maps)
    return FlowMaps(
        maps=np.array(maps, dtype=np.float32),
        centres=np.repeat(CENTRES[None], n, axis=0),
        clip_id=np.array([f"{subject[i]}/clip{i:03d}" for i in range(n)]),
        dataset=np.array(dataset),
        subject=np.array(subject),
        label=np.array(label, dtype=np.int64),
        classes=CLASSES,
        scaling="physical",
    )


def stretched(maps: np.ndarray) -> np.ndarray:
    """Stretch each channel of each map to 0..255, as published maps are."""
    low, high = maps.min(axis=(1, 2), keepdims=True), maps.max(axis=(1, 2), keepdims=True)
    levels: np.ndarray = np.rint(255 * (maps - low) / (high - low)).astype(np.uint8)
    return levels


def write_published(path: Path, clips: FlowMaps) -> Path:
    """Write clips as the published file has them: stretched, channels as OpenCV orders them."""
    names = [name.split("/") for name in clips.clip_id.tolist()]
    np.savez(
        path,
        flow=stretched(clips.maps)[..., ::-1],
        centres=clips.centres,
        dataset=clips.dataset,
        subject=np.array([name[1] for name in names]),
        clip=np.array([name[2] for name in names]),
        label=clips.label,
    )
    return path
