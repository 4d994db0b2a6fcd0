"""How few bytes does a map of weights need? One for each weight, and small pictures of all maps at once."""

import struct
import zlib

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

SMALL_SIDE = 24  # cells of a thumbnail, at most


def packed(weights: Float[Tensor, "query key"]) -> bytes:
    """A map as the page reads it: the largest weight of each row (float32), then the weights as shares of it (uint8).

    A weight is read back as largest * byte / 255, with an error of at most largest / 510: in rows that look widely,
    where all weights are small, small weights are still told apart.
    """
    largest = weights.amax(dim=-1, keepdim=True)  # [query, 1]
    shares = weights / largest.clamp(min=1e-30)
    codes = (shares * 255).round().to(torch.uint8)
    return largest.to(torch.float32).numpy().astype("<f4").tobytes() + codes.numpy().tobytes()


def unpacked(content: bytes, queries: int, keys: int) -> Float[Tensor, "query key"]:
    """What the page makes of the bytes of `packed`. Raises ValueError for another number of bytes."""
    if len(content) != packed_size(queries, keys):
        raise ValueError(
            f"{len(content)} bytes are no map of {queries} x {keys}; expected {packed_size(queries, keys)}"
        )
    largest = np.frombuffer(content[: 4 * queries], dtype="<f4").astype(np.float32)
    codes = np.frombuffer(content[4 * queries :], dtype=np.uint8).reshape(queries, keys)
    return torch.from_numpy(largest[:, None] * codes.astype(np.float32) / np.float32(255))


def packed_size(queries: int, keys: int) -> int:
    return queries * (4 + keys)


def block_size(length: int) -> int:
    """How many tokens share one cell of a thumbnail."""
    return -(-length // SMALL_SIDE)


def thumbnails(maps: Float[Tensor, "map query key"]) -> UInt8[Tensor, "map rows columns"]:
    """Small pictures of maps, at most 24 cells a side: each cell is the largest weight of its block.

    The largest, not the mean: the thin diagonal of a head that looks one token back stays visible.
    """
    rows, columns = block_size(maps.shape[1]), block_size(maps.shape[2])
    small = torch.stack([block.amax(dim=1) for block in maps.split(rows, dim=1)], dim=1)
    small = torch.stack([block.amax(dim=2) for block in small.split(columns, dim=2)], dim=2)
    return (small * 255).round().to(torch.uint8)


def png(pixels: UInt8[np.ndarray, "height width 3"]) -> bytes:
    """A picture file of red, green and blue; the same pixels give the same bytes."""
    height, width, _ = pixels.shape
    rows = np.concatenate([np.zeros((height, 1), np.uint8), pixels.reshape(height, -1)], axis=1)  # 0: no filter

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)  # 8 bits each of three colours
    content = zlib.compress(rows.tobytes(), 6)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", content) + chunk(b"IEND", b"")
