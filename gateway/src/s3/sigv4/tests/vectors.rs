//! The examples of "Authenticating Requests (AWS Signature Version 4)" in the S3 API reference.

use http::request::Builder;

use super::{DATE, EMPTY_SHA256, SCOPE, authenticate, request};
use crate::s3::sigv4::{AuthMethod, ChunkSigner, PayloadMode};

const HOST: &str = "examplebucket.s3.amazonaws.com";

fn signed(request: Builder, host: &str, signed_headers: &str, signature: &str) -> Builder {
    request
        .header("host", host)
        .header("x-amz-date", DATE)
        .header(
            "authorization",
            format!(
                "AWS4-HMAC-SHA256 Credential={}/{SCOPE},SignedHeaders={signed_headers},\
             Signature={signature}",
                super::ACCESS_KEY
            ),
        )
}

fn empty(request: Builder, signed_headers: &str, signature: &str) -> Builder {
    signed(request, HOST, signed_headers, signature).header("x-amz-content-sha256", EMPTY_SHA256)
}

#[tokio::test]
async fn get_object() {
    let request = empty(
        request("GET", "/test.txt").header("range", "bytes=0-9"),
        "host;range;x-amz-content-sha256;x-amz-date",
        "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
    );
    let authenticated = authenticate(request).await.unwrap();
    assert_eq!(authenticated.access_key, super::ACCESS_KEY);
    assert_eq!(authenticated.method, AuthMethod::Header);
    assert!(matches!(authenticated.payload, PayloadMode::Signed(_)));
}

#[tokio::test]
async fn put_object() {
    let hash = "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072";
    let request = signed(
        request("PUT", "/test$file.text"),
        HOST,
        "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
        "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
    )
    .header("date", "Fri, 24 May 2013 00:00:00 GMT")
    .header("x-amz-storage-class", "REDUCED_REDUNDANCY")
    .header("x-amz-content-sha256", hash);
    let payload = authenticate(request).await.unwrap().payload;
    assert_eq!(payload, PayloadMode::parse(hash).unwrap());
}

#[tokio::test]
async fn get_bucket_lifecycle() {
    let request = empty(
        request("GET", "/?lifecycle"),
        "host;x-amz-content-sha256;x-amz-date",
        "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
    );
    authenticate(request).await.unwrap();
}

#[tokio::test]
async fn list_objects() {
    let request = empty(
        request("GET", "/?max-keys=2&prefix=J"),
        "host;x-amz-content-sha256;x-amz-date",
        "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
    );
    authenticate(request).await.unwrap();
}

#[tokio::test]
async fn presigned_get() {
    let target = "/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256\
        &X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request\
        &X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host\
        &X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404";
    let authenticated = authenticate(request("GET", target).header("host", HOST))
        .await
        .unwrap();
    assert_eq!(authenticated.method, AuthMethod::Query);
    assert_eq!(authenticated.payload, PayloadMode::Unsigned);
}

/// 64 KiB and 1 KiB of the letter a, and the empty chunk.
fn chunk_hashes() -> [[u8; 32]; 3] {
    use sha2::{Digest, Sha256};
    [65536, 1024, 0].map(|len| Sha256::digest(vec![b'a'; len]).into())
}

#[tokio::test]
async fn put_object_in_chunks() {
    let request = signed(
        request("PUT", "/examplebucket/chunkObject.txt"),
        "s3.amazonaws.com",
        "content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;\
         x-amz-decoded-content-length;x-amz-storage-class",
        "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
    )
    .header("x-amz-storage-class", "REDUCED_REDUNDANCY")
    .header("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD")
    .header("content-encoding", "aws-chunked")
    .header("x-amz-decoded-content-length", "66560")
    .header("content-length", "66824");
    let authenticated = authenticate(request).await.unwrap();
    assert_eq!(authenticated.payload, PayloadMode::SignedChunks);

    let mut signer = ChunkSigner::new(authenticated.signing);
    let signatures = [
        "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
        "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
        "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
    ];
    for (hash, signature) in chunk_hashes().iter().zip(signatures) {
        assert!(signer.verify_chunk(hash, signature), "{signature}");
    }
}

#[tokio::test]
async fn put_object_in_chunks_with_a_trailer() {
    let request = signed(
        request("PUT", "/examplebucket/chunkObject.txt"),
        "s3.amazonaws.com",
        "content-encoding;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;\
         x-amz-storage-class;x-amz-trailer",
        "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e",
    )
    .header("x-amz-storage-class", "REDUCED_REDUNDANCY")
    .header(
        "x-amz-content-sha256",
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
    )
    .header("content-encoding", "aws-chunked")
    .header("x-amz-decoded-content-length", "66560")
    .header("x-amz-trailer", "x-amz-checksum-crc32c");
    let authenticated = authenticate(request).await.unwrap();
    assert_eq!(authenticated.payload, PayloadMode::SignedChunksTrailer);

    let mut signer = ChunkSigner::new(authenticated.signing);
    let signatures = [
        "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
        "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
        "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
    ];
    for (hash, signature) in chunk_hashes().iter().zip(signatures) {
        assert!(signer.verify_chunk(hash, signature), "{signature}");
    }
    assert!(signer.verify_trailer(
        b"x-amz-checksum-crc32c:sOO8/Q==\n",
        "d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435"
    ));
}
