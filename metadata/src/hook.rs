//! A place to stand between two statements.
//!
//! Tests use it to schedule concurrent transactions statement by statement, to count what a query
//! costs, and to lose the reply of a COMMIT. Without a hook nothing is called.

use async_trait::async_trait;

/// Sees every statement that a handle sends, `BEGIN` and `COMMIT` included.
#[async_trait]
pub trait StatementHook: Send + Sync + 'static {
    /// Called before `sql` is sent. An error is taken as the statement's, which is then not sent.
    ///
    /// # Errors
    /// What the statement shall fail with.
    async fn before(&self, sql: &str) -> Result<(), sqlx::Error> {
        let _ = sql;
        Ok(())
    }

    /// Called when `sql` has succeeded and given `rows` rows, or changed them. An error replaces
    /// the reply: this is how a COMMIT's reply gets lost.
    ///
    /// # Errors
    /// What the statement shall fail with, though it has succeeded.
    async fn after(&self, sql: &str, rows: u64) -> Result<(), sqlx::Error> {
        let _ = (sql, rows);
        Ok(())
    }
}
