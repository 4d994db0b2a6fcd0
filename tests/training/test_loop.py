import copy
import math
import random
import re
import signal

import numpy as np
import psutil
import pytest
import torch
from torch.utils.data import DataLoader

from course_lib.training.checkpoint import CheckpointError
from course_lib.training.history import NonFiniteLossError
from course_lib.training.loop import TrainingResult, train
from course_lib.training.schedule import warmup_then_cosine


def run(toy, steps=20, **settings) -> TrainingResult:
    return train(toy.model, toy.loader, toy.loss, steps=steps, optimizer=toy.optimizer, **settings)


def weights(model):
    return torch.nn.utils.parameters_to_vector(model.parameters()).detach().clone()


def same_weights(one, other):
    return torch.equal(weights(one), weights(other))


def interrupt_at(step):
    return lambda now, model: signal.raise_signal(signal.SIGINT) if now == step else None


# What the loop computes


def test_the_network_learns(make_toy):
    toy = make_toy(dropout=0)
    result = run(toy, steps=200)
    assert np.mean(result.losses[-20:]) < 0.2 * np.mean(result.losses[:20])
    assert (result.steps_done, result.stopped_because, result.resumed_from) == (200, "steps", None)


def test_the_loop_equals_one_written_by_hand(make_toy):
    toy, hands = make_toy(dropout=0, shuffle=False), make_toy(dropout=0, shuffle=False)
    result = run(toy, steps=13, gradient_clip=0.1)
    losses, norms = [], []
    for batch in hands.loader:
        loss = hands.loss(hands.model, batch)
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(hands.model.parameters(), 0.1).item())
        hands.optimizer.step()
        hands.optimizer.zero_grad()
        losses.append(loss.item())
    assert result.losses == losses
    assert result.measures["gradient_norm"] == norms
    assert same_weights(toy.model, hands.model)


def test_gradients_that_an_earlier_call_left_behind_are_not_used(make_toy):
    fresh, used = make_toy(dropout=0), make_toy(dropout=0)
    for parameter in used.model.parameters():
        parameter.grad = torch.ones_like(parameter)
    assert run(used, steps=3).losses == run(fresh, steps=3).losses
    assert same_weights(used.model, fresh.model)


def test_accumulating_two_batches_equals_one_batch_of_double_size(make_toy):
    halves, whole = make_toy(dropout=0, batch_size=4), make_toy(dropout=0, batch_size=8)
    two = run(halves, steps=30, accumulation_steps=2)
    one = run(whole, steps=30)
    assert two.losses == pytest.approx(one.losses, abs=1e-6)
    assert two.measures["gradient_norm"] == pytest.approx(one.measures["gradient_norm"], abs=1e-5)


def test_without_clipping_the_gradient_is_used_as_it_is(make_toy):
    toy = make_toy()
    toy.optimizer = torch.optim.SGD(toy.model.parameters(), lr=1.0)
    before = copy.deepcopy(toy.model)
    norm = run(toy, steps=1, gradient_clip=None).measures["gradient_norm"][0]
    assert (weights(toy.model) - weights(before)).norm().item() == pytest.approx(norm, rel=1e-5)


def test_clipping_limits_the_step(make_toy):
    toy = make_toy()
    toy.optimizer = torch.optim.SGD(toy.model.parameters(), lr=1.0)
    before = weights(toy.model)
    assert run(toy, steps=1, gradient_clip=0.01).measures["gradient_norm"][0] > 0.01
    assert (weights(toy.model) - before).norm().item() == pytest.approx(0.01, rel=1e-3)


def test_the_schedule_steps_once_per_update(make_toy):
    toy = make_toy()
    schedule = warmup_then_cosine(toy.optimizer, warmup_steps=4, steps=10)
    rates = run(toy, steps=10, accumulation_steps=3, schedule=schedule).measures["learning_rate"]
    assert rates[:5] == pytest.approx([0, 0.0025, 0.005, 0.0075, 0.01])
    assert rates[7] == pytest.approx(0.005)


def test_the_same_call_gives_the_same_losses_to_the_last_bit(make_toy):
    first, second = make_toy(), make_toy()
    torch.manual_seed(1)
    losses = run(first, accumulation_steps=2).losses
    torch.manual_seed(2)
    assert run(second, accumulation_steps=2).losses == losses
    assert same_weights(first.model, second.model)
    assert run(make_toy(), accumulation_steps=2, seed=1).losses != losses


