"""Target: bilinear_sample takes at most 4 times as long as F.grid_sample; a transformer no longer than kornia's warps.

    python benchmarks/sampling.py [--rounds 15]        (needs kornia: pip install -e ".[benchmarks]")

Forward and backward together, with gradients for the images and for the grid or the matrix. Those that are compared
give the same picture, which is checked first; they take turns, and medians and their ratio are printed. The thin plate
spline is checked, and measured, where it moves its control points affinely: elsewhere kornia's is another spline, whose
kernels stand where the control points look.
"""

import argparse
import statistics
import time

import kornia.geometry.transform as kornia
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stn_course.allocator import reuse_freed_memory
from stn_course.sampling import bilinear_sample
from stn_course.spatial_transformer import SpatialTransformer
from stn_course.transforms import Affine, Projective, ThinPlateSpline, Transform

SIZES = {28: 256, 64: 64, 128: 16, 256: 8, 512: 4}  # height and width: images in a batch
CHANNELS = 3


class Given(nn.Module):
    """A localisation network that knows its answer: θ."""

    def __init__(self, theta: Tensor):
        super().__init__()
        self.theta = nn.Parameter(theta)

    def forward(self, images: Tensor) -> Tensor:
        return self.theta


def some_theta(transform: Transform, batch: int, device: torch.device) -> Tensor:
    if isinstance(transform, ThinPlateSpline):
        affine = some_theta(Affine(), batch, device)
        return Affine().map(affine, transform.control_points().to(device).expand(batch, -1, -1)).flatten(1)
    generator = torch.Generator().manual_seed(0)
    identity = transform.identity().expand(batch, -1)
    return (identity + 0.15 * (torch.rand(identity.shape, generator=generator) - 0.5)).to(device)


def pixel_matrix(transform: Transform, theta: Tensor, size: int) -> Tensor:
    """θ as kornia takes it: (B, 3, 3), from pixels of the input to pixels of the output, corners aligned."""
    half = (size - 1) / 2
    to_pixels = torch.tensor([[half, 0, half], [0, half, half], [0, 0, 1.0]], device=theta.device)
    return to_pixels @ torch.linalg.inv(transform.matrix(theta)) @ torch.linalg.inv(to_pixels)


def samplers(images: Tensor, size: int, device: torch.device) -> tuple:
    grid = Affine().grid(some_theta(Affine(), len(images), device), (size, size)).detach().requires_grad_()
    return (
        (lambda: bilinear_sample(images, grid), grid),
        (lambda: F.grid_sample(images, grid, align_corners=False), grid),
    )


def transformers(transform: Transform, images: Tensor, size: int, device: torch.device) -> tuple:
    given = Given(some_theta(transform, len(images), device)).to(device)
    layer = SpatialTransformer(given, transform, align_corners=True)
    if isinstance(transform, ThinPlateSpline):
        control = transform.control_points().to(device).expand(len(images), -1, -1)
        looks = given.theta.detach().unflatten(1, (-1, 2)).clone().requires_grad_()

        def spline() -> Tensor:
            weights = kornia.get_tps_transform(control, looks)
            return kornia.warp_image_tps(images, looks, *weights, align_corners=True)

        return (lambda: layer(images), given.theta), (spline, looks)
    matrix = pixel_matrix(transform, given.theta.detach(), size).requires_grad_()
    if isinstance(transform, Projective):
        theirs = (lambda: kornia.warp_perspective(images, matrix, (size, size), align_corners=True), matrix)
    else:
        theirs = (lambda: kornia.warp_affine(images, matrix[:, :2], (size, size), align_corners=True), matrix)
    return (lambda: layer(images), given.theta), theirs


def milliseconds(way, images: Tensor, weights: Tensor) -> float:
    forward, moved = way
    start = time.perf_counter()
    torch.autograd.grad((forward() * weights).sum(), (images, moved))
    if images.is_cuda:
        torch.cuda.synchronize()
    return 1000 * (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    reuse_freed_memory()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    print(f"{device}, {torch.get_num_threads()} threads, torch {torch.__version__}; milliseconds, medians")
    print(f"{'images':18}{'ours':>34}{'compared with':>34}{'ratio':>8}")
    for size, batch in SIZES.items():
        images = torch.rand(batch, CHANNELS, size, size, device=device, requires_grad=True)
        weights = torch.rand(batch, CHANNELS, size, size, device=device)
        pairs = {
            ("bilinear_sample", "F.grid_sample"): samplers(images, size, device),
            ("SpatialTransformer", "warp_affine"): transformers(Affine(), images, size, device),
            ("SpatialTransformer(Projective)", "warp_perspective"): transformers(Projective(), images, size, device),
            ("SpatialTransformer(TPS)", "warp_image_tps"): transformers(ThinPlateSpline(), images, size, device),
        }
        for (ours, theirs), ways in pairs.items():
            torch.testing.assert_close(ways[0][0](), ways[1][0](), rtol=0, atol=2e-3)
            taken = [[], []]
            for _ in range(arguments.rounds + 2):  # the first two warm up
                for times, way in zip(taken, ways):
                    times.append(milliseconds(way, images, weights))
            mine, other = (times[2:] for times in taken)
            ratio = statistics.median(a / b for a, b in zip(mine, other))
            print(
                f"{batch:>4} x {CHANNELS} x {size}²".ljust(18) + f"{ours:>26}{statistics.median(mine):8.2f}"
                f"{theirs:>26}{statistics.median(other):8.2f}{ratio:8.2f}"
            )


if __name__ == "__main__":
    main()
