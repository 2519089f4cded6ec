"""Algebra of θ: chain two, undo one, read one as rotation, scale, shear, shift, perspective, or as a matrix in pixels.

    warp(warp(U, θ₁), θ₂)  =  warp(U, θ)     with  M(θ) = M(θ₁) M(θ₂)

Because θ goes from the target back to the source, the warp that is done last stands last in the product.

The parts of θ are numbers that people think in: rotation, scale, shear, shift, perspective. Each family says in its own
file what its parts are; `transforms.affine` explains them.
"""

import torch
from torch import Tensor

from stn_course.checks import Points, Size, Theta, check_size, describe
from stn_course.transforms import Affine, Transform


class NotInvertibleError(ValueError):
    """A θ that nothing undoes: `why` gives the reason in a clause; the message also shows what came.

    Built in: 01, "Undo, and chain".
    """

    def __init__(self, message: str, why: str):
        super().__init__(f"{message}: {why}")
        self.why = why


def compose(first: Theta, then: Theta, transform: Transform = Affine()) -> Theta:
    """Chain two θ: one warp by the result does what a warp by `first` and then a warp by `then` do.

    Convention: θ is (B, n_params), target → source; points and grids are (..., 2), normalised (x, y), y down; ±1 are
    the border pixels' outer edges, or with align_corners=True their centres.
    Built in: 01, "Two warps are one".

    Raises:
        TypeError, ValueError: if this is no family of matrices, or (projective) the product has no θ.

    Example:
        >>> half, right = torch.tensor([[0.5, 0, 0, 0, 0.5, 0]]), torch.tensor([[1, 0, 0.5, 0, 1, 0]])
        >>> compose(half, right), compose(right, half)  # the order matters
        (tensor([[0.5000, 0.0000, 0.2500, 0.0000, 0.5000, 0.0000]]),
         tensor([[0.5000, 0.0000, 0.5000, 0.0000, 0.5000, 0.0000]]))
    """
    both = transform.matrix(first) @ transform.matrix(then)  # first of all: a family without matrices says so
    return transform.from_matrix(both)


def invert(theta: Theta, transform: Transform = Affine()) -> Theta:
    """Undo θ: return the θ that takes each point back.

    Convention: θ is (B, n_params), target → source; points and grids are (..., 2), normalised (x, y), y down; ±1 are
    the border pixels' outer edges, or with align_corners=True their centres.
    Built in: 01, "Undo, and chain".

    Raises:
        TypeError: if this is no family of matrices.
        NotInvertibleError: if its matrix has no inverse or (projective) the inverse no θ, up to rounding.

    Example:
        >>> invert(torch.tensor([[0.5, 0, 0.25, 0, 0.5, 0]]))
        tensor([[ 2.0000,  0.0000, -0.5000,  0.0000,  2.0000,  0.0000]])
    """
    matrix = transform.matrix(theta)
    condition = torch.linalg.cond(matrix.double().nan_to_num(0, 0, 0))  # what is not finite counts as singular
    if not (condition < 0.1 / torch.finfo(theta.dtype).eps).all():
        why = "it flattens the picture to a line or a point, and what is gone cannot be brought back"
        raise NotInvertibleError(f"expected theta with an inverse, got {theta.tolist()}, whose matrix is singular", why)
    if transform.inverse_has_no_theta(matrix).any():
        why = "the last entry of the inverse matrix would be 0, and in θ it is always 1"
        raise NotInvertibleError(f"expected theta whose inverse has a θ, got {theta.tolist()}", why)
    return transform.from_matrix(torch.linalg.inv(matrix)) + 0.0  # no −0 to be read aloud


def part_names(transform: Transform = Affine()) -> tuple[str, ...]:
    """Name the parts of a θ of this family, in order, as many as θ has entries.

    Built in: 01, "Four moves".

    Example:
        >>> from stn_course.transforms import Attention
        >>> part_names(Attention())
        ('scale', 'shift_x', 'shift_y')
    """
    return transform.part_names


def from_parts(parts: Tensor, transform: Transform = Affine(), size: Size | None = None) -> Theta:
    """Make θ from its parts: (B, n_params) in the order of `part_names` → (B, n_params).

    Rotation is in degrees, and turns the frame clockwise as seen on the screen **in a picture of this size**. (The θ of
    a square picture also shears any other.) Scales and perspective are plain numbers, shear is pixels along x for each
    pixel along y, shifts are in normalised coordinates.

    The frame lies in the input, so size is the *input's*; None means square, and only the ratio counts. The frame is
    W · scale_x pixels wide and H · scale_y high. An output of that aspect ratio, such as one of the input's own size
    under equal scales, shows the picture turned; an output of another aspect ratio shows the same, stretched to fit.

    Convention: θ is (B, n_params), target → source; points and grids are (..., 2), normalised (x, y), y down; ±1 are
    the border pixels' outer edges, or with align_corners=True their centres.
    Built in: 01, "Four moves".

    Example:
        >>> from stn_course.numbers import short
        >>> lying = torch.tensor([[90.0, 0.5, 0.5, 0, 0.25, 0]])  # a half-size frame, lying on its right side
        >>> short(from_parts(lying))
        [0.0, -0.5, 0.25, 0.5, 0.0, 0.0]
        >>> short(from_parts(lying, size=(30, 60)))  # a quarter of this wide picture wide, and all of it high
        [0.0, -0.25, 0.25, 1.0, 0.0, 0.0]
    """
    names = part_names(transform)
    if not isinstance(parts, Tensor) or parts.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"expected parts as a float32 or float64 tensor, got {describe(parts)}")
    if parts.ndim != 2 or parts.shape[1] != len(names):
        raise ValueError(f"expected parts of shape (B, {len(names)}) ({', '.join(names)}), got {describe(parts)}")
    return transform.parts_to_theta(parts, _height_to_width(size))


