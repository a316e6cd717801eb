//! Amazon S3, and all that speak its language word for word.

use super::dialect::{
    ACCESS_KEY, BUCKET, COMMON, Dialect, Draft, ENDPOINT, GIB, Names, PART_SIZE, REGION,
    SECRET_KEY, SSE_KEY, class, names, sse, suggestion,
};
use super::presets::{AMAZON, AMAZON_WORDS, providers};
use crate::http::sigv2;
use crate::http::sigv4::{Signable, Signer, encode_path, encode_query};
use crate::remote::{
    Bucket, Descriptor, Field, FieldKind, NameRule, Needed, Provider, Suggestion, field,
};

pub(super) static DIALECT: Dialect =
    Dialect { descriptor: &DESCRIPTOR, presets: &AMAZON, old_sign: Some(sign_v2), ..AS_AMAZON };

/// The language itself.
pub(super) const AS_AMAZON: Dialect = Dialect {
    descriptor: &DESCRIPTOR,
    presets: &[],
    names: names!("x-amz-", "aws-kms-key-id"),
    sign,
    old_sign: None,
    absent: ("if-none-match", "*"),
    taken: 412,
    if_match: true,
    max_copy: 5 * GIB,
    read: &[],
    by_marker: false,
    encoded_tokens: false,
    capital_etags: false,
    source_by_host: false,
    numbered_buckets: false,
    namespace: " xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"",
};

/// Where Amazon is that isn't found by the region alone.
const ADDRESSES: &[Suggestion] = &[
    suggestion("https://s3.cn-north-1.amazonaws.com.cn", "Amazon China (Beijing)"),
    suggestion("https://s3.cn-northwest-1.amazonaws.com.cn", "Amazon China (Ningxia)"),
];

/// Amazon's regions that need no opting in.
const REGIONS: &[Suggestion] = &[
    suggestion("us-east-1", "Amazon: US East (N. Virginia)"),
    suggestion("us-east-2", "Amazon: US East (Ohio)"),
    suggestion("us-west-1", "Amazon: US West (N. California)"),
    suggestion("us-west-2", "Amazon: US West (Oregon)"),
    suggestion("ca-central-1", "Amazon: Canada (Central)"),
    suggestion("eu-central-1", "Amazon: Europe (Frankfurt)"),
    suggestion("eu-west-1", "Amazon: Europe (Ireland)"),
    suggestion("eu-west-2", "Amazon: Europe (London)"),
    suggestion("eu-west-3", "Amazon: Europe (Paris)"),
    suggestion("eu-north-1", "Amazon: Europe (Stockholm)"),
    suggestion("ap-northeast-1", "Amazon: Asia Pacific (Tokyo)"),
    suggestion("ap-northeast-2", "Amazon: Asia Pacific (Seoul)"),
    suggestion("ap-northeast-3", "Amazon: Asia Pacific (Osaka)"),
    suggestion("ap-south-1", "Amazon: Asia Pacific (Mumbai)"),
    suggestion("ap-southeast-1", "Amazon: Asia Pacific (Singapore)"),
    suggestion("ap-southeast-2", "Amazon: Asia Pacific (Sydney)"),
    suggestion("sa-east-1", "Amazon: South America (São Paulo)"),
    suggestion("cn-north-1", "Amazon: China (Beijing)"),
    suggestion("cn-northwest-1", "Amazon: China (Ningxia)"),
];

static PROVIDERS: [Provider; AMAZON.len()] = providers(&AMAZON);

static DESCRIPTOR: Descriptor = Descriptor {
    name: "s3",
    label: "Amazon S3 and compatible",
    fields: &[
        Field {
            place: true,
            ..field(
                "provider",
                "Provider",
                "whose service it is; left out for Amazon, or when the address tells",
                FieldKind::Choice(&AMAZON_WORDS),
                Needed::No,
            )
        },
        Field { kind: FieldKind::UrlLike(ADDRESSES), ..ENDPOINT },
        Field { kind: FieldKind::TextLike(REGIONS), ..REGION },
        BUCKET,
        ACCESS_KEY,
        SECRET_KEY,
        field(
            "addressing",
            "Addressing",
            "where the bucket's name stands: in the path or in the host (virtual)",
            FieldKind::Choice(&["auto", "path", "virtual"]),
            Needed::Default("auto"),
        ),
        PART_SIZE,
        class(
            "for what Mooring writes: STANDARD_IA, ONEZONE_IA, INTELLIGENT_TIERING, GLACIER_IR, \
             REDUCED_REDUNDANCY, GLACIER, DEEP_ARCHIVE or what the provider has; out of the last \
             two nothing is read before it is restored",
        ),
        sse(&["none", "AES256", "aws:kms"]),
        SSE_KEY,
    ],
    providers: &PROVIDERS,
    max_size: Some(5 << 40),
    names: NameRule { characters: "\"<>|{^}%`][~#", names: &[".", ".."], ..NameRule::NONE },
    bucket: Some(Bucket { min: 3, max: 63, extra: ".-" }),
    ..COMMON
};

fn sign(draft: &Draft<'_>) -> Vec<(&'static str, String)> {
    let Draft { access_key, secret_key, region, .. } = *draft;
    let signer = Signer { access_key, secret_key, region, service: "s3" };
    let request = Signable {
        method: draft.method,
        host: draft.host,
        path: &encode_path(draft.path),
        query: &encode_query(draft.query),
        headers: draft.headers,
        payload: draft.sha256,
    };
    signer.sign(&request, draft.time).into()
}

fn sign_v2(draft: &Draft<'_>) -> Vec<(&'static str, String)> {
    let Draft { access_key, secret_key, method, path, resource, query, headers, .. } = *draft;
    // Where the bucket's name stands in the path, no slash is sent after it.
    let bucket = resource.strip_suffix('/').filter(|it| !it.is_empty() && path.ends_with(it));
    let resource = &encode_path(bucket.unwrap_or(resource));
    let request = sigv2::Signable { method, resource, query, headers };
    sigv2::AMAZON.sign(access_key, secret_key, &request, draft.time).into()
}
