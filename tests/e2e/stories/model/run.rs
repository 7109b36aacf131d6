//! One run: a server, the reference beside it, and a seed from which each next step is drawn.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::faults::Faults;
use super::lifecycle::Expiring;
use super::operations;
use super::outcome::{Span, now_ms};
use super::reference::{Bucket, ObjectLock, Versioning};
use crate::support::client::{Call, Client, Payload};
use crate::support::digest::{ALGORITHMS, checksum, checksum_header, md5_base64};
use crate::support::http::Response;
use crate::support::random::Random;
use crate::support::server::Server;

/// How long a lifecycle day is.
pub(crate) const DAY_S: u64 = 1;

/// Few keys, so that they are overwritten often; with all that makes keys hard.
pub(crate) const KEYS: [&str; 30] = [
    "a",
    "a/b",
    "a/b/c",
    "a/b/d",
    "a//",
    "a/",
    "ab",
    "b/1",
    "b/2",
    "b/3",
    "b0",
    "/leading",
    "../up",
    "./here/./there/",
    "photos/2026/01/x.jpg",
    "photos/2026/02/y.jpg",
    "photos/2026/02/z.jpg",
    "with space+plus",
    "percent%41%2F",
    "query?versionId=null&x=1#hash",
    "xml<&>\"'",
    "ünï/cödé",
    "emoji/🦀",
    "emoji/🦀🦀",
    "control\u{1}character",
    "nul\u{0}byte",
    "line\nbreak",
    "carriage\rreturn",
    "not-a-character\u{FFFF}",
    "zz",
];

/// The wish that an object be encrypted. It comes back as it was given, like a content header; only
/// a copy does not take it over.
pub(crate) const ENCRYPTION: &str = "x-amz-server-side-encryption";

/// A bucket whose versions can be locked.
pub(crate) const LOCKED: &str = "locked";

/// A bucket that has a quota most of the time.
pub(crate) const LIMITED: &str = "limited";

/// How a run is to be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) steps: u64,
    pub(crate) with_faults: bool,
}

impl Plan {
    /// Drives and layout, where they are not the default: S3's answers must not depend on them.
    fn layout(&self) -> Option<(&'static str, &'static str)> {
        match self.seed % 4 {
            _ if self.with_faults => None,
            1 => Some(("3", "2+1")),
            2 => Some(("1", "1+0")),
            3 => Some(("4", "copies:3")),
            _ => None,
        }
    }
}

/// See the module.
pub(crate) struct Run {
    pub(crate) plan: Plan,
    pub(crate) server: Server,
    pub(crate) client: Client,
    pub(crate) random: Random,
    pub(crate) buckets: BTreeMap<String, Bucket>,
    pub(crate) faults: Option<Faults>,
    /// Writes that were refused because drives were away.
    pub(crate) refused: u64,
    /// From when the last request was sent until its answer was there.
    pub(crate) span: Span,
    /// Steps so far.
    pub(crate) step: u64,
    /// The bucket whose lifecycle rules are at work, if there is one.
    pub(crate) expiring: Option<Expiring>,
    /// The names of all operations that were asked for.
    asked: BTreeSet<&'static str>,
    log: Vec<String>,
}

impl Run {
    /// Starts a server with empty buckets.
    pub(crate) fn start(plan: Plan) -> Self {
        let day = DAY_S.to_string();
        let mut server =
            Server::prepare("model").with_environment("HOLDFAST_LIFECYCLE_DAY_SECONDS", &day);
        if let Some((drives, layout)) = plan.layout() {
            server = server.with_arguments(&["--drives", drives, "--layout", layout]);
        }
        let (mut random, mut faults) = (Random::new(plan.seed), None);
        if plan.with_faults {
            server = server.with_config(super::faults::CONFIG);
            faults = Some(Faults::prepare(&server, &mut random));
        }
        server.restart();
        let client = server.client();
        let mut run = Self {
            plan,
            client,
            server,
            random,
            buckets: BTreeMap::new(),
            faults,
            refused: 0,
            span: Span::default(),
            step: 0,
            expiring: None,
            asked: BTreeSet::new(),
            log: Vec::new(),
        };
        for bucket in ["plain", "versioned", "other.bucket", LIMITED] {
            run.client.create_bucket(bucket);
            run.buckets.insert(bucket.to_owned(), Bucket::new());
        }
        run.create_locked();
        run.create_webhook();
        run
    }

