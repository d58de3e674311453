"""Tables to graders: patient-grouped validation, scores with intervals, reports.

What notebooks import from here is looked up when it is asked for: whoever needs one module, as each
worker of a validation does, does not wait for commands and their plots.
"""

from importlib import import_module
from typing import Any

_HOMES = {
    "GRADERS": "classifiers.graders.registry",
    "SCORES": "common.grading.scores",
    "TARGETS": "common.grading.target",
    "Plan": "classifiers.graders.validation",
    "benchmark": "classifiers.commands.benchmark",
    "compare": "classifiers.commands.compare",
    "cross_validate": "classifiers.graders.validation",
    "evaluate": "common.grading.evaluation",
    "fuse": "classifiers.commands.fuse",
    "make_folds": "common.grading.folds",
    "read_cohort": "classifiers.graders.cohort",
    "read_folds": "common.grading.folds",
    "read_predictions": "common.grading.predictions",
    "splits": "common.grading.folds",
    "target_named": "common.grading.target",
    "write_folds": "common.grading.folds",
    "write_predictions": "common.grading.predictions",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
