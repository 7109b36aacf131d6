//! The operations: each sends what S3 wants, and believes no answer that it has not checked.

use std::time::Instant;

use http::header::{CONTENT_LENGTH, ETAG};
use http::{Method, Response, StatusCode};
use http_body_util::{BodyExt, Either};
use hyper::body::Incoming;

use super::connection::{
    Call, Connection, Failure, PayloadSigning, element, no_answer, small_body,
};
use super::content::{Content, Pattern};
use super::objects::{Object, Objects, Step};
use super::stats::{Kind, Stats};
use crate::sign::encode;

/// Carries out steps over one connection.
pub(crate) struct Operator<'a> {
    pub(crate) connection: Connection,
    pub(crate) pattern: &'a Pattern,
    pub(crate) objects: &'a Objects,
    pub(crate) range_len: u64,
    pub(crate) part_len: u64,
    pub(crate) page: u64,
}

impl Step {
    /// What the step is counted as.
    pub(crate) fn kind(self) -> Kind {
        match self {
            Self::Put(_) => Kind::Put,
            Self::Get(_) => Kind::Get,
            Self::Range(..) => Kind::Range,
            Self::List(_) => Kind::List,
            Self::Head(_) => Kind::Head,
            Self::Delete(_) => Kind::Delete,
            Self::Multipart(_) => Kind::Multipart,
        }
    }
}

impl Operator<'_> {
    /// Carries out `step` and gives the objects' bytes that were moved. Requests within a step are
    /// recorded in `stats`, the step itself is not.
    pub(crate) async fn carry_out(
        &mut self,
        step: Step,
        stats: &mut Stats,
    ) -> Result<u64, Failure> {
        match step {
            Step::Put(number) => self.put(&self.objects.object(number)).await,
            Step::Get(number) => self.get(&self.objects.object(number)).await,
            Step::Range(number, from) => self.range(&self.objects.object(number), from).await,
            Step::List(number) => self.list(number).await,
            Step::Head(number) => self.head(&self.objects.object(number)).await,
            Step::Delete(number) => self.delete(&self.objects.object(number)).await,
            Step::Multipart(number) => self.multipart(&self.objects.object(number), stats).await,
        }
    }

    async fn put(&mut self, object: &Object) -> Result<u64, Failure> {
        let content = self.pattern.object(&object.key, object.len);
        let call = self.sending(
            Call::new(Method::PUT, Some(&object.key)),
            &content,
            0..object.len,
        );
        let answer = self.connection.send(call, StatusCode::OK).await?;
        small_body(answer).await?;
        Ok(object.len)
    }

    async fn get(&mut self, object: &Object) -> Result<u64, Failure> {
        let content = self.pattern.object(&object.key, object.len);
        let call = Call::new(Method::GET, Some(&object.key));
        let answer = self.connection.send(call, StatusCode::OK).await?;
        check_body(answer, &object.key, &content, 0..object.len).await?;
        Ok(object.len)
    }

    async fn range(&mut self, object: &Object, from: u64) -> Result<u64, Failure> {
        let content = self.pattern.object(&object.key, object.len);
        let mut call = Call::new(Method::GET, Some(&object.key));
        call.range = Some((from, from + self.range_len - 1));
        let answer = self
            .connection
            .send(call, StatusCode::PARTIAL_CONTENT)
            .await?;
        check_body(answer, &object.key, &content, from..from + self.range_len).await?;
        Ok(self.range_len)
    }

    async fn head(&mut self, object: &Object) -> Result<u64, Failure> {
        let call = Call::new(Method::HEAD, Some(&object.key));
        let answer = self.connection.send(call, StatusCode::OK).await?;
        let len = answer.headers().get(CONTENT_LENGTH);
        let len = len.and_then(|len| len.to_str().ok()?.parse().ok());
        if len != Some(object.len) {
            let (key, expected) = (&object.key, object.len);
            return Err(Failure::Wrong(format!(
                "{key} has {len:?} bytes instead of {expected}"
            )));
        }
        Ok(0)
    }

    async fn delete(&mut self, object: &Object) -> Result<u64, Failure> {
        let call = Call::new(Method::DELETE, Some(&object.key));
        let answer = self.connection.send(call, StatusCode::NO_CONTENT).await?;
        small_body(answer).await?;
        Ok(0)
    }

    /// One page of what follows object `number`.
    async fn list(&mut self, number: u64) -> Result<u64, Failure> {
        let object = self.objects.object(number);
        let query = format!(
            "list-type=2&max-keys={}&prefix={}&start-after={}",
            self.page,
            encode(&self.objects.folder(object.len)),
            encode(&object.key)
        );
        let call = Call::new(Method::GET, None).query(query);
        let answer = self.connection.send(call, StatusCode::OK).await?;
        let page = small_body(answer).await?;
        let follow = self.objects.count - 1 - number;
        let next = self.objects.object(number + 1);
        check_page(
            &String::from_utf8_lossy(&page),
            follow.min(self.page),
            self.page,
            &next.key,
        )?;
        Ok(0)
    }

    /// Begins an upload, sends its parts one after the other, completes it. A failed one is aborted.
    async fn multipart(&mut self, object: &Object, stats: &mut Stats) -> Result<u64, Failure> {
        let call = Call::new(Method::POST, Some(&object.key)).query("uploads=".to_owned());
        let answer = self.connection.send(call, StatusCode::OK).await?;
        let body = small_body(answer).await?;
        let upload = element(&String::from_utf8_lossy(&body), "UploadId")
            .map(encode)
            .ok_or_else(|| Failure::Wrong("an upload without an id".to_owned()))?;
        let done = self.parts_and_complete(object, &upload, stats).await;
        if done.is_err() {
            self.connection.close();
            let call =
                Call::new(Method::DELETE, Some(&object.key)).query(format!("uploadId={upload}"));
            // What failed is told by `done`; parts that stay behind are the bucket's to expire.
            self.connection
                .send(call, StatusCode::NO_CONTENT)
                .await
                .ok();
        }
        done
    }

    async fn parts_and_complete(
        &mut self,
        object: &Object,
        upload: &str,
        stats: &mut Stats,
    ) -> Result<u64, Failure> {
        let content = self.pattern.object(&object.key, object.len);
        let mut list = String::from("<CompleteMultipartUpload>");
        let mut from = 0;
        let mut number = 1;
        while from < object.len {
            let to = object.len.min(from + self.part_len);
            let began = Instant::now();
            let query = format!("partNumber={number}&uploadId={upload}");
            let call = Call::new(Method::PUT, Some(&object.key)).query(query);
            let call = self.sending(call, &content, from..to);
            let answer = self.connection.send(call, StatusCode::OK).await?;
            let etag = answer
                .headers()
                .get(ETAG)
                .and_then(|etag| etag.to_str().ok());
            let etag = etag
                .map(str::to_owned)
                .ok_or_else(|| Failure::Wrong("a part without an ETag".to_owned()))?;
            small_body(answer).await?;
            stats.record(Kind::Part, began.elapsed(), to - from);
            list.push_str(&format!(
                "<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"
            ));
            from = to;
            number += 1;
        }
        list.push_str("</CompleteMultipartUpload>");
        let call = Call::new(Method::POST, Some(&object.key))
            .query(format!("uploadId={upload}"))
            .text(list);
        let answer = self.connection.send(call, StatusCode::OK).await?;
        let body = small_body(answer).await?;
        let xml = String::from_utf8_lossy(&body);
        // S3 may say 200 before it knows.
        if element(&xml, "ETag").is_none() {
            return Err(match element(&xml, "Code") {
                Some(code) => Failure::Refused {
                    status: 200,
                    code: code.to_owned(),
                    message: element(&xml, "Message").unwrap_or_default().to_owned(),
                },
                None => Failure::Wrong("a completed upload without an ETag".to_owned()),
            });
        }
        Ok(object.len)
    }

    /// `call` with the bytes in `range` as its body.
    fn sending<'c>(
        &self,
        call: Call<'c>,
        content: &Content,
        range: std::ops::Range<u64>,
    ) -> Call<'c> {
        Call {
            body_sha256: match self.connection.payload() {
                PayloadSigning::Hashed => Some(content.sha256_hex(range.clone())),
                PayloadSigning::Unsigned => None,
            },
            body: Either::Right(content.body(range)),
            ..call
        }
    }
}

