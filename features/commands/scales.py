"""The command `scales`: items in the style of Sunnybrook and eFACE out of the points, unlearned."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from common.errors import exit_code_for
from common.provenance import write_run_record
from common.tables import write_table
from common.words import counted
from features.commands.features import known_of
from features.scales.registry import SIDE_MEASURES
from features.scales.report import scales_report
from features.scales.scores import ITEMS_FILE, SCALE_ITEMS, SCALES, SCALES_FILE, Scored, score
from features.scales.sides import read_sides
from features.scales.thresholds import COHORT, BinsName, cohort_bins, difference_of, published_bins
from landmarks.exchange.tables import read_corrected
from landmarks.tables import points_source, with_slips_failed


@dataclass(frozen=True)
class Scales:
    """What was scored, and where it lies."""

    scored: Scored
    report: Path

    @property
    def exit_code(self) -> int:
        """0 every patient has all items, 3 some lack items, 4 nobody has any."""
        status = self.scored.scales["status"]
        ok = int((status == "ok").sum()) + int((status == "partial").sum())
        failed = len(status) - int((status == "ok").sum())
        return exit_code_for(ok=ok, failed=failed)


def scales(
    landmarks: Path,
    *,
    out: Path,
    manifest: Path | None = None,
    bins: BinsName = COHORT,
    redact: bool = False,
) -> Scales:
    """Score patients in the style of the Sunnybrook and the eFACE, without anything learned.

    For each patient (and visit) the weak side is compared with the other: at rest, in each
    movement, and in what joins a movement unasked. Writes scales.csv (comparisons, weakness of
    brow, eye, midface and mouth, items, composites with the range that they can reach),
    scale_items.csv (each item with its status and reason), report.html and run.json. What points
    cannot see is not measured and never 0; docs/scales.md has every formula. No clinician has
    scored these items: research use only.

    Parameters
    ----------
    landmarks
        landmarks.csv of extract, or points of another tool, as for features. Patients, movements
        and sides come from the features.csv beside it, or from --manifest.
    out
        Folder for the results; made if needed.
    manifest
        Table with image_id, patient_id, task and side (left, right, none, unknown), and visit where
        there are several. Patients whose weak side is not known are read both ways.
    bins
        Where items of the Sunnybrook style begin: cohort (the healthy people of this table, 5 at
        least), or a published set, jinglei or mirror; the two contradict each other.
    redact
        Number the patients in the report in place of their names.

    Raises
    ------
    UserError
        When patients or movements are not named, or there are too few healthy people.
    """
    given, _, moves = read_corrected(landmarks)
    table = with_slips_failed(given)
    known = known_of(table, manifest=manifest, source=landmarks)
    known = pd.DataFrame({"image_id": table["image_id"]}) if known is None else known
    readings = read_sides(table, known, source=str(manifest or landmarks))
    if bins == COHORT:
        limits = cohort_bins(
            {e.name: difference_of(e, readings.amounts[e.name]) for e in SIDE_MEASURES},
            owners=readings.owners,
            healthy=readings.rows["healthy"].to_numpy(dtype=np.bool_),
            source=str(manifest or landmarks),
        )
    else:
        limits = published_bins(bins)
    scored = score(readings, limits)
    write_table(scored.scales, out / SCALES_FILE, schema=SCALES)
    write_table(scored.items, out / ITEMS_FILE, schema=SCALE_ITEMS)
    report = out / "report.html"
    patients, source = scored.scales["patient_id"].nunique(), points_source(table)
    scales_report(scored, source=source, redact=redact).write(report)
    counts = {str(name): int(n) for name, n in scored.scales["status"].value_counts().items()}
    files = {
        "landmarks": landmarks,
        "manifest": manifest,
        "corrections": moves.path if moves else None,
    }
    write_run_record(
        out,
        command="scales",
        settings={"landmarks": landmarks.name, "bins": bins, "redact": redact},
        files=files,
        counts={"patients": patients, "rows": len(scored.scales), **counts, **source.counts()},
        notes={"bins": limits.title},
    )
    said = ", ".join(f"{n} {name}" for name, n in counts.items())
    for warning in moves.warnings() if moves else []:
        print(f"warning: {warning}", file=sys.stderr)
    line = (
        f"{counted(patients, 'patient')}, {counted(len(scored.scales), 'row')} ({said}). Not "
        f"scored by any clinician; {scored.about_bins()}"
    )
    print(f"{source.added_to(line)} Report in {report}")
    return Scales(scored, report)
