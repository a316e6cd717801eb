//! Requests to Dropbox: its hosts, how arguments travel, and what its refusals mean.
//!
//! A call has a JSON argument: in the body, or in a header field where the body is a file's
//! content. A call that can't be carried out is answered with status 409 and an error whose tags
//! nest; its summary is for people and isn't looked at.
//!
//! Facts are from the API's description (`dropbox/dropbox-api-spec`) and Dropbox's guides.

use super::meta::Account;
use crate::error::{Error, Kind, Result};
use crate::http::{self, Call, Http, Payload, Reply};
use crate::model::split_path;
use crate::remote::Api;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Attempts at a call that meets other writes in the same space.
const ATTEMPTS: u32 = 6;
/// First pause between two of them; it doubles.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The tags of a request that Dropbox doesn't understand: a cursor it never gave is one.
pub(super) const MALFORMED: &str = "malformed";

/// The outcome of a call.
pub(super) type Called<T> = std::result::Result<T, Fault>;

/// A refusal, or no answer at all.
#[derive(Debug)]
pub(super) struct Fault {
    /// The error's tags joined by `/`; empty when there was no answer.
    pub tags: String,
    /// How many bytes an upload session has.
    pub offset: Option<u64>,
    /// It wasn't the first attempt that failed so: an earlier one may have been carried out.
    pub again: bool,
    /// What it means.
    pub error: Box<Error>,
}

impl Fault {
    /// Whether the tags are these or begin with them.
    pub fn is(&self, tags: &str) -> bool {
        let rest = self.tags.strip_prefix(tags);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Fault { tags: String::new(), offset: None, again: false, error: Box::new(error) }
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        *fault.error
    }
}

/// A call and how its argument travels.
pub(super) struct Ask<'a> {
    route: &'static str,
    arg: Value,
    style: Style<'a>,
}

enum Style<'a> {
    /// The argument is the body.
    Rpc,
    /// The body is content.
    Upload(Payload<'a>),
    /// The reply's body is content: these bytes of it.
    Download(Range<u64>),
}

impl<'a> Ask<'a> {
    /// A call whose argument is its body.
    pub fn rpc(route: &'static str, arg: Value) -> Self {
        Ask { route, arg, style: Style::Rpc }
    }

    /// A call that sends content.
    pub fn upload(route: &'static str, arg: Value, payload: Payload<'a>) -> Self {
        Ask { route, arg, style: Style::Upload(payload) }
    }

    /// A call that gets these bytes of a content.
    pub fn download(route: &'static str, arg: Value, bytes: Range<u64>) -> Self {
        Ask { route, arg, style: Style::Download(bytes) }
    }
}

/// Dropbox, signed in to, with the space that paths are in.
pub(super) struct Calls {
    api: Api,
    /// Stands for all of Dropbox's hosts.
    endpoint: Option<String>,
    /// The root folder's path; empty for the space itself.
    pub root: String,
    /// Whether paths are in the team's space and not in the member's folder.
    team: bool,
    space: Mutex<Space>,
}

/// What is known of the space that paths are in.
#[derive(Default)]
struct Space {
    /// The team's namespace, once it has been asked for.
    namespace: Option<String>,
    /// The root folder's id, once somebody was told.
    root: Option<Box<str>>,
}

impl Calls {
    pub fn new(api: Api, endpoint: Option<&str>, root: String, team: bool) -> Self {
        let endpoint = endpoint.map(|endpoint| endpoint.trim_end_matches('/').to_owned());
        Calls { api, endpoint, root, team, space: Mutex::default() }
    }

    pub fn http(&self) -> &Http {
        self.api.http()
    }

    /// The address of a route on one of Dropbox's hosts.
    pub fn url(&self, host: &str, route: &str) -> String {
        match &self.endpoint {
            Some(endpoint) => format!("{endpoint}/2/{route}"),
            None => format!("https://{host}.dropboxapi.com/2/{route}"),
        }
    }

