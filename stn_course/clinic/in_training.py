"""The tests of a model that has been trained, or is about to be: modes, where θ is, how fast it moves, what it reaches.

They are made after those of `before_training`, and take for granted that these have found nothing.
"""

import torch
from torch import Tensor, nn

from stn_course.checks import describe
from stn_course.clinic.before_training import Told, _each, identity
from stn_course.clinic.case import AFFINE, Case, Sampling
from stn_course.clinic.examination import CannotTellError, Finding
from stn_course.watching import OUTSIDE, SMALL

BLANK = 0.1  # of the picture's contrast
TOO_FAR = 0.25  # the corners of the frames in one step; the picture is 2 wide
STEPS = 3  # in which they are watched
OVERFIT_STEPS, OVERFIT_RATE = 40, 2e-3
LEARNED = 0.5  # of the first loss: no need to go on


def modes_fit(case: Case) -> Told:
    """Do the numbers that batch normalisation keeps belong to these images?"""
    norms = {name: m for name, m in case.model.named_modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)}
    norms = {name: norm for name, norm in norms.items() if norm.track_running_stats and norm.running_mean is not None}
    mode = "training" if case.was_training else "evaluation"
    if not norms:
        return f"{mode} mode; no batch normalisation"
    new = [name for name, norm in norms.items() if norm.num_batches_tracked == 0]
    if new and not case.was_training:
        return _statistics(
            f"{new[0]} normalises by the numbers that it was made with: it never saw a batch in training"
        )
    if new:
        return "training mode; batch normalisation has not seen a batch yet"
    if len(case.images) < 2:
        raise CannotTellError("a batch of one has no statistics to compare with")
    off: dict[str, float] = {}

    def compare(name: str, norm: nn.Module, given: tuple[Tensor]) -> None:
        axes = [axis for axis in range(given[0].ndim) if axis != 1]
        x = given[0].detach().cpu().double()
        mean, variance = x.mean(axes), x.var(axes, unbiased=False)
        kept = norm.running_var.cpu().double() + norm.eps
        shift = ((mean - norm.running_mean.cpu().double()).abs() / kept.sqrt()).median()
        ratio = ((variance + norm.eps) / kept).log().abs().median().exp()
        off[name] = max(shift.item() / 2, ratio.item() / 10)

    hooks = [
        norm.register_forward_pre_hook(lambda module, given, name=name: compare(name, module, given))
        for name, norm in norms.items()
    ]
    try:
        case.look()
    finally:
        for hook in hooks:
            hook.remove()
    strangers = [name for name, much in off.items() if much > 1]
    if strangers:
        return _statistics(f"what {strangers[0]} keeps is far from the mean and variance of this batch there")
    return f"{mode} mode; batch normalisation knows these images"


def _statistics(seen: str) -> Finding:
    return Finding(
        "batch norm in evaluation",
        seen,
        "In evaluation mode batch normalisation uses the mean and variance that it has kept from training. If those "
        "are of other images, or of none, every layer behind it gets numbers on a wrong scale.",
        "Train in training mode: model.train() before each epoch, model.eval() for the score only. Give it enough "
        "batches, prepared as those at the score are.",
    )


def frame_is_in_sight(case: Case) -> Told:
    """Has θ run away?"""
    for who, sampling in _each(case):
        matrix = sampling.affine
        area = torch.linalg.det(matrix[:, :, :2].nan_to_num())
        lost = sampling.grid.detach().isnan().double().mean().item()
        outside, area = sampling.outside.median().item(), area.median().item()
        wrong = (
            f"{lost:.0%} of the grid is NaN"
            if lost
            else f"{outside:.0%} of a typical output lies outside the picture"
            if outside > OUTSIDE
            else f"a typical frame has {abs(area):.2%} of the picture's area"
            if abs(area) < SMALL
            else None
        )
        mirrored = not wrong and area < 0 and not isinstance(identity(case), Finding)
        if wrong or mirrored:
            return Finding(
                "θ has run away",
                f"{wrong or f'a typical picture is mirrored (determinant {area:.2f})'}, at {who}",
                "If it has been trained, a step was too large; if not, it starts there, or the grid is wrong (see "
                "above)."
                + " Where the frame holds nothing but one colour, the gradient of θ is 0, and it never comes back."
                * (not mirrored),
                "Start anew from the identity: with a smaller rate of the localisation network, a clipped gradient, or "
                "bounds for θ (`Bounded`).",
            )
    sampling = case.plain.samplings[0]
    return f"{sampling.outside.mean():.0%} of the output lies outside"


def rates_are_small_enough(case: Case) -> Told:
    """How far do the frames move in one step of the optimiser?"""
    _each(case)
    if case.optimizer is None:
        raise CannotTellError("it needs the optimiser: examine(model, batch, optimizer=…)")
    _needs_labels(case)
    trial = case.copy()
    if found := _not_held(trial):
        return found
    furthest, corners = 0.0, [_corners(each) for each in trial.plain.samplings]
    for step in range(1, STEPS + 1):
        loss = _step(trial, trial.optimizer, step)
        before, corners = corners, [_corners(each) for each in trial.look().samplings]
        moved = max((new - old).norm(dim=-1).mean().item() for new, old in zip(corners, before))
        furthest = max(furthest, moved) if moved == moved else torch.inf
        if not furthest < TOO_FAR or not loss < torch.inf:
            return Finding(
                "localisation rate too high",
                f"in step {step} the corners of the frames move by {furthest:.2f}; the picture is 2 wide",
                "θ jumps over the place that it should find, and a few steps later it looks at nothing.",
                "Give the localisation network a rate of its own, a tenth of the others' to begin with: two groups of "
                "parameters.",
            )
    return f"the frames move by up to {furthest:.2g} a step; the picture is 2 wide"


