//! Reads `multipart/form-data` as it arrives: fields whole and bounded, the file as a stream.

use std::pin::Pin;

use bytes::{Buf, Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::request::Parts;
use http_body::Body;
use http_body_util::BodyExt;

use super::malformed;
use crate::s3::error::{ErrorCode, S3Error};
use crate::server::BodyError;

/// The most bytes of a form before its file: AWS's 20 KiB of fields, and what frames them.
pub(super) const MAX_BEFORE_FILE: usize = 64 << 10;
/// The most bytes of all fields' names and values: AWS's.
pub(super) const MAX_FIELDS_LEN: usize = 20 << 10;
/// The most fields.
pub(super) const MAX_FIELDS: usize = 100;
/// The most bytes behind the file: a submit button, not another upload.
pub(super) const MAX_BEHIND_FILE: u64 = 64 << 10;
/// The longest boundary: RFC 2046's.
const MAX_BOUNDARY: usize = 70;

/// A form's body, as far as it has been read.
pub struct FormReader {
    raw: Pin<Box<dyn Body<Data = Bytes, Error = BodyError> + Send>>,
    buffer: BytesMut,
    /// Bytes of the body that are not in the buffer yet.
    to_come: u64,
    /// `\r\n--BOUNDARY`.
    delimiter: Vec<u8>,
}

impl std::fmt::Debug for FormReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FormReader")
            .field("to_come", &self.to_come)
            .finish_non_exhaustive()
    }
}

/// What a form says of its file before it sends it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FilePart {
    /// Its name on the client, without its folders.
    pub filename: String,
}

/// A part's head.
#[derive(Debug, PartialEq, Eq)]
struct PartHead {
    name: String,
    filename: Option<String>,
}

impl FormReader {
    /// Begins to read.
    ///
    /// # Errors
    /// `PreconditionFailed` for what is no form; `MissingContentLength`.
    pub fn new<B>(head: &Parts, raw: B) -> Result<Self, S3Error>
    where
        B: Body<Data = Bytes, Error = BodyError> + Send + 'static,
    {
        let boundary = boundary(head).ok_or_else(Self::no_form)?;
        let to_come = content_length(head)
            .ok_or_else(|| S3Error::new(ErrorCode::MissingContentLength).closing())?;
        Ok(Self {
            raw: Box::pin(raw),
            // The first delimiter has no line before it whose end could belong to it.
            buffer: BytesMut::from(&b"\r\n"[..]),
            to_come,
            delimiter: [b"\r\n--", boundary.as_bytes()].concat(),
        })
    }

    /// What is said of a POST to a bucket that is no form.
    #[must_use]
    pub fn no_form() -> S3Error {
        S3Error::new(ErrorCode::PreconditionFailed)
            .with(
                "Condition",
                "Bucket POST must be of the enclosure-type multipart/form-data",
            )
            .closing()
    }

    /// Whether a request's head says that its body is a form.
    #[must_use]
    pub fn is_form(head: &Parts) -> bool {
        boundary(head).is_some()
    }

    /// The fields before the file, in order, and what is said of the file.
    ///
    /// # Errors
    /// `MalformedPOSTRequest`; `MaxPostPreDataLengthExceeded`; `InvalidArgument` without a file.
    pub async fn fields(&mut self) -> Result<(Vec<(String, String)>, FilePart), S3Error> {
        let mut read = 0;
        let mut fields = Vec::new();
        let mut fields_len = 0;
        // Nothing stands before the first delimiter.
        if !self.until_delimiter(&mut read).await?.is_empty() {
            return Err(malformed());
        }
        while self.another_part(&mut read).await? {
            let head = self.part_head(&mut read).await?;
            if head.name.eq_ignore_ascii_case("file") {
                let filename = head.filename.unwrap_or_default();
                let from = filename.rfind(['/', '\\']).map_or(0, |at| at + 1);
                let filename = filename[from..].to_owned();
                return Ok((fields, FilePart { filename }));
            }
            let value = self.until_delimiter(&mut read).await?;
            let value = String::from_utf8(value.to_vec()).map_err(|_| malformed())?;
            fields_len += head.name.len() + value.len();
            if fields_len > MAX_FIELDS_LEN || fields.len() >= MAX_FIELDS {
                return Err(too_long());
            }
            fields.push((head.name, value));
        }
        Err(S3Error::invalid_argument(
            "POST requires exactly one file upload per request.",
            "file",
            "0",
        )
        .closing())
    }

    /// The most bytes that the file can have: all that is to come but the shortest end.
    #[must_use]
    pub fn file_len_at_most(&self) -> Option<u64> {
        let left = self.buffer.len() as u64 + self.to_come;
        left.checked_sub(self.delimiter.len() as u64 + 2)
    }

