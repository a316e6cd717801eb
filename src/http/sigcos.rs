//! The signature of Tencent Cloud COS, version 5.
//!
//! Pure: the time and everything else is passed in. It doesn't sign the body: TLS and the MD5 that is
//! sent with it protect that.

use super::sigv4::{VALUE, signed_time};
use crate::model::to_hex;
use percent_encoding::utf8_percent_encode;
use ring::{digest, hmac};
use std::time::{Duration, SystemTime};

/// A signature holds from so long before its time, as clocks differ, …
const BEFORE: Duration = Duration::from_secs(60);
/// … until so long after it. It has to last until the request has arrived.
const AFTER: Duration = Duration::from_secs(10_000);
/// Fields that proxies add or alter.
const UNSIGNED: &[&str] = &["expect"];

/// Who signs.
#[derive(Clone, Copy)]
pub struct Signer<'a> {
    /// Public part of the credentials (the service calls it SecretId).
    pub access_key: &'a str,
    /// Secret part of the credentials.
    pub secret_key: &'a str,
}

/// What is signed of a request.
pub struct Signable<'a> {
    /// Method.
    pub method: &'a str,
    /// Host, with the port unless it is the scheme's own.
    pub host: &'a str,
    /// Path of the address, not encoded.
    pub path: &'a str,
    /// Query, not encoded.
    pub query: &'a [(&'a str, &'a str)],
    /// Header fields with names in lower case, each once.
    pub headers: &'a [(&'static str, String)],
}

impl Signer<'_> {
    /// The header field that makes `request` a signed one at `time`.
    pub fn sign(&self, request: &Signable<'_>, time: SystemTime) -> (&'static str, String) {
        let seconds = |time: SystemTime| {
            let time = signed_time(time);
            time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
        };
        let from = seconds(time).saturating_sub(BEFORE.as_secs());
        let times = format!("{from};{}", seconds(time) + AFTER.as_secs());

        let (query, query_names) = pairs(request.query.iter().copied());
        let host = ("host", request.host);
        let fields = request.headers.iter().map(|(name, value)| (*name, value.as_str()));
        let fields = fields.filter(|(name, _)| !UNSIGNED.contains(name)).chain([host]);
        let (fields, field_names) = pairs(fields);
        let method = request.method.to_ascii_lowercase();
        let text = format!("{method}\n{}\n{query}\n{fields}\n", request.path);
        let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
        let text = format!("sha1\n{times}\n{}\n", to_hex(hash.as_ref()));
        let signature = hmac_hex(&hmac_hex(self.secret_key, &times), &text);
        let value = format!(
            "q-sign-algorithm=sha1&q-ak={}&q-sign-time={times}&q-key-time={times}\
             &q-header-list={field_names}&q-url-param-list={query_names}&q-signature={signature}",
            self.access_key
        );
        ("authorization", value)
    }
}

/// Names with their values, and the names alone, as they are signed.
fn pairs<'a>(all: impl Iterator<Item = (&'a str, &'a str)>) -> (String, String) {
    let encode = |text| utf8_percent_encode(text, VALUE).to_string();
    let mut all: Vec<_> =
        all.map(|(name, value)| (encode(name).to_ascii_lowercase(), encode(value))).collect();
    all.sort();
    let pairs: Vec<_> = all.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let names: Vec<_> = all.into_iter().map(|(name, _)| name).collect();
    (pairs.join("&"), names.join(";"))
}

fn hmac_hex(key: &str, text: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key.as_bytes());
    to_hex(hmac::sign(&key, text.as_bytes()).as_ref())
}
