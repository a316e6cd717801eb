//! What sets the services of this family apart from each other, as data.

use super::presets::Preset;
use crate::hash::HashKind;
use crate::remote::{
    Bucket, Descriptor, Field, FieldKind, Listing, Moves, NameRule, Needed, Suggestion, field,
};
use std::time::SystemTime;

pub(super) const GIB: u64 = 1 << 30;
/// Most parts of an upload; none has more than 5 GiB.
pub(super) const MAX_PARTS: u64 = 10_000;

/// One of the languages that are spoken in this family.
pub(super) struct Dialect {
    pub descriptor: &'static Descriptor,
    /// Who speaks it. The first is meant where nobody is named, the last where an address is given
    /// that is nobody's.
    pub presets: &'static [Preset],
    pub names: Names,
    pub sign: Sign,
    /// How old servers want it, which refuse `sign`.
    pub old_sign: Option<Sign>,
    /// The field of a write that expects nothing in its place, and the status that refuses it.
    pub absent: (&'static str, &'static str),
    pub taken: u16,
    /// Whether a write or a removal may be told which version it expects.
    pub if_match: bool,
    /// Most bytes that are copied in one request.
    pub max_copy: u64,
    /// Fields of every download.
    pub read: &'static [(&'static str, &'static str)],
    /// Whether a listing goes on after a key, not from a token.
    pub by_marker: bool,
    /// Whether what a listing goes on from is encoded as its keys are.
    pub encoded_tokens: bool,
    /// Whether the digits of ETags are in upper case.
    pub capital_etags: bool,
    /// Whether the source of a copy is told by its host.
    pub source_by_host: bool,
    /// Whether a bucket's name ends with the number of the account.
    pub numbered_buckets: bool,
    /// Namespace of the list of what to remove.
    pub namespace: &'static str,
}

/// Names of header fields.
pub(super) struct Names {
    pub class: &'static str,
    pub sse: &'static str,
    pub sse_key: &'static str,
    pub sse_customer: &'static str,
    /// Time of modification, as rclone keeps it.
    pub mtime: &'static str,
    /// MD5 of what was sent in parts, as rclone keeps it.
    pub md5: &'static str,
    pub source: &'static str,
    /// Which bytes of the source are copied as a part.
    pub source_range: &'static str,
    /// `None` where the source of a copy can't be told by its version.
    pub source_match: Option<&'static str>,
    /// What kind of object it is, where there are several.
    pub kind: &'static str,
    /// Where the bucket is.
    pub region: &'static str,
    /// CRC-64/XZ of all of an object however it was written, in decimal digits: by their documentation,
    /// OSS and COS tell it of what they store, have and send. `None` where the service tells none.
    pub crc64: Option<&'static str>,
}

/// The names that begin with `$prefix`; what the name of the field with a key of KMS ends with is
/// `$key`.
macro_rules! names {
    ($prefix:literal, $key:literal) => {
        Names {
            class: concat!($prefix, "storage-class"),
            sse: concat!($prefix, "server-side-encryption"),
            sse_key: concat!($prefix, "server-side-encryption-", $key),
            sse_customer: concat!($prefix, "server-side-encryption-customer-algorithm"),
            mtime: concat!($prefix, "meta-mtime"),
            md5: concat!($prefix, "meta-md5chksum"),
            source: concat!($prefix, "copy-source"),
            source_range: concat!($prefix, "copy-source-range"),
            source_match: Some(concat!($prefix, "copy-source-if-match")),
            kind: concat!($prefix, "object-type"),
            region: concat!($prefix, "bucket-region"),
            crc64: None,
        }
    };
}
pub(super) use names;

/// The header fields that make a request a signed one.
pub(super) type Sign = fn(&Draft<'_>) -> Vec<(&'static str, String)>;

/// A request that is to be signed.
pub(super) struct Draft<'a> {
    pub access_key: &'a str,
    pub secret_key: &'a str,
    pub region: &'a str,
    pub method: &'static str,
    /// Host, with the port unless it is the scheme's own.
    pub host: &'a str,
    /// Path of the address, not encoded.
    pub path: &'a str,
    /// `/bucket/key`, wherever the bucket's name stands, not encoded.
    pub resource: &'a str,
    /// Query, not encoded.
    pub query: &'a [(&'a str, &'a str)],
    pub headers: &'a [(&'static str, String)],
    /// SHA-256 of the body in hexadecimal digits, or what stands for it.
    pub sha256: &'a str,
    pub time: SystemTime,
}

/// What the descriptors of all of them have in common.
pub(super) const COMMON: Descriptor = Descriptor {
    name: "",
    label: "",
    fields: &[],
    providers: &[],
    sign_in: None,
    task_fields: &[],
    listing: Listing::Flat,
    folders_implied: true,
    moves: Moves::Files,
    folds_case: false,
    namesakes: false,
    keeps_mtime: true,
    hash: Some(HashKind::Md5),
    max_size: Some(MAX_PARTS * 5 * GIB),
    max_path: 1024,
    names: NameRule { names: &[".", ".."], ..NameRule::NONE },
    stored_bytes: None,
    bucket: Some(Bucket { min: 3, max: 63, extra: "-" }),
};

pub(super) const ENDPOINT: Field = Field {
    place: true,
    ..field(
        "endpoint",
        "Address",
        "https://host[:port], where it isn't the provider's own for the region",
        FieldKind::Url,
        Needed::No,
    )
};
pub(super) const REGION: Field = Field {
    place: true,
    ..field("region", "Region", "as the provider calls it", FieldKind::Text, Needed::No)
};
/// The region where the address follows from it alone.
pub(super) const fn region(suggestions: &'static [Suggestion]) -> Field {
    Field { kind: FieldKind::TextLike(suggestions), needed: Needed::Yes, ..REGION }
}
pub(super) const BUCKET: Field = Field {
    place: true,
    ..field("bucket", "Bucket", "name of the bucket", FieldKind::Bucket, Needed::Yes)
};
pub(super) const ACCESS_KEY: Field =
    field("access-key", "Access key", "ID of the access key", FieldKind::Text, Needed::Yes);
pub(super) const SECRET_KEY: Field =
    field("secret-key", "Secret key", "secret of the access key", FieldKind::Secret, Needed::Yes);
pub(super) const PART_SIZE: Field = field(
    "part-size",
    "Part size",
    "MiB of each part of a large file, 5 to 5120",
    FieldKind::Number(5, 5120),
    Needed::Default("8"),
);
/// Where parts may be smaller.
pub(super) const SMALL_PART_SIZE: Field = Field {
    help: "MiB of each part of a large file, 1 to 5120",
    kind: FieldKind::Number(1, 5120),
    ..PART_SIZE
};

/// How the service is to encrypt what it keeps, in the words that the dialect has.
pub(super) const fn sse(words: &'static [&'static str]) -> Field {
    field(
        "sse",
        "Encryption by the service",
        "to ask for on each write",
        FieldKind::Choice(words),
        Needed::Default("none"),
    )
}
pub(super) const SSE_KEY: Field = field(
    "sse-key",
    "Encryption key",
    "ID of the key of KMS that the service is to encrypt with; left out for its own",
    FieldKind::Text,
    Needed::No,
);

/// Which storage class to write to.
pub(super) const fn class(help: &'static str) -> Field {
    field("storage-class", "Storage class", help, FieldKind::Text, Needed::No)
}

pub(super) const fn suggestion(value: &'static str, label: &'static str) -> Suggestion {
    Suggestion { value, label }
}
