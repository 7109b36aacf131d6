//! What must hold in the database whenever no transaction is under way.

use sqlx::Connection as _;

use super::forbidden::FORBIDDEN;
use super::postgres_server;
use super::world::{Place, World};

/// Fails with the name of what does not hold.
pub(crate) async fn check(world: &World) {
    match &world.place {
        Place::Sqlite(folder) => {
            let path = folder.path().join("metadata.db");
            let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
            let mut connection = sqlx::SqliteConnection::connect_with(&options)
                .await
                .unwrap();
            for (name, sql) in FORBIDDEN {
                let count = sqlx::query_scalar::<_, i64>(*sql);
                let found = count.fetch_one(&mut connection).await.unwrap();
                assert_eq!(found, 0, "{name}");
            }
        }
        Place::Postgres(database) => {
            let url = postgres_server::server()
                .unwrap()
                .url(database, "invariants");
            let mut connection = sqlx::PgConnection::connect(&url).await.unwrap();
            for (name, sql) in FORBIDDEN {
                let count = sqlx::query_scalar::<_, i64>(*sql);
                let found = count.fetch_one(&mut connection).await.unwrap();
                assert_eq!(found, 0, "{name}");
            }
        }
    }
}
