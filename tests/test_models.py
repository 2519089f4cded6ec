"""The networks: their sizes, to the last parameter, and what they compute, against plain functional code."""

import copy
import functools
import pickle

import pytest
import torch
import torch.nn.functional as F
from several_looks import OneAfterAnother, SideBySide, small_layer
from strategies import uniform
from torch import nn

from stn_course.models import (
    CNN,
    FCN,
    STCNN,
    STFCN,
    CifarCNN,
    CifarLeNet,
    CifarLeNetSTN,
    CifarSTN,
    PooledCNN,
    ResidualCNN,
    ResidualSTN,
    RtsCifarSTN,
    STNetwork,
    TutorialCNN,
    TutorialSTN,
    TwiceSTCNN,
    looks_of,
)
from stn_course.models.residual import Residual
from stn_course.spatial_transformer import SpatialTransformer, ThetaHead, warp
from stn_course.transforms import FAMILIES, Affine, Attention, Projective, ThinPlateSpline

SMALL, CANVAS, COLOUR, COLOUR_CANVAS = (1, 28, 28), (1, 42, 42), (3, 32, 32), (3, 48, 48)
NETWORKS = {  # name → how it is made, what it takes, how many parameters it has
    "cnn": (CNN, CANVAS, 112_052),
    "st-cnn": (STCNN, CANVAS, 110_478),
    "st-cnn-attention": (functools.partial(STCNN, Attention()), CANVAS, 110_415),
    "st-cnn-projective": (functools.partial(STCNN, Projective()), CANVAS, 110_520),
    "fcn": (FCN, CANVAS, 399_566),
    "st-fcn": (STFCN, CANVAS, 400_225),
    "st-fcn-projective": (functools.partial(STFCN, Projective()), CANVAS, 400_291),
    "st-cnn-tps": (functools.partial(STCNN, ThinPlateSpline()), CANVAS, 111_024),
    "st-fcn-tps": (functools.partial(STFCN, ThinPlateSpline()), CANVAS, 401_083),
    "tutorial": (TutorialSTN, SMALL, 27_360),
    "tutorial-baseline": (TutorialCNN, SMALL, 27_296),
    "cifar": (CifarSTN, COLOUR, 1_585_008),
    "cifar-baseline": (CifarCNN, COLOUR, 1_594_614),
    "lenet": (CifarLeNetSTN, COLOUR, 802_492),
    "lenet-baseline": (CifarLeNet, COLOUR, 802_611),
    "residual": (ResidualSTN, COLOUR, 6_658_608),
    "residual-baseline": (ResidualCNN, COLOUR, 6_573_130),
    "rts-cifar": (RtsCifarSTN, COLOUR_CANVAS, 1_191_792),
    "rts-cifar-baseline": (functools.partial(CifarCNN, (32, 64), 48, 219), COLOUR_CANVAS, 1_191_411),
    "pooled": (PooledCNN, COLOUR_CANVAS, 1_190_847),
    "halved": (functools.partial(CifarCNN, (64, 128), 48, 843, halved=True), COLOUR_CANVAS, 1_190_211),
}
PAIRS = {  # a network with a transformer → its baseline
    "st-cnn": "cnn",
    "st-cnn-projective": "cnn",
    "st-cnn-tps": "cnn",
    "st-fcn-tps": "fcn",
    "st-fcn": "fcn",
    "st-fcn-projective": "fcn",
    "tutorial": "tutorial-baseline",
    "cifar": "cifar-baseline",
    "lenet": "lenet-baseline",
    "residual": "residual-baseline",
    "rts-cifar": "rts-cifar-baseline",
}
RIVALS = [("rts-cifar", "pooled"), ("rts-cifar", "halved")]  # and more baselines
WITH_TRANSFORMER = [name for name in NETWORKS if name not in {*PAIRS.values(), *(rival for _, rival in RIVALS)}]
networks = pytest.mark.parametrize("network", NETWORKS)


