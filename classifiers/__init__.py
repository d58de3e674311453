"""Tables to graders: patient-grouped validation, scores with intervals, reports."""

from classifiers.benchmark import BenchmarkResult, benchmark
from classifiers.branch_alignment import InnerAnswers, shared_inner, shared_levels
from classifiers.branch_comparison import BranchComparison, compare_branches
from classifiers.branches import Branch, SharedAnswers, read_branches
from classifiers.cohort import Cohort, Samples, read_cohort
from classifiers.compare import CompareResult, compare
from classifiers.early_fusion import fuse_embedding, fuse_summary
from classifiers.embeddings import Embeddings, read_embeddings
from classifiers.evaluation import Evaluation, both_levels, evaluate
from classifiers.folds import FOLDS, Split, make_folds, read_folds, splits, write_folds
from classifiers.fuse import FuseResult, fuse
from classifiers.fusion import FusedModel, Fusion, fuse_late, fusion_of
from classifiers.graders import GRADERS, FittedGrader, GraderEntry, fit_grader
from classifiers.late_fusion import LateFusion, learn_fusion
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
    "Branch",
    "BranchComparison",
    "Cohort",
    "CompareResult",
    "Embeddings",
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
    "fuse_embedding",
    "fuse_late",
    "fuse_summary",
    "fusion_of",
    "learn_fusion",
    "make_folds",
    "predictions_schema",
    "read_branches",
    "read_cohort",
    "read_embeddings",
    "read_folds",
    "read_predictions",
    "shared_inner",
    "shared_levels",
    "splits",
    "target_named",
    "write_folds",
    "write_predictions",
]
