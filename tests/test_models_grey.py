"""GreyConv2d is a convolution: the same numbers, gradients and refusals as PyTorch's own."""

import copy
import pickle

import pytest
import torch
from strategies import uniform
from torch import nn
from torch.func import functional_call, hessian, jvp, stack_module_state, vmap

from stn_course.models import GreyConv2d


def grey_and_plain(channels=3, kernel=3, in_channels=1, **settings):
    torch.manual_seed(0)
    grey = GreyConv2d(in_channels, channels, kernel, **settings).double()
    plain = nn.Conv2d(in_channels, channels, kernel, **settings).double()
    plain.load_state_dict(grey.state_dict())
    return grey, plain


def values_and_gradients(layer, x, incoming):
    x = x.detach().requires_grad_()
    y = layer(x)
    gradients = torch.autograd.grad(y, (x, layer.weight, layer.bias), incoming)
    return y, *gradients


@pytest.mark.parametrize("batch", [1, 2, 5, 130])
@pytest.mark.parametrize(("kernel", "size"), [(1, (1, 1)), (3, (5, 7)), (3, (3, 3)), ((2, 4), (6, 5)), (9, (12, 42))])
@pytest.mark.parametrize("in_channels", [1, 2])
@pytest.mark.parametrize("layout", ["contiguous", "channels_last", "strided", "expanded"])
def test_grey_convolution_is_a_convolution(batch, kernel, size, in_channels, layout):
    grey, plain = grey_and_plain(3, kernel, in_channels)
    x = uniform(3, batch, in_channels, *size)
    incoming = uniform(4, *plain(x).shape, low=-1)
    if layout == "channels_last":
        incoming = incoming.contiguous(memory_format=torch.channels_last)
    elif layout == "strided":
        x, incoming = x.mT.contiguous().mT, torch.stack((incoming, incoming), dim=-1)[..., 0]
    elif layout == "expanded":
        incoming = incoming[:1, :1, :1, :1].expand_as(incoming)
    for ours, theirs in zip(
        values_and_gradients(grey, x, incoming), values_and_gradients(plain, x, incoming), strict=True
    ):
        assert ours.shape == theirs.shape
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_grey_convolution_in_float32():
    torch.manual_seed(0)
    grey, plain = GreyConv2d(1, 36, 9), nn.Conv2d(1, 36, 9)
    plain.load_state_dict(grey.state_dict())
    x, incoming = torch.rand(16, 1, 42, 42), torch.rand(16, 36, 34, 34) - 0.5
    for ours, theirs in zip(
        values_and_gradients(grey, x, incoming), values_and_gradients(plain, x, incoming), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4 * theirs.abs().max().item())


def test_grey_convolution_gradcheck():
    grey, _ = grey_and_plain()
    x = uniform(5, 2, 1, 4, 5).requires_grad_()

    inputs = (x, *grey.parameters())  # `gradcheck` changes them where they are
    assert torch.autograd.gradcheck(lambda x, weight, bias: grey(x), inputs)
    assert torch.autograd.gradcheck(lambda x, weight, bias: grey(x).mT, inputs)


