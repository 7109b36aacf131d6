//! A page of a listing: an index range scan that jumps over common prefixes.
//!
//! The scan asks for rows from a position on, as many as can still be needed. Where a row's key
//! rolls up into a common prefix, the scan goes on at the first key after all that begin with it,
//! so a prefix costs one row, however many keys are below it. With a delimiter it asks for one row
//! first and doubles while rows are of use, so that the rows it reads in vain are never more than a
//! small multiple of the page.

use std::future::Future;

use crate::error::MetadataError;
use crate::sql::Tx;

/// Entries on a page at most, as in S3.
pub(crate) const MAX_PAGE: usize = 1000;

/// Rows asked for where the next keys may roll up.
const FIRST_BATCH: usize = 1;

/// Where a scan goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Position<T> {
    /// At this key.
    From(Vec<u8>),
    /// Within this key, behind the row with this mark.
    Within(Vec<u8>, T),
}

impl<T> Position<T> {
    /// At the first key after `key`.
    pub(crate) fn after_key(mut key: Vec<u8>) -> Self {
        key.push(0);
        Self::From(key)
    }

    fn key(&self) -> &[u8] {
        match self {
            Self::From(key) | Self::Within(key, _) => key,
        }
    }
}

/// Rows in the order of their keys.
pub(crate) trait Source {
    /// What a row becomes.
    type Item: Send;
    /// What tells the rows of one key apart, and orders them.
    type Mark: Clone + Send + Sync;

    /// Up to `limit` rows from `from` on, with keys below `end`. Fewer means that there are no more.
    fn fetch(
        &self,
        tx: &mut Tx<'_>,
        from: &Position<Self::Mark>,
        end: Option<&[u8]>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Self::Item>, MetadataError>> + Send;

    /// A row's key.
    fn key(item: &Self::Item) -> &[u8];

    /// The position behind a row.
    fn behind(item: &Self::Item) -> Position<Self::Mark>;
}

/// What is scanned.
pub(crate) struct Scan<'q> {
    pub(crate) prefix: &'q [u8],
    pub(crate) delimiter: Option<&'q [u8]>,
    pub(crate) limit: usize,
}

/// An entry of a page.
pub(crate) enum Entry<I> {
    Item(I),
    CommonPrefix(Vec<u8>),
}

/// A page.
pub(crate) struct Page<I> {
    pub(crate) entries: Vec<Entry<I>>,
    pub(crate) truncated: bool,
    pub(crate) rows_visited: u64,
}

impl<'q> Scan<'q> {
    /// A scan of at most [`MAX_PAGE`] entries. An empty delimiter is none.
    pub(crate) fn new(prefix: &'q [u8], delimiter: Option<&'q [u8]>, limit: usize) -> Self {
        Self {
            prefix,
            delimiter: delimiter.filter(|delimiter| !delimiter.is_empty()),
            limit: limit.min(MAX_PAGE),
        }
    }

    /// Where the page after the entry `after` begins; `None` if nothing can come after it.
    pub(crate) fn start<T>(&self, after: Option<&[u8]>) -> Option<Position<T>> {
        let Some(after) = after else {
            return Some(Position::From(self.prefix.to_vec()));
        };
        let position = match self.common_prefix(after) {
            Some(common) if common == after => Position::From(successor(after)?),
            _ => Position::after_key(after.to_vec()),
        };
        Some(self.not_before_prefix(position))
    }

    /// `position`, or the beginning of the prefix if that is later.
    pub(crate) fn not_before_prefix<T>(&self, position: Position<T>) -> Position<T> {
        if position.key() < self.prefix {
            Position::From(self.prefix.to_vec())
        } else {
            position
        }
    }

