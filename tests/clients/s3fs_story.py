"""What `test_s3fs.py` has s3fs do: run by another Python."""

import os
import pathlib
import sys

import s3fs

from trees import FILES, make_tree, same_trees

MIB = 1 << 20


def files(fs, bucket):
    body = os.urandom(17 * MIB)
    with fs.open(f"{bucket}/a/ü b", "wb", block_size=5 * MIB) as file:
        for start in range(0, len(body), MIB):
            file.write(body[start:start + MIB])
    assert fs.info(f"{bucket}/a/ü b")["size"] == len(body)
    with fs.open(f"{bucket}/a/ü b", "rb", block_size=MIB) as file:
        file.seek(9 * MIB - 5)
        assert file.read(100) == body[9 * MIB - 5:][:100]
        file.seek(0)
        assert file.read() == body
    assert fs.cat_ranges([f"{bucket}/a/ü b"] * 2, [0, 5 * MIB], [10, 6 * MIB]) == [
        body[:10], body[5 * MIB:6 * MIB]]
    assert fs.tail(f"{bucket}/a/ü b", 10) == body[-10:]
    fs.pipe({f"{bucket}/small/{n}": b"x" * n for n in range(50)})
    assert fs.cat_file(f"{bucket}/small/49") == b"x" * 49
    assert fs.du(f"{bucket}/small") == sum(range(50))
    fs.touch(f"{bucket}/small/0", truncate=True)
    assert not fs.exists(f"{bucket}/nothing")


def appends(fs, bucket):
    """An append copies what is there as a part of a new upload."""
    body = os.urandom(11 * MIB)
    fs.pipe_file(f"{bucket}/log", body)
    with fs.open(f"{bucket}/log", "ab", block_size=5 * MIB) as file:
        file.write(b"the end")
    assert fs.cat_file(f"{bucket}/log") == body + b"the end"
    fs.merge(f"{bucket}/twice", [f"{bucket}/log", f"{bucket}/log"])
    assert fs.cat_file(f"{bucket}/twice") == (body + b"the end") * 2


def trees(fs, bucket):
    tree = make_tree(pathlib.Path("tree"))
    fs.put(f"{tree}/", f"{bucket}/tree/", recursive=True)
    assert len(fs.find(f"{bucket}/tree")) == FILES
    assert len(fs.glob(f"{bucket}/tree/**/file 3.bin")) == 3
    assert fs.isdir(f"{bucket}/tree/sub") and fs.isfile(f"{bucket}/tree/file 1.bin")
    fs.get(f"{bucket}/tree/", "back/", recursive=True)
    assert same_trees(tree, pathlib.Path("back")) == FILES
    fs.rm(f"{bucket}/tree", recursive=True)
    fs.invalidate_cache()
    assert fs.find(bucket) == []


def copies(fs, bucket):
    body = os.urandom(200_000)
    fs.pipe_file(f"{bucket}/one", body)
    fs.copy(f"{bucket}/one", f"{bucket}/two")
    fs.mv(f"{bucket}/two", f"{bucket}/three")
    assert fs.cat_file(f"{bucket}/three") == body
    assert [name for name in fs.ls(bucket, refresh=True)] == [f"{bucket}/one", f"{bucket}/three"]
    fs.pipe_file(f"{bucket}/once", b"1", mode="create")
    try:
        fs.pipe_file(f"{bucket}/once", b"2", mode="create")
    except FileExistsError:
        pass
    else:
        raise AssertionError("written twice")
    assert fs.cat_file(f"{bucket}/once") == b"1"


def main():
    chapter, endpoint, bucket, access_key, secret_key, region = sys.argv[1:]
    fs = s3fs.S3FileSystem(key=access_key, secret=secret_key, endpoint_url=endpoint,
                           client_kwargs={"region_name": region})
    {"files": files, "appends": appends, "trees": trees, "copies": copies}[chapter](fs, bucket)
    print(f"{chapter}: all as it must be")


main()
