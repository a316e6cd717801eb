//! Access by the key of a service account: what it signs is exchanged for access tokens.
//!
//! Sources: RFC 7515, 7519 and 7523, and Google's guide "Using OAuth 2.0 for Server to Server
//! Applications".

use super::Grant;
use super::grant::{Access, until};
use super::sign_in::at;
use crate::error::{Error, Kind, Result};
use crate::http::{Call, Http, Payload, oauth, unix_seconds};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use serde::Deserialize;
use serde_json::json;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use ureq::tls::{PemItem, parse_pem};

/// How long an assertion is good: as long as may be.
const LIFETIME: i64 = 3600;
/// A clock that is further off is corrected.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(30);
const WHAT: &str = "the sign-in of the service account";

/// A service account, by its key.
pub struct ServiceAccount {
    /// Its name, which is an address.
    name: String,
    /// Id of the key.
    key_id: String,
    key: RsaKeyPair,
    /// The project that it is of.
    project: String,
    /// Whom its assertions are for: the address that gives tokens.
    audience: String,
    /// The same address as it is called.
    token: String,
    scope: String,
    /// Held while a token is asked for: who waits needs it, too.
    access: Mutex<Option<Access>>,
}

impl ServiceAccount {
    /// The account of a key as Google hands it out, in JSON. Behind another endpoint, that gives
    /// the tokens. The error is what is wrong with the key, and tells nothing of it.
    pub fn new(
        key: &str,
        endpoint: Option<&str>,
        scopes: &[&str],
    ) -> std::result::Result<Self, &'static str> {
        #[derive(Deserialize)]
        struct Key {
            #[serde(rename = "type")]
            kind: String,
            client_email: String,
            private_key_id: String,
            private_key: String,
            project_id: String,
            token_uri: String,
        }
        // What the parser says may repeat what is in it.
        let told: Key = serde_json::from_str(key)
            .map_err(|_| "it isn't the JSON of a key: give the file as Google hands it out")?;
        if told.kind != "service_account" {
            return Err("it isn't the key of a service account");
        }
        if !told.token_uri.starts_with("https://") && endpoint.is_none() {
            return Err("its token_uri isn't an https address");
        }
        let pem = parse_pem(told.private_key.as_bytes()).next();
        let Some(Ok(PemItem::PrivateKey(private))) = pem else {
            return Err("its private_key isn't a key in PEM");
        };
        let key = RsaKeyPair::from_pkcs8(private.der())
            .map_err(|_| "its private_key isn't an RSA key of at least 2048 bits (PKCS #8)")?;
        Ok(ServiceAccount {
            name: told.client_email,
            key_id: told.private_key_id,
            key,
            project: told.project_id,
            token: at(endpoint, &told.token_uri),
            audience: told.token_uri,
            scope: scopes.join(" "),
            access: Mutex::default(),
        })
    }

    /// The project that it is of.
    pub fn project(&self) -> &str {
        &self.project
    }

    /// What proves who asks, at this time in seconds since 1970.
    fn assertion(&self, now: i64) -> Result<String> {
        let header = json!({ "alg": "RS256", "typ": "JWT", "kid": self.key_id });
        let claims = json!({
            "iss": self.name, "scope": self.scope, "aud": self.audience, "iat": now,
            "exp": now + LIFETIME,
        });
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let [header, claims] = [header, claims].map(|part| encode(part.to_string().as_bytes()));
        let signed = format!("{header}.{claims}");
        let mut signature = vec![0; self.key.public().modulus_len()];
        self.key
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
            .map_err(|_| Error::new(Kind::State, WHAT, "it can't be signed with its key"))?;
        Ok(format!("{signed}.{}", encode(&signature)))
    }

    /// Asks for a token; learns the service's clock when it has to.
    fn ask(&self, http: &Http) -> Result<Access> {
        let mut clock_set = false;
        loop {
            let asked = Instant::now();
            let assertion = self.assertion(unix_seconds(http.service_time()))?;
            let kind = "urn:ietf:params:oauth:grant-type:jwt-bearer";
            let form = oauth::encoded(&[("grant_type", kind), ("assertion", &assertion)]);
            let reply = http.call(WHAT, &mut || {
                Ok(Call::new("POST", self.token.clone(), true)
                    .header("content-type", "application/x-www-form-urlencoded")
                    .header("accept", "application/json")
                    .payload(Payload::Bytes(form.as_bytes())))
            })?;
            if reply.status == 200 {
                let tokens = oauth::tokens(&reply.bytes(WHAT)?).ok_or_else(|| {
                    Error::new(Kind::Protocol, WHAT, "the service's reply isn't one with tokens")
                })?;
                let until = until(asked, tokens.lifetime);
                return Ok(Access { token: tokens.access, until });
            }
            if reply.status == 400 && !clock_set && http.correct_clock(&reply, CLOCK_TOLERANCE) {
                clock_set = true;
                reply.drain();
                continue;
            }
            return Err(self.refusal(reply.status, &reply.excerpt(), &assertion));
        }
    }

    fn refusal(&self, status: u16, body: &str, assertion: &str) -> Error {
        match oauth::said(body, &[assertion]) {
            Some(said) => {
                let cause = format!("Google doesn't accept the key of {} ({said})", self.name);
                Error::new(Kind::SignIn, WHAT, cause).remedy(
                    "see whether the account and its key are there and enabled in the Google Cloud \
                     console; else give a new key: mooring connection set NAME --secret \
                     service-account=@FILE",
                )
            }
            None => {
                let cause =
                    format!("the service answers as no giver of tokens does (status {status})");
                Error::new(Kind::Protocol, WHAT, cause)
            }
        }
    }

    fn access(&self) -> MutexGuard<'_, Option<Access>> {
        // No panic can leave it half-changed.
        self.access.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Grant for ServiceAccount {
    fn bearer(&self, http: &Http) -> Result<String> {
        let mut access = self.access();
        if let Some(access) = access.as_ref().filter(|access| access.is_good()) {
            return Ok(access.token.clone());
        }
        let new = self.ask(http)?;
        let token = new.token.clone();
        *access = Some(new);
        Ok(token)
    }

    fn refused(&self, bearer: &str) {
        // Somebody else may have got another one by now.
        self.access().take_if(|access| access.token == bearer);
    }
}