def test_several_threads_are_deterministic_too():
    def losses():
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Embedding(50, 200), torch.nn.Linear(200, 200), torch.nn.Dropout(0.1))
        loader = DataLoader(torch.arange(50).repeat(40), batch_size=500, shuffle=True)
        optimizer = torch.optim.Adam(model.parameters())
        return train(model, loader, lambda model, ids: model(ids).square().mean(), steps=4, optimizer=optimizer).losses

    torch.set_num_threads(2)
    assert losses() == losses()


def test_the_global_generators_are_left_as_they_were(make_toy):
    def state():  # Python's own generator is left out: the type checks of these tests draw from it
        return np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()

    toy = make_toy()
    before = state()
    run(toy, evaluate=lambda model: {"chance": torch.rand(()) + np.random.rand()}, evaluate_every=3)
    assert state() == before


def test_bf16_computes_in_bf16_and_still_learns(make_toy):
    seen = set()
    toy = make_toy(dropout=0)
    plain = toy.loss
    toy.loss = lambda model, batch: seen.add(model[0](batch[0]).dtype) or plain(model, batch)
    result = run(toy, steps=100, mixed_precision="bf16")
    assert seen == {torch.bfloat16}
    assert np.mean(result.losses[-20:]) < 0.5 * np.mean(result.losses[:20])
    assert {parameter.dtype for parameter in toy.model.parameters()} == {torch.float32}
    assert toy.model(torch.zeros(1, 6)).dtype == torch.float32


def test_each_call_has_its_own_precision_and_accumulation(make_toy):
    for precision, dtype, accumulation in [("no", torch.float32, 3), ("bf16", torch.bfloat16, 1)] * 2:
        toy, seen = make_toy(), []

        def loss(model, batch, toy=toy, seen=seen):
            seen.append(model[0](batch[0]).dtype)
            return toy.loss(model, batch)

        train(
            toy.model,
            toy.loader,
            loss,
            steps=4,
            optimizer=toy.optimizer,
            mixed_precision=precision,
            accumulation_steps=accumulation,
        )
        assert seen == [dtype] * 4 * accumulation


def test_a_model_can_be_trained_again_with_another_precision(make_toy):
    toy, reference = make_toy(), make_toy()
    for each in (toy, reference):
        run(each, steps=5)
    run(toy, steps=5, mixed_precision="bf16")
    run(reference, steps=5)
    assert not same_weights(toy.model, reference.model)


def test_a_training_inside_an_evaluation_does_not_disturb_the_outer_one(make_toy):
    def probe(model):
        return {"loss": run(make_toy(), steps=2, accumulation_steps=4, mixed_precision="bf16").losses[-1]}

    plain, probed = make_toy(), make_toy()
    losses = run(plain, accumulation_steps=2).losses
    assert run(probed, accumulation_steps=2, evaluate=probe, evaluate_every=3).losses == losses


# Hooks and measures


def test_evaluation_does_not_change_the_training(make_toy):
    def evaluate(model):
        torch.rand(7)
        return {"training": model.training, "gradients": torch.is_grad_enabled(), "chance": random.random()}

    plain, evaluated = make_toy(), make_toy()
    evaluated.model[1].requires_grad_(False)
    losses = run(plain).losses
    result = run(evaluated, evaluate=evaluate, evaluate_every=7)
    assert result.losses == losses
    assert [evaluation["step"] for evaluation in result.evaluations] == [7, 14, 20]
    assert all(evaluation["training"] == 0 == evaluation["gradients"] for evaluation in result.evaluations)
    assert len({evaluation["chance"] for evaluation in result.evaluations}) == 3


def test_parts_kept_in_eval_mode_are_so_again_after_an_evaluation(make_toy):
    toy, modes = make_toy(), []

    def on_step(step, model):
        modes.append([part.training for part in model])
        model[1].eval()

    run(toy, steps=3, evaluate=lambda model: {}, evaluate_every=1, on_step=on_step)
    assert modes == [[True] * 4, [True, False, True, True], [True, False, True, True]]


def test_the_model_is_ready_to_use_afterwards(make_toy):
    toy = make_toy()
    run(toy, steps=2)
    assert not toy.model.training
    assert all(parameter.grad is None for parameter in toy.model.parameters())