def _not_held(case: Case) -> Finding | None:
    """Whether θ depends on parameters, and the optimiser moves none of them."""
    learning = [each for each in case.model.parameters() if each.requires_grad]
    moved = {id(each) for group in case.optimizer.param_groups if group["lr"] for each in group["params"]}
    thetas = [each.grid if each.theta is None else each.theta for each in case.plain.samplings]
    thetas = [theta for theta in thetas if theta.requires_grad]
    slopes = (
        torch.autograd.grad([theta.sum() for theta in thetas], learning, allow_unused=True)
        if thetas and learning
        else ()
    )
    under = [each for each, slope in zip(learning, slopes) if slope is not None]
    if not under or any(id(each) in moved for each in under):
        return None
    return Finding(
        "θ is not trained",
        f"the optimiser moves none of the {len(under)} parameters that θ depends on",
        "The optimiser does not hold the parameters of the localisation network, or their rate is 0.",
        "Make the optimiser from model.parameters(), after the model is complete.",
    )


def reaches_what_there_is(case: Case) -> Told:
    """Is there something in each frame, for a gradient to hold on to?"""
    lost = 0
    for who, sampling in _each(case):
        if sampling.theta is not None and not sampling.theta.requires_grad:
            continue  # a crop at random, it may be; "gradient at the head" has said so
        if sampling.outside.median() > OUTSIDE:
            lost += 1
            continue
        images, warped = sampling.images.detach().cpu().double(), sampling.warped.detach().cpu().double()
        contrast = images.flatten(2).std(2).amax(1)
        blank = warped.flatten(2).std(2).amax(1) < BLANK * contrast
        share = (blank & (contrast > 0)).double().mean().item()
        if share > 0.25:
            return Finding(
                "reach too short",
                f"of {share:.0%} of the pictures {who} sees one colour only; {sampling.outside[blank].mean():.0%} of "
                "its output lies outside",
                "A bilinear sampler feels four pixels. Where these are alike the pull on θ is 0: what lies further "
                "away than the frame, and a pixel, is never found.",
                "Begin with a frame that holds everything, and let it shrink; or let the localisation network's first "
                "frames see a small, smooth copy.",
            )
    if lost:
        raise CannotTellError("the frames lie outside the picture: mend that first")
    return "there is something to see in the frames"


def overfits_one_batch(case: Case) -> Told:
    """Can it learn this one batch by heart?"""
    if case.labels is not None and (found := _refused(case)):
        return found
    _needs_labels(case)
    trial = case.copy()
    learning = [each for each in trial.model.parameters() if each.requires_grad]
    if not learning:
        raise CannotTellError("no parameter of the model may learn: requires_grad is False")
    optimizer = torch.optim.Adam(learning, lr=OVERFIT_RATE)
    losses: list[float] = []
    while len(losses) < OVERFIT_STEPS and (len(losses) < 6 or not sum(losses[-5:]) / 5 < LEARNED * losses[0]):
        losses.append(_step(trial, optimizer, len(losses)))
    first, last = losses[0], sum(losses[-5:]) / 5
    if first > 0.3 and not last < 0.8 * first:
        return Finding(
            "it cannot overfit one batch",
            f"after {OVERFIT_STEPS} steps on {len(case.images)} images the loss went from {first:.2f} to {last:.2f}",
            "What cannot learn a handful of images by heart learns nothing else. If no test above has found anything, "
            "look at the labels, the loss and the classifier.",
            "Are these labels those of these images? Does the loss get logits, and no softmax of them? Is the rate "
            "neither 0 nor far too large?",
        )
    return f"loss {first:.2f} → {last:.2f} in {len(losses)} steps on {len(case.images)} images"


def _needs_labels(case: Case) -> None:
    if case.labels is None:
        raise CannotTellError("it needs labels: give the batch as (images, labels)")
    if _refused(case):
        raise CannotTellError("the loss does not take these labels")
    norms = [m for m in case.model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    if norms and len(case.images) < 2:
        raise CannotTellError("batch normalisation cannot be trained on a batch of one")


def _refused(case: Case) -> Finding | None:
    """Whether the loss takes these outputs with these labels."""
    try:
        case.loss(case.plain.output, case.labels)
    except Exception as error:
        said = (str(error).splitlines() or [""])[0][:200]
        return Finding(
            "the loss does not take these labels",
            f"{type(error).__name__}: {said}; the output is {describe(case.plain.output)}, the labels are "
            f"{describe(case.labels)}",
            "The loss is made for labels of another shape or another kind of number.",
            "Call loss(model(images), labels) by itself. Cross-entropy takes a class for each image: whole numbers "
            "(int64) from 0, of shape (B,).",
        )
    return None


def _step(trial: Case, optimizer: torch.optim.Optimizer, seed: int) -> float:
    optimizer.zero_grad()
    loss = trial.loss(trial.look(training=True, seed=seed).output, trial.labels)
    if loss.requires_grad:
        loss.backward()
        optimizer.step()
    return loss.item()


def _corners(sampling: Sampling) -> Tensor:
    return AFFINE.grid(sampling.affine.flatten(1), (2, 2), align_corners=True)  # (B, 2, 2, 2)
