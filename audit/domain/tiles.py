"""The tree in pieces of 256 hashes, as C2SP tlog-tiles lays them out.

Tile (level, n) holds the roots of complete subtrees of 256**level leaves, from subtree 256 * n on. A full tile never
changes; the last one of a level only grows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from audit.domain.merkle import HASH_BYTES, CompactRange, Subtree, node_hash

TILE_WIDTH = 256
_TILE_LEVELS = 8
_LONGEST_NUMBER = 18

TileReader = Callable[[int, int], bytes]
"""(level, n) → the hashes of a tile, one after the other."""


def subtree_reader(tile: TileReader) -> Subtree:
    """Return the reader of complete subtrees that proofs are made from."""

    def subtree(level: int, index: int) -> bytes:
        tile_level, inside = divmod(level, _TILE_LEVELS)
        first = index << inside
        data = tile(tile_level, first // TILE_WIDTH)
        start = first % TILE_WIDTH * HASH_BYTES
        end = start + (HASH_BYTES << inside)
        if len(data) < end:
            raise ValueError(f"tile {tile_level}/{first // TILE_WIDTH} ends before subtree {level}/{index}")
        hashes = [data[at : at + HASH_BYTES] for at in range(start, end, HASH_BYTES)]
        while len(hashes) > 1:
            hashes = [node_hash(hashes[i], hashes[i + 1]) for i in range(0, len(hashes), 2)]
        return hashes[0]

    return subtree


def tiles_grow(tree: CompactRange, leaves: Iterable[bytes]) -> dict[tuple[int, int], bytes]:
    """Append leaf hashes to a tree; returns what each tile (level, n) gains at its end."""
    gained: dict[tuple[int, int], bytearray] = {}
    for leaf in leaves:
        for level, index, digest in tree.append(leaf):
            if level % _TILE_LEVELS == 0:
                gained.setdefault((level // _TILE_LEVELS, index // TILE_WIDTH), bytearray()).extend(digest)
    return {place: bytes(data) for place, data in gained.items()}


def tile_widths(size: int) -> Iterable[tuple[int, int, int]]:
    """Yield (level, n, width) of every tile of a tree."""
    level, count = 0, size
    while count:
        for n in range((count + TILE_WIDTH - 1) // TILE_WIDTH):
            yield level, n, min(TILE_WIDTH, count - n * TILE_WIDTH)
        level, count = level + 1, count // TILE_WIDTH


def tile_path(level: int | str, n: int, width: int = TILE_WIDTH) -> str:
    """Return the path of a tile, or of the bundle of entries under it (level `entries`): `tile/0/x001/067.p/8`."""
    parts = [f"{n % 1000:03d}"]
    while n >= 1000:
        n //= 1000
        parts.append(f"x{n % 1000:03d}")
    path = f"tile/{level}/{'/'.join(reversed(parts))}"
    return path if width == TILE_WIDTH else f"{path}.p/{width}"


def tile_read(level: str, place: str) -> tuple[int, int]:
    """Return number and width of a tile from its path below the level: `x001/067.p/8`. Raises ValueError."""
    number, partial, width = place.partition(".p/")
    digits = "".join(part.removeprefix("x") for part in number.split("/"))
    if not (digits.isascii() and digits.isdigit()) or len(digits) > _LONGEST_NUMBER:
        raise ValueError("no tile")
    n = int(digits)
    hashes = int(width) if width.isascii() and width.isdigit() and len(width) < _LONGEST_NUMBER else 0
    wide = hashes if partial else TILE_WIDTH
    if not 0 < wide <= TILE_WIDTH or tile_path(level, n, wide) != f"tile/{level}/{place}":
        raise ValueError("no tile")  # one tile has one path
    return n, wide