def test_on_step_sees_the_gradients_of_each_step(make_toy):
    toy, seen = make_toy(), []
    run(toy, steps=5, on_step=lambda step, model: seen.append((step, model[0].weight.grad.norm().item())))
    assert [step for step, _ in seen] == [1, 2, 3, 4, 5]
    assert all(norm > 0 for _, norm in seen)


def test_what_the_loss_function_adds_is_averaged_over_the_step(make_toy):
    toy, counts = make_toy(), iter(range(1000))

    def loss(model, batch):
        value = toy.loss(model, batch)
        return value, {"count": next(counts), "double": 2 * value}

    toy_loss = train(toy.model, toy.loader, loss, steps=3, optimizer=toy.optimizer, accumulation_steps=2)
    assert toy_loss.measures["count"] == [0.5, 2.5, 4.5]
    assert toy_loss.measures["double"] == pytest.approx([2 * value for value in toy_loss.losses])


def test_measures_that_change_their_names_are_refused(make_toy):
    toy, names = make_toy(), iter("abc")
    toy.loss = lambda model, batch, loss=toy.loss: (loss(model, batch), {next(names): 1.0})
    with pytest.raises(ValueError, match="the same names at every step"):
        run(toy)


def test_the_bar_shows_loss_and_time_left_and_can_be_silenced(make_toy, capsys, monkeypatch):
    monkeypatch.setenv("TQDM_DISABLE", "1")
    run(make_toy(), steps=3)
    assert capsys.readouterr().err == ""
    monkeypatch.delenv("TQDM_DISABLE")
    run(make_toy(), steps=3, description="learning toys")
    shown = capsys.readouterr().err
    assert re.search(r"learning toys: 100%.* 3/3 \[00:\d\d<00:00, .*, loss \d\.\d{4}\]", shown)


# Stopping and going on


def test_a_budget_stops_cleanly_says_so_and_the_next_call_goes_on(make_toy, tmp_path, capsys):
    whole = run(make_toy(), steps=3)
    results = []
    for expected_step in (1, 2):
        toy = make_toy()
        results.append(run(toy, steps=3, checkpoints=tmp_path, wall_clock_budget=1e-9, description="toy training"))
        assert (results[-1].steps_done, results[-1].stopped_because) == (expected_step, "wall clock")
        line = capsys.readouterr().out
        assert line.count("\n") == 1
        assert line.startswith(f"toy training stopped after ≈{expected_step} of 3 steps: its wall-clock budget")
        assert str(tmp_path) in line
    last = run(make_toy(), steps=3, checkpoints=tmp_path)
    assert (last.steps_done, last.stopped_because, last.resumed_from) == (3, "steps", 2)
    assert [result.resumed_from for result in results] == [None, 1]
    assert last.measures == whole.measures


def test_a_budget_used_up_by_the_last_step_is_no_stop(make_toy, capsys):
    assert run(make_toy(), steps=1, wall_clock_budget=1e-9).stopped_because == "steps"
    assert capsys.readouterr().out == ""


def test_ctrl_c_ends_the_step_saves_and_returns(make_toy, tmp_path, capsys):
    whole_toy, toy = make_toy(), make_toy()
    whole = run(whole_toy)
    stopped = run(toy, checkpoints=tmp_path, on_step=interrupt_at(7))
    assert (stopped.steps_done, stopped.stopped_because) == (7, "interrupted")
    assert stopped.losses == whole.losses[:7]
    assert "interrupted; saved in" in capsys.readouterr().out
    rest_toy = make_toy()
    assert run(rest_toy, checkpoints=tmp_path).losses == whole.losses
    assert same_weights(rest_toy.model, whole_toy.model)


def test_ctrl_c_that_also_reaches_the_loading_workers_does_not_take_the_batches_away(make_toy):
    toy = make_toy(num_workers=1, prefetch_factor=1)

    def stop_all(step, model):
        if step in (3, 6):  # as with a learner who presses twice
            for worker in psutil.Process().children():
                worker.send_signal(signal.SIGINT)

    assert run(toy, steps=12, on_step=stop_all).losses == run(make_toy(), steps=12).losses


