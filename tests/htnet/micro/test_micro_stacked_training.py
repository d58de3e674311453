"""Training folds together gives what training each alone gives, by a plain loop over `HTNet`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from common.errors import UserError
from htnet.micro.clips import FlowMaps
from htnet.micro.inputs import mirrored, network_inputs
from htnet.micro.recipe import MicroRecipe, MicroTraining, micro_recipe_from
from htnet.micro.stacked_batches import Member, epoch_order
from htnet.micro.stacked_clips import ClipTable
from htnet.micro.stacked_folds import pair_members, subject_groups, subject_members
from htnet.micro.stacked_training import learning_rates, stack_steps, train_stack
from htnet.region_fusion import build_network
from tests.htnet.micro.drawn_maps import drawn_maps

CPU = torch.device("cpu")
NETWORK = {"image_size": 28, "patch_size": 7, "dim": 6, "heads": 2, "block_repeats": [1, 1, 1]}


def recipe(*, mirror: bool = False, shift: int = 0, **training: Any) -> MicroRecipe:
    settings = {"epochs": 3, "batch_size": 8, "precision": "float64", "learning_rate": 0.01}
    return micro_recipe_from(
        {
            "network": NETWORK,
            "augmentation": {"mirror": mirror, "shift": shift},
            "training": {**settings, **training},
        },
        source="test",
    )


def trained(
    clips: FlowMaps, members: list[Member], settings: MicroRecipe, *, steps: int
) -> list[NDArray[np.float32]]:
    table = ClipTable(clips, settings, device=CPU)
    return train_stack(table, members, settings, steps=steps).answers


def plain_loop(
    clips: FlowMaps, member: Member, settings: MicroRecipe, *, steps: int
) -> tuple[NDArray[np.float32], dict[str, torch.Tensor]]:
    """Train one fold as anyone would: a module, an optimiser, a loss; no dropout."""
    training = settings.training
    dtype = torch.float64 if training.precision == "float64" else torch.float32
    config = settings.config(num_classes=3)
    inputs = network_inputs(clips, name=training.input, image_size=28)
    ways = [inputs]
    if settings.augmentation.mirror:
        ways.append(mirrored(inputs, scaling=clips.scaling))
    seen = inputs[member.train].astype(np.float64)
    axes = (0, -3, -2)
    mean, deviation = seen.mean(axis=axes, keepdims=True), seen.std(axis=axes, keepdims=True)
    images = [torch.from_numpy((way - mean) / deviation).to(dtype).movedim(-1, -3) for way in ways]
    torch.manual_seed(member.seed)
    network = build_network(config).to(dtype).eval()
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=training.weight_decay)
    rates = iter(learning_rates(training, steps=steps))
    weight = torch.ones(3, dtype=dtype)
    if training.class_weights:
        counts = np.bincount(clips.label[member.train], minlength=3)
        weight = torch.from_numpy(counts.sum() / (3 * counts)).to(dtype)
    answers = []
    for epoch in range(training.epochs):
        batches, variants, _ = epoch_order(member, epoch, steps=steps, variants=len(ways))
        for batch, variant in zip(batches, variants, strict=True):
            shown = torch.stack([images[v][r] for r, v in zip(batch, variant, strict=True)])
            label = torch.from_numpy(clips.label[batch])
            each = torch.nn.functional.cross_entropy(
                network(shown), label, reduction="none", label_smoothing=training.label_smoothing
            )
            optimizer.zero_grad()
            (each * weight[label]).mean().backward()
            if training.clip:
                torch.nn.utils.clip_grad_norm_(network.parameters(), training.clip)
            for value in network.parameters():  # decay reaches queries and keys all the same
                value.grad = torch.zeros_like(value) if value.grad is None else value.grad
            optimizer.param_groups[0]["lr"] = next(rates)
            optimizer.step()
        with torch.no_grad():
            found = [network(image[member.answered]).softmax(dim=1) for image in images]
        answers.append(torch.stack(found).mean(dim=0).float().numpy())
    return np.stack(answers), network.state_dict()


@pytest.mark.parametrize(
    ("settings", "tolerance"),
    [
        (recipe(), 1e-7),
        (recipe(input="both", fusion_dropout=0.0, schedule="constant"), 1e-7),
        (recipe(input="mosaic", mirror=True, clip=0.2, class_weights=True), 1e-7),
        (recipe(label_smoothing=0.1, weight_decay=0.3, batch_size=9), 1e-7),
        (recipe(precision="float32", learning_rate=1e-3), 1e-4),
    ],
    ids=["whole", "both", "mosaic", "smoothing", "float32"],
)
def test_folds_together_equal_each_alone_in_a_plain_loop(
    settings: MicroRecipe, tolerance: float
) -> None:
    # Subjects of unequal size: batches of unequal length, padded in the stack.
    clips = drawn_maps(subjects=4, per_subject=7)
    clips = replace(clips, subject=np.where(np.arange(28) < 3, "set0/other", clips.subject))
    members = [member for seed in (0, 3) for member in subject_members(clips, seed=seed)]
    steps = stack_steps(members, settings.training)
    table = ClipTable(clips, settings, device=CPU)
    stack = train_stack(table, members, settings, steps=steps)
    for place in (0, 4, 8):
        alone, state = plain_loop(clips, members[place], settings, steps=steps)
        np.testing.assert_allclose(stack.answers[place], alone, rtol=0, atol=tolerance)
        for name, value in stack.weights.state(place, kept=stack.kept).items():
            if settings.training.precision == "float32" and name.endswith("position"):
                continue  # normalisation takes it out again: its gradient is rounding alone
            torch.testing.assert_close(value, state[name], rtol=0, atol=10 * tolerance)


@pytest.mark.parametrize("changes", [{"input": "both"}, {"input": "whole"}, {"precision": "bf16"}])
def test_a_fold_is_trained_the_same_whoever_is_beside_it(changes: dict[str, Any]) -> None:
    clips = drawn_maps(subjects=4, per_subject=7)
    clips = replace(clips, subject=np.where(np.arange(28) < 3, "set0/other", clips.subject))
    settings = recipe(mirror=True, shift=1, **changes)
    settings = replace(settings, network={**settings.network, "head_dropout": 0.3})
    members = subject_members(clips, seed=1)
    steps = stack_steps(members, settings.training)
    together = trained(clips, members, settings, steps=steps)
    for place in (0, 3):
        alone = trained(clips, members[place : place + 1], settings, steps=steps)
        tolerance = 0.02 if settings.training.precision == "bf16" else 1e-7
        np.testing.assert_allclose(together[place], alone[0], rtol=0, atol=tolerance)


def test_dropout_and_augmentation_do_something() -> None:
    clips = drawn_maps(subjects=3)
    members = subject_members(clips, seed=0)
    bare = trained(clips, members, recipe(), steps=2)
    dropping = replace(recipe(), network={**NETWORK, "head_dropout": 0.5})
    for other in (recipe(mirror=True), recipe(shift=1), dropping):
        found = trained(clips, members, other, steps=2)
        assert np.abs(found[0] - bare[0]).max() > 1e-4


def test_held_out_clips_have_no_say() -> None:
    """Other maps and labels of the held-out subject change nothing but the answers to them."""
    clips = drawn_maps(subjects=4)
    member = subject_members(clips, seed=0)[2]
    kept, other = member.answered[:1], member.answered[1:]
    maps, label = clips.maps.copy(), clips.label.copy()
    maps[other] = 100.0
    label[member.answered] = 0
    changed = replace(clips, maps=maps, label=label)
    settings = recipe(class_weights=True, mirror=True)
    before = trained(clips, [member], settings, steps=2)[0]
    after = trained(changed, [member], settings, steps=2)[0]
    np.testing.assert_array_equal(before[:, : len(kept)], after[:, : len(kept)])
    assert not np.array_equal(before, after)
    # and what is learned from has a say: else the test above could not fail
    maps[member.train[0]] = 3.0
    shifted = trained(replace(clips, maps=maps), [member], settings, steps=2)[0]
    assert not np.array_equal(shifted[:, : len(kept)], before[:, : len(kept)])


def test_a_clip_on_both_sides_is_refused() -> None:
    clips = drawn_maps(subjects=3)
    leaking = replace(subject_members(clips, seed=0)[0], train=np.arange(len(clips)))
    with pytest.raises(UserError, match="both learned from and held out"):
        trained(clips, [leaking], recipe(), steps=2)


def test_inputs_are_standardised_by_the_training_clips_alone() -> None:
    clips = drawn_maps(subjects=3)
    for name in ("whole", "both"):
        table = ClipTable(clips, recipe(input=name), device=CPU)
        rows = np.flatnonzero(clips.fold != 0)
        factor, offset = table.scaling(rows)
        seen = (table.patches[rows] * factor + offset).unflatten(-1, (49, 3))
        deviation, mean = torch.std_mean(seen, dim=(0, -3, -2), correction=0)
        torch.testing.assert_close(mean, torch.zeros_like(mean), atol=1e-9, rtol=0)
        torch.testing.assert_close(deviation, torch.ones_like(deviation), atol=1e-9, rtol=0)


def test_every_training_clip_is_shown_once_an_epoch_and_orders_differ() -> None:
    member = Member(fold=3, seed=1, train=np.arange(5, 28), answered=np.arange(5))
    orders = []
    for epoch in (0, 1):
        batches, _, _ = epoch_order(member, epoch, steps=4, variants=1)
        assert {len(batch) for batch in batches} == {5, 6}
        order = np.concatenate(batches)
        np.testing.assert_array_equal(np.sort(order), member.train)
        orders.append(order.tolist())
    other = epoch_order(replace(member, fold=4), 0, steps=4, variants=1)[0]
    assert orders[0] != orders[1] and orders[0] != np.concatenate(other).tolist()


def test_the_rate_rises_and_falls_as_the_recipe_says() -> None:
    training = MicroTraining(epochs=10, learning_rate=2.0, warmup=0.2, schedule="cosine")
    rates = learning_rates(training, steps=5)
    assert len(rates) == 50
    np.testing.assert_allclose(rates[:10], np.arange(1, 11) / 5)
    assert rates[10] == 2.0 and rates[30] == pytest.approx(1.0) and rates[-1] < 0.01
    flat = replace(training, schedule="constant", warmup=0.0)
    assert set(learning_rates(flat, steps=5)) == {2.0}


def test_groups_keep_subjects_whole_and_classes_even() -> None:
    clips = drawn_maps(subjects=13)
    group = subject_groups(clips, groups=4)
    assert group.shape == (13,)
    sizes = np.bincount(group, minlength=4)
    assert sizes.min() >= 3
    assert np.array_equal(group, subject_groups(clips, groups=4))


def test_an_inner_answer_comes_from_a_network_that_saw_neither_group() -> None:
    clips = drawn_maps(subjects=9)
    pairs = pair_members(clips, groups=4, seed=0)
    assert len(pairs.members) == 6
    # Each network says its own number, so that one can see who answered what.
    answers = [
        np.full((2, len(member.answered), 1), number, dtype=np.float32)
        for number, member in enumerate(pairs.members)
    ]
    for outer in pairs.groups:
        found = pairs.inside(answers, outer)
        own = pairs.group == outer
        assert np.isnan(found[:, own]).all() and not np.isnan(found[:, ~own]).any()
        for clip in np.flatnonzero(~own):
            member = pairs.members[int(found[0, clip, 0])]
            unseen = {outer, int(pairs.group[clip])}
            assert not unseen & set(pairs.group[member.train].tolist())


def test_what_decay_leaves_of_queries_and_keys_is_told() -> None:
    clips = drawn_maps(subjects=3)
    settings = recipe(weight_decay=0.5)
    table = ClipTable(clips, settings, device=CPU)
    stack = train_stack(table, subject_members(clips, seed=0), settings, steps=2)
    assert 0.95 < stack.kept < 0.999
