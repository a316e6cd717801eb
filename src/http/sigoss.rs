//! The signatures of Alibaba Cloud OSS: version 4, and version 1, which is all that old servers know.
//!
//! Pure: the time and everything else is passed in. Neither signs the body: TLS and the MD5 that is
//! sent with it protect that. The path and the query have to be on the wire as
//! [`encode_path`](super::sigv4::encode_path) and [`encode_query`](super::sigv4::encode_query) make
//! them.

use super::sigv2::OSS;
pub use super::sigv2::Signable;
use super::sigv4::{UNSIGNED_PAYLOAD, derive, encode_path, encode_query, sha256_hex, signed_time};
use crate::model::to_hex;
use std::time::SystemTime;

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
            OSS.fields(request.headers.iter().chain(&signed), &["content-md5", "content-type"]);

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
        OSS.sign(self.access_key, self.secret_key, request, time).into()
    }
}
