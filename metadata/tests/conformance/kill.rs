//! `kill -9` in the middle of commits: what was acknowledged is there afterwards, whole.
//!
//! The test starts itself again as a child, which writes as fast as it can and says each key that
//! was acknowledged; then it kills the child and looks.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use holdfast_metadata::Metadata;
use holdfast_types::SystemClock;

use super::invariants;
use super::world::{Place, World, region};

const ROUNDS: u64 = 8;
const CHILD: &str = "HOLDFAST_KILL_CHILD";

#[test]
fn what_was_acknowledged_survives_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut world = runtime.block_on(World::new(Place::Sqlite(Arc::new(folder))));
    let bucket = runtime.block_on(world.bucket("b"));
    let mut acknowledged = Vec::new();
    for round in 0..ROUNDS {
        runtime.block_on(world.metadata.clone().close());
        acknowledged.extend(write_and_kill(&path, round));
        world.metadata = runtime.block_on(world.handle("after", None));
        for (key, len) in &acknowledged {
            let version = runtime.block_on(world.current(&bucket, key)).unwrap();
            assert_eq!(version.size, *len, "{key} of round {round}");
        }
        runtime.block_on(invariants::check(&world));
    }
    assert!(
        acknowledged.len() > 100,
        "only {} writes",
        acknowledged.len()
    );
}

/// Lets a child write for a while and kills it; the keys that it acknowledged, with their sizes.
fn write_and_kill(path: &Path, round: u64) -> Vec<(String, u64)> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kill::the_child_that_is_killed", "--nocapture"])
        .env(CHILD, format!("{round}:{}", path.display()))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let reader = std::thread::spawn(move || {
        let mut acknowledged = Vec::new();
        for line in lines.map_while(Result::ok) {
            // A line that the kill cut off says nothing.
            if let Some(rest) = line.strip_prefix("acknowledged ")
                && let Some((key, len)) = rest
                    .strip_suffix(" .")
                    .and_then(|rest| rest.split_once(' '))
            {
                acknowledged.push((key.to_owned(), len.parse().unwrap()));
            }
        }
        acknowledged
    });
    std::thread::sleep(Duration::from_millis(300 + 37 * round));
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap()
}

/// Does nothing in an ordinary run.
#[test]
fn the_child_that_is_killed() {
    let Ok(task) = std::env::var(CHILD) else {
        return;
    };
    let (round, path) = task.split_once(':').unwrap();
    let url = format!("sqlite:{path}/metadata.db");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let config = holdfast_metadata::MetadataConfig::new(url);
        let metadata = Metadata::open(&config, region(), Arc::new(SystemClock))
            .await
            .unwrap();
        let world = Arc::new(World::around(metadata).await);
        for writer in 0..16_u64 {
            let (world, round) = (Arc::clone(&world), round.to_owned());
            tokio::spawn(async move {
                for n in 0.. {
                    let (key, len) = (format!("{round}-{writer}-{n}"), writer * 1000 + n);
                    world.put("b", &key, len, "e").await;
                    let mut out = std::io::stdout().lock();
                    writeln!(out, "acknowledged {key} {len} .").unwrap();
                    out.flush().unwrap();
                }
            });
        }
        std::future::pending::<()>().await;
    });
}
