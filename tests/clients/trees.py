"""Folders of files of many sizes and names, made and compared."""

import filecmp
import os

MIB = 1 << 20
SIZES = [0, 1, 5000, 65536, 70000, MIB]
FOLDERS = ["", "sub/", "sub/ü deep/"]
FILES = len(SIZES) * len(FOLDERS) + 1


def make_tree(root, big=9 * MIB):
    """`FILES` files below `root`, one of them of `big` bytes."""
    for folder in FOLDERS:
        (root / folder).mkdir(parents=True, exist_ok=True)
        for number, size in enumerate(SIZES):
            (root / f"{folder}file {number}.bin").write_bytes(os.urandom(size))
    (root / "big+=&.bin").write_bytes(os.urandom(big))
    return root


def same_trees(one, other):
    """Fails unless both hold the same files with the same bytes."""
    files = sorted(path.relative_to(one) for path in one.rglob("*") if path.is_file())
    found = sorted(path.relative_to(other) for path in other.rglob("*") if path.is_file())
    assert found == files
    for path in files:
        assert filecmp.cmp(one / path, other / path, shallow=False), path
    return len(files)