def test_second_derivatives_of_a_grey_convolution():
    grey, plain = grey_and_plain()
    x, direction = uniform(5, 2, 1, 4, 5), uniform(6, 2, 1, 4, 5, low=-1)
    inputs = (x.clone().requires_grad_(), *grey.parameters())
    assert torch.autograd.gradgradcheck(lambda x, weight, bias: grey(x), inputs)
    products, hessians = [], []
    for layer in (grey, plain):

        def loss(x, *, layer=layer):
            return layer(x).pow(3).sum()

        products.append(torch.autograd.functional.hvp(loss, x, direction)[1])
        hessians.append(hessian(loss)(x))
    torch.testing.assert_close(*products, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(*hessians, rtol=1e-12, atol=1e-12)
    assert products[0].abs().max() > 0.01


def test_forward_mode_through_a_grey_convolution():
    grey, plain = grey_and_plain()
    x, direction = uniform(5, 2, 1, 4, 5), uniform(6, 2, 1, 4, 5, low=-1)
    ours, theirs = (jvp(layer, (x,), (direction,)) for layer in (grey, plain))
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_gradients_of_each_sample_of_a_grey_convolution():
    grey, _ = grey_and_plain()
    x = uniform(5, 4, 1, 5, 6)
    parameters = {name: parameter.detach() for name, parameter in grey.named_parameters()}

    def loss(parameters, image):
        return functional_call(grey, parameters, (image[None],)).square().sum()

    at_once = vmap(torch.func.grad(loss), (None, 0))(parameters, x)
    for i, image in enumerate(x):
        alone = torch.autograd.grad(loss(dict(grey.named_parameters()), image), list(grey.parameters()))
        for name, gradient in zip(parameters, alone, strict=True):
            torch.testing.assert_close(at_once[name][i], gradient, rtol=1e-12, atol=1e-12)


def test_an_ensemble_of_grey_convolutions():
    layers = [GreyConv2d(1, 3, 3).double() for _ in range(3)]
    x = uniform(5, 2, 1, 5, 6)
    parameters, _ = stack_module_state(layers)
    at_once = vmap(lambda parameters: functional_call(layers[0], parameters, (x,)))(parameters)
    torch.testing.assert_close(at_once, torch.stack([layer(x) for layer in layers]), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("images_learn", [False, True])
@pytest.mark.parametrize("kernel", [1, 5, 9])
def test_the_gradient_of_the_weight_lies_in_memory_as_the_weight_does(layout, images_learn, kernel):
    """Training on several machines copies gradients into places laid out like the weights, and warns if they differ."""
    layer = GreyConv2d(1, 4, kernel).to(memory_format=layout)
    layer(torch.rand(8, 1, 12, 12, requires_grad=images_learn)).square().sum().backward()
    assert layer.weight.grad.stride() == layer.weight.stride()


@pytest.mark.parametrize("shape", [(1, 1, 2, 6), (1, 1, 6, 2), (1, 2, 6, 6), (1, 1, 6), (6, 6)])
def test_what_a_convolution_refuses_a_grey_one_refuses(shape):
    grey, plain = grey_and_plain()
    x = torch.zeros(shape, dtype=torch.float64)
    with pytest.raises(RuntimeError) as theirs:
        plain(x)
    with pytest.raises(RuntimeError) as ours:
        grey(x)
    assert str(ours.value) == str(theirs.value)


def test_a_grey_convolution_takes_a_single_image():
    grey, plain = grey_and_plain()
    x = uniform(5, 1, 6, 7)
    torch.testing.assert_close(grey(x), plain(x))


def test_grey_convolution_with_an_empty_batch():
    grey, plain = grey_and_plain()
    x, incoming = torch.zeros(0, 1, 4, 5, dtype=torch.float64), torch.zeros(0, 3, 2, 3, dtype=torch.float64)
    for ours, theirs in zip(
        values_and_gradients(grey, x, incoming), values_and_gradients(plain, x, incoming), strict=True
    ):
        assert torch.equal(ours, theirs)


def test_frozen_grey_convolution():
    grey, plain = grey_and_plain()
    grey.requires_grad_(False)
    plain.requires_grad_(False)
    x = uniform(6, 2, 1, 4, 5)
    assert not grey(x).requires_grad
    x.requires_grad_()
    ours, theirs = (torch.autograd.grad(layer(x).square().sum(), x)[0] for layer in (grey, plain))
    torch.testing.assert_close(ours, theirs)
    grey.weight.requires_grad_()
    grey(x.detach()).sum().backward()
    assert grey.weight.grad is not None
    assert grey.bias.grad is None


@pytest.mark.parametrize(
    "setting", [{"padding": 1}, {"stride": 2}, {"dilation": 2}, {"bias": False}, {"padding": "same"}]
)
def test_no_setting_of_a_convolution_is_silently_ignored(setting):
    try:
        grey, plain = grey_and_plain(**setting)
    except (TypeError, ValueError):
        return  # refused, which is fine
    x = uniform(7, 2, 1, 6, 7)
    torch.testing.assert_close(grey(x), plain(x))
    grey(x).sum().backward()
    plain(x).sum().backward()
    torch.testing.assert_close(grey.weight.grad, plain.weight.grad)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_grey_convolution_under_autocast(dtype):
    torch.manual_seed(0)
    grey, exact = GreyConv2d(1, 32, 9), nn.Conv2d(1, 32, 9).double()
    exact.load_state_dict(grey.state_dict())
    x, incoming = torch.rand(16, 1, 42, 42), (torch.rand(16, 32, 34, 34) - 0.5).to(dtype)
    with torch.autocast("cpu", dtype):
        ours = values_and_gradients(grey, x, incoming)
    assert [each.dtype for each in ours] == [dtype, *[torch.float32] * 3]
    for mine, right in zip(ours, values_and_gradients(exact, x.double(), incoming.double()), strict=True):
        # the images' gradient is a sum of 81 numbers: added up in lower precision it would be off by a hundredth
        assert (mine.double() - right).abs().max() < 4 * torch.finfo(dtype).eps * right.square().mean().sqrt()


def test_autocast_leaves_float64_alone_in_a_grey_convolution():
    grey, plain = grey_and_plain()
    x = uniform(9, 2, 1, 6, 7)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(grey(x), plain(x), rtol=1e-12, atol=1e-12)


def test_grey_convolution_is_copied_and_pickled():
    grey, _ = grey_and_plain()
    x = uniform(8, 2, 1, 4, 5)
    for twin in (copy.deepcopy(grey), pickle.loads(pickle.dumps(grey))):
        assert torch.equal(twin(x), grey(x))
    with torch.inference_mode():
        assert torch.equal(grey(x), grey(x.clone()))


def test_grey_convolution_keeps_the_layout_that_pooling_likes():
    y = GreyConv2d(1, 4, 3)(torch.rand(2, 1, 6, 7))
    assert y.is_contiguous(memory_format=torch.channels_last)