def test_ctrl_c_without_a_folder_says_that_nothing_is_saved(make_toy, capsys):
    assert run(make_toy(), on_step=interrupt_at(2)).steps_done == 2
    assert "not saved" in capsys.readouterr().out


def test_a_second_ctrl_c_stops_at_once_and_ctrl_c_works_as_before_afterwards(make_toy):
    before = signal.getsignal(signal.SIGINT)

    def twice(step, model):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run(make_toy(), on_step=twice)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_finished_run_returns_at_once_with_its_result(make_toy, tmp_path):
    first, again = make_toy(), make_toy()
    done = run(first, checkpoints=tmp_path, evaluate=lambda model: {"fixed": 1.5})
    again.loss = lambda model, batch: pytest.fail("no step was left to make")
    result = run(again, checkpoints=tmp_path, evaluate=lambda model: {"fixed": 1.5})
    assert (result.measures, result.evaluations) == (done.measures, done.evaluations)
    assert (result.resumed_from, result.stopped_because) == (20, "steps")
    assert same_weights(first.model, again.model)
    assert not again.model.training


def test_a_finished_run_can_be_made_longer_but_not_shorter(make_toy, tmp_path):
    whole = run(make_toy(), steps=20)
    run(make_toy(), steps=12, checkpoints=tmp_path)
    assert run(make_toy(), steps=20, checkpoints=tmp_path).losses == whole.losses
    toy = make_toy()
    before = copy.deepcopy(toy.model)
    with pytest.raises(ValueError, match="already made 20 steps, more than the 5 asked for"):
        run(toy, steps=5, checkpoints=tmp_path)
    assert same_weights(toy.model, before)


def test_without_resume_the_training_starts_over(make_toy, tmp_path):
    whole = run(make_toy(), steps=6, checkpoints=tmp_path)
    again = run(make_toy(), steps=6, checkpoints=tmp_path, resume=False)
    assert again.resumed_from is None
    assert again.losses == whole.losses


@pytest.mark.parametrize(
    ("settings", "difference"),
    [
        ({"seed": 1}, "seed was 0, is 1"),
        ({"accumulation_steps": 2}, "accumulation_steps was 1, is 2"),
        ({"mixed_precision": "bf16"}, "mixed_precision was no, is bf16"),
    ],
)
def test_checkpoints_of_another_run_are_refused(make_toy, tmp_path, settings, difference):
    run(make_toy(), steps=2, checkpoints=tmp_path)
    with pytest.raises(ValueError, match=f"of another run .*{difference}.*resume=False"):
        run(make_toy(), steps=4, checkpoints=tmp_path, **settings)


def test_checkpoints_of_other_data_or_another_model_are_refused(make_toy, tmp_path):
    run(make_toy(), steps=2, checkpoints=tmp_path)
    with pytest.raises(ValueError, match="batches_in_epoch was 13, is 26"):
        run(make_toy(batch_size=4), steps=4, checkpoints=tmp_path)
    toy = make_toy()
    toy.model.append(torch.nn.Linear(1, 1))
    toy.optimizer = torch.optim.SGD(toy.model.parameters())
    with pytest.raises(ValueError, match="optimizer was Adam, is SGD; the model's weights have other names"):
        run(toy, steps=4, checkpoints=tmp_path)


def test_a_damaged_checkpoint_costs_only_the_steps_since_the_one_before(make_toy, tmp_path):
    whole = run(make_toy(), steps=9)
    run(make_toy(), steps=6, checkpoints=tmp_path, checkpoint_every=2)
    newest = max(tmp_path.glob("*-step-6/model.safetensors"))
    newest.write_bytes(newest.read_bytes()[:-10])
    with pytest.warns(UserWarning, match="going on from the checkpoint of step 4"):
        result = run(make_toy(), steps=9, checkpoints=tmp_path, checkpoint_every=2)
    assert result.resumed_from == 4
    assert result.losses == whole.losses


def test_a_full_disk_is_an_error_that_keeps_the_last_checkpoint(make_toy, tmp_path, monkeypatch):
    whole = run(make_toy(), steps=9)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    toy = make_toy()
    with monkeypatch.context() as patch, pytest.raises(CheckpointError, match=r"step 6 .*No space left.*make room"):
        run(
            toy,
            steps=9,
            checkpoints=tmp_path,
            checkpoint_every=3,
            on_step=lambda step, model: patch.setattr(torch, "save", full) if step == 5 else None,
        )
    assert [path.name for path in tmp_path.iterdir()] == ["00001-step-3"]
    assert run(make_toy(), steps=9, checkpoints=tmp_path).losses == whole.losses


