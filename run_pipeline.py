"""Grade facial palsy from photographs: `python run_pipeline.py COMMAND --help`.

Research software: it measures and grades for studies and does not diagnose.
"""

from __future__ import annotations

import sys

from common.command_line import Commands, build_app, run

COMMANDS: Commands = {
    "demo": (
        "pipeline.commands.demo:demo",
        "The whole story on material that ships, ending in a report.",
    ),
    "simulate": (
        "pipeline.commands.simulate:simulate",
        "Draw simulated patients, or a palsy on a portrait.",
    ),
    "prepare": (
        "datasets.commands.prepare:prepare",
        "A dataset's own layout to a manifest; --check.",
    ),
    "extract": (
        "features.commands.extract:extract",
        "Photographs to landmarks, distances, features.",
    ),
    "features": (
        "features.commands.features:features",
        "A landmark table to distances and features.",
    ),
    "movement": (
        "features.commands.movement:movement",
        "Films to curves, blinks, movements with their symmetry, and photographs.",
    ),
    "review": (
        "features.commands.review:review",
        "Correct points in the browser, the most uncertain photographs first.",
    ),
    "exchange": (
        {
            "export": (
                "landmarks.commands.exchange:export_points",
                "A cohort's points for CVAT, COCO, imglab, .pts or Emotrics.",
            ),
            "import": (
                "landmarks.commands.exchange:import_points",
                "Points moved there, taken into the corrections.",
            ),
        },
        "Correct points in another tool, and take the corrections back.",
    ),
    "agreement": (
        "features.commands.agreement:agreement",
        "Two raters on the same photographs: points and features.",
    ),
    "raters": (
        "classifiers.commands.raters:raters",
        "Several raters' scores: agreement, who is off, a model beside them.",
    ),
    "follow-up": (
        "features.commands.follow_up:follow_up",
        "What changed between visits by more than its error.",
    ),
    "evaluate-landmarks": (
        "landmarks.commands.evaluate_landmarks:evaluate_landmarks",
        "Predicted against true landmarks: errors per region, grade and side.",
    ),
    "train-landmarks": (
        "pipeline.commands.train_landmarks:train_landmarks",
        "Train a landmark model on corrected points of your own patients.",
    ),
    "draw-measures": (
        "features.commands.draw_measures:draw_measures_on",
        "Photographs with their clinical measures drawn in.",
    ),
    "scales": (
        "features.commands.scales:scales",
        "Sunnybrook- and eFACE-style items of each patient, unlearned.",
    ),
    "explore": (
        "classifiers.commands.explore:explore",
        "Features by grade, maps, separability, outliers.",
    ),
    "profile": (
        "classifiers.commands.explore:profile",
        "A patient beside the healthy, by percentile.",
    ),
    "benchmark": (
        "classifiers.commands.benchmark:benchmark",
        "Graders compared, whole patients held out.",
    ),
    "fit": (
        "classifiers.commands.fit:fit",
        "Train one grader and keep it, with a card of what it can do.",
    ),
    "htnet": (
        {
            "train": (
                "htnet.commands.train:train",
                "Train on patient-grouped folds, or on everyone.",
            ),
            "evaluate": (
                "htnet.commands.evaluate:evaluate",
                "Answer and score the held-out patients.",
            ),
            "predict": (
                "htnet.commands.predict:predict",
                "Grade new photographs or a camera's frame.",
            ),
            "explain": (
                "htnet.commands.explain:explain",
                "Maps of what it looked at; asymmetry by grade.",
            ),
            "convert": (
                "htnet.commands.convert:convert",
                "Make old weights (.pth) a network to use here.",
            ),
        },
        "The image branch: train, evaluate, predict, explain.",
    ),
    "micro": (
        {
            "flow": (
                "htnet.micro.commands.flow:flow",
                "Optical flow of clips, from onset to apex.",
            ),
            "spot": (
                "htnet.micro.commands.spot:spot",
                "Find the apex frame of clips from their motion.",
            ),
            "loso": (
                "htnet.micro.commands.loso:loso",
                "Leave-one-subject-out evaluation of every model.",
            ),
            "weights": (
                "htnet.micro.commands.fit:weights",
                "Train HTNet on the flow of all clips: weights for `htnet train --pretrained`.",
            ),
            "fit": ("htnet.micro.commands.fit:fit", "Train one model on all clips and keep it."),
            "predict": (
                "htnet.micro.commands.predict:predict",
                "Find and classify the expression in a new clip.",
            ),
        },
        "Micro-expressions: optical flow, leave-one-subject-out.",
    ),
    "recalibrate": (
        "classifiers.commands.recalibrate:recalibrate",
        "A kept grader moved to another clinic with a few graded patients.",
    ),
    "grade": (
        "classifiers.commands.grade:grade",
        "New photographs graded by a kept grader, with reasons.",
    ),
    "compare": (
        "classifiers.commands.compare:compare",
        "Branches on the same folds: scores side by side, agreement, who was right.",
    ),
    "fuse": (
        "classifiers.commands.fuse:fuse",
        "One grade of several branches, weights learned honestly.",
    ),
    "joint-report": (
        "pipeline.commands.joint_report:joint_report",
        "Measurements, network and both together: a first page for anyone, a page per patient.",
    ),
    "merge": (
        "pipeline.commands.merge:merge",
        "Join the shards of a large run, proved to be whole.",
    ),
    "doctor": (
        "pipeline.commands.doctor:doctor",
        "Versions, model files, licences, and a self-test.",
    ),
}

app = build_app(COMMANDS, name="run_pipeline.py", summary=__doc__ or "", words=sys.argv[1:])

if __name__ == "__main__":
    sys.exit(run(app))
