//! Amazon's signature version 4, as S3 and what speaks its language want it.
//!
//! Pure: the time and everything else is passed in. The path and the query are encoded here too,
//! because they have to reach the wire exactly as they were signed.

use crate::model::to_hex;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use ring::{digest, hmac};
use std::time::{Duration, SystemTime};

/// Everything but the unreserved characters of RFC 3986.
pub(super) const VALUE: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// In a path, slashes stay.
const PATH: &AsciiSet = &VALUE.remove(b'/');
/// Last second that the date formats can express (end of the year 9999).
const LAST_SECOND: Duration = Duration::from_secs(253_402_300_799);
/// Fields that proxies add or alter (botocore leaves them out as well).
const UNSIGNED: &[&str] = &["accept-encoding", "content-length", "expect", "user-agent"];

/// Stands for the hash of a body that TLS protects instead.
pub const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";

/// Who signs, and for where.
#[derive(Clone, Copy)]
pub struct Signer<'a> {
    /// Public part of the credentials.
    pub access_key: &'a str,
    /// Secret part of the credentials.
    pub secret_key: &'a str,
    /// Region of the bucket.
    pub region: &'a str,
    /// `s3`.
    pub service: &'a str,
}

/// What is signed of a request.
pub struct Signable<'a> {
    /// Method.
    pub method: &'a str,
    /// Host, with the port unless it is the scheme's own.
    pub host: &'a str,
    /// Path as [`encode_path`] made it.
    pub path: &'a str,
    /// Query as [`encode_query`] made it.
    pub query: &'a str,
    /// Header fields, each name once.
    pub headers: &'a [(&'static str, String)],
    /// [`sha256_hex`] of the body, or [`UNSIGNED_PAYLOAD`].
    pub payload: &'a str,
}

/// A path, percent-encoded once from its bytes; nothing in it is normalised.
pub fn encode_path(path: &str) -> String {
    utf8_percent_encode(path, PATH).to_string()
}

/// A query in the order that is signed.
pub fn encode_query(pairs: &[(&str, &str)]) -> String {
    let encode = |text| utf8_percent_encode(text, VALUE).to_string();
    let mut parts: Vec<_> =
        pairs.iter().map(|(name, value)| (encode(name), encode(value))).collect();
    parts.sort();
    let parts: Vec<_> = parts.iter().map(|(name, value)| format!("{name}={value}")).collect();
    parts.join("&")
}

/// SHA-256 as hexadecimal digits.
pub fn sha256_hex(bytes: &[u8]) -> String {
    to_hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

impl Signer<'_> {
    /// The header fields that make `request` a signed one at `time`.
    pub fn sign(&self, request: &Signable<'_>, time: SystemTime) -> [(&'static str, String); 3] {
        let time = signed_time(time);
        let stamp = humantime::format_rfc3339_seconds(time).to_string().replace(['-', ':'], "");
        let day = stamp.get(..8).unwrap_or_default();

        let mut fields: Vec<(String, String)> = request
            .headers
            .iter()
            .map(|(name, value)| (name.to_ascii_lowercase(), squeeze(value)))
            .filter(|(name, _)| !UNSIGNED.contains(&name.as_str()))
            .collect();
        fields.push(("host".into(), request.host.into()));
        fields.push(("x-amz-content-sha256".into(), request.payload.into()));
        fields.push(("x-amz-date".into(), stamp.clone()));
        fields.sort();

        let names: Vec<_> = fields.iter().map(|(name, _)| name.as_str()).collect();
        let names = names.join(";");
        let mut canonical = format!("{}\n{}\n{}\n", request.method, request.path, request.query);
        for (name, value) in &fields {
            canonical.push_str(&format!("{name}:{value}\n"));
        }
        canonical.push_str(&format!("\n{names}\n{}", request.payload));

        let scope = format!("{day}/{}/{}/aws4_request", self.region, self.service);
        let hash = sha256_hex(canonical.as_bytes());
        let text = format!("AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hash}");
        let first = format!("AWS4{}", self.secret_key).into_bytes();
        let key = derive(first, [day, self.region, self.service, "aws4_request", &text]);
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={}",
            self.access_key,
            to_hex(&key)
        );
        [
            ("x-amz-content-sha256", request.payload.to_owned()),
            ("x-amz-date", stamp),
            ("authorization", authorization),
        ]
    }
}

