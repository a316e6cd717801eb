//! The signatures of the dialects of S3, compared with those of the services' official clients.

use crate::common::dice::Dice;
use crate::common::peers::python;
use mooring::http::{sigcos, sigoss, sigv2, sigv4};
use serde_json::json;
use std::io::Write as _;
use std::process::Stdio;
use std::time::{Duration, SystemTime};

/// How many requests are signed by each scheme.
const REQUESTS: u64 = 10_000;
const CHARACTERS: &[char] = &[
    'a',
    'Z',
    '0',
    '-',
    '.',
    '_',
    '~',
    '/',
    ' ',
    '%',
    '+',
    '&',
    '=',
    '?',
    '#',
    ';',
    ',',
    ':',
    '!',
    '*',
    '\'',
    '(',
    ')',
    '@',
    '$',
    '"',
    '<',
    '[',
    '\\',
    '^',
    '`',
    '{',
    '|',
    'é',
    'ß',
    '日',
    '\u{1f600}',
    '\u{301}',
    '\u{1}',
];

/// A request that nobody needs.
#[derive(Clone)]
struct Odd {
    method: &'static str,
    bucket: String,
    key: String,
    query: Vec<(String, String)>,
    headers: Vec<(&'static str, String)>,
    region: String,
    access_key: String,
    secret_key: String,
    time: u64,
}

impl Odd {
    fn roll(dice: &mut Dice, own: &[&'static str]) -> Odd {
        let word = |dice: &mut Dice, most| {
            let length = 1 + dice.roll(most);
            (0..length)
                .map(|_| dice.pick(b"abcxyz019-").map_or('a', |it| char::from(*it)))
                .collect()
        };
        let text = |dice: &mut Dice, most| -> String {
            let length = dice.roll(most);
            (0..length).filter_map(|_| dice.pick(CHARACTERS).copied()).collect()
        };
        // A name of which there are two isn't asked for by anybody.
        let all = [
            "uploads",
            "uploadId",
            "partNumber",
            "prefix",
            "list-type",
            "max-keys",
            "delete",
            "continuation-token",
            "versioning",
            "lifecycle",
            "encoding-type",
            "marker",
            "start-after",
        ];
        let mut query = Vec::new();
        for name in all {
            if dice.roll(4) == 0 {
                query.push((name.to_owned(), text(dice, 12)));
            }
        }
        let plain = |dice: &mut Dice| -> String {
            let length = 1 + dice.roll(20);
            let known = b"abcXYZ0189-/=+;:\"*";
            (0..length).map(|_| dice.pick(known).map_or('a', |it| char::from(*it))).collect()
        };
        let mut headers = Vec::new();
        let usual = ["content-md5", "content-type", "range", "if-match", "if-none-match"];
        for name in usual.iter().chain(own) {
            if dice.roll(3) == 0 {
                headers.push((*name, plain(dice)));
            }
        }
        let methods = ["GET", "HEAD", "PUT", "POST", "DELETE"];
        Odd {
            method: dice.pick(&methods).copied().unwrap_or("GET"),
            bucket: word(dice, 20),
            key: text(dice, 40),
            query,
            headers,
            region: word(dice, 12),
            access_key: word(dice, 20),
            // Without one the clients don't sign.
            secret_key: text(dice, 40) + "k",
            time: 100_000 + dice.roll(4_000_000_000),
        }
    }

    fn query(&self) -> Vec<(&str, &str)> {
        self.query.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }

    fn time(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(self.time)
    }

    fn line(&self, scheme: &str, more: &[(&str, &str)]) -> String {
        let headers = self.headers.iter().map(|(name, value)| (*name, value.as_str()));
        let headers: serde_json::Map<_, _> = headers
            .chain(more.iter().copied())
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        let line = json!({
            "scheme": scheme, "key": self.access_key, "secret": self.secret_key, "region": self.region,
            "time": self.time, "method": self.method, "bucket": self.bucket, "object": self.key,
            "query": self.query, "headers": headers,
        });
        format!("{line}\n")
    }
}

/// Signs as the official client does, and as `ours`; the latter also tells what to ask of theirs.
fn compare(seed: u64, own: &[&'static str], ours: fn(&Odd) -> (String, String)) {
    let mut dice = Dice::new(seed);
    let all: Vec<_> = (0..REQUESTS).map(|_| ours(&Odd::roll(&mut dice, own))).collect();
    let mut client =
        python("s3_signatures.py").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut asked = client.stdin.take().unwrap();
    let lines: String = all.iter().map(|(line, _)| line.as_str()).collect();
    let asking = std::thread::spawn(move || asked.write_all(lines.as_bytes()).unwrap());
    let output = client.wait_with_output().unwrap();
    asking.join().unwrap();
    assert!(output.status.success());
    let theirs = String::from_utf8(output.stdout).unwrap();
    let theirs: Vec<_> = theirs.lines().collect();
    assert_eq!(theirs.len() as u64, REQUESTS);
    for ((line, ours), theirs) in all.iter().zip(theirs) {
        assert_eq!(ours, theirs, "{line}");
    }
}

fn authorization(fields: Vec<(&'static str, String)>) -> String {
    let found = fields.into_iter().find(|(name, _)| *name == "authorization");
    found.map(|(_, value)| value).unwrap_or_default()
}

#[test]
fn amazons_are_as_botocore_has_them() {
    compare(1, &["x-amz-meta-mtime", "x-amz-storage-class", "x-amz-copy-source"], |odd| {
        let host = "bucket.s3.amazonaws.com";
        let payload = sigv4::UNSIGNED_PAYLOAD;
        let signer = sigv4::Signer {
            access_key: &odd.access_key,
            secret_key: &odd.secret_key,
            region: &odd.region,
            service: "s3",
        };
        let path = sigv4::encode_path(&format!("/{}/{}", odd.bucket, odd.key));
        let query = sigv4::encode_query(&odd.query());
        let request = sigv4::Signable {
            method: odd.method,
            host,
            path: &path,
            query: &query,
            headers: &odd.headers,
            payload,
        };
        let fields = signer.sign(&request, odd.time());
        let more = [
            ("host", host),
            ("x-amz-content-sha256", payload),
            ("x-amz-date", fields[1].1.as_str()),
        ];
        (odd.line("aws", &more), authorization(fields.to_vec()))
    });
}

#[test]
fn amazons_older_ones_are_as_botocore_has_them() {
    compare(5, &["x-amz-meta-mtime", "x-amz-storage-class", "x-amz-copy-source"], |odd| {
        let resource = sigv4::encode_path(&format!("/{}/{}", odd.bucket, odd.key));
        let (query, headers) = (odd.query(), odd.headers.as_slice());
        let request =
            sigv2::Signable { method: odd.method, resource: &resource, query: &query, headers };
        let fields = sigv2::AMAZON.sign(&odd.access_key, &odd.secret_key, &request, odd.time());
        let line = odd.line("aws2", &[("date", fields[0].1.as_str())]);
        (line, authorization(fields.into()))
    });
}

fn oss(odd: &Odd, v1: bool) -> String {
    let signer = sigoss::Signer {
        access_key: &odd.access_key,
        secret_key: &odd.secret_key,
        region: &odd.region,
    };
    let resource = format!("/{}/{}", odd.bucket, odd.key);
    let (query, headers) = (odd.query(), odd.headers.as_slice());
    let request =
        sigoss::Signable { method: odd.method, resource: &resource, query: &query, headers };
    authorization(match v1 {
        true => signer.sign_v1(&request, odd.time()),
        false => signer.sign(&request, odd.time()),
    })
}

const OF_OSS: &[&str] = &["x-oss-meta-mtime", "x-oss-storage-class", "x-oss-forbid-overwrite"];

#[test]
fn those_of_oss_are_as_its_client_has_them() {
    compare(2, OF_OSS, |odd| (odd.line("oss4", &[]), oss(odd, false)));
    compare(3, OF_OSS, |odd| (odd.line("oss1", &[]), oss(odd, true)));
}

#[test]
fn those_of_cos_are_as_its_client_has_them() {
    compare(4, &["x-cos-meta-mtime", "x-cos-copy-source", "x-cos-forbid-overwrite"], |odd| {
        let host = "bucket-1250000000.cos.ap-guangzhou.myqcloud.com";
        let (query, path) = (odd.query(), format!("/{}", odd.key.trim_start_matches('/')));
        let request = sigcos::Signable {
            method: odd.method,
            host,
            path: &path,
            query: &query,
            headers: &odd.headers,
        };
        let signer = sigcos::Signer { access_key: &odd.access_key, secret_key: &odd.secret_key };
        let fields = vec![signer.sign(&request, odd.time())];
        let asked = Odd { key: path.clone(), ..odd.clone() };
        (asked.line("cos", &[("host", host)]), authorization(fields))
    });
}
