//! Stands between the metadata's statements: holds one until the story has gone on, counts rows,
//! loses the reply of a COMMIT.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use holdfast_metadata::StatementHook;
use tokio::sync::Notify;

/// What is to happen with statements. Clones are the same script.
#[derive(Clone, Default)]
pub(crate) struct Script(Arc<Inner>);

#[derive(Default)]
struct Inner {
    held: Mutex<Option<Hold>>,
    commit: Mutex<Option<Loss>>,
    rows: AtomicU64,
}

/// What is lost of the next COMMIT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// It never arrives.
    Request,
    /// It happens, and its reply is lost.
    Reply,
}

#[derive(Clone)]
struct Hold {
    text: &'static str,
    reached: Arc<Notify>,
    go: Arc<Notify>,
}

/// A statement that is held.
pub(crate) struct Held(Hold);

impl Held {
    /// Waits until it has been sent and answered, and its answer is held.
    pub(crate) async fn reached(&self) {
        self.0.reached.notified().await;
    }

    /// Lets its answer through.
    pub(crate) fn let_go(&self) {
        self.0.go.notify_one();
    }
}

impl Script {
    /// Holds the answer of the next statement that has this in it.
    pub(crate) fn hold(&self, text: &'static str) -> Held {
        let (reached, go) = (Arc::default(), Arc::default());
        let hold = Hold { text, reached, go };
        *self.0.held.lock().unwrap() = Some(hold.clone());
        Held(hold)
    }

    /// Loses the next COMMIT.
    pub(crate) fn lose_commit(&self, loss: Loss) {
        *self.0.commit.lock().unwrap() = Some(loss);
    }

    /// The rows that were read or changed since the last time.
    pub(crate) fn take_rows(&self) -> u64 {
        self.0.rows.swap(0, Ordering::SeqCst)
    }

    fn lose(&self, sql: &str, loss: Loss) -> Result<(), sqlx::Error> {
        let mut commit = self.0.commit.lock().unwrap();
        if sql == "COMMIT" && *commit == Some(loss) {
            *commit = None;
            return Err(sqlx::Error::Io(std::io::Error::other("lost on the way")));
        }
        Ok(())
    }

    fn is_held(&self, sql: &str) -> Option<Hold> {
        let mut held = self.0.held.lock().unwrap();
        held.take_if(|hold| sql.contains(hold.text))
    }
}

#[async_trait]
impl StatementHook for Script {
    async fn before(&self, sql: &str) -> Result<(), sqlx::Error> {
        self.lose(sql, Loss::Request)
    }

    async fn after(&self, sql: &str, rows: u64) -> Result<(), sqlx::Error> {
        self.0.rows.fetch_add(rows, Ordering::SeqCst);
        self.lose(sql, Loss::Reply)?;
        if let Some(hold) = self.is_held(sql) {
            hold.reached.notify_one();
            hold.go.notified().await;
        }
        Ok(())
    }
}
