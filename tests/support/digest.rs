//! Digests and checksums as S3 writes them.

use std::time::{Duration, SystemTime};

use aws_sigv4::sign::v4::{calculate_signature, generate_signing_key};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crc_fast::CrcAlgorithm;
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

use super::client::Signer;

/// The checksums that S3 knows, as in `x-amz-checksum-...`.
pub(crate) const ALGORITHMS: [&str; 5] = ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"];

/// SHA-256 in hexadecimal.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// MD5 in hexadecimal: the ETag of a plain object.
pub(crate) fn md5_hex(bytes: &[u8]) -> String {
    hex::encode(Md5::digest(bytes))
}

/// `Content-MD5`.
pub(crate) fn md5_base64(bytes: &[u8]) -> String {
    STANDARD.encode(Md5::digest(bytes))
}

/// The ETag of an object made of these parts.
pub(crate) fn multipart_etag(part_etags: &[String]) -> String {
    let mut all = Vec::new();
    for etag in part_etags {
        all.extend(hex::decode(etag).expect("a part's ETag is hexadecimal"));
    }
    format!("{}-{}", md5_hex(&all), part_etags.len())
}

/// The checksum `algorithm` of `bytes`, as S3 writes it.
pub(crate) fn checksum(algorithm: &str, bytes: &[u8]) -> String {
    STANDARD.encode(raw_checksum(algorithm, bytes))
}

/// The composite checksum of parts with these checksums.
pub(crate) fn composite_checksum(algorithm: &str, parts: &[String]) -> String {
    let mut all = Vec::new();
    for part in parts {
        all.extend(STANDARD.decode(part).expect("a part's checksum is base64"));
    }
    format!("{}-{}", checksum(algorithm, &all), parts.len())
}

/// The header that carries `algorithm`.
pub(crate) fn checksum_header(algorithm: &str) -> String {
    format!("x-amz-checksum-{}", algorithm.to_ascii_lowercase())
}

fn raw_checksum(algorithm: &str, bytes: &[u8]) -> Vec<u8> {
    let crc32 = |kind| {
        (crc_fast::checksum(kind, bytes) as u32)
            .to_be_bytes()
            .to_vec()
    };
    match algorithm {
        "CRC32" => crc32(CrcAlgorithm::Crc32IsoHdlc),
        "CRC32C" => crc32(CrcAlgorithm::Crc32Iscsi),
        "CRC64NVME" => crc_fast::checksum(CrcAlgorithm::Crc64Nvme, bytes)
            .to_be_bytes()
            .to_vec(),
        "SHA1" => Sha1::digest(bytes).to_vec(),
        "SHA256" => Sha256::digest(bytes).to_vec(),
        other => panic!("S3 has no checksum {other}"),
    }
}

/// The signature of a chunk (`PAYLOAD`) or of the trailers (`TRAILER`).
pub(crate) fn hmac_chunk_signature(
    kind: &str,
    signer: &Signer,
    time: SystemTime,
    previous: &str,
    hashes: &str,
) -> String {
    let key = generate_signing_key(&signer.secret_key, time, &signer.region, &signer.service);
    let stamp = aws_time(time);
    let scope = format!(
        "{}/{}/{}/aws4_request",
        &stamp[..8],
        signer.region,
        signer.service
    );
    let text = format!("AWS4-HMAC-SHA256-{kind}\n{stamp}\n{scope}\n{previous}\n{hashes}");
    calculate_signature(key, text.as_bytes())
}

/// `20261120T070809Z`.
pub(crate) fn aws_time(time: SystemTime) -> String {
    let since = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .expect("it is after 1970")
        .as_secs();
    let (days, second) = (since / 86_400, since % 86_400);
    let (year, month, day) = civil(days as i64);
    format!(
        "{year:04}{month:02}{day:02}T{:02}{:02}{:02}Z",
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

/// `2026-11-20T07:08:09.123Z`, of milliseconds since 1970.
pub(crate) fn iso8601(ms: u64) -> String {
    let stamp = aws_time(SystemTime::UNIX_EPOCH + Duration::from_millis(ms));
    let (date, time) = (&stamp[..8], &stamp[9..]);
    format!(
        "{}-{}-{}T{}:{}:{}.{:03}Z",
        &date[..4],
        &date[4..6],
        &date[6..],
        &time[..2],
        &time[2..4],
        &time[4..6],
        ms % 1000
    )
}

/// The signature of a form's policy, which is in base64.
pub(crate) fn policy_signature(signer: &Signer, time: SystemTime, policy: &str) -> String {
    let key = generate_signing_key(&signer.secret_key, time, &signer.region, &signer.service);
    calculate_signature(key, policy.as_bytes())
}

/// The date of a day counted from 1970-01-01. Source: Hinnant, "chrono-compatible low-level date
/// algorithms" (2013).
const fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 {
        month_index + 3
    } else {
        month_index - 9
    };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

#[test]
fn checksums_are_those_of_their_check_values() {
    assert_eq!(checksum("CRC32", b"123456789"), "y/Q5Jg==");
    assert_eq!(checksum("CRC32C", b"123456789"), "4waSgw==");
    assert_eq!(checksum("CRC64NVME", b"123456789"), "rosUhgp5mIg=");
    assert_eq!(md5_hex(b""), "d41d8cd98f00b204e9800998ecf8427e");
}

#[test]
fn times_are_written_as_aws_writes_them() {
    let at = |s| aws_time(SystemTime::UNIX_EPOCH + Duration::from_secs(s));
    assert_eq!(at(0), "19700101T000000Z");
    assert_eq!(at(1_369_353_600), "20130524T000000Z");
    assert_eq!(at(1_709_251_199), "20240229T235959Z");
    assert_eq!(iso8601(1_369_353_600_007), "2013-05-24T00:00:00.007Z");
}