def build(network, seed=0):
    torch.manual_seed(seed)
    return NETWORKS[network][0]()


def images(network, batch, seed=1, dtype=torch.float32):
    return uniform(seed, batch, *NETWORKS[network][1], dtype=dtype)


@pytest.fixture(autouse=True)
def few_threads(one_thread):
    """Tiny batches are slower on several."""


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


def test_a_residual_block_adds_to_what_it_is_given():
    torch.manual_seed(0)
    block, x = Residual(4).double().eval(), uniform(1, 2, 4, 6, 6, dtype=torch.float64)
    torch.testing.assert_close(block(x), x + block.f(x))
    assert block.f(x).abs().max() > 0.01 and x.abs().max() > 0.01


def test_beyond_the_edge_of_a_photograph_the_residual_network_sees_the_edge():
    model, white = build("residual").eval(), torch.ones(1, 3, 32, 32)
    zoomed_out = torch.tensor([[2.0, 0, 0, 0, 2.0, 0]])
    torch.testing.assert_close(model.spatial_transformer.warp(white, zoomed_out), white)


# Their sizes


@networks
def test_parameter_counts(network):
    assert count(build(network)) == NETWORKS[network][2]
    assert all(parameter.requires_grad for parameter in build(network).parameters())


@pytest.mark.parametrize(("network", "baseline"), [*PAIRS.items(), *RIVALS])
def test_a_baseline_is_as_large_as_what_it_is_compared_with(network, baseline):
    assert count(build(baseline)) == pytest.approx(count(build(network)), rel=0.02)
    assert NETWORKS[baseline][1] == NETWORKS[network][1]
    assert not any(isinstance(module, SpatialTransformer) for module in build(baseline).modules())


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
    logits = model(images(network, batch))
    assert logits.shape == (batch, 10)
    logits.sum().backward()
    assert all(parameter.grad.shape == parameter.shape for parameter in model.parameters())


@pytest.mark.parametrize("network", WITH_TRANSFORMER)
def test_a_transformer_comes_first_and_looks_straight_ahead(network):
    model = build(network).eval()
    assert [name for name, _ in model.named_children()] == ["spatial_transformer", "classifier"]
    transformer = model.spatial_transformer
    assert isinstance(transformer, SpatialTransformer)
    x = images(network, 3)
    cut_out = network == "rts-cifar"  # the middle of the canvas, pixel for pixel; the others begin with the whole input
    identity = transformer.transform.identity().expand(3, -1)
    torch.testing.assert_close(transformer.theta(x), identity * 2 / 3 if cut_out else identity, rtol=0, atol=0)
    seen = x[:, :, 8:40, 8:40] if cut_out else x
    torch.testing.assert_close(transformer(x), seen, rtol=0, atol=1e-5)
    torch.testing.assert_close(model(x), model.classifier(seen), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("network", WITH_TRANSFORMER)
def test_the_classifier_sees_the_warped_image_and_the_localisation_network_learns(network):
    model = build(network).eval()
    nn.init.normal_(model.spatial_transformer.localisation[-1].weight, std=0.05)
    x = images(network, 4)
    torch.testing.assert_close(model(x), model.classifier(model.spatial_transformer(x)))
    assert not torch.allclose(model.spatial_transformer.theta(x)[0], model.spatial_transformer.theta(x)[1])
    F.cross_entropy(model(x), torch.arange(4)).backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in model.spatial_transformer.parameters())


# Where they look


@pytest.mark.parametrize("network", WITH_TRANSFORMER)
def test_a_network_says_where_it_looks(network):
    model = build(network).eval()
    nn.init.normal_(model.spatial_transformer.localisation[-1].weight, std=0.05)
    x = images(network, 3)
    (only,) = model.looks(x)
    assert only.layer is model.spatial_transformer and only.images is x
    assert torch.equal(only.theta, model.spatial_transformer.theta(x))
    assert torch.equal(only.warped, model.spatial_transformer(x))
    assert torch.equal(model(x), model.classifier(only.warped))


