"""Tables to graders: patient-grouped validation, scores with intervals, reports."""

from classifiers.commands.benchmark import benchmark
from classifiers.commands.compare import compare
from classifiers.commands.fuse import fuse
from classifiers.graders.cohort import read_cohort
from classifiers.graders.registry import GRADERS
from classifiers.graders.validation import Plan, cross_validate
from common.grading.evaluation import evaluate
from common.grading.folds import make_folds, read_folds, splits, write_folds
from common.grading.predictions import read_predictions, write_predictions
from common.grading.scores import SCORES
from common.grading.target import TARGETS, target_named

__all__ = [
    "GRADERS",
    "SCORES",
    "TARGETS",
    "Plan",
    "benchmark",
    "compare",
    "cross_validate",
    "evaluate",
    "fuse",
    "make_folds",
    "read_cohort",
    "read_folds",
    "read_predictions",
    "splits",
    "target_named",
    "write_folds",
    "write_predictions",
]
