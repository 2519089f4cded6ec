"""The networks: their sizes, to the last parameter, and what they compute, against plain functional code."""

import copy
import pickle

import pytest
import torch
import torch.nn.functional as F
from strategies import uniform
from torch import nn

from stn_course.models import CNN, STCNN, GreyConv2d
from stn_course.spatial_transformer import SpatialTransformer
from stn_course.transforms import Affine, Attention, Projective

FAMILIES = [Affine(), Attention(), Projective()]
NETWORKS = {"cnn": CNN, "affine": STCNN, **{repr(f): lambda f=f: STCNN(f) for f in FAMILIES[1:]}}
networks = pytest.mark.parametrize("network", NETWORKS)


def build(network, seed=0):
    torch.manual_seed(seed)
    return NETWORKS[network]()


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def functional_cnn(x, weights):
    w = list(weights)
    x = F.relu(F.max_pool2d(F.conv2d(x, w[0], w[1]), 2))
    x = F.relu(F.max_pool2d(F.conv2d(x, w[2], w[3]), 2))
    x = F.relu(x.reshape(len(x), -1) @ w[4].T + w[5])
    return x @ w[6].T + w[7]


def functional_theta(x, weights):
    w = list(weights)
    x = F.interpolate(x, size=(21, 21), mode="bilinear", align_corners=False)
    x = F.relu(F.max_pool2d(F.conv2d(x, w[0], w[1]), 2))
    x = F.relu(F.conv2d(x, w[2], w[3]))
    x = F.relu(x.reshape(len(x), -1) @ w[4].T + w[5])
    return x @ w[6].T + w[7]


# The networks


@pytest.mark.parametrize(
    ("network", "parameters"),
    [("cnn", 112_052), ("affine", 110_478), ("Attention()", 110_415), ("Projective()", 110_520)],
)
def test_parameter_counts(network, parameters):
    assert count(build(network)) == parameters


@pytest.mark.parametrize("transform", FAMILIES, ids=repr)
def test_parameters_of_the_parts(transform):
    model = STCNN(transform)
    localisation = (25 * 20 + 20) + (25 * 20 * 20 + 20) + (320 * 20 + 20) + (20 + 1) * transform.n_params
    classifier = (81 * 32 + 32) + (49 * 32 * 32 + 32) + (800 * 50 + 50) + (50 * 10 + 10)
    assert count(model.spatial_transformer) == localisation
    assert count(model.classifier) == classifier
    assert count(CNN(32)) == classifier
    assert all(parameter.requires_grad for parameter in model.parameters())


@networks
@pytest.mark.parametrize("batch", [0, 1, 3])
def test_shapes(network, batch):
    model = build(network)
    logits = model(torch.rand(batch, 1, 42, 42))
    assert logits.shape == (batch, 10)
    logits.sum().backward()
    assert all(parameter.grad.shape == parameter.shape for parameter in model.parameters())


def test_the_cnn_is_what_it_says():
    model = build("cnn").double()
    x = uniform(1, 3, 1, 42, 42)
    torch.testing.assert_close(model(x), functional_cnn(x, model.parameters()))


@pytest.mark.parametrize("transform", FAMILIES, ids=repr)
def test_an_st_network_is_a_spatial_transformer_then_a_classifier(transform):
    torch.manual_seed(0)
    model = STCNN(transform).double()
    nn.init.normal_(model.spatial_transformer.localisation[-1].weight, std=0.1)
    assert [name for name, _ in model.named_children()] == ["spatial_transformer", "classifier"]
    assert isinstance(model.spatial_transformer, SpatialTransformer)
    assert model.spatial_transformer.transform == transform
    x = uniform(2, 3, 1, 42, 42)
    theta = model.spatial_transformer.theta(x)
    assert theta.std(dim=0).min() > 0
    torch.testing.assert_close(theta, functional_theta(x, model.spatial_transformer.parameters()))
    warped = F.grid_sample(x, transform.grid(theta, (42, 42)), align_corners=False)
    torch.testing.assert_close(model.spatial_transformer(x), warped)
    torch.testing.assert_close(model(x), functional_cnn(warped, model.classifier.parameters()))


@pytest.mark.parametrize("transform", FAMILIES, ids=repr)
def test_a_new_st_network_looks_straight_ahead(transform):
    model = STCNN(transform)
    x = torch.rand(3, 1, 42, 42)
    assert torch.equal(model.spatial_transformer.theta(x), transform.identity().expand(3, -1))
    torch.testing.assert_close(model.spatial_transformer(x), x, rtol=0, atol=1e-5)
    torch.testing.assert_close(model(x), model.classifier(x), rtol=1e-4, atol=1e-5)


@networks
def test_they_give_logits(network):
    logits = build(network)(torch.rand(5, 1, 42, 42))
    assert (logits.exp().sum(dim=1) - 1).abs().min() > 0.1  # no softmax yet


@networks
def test_evaluation_and_inference(network):
    model = build(network)
    x = torch.rand(3, 1, 42, 42)
    expected = model(x).detach()
    model.eval()
    assert torch.equal(model(x), expected)
    with torch.no_grad():
        assert torch.equal(model(x), expected)
    with torch.inference_mode():
        assert torch.equal(model(x), expected)
        assert torch.equal(model(x.clone()), expected)


@networks
def test_autocast(network):
    model = build(network)
    x = torch.rand(8, 1, 42, 42)
    expected = model(x)
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(x)
        loss = F.cross_entropy(logits, torch.arange(8))
    loss.backward()
    torch.testing.assert_close(logits.float(), expected, rtol=0, atol=0.02)
    for name, parameter in model.named_parameters():
        if "localisation" in name and "localisation.9" not in name:
            continue  # behind zero weights nothing arrives yet
        assert parameter.grad.dtype == torch.float32, name
        assert parameter.grad.abs().max() > 0, name


@networks
def test_memory_layouts(network):
    model = build(network)
    x = torch.rand(3, 1, 42, 42)
    expected = model(x)
    strided = torch.stack((x, x), dim=-1)[..., 0]
    for layout in (x.to(memory_format=torch.channels_last), strided, x.mT.contiguous().mT):
        torch.testing.assert_close(model(layout), expected, rtol=1e-5, atol=1e-6)
    model = model.to(memory_format=torch.channels_last)
    torch.testing.assert_close(model(x), expected, rtol=1e-5, atol=1e-6)


@networks
def test_copies_pickles_and_weights(network):
    model, other = build(network, seed=1), build(network, seed=2)
    x = torch.rand(3, 1, 42, 42)
    assert not torch.equal(model(x), other(x))
    other.load_state_dict(model.state_dict())
    for twin in (other, copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(twin(x), model(x))
        assert not {id(p) for p in twin.parameters()} & {id(p) for p in model.parameters()}


# GreyConv2d


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


@pytest.mark.parametrize("batch", [1, 2, 5])
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


def test_grey_convolution_under_autocast_is_pytorchs():
    grey, plain = grey_and_plain()
    grey, plain, x = grey.float(), plain.float(), torch.rand(2, 1, 6, 7)
    with torch.autocast("cpu", torch.bfloat16):
        ours, theirs = grey(x), plain(x)
    assert ours.dtype == theirs.dtype == torch.bfloat16
    assert torch.equal(ours, theirs)
    ours.sum().backward()
    assert grey.weight.grad.dtype == torch.float32


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
