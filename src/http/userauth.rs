//! HTTP Basic (RFC 7617) and Digest (RFC 7616): a user and a password, shown the way the server
//! asks for.
//!
//! Nothing is shown before a server asked. From then on it goes with every request, so only the
//! first one is sent twice. Digest is preferred to Basic, and SHA-256 to MD5.

use crate::error::Result;
use crate::model::to_hex;
use crate::random::random;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A user's credentials at one server, and what the server asked for last.
pub struct UserAuth {
    user: String,
    password: String,
    asked: Mutex<Asked>,
}

enum Asked {
    Nothing,
    Basic,
    Digest(Box<Session>),
}

/// What goes with one request.
pub struct Shown {
    /// Value of the `Authorization` field.
    pub header: String,
    nonce: Option<String>,
}

/// A Digest challenge that is being answered.
struct Session {
    realm: String,
    nonce: String,
    opaque: Option<String>,
    algorithm: Algorithm,
    /// Whether the server wants `qop=auth`; without it, it speaks the Digest of 1997.
    qop: bool,
    cnonce: String,
    count: u32,
    /// Whether a request with this nonce got through.
    proven: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Hash {
    Md5,
    Sha256,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Algorithm {
    hash: Hash,
    session: bool,
}

impl UserAuth {
    /// Credentials that no server asked for yet.
    pub fn new(user: &str, password: &str) -> Self {
        UserAuth { user: user.into(), password: password.into(), asked: Mutex::new(Asked::Nothing) }
    }

    /// What to send with a request for `target` (path and query as they are sent); `None` as
    /// long as the server hasn't asked.
    ///
    /// # Errors
    /// `Disk` when the system has no random numbers.
    pub fn show(&self, method: &str, target: &str) -> Result<Option<Shown>> {
        Ok(match &mut *self.lock() {
            Asked::Nothing => None,
            Asked::Basic => {
                let pair = format!("{}:{}", self.user, self.password);
                Some(Shown { header: format!("Basic {}", STANDARD.encode(pair)), nonce: None })
            }
            Asked::Digest(session) => {
                if session.cnonce.is_empty() {
                    session.cnonce = to_hex(&random::<16>("signing in")?);
                }
                session.count += 1;
                let header = session.answer(&self.user, &self.password, method, target);
                Some(Shown { header, nonce: Some(session.nonce.clone()) })
            }
        })
    }

    /// A request with `shown` got through.
    pub fn accepted(&self, shown: &Shown) {
        if let Asked::Digest(session) = &mut *self.lock()
            && shown.nonce.as_ref() == Some(&session.nonce)
        {
            session.proven = true;
        }
    }

    /// Takes over what a 401 asks for, given all its `WWW-Authenticate` fields. Tells whether the
    /// request is worth sending again; else the credentials are wrong, missing, or of no use here.
    pub fn refused<'a>(
        &self,
        shown: Option<&Shown>,
        fields: impl Iterator<Item = &'a str>,
    ) -> bool {
        if self.user.is_empty() {
            return false;
        }
        let challenges: Vec<Challenge> = fields.flat_map(parse_challenges).collect();
        let digest = challenges
            .iter()
            .filter_map(|challenge| Some((Session::new(challenge)?, challenge.is_stale())))
            .max_by_key(|(session, _)| session.algorithm.hash);
        let mut asked = self.lock();
        match digest {
            Some((session, stale)) => {
                let again = match (&*asked, shown) {
                    (_, None | Some(Shown { nonce: None, .. })) => true,
                    // Another request has been challenged since this one was built.
                    (Asked::Digest(now), Some(Shown { nonce, .. }))
                        if nonce.as_ref() != Some(&now.nonce) =>
                    {
                        return true;
                    }
                    // A nonce that was good once has run out, whether the server says so or not.
                    (Asked::Digest(now), _) => stale || now.proven,
                    _ => stale,
                };
                *asked = Asked::Digest(Box::new(session));
                again
            }
            None if challenges.iter().any(|challenge| challenge.scheme == "basic") => {
                *asked = Asked::Basic;
                shown.is_none_or(|shown| shown.nonce.is_some())
            }
            None => false,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Asked> {
        // No panic can leave it half-changed.
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for UserAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserAuth").finish_non_exhaustive()
    }
}

impl Session {
    /// `None` for a challenge that can't be answered.
    fn new(challenge: &Challenge) -> Option<Self> {
        if challenge.scheme != "digest" {
            return None;
        }
        let algorithm = challenge.get("algorithm").unwrap_or("MD5").to_ascii_uppercase();
        let (hash, session) = match algorithm.strip_suffix("-SESS") {
            Some(hash) => (hash, true),
            None => (algorithm.as_str(), false),
        };
        let hash = match hash {
            "MD5" => Hash::Md5,
            "SHA-256" => Hash::Sha256,
            _ => return None,
        };
        let qop = match challenge.get("qop") {
            None => false,
            Some(offers) => {
                let mut offers = offers.split(',').map(str::trim);
                offers.any(|offer| offer.eq_ignore_ascii_case("auth")).then_some(true)?
            }
        };
        Some(Session {
            realm: challenge.get("realm")?.into(),
            nonce: challenge.get("nonce")?.into(),
            opaque: challenge.get("opaque").map(Into::into),
            algorithm: Algorithm { hash, session },
            qop,
            cnonce: String::new(),
            count: 0,
            proven: false,
        })
    }

    fn answer(&self, user: &str, password: &str, method: &str, target: &str) -> String {
        let Session { realm, nonce, cnonce, count, .. } = self;
        let hash = |text: &str| match self.algorithm.hash {
            Hash::Md5 => to_hex(&Md5::digest(text.as_bytes())),
            Hash::Sha256 => {
                to_hex(ring::digest::digest(&ring::digest::SHA256, text.as_bytes()).as_ref())
            }
        };
        let mut who = hash(&format!("{user}:{realm}:{password}"));
        if self.algorithm.session {
            who = hash(&format!("{who}:{nonce}:{cnonce}"));
        }
        let asked = hash(&format!("{method}:{target}"));
        let response = if self.qop {
            hash(&format!("{who}:{nonce}:{count:08x}:{cnonce}:auth:{asked}"))
        } else {
            hash(&format!("{who}:{nonce}:{asked}"))
        };
        let name = match self.algorithm {
            Algorithm { hash: Hash::Md5, session: false } => "MD5",
            Algorithm { hash: Hash::Md5, session: true } => "MD5-sess",
            Algorithm { hash: Hash::Sha256, session: false } => "SHA-256",
            Algorithm { hash: Hash::Sha256, session: true } => "SHA-256-sess",
        };
        let user = if user.is_ascii() {
            format!("username={}", quoted(user))
        } else {
            format!("username*=UTF-8''{}", utf8_percent_encode(user, NON_ALPHANUMERIC))
        };
        let mut header = format!(
            "Digest {user}, realm={}, nonce={}, uri={}, response=\"{response}\", algorithm={name}",
            quoted(realm),
            quoted(nonce),
            quoted(target),
        );
        if self.qop {
            header += &format!(", qop=auth, nc={count:08x}, cnonce={}", quoted(cnonce));
        }
        if let Some(opaque) = &self.opaque {
            header += &format!(", opaque={}", quoted(opaque));
        }
        header
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// One challenge of a `WWW-Authenticate` field: its scheme and its parameters, keys in lower case.
#[derive(Debug, PartialEq, Eq)]
struct Challenge {
    scheme: String,
    params: Vec<(String, String)>,
}

impl Challenge {
    fn get(&self, key: &str) -> Option<&str> {
        self.params.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    fn is_stale(&self) -> bool {
        self.get("stale").is_some_and(|stale| stale.eq_ignore_ascii_case("true"))
    }
}

/// All challenges of one field. They and their parameters are both separated by commas: what is
/// followed by `=` is a parameter, any other word begins a challenge.
fn parse_challenges(field: &str) -> Vec<Challenge> {
    let mut challenges: Vec<Challenge> = Vec::new();
    let mut rest = field;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let end = rest.find([' ', '\t', ',', '=', '"']).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        if rest.is_empty() {
            return challenges;
        }
        let value = after.trim_start_matches([' ', '\t']).strip_prefix('=');
        match (value, challenges.last_mut()) {
            (Some(value), Some(challenge)) => {
                let (value, after) = parse_value(value.trim_start_matches([' ', '\t']));
                challenge.params.push((word.to_ascii_lowercase(), value));
                rest = after;
            }
            (None, _) if !word.is_empty() => {
                challenges
                    .push(Challenge { scheme: word.to_ascii_lowercase(), params: Vec::new() });
                rest = after;
            }
            // A parameter of nothing, or a stray quote: there is no telling what comes after.
            _ => return challenges,
        }
    }
}

/// A quoted or bare value at the start of `text`, and what comes after it.
fn parse_value(text: &str) -> (String, &str) {
    let Some(inner) = text.strip_prefix('"') else {
        let (value, after) = text.split_at(text.find([' ', '\t', ',']).unwrap_or(text.len()));
        return (value.into(), after);
    };
    let mut value = String::new();
    let mut escaped = false;
    for (at, c) in inner.char_indices() {
        match c {
            _ if escaped => {
                value.push(c);
                escaped = false;
            }
            '\\' => escaped = true,
            '"' => return (value, &inner[at + 1..]),
            _ => value.push(c),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(field: &str, cnonce: &str) -> Session {
        let mut session = Session::new(&parse_challenges(field)[0]).unwrap();
        session.cnonce = cnonce.into();
        session.count = 1;
        session
    }

    const RFC_7616: &str = r#"realm="http-auth@example.org", qop="auth, auth-int", nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS""#;

    #[test]
    fn answers_as_rfc_7616_says() {
        for (algorithm, response) in [
            ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
            ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ] {
            let field = format!("Digest {RFC_7616}, algorithm={algorithm}");
            let session = session(&field, "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ");
            let header = session.answer("Mufasa", "Circle of Life", "GET", "/dir/index.html");
            assert!(header.contains(&format!("response=\"{response}\"")), "{header}");
            assert!(header.contains("nc=00000001") && header.contains("opaque=\"FQhe/qaU925k"));
        }
    }

    #[test]
    fn answers_without_qop_as_rfc_2069_did() {
        let field =
            r#"Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093""#;
        let header = session(field, "").answer("Mufasa", "CircleOfLife", "GET", "/dir/index.html");
        assert!(header.contains("response=\"1949323746fe6a43ef61f9606e7febea\""), "{header}");
        assert!(!header.contains("nc="));
    }

    #[test]
    fn quotes_what_needs_it() {
        let mut session = session(r#"Digest realm="a \"b\" \\c", nonce=n, qop=auth"#, "c");
        assert_eq!(session.realm, r#"a "b" \c"#);
        session.qop = false;
        let header = session.answer("ü:\"", "p", "GET", "/");
        assert!(header.contains(r#"realm="a \"b\" \\c""#), "{header}");
        assert!(header.contains("username*=UTF-8''%C3%BC%3A%22"), "{header}");
        assert!(header.is_ascii());
    }

    #[test]
    fn prefers_the_stronger_and_counts() {
        let auth = UserAuth::new("user", "secret");
        assert!(auth.show("GET", "/").unwrap().is_none());
        let fields = [
            r#"Basic realm="x, y", Digest realm=r, nonce="1", qop="auth", algorithm=MD5"#,
            r#"Digest realm=r, nonce="2", qop="auth", algorithm=SHA-256"#,
            r#"Digest realm=r, nonce="3", qop="auth-int", algorithm=SHA-512-256"#,
        ];
        assert!(auth.refused(None, fields.into_iter()));
        for count in 1..=20 {
            let shown = auth.show("GET", "/").unwrap().unwrap();
            assert!(shown.header.contains("algorithm=SHA-256"), "{}", shown.header);
            assert!(shown.header.contains(&format!("nc={count:08x}")), "{}", shown.header);
        }
    }

    #[test]
    fn gives_up_when_the_password_is_wrong() {
        let auth = UserAuth::new("user", "secret");
        let field = |nonce: &str, stale: &str| {
            format!("Digest realm=r, nonce={nonce}, qop=\"auth\", stale={stale}")
        };
        assert!(auth.refused(None, [field("1", "false").as_str()].into_iter()));
        let shown = auth.show("GET", "/").unwrap().unwrap();
        assert!(!auth.refused(Some(&shown), [field("2", "false").as_str()].into_iter()));
        // Run out, and said so.
        let shown = auth.show("GET", "/").unwrap().unwrap();
        assert!(auth.refused(Some(&shown), [field("3", "TRUE").as_str()].into_iter()));
        // Run out, and not said so.
        let shown = auth.show("GET", "/").unwrap().unwrap();
        auth.accepted(&shown);
        assert!(auth.refused(Some(&shown), [field("4", "false").as_str()].into_iter()));

        let auth = UserAuth::new("user", "secret");
        assert!(auth.refused(None, ["Basic realm=r"].into_iter()));
        let shown = auth.show("GET", "/").unwrap().unwrap();
        assert_eq!(shown.header, "Basic dXNlcjpzZWNyZXQ=");
        assert!(!auth.refused(Some(&shown), ["Basic realm=r"].into_iter()));
        assert!(!UserAuth::new("", "").refused(None, ["Basic realm=r"].into_iter()));
        assert!(!auth.refused(None, ["Negotiate", "Bearer realm=x"].into_iter()));
    }

    #[test]
    fn any_field_is_survived() {
        for field in
            ["", ",", "=", "\"", "Digest", "Digest =", "Digest a=\"", "Digest a=\"\\", "é=ü"]
        {
            let _ = parse_challenges(field);
        }
        let parsed = parse_challenges("Negotiate abc==, Basic realm=\"x\"");
        assert_eq!(parsed.last().unwrap().scheme, "basic");
    }
}
