//! What a bench can be told, and that it makes sense.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

/// Loads an S3 endpoint, checks every byte that comes back, and says what it took.
///
/// Objects are named PREFIX/SIZE/NUMBER and consist of bytes that follow from their name, so that
/// what one run puts, a later run can get and check. Signs with HOLDFAST_ACCESS_KEY and
/// HOLDFAST_SECRET_KEY, else AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, else the root key in
/// DATA. Fails if any operation failed.
#[derive(Debug, Clone, Args)]
pub(crate) struct BenchArgs {
    /// What to do, over and over.
    #[arg(value_enum, value_name = "WORKLOAD")]
    pub(crate) workload: Workload,
    /// The S3 endpoint.
    #[arg(
        long,
        value_name = "URL",
        env = "HOLDFAST_ENDPOINT",
        default_value = "http://127.0.0.1:9000"
    )]
    pub(crate) endpoint: String,
    /// The bucket; --prepare makes it.
    #[arg(long, value_name = "NAME", default_value = "holdfast-bench")]
    pub(crate) bucket: String,
    /// Ask for the bucket as a host name below the endpoint's: BUCKET.HOST.
    #[arg(long)]
    pub(crate) virtual_host: bool,
    /// The region that requests are signed for.
    #[arg(
        long,
        value_name = "REGION",
        env = "HOLDFAST_REGION",
        default_value = crate::config::DEFAULT_REGION
    )]
    pub(crate) region: String,
    /// The access key, instead of the environment's.
    #[arg(long, value_name = "KEY", requires = "secret_key_file")]
    pub(crate) access_key: Option<String>,
    /// A file whose first line is the secret of --access-key; `-` is standard input.
    #[arg(long, value_name = "FILE", requires = "access_key")]
    pub(crate) secret_key_file: Option<PathBuf>,
    /// The data folder whose root key is used when neither flags nor environment have a key.
    #[arg(
        long,
        value_name = "DIR",
        env = "HOLDFAST_DATA",
        default_value = crate::config::DEFAULT_DATA
    )]
    pub(crate) data: PathBuf,
    /// Sign bodies by their hash too, instead of leaving them unsigned.
    #[arg(long)]
    pub(crate) signed: bool,

    /// Size of the objects, or several sizes, which take turns [default: 1MiB; 64MiB for range and
    /// multipart].
    #[arg(long, value_name = "SIZE", value_delimiter = ',', value_parser = size)]
    pub(crate) size: Vec<u64>,
    /// How many objects there are (or --prepare makes) to get, list, head or delete.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) objects: u64,
    /// What the objects' names begin with: letters, digits and `-._/`.
    #[arg(long, value_name = "PREFIX", default_value = "bench", value_parser = prefix)]
    pub(crate) prefix: String,
    /// How much each ranged read asks for.
    #[arg(long, value_name = "SIZE", default_value = "1MiB", value_parser = size)]
    pub(crate) range_size: u64,
    /// Size of the parts of a multipart upload; the last may be smaller.
    #[arg(long, value_name = "SIZE", default_value = "8MiB", value_parser = size)]
    pub(crate) part_size: u64,
    /// How many keys each listing asks for.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub(crate) page: u64,
    /// Shares of a mixed workload.
    #[arg(long, value_name = "MIX", default_value = "get=45,head=30,put=15,delete=10", value_parser = mix)]
    pub(crate) mix: Mix,

    /// How many operations are under way at once, each on a connection of its own.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub(crate) concurrency: u16,
    /// Stop after this time: 30s, 5m, 500ms [default: 10s, unless --count is given].
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) duration: Option<Duration>,
    /// Stop after this many operations; of multipart, an operation is a whole object.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// First make the bucket, and the objects that the workload reads or deletes.
    #[arg(long)]
    pub(crate) prepare: bool,
    /// Afterwards delete the objects that the run wrote or prepared, and the bucket if it made it.
    #[arg(long)]
    pub(crate) cleanup: bool,

    /// A process of the server, on this machine: report its CPU time, memory and writes. May be
    /// given several times.
    #[arg(long, value_name = "PID")]
    pub(crate) server_pid: Vec<u32>,
    /// Print the figures as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What to do, over and over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Workload {
    /// Put new objects.
    Put,
    /// Get whole objects, in turn, and check every byte.
    Get,
    /// Get ranges at random places of the objects, and check every byte.
    Range,
    /// List pages that begin at random objects, and check what they begin with.
    List,
    /// Ask for the objects' heads, in turn, and check their lengths.
    Head,
    /// Delete each of the objects once.
    Delete,
    /// Put new objects in parts, one part after the other.
    Multipart,
    /// A mix of get, head, put and delete.
    Mixed,
}

