//! Microsoft's SharedKey signature, as Azure Blob Storage wants it.
//!
//! Pure: the time and everything else is passed in. The path has to be the one that is sent, as
//! [`encode_path`](super::sigv4::encode_path) makes it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::hmac;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

/// Header fields that are signed by their place, in the order of the places; what isn't there
/// leaves its place empty. `Date` always is, as `x-ms-date` is sent.
const PLACES: [&str; 11] = [
    "content-encoding",
    "content-language",
    "content-length",
    "content-md5",
    "content-type",
    "date",
    "if-modified-since",
    "if-match",
    "if-none-match",
    "if-unmodified-since",
    "range",
];
/// Last second that the date format can express (end of the year 9999). A service's clock may
/// claim anything.
const LAST_SECOND: Duration = Duration::from_secs(253_402_300_799);

/// Who signs.
#[derive(Clone, Copy)]
pub struct Signer<'a> {
    /// Name of the storage account.
    pub account: &'a str,
    /// Its key, decoded.
    pub key: &'a [u8],
}

/// What is signed of a request.
pub struct Signable<'a> {
    /// Method.
    pub method: &'a str,
    /// Path as it is sent.
    pub path: &'a str,
    /// Query, not encoded, in any order; each name once and in lower case.
    pub query: &'a [(&'a str, &'a str)],
    /// Header fields, each name once and in lower case, with neither date nor length.
    pub headers: &'a [(&'a str, String)],
    /// Bytes of the body.
    pub length: u64,
}

impl Signer<'_> {
    /// The header fields that make `request` a signed one at `time`.
    pub fn sign(&self, request: &Signable<'_>, time: SystemTime) -> [(&'static str, String); 2] {
        let first = SystemTime::UNIX_EPOCH;
        let date = httpdate::fmt_http_date(time.clamp(first, first + LAST_SECOND));
        let mut fields: Vec<_> =
            request.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let length = request.length.to_string();
        if request.length > 0 {
            fields.push(("content-length", &length));
        }
        fields.push(("x-ms-date", &date));

        let mut text = format!("{}\n", request.method);
        for place in PLACES {
            let field = fields.iter().find(|(name, _)| *name == place);
            text.push_str(field.map_or("", |(_, value)| value));
            text.push('\n');
        }
        fields.retain(|(name, _)| name.starts_with("x-ms-"));
        fields.sort_by_cached_key(|(name, _)| rank(name));
        for (name, value) in fields {
            // Writing to a text doesn't fail, here and below.
            let _ = writeln!(text, "{name}:{value}");
        }
        let _ = write!(text, "/{}{}", self.account, request.path);
        let mut query = request.query.to_vec();
        query.sort();
        for (name, value) in query {
            let _ = write!(text, "\n{name}:{value}");
        }

        let key = hmac::Key::new(hmac::HMAC_SHA256, self.key);
        let signature = BASE64.encode(hmac::sign(&key, text.as_bytes()));
        let authorization = format!("SharedKey {}:{signature}", self.account);
        [("x-ms-date", date), ("authorization", authorization)]
    }
}

/// Where the service sorts the name of a field: by its letters, digits, which come before them, and
/// `_`, which comes before these. Hyphens count only between names that are the same without: then
/// the one whose first other hyphen comes later is first.
fn rank(name: &str) -> (Vec<u8>, Vec<bool>) {
    let letters = name.bytes().filter(|byte| *byte != b'-');
    let letters = letters.map(|byte| if byte == b'_' { b' ' } else { byte });
    (letters.collect(), name.bytes().map(|byte| byte == b'-').collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_as_the_service_does() {
        let sorted = ["x-ms-a_b", "x-ms-a1", "x-ms-ab", "x-ms-a-b", "x-ms-ab-c", "x-ms-a-bc"];
        let mut names = sorted;
        names.sort();
        names.sort_by_key(|name| rank(name));
        assert_eq!(names, sorted);
    }

    #[test]
    fn any_clock_can_be_signed_with() {
        let signer = Signer { account: "a", key: b"" };
        let request = Signable { method: "GET", path: "/", query: &[], headers: &[], length: 0 };
        let first = SystemTime::UNIX_EPOCH;
        for (time, year) in
            [(first - Duration::from_secs(9), "1970"), (first + LAST_SECOND * 2, "9999")]
        {
            assert!(signer.sign(&request, time)[0].1.contains(year));
        }
    }
}
