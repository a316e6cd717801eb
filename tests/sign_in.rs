//! Signing in and staying signed in, against a giver of tokens that does as each test says.

use crate::common::tokens::{Form, Giver};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mooring::error::{Error, Kind, Result};
use mooring::http::oauth::{Attempt, Client};
use mooring::http::{Cancel, Http, HttpOptions};
use mooring::remote::{Answer, Grant, Keeper, Kept, Refresher, Settings, SignIn};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant};

const SECRET: &str = "the-apps-secret";
const REFRESH: &str = "the-refresh-token";

static SIGN_IN: SignIn = SignIn {
    authorize: "https://accounts.example.com/o/authorize",
    token: "https://oauth.example.com/o/token",
    scopes: &["files.read", "files.write"],
    parameters: &[("access_type", "offline")],
    answer: Answer::Redirect { loopback_port: 53682 },
    secret: true,
    instead: None,
};

fn client(url: &str) -> Client {
    let settings = [("endpoint", url), ("client-id", "the app"), ("client-secret", SECRET)];
    let settings: Settings =
        settings.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    SIGN_IN.client("cloud", &settings)
}

fn http() -> Http {
    Http::new(&HttpOptions::default(), Cancel::default()).unwrap()
}

/// Keeps a refresh token in memory, and notes what is done with it.
struct Memory {
    url: String,
    token: Mutex<Option<String>>,
    /// How often replacing fails before it works.
    failures: AtomicUsize,
    replaced: AtomicUsize,
}

struct Shared(Arc<Memory>);

struct Signed {
    grant: Refresher<Shared>,
    memory: Arc<Memory>,
    http: Http,
}

impl Keeper for Shared {
    fn read(&self) -> Result<Kept> {
        let token = self.0.token.lock().unwrap().clone();
        let refresh_token = token.ok_or_else(|| Error::new(Kind::SignIn, "it", "nobody"))?;
        Ok(Kept { client: client(&self.0.url), refresh_token })
    }

    fn replace(&self, old: &str, new: &str) -> Result<bool> {
        if self.0.failures.load(SeqCst) > 0 {
            self.0.failures.fetch_sub(1, SeqCst);
            return Err(Error::new(Kind::DiskFull, "it", "full"));
        }
        let mut token = self.0.token.lock().unwrap();
        let is_old = token.as_deref() == Some(old);
        if is_old {
            *token = Some(new.to_owned());
            self.0.replaced.fetch_add(1, SeqCst);
        }
        Ok(is_old)
    }
}

fn signed(giver: &Giver) -> Signed {
    let memory = Arc::new(Memory {
        url: giver.url.clone(),
        token: Mutex::new(Some(REFRESH.to_owned())),
        failures: AtomicUsize::new(0),
        replaced: AtomicUsize::new(0),
    });
    Signed { grant: Refresher::new(Shared(memory.clone())), memory, http: http() }
}

impl Signed {
    fn bearer(&self) -> Result<String> {
        self.grant.bearer(&self.http)
    }

    /// What so many threads get who ask at the same time.
    fn bearers(&self, threads: usize) -> Vec<Result<String>> {
        let barrier = Barrier::new(threads);
        thread::scope(|scope| {
            let all: Vec<_> = (0..threads)
                .map(|_| {
                    scope.spawn(|| {
                        barrier.wait();
                        self.bearer()
                    })
                })
                .collect();
            all.into_iter().map(|thread| thread.join().unwrap()).collect()
        })
    }
}

