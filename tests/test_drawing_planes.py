"""Lines in homogeneous coordinates: what of them is in view, and where they are cut."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import few, seeds, uniform

from stn_course.drawing.planes import BORDER, clipped, grid_lines, line_through
from stn_course.transforms import Projective


@few
@given(seeds, st.floats(0.1, 3), st.floats(0.1, 3))
def test_clipped_segments_are_the_points_in_view(seed, reach_x, reach_y):
    """Against points walked along each segment, one by one."""
    segments = uniform(seed, 6, 2, 3, low=-2, high=2).numpy()
    pieces = clipped(segments, reach_x, reach_y)
    at = np.linspace(0, 1, 400)[:, None]
    walked = np.concatenate([a + at * (b - a) for a, b in segments])
    points = walked[:, :2] / walked[:, 2:]
    seen = points[(np.abs(points) < np.array([reach_x, reach_y]) * 0.999).all(1)]
    for point in seen[::7]:
        assert min(distance(point, *piece) for piece in pieces) < 1e-6
    assert (np.abs(pieces) <= np.array([reach_x, reach_y]) * (1 + 1e-6)).all()
    for a, b in pieces:  # nothing is drawn that is not walked past
        middle = (a + b) / 2
        spacing = max(0.02, 3 * np.abs(np.diff(points, axis=0)[(np.abs(points[1:]) < 4).all(1)]).max(initial=0))
        assert np.hypot(*(points - middle).T).min() < spacing


def distance(point, a, b) -> float:
    along = b - a
    t = np.clip((point - a) @ along / max(along @ along, 1e-30), 0, 1)
    return float(np.hypot(*(a + t * along - point)))


def test_the_border_is_broken_at_the_horizon():
    theta = torch.tensor([[1.0, 0, 0, 0, 1, 0, 0, 1.5]], dtype=torch.float64)  # w is 0 at y_t = −2/3
    pieces = clipped(Projective().homogeneous(theta, torch.from_numpy(BORDER)[None])[0].numpy(), 50, 50)
    lengths = np.hypot(*(pieces[:, 1] - pieces[:, 0]).T)
    assert len(pieces) == 6  # top and bottom whole, left and right in two pieces each
    assert (lengths > 10).sum() == 4 and (lengths < 5).sum() == 2
    heights = pieces[..., 1]  # on its way to the horizon a side runs off the top, beyond it comes in from the bottom
    assert not ((heights.min(1) < -5) & (heights.max(1) > 5)).any()


def test_lines_through():
    for a, b, c in ((1.0, 0.0, 0.5), (0.0, 2.0, 1.0), (1.0, 1.0, -0.5)):
        ends = clipped(line_through(np.array([a, b, c])), 1, 1)
        assert len(ends) == 1 and np.abs(ends @ np.array([a, b]) + c).max() < 1e-6
    assert len(line_through(np.array([0.0, 0.0, 1.0]))) == 0
    assert len(clipped(line_through(np.array([1.0, 0.0, -5.0])), 1, 1)) == 0


def test_the_grid_has_seven_rows_and_seven_columns_inside():
    lines = grid_lines()
    assert lines.shape == (14, 2, 2)
    assert sorted(set(lines[:, 0, 1].tolist())) == [-1, -0.75, -0.5, -0.25, 0, 0.25, 0.5, 0.75]