@pytest.mark.parametrize("kind", [SideBySide, OneAfterAnother])
def test_several_transformers_have_a_look_each_and_their_own_parameters(kind):
    torch.manual_seed(0)
    model, x = kind(), uniform(1, 3, 1, 8, 8, dtype=torch.float32)
    looks = model.looks(x)
    assert [type(one.layer.transform) for one in looks] == [Affine, Attention if kind is SideBySide else Affine]
    for one in looks:
        assert one.theta.shape == (3, one.layer.transform.n_params)
        assert torch.equal(one.warped, one.layer(one.images))
    assert looks[0].images is x and (looks[1].images is x) == (kind is SideBySide)
    rest, localisation = model.parameter_groups()
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    assert [names[id(p)] for p in localisation] == [name for name in names.values() if ".localisation." in name]
    assert [names[id(p)] for p in rest] == [name for name in names.values() if ".localisation." not in name]
    model(x).sum().backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in localisation)


def test_any_network_is_watched_while_it_looks():
    torch.manual_seed(0)
    x = uniform(1, 3, 1, 8, 8, dtype=torch.float32)
    plain = nn.Sequential(small_layer(64), nn.Flatten(), nn.Linear(36, 10))
    again = nn.Sequential(small_layer(64), small_layer(36, Attention()), nn.Flatten(), nn.Linear(36, 10))
    for model in (plain, again):
        looks = looks_of(model, x)
        assert [one.layer for one in looks] == [each for each in model if isinstance(each, SpatialTransformer)]
        assert looks[0].images is x and all(torch.equal(one.warped, one.layer(one.images)) for one in looks)
        assert all(torch.equal(one.theta, one.layer.theta(one.images)) for one in looks)
        assert not any(one.layer._forward_hooks for one in looks)
    assert looks[1].images is looks[0].warped
    model = SideBySide()
    assert [one.layer for one in looks_of(model, x)] == [*model.layers]
    with pytest.raises(ValueError, match="expected a network with a spatial transformer, got a Linear"):
        looks_of(nn.Linear(8, 8), x)


def test_a_localisation_network_that_two_layers_share_counts_once():
    model = SideBySide()
    model.layers[1] = SpatialTransformer(model.layers[0].localisation, output_size=(6, 6))
    assert list(map(id, model.localisation_parameters())) == list(map(id, model.layers[0].parameters()))


def test_a_network_that_does_not_say_where_it_looks_is_told_so():
    class Silent(STNetwork):
        pass

    with pytest.raises(NotImplementedError, match="expected Silent to say where it looks"):
        Silent().looks(uniform(0, 1, 1, 8, 8))


# What they compute


def test_the_cnn_is_what_it_says():
    model = build("cnn").double()
    x = uniform(1, 3, 1, 42, 42)
    torch.testing.assert_close(model(x), functional_cnn(x, model.parameters()))


def functional_fcn(x, weights):
    """Linear layers and ReLUs, the last without one: of the classifier and of the localisation network alike."""
    x, w = x.flatten(1), list(weights)
    for weight, bias in zip(w[:-2:2], w[1:-2:2]):
        x = F.relu(x @ weight.T + bias)
    return x @ w[-2].T + w[-1]


@pytest.mark.parametrize("transform", FAMILIES, ids=repr)
def test_a_fully_connected_network_has_two_hidden_layers_and_its_localisation_network_three(transform):
    torch.manual_seed(0)
    model, x = STFCN(transform).double(), uniform(2, 3, 1, 42, 42)
    nn.init.normal_(model.spatial_transformer.localisation[-1].weight, std=0.1)
    layer, shapes = model.spatial_transformer, [tuple(p.shape) for p in model.parameters() if p.ndim == 2]
    assert shapes == [(32, 1764), (32, 32), (32, 32), (transform.n_params, 32), (175, 1764), (175, 175), (10, 175)]
    torch.testing.assert_close(layer.theta(x), functional_fcn(x, layer.parameters()))
    torch.testing.assert_close(
        model(x), functional_fcn(warp(x, layer.theta(x), transform), model.classifier.parameters())
    )
    plain = FCN().double()
    torch.testing.assert_close(plain(x), functional_fcn(x, plain.parameters()))


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


