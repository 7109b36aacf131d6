//! One suite of stories for both databases: each is told over SQLite and over PostgreSQL.
#![allow(clippy::unwrap_used)]

#[path = "conformance/postgres_server.rs"]
mod postgres_server;
#[path = "conformance/world.rs"]
mod world;

/// Makes a test of each story for each database.
macro_rules! on_both {
    ($($story:ident),* $(,)?) => {
        mod sqlite {
            $(#[test]
            fn $story() {
                crate::world::on_sqlite(super::$story);
            })*
        }
        mod postgres {
            $(#[test]
            fn $story() {
                crate::world::on_postgres(super::$story);
            })*
        }
    };
}
use on_both;

#[path = "conformance/audit.rs"]
mod audit;
#[path = "conformance/backups.rs"]
mod backups;
#[path = "conformance/buckets.rs"]
mod buckets;
#[path = "conformance/changes.rs"]
mod changes;
#[path = "conformance/copied_parts.rs"]
mod copied_parts;
#[path = "conformance/drive_duty.rs"]
mod drive_duty;
#[path = "conformance/drive_races.rs"]
mod drive_races;
#[path = "conformance/faults.rs"]
mod faults;
#[path = "conformance/forbidden.rs"]
mod forbidden;
#[path = "conformance/hooks.rs"]
mod hooks;
#[path = "conformance/interleaving.rs"]
mod interleaving;
#[path = "conformance/invariants.rs"]
mod invariants;
#[path = "conformance/journal.rs"]
mod journal;
#[path = "conformance/journal_holders.rs"]
mod journal_holders;
#[path = "conformance/kill.rs"]
mod kill;
#[path = "conformance/leases.rs"]
mod leases;
#[path = "conformance/lifecycle.rs"]
mod lifecycle;
#[path = "conformance/lifecycle_interleaving.rs"]
mod lifecycle_interleaving;
#[path = "conformance/lifecycle_model.rs"]
mod lifecycle_model;
#[path = "conformance/listing.rs"]
mod listing;
#[path = "conformance/model.rs"]
mod model;
#[path = "conformance/multipart.rs"]
mod multipart;
#[path = "conformance/notifications.rs"]
mod notifications;
#[path = "conformance/object_lock.rs"]
mod object_lock;
#[path = "conformance/object_lock_model.rs"]
mod object_lock_model;
#[path = "conformance/objects.rs"]
mod objects;
#[path = "conformance/policies.rs"]
mod policies;
#[path = "conformance/quotas.rs"]
mod quotas;
#[path = "conformance/races.rs"]
mod races;
#[path = "conformance/rate_limits.rs"]
mod rate_limits;
#[path = "conformance/reencode.rs"]
mod reencode;
#[path = "conformance/reencode_races.rs"]
mod reencode_races;
#[path = "conformance/repair.rs"]
mod repair;
#[path = "conformance/seals.rs"]
mod seals;
#[path = "conformance/stage.rs"]
mod stage;
#[path = "conformance/sweep.rs"]
mod sweep;
#[path = "conformance/versions.rs"]
mod versions;