    /// Makes a call whose argument and result are JSON.
    pub fn call<T: DeserializeOwned>(
        &self,
        what: &str,
        route: &'static str,
        arg: Value,
    ) -> Called<T> {
        Ok(self.send(what, &Ask::rpc(route, arg))?.json(what)?)
    }

    /// Makes a call.
    pub fn send(&self, what: &str, ask: &Ask<'_>) -> Called<Reply> {
        let namespace = self.namespace(what)?;
        match self.send_in(what, ask, namespace.as_deref()) {
            Err(fault) if fault.is("invalid_root") => {
                let namespace = self.follow_team(what)?;
                self.send_in(what, ask, Some(&namespace))
            }
            called => called,
        }
    }

    /// The account, and the spaces it has now.
    pub fn account(&self, what: &str) -> Result<Account> {
        // Routes without an argument take it as null.
        let ask = Ask::rpc("users/get_current_account", Value::Null);
        self.send_in(what, &ask, None)?.json(what)
    }

    /// Looks at the space itself: from here on it is the one whose id is told.
    pub fn enter_space(&self, what: &str) -> Result<Box<str>> {
        let account = self.account(what)?;
        let id = self.space_id(&account);
        let mut space = self.space();
        space.namespace = Some(account.root_info.root_namespace_id);
        space.root = Some(id.clone());
        Ok(id)
    }

    /// The id of a space as a root folder. The same space of another account isn't the same.
    fn space_id(&self, account: &Account) -> Box<str> {
        let info = &account.root_info;
        let space = if self.team { &info.root_namespace_id } else { &info.home_namespace_id };
        format!("{}:{space}", account.account_id).into()
    }

    /// Notes the id that was told of a root that is a folder in the space.
    pub fn saw_root(&self, id: &str) {
        self.space().root = Some(id.into());
    }

    fn space(&self) -> MutexGuard<'_, Space> {
        // Plain fields: no panic can leave them half-changed.
        self.space.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The namespace that paths are in; `None` where that goes without saying.
    fn namespace(&self, what: &str) -> Result<Option<String>> {
        if !self.team {
            return Ok(None);
        }
        if let Some(known) = self.space().namespace.clone() {
            return Ok(Some(known));
        }
        let namespace = self.account(what)?.root_info.root_namespace_id;
        Ok(Some(self.space().namespace.get_or_insert(namespace).clone()))
    }

    /// The team's space is another one by now. It is gone on with if the root folder is the same
    /// there: else all that isn't in it would count as removed.
    fn follow_team(&self, what: &str) -> Result<String> {
        let account = self.account(what)?;
        let namespace = account.root_info.root_namespace_id.clone();
        let known = self.space().root.clone();
        if let Some(known) = known {
            let id = match self.root.as_str() {
                "" => Some(self.space_id(&account)),
                root => {
                    let ask = Ask::rpc("files/get_metadata", json!({ "path": root }));
                    match self.send_in(what, &ask, Some(&namespace)) {
                        Ok(reply) => Some(reply.json::<Identity>(what)?.id),
                        Err(fault) if fault.is("path/not_found") => None,
                        Err(fault) => return Err(fault.into()),
                    }
                }
            };
            if id.as_ref() != Some(&known) {
                let cause = "the team's space isn't the one any more that it was";
                return Err(Error::new(Kind::RootLost, what, cause)
                    .remedy("check the account, then set the task's remote folder anew"));
            }
        }
        self.space().namespace = Some(namespace.clone());
        Ok(namespace)
    }

