"""Exported, traced and compiled, the layers and networks compute the same, for batches of another size too."""

import io
import os
import tempfile
import warnings
from functools import partial

import onnxruntime
import pytest
import torch
from strategies import uniform
from test_models import NETWORKS, WITH_TRANSFORMER, build
from torch import nn
from torch._dynamo.testing import CompileCounterWithBackend

from stn_course.sampling import PADDING_MODES, bilinear_kernel, bilinear_sample, kernel_sample, nearest_sample
from stn_course.spatial_transformer import SpatialTransformer, grid_sample, theta_head, warp
from stn_course.transforms import FAMILIES, Affine, Projective

pytestmark = pytest.mark.skipif(
    "STN_COURSE_ARITHMETIC" in os.environ, reason="what PyTorch records it computes its own way, not as another machine"
)

SHOWN, OTHER = 2, 5  # images in the batch that is exported, and in the one that is computed
EXPORTED = ["cnn", "st-cnn", "tutorial", "cifar", "residual", "rts-cifar"]
"""What is left out differs from one of these in sizes or in the family, or has nothing of ours in it."""


@pytest.fixture(autouse=True)
def few_threads(one_thread):
    """Tiny batches are slower on several."""


def by_kernel(images, grid, padding_mode, align_corners):
    return kernel_sample(images, grid, bilinear_kernel, align_corners)


class Warp(nn.Module):
    def __init__(self, transform, sampler=grid_sample, padding_mode="zeros", align_corners=False):
        super().__init__()
        self.settings = transform, (6, 5), padding_mode, align_corners, sampler

    def forward(self, images, theta):
        return warp(images, theta, *self.settings)


def warping(transform, *settings):
    """A module and what it takes: images and θ that differ from image to image."""

    def inputs(batch):
        theta = transform.identity() + uniform(2, batch, transform.n_params, low=-0.3, high=0.3, dtype=torch.float32)
        return uniform(1, batch, 2, 7, 8, dtype=torch.float32), theta

    return Warp(transform, *settings), inputs


def layer(transform):
    torch.manual_seed(0)
    localisation = nn.Sequential(nn.Flatten(), nn.Linear(2 * 7 * 8, 8), nn.Tanh(), theta_head(8, transform))
    nn.init.normal_(localisation[-1].weight, std=0.2)
    return SpatialTransformer(localisation, transform), lambda batch: (uniform(1, batch, 2, 7, 8, dtype=torch.float32),)


def network(name):
    model = build(name).eval()
    if name in WITH_TRANSFORMER:
        nn.init.normal_(model.spatial_transformer.localisation[-1].weight, std=0.05)
    return model, lambda batch: (uniform(1, batch, *NETWORKS[name][1], dtype=torch.float32),)


# Exporters: a module and an example of what it takes → what computes the same, after it was saved and loaded


def traced(module, example):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says that checks and the images' size are not recorded: right, and meant
        trace, file = torch.jit.trace(module, example), io.BytesIO()
        torch.jit.save(trace, file)
        file.seek(0)
        return torch.jit.load(file)


def program(module, example, strict=False):
    batch = torch.export.Dim("batch", max=2**20)  # PyTorch 2.6 will not have it without a limit
    return torch.export.export(module, example, dynamic_shapes=({0: batch},) * len(example), strict=strict)


def reloaded(program):
    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    return torch.export.load(file).module()


def exported(module, example):
    return reloaded(program(module, example))


def exported_strictly(module, example):
    return reloaded(program(module, example, strict=True))


def onnx(module, example):
    return onnx_runtime(program(module, example), example, dynamo=True, verbose=False)


def onnx_by_tracing(module, example):
    names = [f"input{i}" for i in range(len(example))]
    axes = {name: {0: "batch"} for name in (*names, "output")}
    return onnx_runtime(module, example, dynamo=False, input_names=names, output_names=["output"], dynamic_axes=axes)


def onnx_runtime(module, example, **settings):
    """The exported file in a runtime that knows nothing of PyTorch."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module, example, f"{folder}/model.onnx", opset_version=18, **settings)
        session = onnxruntime.InferenceSession(f"{folder}/model.onnx", providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]
    return lambda *inputs: torch.from_numpy(session.run(None, dict(zip(names, (x.numpy() for x in inputs))))[0])


def assert_the_same(exporter, module, inputs):
    with torch.no_grad():
        expected = module(*inputs(OTHER))
    assert not torch.allclose(expected[0], expected[1], rtol=1e-3)
    computed = exporter(module, inputs(SHOWN))(*inputs(OTHER))
    torch.testing.assert_close(computed.detach(), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("transform", FAMILIES, ids=repr)
@pytest.mark.parametrize("exporter", [traced, exported, exported_strictly, onnx, onnx_by_tracing])
def test_a_layer_is_exported(exporter, transform):
    assert_the_same(exporter, *layer(transform))


@pytest.mark.parametrize("padding_mode", PADDING_MODES)
@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("exporter", [traced, onnx_by_tracing])
def test_a_warp_is_traced_with_every_setting(exporter, padding_mode, align_corners):
    for transform in FAMILIES:
        for sampler in (grid_sample, bilinear_sample, nearest_sample):
            assert_the_same(exporter, *warping(transform, sampler, padding_mode, align_corners))


@pytest.mark.parametrize("sampler", [grid_sample, bilinear_sample, nearest_sample, by_kernel])
@pytest.mark.parametrize("exporter", [exported, exported_strictly])
def test_a_warp_is_exported_with_every_sampler(exporter, sampler):
    assert_the_same(exporter, *warping(Projective(), sampler, "zeros" if sampler is by_kernel else "reflection"))


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("exporter", [traced, onnx_by_tracing])
def test_networks_are_traced(exporter, name):
    assert_the_same(exporter, *network(name))


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPORTED)
def test_networks_are_exported(name):
    module, inputs = network(name)
    made = program(module, inputs(SHOWN))
    assert_the_same(lambda module, example: reloaded(made), module, inputs)
    if name == "residual" and torch.__version__.startswith("2.6."):
        pytest.skip("PyTorch 2.6 cannot hand batch normalisation to the onnxscript of today")  # with or without us
    assert_the_same(lambda module, example: onnx_runtime(made, example, dynamo=True, verbose=False), module, inputs)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rts-cifar"])
def test_networks_are_exported_strictly(name):
    assert_the_same(exported_strictly, *network(name))


@pytest.mark.slow
@pytest.mark.parametrize(
    "made", [partial(network, "tutorial"), partial(layer, Projective())], ids=["tutorial", "layer"]
)
def test_two_graphs_serve_batches_of_all_sizes(made):
    torch._dynamo.reset()
    module, inputs = made()
    backend = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(module, backend=backend, fullgraph=True)
    for batch in (18, 20, 40, 18, 23):  # PyTorch's convolutions take another way up to 16 images
        images = inputs(batch)[0]
        ours, theirs = (
            torch.autograd.grad(call(images).square().sum(), list(module.parameters())) for call in (compiled, module)
        )
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    assert backend.frame_count <= 2  # the first size, then any


def test_nothing_made_while_exporting_or_inferring_is_left_behind():
    module, inputs = layer(Affine())
    program(module, inputs(SHOWN))
    with torch.inference_mode():
        module(*inputs(SHOWN))
    module(*inputs(SHOWN)).sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in module.parameters())