def to_parts(theta: Theta, transform: Transform = Affine(), size: Size | None = None) -> Tensor:
    """Read the parts of θ, undoing `from_parts`: (B, n_params) → (B, n_params) in the order of `part_names`.

    The same θ has other parts in a picture of another aspect ratio: give the size of the input, as to `from_parts`.
    The scale along x is never negative; a mirrored picture has a negative scale along y. Where the first column of
    the matrix is zero, so that nothing says which way x points, the second column gives the rotation, and the gradient
    takes the scale along x for a constant.

    Convention: θ is (B, n_params), target → source; points and grids are (..., 2), normalised (x, y), y down; ±1 are
    the border pixels' outer edges, or with align_corners=True their centres.
    Built in: 01, "The same by formula".

    Example:
        >>> to_parts(torch.tensor([[-1.0, 0, 0, 0, 1, 0]]))  # left and right change places
        tensor([[180.,   1.,  -1.,   0.,   0.,   0.]])
        >>> turn = torch.tensor([[0.0, -0.5, 0, 2, 0, 0]])
        >>> to_parts(turn, size=(30, 60))  # a turn in a picture twice as wide as high …
        tensor([[90.,  1.,  1.,  0.,  0.,  0.]])
        >>> to_parts(turn)  # … and no mere turn in a square one
        tensor([[90.0000,  2.0000,  0.5000,  0.0000,  0.0000,  0.0000]])
    """
    transform.check_theta(theta)
    return transform.theta_to_parts(theta, _height_to_width(size)) + 0.0


def to_pixel_matrix(
    theta: Theta,
    source_size: Size,
    target_size: Size | None = None,
    transform: Transform = Affine(),
    align_corners: bool = False,
) -> Tensor:
    """Say θ in pixels: (B, n_params) → (B, 3, 3), from a pixel of the target to the pixel of the source it looks at.

        M_pixels = P(source) M(θ) P(target)⁻¹      P: normalised → pixels, where the centre of pixel m is at m

    It is the language of other libraries: `cv2.warpAffine(image, M[:2], size, flags=cv2.WARP_INVERSE_MAP | …)` takes it
    as it is; kornia's `warp_affine` and `warp_perspective` (with their align_corners=True) and OpenCV without that flag
    take its inverse, from source to target. `target_size` is the source's if None.

    Convention: θ is (B, n_params), target → source; points and grids are (..., 2), normalised (x, y), y down; ±1 are
    the border pixels' outer edges, or with align_corners=True their centres.
    Built in: 10, "Whose matrix is it?".

    Raises:
        TypeError: if this is no family of matrices.

    Example:
        >>> half = torch.tensor([[0.5, 0, 0, 0, 0.5, 0]])  # the middle of 8×8 pixels, at twice the size
        >>> to_pixel_matrix(half, (8, 8))[0, 0]  # pixel 0 looks at 1.75, between the pixels 1 and 2
        tensor([0.5000, 0.0000, 1.7500])
    """
    matrix = transform.matrix(theta)
    target_size = source_size if target_size is None else target_size
    to_source = _to_pixels(source_size, align_corners, matrix)
    return to_source @ matrix @ torch.linalg.inv(_to_pixels(target_size, align_corners, matrix))


