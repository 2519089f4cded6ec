"""The loop learns, counts right, can be stopped at any moment, and stops by itself at a loss that is no number."""

import copy
import functools
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from stn_course.out_of_memory import ADVICE
from stn_course.spatial_transformer import SpatialTransformer, theta_head
from stn_course.training import LOOK_EVERY, Evaluation, History, evaluate, fit
from stn_course.transforms import Affine

pytestmark = pytest.mark.usefixtures("one_thread")


def toy_batches(sizes=(16, 16, 16, 5), seed=0):
    """Images of 2×2 pixels in which the brightest pixel is the label; batches of different sizes."""
    generator = torch.Generator().manual_seed(seed)
    batches = []
    for size in sizes:
        labels = torch.randint(4, (size,), generator=generator)
        images = F.one_hot(labels, 4) + 0.3 * torch.rand(size, 4, generator=generator)
        batches.append((images.reshape(size, 1, 2, 2), labels))
    return batches


def linear_model(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(4, 4))


def rich_model(seed=0):
    """A model with all that has a state of its own: a transformer, running statistics and dropout."""
    torch.manual_seed(seed)
    return nn.Sequential(
        SpatialTransformer(nn.Sequential(nn.Flatten(), theta_head(4, Affine()))),
        nn.BatchNorm2d(1),
        nn.Flatten(),
        nn.Linear(4, 8),
        nn.Dropout(0.2),
        nn.Linear(8, 4),
    )


def sgd(model, rate=0.5):
    return torch.optim.SGD(model.parameters(), rate)


def state_of(model):
    return copy.deepcopy(model.state_dict())


def assert_same_state(model, state):
    assert model.state_dict().keys() == state.keys()
    for name, value in model.state_dict().items():
        assert torch.equal(value, state[name]), name


def quiet_fit(model, train, validation=None, *, epochs, optimizer=None, **options):
    return fit(model, train, validation, epochs=epochs, optimizer=optimizer or sgd(model), progress=False, **options)


class Interrupted:
    """Batches in which something happens before step `step` of pass `epoch`; both count from 1."""

    def __init__(self, batches, epoch, step, happens):
        self.batches, self.epoch, self.step, self.happens = batches, epoch, step, happens
        self.passes = self.steps = 0

    def __len__(self):
        return len(self.batches)

    def __iter__(self):
        self.passes += 1
        for step, batch in enumerate(self.batches, start=1):
            if (self.passes, step) == (self.epoch, self.step):
                batch = self.happens(batch) or batch
            self.steps += 1
            yield batch


def ctrl_c(_):
    raise KeyboardInterrupt


# Learning and counting


# From any start, in any PyTorch: at a rate of 0.5 every other rich model loses itself.
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("make, rate", [(linear_model, 0.5), (rich_model, 0.1)])
def test_a_separable_problem_is_learnt(make, rate, seed):
    model = make(seed)
    history = quiet_fit(model, toy_batches(), epochs=40, optimizer=sgd(model, rate))
    assert history.stopped is None
    assert len(history) == 40
    assert history.column("loss")[-1] < 0.5 * history.column("loss")[0]
    assert evaluate(model, toy_batches(seed=1)).score == 1.0


def by_hand(model, batches, epochs, rate, clip=None, decay=None):
    """The same training, written out; the rows it should give."""
    rows = []
    for epoch in range(1, epochs + 1):
        loss_sum, right, seen = 0.0, 0, 0
        for images, labels in batches:
            logits = model(images)
            loss = F.cross_entropy(logits, labels)
            model.zero_grad()
            loss.backward()
            with torch.no_grad():
                norm = math.sqrt(sum((p.grad**2).sum().item() for p in model.parameters()))
                scale = min(1.0, clip / norm) if clip else 1.0
                for parameter in model.parameters():
                    parameter -= rate * scale * parameter.grad
            rate = rate * decay if decay else rate
            loss_sum += loss.item() * len(labels)
            right += (logits.argmax(1) == labels).sum().item()
            seen += len(labels)
        rows.append({"epoch": epoch, "loss": loss_sum / seen, "accuracy": right / seen})
    return rows


