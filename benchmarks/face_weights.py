"""The shipped weights of the image branch: a network taught by simulated faces with known truth.

    python -m benchmarks.face_weights --out weights [--patients 240] [--epochs 34] [--seed 4107]

Patients are drawn by `datasets.simulated`; no photograph of anybody is read. Eight photographs of a
patient go through the network together, faces and mirror images, and it is told what only a
simulator knows: how far each landmark has moved from rest (mm), how strongly each muscle of each
half contracts, the tone at rest, the weakness of brow, eye and mouth on both sides, the weak side
and the grade. Light, contrast, colour, blur, noise, size, tilt and hidden patches are altered anew
in every step. Afterwards 60 other simulated patients are answered, beside the commonest grade;
nothing is chosen on them. OUT gets `faces.safetensors` (16-bit) and the scores as `scores.json`.

    python -m benchmarks.face_weights --out ablation --begin htnet/models/faces.safetensors \\
        --epochs 3 --ablation manifest.csv landmarks.csv

goes on learning from weights, three times each (`--seeds`): without modules, with micro-attention,
with the ROI module, with both. Each is asked about the 60 others, and about a cohort, for which
heads are learned in five folds of whole patients, three deals. OUT/ablation.csv has a row for each
training; a run that was stopped goes on after the last one.
"""

from __future__ import annotations

import argparse
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F  # noqa: N812
from sklearn.metrics import cohen_kappa_score
from torch import Tensor, nn

from common.files import write_json
from common.grading.folds import make_folds, splits
from common.grading.target import TARGETS
from common.movements import MOVEMENTS
from common.progress import JobProgress
from common.tables import write_csv
from datasets.simulated.cohort import draw_cohort, in_processes
from datasets.simulated.face import Patient, pose_face, render_photo
from datasets.simulated.movement import MUSCLES, remaining
from htnet.alignment import align_face
from htnet.network.configuration import SIDE_CLASSES
from htnet.network.htnet import MEAN, SPREAD, HTNet
from htnet.network.losses import cosine, grade_loss, probabilities, side_loss, steps_of
from htnet.network.weights import load_pretrained, save_weights
from htnet.palsy.asking import answer_sets
from htnet.palsy.cohort import ImageCohort, read_image_cohort
from htnet.palsy.faces import sets_within
from htnet.palsy.frozen import learn_head
from htnet.palsy.recipe import Recipe
from htnet.recipe import read_recipe
from landmarks.points import mirror_points

HELD_OUT, HELD_OUT_SEED = 60, 9033
DEALS = 3  # of folds, for a cohort
CUT = 112  # px of a face as it is cut out, before it is averaged down to the network's size
BATCH, RATE, DECAY, RISING = 8, 2e-3, 0.05, 60  # patients of a step, and AdamW's settings
_MOVED = 3.0  # mm, about what a landmark moves
MODULES = ("use_micro_attention", "use_roi_module")
VARIANTS: Mapping[str, tuple[str, ...]] = {
    "neither": (),
    "micro-attention": MODULES[:1],
    "ROI": MODULES[1:],
    "both": MODULES,
}


@dataclass
class Drawn:
    """Simulated patients, eight photographs each; what is known of each half comes right, left.

    Attributes
    ----------
    pixels
        `(n, 8, 3, s, s)` uint8 aligned faces.
    moved, contracted, tone
        `(n, 8, 136)` landmarks' way from rest, `(n, 8, 9, 2)`, `(n, 8, 2)`.
    weakness
        `(n, 2, 3)` of brow, eye and mouth, 0 to 1.
    side, grade
        `(n, 3)` in the order of `SIDE_CLASSES`, `(n,)` 1 to 6.
    """

    pixels: Tensor
    moved: Tensor
    contracted: Tensor
    tone: Tensor
    weakness: Tensor
    side: Tensor
    grade: Tensor

    def at(self, rows: Tensor) -> Drawn:
        return Drawn(*(getattr(self, one.name)[rows] for one in fields(self)))

    def mirrored(self) -> Drawn:
        """The truth of the mirror images; the pixels stay, since networks mirror them."""
        ways = self.moved.reshape(-1, 68, 2).double().numpy()
        turned = np.stack([mirror_points(one, width=1) for one in ways]).reshape(self.moved.shape)
        return Drawn(
            self.pixels, torch.from_numpy(turned).float(), self.contracted.flip(-1),
            self.tone.flip(-1), self.weakness.flip(1), self.side[:, [1, 0, 2]], self.grade,
        )  # fmt: skip


