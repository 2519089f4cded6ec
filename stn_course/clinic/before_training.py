"""The tests that need no training step: does θ do what it should, does the network see it, does a gradient come back?

Each takes a `Case` and gives a `Finding`, or says in words what it saw; it raises `CannotTellError` where it cannot be
made. The order is that in which one looks: each test takes for granted what the ones before it have found in order.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from stn_course.clinic.case import AFFINE, Case, Sampling, Seen, is_affine, known_theta
from stn_course.clinic.examination import CannotTellError, Finding
from stn_course.numbers import short
from stn_course.transforms import regular_grid

Told = Finding | str

HALF = (torch.float16, torch.bfloat16)


def runs(case: Case) -> Told:
    """Does the model take this batch, and give numbers?"""
    spoilt = [name for name, each in case.model.named_parameters() if not each.is_meta and not each.isfinite().all()]
    if spoilt:
        return Finding(
            "weights that are no numbers",
            f"NaN or infinity in {spoilt[0]}, {len(spoilt)} of the model's parameters in all",
            "A step was so large that numbers overflowed. Nothing can be learned from here.",
            "Go back to the last sound weights; lower the rates, and clip the gradient.",
        )
    if any(parameter.is_meta for parameter in case.model.parameters()):
        raise CannotTellError("the model is on the device meta: its weights have no values")
    try:
        seen = case.plain
    except Exception as error:
        said = (str(error).splitlines() or [""])[0][:200]
        return Finding(
            "it does not run",
            f"{type(error).__name__}: {said}",
            f"The model does not take a batch {tuple(case.images.shape)}, {_name(case.images.dtype)}.",
            "Call model.eval()(images) by itself, and compare the shapes. An error within it comes first.",
        )
    if not seen.output.isfinite().all():
        return Finding(
            "output that is no number",
            f"{(~seen.output.isfinite()).double().mean():.0%} of the model's output is NaN or infinite",
            "The weights are sound, so the images, or an operation between, are not.",
            "Look for NaN in the images, then for a division by 0 or a logarithm of 0.",
        )
    return f"{tuple(case.images.shape)} → {tuple(seen.output.shape)}"


def looks_somewhere(case: Case) -> Told:
    """Is there a transformer at all?"""
    samplings = case.plain.samplings
    if not samplings:
        return Finding(
            "no transformer",
            "nothing called F.grid_sample, and no SpatialTransformer was run",
            "Either the model has no spatial transformer, or it does not use it; or it samples in a way of its own, "
            "or is compiled or scripted, and cannot be watched.",
            "Call the transformer in `forward`. Of a compiled model, examine the original.",
        )
    ways = {f"{tuple(s.images.shape[2:])} → {tuple(s.warped.shape[2:])} pixels" for s in samplings}
    return f"{len(samplings)} transformer{'s' * (len(samplings) > 1)}, {', '.join(sorted(ways))}"


def identity(case: Case) -> Told:
    """Does it begin by showing the plain picture, or look somewhere sensible since?"""
    for who, sampling in _each(case):
        mean = sampling.affine.mean(0)  # (2, 3)
        rows, columns = sampling.images.shape[2:]
        if rows != columns and tuple(sampling.warped.shape[2:]) == (columns, rows):
            return _swapped_sizes(who, f"pictures {rows}×{columns} (H×W) come out {columns}×{rows}")
        if rows != columns and (found := _scrambled(sampling)):
            return _swapped_sizes(who, found)
        (a, b), (c, d) = mean[:, :2].tolist()
        size, area = (a * a + b * b + c * c + d * d) / 2, a * d - b * c
        upright = min(a, d) > 0.1 and max(abs(b), abs(c)) < 0.3 * min(a, d)
        if min(b, c) > 0.5 and max(abs(a), abs(d)) < 0.5:
            return _swapped_axes(
                f"with its own θ, {who} shows the picture transposed: x_s = {b:.2f} y, y_s = {c:.2f} x"
            )
        inside = sampling.outside.mean() <= 0.5
        collapsed = size < 0.01 or abs(area) < 0.3 * size
        if inside and not upright and (collapsed or size < 0.25):
            return Finding(
                "no identity",
                f"the mean frame of {who} is {short(mean.flatten(), 2)}; the identity is [1, 0, 0, 0, 1, 0]",
                f"The network sees {abs(area):.1%} of the picture's area, turned by chance. If it has not been trained "
                "yet, it starts there; if it has, it never got away.",
                "Before training, set the last layer's weights to 0 and its bias to the identity: `theta_head`.",
            )
    mean = case.plain.samplings[0].affine.mean(0).flatten()
    near = (mean - AFFINE.identity()).abs().max() < 0.02
    what = "the identity" if near else "not the identity; fine if it is trained or meant so"
    return f"mean frame {short(mean, 2)}: {what}"


def warped_is_used(case: Case) -> Told:
    """Does the answer depend on what was sampled?"""
    _each(case)
    least = torch.inf
    for training in (False, True):
        trial = case.copy() if training else case  # batch normalisation keeps what it sees in training
        try:
            plain = trial.look(training=True) if training else case.plain
        except Exception:  # batch normalisation, of a batch of one: evaluation has been looked at
            break
        spoilt = [_spoilt(trial, plain, number, training) for number in range(len(plain.samplings))]
        changes = [change for change, _ in spoilt] or [0.0]
        if max(changes) > 0 and all(change > 0 or has_a_way for change, has_a_way in spoilt):
            least = min(least, *changes)
            continue
        several = len(changes) > 1
        unused = next((number for number, (_, has_a_way) in enumerate(spoilt, start=1) if not has_a_way), 1)
        who = f"transformer {unused}" if several else "the transformer"
        mode = "training" if training else "evaluation"
        others = max(changes) > 0
        return Finding(
            f"{who} is not used" if others else "original image",
            f"in {mode} mode noise in place of what {who} saw changes the output by 0",
            f"{'What it saw goes nowhere' if others else 'The classifier gets the original picture'}. The transformer "
            "is computed and thrown away: it can neither help nor learn.",
            "Hand on what the transformer gives: x = F.grid_sample(x, grid, …), then the classifier on that x, in "
            "both modes.",
        )
    return f"noise in its place changes the output by {least:.2g}"


def _spoilt(case: Case, plain: Seen, spoilt: int, training: bool) -> tuple[float, bool]:
    """How far the output moves for noise in place of what one transformer saw, and whether any way leads from there.

    Of two looks the first may be used by the second alone, whose head begins with weights of 0: a way without effect.
    """
    added: list[Tensor] = []

    def spoil(number: int, warped: Tensor) -> Tensor:
        if number != spoilt:
            return warped
        added.append((_noise(warped) - warped).detach().requires_grad_())
        return warped + added[0]

    output = case.look(spoil=spoil, training=training).output
    way = torch.autograd.grad(output.sum(), added, allow_unused=True)[0] if output.requires_grad else None
    return (plain.output - output).abs().max().item(), way is not None


def known_theta_does_what_it_says(case: Case) -> Told:
    """Does a θ that is known move the picture as it should?"""
    worst = 0.0
    for who, sampling in _each(case, case.known):
        family, given = sampling.transform, _known(sampling)
        size = tuple(sampling.grid.shape[1:3])
        grid = sampling.grid.detach().cpu().double()
        expected = _grid(family, given, size, sampling.align_corners)
        off = (grid - expected).abs().max().item()
        worst = max(worst, off)
        if off < (0.02 if _low(sampling) else 1e-4):
            if found := _sampled_otherwise(who, sampling):
                return found
            continue
        near = min(off / 2, 0.02)
        if _is(grid, _grid(family, given, size, not sampling.align_corners), near):
            return _mismatched(
                f"the grid of {who} is made with align_corners={not sampling.align_corners}, and sampled with "
                f"{sampling.align_corners}: places are off by up to {off * size[1] / 2:.2f} pixels"
            )
        rows, columns = sampling.images.shape[2:]
        places = (grid + 1) * torch.tensor([columns, rows]).to(grid) / 2 - 0.5  # in pixels
        if (places - places.round()).abs().max() < 1e-3:
            return _nearest(f"every place where {who} looks is the centre of a pixel: it was rounded")
        if _is(grid, expected.flip(-1), near):
            return _swapped_axes(f"a shift of x by {given[2]:.2f} moves {who} along y")
        if is_affine(family):
            swapped = given.view(2, 3)
            if _is(grid, _grid(family, swapped[:, [1, 0, 2]].flatten(), size, sampling.align_corners), near):
                return _swapped_axes(f"θ of {who} is read with x and y in each other's place")
            if sampling.images.shape[2] != sampling.images.shape[3] and (found := _scrambled(sampling, given)):
                return _swapped_sizes(who, found)
        return Finding(
            "θ does something else",
            f"for θ = {short(given, 2)} the grid of {who} is off by up to {off:.2f}",
            "The grid is not that of the θ which the localisation network gives, read as [[θ11, θ12, θ13], [θ21, θ22, "
            "θ23]] from target to source.",
            "Compare your grid with F.affine_grid(theta.view(-1, 2, 3), size), for a θ in which x and y differ. "
            "Coordinates must run from −1 to 1, not from 0 to 1 and not in pixels.",
        )
    by_affine_grid = all(each.theta is not None and each.transform is AFFINE for each in case.known.samplings)
    return f"{'from F.affine_grid on, ' * by_affine_grid}the grid is right to {worst:.0e}"


def precision(case: Case) -> Told:
    """Are θ and the grid precise enough to say where a pixel lies?"""
    seen = case.known_if_it_can_be
    for who, sampling in _each(case, seen):
        low = _low(sampling)
        if low:
            off = "" if seen is case.plain else f": places are off by up to {_pixels_off(sampling):.2f} pixels"
            return Finding(
                "half precision in the grid",
                f"θ or the grid of {who} is {_name(low)}{off}",
                "Numbers near 1 have 8 bits in bfloat16 and 11 in float16. Places are rounded to a part of a pixel, "
                "the more the larger the picture, and small changes of θ are lost.",
                "Keep θ, grid and sampler in float32: switch autocast off from the last layer of the localisation "
                "network to the sampler.",
            )
    return f"{_name(seen.samplings[0].grid.dtype)}"


def _pixels_off(sampling: Sampling) -> float:
    exact = _grid(sampling.transform, _known(sampling), tuple(sampling.grid.shape[1:3]), sampling.align_corners)
    off = (sampling.grid.detach().cpu().double() - exact).abs().amax((0, 1, 2))  # (x, y)
    return (off * torch.tensor(sampling.images.shape[:1:-1]) / 2).max().item()


def sampler_has_a_gradient(case: Case) -> Told:
    """Does the sampler tell the grid where to move?"""
    seen = case.known_if_it_can_be
    for who, sampling in _each(case, seen):
        slope, measured = _slopes(sampling)
        if slope is None:
            if sampling.mode != "nearest":
                _not_by_the_place(case, seen, [sampling])
            return _nearest(
                f"the gradient of the output of {who} with respect to its grid is 0 (mode {sampling.mode!r})"
            )
        if abs(slope - measured) > 0.2 * abs(measured) + 1e-3:
            return Finding(
                "a wrong gradient",
                f"along one direction the sampler of {who} says {slope:.3g}, and differences say {measured:.3g}",
                "The backward pass of the sampler belongs to another function.",
                "Compare with F.grid_sample, or with torch.autograd.gradcheck in float64, off the lattice.",
            )
    return "it agrees with finite differences"


def gradient_reaches_the_head(case: Case) -> Told:
    """Does the loss pull on θ, and θ on the localisation network?"""
    seen, cut, blank = case.known_if_it_can_be, [], []
    weights = _random_like(seen.output)
    learning = [each for each in case.model.parameters() if each.requires_grad]
    samplings = _each(case, seen)
    for who, sampling in samplings:
        theta = sampling.grid if sampling.theta is None else sampling.theta
        pulls = _gradients((seen.output * weights).sum(), [theta])
        if not pulls:
            blank += [sampling] * theta.requires_grad
            cut.append(f"the gradient of the output with respect to θ, at {who}, is 0 or none")
        elif not _gradients((theta * _random_like(theta)).sum(), learning):
            cut.append(f"the gradient of θ, at {who}, with respect to every parameter of the model is 0 or none")
    if len(cut) == len(samplings):
        _not_by_the_place(case, seen, blank)
        return Finding(
            "no gradient reaches the head",
            cut[0],
            "The localisation network stays as it is, whatever the loss says.",
            "Look for .detach(), .data, torch.no_grad(), requires_grad = False, or a θ that is made anew from numbers.",
        )
    if cut:  # a random crop, it may be
        return f"of {len(cut)} of {len(samplings)} transformers θ learns nothing: fine if it is meant so ({cut[0]})"
    return "the loss pulls on θ, and θ on the localisation network"


def _not_by_the_place(case: Case, seen: Seen, samplings: list[Sampling]) -> None:
    """Where no known θ can be put in, the gradient may be 0 for no other reason than that θ looks at one colour."""
    if seen is case.plain and any(sampling.warped.flatten(2).std(2).max() == 0 for sampling in samplings):
        raise CannotTellError("no known θ can be put in, and with its own the frames see one colour only")


def _gradients(of: Tensor, inputs: list[Tensor]) -> list[Tensor]:
    """The gradients that there are and that are not 0."""
    inputs = [each for each in inputs if each.requires_grad]
    if not inputs or not of.requires_grad:
        return []
    found = torch.autograd.grad(of, inputs, allow_unused=True, retain_graph=True)
    return [each for each in found if each is not None and each.abs().max() > 0]


def zeros_are_the_background(case: Case) -> Told:
    """Is what comes in from outside the picture the colour of the background?"""
    told = []
    for who, sampling in _each(case):
        images = sampling.images.detach().cpu().double()
        if sampling.padding_mode != "zeros" or images.shape[1] not in (1, 3, 4):
            told.append(
                f"{sampling.padding_mode} outside" if images.shape[1] in (1, 3, 4) else "of features it cannot tell"
            )
            continue
        ring = torch.cat((images[:, :, 0], images[:, :, -1], images[:, :, :, 0], images[:, :, :, -1]), dim=2)
        spread = images.std()
        background = ring.median(2).values.median(0).values  # (C,)
        alike = ((ring - background[:, None]).abs() < 0.1 * spread).double().mean()
        if alike > 0.8 and background.abs().max() > 0.1 * spread:
            return Finding(
                "zeros that are not black",
                f"{alike:.0%} of the edge of the pictures is {short(background, 2)}, and {who} fills in 0 outside",
                "After normalisation 0 is the mean grey. Every shift and turn brings in a grey border, which no "
                "picture in the training set has, and whose edge pulls on θ.",
                "Normalise behind the transformer, or subtract the background before it and add it again; where the "
                'background is plain, padding_mode="border" will do.',
            )
        told.append("0 outside, and 0 is the background" if alike > 0.8 else "no plain background")
    return told[0]


def _each(case: Case, seen: Seen | None = None) -> list[tuple[str, Sampling]]:
    """The samplings of a look, or of the model as it is, each with a name."""
    samplings = (seen or case.plain).samplings
    if not samplings:
        raise CannotTellError("there is no transformer")
    if len(samplings) == 1:
        return [("the transformer", samplings[0])]
    return [(f"transformer {number}", sampling) for number, sampling in enumerate(samplings, start=1)]


def _low(sampling: Sampling) -> torch.dtype | None:
    """The half precision that θ or the grid has, or was rounded to; None if they are precise."""
    for dtype in HALF:
        same = torch.equal(sampling.grid, sampling.grid.to(dtype).to(sampling.grid.dtype))
        if same or (sampling.theta is not None and sampling.theta.dtype == dtype):
            return dtype
    return None


def _known(sampling: Sampling) -> Tensor:
    return known_theta(sampling.transform).double()


def _grid(family, theta: Tensor, size: tuple[int, int], align_corners: bool) -> Tensor:
    family = AFFINE if is_affine(family) else family
    return family.grid(theta[None].double(), size, align_corners)


def _is(grid: Tensor, other: Tensor, near: float) -> bool:
    return bool((grid - other.to(grid)).abs().max() < near)


def _scrambled(sampling: Sampling, theta: Tensor | None = None) -> str | None:
    """Whether a grid made for W rows of H is read as H rows of W, or as one that was turned on its side."""
    height, width = sampling.grid.shape[1:3]
    grid = sampling.grid.detach().cpu().double()
    if theta is None:
        residual = grid - AFFINE.grid(sampling.affine.flatten(1), (height, width), sampling.align_corners)
        if residual.abs().amax() < 0.2:
            return None
        shown = regular_grid((width, height), sampling.align_corners, torch.float64).reshape(-1, 2)
        points = torch.cat((shown, torch.ones_like(shown[:, :1])), 1)
        off = grid.flatten(1, 2) - points @ (torch.linalg.pinv(points) @ grid.flatten(1, 2))
        return "the grid's rows are as long as its columns should be" if off.abs().max() < 0.1 else None
    made = _grid(sampling.transform, theta, (width, height), sampling.align_corners)
    if _is(grid, made.reshape(1, height, width, 2), 0.02):
        return "the grid's rows are as long as its columns should be"
    return None


def _nearest(seen: str) -> Finding:
    return Finding(
        "nearest sampler",
        seen,
        "The nearest pixel stays the nearest when the grid moves a little, so the output does not change, and nothing "
        "tells θ where to go.",
        'Sample bilinearly in training: F.grid_sample(…, mode="bilinear"), and round no coordinate.',
    )


def _sampled_otherwise(who: str, sampling: Sampling) -> Finding | None:
    """Whether the sampler reads a grid that is right by the other rule, or with x and y in each other's place."""
    images, grid = sampling.images.detach().cpu().double(), sampling.grid.detach().cpu().double()
    close = 0.01 * images.std()

    def off(grid: Tensor, align_corners: bool) -> Tensor:
        warped = F.grid_sample(images, grid, "bilinear", sampling.padding_mode, align_corners)
        return (sampling.warped.detach().cpu().double() - warped).square().mean().sqrt()

    if sampling.mode != "bilinear" or off(grid, sampling.align_corners) < close:
        return None
    if off(grid, not sampling.align_corners) < close:
        return _mismatched(f"{who} reads a grid of align_corners={sampling.align_corners} by the other rule")
    if off(grid.flip(-1), sampling.align_corners) < close:
        return _swapped_axes(f"the sampler of {who} takes x for y")
    return None