    fn create_locked(&mut self) {
        let call = Call::new("PUT", &format!("/{LOCKED}"));
        let answer = self.call(&call.header("x-amz-bucket-object-lock-enabled", "true"));
        assert_eq!(answer.status, 200, "{}", answer.shown());
        let mut bucket = Bucket::new();
        bucket.versioning = Versioning::Enabled;
        bucket.object_lock = Some(ObjectLock::default());
        self.buckets.insert(LOCKED.to_owned(), bucket);
    }

    /// Does all steps, then compares everything once more after a restart. The names of the
    /// operations that were asked for.
    pub(crate) fn finish(mut self) -> BTreeSet<&'static str> {
        for number in 0..self.plan.steps {
            self.log.push(format!("step {number}"));
            self.step = number;
            self.step();
        }
        self.note("the end");
        self.settle();
        self.server.kill();
        if let Some(mut faults) = self.faults.take() {
            self.server.restart_degraded();
            faults.heal(&mut self);
            self.faults = Some(faults);
        } else {
            self.server.restart();
        }
        self.compare_everything();
        self.note("verified");
        self.server.kill();
        let verified = self.server.verify(&["--deep"]);
        assert!(verified.clean, "{:#}", verified.report);
        if self.faults.is_some() {
            verified.assert_whole("at the end");
        }
        // What is mounted goes before the folder that it is in.
        self.faults = None;
        self.log.clear();
        std::mem::take(&mut self.asked)
    }

    fn step(&mut self) {
        if let Some(mut faults) = self.faults.take() {
            faults.maybe_change(self);
            self.faults = Some(faults);
        }
        self.settle_in_time();
        match self.random.below(1000) {
            0..190 => self.put(),
            190..400 => self.get(),
            400..470 => self.delete(),
            470..500 => self.delete_batch(),
            500..580 => self.copy(),
            580..690 => self.multipart(),
            690..730 => self.edge(),
            730..815 => self.list(),
            815..833 => self.versioning(),
            833..856 => self.bucket_operations(),
            856..880 => self.compare_key(),
            880..930 => self.locks(),
            930..942 => self.quota(),
            942..965 => self.configurations(),
            965..980 => self.form(),
            980..990 => self.lifecycle(),
            990..995 => self.restart(),
            _ => self.compare_everything(),
        }
    }

    fn restart(&mut self) {
        self.note("restart");
        let away = self.faults.as_ref().is_some_and(Faults::any);
        if self.random.percent(50) {
            self.server.kill();
        } else {
            assert!(self.server.stop(), "it stops well");
        }
        if away {
            self.server.restart_degraded();
        } else {
            self.server.restart();
        }
    }

    /// Writes down what happens, for whoever reads a failure.
    pub(crate) fn note(&mut self, what: impl Into<String>) {
        self.log.push(what.into());
    }

    /// Sends a request that no fault may disturb.
    pub(crate) fn call(&mut self, call: &Call) -> Response {
        self.asked.insert(operations::name_of(call));
        let shown = call.shown();
        self.timed(&shown, |client| client.send(call))
    }

    /// Sends a form.
    pub(crate) fn call_form(
        &mut self,
        bucket: &str,
        fields: &[(String, String)],
        file: &[u8],
    ) -> Response {
        self.asked.insert("PostObject");
        let shown = format!("form to {bucket} {fields:?} ({} bytes)", file.len());
        self.timed(&shown, |client| client.post_form(bucket, fields, file))
    }

    fn timed(&mut self, shown: &str, send: impl FnOnce(&Client) -> Response) -> Response {
        self.note(shown);
        let sent_ms = now_ms();
        let response = send(&self.client);
        self.span = Span {
            sent_ms,
            answered_ms: now_ms(),
        };
        self.note(format!("  -> {} {}", response.status, response.code()));
        response
    }

    /// Sends a write. While drives are away it may be refused with 503: then it has not happened.
    pub(crate) fn write(&mut self, call: &Call) -> Option<Response> {
        let response = self.call(call);
        self.unless_excused(response)
    }

    /// The answer to a write, unless drives are away that excuse it.
    pub(crate) fn unless_excused(&mut self, response: Response) -> Option<Response> {
        let excused = self.faults.as_ref().is_some_and(Faults::any);
        if response.status == 503 && excused {
            self.refused += 1;
            return None;
        }
        Some(response)
    }

    /// One of the buckets, but not one whose lifecycle rules are at work.
    pub(crate) fn some_bucket(&mut self) -> String {
        let names: Vec<&String> = self.buckets.keys().collect();
        let names: Vec<&String> = names
            .into_iter()
            .filter(|name| !self.is_expiring(name))
            .collect();
        (*self.random.pick(&names)).clone()
    }

    /// A key, more often than not one that has been written.
    pub(crate) fn some_key(&mut self, bucket: &str) -> String {
        let known: Vec<&String> = self.buckets[bucket].keys.keys().collect();
        if known.is_empty() || self.random.percent(40) {
            (*self.random.pick(&KEYS)).to_owned()
        } else {
            (*self.random.pick(&known)).clone()
        }
    }

    /// Bytes of a size around which something changes: inline, copies, stripes.
    pub(crate) fn some_body(&mut self) -> Arc<Vec<u8>> {
        let len = match self.random.below(20) {
            0 => 0,
            1..8 => self.random.between(1, 300),
            8..12 => self.random.between(300, 65_536),
            12 => self.random.between(65_535, 65_537),
            13..16 => self.random.between(65_537, 524_288),
            16 => self.random.between(524_287, 524_289),
            17 | 18 => self.random.between(524_289, 1_600_000),
            _ => self.random.between(1_048_575, 1_048_577),
        };
        Arc::new(self.random.bytes(len as usize))
    }

    /// Headers that an object is to keep.
    pub(crate) fn some_headers(&mut self) -> BTreeMap<String, String> {
        let mut headers = BTreeMap::new();
        let all = [
            ("content-type", "text/plain; charset=utf-8"),
            ("content-type", "application/x-holdfast"),
            ("cache-control", "max-age=3600"),
            ("content-disposition", "attachment; filename=\"a b\""),
            ("content-language", "de"),
            ("content-encoding", "gzip"),
            ("expires", "Thu, 01 Dec 2033 16:00:00 GMT"),
            (ENCRYPTION, "AES256"),
            (ENCRYPTION, "AES256"),
            ("x-amz-meta-colour", "blue"),
            ("x-amz-meta-colour", "green and  more"),
            ("x-amz-meta-a-b.c_d", "1"),
        ];
        for _ in 0..self.random.below(4) {
            let (name, value) = self.random.pick(&all);
            headers.insert((*name).to_owned(), (*value).to_owned());
        }
        headers
    }

    /// A checksum algorithm, or none.
    pub(crate) fn some_algorithm(&mut self) -> Option<String> {
        self.random
            .percent(50)
            .then(|| (*self.random.pick(&ALGORITHMS)).to_owned())
    }

    /// Adds `body` to `call` in one of the ways that clients send bodies, with its checksum.
    pub(crate) fn with_body(
        &mut self,
        call: Call,
        body: &[u8],
        algorithm: Option<&String>,
    ) -> Call {
        let call = call.body(body);
        let checksum = algorithm.map(|a| (checksum_header(a), checksum(a, body)));
        let chunk_len = self.random.between(8_192, 100_000) as usize;
        let call = match (self.random.below(5), checksum) {
            (0, Some(trailer)) => call.payload(Payload::SignedChunks {
                chunk_len,
                trailer: Some(trailer),
            }),
            (1, Some(trailer)) => call.payload(Payload::UnsignedChunks { chunk_len, trailer }),
            (form, checksum) => {
                let call = match checksum {
                    Some((name, value)) => call.header(&name, &value),
                    None => call,
                };
                match form {
                    2 => call.payload(Payload::Unsigned),
                    3 => call.payload(Payload::SignedChunks {
                        chunk_len,
                        trailer: None,
                    }),
                    _ => call,
                }
            }
        };
        if self.random.percent(20) {
            call.header("content-md5", &md5_base64(body))
        } else {
            call
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Plan { seed, steps, .. } = self.plan;
            let last = self.log.len().saturating_sub(60);
            eprintln!("{}", self.log[last..].join("\n"));
            eprintln!(
                "seed {seed}, {steps} steps, faults: {}",
                self.plan.with_faults
            );
        }
    }
}