async fn check_body(
    answer: Response<Incoming>,
    key: &str,
    content: &Content,
    range: std::ops::Range<u64>,
) -> Result<(), Failure> {
    let wrong = |what: String| Failure::Wrong(format!("{key}: {what}"));
    let mut check = content.check(range);
    let mut body = answer.into_body();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| no_answer(&error))?;
        if let Some(data) = frame.data_ref() {
            check.next(data).map_err(wrong)?;
        }
    }
    check.end().map_err(wrong)
}

/// A page is whole, has at least the keys that there must be and at most what was asked for, and
/// begins with the right one.
fn check_page(page: &str, at_least: u64, at_most: u64, first: &str) -> Result<(), Failure> {
    let keys = page.matches("<Key>").count() as u64;
    if !page.trim_end().ends_with("</ListBucketResult>") {
        return Err(Failure::Wrong("a page without its end".to_owned()));
    }
    if keys < at_least || keys > at_most {
        return Err(Failure::Wrong(format!(
            "a page of {keys} keys instead of {at_least}"
        )));
    }
    match element(page, "Key") {
        Some(key) if at_least > 0 && key != first => Err(Failure::Wrong(format!(
            "a page that begins with {key} instead of {first}"
        ))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_lacks_something_is_noticed() {
        let page = "<ListBucketResult><Contents><Key>b</Key></Contents><Contents><Key>c</Key>\
                    </Contents></ListBucketResult>\n";
        check_page(page, 2, 2, "b").unwrap();
        check_page(page, 1, 1000, "b").unwrap();
        assert!(check_page(page, 3, 1000, "b").is_err(), "too few");
        assert!(check_page(page, 0, 1, "b").is_err(), "too many");
        assert!(check_page(page, 2, 2, "a").is_err(), "another first key");
        assert!(check_page(&page[..40], 0, 2, "b").is_err(), "cut off");
        check_page("<ListBucketResult></ListBucketResult>", 0, 1000, "b").unwrap();
    }
}
