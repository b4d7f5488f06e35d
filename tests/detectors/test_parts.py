"""A batch in parts: what comes back is as if it had been whole, and what does not fit into memory is halved."""

import pytest
import torch
from analytic import image_batch

from anomaly_diffusion.detectors.parts import InParts, is_out_of_memory

BATCH = image_batch(9)


def seen(sizes, most=None):
    """Notes the size of each part; asks for a petabyte if it is larger than `most`."""

    def act(part):
        sizes.append(len(part.path))
        if most is not None and len(part.path) > most:
            torch.empty(2**50)
        return part.image * 2, part.key, len(sizes)

    return act


@pytest.mark.parametrize("size", [1, 2, 4, 9, 20])
def test_parts_have_one_size_and_their_rows_come_back_in_order(size):
    sizes = []
    image, key, first = InParts(on_cpu=size)(seen(sizes), BATCH)
    assert set(sizes) == {size}
    assert torch.equal(image, BATCH.image * 2)
    assert torch.equal(key, BATCH.key)
    assert first == 1


def test_what_does_not_fit_is_halved_and_stays_so():
    sizes, in_parts = [], InParts(on_cpu=4)
    with pytest.warns(UserWarning, match="do not fit into memory") as told:
        image, *_ = in_parts(seen(sizes, most=1), BATCH)
    assert torch.equal(image, BATCH.image * 2)
    assert sizes == [4, 2] + [1] * 9
    assert [str(one.message)[:8] for one in told] == ["4 images", "2 images"]
    del sizes[:]
    in_parts(seen(sizes, most=1), BATCH)
    assert sizes == [1] * 9


def test_a_single_image_that_does_not_fit_is_told():
    with (
        pytest.warns(UserWarning, match="do not fit"),
        pytest.raises(MemoryError, match=r"Not even one image of 16 x 16 pixels.*image_size"),
    ):
        InParts(on_cpu=2)(seen([], most=0), BATCH)


def test_other_errors_pass():
    def act(part):
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes"):
        InParts()(act, BATCH)
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert is_out_of_memory(RuntimeError("could not create a primitive"))
    assert not is_out_of_memory(RuntimeError("could not create a primitive descriptor for this convolution"))
    assert not is_out_of_memory(ValueError("out of memory"))
