//! Tencent Cloud COS: its own names, signature and conditions, and the first version of listings.

use super::dialect::{
    ACCESS_KEY, BUCKET, COMMON, Dialect, Draft, ENDPOINT, GIB, Names, SECRET_KEY, SMALL_PART_SIZE,
    SSE_KEY, class, names, region, sse, suggestion,
};
use super::presets::COS;
use crate::http::sigcos::{Signable, Signer};
use crate::remote::{Bucket, Descriptor, Field, NameRule, Suggestion};

pub(super) static DIALECT: Dialect = Dialect {
    descriptor: &DESCRIPTOR,
    presets: &COS,
    names: Names { crc64: Some("x-cos-hash-crc64ecma"), ..names!("x-cos-", "cos-kms-key-id") },
    sign,
    old_sign: None,
    // Without effect in a bucket that has or had versioning.
    absent: ("x-cos-forbid-overwrite", "true"),
    taken: 409,
    if_match: false,
    max_copy: 5 * GIB,
    read: &[],
    by_marker: true,
    encoded_tokens: false,
    capital_etags: false,
    source_by_host: true,
    numbered_buckets: true,
    namespace: "",
};

const REGIONS: &[Suggestion] = &[
    suggestion("ap-beijing", "Beijing"),
    suggestion("ap-nanjing", "Nanjing"),
    suggestion("ap-shanghai", "Shanghai"),
    suggestion("ap-guangzhou", "Guangzhou"),
    suggestion("ap-chengdu", "Chengdu"),
    suggestion("ap-chongqing", "Chongqing"),
    suggestion("ap-hongkong", "Hong Kong"),
    suggestion("ap-singapore", "Singapore"),
    suggestion("ap-jakarta", "Jakarta"),
    suggestion("ap-mumbai", "Mumbai"),
    suggestion("ap-seoul", "Seoul"),
    suggestion("ap-bangkok", "Bangkok"),
    suggestion("ap-tokyo", "Tokyo"),
    suggestion("na-siliconvalley", "Silicon Valley"),
    suggestion("na-ashburn", "Virginia"),
    suggestion("sa-saopaulo", "São Paulo"),
    suggestion("eu-frankfurt", "Frankfurt"),
];

static DESCRIPTOR: Descriptor = Descriptor {
    name: "tencent-cos",
    label: "Tencent Cloud COS",
    fields: &[
        region(REGIONS),
        Field {
            help: "name of the bucket with the number of the account, such as photos-1250000000",
            ..BUCKET
        },
        Field { help: "SecretId", ..ACCESS_KEY },
        Field { help: "SecretKey", ..SECRET_KEY },
        ENDPOINT,
        SMALL_PART_SIZE,
        class(
            "for what Mooring writes: STANDARD_IA, INTELLIGENT_TIERING, MAZ_STANDARD, \
             MAZ_STANDARD_IA, ARCHIVE or DEEP_ARCHIVE; out of an archive nothing is read before \
             it is restored",
        ),
        sse(&["none", "AES256", "cos/kms"]),
        SSE_KEY,
    ],
    max_path: 797,
    names: NameRule { characters: "?~", names: &[".", ".."], ..NameRule::NONE },
    bucket: Some(Bucket { min: 3, max: 60, extra: "-" }),
    ..COMMON
};

fn sign(draft: &Draft<'_>) -> Vec<(&'static str, String)> {
    let Draft { access_key, secret_key, method, host, path, query, headers, .. } = *draft;
    let signer = Signer { access_key, secret_key };
    vec![signer.sign(&Signable { method, host, path, query, headers }, draft.time)]
}