@pytest.mark.parametrize("clip", [None, 0.1, 1e9])
@pytest.mark.parametrize("decay", [None, 0.9])
def test_it_does_what_the_same_loop_written_by_hand_does(clip, decay):
    model, twin, batches = linear_model(), linear_model(), toy_batches()
    optimizer = sgd(model)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, decay) if decay else None
    history = quiet_fit(model, batches, epochs=3, optimizer=optimizer, schedule=schedule, clip=clip)
    expected = by_hand(twin, batches, 3, 0.5, clip, decay)
    for row, expected_row in zip(history.rows, expected, strict=True):
        assert {name: row[name] for name in expected_row} == pytest.approx(expected_row, rel=1e-5)
    torch.testing.assert_close(dict(model.state_dict()), dict(twin.state_dict()), rtol=1e-4, atol=1e-6)


def test_the_norm_of_the_whole_gradient_is_clipped():
    model, batches = linear_model(), toy_batches(sizes=(16,))
    before = torch.cat([p.detach().flatten() for p in model.parameters()])
    quiet_fit(model, batches, epochs=1, optimizer=sgd(model, 1.0), clip=0.01)
    after = torch.cat([p.detach().flatten() for p in model.parameters()])
    assert (after - before).norm().item() == pytest.approx(0.01, rel=1e-3)


def test_the_schedule_is_stepped_after_every_batch():
    model, batches = linear_model(), toy_batches()
    optimizer, steps = sgd(model), 3 * len(batches)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.5, total_steps=steps, cycle_momentum=False)
    quiet_fit(model, batches, epochs=3, optimizer=optimizer, schedule=schedule)
    assert schedule.last_epoch == steps
    with pytest.raises(ValueError, match=f"step {steps + 1} times"):  # none is left
        schedule.step()


def test_history_has_one_row_an_epoch():
    history = quiet_fit(linear_model(), toy_batches(), epochs=3)
    assert [set(row) for row in history.rows] == [{"epoch", "loss", "accuracy", "seconds"}] * 3
    assert history.column("epoch") == [1, 2, 3]
    assert all(type(row["loss"]) is type(row["accuracy"]) is type(row["seconds"]) is float for row in history.rows)
    assert all(0 <= row["accuracy"] <= 1 and row["seconds"] > 0 for row in history.rows)
    with pytest.raises(KeyError, match="validation_loss"):
        history.column("validation_loss")


@pytest.mark.parametrize("n", [1, LOOK_EVERY - 1, LOOK_EVERY, LOOK_EVERY + 1, 2 * LOOK_EVERY])
def test_every_batch_counts_whenever_the_loss_is_looked_at(n):
    batches, model = toy_batches(sizes=(3,) * n), linear_model()
    history = quiet_fit(model, batches, epochs=1, optimizer=sgd(model, 0.0))
    assert history.column("loss") == pytest.approx([evaluate(model, batches).loss], rel=1e-5)
    assert history.column("accuracy") == pytest.approx([evaluate(model, batches).score])


def test_no_batches_to_train_on_are_an_error():
    with pytest.raises(ValueError, match="at least one batch"):
        quiet_fit(linear_model(), [], epochs=1)


class Watch(nn.Module):
    """Notes the mode it is called in."""

    def __init__(self):
        super().__init__()
        self.modes = []

    def forward(self, x):
        self.modes.append(self.training)
        return x


@pytest.mark.parametrize("mode", [True, False])
def test_training_is_in_training_mode_and_leaves_evaluation_mode(mode):
    watch = Watch()
    model = nn.Sequential(watch, linear_model()).train(mode)
    batches = toy_batches(sizes=(4, 4))
    quiet_fit(model, batches, batches[:1], epochs=2)
    assert watch.modes == [True, True, False] * 2
    assert not model.training


