"""Every dataset that can be prepared: its reader, needs, terms and citation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from common.errors import UserError, did_you_mean
from common.movements import MOVEMENTS
from datasets.dataset import Dataset
from datasets.readers.casme2 import read_casme2
from datasets.readers.casme3 import read_casme3
from datasets.readers.ckplus import read_ckplus
from datasets.readers.fnp import read_fnp
from datasets.readers.folder import read_folder
from datasets.readers.meei import read_meei
from datasets.readers.megc2019 import read_megc2019
from datasets.readers.neuroface import read_neuroface
from datasets.readers.samm import read_samm
from datasets.readers.smic import read_smic
from datasets.readers.three_class import read_three_class
from datasets.readers.youtube_palsy import read_yfp


@dataclass(frozen=True)
class DatasetEntry:
    """One dataset.

    Attributes
    ----------
    name
        Name on the command line.
    title
        Full name.
    read
        `read(root, *, ...) -> Dataset`.
    options
        The reader's own options.
    needs
        What must lie in the folder, in one sentence.
    obtain
        Terms, and where it comes from, in one sentence.
    cite
        The paper to cite; empty for a user's own photographs.
    tasks
        Tasks that every patient does; None infers them from the patients, empty expects none.
    """

    name: str
    title: str
    read: Callable[..., Dataset]
    options: tuple[str, ...]
    needs: str
    obtain: str
    cite: str = ""
    tasks: tuple[str, ...] | None = ()


_ON_REQUEST = "Given out by the authors after a signed agreement; research only, no redistribution."
_OWN = "Your own photographs: they stay where they are, and only the manifest is written."

DATASETS: dict[str, DatasetEntry] = {
    entry.name: entry
    for entry in (
        DatasetEntry(
            "meei",
            "MEEI Facial Palsy Photo and Video Standard Set",
            read_meei,
            (),
            "Folders Normal, Flaccid and Synkinetic with eight photographs per patient, and "
            "pat_info.xlsx.",
            "Open for research and teaching from the Sir Charles Bell Society and the authors; no "
            "redistribution licence is stated.",
            "Greene et al. 2020, Laryngoscope 130:32-37, doi 10.1002/lary.27986",
            tasks=MOVEMENTS,
        ),
        DatasetEntry(
            "neuroface",
            "Toronto NeuroFace",
            read_neuroface,
            (),
            "Folders ALS, Stroke and Healthy controls, each with Frames, Landmarks_gt and Bbox_gt.",
            _ON_REQUEST,
            "Bandini et al. 2021, IEEE J Biomed Health Inform 25:1111-1119, "
            "doi 10.1109/JBHI.2020.3019242",
            tasks=None,
        ),
        DatasetEntry(
            "fnp",
            "Facial nerve palsy photographs by grade",
            read_fnp,
            ("zero_based_grades", "patient_pattern", "seed"),
            "Folders grade_1 to grade_6; patient and side in the file names.",
            _OWN,
        ),
        DatasetEntry(
            "ckplus",
            "CK+, the extended Cohn-Kanade dataset",
            read_ckplus,
            (),
            "Folders cohn-kanade-images, Emotion, FACS and Landmarks.",
            _ON_REQUEST,
            "Lucey et al. 2010, CVPR Workshops, doi 10.1109/CVPRW.2010.5543262",
        ),
        DatasetEntry(
            "three-class",
            "Photographs as Normal, Mild or Severe",
            read_three_class,
            ("table", "grades", "patient_pattern"),
            "Folders Normal, Mild and Severe, or a table with a column class.",
            _OWN,
        ),
        DatasetEntry(
            "casme2",
            "CASME II micro-expressions",
            read_casme2,
            ("table",),
            "CASME2-coding-20140508.xlsx and the frames as CASME2_RAW/sub01/EP02_01f/img46.jpg.",
            _ON_REQUEST,
            "Yan et al. 2014, PLoS ONE 9:e86041, doi 10.1371/journal.pone.0086041",
        ),
        DatasetEntry(
            "samm",
            "SAMM micro-expressions",
            read_samm,
            ("table",),
            "SAMM_Micro_FACS_Codes_v2.xlsx and the frames as 006/006_1_2/006_05562.jpg.",
            _ON_REQUEST,
            "Davison et al. 2018, IEEE Trans Affect Comput 9:116-129, "
            "doi 10.1109/TAFFC.2016.2573832",
        ),
        DatasetEntry(
            "smic",
            "SMIC micro-expressions, high-speed part",
            read_smic,
            (),
            "Frames as HS/s1/micro/negative/s1_ne_01/*.bmp.",
            _ON_REQUEST,
            "Li et al. 2013, FG, doi 10.1109/FG.2013.6553717",
        ),
        DatasetEntry(
            "casme3",
            "CAS(ME)³ micro-expressions, part A",
            read_casme3,
            ("table",),
            "The label sheet of part A and the frames as spNO.1_a_355/355.jpg or "
            "spNO.1/a/color/355.jpg.",
            _ON_REQUEST,
            "Li et al. 2023, IEEE Trans Pattern Anal Mach Intell 45:2782-2800, "
            "doi 10.1109/TPAMI.2022.3174895",
        ),
        DatasetEntry(
            "megc2019",
            "MEGC 2019 composite of SMIC, CASME II and SAMM",
            read_megc2019,
            ("table",),
            "A folder that holds the three datasets as casme2, samm and smic.",
            "Made of three datasets, each with its own agreement.",
            "See et al. 2019, FG, doi 10.1109/FG.2019.8756611",
        ),
        DatasetEntry(
            "yfp",
            "YouTube Facial Palsy",
            read_yfp,
            ("table", "patient_pattern"),
            "Videos or one folder of frames per video, and a table of boxes.",
            "The authors send a password on request from a university address; research only, no "
            "redistribution.",
            "Hsu, Kang and Huang 2018, IEEE Access",
        ),
        DatasetEntry(
            "folder",
            "Any folder of photographs",
            read_folder,
            ("table", "patient_pattern", "zero_based_grades"),
            "Photographs at any depth, and a CSV or Excel table of image or patient, task, side "
            "and grade.",
            _OWN,
            tasks=None,
        ),
    )
}


def dataset_entry(name: str) -> DatasetEntry:
    """Return the entry of a dataset.

    Raises
    ------
    UserError
        When there is none of that name.
    """
    if name not in DATASETS:
        raise UserError(
            f'There is no dataset "{name}": choose one of {", ".join(DATASETS)}.'
            + did_you_mean(name, DATASETS)
        )
    return DATASETS[name]