def draw_patient_photographs(task: tuple[Patient, int]) -> list[np.ndarray]:
    """Draw the eight photographs of one patient, with what is known of them."""
    patient, size = task
    rest = pose_face(patient, MOVEMENTS[0]).points
    rows = []
    for movement in MOVEMENTS:
        rgb, points = render_photo(patient, movement, width=300, height=400)
        face = pose_face(patient, movement)
        aligned = align_face(rgb, points, size=CUT).pixels
        aligned = cv2.resize(aligned, (size, size), interpolation=cv2.INTER_AREA)
        moved = (face.points - rest) / _MOVED
        rows.append((np.moveaxis(aligned, -1, 0), moved.ravel(), face.contraction, face.tone))
    palsy = patient.palsy
    weak = np.zeros((2, 3))
    if palsy.side != "none":
        brow, eye, cheek, mouth = (
            1 - remaining(palsy, region) for region in ("brow", "eye", "cheek", "mouth")
        )
        weak[SIDE_CLASSES.index(palsy.side)] = brow, eye, (cheek + mouth) / 2
    side = np.array([name == palsy.side for name in SIDE_CLASSES])
    return [*map(np.stack, zip(*rows, strict=True)), weak, side, np.array(palsy.grade)]


def draw(patients: int, *, seed: int, size: int, jobs: int) -> Drawn:
    tasks = [(patient, size) for patient in draw_cohort(patients, seed=seed)]
    found = []
    with JobProgress("patients drawn", total=len(tasks)) as progress:
        for one in in_processes(draw_patient_photographs, tasks, jobs=jobs, seconds=600.0):
            found.append(one)
            progress.advance(ok=True)
    pixels, *truth, grade = (torch.from_numpy(np.stack(of)) for of in zip(*found, strict=True))
    return Drawn(pixels, *(one.float() for one in truth), grade=grade)


