"""Tables to graders: patient-grouped validation, scores with intervals, reports."""

from classifiers.branches.alignment import InnerAnswers, shared_inner, shared_levels
from classifiers.branches.branch import Branch, SharedAnswers, read_branches
from classifiers.branches.comparison import BranchComparison, compare_branches
from classifiers.branches.early_fusion import fuse_summary
from classifiers.branches.fusion import FusedModel, Fusion, fuse_late, fusion_of
from classifiers.branches.late_fusion import LateFusion, learn_fusion
from classifiers.commands.benchmark import BenchmarkResult, benchmark
from classifiers.commands.compare import CompareResult, compare
from classifiers.commands.fuse import FuseResult, fuse
from classifiers.graders.cohort import Cohort, Samples, read_cohort
from classifiers.graders.registry import GRADERS, FittedGrader, GraderEntry, fit_grader
from classifiers.graders.validation import Plan, Validation, cross_validate
from common.grading.evaluation import Evaluation, both_levels, evaluate
from common.grading.folds import FOLDS, Split, make_folds, read_folds, splits, write_folds
from common.grading.predictions import predictions_schema, read_predictions, write_predictions
from common.grading.scores import SCORES, Score
from common.grading.target import TARGETS, Target, target_named

__all__ = [
    "FOLDS",
    "GRADERS",
    "SCORES",
    "TARGETS",
    "BenchmarkResult",
    "Branch",
    "BranchComparison",
    "Cohort",
    "CompareResult",
    "Evaluation",
    "FittedGrader",
    "FuseResult",
    "FusedModel",
    "Fusion",
    "GraderEntry",
    "InnerAnswers",
    "LateFusion",
    "Plan",
    "Samples",
    "Score",
    "SharedAnswers",
    "Split",
    "Target",
    "Validation",
    "benchmark",
    "both_levels",
    "compare",
    "compare_branches",
    "cross_validate",
    "evaluate",
    "fit_grader",
    "fuse",
    "fuse_late",
    "fuse_summary",
    "fusion_of",
    "learn_fusion",
    "make_folds",
    "predictions_schema",
    "read_branches",
    "read_cohort",
    "read_folds",
    "read_predictions",
    "shared_inner",
    "shared_levels",
    "splits",
    "target_named",
    "write_folds",
    "write_predictions",
]
