"""One reader per dataset into one manifest, its checks, and the simulated cohort."""

from common.movements import MOVEMENTS
from common.truth import read_truth
from datasets.check import check_manifest
from datasets.commands.prepare import prepare
from datasets.dataset import Dataset, Problem, split_by_patient
from datasets.registry import DATASETS, dataset_entry

__all__ = [
    "DATASETS",
    "MOVEMENTS",
    "Dataset",
    "Problem",
    "check_manifest",
    "dataset_entry",
    "prepare",
    "read_truth",
    "split_by_patient",
]
