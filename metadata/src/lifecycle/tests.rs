//! When rules act: tables of days, filters and standings.

use super::*;

const DAY: LifecycleDay = LifecycleDay::REAL;
const DAY_MS: u64 = 86_400_000;
/// 2014-01-15T10:30Z, the moment of AWS's own example.
const WRITTEN: u64 = 1_389_781_800_000;
/// 2014-01-19T00:00Z.
const AFTER_THREE_DAYS: u64 = 1_390_089_600_000;

fn rule(id: &str) -> LifecycleRule {
    LifecycleRule {
        id: id.to_owned(),
        filter: LifecycleFilter::default(),
        expiration: None,
        noncurrent: None,
        abort_upload_days: None,
    }
}

fn expires(days: u32) -> LifecycleRule {
    LifecycleRule {
        expiration: Some(Expiration::Days(days)),
        ..rule("expires")
    }
}

fn drops(days: u32, keep_newer: u32) -> LifecycleRule {
    LifecycleRule {
        noncurrent: Some(NoncurrentExpiration { days, keep_newer }),
        ..rule("drops")
    }
}

fn tags(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

fn subject<'s>(key: &'s str, size: u64, standing: Standing) -> Subject<'s> {
    Subject {
        key: key.as_bytes(),
        size,
        tags: None,
        standing,
    }
}

const CURRENT: Standing = Standing::Current {
    written_ms: WRITTEN,
};
const NONCURRENT: Standing = Standing::Noncurrent { since_ms: WRITTEN };
const LONE: Standing = Standing::LoneMarker {
    written_ms: WRITTEN,
};

#[test]
fn days_end_at_the_next_midnight() {
    assert_eq!(DAY.midnight_after(WRITTEN, 3), AFTER_THREE_DAYS);
    let midnight = AFTER_THREE_DAYS;
    assert_eq!(DAY.midnight_after(midnight, 1), midnight + 2 * DAY_MS);
    assert_eq!(DAY.midnight_after(midnight - 1, 1), midnight + DAY_MS);
    assert_eq!(DAY.midnight_after(midnight + 1, 1), midnight + 2 * DAY_MS);
    assert_eq!(
        LifecycleDay::of_seconds(10).midnight_after(25_000, 1),
        40_000
    );
    assert_eq!(LifecycleDay::of_seconds(0).as_ms(), 1000);
    assert_eq!(DAY.midnight_after(u64::MAX, u32::MAX), u64::MAX);
}

#[test]
fn each_action_is_about_its_own_standing() {
    let at = |rule: LifecycleRule, standing| {
        LifecycleRules(vec![rule]).look_at_ms(&subject("k", 1, standing), DAY)
    };
    let date = |at_ms| LifecycleRule {
        expiration: Some(Expiration::AtMs(at_ms)),
        ..rule("date")
    };
    let lone = || LifecycleRule {
        expiration: Some(Expiration::LoneMarker),
        ..rule("lone")
    };
    let tomorrow = Some(DAY.midnight_after(WRITTEN, 0));
    for (rule, current, marker, noncurrent) in [
        (
            expires(3),
            Some(AFTER_THREE_DAYS),
            Some(AFTER_THREE_DAYS),
            None,
        ),
        (date(7), Some(7), Some(7), None),
        (lone(), None, tomorrow, None),
        (drops(3, 0), None, None, Some(AFTER_THREE_DAYS)),
        (drops(3, 9), None, None, Some(AFTER_THREE_DAYS)),
        (rule("nothing"), None, None, None),
    ] {
        assert_eq!(at(rule.clone(), CURRENT), current, "{rule:?}");
        assert_eq!(at(rule.clone(), LONE), marker, "{rule:?}");
        assert_eq!(at(rule.clone(), NONCURRENT), noncurrent, "{rule:?}");
        assert_eq!(at(rule.clone(), Standing::MarkerAbove), None, "{rule:?}");
    }
}

#[test]
fn a_filter_holds_as_a_whole() {
    let filter = LifecycleFilter {
        prefix: "logs/".to_owned(),
        tags: tags(&[("a", "1"), ("b", "2")]),
        larger_than: Some(10),
        smaller_than: Some(20),
    };
    let fits = |key: &str, size, known: Option<&BTreeMap<String, String>>| {
        filter.fits(&Subject {
            tags: known,
            ..subject(key, size, CURRENT)
        })
    };
    let both = tags(&[("a", "1"), ("b", "2"), ("c", "3")]);
    assert!(fits("logs/x", 11, Some(&both)));
    assert!(fits("logs/", 19, Some(&both)));
    assert!(fits("logs/x", 15, None), "unknown tags may be any");
    assert!(!fits("log", 15, Some(&both)));
    assert!(!fits("logs/x", 10, Some(&both)));
    assert!(!fits("logs/x", 20, Some(&both)));
    assert!(!fits("logs/x", 15, Some(&tags(&[("a", "1")]))));
    assert!(!fits("logs/x", 15, Some(&tags(&[("a", "1"), ("b", "")]))));
    assert!(!fits("logs/x", 15, Some(&BTreeMap::new())));
}

