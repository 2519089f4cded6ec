"""Reckoning with θ: chain two, undo one, and read one as rotation, scale, shear, shift and perspective.

    warp(warp(U, θ₁), θ₂)  =  warp(U, θ)     with  M(θ) = M(θ₁) M(θ₂)

Because θ goes from the target back to the source, the warp that is done last stands last in the product.

The parts of a matrix are found from the right, the side where target coordinates come in:

    M  =  shift · rotation · scale · shear · perspective

         ⎡1  0  t_x⎤   ⎡cos φ  −sin φ  0⎤   ⎡s_x   0   0⎤   ⎡1  k  0⎤   ⎡ 1    0   0⎤
      =  ⎢0  1  t_y⎥ · ⎢sin φ   cos φ  0⎥ · ⎢ 0   s_y  0⎥ · ⎢0  1  0⎥ · ⎢ 0    1   0⎥
         ⎣0  0   1 ⎦   ⎣  0       0    1⎦   ⎣ 0    0   1⎦   ⎣0  0  1⎦   ⎣p_x  p_y  1⎦

Every affine θ has such parts (it is the QR decomposition), and every projective one; there are as many parts as there
are entries in θ. All of them say what happens to the *frame* in which the sampler looks, and the picture does the
opposite: a frame turned clockwise shows a picture turned counter-clockwise, a smaller frame shows a larger picture.

A turn is one only where a unit along x is as long as a unit along y. In normalised coordinates both span the picture,
so they are equally long only in a square picture. In a picture of H×W pixels rotation, scale and shear therefore act
in pixels, between D = diag(W, H, 1) and its inverse:

    M  =  shift · D⁻¹ · rotation · scale · shear · D · perspective

              ⎡    cos φ     −H/W · sin φ  0⎤
    rotation: ⎢W/H · sin φ       cos φ     0⎥     shear: k · H/W in place of k     scale: as above
              ⎣     0              0       1⎦
"""

import torch
from torch import Tensor

from stn_course.checks import Size, check_size, describe
from stn_course.transforms import Affine, Attention, Projective, Transform

_AFFINE_PARTS = ("rotation", "scale_x", "scale_y", "shear", "shift_x", "shift_y")
_PARTS = {
    Affine: _AFFINE_PARTS,
    Attention: ("scale", "shift_x", "shift_y"),
    Projective: (*_AFFINE_PARTS, "perspective_x", "perspective_y"),
}


def compose(first: Tensor, then: Tensor, transform: Transform = Affine()) -> Tensor:
    """The θ that does in one warp what a warp by `first` and then a warp by `then` do: (B, n_params) each.

    Raises:
        TypeError, ValueError: if a θ does not fit the transform, or (projective) the product has no θ.

    Example:
        >>> half, right = torch.tensor([[0.5, 0, 0, 0, 0.5, 0]]), torch.tensor([[1, 0, 0.5, 0, 1, 0]])
        >>> compose(half, right), compose(right, half)  # the order matters
        (tensor([[0.5000, 0.0000, 0.2500, 0.0000, 0.5000, 0.0000]]),
         tensor([[0.5000, 0.0000, 0.5000, 0.0000, 0.5000, 0.0000]]))
    """
    return transform.from_matrix(transform.matrix(first) @ transform.matrix(then))


def invert(theta: Tensor, transform: Transform = Affine()) -> Tensor:
    """The θ that undoes `theta`: (B, n_params) → (B, n_params).

    Raises:
        TypeError, ValueError: if θ does not fit the transform; if its matrix is singular, or so nearly that rounding
            leaves nothing of the inverse; or if (projective) the inverse has no θ, or so nearly.

    Example:
        >>> invert(torch.tensor([[0.5, 0, 0.25, 0, 0.5, 0]]))
        tensor([[ 2.0000,  0.0000, -0.5000,  0.0000,  2.0000,  0.0000]])
    """
    matrix = transform.matrix(theta)
    condition = torch.linalg.cond(matrix.double().nan_to_num(0, 0, 0))  # what is not finite counts as singular
    if not (condition < 0.1 / torch.finfo(theta.dtype).eps).all():
        raise ValueError(
            f"expected theta with an inverse, got {theta.tolist()}, whose matrix is singular: "
            "it flattens the picture to a line or a point, and what is gone cannot be brought back"
        )
    a, b, c, d = matrix[:, :2, :2].flatten(1).unbind(1)
    noise = 10 * torch.finfo(theta.dtype).eps * ((a * d).abs() + (b * c).abs())
    if isinstance(transform, Projective) and ((a * d - b * c).abs() <= noise).any():  # over the determinant: its last
        raise ValueError(
            f"expected theta whose inverse has a θ, got {theta.tolist()}: the last entry of the inverse matrix would "
            "be 0, and in θ it is always 1"
        )
    return transform.from_matrix(torch.linalg.inv(matrix)) + 0.0  # no −0 to be read aloud


def part_names(transform: Transform = Affine()) -> tuple[str, ...]:
    """What the parts of a θ of this family are called, in order; as many as θ has entries.

    Example:
        >>> part_names(Attention())
        ('scale', 'shift_x', 'shift_y')
    """
    return _PARTS[type(transform)]


