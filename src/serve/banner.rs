//! What a start says: where everything is, and what to type next.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::Prepared;
use super::file_systems::FileSystems;
use super::root_key::Source;

/// The text that a start prints on standard output, once it serves.
pub(crate) struct Banner(String);

impl Banner {
    pub(crate) async fn new(
        prepared: &Prepared,
        s3: SocketAddr,
        admin: SocketAddr,
        https: bool,
    ) -> Self {
        let drives: Vec<String> = prepared
            .drives
            .iter()
            .map(|drive| drive.path.display().to_string())
            .collect();
        let file_systems = FileSystems::of(&prepared.drives).await;
        let facts = Facts {
            scheme: if https { "https" } else { "http" },
            s3: reachable(s3),
            admin: reachable(admin),
            drives_share_a_disk: file_systems.are_shared(),
            region: prepared.fixed.region.as_str(),
            layout: prepared.fixed.layout.to_string(),
            may_lose: prepared.fixed.layout.m(),
            drives: &drives,
            data: prepared.data.root().display().to_string(),
            key: &prepared.root.source,
        };
        Self(text(&facts))
    }

    pub(crate) fn print(&self) {
        let mut output = std::io::stdout().lock();
        // A server serves whether or not anyone reads what it says.
        let _nobody_reads = output
            .write_all(self.0.as_bytes())
            .and_then(|()| output.flush());
    }
}

struct Facts<'a> {
    scheme: &'static str,
    s3: SocketAddr,
    admin: SocketAddr,
    region: &'a str,
    layout: String,
    may_lose: u8,
    drives: &'a [String],
    drives_share_a_disk: bool,
    data: String,
    key: &'a Source,
}

fn text(facts: &Facts<'_>) -> String {
    let Facts {
        scheme,
        s3,
        admin,
        region,
        layout,
        may_lose,
        drives,
        drives_share_a_disk,
        data,
        key,
    } = facts;
    let version = env!("CARGO_PKG_VERSION");
    let mut text = format!(
        "Holdfast {version} serves S3 on {scheme}://{s3} (region {region})\n\
         \n\
         \x20 data    {data}\n\
         \x20 layout  {layout} on {} drives: any {may_lose} may be lost\n",
        drives.len(),
    );
    for (number, drive) in (1..).zip(*drives) {
        // Writing to a String does not fail.
        let _infallible = writeln!(text, "          {number:>2}  {drive}");
    }
    if *drives_share_a_disk {
        text.push_str(
            "          these folders share a file system, and die with it: good to try things out; \
             to keep data,\n          mount a disk at each\n",
        );
    }
    let (key_words, use_key) = match key {
        Source::Environment => (
            "from HOLDFAST_ACCESS_KEY and HOLDFAST_SECRET_KEY".to_owned(),
            "export AWS_ACCESS_KEY_ID=$HOLDFAST_ACCESS_KEY \
             AWS_SECRET_ACCESS_KEY=$HOLDFAST_SECRET_KEY"
                .to_owned(),
        ),
        Source::Kept(file) => (
            format!("in {}", file.display()),
            format!(". {}", shell(file)),
        ),
        Source::Made(file) => (
            format!("made now, in {}", file.display()),
            format!(". {}", shell(file)),
        ),
    };
    let _infallible = write!(
        text,
        "\x20 admin   {scheme}://{admin}\n\
         \x20 key     {key_words}\n\
         \n\
         Try it:\n\
         \x20 {use_key}\n\
         \x20 aws --endpoint-url {scheme}://{s3} --region {region} s3 mb s3://my-bucket\n\
         \x20 holdfast admin status --endpoint {scheme}://{admin}\n\
         \n",
    );
    text
}

/// A path as a shell takes it.
fn shell(path: &std::path::Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-');
    if text.chars().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// An address that a client on this machine can type: a listener on all addresses is reached at
/// loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_says_where_everything_is() {
        let drives = ["/d/drives/01".to_owned(), "/d/drives/02".to_owned()];
        let facts = Facts {
            scheme: "https",
            s3: reachable("0.0.0.0:9000".parse().unwrap()),
            admin: reachable("[::]:9001".parse().unwrap()),
            region: "us-east-1",
            layout: "copies:2".to_owned(),
            may_lose: 1,
            drives: &drives,
            drives_share_a_disk: true,
            data: "/d".to_owned(),
            key: &Source::Made("/it's/root-key.env".into()),
        };
        let text = text(&facts);
        for part in [
            "serves S3 on https://127.0.0.1:9000 (region us-east-1)",
            "copies:2 on 2 drives: any 1 may be lost",
            "1  /d/drives/01",
            "these folders share a file system",
            "2  /d/drives/02",
            "admin   https://[::1]:9001",
            "made now, in /it's/root-key.env",
            r"  . '/it'\''s/root-key.env'",
            "aws --endpoint-url https://127.0.0.1:9000 --region us-east-1 s3 mb s3://my-bucket",
        ] {
            assert!(text.contains(part), "`{part}` is not in:\n{text}");
        }
    }
}
