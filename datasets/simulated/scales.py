"""What the scales of clinicians would say of a simulated face, by formula; and noisy raters.

The items follow the published structure of Sunnybrook (Ross et al. 1996) and eFACE (Banks et al.
2015), and each comes from what the simulator itself does to that zone of the weak side: what is
left of its movement, tone lost and contracture at rest, and what joins in unasked. They are like
those scales and no score of a clinician: a healthy simulated face has 100, while people score
healthy faces from 65 on. Items are continuous.

Sunnybrook-like: 4 · voluntary − 5 · rest − synkinesis. eFACE-like: (static + 2 · dynamic +
synkinesis) / 4, each the mean of its items. What is not simulated (fold orientation, mentalis,
platysma) is left out.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from common.grading.numeric_target import NUMERIC
from common.tables import GRADES
from datasets.simulated.canvas import FloatArray
from datasets.simulated.movement import (
    CONTRACTIONS,
    MUSCLES,
    REGIONS,
    Palsy,
    contracture,
    intended,
    involuntary,
    remaining,
    tone_lost,
)

TRUTH_COLUMNS = {"brow": "brow", "eye": "eye", "cheek": "midface", "mouth": "mouth"}
"""Zone as the columns name it, of each region of the simulator."""
_VOLUNTARY = {  # item: the movement, and the region that does it
    "brow_raise": ("brow_raise", "brow"),
    "gentle_closure": ("gentle_eye_closure", "eye"),
    "open_smile": ("full_smile", "cheek"),
    "snarl": ("disgust", "cheek"),
    "pucker": ("lip_pucker", "mouth"),
}
_STRONGEST = 0.4
"""Unasked contraction that counts as disfiguring: about the most that the simulator does."""
_RATERS = {"sunnybrook": (4.0, 5.0), "eface": (4.0, 5.0), "hb_grade": (0.25, 0.45)}
"""Standard deviation of a rater's bias and of the noise of one score; a choice, not measured."""
_MISSING = 0.05
_RANGES = {name: (scale.low, scale.high) for name, scale in NUMERIC.items()}
_RANGES["hb_grade"] = (GRADES[0], GRADES[-1])


def true_scales(palsy: Palsy) -> dict[str, float]:
    """Return true weakness by zone, the items of both scales, and `sunnybrook` and `eface`.

    Weakness is 0 (healthy) to 1 (no movement) on the weak side. Sunnybrook-like items: rest 0 to 1
    (cheek 2), voluntary 1 to 5, synkinesis 0 to 3. eFACE-like items and both composites: to 100.
    """
    left = {region: remaining(palsy, region) for region in REGIONS}
    lax, lax_upper, tight = tone_lost(palsy), tone_lost(palsy, upper=True), contracture(palsy)
    eye_rest, cheek_rest = min(abs(tight - lax_upper), 1.0), min(abs(tight - lax), 1.0)
    joins = {item: involuntary(intended(task), palsy) for item, (task, _) in _VOLUNTARY.items()}
    rest = {"eye": eye_rest, "cheek": 2 * cheek_rest, "mouth": cheek_rest}
    voluntary = {item: 1 + 4 * left[region] for item, (_, region) in _VOLUNTARY.items()}
    synkinesis = {item: 3 * min(float(m.sum()) / _STRONGEST, 1.0) for item, m in joins.items()}
    parts = {
        "static": {
            "brow": 1 - lax_upper, "fissure": 1 - eye_rest,
            "fold": 1 - cheek_rest, "commissure": 1 - cheek_rest,
        },
        "dynamic": {
            "brow_elevation": left["brow"], "gentle_closure": left["eye"],
            "full_closure": min(CONTRACTIONS["full_eye_closure"]["oculi"] * left["eye"], 1.0),
            "fold_smile": left["cheek"], "commissure_smile": left["cheek"],
            "lower_lip_eee": left["mouth"],
        },
        "synkinesis": {
            "ocular": 1 - _share(joins, "oculi"), "midfacial": 1 - _share(joins, "zygomatic"),
        },
    }  # fmt: skip
    means = {part: 100 * float(np.mean(list(items.values()))) for part, items in parts.items()}
    sums = [sum(items.values()) for items in (voluntary, rest, synkinesis)]
    return {
        **{f"weakness_{TRUTH_COLUMNS[region]}": 1 - left[region] for region in REGIONS},
        **{f"sunnybrook_rest_{item}": value for item, value in rest.items()},
        **{f"sunnybrook_voluntary_{item}": value for item, value in voluntary.items()},
        **{f"sunnybrook_synkinesis_{item}": value for item, value in synkinesis.items()},
        "sunnybrook": max(4 * sums[0] - 5 * sums[1] - sums[2], 0.0),
        **{f"eface_{p}_{item}": 100 * v for p, items in parts.items() for item, v in items.items()},
        "eface": (means["static"] + 2 * means["dynamic"] + means["synkinesis"]) / 4,
    }


def rated(truth: pd.DataFrame, *, raters: int, seed: int) -> pd.DataFrame:
    """Return what noisy raters would write of each row of the truth.

    `truth` has `patient_id`, `visit`, `severity` (1 to 6), `sunnybrook` and `eface`. Each of the
    `raters` has a bias of their own on every scale, adds noise to every score, writes whole
    numbers, and leaves one cell in twenty empty; a smaller number are the first of more. Returns
    `patient_id`, `visit`, `rater`, `hb_grade`, `sunnybrook`, `eface`.
    """
    tables = []
    for rater in range(raters):
        rng = np.random.default_rng([seed, 20, rater])
        scores = {}
        for name, (bias, noise) in _RATERS.items():
            true = truth["severity" if name == "hb_grade" else name].to_numpy(float)
            seen = true + rng.normal(0, bias) + rng.normal(0, noise, len(true))
            seen = np.where(rng.random(len(true)) < _MISSING, np.nan, np.rint(seen))
            scores[name] = pd.Series(np.clip(seen, *_RANGES[name])).astype("Int64")
        keys = truth[["patient_id", "visit"]].reset_index(drop=True)
        tables.append(keys.assign(rater=f"R{rater + 1}", **scores))
    rows = pd.concat(tables, ignore_index=True)
    rows["place"] = np.tile(np.arange(len(truth)), raters)
    rows = rows.sort_values("place", kind="stable", ignore_index=True)
    return rows[["patient_id", "visit", "rater", "hb_grade", "sunnybrook", "eface"]]


def _share(joins: dict[str, FloatArray], muscle: str) -> float:
    """Strongest unasked contraction of a muscle in any of the movements, 1 where disfiguring."""
    row = MUSCLES.index(muscle)
    return min(max(float(moved[row]) for moved in joins.values()) / _STRONGEST, 1.0)
