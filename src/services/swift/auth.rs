//! Signing in: credentials become a token and the address of the account, for a while.

use super::presets::{PRESETS, Way};
use super::{DESCRIPTOR, not_swift, wrong};
use crate::error::{Error, Kind, Result};
use crate::http::{Call, Http, Payload, Reply};
use crate::remote::Settings;
use crate::services::fault;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

/// A token that ends within this time is replaced before it is used.
const MARGIN: Duration = Duration::from_secs(60);
/// What the services of objects are called in a catalogue.
const OBJECT_STORE: &str = "object-store";

/// Who asks, and whom to show it to.
pub(super) struct Identity {
    way: Way,
    /// Where to sign in, to its last part.
    url: String,
    user: String,
    key: String,
    /// Id of an application credential, whose secret the key is.
    application: Option<String>,
    /// Name and id.
    project: Option<Named>,
    domain: Named,
    region: Option<String>,
    /// Which of the addresses in a catalogue.
    interface: String,
}

/// What is called by its name or by its id.
enum Named {
    Name(String),
    Id(String),
}

/// What a sign-in gave.
pub(super) struct Session {
    pub token: String,
    /// Address of the account, without a slash at its end.
    pub storage: String,
    /// When to sign in anew; `None`: when the token is refused. By a clock that nobody sets.
    until: Option<Instant>,
}

impl Session {
    pub fn is_good(&self) -> bool {
        self.until.is_none_or(|until| Instant::now() < until)
    }
}

