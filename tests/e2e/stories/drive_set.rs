//! Drives that come, go, change places, are wiped and return stale, by the operator's commands
//! against the real binary; repairs and drains that are killed. Each story ends with every object
//! read back, redundancy full, and a verification of every byte.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::model::faults::data_files;
use crate::support::client::{Call, Client};
use crate::support::random::Random;
use crate::support::server::Server;

const BUCKET: &str = "set";
const DEADLINE: Duration = Duration::from_secs(120);

/// Lost drives are noticed at once, and what is left over is deleted soon.
const QUICK: &str = "[worker]\ndrive_gone_seconds = 1\ngarbage_grace_seconds = 1\n\
    inventory_period_seconds = 1\nunknown_age_seconds = 2\nquarantine_seconds = 1\n\
    rebalance_least_bytes = 1\n";

struct Story {
    server: Server,
    client: Client,
    objects: Vec<(String, Vec<u8>)>,
    random: Random,
}

impl Story {
    fn begin(name: &str, drives: &str) -> Self {
        let mut server = Server::prepare(name)
            .with_config(QUICK)
            .with_arguments(&["--drives", drives]);
        server.restart();
        let client = server.client();
        client.create_bucket(BUCKET);
        let mut story = Self {
            server,
            client,
            objects: Vec::new(),
            random: Random::new(name.len() as u64),
        };
        story.put("first", 3);
        story
    }

    /// Objects whose fragments are packed, and such whose fragments are files.
    fn put(&mut self, name: &str, rounds: usize) {
        for round in 0..rounds {
            for len in [1, 5000, 65_536, 300_000, 900_000, 2_000_000] {
                let key = format!("{name}/{round}/{len}");
                let body = self.random.bytes(len);
                self.client.put(BUCKET, &key, &body);
                self.objects.push((key, body));
            }
        }
    }

    fn assert_all_read(&self, when: &str) {
        for (key, body) in &self.objects {
            let answer = self.client.get(BUCKET, key);
            assert_eq!(answer.status, 200, "{when}: {key}: {}", answer.shown());
            assert!(answer.body == *body, "{when}: {key} has other bytes");
        }
    }

    fn drives(&self) -> Vec<Value> {
        let view = self.server.admin_json(&["drive", "list"]);
        view["drives"].as_array().expect("a list").clone()
    }

    /// The id of the drive whose folder is `path`.
    fn id_at(&self, path: &Path) -> String {
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let drives = self.drives();
        let at = drives
            .iter()
            .find(|drive| drive["path"].as_str() == path.to_str());
        let at = at.unwrap_or_else(|| panic!("no drive at {}: {drives:#?}", path.display()));
        at["id"].as_str().unwrap().to_owned()
    }

    fn drive(&self, id: &str) -> Option<Value> {
        self.drives().into_iter().find(|drive| drive["id"] == id)
    }

    fn wait_for_state(&mut self, id: &str, state: &str) {
        let id = id.to_owned();
        self.wait(&format!("drive {id} is {state}"), |story| {
            story
                .drive(&id)
                .is_some_and(|drive| drive["state"] == state)
        });
    }

