//! Object lock and quotas across `kill -9`: whatever is tried while the server dies, again and
//! again, and its database with it, an acknowledged lock holds, what it protects is there, no
//! acknowledged write exceeds a quota, and the totals are what a recount says.

mod kept;
mod limited;

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use self::kept::Kept;
use self::limited::Limited;
use crate::support::client::Client;
use crate::support::random::Random;
use crate::support::server::Server;

const ROUNDS: u64 = 8;
const KEEPERS: u64 = 4;
const SPENDERS: u64 = 3;
const DEADLINE: Duration = Duration::from_secs(90);

/// What a writer of a round needs.
struct Round<'r> {
    client: &'r Client,
    stop: AtomicBool,
    /// Requests that were answered.
    answered: AtomicU64,
}

impl Round<'_> {
    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::SeqCst)
    }

    fn count(&self) {
        self.answered.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn locks_and_quotas_hold_across_kill_9() {
    let mut server = Server::start("locks");
    let client = server.client();
    let kept = Kept::start(&client);
    let mut limited = Limited::start(&server, &client);
    let mut random = Random::new(5);
    for number in 0..ROUNDS {
        let round = Round {
            client: &client,
            stop: AtomicBool::new(false),
            answered: AtomicU64::new(0),
        };
        let enough = random.between(60, 400);
        thread::scope(|scope| {
            for writer in 0..KEEPERS {
                let (round, kept) = (&round, &kept);
                scope.spawn(move || kept.work(round, writer, number));
            }
            for writer in 0..SPENDERS {
                let (round, limited) = (&round, &limited);
                scope.spawn(move || limited.work(round, writer, number));
            }
            let began = Instant::now();
            // A writer that failed answers no more, and is told of at the scope's end.
            while round.answered.load(Ordering::SeqCst) < enough && began.elapsed() < DEADLINE {
                thread::sleep(Duration::from_millis(2));
            }
            server.kill();
            round.stop.store(true, Ordering::SeqCst);
        });
        if number % 3 == 2 {
            // The database goes with its log, and the journal of a drive.
            fs::remove_dir_all(server.data().join("metadata")).unwrap();
            fs::remove_dir_all(server.drive(number as usize % 6 + 1).join("metadata")).ok();
        }
        server.restart();
        let (locked, gone) = kept.check(&client);
        let (done, refused) = limited.check(&server, &client);
        println!(
            "round {number}: {locked} versions locked, {gone} deleted, {done} writes within the \
             quota, {refused} refused"
        );
    }
    kept.assert_much_happened();
    limited.assert_much_happened();
    kept::recount(&server, &client);
    server.end_whole(DEADLINE);
}
