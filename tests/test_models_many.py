"""Networks for many things: clutter, sums of two digits, two warps, feature maps, and one that finds without labels."""

import copy
import functools

import pytest
import torch
import torch.nn.functional as F
from strategies import uniform
from test_models import functional_cnn, functional_fcn
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from stn_course.experiments import EXPERIMENTS
from stn_course.models import (
    STCNN,
    AdditionCNN,
    AdditionFCN,
    AdditionSTFCN,
    ClutterCNN,
    ClutterFCN,
    ClutterSTCNN,
    ClutterSTFCN,
    CropSTCNN,
    FeatureSTCNN,
    RewarpedSTCNN,
    TwiceSTCNN,
)
from stn_course.spatial_transformer import warp
from stn_course.transforms import Affine, Attention, Projective, ThinPlateSpline

CANVAS, CLUTTER, PAIR = (1, 42, 42), (1, 60, 60), (2, 42, 42)
NETWORKS = {  # name → how it is made, what it takes, how many classes, how many parameters
    "clutter cnn": (ClutterCNN, CLUTTER, 10, 150_776),
    "clutter st-cnn": (ClutterSTCNN, CLUTTER, 10, 149_506),
    "clutter st-cnn-attention": (functools.partial(ClutterSTCNN, Attention()), CLUTTER, 10, 149_455),
    "clutter st-cnn-crop": (CropSTCNN, CLUTTER, 10, 148_205),
    "clutter fcn": (ClutterFCN, CLUTTER, 10, 397_943),
    "clutter st-fcn": (ClutterSTFCN, CLUTTER, 10, 394_077),
    "addition cnn": (AdditionCNN, PAIR, 19, 115_427),
    "addition fcn": (AdditionFCN, PAIR, 19, 402_509),
    "addition st-fcn": (AdditionSTFCN, PAIR, 19, 400_833),
    "addition st-fcn-projective": (functools.partial(AdditionSTFCN, Projective()), PAIR, 19, 400_899),
    "addition st-fcn-tps": (functools.partial(AdditionSTFCN, ThinPlateSpline()), PAIR, 19, 401_691),
    "addition two-st-fcn": (functools.partial(AdditionSTFCN, Affine(), 2), PAIR, 19, 398_755),
    "addition two-st-fcn-tps": (functools.partial(AdditionSTFCN, ThinPlateSpline(), 2), PAIR, 19, 399_847),
    "r st-cnn": (STCNN, CANVAS, 10, 110_478),
    "r st-cnn-twice": (TwiceSTCNN, CANVAS, 10, 110_478),
    "r st-cnn-rewarped": (RewarpedSTCNN, CANVAS, 10, 110_478),
    "r st-cnn-features": (FeatureSTCNN, CANVAS, 10, 110_408),
}
GROUPS = [  # of one size
    ("clutter cnn", "clutter st-cnn", "clutter st-cnn-attention", "clutter st-cnn-crop"),
    ("clutter fcn", "clutter st-fcn"),
    tuple(name for name in NETWORKS if name.startswith("addition") and name != "addition cnn"),
    tuple(name for name in NETWORKS if name.startswith("r ")),
]
networks = pytest.mark.parametrize("network", NETWORKS)
with_looks = pytest.mark.parametrize("network", [name for name in NETWORKS if "st-" in name])
pytestmark = pytest.mark.usefixtures("one_thread")


def build(network, moved=0.0, dtype=torch.float32):
    torch.manual_seed(0)
    model = NETWORKS[network][0]()
    for layer in localisations(model):
        nn.init.normal_(layer[-1].weight, std=moved)
    return model.to(dtype).eval()


def localisations(model):
    return [module.localisation for module in model.modules() if hasattr(module, "localisation")]


def images(network, batch, dtype=torch.float32):
    return uniform(1, batch, *NETWORKS[network][1], dtype=dtype)


def count(model):
    return sum(parameter.numel() for parameter in model.parameters())


@networks
def test_its_size_and_its_logits(network):
    _, _, classes, parameters = NETWORKS[network]
    model = build(network)
    assert count(model) == parameters
    for batch in (0, 3):
        assert model(images(network, batch)).shape == (batch, classes)


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group[0])
def test_those_that_are_compared_are_of_one_size(group):
    sizes = [NETWORKS[name][3] for name in group]
    assert max(sizes) <= 1.02 * min(sizes)


@pytest.mark.parametrize("name", [name for name in NETWORKS if "projective" not in name or "addition" in name])
def test_the_experiments_have_these_networks(name):
    task, network = name.split()
    prefix = {"clutter": "cluttered-mnist", "addition": "mnist-addition", "r": "r-mnist"}[task]
    assert count(EXPERIMENTS[f"{prefix}/{network}"].model()) == NETWORKS[name][3]


@with_looks
def test_it_begins_with_the_identity_and_all_of_it_learns(network):
    model, x = build(network), images(network, 4)
    for one in model.looks(x):
        torch.testing.assert_close(one.theta, one.layer.transform.identity().expand(4, -1), rtol=0, atol=0)
    model = build(network, moved=0.05)
    F.cross_entropy(model(x), torch.arange(4)).backward()
    silent = [name for name, parameter in model.named_parameters() if not parameter.grad.abs().max() > 0]
    assert silent == []


@with_looks
def test_it_says_where_it_looks(network):
    model, x = build(network, moved=0.1), images(network, 3)
    looks = model.looks(x)
    two = "two" in network or "twice" in network or "rewarped" in network
    assert len(looks) == (2 if two else 1)
    for one in looks:
        assert one.theta.std(0).max() > 0
        torch.testing.assert_close(one.warped, one.layer.warp(one.images, one.theta))
    assert "features" in network or looks[0].images is x


