//! The signatures of Alibaba Cloud OSS: version 4, and version 1, which is all that old servers know.
//!
//! Pure: the time and everything else is passed in. Neither signs the body: TLS and the MD5 that is
//! sent with it protect that. The path and the query have to be on the wire as
//! [`encode_path`](super::sigv4::encode_path) and [`encode_query`](super::sigv4::encode_query) make
//! them.

use super::sigv4::{UNSIGNED_PAYLOAD, derive, encode_path, encode_query, sha256_hex, signed_time};
use crate::model::to_hex;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::hmac;
use std::time::SystemTime;

/// Parts of a query that version 1 signs, of those that name what is asked for.
const RESOURCES: &[&str] =
    &["continuation-token", "delete", "partNumber", "uploadId", "uploads", "versioning"];

/// Who signs, and for where.
#[derive(Clone, Copy)]
pub struct Signer<'a> {
    /// Public part of the credentials.
    pub access_key: &'a str,
    /// Secret part of the credentials.
    pub secret_key: &'a str,
    /// Region of the bucket, such as `cn-hangzhou`. Version 1 doesn't need it.
    pub region: &'a str,
}

/// What is signed of a request.
pub struct Signable<'a> {
    /// Method.
    pub method: &'a str,
    /// `/bucket/key`, wherever the bucket's name stands on the wire, and not encoded.
    pub resource: &'a str,
    /// Query, not encoded.
    pub query: &'a [(&'a str, &'a str)],
    /// Header fields with names in lower case, each once.
    pub headers: &'a [(&'static str, String)],
}

impl Signer<'_> {
    /// The header fields that make `request` one that is signed by version 4 at `time`.
    pub fn sign(&self, request: &Signable<'_>, time: SystemTime) -> Vec<(&'static str, String)> {
        let time = signed_time(time);
        let stamp = humantime::format_rfc3339_seconds(time).to_string().replace(['-', ':'], "");
        let day = stamp.get(..8).unwrap_or_default();
        let mut signed = vec![
            ("x-oss-content-sha256", UNSIGNED_PAYLOAD.to_owned()),
            ("x-oss-date", stamp.clone()),
        ];
        let fields =
            fields(request.headers.iter().chain(&signed), &["content-md5", "content-type"]);

        let path = encode_path(request.resource);
        let query = encode_query(request.query);
        let query: Vec<_> = query.split('&').map(|pair| pair.trim_end_matches('=')).collect();
        let canonical = format!(
            "{}\n{path}\n{}\n{fields}\n\n{UNSIGNED_PAYLOAD}",
            request.method,
            query.join("&")
        );
        let scope = format!("{day}/{}/oss/aliyun_v4_request", self.region);
        let hash = sha256_hex(canonical.as_bytes());
        let text = format!("OSS4-HMAC-SHA256\n{stamp}\n{scope}\n{hash}");
        let first = format!("aliyun_v4{}", self.secret_key);
        let steps = [day, self.region, "oss", "aliyun_v4_request", &text];
        let signature = to_hex(&derive(first.into_bytes(), steps));
        let who = format!("OSS4-HMAC-SHA256 Credential={}/{scope}", self.access_key);
        signed.push(("authorization", format!("{who},Signature={signature}")));
        signed
    }

    /// The header fields that make `request` one that is signed by version 1 at `time`.
    pub fn sign_v1(&self, request: &Signable<'_>, time: SystemTime) -> Vec<(&'static str, String)> {
        let date = httpdate::fmt_http_date(signed_time(time));
        let header = |name: &str| {
            let found = request.headers.iter().find(|(each, _)| *each == name);
            found.map_or("", |(_, value)| value.as_str())
        };
        let mut resources: Vec<_> =
            request.query.iter().filter(|(name, _)| RESOURCES.contains(name)).collect();
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
            fields(request.headers.iter(), &[]),
            request.resource,
            resources.join("&")
        );
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, self.secret_key.as_bytes());
        let signature = BASE64.encode(hmac::sign(&key, text.as_bytes()));
        vec![("date", date), ("authorization", format!("OSS {}:{signature}", self.access_key))]
    }
}

/// The service's own header fields and these others in their order, a line each.
fn fields<'a>(
    headers: impl Iterator<Item = &'a (&'static str, String)>,
    others: &[&str],
) -> String {
    let mut fields: Vec<_> =
        headers.filter(|(name, _)| name.starts_with("x-oss-") || others.contains(name)).collect();
    // By their names alone: a colon comes after a hyphen.
    fields.sort();
    fields.into_iter().map(|(name, value)| format!("{name}:{}\n", value.trim())).collect()
}