@pytest.mark.parametrize("dtype", [torch.bfloat16, None])
def test_autocast_reaches_the_model_and_not_the_parameters_or_the_loss(dtype):
    model, seen = linear_model(), set()
    model.register_forward_hook(lambda module, inputs, output: seen.add(output.dtype))
    given = set()

    def watched(logits, labels):
        given.add(logits.dtype)
        return F.cross_entropy(logits, labels)

    history = quiet_fit(model, toy_batches(), epochs=30, autocast=dtype, loss=watched)
    assert seen == {dtype or torch.float32}
    assert given == {torch.float32}
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert history.column("accuracy")[-1] == 1.0


# Another loss, another score


def squared_error(outputs, targets):
    return F.mse_loss(outputs, targets)


def close(outputs, targets):
    return (outputs - targets).abs().amax(1) < 0.1


def regression_batches():
    """The centre of mass of four pixels, (B, 2): where an image is bright."""
    corners = torch.tensor([[-1.0, -1], [1, -1], [-1, 1], [1, 1]])
    return [(images, images.flatten(1) @ corners) for images, _ in toy_batches()]


def test_another_loss_and_score_with_labels_of_another_shape():
    torch.manual_seed(0)
    model, batches = nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), regression_batches()
    options = {"loss": squared_error, "score": close}
    history = quiet_fit(model, batches, batches, epochs=40, **options)
    columns = {"epoch", "loss", "close", "seconds", "validation_loss", "validation_close"}
    assert [set(row) for row in history.rows] == [columns] * 40
    scored = evaluate(model, batches, squared_error, close)
    assert scored[:2] == (history.column("validation_loss")[-1], history.column("validation_close")[-1])
    assert scored.score == 1.0 and scored.loss < 0.01 < history.column("loss")[0]
    images, targets = (torch.cat(parts) for parts in zip(*batches))
    assert scored.loss == pytest.approx(F.mse_loss(model(images), targets).item(), rel=1e-4)


def test_a_score_may_be_a_share_and_names_its_column(capsys):
    def half(outputs, labels):
        return torch.full((len(labels),), 0.5)

    model = linear_model()
    history = fit(model, toy_batches(), toy_batches(), epochs=1, optimizer=sgd(model), score=half)
    assert history.column("half") == history.column("validation_half") == [0.5]
    assert "   half 50.00%   validation 50.00%   " in capsys.readouterr().out


@pytest.mark.parametrize(
    "score", [lambda outputs, labels: labels, functools.partial(close), None], ids=["lambda", "partial", "none"]
)
def test_a_score_without_a_name_is_refused(score):
    assert_refused("a function with a name of its own", linear_model(), toy_batches(), TypeError, score=score)


def test_a_loss_that_is_no_mean_and_a_score_that_is_none_are_told():
    def seconds(outputs, labels):
        return labels

    each = functools.partial(F.cross_entropy, reduction="none")
    assert_refused(
        r"loss to give one number, .* got a tensor of shape \(16,\)", linear_model(), toy_batches(), loss=each
    )
    assert_refused("name of its own", linear_model(), toy_batches(), TypeError, score=seconds)
    told = r"close to give \(16,\), one number for each image, got a tensor of shape \(\)"
    with pytest.raises(ValueError, match=told):
        evaluate(linear_model(), toy_batches(), score=named("close", lambda outputs, labels: outputs.mean()))


def named(name, function):
    function.__name__ = name
    return function


def test_labels_of_another_number_than_images_are_refused_whatever_the_loss():
    images, targets = regression_batches()[0]
    told = r"expected labels as \(16, ...\), one for each image, got torch.float32 \(15, 2\)"
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    assert_refused(told, model, [(images, targets[1:])], loss=squared_error, score=close)


# What cannot be trained, or not on that


def assert_refused(told, model, train, error=ValueError, **options):
    """Nothing was changed but by the steps before."""
    state = state_of(model)
    with pytest.raises(error, match=told):
        quiet_fit(model, train, epochs=2, **options)
    assert_same_state(model, state)


def once(batches):
    yield from batches


