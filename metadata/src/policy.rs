//! Policies: how the bytes of new objects are kept, by bucket or storage class, key and size.
//!
//! A policy has one layout, small blobs apart, and up to [`Policy::MAX_RULES`] rules that say
//! otherwise for some keys and sizes; the first that fits decides. Sizes are those of a blob: a
//! whole PUT, or one part of a multipart upload. A write follows the policy that it has read; what
//! is stored already stays as it is until a re-encode brings it over.

use holdfast_types::{FailureDomain, Layout, SizeRule};
use serde::{Deserialize, Serialize};

/// How new objects are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Its name: also a storage class and a LocationConstraint.
    pub name: String,
    /// Which layout for which size.
    pub rule: SizeRule,
    /// The domain whose loss a write must survive from its acknowledgement on.
    pub protect: FailureDomain,
    /// Rises with each change.
    pub generation: u64,
    /// What is kept otherwise: the first that fits a blob decides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<PolicyRule>,
    /// How many fragments must be durable before a write in the policy's own layout is
    /// acknowledged; `None`: `k + ceil(m / 2)`, which all other layouts follow anyway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quorum: Option<u8>,
}

/// Blobs that a policy keeps in another layout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyRule {
    /// Keys that begin with this; empty: all.
    #[serde(default)]
    pub prefix: String,
    /// Blobs of at least this many bytes.
    #[serde(default)]
    pub at_least_bytes: u64,
    /// Blobs of fewer bytes than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub below_bytes: Option<u64>,
    /// How they are kept. The policy's threshold for small blobs holds here too: of an erasure
    /// layout, those are kept as `copies(m + 1)`.
    pub layout: Layout,
}

/// What a policy can't be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// Its name is no name.
    #[error(
        "a policy's name is 1 to 32 of a-z, 0-9 and `-`, begins with a letter, and is not `standard`"
    )]
    Name,
    /// A write quorum that promises nothing, or that can't be met.
    #[error("the write quorum of {layout} must be {least} to {most}, not {found}")]
    Quorum {
        /// The policy's layout.
        layout: Layout,
        /// One more than gives the blob back, where there is parity.
        least: u8,
        /// All fragments.
        most: u8,
        /// What was asked for.
        found: u8,
    },
    /// More rules than are looked through for each write.
    #[error("a policy has at most {} rules", Policy::MAX_RULES)]
    TooManyRules,
    /// A prefix that no key can begin with.
    #[error("a rule's prefix has at most {} bytes", Policy::MAX_PREFIX_LEN)]
    Prefix,
    /// A range of sizes without a size.
    #[error("a rule for sizes from {at_least} to below {below} fits nothing")]
    NoSize {
        /// Its lower end.
        at_least: u64,
        /// Its upper end.
        below: u64,
    },
    /// A threshold beyond what can be called small.
    #[error(
        "small objects are below {} bytes at most: write a rule with sizes instead",
        Policy::MAX_SMALL_BYTES
    )]
    Small,
    /// Copies of small blobs that are none, or too many.
    #[error("small objects are kept as 1 to {} copies", Layout::MAX_COPIES)]
    SmallCopies,
}

impl Policy {
    /// The most rules.
    pub const MAX_RULES: usize = 32;
    /// The longest name, in bytes.
    pub const MAX_NAME_LEN: usize = 32;
    /// The longest prefix of a rule, in bytes: that of the longest key.
    pub const MAX_PREFIX_LEN: usize = 1024;
    /// The highest threshold for small blobs: a copy of more is held in memory as one block.
    pub const MAX_SMALL_BYTES: u64 = 4 << 20;

    /// A policy of one layout.
    #[must_use]
    pub const fn new(name: String, rule: SizeRule, protect: FailureDomain) -> Self {
        Self {
            name,
            rule,
            protect,
            generation: 1,
            rules: Vec::new(),
            quorum: None,
        }
    }