/// A reply with the `number`-th access token.
fn token(number: usize) -> (u16, String) {
    let body =
        format!(r#"{{"access_token":"access-{number}","expires_in":3600,"token_type":"Bearer"}}"#);
    (200, body)
}

/// A reply with tokens of which the refresh token replaces the one sent.
fn rotated(number: usize) -> (u16, String) {
    let body = format!(
        r#"{{"access_token":"access-{number}","expires_in":3600,"refresh_token":"refresh-{number}"}}"#
    );
    (200, body)
}

fn refusal(error: &str) -> (u16, String) {
    (400, format!(r#"{{"error":"{error}","error_description":"so it is"}}"#))
}

fn assert_keeps_quiet(error: &Error) {
    let text = format!("{error} {error:?}");
    for secret in [SECRET, REFRESH, "the-code"] {
        assert!(!text.contains(secret), "{text}");
    }
}

#[test]
fn an_answer_becomes_tokens() {
    let giver = Giver::start(|_, form| {
        assert_eq!(form["grant_type"], "authorization_code");
        assert_eq!(form["client_id"], "the app");
        assert_eq!(form["client_secret"], SECRET);
        assert_eq!(form["redirect_uri"], "http://127.0.0.1:53682/");
        if form["code"] == "4/the code" { rotated(1) } else { refusal("invalid_grant") }
    });
    let client = client(&giver.url);
    let attempt = Attempt::new(SIGN_IN.redirect()).unwrap();
    let page = client.page(SIGN_IN.scopes, SIGN_IN.parameters, &attempt);
    let (address, query) = page.split_once('?').unwrap();
    assert_eq!(address, format!("{}/o/authorize", giver.url));
    let page = Form::of(query);
    assert_eq!(page["scope"], "files.read files.write");
    assert_eq!(page["access_type"], "offline");
    assert_eq!(page["state"], attempt.state());
    let answer = format!("http://127.0.0.1:53682/?code=4%2Fthe%20code&state={}", page["state"]);
    let code = client.code(&attempt, &answer).unwrap();
    let tokens = client.exchange(&http(), &attempt, &code).unwrap();
    assert_eq!(tokens.refresh.as_deref(), Some("refresh-1"));
    let verifier = giver.forms()[0]["code_verifier"].clone();
    let digest = ring::digest::digest(&ring::digest::SHA256, verifier.as_bytes());
    assert_eq!(page["code_challenge"], URL_SAFE_NO_PAD.encode(digest));

    let error = client.exchange(&http(), &attempt, "the-code").map(drop).unwrap_err();
    assert_eq!(error.kind(), Kind::SignIn);
    assert!(error.advice().contains("mooring connection authorize \"cloud\""), "{error}");
    assert_keeps_quiet(&error);
}

#[test]
fn a_sign_in_that_would_not_last_is_refused() {
    let giver = Giver::start(|number, _| token(number));
    let attempt = Attempt::new(None).unwrap();
    let error = client(&giver.url).exchange(&http(), &attempt, "the-code").map(drop).unwrap_err();
    assert_eq!(error.kind(), Kind::SignIn, "{error}");
}

#[test]
fn a_code_is_sent_once_and_a_refresh_again() {
    let giver = Giver::start(|number, _| if number < 2 { (503, "".into()) } else { token(number) });
    let attempt = Attempt::new(None).unwrap();
    let error = client(&giver.url).exchange(&http(), &attempt, "the-code").map(drop).unwrap_err();
    assert_eq!((error.kind(), giver.count()), (Kind::Busy, 1));
    assert_eq!(signed(&giver).bearer().unwrap(), "access-2");
}

#[test]
fn many_threads_cause_one_refresh() {
    let giver = Giver::start(|number, form| {
        assert_eq!(form["refresh_token"], REFRESH);
        thread::sleep(Duration::from_millis(100));
        token(number)
    });
    let signed = signed(&giver);
    let first: Vec<_> = signed.bearers(16).into_iter().map(Result::unwrap).collect();
    assert_eq!(first, vec!["access-0"; 16]);
    for bearer in &first {
        signed.grant.refused(bearer);
    }
    for bearer in signed.bearers(16) {
        assert_eq!(bearer.unwrap(), "access-1");
    }
    // Whoever comes late with the old one does no harm.
    signed.grant.refused("access-0");
    assert_eq!(signed.bearer().unwrap(), "access-1");
    assert_eq!(giver.count(), 2);
    assert_eq!(signed.memory.replaced.load(SeqCst), 0);
}

#[test]
fn many_threads_learn_of_one_refusal() {
    let giver = Giver::start(|_, _| {
        thread::sleep(Duration::from_millis(1000));
        refusal("invalid_grant")
    });
    let signed = signed(&giver);
    for bearer in signed.bearers(16) {
        let error = bearer.unwrap_err();
        assert_eq!(error.kind(), Kind::SignIn);
        assert!(error.advice().contains("mooring connection authorize \"cloud\""), "{error}");
        assert_keeps_quiet(&error);
    }
    assert_eq!(giver.count(), 1);
    // Who asks later asks anew.
    signed.bearer().unwrap_err();
    assert_eq!(giver.count(), 2);
}

#[test]
fn who_stops_waiting_spoils_nothing_for_others() {
    let giver = Giver::start(|number, _| {
        thread::sleep(Duration::from_millis(if number == 0 { 2000 } else { 0 }));
        token(number)
    });
    let signed = signed(&giver);
    let cancel = Cancel::default();
    let leaver = Http::new(&HttpOptions::default(), cancel.clone()).unwrap();
    thread::scope(|scope| {
        let left = scope.spawn(|| signed.grant.bearer(&leaver));
        giver.wait_for(1);
        let stays = scope.spawn(|| signed.bearer());
        cancel.cancel();
        assert_eq!(left.join().unwrap().unwrap_err().kind(), Kind::Cancelled);
        assert_eq!(stays.join().unwrap().unwrap(), "access-1");
    });
}

#[test]
fn a_replaced_token_is_kept_before_its_access_is_used() {
    let giver = Giver::start(|number, _| rotated(number));
    let signed = signed(&giver);
    signed.memory.failures.store(2, SeqCst);
    assert_eq!(signed.bearer().unwrap_err().kind(), Kind::DiskFull);
    assert_eq!(signed.bearer().unwrap_err().kind(), Kind::DiskFull);
    // The service may have ended the old one, so it isn't sent again: the new one is kept late.
    assert_eq!(signed.bearer().unwrap(), "access-0");
    assert_eq!(signed.memory.token.lock().unwrap().as_deref(), Some("refresh-0"));
    assert_eq!(giver.count(), 1);

    signed.grant.refused("access-0");
    assert_eq!(signed.bearer().unwrap(), "access-1");
    assert_eq!(giver.forms()[1]["refresh_token"], "refresh-0");
    assert_eq!(signed.memory.token.lock().unwrap().as_deref(), Some("refresh-1"));
}

#[test]
fn a_token_that_could_not_be_kept_yet_outlives_all_but_another_sign_in() {
    for (signs_in, sent, kept) in
        [(false, &[REFRESH][..], "refresh-0"), (true, &[REFRESH, "another"], "refresh-1")]
    {
        let giver = Giver::start(|number, _| rotated(number));
        let signed = signed(&giver);
        signed.memory.failures.store(1, SeqCst);
        assert_eq!(signed.bearer().unwrap_err().kind(), Kind::DiskFull);
        if signs_in {
            *signed.memory.token.lock().unwrap() = Some("another".into());
        }
        // Any setting of the connection may have changed.
        signed.grant.forget();
        signed.bearer().unwrap();
        let forms = giver.forms();
        assert_eq!(forms.iter().map(|form| &*form["refresh_token"]).collect::<Vec<_>>(), sent);
        assert_eq!(signed.memory.token.lock().unwrap().as_deref(), Some(kept));
    }
}

#[test]
fn a_sign_in_during_a_refresh_wins() {
    for rotates in [false, true] {
        let giver = Giver::start(move |number, _| {
            thread::sleep(Duration::from_millis(500));
            if rotates && number == 0 { rotated(number) } else { token(number) }
        });
        let signed = signed(&giver);
        thread::scope(|scope| {
            let bearer = scope.spawn(|| signed.bearer());
            giver.wait_for(1);
            *signed.memory.token.lock().unwrap() = Some("another".into());
            let begun = Instant::now();
            signed.grant.forget();
            assert!(begun.elapsed() < Duration::from_millis(300), "it waited for the refresh");
            assert_eq!(bearer.join().unwrap().unwrap(), "access-1");
        });
        assert_eq!(giver.forms()[1]["refresh_token"], "another");
        assert_eq!(signed.memory.token.lock().unwrap().as_deref(), Some("another"));
    }
}

#[test]
fn access_is_renewed_before_it_ends_whatever_the_clocks_say() {
    let giver = Giver::start(|number, _| {
        // The first is good for two seconds, the second for longer than any clock goes.
        let lifetime = if number == 0 { 2_u64 } else { 1 << 62 };
        (200, format!(r#"{{"access_token":"access-{number}","expires_in":{lifetime}}}"#))
    });
    let signed = signed(&giver);
    let begun = Instant::now();
    assert_eq!(signed.bearer().unwrap(), "access-0");
    loop {
        let asked = begun.elapsed();
        if signed.bearer().unwrap() != "access-0" {
            break;
        }
        assert!(asked < Duration::from_secs(2), "it is used when it has ended");
        thread::sleep(Duration::from_millis(10));
    }
    assert!(begun.elapsed() >= Duration::from_millis(900), "each request would need two");
    assert_eq!(signed.bearer().unwrap(), "access-1");
    assert_eq!(giver.count(), 2);
}

#[test]
fn what_the_service_refuses_says_what_to_correct() {
    for (reply, kind, remedy) in [
        (refusal("invalid_grant"), Kind::SignIn, "mooring connection authorize \"cloud\""),
        (refusal("invalid_client"), Kind::SignIn, "--set client-id=ID"),
        (refusal("unauthorized_client"), Kind::SignIn, "--set client-id=ID"),
        (refusal("redirect_uri_mismatch"), Kind::SignIn, "add it to the app's redirects"),
        (refusal("invalid_request"), Kind::SignIn, "see whether the app is set up"),
        (refusal("temporarily_unavailable"), Kind::Busy, "tries again"),
        ((404, "<html>not here</html>".into()), Kind::Protocol, "check that the address"),
        ((400, format!(r#"{{"error":{{"{SECRET}":1}}}}"#)), Kind::Protocol, "check that"),
        ((302, "".into()), Kind::Protocol, "check that the address"),
        // All that was sent, said back.
        (
            (400, format!(r#"{{"error":"{REFRESH}","error_description":"of {SECRET}\n"}}"#)),
            Kind::SignIn,
            "see whether",
        ),
        ((200, format!(r#""{REFRESH}""#)), Kind::Protocol, "check that"),
        ((200, format!(r#"{{"access_token":"a","expires_in":"{SECRET}"}}"#)), Kind::Protocol, ""),
        ((200, r#"{"access_token":"#.into()), Kind::Protocol, ""),
        ((200, "x".repeat(2 << 20)), Kind::Protocol, ""),
    ] {
        let told = reply.1.clone();
        let giver = Giver::start(move |_, _| reply.clone());
        let error = signed(&giver).bearer().unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.advice().contains(remedy), "{error}");
        assert!(error.reason().contains("connection cloud"), "{error}");
        assert!(error.to_string().len() < 1000, "{error}");
        assert_keeps_quiet(&error);
        assert!(giver.count() == 1, "{told}");
    }
}
