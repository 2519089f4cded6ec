"""How much of a known pose a transformer takes back: of the turn, the size and the place that it was never told.

    slope = Σ (t − t̄)(r − r̄) / Σ (t − t̄)²      t: true, r: recovered; t̄, r̄: their means in the digit's own class

1 is all of it, 0 none. A class may have a pose of its own, because a classifier does not mind; so each image is
compared with its class alone.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from stn_course.checks import Images, Theta, describe
from stn_course.distortions import RTS, Pose
from stn_course.transforms import Affine, MatrixTransform, Transform, regular_grid

NOISE = 1e-3  # a part of the pose that varies less, in degrees or as a share, varies by rounding alone


class TakenBack(NamedTuple):
    """Of one part of the pose: the share that is taken back, and how closely it follows the true one.

    Built in: 05, "Does it recover the pose?".
    """

    slope: float
    correlation: float


def closest_affine(theta: Theta, transform: Transform) -> Tensor:
    """Fit an affine map to what a transform does with the regular grid: (B, n_params) → (B, 3, 3), target → source.

    It is the least-squares fit; of an affine map it is the map itself. So a pose can be read off any family.

    Convention: θ is (B, n_params), target → source; points and grids are (..., 2), normalised (x, y), y down; ±1 are
    the border pixels' outer edges, or with align_corners=True their centres.
    Built in: 05, "Does it recover the pose?".

    Example:
        >>> from stn_course.transforms import Attention
        >>> closest_affine(torch.tensor([[0.5, 0.25, 0.0]]), Attention())[0, 0]
        tensor([0.5000, 0.0000, 0.2500])
    """
    if isinstance(transform, MatrixTransform) and "parallels" in transform.keeps:
        return transform.matrix(theta)
    points = regular_grid((8, 8), dtype=theta.dtype, device=theta.device).reshape(1, -1, 2).expand(len(theta), -1, -1)
    looked_at = transform.map(theta, points)  # (B, 64, 2)
    linear = looked_at.mT @ points / points[0, :, 0].square().sum()  # x and y of the grid are uncorrelated
    matrix = torch.eye(3, dtype=theta.dtype, device=theta.device).repeat(len(theta), 1, 1)
    matrix[:, :2, :2], matrix[:, :2, 2] = linear, looked_at.mean(1)
    return matrix


def overlap(theta: Theta, other: Theta, transform: MatrixTransform = Affine()) -> Tensor:
    """Measure how much two frames share: the area inside both over the area inside either, (B,), from 0 to 1.

    A frame is where in the input the corners of the output look. It is counted on a lattice of 200 × 200 points over
    both frames, which is right to about a hundredth. A frame that is a line or a point shares nothing.

    Convention: θ is (B, n_params), target → source; points and grids are (..., 2), normalised (x, y), y down; ±1 are
    the border pixels' outer edges, or with align_corners=True their centres.
    Built in: 03, "Be the localisation network".

    Raises:
        ValueError: if the two are not of one shape.

    Example:
        >>> left, right = torch.tensor([[0.5, 0, -0.25, 0, 0.5, 0]]), torch.tensor([[0.5, 0, 0.25, 0, 0.5, 0]])
        >>> round(overlap(left, right).item(), 2)  # half of each, so a third of both
        0.33
    """
    if theta.shape != other.shape:
        raise ValueError(f"expected two θ of one shape, got {tuple(theta.shape)} and {tuple(other.shape)}")
    matrices = torch.stack((transform.matrix(theta), transform.matrix(other)), dim=1).double()  # (B, 2, 3, 3)
    ends = torch.tensor([[-1.0, -1], [1, -1], [1, 1], [-1, 1]], dtype=theta.dtype, device=theta.device)
    frames = [transform.map(each, ends.expand(len(theta), 4, 2)) for each in (theta, other)]
    corners = torch.cat(frames, dim=1).double()  # (B, 8, 2)
    low, high = corners.amin(1)[:, None, None], corners.amax(1)[:, None, None]  # (B, 1, 1, 2)
    lattice = regular_grid((200, 200), dtype=torch.float64, device=theta.device)
    points = (low + (lattice + 1) / 2 * (high - low)).flatten(1, 2)  # (B, 40000, 2)
    triples = torch.cat((points, torch.ones_like(points[..., :1])), dim=-1)[:, None] @ torch.linalg.pinv(matrices).mT
    inside = (triples[..., :2].abs() <= triples[..., 2:].abs()).all(-1)  # (B, 2, 40000)
    inside &= torch.linalg.matrix_rank(matrices)[..., None] == 3  # a frame that is a line or a point has no area
    return (inside.all(1).sum(1) / inside.any(1).sum(1).clamp(min=1)).to(theta.dtype)


def recovered_pose(distortion: RTS, theta: Theta, transform: Transform = Affine()) -> Pose:
    """Read the pose that a transformer has found, off its θ: (B, n_params), output → canvas.

    The θ of a distortion maps the canvas to the upright image. If the transformer straightens, its output plays that
    part, and its θ runs the other way: it is inverted first. Angle, place and size are relative to a frame that nobody
    prescribed, so only their changes from image to image can agree with the true ones.

    Convention: θ is (B, n_params), target → source; points and grids are (..., 2), normalised (x, y), y down; ±1 are
    the border pixels' outer edges, or with align_corners=True their centres.
    Built in: 05, "Does it recover the pose?".

    Example:
        >>> rts = RTS()
        >>> given = rts.sample(3, torch.Generator().manual_seed(0))
        >>> perfect = torch.linalg.inv(Affine().matrix(given))[:, :2].flatten(1)
        >>> torch.allclose(recovered_pose(rts, perfect).degrees, rts.pose(given).degrees, atol=1e-3)
        True
    """
    matrix = closest_affine(theta, transform)
    a, b, t_x, c, d, t_y = matrix[:, :2].flatten(1).unbind(1)
    inverse = torch.stack((d, -b, b * t_y - d * t_x, -c, a, c * t_x - a * t_y), dim=1) / (a * d - b * c)[:, None]
    return distortion.pose(inverse)


def taken_back(true: Pose, recovered: Pose, labels: Tensor) -> dict[str, TakenBack]:
    """Compare poses within each class: "angle", "size" (its logarithm), "x" and "y" → `TakenBack`.

    `labels` is (B,), int64. Frames that are flat, and so have no pose, are left out; so is a part that the distortion
    leaves as it is. Two angles differ by 180° at most.

    Built in: 05, "Does it recover the pose?".

    Example:
        >>> rts, generator = RTS(), torch.Generator().manual_seed(0)
        >>> true = rts.pose(rts.sample(100, generator))
        >>> half = true._replace(degrees=true.degrees / 2)
        >>> round(taken_back(true, half, torch.zeros(100, dtype=torch.int64))["angle"].slope, 3)
        0.5
    """
    circles = ((true.degrees - recovered.degrees) / 360).round()
    recovered = recovered._replace(degrees=recovered.degrees + 360 * circles)
    values = [
        torch.column_stack((pose.degrees, pose.scale.log(), pose.centre)).double() for pose in (true, recovered)
    ]  # (B, 4)
    there = torch.stack(values).isfinite().all(2).all(0)
    if not there.any():
        raise ValueError("expected a recovered pose with a size for at least one image, got none")
    t, r = (within_class(value[there], labels[there]) for value in values)
    covered = (t * r).sum(0)
    slopes = covered / t.square().sum(0)
    correlations = covered / (t.square().sum(0) * r.square().sum(0)).sqrt()
    varies = t.square().mean(0).sqrt() > NOISE
    names = ("angle", "size", "x", "y")
    return {
        name: TakenBack(slope, correlation)
        for name, slope, correlation, varied in zip(
            names, slopes.tolist(), correlations.nan_to_num(0).tolist(), varies.tolist(), strict=True
        )
        if varied
    }


def within_class(values: Tensor, labels: Tensor) -> Tensor:
    """Subtract from each row of values (B, N) the mean of its class; `labels` is (B,), int64.

    Built in: 05, "Does it recover the pose?".

    Example:
        >>> within_class(torch.tensor([[1.0], [3.0], [7.0]]), torch.tensor([0, 0, 1]))[:, 0]
        tensor([-1.,  1.,  0.])
    """
    sums = values.new_zeros(int(labels.max()) + 1, values.shape[1]).index_add(0, labels, values)
    return values - (sums / labels.bincount()[:, None])[labels]


def slant(images: Images) -> Tensor:
    """Measure how far ink leans: (B, 1, H, W) → (B,), by how many columns it drifts to the right for each row down.

    It is the slope of the line x = slant · y that fits the ink best: 0 for an upright stroke, below 0 for one that
    leans forwards like a slash. Its arctangent is an angle. NaN without ink.

    Convention: images are (B, C, H, W), one image is (C, H, W), pixel (0, 0) at the top left; sizes are (H, W).
    Built in: 04, "What does it do with upright digits?".

    Example:
        >>> slant(torch.eye(5)[None, None])
        tensor([1.])
    """
    ink = images.clamp(min=0)[:, 0]  # (B, H, W)
    rows, columns = (torch.arange(n, dtype=ink.dtype, device=ink.device) for n in ink.shape[1:])
    total = ink.sum((1, 2))
    row, column = (ink * rows[:, None]).sum((1, 2)) / total, (ink * columns).sum((1, 2)) / total
    down, right = rows - row[:, None], columns - column[:, None]
    together = (ink * down[:, :, None] * right[:, None]).sum((1, 2))
    return together / (ink * down.square()[:, :, None]).sum((1, 2))


def box(theta: Theta, transform: Transform = Affine()) -> Tensor:
    """Find the smallest upright box round the corners of a frame: (B, n_params) → (B, 4), left, top, right, bottom.

    Convention: θ is (B, n_params), target → source; points and grids are (..., 2), normalised (x, y), y down; ±1 are
    the border pixels' outer edges, or with align_corners=True their centres.

    Example:
        >>> from stn_course.transforms import Attention
        >>> box(torch.tensor([[0.25, 0.5, -0.5]]), Attention())
        tensor([[ 0.2500, -0.7500,  0.7500, -0.2500]])
    """
    corners = transform.grid(theta, (2, 2), align_corners=True).flatten(1, 2)  # (B, 4, 2)
    return torch.cat((corners.amin(1), corners.amax(1)), dim=1)


def box_overlap(boxes: Tensor, others: Tensor) -> Tensor:
    """Measure how much upright boxes share, exactly: intersection over union, from 0 to 1: (..., 4), (..., 4) → (...).

    A box is left, top, right, bottom. Two boxes without an area share nothing. For frames that are not upright see
    `overlap`.

    Built in: 09, "When is a thing found?".

    Raises:
        ValueError: if a box is not four numbers.

    Example:
        >>> box_overlap(torch.tensor([0.0, 0, 2, 2]), torch.tensor([1.0, 0, 3, 2]))  # half of each, a third of both
        tensor(0.3333)
    """
    for each in (boxes, others):
        if not isinstance(each, Tensor) or each.ndim < 1 or each.shape[-1] != 4:
            raise ValueError(f"expected boxes of shape (..., 4), got {describe(each)}")
    low, high = torch.maximum(boxes[..., :2], others[..., :2]), torch.minimum(boxes[..., 2:], others[..., 2:])
    both = (high - low).clamp(min=0).prod(-1)
    areas = [(each[..., 2:] - each[..., :2]).clamp(min=0).prod(-1) for each in (boxes, others)]
    either = areas[0] + areas[1] - both
    return torch.where(either > 0, both / torch.where(either > 0, either, 1), 0)