    fn wait(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        let began = std::time::Instant::now();
        while !holds(self) {
            let log = self.server.log_end();
            assert!(began.elapsed() < DEADLINE, "not in time: {what}\n{log}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Waits until a drive that is being emptied is empty, and removes it.
    fn remove_when_drained(&mut self, id: &str) {
        let of = id.to_owned();
        self.wait("the drive is empty", |story| {
            let drive = story.drive(&of).expect("it is listed until it is removed");
            drive["draining"]["drained"] == true
        });
        self.server.admin_does(&["drive", "remove", id]);
        assert!(self.drive(id).is_none());
    }

    /// A folder for a drive, beside the others but not among them.
    fn folder(&self, name: &str) -> PathBuf {
        let folder = self.server.data().with_file_name(name);
        fs::create_dir(&folder).unwrap();
        folder
    }

    fn add(&self, folder: &Path) -> String {
        let path = folder.to_str().unwrap();
        let added = self
            .server
            .admin_json(&["drive", "add", path, "--shared-disk"]);
        added["drive"].as_str().unwrap().to_owned()
    }

    /// Every object reads back with any two drives away, and nothing is wrong with any byte.
    fn end(mut self) {
        self.assert_all_read("at the end");
        self.server.wait_until_whole(DEADLINE);
        self.wait("nothing is at risk any more", |story| {
            let status = story.server.admin_json(&["status"]);
            status["at_risk"]["at_risk"] == 0 && status["debts"] == 0
        });
        self.server.end_whole(DEADLINE);
        self.server.restart();
        self.assert_all_read("after a restart");
        self.server.kill();
    }
}

#[test]
fn f12_a_drive_that_is_wiped_is_replaced_in_its_place_and_refilled() {
    let mut story = Story::begin("set-wiped", "6");
    let folder = story.server.drive(3);
    let old = story.id_at(&folder);
    fs::remove_dir_all(&folder).unwrap();
    fs::create_dir(&folder).unwrap();
    story.wait_for_state(&old, "missing");
    let listed = story.server.admin_does(&["drive", "list"]);
    assert!(
        listed.contains(&format!("drive replace {old} PATH")),
        "{listed}"
    );
    story.assert_all_read("without it");
    assert!(
        fs::read_dir(&folder).unwrap().next().is_none(),
        "nothing is made of it unasked"
    );

    let path = folder.to_str().unwrap();
    let refused = story
        .server
        .admin_refuses(&["drive", "replace", &old, path]);
    assert!(refused.contains("same file system"), "{refused}");
    let said = story
        .server
        .admin_does(&["drive", "replace", &old, path, "--shared-disk"]);
    assert!(
        said.contains("made anew"),
        "what is at stake is told: {said}"
    );
    let new = story.id_at(&folder);
    assert_ne!(new, old);
    story.put("after", 1);
    story.server.wait_until_whole(DEADLINE);
    assert!(data_files(&folder).len() > 5, "it was refilled");
    story.end();
}

#[test]
fn f13_two_drives_that_change_places_are_followed_and_nothing_moves() {
    let mut story = Story::begin("set-swapped", "6");
    let (one, two) = (story.server.drive(1), story.server.drive(2));
    let ids = (story.id_at(&one), story.id_at(&two));
    let aside = story.server.drive(1).with_extension("aside");
    for restarts in [false, true] {
        if restarts {
            assert!(story.server.stop(), "it stops well");
        }
        fs::rename(&one, &aside).unwrap();
        fs::rename(&two, &one).unwrap();
        fs::rename(&aside, &two).unwrap();
        if restarts {
            story.server.restart();
        }
        let expected = if restarts { (&one, &two) } else { (&two, &one) };
        let expected = [(&ids.0, expected.0), (&ids.1, expected.1)];
        story.wait("both are online where they are", |story| {
            expected.iter().all(|(id, path)| {
                let drive = story.drive(id).expect("they are known");
                let path = fs::canonicalize(path).unwrap();
                drive["state"] == "online" && drive["path"].as_str() == path.to_str()
            })
        });
        story.put(&format!("swapped, restarts {restarts}"), 1);
        story.assert_all_read("swapped");
    }
    story.server.wait_until_whole(DEADLINE);
    let repair = story.server.admin_json(&["repair", "status"]);
    assert_eq!(
        repair["repaired_fragments"], 0,
        "no byte was moved: {repair}"
    );
    story.end();
}

#[test]
fn a_drive_that_comes_back_stale_is_brought_to_what_the_metadata_says() {
    let mut story = Story::begin("set-stale", "7");
    let folder = story.server.drive(2);
    let id = story.id_at(&folder);
    let away = folder.with_extension("away");
    fs::rename(&folder, &away).unwrap();
    story.wait_for_state(&id, "missing");
    // While it is away: what it had is made anew elsewhere, a part is deleted, a part written.
    for (key, _) in story.objects.drain(..4) {
        story
            .client
            .expect(204, &Call::object("DELETE", BUCKET, &key));
    }
    story.put("meanwhile", 2);
    story.server.wait_until_whole(DEADLINE);
    // And it comes back without some of what it had.
    let mut files = data_files(&away);
    files.retain(|path| path.to_string_lossy().contains("/fragments/"));
    for file in files.iter().step_by(3) {
        fs::remove_file(file).unwrap();
    }
    fs::rename(&away, &folder).unwrap();
    story.wait_for_state(&id, "online");
    story.put("back", 1);
    // Each fragment is on one drive only in the end, so the surplus must go.
    story.wait("what is surplus is deleted", |story| {
        let expected: usize = story
            .objects
            .iter()
            .filter(|(_, body)| body.len() > 524_288)
            .count();
        let found: usize = (1..=7)
            .map(|drive| {
                let files = data_files(&story.server.drive(drive));
                files
                    .iter()
                    .filter(|path| path.to_string_lossy().contains("/fragments/"))
                    .count()
            })
            .sum();
        found == expected * 6
    });
    story.end();
}

#[test]
fn a_drive_is_added_filled_drained_and_removed_while_objects_are_written() {
    let mut story = Story::begin("set-add", "6");
    let folder = story.folder("seventh");
    let path = folder.to_str().unwrap().to_owned();
    for (arguments, reason) in [
        (
            vec!["drive", "add", "/nowhere/at/all", "--shared-disk"],
            "make the folder",
        ),
        (vec!["drive", "add", &path], "same file system"),
        (vec!["drive", "add", "/", "--shared-disk"], "overlap"),
    ] {
        let refused = story.server.admin_refuses(&arguments);
        assert!(refused.contains(reason), "{arguments:?}: {refused}");
    }
    let known = story.server.drive(1);
    let known = known.to_str().unwrap();
    let refused = story
        .server
        .admin_refuses(&["drive", "add", known, "--shared-disk"]);
    assert!(
        refused.contains("overlap") || refused.contains("already"),
        "{refused}"
    );
    fs::write(folder.join("somebody's"), b"x").unwrap();
    let refused = story
        .server
        .admin_refuses(&["drive", "add", &path, "--shared-disk"]);
    assert!(refused.contains("not empty"), "{refused}");
    fs::remove_file(folder.join("somebody's")).unwrap();

    let first = story.id_at(&story.server.drive(1));
    let refused = story.server.admin_refuses(&["drive", "drain", &first]);
    assert!(refused.contains("add a drive first"), "{refused}");
    let refused = story.server.admin_refuses(&["drive", "remove", &first]);
    assert!(refused.contains("empty it first"), "{refused}");
    let refused = story
        .server
        .admin_refuses(&["drive", "remove", &first, "--lost", "--yes"]);
    assert!(refused.contains("can be read"), "{refused}");

    let new = story.add(&folder);
    story.put("with seven", 2);
    story.wait("it got its share", |_| data_files(&folder).len() > 5);
    // It is found again, and a folder that is not it is not taken for it.
    story.server.kill();
    let aside = folder.with_extension("aside");
    fs::rename(&folder, &aside).unwrap();
    fs::create_dir(&folder).unwrap();
    story.server.restart();
    story.wait_for_state(&new, "missing");
    fs::remove_dir(&folder).unwrap();
    fs::rename(&aside, &folder).unwrap();
    story.wait_for_state(&new, "online");

    // One of the first is emptied, with a kill in between, and removed.
    story.server.admin_does(&["drive", "drain", &first]);
    story.put("while it is emptied", 1);
    story.server.kill();
    story.server.restart();
    story.assert_all_read("after a kill during the drain");
    story.remove_when_drained(&first);
    story.put("with six again", 1);
    story.server.kill();
    story.server.restart();
    assert!(story.drive(&first).is_none(), "it stays removed");
    let path = story.server.drive(1).display().to_string();
    let refused = story
        .server
        .admin_refuses(&["drive", "add", &path, "--shared-disk"]);
    assert!(refused.contains("was removed"), "{refused}");
    fs::remove_dir_all(story.server.drive(1)).unwrap();
    story.end();
}

#[test]
fn a_live_drive_is_replaced_and_a_dead_one_is_given_up_only_where_nothing_is_lost() {
    let mut story = Story::begin("set-replace", "6");
    let old = story.id_at(&story.server.drive(4));
    let folder = story.folder("new");
    let path = folder.to_str().unwrap().to_owned();
    let said = story
        .server
        .admin_does(&["drive", "replace", &old, &path, "--shared-disk"]);
    assert!(said.contains("being emptied"), "{said}");
    story.remove_when_drained(&old);
    assert_eq!(story.drives().len(), 6);

    // Three drives away: nothing may be given up. Two: it says what is at risk.
    let dead: Vec<String> = [1, 2, 3]
        .map(|number| story.id_at(&story.server.drive(number)))
        .into();
    for number in [1, 2, 3] {
        let folder = story.server.drive(number);
        fs::rename(&folder, folder.with_extension("away")).unwrap();
    }
    for id in &dead {
        story.wait_for_state(id, "missing");
    }
    let refused = story
        .server
        .admin_refuses(&["drive", "remove", &dead[0], "--lost", "--yes"]);
    assert!(refused.contains("can't be read without"), "{refused}");
    let third = story.server.drive(3);
    fs::rename(third.with_extension("away"), &third).unwrap();
    story.wait_for_state(&dead[2], "online");
    // What it has counts again once the repair has found it whole.
    let words = ["drive", "remove", &dead[0], "--lost"];
    story.wait("it says what is at risk", |story| {
        let output = story.server.admin(&words);
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        !output.status.success() && told.contains("can lose nothing more")
    });
    assert!(story.drive(&dead[0]).is_some(), "it was only asked");
    story
        .server
        .admin_does(&["drive", "remove", &dead[0], "--lost", "--yes"]);
    assert!(story.drive(&dead[0]).is_none());
    let second = story.server.drive(2);
    fs::rename(second.with_extension("away"), &second).unwrap();
    story.wait_for_state(&dead[1], "online");
    let sixth = story.folder("sixth");
    story.add(&sixth);
    story.end();
}

#[test]
fn a_repair_is_killed_again_and_again_and_comes_to_its_end() {
    let mut story = Story::begin("set-kill", "8");
    story.put("more", 4);
    // Slow enough to be met in its middle.
    story.server.admin_does(&["worker", "pace", "repair", "2%"]);
    let gone = [story.server.drive(1), story.server.drive(2)];
    for folder in &gone {
        fs::remove_dir_all(folder).unwrap();
    }
    for round in 0..6 {
        story.wait("it repairs", |story| {
            let repair = story.server.admin_json(&["repair", "status"]);
            repair["repaired_fragments"].as_u64() > Some(round * 3)
                || repair["as_of_ms"].as_u64() > Some(0)
                    && repair["by_spares"] == Value::Object(Default::default())
        });
        story.server.kill();
        story.server.restart_degraded();
        let workers = story.server.admin_json(&["worker", "list"]);
        let pace = workers["workers"]
            .as_array()
            .unwrap()
            .iter()
            .find(|worker| worker["name"] == "repair")
            .map(|worker| worker["pace_percent"].clone());
        assert_eq!(pace, Some(2.into()), "an order outlives the process");
    }
    story.assert_all_read("in the middle of it");
    story
        .server
        .admin_does(&["worker", "pace", "repair", "100"]);
    story.server.wait_until_whole(DEADLINE);
    story.end();
}

#[test]
fn workers_are_listed_paced_paused_and_resumed() {
    let mut story = Story::begin("set-workers", "7");
    let list = story.server.admin_json(&["worker", "list"]);
    let named = |name: &str| {
        let all = list["workers"].as_array().unwrap().iter();
        all.filter(|worker| worker["name"] == name).count()
    };
    assert_eq!(named("scrub"), 7, "one for each drive");
    for name in [
        "repair",
        "lost-drives",
        "drain",
        "rebalance",
        "census",
        "sweep",
        "inventory",
    ] {
        assert_eq!(named(name), 1, "{name}");
    }
    story.wait("each has its lease, where it needs one", |story| {
        let list = story.server.admin_json(&["worker", "list"]);
        let all = list["workers"].as_array().unwrap();
        all.iter().all(|worker| match worker["name"].as_str() {
            Some("scrub" | "census") => worker["lease"].is_null(),
            _ => worker["lease"]["here"] == true,
        })
    });
    let shown = story.server.admin_does(&["worker", "list"]);
    assert!(shown.contains("this one, for "), "{shown}");
    let refused = story.server.admin_refuses(&["worker", "pause", "nobody"]);
    assert!(refused.contains("there is no worker nobody"), "{refused}");
    story.server.admin_does(&["worker", "pace", "scrub", "5"]);
    let list = story.server.admin_json(&["worker", "list"]);
    let scrubs = list["workers"].as_array().unwrap().iter();
    let paces: Vec<_> = scrubs
        .filter(|worker| worker["name"] == "scrub")
        .map(|worker| worker["pace_percent"].clone())
        .collect();
    assert_eq!(paces, vec![Value::from(5); 7], "on every drive");

    // A paused repair repairs nothing, over a restart too.
    story.server.admin_does(&["repair", "pause"]);
    let folder = story.server.drive(5);
    fs::remove_dir_all(&folder).unwrap();
    let owes = |story: &Story| story.server.admin_json(&["status"])["debts"].as_u64() > Some(0);
    story.wait("what it had is owed", owes);
    story.server.kill();
    story.server.restart();
    story.wait("it is owed still", owes);
    let repair = story.server.admin_json(&["repair", "status"]);
    assert_eq!(repair["state"], "paused");
    assert_eq!(repair["repaired_fragments"], 0);
    let status = story.server.admin_does(&["status"]);
    assert!(status.contains("worker repair is paused"), "{status}");
    story.server.admin_does(&["repair", "resume"]);
    story.server.admin_does(&["repair", "run"]);
    let watched = story.server.admin_does(&["repair", "status", "--watch"]);
    assert!(watched.contains("nothing is owed"), "{watched}");
    story.server.wait_until_whole(DEADLINE);
    let page = story.server.admin_get("/metrics").unwrap();
    let text = String::from_utf8(page.body).unwrap();
    for metric in [
        "holdfast_repair_repaired_fragments_total",
        "holdfast_repair_failures_total",
        "holdfast_repair_eta_seconds",
        "holdfast_rebalance_moved_bytes_total",
    ] {
        assert!(text.contains(metric), "{metric}");
    }
    story.end();
}
