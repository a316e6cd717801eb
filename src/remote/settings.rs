//! The settings of a connection as an adapter is handed them.

use super::{Descriptor, Grant, Needed};
use crate::error::{Error, Kind, Result};
use crate::http::{HttpOptions, Traffic};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Settings that take effect without anything being opened anew.
const LIVE: [&str; 3] = ["poll", "max-upload", "max-download"];

/// The settings of a connection by key, secrets included, its limits, and its sign-in where its
/// service has one. Two are equal when an adapter opened with one would do as the other wants.
#[derive(Clone, Default)]
pub struct Settings {
    values: BTreeMap<String, String>,
    traffic: Arc<Traffic>,
    grant: Option<Arc<dyn Grant>>,
}

impl Settings {
    /// The same with a sign-in.
    pub fn with_grant(self, grant: Arc<dyn Grant>) -> Self {
        Settings { grant: Some(grant), ..self }
    }

    /// The same within these limits, which all that is opened with it shares.
    pub fn with_traffic(self, traffic: Arc<Traffic>) -> Self {
        Settings { traffic, ..self }
    }

    /// What gives the access tokens of the connection.
    ///
    /// # Errors
    /// `SignIn` when these settings come without a sign-in.
    pub fn grant(&self) -> Result<Arc<dyn Grant>> {
        self.grant.clone().ok_or_else(|| {
            Error::new(Kind::SignIn, "the settings", "they come without a sign-in")
                .remedy("open the service by a connection")
        })
    }

    /// What was given for `key`; an empty value counts as none.
    pub fn given(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The keys that something was given for.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }

    /// What was given for `key`, or its default; empty when there is neither.
    pub fn get<'a>(&'a self, descriptor: &Descriptor, key: &str) -> &'a str {
        self.given(key).unwrap_or_else(|| {
            descriptor.all_fields().find(|field| field.key == key).map_or("", |field| {
                match field.needed {
                    Needed::Default(value) => value,
                    _ => "",
                }
            })
        })
    }

    /// How to reach the service, keeping up to so many connections open.
    pub fn http_options(&self, descriptor: &Descriptor, connections: usize) -> HttpOptions {
        HttpOptions {
            idle: Duration::from_secs(self.number(descriptor, "timeout").max(1).into()),
            ca_pem: self.given("ca").map(|pem| pem.as_bytes().to_vec()),
            proxy: self.given("proxy").map(Into::into),
            connections,
            traffic: self.traffic.clone(),
        }
    }

    /// How fast bodies may go: bytes a second up and down, 0 for no limit.
    pub fn limits(&self, descriptor: &Descriptor) -> [u64; 2] {
        ["max-upload", "max-download"].map(|key| u64::from(self.number(descriptor, key)) << 10)
    }

    /// The number given for `key`, or its default.
    pub fn number(&self, descriptor: &Descriptor, key: &str) -> u32 {
        self.get(descriptor, key).parse().unwrap_or(0)
    }
}

impl PartialEq for Settings {
    fn eq(&self, other: &Self) -> bool {
        let same_grant = match (&self.grant, &other.grant) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (one, other) => one.is_none() && other.is_none(),
        };
        let lasting = |(key, _): &(&String, &String)| !LIVE.contains(&key.as_str());
        let same_traffic = Arc::ptr_eq(&self.traffic, &other.traffic);
        same_grant
            && same_traffic
            && self.values.iter().filter(lasting).eq(other.values.iter().filter(lasting))
    }
}

impl From<BTreeMap<String, String>> for Settings {
    fn from(values: BTreeMap<String, String>) -> Self {
        Settings { values, ..Settings::default() }
    }
}

impl FromIterator<(String, String)> for Settings {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(values: I) -> Self {
        values.into_iter().collect::<BTreeMap<_, _>>().into()
    }
}

impl Extend<(String, String)> for Settings {
    fn extend<I: IntoIterator<Item = (String, String)>>(&mut self, values: I) {
        self.values.extend(values);
    }
}
