"""The simulated patients and clips that the notebooks work on: drawn once, then only read.

They are kept in `notebooks/output`, which git ignores, or in the folder that the environment
variable `PALSY_NOTEBOOK_OUTPUT` names. Delete that folder to have them made anew.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from common.provenance import RUN_FILE
from common.tables import MANIFEST, relative_to_folder, write_table
from common.truth import TRUTH_TABLE
from datasets.readers.meei import read_meei
from datasets.simulated.cohort import simulate
from features.commands.extract import extract

OUTPUT_VARIABLE = "PALSY_NOTEBOOK_OUTPUT"
PATIENTS, SUBJECTS = 24, 3
WIDTH, HEIGHT = 300, 400  # px, half of the demo's: quick to draw, and enough for the 68 points
CLIP_WIDTH, CLIP_HEIGHT = 200, 240
_OUTPUT = Path(__file__).resolve().parent.parent / "notebooks" / "output"


@dataclass(frozen=True)
class ExampleCohort:
    """Where the simulated patients and their tables lie, all below `folder`.

    The photographs have the layout of the MEEI standard set, the manifest a row for each; the
    manifest's columns stand behind the distances and the features.
    """

    folder: Path
    photographs: Path
    manifest: Path
    landmarks: Path
    dists: Path
    features: Path


def output_folder(name: str) -> Path:
    """Return the folder into which one notebook writes, made if needed."""
    folder = Path(os.environ.get(OUTPUT_VARIABLE) or _OUTPUT) / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def example_cohort(*, patients: int = PATIENTS, seed: int = 0) -> ExampleCohort:
    """Draw and measure the simulated patients, unless that has been done.

    Twenty-four patients, four of each House-Brackmann grade, at rest and in seven movements. They
    are nobody's photographs: results on them are results on simulated faces. Another number or
    seed makes another cohort beside the first.
    """
    folder = output_folder(f"cohort_{patients}_patients_seed_{seed}")
    measured = folder / "measured"
    tables = (measured / f"{name}.csv" for name in ("landmarks", "dists", "features"))
    cohort = ExampleCohort(folder, folder / "photographs", folder / "manifest.csv", *tables)
    if not (measured / RUN_FILE).is_file():
        simulate(cohort.photographs, patients=patients, seed=seed, width=WIDTH, height=HEIGHT)
        manifest = relative_to_folder(read_meei(cohort.photographs).manifest, folder)
        write_table(manifest, cohort.manifest, schema=MANIFEST)
        extract(cohort.manifest, out=measured, jobs=1)
    return cohort


def example_clips(*, subjects: int = SUBJECTS, seed: int = 0) -> Path:
    """Draw simulated micro-expression clips, unless that has been done, for `prepare casme2`.

    Six clips of each subject, each a folder of sixteen frames, in the layout of CASME II.
    """
    folder = output_folder(f"clips_{subjects}_subjects_seed_{seed}")
    if not (folder / TRUTH_TABLE).is_file():  # the last file that is written
        simulate(
            folder, patients=subjects, seed=seed, layout="casme", width=CLIP_WIDTH,
            height=CLIP_HEIGHT,
        )  # fmt: skip
    return folder