    /// Checks what came from an operator.
    ///
    /// # Errors
    /// What is wrong with it. Layouts are checked where they are read.
    pub fn check(&self) -> Result<(), PolicyError> {
        let name = self.name.as_bytes();
        let plain = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-';
        if !name.first().is_some_and(u8::is_ascii_lowercase)
            || name.len() > Self::MAX_NAME_LEN
            || !name.iter().all(plain)
            || self.name == "standard"
        {
            return Err(PolicyError::Name);
        }
        if let Some(found) = self.quorum {
            check_quorum(self.rule.layout, found)?;
        }
        if self.rules.len() > Self::MAX_RULES {
            return Err(PolicyError::TooManyRules);
        }
        if self.rule.copies_up_to_bytes > Self::MAX_SMALL_BYTES {
            return Err(PolicyError::Small);
        }
        if let Some(copies) = self.rule.small_copies
            && !(1..=Layout::MAX_COPIES).contains(&copies)
        {
            return Err(PolicyError::SmallCopies);
        }
        self.rules.iter().try_for_each(PolicyRule::check)
    }

    /// The policy as it is for one key: without the rules that are for others.
    #[must_use]
    pub fn for_key(mut self, key: &[u8]) -> Self {
        self.rules
            .retain(|rule| key.starts_with(rule.prefix.as_bytes()));
        self
    }

    /// The layout of a blob of `len` bytes. The rules are taken for what fits the key: ask
    /// [`Policy::for_key`] first.
    #[must_use]
    pub fn layout_for(&self, len: u64) -> Layout {
        let fits = |rule: &&PolicyRule| {
            len >= rule.at_least_bytes && rule.below_bytes.is_none_or(|below| len < below)
        };
        match self.rules.iter().find(fits) {
            Some(rule) => SizeRule {
                layout: rule.layout,
                copies_up_to_bytes: self.rule.copies_up_to_bytes,
                small_copies: None,
            }
            .layout_for(len),
            None => self.rule.layout_for(len),
        }
    }

    /// The write quorum of a blob in `layout`, where it is not the layout's own.
    #[must_use]
    pub fn quorum_for(&self, layout: Layout) -> Option<u8> {
        self.quorum.filter(|_| layout == self.rule.layout)
    }

    /// All layouts that a blob may get, each once, the policy's own first.
    #[must_use]
    pub fn layouts(&self) -> Vec<Layout> {
        let small = |layout| SizeRule {
            layout,
            copies_up_to_bytes: self.rule.copies_up_to_bytes,
            small_copies: None,
        };
        let mut all = vec![self.rule.layout];
        if self.rule.copies_up_to_bytes > 0 {
            all.push(self.rule.layout_for(1));
        }
        for rule in &self.rules {
            all.push(rule.layout);
            if self.rule.copies_up_to_bytes > rule.at_least_bytes {
                all.push(small(rule.layout).layout_for(1));
            }
        }
        let mut seen = Vec::with_capacity(all.len());
        all.retain(|layout| {
            !seen.contains(layout) && {
                seen.push(*layout);
                true
            }
        });
        all
    }

    /// The policy that a storage class names: `VIDEO`, `video` and `Video` are `video`, and
    /// `COLD_ARCHIVE` is `cold-archive`.
    #[must_use]
    pub fn name_of_class(class: &str) -> String {
        class.to_ascii_lowercase().replace('_', "-")
    }
}

impl PolicyRule {
    fn check(&self) -> Result<(), PolicyError> {
        if self.prefix.len() > Policy::MAX_PREFIX_LEN {
            return Err(PolicyError::Prefix);
        }
        match self.below_bytes {
            Some(below) if below <= self.at_least_bytes => Err(PolicyError::NoSize {
                at_least: self.at_least_bytes,
                below,
            }),
            _ => Ok(()),
        }
    }
}

