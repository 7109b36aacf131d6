//! Whether requests wait for memory that others hold: then those that are slow give way.

use std::fmt;
use std::sync::Arc;

/// Asks whether there is pressure. By default there never is.
#[derive(Clone)]
pub struct Pressure(Arc<dyn Fn() -> bool + Send + Sync>);

impl Pressure {
    /// `is_there` must be cheap: it is asked for each wait for a client.
    #[must_use]
    pub fn new(is_there: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(is_there))
    }

    pub(super) fn is_there(&self) -> bool {
        (self.0)()
    }
}

impl Default for Pressure {
    fn default() -> Self {
        Self::new(|| false)
    }
}

impl fmt::Debug for Pressure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pressure").field(&self.is_there()).finish()
    }
}
