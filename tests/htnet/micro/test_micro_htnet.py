"""HTNet on flow: trained as by a plain loop, folds independent, two rules from one training."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from sklearn.metrics import confusion_matrix

from common.errors import UserError
from common.grading.scores import macro_f1
from htnet.micro.clips.maps import FlowMaps
from htnet.micro.commands.fit import keep_network
from htnet.micro.loso.folds import Fold, LosoAnswers, published_epoch
from htnet.micro.loso.networks import NetworkRecogniser
from htnet.micro.models.htnet import FlowModel, epoch_order, flow_model
from htnet.micro.models.inputs import apex_clips, mosaic
from htnet.micro.models.kept import HTNetGrader
from htnet.micro.models.recipes import FOLDER, FlowRecipe, ResidualRecipe
from htnet.micro.models.training import Trained
from htnet.network.configuration import PUBLISHED_28, HTNetConfig
from htnet.network.htnet import HTNet, build_network
from htnet.network.weights import load_pretrained, load_weights
from htnet.recipe import read_recipe, recipe_from
from tests.htnet.micro.drawn_maps import drawn_maps

NETWORK = {"image_size": 28, "patch_size": 7, "dim": 6, "heads": 2, "block_repeats": [1, 1, 1]}
TINY = (
    "network.dim=6", "network.heads=2", "network.block_repeats=[1, 1, 1]", "training.epochs=4",
    "training.learning_rate=0.01", "training.batch_size=16", "training.precision=float32",
)  # fmt: skip


def model(**training: Any) -> FlowModel:
    settings = {"epochs": 3, "batch_size": 8, "precision": "float64", "learning_rate": 0.01}
    content = {"network": NETWORK, "training": {**settings, **training}}
    return FlowModel(recipe_from(FlowRecipe, content, source="test"))


def recogniser(*changes: str, folder: Path | None = None) -> NetworkRecogniser:
    return NetworkRecogniser(
        flow_model("small", changes=(*TINY, *changes)), folder=folder, device="cpu"
    )


def trained(clips: FlowMaps, of: FlowModel, number: int, *, seed: int = 0) -> Trained:
    """Train the fold in which one subject is held out."""
    data = of.clips(clips)
    fold = of.fold(data, clips.subjects[number], seed=seed)
    return of.train(data, fold, seed=seed, number=number)


def values(
    answers: list[LosoAnswers],
) -> list[tuple[tuple[int, ...], str, list[list[list[float]]]]]:
    return [(one.seeds, one.rule, one.probabilities.tolist()) for one in answers]


def uf1(answer: LosoAnswers, label: np.ndarray) -> float:
    return float(macro_f1(confusion_matrix(label, answer.predicted[0], labels=range(3))))


# --- one training ------------------------------------------------------------------------------


def plain_loop(
    clips: FlowMaps, number: int, of: FlowModel, *, seed: int
) -> tuple[NDArray[np.float32], dict[str, torch.Tensor]]:
    """Train one fold as anyone would: a module, an optimiser, a loss; no dropout."""
    recipe, training = of.recipe, of.recipe.training
    dtype = torch.float64 if training.precision == "float64" else torch.float32
    train, held_out = np.flatnonzero(clips.fold != number), np.flatnonzero(clips.fold == number)
    steps = int(np.ceil((len(clips) - np.bincount(clips.fold).min()) / training.batch_size))
    inputs = clips.maps if training.input == "whole" else mosaic(clips.maps, clips.centres)
    seen = inputs.astype(np.float64)
    mean, deviation = seen[train].mean(axis=(0, 1, 2)), seen[train].std(axis=(0, 1, 2))
    images = torch.from_numpy((seen - mean) / deviation).to(dtype).movedim(-1, -3)
    torch.manual_seed(seed)
    network = build_network(recipe.config(num_classes=3)).to(dtype).eval()
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=training.weight_decay)
    total = training.epochs * steps
    rising = round(training.warmup * total)
    answers, step = [], 0
    for epoch in range(training.epochs):
        for batch in epoch_order(train, place=(seed, number), epoch=epoch, steps=steps):
            label = torch.from_numpy(clips.label[batch])
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(network(images[batch]), label).backward()
            share = 1.0
            if step < rising:
                share = (step + 1) / rising
            elif training.schedule == "cosine":
                share = (1 + np.cos(np.pi * (step - rising) / (total - rising))) / 2
            optimizer.param_groups[0]["lr"] = training.learning_rate * share
            optimizer.step()
            step += 1
        with torch.no_grad():
            answers.append(network(images[held_out]).softmax(dim=1).float().numpy())
    return np.stack(answers), network.state_dict()


@pytest.mark.parametrize(
    ("of", "tolerance"),
    [
        (model(), 1e-7),
        (model(input="mosaic"), 1e-7),
        (model(weight_decay=0.3, batch_size=9, schedule="constant"), 1e-7),
        (model(precision="float32", learning_rate=1e-3), 1e-4),
    ],
    ids=["whole", "mosaic", "constant", "float32"],
)
def test_a_fold_is_trained_as_by_a_plain_loop(of: FlowModel, tolerance: float) -> None:
    clips = drawn_maps(subjects=4, per_subject=7)
    clips = replace(clips, subject=np.where(np.arange(28) < 3, "set0/other", clips.subject))
    for number, seed in ((0, 0), (3, 5)):
        found = trained(clips, of, number, seed=seed)
        alone, state = plain_loop(clips, number, of, seed=seed)
        np.testing.assert_allclose(found.answers, alone, rtol=0, atol=tolerance)
        for name, value in found.network.network.state_dict().items():
            if tolerance > 1e-6 and name.endswith("position"):
                continue  # normalisation takes it out again: its gradient is rounding alone
            torch.testing.assert_close(value, state[name], rtol=0, atol=10 * tolerance)


def test_dropout_and_bf16_do_something() -> None:
    clips = drawn_maps(subjects=3)
    bare = trained(clips, model(precision="float32"), 0).answers
    dropping = model(precision="float32").recipe
    dropping = dropping.model_copy(update={"network": {**NETWORK, "head_dropout": 0.5}})
    assert np.abs(trained(clips, FlowModel(dropping), 0).answers - bare).max() > 1e-4
    rough = trained(clips, model(precision="bf16"), 0)
    assert 0 < np.abs(rough.answers - bare).max() < 0.1
    assert {value.dtype for value in rough.network.parameters()} == {torch.float32}


def test_held_out_clips_have_no_say() -> None:
    """Other maps and labels of the held-out subject change nothing but the answers to them."""
    clips = drawn_maps(subjects=4)
    own = np.flatnonzero(clips.fold == 2)
    maps, label = clips.maps.copy(), clips.label.copy()
    maps[own[1:]] = 100.0
    label[own] = 0
    of = model()
    before = trained(clips, of, 2).answers
    after = trained(replace(clips, maps=maps, label=label), of, 2).answers
    np.testing.assert_array_equal(before[:, :1], after[:, :1])
    assert not np.array_equal(before, after)
    # and what is learned from has a say: else the test above could not fail
    maps[0] = 3.0
    other = trained(replace(clips, maps=maps, label=label), of, 2).answers
    assert not np.array_equal(other[:, :1], before[:, :1])


def test_a_clip_on_both_sides_is_refused() -> None:
    clips = drawn_maps(subjects=3)
    of = model()
    leaking = Fold(np.arange(len(clips)), np.arange(0), np.arange(6))
    with pytest.raises(UserError, match="both learned from and held out"):
        of.train(of.clips(clips), leaking, seed=0, number=0)


def test_of_one_token_a_block_the_number_of_heads_changes_nothing() -> None:
    """Attention of one token is its value; with several tokens a block, heads have a say."""
    clips = drawn_maps(subjects=3)
    for more, same in (((), True), (("network.num_hierarchies=2",), False)):
        blocks = f"network.block_repeats=[{'1, ' * (1 if more else 2)}1]"
        changes = (*TINY, "network.dim=8", "training.epochs=1", *more, blocks)
        one, four = (
            trained(clips, flow_model("small", changes=(*changes, f"network.heads={n}")), 0).answers
            for n in (1, 4)
        )
        assert np.array_equal(one, four) == same


def test_every_training_clip_is_shown_once_an_epoch_and_orders_differ() -> None:
    rows, orders = np.arange(5, 28), []
    for epoch in (0, 1):
        batches = epoch_order(rows, place=(1, 3), epoch=epoch, steps=4)
        assert {len(batch) for batch in batches} == {5, 6}
        order = np.concatenate(batches)
        np.testing.assert_array_equal(np.sort(order), rows)
        orders.append(order.tolist())
    other = epoch_order(rows, place=(1, 4), epoch=0, steps=4)
    assert orders[0] != orders[1] and orders[0] != np.concatenate(other).tolist()


# --- leave-one-subject-out ---------------------------------------------------------------------


def test_movements_are_learned_and_answered_in_people_not_seen() -> None:
    clips = drawn_maps(subjects=6)
    strong = recogniser("network.dim=12", "training.epochs=12", "training.batch_size=64")
    answers = strong.leave_one_subject_out(clips, seeds=(0,))
    honest, published = answers
    assert [(one.seeds, one.rule) for one in answers] == [((0,), "honest"), ((0,), "published")]
    assert {one.model for one in answers} == {"htnet-small whole"}
    np.testing.assert_allclose(honest.probabilities.sum(axis=2), 1, rtol=0, atol=1e-12)
    assert uf1(honest, clips.label) > 0.9
    assert uf1(published, clips.label) >= uf1(honest, clips.label)


def test_the_planted_leak_shows_as_the_difference_of_the_rules() -> None:
    """Maps without any signal: honest answers are chance, the published rule finds 'skill'."""
    clips = drawn_maps(subjects=10, per_subject=3, signal=0.0)
    trial = recogniser("training.epochs=20", "training.schedule=constant", "training.batch_size=64")
    honest, published = trial.leave_one_subject_out(clips, seeds=(0,))
    assert uf1(honest, clips.label) < 0.5
    assert uf1(published, clips.label) > uf1(honest, clips.label) + 0.12


def test_the_published_epoch_is_the_subjects_own_best_and_the_last_of_equals() -> None:
    label = np.array([0, 1])
    right, half, wrong = [0, 1], [0, 0], [1, 0]
    assert published_epoch(np.array([half, right, right, wrong]), label) == 2
    assert published_epoch(np.array([right, half, half]), label) == 0


def test_a_run_that_was_stopped_goes_on(tmp_path: Path) -> None:
    clips = drawn_maps(subjects=4, per_subject=3)
    keeping = recogniser("training.epochs=1", folder=tmp_path)
    expected = values(keeping.leave_one_subject_out(clips, seeds=(0, 4)))
    assert expected[0][2][0] != expected[0][2][1]  # the seed has a say
    files = sorted(tmp_path.glob("htnet-small-whole/*/seed_0/*.npz"))
    assert [file.name for file in files] == [f"fold_00{number}.npz" for number in range(4)]
    untouched = files[0].stat().st_mtime_ns
    files[1].unlink()
    files[2].write_bytes(b"half a file")  # what cannot be read is trained again
    assert values(keeping.leave_one_subject_out(clips, seeds=(0, 4))) == expected
    assert files[0].stat().st_mtime_ns == untouched and files[1].exists()
    # Other clips or settings never meet these files.
    changed = replace(clips, label=(clips.label + 1) % 3)
    keeping.leave_one_subject_out(changed, seeds=(0,))
    recogniser("training.epochs=2", folder=tmp_path).leave_one_subject_out(clips, seeds=(0,))
    assert len(list(tmp_path.glob("htnet-small-whole/*"))) == 3


@pytest.mark.parametrize("inputs", ["whole", "mosaic"])
def test_weights_are_kept_with_their_configuration_and_begin_a_palsy_network(
    inputs: str, tmp_path: Path
) -> None:
    clips = drawn_maps(subjects=3)
    kept = tmp_path / "network.safetensors"
    grader = HTNetGrader.fit(clips, model=flow_model("small", inputs=inputs, changes=TINY), seed=2)
    keep_network(grader, kept, classes=clips.classes)
    network, notes = load_weights(kept)
    assert isinstance(network, HTNet)
    assert notes["classes"] == list(clips.classes)
    larger = network.config.model_copy(update={"image_size": 56, "num_classes": 6})
    palsy = build_network(larger)
    before = {name: value.clone() for name, value in palsy.state_dict().items()}
    load_pretrained(palsy, kept)
    theirs = network.state_dict()
    for name, value in palsy.state_dict().items():
        if "feed_forward" in name:
            torch.testing.assert_close(value, theirs[name])
        if name.endswith("head.weight"):
            torch.testing.assert_close(value, before[name])
    with safe_open(kept, framework="pt") as file:
        about = json.loads(file.metadata()["htnet"])
    assert about["config"]["image_size"] == 28


def test_a_small_residual_network_reads_the_map_or_the_apex_picture_alone() -> None:
    """Pictures that tell the classes apart are answered by it; maps are not looked at then."""
    clips = drawn_maps(subjects=5, per_subject=3, signal=0.0)
    shade = 60 * clips.label[:, None, None] + np.arange(56)
    clips = replace(clips, apex=np.broadcast_to(shade, (15, 56, 56)).astype(np.uint8))
    changes = ("training.epochs=15", "training.learning_rate=0.01", "network.channels=[4, 8]")
    recipe = read_recipe(ResidualRecipe, "residual", changes=changes)
    found = {}
    for sees in ("apex", "flow"):
        one = NetworkRecogniser(FlowModel(recipe, sees), device="cpu")
        assert one.name == f"residual {sees}"
        found[sees] = uf1(one.leave_one_subject_out(clips, seeds=(0,))[0], clips.label)
    assert found["apex"] > 0.9 > 0.7 > found["flow"]
    with pytest.raises(UserError, match="no pictures of the apex: run micro flow"):
        apex_clips(replace(clips, apex=None), image_size=28)


def test_a_device_that_is_not_there_is_refused() -> None:
    wrong = replace(recogniser(), device="gpu")
    with pytest.raises(UserError, match="choose auto, cpu or cuda"):
        wrong.leave_one_subject_out(drawn_maps(subjects=3), seeds=(0,))


# --- recipes -----------------------------------------------------------------------------------


def test_shipped_recipes_are_the_sizes_they_say() -> None:
    names = sorted(path.stem for path in FOLDER.glob("*.yaml"))
    assert names == ["paper", "residual", "roi", "roi-small", "small"]
    paper = read_recipe(FlowRecipe, "paper").config(num_classes=3)
    assert paper == PUBLISHED_28
    small = read_recipe(FlowRecipe, "small").config(num_classes=3)
    assert isinstance(small, HTNetConfig)
    with torch.device("meta"):
        counts = {
            name: sum(value.numel() for value in HTNet.from_config(config).parameters())
            for name, config in (("paper", paper), ("small", small))
        }
    assert counts == {"paper": 139_582_982, "small": 4_012_934}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"training": {}}, "no section network"),
        ({"network": {}, "trainig": {}}, 'no section "trainig".*"training"'),
        ({"training": {"epoch": 3}}, 'no setting "epoch".*"epochs"'),
        ({"training": {"epoch": 3}}, 'no setting "epoch".*"epochs"'),
        ({"training": {"input": "mosaik"}}, 'training.input is "mosaik": choose.*"mosaic"'),
        ({"training": {"schedule": "linear"}}, "choose one of constant, cosine"),
        ({"training": {"epochs": 0}}, "training.epochs is 0: give 1 or more"),
        ({"training": {"epochs": "many"}}, 'epochs is "many", but must be a whole number'),
        ({"training": {"warmup": 1.0}}, "warmup is 1.0: give 0 to below 1"),
        ({"training": {"weight_decay": -1}}, "give 0 or more"),
        ({"network": {"num_classes": 3}}, "num_classes follows from"),
        ({"network": {"patch_size": 14, "image_size": 28, "dim": 6, "heads": 2}}, "patches a side"),
        ({"network": {**NETWORK, "use_roi_module": True}}, "trained without it; leave it out"),
    ],
)
def test_recipes_that_cannot_be_are_refused_in_a_sentence(
    content: dict[str, object], sentence: str
) -> None:
    given = {} if sentence == "no section network" else {"network": NETWORK}
    with pytest.raises(UserError, match=sentence):
        recipe_from(FlowRecipe, {**given, **content}, source="test")
