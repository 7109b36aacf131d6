//! `holdfast bench` against the real server: its figures add up, what it leaves behind is what it
//! says, and an object whose bytes are not what they must be fails it.

use std::process::{Command, Output};

use serde_json::Value;

use crate::support::client::{Call, Client};
use crate::support::server::{ACCESS_KEY, SECRET_KEY, Server};

fn bench(server: &Server, line: &str) -> Output {
    bench_at(&format!("http://{}", server.s3), line)
}

fn bench_at(endpoint: &str, line: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_holdfast"))
        .arg("bench")
        .args(line.split_whitespace())
        .args(["--endpoint", endpoint])
        .args(["--bucket", "load", "--concurrency", "4"])
        .env("HOLDFAST_ACCESS_KEY", ACCESS_KEY)
        .env("HOLDFAST_SECRET_KEY", SECRET_KEY)
        .output()
        .expect("the binary starts")
}

/// The figures of a run that must go well.
fn figures(server: &Server, line: &str) -> Value {
    let output = bench(server, &format!("{line} --json"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}: {said}");
    let figures: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(figures["failed"], 0, "{line}");
    figures
}

fn keys(client: &Client) -> Vec<String> {
    let answer = client.expect(200, &Call::new("GET", "/load").query("list-type", "2"));
    let page = String::from_utf8(answer.body).unwrap();
    let keys = page.split("<Key>").skip(1);
    keys.map(|rest| rest.split('<').next().unwrap().to_owned())
        .collect()
}

#[test]
fn every_workload_does_what_it_says_and_counts_it() {
    let server = Server::start("bench");
    let client = server.client();
    let pid = server.pid();

    let put = figures(
        &server,
        &format!("put --prepare --size 4KiB,200000 --count 40 --server-pid {pid}"),
    );
    let bytes = 20 * (4096 + 200_000);
    assert_eq!(
        (&put["operations"], &put["bytes"]),
        (&40.into(), &bytes.into())
    );
    assert_eq!(put["by_operation"]["put"]["count"], 40);
    let latency = &put["by_operation"]["put"]["latency_ms"];
    let order = ["min", "p50", "p90", "p99", "p999", "max"].map(|name| latency[name].as_f64());
    assert!(order[0] > Some(0.0) && order.is_sorted(), "{latency}");
    let used = &put["server"];
    assert!(used["cpu_seconds"].as_f64() > Some(0.0), "{used}");
    assert!(used["peak_rss_bytes"].as_u64() > Some(1 << 20), "{used}");
    // 4+2 is half more than the data; what is smaller than a page is written in pages.
    assert!(used["write_amplification"].as_f64() > Some(1.4), "{used}");
    assert_eq!(keys(&client).len(), 40);

    let sizes = "--size 4KiB,200000 --objects 40";
    let get = figures(&server, &format!("get {sizes} --count 80 --signed"));
    assert_eq!(get["bytes"], 2 * bytes, "each object twice");
    let head = figures(&server, &format!("head {sizes} --count 80"));
    assert_eq!(
        (&head["operations"], &head["bytes"]),
        (&80.into(), &0.into())
    );
    let range = figures(
        &server,
        "range --size 300KiB --range-size 70000 --objects 5 --prepare --count 60",
    );
    assert_eq!(range["bytes"], 60 * 70_000);
    let list = figures(
        &server,
        "list --size 300KiB --objects 5 --page 3 --count 30",
    );
    assert_eq!(list["by_operation"]["list"]["count"], 30);

    let multipart = figures(
        &server,
        "multipart --size 12MiB --part-size 5MiB --count 4 --prefix parts --signed",
    );
    assert_eq!(multipart["operations"], 4);
    assert_eq!(multipart["bytes"], 4 * (12 << 20));
    assert_eq!(multipart["by_operation"]["part"]["count"], 12);
    // What was put in parts is got as a whole, and the same bytes.
    figures(
        &server,
        "get --size 12MiB --prefix parts --objects 4 --count 4",
    );

    let deleted = figures(&server, &format!("delete {sizes} --duration 1m"));
    assert_eq!(deleted["operations"], 40, "each once");
    let mixed = "mixed --size 1000 --prefix mixed --objects 30 --prepare --cleanup --count 300";
    let mixed = figures(&server, mixed);
    assert_eq!(mixed["operations"], 300);
    for kind in ["get", "head", "put", "delete"] {
        assert!(
            mixed["by_operation"][kind]["count"].as_u64() > Some(5),
            "{mixed}"
        );
    }
    let mut left: Vec<String> = (0..5).map(|n| format!("bench/307200/{n:010}")).collect();
    left.extend((0..4).map(|n| format!("parts/12582912/{n:010}")));
    assert_eq!(keys(&client), left, "no other object is left behind");
}

#[test]
fn a_clean_run_leaves_nothing() {
    let server = Server::start("bench-clean");
    let run = figures(
        &server,
        "get --size 64KiB --objects 10 --count 20 --prepare --cleanup",
    );
    assert_eq!(run["operations"], 20);
    let client = server.client();
    client.expect(404, &Call::new("GET", "/load"));
}

#[test]
fn wrong_bytes_fail_it() {
    let server = Server::start("bench-wrong");
    let client = server.client();
    let sizes = "--size 100000 --objects 8";
    figures(&server, "put --size 100000 --count 8 --prepare");
    let key = "bench/100000/0000000005";
    let mut body = client.get("load", key).body;
    body[77_777] ^= 1;
    client.put("load", key, &body);

    let output = bench(&server, &format!("get {sizes} --count 16 --json"));
    assert_eq!(output.status.code(), Some(1));
    let figures: Value = serde_json::from_slice(&output.stdout).expect("JSON, failed or not");
    assert_eq!(
        (&figures["operations"], &figures["failed"]),
        (&14.into(), &2.into())
    );
    let failure = &figures["failures"][0];
    assert_eq!(failure["code"], "(wrong answer)");
    assert_eq!(
        failure["example"],
        format!("{key}: wrong from byte 77777 on")
    );

    // Shorter, another object's, and gone: each is told for what it is.
    client.put("load", key, &body[..50_000]);
    let other = client.get("load", "bench/100000/0000000001").body;
    client.put("load", "bench/100000/0000000002", &other);
    client.expect(
        204,
        &Call::object("DELETE", "load", "bench/100000/0000000003"),
    );
    let output = bench(&server, &format!("get {sizes} --count 8"));
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("NoSuchKey"), "{said}");
    assert!(said.contains("2 x get FAILED, (wrong answer)"), "{said}");
    let head = bench(&server, &format!("head {sizes} --count 8"));
    let said = String::from_utf8(head.stdout).unwrap();
    assert!(
        said.contains("has Some(50000) bytes instead of 100000"),
        "{said}"
    );
    let said = String::from_utf8(head.stderr).unwrap();
    assert!(said.contains("2 operations failed"), "{said}");
}

#[test]
fn a_bucket_may_be_a_host_name() {
    let mut server = Server::prepare("bench-host").with_arguments(&["--domain", "localhost"]);
    server.restart();
    let endpoint = format!("http://localhost:{}", server.s3.port());
    let line = "put --virtual-host --prepare --size 4KiB --count 5 --prefix by-host";
    let output = bench_at(&endpoint, line);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let expected: Vec<String> = (0..5).map(|n| format!("by-host/4096/{n:010}")).collect();
    assert_eq!(keys(&server.client()), expected);
    let nobody = "get --count 1000";
    server.kill();
    let output = bench_at(&endpoint, nobody);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("(no answer): can't connect"), "{said}");
}
