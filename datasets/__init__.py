"""One reader per dataset into one manifest, its checks, and the simulated cohort."""

from datasets.check import check_manifest
from datasets.dataset import Dataset, Problem
from datasets.movements import MOVEMENTS
from datasets.prepare import prepare
from datasets.registry import DATASETS, dataset_entry
from datasets.split import split_by_patient
from datasets.truth import read_truth

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