def test_by_default_ten_checkpoints_are_made(make_toy, tmp_path):
    run(make_toy(), steps=50, checkpoints=tmp_path, keep=100)
    assert [int(path.name.rpartition("-")[2]) for path in sorted(tmp_path.iterdir())] == list(range(5, 51, 5))


# Breaking down, and what cannot work


def test_a_loss_that_is_not_a_number_stops_before_it_spoils_the_weights(make_toy):
    toy, history = make_toy(), []
    plain, calls = toy.loss, iter(range(1, 100))

    def loss(model, batch):
        return plain(model, batch) * (math.nan if next(calls) == 4 else 1)

    toy.loss = loss
    with pytest.raises(NonFiniteLossError, match=r"step 4: loss nan, .*learning rate 0\.01\. Try.*0\.001") as caught:
        run(toy, on_step=lambda step, model: history.append(weights(model)))
    assert len(history) == 3
    assert torch.equal(weights(toy.model), history[-1])
    assert "gradient_clip" in str(caught.value)


def test_an_infinite_gradient_of_a_finite_loss_is_caught_too(make_toy):
    toy = make_toy()
    toy.loss = lambda model, batch: model(batch[0]).mul(0).abs().sqrt().sum()
    with pytest.raises(NonFiniteLossError, match=r"step 1: loss 0, gradient norm (nan|inf)"):
        run(toy)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"accumulation_steps": 0}, "accumulation_steps must be at least 1"),
        ({"mixed_precision": "fp12"}, "'no', 'bf16' or 'fp16', got 'fp12'"),
        ({"gradient_clip": 0.0}, "gradient_clip must be > 0.*None"),
        ({"wall_clock_budget": 0.0}, "wall_clock_budget must be > 0"),
        ({"evaluate_every": 5}, "evaluate_every=5 also needs evaluate"),
        ({"checkpoint_every": 5}, "checkpoint_every=5 also needs checkpoints"),
        ({"evaluate_every": 0, "evaluate": lambda model: {}}, "evaluate_every must be at least 1"),
        ({"seed": -1}, "non-negative"),
    ],
)
def test_arguments_that_cannot_work_are_refused(make_toy, settings, message):
    toy = make_toy()
    before = copy.deepcopy(toy.model)
    with pytest.raises(ValueError, match=message):
        run(toy, **{"steps": 3, **settings})
    assert same_weights(toy.model, before)


@pytest.mark.skipif(torch.accelerator.is_available(), reason="there is a GPU here")
def test_fp16_without_a_gpu_is_refused(make_toy):
    with pytest.raises(ValueError, match=r"needs a GPU.*'bf16' also works"):
        run(make_toy(), mixed_precision="fp16")


def test_an_empty_loader_is_refused(make_toy):
    toy = make_toy()
    toy.loader = DataLoader([], batch_size=3)
    with pytest.raises(ValueError, match="no batch in epoch 0"):
        run(toy)


def test_an_optimizer_or_schedule_of_something_else_is_refused(make_toy):
    toy = make_toy()
    schedule = warmup_then_cosine(make_toy().optimizer, warmup_steps=1, steps=3)
    with pytest.raises(ValueError, match="belongs to another optimizer"):
        run(toy, schedule=schedule)
    toy.optimizer = make_toy().optimizer
    with pytest.raises(ValueError, match="no trainable parameter of this model"):
        run(toy)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda model, batch: model(batch[0]), r"a scalar tensor, the mean loss, got a tensor of shape \[8, 1\]"),
        (lambda model, batch: 0.5, "got float"),
        (lambda model, batch: model(batch[0]).mean().detach(), "depends on no trainable parameter"),
    ],
)
def test_a_loss_that_cannot_be_learned_from_is_refused(make_toy, loss, message):
    toy = make_toy()
    toy.loss = loss
    with pytest.raises(ValueError, match=message):
        run(toy)


def test_an_evaluation_that_returns_no_dict_is_refused(make_toy):
    with pytest.raises(TypeError, match="must return a dict"):
        run(make_toy(), evaluate=lambda model: 0.5)
