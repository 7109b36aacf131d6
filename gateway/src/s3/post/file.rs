//! A form's file as the body of a write: verified like any other, padded to a length that is known
//! before it ends.

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::try_unfold;

use super::malformed;
use super::policy::SizeRange;
use super::reader::FormReader;
use crate::s3::body::BodyHasher;
use crate::s3::error::S3Error;
use crate::s3::op::{BodyClaims, DigestSlot, ObjectBody};
use crate::s3::sigv4::PayloadMode;

/// The bytes of one piece of padding.
static ZEROS: [u8; 4096] = [0; 4096];

/// The file's bytes. Nothing of it is good before its stream has ended without an `Err`: the last
/// piece is held back until the form's end, its claims and its length have been checked.
///
/// # Errors
/// `MalformedPOSTRequest` for a body that is too short for a file and an end.
pub fn file_body(
    reader: FormReader,
    claims: BodyClaims,
    size: Option<SizeRange>,
) -> Result<ObjectBody, S3Error> {
    let len = reader.file_len_at_most().ok_or_else(malformed)?;
    let digests = DigestSlot::new();
    let file = File {
        reader,
        hasher: Some(BodyHasher::new(claims, PayloadMode::Unsigned)),
        held: None,
        taken: 0,
        len,
        padding: 0,
        size,
        slot: digests.clone(),
    };
    let stream = try_unfold(file, |mut file| async move {
        Ok(file.next().await?.map(|piece| (piece, file)))
    });
    Ok(ObjectBody {
        len,
        stream: stream.boxed(),
        digests,
    })
}

struct File {
    reader: FormReader,
    /// `None` once the end has been verified.
    hasher: Option<BodyHasher>,
    held: Option<Bytes>,
    taken: u64,
    len: u64,
    padding: u64,
    size: Option<SizeRange>,
    slot: DigestSlot,
}

impl File {
    async fn next(&mut self) -> Result<Option<Bytes>, S3Error> {
        while let Some(hasher) = &mut self.hasher {
            let Some(piece) = self.reader.file_piece().await? else {
                self.finish()?;
                break;
            };
            hasher.update(&piece);
            self.taken += piece.len() as u64;
            if let Some(size) = self.size.filter(|size| self.taken > size.max) {
                return Err(size.too_large());
            }
            if let Some(ready) = self.held.replace(piece) {
                return Ok(Some(ready));
            }
        }
        if let Some(last) = self.held.take() {
            return Ok(Some(last));
        }
        let zeros = self.padding.min(ZEROS.len() as u64);
        self.padding -= zeros;
        Ok((zeros > 0).then(|| Bytes::from_static(&ZEROS[..zeros as usize])))
    }

    fn finish(&mut self) -> Result<(), S3Error> {
        if let Some(size) = self.size.filter(|size| self.taken < size.min) {
            return Err(size.too_small(self.taken));
        }
        self.padding = self.len.checked_sub(self.taken).ok_or_else(malformed)?;
        if let Some(hasher) = self.hasher.take() {
            self.slot.fill(hasher.finish(None)?);
        }
        Ok(())
    }
}
