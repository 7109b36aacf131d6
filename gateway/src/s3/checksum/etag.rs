//! The ETag of an object that was uploaded in parts.

use md5::{Digest, Md5};

/// The MD5 of the parts' MD5s, in order, and the number of parts: `HEX-N`, without quotes.
#[must_use]
pub fn multipart_etag<'a>(part_md5s: impl IntoIterator<Item = &'a [u8; 16]>) -> String {
    let mut digest = Md5::new();
    let mut parts = 0_usize;
    for md5 in part_md5s {
        digest.update(md5);
        parts += 1;
    }
    format!("{}-{parts}", hex::encode(digest.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_md5_of_md5s() {
        let parts: [[u8; 16]; 2] = [Md5::digest(b"a").into(), Md5::digest(b"b").into()];
        let joined = Md5::digest(parts.concat());
        assert_eq!(multipart_etag(&parts), format!("{}-2", hex::encode(joined)));
        // printf '' | md5sum | xxd -r -p | md5sum
        assert_eq!(
            multipart_etag(&[Md5::digest(b"").into()]),
            "59adb24ef3cdbe0297f05b395827453f-1"
        );
    }
}
