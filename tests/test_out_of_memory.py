"""A GPU whose memory is short: what is said, and how a batch is split."""

import pytest
import torch
from torch import nn

from stn_course.out_of_memory import ADVICE, SplitOnOutOfMemory, advice_when_out_of_memory

FULL = {  # as PyTorch says it of its own memory, and of what other libraries take
    "allocator": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 MiB."),
    "cublas": RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    "cudnn": RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    "driver": RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"),
}


def room_for(n, error=FULL["allocator"]):
    """Work that runs out of memory where more than n images are taken at once."""

    def work(chunks, images, offset=0):
        sizes = [len(some) for some in images.chunk(chunks)]
        if max(sizes) > n:
            raise type(error)(*error.args)
        return [size + offset for size in sizes]

    return work


@pytest.mark.parametrize(
    ("n", "expected"),
    [(128, [128]), (127, [64, 64]), (40, [32] * 4), (1, [1] * 128)],
)
def test_a_batch_is_halved_until_it_fits(n, expected, capsys):
    assert SplitOnOutOfMemory(nn.Identity())(room_for(n), torch.zeros(128, 1)) == expected
    said = capsys.readouterr().out.splitlines()
    assert len(said) == len(expected).bit_length() - 1
    assert not said or said[-1] == (
        f"128 images at once do not fit into the GPU's memory: going on in parts of {expected[0]}."
    )


@pytest.mark.parametrize("error", FULL.values(), ids=FULL)
def test_it_does_not_matter_who_found_no_memory(error, capsys):
    assert SplitOnOutOfMemory(nn.Identity())(room_for(32, error), torch.zeros(64, 1)) == [32, 32]
    assert "do not fit" in capsys.readouterr().out
    with pytest.raises(type(error)) as raised, advice_when_out_of_memory():
        raise type(error)(*error.args)
    assert raised.value.__notes__ == [ADVICE]


@pytest.mark.parametrize("error", [RuntimeError("something else"), ValueError("CUDA out of memory")], ids=repr)
def test_other_errors_get_no_advice(error):
    with pytest.raises(type(error)) as raised, advice_when_out_of_memory():
        raise error
    assert not hasattr(raised.value, "__notes__")


def test_advice_is_given_once():
    with pytest.raises(torch.OutOfMemoryError) as raised, advice_when_out_of_memory(), advice_when_out_of_memory():
        SplitOnOutOfMemory(nn.Identity())(room_for(0), torch.zeros(2, 1))
    (note,) = raised.value.__notes__
    assert note.startswith("Not even a single image fits.") and note.endswith(ADVICE)


def test_a_batch_is_left_whole_where_its_statistics_are_part_of_the_training(capsys):
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))
    with pytest.raises(torch.OutOfMemoryError) as raised:
        SplitOnOutOfMemory(model)(room_for(32), torch.zeros(64, 1))
    (note,) = raised.value.__notes__
    assert "64 images at once do not fit" in note and "batch normalisation" in note and note.endswith(ADVICE)
    assert capsys.readouterr().out == ""
    assert SplitOnOutOfMemory(model.eval())(room_for(32), torch.zeros(64, 1)) == [32, 32]  # each image for itself


def test_how_many_chunks_is_remembered_and_arguments_are_handed_on(capsys):
    fitting = SplitOnOutOfMemory(nn.Identity())
    assert fitting(room_for(30), torch.zeros(100, 1), 5) == [30, 30, 30, 30]
    assert capsys.readouterr().out
    assert fitting(room_for(100), torch.zeros(100, 1)) == [25] * 4
    assert not capsys.readouterr().out


def test_where_not_even_one_fits_the_error_says_so():
    with pytest.raises(torch.OutOfMemoryError, match="CUDA out of memory") as error:
        SplitOnOutOfMemory(nn.Identity())(room_for(0), torch.zeros(5, 1))
    assert "Not even a single image fits" in error.value.__notes__[0]


def test_other_errors_are_not_kept_back():
    def work(chunks, images):
        raise RuntimeError("something else")

    with pytest.raises(RuntimeError, match="something else"):
        SplitOnOutOfMemory(nn.Identity())(work, torch.zeros(5, 1))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_that_is_really_full():
    images = torch.zeros(64, 2**20, device="cuda")  # a quarter of a gigabyte
    share = (torch.cuda.memory_allocated() + 2**28) / torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(share)
    try:
        fitting = SplitOnOutOfMemory(nn.Identity())
        total = fitting(lambda chunks, x: sum((some * 2 + 1).sum().item() for some in x.chunk(chunks)), images)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert fitting.chunks > 1 and total == 64 * 2**20
