"""Scores on a terminal, or as plain lines in a log file."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table

from classifiers.graders.registry import is_baseline, title_of
from classifiers.reports.benchmark import what_was_graded
from common.grading.evaluation import RECALL, Evaluation, two_lines

LOG_WIDTH = 112  # columns of the table when standard output is a file


def print_scores(evaluation: Evaluation) -> None:
    """Print the table so that it reads on a terminal and in a log file."""
    table = Table(
        title=(
            f"{evaluation.target.title}, per {evaluation.unit} ({what_was_graded(evaluation)}), "
            "with 95 % intervals"
        ),
        title_justify="left",
        box=box.SIMPLE_HEAD,
    )
    table.add_column("Grader")
    for score in evaluation.scores:
        table.add_column(score.title)
    for model, found in evaluation.estimates.items():
        table.add_row(title_of(model), *[two_lines(found[s.name]) for s in evaluation.scores])
    lines = [
        f"  {title_of(model)}: {evaluation.recall_of(model)}"
        for model in evaluation.estimates
        if not is_baseline(model)
    ]
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=LOG_WIDTH)
    console.print(table)
    console.print(f"{RECALL}:", *lines, sep="\n", soft_wrap=True)
