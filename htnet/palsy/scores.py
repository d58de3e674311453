"""Scores of the image branch: what goes into `metrics.json`, and what is printed."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from common.bootstrap import INTERVALS, interval, resampling_weights
from common.grading.evaluation import RECALL, Evaluation
from common.grading.target import Target


def metrics(evaluations: Sequence[Evaluation], target: Target) -> Mapping[str, object]:
    """Return the content of `metrics.json`: scores and per-class scores of each level."""
    return {
        "target": target.name,
        "classes": list(target.classes),
        "interval": INTERVALS,
        **{
            f"per_{one.unit}": {
                **one.as_json(),
                "per_class": {
                    model: class_scores(confusion.counts, target.classes)
                    for model, confusion in one.confusions.items()
                },
            }
            for one in evaluations
        },
    }


def class_scores(
    counts: NDArray[np.float64], classes: tuple[str, ...], *, seed: int = 0
) -> dict[str, dict[str, dict[str, float | None]]]:
    """Return recall and precision of each class with 95 % intervals over patients.

    Parameters
    ----------
    counts
        `(n_patients, k, k)` confusion counts, truth in rows.
    """
    weights = resampling_weights(len(counts), seed=seed)
    flat = counts.reshape(len(counts), -1)
    resampled = (weights @ flat).reshape(-1, *counts.shape[1:])
    total = counts.sum(axis=0)
    found: dict[str, dict[str, dict[str, float | None]]] = {}
    for at, name in enumerate(classes):
        found[name] = {}
        for score, axis in (("recall", -1), ("precision", -2)):
            with np.errstate(invalid="ignore"):
                of = total[at, at] / total.sum(axis=axis)[at]
                each = resampled[:, at, at] / resampled.sum(axis=axis)[:, at]
            found[name][score] = interval(float(of), each).as_json()
    return found


def tell(evaluations: Sequence[Evaluation], complaints: Sequence[str]) -> None:
    """Print what was left out, then one line of scores for each level and model."""
    for sentence in complaints:
        print(sentence, file=sys.stderr)
    for one in evaluations:
        for model, scores in one.estimates.items():
            parts = [f"{score.title.lower()} {scores[score.name]}" for score in one.scores]
            parts.append(f"{RECALL.lower()} {one.recall_of(model)}")
            print(f"per {one.unit}, {model}: {'; '.join(parts)}")
