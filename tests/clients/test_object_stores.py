"""The object store libraries of the Rust world, through their own Python bindings: `object_store`
(obstore) and OpenDAL."""

import os

import obstore
import opendal
import pytest
from obstore.store import S3Store
from opendal.exceptions import ConditionNotMatch, NotFound

from conftest import ACCESS_KEY, REGION, SECRET_KEY

MIB = 1 << 20


@pytest.fixture
def store(holdfast, bucket):
    return S3Store(bucket, endpoint=holdfast.endpoint, region=REGION, access_key_id=ACCESS_KEY,
                   secret_access_key=SECRET_KEY, client_options={"allow_http": True})


@pytest.fixture
def operator(holdfast, bucket):
    return opendal.Operator("s3", bucket=bucket, endpoint=holdfast.endpoint, region=REGION,
                            access_key_id=ACCESS_KEY, secret_access_key=SECRET_KEY)


def test_object_store_puts_and_gets(store):
    body = os.urandom(13 * MIB)
    obstore.put(store, "a/ü b", body, chunk_size=5 * MIB, use_multipart=True)
    head = obstore.head(store, "a/ü b")
    assert (head["size"], head["e_tag"][-3:]) == (len(body), '-3"')
    assert obstore.get(store, "a/ü b").bytes() == body
    assert obstore.get_range(store, "a/ü b", start=5 * MIB - 3, length=7) == body[5 * MIB - 3:][:7]
    starts = [0, 4096, 9 * MIB]
    ranges = obstore.get_ranges(store, "a/ü b", starts=starts, lengths=[100, 1, MIB])
    expected = [body[:100], body[4096:4097], body[9 * MIB:10 * MIB]]
    assert [bytes(one) for one in ranges] == expected
    obstore.copy(store, "a/ü b", "copy")
    obstore.rename(store, "copy", "renamed")
    assert obstore.get(store, "renamed").bytes() == body
    with pytest.raises(FileNotFoundError):
        obstore.head(store, "copy")


def test_object_store_decides_who_was_first(store):
    first = obstore.put(store, "lock", b"1", mode="create")
    with pytest.raises(Exception, match="already exists|AlreadyExists"):
        obstore.put(store, "lock", b"2", mode="create")
    obstore.put(store, "lock", b"2", mode={"e_tag": first["e_tag"]}, use_multipart=False)
    with pytest.raises(Exception, match="[Pp]recondition"):
        obstore.put(store, "lock", b"3", mode={"e_tag": first["e_tag"]}, use_multipart=False)
    assert obstore.get(store, "lock").bytes() == b"2"


def test_object_store_lists_and_deletes(store):
    keys = [f"list/{number % 4}/{number:04}" for number in range(1200)]
    for key in keys:
        obstore.put(store, key, key.encode(), use_multipart=False)
    found = [one["path"] for page in obstore.list(store, "list") for one in page]
    assert found == sorted(keys)
    level = obstore.list_with_delimiter(store, "list")
    assert level["common_prefixes"] == ["list/0", "list/1", "list/2", "list/3"]
    after = [one["path"] for page in obstore.list(store, "list", offset="list/3/1100") for one in page]
    assert after == [key for key in sorted(keys) if key > "list/3/1100"]
    obstore.delete(store, found)
    assert not [one for page in obstore.list(store) for one in page]


def test_opendal_reads_and_writes(operator):
    body = os.urandom(12 * MIB)
    with operator.open("folder/ü b", "wb") as file:
        for start in range(0, len(body), 5 * MIB):
            file.write(body[start:start + 5 * MIB])
    assert operator.read("folder/ü b") == body
    with operator.open("folder/ü b", "rb") as file:
        file.seek(7 * MIB)
        assert file.read(1000) == body[7 * MIB:7 * MIB + 1000]
    stat = operator.stat("folder/ü b")
    assert stat.content_length == len(body)
    operator.copy("folder/ü b", "folder/copy")
    assert operator.read("folder/copy") == body
    found = sorted(one.path for one in operator.scan("folder/") if not one.path.endswith("/"))
    assert found == ["folder/copy", "folder/ü b"]
    operator.delete("folder/copy")
    with pytest.raises(NotFound):
        operator.stat("folder/copy")
    operator.remove_all("folder/")
    assert list(operator.list("")) == [] or [one.path for one in operator.list("")] == ["/"]


def test_opendal_decides_who_was_first(operator):
    operator.write("once", b"1", if_not_exists=True)
    with pytest.raises(ConditionNotMatch):
        operator.write("once", b"2", if_not_exists=True)
    assert operator.read("once") == b"1"
