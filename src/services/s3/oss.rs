//! Alibaba Cloud OSS: its own names, signatures and conditions.

use super::dialect::{
    ACCESS_KEY, BUCKET, COMMON, Dialect, Draft, ENDPOINT, GIB, Names, SECRET_KEY, SMALL_PART_SIZE,
    SSE_KEY, class, names, region, sse, suggestion,
};
use super::presets::OSS;
use crate::http::sigoss::{Signable, Signer};
use crate::remote::{Descriptor, Suggestion};

pub(super) static DIALECT: Dialect = Dialect {
    descriptor: &DESCRIPTOR,
    presets: &OSS,
    names: Names { crc64: Some("x-oss-hash-crc64ecma"), ..names!("x-oss-", "key-id") },
    sign,
    old_sign: Some(sign_v1),
    // Without effect in a bucket that has or had versioning.
    absent: ("x-oss-forbid-overwrite", "true"),
    taken: 409,
    if_match: false,
    max_copy: GIB - 1,
    // Else a range that isn't in the file is answered with all of it.
    read: &[("x-oss-range-behavior", "standard")],
    by_marker: false,
    encoded_tokens: true,
    capital_etags: true,
    source_by_host: false,
    numbered_buckets: false,
    namespace: "",
};

const REGIONS: &[Suggestion] = &[
    suggestion("cn-hangzhou", "Hangzhou"),
    suggestion("cn-shanghai", "Shanghai"),
    suggestion("cn-nanjing", "Nanjing"),
    suggestion("cn-fuzhou", "Fuzhou"),
    suggestion("cn-qingdao", "Qingdao"),
    suggestion("cn-beijing", "Beijing"),
    suggestion("cn-zhangjiakou", "Zhangjiakou"),
    suggestion("cn-huhehaote", "Hohhot"),
    suggestion("cn-wulanchabu", "Ulanqab"),
    suggestion("cn-shenzhen", "Shenzhen"),
    suggestion("cn-heyuan", "Heyuan"),
    suggestion("cn-guangzhou", "Guangzhou"),
    suggestion("cn-chengdu", "Chengdu"),
    suggestion("cn-hongkong", "Hong Kong"),
    suggestion("ap-northeast-1", "Tokyo"),
    suggestion("ap-northeast-2", "Seoul"),
    suggestion("ap-southeast-1", "Singapore"),
    suggestion("ap-southeast-3", "Kuala Lumpur"),
    suggestion("ap-southeast-5", "Jakarta"),
    suggestion("ap-southeast-6", "Manila"),
    suggestion("ap-southeast-7", "Bangkok"),
    suggestion("eu-central-1", "Frankfurt"),
    suggestion("eu-west-1", "London"),
    suggestion("us-west-1", "Silicon Valley"),
    suggestion("us-east-1", "Virginia"),
    suggestion("me-east-1", "Dubai"),
    suggestion("me-central-1", "Riyadh"),
];

static DESCRIPTOR: Descriptor = Descriptor {
    name: "aliyun-oss",
    label: "Alibaba Cloud OSS",
    fields: &[
        region(REGIONS),
        BUCKET,
        ACCESS_KEY,
        SECRET_KEY,
        ENDPOINT,
        SMALL_PART_SIZE,
        class(
            "for what Mooring writes: IA, Archive, ColdArchive or DeepColdArchive; out of an \
             archive nothing is read before it is restored",
        ),
        sse(&["none", "AES256", "KMS", "SM4"]),
        SSE_KEY,
    ],
    max_path: 1023,
    ..COMMON
};

fn sign(draft: &Draft<'_>) -> Vec<(&'static str, String)> {
    signer(draft).sign(&signable(draft), draft.time)
}

fn sign_v1(draft: &Draft<'_>) -> Vec<(&'static str, String)> {
    signer(draft).sign_v1(&signable(draft), draft.time)
}

fn signer<'a>(draft: &Draft<'a>) -> Signer<'a> {
    let Draft { access_key, secret_key, region, .. } = *draft;
    Signer { access_key, secret_key, region }
}

fn signable<'a>(draft: &Draft<'a>) -> Signable<'a> {
    let Draft { method, resource, query, headers, .. } = *draft;
    Signable { method, resource, query, headers }
}