#[test]
fn the_earliest_rule_decides_and_none_decides_early() {
    let rules = LifecycleRules(vec![expires(9), expires(3)]);
    let subject = subject("k", 1, CURRENT);
    let decide = |now_ms| rules.decide(&subject, 0, DAY, now_ms);
    assert_eq!(
        decide(AFTER_THREE_DAYS - 1),
        Verdict::NotBefore(AFTER_THREE_DAYS)
    );
    assert_eq!(decide(AFTER_THREE_DAYS), Verdict::Now(&rules.0[1]));
    let (at_ms, rule) = rules.expiry_of(&subject, DAY).unwrap();
    assert_eq!((at_ms, rule), (AFTER_THREE_DAYS, &rules.0[1]));
    assert_eq!(
        LifecycleRules::default().decide(&subject, 0, DAY, u64::MAX),
        Verdict::Never
    );
}

#[test]
fn newer_versions_are_counted_when_the_days_are_over() {
    let rules = LifecycleRules(vec![drops(3, 2), drops(5, 0)]);
    let subject = subject("k", 1, NONCURRENT);
    let after_five = DAY.midnight_after(WRITTEN, 5);
    for (newer, now_ms, expected) in [
        (
            9,
            AFTER_THREE_DAYS - 1,
            Verdict::NotBefore(AFTER_THREE_DAYS),
        ),
        (2, AFTER_THREE_DAYS, Verdict::Now(&rules.0[0])),
        (1, AFTER_THREE_DAYS, Verdict::NotBefore(after_five)),
        (0, after_five, Verdict::Now(&rules.0[1])),
    ] {
        assert_eq!(
            rules.decide(&subject, newer, DAY, now_ms),
            expected,
            "{newer} {now_ms}"
        );
    }
    let alone = LifecycleRules(vec![drops(3, 2)]);
    assert_eq!(alone.decide(&subject, 1, DAY, u64::MAX), Verdict::Never);
    assert_eq!(rules.kept_newer(b"k"), BTreeSet::from([2]));
}

#[test]
fn uploads_are_about_their_prefix() {
    let mut only = rule("aborts");
    only.abort_upload_days = Some(3);
    only.filter.prefix = "in/".to_owned();
    let rules = LifecycleRules(vec![expires(1), only]);
    assert_eq!(
        rules.abort_of(b"in/x", WRITTEN, DAY),
        Some((AFTER_THREE_DAYS, &rules.0[1]))
    );
    assert_eq!(rules.abort_of(b"out/x", WRITTEN, DAY), None);
}

#[test]
fn rules_are_kept_as_json() {
    let mut tagged = drops(3, 2);
    tagged.filter.tags = tags(&[("a", "1")]);
    let rules = LifecycleRules(vec![expires(1), tagged]);
    let json = serde_json::to_string(&rules).unwrap();
    assert_eq!(
        serde_json::from_str::<LifecycleRules>(&json).unwrap(),
        rules
    );
    assert!(rules.look_at_tags());
    assert!(!LifecycleRules(vec![expires(1)]).look_at_tags());
}

#[test]
fn the_common_prefix_is_of_rules_about_versions() {
    let of = |prefixes: &[&str]| {
        let rules = prefixes.iter().map(|prefix| {
            let mut rule = expires(1);
            rule.filter.prefix = (*prefix).to_owned();
            rule
        });
        let mut rules = LifecycleRules(rules.collect());
        let mut aborts = rule("aborts");
        aborts.abort_upload_days = Some(1);
        rules.0.push(aborts);
        rules.common_prefix().to_owned()
    };
    assert_eq!(of(&[]), "");
    assert_eq!(of(&["a/b"]), "a/b");
    assert_eq!(of(&["a/b", "a/c"]), "a/");
    assert_eq!(of(&["a/b", "a/bc", "a/b"]), "a/b");
    assert_eq!(of(&["a", ""]), "");
    assert_eq!(of(&["é", "è"]), "", "never within a character");
}
