"""Tables to graders: patient-grouped validation, scores with intervals, reports."""

from classifiers.benchmark import BenchmarkResult, benchmark
from classifiers.cohort import Cohort, Samples, read_cohort
from classifiers.evaluation import Evaluation, both_levels, evaluate
from classifiers.folds import FOLDS, Split, make_folds, read_folds, splits, write_folds
from classifiers.graders import GRADERS, FittedGrader, GraderEntry, fit_grader
from classifiers.predictions import predictions_schema, read_predictions, write_predictions
from classifiers.scores import SCORES, Score
from classifiers.tasks import TARGETS, Target, target_named
from classifiers.validation import Plan, Validation, cross_validate

__all__ = [
    "FOLDS",
    "GRADERS",
    "SCORES",
    "TARGETS",
    "BenchmarkResult",
    "Cohort",
    "Evaluation",
    "FittedGrader",
    "GraderEntry",
    "Plan",
    "Samples",
    "Score",
    "Split",
    "Target",
    "Validation",
    "benchmark",
    "both_levels",
    "cross_validate",
    "evaluate",
    "fit_grader",
    "make_folds",
    "predictions_schema",
    "read_cohort",
    "read_folds",
    "read_predictions",
    "splits",
    "target_named",
    "write_folds",
    "write_predictions",
]
