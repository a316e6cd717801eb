//! Who offers services of this family, where, and what is different there: a line each.
//!
//! Where nothing else is said, what a service can is found out by asking it.

use super::dialect::{GIB, MAX_PARTS};
use crate::remote::Provider;

/// A provider with what is different there.
pub(super) struct Preset {
    pub provider: Provider,
    /// Whether the bucket's name stands in the host, where that can be.
    pub virtual_host: bool,
    /// Whether a service in the wrong region tells the right one.
    pub tells_region: bool,
    /// Whether it may check what a write expects to find. Where it may, it is tried once.
    pub conditions: bool,
    /// Most parts of an upload, and fewest bytes of each but the last.
    pub max_parts: u64,
    pub min_part: u64,
    /// Whether all parts but the last have to be of one size.
    pub equal_parts: bool,
    /// Largest file in bytes, where that is less than elsewhere.
    pub max_size: u64,
    /// Longest path in bytes, where that is less than elsewhere.
    pub max_path: usize,
}

#[rustfmt::skip]
pub(super) const AMAZON: [Preset; 23] = [
    at("amazon", "Amazon S3", "s3.{region}.amazonaws.com", &[
        "us-east-1", "us-east-2", "us-west-1", "us-west-2", "af-south-1", "ap-east-1", "ap-east-2", "ap-northeast-1",
        "ap-northeast-2", "ap-northeast-3", "ap-south-1", "ap-south-2", "ap-southeast-1", "ap-southeast-2",
        "ap-southeast-3", "ap-southeast-4", "ap-southeast-5", "ap-southeast-6", "ap-southeast-7", "ca-central-1",
        "ca-west-1", "eu-central-1", "eu-central-2", "eu-north-1", "eu-south-1", "eu-south-2", "eu-west-1", "eu-west-2",
        "eu-west-3", "il-central-1", "me-central-1", "me-south-1", "mx-central-1", "sa-east-1"]).virtual_host().tells_region(),
    at("amazon-china", "Amazon S3 China", "s3.{region}.amazonaws.com.cn", &["cn-north-1", "cn-northwest-1"]).virtual_host().tells_region(),
    at("backblaze", "Backblaze B2 (S3)", "s3.{region}.backblazeb2.com", &["us-west-001", "us-west-002", "us-west-004", "us-east-005", "eu-central-003", "ca-east-006"]),
    own("ceph", "Ceph", "https://ceph.example.com", &["us-east-1"]),
    own("cloudflare", "Cloudflare R2", "https://ACCOUNT.r2.cloudflarestorage.com", &["auto"]).equal_parts(),
    at("digitalocean", "DigitalOcean Spaces", "{region}.digitaloceanspaces.com", &["ams3", "blr1", "fra1", "lon1", "nyc3", "sfo2", "sfo3", "sgp1", "syd1", "tor1"]),
    own("garage", "Garage", "http://garage.example.com:3900", &["garage"]).no_conditions(),
    // By keys for interoperability (HMAC). What a write expects could be told by its generation alone, not by its ETag.
    at("google", "Google Cloud Storage (HMAC keys)", "storage.googleapis.com", &["auto"]).no_conditions(),
    at("hetzner", "Hetzner Object Storage", "{region}.your-objectstorage.com", &["fsn1", "hel1", "nbg1"]),
    at("hicloud", "hicloud S3", "s3.hicloud.net.tw", &["us-east-1"]).limits(1 << 40, 255),
    own("idrive", "IDrive e2", "https://NAME.NUMBER.idrivee2-1.com", &["us-east-1"]),
    at("impossible", "Impossible Cloud", "{region}.storage.impossibleapi.net", &["eu-central-2", "eu-east-1", "eu-north-1", "eu-west-1", "eu-west-2", "eu-west-3", "us-east-1"]),
    at("ionos", "IONOS Object Storage", "s3.{region}.ionoscloud.com", &["eu-central-1", "eu-central-2", "eu-central-3", "eu-central-4", "eu-south-2", "us-central-1"]),
    at("leviia", "Leviia", "s3.leviia.com", &["us-east-1"]),
    at("linode", "Linode Object Storage", "{region}.linodeobjects.com", &[
        "ap-south-1", "br-gru-1", "es-mad-1", "eu-central-1", "fr-par-1", "gb-lon-1", "id-cgk-1", "in-maa-1", "it-mil-1", "jp-osa-1",
        "jp-tyo-1", "nl-ams-1", "se-sto-1", "sg-sin-1", "us-east-1", "us-iad-10", "us-lax-1", "us-mia-1", "us-ord-1", "us-sea-1", "us-southeast-1"]),
    own("minio", "MinIO", "https://minio.example.com:9000", &["us-east-1"]),
    at("ovh", "OVHcloud", "s3.{region}.io.cloud.ovh.net", &["ap-south-mum", "ap-southeast-syd", "bhs", "ca-east-tor", "de", "eu-west-par", "gra", "rbx", "sbg", "sgp", "uk", "waw"]),
    at("scaleway", "Scaleway", "s3.{region}.scw.cloud", &["fr-par", "nl-ams", "pl-waw"]).parts(1000, 5 << 20),
    at("sfr", "SFR NAS Backup", "api.suite-stockage-cloud.sfrbusinessteam.fr", &["us-east-1"]).limits(39 * GIB / 10, 1024),
    at("storj", "Storj", "gateway.storjshare.io", &["us-east-1"]).parts(MAX_PARTS, 64 << 20),
    at("synology-c2", "Synology C2", "{region}.s3.synologyc2.net", &["eu-001", "eu-002", "tw-001", "us-001", "us-002"]),
    at("wasabi", "Wasabi", "s3.{region}.wasabisys.com", &[
        "us-east-1", "us-east-2", "us-central-1", "us-west-1", "ap-northeast-1", "ap-northeast-2", "ap-southeast-1", "ap-southeast-2",
        "ca-central-1", "eu-central-1", "eu-central-2", "eu-south-1", "eu-west-1", "eu-west-2"]),
    own("other", "Another server", "https://nas.example.com:9000", &["us-east-1"]),
];