    /// The next bytes of the file; `None` at its end, once all behind it has been read too.
    ///
    /// # Errors
    /// `MalformedPOSTRequest` for an end that is none; `IncompleteBody`, `RequestTimeout`.
    pub async fn file_piece(&mut self) -> Result<Option<Bytes>, S3Error> {
        loop {
            match find(&self.buffer, &self.delimiter) {
                Found::At(0) => {
                    self.buffer.advance(self.delimiter.len());
                    self.end().await?;
                    return Ok(None);
                }
                Found::At(at) | Found::MayBeginAt(at) if at > 0 => {
                    return Ok(Some(self.buffer.split_to(at).freeze()));
                }
                Found::Nowhere if !self.buffer.is_empty() => {
                    return Ok(Some(self.buffer.split().freeze()));
                }
                _ => self.more().await?,
            }
        }
    }

    /// What stands behind the file: the form's end, and before it fields that do not count.
    async fn end(&mut self) -> Result<(), S3Error> {
        if self.buffer.len() as u64 + self.to_come > MAX_BEHIND_FILE {
            return Err(malformed());
        }
        while self.to_come > 0 {
            self.more().await?;
        }
        if let Some(frame) = self.raw.frame().await
            && frame
                .map_err(broken)?
                .into_data()
                .is_ok_and(|data| !data.is_empty())
        {
            return Err(malformed());
        }
        // The last delimiter is followed by two dashes. Without one the form was cut.
        let mut closing = self.delimiter.clone();
        closing.extend_from_slice(b"--");
        let closes_at_once = self.buffer.starts_with(b"--");
        if closes_at_once || matches!(find(&self.buffer, &closing), Found::At(_)) {
            self.buffer.clear();
            return Ok(());
        }
        Err(malformed())
    }

    /// The bytes before the next delimiter, which is taken too.
    async fn until_delimiter(&mut self, read: &mut usize) -> Result<Bytes, S3Error> {
        loop {
            if let Found::At(at) = find(&self.buffer, &self.delimiter) {
                let value = self.buffer.split_to(at).freeze();
                self.buffer.advance(self.delimiter.len());
                self.count(read, at + self.delimiter.len())?;
                return Ok(value);
            }
            self.more_fields(*read).await?;
        }
    }

    /// Whether a delimiter is followed by a part, or by the form's end.
    async fn another_part(&mut self, read: &mut usize) -> Result<bool, S3Error> {
        while self.buffer.len() < 2 {
            self.more_fields(*read).await?;
        }
        let next = self.buffer.split_to(2);
        self.count(read, 2)?;
        match &*next {
            b"\r\n" => Ok(true),
            b"--" => Ok(false),
            _ => Err(malformed()),
        }
    }

    async fn part_head(&mut self, read: &mut usize) -> Result<PartHead, S3Error> {
        loop {
            if let Found::At(at) = find(&self.buffer, b"\r\n\r\n") {
                let head = self.buffer.split_to(at);
                self.buffer.advance(4);
                self.count(read, at + 4)?;
                return part_head(&head).ok_or_else(malformed);
            }
            self.more_fields(*read).await?;
        }
    }

    fn count(&self, read: &mut usize, len: usize) -> Result<(), S3Error> {
        *read += len;
        if *read > MAX_BEFORE_FILE {
            return Err(too_long());
        }
        Ok(())
    }

    /// More of what stands before the file.
    async fn more_fields(&mut self, read: usize) -> Result<(), S3Error> {
        if read + self.buffer.len() > MAX_BEFORE_FILE {
            return Err(too_long());
        }
        self.more().await
    }

    async fn more(&mut self) -> Result<(), S3Error> {
        let Some(frame) = self.raw.frame().await else {
            return Err(match self.to_come {
                0 => malformed(),
                _ => S3Error::new(ErrorCode::IncompleteBody).closing(),
            });
        };
        let data = frame.map_err(broken)?.into_data().unwrap_or_default();
        self.to_come = self
            .to_come
            .checked_sub(data.len() as u64)
            .ok_or_else(malformed)?;
        self.buffer.extend_from_slice(&data);
        Ok(())
    }
}

fn broken(error: BodyError) -> S3Error {
    let code = match &error {
        BodyError::TooSlow { .. } => ErrorCode::RequestTimeout,
        BodyError::Broken(_) => ErrorCode::IncompleteBody,
    };
    S3Error::new(code).because(error).closing()
}

fn too_long() -> S3Error {
    S3Error::new(ErrorCode::MaxPostPreDataLengthExceeded).closing()
}

fn content_length(head: &Parts) -> Option<u64> {
    let text = head.headers.get(CONTENT_LENGTH)?.to_str().ok()?;
    text.parse().ok()
}

