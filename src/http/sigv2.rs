//! The signature that came before Amazon's version 4, which old servers know alone: version 2, and version 1 of Alibaba
//! Cloud OSS, which is the same in other words.
//!
//! Pure: the time and everything else is passed in. The body isn't signed but by the MD5 that is sent with it.

use super::sigv4::signed_time;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::hmac;
use std::time::SystemTime;

/// What is signed of a request.
pub struct Signable<'a> {
    /// Method.
    pub method: &'a str,
    /// `/bucket/key`, wherever the bucket's name stands on the wire: encoded to Amazon's, and not to
    /// that of OSS.
    pub resource: &'a str,
    /// Query, not encoded.
    pub query: &'a [(&'a str, &'a str)],
    /// Header fields with names in lower case, each once.
    pub headers: &'a [(&'static str, String)],
}

/// The words of a service.
pub struct Words {
    scheme: &'static str,
    /// What the names of its own header fields begin with.
    prefix: &'static str,
    /// Parts of a query that are signed, of those that name what is asked for.
    resources: &'static [&'static str],
}

/// Amazon's version 2.
pub const AMAZON: Words = Words {
    scheme: "AWS",
    prefix: "x-amz-",
    resources: &["delete", "lifecycle", "partNumber", "uploadId", "uploads", "versioning"],
};

/// Version 1 of Alibaba Cloud OSS.
pub const OSS: Words = Words {
    scheme: "OSS",
    prefix: "x-oss-",
    resources: &[
        "continuation-token",
        "delete",
        "lifecycle",
        "partNumber",
        "uploadId",
        "uploads",
        "versioning",
    ],
};

impl Words {
    /// The header fields that make `request` a signed one at `time`.
    pub fn sign(
        &self,
        access_key: &str,
        secret_key: &str,
        request: &Signable<'_>,
        time: SystemTime,
    ) -> [(&'static str, String); 2] {
        let date = httpdate::fmt_http_date(signed_time(time));
        let header = |name: &str| {
            let found = request.headers.iter().find(|(each, _)| *each == name);
            found.map_or("", |(_, value)| value.as_str())
        };
        let mut resources: Vec<_> =
            request.query.iter().filter(|(name, _)| self.resources.contains(name)).collect();
        resources.sort();
        let resources: Vec<_> = resources
            .into_iter()
            .map(|(name, value)| match *value {
                "" => (*name).to_owned(),
                value => format!("{name}={value}"),
            })
            .collect();
        let mark = if resources.is_empty() { "" } else { "?" };
        let text = format!(
            "{}\n{}\n{}\n{date}\n{}{}{mark}{}",
            request.method,
            header("content-md5"),
            header("content-type"),
            self.fields(request.headers.iter(), &[]),
            request.resource,
            resources.join("&")
        );
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret_key.as_bytes());
        let signature = BASE64.encode(hmac::sign(&key, text.as_bytes()));
        [("date", date), ("authorization", format!("{} {access_key}:{signature}", self.scheme))]
    }

    /// The service's own header fields and these others in their order, a line each.
    pub(super) fn fields<'a>(
        &self,
        headers: impl Iterator<Item = &'a (&'static str, String)>,
        others: &[&str],
    ) -> String {
        let is_signed = |name: &str| name.starts_with(self.prefix) || others.contains(&name);
        let mut fields: Vec<_> = headers.filter(|(name, _)| is_signed(name)).collect();
        // By their names alone: a colon comes after a hyphen.
        fields.sort();
        fields.into_iter().map(|(name, value)| format!("{name}:{}\n", value.trim())).collect()
    }
}