@pytest.mark.parametrize("make", [iter, once, lambda batches: zip(*zip(*batches)), len, lambda _: None])
def test_batches_that_cannot_be_gone_through_again_are_refused_before_the_first_step(make):
    model, batches = linear_model().eval(), toy_batches()
    kind = type(make(batches)).__name__
    told = f"batches that can be gone through once an epoch, such as a list or a DataLoader, got a {kind}"
    assert_refused(f"expected train as {told}", model, make(batches), TypeError)
    if make(batches) is not None:
        assert_refused(f"expected validation as {told}", model, batches, TypeError, validation=make(batches))


class WrongLength:
    """Batches that are as many as they are, and say otherwise."""

    def __init__(self, batches, length):
        self.batches, self.length = batches, length

    def __iter__(self):
        return iter(self.batches)

    def __len__(self):
        if self.length is None:
            raise TypeError("nobody knows")
        return self.length


class OldFashioned:
    """Iterated by index."""

    def __getitem__(self, index):
        return toy_batches()[index]


@pytest.mark.parametrize(
    "batches",
    [*(WrongLength(toy_batches(), n) for n in (None, 0, 1, 2, 9)), OldFashioned()],
    ids=lambda b: vars(b).get("length"),
)
def test_every_batch_counts_however_many_there_are_said_to_be(batches):
    expected = quiet_fit(linear_model(), toy_batches(), epochs=2)
    history = quiet_fit(linear_model(), batches, epochs=2)
    for column in ("loss", "accuracy"):
        assert history.column(column) == expected.column(column)


def test_a_data_loader_will_do_and_its_order_is_left_alone():
    images, labels = (torch.cat(parts) for parts in zip(*toy_batches()))
    data = torch.utils.data.TensorDataset(images, labels)

    def trained(epochs):
        generator = torch.Generator().manual_seed(3)
        loader = torch.utils.data.DataLoader(data, 16, shuffle=True, generator=generator)
        quiet_fit(linear_model(), loader, epochs=epochs)
        return generator.get_state()

    expected = torch.Generator().manual_seed(3)
    list(torch.utils.data.DataLoader(data, 16, shuffle=True, generator=expected))
    assert torch.equal(trained(1), expected.get_state())  # it was gone through once, not twice


IMAGES, LABELS = toy_batches(sizes=(5,))[0]
NO_BATCHES = {
    "images alone": (IMAGES, TypeError, "tensor of images and one of labels, got Tensor"),
    "three": ((IMAGES, LABELS, LABELS), TypeError, r"got \['Tensor', 'Tensor', 'Tensor'\]"),
    "lists": ((IMAGES.tolist(), LABELS.tolist()), TypeError, r"got \['list', 'list'\]"),
    "no image": ((IMAGES[:0], LABELS[:0]), ValueError, "at least one image in every batch"),
    "a label too few": ((IMAGES, LABELS[1:]), ValueError, r"labels as int64 \(5,\).* got torch.int64 \(4,\)"),
    "a column of labels": ((IMAGES, LABELS[:, None]), ValueError, r"got torch.int64 \(5, 1\)"),
    "float labels": ((IMAGES, LABELS.float()), ValueError, r"int64 \(5,\).* got torch.float32 \(5,\)"),
    "int32 labels": ((IMAGES, LABELS.int()), ValueError, r"int64 \(5,\).* got torch.int32 \(5,\)"),
    "PyTorch's ignored label": ((IMAGES, torch.tensor([0, 1, -100, 2, 3])), ValueError, "labels from 0 on, got -100"),
}


@pytest.mark.parametrize("batch, error, told", NO_BATCHES.values(), ids=NO_BATCHES)
def test_a_batch_that_is_none_is_refused_before_its_step(batch, error, told):
    model, twin, batches = linear_model(), linear_model(), toy_batches()
    assert_refused(told, model, [batch], error)
    with pytest.raises(error, match=told):
        quiet_fit(model, [batches[0], batch], epochs=1)
    quiet_fit(twin, batches[:1], epochs=1)
    assert_same_state(model, twin.state_dict())
    with pytest.raises(error, match=told):
        evaluate(model, [batches[0], batch])


