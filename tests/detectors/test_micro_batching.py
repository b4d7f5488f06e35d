"""A batch in parts: what comes back is as if it had been whole, and what does not fit into memory is halved."""

import threading

import pytest
import torch
from analytic import awakened, image_batch
from torch import nn

from anomaly_diffusion.detectors.micro_batching import MicroBatcher, is_out_of_memory
from anomaly_diffusion.networks.unet import UNet
from anomaly_diffusion.types import Decoded

BATCH = image_batch(9)


@pytest.fixture
def threads():
    """Set the number of threads that torch has."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def network() -> nn.Module:
    """Large enough for threads to share its operations."""
    return awakened(UNet(width=32, multipliers=[1, 2, 2])).eval()


def seen(sizes, most=None):
    """Notes the size of each part; asks for a petabyte if it is larger than `most`."""

    def act(part):
        sizes.append(len(part.path))
        if most is not None and len(part.path) > most:
            torch.empty(2**50)
        return Decoded(part.image * 2, part.image[:, None], len(sizes))

    return act


@pytest.mark.parametrize("size", [1, 2, 4, 9, 20])
def test_parts_have_one_size_and_their_rows_come_back_in_order(size):
    sizes = []
    found = MicroBatcher(on_cpu=size)(seen(sizes), BATCH)
    assert set(sizes) == {size}
    assert torch.equal(found.reference, BATCH.image * 2)
    assert torch.equal(found.reconstruction[:, 0], BATCH.image)
    assert found.nfe == 1
    assert found.anomaly_maps is None


def test_what_does_not_fit_is_halved_and_stays_so():
    sizes, micro_batches = [], MicroBatcher(on_cpu=4)
    with pytest.warns(UserWarning, match="do not fit into memory") as told:
        found = micro_batches(seen(sizes, most=1), BATCH)
    assert torch.equal(found.reference, BATCH.image * 2)
    assert sizes == [4, 2] + [1] * 9
    assert [str(one.message)[:8] for one in told] == ["4 images", "2 images"]
    del sizes[:]
    micro_batches(seen(sizes, most=1), BATCH)
    assert sizes == [1] * 9


def test_a_single_image_that_does_not_fit_is_told():
    with (
        pytest.warns(UserWarning, match="do not fit"),
        pytest.raises(MemoryError, match=r"Not even one image of 16 x 16 pixels.*image_size"),
    ):
        MicroBatcher(on_cpu=2)(seen([], most=0), BATCH)


def test_other_errors_pass():
    def act(part):
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes"):
        MicroBatcher()(act, BATCH)
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert is_out_of_memory(RuntimeError("could not create a primitive"))
    assert not is_out_of_memory(RuntimeError("could not create a primitive descriptor for this convolution"))
    assert not is_out_of_memory(ValueError("out of memory"))


@pytest.mark.parametrize("count", [2, 3, 8])
def test_the_number_of_threads_changes_no_bit(threads, count):
    unet, batch = network(), image_batch(9, 64, 64)

    def act(part):
        return unet(part.image, torch.full((len(part.path),), 0.5))

    with torch.no_grad():
        one = MicroBatcher()(act, batch)
        threads(count)
        many = MicroBatcher()(act, batch)
    assert torch.get_num_threads() == count
    assert torch.equal(one, many)


def test_each_part_has_one_thread_and_others_run_beside_it(threads):
    meeting, counts = threading.Barrier(3, timeout=20), []

    def act(part):
        meeting.wait()  # comes to an end only where three parts are judged at once
        counts.append(torch.get_num_threads())
        return part.key

    threads(3)
    key = MicroBatcher(on_cpu=3)(act, BATCH)
    assert torch.equal(key, BATCH.key)
    assert counts == [1, 1, 1]


@pytest.mark.parametrize("inference", [False, True])
@pytest.mark.parametrize("lower", [False, True])
def test_parts_are_judged_in_the_modes_of_their_batch(threads, inference, lower):
    seen = set()

    def act(part):
        product = part.image.flatten(1) @ part.image.flatten(1).T
        seen.add((torch.is_grad_enabled(), torch.is_inference_mode_enabled(), product.dtype))
        return part.key

    threads(2)
    with torch.inference_mode(inference), torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=lower):
        MicroBatcher(on_cpu=2)(act, BATCH)
    assert seen == {(False, inference, torch.bfloat16 if lower else torch.float32)}


def test_what_does_not_fit_is_halved_in_several_threads_too(threads):
    threads(3)
    with pytest.warns(UserWarning, match="do not fit into memory"):
        found = MicroBatcher(on_cpu=4)(seen([], most=1), BATCH)
    assert torch.equal(found.reference, BATCH.image * 2)
