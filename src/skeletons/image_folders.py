"""Which files of a user's folder of images are read, and what their places mean.

A folder holds `train/CLASS/…` and `test/CLASS/…`, or `CLASS/…`, or images without classes. Folders
below these are read as well, and links are followed at any depth, but not into a folder that they
are in. Names that begin with "." and those that systems leave behind (`IGNORED`) are skipped.
"""

from __future__ import annotations

import hashlib
import os
import stat
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from skeletons import text
from skeletons.errors import DataError

SUFFIXES = frozenset(
    {
        *(".avif", ".bmp", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm"),
        *(".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"),
    }
)
# What operating systems and network drives leave in folders, in lower case.
IGNORED = frozenset(
    {
        *("__macosx", "@eadir", "@recycle", "@__thumb", "#recycle", "$recycle.bin", "lost+found"),
        *("system volume information", "thumbs.db", "desktop.ini", "icon\r"),
    }
)
# Names of folders, in lower case. Validation images are the test set if there is no test folder.
TRAIN = ("train", "training")
TEST = ("test", "testing")
VALIDATION = ("val", "valid", "validation")
SPLITS = (*TRAIN, *TEST, *VALIDATION)


class File(NamedTuple):
    """A file: its place, as the names from the folder down to it, size in bytes and time in ns."""

    place: tuple[str, ...]
    size: int
    time: int


Classes = Mapping[str, Sequence[File]]


class Layout(NamedTuple):
    """What a folder's own folders are.

    Attributes:
        train, test: names of the folders of the splits; empty if the folder has none.
        unread: names of folders that are not read, because others are.
        classes: names of the class folders that are trained on; none if images have no classes.
    """

    train: str
    test: str
    unread: tuple[str, ...]
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Folder:
    """The files of a folder that are read.

    Attributes:
        root: the folder.
        layout: what its own folders are.
        train, test: the files of each class, by name. If there is no test folder, all are in
            `train`; images without classes are one class, `images`.
    """

    root: Path
    layout: Layout
    train: Classes
    test: Classes

    def digest(self) -> str:
        """A digest of the place, size and time of every file that is read.

        It holds no path outside the folder, so a folder that is moved with its times keeps it.
        """
        digest = hashlib.sha256()
        for classes in (self.train, self.test):
            for place, size, time in (file for files in classes.values() for file in files):
                digest.update(os.fsencode(f"{'/'.join(place)}\0{size}\0{time}\n"))
        return digest.hexdigest()[:32]

    def notes(self) -> list[str]:
        """Sentences about folders and files that are not read."""
        named = self.layout
        notes = [
            f"{shown(self.root / name)} is not read, because {named.train} and {named.test} are."
            for name in named.unread
        ]
        lists = (*self.train.values(), *self.test.values())
        read = {file.place for files in lists for file in files}
        left = Counter(
            Path(file.place[-1]).suffix.lower() or "without an ending"
            for file in _files(self.root, every=True)
            if file.place not in read and file.place[0] not in named.unread
        )
        if left:
            kinds = [f"{count:,} {suffix}" for suffix, count in left.most_common()]
            notes.append(
                f"{shown(self.root)}: {text.counted(left.total(), 'file')} left out "
                f"({text.listed(kinds)}); images are read if they are in a class folder and their "
                f"names end in {', '.join(sorted(SUFFIXES))}."
            )
        return notes


def find(root: Path, share: float | None) -> Folder:
    """The files of a folder of images that are read.

    Args:
        root: the folder.
        share: of each class that is held out for testing; None if it is not set.

    Raises:
        DataError: it is not a folder, has another structure, holds no images, or cannot be read.
    """
    found = layout(root)
    if not found.train:
        classes = {name: _images(root, name) for name in found.classes}
        _check_lone(root, classes, share)
        return Folder(root, found, classes or {"images": _images(root)}, {})
    if share is not None:
        raise DataError(
            f"{shown(root)} has a {found.train} and a {found.test} folder, so test_share must not "
            "be set."
        )
    train, test = (
        {name: _images(root, split, name) for name in found.classes}
        for split in (found.train, found.test)
    )
    return Folder(root, found, train, test)


def layout(root: Path) -> Layout:
    """What the folders in a folder of images are; their files are not looked at.

    Raises:
        DataError: it is not a folder, cannot be read, or it is unclear what is a split or a class.
    """
    if not root.is_dir():
        raise DataError(
            f"{shown(root)} is not a folder; an imagefolder's path is a folder of images."
        )
    names = _folders(root)
    train = _only(root, names, TRAIN)
    test = train and (_only(root, names, TEST) or _only(root, names, VALIDATION))
    if train and test:
        unread = tuple(name for name in names if name not in (train, test))
        return Layout(train, test, unread, _classes_of_splits(root, train, test))
    splits = [name for name in names if _is_split(name)]
    # A class may be named "train", but then its images are not in folders of classes.
    if splits and (len(splits) == len(names) or (train and _folders(root / train))):
        others = [name for name in names if name not in splits]
        beside = f" beside {text.listed(others)}" if others else ""
        named = "a folder that is" if len(splits) == 1 else "folders that are"
        like = "a split" if len(splits) == 1 else "splits"
        raise DataError(
            f"{shown(root)}: found {named} named like {like}, {text.listed(splits)}{beside}; "
            "allowed: train/CLASS and test/CLASS (or val/CLASS), or a folder for each class."
        )
    inside = {name: _folders(root / name) for name in names}
    if names and all(found and all(map(_is_split, found)) for found in inside.values()):
        name, split = names[0], inside[names[0]][0]
        raise DataError(
            f"{shown(root)}: found splits inside of other folders, such as {name}/{split}; "
            f"allowed: the classes inside of the splits, such as {split}/CLASS (or the folder with "
            "the splits as path)."
        )
    return Layout("", "", (), tuple(names))


def shown(path: Path) -> str:
    """A path as text that can be printed, whatever bytes its name has."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _is_split(name: str) -> bool:
    """Whether a folder is named like a split, such as `train` or `test1`."""
    return name.lower().rstrip("0123456789_-") in SPLITS


def _only(root: Path, names: Sequence[str], group: Sequence[str]) -> str:
    """The folder with one of the names of a group; empty if there is none."""
    found = [name for name in names if name.lower() in group]
    if len(found) > 1:
        raise DataError(
            f"{shown(root)}: found the folders {text.listed(found)}; allowed: one of them."
        )
    return found[0] if found else ""


def _classes_of_splits(root: Path, train: str, test: str) -> tuple[str, ...]:
    classes = {split: _folders(root / split) for split in (train, test)}
    odd = sorted(set(classes[train]) ^ set(classes[test]))
    if odd:
        has, lacks = (train, test) if odd[0] in classes[train] else (test, train)
        raise DataError(
            f"{shown(root / has)} has a class folder {odd[0]!r} that {shown(root / lacks)} lacks; "
            "both need the same classes."
        )
    if not classes[train]:
        raise DataError(f"{shown(root / train)} has no class folders; it needs one for each class.")
    return tuple(classes[train])


def _check_lone(root: Path, classes: Classes, share: float | None) -> None:
    lone = [name for name, files in classes.items() if len(files) == 1]
    if lone and (share is None or share < 1):
        raise DataError(
            f"{shown(root / lone[0])} holds one image; allowed: at least two, because each class "
            "needs training and test images; or test_share: 1 for a set that models are only "
            "compared on."
        )


# --- reading folders ------------------------------------------------------------------------------


def _ignored(name: str) -> bool:
    return name.startswith(".") or name.lower() in IGNORED


def _folders(root: Path) -> list[str]:
    """The names of a folder's own folders, sorted.

    Raises:
        DataError: the folder cannot be read, or one has a name that text cannot hold.
    """
    try:
        with os.scandir(root) as entries:
            names = sorted(e.name for e in entries if not _ignored(e.name) and e.is_dir())
    except OSError as error:
        raise _unreadable(root, error) from None
    for name in names:
        if any(unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") for letter in name):
            raise DataError(
                f"{shown(root)}: found the folder {name!r}, whose name has a control character or "
                "is not UTF-8; allowed: another name."
            )
    return names


def _images(root: Path, *below: str) -> list[File]:
    """The images in a folder and its subfolders, by name; their places begin at `root`.

    Raises:
        DataError: there are none, or one cannot be read.
    """
    folder = root.joinpath(*below)
    above = frozenset(_number(root.joinpath(*below[:k])) for k in range(len(below)))
    found = sorted(_files(folder, below, above))
    if not found:
        raise DataError(
            f"{shown(folder)} holds no images; names of images end in "
            f"{', '.join(sorted(SUFFIXES))}."
        )
    return found


def _files(
    folder: Path,
    place: tuple[str, ...] = (),
    above: frozenset[tuple[int, int]] = frozenset(),
    *,
    every: bool = False,
) -> Iterator[File]:
    """The images below a folder, or every file, in no order.

    Args:
        folder: where to look.
        place: its own place, with which those of the files begin.
        above: the folders that it is in, by device and number, which are not entered again.
        every: whether files are found that are not images.

    Raises:
        DataError: a folder cannot be read, or an image is a link to nothing.
    """
    try:
        own = _number(folder)
        if own in above:
            return
        with os.scandir(folder) as opened:
            entries = [entry for entry in opened if not _ignored(entry.name)]
        kinds = [(entry, entry.is_dir()) for entry in entries]
    except OSError as error:
        raise _unreadable(folder, error) from None
    for entry, is_folder in kinds:
        inside = (*place, entry.name)
        if is_folder:
            yield from _files(Path(entry.path), inside, above | {own}, every=every)
        elif os.path.splitext(entry.name)[1].lower() in SUFFIXES:  # noqa: PTH122 - many files
            if (status := _status(entry)) is not None:
                yield File(inside, status.st_size, status.st_mtime_ns)
        elif every and entry.is_file():
            yield File(inside, 0, 0)


def _number(folder: Path) -> tuple[int, int]:
    """What tells a folder from all others, whatever leads to it: its device and number there."""
    status = folder.stat()
    return status.st_dev, status.st_ino


def _status(entry: os.DirEntry[str]) -> os.stat_result | None:
    """The size and time of an entry that is named like an image; None if it is not a file.

    It may be a pipe, for example.

    Raises:
        DataError: it cannot be read, for example because it is a link to nothing.
    """
    try:
        status = entry.stat()
    except OSError as error:
        raise DataError(
            f"{shown(Path(entry.path))} cannot be read ({error.strerror or error}); if it is a "
            "link, what it leads to is missing; repair or remove it."
        ) from None
    return status if stat.S_ISREG(status.st_mode) else None


def _unreadable(folder: Path, error: OSError) -> DataError:
    return DataError(f"{shown(folder)} cannot be read ({error.strerror or error}).")