impl Identity {
    /// # Errors
    /// `Usage`, naming the setting.
    pub fn by(settings: &Settings) -> Result<Identity> {
        let given = |key: &str| settings.given(key).map(str::to_owned);
        let named = settings.given("provider");
        let preset = PRESETS.iter().find(|it| Some(it.provider.name) == named);
        let preset = preset.unwrap_or(&PRESETS[0]);
        let (address, region) = (preset.provider.address, given("region"));
        let url = match given("endpoint") {
            Some(own) => own,
            None if preset.provider.own_address => {
                let cause = format!("it is missing: that of the identity service, like {address}");
                return Err(wrong("endpoint", cause));
            }
            None if address.contains("{region}") => {
                let regions = preset.provider.regions.join(", ");
                let missing = || wrong("region", format!("it is missing; there are {regions}"));
                let region = region.as_deref().ok_or_else(missing)?;
                // It becomes part of a host's name.
                if !region.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                    return Err(wrong(
                        "region",
                        format!("there is none of this name, but {regions}"),
                    ));
                }
                format!("https://{}", address.replace("{region}", region))
            }
            None => format!("https://{address}"),
        };
        if url.contains(['@', '?', '#', ' ']) || url.split("://").nth(1).is_none_or(str::is_empty) {
            let cause = "it is more than a scheme, a host, a port and a path";
            return Err(wrong("endpoint", cause.into()));
        }
        let url = url.trim_end_matches('/');
        let last = url.rsplit('/').next().unwrap_or_default();
        let way = match (settings.get(&DESCRIPTOR, "auth-version"), preset.way) {
            ("1", _) => Way::V1,
            ("2", Some(Way::ApiKey)) => Way::ApiKey,
            ("2", _) => Way::V2,
            ("3", _) => Way::V3,
            (_, Some(way)) => way,
            _ if last.starts_with("v1") => Way::V1,
            _ if last.starts_with("v2") => Way::V2,
            _ => Way::V3,
        };
        // A version that the address leaves out.
        let url = match way {
            Way::V1 => url.to_owned(),
            Way::V2 | Way::ApiKey if last.starts_with("v2") => format!("{url}/tokens"),
            Way::V2 | Way::ApiKey => format!("{url}/v2.0/tokens"),
            Way::V3 if last.starts_with("v3") => format!("{url}/auth/tokens"),
            Way::V3 => format!("{url}/v3/auth/tokens"),
        };
        let application = given("application-credential");
        if application.is_some() && way != Way::V3 {
            let cause = "only version 3 of the identity service has such";
            return Err(wrong("application-credential", cause.into()));
        }
        let user = given("user").unwrap_or_default();
        if user.is_empty() && application.is_none() {
            return Err(wrong("user", "it is missing".into()));
        }
        let one = |name: &str, id: &str| match (given(name), given(id)) {
            (Some(_), Some(_)) => Err(wrong(id, format!("either it or {name} is enough"))),
            (name, id) => Ok(id.map(Named::Id).or(name.map(Named::Name))),
        };
        Ok(Identity {
            way,
            url,
            user,
            key: settings.get(&DESCRIPTOR, "key").to_owned(),
            application,
            project: one("project", "project-id")?,
            // The domain that Keystone makes of itself has this id.
            domain: one("domain", "domain-id")?.unwrap_or_else(|| Named::Id("default".into())),
            region: region.filter(|_| !address.contains("{region}")),
            interface: settings.get(&DESCRIPTOR, "interface").to_owned(),
        })
    }

    /// # Errors
    /// `SignIn`, `Usage` when there is no such region, `Protocol`, and those of [`Http::call`].
    pub fn sign_in(&self, http: &Http, what: &str) -> Result<Session> {
        match self.way {
            Way::V1 => self.by_header(http, what),
            Way::V2 | Way::ApiKey => self.by_keystone_2(http, what),
            Way::V3 => self.by_keystone_3(http, what),
        }
    }

    fn by_header(&self, http: &Http, what: &str) -> Result<Session> {
        let reply = http.call(what, &mut || {
            Ok(Call::new("GET", self.url.clone(), true)
                .header("X-Auth-User", self.user.as_str())
                .header("X-Auth-Key", self.key.as_str()))
        })?;
        let reply = self.accepted(what, reply)?;
        let field = |name| reply.header(name).map(str::to_owned);
        let lifetime = reply.header("x-auth-token-expires").and_then(|text| text.parse().ok());
        let (token, storage) = (field("x-auth-token"), field("x-storage-url"));
        reply.drain();
        let (Some(token), Some(storage)) = (token, storage) else {
            return Err(not_identity(what, "the reply tells no token"));
        };
        self.session(what, token, storage, lifetime.map(Duration::from_secs))
    }

    fn by_keystone_2(&self, http: &Http, what: &str) -> Result<Session> {
        #[derive(Deserialize)]
        struct Answer {
            access: Access,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Access {
            token: Token,
            #[serde(default)]
            service_catalog: Vec<Offer>,
        }
        #[derive(Deserialize)]
        struct Token {
            id: String,
            #[serde(default)]
            expires: String,
        }
        #[derive(Deserialize)]
        struct Offer {
            r#type: String,
            endpoints: Vec<BTreeMap<String, Value>>,
        }
        let reply = self.post(http, what, &self.credentials_2())?;
        let now = reply.header_time("date");
        let Access { token, service_catalog } = reply.json::<Answer>(what)?.access;
        let key = format!("{}URL", self.interface);
        let mut found = Vec::new();
        for offer in service_catalog.into_iter().filter(|it| it.r#type == OBJECT_STORE) {
            for endpoint in offer.endpoints {
                let text = |key: &str| endpoint.get(key).and_then(Value::as_str).map(str::to_owned);
                found.extend(text(&key).map(|url| (text("region").unwrap_or_default(), url)));
            }
        }
        let storage = self.choose(what, found)?;
        self.session(what, token.id, storage, lifetime(&token.expires, now))
    }

    fn by_keystone_3(&self, http: &Http, what: &str) -> Result<Session> {
        #[derive(Deserialize)]
        struct Answer {
            token: Token,
        }
        #[derive(Deserialize)]
        struct Token {
            #[serde(default)]
            expires_at: String,
            #[serde(default)]
            catalog: Vec<Offer>,
        }
        #[derive(Deserialize)]
        struct Offer {
            r#type: String,
            #[serde(default)]
            endpoints: Vec<Endpoint>,
        }
        #[derive(Deserialize)]
        struct Endpoint {
            interface: String,
            region: Option<String>,
            url: String,
        }
        let reply = self.post(http, what, &self.credentials_3())?;
        let now = reply.header_time("date");
        let token = reply.header("x-subject-token").map(str::to_owned);
        let token = token.ok_or_else(|| not_identity(what, "the reply tells no token"))?;
        let Token { expires_at, catalog } = reply.json::<Answer>(what)?.token;
        let offers = catalog.into_iter().filter(|it| it.r#type == OBJECT_STORE);
        let endpoints = offers.flat_map(|it| it.endpoints);
        let of_interface = endpoints.filter(|it| it.interface == self.interface);
        let found = of_interface.map(|it| (it.region.unwrap_or_default(), it.url)).collect();
        let storage = self.choose(what, found)?;
        self.session(what, token, storage, lifetime(&expires_at, now))
    }

    fn credentials_2(&self) -> Value {
        let Identity { user, key, .. } = self;
        let mut auth = match self.way {
            Way::ApiKey => json!({
                "RAX-KSKEY:apiKeyCredentials": { "username": user, "apiKey": key }
            }),
            _ => json!({ "passwordCredentials": { "username": user, "password": key } }),
        };
        match &self.project {
            Some(Named::Name(name)) => auth["tenantName"] = json!(name),
            Some(Named::Id(id)) => auth["tenantId"] = json!(id),
            None => {}
        }
        json!({ "auth": auth })
    }

    fn credentials_3(&self) -> Value {
        let Identity { user, key, .. } = self;
        let domain = match &self.domain {
            Named::Name(name) => json!({ "name": name }),
            Named::Id(id) => json!({ "id": id }),
        };
        if let Some(id) = &self.application {
            // It is of one project.
            return json!({ "auth": { "identity": {
                "methods": ["application_credential"],
                "application_credential": { "id": id, "secret": key },
            } } });
        }
        let user = json!({ "name": user, "domain": domain, "password": key });
        let identity = json!({ "methods": ["password"], "password": { "user": user } });
        let mut auth = json!({ "identity": identity });
        match &self.project {
            Some(Named::Name(name)) => {
                auth["scope"] = json!({ "project": { "name": name, "domain": domain } });
            }
            Some(Named::Id(id)) => auth["scope"] = json!({ "project": { "id": id } }),
            None => {}
        }
        json!({ "auth": auth })
    }

    fn post(&self, http: &Http, what: &str, body: &Value) -> Result<Reply> {
        let body = body.to_string();
        let reply = http.call(what, &mut || {
            Ok(Call::new("POST", self.url.clone(), true)
                .header("Content-Type", "application/json")
                .header("Accept", "application/json")
                .payload(Payload::Bytes(body.as_bytes())))
        })?;
        self.accepted(what, reply)
    }

    /// The reply to a sign-in, if it is a good one.
    fn accepted(&self, what: &str, reply: Reply) -> Result<Reply> {
        let status = reply.status;
        if (200..300).contains(&status) {
            return Ok(reply);
        }
        // Keystone says `{"error": {"message": …}}`, Rackspace has other words for the outer name.
        let told: Value = serde_json::from_str(&reply.excerpt()).unwrap_or_default();
        let inner = told.as_object().and_then(|it| it.values().next());
        let message = inner.and_then(|it| it["message"].as_str()).unwrap_or_default();
        let cause = fault::cause(status, "", message);
        let refused = |cause| Error::new(Kind::SignIn, what, cause).remedy(self.advice());
        Err(match status {
            401 | 403 => refused(cause),
            // So Keystone says what is missing, and that there is no such application credential.
            400 | 404 if !message.is_empty() => refused(cause),
            _ => not_identity(what, cause),
        })
    }

    /// What to do when the credentials aren't accepted.
    fn advice(&self) -> &'static str {
        match self.way {
            Way::V1 => "check the connection's user and key",
            Way::ApiKey => "check the connection's user and API key",
            Way::V2 => "check the connection's user, password and project",
            Way::V3 if self.application.is_some() => {
                "check the connection's application credential: its id, its secret, and that it \
                 hasn't expired"
            }
            Way::V3 => {
                "check the connection's user, password, project and domain; capital letters count"
            }
        }
    }

    /// The address of the account, of those that a catalogue has by their regions.
    fn choose(&self, what: &str, found: Vec<(String, String)>) -> Result<String> {
        if found.is_empty() {
            let interface = &self.interface;
            let cause = format!("the catalogue tells no {interface} address of an object store");
            let remedy =
                "check the connection's project: without one, or in another, there is none";
            return Err(Error::new(Kind::SignIn, what, cause).remedy(remedy));
        }
        let mut regions: Vec<_> = found.iter().map(|(region, _)| region.clone()).collect();
        regions.sort();
        regions.dedup();
        let there_are = regions.join(", ");
        let wanted = match &self.region {
            Some(region) => region,
            None if regions.len() == 1 => &regions[0],
            None => return Err(wrong("region", format!("it is missing; there are {there_are}"))),
        };
        let is_wanted = |it: &(String, String)| it.0.eq_ignore_ascii_case(wanted);
        let chosen = found.into_iter().find(is_wanted).map(|(_, url)| url);
        let none = || wrong("region", format!("there is no region {wanted}, but {there_are}"));
        chosen.ok_or_else(none)
    }

    fn session(
        &self,
        what: &str,
        token: String,
        storage: String,
        lifetime: Option<Duration>,
    ) -> Result<Session> {
        let storage = self.secured(what, storage.trim_end_matches('/'))?;
        // Where it is good for less than twice the margin, half of that.
        let used = lifetime.map(|time| time.saturating_sub(MARGIN).max(time / 2));
        let until = used.and_then(|time| Instant::now().checked_add(time));
        Ok(Session { token, storage, until })
    }

    /// The address of the account. A token isn't sent without TLS because a reply says so; Swift
    /// itself says so when it doesn't know that there is TLS before it.
    fn secured(&self, what: &str, storage: &str) -> Result<String> {
        let host = |url: &str| url.split('/').nth(2).unwrap_or_default().to_owned();
        match storage.strip_prefix("http://") {
            Some(rest) if self.url.starts_with("https://") => {
                if host(&self.url) == host(storage) {
                    return Ok(format!("https://{rest}"));
                }
                Err(not_identity(what, "the reply tells an address without TLS"))
            }
            None if !storage.starts_with("https://") => {
                Err(not_swift(what, "the reply tells no address of the account"))
            }
            _ => Ok(storage.to_owned()),
        }
    }
}

