//! Where a bucket is found.

use super::dialect::Dialect;
use super::presets::Preset;
use super::wrong;
use crate::error::Result;
use crate::remote::Settings;
use std::net::IpAddr;

/// Where `{region}` stands in the name of a provider's host.
const REGION: &str = "{region}";

/// Where a bucket is found.
pub(super) struct Address {
    tls: bool,
    host: Host,
    /// Path before the bucket.
    base: String,
    virtual_host: bool,
}

enum Host {
    /// A provider's own, which follows the region.
    Of(&'static str),
    /// Name and port.
    At(String),
}

/// A request's place on the wire.
pub(super) struct Spot {
    pub scheme: &'static str,
    /// With the port unless it is the scheme's own.
    pub host: String,
    /// Not encoded.
    pub path: String,
}

/// What the settings say of where a bucket is.
pub(super) struct Found {
    pub address: Address,
    pub preset: &'static Preset,
    pub region: String,
}

impl Found {
    /// # Errors
    /// `Usage`, naming the setting.
    pub fn by(dialect: &Dialect, settings: &Settings, bucket: &str) -> Result<Found> {
        let wrong = |key: &str, cause: String| wrong(dialect, key, cause);
        let presets = dialect.presets;
        let named = settings.given("provider");
        let named = presets.iter().find(|it| Some(it.provider.name) == named);
        let mut address =
            Address { tls: true, host: Host::Of(""), base: String::new(), virtual_host: false };
        let mut own = None;
        if let Some((scheme, rest)) = settings.given("endpoint").and_then(|it| it.split_once("://"))
        {
            let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
            if host.is_empty() || rest.contains(['@', '?', '#', '%', ' ']) {
                let cause = "it is more than a scheme, a host, a port and a path";
                return Err(wrong("endpoint", cause.into()));
            }
            address.tls = scheme == "https";
            let port = if address.tls { ":443" } else { ":80" };
            own = Some(host.strip_suffix(port).unwrap_or(host).to_ascii_lowercase());
            let path = path.trim_end_matches('/');
            if !path.is_empty() {
                address.base = format!("/{path}");
            }
        }
        let is_meant = |preset: &&Preset| match (&own, settings.given("region")) {
            (Some(host), _) => is_of(preset, host),
            // Of Amazon's own, which the region tells apart.
            (None, Some(region)) => {
                preset.tells_region && preset.provider.regions.contains(&region)
            }
            (None, None) => true,
        };
        let meant = || presets.iter().find(is_meant);
        let otherwise = if own.is_some() { presets.last() } else { presets.first() };
        let Some(preset) = named.or_else(meant).or(otherwise) else {
            return Err(wrong("provider", "nobody offers this".into()));
        };
        let provider = &preset.provider;
        if own.is_none() && provider.own_address {
            let (label, example) = (provider.label, provider.address);
            let cause = format!("{label} needs the address that you have there, like {example}");
            return Err(wrong("endpoint", cause));
        }
        let in_host = own.as_deref().and_then(|host| region_in(provider.address, host));
        let in_host = in_host.filter(|region| provider.regions.contains(&region.as_str()));
        let is_enough = preset.tells_region || provider.regions.len() == 1;
        let first = provider.regions.first().filter(|_| is_enough);
        let region = settings.given("region").map(str::to_owned).or(in_host);
        let Some(region) = region.or_else(|| first.map(ToString::to_string)) else {
            let regions = provider.regions.join(", ");
            return Err(wrong("region", format!("it is missing; there are {regions}")));
        };
        if !is_region(&region) {
            return Err(wrong("region", "it has the characters a-z 0-9 -".into()));
        }
        // The provider's plain addresses follow the region that the bucket turns out to be in.
        let plain = provider.address.replace(REGION, &region);
        let plain = [plain, provider.address.replace(".{region}", "")];
        address.virtual_host = match settings.get(dialect.descriptor, "addressing") {
            "virtual" => true,
            "path" => false,
            // A certificate for *.host doesn't cover a bucket with dots.
            _ => {
                let numbers = own.as_deref().is_some_and(is_numbers);
                preset.virtual_host && !bucket.contains('.') && !numbers
            }
        };
        address.host = match own {
            Some(host) if !plain.contains(&host) => Host::At(host),
            _ => Host::Of(provider.address),
        };
        Ok(Found { address, preset, region })
    }
}

impl Address {
    pub fn tls(&self) -> bool {
        self.tls
    }

