//! Cross-origin rules of a bucket: which pages' scripts may read its answers.
//!
//! Rules are checked when they are put, so that matching can't fail and nothing in them could break
//! a header. The first rule that fits a request decides, as on AWS.

use http::HeaderName;
use serde::{Deserialize, Serialize};

use crate::s3::error::S3Error;
use crate::s3::name::BucketName;

/// The methods that a rule may allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CorsMethod {
    /// GET.
    #[serde(rename = "GET")]
    Get,
    /// HEAD.
    #[serde(rename = "HEAD")]
    Head,
    /// PUT.
    #[serde(rename = "PUT")]
    Put,
    /// POST.
    #[serde(rename = "POST")]
    Post,
    /// DELETE.
    #[serde(rename = "DELETE")]
    Delete,
}

impl CorsMethod {
    /// Reads a method, in capitals.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "GET" => Some(Self::Get),
            "HEAD" => Some(Self::Head),
            "PUT" => Some(Self::Put),
            "POST" => Some(Self::Post),
            "DELETE" => Some(Self::Delete),
            _ => None,
        }
    }

    /// In capitals.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Put => "PUT",
            Self::Post => "POST",
            Self::Delete => "DELETE",
        }
    }
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CorsRule {
    /// Its name, in its maker's words.
    pub id: Option<String>,
    /// Origins, each with at most one `*`: at least one.
    pub origins: Vec<String>,
    /// At least one.
    pub methods: Vec<CorsMethod>,
    /// Headers that a preflight may ask for, each with at most one `*`.
    pub headers: Vec<String>,
    /// Headers of answers that a script may read.
    pub expose: Vec<String>,
    /// How long a browser may remember a preflight's answer.
    pub max_age_seconds: Option<u32>,
}

/// A bucket's rules: 1 to [`CorsConfiguration::MAX_RULES`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CorsConfiguration {
    rules: Vec<CorsRule>,
}

/// How a rule came to fit an origin, which says how much it trusts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OriginMatch {
    /// By `*` alone: every page there is.
    Any,
    /// By a pattern.
    Pattern,
    /// By its very name.
    Exact,
}

impl CorsConfiguration {
    /// The most rules.
    pub const MAX_RULES: usize = 100;
    /// The most bytes of the document.
    pub const MAX_DOCUMENT_LEN: usize = 64 << 10;
    /// The longest id of a rule, in characters.
    pub const MAX_ID_CHARS: usize = 255;

    /// Takes rules.
    ///
    /// # Errors
    /// `MalformedXML` for none, or a rule without origins or methods; `InvalidRequest` for too many,
    /// for more than one `*` in a pattern, and for what could be in no header.
    pub fn new(rules: Vec<CorsRule>) -> Result<Self, S3Error> {
        if rules.is_empty() {
            return Err(S3Error::malformed_xml());
        }
        if rules.len() > Self::MAX_RULES {
            return Err(S3Error::invalid_request(
                "The number of CORS rules should not exceed allowed limit of 100 rules.",
            ));
        }
        for rule in &rules {
            rule.check()?;
        }
        Ok(Self { rules })
    }

    /// The rules, in order.
    #[must_use]
    pub fn rules(&self) -> &[CorsRule] {
        &self.rules
    }

    /// The first rule that lets a page of this origin ask with this method and these headers.
    #[must_use]
    pub fn find(
        &self,
        origin: &str,
        method: CorsMethod,
        headers: &[HeaderName],
    ) -> Option<(&CorsRule, OriginMatch)> {
        self.rules.iter().find_map(|rule| {
            let matched = rule.matches_origin(origin)?;
            let fits = rule.methods.contains(&method)
                && headers.iter().all(|header| rule.allows_header(header));
            fits.then_some((rule, matched))
        })
    }
}

impl CorsRule {
    fn check(&self) -> Result<(), S3Error> {
        if self.origins.is_empty() || self.methods.is_empty() {
            return Err(S3Error::malformed_xml());
        }
        let id_chars = self.id.as_deref().unwrap_or_default().chars().count();
        if id_chars > CorsConfiguration::MAX_ID_CHARS {
            return Err(S3Error::invalid_request(
                "The ID of a CORS rule is longer than 255 characters.",
            ));
        }
        for origin in &self.origins {
            check_pattern("AllowedOrigin", origin)?;
        }
        for header in &self.headers {
            check_pattern("AllowedHeader", header)?;
        }
        for header in &self.expose {
            if header.contains('*') {
                return Err(S3Error::invalid_request(format!(
                    "ExposeHeader \"{header}\" contains wildcard. We currently do not support \
                     wildcard for ExposeHeader."
                )));
            }
            if HeaderName::from_bytes(header.as_bytes()).is_err() {
                return Err(S3Error::invalid_request(
                    "An ExposeHeader is not the name of a header.",
                ));
            }
        }
        Ok(())
    }

    fn matches_origin(&self, origin: &str) -> Option<OriginMatch> {
        self.origins
            .iter()
            .filter(|pattern| fits(pattern, origin))
            .map(|pattern| match pattern.as_str() {
                "*" => OriginMatch::Any,
                pattern if pattern.contains('*') => OriginMatch::Pattern,
                _ => OriginMatch::Exact,
            })
            .max_by_key(|matched| match matched {
                OriginMatch::Any => 0,
                OriginMatch::Pattern => 1,
                OriginMatch::Exact => 2,
            })
    }

