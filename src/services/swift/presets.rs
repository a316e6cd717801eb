//! Who offers Swift, where, and how one signs in there: a line each.

use crate::remote::Provider;

/// How a person's credentials become a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Header fields to Swift's own (TempAuth) and what is like it.
    V1,
    /// Keystone's second version, with a password.
    V2,
    /// The same with an API key, which is Rackspace's own.
    ApiKey,
    /// Keystone's third version.
    V3,
}

/// A provider with how one signs in there; `None` where the address tells.
pub(super) struct Preset {
    pub provider: Provider,
    pub way: Option<Way>,
}

#[rustfmt::skip]
pub(super) const PRESETS: [Preset; 4] = [
    Preset { provider: provider("other", "Another server", "https://keystone.example.com:5000/v3", true, &[]), way: None },
    Preset { provider: provider("rackspace-us", "Rackspace US", "identity.api.rackspacecloud.com/v2.0", false, &["DFW", "HKG", "IAD", "ORD", "SYD"]), way: Some(Way::ApiKey) },
    Preset { provider: provider("rackspace-uk", "Rackspace UK", "lon.identity.api.rackspacecloud.com/v2.0", false, &["LON"]), way: Some(Way::ApiKey) },
    Preset { provider: provider("softlayer", "IBM SoftLayer", "{region}.objectstorage.softlayer.net/auth/v1.0", false, &[
        "ams01", "che01", "dal05", "fra02", "hkg02", "lon02", "mel01", "mex01", "mil01", "mon01", "osl01", "par01", "sao01", "seo01", "sjc01", "sng01", "syd01", "tok02", "tor01", "wdc"]), way: Some(Way::V1) },
];

/// What a person has to know of them.
pub(super) const PROVIDERS: [Provider; PRESETS.len()] = {
    let mut providers = [PRESETS[0].provider; PRESETS.len()];
    let mut at = 0;
    while at < providers.len() {
        providers[at] = PRESETS[at].provider;
        at += 1;
    }
    providers
};

/// The words for them.
pub(super) const WORDS: [&str; PRESETS.len()] = {
    let mut words = [""; PRESETS.len()];
    let mut at = 0;
    while at < words.len() {
        words[at] = PROVIDERS[at].name;
        at += 1;
    }
    words
};

const fn provider(
    name: &'static str,
    label: &'static str,
    address: &'static str,
    own_address: bool,
    regions: &'static [&'static str],
) -> Provider {
    Provider { name, label, address, own_address, regions }
}
