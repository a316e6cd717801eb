//! The settings of a connection as an adapter is handed them.

use super::{Descriptor, Grant, Needed};
use crate::error::{Error, Kind, Result};
use crate::http::HttpOptions;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The settings of a connection by key, secrets included, and its sign-in where its service has
/// one. Two are equal when an adapter opened with one would do as the other wants.
#[derive(Clone, Default)]
pub struct Settings {
    values: BTreeMap<String, String>,
    grant: Option<Arc<dyn Grant>>,
}

impl Settings {
    /// The same with a sign-in.
    pub fn with_grant(self, grant: Arc<dyn Grant>) -> Self {
        Settings { grant: Some(grant), ..self }
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
        }
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
        same_grant && self.values == other.values
    }
}

impl From<BTreeMap<String, String>> for Settings {
    fn from(values: BTreeMap<String, String>) -> Self {
        Settings { values, grant: None }
    }
}

impl FromIterator<(String, String)> for Settings {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(values: I) -> Self {
        Settings { values: values.into_iter().collect(), grant: None }
    }
}

impl Extend<(String, String)> for Settings {
    fn extend<I: IntoIterator<Item = (String, String)>>(&mut self, values: I) {
        self.values.extend(values);
    }
}
