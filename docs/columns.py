"""What every column of every table that comes out means, in one place, for pages and README.

The columns themselves are read from the schemas; here are only the words. A column without words,
and words without a column, are errors: `TABLES` is checked by the tests.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import pandera.pandas as pa

from classifiers.exploration import MAPS, OUTLIERS, SEPARABILITY, STABILITY
from classifiers.graders.local_trial import LEARNING_CURVE
from classifiers.graders.new_patients import grades_schema
from classifiers.graders.sites import SITES
from classifiers.raters.agreement import BESIDE, PAIRS, RATERS
from classifiers.raters.ratings import RATINGS, TARGETS
from classifiers.reports.profile import PROFILE
from common.grading.folds import FOLDS
from common.grading.numeric_target import NUMERIC
from common.grading.predictions import predictions_schema, score_predictions_schema
from common.grading.target import target_named
from common.tables import MANIFEST
from datasets.dataset import PROBLEMS
from features.commands.agreement import FEATURE_AGREEMENT
from features.follow_up import CHANGES
from features.measures import MEASURES
from features.movement.tables import EVENTS, MOVEMENTS_TABLE, SIGNALS_TABLE
from features.registry import DISTANCES
from features.registry import FEATURES as FEATURE_ENTRIES
from features.scales.registry import ITEMS, SIDE_MEASURES
from features.scales.scores import SCALE_ITEMS, SCALES
from features.tables import DISTS, FEATURES, MEASURES_SCHEMA, columns_of
from htnet.micro.clips.store import FLOW
from htnet.micro.loso.results import CONFUSION, SUBJECTS, SUMMARY, results_schema
from htnet.palsy.asymmetry import BY_GRADE
from htnet.palsy.new_patients import patient_grades_schema, photograph_grades_schema
from htnet.palsy.training import SEEN_PATIENTS
from landmarks.review.corrections import CORRECTIONS
from landmarks.tables import IRISES, LANDMARKS, POINT_AGREEMENT, SPREADS


@dataclass(frozen=True)
class Table:
    """One table: its file, what makes it, what a row is, its schema, and words for its columns.

    `words`: column to meaning, where `SHARED` does not say it. A key may be a pattern such as
    `x_0 … x_67`, which stands for all columns with a number (or another part) there.
    """

    file: str
    made_by: str
    row: str
    schema: pa.DataFrameSchema
    words: Mapping[str, str] = field(repr=False, default_factory=dict)


SHARED = {
    "image_id": "the photograph's path below its folder, with `/`; the key of every table",
    "patient_id": "the patient, as the dataset or your table names them",
    "task": "the movement: `rest`, `brow_raise`, `full_smile`, … or the dataset's own word",
    "side": "the weak side, the patient's own: `left`, `right`, `none`, `both`, `unknown`",
    "hb_grade": "House-Brackmann grade, 1 (normal) to 6 (no movement); empty when not known",
    "dataset": "which reader made the row",
    "palsy_class": "of photographs sorted and not graded: `healthy` (I), `slight` (II, III), "
    "`strong` (IV to VI); where it is empty, targets take the class of `hb_grade`",
    "patient_source": "where the patient comes from; `photograph`: nobody was named, so the "
    "photograph counts as a patient of its own, and whole patients are not held out for certain",
    "status": "`ok`, `no_face`, `several_faces`, `unreadable` or `failed`; only `ok` has values",
    "reason": "in one sentence, why there are no values; empty when `ok`",
    "points_from": "`model`, `corrected` where somebody moved a point, or the other tool "
    "that the points are from (`cvat`, `openface`, …); empty where there are none",
    "points_moved": "how many of the 68 points were moved by hand",
    "repeat": "which dealing of the patients, from 1",
    "fold": "the fold in which the patient is tested, from 1",
    "set_low": "lowest grade of the calibrated set, where one was made",
    "set_high": "highest grade of that set",
    "feature": "`f0` to `f28`",
    "region": "part of the face",
    "model": "the model",
    "subject": "the subject left out",
    "rule": "`honest` or `published`: how the epoch was chosen",
    "optimistic": "`yes` where the tested subject had a say",
    "seed": "seed of the training",
}
"""Words for columns that mean the same wherever they stand; a table may have others."""


def _measure_words() -> dict[str, str]:
    words = {}
    for entry in MEASURES:
        right, left, *others = columns_of(entry)
        meaning = f"{entry.meaning[0].lower()}{entry.meaning[1:]}"
        words[right] = f"on the patient's right: {meaning}"
        words[left] = "the same on the patient's left"
        for name in others:
            words[name] = _difference_words(name)
    return words


def _difference_words(name: str) -> str:
    what = "right minus left" if "right_minus_left" in name else "weak side minus healthy side"
    if not name.endswith("_percent"):
        return what
    of = "the mean of both" if "right_minus_left" in name else "the healthy side"
    return f"the same in % of {of}"


_EVENT_WORDS = {
    "unit": "of lengths: `mm` where the landmark table has a scale, else `% of outer-eye distance`",
    "signal": "the curve that the amplitude, the times and the speed are measured on",
    "amplitude_right … amplitude_left": "how far the side moved from rest, in the unit",
    "peak_speed_right … peak_speed_left": "highest speed on the way to the peak, unit per second",
    "rise_s_right … rise_s_left": "from onset to the beginning of the hold; of a blink: closing "
    "time",
    "hold_s_right … hold_s_left": "how long the side had 90 % of its amplitude or more",
    "return_s_right … return_s_left": "from the end of the hold back to 10 %; of a blink: opening "
    "time",
    "closing_percent_right … closing_percent_left": "of blinks and eye closures: share of the "
    "opening before it by which the lids closed",
    "eye_synkinesis_percent_right … eye_synkinesis_percent_left": "of smiles, pucker and lower "
    "teeth: by how much the fissure narrowed, % of its height at rest (healthy eyes narrow in a "
    "smile too)",
    "mouth_synkinesis_right … mouth_synkinesis_left": "of brow raise and eye closures: how far the "
    "mouth corner moved, in the unit",
    "weaker_side": "the side with the smaller amplitude; empty where they are equal or not known",
    "amplitude_ratio": "smaller over larger amplitude, 0 to 1",
    "correlation": "Pearson's, of the right and the left curve during the event",
    "lag_s": "time at half the amplitude, right minus left: positive where the right comes later",
    "symmetry_index_percent": "dynamic symmetry index: 100 where both curves are alike at every "
    "moment, 0 where one side does not move",
}


def _scale_words() -> dict[str, str]:
    words = {}
    for entry in SIDE_MEASURES:
        words[f"{entry.name}_right"] = f"{entry.formula}, on the patient's right, {entry.unit}"
        words[f"{entry.name}_left"] = "the same on the patient's left"
        how = "weak divided by other side, 1" if entry.ratio else "weak minus other side, 0"
        words[entry.column] = f"{how} where they are alike; empty unless both can be compared"
    for item in ITEMS:
        words[item.column] = (
            f"{item.title}, 0 to {item.most}" if item.measures else f"always empty: {item.why_not}"
        )
    return words


_ANSWERS = {
    "predicted": "the answer; empty where there is none",
    "p_1 … p_6": "probability of each grade; of another target `p_healthy`, `p_palsy` and so on",
}
_SIDES = {
    "weak_side": "the side that is taken for weak, or `none`; empty without a side head",
    "p_right … p_none": "probability of each side",
}
_SIX = target_named("six_grades")

TABLES = (
    Table(
        "manifest.csv",
        "prepare",
        "photograph or clip",
        MANIFEST,
        {"path": "where the file lies, from the manifest's own folder"},
    ),
    Table(
        "landmarks.csv",
        "extract",
        "photograph, always",
        LANDMARKS,
        {
            "n_faces": "faces seen; empty when it did not come to looking",
            "detector": "which detector found the face: `hog_200`, `hog_full` or `cnn`",
            "photo_sha256": "SHA-256 of the photograph's file, by which corrections know it again",
            "film": "path of the film, as `image_id` of a frame begins; only in tables with films",
            "frame": "number of the frame in its film, from 0",
            "time_s": "time of the frame in seconds, from the film's own time stamps",
            "detector_score": "its score; comparable within one detector only",
            "box_left … box_bottom": "the face box, px",
            "tilt_deg": "tilt of the head in degrees, counter-clockwise positive as seen",
            "spread_px": "mean spread of the points over altered copies, px; not their error",
            "brightness": "mean grey level of the face, 0 (black) to 255",
            "sharpness": "of the face 128 px wide: blur lowers it, noise raises it; from about 0.1 "
            "(blurred) to 1",
            "mm_per_px": "scale, when one was asked for and found",
            "x_0 … x_67": "x of each point, px from the left edge",
            "y_0 … y_67": "y of each point, px downwards from the upper edge",
        },
    ),
    Table(
        "dists.csv",
        "extract, features",
        "photograph",
        DISTS,
        {entry.name: entry.meaning for entry in DISTANCES},
    ),
    Table(
        "features.csv",
        "extract, features",
        "photograph",
        FEATURES,
        {entry.name: entry.meaning for entry in FEATURE_ENTRIES},
    ),
    Table(
        "measures.csv",
        "extract, features",
        "photograph",
        MEASURES_SCHEMA,
        {
            "unit": "of lengths: `px`, `mm` or `box diagonal`; angles are in degrees",
            "frame": "where the axes come from: `irises`, or `eye_corners` where no iris was found",
            "healthy_side": "the other side than the manifest's weak one; empty when not known",
            "no_scale": "why lengths are missing although a scale was asked for",
            **_measure_words(),
            "moved_right": "how far the right side moved from the patient's rest, in what the "
            "movement asks for; empty without a photograph at rest",
            "moved_left": "the same on the patient's left",
            "moved_unit": "its unit: `share` (of the eye's opening at rest) or % of the eye "
            "distance",
            "moved_weak_to_other": "weak divided by other side; empty where the weak side is not "
            "known, or the other hardly moves",
        },
    ),
    Table(
        "signals.csv",
        "movement",
        "frame, always",
        SIGNALS_TABLE,
        {
            "film": "the film, as in `landmarks.csv`",
            "frame": "number of the frame, from 0",
            "time_s": "its time in the film",
            "unit": _EVENT_WORDS["unit"],
            "yaw_deg": "turn of the head, positive to the patient's left",
            "pitch_deg": "nod of the head against rest, positive downwards",
            "tilt_deg": "tilt of the head in the picture, counter-clockwise positive",
            **{
                f"{name}_right … {name}_right_minus_left": f"{words}: patient's right, left, and "
                "right minus left"
                for name, words in (
                    ("brow_height", "brow above the eye"),
                    ("palpebral_fissure_height", "opening of the eye"),
                    (
                        "commissure_displacement",
                        "distance of the mouth corner from its place at rest",
                    ),
                    ("commissure_height", "mouth corner below the line of the eyes"),
                    ("half_mouth_width", "mouth corner from the face's midline"),
                    (
                        "upper_lip_height",
                        "upper edge of the upper lip against the line of the eyes",
                    ),
                    (
                        "lower_lip_height",
                        "lower edge of the lower lip against the line of the eyes",
                    ),
                )
            },
        },
    ),
    Table(
        "events.csv",
        "movement",
        "blink or movement",
        EVENTS,
        {
            "film": "the film",
            "event": "number within the film, from 1, by onset",
            "kind": "`blink` or `movement`",
            "movement": "which of the standard movements, or `unnamed`; empty for a blink",
            "found_by": "`signals`, or `cues` where your table of cues names it",
            "status": "`ok`; `too_little`: a cue names it and the face hardly moved; `failed`: "
            "its frames have no points",
            "reason": "why it, or a number of it, is missing",
            "cue_start_s … cue_end_s": "the cue's time in the film",
            "peak_frame": "the frame at the peak",
            "onset_s": "when the side that moves more reaches 10 % of its amplitude",
            "peak_s": "middle of the time at 99 % or more",
            "hold_start_s … hold_end_s": "while it has 90 % of its amplitude or more",
            "end_s": "when it is back at 10 %",
            "onset_s_right … onset_s_left": "the same moment of each side",
            "peak_s_right … peak_s_left": "the same of each side's peak",
            "complete_right … complete_left": "of blinks and eye closures: whether the lids closed",
            **_EVENT_WORDS,
        },
    ),
    Table(
        "movements.csv",
        "movement",
        "film and movement, always",
        MOVEMENTS_TABLE,
        {
            "film": "the film",
            "movement": "`rest`, the seven movements, and `blink`",
            "status": "`ok`, `too_little`, `failed`, or `not_seen`: it does not occur in the film",
            "reason": "why it is not `ok`",
            "repetitions": "how often it was measured",
            "per_minute": "of blinks: how many a minute of film with a face",
            "frame": "frame of the strongest repetition's peak; of rest: the stillest",
            "time_s": "its time in the film",
            "complete_percent_right … complete_percent_left": "share of complete closures",
            "brow_height_right … lower_lip_height_left": "each signal, right and left, at that "
            "frame",
            **_EVENT_WORDS,
        },
    ),
    Table(
        "scales.csv",
        "scales",
        "patient and visit; two where the weak side is not known",
        SCALES,
        {
            "visit": "the visit, where the manifest names one",
            "date": "its date",
            "side": "the weak side of the manifest",
            "weak_side": "the side that this row takes for the weak one",
            "photographs": "how many there are",
            "used": "how many could be measured",
            "status": "`ok` every item that the eight movements can carry has a score, `partial` "
            "some have, `failed` none",
            "reason": "why items lack",
            "eye_distance_mm": "between the middles of the eyes; empty without a scale",
            **_scale_words(),
            "weakness_brow … weakness_mouth": "how weak the zone is: 0 as the other side, 1 no "
            "movement",
            "sunnybrook_style_voluntary": "4 times the sum of what was measured",
            "sunnybrook_style_rest": "5 times the sum of what was measured",
            "sunnybrook_style_synkinesis": "the sum of what was measured",
            "sunnybrook_style_composite": "voluntary − rest − synkinesis",
            "sunnybrook_style_reachable_low … sunnybrook_style_reachable_high": "what that sum "
            "can reach",
            "sunnybrook_style_percent_of_reach": "its place in that range",
            "eface_style_static … eface_style_synkinesis": "mean of the measured items, 100 for a "
            "symmetric face",
            "eface_style_total": "their mean, dynamic counted twice",
            "bins": "whose thresholds: `cohort`, `jinglei` or `mirror`",
        },
    ),
    Table(
        "scale_items.csv",
        "scales",
        "item of each row of scales.csv",
        SCALE_ITEMS,
        {
            "visit": "the visit, where the manifest names one",
            "date": "its date",
            "weak_side": "the side that this row takes for the weak one",
            "scale": "`sunnybrook` or `eface`, in the style of which the item is",
            "part": "part of the scale",
            "item": "the item",
            "title": "the same in words",
            "value": "what was measured: weak divided by other side, or weak minus other",
            "score": "the item's score; empty unless `ok`",
            "status": "`ok`, `missing_movement`, `too_little_movement` of the other side, "
            "`not_measured` or `no_threshold`",
            "reason": "why there is no score; empty when `ok`",
        },
    ),
    Table("folds.csv", "benchmark, htnet train", "photograph", FOLDS),
    Table(
        "predictions.csv",
        "benchmark, htnet evaluate, fuse",
        "photograph, or patient (and visit), and grader",
        predictions_schema(target_named("six_grades")),
        {
            "image_id": f"{SHARED['image_id']}; not in tables of patients",
            "visit": "the patient's visit, where the manifest tells visits apart",
            "hb_grade": "the reference grade",
            "predicted": "the answer: the median of the probabilities",
            "p_1 … p_6": "probability of each grade",
            "model": "the grader",
            "branch": "`geometric`, `deep` or `fused`",
        },
    ),
    Table(
        "predictions.csv (of a number)",
        "benchmark, fit",
        "photograph, or patient (and visit), and grader",
        score_predictions_schema(NUMERIC["sunnybrook"]),
        {
            "image_id": f"{SHARED['image_id']}; not in tables of patients",
            "visit": "the patient's visit, where the manifest tells visits apart",
            "sunnybrook": "the true score; the column is called like the target",
            "predicted": "the answer, in the unit of the scale",
            "low": "lower end of the 90 % prediction interval; empty where none was made",
            "high": "upper end of it",
            "model": "the grader",
            "branch": "`geometric`, `deep` or `fused`",
        },
    ),
    Table(
        "spreads.csv",
        "extract (with copies)",
        "photograph",
        SPREADS,
        {
            "copies": "altered copies that were made",
            "copies_failed": "copies in which no face was found",
            "halves_share": "with `--points halves` and `joined`: how much the halves count, 1 "
            "from the front, 0 where the head is turned too far",
            "spread_x_0 … spread_x_67": "spread of each point in x over the copies, px",
            "spread_y_0 … spread_y_67": "and in y",
        },
    ),
    Table(
        "corrections.csv",
        "review, exchange import",
        "point moved, or verdict on a photograph; the last of a point holds",
        CORRECTIONS,
        {
            "action": "`move`, `undo`, `redo`; or `checked`, `unmeasurable`, `measurable` again",
            "point": "0 to 67; 68, 69 the centres of the right and left iris, 70, 71 the places of "
            "their edges straight to the right; empty for a verdict on the whole photograph",
            "from_x": "where it was, px; empty where there was no point",
            "from_y": "where it was, px",
            "to_x": "where it is now, px; empty when a point is taken away again",
            "to_y": "where it is now, px",
            "reason": "why it cannot be measured, or the other tool in which it was moved",
            "rater": "who, with `--rater`",
            "at": "when, UTC; rows of one change have the same time",
            "photo_sha256": "of the photograph that was corrected, as `landmarks.csv` says it",
        },
    ),
    Table(
        "agreement_points.csv",
        "agreement",
        "point",
        POINT_AGREEMENT,
        {
            "point": "0 to 67",
            "region": "part of the face",
            "photographs": "photographs that both raters have points for",
            "mean": "mean distance between both raters' points, % of the outer-eye distance",
            "median": "median of that distance",
            "p95": "95 % of the distances lie below",
            "bias_x": "mean of B minus A, to the right of the picture, in the same unit",
            "bias_y": "and downwards",
        },
    ),
    Table(
        "agreement_features.csv",
        "agreement",
        "feature",
        FEATURE_AGREEMENT,
        {
            "feature": "`f0` to `f28`",
            "photographs": "photographs in which both raters have a value",
            "patients": "patients of these",
            "bias": "mean of B minus A, in the unit of the feature",
            "limit_low": "lower 95 % limit of agreement",
            "limit_high": "upper 95 % limit of agreement",
            "smallest_detectable_change": "1.96 standard deviations of the differences",
            "icc": "ICC(A,1): single measurement, absolute agreement",
            "icc_low": "lower end of its 95 % interval, patients resampled",
            "icc_high": "upper end of its 95 % interval",
        },
    ),
    Table(
        "ratings.csv",
        "you, or simulate --raters",
        "patient (and visit) and rater",
        RATINGS,
        {
            "rater": "who scored",
            "visit": "which visit of the patient, where there are several",
            "hb_grade": "House-Brackmann grade that this rater gave; empty where none",
            "sunnybrook": "Sunnybrook composite, 0 to 100 (healthy)",
            "eface": "eFACE score, 0 to 100 (healthy)",
        },
    ),
    Table(
        "rater_pairs.csv",
        "raters",
        "score and pair of raters, and `all`",
        PAIRS,
        {
            "score": "column of the ratings",
            "first": "a rater, or `all`: all of them together",
            "second": "the other one",
            "patients": "patients (visits) that both have rated; of `all` by two raters or more",
            "bias": "mean of second minus first",
            "limit_low": "lower 95 % limit of agreement",
            "limit_high": "upper 95 % limit of agreement",
            "smallest_detectable_change": "1.96 standard deviations of the difference of two "
            "ratings of a patient, each rater's bias taken out",
            "icc": "ICC(A,1): single ratings, absolute agreement",
            "icc_low … icc_high": "its 95 % interval, patients resampled",
            "weighted_kappa": "of grades: kappa with quadratic weights",
            "weighted_kappa_low … weighted_kappa_high": "its 95 % interval",
        },
    ),
    Table(
        "raters.csv",
        "raters",
        "score and rater",
        RATERS,
        {
            "score": "column of the ratings",
            "rater": "who scored",
            "patients": "patients (visits) that another rater has scored too",
            "bias": "mean of the rater minus the mean of the others",
            "bias_low … bias_high": "its 95 % interval, patients resampled",
            "distance": "mean absolute difference from each of the others",
            "distance_low … distance_high": "its 95 % interval",
            "spread": "standard deviation of the scores by that of the others' means; a tenth or a "
            "hundredth is another unit",
            "correlation": "with the mean of the others; negative is the other direction",
        },
    ),
    Table(
        "rater_targets.csv",
        "raters",
        "score and patient (visit) that was rated",
        TARGETS,
        {
            "score": "column of the ratings",
            "visit": "which visit of the patient, where there are several",
            "raters": "how many raters stand behind the target",
            "target": "mean of numbers, median of grades (the lower of two in the middle)",
            "spread": "standard deviation of the ratings; empty with one rater",
            "lowest": "lowest rating",
            "highest": "highest rating",
            "p_1 … p_6": "of grades: share of the raters who gave it",
        },
    ),
    Table(
        "model_beside_raters.csv",
        "raters --predictions",
        "model",
        BESIDE,
        {
            "score": "column of the ratings that was predicted",
            "patients": "patients (visits) with an answer and two raters or more",
            "raters_apart": "mean absolute difference of two raters",
            "raters_apart_low … raters_apart_high": "its 95 % interval, patients resampled",
            "model_apart": "mean absolute difference of the model and a rater",
            "model_apart_low … model_apart_high": "its 95 % interval",
            "difference": "model minus raters, paired; above 0 the model is further off",
            "difference_low … difference_high": "its 95 % interval",
            "raters_icc": "ICC(A,1) among the raters",
            "raters_icc_low … raters_icc_high": "its 95 % interval",
            "model_icc": "ICC(A,1) of the model and a rater",
            "model_icc_low … model_icc_high": "its 95 % interval",
            "icc_difference": "model minus raters, paired; below 0 the model agrees less",
            "icc_difference_low … icc_difference_high": "its 95 % interval",
        },
    ),
    Table(
        "changes.csv",
        "follow-up",
        "patient, score (and movement, model), and pair of visits",
        CHANGES,
        {
            "weak_side": "of scales: the side that was taken for weak",
            "branch": "of answers: `classical` or `image`",
            "score": "the column of the table that was followed",
            "since": "`first`: against the first visit; `previous`: against the one before; empty "
            "where there is one visit only",
            "from_visit": "the earlier visit",
            "to_visit": "the later visit",
            "from_date": "its date",
            "to_date": "its date",
            "from_value": "the score then, a mean where there are repeats or raters",
            "to_value": "the score then",
            "change": "later minus earlier",
            "smallest_detectable": "the change that noise alone exceeds in 5 of 100",
            "from_n": "repeats, or raters who scored both visits",
            "to_n": "the same of the later visit",
            "detectable_from": "what the error was estimated from: `repeated photographs`, "
            "`copies`, `raters`",
            "verdict": "`better`, `worse`, `within error`, `cannot be told`; `higher` or `lower` "
            "where nobody said which end is healthy",
            "reason": "why it cannot be told",
        },
    ),
    Table(
        "irises.csv",
        "extract --scale iris",
        "photograph",
        IRISES,
        {
            **{
                f"{side}_{name}": words
                for side in ("right", "left")
                for name, words in (
                    ("status", f"`ok`, or what hindered: the patient's {side} eye"),
                    ("reason", "why there is no iris, or `Placed by hand.` in `review`"),
                    ("x", "centre of the iris, px"),
                    ("y", "centre of the iris, px"),
                    ("radius", "radius of the iris, px"),
                    ("strength", "how clearly its rim stands out"),
                )
            }
        },
    ),
    Table(
        "manifest_problems.csv",
        "prepare --check",
        "problem",
        PROBLEMS,
        {
            "severity": "`error`: something is lost; `warning`: look; `note`: how it was read",
            "kind": "a short stable name to sort by",
            "file": "file or folder, from the dataset's folder",
            "rows": "rows of that file as a spreadsheet shows them",
            "patient_id": "the patient concerned, where it is one",
            "what": "what is wrong",
            "advice": "what to do",
        },
    ),
    Table(
        "sites.csv",
        "benchmark --hold-out-by",
        "grader at a site, and at `all`",
        SITES,
        {
            "features": "as measured, or relative to the site's healthy people",
            "site": "value of the column that was held out; `all`: all of them together",
            "model": "the grader",
            "score": "which score the numbers are, per patient",
            "patients": "patients tested, the same in both ways",
            "learned_from": "patients of the other sites; for `all` the fewest",
            "inside": "the score in the usual folds",
            "inside_low … inside_high": "its 95 % interval over patients",
            "across": "the score of graders that learned at the other sites only",
            "across_low … across_high": "its 95 % interval",
            "drop": "inside minus across, on the same resampled patients",
            "drop_low … drop_high": "its 95 % interval",
        },
    ),
    Table(
        "learning_curve.csv",
        "recalibrate --curve",
        "number of local patients",
        LEARNING_CURVE,
        {
            "features": "as kept, or relative to the clinic's healthy people",
            "local_patients": "drawn at random and recalibrated with; 0: the grader as kept",
            "draws": "how often they were drawn; all others were tested",
            "kappa": "weighted kappa, mean over draws",
            "kappa_low … kappa_high": "holds 95 % of the draws",
            "error": "error in grades, mean over draws",
            "covered": "share of likely ranges that hold the reference",
            "width": "grades in a likely range",
        },
    ),
    Table(
        "separability.csv",
        "explore",
        "feature",
        SEPARABILITY,
        {
            "rank_correlation": "Spearman's, of the patients' means with the grade",
            "rank_correlation_low … rank_correlation_high": "its 95 % interval over patients",
            "superiority": "chance that a patient with palsy has more of it than a healthy one",
            "superiority_low … superiority_high": "its 95 % interval",
        },
    ),
    Table(
        "stability.csv",
        "explore --by",
        "feature, the steadiest first",
        STABILITY,
        {
            "feature": "`f0` to `f28`",
            "region": "part of the face",
            "shift": "largest difference of medians between two places, patients of one class, in "
            "standard deviations",
            "spread_ratio": "largest over smallest spread of a place",
            "least_rank_correlation": "smallest rank correlation with the grade; 0 where the "
            "sign changes",
            "portable": "whether the shift is at most 0.5 and the correlation 0.3 or more",
        },
    ),
    Table(
        "outliers.csv",
        "explore",
        "value that stands out",
        OUTLIERS,
        {
            "value": "the value",
            "usual": "median of the same movement",
            "deviations": "how far away, in robust standard deviations",
        },
    ),
    Table(
        "maps.csv",
        "explore",
        "patient",
        MAPS,
        {
            "pc_1 … pc_2": "place on the map of principal components",
            "tsne_1 … tsne_2": "place on the t-SNE map; only neighbours mean something",
        },
    ),
    Table(
        "profile.csv",
        "profile",
        "photograph and feature",
        PROFILE,
        {
            "value": "the patient's value",
            "healthy_5 … healthy_95": "5th, 50th and 95th percentile of the healthy people; "
            "the outer two only where there are 20 or more",
            "healthy_sd": "standard deviation of the healthy people",
            "percentile": "share of healthy people with a smaller value, %",
            "n_healthy": "how many healthy people were compared with",
        },
    ),
    Table(
        "flow.csv",
        "micro flow",
        "clip, always",
        FLOW,
        {
            "image_id": "the clip's folder below the dataset's",
            "patient_id": "the subject",
            "dataset": "which dataset of a composite",
            "emotion": "the dataset's own label",
            "emotion3": "negative, positive or surprise; empty where it has no place there",
            "status": "`ok`, or what hindered",
            "onset": "first frame of the movement",
            "apex": "strongest frame",
            "offset": "last frame",
            "apex_source": "`annotated` or `spotted`",
            "face_px": "side of the face square, px of the frames",
            "head_px": "motion of the head that was taken out, px",
            "peak_px": "largest motion that was left, px",
            "peak_fraction": "the same as a share of the face's side",
        },
    ),
    Table(
        "loso_results.csv",
        "micro loso",
        "clip, model and seed",
        results_schema(("negative", "positive", "surprise")),
        {
            "image_id": "the clip",
            "dataset": "which dataset of a composite",
            "emotion": "the reference",
            "predicted": "the answer",
            "p_negative … p_surprise": "probability of each class",
        },
    ),
    Table(
        "loso_subjects.csv",
        "micro loso",
        "subject and model",
        SUBJECTS,
        {
            "dataset": "which dataset of a composite",
            "n_clips": "the subject's clips",
            "n_classes": "how many emotions are among them",
            "right": "clips answered rightly, mean over seeds",
            "accuracy": "the same as a share",
        },
    ),
    Table(
        "loso_confusion.csv",
        "micro loso",
        "subject, model, seed, annotated and answered class",
        CONFUSION,
        {
            "annotated": "the reference",
            "answered": "the answer",
            "n_clips": "clips of this class that got this answer",
        },
    ),
    Table(
        "loso_summary.csv",
        "micro loso",
        "model, rule and dataset",
        SUMMARY,
        {
            "dataset": "`all`, or one of several",
            "n_clips": "clips",
            "n_subjects": "subjects",
            "n_seeds": "trainings of the model",
            "uf1": "F1 averaged over the classes, mean over seeds",
            "uf1_low … uf1_high": "its 95 % interval over resampled subjects",
            "uf1_sd": "standard deviation over seeds",
            "uar": "recall averaged over the classes, mean over seeds",
            "uar_low … uar_high": "its 95 % interval",
            "uar_sd": "standard deviation over seeds",
            "weighted_f1": "F1 of the classes, weighted by how often each occurs, mean over seeds",
            "weighted_f1_low … weighted_f1_high": "its 95 % interval",
            "baseline_uf1": "what always answering the commonest class reaches",
            "baseline_uar": "the same for the recall",
        },
    ),
    Table(
        "grades.csv",
        "grade",
        "patient (and visit), always",
        grades_schema(_SIX),
        {
            "visit": "the patient's visit, where the manifest tells visits apart",
            "status": "`ok`, `failed`, or `abstained`: movements are missing, or all lies far out",
            "reason": "why there is no grade; empty when `ok`",
            "photographs": "how many were given",
            "used": "how many could be measured",
            "missing": "movements that the grader learned from and that are not there",
            **_ANSWERS,
            "side": "the weak side: `right`, `left`, `none` or `unknown`",
            "p_side": "probability of that side",
            "why": "what was measured, in words",
            "distance": "how far out the measurements lie; 1: as the farthest learned from; "
            "beyond 2 nobody is graded",
            "caution": "what is unlike the patients learned from (the likely range is then one "
            "class wider at either end), or that `recalibrate` has seen the patient",
        },
    ),
    Table(
        "grades.csv (of a number)",
        "grade",
        "patient (and visit), always",
        grades_schema(NUMERIC["sunnybrook"]),
        {
            "visit": "the patient's visit, where the manifest tells visits apart",
            "status": "`ok`, `failed`, or `abstained`: movements are missing, or all lies far out",
            "reason": "why there is no score; empty when `ok`",
            "photographs": "how many were given",
            "used": "how many could be measured",
            "missing": "movements that the grader learned from and that are not there",
            "predicted": "the answer, in the unit of the scale; empty where there is none",
            "low": "lower end of its 90 % prediction interval",
            "high": "upper end of it",
            "side": "the weak side: `right`, `left` or `unknown`",
            "p_side": "probability of that side",
            "why": "what was measured, in words",
            "distance": "how far out the measurements lie; 1: as the farthest learned from; "
            "beyond 2 nobody is graded",
            "caution": "what is unlike the patients learned from (the interval is then half as "
            "wide again)",
        },
    ),
    Table(
        "photograph_grades.csv",
        "htnet predict",
        "photograph, always",
        photograph_grades_schema(_SIX),
        {
            "seen_in_training": "what the network learned from: this very `photograph`, another "
            "of a `patient` of this name, `no` neither; `unknown`",
            **_ANSWERS,
            **_SIDES,
        },
    ),
    Table(
        "patient_grades.csv",
        "htnet predict",
        "patient (of scores: visit); then `predicted` is the score, `low` and `high` its interval",
        patient_grades_schema(_SIX),
        {
            "photographs": "how many were graded",
            "calibrated": "whether they were enough for calibrated probabilities",
            "seen_in_training": "the same of the patient's photographs, the worst of them",
            **_ANSWERS,
            **_SIDES,
            "weak_brow_right … weak_mouth_left": "weakness of each zone, 0 none to 1 no movement, "
            "as a network sees it that takes a patient's photographs together",
        },
    ),
    Table(
        "patients.csv",
        "htnet train, beside each network's weights",
        "patient",
        SEEN_PATIENTS,
        {"part": "`train`, or `validation`: chose the epoch"},
    ),
    Table(
        "asymmetry_by_grade.csv",
        "htnet explain",
        "grade",
        BY_GRADE,
        {
            "hb_grade": "House-Brackmann grade, 1 to 6",
            "patients": "patients of that grade whom the network did not learn from",
            "mean": "asymmetry, mean over patients: 0 where both sides are alike, at most 1",
            "low … high": "95 % interval of the mean, patients resampled; empty with one patient",
            "std": "standard deviation between patients (n - 1); empty with one patient",
            "min": "the least asymmetric patient",
            "max": "the most asymmetric patient",
        },
    ),
)
"""Every table that comes out, those that users meet first before the others."""


def described(table: Table) -> Iterator[tuple[str, str]]:
    """Return (columns, meaning) in the order of the file; the columns of a range are one row.

    KeyError when a column has no words, or words name a column that the table does not have.
    """
    columns = list(table.schema.columns)
    ranges = {name: name.split(" … ") for name in table.words if " … " in name}
    inside = {
        column: name
        for name, (first, last) in ranges.items()
        for column in _between(columns, first, last)
    }
    rows = dict.fromkeys(inside.get(column, column) for column in columns)
    unknown = set(table.words) - set(rows)
    if unknown:
        raise KeyError(f"{table.file} has no column {', '.join(sorted(unknown))}")
    words = {**SHARED, **table.words}
    return ((name, words[name]) for name in rows)


def _between(columns: list[str], first: str, last: str) -> Iterable[str]:
    """Columns of the same kind from the first to the last: `x_0` to `x_67` without any `y_`."""
    kind = re.sub(r"\d+$", "", first)
    numbered = kind != first
    span = columns[columns.index(first) : columns.index(last) + 1]
    return [one for one in span if not numbered or re.fullmatch(rf"{re.escape(kind)}\d+", one)]


def types_of(table: Table) -> dict[str, str]:
    """Return what each column holds: text, number, whole number; and whether it may be empty."""
    return {
        str(name): _KINDS.get(str(column.dtype).lower(), "text")
        + (", may be empty" if column.nullable else "")
        for name, column in table.schema.columns.items()
    }


_KINDS = {"float64": "number", "int64": "whole number"}
