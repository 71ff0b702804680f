"""The size that the images of a data set have by themselves, from the headers of some of them."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from skeletons import image_tables
from skeletons.image_folders import Folder

LOOKED_AT = 500  # images, evenly spaced; making the data set looks at all

Size = tuple[int, int]  # width and height


def of_folder(folder: Folder) -> set[Size]:
    """The sizes of images in a folder; those that cannot be read are left out."""
    lists = [*folder.train.values(), *folder.test.values()]
    files = [file for files in lists for file in files]
    step = max(1, -(-len(files) // LOOKED_AT))
    return _sizes(folder.root.joinpath(*file.place) for file in files[::step])


def of_tables(paths: Sequence[Path], column: str) -> set[Size]:
    """The sizes of the first images in each of some parquet files."""
    each = max(1, LOOKED_AT // max(1, len(paths)))
    rows = (row for path in paths for row in image_tables.rows(path, [column], each))
    return _sizes(io.BytesIO(content) for (content,) in rows if content is not None)


def _sizes(files: Iterable[Path | BinaryIO]) -> set[Size]:
    found = set()
    for file in files:
        with contextlib.suppress(Exception), Image.open(file) as image:  # decoders raise anything
            found.add(image.size)
    return found