class Teacher(nn.Module):
    """What is told of single photographs: linear in what the network sees, and then thrown away."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.moved = nn.Linear(size, 136)
        self.contracted = nn.Linear(size, 2 * len(MUSCLES))
        self.tone = nn.Linear(size, 2)

    def loss(self, faces: Tensor, truth: Drawn, spread: Tensor) -> Tensor:
        """Squared error of faces `(n, 8, d)`, of which the first is at rest."""
        change = faces - faces[:, :1]
        moved = ((self.moved(change) - truth.moved) / spread[:136]).square().mean()
        pulled = self.contracted(change) - truth.contracted.flatten(2)
        tone = (self.tone(faces) - truth.tone).square().mean()
        return moved + (pulled / spread[136:]).square().mean() / 8 + 2 * tone


def altered(pixels: Tensor) -> Tensor:
    """Alter photographs `(n, 8, 3, s, s)`, a camera and a light for each patient.

    Brightness is 0 to 1. Colour, contrast, light and sharpness belong to the patient's visit; tilt,
    size, place, a little of the light and hidden patches change from photograph to photograph.
    """
    n, m, _, size, _ = pixels.shape
    count = n * m
    image = pixels.flatten(0, 1)

    def each(*shape: int) -> Tensor:
        return torch.rand(count, *shape) * 2 - 1

    def visit(*shape: int) -> Tensor:
        return (torch.rand(n, *shape) * 2 - 1).repeat_interleave(m, dim=0)

    angle, scale = each() * math.radians(4), 1 + 0.05 * each() + 0.04 * visit()
    wide = 1 + 0.06 * visit()
    cos, sin, shift = torch.cos(angle) * scale, torch.sin(angle) * scale, 0.05 * each(2)
    turn = torch.stack(
        [torch.stack([cos * wide, -sin, shift[:, 0]], -1),
         torch.stack([sin, cos / wide, shift[:, 1]], -1)], 1,
    )  # fmt: skip
    grid = F.affine_grid(turn, [count, 3, size, size], align_corners=False)
    image = F.grid_sample(image, grid, padding_mode="border", align_corners=False)
    colour = torch.eye(3) + 0.25 * visit(3, 3)
    image = torch.einsum("bij,bjhw->bihw", colour, image).clamp(0, 1)
    image = (image + 1e-4) ** torch.exp(0.6 * visit(1, 1, 1) + 0.1 * each(1, 1, 1))
    mean = image.mean(dim=(1, 2, 3), keepdim=True)
    image = (image - mean) * torch.exp(0.5 * visit(1, 1, 1)) + mean + 0.15 * visit(1, 1, 1)

    def smooth(side: int, *, own: bool) -> Tensor:
        drawn = torch.randn(count if own else n, 1, side, side)
        drawn = drawn if own else drawn.repeat_interleave(m, dim=0)
        return F.interpolate(drawn, size=(size, size), mode="bicubic", align_corners=True)

    image = image * torch.exp(0.35 * smooth(3, own=False) + 0.08 * smooth(3, own=True))
    image = image + 0.05 * smooth(size // 4, own=False) * visit(1, 1, 1)  # skin
    image = torch.cat([_sharpness(one) for one in image.split(m)])
    image = image + torch.randn_like(image) * (0.05 * visit(1, 1, 1) ** 2)
    for at in torch.nonzero(torch.rand(count) < 0.25)[:, 0].tolist():
        high, across = (size * (0.08 + 0.2 * torch.rand(2))).int().tolist()
        top, left = (int(torch.randint(size - side, ())) for side in (high, across))
        image[at, :, top : top + high, left : left + across] = torch.rand(3, 1, 1)
    return image.clamp(-0.2, 1.2).unflatten(0, (n, m))


def _sharpness(image: Tensor) -> Tensor:
    """One visit's camera: soft, coarse, sharpened, or with few grey levels; a quarter unaltered."""
    kind, much = torch.rand(2).tolist()
    size = image.shape[-1]
    if kind < 0.35:
        return _blurred(image, 0.4 + 1.2 * much)
    if kind < 0.5:
        coarse = F.interpolate(image, size=int(size * (0.45 + 0.35 * much)), mode="area")
        return F.interpolate(coarse, size=size, mode="bilinear")
    if kind < 0.65:
        return image + 1.2 * (image - _blurred(image, 1.0))
    if kind < 0.72:
        return torch.round(image * (4 + 8 * much)) / (4 + 8 * much)
    return image