    /// The common prefix that `key` rolls up into, if any.
    fn common_prefix<'k>(&self, key: &'k [u8]) -> Option<&'k [u8]> {
        let delimiter = self.delimiter?;
        let rest = key.strip_prefix(self.prefix)?;
        let at = rest
            .windows(delimiter.len())
            .position(|window| window == delimiter)?;
        Some(&key[..self.prefix.len() + at + delimiter.len()])
    }

    /// Reads the page that begins at `from`.
    pub(crate) async fn page<S: Source + Sync>(
        &self,
        tx: &mut Tx<'_>,
        source: &S,
        from: Option<Position<S::Mark>>,
    ) -> Result<Page<S::Item>, MetadataError> {
        let mut entries = Vec::new();
        let truncated = match from {
            Some(from) if self.limit > 0 => self.fill(tx, source, from, &mut entries).await?,
            _ => false,
        };
        Ok(Page {
            entries,
            truncated,
            rows_visited: tx.rows_visited(),
        })
    }

    /// Fills the page; whether there is more.
    async fn fill<S: Source + Sync>(
        &self,
        tx: &mut Tx<'_>,
        source: &S,
        mut from: Position<S::Mark>,
        entries: &mut Vec<Entry<S::Item>>,
    ) -> Result<bool, MetadataError> {
        let end = successor(self.prefix);
        let mut batch = match self.delimiter {
            Some(_) => FIRST_BATCH,
            None => self.limit + 1,
        };
        loop {
            if end.as_ref().is_some_and(|end| from.key() >= end.as_slice()) {
                return Ok(false);
            }
            let items = source.fetch(tx, &from, end.as_deref(), batch).await?;
            let is_last = items.len() < batch;
            let mut useful = 0;
            for item in items {
                if S::key(&item) < from.key() {
                    continue;
                }
                if entries.len() == self.limit {
                    return Ok(true);
                }
                match self.common_prefix(S::key(&item)).map(<[u8]>::to_vec) {
                    Some(common) => {
                        let next = successor(&common);
                        entries.push(Entry::CommonPrefix(common));
                        match next {
                            Some(next) => from = Position::From(next),
                            None => return Ok(false),
                        }
                    }
                    None => {
                        useful += 1;
                        from = S::behind(&item);
                        entries.push(Entry::Item(item));
                    }
                }
            }
            if is_last {
                return Ok(false);
            }
            let room = self.limit + 1 - entries.len();
            batch = (useful * 2).clamp(FIRST_BATCH.min(room), room);
        }
    }
}

/// The first string of bytes after all that begin with `prefix`; `None` if there is none, which is
/// so for an empty prefix and for one of 0xFF only.
pub(crate) fn successor(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|&byte| byte != 0xFF)?;
    let mut next = prefix[..=last].to_vec();
    next[last] += 1;
    Some(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_successor_is_behind_all_with_the_prefix_and_nothing_else() {
        assert_eq!(successor(b""), None);
        assert_eq!(successor(b"\xff\xff"), None);
        assert_eq!(successor(b"a"), Some(b"b".to_vec()));
        assert_eq!(successor(b"a/\xff"), Some(b"a0".to_vec()));
        assert_eq!(successor(b"\xfe\xff\xff"), Some(b"\xff".to_vec()));
        assert_eq!(successor(b"\0"), Some(b"\x01".to_vec()));
    }

    #[test]
    fn a_page_begins_behind_what_was_listed() {
        let scan = Scan::new(b"p/", Some(b"/"), 10);
        let start = |after: Option<&[u8]>| scan.start::<()>(after);
        let from = |key: &[u8]| Some(Position::From(key.to_vec()));
        assert_eq!(start(None), from(b"p/"));
        assert_eq!(start(Some(b"a")), from(b"p/"));
        assert_eq!(start(Some(b"p/")), from(b"p/\0"));
        assert_eq!(start(Some(b"p/a")), from(b"p/a\0"));
        assert_eq!(start(Some(b"p/a/")), from(b"p/a0"));
        assert_eq!(start(Some(b"p/a/b")), from(b"p/a/b\0"));
        assert_eq!(start(Some(b"q")), from(b"q\0"));
    }
}