def from_parts(parts: Tensor, transform: Transform = Affine(), size: Size | None = None) -> Tensor:
    """θ from its parts: (B, n_params) in the order of `part_names` → (B, n_params).

    Rotation is in degrees, and turns the frame clockwise as seen on the screen **in a picture of this size**: without
    one the picture is square. (In any other, the θ of a square picture turns and shears.) Scales and perspective are
    plain numbers, shear is pixels along x for each pixel along y, shifts are in normalised coordinates.

    The frame lies in the input, so size is the *input's*. The frame is W · scale_x pixels wide and H · scale_y high.
    An output of that aspect ratio, such as one of the input's own size under equal scales, shows the picture turned;
    an output of another aspect ratio shows the same, stretched to fit.

    Args:
        parts: (B, n_params), float32 or float64.
        transform: the family of θ.
        size: (H, W) of the input picture; None means square. Only the ratio of the two counts.

    Raises:
        TypeError: if parts is not a float32 or float64 tensor.
        ValueError: if it is not (B, n_params), or size is not (H, W).

    Example:
        >>> lying = torch.tensor([[90.0, 0.5, 0.5, 0, 0.25, 0]])  # a half-size frame, lying on its right side
        >>> from_parts(lying)
        tensor([[-0.0000, -0.5000,  0.2500,  0.5000, -0.0000,  0.0000]])
        >>> from_parts(lying, size=(30, 60))  # a quarter of this wide picture wide, and all of it high
        tensor([[-0.0000, -0.2500,  0.2500,  1.0000, -0.0000,  0.0000]])
    """
    _check_parts(parts, transform)
    ratio = _height_to_width(size)
    if isinstance(transform, Attention):
        return parts.clone()
    rotation, scale_x, scale_y, shear, shift_x, shift_y = parts[:, :6].unbind(1)
    cos, sin = torch.cos(torch.deg2rad(rotation)), torch.sin(torch.deg2rad(rotation))
    a, b = cos * scale_x, (cos * scale_x * shear - sin * scale_y) * ratio
    c, d = sin * scale_x / ratio, sin * scale_x * shear + cos * scale_y
    if isinstance(transform, Affine):
        return torch.stack((a, b, shift_x, c, d, shift_y), dim=1)
    p_x, p_y = parts[:, 6:].unbind(1)
    return torch.stack(
        (a + shift_x * p_x, b + shift_x * p_y, shift_x, c + shift_y * p_x, d + shift_y * p_y, shift_y, p_x, p_y), dim=1
    )


def to_parts(theta: Tensor, transform: Transform = Affine(), size: Size | None = None) -> Tensor:
    """The parts of θ, undoing `from_parts`: (B, n_params) → (B, n_params) in the order of `part_names`.

    The same θ has other parts in a picture of another aspect ratio: give the size of the input, as to `from_parts`.

    The scale along x is never negative; a mirrored picture has a negative scale along y. Where the first column of
    the matrix is zero, so that nothing says which way x points, the second column gives the rotation, and the gradient
    takes the scale along x for a constant.

    Args:
        theta: (B, n_params), float32 or float64.
        transform: the family of θ.
        size: (H, W) of the input picture; None means square.

    Raises:
        TypeError, ValueError: if θ does not fit the transform, or size is not (H, W).

    Example:
        >>> to_parts(torch.tensor([[-1.0, 0, 0, 0, 1, 0]]))  # left and right change places
        tensor([[180.,   1.,  -1.,   0.,   0.,   0.]])
        >>> turn = torch.tensor([[0.0, -0.5, 0, 2, 0, 0]])
        >>> to_parts(turn, size=(30, 60))  # a turn in a picture twice as wide as high …
        tensor([[90.,  1.,  1.,  0.,  0.,  0.]])
        >>> to_parts(turn)  # … and no mere turn in a square one
        tensor([[90.0000,  2.0000,  0.5000,  0.0000,  0.0000,  0.0000]])
    """
    matrix, ratio = transform.matrix(theta), _height_to_width(size)
    if isinstance(transform, Attention):
        return theta.clone()
    shift, perspective = matrix[:, :2, 2], matrix[:, 2, :2]
    a, b, c, d = (matrix[:, :2, :2] - shift[:, :, None] * perspective[:, None]).flatten(1).unbind(1)
    b, c = b / ratio, c * ratio  # in pixels
    none = torch.finfo(theta.dtype).tiny  # below it there are not enough digits left to tell a direction
    flat = torch.hypot(a, c) <= none * torch.stack((b, d)).abs().amax(0).clamp(min=1)
    scale_x = torch.where(flat, 0, torch.hypot(torch.where(flat, 1, a), torch.where(flat, 0, c)))
    x, y = torch.where(flat, d, a), torch.where(flat, -b, c)  # which way the frame's x axis points
    nowhere = torch.hypot(x, y) <= none
    x, y = torch.where(nowhere, 1, x), torch.where(nowhere, 0, y)
    length = torch.hypot(x, y)
    cos, sin = x / length, y / length
    scale_y = cos * d - sin * b
    shear = torch.where(flat, 0, (cos * b + sin * d) / torch.where(flat, 1, scale_x))
    parts = torch.stack((torch.rad2deg(torch.atan2(sin, cos)), scale_x, scale_y, shear), dim=1)
    return torch.cat((parts, shift, perspective), dim=1)[:, : transform.n_params] + 0.0


def _height_to_width(size: Size | None) -> float:
    height, width = (1, 1) if size is None else check_size(size)
    return height / width


def _check_parts(parts: Tensor, transform: Transform) -> None:
    names = part_names(transform)
    if not isinstance(parts, Tensor) or parts.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"expected parts as a float32 or float64 tensor, got {describe(parts)}")
    if parts.ndim != 2 or parts.shape[1] != len(names):
        raise ValueError(f"expected parts of shape (B, {len(names)}) ({', '.join(names)}), got {describe(parts)}")