def test_an_optimiser_of_another_model_is_refused():
    assert_refused(
        "optimizer over the model's parameters", linear_model(), toy_batches(), optimizer=sgd(linear_model())
    )


@pytest.mark.parametrize("clip", [0, -1.0, math.nan])
def test_a_clip_that_is_none_is_refused(clip):
    assert_refused(f"clip as a number above 0, or None, got {clip}", linear_model(), toy_batches(), clip=clip)


def test_gradients_that_the_optimiser_does_not_hold_are_not_added_up():
    """Else they would grow from step to step, and with them the norm by which all are clipped."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 4), nn.Linear(4, 4))
    norms = []

    def after_step(optimizer, arguments, options):
        norms.append(model[1].weight.grad.norm().item())

    optimizer = sgd(model[2], 0.0)
    optimizer.register_step_post_hook(after_step)
    quiet_fit(model, toy_batches(sizes=(16,)), epochs=3, optimizer=optimizer)
    assert norms == [pytest.approx(norms[0])] * 3


@pytest.mark.parametrize(
    "error", [RuntimeError("out of paper"), torch.OutOfMemoryError("CUDA out of memory.")], ids=repr
)
def test_a_model_is_in_evaluation_mode_however_training_ends(error):
    def fail(_):
        raise error

    model = linear_model()
    with pytest.raises(type(error)):
        quiet_fit(model, Interrupted(toy_batches(), 2, 2, fail), epochs=3)
    assert not any(module.training for module in model.modules())


# Evaluating


def test_evaluation_is_the_mean_over_all_images():
    model, batches = rich_model(), toy_batches(sizes=(7, 7, 2))
    quiet_fit(model, batches, epochs=1)
    model.train()
    state = state_of(model)
    scored = evaluate(model, batches)
    assert model.training
    assert_same_state(model, state)  # running statistics too
    model.eval()
    assert evaluate(model, iter(batches)) == scored  # a length is not needed
    assert not model.training
    with torch.no_grad():
        logits = torch.cat([model(images) for images, _ in batches])
    labels = torch.cat([labels for _, labels in batches])
    chances = logits.double().softmax(1)[torch.arange(16), labels]
    assert scored.loss == pytest.approx(-chances.log().mean().item(), rel=1e-5)
    assert scored.score == (logits.argmax(1) == labels).sum().item() / 16
    assert isinstance(scored, Evaluation)
    assert all(type(value) is float for value in scored[:2])
    assert scored.missed == tuple((logits.argmax(1) != labels).nonzero().flatten().tolist())


@pytest.mark.parametrize("mode", [True, False])
def test_nothing_to_evaluate_on_is_an_error_and_the_mode_is_put_back(mode):
    model = rich_model().train(mode)
    with pytest.raises(ValueError, match="at least one batch"):
        evaluate(model, [])
    assert model.training is mode


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("at_step", [None, 1, 3])
def test_each_part_has_its_own_mode_back_however_evaluation_ends(error, at_step):
    def fail(_):
        raise error

    model = rich_model().train()
    model[1].eval()  # a frozen part
    modes = [module.training for module in model.modules()]
    assert len(set(modes)) == 2
    batches = Interrupted(toy_batches(), 1, at_step, fail)
    if at_step is None:
        evaluate(model, batches)
    else:
        with pytest.raises(error):
            evaluate(model, batches)
    assert [module.training for module in model.modules()] == modes


# Validation, additions to the rows, going on


def test_validation_columns_are_the_evaluation_after_each_epoch():
    model, train, validation = rich_model(), toy_batches(), toy_batches(seed=2)
    scored = []
    history = quiet_fit(
        model, train, validation, epochs=3, after_epoch=lambda row: scored.append(evaluate(model, validation))
    )
    assert history.column("validation_loss") == [one.loss for one in scored]
    assert history.column("validation_accuracy") == [one.score for one in scored]
    assert evaluate(model, validation) == scored[-1]


def test_after_epoch_sees_the_whole_row_and_adds_to_it():
    rows = []

    def after_epoch(row):
        rows.append(dict(row))
        return {"twice": 2 * row["epoch"]} if row["epoch"] > 1 else None

    batches = toy_batches()
    history = quiet_fit(linear_model(), batches, batches, epochs=3, after_epoch=after_epoch)
    columns = {"epoch", "loss", "accuracy", "seconds", "validation_loss", "validation_accuracy"}
    assert [set(row) for row in rows] == [columns] * 3
    assert [row.get("twice") for row in history.rows] == [None, 4, 6]
    assert [{**row, "twice": 0} for row in history.rows] == [{**row, "twice": 0} for row in rows]


def test_going_on_with_a_history_is_the_same_as_never_having_stopped():
    batches, whole, parts = toy_batches(), linear_model(), linear_model()
    expected = quiet_fit(whole, batches, epochs=5)
    optimizer, history = sgd(parts), History()
    for epochs in (2, 3, 5):
        assert quiet_fit(parts, batches, epochs=epochs, optimizer=optimizer, history=history) is history
        assert history.column("epoch") == list(range(1, epochs + 1))
    assert history.column("loss") == expected.column("loss")
    assert_same_state(parts, whole.state_dict())


def test_no_more_epochs_change_nothing():
    model, batches = rich_model(), toy_batches()
    history = quiet_fit(model, batches, epochs=2)
    state, rows = state_of(model), copy.deepcopy(history.rows)
    for epochs in (0, 1, 2):
        quiet_fit(model, batches, epochs=epochs, history=history)
    assert_same_state(model, state)
    assert history.rows == rows


# Ctrl-C


@pytest.mark.parametrize("epoch, step", [(1, 1), (1, 3), (3, 1), (3, 4)])
def test_ctrl_c_leaves_a_usable_model_and_history(epoch, step, capsys):
    model, twin, batches = linear_model(), linear_model(), toy_batches()
    optimizer = sgd(model)
    history = quiet_fit(model, Interrupted(batches, epoch, step, ctrl_c), epochs=5, optimizer=optimizer)
    assert history.column("epoch") == list(range(1, epoch))
    assert history.stopped == f"stopped by hand in epoch {epoch} of 5"
    assert capsys.readouterr().out == f"Training stopped by hand in epoch {epoch} of 5.\n"
    assert not model.training
    by_hand(twin, batches, epoch - 1, 0.5)  # the model is as it was at that moment: finished epochs and finished steps
    by_hand(twin, batches[: step - 1], int(step > 1), 0.5)
    torch.testing.assert_close(dict(model.state_dict()), dict(twin.state_dict()), rtol=1e-4, atol=1e-6)
    history = quiet_fit(model, batches, epochs=30, optimizer=optimizer, history=history)
    assert history.stopped is None
    assert history.column("epoch") == list(range(1, 31))
    assert evaluate(model, batches).score == 1.0


def test_ctrl_c_between_two_epochs():
    batches = toy_batches()
    history = quiet_fit(linear_model(), batches, Interrupted(batches, 2, 1, ctrl_c), epochs=3)
    assert (len(history), history.stopped) == (1, "stopped by hand in epoch 2 of 3")

    def after_epoch(row):
        if row["epoch"] == 2:
            raise KeyboardInterrupt

    history = quiet_fit(linear_model(), batches, epochs=3, after_epoch=after_epoch)
    assert (len(history), history.stopped) == (1, "stopped by hand in epoch 2 of 3")


def test_other_errors_are_not_kept_back():
    def fail(_):
        raise RuntimeError("out of paper")

    with pytest.raises(RuntimeError, match="out of paper"):
        quiet_fit(linear_model(), Interrupted(toy_batches(), 2, 2, fail), epochs=3)


# A loss that is not finite


def states_after_epochs(model):
    """`after_epoch` that keeps the state of each epoch's end, and the list it keeps them in; the first is the start."""
    states = [state_of(model)]
    return lambda row: states.append(state_of(model)), states


