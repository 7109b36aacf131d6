//! A request's query: names and values, decoded as the signature's check decodes them.

use super::error::{ErrorCode, S3Error};
use super::sigv4::decode_query;

/// Names and values in the order in which they came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads the part of the URI after `?`.
    ///
    /// # Errors
    /// `InvalidURI` if a name or a value is not UTF-8.
    pub fn parse(raw: &str) -> Result<Self, S3Error> {
        let text = |bytes: Vec<u8>| {
            String::from_utf8(bytes).map_err(|_| S3Error::new(ErrorCode::InvalidURI))
        };
        decode_query(raw)
            .into_iter()
            .map(|(name, value)| Ok((text(name)?, text(value)?)))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Whether a parameter of this name is there.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.iter().any(|(known, _)| known == name)
    }

    /// The one value of a parameter.
    ///
    /// # Errors
    /// `InvalidArgument` if there are several: they could be read two ways.
    pub fn get(&self, name: &str) -> Result<Option<&str>, S3Error> {
        let mut values = self
            .iter()
            .filter(|(known, _)| *known == name)
            .map(|(_, value)| value);
        let first = values.next();
        if let Some(second) = values.next() {
            return Err(S3Error::invalid_argument(
                "Parameter given twice",
                name,
                second,
            ));
        }
        Ok(first)
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded_and_single() {
        let query = Query::parse("acl&prefix=a%2Fb+c&x=1&x=2&empty=").unwrap();
        assert!(query.has("acl"));
        assert_eq!(query.get("acl").unwrap(), Some(""));
        assert_eq!(query.get("prefix").unwrap(), Some("a/b c"));
        assert_eq!(query.get("none").unwrap(), None);
        assert_eq!(
            query.get("x").unwrap_err().code(),
            ErrorCode::InvalidArgument
        );
        assert_eq!(
            Query::parse("p=%FF").unwrap_err().code(),
            ErrorCode::InvalidURI
        );
    }
}