/// Shares of a mixed workload, of the sum of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Mix {
    pub(crate) get: u32,
    pub(crate) head: u32,
    pub(crate) put: u32,
    pub(crate) delete: u32,
}

impl BenchArgs {
    /// The sizes, or the workload's default.
    pub(crate) fn sizes(&self) -> Vec<u64> {
        match (self.size.as_slice(), self.workload) {
            ([], Workload::Range | Workload::Multipart) => vec![64 << 20],
            ([], _) => vec![1 << 20],
            (sizes, _) => sizes.to_vec(),
        }
    }

    /// When to stop if the count does not say it.
    pub(crate) fn duration(&self) -> Option<Duration> {
        match (self.duration, self.count) {
            (None, None) => Some(DEFAULT_DURATION),
            (given, _) => given,
        }
    }

    /// What clap can't check.
    pub(crate) fn check(&self) -> Result<(), String> {
        let sizes = self.sizes();
        match self.workload {
            Workload::Range if sizes.iter().any(|&size| size < self.range_size) => {
                Err("--range-size is larger than an object: there are no such ranges".to_owned())
            }
            Workload::Range if self.range_size == 0 => {
                Err("--range-size is 0: there are no such ranges".to_owned())
            }
            Workload::Multipart if self.part_size < MIN_PART_LEN => {
                Err("--part-size is below 5MiB, the least that S3 takes".to_owned())
            }
            Workload::Multipart
                if sizes
                    .iter()
                    .any(|&size| size == 0 || size.div_ceil(self.part_size) > MAX_PARTS) =>
            {
                Err("an object of --size has 1 to 10,000 parts of --part-size".to_owned())
            }
            Workload::List if sizes.len() > 1 => {
                Err("list reads the objects of one --size".to_owned())
            }
            _ => Ok(()),
        }
    }
}

/// `4096`, `4KiB`, `1.5MiB`, `10MB`.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit {
        "" | "B" => 1,
        "KiB" | "K" | "k" => 1 << 10,
        "MiB" | "M" => 1 << 20,
        "GiB" | "G" => 1 << 30,
        "TiB" | "T" => 1 << 40,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return Err("not a size like 4096, 4KiB, 64MiB or 10MB".to_owned()),
    };
    let number: u64 = number
        .parse()
        .map_err(|_| "not a size like 4096, 4KiB, 64MiB or 10MB".to_owned())?;
    number
        .checked_mul(factor)
        .filter(|&size| size <= MAX_OBJECT_LEN)
        .ok_or_else(|| "more than the 5 TiB that an S3 object may have".to_owned())
}

/// `500ms`, `30s`, `5m`, `2h`; a bare number is seconds.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let wrong = || "not a time like 500ms, 30s, 5m or 2h".to_owned();
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let millis = match unit {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(wrong()),
    };
    match number.checked_mul(millis) {
        None | Some(0) => Err(wrong()),
        Some(millis) if millis > MAX_DURATION_MS => Err("more than 30 days".to_owned()),
        Some(millis) => Ok(Duration::from_millis(millis)),
    }
}

/// Characters that mean themselves in a path, a query and XML.
fn prefix(text: &str) -> Result<String, String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._/".contains(c);
    let text = text.trim_end_matches('/');
    if text.is_empty() || text.starts_with('/') || !text.chars().all(is_plain) {
        return Err("a prefix is made of letters, digits and -._/, and has some".to_owned());
    }
    if text.len() > MAX_PREFIX_LEN {
        return Err(format!("a prefix has at most {MAX_PREFIX_LEN} characters"));
    }
    Ok(text.to_owned())
}