# What they compute


@pytest.mark.parametrize("network", ["clutter cnn", "addition cnn"])
def test_a_cnn_of_another_size_is_the_same_network(network):
    model, x = build(network, dtype=torch.float64), images(network, 2, torch.float64)
    torch.testing.assert_close(model(x), functional_cnn(x, model.parameters()))


@pytest.mark.parametrize("network", ["clutter fcn", "addition fcn"])
def test_an_fcn_of_another_size_is_the_same_network(network):
    model, x = build(network, dtype=torch.float64), images(network, 2, torch.float64)
    torch.testing.assert_close(model(x), functional_fcn(x, model.parameters()))


def functional_theta(x, weights):
    w = list(weights)
    x = F.relu(F.max_pool2d(F.conv2d(x, w[0], w[1]), 2))
    x = F.relu(F.conv2d(x, w[2], w[3])).flatten(1)
    return F.relu(x @ w[4].T + w[5]) @ w[6].T + w[7]


@pytest.mark.parametrize(
    ("network", "seen", "side"),
    [("clutter st-cnn", 30, 60), ("clutter st-cnn-attention", 30, 60), ("clutter st-cnn-crop", 20, 28)],
)
def test_it_looks_at_a_smaller_canvas_and_crops_from_the_large_one(network, seen, side):
    model, x = build(network, 0.1, torch.float64), images(network, 2, torch.float64)
    layer = model.spatial_transformer
    theta = functional_theta(F.adaptive_avg_pool2d(x, seen), layer.localisation.parameters())
    torch.testing.assert_close(layer.theta(x), theta)
    seen = F.grid_sample(x, layer.transform.grid(theta, (side, side)), align_corners=False)
    torch.testing.assert_close(model(x), functional_cnn(seen, model.classifier.parameters()))


def test_looking_low_and_cropping_high_saves_three_quarters_of_the_arithmetic():
    def multiplications(network):
        model, x = build(network), images(network, 2)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            model(x)
        return counter.get_total_flops() / 4  # two images, and a multiplication and an addition count as two

    assert multiplications("clutter st-cnn-crop") < multiplications("clutter cnn") / 4
    assert 0.7 < multiplications("clutter st-cnn") / multiplications("clutter cnn") < 1


@pytest.mark.parametrize("transformers", [1, 2])
@pytest.mark.parametrize("transform", [Affine(), ThinPlateSpline()], ids=repr)
def test_adders_see_both_channels_of_all_looks_at_28_pixels(transform, transformers):
    torch.manual_seed(0)
    model, x = AdditionSTFCN(transform, transformers).double(), uniform(1, 3, *PAIR)
    seen = []
    for layer in model.transformers:
        nn.init.normal_(layer.localisation[-1].weight, std=0.1)
        theta = functional_fcn(x, layer.localisation.parameters())
        seen += [warp(x[:, [channel]], theta, transform, (28, 28)) for channel in (0, 1)]
    torch.testing.assert_close(model(x), functional_fcn(torch.cat(seen, 1), model.classifier.parameters()))
    assert transformers == 1 or not torch.allclose(seen[0], seen[2])


def test_both_looks_of_an_adder_learn_apart():
    model = build("addition two-st-fcn")
    first, second = localisations(model)
    assert not torch.equal(first[1].weight, second[1].weight)  # so that they need not stay alike
    assert len(model.localisation_parameters()) == 16


def test_warping_what_was_warped_has_the_first_thetas_of_the_product_and_loses_what_was_cut_off():
    torch.manual_seed(0)
    rewarped, x = RewarpedSTCNN().eval(), uniform(3, 2, *CANVAS, dtype=torch.float32)
    layer = rewarped.spatial_transformer
    layer.theta = lambda images: theta[len(calls) - 1] if calls.append(1) is None else None
    away, back = ([1.0, 0, shift, 0, 1, 0] for shift in (1.0, -1.0))  # half of the picture, and back
    theta, calls = torch.tensor([[away] * 2, [back] * 2]), []
    first, second = rewarped.looks(x)
    assert second.images is first.warped
    torch.testing.assert_close(second.warped[..., 21:], x[..., 21:], atol=1e-5, rtol=0)
    assert second.warped[..., :21].abs().max() == 0
    twice = copy.copy(rewarped)
    twice.__class__, calls[:] = TwiceSTCNN, []
    torch.testing.assert_close(twice.looks(x)[-1].warped, x, atol=1e-5, rtol=0)


def test_a_transformer_on_feature_maps_warps_what_the_first_convolution_has_found():
    model, x = build("r st-cnn-features", 0.1, torch.float64), images("r st-cnn-features", 2, torch.float64)
    w = list(model.features.parameters()) + list(model.classifier.parameters())
    maps = F.relu(F.max_pool2d(F.conv2d(x, w[0], w[1]), 2))
    layer = model.spatial_transformer
    theta = functional_theta(maps, layer.localisation.parameters())
    warped = F.grid_sample(
        maps, F.affine_grid(theta.view(2, 2, 3), maps.shape, align_corners=False), align_corners=False
    )
    y = F.relu(F.max_pool2d(F.conv2d(warped, w[2], w[3]), 2)).flatten(1)
    torch.testing.assert_close(model(x), F.relu(y @ w[4].T + w[5]) @ w[6].T + w[7])
    theirs = {id(p) for p in layer.localisation.parameters()}
    assert {id(p) for p in model.localisation_parameters()} == theirs
