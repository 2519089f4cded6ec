"""Boxes round frames, and what two of them share."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import few

from stn_course.recovery import box, box_overlap, overlap
from stn_course.transforms import Affine, Attention

numbers = st.floats(-2, 2, width=32)


@few
@given(st.lists(numbers, min_size=8, max_size=8))
def test_what_two_boxes_share_is_counted_on_whole_numbers_alike(values):
    ends = torch.tensor(values).mul(3).round().view(2, 2, 2).sort(1).values  # (2, low and high, 2)
    one, other = ends.flatten(1)
    cells = torch.arange(-6, 6) + 0.5
    inside = [((cells > a) & (cells < c))[None] & ((cells > b) & (cells < d))[:, None] for a, b, c, d in (one, other)]
    both, either = (inside[0] & inside[1]).sum(), (inside[0] | inside[1]).sum()
    assert box_overlap(one, other).item() == pytest.approx((both / either.clamp(min=1)).item())
    assert box_overlap(one, other) == box_overlap(other, one)


def test_upright_frames_share_what_the_lattice_says():
    generator = torch.Generator().manual_seed(0)
    theta = torch.rand(12, 2, 3, generator=generator) * torch.tensor([0.8, 0.6, 0.6]) + torch.tensor([0.2, -0.3, -0.3])
    exact = box_overlap(*(box(theta[:, i], Attention()) for i in (0, 1)))
    counted = overlap(theta[:, 0], theta[:, 1], Attention())
    torch.testing.assert_close(exact, counted, atol=0.02, rtol=0)


def test_a_box_goes_round_a_frame_however_it_is_turned():
    turned = torch.tensor([[0.0, -0.5, 0.25, 0.5, 0.0, 0.0], [-1.0, 0, 0, 0, 1, 0], [0.5, 0.5, 0, 0.5, -0.5, 0]])
    expected = torch.tensor([[-0.25, -0.5, 0.75, 0.5], [-1, -1, 1, 1], [-1, -1, 1, 1]])
    torch.testing.assert_close(box(turned, Affine()), expected)


def test_boxes_without_an_area_share_nothing_and_no_gradient_is_lost():
    point = torch.zeros(4)
    assert (
        box_overlap(point, point) == 0 and box_overlap(torch.tensor([1.0, 1, 0, 0]), torch.tensor([0.0, 0, 1, 1])) == 0
    )
    edges = torch.tensor([0.0, 0, 1, 1], requires_grad=True)
    box_overlap(edges, torch.tensor([0.5, 0, 1, 1])).backward()
    assert edges.grad.isfinite().all() and edges.grad.abs().max() > 0


def test_what_is_no_box_is_refused_in_words():
    with pytest.raises(ValueError, match=r"boxes of shape \(..., 4\), got a tensor of shape \(3,\)"):
        box_overlap(torch.zeros(4), torch.zeros(3))
