"""Do maps survive their way to the page?"""

import io

import numpy as np
import pytest
import torch

from course_lib.widgets.packing import SMALL_SIDE, packed, packed_size, png, thumbnails, unpacked


def random_map(rows, columns, sharpness=1.0):
    scores = torch.randn(rows, columns, generator=torch.Generator().manual_seed(0)) * sharpness
    return scores.softmax(dim=-1)


@pytest.mark.parametrize(("rows", "columns", "sharpness"), [(1, 1, 1), (5, 9, 1), (64, 64, 4), (200, 512, 0.1)])
def test_a_weight_is_read_back_within_a_510th_of_its_rows_largest(rows, columns, sharpness):
    weights = random_map(rows, columns, sharpness)
    content = packed(weights)
    assert len(content) == packed_size(rows, columns)
    error = (unpacked(content, rows, columns) - weights).abs()
    assert (error <= weights.amax(dim=-1, keepdim=True) / 510 + 1e-7).all()
    assert error.max() <= 1 / 510


def test_zeros_stay_zeros_and_a_row_without_weight_is_no_danger():
    weights = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    assert torch.equal(unpacked(packed(weights), 2, 3), weights)


def test_a_part_of_a_map_works_that_is_no_whole_block_of_memory():
    weights = random_map(6, 6)[1:4, 2:5]
    torch.testing.assert_close(unpacked(packed(weights), 3, 3), weights, atol=1 / 510, rtol=0)


def test_another_number_of_bytes_is_refused():
    with pytest.raises(ValueError, match="7 bytes are no map of 2 x 2; expected 12"):
        unpacked(b"1234567", 2, 2)


def test_small_maps_are_their_own_thumbnails():
    maps = random_map(SMALL_SIDE, SMALL_SIDE)[None]
    assert torch.equal(thumbnails(maps), (maps * 255).round().to(torch.uint8))


@pytest.mark.parametrize(("rows", "columns"), [(25, 25), (512, 512), (30, 3), (1, 100)])
def test_thumbnails_are_small_and_hold_the_largest_weight_of_each_block(rows, columns):
    maps = random_map(rows, columns)[None].repeat(2, 1, 1)
    small = thumbnails(maps)
    assert max(small.shape[1:]) <= SMALL_SIDE
    tall, wide = -(-rows // SMALL_SIDE), -(-columns // SMALL_SIDE)
    last = maps[0, (small.shape[1] - 1) * tall :, (small.shape[2] - 1) * wide :]
    assert small[1, -1, -1] == round(last.max().item() * 255)
    assert small[0, 0, 0] == round(maps[0, :tall, :wide].max().item() * 255)


def test_a_thin_diagonal_stays_visible():
    assert (thumbnails(torch.eye(500)[None])[0].diagonal() == 255).all()


def test_a_picture_is_read_back_pixel_for_pixel():
    from matplotlib.image import imread

    pixels = np.random.default_rng(0).integers(0, 256, (7, 5, 3)).astype(np.uint8)
    assert np.array_equal((imread(io.BytesIO(png(pixels))) * 255).round().astype(np.uint8), pixels)
