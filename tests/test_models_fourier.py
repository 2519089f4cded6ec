"""FourierConv2d is a convolution: the same numbers, gradients and refusals as PyTorch's own."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.autograd import gradcheck, gradgradcheck

from stn_course.models import FourierConv2d

CHANNELS_LAST, CONTIGUOUS = torch.channels_last, torch.contiguous_format


def both(in_channels=3, out_channels=4, kernel=3, dtype=torch.float64):
    """The layer, and PyTorch's own with the same weights."""
    fourier, plain = FourierConv2d(in_channels, out_channels, kernel), nn.Conv2d(in_channels, out_channels, kernel)
    plain.load_state_dict(fourier.state_dict())
    return fourier.to(dtype), plain.to(dtype)


def watched(monkeypatch):
    """How often PyTorch's own convolution is called from now on."""
    calls, theirs = [], nn.Conv2d.forward
    monkeypatch.setattr(nn.Conv2d, "forward", lambda self, x: calls.append(x) or theirs(self, x))
    return calls


@given(
    batch=st.integers(1, 3),
    channels=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    kernel=st.integers(1, 5),
    beyond=st.tuples(st.integers(0, 6), st.integers(0, 6)),
    layout=st.sampled_from([CHANNELS_LAST, CONTIGUOUS]),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=60)
def test_numbers_and_gradients_are_those_of_a_convolution(batch, channels, kernel, beyond, layout, seed):
    torch.manual_seed(seed)
    fourier, plain = both(*channels, kernel)
    size = kernel + beyond[0], kernel + beyond[1]
    x = torch.randn(batch, channels[0], *size, dtype=torch.float64).to(memory_format=layout)
    towards = torch.randn(batch, channels[1], beyond[0] + 1, beyond[1] + 1, dtype=torch.float64)
    found = []
    for layer in (fourier, plain):
        given_x = x.clone().requires_grad_()
        y = layer(given_x)
        y.backward(towards)
        found.append((y.detach(), given_x.grad, layer.weight.grad, layer.bias.grad))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-10)


def test_it_does_not_call_pytorchs_own(monkeypatch):
    calls = watched(monkeypatch)
    both()[0](torch.rand(2, 3, 5, 6, dtype=torch.float64))
    assert not calls


def test_float32_is_as_exact_as_pytorchs_to_a_few_units_in_the_last_place():
    torch.manual_seed(0)
    fourier, plain = both(32, 32, 7, torch.float32)
    x = torch.rand(8, 32, 17, 17)
    exact = plain.double()(x.double())
    assert (fourier(x) - exact).abs().max() < 5e-6 * exact.abs().max()


def test_first_and_second_derivatives():
    fourier, _ = both(2, 2, 2)
    x = torch.rand(1, 2, 3, 4, dtype=torch.float64, requires_grad=True)
    inputs = x, *(parameter.detach().requires_grad_() for parameter in fourier.parameters())

    def layer(x, weight, bias):
        return torch.func.functional_call(fourier, {"weight": weight, "bias": bias}, x)

    assert gradcheck(layer, inputs) and gradgradcheck(layer, inputs)


def test_without_gradients_it_is_pytorchs_own(monkeypatch):
    (fourier, plain), x = both(), torch.rand(2, 3, 5, 6, dtype=torch.float64)
    for off in (torch.no_grad(), torch.inference_mode()):
        with off:
            assert torch.equal(fourier(x), plain(x))


def test_it_serves_in_training_after_it_served_in_inference_mode():
    fourier, _ = both(1, 1, 6)  # a size that no other test has: its matrices are made here
    x = torch.rand(1, 1, 23, 29, dtype=torch.float64)
    with torch.inference_mode(), torch.enable_grad():
        fourier(x)
    fourier(x.requires_grad_()).sum().backward()
    assert x.grad.isfinite().all()


def test_the_channels_lie_last_in_memory():
    y = both()[0](torch.rand(2, 3, 6, 7, dtype=torch.float64))
    assert y.is_contiguous(memory_format=CHANNELS_LAST)


def test_inside_vmap():
    fourier, plain = both()
    x = torch.rand(4, 2, 3, 5, 6, dtype=torch.float64)
    torch.testing.assert_close(torch.vmap(fourier)(x), torch.stack([plain(each) for each in x]))


def test_in_lower_precision_and_where_nothing_fits_it_is_pytorchs_own(monkeypatch):
    fourier, plain = both(dtype=torch.float32)
    x = torch.rand(2, 3, 6, 6)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(fourier(x), plain(x)) and fourier(x).dtype == torch.bfloat16
    for wrong in (torch.rand(2, 4, 6, 6), torch.rand(2, 3, 2, 6), torch.rand(3, 2)):
        messages = []
        for layer in (fourier, plain):
            with pytest.raises(RuntimeError) as error:
                layer(wrong)
            messages.append(str(error.value))
        assert messages[0] == messages[1]
    assert fourier(torch.rand(0, 3, 6, 6)).shape == (0, 4, 4, 4)
    assert fourier(x[0]).shape == (4, 4, 4)  # without a batch


def test_it_is_recorded_as_a_convolution():
    fourier, _ = both(dtype=torch.float32)
    exported = torch.export.export(fourier, (torch.rand(2, 3, 6, 6),))
    assert any("conv2d" in str(node.target) for node in exported.graph.nodes)