def _mismatched(seen: str) -> Finding:
    return Finding(
        "align_corners mismatched",
        seen,
        "At the identity the picture is already resized a little, and every shift is off, most at the edges.",
        "Give F.affine_grid and F.grid_sample the same align_corners, and write it out in both.",
    )


def _swapped_axes(seen: str) -> Finding:
    return Finding(
        "x and y swapped",
        seen,
        "The last axis of a grid is (x, y), columns first; an index [row, column] is the other way round. The picture "
        "comes out mirrored at its diagonal, and a shift goes the wrong way.",
        "Stack the grid as (x, y). torch.meshgrid gives rows and columns with indexing='ij', x and y with 'xy'.",
    )


def _swapped_sizes(who: str, seen: str) -> Finding:
    return Finding(
        "H and W swapped",
        f"{seen}, at {who}",
        "Sizes are (H, W), rows first; points are (x, y), columns first. On square pictures the slip stays hidden.",
        "Give the grid's size as images.shape[2:] gives it, rows first: F.affine_grid(theta, (B, C, H, W)).",
    )


def _slopes(sampling: Sampling, step: float = 1e-7) -> tuple[float | None, float]:
    """The slope of a weighted sum of the output along one direction: by the backward pass, and by differences."""
    images, grid = sampling.images.detach().double(), sampling.grid.detach().double()
    direction = _random_like(grid)
    grid = (grid + 0.01 * direction).requires_grad_(True)  # off the lattice, where the slope jumps
    try:
        out = sampling.again(images, grid)
    except RuntimeError as error:
        raise CannotTellError("the sampler does not take float64, in which differences are precise enough") from error
    weights = _random_like(out)
    found = _gradients((out * weights).sum(), [grid])
    with torch.no_grad():
        ahead, behind = (
            (sampling.again(images, grid + sign * step * direction) * weights).sum().item() for sign in (1, -1)
        )
    return (found[0] * direction).sum().item() if found else None, (ahead - behind) / (2 * step)


def _noise(warped: Tensor) -> Tensor:
    return warped + _random_like(warped) * (1 + warped.detach().abs().max())


def _random_like(tensor: Tensor) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(tensor.shape, generator=generator).to(tensor.device, tensor.dtype)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
