//! `holdfast admin bucket quota`: how much a bucket may hold.

use clap::Args;
use holdfast_gateway::admin::QuotaView;
use holdfast_gateway::admin::view::BucketView;
use http::Method;

use super::Admin;
use super::show::bytes;
use crate::bench::size;
use crate::sign;

#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("what").required(true).multiple(true)
    .args(["limit_bytes", "limit_objects", "none"])))]
pub(crate) struct BucketQuotaArgs {
    /// The bucket.
    #[arg(value_name = "NAME")]
    name: String,
    /// The most bytes, such as `500GiB`. Parts of open uploads count.
    #[arg(long = "bytes", id = "limit_bytes", value_name = "BYTES", value_parser = size)]
    bytes: Option<u64>,
    /// The most objects: each version of a key is one.
    #[arg(long = "objects", id = "limit_objects", value_name = "N")]
    objects: Option<u64>,
    /// No quota.
    #[arg(long, conflicts_with_all = ["limit_bytes", "limit_objects"])]
    none: bool,
}

impl Admin {
    /// Sets the quota to what is given: a limit that is left out is none.
    pub(super) async fn set_quota(&self, args: BucketQuotaArgs) -> anyhow::Result<()> {
        let path = format!("/admin/v1/buckets/{}/quota", sign::encode(&args.name));
        let quota = QuotaView {
            bytes: args.bytes,
            objects: args.objects,
        };
        let body = serde_json::to_vec(&quota)?;
        let answer = self.client.send(Method::PUT, &path, body).await?.good()?;
        self.print(&answer, |bucket: &BucketView| {
            format!(
                "bucket {} may hold {}\n",
                bucket.name,
                limits(&bucket.quota)
            )
        })
    }
}

/// A quota in words; `-` for none.
pub(super) fn short(quota: &QuotaView) -> String {
    match (quota.bytes, quota.objects) {
        (None, None) => "-".to_owned(),
        _ => limits(quota),
    }
}

fn limits(quota: &QuotaView) -> String {
    match (quota.bytes, quota.objects) {
        (None, None) => "as much as there is room for".to_owned(),
        (Some(limit), None) => bytes(limit),
        (None, Some(objects)) => format!("{objects} objects"),
        (Some(limit), Some(objects)) => format!("{}, {objects} objects", bytes(limit)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_shown_in_words() {
        let quota = |bytes, objects| QuotaView { bytes, objects };
        assert_eq!(short(&quota(None, None)), "-");
        assert_eq!(short(&quota(None, Some(7))), "7 objects");
        assert_eq!(short(&quota(Some(1 << 30), None)), bytes(1 << 30));
        let both = short(&quota(Some(1 << 30), Some(7)));
        assert_eq!(both, format!("{}, 7 objects", bytes(1 << 30)));
    }
}
