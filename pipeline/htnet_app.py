"""The command `htnet` and its sub-commands, mounted by import path so that none loads early."""

from __future__ import annotations

import sys

from cyclopts import App

SUB_COMMANDS = {
    "train": ("pipeline.htnet:train", "Train on patient-grouped folds, or on everyone."),
    "evaluate": ("pipeline.htnet:evaluate", "Answer and score the held-out patients."),
    "predict": ("pipeline.htnet_predict:predict", "Grade new photographs or a camera's frame."),
    "explain": ("pipeline.htnet_explain:explain", "Maps of what it looked at; asymmetry by grade."),
    "convert": ("pipeline.htnet_convert:convert", "Make old weights (.pth) a network to use here."),
}

app = App(
    name="htnet",
    help="The image branch: train, evaluate, predict and explain HTNet. Research use only.",
    help_format="markdown",
    version_flags=(),
)
for _name, (_target, _line) in SUB_COMMANDS.items():
    # The page of the one that is asked for shows its whole docstring.
    app.command(_target, name=_name, help=None if _name in sys.argv[2:3] else _line)
