//! How a person signs in to a service with an app of their own: Mooring has none, so that nobody's
//! sync depends on ours.

use super::{Field, FieldKind, Needed, Settings};
use crate::http::oauth::Client;

/// How a person signs in to a service: where, for what, and how the answer comes back.
#[derive(Clone, Copy, Debug)]
pub struct SignIn {
    /// Address of the page that asks a person to agree.
    pub authorize: &'static str,
    /// Address that gives tokens.
    pub token: &'static str,
    /// What Mooring asks to be allowed.
    pub scopes: &'static [&'static str],
    /// What else the page has to be told.
    pub parameters: &'static [(&'static str, &'static str)],
    /// How a person brings the answer back.
    pub answer: Answer,
    /// Whether an app of this service always has a secret, which then has to be given.
    pub secret: bool,
    /// Key of the secret that stands for a sign-in, where there is one; then nothing of an app has
    /// to be given.
    pub instead: Option<&'static str>,
}

/// How a person brings the answer of a sign-in back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The answer is in the address that the browser ends at: this port of the machine it runs
    /// on, where nobody need listen, or an address of the person's own.
    Redirect {
        /// The port.
        loopback_port: u16,
    },
    /// The service shows a code to copy, unless it is told an address to send the browser to.
    Code,
}

/// Key of the secret that is there once a person has signed in.
pub const REFRESH_TOKEN: &str = "refresh-token";

/// Settings of every connection whose service is signed in to.
pub const SIGN_IN_FIELDS: &[Field] = &fields(Needed::Yes, Needed::No);
/// The same where an app always has a secret.
pub const SIGN_IN_FIELDS_WITH_SECRET: &[Field] = &fields(Needed::Yes, Needed::Yes);
/// The same where another secret may stand for a sign-in.
pub const SIGN_IN_FIELDS_UNLESS: &[Field] = &fields(Needed::No, Needed::No);

const fn fields(id: Needed, secret: Needed) -> [Field; 3] {
    [
        Field {
            key: "client-id",
            label: "App id",
            help: "client id (or app key) of your own app at the service",
            kind: FieldKind::Text,
            needed: id,
            place: false,
        },
        Field {
            key: "client-secret",
            label: "App secret",
            help: "client secret (or app secret) of that app",
            kind: FieldKind::Secret,
            needed: secret,
            place: false,
        },
        Field {
            key: REFRESH_TOKEN,
            label: "Refresh token",
            help: "mooring connection authorize sets it; may be one made elsewhere for that app",
            kind: FieldKind::Secret,
            needed: Needed::No,
            place: false,
        },
    ]
}

impl SignIn {
    /// The settings that signing in takes.
    pub fn fields(&self) -> &'static [Field] {
        match (self.instead, self.secret) {
            (Some(_), _) => SIGN_IN_FIELDS_UNLESS,
            (None, true) => SIGN_IN_FIELDS_WITH_SECRET,
            (None, false) => SIGN_IN_FIELDS,
        }
    }

    /// The app that a connection's settings tell of.
    pub fn client(&self, connection: &str, settings: &Settings) -> Client {
        let endpoint = settings.given("endpoint");
        Client {
            connection: connection.to_owned(),
            authorize: at(endpoint, self.authorize),
            token: at(endpoint, self.token),
            id: settings.given("client-id").unwrap_or_default().to_owned(),
            secret: settings.given("client-secret").map(str::to_owned),
        }
    }

    /// Where the browser ends when nobody says otherwise.
    pub fn redirect(&self) -> Option<String> {
        match self.answer {
            Answer::Redirect { loopback_port } => {
                Some(format!("http://127.0.0.1:{loopback_port}/"))
            }
            Answer::Code => None,
        }
    }
}

/// An address as it is behind another endpoint, if there is one.
pub(super) fn at(endpoint: Option<&str>, address: &str) -> String {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    match endpoint {
        Some(endpoint) => {
            let path = rest.find('/').map_or("", |slash| &rest[slash..]);
            format!("{}{path}", endpoint.trim_end_matches('/'))
        }
        None => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_stands_for_all_hosts() {
        let address = "https://accounts.example.com/o/oauth2/v2/auth";
        assert_eq!(at(None, address), address);
        assert_eq!(at(Some("http://[::1]:9/"), address), "http://[::1]:9/o/oauth2/v2/auth");
        assert_eq!(at(Some("http://proxy/x"), "https://host"), "http://proxy/x");
    }
}