/// A quorum below `k + 1` would acknowledge what the next failure destroys.
fn check_quorum(layout: Layout, found: u8) -> Result<(), PolicyError> {
    let least = layout.k() + u8::from(layout.m() > 0);
    let most = layout.width();
    if (least..=most).contains(&found) {
        Ok(())
    } else {
        Err(PolicyError::Quorum {
            layout,
            least,
            most,
            found,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(text: &str) -> Layout {
        text.parse().unwrap()
    }

    fn policy(text: &str) -> Policy {
        let rule = SizeRule::new(layout(text));
        Policy::new("video".to_owned(), rule, FailureDomain::Drive)
    }

    fn rule(prefix: &str, at_least_bytes: u64, below_bytes: Option<u64>, kept: &str) -> PolicyRule {
        PolicyRule {
            prefix: prefix.to_owned(),
            at_least_bytes,
            below_bytes,
            layout: layout(kept),
        }
    }

    #[test]
    fn the_first_rule_that_fits_key_and_size_decides() {
        let mut policy = policy("4+2");
        policy.rules = vec![
            rule("logs/", 0, Some(1 << 20), "copies:2"),
            rule("logs/", 0, None, "8+3"),
            rule("", 1 << 30, None, "16+4"),
        ];
        let kept = |key: &str, len: u64| {
            let policy = policy.clone().for_key(key.as_bytes());
            policy.layout_for(len).to_string()
        };
        assert_eq!(kept("logs/a", 500), "copies:2");
        assert_eq!(kept("logs/a", 1 << 20), "8+3");
        assert_eq!(kept("logs/a", 1 << 31), "8+3");
        assert_eq!(kept("log", 1 << 20), "4+2");
        assert_eq!(kept("log", 500), "copies:3");
        assert_eq!(kept("log", 1 << 30), "16+4");
    }

    #[test]
    fn a_rule_for_an_erasure_layout_keeps_small_blobs_as_copies_too() {
        let mut policy = policy("4+2");
        policy.rule.small_copies = Some(5);
        policy.rules = vec![rule("logs/", 0, None, "8+3")];
        assert_eq!(
            policy.clone().for_key(b"x").layout_for(9),
            layout("copies:5")
        );
        assert_eq!(
            policy.clone().for_key(b"logs/").layout_for(9),
            layout("copies:4")
        );
        let all: Vec<_> = policy.layouts().iter().map(Layout::to_string).collect();
        assert_eq!(all, ["4+2", "copies:5", "8+3", "copies:4"]);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        assert_eq!(policy("4+2").check(), Ok(()));
        for name in ["", "Video", "4k", "a b", "standard", "a_b", &"a".repeat(33)] {
            let mut policy = policy("4+2");
            policy.name = name.to_owned();
            assert_eq!(policy.check(), Err(PolicyError::Name), "{name}");
        }
        for (text, quorum, good) in [
            ("4+2", 4, false),
            ("4+2", 5, true),
            ("4+2", 6, true),
            ("4+2", 7, false),
            ("4+0", 4, true),
            ("copies:3", 1, false),
            ("copies:3", 2, true),
            ("copies:1", 1, true),
            ("copies:1", 2, false),
        ] {
            let mut policy = policy(text);
            policy.quorum = Some(quorum);
            assert_eq!(policy.check().is_ok(), good, "{text} {quorum}");
        }
        let mut policy = policy("4+2");
        policy.rules = vec![rule("", 9, Some(9), "4+2")];
        assert!(matches!(policy.check(), Err(PolicyError::NoSize { .. })));
        policy.rules = vec![rule(&"x".repeat(1025), 0, None, "4+2")];
        assert_eq!(policy.check(), Err(PolicyError::Prefix));
        policy.rules = vec![rule("", 0, None, "4+2"); 33];
        assert_eq!(policy.check(), Err(PolicyError::TooManyRules));
    }

    #[test]
    fn a_quorum_is_for_the_policys_own_layout_only() {
        let mut policy = policy("4+2");
        policy.quorum = Some(6);
        assert_eq!(policy.quorum_for(layout("4+2")), Some(6));
        assert_eq!(policy.quorum_for(layout("copies:3")), None);
    }

    #[test]
    fn a_row_of_before_reads_as_it_was_meant() {
        let old = r#"{"name":"default","rule":{"layout":{"copies":{"n":3}},
            "copies_up_to_bytes":65536},"protect":"drive","generation":1}"#;
        let read: Policy = serde_json::from_str(old).unwrap();
        assert_eq!((read.rules.len(), read.quorum), (0, None));
        let mut policy = policy("8+3/65536");
        policy.rules = vec![rule("a", 1, Some(2), "copies:1")];
        policy.quorum = Some(11);
        policy.rule.small_copies = Some(2);
        let text = serde_json::to_string(&policy).unwrap();
        assert_eq!(serde_json::from_str::<Policy>(&text).unwrap(), policy);
    }

    #[test]
    fn a_storage_class_is_a_policys_name_in_capitals() {
        for (class, name) in [("VIDEO", "video"), ("video", "video"), ("COLD_1", "cold-1")] {
            assert_eq!(Policy::name_of_class(class), name);
        }
    }
}
