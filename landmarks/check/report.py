"""The report of `evaluate-landmarks`: how far off, where on the face, for whom, and with what."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from common.errors import exit_code_for
from common.report import Report, Section
from common.words import counted, spoken
from landmarks.check.asymmetry import CHANGE
from landmarks.check.errors import MAJOR, MEASURES, SIDE_PARTS, SIDE_REGIONS, Evaluated
from landmarks.check.plots import (
    cumulative_figure,
    face_figure,
    interval_figure,
    region_title,
    tilt_figure,
)
from landmarks.check.scores import patient_intervals
from landmarks.points import REGIONS

FEW_PATIENTS = 10
_INTERVALS = "95 % intervals in brackets resample whole patients."


@dataclass(frozen=True)
class LandmarkEvaluation:
    """What `evaluate-landmarks` found, as it is reported.

    `settings`: the evaluated settings by name; the last is the one that was asked for.
    `scores`, `grid`, `asymmetry`: `landmark_scores.csv`, `landmark_grid.csv`,
    `landmark_asymmetry.csv`.
    `mirror`, `tilt`: by `MIRROR` and `TILT` of `landmarks.check.altered`, empty when not asked for.
    `learned`: by setting, what its model has learned from, and whether from these photographs.
    `problems`: sentences for the head of the report.
    """

    settings: Mapping[str, Evaluated]
    scores: pd.DataFrame
    grid: pd.DataFrame
    asymmetry: pd.DataFrame
    mirror: pd.DataFrame = field(default_factory=pd.DataFrame)
    tilt: pd.DataFrame = field(default_factory=pd.DataFrame)
    learned: Mapping[str, str] = field(default_factory=dict)
    problems: tuple[str, ...] = ()

    @property
    def chosen(self) -> Evaluated:
        """The setting that was asked for."""
        return list(self.settings.values())[-1]

    @property
    def exit_code(self) -> int:
        """0 all photographs were compared, 3 some were not, 4 none was."""
        ok = int((self.chosen.photographs["status"] == "ok").sum())
        return exit_code_for(ok=ok, failed=len(self.chosen.photographs) - ok)


def landmark_report(evaluation: LandmarkEvaluation) -> Report:
    """Build the report of one evaluation."""
    name, evaluated = list(evaluation.settings.items())[-1]
    scores = evaluation.scores[evaluation.scores["setting"] == name]
    report = Report(title="Predicted against true landmarks", summary=_summary(evaluation, name))
    for sentence in _warnings(evaluation, evaluated):
        report.warn(sentence)
    if not (evaluated.photographs["status"] == "ok").any():
        return report
    _regions(report.section("Where on the face"), evaluated, scores)
    _people(report.section("For whom"), scores)
    _asymmetry(report.section("Is asymmetry kept?"), evaluation)
    _settings(report.section("With which settings"), evaluation)
    if len(evaluation.mirror):
        _mirror(report.section("Are left and right treated alike?"), evaluation)
    if len(evaluation.tilt):
        _tilt(report.section("Does a tilted head matter?"), evaluation)
    _method(report.section("How it was measured"), name)
    return report


def _summary(evaluation: LandmarkEvaluation, name: str) -> str:
    row = evaluation.grid.iloc[-1]
    if not row["found"]:
        return "No photograph could be compared."
    words = (
        f"Over {counted(row['found'], 'photograph')} of {counted(row['patients'], 'patient')} the "
        f"51 inner points are "
        f"off by {_interval(row, 'nrmse_eye')} % of the outer-eye distance (NRMSE; setting: "
        f"{name})."
    )
    if len(evaluation.grid) > 1:
        change = row["nrmse_difference"]
        clear = row["nrmse_difference_low"] * row["nrmse_difference_high"] > 0
        first = evaluation.grid["setting"].iloc[0]
        other = "plainly predicted" if first == "plain" else f"with {first}"
        than = f"{abs(change):.2f} points {'less' if change < 0 else 'more'} than {other}"
        words += f" That is {than}" + ("." if clear else ", which chance alone could explain.")
    return words


def _warnings(evaluation: LandmarkEvaluation, evaluated: Evaluated) -> list[str]:
    sentences = list(evaluation.problems)
    photographs = evaluated.photographs
    lost = photographs[photographs["status"] != "ok"]
    if len(lost):
        kinds = ", ".join(f"{n} {status}" for status, n in lost["status"].value_counts().items())
        sentences.append(
            f"{len(lost)} of {counted(len(photographs), 'photograph')} could not be compared "
            f"({kinds}); they have no error and are in no mean: see landmark_errors.csv."
        )
    patients = photographs.loc[photographs["status"] == "ok", "patient_id"].nunique()
    if patients < FEW_PATIENTS:
        only = counted(patients, "patient")
        sentences.append(f"Only {only}: intervals over so few say little.")
    return sentences


def _regions(section: Section, evaluated: Evaluated, scores: pd.DataFrame) -> None:
    section.figure(
        face_figure(evaluated),
        alt="Mean true face with a disc at each point as large as the mean error there.",
        caption="Mean error of each point: a disc's radius is the error, at the scale of the "
        "face; brighter is larger.",
    )
    over_all = scores[scores["group"] == "all"]
    parts = ["all", "inner", *REGIONS]
    table = over_all[over_all["part"].isin(parts)].copy()
    table["shown"] = [_interval(row) for _, row in table.iterrows()]
    wide = table.pivot(index="part", columns="measure", values="shown").loc[parts]
    names = {"all": "all 68 points", "inner": "51 inner points (without the jaw)"}
    shown = wide[list(MEASURES)].rename(columns=dict(MEASURES))
    shown.insert(0, "part of the face", [names.get(p, region_title(p)) for p in wide.index])
    section.table(shown, caption=f"Errors by part of the face. {_INTERVALS}")


def _people(section: Section, scores: pd.DataFrame) -> None:
    """Tables per grade and per side of the palsy."""
    chosen = scores[(scores["measure"] == "nrmse_eye") & (scores["part"] == "inner")]
    chosen = chosen.assign(
        group=[str(g).replace("grade", "House-Brackmann") for g in chosen["group"]]
    )
    section.table(
        _shown(chosen, label="group", heading="photographs of"),
        caption=f"NRMSE of the inner points, % of the outer-eye distance. {_INTERVALS}",
    )
    sides = scores[
        (scores["measure"] == "nrmse_eye")
        & scores["part"].isin(SIDE_PARTS)
        & scores["group"].isin(["all", "palsy left", "palsy right"])
    ]
    if len(sides):
        sides = sides.assign(
            part=[f"{spoken(p)}, {g}" for p, g in zip(sides["part"], sides["group"], strict=True)]
        )
        section.table(
            _shown(sides, label="part", heading="half of the face"),
            caption="The paralysed and the healthy half of palsied faces, inner points. If the "
            "paralysed half has the larger error, measured asymmetry is partly made by the model.",
        )
    else:
        section.text("The manifest does not say which side is paralysed, so sides are not told.")


def _asymmetry(section: Section, evaluation: LandmarkEvaluation) -> None:
    """How much asymmetry each setting keeps, and what it pays for that."""
    changed = (evaluation.asymmetry["measured"] == CHANGE).all()
    section.text(
        (
            "The photographs were made from others by a known change: what part of the asymmetry "
            "of that change comes back in the points? "
            if changed
            else "What part of the true difference between the two sides is found again? "
        )
        + "1 means all of it, less than 1 means that the model draws faces more symmetric than "
        "they are (slope of predicted on true, through the origin, in a frame of the eyes); r is "
        "the correlation of the two."
    )
    section.table(asymmetry_table(evaluation), caption=f"Asymmetry kept, r behind it. {_INTERVALS}")
    wide = evaluation.scores[evaluation.scores["group"] == "all"]
    columns = [
        ("inner", "nrmse_eye", "NRMSE, 51 points"), ("all", "nrmse_eye", "NRMSE, 68 points"),
        ("inner", "mean_eye", "NME, 51 points"), ("all", "mean_eye", "NME, 68 points"),
    ]  # fmt: skip
    section.table(
        _by_setting(evaluation, wide, columns),
        caption=f"Errors, % of the distance of the outer eye corners. {_INTERVALS}",
    )
    if wide["part"].isin(SIDE_REGIONS).any():
        majors = [(part, "major_errors", spoken(part)) for part in SIDE_REGIONS]
        section.table(
            _by_setting(evaluation, wide, majors),
            caption=f"Photographs of palsied faces with a major error, %: some point of the region "
            f"is off by more than {MAJOR:.0%} of the outer-eye distance. {_INTERVALS}",
        )


def asymmetry_table(evaluation: LandmarkEvaluation) -> pd.DataFrame:
    """Return a row for each setting: asymmetry kept and r by region, and what it learned from."""
    rows = []
    for name in evaluation.settings:
        own = evaluation.asymmetry[evaluation.asymmetry["setting"] == name]
        row = {"setting": name, "photographs": int(own["photographs"].iloc[0])}
        for _, one in own.iterrows():
            row[one["region"]] = f"{_interval(one, 'kept')}\nr {_interval(one, 'r')}"
        rows.append(row | {"has it learned from these photographs?": evaluation.learned[name]})
    return pd.DataFrame(rows)


def _by_setting(
    evaluation: LandmarkEvaluation, scores: pd.DataFrame, columns: list[tuple[str, str, str]]
) -> pd.DataFrame:
    at = {
        (row["setting"], row["part"], row["measure"]): _interval(row)
        for row in scores.to_dict("records")
    }
    return pd.DataFrame(
        {"setting": name}
        | {title: at.get((name, part, measure), "–") for part, measure, title in columns}
        for name in evaluation.settings
    )


def _settings(section: Section, evaluation: LandmarkEvaluation) -> None:
    grid = evaluation.grid
    section.table(
        (
            {
                "setting": row["setting"],
                "faces found": f"{row['found']} of {row['photographs']}",
                "NRMSE, %": _interval(row, "nrmse_eye"),
                "mean error, %": _interval(row, "mean_eye"),
                "NRMSE minus the first": _interval(row, "nrmse_difference", signed=True)
                if at
                else "",
            }
            for at, row in enumerate(grid.to_dict("records"))
        ),
        caption="Inner points, % of the outer-eye distance. Differences are over photographs in "
        f"which both settings found the face. {_INTERVALS}",
    )
    section.figure(
        cumulative_figure(_first_and_last(evaluation)),
        alt="Share of photographs with at most a given error.",
        caption="Cumulative error: photographs in which no face was found never reach the top.",
    )


def _mirror(section: Section, evaluation: LandmarkEvaluation) -> None:
    mirror = evaluation.mirror
    patients = evaluation.chosen.photographs.set_index("image_id")["patient_id"]
    values = mirror[list(REGIONS)].to_numpy(dtype=np.float64)
    scores = patient_intervals(values, patients.loc[mirror["image_id"]].to_numpy())
    scores.insert(0, "part", [region_title(region) for region in REGIONS])
    section.text(
        "Each photograph was also predicted mirrored, and its points mirrored back. A model that "
        "treats both sides alike gives the same points twice; what differs is made by the model."
    )
    section.figure(
        interval_figure(scores, label="part", xlabel="difference, % of the outer-eye distance"),
        alt="Difference between points found in photographs and in their mirror images, by region.",
    )
    section.table(
        _shown(scores, label="part", heading="region", value="difference, %"), caption=_INTERVALS
    )


def _tilt(section: Section, evaluation: LandmarkEvaluation) -> None:
    tilt = evaluation.tilt
    section.figure(
        tilt_figure({str(name): rows for name, rows in tilt.groupby("setting", sort=False)}),
        alt="Error against the angle by which photographs were turned.",
        caption="Photographs were turned, predicted, and the points turned back.",
    )
    table = tilt.assign(
        shown=[
            _interval(row) + f"\n{row['found']} of {row['photographs']}"
            for _, row in tilt.iterrows()
        ]
    ).pivot(index="angle_deg", columns="setting", values="shown")
    table.insert(0, "turned by, degrees", [f"{angle:g}" for angle in table.index])
    section.table(
        table, caption=f"NRMSE, % of the outer-eye distance; faces found below. {_INTERVALS}"
    )


def _method(section: Section, name: str) -> None:
    section.text(
        "Error is the distance between a predicted and its true point. RMSE is the root mean "
        "square over the points of a part, NRMSE the same divided by the distance of the true "
        "outer eye corners, by the diagonal of the box around the 68 true points, or by that box's "
        "size (root of its area). Each photograph has one value; tables show means over "
        "photographs. Left and right are the patient's."
    )
    section.text(f"Setting of the first sections: {name}. Every option is in run.json.")


def _first_and_last(evaluation: LandmarkEvaluation) -> dict[str, Evaluated]:
    """The plain prediction and the setting that was asked for."""
    names = list(evaluation.settings)
    return {name: evaluation.settings[name] for name in dict.fromkeys((names[0], names[-1]))}


def _shown(
    scores: pd.DataFrame, *, label: str, heading: str, value: str = "NRMSE, %"
) -> pd.DataFrame:
    return pd.DataFrame(
        {
            heading: row[label],
            "photographs": row["photographs"],
            "patients": row["patients"],
            value: _interval(row),
        }
        for row in scores.to_dict("records")
    )


def _interval(
    row: pd.Series | Mapping[Hashable, Any], measure: str = "value", *, signed: bool = False
) -> str:
    ends = ("low", "high") if measure == "value" else (f"{measure}_low", f"{measure}_high")
    sign = "+" if signed else ""
    value, low, high = (f"{row[name]:{sign}.2f}" for name in (measure, *ends))
    if np.isnan(row[measure]):
        return "–"
    return value if np.isnan(row[ends[0]]) else f"{value} ({low} to {high})"
