//! `holdfast admin bucket rate-limit` and `holdfast admin key rate-limit`: how much is let through
//! in a second.

use clap::Args;
use holdfast_gateway::admin::RateLimitView;
use holdfast_gateway::admin::view::{BucketView, KeyView};
use http::Method;

use super::Admin;
use super::client::Answer;
use super::show::bytes;
use crate::bench::size;
use crate::sign;

#[derive(Debug, Args)]
pub(crate) struct BucketRateArgs {
    /// The bucket.
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    rate: RateArgs,
}

#[derive(Debug, Args)]
pub(crate) struct KeyRateArgs {
    /// The access key.
    #[arg(value_name = "KEY")]
    access_key: String,
    #[command(flatten)]
    rate: RateArgs,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
struct RateArgs {
    /// The most requests in a second, on average; as many may come at once after a pause.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    requests_per_second: Option<u64>,
    /// The most bytes in a second, such as `50MiB`: what is sent and received together, on
    /// average.
    #[arg(long, value_name = "BYTES", value_parser = size)]
    bytes_per_second: Option<u64>,
    /// No limit.
    #[arg(long, conflicts_with_all = ["requests_per_second", "bytes_per_second"])]
    none: bool,
}

impl Admin {
    /// Sets a bucket's limit to what is given: what is left out is not limited.
    pub(super) async fn limit_bucket(&self, args: BucketRateArgs) -> anyhow::Result<()> {
        let path = format!("/admin/v1/buckets/{}/rate-limit", sign::encode(&args.name));
        let answer = self.set_rate(&path, &args.rate).await?;
        self.print(&answer, |bucket: &BucketView| {
            format!("bucket {}: {}\n", bucket.name, in_words(&bucket.rate_limit))
        })
    }

    /// Sets a key's limit to what is given: what is left out is not limited.
    pub(super) async fn limit_key(&self, args: KeyRateArgs) -> anyhow::Result<()> {
        let path = format!(
            "/admin/v1/keys/{}/rate-limit",
            sign::encode(&args.access_key)
        );
        let answer = self.set_rate(&path, &args.rate).await?;
        self.print(&answer, |key: &KeyView| {
            format!("key {}: {}\n", key.access_key, in_words(&key.rate_limit))
        })
    }

    async fn set_rate(&self, path: &str, rate: &RateArgs) -> anyhow::Result<Answer> {
        let limit = RateLimitView {
            requests_per_second: rate.requests_per_second,
            bytes_per_second: rate.bytes_per_second,
        };
        let body = serde_json::to_vec(&limit)?;
        self.client.send(Method::PUT, path, body).await?.good()
    }
}

/// A limit in a table; `-` for none.
pub(super) fn short(limit: &RateLimitView) -> String {
    let parts: Vec<String> = [
        limit.requests_per_second.map(|n| format!("{n}/s")),
        limit.bytes_per_second.map(|n| format!("{}/s", bytes(n))),
    ]
    .into_iter()
    .flatten()
    .collect();
    match parts.is_empty() {
        true => "-".to_owned(),
        false => parts.join(", "),
    }
}

fn in_words(limit: &RateLimitView) -> String {
    match (limit.requests_per_second, limit.bytes_per_second) {
        (None, None) => "no rate limit".to_owned(),
        (Some(requests), None) => format!("at most {requests} requests a second"),
        (None, Some(rate)) => format!("at most {} a second", bytes(rate)),
        (Some(requests), Some(rate)) => {
            format!("at most {requests} requests and {} a second", bytes(rate))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_shown_in_words() {
        let limit = |requests_per_second, bytes_per_second| RateLimitView {
            requests_per_second,
            bytes_per_second,
        };
        for (limit, table, words) in [
            (limit(None, None), "-", "no rate limit"),
            (limit(Some(7), None), "7/s", "at most 7 requests a second"),
            (
                limit(None, Some(5 << 20)),
                "5.00 MiB/s",
                "at most 5.00 MiB a second",
            ),
            (
                limit(Some(7), Some(1024)),
                "7/s, 1.00 KiB/s",
                "at most 7 requests and 1.00 KiB a second",
            ),
        ] {
            assert_eq!(
                (short(&limit).as_str(), in_words(&limit).as_str()),
                (table, words)
            );
        }
    }
}