pub(super) const OSS: [Preset; 1] =
    [at("aliyun", "Alibaba Cloud", "oss-{region}.aliyuncs.com", &[]).virtual_host()];

pub(super) const COS: [Preset; 1] =
    [at("tencent", "Tencent Cloud", "cos.{region}.myqcloud.com", &[]).virtual_host()];

pub(super) const JD: [Preset; 1] =
    [at("jd", "JD Cloud", "s3.{region}.jdcloud-oss.com", &[]).no_conditions()];

/// The words for Amazon's and those like it.
pub(super) const AMAZON_WORDS: [&str; AMAZON.len()] = {
    let mut words = [""; AMAZON.len()];
    let mut at = 0;
    while at < words.len() {
        words[at] = AMAZON[at].provider.name;
        at += 1;
    }
    words
};

/// What a person has to know of them.
pub(super) const fn providers<const N: usize>(presets: &[Preset; N]) -> [Provider; N] {
    let mut providers = [presets[0].provider; N];
    let mut at = 0;
    while at < N {
        providers[at] = presets[at].provider;
        at += 1;
    }
    providers
}

/// One at this host, in these regions.
const fn at(
    name: &'static str,
    label: &'static str,
    host: &'static str,
    regions: &'static [&'static str],
) -> Preset {
    Preset {
        provider: Provider { name, label, address: host, own_address: false, regions },
        virtual_host: false,
        tells_region: false,
        conditions: true,
        max_parts: MAX_PARTS,
        min_part: 0,
        equal_parts: false,
        max_size: u64::MAX,
        max_path: usize::MAX,
    }
}

/// One of which everybody has an address of their own, such as this.
const fn own(
    name: &'static str,
    label: &'static str,
    example: &'static str,
    regions: &'static [&'static str],
) -> Preset {
    let preset = at(name, label, example, regions);
    Preset { provider: Provider { own_address: true, ..preset.provider }, ..preset }
}

impl Preset {
    const fn virtual_host(self) -> Preset {
        Preset { virtual_host: true, ..self }
    }

    const fn tells_region(self) -> Preset {
        Preset { tells_region: true, ..self }
    }

    const fn no_conditions(self) -> Preset {
        Preset { conditions: false, ..self }
    }

    const fn parts(self, max_parts: u64, min_part: u64) -> Preset {
        Preset { max_parts, min_part, ..self }
    }

    const fn equal_parts(self) -> Preset {
        Preset { equal_parts: true, ..self }
    }

    const fn limits(self, max_size: u64, max_path: usize) -> Preset {
        Preset { max_size, max_path, ..self }
    }
}
