//! OAuth 2.0 for a program without a server of its own: authorization code with PKCE
//! (RFC 6749, 7636 and 8252).
//!
//! A person opens the [`Client::page`] in a browser, agrees there, and brings an answer back.
//! [`Client::code`] finds the code in it, and [`Client::exchange`] turns that into [`Tokens`].
//! From then on [`Client::refresh`] gets new ones. No error repeats a code, a token or a secret,
//! even if the service does.

use super::{Call, Http, Payload};
use crate::error::{Error, Kind, Result};
use crate::random::random;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Far more than any service's answer takes.
const LONGEST_ANSWER: usize = 16 << 10;
/// Characters of a service's explanation that are shown.
const LONGEST_EXPLANATION: usize = 200;
/// What a value in an address or a form needn't have encoded.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// Values of a form that nobody may read in a message.
const SECRETS: &[&str] = &["code", "code_verifier", "client_secret", "refresh_token"];

/// An app as it is registered with a service, for one connection.
pub struct Client {
    /// Name of the connection, for messages.
    pub connection: String,
    /// Address of the page that asks a person to agree.
    pub authorize: String,
    /// Address that gives tokens.
    pub token: String,
    /// The app's id.
    pub id: String,
    /// The app's secret, where it has one.
    pub secret: Option<String>,
}

/// A sign-in that was begun: what has to be known to finish it.
#[derive(Serialize, Deserialize)]
pub struct Attempt {
    verifier: String,
    state: String,
    redirect: Option<String>,
}

/// What a service gives to a signed-in app.
pub struct Tokens {
    /// Goes with every request.
    pub access: String,
    /// How long the access token is good; `None` when the service doesn't say.
    pub lifetime: Option<Duration>,
    /// Gets the next access token. On a refresh it is there only when it replaces the one sent.
    pub refresh: Option<String>,
}

/// What is told instead of tokens (RFC 6749, section 5.2).
#[derive(Deserialize)]
struct Refusal {
    error: String,
    error_description: Option<String>,
}

impl Attempt {
    /// Begins a sign-in. The browser ends at `redirect`; without one the service shows a code.
    ///
    /// # Errors
    /// `Disk` when the system has no entropy.
    pub fn new(redirect: Option<String>) -> Result<Attempt> {
        Ok(Attempt { verifier: random_text::<32>()?, state: random_text::<16>()?, redirect })
    }

    /// Tells this sign-in's answer from others.
    pub fn state(&self) -> &str {
        &self.state
    }

    /// Where the browser ends.
    pub fn redirect(&self) -> Option<&str> {
        self.redirect.as_deref()
    }
}

impl Client {
    /// The address that a person opens in a browser, anywhere.
    pub fn page(&self, scopes: &[&str], parameters: &[(&str, &str)], attempt: &Attempt) -> String {
        let (scopes, challenge) = (scopes.join(" "), challenge(&attempt.verifier));
        let mut query = vec![
            ("response_type", "code"),
            ("client_id", &self.id),
            ("scope", &scopes),
            ("state", &attempt.state),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ];
        query.extend(attempt.redirect.as_deref().map(|redirect| ("redirect_uri", redirect)));
        query.extend(parameters);
        format!("{}?{}", self.authorize, encoded(&query))
    }

    /// The code in what a person brought back: the address that the browser ended at, the part
    /// of it from `code=` on, or the bare code.
    ///
    /// # Errors
    /// `Usage` when there is none in it or it belongs to another sign-in, `SignIn` when the
    /// service says that it was refused.
    pub fn code(&self, attempt: &Attempt, answer: &str) -> Result<String> {
        let wrong = |cause: &str, remedy: &str| {
            Err(Error::new(Kind::Usage, self.what(), cause).remedy(remedy))
        };
        let answer = answer.trim();
        if answer.len() > LONGEST_ANSWER {
            return wrong(
                "this is far too long for an answer",
                "copy only the address or the code",
            );
        }
        let Some(query) = query(answer) else {
            if answer.is_empty() || answer.contains("://") || answer.contains(char::is_whitespace) {
                return wrong(
                    "there is no code in this",
                    "copy the whole address that the browser ended at, or the code that the service shows",
                );
            }
            // Somebody may have cut it out of an address by hand.
            return Ok(decoded(answer));
        };
        let value = |key: &str| query.iter().find(|(name, _)| name == key).map(|(_, value)| value);
        if value("state") != Some(&attempt.state) {
            return wrong(
                "this is the answer to another sign-in (its state doesn't match)",
                &format!("{}, with the address that this shows", sign_in_again(&self.connection)),
            );
        }
        if let Some(error) = value("error") {
            let text = explanation(error, value("error_description").map(String::as_str), &[]);
            return Err(self.ended(format!("it was refused there ({text})")));
        }
        match value("code") {
            Some(code) if !code.is_empty() => Ok(code.clone()),
            _ => wrong("its code is empty", "copy the whole address"),
        }
    }