def pooled(x, weight, bias):
    return F.relu(F.max_pool2d(F.conv2d(x, weight, bias), 2))


def functional_localisation(x, weights):
    """Of the tutorial's and of both CIFAR networks: they differ in sizes only."""
    w = list(weights)
    x = pooled(pooled(x, w[0], w[1]), w[2], w[3])
    return F.relu(x.flatten(1) @ w[4].T + w[5]) @ w[6].T + w[7]


def functional_lenet(x, weights):
    w = list(weights)
    x = F.max_pool2d(F.relu(F.conv2d(x, w[0], w[1])), 2)
    x = F.max_pool2d(F.relu(F.conv2d(x, w[2], w[3])), 2)
    x = F.relu(F.relu(x.flatten(1) @ w[4].T + w[5]) @ w[6].T + w[7])
    return x @ w[8].T + w[9]


@pytest.mark.parametrize("network", ["tutorial", "cifar", "lenet", "rts-cifar"])
def test_a_published_network_is_what_it_says(network):
    model = build(network).double().eval()
    nn.init.normal_(model.spatial_transformer.localisation[-1].weight, std=0.05)
    x = images(network, 3, dtype=torch.float64)
    looked_at, size, beyond = x, x.shape[2:], "zeros"
    if network == "rts-cifar":
        looked_at, size = F.interpolate(x, size=(24, 24), mode="bilinear", align_corners=False), (32, 32)
        beyond = "border"
    theta = functional_localisation(looked_at, model.spatial_transformer.parameters())
    grid = F.affine_grid(theta.reshape(3, 2, 3), (3, 1, *size), align_corners=False)
    warped = F.grid_sample(x, grid, padding_mode=beyond, align_corners=False)
    # with dropout switched off the tutorial's and the first CIFAR classifier are system B's CNN in other sizes
    classify = functional_lenet if network == "lenet" else functional_cnn
    torch.testing.assert_close(model(x), classify(warped, model.classifier.parameters()))


@pytest.mark.parametrize("network", ["tutorial-baseline", "cifar-baseline", "lenet-baseline", "rts-cifar-baseline"])
def test_a_baseline_is_the_classifier_in_other_sizes(network):
    model = build(network).double().eval()
    x = images(network, 3, dtype=torch.float64)
    classify = functional_lenet if network == "lenet-baseline" else functional_cnn
    torch.testing.assert_close(model(x), classify(x, model.parameters()))


def test_half_the_canvas_is_the_canvas_at_half_its_size():
    model = build("halved").double().eval()
    x = images("halved", 2, dtype=torch.float64)
    halved = F.interpolate(x, size=(24, 24), mode="bilinear", align_corners=False)
    torch.testing.assert_close(model(x), functional_cnn(halved, model.parameters()))


def test_a_network_that_is_pooled_over_all_places_takes_any_size_and_forgets_where():
    model = build("pooled").double().eval()
    assert model(torch.rand(1, 3, 32, 40, dtype=torch.float64)).shape == (1, 10)
    x = torch.zeros(1, 3, 192, 192, dtype=torch.float64)
    x[..., 88:96, 88:96] = uniform(0, 1, 3, 8, 8, dtype=torch.float64)
    moved = x.roll((16, -16), (2, 3))  # by as much as four halvings see alike; what it sees stays off the edges
    edges = model(torch.zeros_like(x))
    torch.testing.assert_close(model(moved), model(x))
    assert not torch.allclose(model(x), edges)