/// How long a token is good that ends then. The service's clock tells, as ours may be wrong.
fn lifetime(expires: &str, now: Option<i64>) -> Option<Duration> {
    let expires = humantime::parse_rfc3339(expires).ok()?;
    let now = u64::try_from(now?).ok()?;
    expires.duration_since(SystemTime::UNIX_EPOCH + Duration::from_secs(now)).ok()
}

fn not_identity(what: &str, cause: impl std::fmt::Display) -> Error {
    Error::new(Kind::Protocol, what, cause).remedy(
        "check the connection's address, which is that of the identity service, and the version \
         that it speaks (auth-version)",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(settings: &[(&str, &str)]) -> Identity {
        let base = [("user", "u"), ("key", "k"), ("container", "c")];
        let all = base.iter().chain(settings);
        Identity::by(&all.map(|(key, value)| (key.to_string(), value.to_string())).collect())
            .unwrap()
    }

    #[test]
    fn addresses_tell_how_to_sign_in() {
        let rackspace = "https://identity.api.rackspacecloud.com/v2.0/tokens";
        let softlayer = "https://dal05.objectstorage.softlayer.net/auth/v1.0";
        for (settings, way, url) in [
            (&[("endpoint", "http://nas/auth/v1.0")][..], Way::V1, "http://nas/auth/v1.0"),
            (
                &[("endpoint", "http://nas/auth/"), ("auth-version", "1")],
                Way::V1,
                "http://nas/auth",
            ),
            (&[("endpoint", "http://nas/v2.0/")], Way::V2, "http://nas/v2.0/tokens"),
            (
                &[("endpoint", "http://nas"), ("auth-version", "2")],
                Way::V2,
                "http://nas/v2.0/tokens",
            ),
            (&[("endpoint", "http://nas/v3")], Way::V3, "http://nas/v3/auth/tokens"),
            (&[("endpoint", "http://nas:5000")], Way::V3, "http://nas:5000/v3/auth/tokens"),
            (&[("endpoint", "https://nas/id/v3/")], Way::V3, "https://nas/id/v3/auth/tokens"),
            (&[("provider", "rackspace-us")], Way::ApiKey, rackspace),
            (&[("provider", "softlayer"), ("region", "dal05")], Way::V1, softlayer),
        ] {
            let identity = identity(settings);
            assert_eq!((identity.way, identity.url.as_str()), (way, url), "{settings:?}");
        }
    }

    #[test]
    fn credentials_are_those_of_the_version() {
        let at = |version: &str, more: &[(&str, &str)]| {
            let endpoint = format!("http://nas/{version}");
            identity(&[&[("endpoint", endpoint.as_str())], more].concat())
        };
        let password = json!({ "username": "u", "password": "k" });
        assert_eq!(
            at("v2.0", &[("project", "p")]).credentials_2(),
            json!({ "auth": { "passwordCredentials": password, "tenantName": "p" } })
        );
        assert_eq!(
            at("v2.0", &[("project-id", "1")]).credentials_2(),
            json!({ "auth": { "passwordCredentials": password, "tenantId": "1" } })
        );
        let key = json!({ "username": "u", "apiKey": "k" });
        assert_eq!(
            identity(&[("provider", "rackspace-us")]).credentials_2(),
            json!({ "auth": { "RAX-KSKEY:apiKeyCredentials": key } })
        );
        let by_password = |domain: Value| {
            let user = json!({ "name": "u", "domain": domain, "password": "k" });
            json!({ "methods": ["password"], "password": { "user": user } })
        };
        assert_eq!(
            at("v3", &[("project-id", "1"), ("domain-id", "d")]).credentials_3(),
            json!({ "auth": {
                "identity": by_password(json!({ "id": "d" })),
                "scope": { "project": { "id": "1" } },
            } })
        );
        assert_eq!(
            at("v3", &[("project", "p"), ("domain", "D")]).credentials_3(),
            json!({ "auth": {
                "identity": by_password(json!({ "name": "D" })),
                "scope": { "project": { "name": "p", "domain": { "name": "D" } } },
            } })
        );
        assert_eq!(
            at("v3", &[]).credentials_3(),
            json!({ "auth": { "identity": by_password(json!({ "id": "default" })) } })
        );
        assert_eq!(
            at("v3", &[("application-credential", "a")]).credentials_3(),
            json!({ "auth": { "identity": {
                "methods": ["application_credential"],
                "application_credential": { "id": "a", "secret": "k" },
            } } })
        );
    }

    #[test]
    fn the_region_is_chosen_or_told() {
        let found = || vec![("DFW".to_owned(), "d".to_owned()), ("ORD".to_owned(), "o".to_owned())];
        let with = |region: &str| {
            let settings = [("endpoint", "http://nas/v3"), ("region", region)];
            identity(&settings).choose("looking", found())
        };
        assert_eq!(with("ord").unwrap(), "o");
        for region in ["", "LON"] {
            let error = with(region).unwrap_err();
            assert_eq!(error.kind(), Kind::Usage);
            assert!(error.to_string().contains("DFW, ORD"), "{error}");
        }
        let none = identity(&[("endpoint", "http://nas/v3")]);
        assert_eq!(none.choose("looking", found().split_off(1)).unwrap(), "o");
        assert_eq!(none.choose("looking", Vec::new()).unwrap_err().kind(), Kind::SignIn);
    }

    #[test]
    fn a_token_is_not_sent_without_tls_because_a_reply_says_so() {
        let identity = identity(&[("endpoint", "https://nas:1/v3")]);
        let secured = |storage: &str| identity.secured("signing in", storage);
        assert_eq!(secured("http://nas:1/v1/a").unwrap(), "https://nas:1/v1/a");
        assert_eq!(secured("https://b/v1/a").unwrap(), "https://b/v1/a");
        for storage in ["http://b/v1/a", "http://nas:1.evil/a", "ftp://b", ""] {
            assert_eq!(secured(storage).unwrap_err().kind(), Kind::Protocol, "{storage}");
        }
    }

    #[test]
    fn a_token_is_replaced_before_it_ends() {
        let identity = identity(&[("endpoint", "http://nas/v3")]);
        let is_good = |lifetime| {
            let session =
                identity.session("a", "token".into(), "http://nas/v1/a/".into(), lifetime);
            session.unwrap().is_good()
        };
        assert!(is_good(None) && is_good(Some(Duration::from_secs(3600))));
        assert!(!is_good(Some(Duration::ZERO)));
    }

    #[test]
    fn tokens_end_by_the_clock_of_the_service() {
        let hour = Duration::from_secs(3600);
        assert_eq!(lifetime("2001-09-09T02:46:40.000000Z", Some(1_000_000_000)), Some(hour));
        for (expires, now) in [
            ("", Some(0)),
            ("2001-09-09T01:46:39Z", Some(1_000_000_000)),
            ("2001-09-09T02:46:40Z", None),
        ] {
            assert_eq!(lifetime(expires, now), None, "{expires}");
        }
    }
}