    /// Turns a code into the first tokens, of which one is a refresh token.
    ///
    /// # Errors
    /// `SignIn` with what to correct, `Protocol` when the reply makes no sense, and what
    /// [`Http::call`] fails with.
    pub fn exchange(&self, http: &Http, attempt: &Attempt, code: &str) -> Result<Tokens> {
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("code_verifier", &attempt.verifier),
        ];
        form.extend(attempt.redirect.as_deref().map(|redirect| ("redirect_uri", redirect)));
        // A code is good once: whether a reply that got lost used it up, nobody knows.
        let tokens = self.ask(http, form, false)?;
        if tokens.refresh.is_none() {
            return Err(self.ended("the service gave no refresh token, so it wouldn't last".into()));
        }
        Ok(tokens)
    }

    /// Gets a new access token.
    ///
    /// # Errors
    /// As [`Client::exchange`].
    pub fn refresh(&self, http: &Http, refresh_token: &str) -> Result<Tokens> {
        let form = vec![("grant_type", "refresh_token"), ("refresh_token", refresh_token)];
        let mut tokens = self.ask(http, form, true)?;
        tokens.refresh = tokens.refresh.filter(|token| token != refresh_token);
        Ok(tokens)
    }

    /// The error that makes a person sign in again.
    pub fn ended(&self, cause: String) -> Error {
        Error::new(Kind::SignIn, self.what(), cause).remedy(sign_in_again(&self.connection))
    }

    fn ask<'a>(
        &'a self,
        http: &Http,
        mut form: Vec<(&str, &'a str)>,
        idempotent: bool,
    ) -> Result<Tokens> {
        form.push(("client_id", &self.id));
        form.extend(self.secret.as_deref().map(|secret| ("client_secret", secret)));
        let (what, body) = (self.what(), encoded(&form));
        let reply = http.call(&what, &mut || {
            Ok(Call::new("POST", self.token.clone(), idempotent)
                .header("content-type", "application/x-www-form-urlencoded")
                .header("accept", "application/json")
                .payload(Payload::Bytes(body.as_bytes())))
        })?;
        match reply.status {
            200..=299 => tokens(&reply.bytes(&what)?).ok_or_else(|| {
                // What the parser says may repeat what the service said.
                Error::new(Kind::Protocol, what, "the service's reply isn't one with tokens")
            }),
            status => Err(self.refusal(status, &reply.excerpt(), &form)),
        }
    }

    fn refusal(&self, status: u16, body: &str, form: &[(&str, &str)]) -> Error {
        let Ok(Refusal { error, error_description }) = serde_json::from_str(body) else {
            let cause = format!("the service answers as no giver of tokens does (status {status})");
            return Error::new(Kind::Protocol, self.what(), cause);
        };
        let sent = |key: &str| form.iter().find(|(name, _)| *name == key).map(|(_, value)| *value);
        let secrets: Vec<_> = SECRETS.iter().filter_map(|key| sent(key)).collect();
        let text = explanation(&error, error_description.as_deref(), &secrets);
        let (name, again) = (&self.connection, sign_in_again(&self.connection));
        let correct = format!(
            "correct client-id and client-secret: mooring connection set \"{name}\" \
             --set client-id=ID --secret client-secret=@FILE"
        );
        let refused = |cause: String| Error::new(Kind::SignIn, self.what(), cause);
        match error.as_str() {
            "invalid_grant" if sent("code").is_some() => self.ended(format!(
                "the service doesn't take this code: it was used before, is too old or is of another sign-in ({text})"
            )),
            "invalid_grant" => self.ended(format!(
                "the service has ended it: it was taken back or wasn't used for too long ({text})"
            )),
            "invalid_client" | "unauthorized_client" | "deleted_client" | "disabled_client" => {
                refused(format!("the service doesn't accept the app or its secret ({text})"))
                    .remedy(correct)
            }
            "redirect_uri_mismatch" => {
                let redirect = sent("redirect_uri").unwrap_or("none");
                refused(format!("the app isn't registered for the redirect {redirect} ({text})"))
                    .remedy(format!("add it to the app's redirects at the service, then {again}"))
            }
            "temporarily_unavailable" | "server_error" => {
                let cause = format!("the service can't do it for the moment ({text})");
                Error::new(Kind::Busy, self.what(), cause)
            }
            _ => refused(format!("the service refuses it ({text})")).remedy(format!(
                "see whether the app is set up at the service as it should be, or {correct}; then {again}"
            )),
        }
    }

    fn what(&self) -> String {
        format!("the sign-in of connection {}", self.connection)
    }
}