def not_a_number(batch):
    return batch[0] * math.nan, batch[1]


@pytest.mark.parametrize("epoch, step", [(1, 1), (1, 4), (3, 2), (3, 4)])
def test_a_poisoned_batch_is_found_and_the_model_put_back(epoch, step, capsys):
    model = rich_model()
    after_epoch, states = states_after_epochs(model)
    history = quiet_fit(model, Interrupted(toy_batches(), epoch, step, not_a_number), epochs=4, after_epoch=after_epoch)
    assert history.stopped == (
        f"stopped because the loss became nan at step {step} in epoch {epoch} of 4; "
        f"the model is back at the end of epoch {epoch - 1}"
    )
    assert f"Training {history.stopped}." in capsys.readouterr().out
    assert history.column("epoch") == list(range(1, epoch))
    assert_same_state(model, states[-1])
    assert len(states) == epoch
    assert not model.training


@pytest.mark.parametrize("step", [1, LOOK_EVERY, LOOK_EVERY + 1, 2 * LOOK_EVERY + 7, 3 * LOOK_EVERY])
def test_the_first_step_of_many_is_named_and_training_does_not_go_on_for_long(step):
    batches = Interrupted(toy_batches(sizes=(4,) * 3 * LOOK_EVERY), 1, step, not_a_number)
    history = quiet_fit(linear_model(), batches, epochs=1)
    assert f"nan at step {step} in epoch 1 of 1" in history.stopped
    assert step <= batches.steps < step + LOOK_EVERY