    fn allows_header(&self, header: &HeaderName) -> bool {
        self.headers
            .iter()
            .any(|pattern| fits(&pattern.to_ascii_lowercase(), header.as_str()))
    }
}

fn check_pattern(element: &str, pattern: &str) -> Result<(), S3Error> {
    if pattern.matches('*').count() > 1 {
        return Err(S3Error::invalid_request(format!(
            "{element} \"{pattern}\" can not have more than one wildcard."
        )));
    }
    if pattern.is_empty() || !pattern.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(S3Error::invalid_request(format!(
            "An {element} must be of visible ASCII characters."
        )));
    }
    Ok(())
}

/// Whether `text` is `pattern`, in which one `*` stands for any characters, even none.
fn fits(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((begin, end)) => {
            text.len() >= begin.len() + end.len() && text.starts_with(begin) && text.ends_with(end)
        }
    }
}

/// PutBucketCors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutBucketCorsInput {
    /// The bucket.
    pub bucket: BucketName,
    /// All its rules from now on.
    pub configuration: CorsConfiguration,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::s3::error::ErrorCode;

    fn rule(origins: &[&str], methods: &[CorsMethod], headers: &[&str]) -> CorsRule {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        CorsRule {
            id: None,
            origins: owned(origins),
            methods: methods.to_vec(),
            headers: owned(headers),
            expose: Vec::new(),
            max_age_seconds: None,
        }
    }

    #[test]
    fn one_star_stands_for_anything() {
        for (pattern, text, expected) in [
            ("*", "https://a", true),
            ("*", "", true),
            ("https://*.a.de", "https://x.a.de", true),
            ("https://*.a.de", "https://.a.de", true),
            ("https://*.a.de", "https://a.de", false),
            ("https://*.a.de", "https://x.a.de.evil.com", false),
            ("https://*.a.de", "http://x.a.de", false),
            ("https://a*", "https://a", true),
            ("aba*aba", "aba", false),
            ("https://a.de", "https://a.de", true),
            ("https://a.de", "https://A.de", false),
            ("https://a.de", "https://a.de:8443", false),
        ] {
            assert_eq!(fits(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn the_first_rule_that_fits_decides() {
        let put = rule(
            &["https://a.de"],
            &[CorsMethod::Put],
            &["x-amz-*", "Content-Type"],
        );
        let get = rule(&["*", "https://b.de"], &[CorsMethod::Get], &[]);
        let all = CorsConfiguration::new(vec![put.clone(), get.clone()]).unwrap();
        let names = |texts: &[&str]| -> Vec<HeaderName> {
            texts
                .iter()
                .map(|text| HeaderName::from_bytes(text.as_bytes()).unwrap())
                .collect()
        };
        let ask =
            |origin: &str, method, headers: &[&str]| all.find(origin, method, &names(headers));
        let exact = Some((&put, OriginMatch::Exact));
        let headers = ["X-Amz-Meta-A", "content-type"];
        assert_eq!(ask("https://a.de", CorsMethod::Put, &headers), exact);
        assert_eq!(ask("https://a.de", CorsMethod::Put, &["range"]), None);
        assert_eq!(ask("https://a.de", CorsMethod::Delete, &[]), None);
        assert_eq!(
            ask("https://a.de", CorsMethod::Get, &[]),
            Some((&get, OriginMatch::Any))
        );
        assert_eq!(
            ask("https://b.de", CorsMethod::Get, &[]),
            Some((&get, OriginMatch::Exact))
        );
        assert_eq!(ask("https://b.de", CorsMethod::Get, &["range"]), None);
    }

    #[test]
    fn rules_that_could_not_be_meant_are_refused() {
        let good = rule(&["*"], &[CorsMethod::Get], &["*"]);
        let with = |change: &dyn Fn(&mut CorsRule)| {
            let mut rule = good.clone();
            change(&mut rule);
            CorsConfiguration::new(vec![rule]).map_err(|error| error.code())
        };
        assert!(with(&|_| {}).is_ok());
        assert!(with(&|rule| rule.id = Some("é".repeat(255))).is_ok());
        let invalid = Err(ErrorCode::InvalidRequest);
        assert_eq!(with(&|rule| rule.id = Some("x".repeat(256))), invalid);
        for origin in [
            "",
            "https://*.*.de",
            "https://a\r\nx: y",
            "https://é",
            "a b",
        ] {
            assert_eq!(
                with(&|rule| rule.origins = vec![origin.to_owned()]),
                invalid,
                "{origin}"
            );
        }
        for header in ["", "x-*-*", "a\r\nb", "a b"] {
            assert_eq!(
                with(&|rule| rule.headers = vec![header.to_owned()]),
                invalid,
                "{header}"
            );
        }
        for header in ["", "x-*", "a\r\nSet-Cookie: b", "a b", "é"] {
            assert_eq!(
                with(&|rule| rule.expose = vec![header.to_owned()]),
                invalid,
                "{header}"
            );
        }
        let malformed = Err(ErrorCode::MalformedXML);
        assert_eq!(with(&|rule| rule.methods.clear()), malformed);
        assert_eq!(with(&|rule| rule.origins.clear()), malformed);
        assert!(CorsConfiguration::new(vec![]).is_err());
        assert!(CorsConfiguration::new(vec![good.clone(); 100]).is_ok());
        let many = CorsConfiguration::new(vec![good; 101]).unwrap_err();
        assert_eq!(many.code(), ErrorCode::InvalidRequest);
    }
}