/// Whether a text carries an answer to the sign-in of this state.
pub fn is_answer(text: &str, state: &str) -> bool {
    query(text)
        .is_some_and(|query| query.iter().any(|(key, value)| key == "state" && value == state))
}

/// What a person does when a connection isn't signed in, or not any more.
pub fn sign_in_again(connection: &str) -> String {
    format!("sign in again: mooring connection authorize \"{connection}\"")
}

/// What a giver of tokens says that gives none: short, in one line and without these secrets; `None`
/// when it isn't one.
pub(crate) fn said(body: &str, secrets: &[&str]) -> Option<String> {
    let Refusal { error, error_description } = serde_json::from_str(body).ok()?;
    Some(explanation(&error, error_description.as_deref(), secrets))
}

/// The tokens in a reply; `None` when it has none.
pub(crate) fn tokens(body: &[u8]) -> Option<Tokens> {
    #[derive(Deserialize)]
    struct Reply {
        access_token: String,
        token_type: Option<String>,
        expires_in: Option<f64>,
        refresh_token: Option<String>,
    }
    let reply: Reply = serde_json::from_slice(body).ok()?;
    let is_token = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
    let is_bearer = |kind: &str| kind.eq_ignore_ascii_case("bearer");
    let refresh = reply.refresh_token.filter(|token| !token.is_empty());
    if !is_token(&reply.access_token)
        || !refresh.as_deref().is_none_or(is_token)
        || !reply.token_type.as_deref().is_none_or(is_bearer)
    {
        return None;
    }
    let lifetime = reply.expires_in.map(Duration::try_from_secs_f64).transpose().ok()?;
    Some(Tokens { access: reply.access_token, lifetime, refresh })
}

/// The parameters in an address or a part of one that carries a code or an error.
fn query(answer: &str) -> Option<Vec<(String, String)>> {
    let answer = answer.split('#').next().unwrap_or_default();
    let query = answer.split_once('?').map_or(answer, |(_, query)| query);
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let pairs: Vec<_> =
        pairs.map(|(key, value)| (key.to_owned(), decoded(&value.replace('+', " ")))).collect();
    pairs.iter().any(|(key, _)| key == "code" || key == "error").then_some(pairs)
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// A form, as it is sent.
pub(crate) fn encoded(pairs: &[(&str, &str)]) -> String {
    let pairs = pairs
        .iter()
        .map(|(key, value)| format!("{key}={}", utf8_percent_encode(value, UNRESERVED)));
    pairs.collect::<Vec<_>>().join("&")
}

/// A service's own words, short, in one line and without what was sent to it in secret.
fn explanation(error: &str, description: Option<&str>, secrets: &[&str]) -> String {
    let mut text = match description {
        Some(description) => format!("{error}: {description}"),
        None => error.to_owned(),
    };
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        text = text.replace(secret, "…");
    }
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    plain.take(LONGEST_EXPLANATION).collect()
}

/// What the service gets of a verifier before it gets the verifier itself.
fn challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()))
}