def test_a_nan_in_theta_is_found():
    model = rich_model()
    after_epoch, states = states_after_epochs(model)

    def poison(_):
        with torch.no_grad():
            model[0].localisation[-1].bias[2] = math.nan

    history = quiet_fit(model, Interrupted(toy_batches(), 3, 2, poison), epochs=4, after_epoch=after_epoch)
    assert "nan at step 2 in epoch 3 of 4" in history.stopped
    assert_same_state(model, states[-1])
    assert len(states) == 3
    assert model[0].localisation[-1].bias.isfinite().all()


def test_a_loss_that_is_infinite_is_found():
    batches = toy_batches()
    batches[1] = torch.full((4, 1, 2, 2), 3e38), torch.arange(4)  # finite pixels; some label is infinitely unlikely
    model = linear_model()
    history = quiet_fit(model, batches, epochs=1)
    assert "became inf at step 2 in epoch 1 of 1" in history.stopped
    assert_same_state(model, linear_model().state_dict())


@pytest.mark.parametrize("step", [2, 4])
def test_a_gradient_that_is_not_finite_does_not_end_an_epoch_well(step):
    """The loss of the step is finite, and after the last step of an epoch there is no other loss to tell."""
    model = linear_model()
    after_epoch, states = states_after_epochs(model)
    poisoned = []

    def poison(_):
        poisoned.append(model[1].weight.register_hook(lambda gradient: gradient * math.nan))

    history = quiet_fit(model, Interrupted(toy_batches(), 2, step, poison), epochs=2, after_epoch=after_epoch)
    assert poisoned
    assert history.stopped is not None
    assert history.column("epoch") == [1]
    assert len(states) == 2
    assert_same_state(model, states[1])


def test_going_on_after_a_poisoned_batch_was_removed():
    model, batches = linear_model(), toy_batches()
    optimizer = sgd(model)
    history = quiet_fit(model, Interrupted(batches, 2, 1, not_a_number), epochs=30, optimizer=optimizer)
    assert len(history) == 1
    history = quiet_fit(model, batches, epochs=30, optimizer=optimizer, history=history)
    assert history.stopped is None
    assert len(history) == 30
    assert evaluate(model, batches).score == 1.0


# A GPU whose memory is short


class Cramped(nn.Module):
    """Has room for so many images at once, or, on the way back, for so many of their gradients."""

    def __init__(self, model, images=99, gradients=99):
        super().__init__()
        self.model, self.images, self.gradients, self.largest = model, images, gradients, 0

    def forward(self, images):
        if len(images) > self.images:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        self.largest = max(self.largest, len(images))
        logits = self.model(images)
        if logits.requires_grad:
            logits.register_hook(self.check)
        return logits

    def check(self, gradient):
        if len(gradient) > self.gradients:
            raise torch.OutOfMemoryError("CUDA out of memory.")