    fn send_in(&self, what: &str, ask: &Ask<'_>, namespace: Option<&str>) -> Called<Reply> {
        let arg = ask.arg.to_string();
        let root = namespace.map(|id| json!({ ".tag": "root", "root": id }).to_string());
        let mut attempts = 0;
        loop {
            let reply = self.api.call(what, &[400, 409, 416, 422], &mut || {
                attempts += 1;
                let host = if let Style::Rpc = ask.style { "api" } else { "content" };
                // Whoever sends what can't be sent twice looks at `Fault::again`.
                let mut call = Call::new("POST", self.url(host, ask.route), true);
                call = match &ask.style {
                    Style::Rpc => call
                        .header("Content-Type", "application/json")
                        .payload(Payload::Bytes(arg.as_bytes())),
                    Style::Upload(payload) => {
                        if let Payload::Part { content, .. } = *payload {
                            content.unchanged()?;
                        }
                        call.header("Content-Type", "application/octet-stream")
                            .header("Dropbox-API-Arg", ascii(&arg))
                            .payload(*payload)
                    }
                    Style::Download(bytes) => {
                        if let Some(range) = http::range(bytes) {
                            call = call.header("Range", range);
                        }
                        call.header("Dropbox-API-Arg", ascii(&arg)).payload(Payload::Bytes(b""))
                    }
                };
                Ok(match &root {
                    Some(root) => call.header("Dropbox-API-Path-Root", ascii(root)),
                    None => call,
                })
            })?;
            // Nothing is there from the asked byte on.
            if (200..300).contains(&reply.status) || reply.status == 416 {
                return Ok(reply);
            }
            let fault = fault(what, reply, attempts > 1)?;
            if fault.error.kind() != Kind::Busy || attempts >= ATTEMPTS {
                return Err(fault);
            }
            // Another write in the same space was in its way.
            self.http().pause(FIRST_PAUSE * 2_u32.pow(attempts - 1))?;
        }
    }
}

#[derive(Deserialize)]
struct Identity {
    id: Box<str>,
}

/// JSON as it may stand in a header field: DEL and what isn't ASCII as `\uXXXX`, in pairs of
/// surrogates where that takes two. (Dropbox's guide to encoding JSON.)
fn ascii(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        if character < '\x7f' {
            text.push(character);
            continue;
        }
        for unit in character.encode_utf16(&mut [0; 2]) {
            // Writing to a string can't fail.
            let _ = write!(text, "\\u{unit:04x}");
        }
    }
    text
}

/// What a refusal of a call says.
pub(super) fn fault(what: &str, reply: Reply, again: bool) -> Result<Fault> {
    if reply.status == 400 {
        let error = Box::new(misunderstood(what, &reply.excerpt()));
        return Ok(Fault { tags: MALFORMED.into(), offset: None, again, error });
    }
    #[derive(Deserialize)]
    struct Refused {
        error: Value,
    }
    let body = reply.bytes(what)?;
    let refused: Refused = serde_json::from_slice(&body).map_err(|error| {
        Error::new(Kind::Protocol, what, format!("the refusal isn't what was expected ({error})"))
    })?;
    let (tags, offset) = tags(&refused.error);
    let error = Box::new(meaning(what, &tags));
    Ok(Fault { tags, offset, again, error })
}

/// The tags of a union from the outside in, and the offset if one is told. A tag's value has the
/// tag's name, or its fields stand beside it.
fn tags(union: &Value) -> (String, Option<u64>) {
    let (mut tags, mut offset) = (String::new(), None);
    let mut at = Some(union);
    while let Some(union) = at {
        let Some(tag) = union.as_str().or_else(|| union.get(".tag")?.as_str()) else { break };
        if !tags.is_empty() {
            tags.push('/');
        }
        tags.push_str(tag);
        offset = union.get("correct_offset").and_then(Value::as_u64).or(offset);
        at = union.get(tag).or_else(|| union.get("reason"));
    }
    (tags, offset)
}

