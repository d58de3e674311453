"""Training: losses by hand, overfitting, determinism, resuming, and one sentence per mistake."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from common.errors import UserError
from common.settings import Settings
from htnet.micro.models.recipes import FlowRecipe
from htnet.network.configuration import HTNetConfig
from htnet.network.htnet import HTNet, to_input
from htnet.network.losses import (
    LossName,
    classes_of,
    grade_loss,
    probabilities,
    side_loss,
    steps_of,
)
from htnet.network.weights import load_pretrained, save_weights
from htnet.palsy.answers import read_trained
from htnet.palsy.asking import answer
from htnet.palsy.augmentation import Augmentation
from htnet.palsy.faces import LabelledFaces
from htnet.palsy.grader import PalsyGrader, parameter_groups, patient_score
from htnet.palsy.loop import LAST
from htnet.palsy.recipe import Recipe, Training
from htnet.palsy.training import WEIGHTS, Trained, train_network
from htnet.recipe import read_recipe, recipe_from, shipped, with_changes
from tests.htnet.drawn_faces import RECIPE, cohort

TRAIN, VALIDATION = np.arange(12), np.arange(12, 24)  # of twelve patients, two photographs each


# --- losses ------------------------------------------------------------------------------------


def test_steps_and_classes_by_hand() -> None:
    steps = steps_of(torch.tensor([1, 3, 6]), num_classes=6)
    assert steps.tolist() == [[0] * 5, [1, 1, 0, 0, 0], [1] * 5]
    assert classes_of(steps).argmax(1).tolist() == [0, 2, 5]


@pytest.mark.parametrize(("head", "columns"), [("classes", 6), ("corn", 5), ("coral", 5)])
def test_probabilities_are_probabilities(head: str, columns: int) -> None:
    found = probabilities(torch.randn(50, columns) * 3, head=head)
    assert found.shape == (50, 6)
    assert (found >= 0).all()
    torch.testing.assert_close(found.sum(1), torch.ones(50))


def test_corn_is_the_likelihood_of_the_class() -> None:
    """The chain of conditional chances multiplies to the probability of the class itself."""
    logits, labels = torch.randn(40, 5), torch.randint(1, 7, (40,))
    steps = steps_of(labels, num_classes=6)
    loss = grade_loss(logits, steps, loss="corn", weights=torch.ones(6))
    likelihood = probabilities(logits, head="corn")[torch.arange(40), labels - 1]
    torch.testing.assert_close(loss, -likelihood.log().mean())


def test_cross_entropy_and_focal_by_hand() -> None:
    logits, labels = torch.randn(30, 6), torch.randint(1, 7, (30,))
    steps = steps_of(labels, num_classes=6)
    weights = torch.rand(6) + 0.5
    chance = logits.softmax(1)[torch.arange(30), labels - 1]
    expected = -(weights[labels - 1] * chance.log()).mean()
    found = grade_loss(logits, steps, loss="cross_entropy", weights=weights)
    torch.testing.assert_close(found, expected)
    focal = grade_loss(logits, steps, loss="focal", weights=weights)
    torch.testing.assert_close(
        focal, -(weights[labels - 1] * (1 - chance) ** 2 * chance.log()).mean()
    )


def test_side_loss_leaves_out_unknown_sides() -> None:
    logits = torch.randn(2, 3)
    known = side_loss(logits[:1], torch.tensor([[0.0, 1.0, 0.0]]))
    both = side_loss(logits, torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]))
    torch.testing.assert_close(known, both)


def test_patient_score_by_hand() -> None:
    sure = torch.eye(6)[[0, 0, 5, 5]]
    steps = steps_of(torch.tensor([1, 1, 6, 6]), num_classes=6)
    patients = np.array([0, 0, 1, 1])
    assert patient_score(sure, steps, patients) == 0
    wrong = torch.eye(6)[[1, 1, 5, 5]]
    assert patient_score(wrong, steps, patients) == pytest.approx(0.5)  # one step, one of two
    half = torch.eye(6)[[0, 1, 5, 5]]
    assert patient_score(half, steps, patients) == pytest.approx(0.125)  # 0.5 ** 2 / 2


# --- training ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("loss", "pooling"), [("cross_entropy", "mean"), ("corn", "mirror")])
def test_overfits_eight_faces(loss: LossName, pooling: str) -> None:
    """Two networks with both modules learn eight faces by heart."""
    torch.manual_seed(0)
    data = cohort(patients=8, photos=1)
    recipe = with_changes(
        recipe_from(Recipe, RECIPE, source="t"),
        [f"training.loss={loss}", f"network.pooling={pooling}"],
    )
    network = HTNet.from_config(recipe.config(num_classes=6)).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-3)
    image = to_input(data.faces.pixels)
    steps = steps_of(torch.from_numpy(data.labels), num_classes=6)
    for _ in range(70):
        optimizer.zero_grad()
        grade_loss(network(image), steps, loss=loss, weights=torch.ones(6)).backward()
        optimizer.step()
    assert (answer(network, data.faces).probabilities.argmax(1) + 1 == data.labels).all()


def weights_of(folder: Path) -> bytes:
    return (folder / WEIGHTS).read_bytes()


class Killed(BaseException):
    """As abrupt as a kill: nothing of ours or of Lightning's catches it."""