/// `get=45,put=15`; what is not named has no share.
fn mix(text: &str) -> Result<Mix, String> {
    let mut mix = Mix::default();
    let mut named = BTreeSet::new();
    for share in text.split(',') {
        let (name, value) = share
            .split_once('=')
            .ok_or_else(|| format!("`{share}` is not like get=45"))?;
        let value: u32 = value
            .parse()
            .ok()
            .filter(|&value| value <= 1_000_000)
            .ok_or_else(|| format!("`{value}` is no share"))?;
        let place = match name {
            "get" => &mut mix.get,
            "head" => &mut mix.head,
            "put" => &mut mix.put,
            "delete" => &mut mix.delete,
            _ => return Err(format!("a mix has get, head, put and delete, not `{name}`")),
        };
        if !named.insert(name) {
            return Err(format!("`{name}` is there twice"));
        }
        *place = value;
    }
    if mix == Mix::default() {
        return Err("a mix of nothing".to_owned());
    }
    Ok(mix)
}

const DEFAULT_DURATION: Duration = Duration::from_secs(10);
const MAX_DURATION_MS: u64 = 30 * 24 * 3_600_000;
/// S3's own limits.
const MAX_OBJECT_LEN: u64 = 5 << 40;
const MIN_PART_LEN: u64 = 5 << 20;
const MAX_PARTS: u64 = 10_000;
/// Leaves room for size and number below the 1024 bytes of a key.
const MAX_PREFIX_LEN: usize = 512;

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        bench: BenchArgs,
    }

    fn parse(line: &str) -> Result<BenchArgs, String> {
        Line::try_parse_from(["bench"].into_iter().chain(line.split_whitespace()))
            .map(|line| line.bench)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_workload_is_all_that_must_be_said() {
        let args = parse("get").unwrap();
        assert_eq!(args.workload, Workload::Get);
        assert_eq!(args.sizes(), [1 << 20]);
        assert_eq!(args.duration(), Some(Duration::from_secs(10)));
        assert!(!args.prepare && !args.cleanup && !args.signed && args.count.is_none());
        assert_eq!(parse("range").unwrap().sizes(), [64 << 20]);
        assert_eq!(parse("put --count 5").unwrap().duration(), None);
        assert!(parse("").is_err() && parse("copy").is_err());
    }

    #[test]
    fn sizes_and_times_have_units() {
        let sizes = parse("put --size 0,4096,4KiB,64M,10MB,5TiB")
            .unwrap()
            .sizes();
        let expected = [0, 4096, 4096, 64 << 20, 10_000_000, 5 << 40];
        assert_eq!(sizes, expected);
        for bad in [
            "",
            "x",
            "-1",
            "1.5MiB",
            "4KiBs",
            "6TiB",
            "99999999999999999999",
        ] {
            assert!(size(bad).is_err(), "{bad}");
        }
        for (text, millis) in [
            ("500ms", 500),
            ("30s", 30_000),
            ("7", 7_000),
            ("2h", 7_200_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)));
        }
        for bad in ["", "s", "0s", "1d", "9999999999h", "1.5s"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_mix_names_its_shares() {
        let all = Mix {
            get: 45,
            head: 30,
            put: 15,
            delete: 10,
        };
        assert_eq!(parse("mixed").unwrap().mix, all);
        let two = Mix {
            get: 1,
            put: 2,
            ..Mix::default()
        };
        assert_eq!(mix("get=1,put=2"), Ok(two));
        for bad in [
            "",
            "get",
            "get=x",
            "get=0",
            "get=1,get=2",
            "list=1",
            "get=-1",
        ] {
            assert!(mix(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_can_not_be_done_is_refused() {
        for line in [
            "range --size 4KiB",
            "range --range-size 0",
            "multipart --part-size 1MiB",
            "multipart --size 0",
            "multipart --size 5TiB --part-size 5MiB",
            "list --size 1,2",
        ] {
            assert!(parse(line).unwrap().check().is_err(), "{line}");
        }
        for line in [
            "put --concurrency 0",
            "get --objects 0",
            "list --page 1001",
            "put --prefix /",
            "put --prefix a%b",
            "put --access-key K",
            "put --count 0",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
        parse("multipart --size 256MiB --part-size 16MiB")
            .unwrap()
            .check()
            .unwrap();
    }
}