def from_pixel_matrix(
    matrix: Tensor,
    source_size: Size,
    target_size: Size | None = None,
    transform: Transform = Affine(),
    align_corners: bool = False,
) -> Theta:
    """Read θ off a matrix in pixels, undoing `to_pixel_matrix`: (B, 3, 3), or (B, 2, 3) as OpenCV has it, → θ.

    The matrix takes a pixel of the target to a pixel of the source. One that says where the *source* goes is inverted
    first, by the caller. `target_size` is the source's if None.

    Convention: θ is (B, n_params), target → source; points and grids are (..., 2), normalised (x, y), y down; ±1 are
    the border pixels' outer edges, or with align_corners=True their centres.
    Built in: 10, "Whose matrix is it?".

    Raises:
        ValueError: if no θ of the family gives this matrix.

    Example:
        >>> one_to_the_right = torch.tensor([[[1.0, 0, 1], [0, 1, 0]]])
        >>> from_pixel_matrix(one_to_the_right, (8, 16))  # a pixel is 2/16 of the width
        tensor([[1.0000, 0.0000, 0.1250, 0.0000, 1.0000, 0.0000]])
    """
    if not isinstance(matrix, Tensor) or matrix.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"expected matrices as a float32 or float64 tensor, got {describe(matrix)}")
    if matrix.ndim != 3 or tuple(matrix.shape[1:]) not in ((3, 3), (2, 3)):
        raise ValueError(f"expected matrices of shape (B, 3, 3) or (B, 2, 3), got {describe(matrix)}")
    transform.matrix(transform.identity()[None])  # first of all: a family without matrices says so
    if matrix.shape[1] == 2:
        last = matrix.new_tensor([0.0, 0, 1]).expand(matrix.shape[0], 1, 3)
        matrix = torch.cat((matrix, last), dim=1)
    target_size = source_size if target_size is None else target_size
    to_source = _to_pixels(source_size, align_corners, matrix)
    normalised = torch.linalg.inv(to_source) @ matrix @ _to_pixels(target_size, align_corners, matrix)
    theta = transform.from_matrix(normalised)
    back, scale = transform.matrix(theta), normalised[:, 2:, 2:]
    near = 100 * torch.finfo(matrix.dtype).eps * normalised.abs().amax((1, 2), keepdim=True).clamp(min=1)
    if not ((back * scale - normalised).abs() <= near).all():
        raise ValueError(f"expected a matrix that {transform} has a θ for, got {matrix.tolist()}")
    return theta


def _to_pixels(size: Size, align_corners: bool, like: Tensor) -> Tensor:
    """Make the matrix from normalised to pixel coordinates, (3, 3), as `sampling.to_pixels` has it."""
    height, width = check_size(size)
    lines = []
    for row, n in enumerate((width, height)):
        if align_corners and n == 1:
            raise ValueError(f"expected at least 2 pixels along each axis with align_corners=True, got {size}")
        half, middle = (n - 1) / 2 if align_corners else n / 2, (n - 1) / 2
        lines.append([half * (row == 0), half * (row == 1), middle])
    return like.new_tensor([*lines, [0.0, 0, 1]])


def presets(transform: Transform = Affine(), size: Size | None = None) -> dict[str, Theta]:
    """List the named θ of a family, (n_params,) each, for pictures of a size, square if None; the identity first.

    Convention: θ is (B, n_params), target → source; points and grids are (..., 2), normalised (x, y), y down; ±1 are
    the border pixels' outer edges, or with align_corners=True their centres.

    Example:
        >>> from stn_course.transforms import Attention
        >>> presets(Attention())["top left quarter"]
        tensor([ 0.5000, -0.5000, -0.5000], dtype=torch.float64)
    """
    neutral = dict(zip(part_names(transform), to_parts(transform.identity()[None].double(), transform)[0].tolist()))
    named = {"identity": {}, **transform.presets}
    parts = torch.tensor([[*(neutral | changes).values()] for changes in named.values()], dtype=torch.float64)
    return dict(zip(named, from_parts(parts, transform, size)))


def target_border(theta: Theta, transform: Transform = Affine(), points: int = 33) -> Points:
    """Find where the output's outer edge lies in the input, for one θ: (n_params,) → (4·(points−1)+1, 2), closed.

    It assumes `align_corners=False`, and is for drawing: the curve comes on the CPU and without a gradient.

    Convention: θ is (B, n_params), target → source; points and grids are (..., 2), normalised (x, y), y down; ±1 are
    the border pixels' outer edges, or with align_corners=True their centres.
    Built in: 05, "Five slips, five lessons".

    Example:
        >>> target_border(torch.tensor([0.5, 0, 0, 0, 0.5, 0]), points=2)  # the middle quarter
        tensor([[-0.5000, -0.5000],
                [ 0.5000, -0.5000],
                [ 0.5000,  0.5000],
                [-0.5000,  0.5000],
                [-0.5000, -0.5000]])
    """
    theta = theta.detach().cpu()
    side = torch.linspace(-1, 1, points, dtype=theta.dtype)[:-1]
    one = torch.ones_like(side)
    edges = ((side, -one), (one, side), (-side, one), (-one, -side), (-one[:1], -one[:1]))
    return transform.map(theta[None], torch.cat([torch.stack(edge, 1) for edge in edges])[None])[0]


def reach(theta: Theta, transform: Transform = Affine()) -> float:
    """Find how far borders reach from the middle of the source, in x or y; at least 1, its own edge.

    Convention: θ is (B, n_params), target → source; points and grids are (..., 2), normalised (x, y), y down; ±1 are
    the border pixels' outer edges, or with align_corners=True their centres.

    Example:
        >>> reach(torch.tensor([[0.5, 0, 1.0, 0, 0.5, 0], [1.0, 0, 0, 0, 1.0, 0]]))
        1.5
    """
    borders = torch.stack([target_border(one, transform) for one in theta])
    return max(1.0, float(borders.abs().nan_to_num(0).amax()))


def _height_to_width(size: Size | None) -> float:
    height, width = (1, 1) if size is None else check_size(size)
    return height / width