/// The boundary of a form's Content-Type.
fn boundary(head: &Parts) -> Option<String> {
    let text = head.headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let (kind, parameters) = text.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    parameters
        .split(';')
        .filter_map(|parameter| parameter.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("boundary"))
        .map(|(_, value)| value.trim().trim_matches('"').to_owned())
        .filter(|value| !value.is_empty() && value.len() <= MAX_BOUNDARY)
}

/// The name, and the file's name, of a part.
fn part_head(head: &[u8]) -> Option<PartHead> {
    let head = std::str::from_utf8(head).ok()?;
    let disposition = head.split("\r\n").find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim()
            .eq_ignore_ascii_case("content-disposition")
            .then_some(value)
    })?;
    let (kind, mut rest) = disposition.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("form-data") {
        return None;
    }
    let (mut name, mut filename) = (None, None);
    loop {
        let (parameter, value) = rest.split_once('=')?;
        let (value, behind) = parameter_value(value)?;
        match parameter.trim().to_ascii_lowercase().as_str() {
            "name" if name.is_none() => name = Some(value),
            "filename" if filename.is_none() => filename = Some(value),
            "name" | "filename" => return None,
            _ => {}
        }
        match behind.trim_start().strip_prefix(';') {
            Some(next) => rest = next,
            None if behind.trim().is_empty() => break,
            None => return None,
        }
    }
    Some(PartHead {
        name: name?,
        filename,
    })
}

/// A parameter's value, in quotes or not, and what stands behind it.
fn parameter_value(text: &str) -> Option<(String, &str)> {
    let text = text.trim_start();
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(';').unwrap_or(text.len());
        return Some((text[..end].trim().to_owned(), &text[end..]));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &quoted[at + 1..])),
            // Only these two are escaped: elsewhere it is a folder's mark.
            '\\' => match characters.next_if(|(_, next)| matches!(next, '"' | '\\')) {
                Some((_, escaped)) => value.push(escaped),
                None => value.push('\\'),
            },
            plain => value.push(plain),
        }
    }
    None
}

/// Where a pattern is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    /// Whole.
    At(usize),
    /// Its beginning stands at the end of what there is.
    MayBeginAt(usize),
    Nowhere,
}

/// Patterns begin with a carriage return, which is rare in what is searched.
fn find(text: &[u8], pattern: &[u8]) -> Found {
    let mut from = 0;
    while let Some(at) = text[from..].iter().position(|byte| *byte == b'\r') {
        let at = from + at;
        let rest = &text[at..];
        if rest.starts_with(pattern) {
            return Found::At(at);
        }
        if rest.len() < pattern.len() && pattern.starts_with(rest) {
            return Found::MayBeginAt(at);
        }
        from = at + 1;
    }
    Found::Nowhere
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_found_whole_or_in_part() {
        for (text, expected) in [
            ("abc", Found::Nowhere),
            ("", Found::Nowhere),
            ("ab\r\n--Xcd", Found::At(2)),
            ("\r\n--X", Found::At(0)),
            ("ab\r", Found::MayBeginAt(2)),
            ("ab\r\n-", Found::MayBeginAt(2)),
            ("ab\r\r\n--X", Found::At(3)),
            ("ab\r\n-\r\n--Y\r", Found::MayBeginAt(10)),
        ] {
            assert_eq!(find(text.as_bytes(), b"\r\n--X"), expected, "{text:?}");
        }
    }

    #[test]
    fn a_part_says_its_name() {
        let of = |head: &str| {
            part_head(head.as_bytes()).map(|head| (head.name, head.filename.unwrap_or_default()))
        };
        let pair = |name: &str, filename: &str| Some((name.to_owned(), filename.to_owned()));
        for (head, expected) in [
            ("Content-Disposition: form-data; name=\"a\"", pair("a", "")),
            ("content-disposition:form-data;name=a", pair("a", "")),
            (
                "Content-Type: text/plain\r\nContent-Disposition: form-data; name=\"file\"; \
                 filename=\"a;b\\\"c\\d.txt\"",
                pair("file", "a;b\"c\\d.txt"),
            ),
            ("Content-Disposition: form-data; filename=\"x\"", None),
            (
                "Content-Disposition: form-data; name=\"a\"; name=\"b\"",
                None,
            ),
            ("Content-Disposition: form-data; name=\"a", None),
            ("Content-Disposition: form-data; name=\"a\" x", None),
            ("Content-Disposition: attachment; name=\"a\"", None),
            ("Content-Type: text/plain", None),
            ("", None),
        ] {
            assert_eq!(of(head), expected, "{head}");
        }
    }
}