@pytest.mark.parametrize("room", [{"images": 5}, {"gradients": 5}, {"images": 1}], ids=str)
def test_a_batch_taken_in_parts_gives_the_same_gradient(room, capsys):
    models = linear_model(), linear_model()
    cramped = Cramped(models[1], **room)
    histories = [
        quiet_fit(model, toy_batches(), toy_batches(seed=1), epochs=3, optimizer=sgd(model), clip=1.0)
        for model in (models[0], cramped)
    ]
    torch.testing.assert_close(dict(models[0].state_dict()), dict(models[1].state_dict()), atol=1e-6, rtol=1e-6)
    for name in ("loss", "accuracy", "validation_loss", "validation_accuracy"):
        assert histories[0].column(name) == pytest.approx(histories[1].column(name), rel=1e-6)
    assert capsys.readouterr().out.splitlines()[0] == (
        "16 images at once do not fit into the GPU's memory: going on in parts of 8."
    )


def test_how_many_parts_there_are_is_found_out_once(capsys):
    cramped = Cramped(linear_model(), images=8)
    quiet_fit(cramped, toy_batches(), epochs=5)
    assert capsys.readouterr().out.count("do not fit") == 1
    assert cramped.largest == 8


@pytest.mark.parametrize("where", ["batch", "state", "optimiser", "evaluation"])
def test_memory_that_is_short_outside_of_the_model_is_told_with_what_to_do(where, monkeypatch):
    def full(*arguments, **options):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    model = linear_model()
    batches, optimizer = toy_batches(), sgd(model)
    if where == "state":
        monkeypatch.setattr(copy, "deepcopy", full)
    elif where == "optimiser":
        optimizer.step = full
    train = Interrupted(batches, 1, 1 if where == "batch" else 0, full)
    with pytest.raises(torch.OutOfMemoryError) as error:
        if where == "evaluation":
            evaluate(model, Interrupted(batches, 1, 2, full))
        else:
            quiet_fit(model, train, epochs=1, optimizer=optimizer)
    assert error.value.__notes__ == [ADVICE]


def test_with_batch_normalisation_a_batch_is_not_taken_in_parts():
    model = Cramped(rich_model(), images=8)
    with pytest.raises(torch.OutOfMemoryError) as error:
        quiet_fit(model, toy_batches(), epochs=1)
    assert "batch normalisation" in error.value.__notes__[0]
    assert evaluate(model, toy_batches())[:2] == pytest.approx(
        evaluate(model.model, toy_batches())[:2]
    )  # each for itself


# What is shown


def test_a_line_for_each_epoch(capsys):
    model, batches = linear_model(), toy_batches()
    history = fit(model, batches, batches, epochs=3, optimizer=sgd(model))
    shown = capsys.readouterr().out
    lines = [line for line in shown.replace("\r", "\n").splitlines() if "validation" in line]
    assert [line.split("   ")[0] for line in lines] == ["epoch  1/3", "epoch  2/3", "epoch  3/3"]
    for line, row in zip(lines, history.rows, strict=True):
        assert f"loss {row['loss']:.4f}" in line
        assert f"accuracy {row['accuracy']:.2%}" in line
        assert f"validation {row['validation_accuracy']:.2%}" in line
        assert line.endswith(f"{row['seconds']:.0f} s")
    assert shown.endswith(lines[-1] + "\n")  # the bar is cleared away before


def test_a_line_without_validation_does_not_speak_of_it(capsys):
    model = linear_model()
    fit(model, toy_batches(), epochs=1, optimizer=sgd(model))
    last = capsys.readouterr().out.replace("\r", "\n").splitlines()[-1]
    assert last.startswith("epoch  1/1   loss ")
    assert "validation" not in last


def test_without_progress_nothing_is_shown(capsys):
    batches = toy_batches()
    quiet_fit(linear_model(), batches, batches, epochs=2)
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "")