@pytest.mark.parametrize("network", ["tutorial", "tutorial-baseline", "cifar", "cifar-baseline", "rts-cifar"])
def test_dropout_is_half_and_takes_whole_channels_of_the_second_convolution(network):
    model = build(network).train()
    layers = [module for module in model.modules() if isinstance(module, (nn.Dropout, nn.Dropout2d))]
    assert [type(layer) for layer in layers] == [nn.Dropout2d, nn.Dropout]
    assert [layer.p for layer in layers] == [0.5, 0.5]
    outputs = []
    layers[0].register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
    model(images(network, 8))
    silent = (outputs[0] == 0).flatten(2).all(dim=2)  # (8, channels)
    assert 0.3 < silent.float().mean() < 0.7
    assert not torch.equal(model(images(network, 8)), model(images(network, 8)))


@networks
def test_they_give_logits(network):
    logits = build(network).eval()(images(network, 5))
    assert (logits.exp().sum(dim=1) - 1).abs().min() > 0.1  # no softmax yet


@networks
def test_evaluation_and_inference(network):
    model = build(network).eval()
    x = images(network, 3)
    with torch.no_grad():
        expected = model(x)
    torch.testing.assert_close(model(x).detach(), expected)  # FourierConv2d's last digits are its own
    with torch.inference_mode():
        assert torch.equal(model(x), expected)
        assert torch.equal(model(x.clone()), expected)


@networks
def test_autocast(network):
    model = build(network).eval()
    x = images(network, 2)  # emulated where it is not native: slow
    expected = model(x)
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(x)
        loss = F.cross_entropy(logits, torch.arange(2))
    loss.backward()
    torch.testing.assert_close(logits.float(), expected, rtol=0, atol=0.02)
    for name, parameter in model.named_parameters():
        if "localisation" in name and not isinstance(model.get_submodule(name.rpartition(".")[0]), ThetaHead):
            continue  # behind zero weights nothing arrives yet
        assert parameter.grad.dtype == torch.float32, name
        assert parameter.grad.abs().max() > 0, name


@networks
def test_memory_layouts(network):
    model = build(network).eval()
    x = images(network, 3)
    expected = model(x)
    strided = torch.stack((x, x), dim=-1)[..., 0]
    for layout in (x.to(memory_format=torch.channels_last), strided, x.mT.contiguous().mT):
        torch.testing.assert_close(model(layout), expected, rtol=1e-5, atol=1e-6)
    model = model.to(memory_format=torch.channels_last)
    torch.testing.assert_close(model(x), expected, rtol=1e-5, atol=1e-6)


@networks
def test_copies_pickles_and_weights(network):
    model, other = build(network, seed=1).eval(), build(network, seed=2).eval()
    x = images(network, 3)
    assert not torch.equal(model(x), other(x))
    other.load_state_dict(model.state_dict())
    for twin in (other, copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(twin(x), model(x))
        assert not {id(p) for p in twin.parameters()} & {id(p) for p in model.parameters()}


# Looking twice


def test_the_second_look_corrects_the_first_and_samples_the_input_itself():
    torch.manual_seed(0)
    model, x = TwiceSTCNN().eval(), torch.rand(3, 1, 42, 42)
    with torch.no_grad():
        model.spatial_transformer.localisation[-1].weight.normal_(std=2.0)
    x[:, :, 20:] = 0  # so that the second look sees something else
    first, second = model.looks(x)
    matrix = Affine().matrix
    correction = matrix(model.spatial_transformer.theta(first.warped))
    torch.testing.assert_close(matrix(second.theta), matrix(first.theta) @ correction)
    assert (correction @ matrix(first.theta) - matrix(second.theta)).abs().max() > 0.01  # the order matters
    assert second.images is x and not torch.allclose(first.theta, second.theta)
    torch.testing.assert_close(second.warped, warp(x, second.theta))
    torch.testing.assert_close(model(x), model.classifier(second.warped))
    assert sum(p.numel() for p in model.parameters()) == 110_478
    assert model.state_dict().keys() == STCNN().state_dict().keys()