/// What the tags of a refusal mean to the engine and to a person.
fn meaning(what: &str, tags: &str) -> Error {
    let error = |kind, cause: &str| Error::new(kind, what, cause);
    if tags.ends_with("conflict/file_ancestor") {
        return error(Kind::NotFound, "a file is in the place of its folder");
    }
    if tags.contains("conflict") {
        return error(Kind::Exists, "something is in its place");
    }
    match split_path(tags).1 {
        "not_found" => error(Kind::NotFound, "it isn't there"),
        "not_folder" => error(Kind::NotFound, "it is a file now"),
        "not_file" => error(Kind::Changed, "it is a folder now"),
        "malformed_path" | "disallowed_name" => {
            error(Kind::BadName, "Dropbox doesn't take this name")
        }
        "insufficient_space" | "insufficient_quota" => {
            error(Kind::QuotaFull, "there is no space left in the account")
        }
        "no_write_permission" | "access_restricted" => {
            error(Kind::Denied, "this account may not change anything there")
                .remedy("ask the owner of the shared folder, or the team's admin, for permission")
        }
        "cant_nest_shared_folder" | "cant_move_shared_folder" | "cant_copy_shared_folder" => {
            error(Kind::Denied, "Dropbox doesn't move a shared folder there")
        }
        "team_folder" => error(Kind::Denied, "a team's folder can only be changed by its admin"),
        "restricted_content" => error(Kind::Denied, "Dropbox has blocked it")
            .remedy("Dropbox blocks what it was asked to by a holder of rights; see its website"),
        "unsupported_file" | "unsupported_content_type" => {
            error(Kind::Denied, "it is an online document, not a file")
        }
        "locked" => error(Kind::InUse, "somebody has locked it")
            .remedy("nothing to do; it is synced once it is unlocked"),
        "too_many_files" => error(Kind::TooLarge, "it has more files than Dropbox takes at once"),
        "too_large" | "payload_too_large" => error(Kind::TooLarge, "it is too large for Dropbox"),
        "content_hash_mismatch" => {
            error(Kind::Integrity, "other bytes arrived than were sent, and were dropped")
        }
        "too_many_write_operations" | "internal_error" | "operation_suppressed" => {
            error(Kind::Busy, "Dropbox is busy with other changes in the same space")
        }
        "no_permission" | "invalid_root" => {
            error(Kind::RootLost, "the account can't see the team's space any more")
                .remedy("check the account, or set the connection's space to member")
        }
        "reset" => error(Kind::NotFound, "Dropbox doesn't know any more where the last look ended"),
        "" => error(Kind::Protocol, "Dropbox refuses it and doesn't say why"),
        _ => Error::new(Kind::Protocol, what, format!("Dropbox refuses it ({tags})"))
            .remedy("see what Dropbox's website says of it; Mooring tries again by itself"),
    }
}

/// What a status means that isn't about one item.
pub(super) fn refusal(what: &str, status: u16, body: &str) -> Error {
    #[derive(Deserialize)]
    struct Refused {
        error: Value,
    }
    let refused = serde_json::from_str::<Refused>(body).map_or(Value::Null, |it| it.error);
    let (tags, _) = tags(&refused);
    match (status, tags.as_str()) {
        (401, "missing_scope") => {
            let scope = refused.get("required_scope").and_then(Value::as_str).unwrap_or_default();
            let cause = format!("the app has no permission for this: {scope}");
            Error::new(Kind::SignIn, what, cause).remedy(format!(
                "tick {scope} among the permissions of the app in Dropbox's App Console, then \
                 sign in again: mooring connection authorize NAME"
            ))
        }
        (401, "user_suspended") => Error::new(Kind::SignIn, what, "the account is suspended")
            .remedy("ask the team's admin"),
        (401, _) => Error::new(Kind::SignIn, what, "Dropbox doesn't accept the sign-in any more")
            .remedy("sign in again: mooring connection authorize NAME"),
        (403, tags) => {
            let cause = format!("the account isn't allowed to do this ({tags})");
            Error::new(Kind::Denied, what, cause).remedy("ask the team's admin")
        }
        _ if tags.is_empty() => {
            let cause = format!("this isn't how Dropbox answers (status {status})");
            Error::new(Kind::Protocol, what, cause)
        }
        _ => Error::new(Kind::Protocol, what, format!("Dropbox refuses it ({status}, {tags})")),
    }
}