@pytest.fixture
def epochs_begun(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Note the epochs that trainings begin; `append(-epoch)` kills the next that comes to it."""
    begun: list[int] = []
    step = PalsyGrader.training_step

    def noted(self: PalsyGrader, rows: torch.Tensor, index: int) -> torch.Tensor:
        if -self.current_epoch in begun and self.current_epoch:
            begun.remove(-self.current_epoch)
            raise Killed
        begun.append(self.current_epoch)
        return step(self, rows, index)

    monkeypatch.setattr(PalsyGrader, "training_step", noted)
    return begun


def test_one_seed_one_result_killed_or_not(
    tmp_path: Path, drawn: LabelledFaces, recipe: Recipe, epochs_begun: list[int]
) -> None:
    """A training that is killed loses no whole epoch, also where an earlier one was the best."""
    recipe = with_changes(
        recipe,
        ["network.dropout=0.1", "network.head_dropout=0.1", "training.epochs=6",
         "training.patience=3", "training.learning_rate=0.3"],
    )  # fmt: skip

    def run(name: str, *changes: str, seed: int = 2) -> Trained:
        epochs_begun[:] = [epoch for epoch in epochs_begun if epoch < 0]
        return train_network(
            drawn, train=TRAIN, validation=VALIDATION, recipe=with_changes(recipe, list(changes)),
            out=tmp_path / name, seed=seed,
        )  # fmt: skip

    unbroken = run("one")
    assert unbroken.best_epoch < len(unbroken.scores) - 1
    killed_in = unbroken.best_epoch + 1  # counted from 0: after one more than the best
    for name, every in (("killed", 1), ("rarely", 3)):
        epochs_begun.append(-killed_in)
        with pytest.raises(Killed):
            run(name, f"training.save_every={every}")
        state = torch.load(tmp_path / name / LAST, weights_only=True)
        assert state["epoch"] + 1 == killed_in // every * every
        assert not (tmp_path / name / WEIGHTS).exists()
    run("killed")
    assert epochs_begun == list(range(killed_in, len(unbroken.scores)))
    assert weights_of(tmp_path / "killed") == weights_of(tmp_path / "one")
    assert not list((tmp_path / "killed").glob("*.ckpt"))
    run("other", "training.epochs=1", seed=1)
    assert weights_of(tmp_path / "one") != weights_of(tmp_path / "other")
    assert (tmp_path / "one" / "logs" / "metrics.csv").exists()
    assert list((tmp_path / "one" / "logs").glob("events.out.tfevents.*"))


class Malicious:
    """Unpickled, it makes a file: what a changed checkpoint could do."""

    def __init__(self, made: Path) -> None:
        self.made = made

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.made,)


def test_a_changed_checkpoint_runs_nothing(
    tmp_path: Path, drawn: LabelledFaces, recipe: Recipe, epochs_begun: list[int]
) -> None:
    epochs_begun.append(-1)
    settings = {"train": TRAIN, "validation": VALIDATION, "recipe": recipe, "out": tmp_path}
    with pytest.raises(Killed):
        train_network(drawn, **settings)
    state = torch.load(tmp_path / LAST, weights_only=True)
    torch.save({**state, "note": Malicious(tmp_path / "owned")}, tmp_path / LAST)
    with pytest.raises(UserError, match=r"last\.ckpt is no checkpoint that can be trusted"):
        train_network(drawn, **settings)
    assert not (tmp_path / "owned").exists()
    torch.save({key: value for key, value in state.items() if key != "scores"}, tmp_path / LAST)
    with pytest.raises(UserError, match="begun by an earlier version"):
        train_network(drawn, **settings)


def test_progress_tells_epoch_loss_and_time(
    tmp_path: Path, drawn: LabelledFaces, recipe: Recipe, capsys: pytest.CaptureFixture
) -> None:
    hasty = with_changes(recipe, ["training.epochs=2"])
    trained = train_network(
        drawn, train=TRAIN, validation=VALIDATION, recipe=hasty, out=tmp_path, title="fold 1"
    )
    first, *_, last = capsys.readouterr().err.splitlines()
    assert first == "fold 1: 0/2 (0 %), 0.0/s, starting"
    assert re.fullmatch(r"fold 1: 2/2 \(100 %\), loss \d+\.\d+, .*/s, took \d+ s", last)
    assert f"validation score {trained.scores[-1]:.3f}" in last


def test_a_training_whose_loss_is_no_number_is_said(
    tmp_path: Path, drawn: LabelledFaces, recipe: Recipe
) -> None:
    wild = with_changes(recipe, ["training.learning_rate=1e30"])
    with pytest.raises(UserError, match=r"lost its way in epoch \d.*lower training.learning_rate"):
        train_network(drawn, train=TRAIN, validation=VALIDATION, recipe=wild, out=tmp_path)


def test_the_kept_epoch_is_the_best_of_the_validation_patients(
    tmp_path: Path, drawn: LabelledFaces, recipe: Recipe
) -> None:
    trained = train_network(
        drawn, train=TRAIN, validation=VALIDATION, recipe=recipe, out=tmp_path, seed=3
    )
    assert trained.best_epoch == int(np.argmin(trained.scores)) + 1
    found = answer(trained.network, drawn.faces, rows=VALIDATION).probabilities
    answers = torch.from_numpy(found).float()
    steps = steps_of(torch.from_numpy(drawn.labels[VALIDATION]), num_classes=6)
    names = np.unique(drawn.patients[VALIDATION], return_inverse=True)[1]
    assert patient_score(answers, steps, names) == pytest.approx(min(trained.scores), abs=1e-5)


def test_a_training_that_stopped_early_does_not_go_on(
    tmp_path: Path, drawn: LabelledFaces, recipe: Recipe
) -> None:
    hasty = with_changes(
        recipe, ["training.epochs=30", "training.patience=2", "training.learning_rate=0.05"]
    )

    def run() -> Trained:
        return train_network(drawn, train=TRAIN, validation=VALIDATION, recipe=hasty, out=tmp_path)

    first = run()
    assert len(first.scores) < 30
    before = weights_of(tmp_path)
    again = run()
    assert (again.best_epoch, again.scores) == (first.best_epoch, first.scores)
    assert weights_of(tmp_path) == before


def test_weights_are_read_with_their_classes(
    tmp_path: Path, drawn: LabelledFaces, recipe: Recipe
) -> None:
    train_network(drawn, train=TRAIN, validation=VALIDATION, recipe=recipe, out=tmp_path)
    network, notes = read_trained(tmp_path / WEIGHTS)
    assert notes["classes"] == list("123456")
    assert not network.training


def test_accumulation_focal_and_pretrained_run(
    tmp_path: Path, drawn: LabelledFaces, recipe: Recipe
) -> None:
    first = with_changes(recipe, ["training.epochs=1"])
    train_network(drawn, train=TRAIN, validation=VALIDATION, recipe=first, out=tmp_path / "a")
    second = with_changes(
        first, ["training.loss=coral", "training.accumulate=2", "training.layer_decay=0.5",
                "network.pooling=mean"],
    )  # fmt: skip
    trained = train_network(
        drawn, train=TRAIN, validation=VALIDATION, recipe=second, out=tmp_path / "b",
        pretrained=tmp_path / "a" / WEIGHTS,
    )  # fmt: skip
    assert trained.network.config.head == "coral"


def test_layers_far_from_the_heads_learn_more_slowly() -> None:
    config = HTNetConfig(
        image_size=28, patch_size=7, num_classes=6, dim=8, heads=2, num_hierarchies=2,
        block_repeats=(1, 2), side_head=True,
    )  # fmt: skip
    network = HTNet.from_config(config)
    settings = Training(learning_rate=1.0, layer_decay=0.5, head_rate=3.0)
    rates = {}
    names = {id(p): n for n, p in network.named_parameters()}
    for group in parameter_groups(network, settings):
        for parameter in group["params"]:
            rates[names[id(parameter)]] = group["lr"]
            assert group["weight_decay"] == (settings.weight_decay if parameter.ndim > 1 else 0)
    assert set(rates) == set(names.values())
    assert rates["head.weight"] == rates["side_head.bias"] == 3.0
    assert rates["norm.weight"] == 1.0
    in_order = [
        rates[name]
        for name in (
            "embed.weight", "levels.0.layers.0.attention.to_qkv.weight",
            "levels.0.aggregate.conv.weight", "levels.1.layers.0.attention.to_qkv.weight",
            "levels.1.layers.1.attention.to_qkv.weight", "norm.weight",
        )
    ]  # fmt: skip
    assert in_order == sorted(in_order)
    assert len(set(in_order)) == len(in_order)


# --- mistakes ----------------------------------------------------------------------------------


def test_a_patient_on_both_sides_is_refused(
    tmp_path: Path, drawn: LabelledFaces, recipe: Recipe
) -> None:
    with pytest.raises(UserError, match='Patient "P5" is among the training and the validation'):
        train_network(
            drawn, train=np.arange(11), validation=np.arange(11, 24), recipe=recipe, out=tmp_path
        )


def test_an_empty_class_is_refused(tmp_path: Path, drawn: LabelledFaces, recipe: Recipe) -> None:
    with pytest.raises(UserError, match="has no training face of class 6: give more"):
        train_network(
            drawn, train=np.arange(10), validation=VALIDATION, recipe=recipe, out=tmp_path
        )


def test_no_gpu_when_one_was_asked_for(
    tmp_path: Path, drawn: LabelledFaces, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    asked = with_changes(recipe, ["training.accelerator=gpu"])
    with pytest.raises(UserError, match=r"asks for a GPU .* but there is none here"):
        train_network(drawn, train=TRAIN, validation=VALIDATION, recipe=asked, out=tmp_path)
    assert not list(tmp_path.iterdir())


def test_another_training_in_the_folder_is_refused(
    tmp_path: Path, drawn: LabelledFaces, recipe: Recipe
) -> None:
    short = with_changes(recipe, ["training.epochs=1"])
    train_network(drawn, train=TRAIN, validation=VALIDATION, recipe=short, out=tmp_path)
    with pytest.raises(UserError, match=r"other settings \(training.epochs: 1 there, 3 now\)"):
        train_network(drawn, train=TRAIN, validation=VALIDATION, recipe=recipe, out=tmp_path)


# --- recipes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["from-micro", "gpu", "paper", "small-cpu"])
def test_shipped_recipes_make_networks(name: str) -> None:
    assert name in shipped(Recipe.folder)
    recipe = read_recipe(Recipe, name)
    with torch.device("meta"):
        network = HTNet.from_config(recipe.config(num_classes=6))
    parameters = sum(value.numel() for value in network.parameters())
    if name == "small-cpu":
        assert parameters <= 1_000_000
        assert network.config.pooling == "patient"
    if name == "paper":
        assert (network.config.image_size, network.config.dim) == (224, 256)


def test_every_key_of_a_recipe_is_read(
    tmp_path: Path, drawn: LabelledFaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Note every attribute that a training asks of its settings, and compare with all there are."""
    asked: dict[type[Settings], set[str]] = {
        HTNetConfig: set(),
        Augmentation: set(),
        Training: set(),
    }
    recipe = recipe_from(Recipe, RECIPE, source="test")

    for kind, names in asked.items():

        def noted(self: object, name: str, _kind=kind, _names=names) -> object:
            by = sys._getframe(1).f_code.co_name
            if (
                name in _kind.model_fields and by != "_fits_together"
            ):  # which only looks whether sizes fit
                _names.add(name)
            return object.__getattribute__(self, name)

        monkeypatch.setattr(kind, "__getattribute__", noted, raising=False)
    changed = with_changes(recipe, ["training.epochs=1"])
    train_network(drawn, train=TRAIN, validation=VALIDATION, recipe=changed, out=tmp_path)
    read_by_folds = {"validation_folds"}  # dealt before a network is trained
    read_by_build = {"input"}  # asked when the network is built, by build_network
    read_by_patients = {"summary"}  # by the pooling of another recipe
    elsewhere = read_by_folds | read_by_build | read_by_patients
    for kind, names in asked.items():
        missing = set(kind.model_fields) - names
        assert missing <= elsewhere, (kind.__name__, missing)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({**RECIPE, "trainng": {}}, 'no section "trainng". Did you mean "training"?'),
        ({"training": {}}, "no section network:"),
        ({**RECIPE, "training": {"epoch": 3}}, 'no setting "epoch". Did you mean "epochs"?'),
        (
            {**RECIPE, "training": {"epochs": "many"}},
            'training.epochs is "many", but must be a whole number',
        ),
        (
            {**RECIPE, "training": {"epochs": True}},
            'training.epochs is "True", but must be a whole',
        ),
        ({**RECIPE, "training": {"loss": "mse"}}, 'training.loss is "mse"'),
        ({**RECIPE, "network": {**RECIPE["network"], "head": "corn"}}, "network.head follows"),
        ({**RECIPE, "network": {**RECIPE["network"], "image_size": 30}}, "image_size 30"),
    ],
)
def test_unknown_and_impossible_recipe_keys(content: dict[str, object], words: str) -> None:
    with pytest.raises(UserError) as told:
        recipe_from(Recipe, content, source="mine.yaml")
    assert words in str(told.value)


