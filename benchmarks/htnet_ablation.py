"""What each module of HTNet adds: plain, micro-attention, ROI, both, over folds and seeds.

    python -m benchmarks.htnet_ablation manifest.csv landmarks.csv --out DIR --recipe small-cpu

Every training is kept in DIR, so that a stopped run goes on; the table is `DIR/ablation.md`.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from common.files import atomic_write, write_json
from common.grading.evaluation import evaluate
from common.grading.folds import make_folds, read_folds, write_folds
from common.grading.predictions import to_patients
from common.grading.target import target_named
from htnet.palsy.answers import fold_rows, majority_rows, patient_rows, patient_temperature
from htnet.palsy.cohort import ImageCohort, read_image_cohort
from htnet.palsy.folds import fold_parts
from htnet.palsy.recipe import Recipe
from htnet.recipe import read_recipe, with_changes

VARIANTS = {
    "plain": (False, False),
    "micro-attention": (True, False),
    "ROI": (False, True),
    "both": (True, True),
}
SEEDS = (0, 1, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("landmarks", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--recipe", default="small-cpu")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)

    from htnet.palsy.asking import answer
    from htnet.palsy.training import train_network

    target = target_named("six_grades")
    recipe = read_recipe(Recipe, options.recipe)
    cohort = read_image_cohort(
        options.manifest, options.landmarks, target=target, config=recipe.config(num_classes=6)
    )
    table = options.out / "folds.csv"
    if not table.exists():
        write_folds(make_folds(cohort.labelled, seed=0), table)
    folds = read_folds(table)
    for seed in options.seeds:  # whole rounds, so that an early stop leaves a balanced table
        for part in fold_parts(folds, cohort, validation_folds=recipe.training.validation_folds,
                               seed=seed):  # fmt: skip
            for name, (micro, roi) in VARIANTS.items():
                out = options.out / name / f"seed_{seed}" / f"fold_{part.fold}"
                done = out / "answers.npz"
                if done.exists():
                    continue
                began, cpu = time.monotonic(), time.process_time()
                changes = [
                    f"network.use_micro_attention={str(micro).lower()}",
                    f"network.use_roi_module={str(roi).lower()}",
                ]
                trained = train_network(
                    cohort.data,
                    train=part.train,
                    validation=part.validation,
                    recipe=with_changes(recipe, changes),
                    out=out,
                    seed=seed,
                )
                answers = {
                    rows: answer(
                        trained.network, cohort.data.faces, rows=getattr(part, rows)
                    ).probabilities
                    for rows in ("test", "validation")
                }
                seconds, cpu = time.monotonic() - began, time.process_time() - cpu
                np.savez(
                    done, rows=part.test, answers=answers["test"], chosen_by=part.validation,
                    validation=answers["validation"], seconds=seconds, cpu=cpu,
                )  # fmt: skip
                print(f"{name} seed {seed} fold {part.fold}: {seconds:.0f} s", flush=True)
    write_table(options.out, cohort=cohort, folds=folds, seeds=options.seeds)


def write_table(out: Path, *, cohort: ImageCohort, folds: pd.DataFrame, seeds: list[int]) -> None:
    """Write scores of every variant: patients, the mean over seeds, and the interval."""
    target = target_named("six_grades")
    parts = {part.fold: part for part in fold_parts(folds, cohort, validation_folds=5, seed=0)}
    baseline = majority_rows(list(parts.values()), cohort, target=target)
    photographs, patients = [baseline], [to_patients(baseline, target=target)]
    times: dict[str, list[float]] = {}
    for name in VARIANTS:
        for seed in seeds:
            for file in sorted((out / name / f"seed_{seed}").glob("fold_*/answers.npz")):
                kept = np.load(file)
                times.setdefault(name, []).append(float(kept["cpu"]))
                fold = int(file.parent.name.removeprefix("fold_"))
                # Seeds stand for repeats: the interval averages them.
                part = replace(parts[fold], repeat=seed + 1, test=kept["rows"])
                rows = fold_rows(cohort, part, kept["answers"], target=target, model=name)
                chosen = fold_rows(
                    cohort, part, kept["validation"], target=target, rows=kept["chosen_by"]
                )
                temperature = patient_temperature(chosen, target=target)
                photographs.append(rows)
                patients.append(patient_rows(rows, sureness=temperature, target=target))
    lines = [
        "| variant | seeds | patient kappa (95 %) | by seed | error in grades | within one "
        "| photograph kappa | CPU s per training |",
        "|---|---|---|---|---|---|---|---|",
    ]
    figures = {}
    answered = pd.concat(patients, ignore_index=True)
    of_patients = evaluate(answered, target=target, unit="patient")
    of_photographs = evaluate(pd.concat(photographs, ignore_index=True), target=target)
    for name, found in of_patients.estimates.items():
        by_seed = []
        for _, rows in answered[answered["model"] == name].groupby("repeat"):
            single = evaluate(rows.assign(repeat=1), target=target, unit="patient")
            by_seed.append(single.estimates[name]["weighted_kappa"].value)
        seconds = f"{np.mean(times[name]):.0f}" if name in times else ""
        lines.append(
            f"| {name} | {len(by_seed)} | {found['weighted_kappa']} "
            f"| {', '.join(f'{value:.2f}' for value in by_seed)} "
            f"| {found['mae']} | {found['within_one']} "
            f"| {of_photographs.estimates[name]['weighted_kappa']} | {seconds} |"
        )
        figures[name] = {
            "patients": {score: value.as_json() for score, value in found.items()},
            "kappa_by_seed": by_seed,
        }
    with atomic_write(out / "ablation.md") as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    write_json(out / "ablation.json", figures)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