/// So many random bytes as text that needs no encoding.
fn random_text<const N: usize>() -> Result<String> {
    random::<N>("beginning a sign-in").map(|bytes| URL_SAFE_NO_PAD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client() -> Client {
        Client {
            connection: "cloud".into(),
            authorize: "https://service.example/authorize".into(),
            token: "https://service.example/token".into(),
            id: "app id".into(),
            secret: Some("app secret".into()),
        }
    }

    fn attempt(redirect: Option<&str>) -> Attempt {
        let (verifier, state) = ("the verifier".into(), "the state/".into());
        Attempt { verifier, state, redirect: redirect.map(str::to_owned) }
    }

    #[test]
    fn the_challenge_is_that_of_rfc_7636() {
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        assert_eq!(challenge(verifier), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    #[test]
    fn no_two_attempts_are_alike() {
        let [one, other] = [(); 2].map(|()| Attempt::new(None).unwrap());
        assert_ne!(one.state, other.state);
        assert_ne!(one.verifier, other.verifier);
        // RFC 7636 wants 43 to 128 characters.
        assert_eq!(one.verifier.len(), 43);
    }

    #[test]
    fn the_page_tells_everything_but_the_secrets() {
        let attempt = attempt(Some("http://127.0.0.1:53682/"));
        let page = client().page(&["read", "write all"], &[("offline", "yes")], &attempt);
        assert_eq!(
            page,
            format!(
                "https://service.example/authorize?response_type=code&client_id=app%20id\
                 &scope=read%20write%20all&state=the%20state%2F&code_challenge={}\
                 &code_challenge_method=S256&redirect_uri=http%3A%2F%2F127.0.0.1%3A53682%2F\
                 &offline=yes",
                challenge("the verifier")
            )
        );
        assert!(!client().page(&[], &[], &self::attempt(None)).contains("redirect_uri"));
    }

    #[test]
    fn a_code_is_found_in_whatever_is_pasted() {
        for answer in [
            "http://127.0.0.1:53682/?code=4%2F0A-b&state=the%20state%2F&scope=x",
            "  http://127.0.0.1:53682/?state=the+state/&code=4/0A-b#top\n",
            "https://nas.example/mooring?a=1&code=4%2F0A-b&state=the%20state%2F",
            "?code=4/0A-b&state=the%20state/",
            "code=4/0A-b&state=the%20state/",
            "4/0A-b\r\n",
            "4%2F0A-b",
        ] {
            assert_eq!(client().code(&attempt(None), answer).unwrap(), "4/0A-b", "{answer}");
        }
    }

    #[test]
    fn what_is_no_answer_is_told_without_repeating_it() {
        for (answer, cause) in [
            ("", "no code"),
            ("https://service.example/visible", "no code"),
            ("visible words", "no code"),
            ("code=visible", "state doesn't match"),
            ("code=visible&state=", "state doesn't match"),
            ("http://127.0.0.1/?code=visible&state=visible", "state doesn't match"),
            ("error=access_denied&state=visible", "state doesn't match"),
            ("code=&state=the%20state/", "its code is empty"),
            (&"visible".repeat(9999), "too long"),
        ] {
            let error = client().code(&attempt(None), answer).unwrap_err();
            let text = error.to_string();
            assert_eq!(error.kind(), Kind::Usage, "{text}");
            assert!(text.contains(cause), "{text}");
            assert!(!text.contains("visible"), "{text}");
        }
    }

    #[test]
    fn a_refusal_in_the_browser_is_told() {
        let answer = "http://h/?error=access_denied&error_description=no%0Away&state=the%20state/";
        let error = client().code(&attempt(None), answer).unwrap_err();
        assert_eq!(error.kind(), Kind::SignIn);
        assert!(error.to_string().contains("access_denied: no way"), "{error}");
        assert!(error.to_string().contains("authorize \"cloud\""), "{error}");
    }

    #[test]
    fn an_answer_is_known_by_its_state() {
        assert!(is_answer("code=x&state=s%20t", "s t"));
        assert!(is_answer("error=no&state=s%20t", "s t"));
        assert!(!is_answer("code=x&state=s", "s t"));
        assert!(!is_answer("state=s%20t", "s t"));
        assert!(!is_answer("", ""));
    }

    #[test]
    fn only_tokens_are_tokens() {
        let good = tokens(br#"{"access_token":"a","expires_in":3599.5,"token_type":"bearer"}"#);
        let good = good.unwrap();
        assert_eq!(good.access, "a");
        assert_eq!(good.lifetime, Some(Duration::from_secs_f64(3599.5)));
        assert!(good.refresh.is_none());
        let forever = tokens(br#"{"access_token":"a","refresh_token":""}"#).unwrap();
        assert!(forever.lifetime.is_none() && forever.refresh.is_none());
        for bad in [
            "",
            "{}",
            "[]",
            "<html>",
            r#""a""#,
            r#"{"access_token":""}"#,
            r#"{"access_token":1}"#,
            r#"{"access_token":"a\r\nhost: b"}"#,
            r#"{"access_token":"a","token_type":"mac"}"#,
            r#"{"access_token":"a","expires_in":-1}"#,
            r#"{"access_token":"a","expires_in":1e300}"#,
            r#"{"access_token":"a","expires_in":"soon"}"#,
            r#"{"access_token":"a","refresh_token":"b c"}"#,
            r#"{"access_token":"a""#,
        ] {
            assert!(tokens(bad.as_bytes()).is_none(), "{bad}");
        }
    }
}