def test_the_shipped_pair_takes_every_layer_from_micro_expressions(tmp_path: Path) -> None:
    """`micro weights --recipe small`, then `htnet train --recipe from-micro --pretrained`."""
    config = read_recipe(FlowRecipe, "small").config(num_classes=3)
    assert isinstance(config, HTNetConfig)
    micro = HTNet.from_config(config)
    save_weights(micro, tmp_path / "micro.safetensors")
    network = HTNet.from_config(read_recipe(Recipe, "from-micro").config(num_classes=6))
    loaded = load_pretrained(network, tmp_path / "micro.safetensors")
    trunk = [
        name
        for name in network.state_dict()
        if name.startswith(("embed.", "norm.")) or ".layers." in name or ".aggregate." in name
    ]
    assert len(trunk) > 80
    assert list(loaded.taken) == trunk
    assert set(loaded.unused) == set()
    theirs = micro.state_dict()
    assert all(torch.equal(network.state_dict()[name], theirs[name]) for name in trunk)


def test_the_flags_of_earlier_scripts_are_understood(capsys: pytest.CaptureFixture) -> None:
    plain = read_recipe(Recipe, "small-cpu")
    changed = with_changes(plain, ["network.use_diagonal_attn=true", "network.use_roi=true"])
    assert changed.config(num_classes=6).use_micro_attention
    assert changed.config(num_classes=6).use_roi_module
    assert "use_roi is called network.use_roi_module here" in capsys.readouterr().err
    network = {**RECIPE["network"], "use_roi": False}
    with pytest.raises(UserError, match="use_roi_module is given twice, as True and as False"):
        recipe_from(Recipe, {**RECIPE, "network": network}, source="mine.yaml")


def test_another_number_of_regions_is_taught_nothing_or_refused(
    tmp_path: Path, drawn: LabelledFaces, recipe: Recipe
) -> None:
    seven = ["network.num_roi_regions=7", "training.epochs=1"]
    with pytest.raises(UserError, match=r"num_roi_regions is 7, .*region_weight 0 to leave"):
        with_changes(recipe, seven)
    untaught = with_changes(recipe, [*seven, "training.region_weight=0"])
    trained = train_network(
        drawn, train=TRAIN, validation=VALIDATION, recipe=untaught, out=tmp_path
    )
    maps = trained.network.details(to_input(drawn.faces.pixels[:1])).roi_maps
    assert maps is not None
    assert maps.shape[1] == 7


def test_unknown_recipes_are_told_with_those_there_are() -> None:
    with pytest.raises(UserError, match=r'small-cpu.*Did you mean "small-cpu"'):
        read_recipe(Recipe, "small-cup")
    with pytest.raises(UserError, match="is no change"):
        with_changes(read_recipe(Recipe, "small-cpu"), ["epochs 3"])