/// A request that Dropbox says makes no sense, in its own words as far as they can be shown.
fn misunderstood(what: &str, text: &str) -> Error {
    let line = text.lines().next().unwrap_or_default();
    // It quotes header fields that it doesn't like; one of them has the token.
    let said: String = if line.contains("uthorization") || line.contains("Bearer") {
        "the sign-in is malformed".into()
    } else {
        line.chars().take(300).collect()
    };
    Error::new(Kind::Protocol, what, format!("Dropbox doesn't understand the request ({said})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_fields_are_ascii() {
        let json = json!({ "path": "/caf\u{e9} \u{1f600}\u{7f}\n\"" }).to_string();
        let text = ascii(&json);
        assert_eq!(text, "{\"path\":\"/caf\\u00e9 \\ud83d\\ude00\\u007f\\n\\\"\"}");
        assert_eq!(
            serde_json::from_str::<Value>(&text).unwrap(),
            serde_json::from_str::<Value>(&json).unwrap()
        );
    }

    #[test]
    fn tags_nest_in_three_ways() {
        let union: fn(&str) -> (String, Option<u64>) =
            |json| tags(&serde_json::from_str(json).unwrap());
        let conflict = r#"{".tag": "path", "reason": {".tag": "conflict", "conflict":
            {".tag": "file"}}, "upload_session_id": "x"}"#;
        assert_eq!(union(conflict), ("path/conflict/file".into(), None));
        let offset = r#"{".tag": "lookup_failed", "lookup_failed":
            {".tag": "incorrect_offset", "correct_offset": 7}}"#;
        assert_eq!(union(offset), ("lookup_failed/incorrect_offset".into(), Some(7)));
        assert_eq!(union("\"other\""), ("other".into(), None));
        for odd in ["null", "[]", "{}", r#"{".tag": 7}"#, "12"] {
            assert_eq!(union(odd), (String::new(), None));
        }
    }

    #[test]
    fn whole_tags_are_compared() {
        let fault = |tags: &str| Fault { tags: tags.into(), ..Error::cancelled().into() };
        assert!(fault("path/conflict/file").is("path/conflict"));
        assert!(fault("reset").is("reset"));
        assert!(!fault("path/conflicted").is("path/conflict"));
        assert!(!fault("").is("path"));
    }

    #[test]
    fn tokens_are_not_repeated() {
        let text = "Error in call: Invalid authorization value in HTTP header \
                    \"Authorization\": \"Bearer s3cret\"";
        assert!(!misunderstood("it", text).to_string().contains("s3cret"));
    }

    #[test]
    fn refusals_say_what_to_do() {
        let body = r#"{"error_summary": "missing_scope/..", "error":
            {".tag": "missing_scope", "required_scope": "files.content.write"}}"#;
        let error = refusal("uploading 'a'", 401, body);
        assert_eq!(error.kind(), Kind::SignIn);
        assert!(error.advice().contains("tick files.content.write"), "{error}");
        assert_eq!(refusal("it", 401, "<html>").kind(), Kind::SignIn);
        assert_eq!(refusal("it", 404, "").kind(), Kind::Protocol);
        for (tags, kind) in [
            ("path/insufficient_space", Kind::QuotaFull),
            ("path/disallowed_name", Kind::BadName),
            ("to/malformed_path", Kind::BadName),
            ("path/no_write_permission", Kind::Denied),
            ("path/restricted_content", Kind::Denied),
            ("path_write/too_many_write_operations", Kind::Busy),
            ("too_many_files", Kind::TooLarge),
            ("something_new", Kind::Protocol),
        ] {
            assert_eq!(meaning("it", tags).kind(), kind, "{tags}");
        }
    }
}