    /// Name of the host in this region, with its port.
    pub fn host(&self, region: &str) -> String {
        match &self.host {
            Host::Of(pattern) => pattern.replace(REGION, region),
            Host::At(host) => host.clone(),
        }
    }

    /// Where a key of a bucket is; an empty key stands for the bucket, an empty bucket for the
    /// account.
    pub fn spot(&self, region: &str, bucket: &str, key: &str) -> Spot {
        let mut host = self.host(region);
        let mut path = self.base.clone();
        if self.virtual_host && !bucket.is_empty() {
            host = format!("{bucket}.{host}");
        } else if !bucket.is_empty() {
            path = format!("{path}/{bucket}");
        }
        if !key.is_empty() || path.is_empty() {
            path = format!("{path}/{key}");
        }
        Spot { scheme: if self.tls { "https" } else { "http" }, host, path }
    }

    /// Whether it is a provider's own for the region.
    pub fn follows_region(&self) -> bool {
        matches!(self.host, Host::Of(_))
    }

    /// The region that a reply means by the host where it says the bucket is, if that can be
    /// followed.
    pub fn region_at(&self, host: &str) -> Option<String> {
        match self.host {
            Host::Of(pattern) => region_in(pattern, host),
            Host::At(_) => None,
        }
    }
}

/// A region becomes part of a host's name, so what a reply calls one is looked at.
pub(super) fn is_region(text: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&text.len()) && text.bytes().all(known)
}

/// Whether a host is this provider's.
fn is_of(preset: &Preset, host: &str) -> bool {
    let Preset { provider, .. } = preset;
    let plain = provider.address.replace(".{region}", "");
    !provider.own_address && (plain == host || region_in(provider.address, host).is_some())
}

/// The region in the name of a host, or of a bucket's host, that is made like `pattern`.
fn region_in(pattern: &str, host: &str) -> Option<String> {
    let (before, after) = pattern.split_once(REGION)?;
    let rest = host.strip_suffix(after)?;
    let at = if before.is_empty() {
        rest.rfind('.').map_or(0, |dot| dot + 1)
    } else if let Some(dot) = rest.rfind(&format!(".{before}")) {
        dot + 1 + before.len()
    } else {
        rest.starts_with(before).then_some(before.len())?
    };
    Some(&rest[at..]).filter(|region| is_region(region)).map(str::to_owned)
}

/// Whether a host is told by numbers, which a bucket's name can't stand before.
fn is_numbers(host: &str) -> bool {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    host.starts_with('[') || name.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_from_a_reply_cannot_lead_elsewhere() {
        assert!(is_region("eu-west-9"));
        for text in ["", "evil.example/", "a@b", "EU", "eu west", &"a".repeat(64)] {
            assert!(!is_region(text), "{text}");
        }
    }

    #[test]
    fn hosts_tell_their_regions() {
        for (pattern, host, region) in [
            ("s3.{region}.amazonaws.com", "s3.eu-west-1.amazonaws.com", Some("eu-west-1")),
            ("s3.{region}.amazonaws.com", "a.b.s3.eu-west-1.amazonaws.com", Some("eu-west-1")),
            ("s3.{region}.amazonaws.com", "s3.s3.eu-west-1.amazonaws.com", Some("eu-west-1")),
            ("oss-{region}.aliyuncs.com", "bucket.oss-cn-beijing.aliyuncs.com", Some("cn-beijing")),
            ("{region}.s3.example.net", "bucket.tw-001.s3.example.net", Some("tw-001")),
            ("s3.{region}.amazonaws.com", "s3.amazonaws.com", None),
            ("s3.{region}.amazonaws.com", "s3.x.amazonaws.com.evil.example", None),
            ("s3.{region}.amazonaws.com", "evil.example/s3.x.y.amazonaws.com", None),
            ("oss-{region}.aliyuncs.com", "floss-cn-beijing.aliyuncs.com", None),
            ("gateway.example.io", "gateway.example.io", None),
        ] {
            assert_eq!(region_in(pattern, host).as_deref(), region, "{host}");
        }
    }
}