/// The time nearest to this one that can be signed: a service's clock may claim anything.
pub(super) fn signed_time(time: SystemTime) -> SystemTime {
    let first = SystemTime::UNIX_EPOCH;
    time.clamp(first, first + LAST_SECOND)
}

/// A key made of another one and each of these texts in turn by HMAC-SHA-256. The last is what is
/// signed.
pub(super) fn derive(first: Vec<u8>, texts: [&str; 5]) -> Vec<u8> {
    texts.into_iter().fold(first, |key, text| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
        hmac::sign(&key, text.as_bytes()).as_ref().to_vec()
    })
}

/// A header value without blanks around it and with single blanks inside.
fn squeeze(value: &str) -> String {
    value.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of the S3 documentation, "Signature Calculations for the Authorization
    /// Header": 2013-05-24, AKIAIOSFODNN7EXAMPLE.
    fn signature(
        method: &str,
        path: &str,
        query: &str,
        headers: &[(&'static str, String)],
        payload: &[u8],
    ) -> String {
        let signer = Signer {
            access_key: "AKIAIOSFODNN7EXAMPLE",
            secret_key: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            region: "us-east-1",
            service: "s3",
        };
        let payload = sha256_hex(payload);
        let host = "examplebucket.s3.amazonaws.com";
        let request = Signable { method, host, path, query, headers, payload: &payload };
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_369_353_600);
        let [_, date, (_, authorization)] = signer.sign(&request, time);
        assert_eq!(date.1, "20130524T000000Z");
        authorization.rsplit_once("Signature=").unwrap().1.to_owned()
    }

    #[test]
    fn signs_as_the_documentation_does() {
        assert_eq!(
            signature("GET", "/test.txt", "", &[("Range", "bytes=0-9".into())], b""),
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
        );
        let put = [
            ("date", "Fri, 24 May 2013 00:00:00 GMT".to_owned()),
            ("x-amz-storage-class", "REDUCED_REDUNDANCY".to_owned()),
        ];
        assert_eq!(
            signature("PUT", &encode_path("/test$file.text"), "", &put, b"Welcome to Amazon S3."),
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"
        );
        assert_eq!(
            signature("GET", "/", &encode_query(&[("lifecycle", "")]), &[], b""),
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"
        );
        let list = encode_query(&[("prefix", "J"), ("max-keys", "2")]);
        assert_eq!(
            signature("GET", "/", &list, &[], b""),
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"
        );
    }

    #[test]
    fn what_proxies_alter_is_not_signed() {
        let plain = signature("PUT", "/a", "", &[], b"x");
        assert_eq!(signature("PUT", "/a", "", &[("Expect", "100-continue".into())], b"x"), plain);
        assert_ne!(signature("PUT", "/a", "", &[("x-amz-acl", "private".into())], b"x"), plain);
        let spaced = [("x-amz-acl", "  a   b ".to_owned())];
        let tight = [("x-amz-acl", "a b".to_owned())];
        assert_eq!(signature("PUT", "/", "", &spaced, b""), signature("PUT", "/", "", &tight, b""));
    }

    #[test]
    fn encodes_bytes_once_and_normalises_nothing() {
        assert_eq!(encode_path("/a//./..%41é e\u{301}+"), "/a//./..%2541%C3%A9%20e%CC%81%2B");
        assert_eq!(encode_query(&[("b", "1/2"), ("a-", ""), ("a", "&=")]), "a=%26%3D&a-=&b=1%2F2");
    }

    #[test]
    fn any_clock_can_be_signed_with() {
        let signer = Signer { access_key: "a", secret_key: "", region: "", service: "s3" };
        let request =
            Signable { method: "GET", host: "h", path: "/", query: "", headers: &[], payload: "" };
        let first = SystemTime::UNIX_EPOCH;
        for (time, year) in
            [(first - Duration::from_secs(9), "1970"), (first + LAST_SECOND * 2, "9999")]
        {
            assert!(signer.sign(&request, time)[1].1.starts_with(year));
        }
    }
}
