"""Tables in object storage: DuckDB, PyArrow and Delta Lake on Parquet."""

import threading

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.fs
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError
from duckdb_extensions import import_extension

from conftest import ACCESS_KEY, REGION, SECRET_KEY

ROWS = 200_000


@pytest.fixture
def table():
    numbers = pa.array(range(ROWS), pa.int64())
    return pa.table({
        "number": numbers,
        "text": pa.array([f"row {n * 7919 % ROWS}" for n in range(ROWS)]),
        "folder": pa.array([f"f{n % 5}" for n in range(ROWS)]),
    })


@pytest.fixture
def duck(holdfast):
    import_extension("httpfs")
    with duckdb.connect() as connection:
        connection.execute("LOAD httpfs")
        connection.execute(f"""CREATE SECRET holdfast (
            TYPE s3, KEY_ID '{ACCESS_KEY}', SECRET '{SECRET_KEY}', REGION '{REGION}',
            ENDPOINT '{holdfast.s3}', URL_STYLE 'path', USE_SSL false)""")
        yield connection


@pytest.fixture
def arrow(holdfast):
    return pyarrow.fs.S3FileSystem(
        access_key=ACCESS_KEY, secret_key=SECRET_KEY, region=REGION, scheme="http",
        endpoint_override=holdfast.s3, allow_bucket_creation=False)


def test_duckdb_writes_and_reads_parquet(duck, bucket, s3, table):
    duck.register("source", table)
    duck.execute(f"""COPY (FROM source) TO 's3://{bucket}/parts'
        (FORMAT parquet, PARTITION_BY (folder), COMPRESSION zstd)""")
    keys = [one["Key"] for one in s3.list_objects_v2(Bucket=bucket, Prefix="parts/")["Contents"]]
    assert {key.split("/")[1] for key in keys} == {f"folder=f{n}" for n in range(5)}
    found = duck.execute(f"""SELECT folder, count(*), sum(number), min(text)
        FROM read_parquet('s3://{bucket}/parts/**/*.parquet', hive_partitioning = true)
        GROUP BY folder ORDER BY folder""").fetchall()
    expected = duck.execute("""SELECT folder, count(*), sum(number), min(text)
        FROM source GROUP BY folder ORDER BY folder""").fetchall()
    assert found == expected and len(found) == 5
    one = duck.execute(f"""SELECT text FROM 's3://{bucket}/parts/folder=f3/*.parquet'
        WHERE number = 77773""").fetchall()
    assert one == [(table["text"][77773].as_py(),)]
    duck.execute(f"COPY (FROM source LIMIT 1000) TO 's3://{bucket}/rows.csv'")
    assert duck.execute(f"SELECT count(*) FROM 's3://{bucket}/rows.csv'").fetchone() == (1000,)


def test_pyarrow_writes_and_reads_parquet(arrow, bucket, table):
    pq.write_table(table, f"{bucket}/one.parquet", filesystem=arrow, row_group_size=20_000)
    assert pq.read_table(f"{bucket}/one.parquet", filesystem=arrow).equals(table)
    # Reads the footer and one column of some row groups, by ranges.
    some = pq.read_table(f"{bucket}/one.parquet", filesystem=arrow, columns=["text"],
                         filters=[("number", ">=", 100_000), ("number", "<", 100_010)])
    assert some["text"].to_pylist() == table["text"][100_000:100_010].to_pylist()
    ds.write_dataset(table, f"{bucket}/set", filesystem=arrow, format="parquet",
                     partitioning=["folder"], partitioning_flavor="hive")
    back = ds.dataset(f"{bucket}/set", filesystem=arrow, partitioning="hive").to_table()
    assert back.sort_by("number").select(table.column_names).cast(table.schema).equals(table)


def test_pyarrow_as_a_file_system(arrow, bucket):
    body = bytes(range(256)) * 50_000
    with arrow.open_output_stream(f"{bucket}/a/b/stream") as stream:
        for start in range(0, len(body), 1_000_000):
            stream.write(body[start:start + 1_000_000])
    with arrow.open_input_file(f"{bucket}/a/b/stream") as file:
        assert file.size() == len(body)
        assert file.read_at(1000, 5_000_001) == body[5_000_001:5_001_001]
        assert file.read() == body
    arrow.copy_file(f"{bucket}/a/b/stream", f"{bucket}/copy")
    arrow.move(f"{bucket}/copy", f"{bucket}/moved")
    found = arrow.get_file_info(pyarrow.fs.FileSelector(bucket, recursive=True))
    files = {info.path: info.size for info in found if info.type == pyarrow.fs.FileType.File}
    assert files == {f"{bucket}/a/b/stream": len(body), f"{bucket}/moved": len(body)}
    arrow.delete_dir_contents(f"{bucket}/a")
    gone = arrow.get_file_info(f"{bucket}/a/b/stream")
    assert gone.type == pyarrow.fs.FileType.NotFound


def test_deltalake_commits_by_conditional_writes(holdfast, bucket, table):
    options = {"AWS_ENDPOINT_URL": holdfast.endpoint, "AWS_ALLOW_HTTP": "true",
               "AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
               "AWS_REGION": REGION, "aws_conditional_put": "etag"}
    uri = f"s3://{bucket}/delta"
    write_deltalake(uri, table, storage_options=options, partition_by=["folder"])
    # Four writers at once append to one table: each commit is a PUT with If-None-Match.
    failures = []

    def append(writer):
        try:
            for turn in range(3):
                rows = pa.table({"number": pa.array([-1 - writer * 10 - turn]), "text": ["new"],
                                 "folder": ["f9"]})
                write_deltalake(uri, rows, mode="append", storage_options=options)
        except CommitFailedError as error:
            failures.append(error)

    writers = [threading.Thread(target=append, args=[writer]) for writer in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert not failures
    delta = DeltaTable(uri, storage_options=options)
    assert delta.version() == 12
    rows = pa.table(delta.to_pyarrow_table())
    assert rows.num_rows == ROWS + 12
    added = sorted(n for n in rows["number"].to_pylist() if n < 0)
    assert added == sorted(-1 - writer * 10 - turn for writer in range(4) for turn in range(3))
    delta.delete("folder = 'f9'")
    delta.optimize.compact()
    delta.create_checkpoint()
    again = DeltaTable(uri, storage_options=options)
    assert again.to_pyarrow_table().sort_by("number").select(table.column_names).equals(table)
    before = DeltaTable(uri, version=12, storage_options=options)
    assert before.to_pyarrow_table().num_rows == ROWS + 12
