//! Letters that are asked for, whatever fails.

use holdfast_metadata::notification::LetterCount;

use super::*;

#[test]
fn letters_arrive_when_they_are_asked_for_whatever_fails() {
    for seed in 1..=30 {
        println!("seed {seed}");
        simulated(async {
            let world = World::new(seed, FAIR);
            let keys = ["poison-400", "poison-500", "poison-400b", "k1"];
            for _ in 0..world.between(1, 30) {
                world.put_letter(keys[world.between(0, 3) as usize]);
            }
            for _ in 0..world.between(3, 15) {
                for _ in 0..world.between(0, 10) {
                    world.write(["k1", "k2"][world.between(0, 1) as usize]);
                }
                world.ask([0, 10, 50][world.between(0, 2) as usize]);
                if world.chance(20) {
                    world.discard_one();
                }
                let weather = Weather {
                    refused: [0, 0, 20, 100][world.between(0, 3) as usize],
                    lost: [0, 10, 40][world.between(0, 2) as usize],
                    slow_ms: [1, 50, 2000][world.between(0, 2) as usize],
                    metadata: [0, 0, 20][world.between(0, 2) as usize],
                    cured: world.chance(40),
                };
                world.lock().weather = weather;
                let polls = world.between(1, 400);
                let life = Duration::from_millis(world.between(1, 20_000));
                live(&world, polls, life).await;
            }
            world.lock().weather = Weather {
                cured: true,
                ..FAIR
            };
            world.ask(100);
            until_no_letter_is_asked_for(&world).await;
            assert_eq!(world.lock().letter_count(), LetterCount::default());
            until_all_is_done(&world, Duration::from_secs(3600)).await;
        });
    }
}

async fn until_no_letter_is_asked_for(world: &Arc<World>) {
    let deadline = Instant::now() + Duration::from_secs(2 * 3600);
    let process = tokio::spawn(delivery(world).run());
    while world.lock().letter_count().asked > 0 {
        assert!(Instant::now() < deadline, "{:?}", world.lock().letters);
        assert!(!process.is_finished(), "it died");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    process.abort();
}

#[test]
fn a_letter_that_is_refused_again_is_put_aside_again_and_holds_up_nobody() {
    for (poison, most) in [("poison-400", 60), ("poison-500", 2 * 3600)] {
        simulated(async {
            let world = World::new(7, FAIR);
            for _ in 0..3 {
                world.put_letter(poison);
            }
            world.put_letter("k1");
            world.ask(100);
            let process = tokio::spawn(delivery(&world).run());
            tokio::time::sleep(Duration::from_secs(60)).await;
            assert!(
                world.lock().letters.iter().all(|one| one.key != b"k1"),
                "{poison}: others go"
            );
            for _ in 0..100 {
                world.put("k2");
            }
            tokio::time::sleep(Duration::from_secs(300)).await;
            let owed = world.owed();
            assert!(owed.is_empty(), "{poison}: events go too: {owed:?}");
            // One after the other: each of them is of one key.
            tokio::time::sleep(Duration::from_secs(3 * most)).await;
            let count = world.lock().letter_count();
            assert_eq!((count.all, count.asked), (3, 0), "{poison}");
            process.abort();
        });
    }
}

#[test]
fn a_target_that_is_down_is_sent_its_letters_when_it_is_back() {
    simulated(async {
        let world = World::new(7, DOWN);
        for number in 0..20 {
            world.put_letter(&format!("k{number}"));
        }
        world.ask(100);
        live(&world, u64::MAX, Duration::from_secs(1800)).await;
        let count = world.lock().letter_count();
        assert_eq!(
            (count.all, count.asked),
            (20, 20),
            "it was asked, and waits"
        );
        world.lock().weather = FAIR;
        until_no_letter_is_asked_for(&world).await;
        assert_eq!(world.lock().letter_count(), LetterCount::default());
        assert!(world.owed().is_empty());
    });
}