def _blurred(image: Tensor, sigma: float) -> Tensor:
    reach = math.ceil(3 * sigma)
    steps = torch.arange(-reach, reach + 1)
    kernel = torch.exp(-(steps**2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).view(1, 1, 1, -1)
    flat = F.pad(image.flatten(0, 1)[:, None], (reach,) * 4, mode="replicate")
    return F.conv2d(F.conv2d(flat, kernel), kernel.mT)[:, 0].view_as(image)


def some_present(patients: int) -> Tensor:
    """Which photographs each patient has, `(n, 8)`: half of them all, else a random part."""
    present = torch.rand(patients, len(MOVEMENTS)) > 0.7 * torch.rand(patients, 1)
    present[torch.rand(patients) < 0.5] = True
    present[torch.arange(patients), torch.randint(len(MOVEMENTS), (patients,))] = True
    return present


def at_rest(patients: int) -> Tensor:
    return torch.tensor([name == MOVEMENTS[0] for name in MOVEMENTS]).expand(patients, -1)


def loss_of(network: HTNet, teacher: Teacher, given: Drawn, spread: Tensor) -> Tensor:
    """The loss of one step, on photographs altered and some of them missing."""
    image = (255 * altered(given.pixels.float() / 255) - MEAN) / SPREAD
    count = len(image)
    faces = network.summaries(image.flatten(0, 1)).unflatten(0, (count, -1))
    found = network.of_patients(faces, rest=at_rest(count), present=some_present(count))
    assert found.side_logits is not None and found.zones is not None
    steps = steps_of(given.grade, num_classes=6)
    grade = grade_loss(found.logits, steps, loss="coral", weights=torch.ones(6)) * 0.4
    zones = 12 * (found.zones - given.weakness).square().mean()
    told = teacher.loss(faces[:, :, 0], given, spread)
    told = told + teacher.loss(faces[:, :, 1], given.mirrored(), spread)
    return grade + zones + 0.5 * side_loss(found.side_logits, given.side) + told


def learn(network: HTNet, drawn: Drawn, *, epochs: int) -> None:
    teacher = Teacher(network.config.summary)
    spread = torch.cat([drawn.moved.flatten(0, 1), drawn.contracted.flatten(2).flatten(0, 1)], 1)
    spread = spread.std(dim=0) + 0.15
    every = [*network.parameters(), *teacher.parameters()]
    groups = [
        {"params": [one for one in every if one.ndim > 1], "weight_decay": DECAY},
        {"params": [one for one in every if one.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=RATE)
    steps = len(drawn.grade) // BATCH
    total = epochs * steps
    rising = min(RISING, total // 4)
    network.train()
    with JobProgress("epochs", total=epochs, note="") as progress:
        for epoch in range(epochs):
            losses = []
            order = torch.randperm(len(drawn.grade))[: steps * BATCH]
            for step, rows in enumerate(order.split(BATCH)):
                done = epoch * steps + step
                for group in optimizer.param_groups:
                    group["lr"] = RATE * min(1.0, (done + 1) / rising) * cosine(done / total)
                loss = loss_of(network, teacher, drawn.at(rows), spread)
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(every, 1.0)
                optimizer.step()
                losses.append(float(loss.detach()))
            progress.note = f"loss {np.mean(losses):.3f}"
            progress.advance(ok=True)


def scores(network: HTNet, held: Drawn) -> dict[str, float]:
    """How well patients are answered that the network has not seen, all photographs there."""
    network.eval()
    with torch.inference_mode():
        image = (held.pixels.float() - MEAN) / SPREAD
        faces = torch.stack([network.summaries(one) for one in image])
        present = torch.ones(faces.shape[:2], dtype=torch.bool)
        found = network.of_patients(faces, rest=at_rest(len(faces)), present=present)
    assert found.side_logits is not None and found.zones is not None
    chances = probabilities(found.logits, head="coral").cumsum(dim=1)
    answers = (chances < 0.5).sum(dim=1) + 1  # the median, as graders answer
    sides = found.side_logits.argmax(dim=1)
    return {
        "weighted_kappa": float(cohen_kappa_score(held.grade, answers, weights="quadratic")),
        "error_in_grades": float((answers - held.grade).abs().float().mean()),
        "error_of_the_commonest": float((held.grade - held.grade.median()).abs().float().mean()),
        "side_recognised": float((sides == held.side.argmax(dim=1)).float().mean()),
        "error_of_weakness": float((found.zones - held.weakness).abs().mean()),
    }


def learned_levels(
    drawn: Drawn, *, changes: Sequence[str], epochs: int, seed: int, begin: Path | None = None
) -> HTNet:
    """Learn from drawn patients, from the start or from weights."""
    changes = ("training.loss=coral", *changes)
    config = read_recipe(Recipe, "small-cpu", changes=changes).config(num_classes=6)
    torch.manual_seed(seed)
    network = HTNet.from_config(config)
    if begin:
        load_pretrained(network, begin)
    learn(network, drawn, epochs=epochs)
    assert network.patient is not None
    network.patient.direction.copy_(network.head.score.weight.detach()[0])
    return network


def keep(network: HTNet, path: Path, *, told: Mapping[str, object]) -> None:
    classes = list(TARGETS["six_grades"].classes)
    save_weights(network.half(), path, notes={"classes": classes, **told})


def asked_of(weights: Path, cohort: ImageCohort, *, changes: Sequence[str]) -> dict[str, float]:
    """Ask of a cohort's patients, their heads learned in five folds; the mean of three deals."""
    config = read_recipe(Recipe, "small-cpu", changes=changes).config(num_classes=6)
    network = HTNet.from_config(config)
    load_pretrained(network, weights)
    network.eval()
    data, target = cohort.data, TARGETS["six_grades"]
    names, first = np.unique(data.asked, return_index=True)
    truth = data.labels[first]
    kappas, errors = [], []
    folds = make_folds(cohort.labelled, repeats=DEALS)
    answers = np.zeros((DEALS, len(names)))
    for part in splits(folds, cohort.rows["image_id"], patients=data.patients):
        learn_head(network, data, part.train)
        tested, sets = sets_within(data.asked, part.test)
        chances = answer_sets(network, data.faces, sets).probabilities
        answers[part.repeat - 1, np.searchsorted(names, tested)] = target.answers(chances)
    for one in answers:
        kappas.append(cohen_kappa_score(truth, one, weights="quadratic"))
        errors.append(np.abs(one - truth).mean())
    return {"cohort_kappa": float(np.mean(kappas)), "cohort_error": float(np.mean(errors))}


def ablation(
    drawn: Drawn, held: Drawn, cohort: ImageCohort, out: Path, *, epochs: int,
    seeds: Sequence[int], begin: Path | None,
) -> pd.DataFrame:  # fmt: skip
    """Learn each of `VARIANTS` with each seed, and write what it answers as it goes."""
    path = out / "ablation.csv"
    found = pd.read_csv(path).to_dict("records") if path.exists() else []
    done = {(row["variant"], row["seed"]) for row in found}
    for seed, variant in itertools.product(seeds, VARIANTS):
        if (variant, seed) in done:
            continue
        changes = [f"network.{module}=true" for module in VARIANTS[variant]]
        network = learned_levels(drawn, changes=changes, epochs=epochs, seed=seed, begin=begin)
        told = {"variant": variant, "seed": seed, **scores(network, held)}
        weights = out / f"{variant}_{seed}.safetensors"
        keep(network, weights, told=told)
        found.append(told | asked_of(weights, cohort, changes=changes))
        write_csv(pd.DataFrame(found), path)
    return pd.DataFrame(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--patients", type=int, default=240)
    parser.add_argument("--epochs", type=int, default=34)
    parser.add_argument("--seed", type=int, default=4107, help="of the drawn patients")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--begin", type=Path, help="weights to begin with")
    parser.add_argument("--change", nargs="*", default=(), help="settings of small-cpu")
    parser.add_argument("--ablation", type=Path, nargs=2, metavar=("MANIFEST", "LANDMARKS"))
    parser.add_argument("--seeds", type=int, nargs="*", default=(1, 2, 3), help="of the ablation")
    options = parser.parse_args()
    torch.set_num_threads(options.jobs)
    told = {name: getattr(options, name) for name in ("patients", "epochs", "seed")}
    options.out.mkdir(parents=True, exist_ok=True)
    config = read_recipe(Recipe, "small-cpu", changes=options.change).config(num_classes=6)
    drawn, held = (
        draw(patients, seed=seed, size=config.image_size, jobs=options.jobs)
        for patients, seed in ((options.patients, options.seed), (HELD_OUT, HELD_OUT_SEED))
    )
    if options.ablation:
        cohort = read_image_cohort(*options.ablation, target=TARGETS["six_grades"], config=config)
        table = ablation(
            drawn, held, cohort, options.out,
            epochs=options.epochs, seeds=options.seeds, begin=options.begin,
        )  # fmt: skip
        print(table.groupby("variant", sort=False).mean().drop(columns="seed").round(3).to_string())
        return
    network = learned_levels(
        drawn, changes=options.change, epochs=options.epochs, seed=options.seed,
        begin=options.begin,
    )  # fmt: skip
    told |= scores(network, held)
    write_json(options.out / "scores.json", told)
    keep(network, options.out / "faces.safetensors", told=told)
    print("\n".join(f"{name}: {value:.3g}" for name, value in told.items()))


if __name__ == "__main__":
    main()
