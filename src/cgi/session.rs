//! Who is logged in to the NAS: asked of the NAS itself, by its own program or, where that may not
//! be run, by its web server. Whatever isn't told plainly means nobody.

use super::answer::logged_out;
use super::request::Request;
use crate::accounts;
use crate::caller::{Caller, is_user_name};
use crate::child;
use crate::error::Result;
use nix::unistd::geteuid;
use serde::Deserialize;
use std::fs;
use std::io::{self, BufReader, ErrorKind};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use ureq::Agent;
use ureq::http::HeaderValue;
use ureq::tls::TlsConfig;

/// What DSM has for this: it prints the name of who is logged in by the cookie and the addresses.
const HELPER: &str = "/usr/syno/synoman/webman/modules/authenticate.cgi";
/// What it may see of a request. It understands only `GET`, and reads no body.
const PASSED: [&str; 13] = [
    "GATEWAY_INTERFACE",
    "HTTPS",
    "HTTP_COOKIE",
    "HTTP_HOST",
    "HTTP_USER_AGENT",
    "REMOTE_ADDR",
    "REMOTE_PORT",
    "REQUEST_SCHEME",
    "SERVER_ADDR",
    "SERVER_NAME",
    "SERVER_PORT",
    "SERVER_PROTOCOL",
    "SERVER_SOFTWARE",
];
/// Time for it, and for the web server.
const PATIENCE: Duration = Duration::from_secs(20);
/// Bytes of a name and the end of its line.
const MOST_BYTES: usize = 1 << 10;
/// What the desktop of DSM asks for who is logged in.
const DESKTOP: &str =
    "/webapi/entry.cgi?api=SYNO.Core.Desktop.Initdata&version=1&method=get_user_service";
/// Bytes of the answer, which tells of much else. It isn't kept.
const MOST_JSON: u64 = 8 << 20;
/// The kernel's tables of sockets, its word for those that listen, and where their owners stand.
const TABLES: [&str; 2] = ["/proc/net/tcp", "/proc/net/tcp6"];
const LISTENS: &str = "0A";
const OWNER: usize = 7;

/// The programs of the NAS that know its users. Only who starts this program can name others.
#[derive(Clone, Debug)]
pub struct Programs {
    /// Prints who is logged in.
    pub helper: PathBuf,
    /// Prints the groups of a user.
    pub id: PathBuf,
}

impl Default for Programs {
    fn default() -> Self {
        Programs { helper: HELPER.into(), id: accounts::ID.into() }
    }
}

/// Who sent this request.
pub fn caller(request: &Request<'_>, programs: &Programs) -> Result<Caller> {
    if request.raw("HTTP_COOKIE").is_none() {
        return Err(logged_out("nobody is logged in"));
    }
    let token = request.token().unwrap_or_default();
    match ask_helper(request, &token, programs) {
        Ok(printed) => {
            let name = named(printed.strip_suffix('\n').unwrap_or(&printed))?;
            let administrator =
                accounts::groups(&programs.id, &name)?.contains(&accounts::administrators());
            Ok(Caller::User { name, administrator })
        }
        Err(error) if error.kind() == ErrorKind::PermissionDenied => ask_desktop(request, &token),
        Err(error) => Err(logged_out(format!("{}: {error}", programs.helper.display()))),
    }
}

fn ask_helper(request: &Request<'_>, token: &str, programs: &Programs) -> io::Result<String> {
    let passed = PASSED.iter().filter_map(|name| Some((name, request.raw(name)?)));
    let mut helper = Command::new(&programs.helper);
    helper
        .env_clear()
        .envs(passed)
        .env("REQUEST_METHOD", "GET")
        .env("QUERY_STRING", format!("SynoToken={token}"));
    child::printed(&mut helper, MOST_BYTES, PATIENCE)
}

fn named(name: &str) -> Result<String> {
    match name.strip_suffix('\r').unwrap_or(name) {
        "" => Err(logged_out("nobody is logged in, or the session has ended")),
        name if is_user_name(name) => Ok(name.to_owned()),
        _ => Err(logged_out("this user can't use Mooring")),
    }
}

/// What of the desktop's answer counts. The rest of it may be anything.
#[derive(Deserialize)]
struct Desktop {
    success: bool,
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    #[serde(rename = "Session")]
    session: Session,
}

#[derive(Deserialize)]
struct Session {
    user: String,
    is_admin: bool,
}

fn ask_desktop(request: &Request<'_>, token: &str) -> Result<Caller> {
    let port = request.text("SERVER_PORT").and_then(|port| port.parse().ok());
    let Some(port) = port.filter(|port| is_of_the_system(*port)) else {
        return Err(logged_out("the web server of the NAS isn't where the request says"));
    };
    let by_tls = ["on", "1", "https"];
    let is_tls = |name| request.text(name).is_some_and(|value| by_tls.contains(&value.as_str()));
    let scheme = if is_tls("HTTPS") || is_tls("REQUEST_SCHEME") { "https" } else { "http" };
    let cookie = request.raw("HTTP_COOKIE").unwrap_or_default();
    let cookie = HeaderValue::from_bytes(cookie.as_encoded_bytes());
    let cookie = cookie.map_err(|_| logged_out("the cookie isn't one"))?;
    let agent: Agent = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_global(Some(PATIENCE))
        .proxy(None)
        // It is certified for the name of the NAS, and this never leaves the machine.
        .tls_config(TlsConfig::builder().disable_verification(true).build())
        .build()
        .into();
    let asked = agent
        .get(format!("{scheme}://127.0.0.1:{port}{DESKTOP}"))
        .header("cookie", cookie)
        .header("x-syno-token", token)
        .call();
    let reply = asked.map_err(|error| logged_out(format!("the web server of the NAS: {error}")))?;
    if reply.status() != 200 {
        return Err(logged_out("the web server of the NAS doesn't tell who is logged in"));
    }
    let body = reply.into_body().into_with_config().limit(MOST_JSON).reader();
    match serde_json::from_reader(BufReader::new(body)) {
        Ok(Desktop { success: true, data: Data { session: Session { user, is_admin } } }) => {
            Ok(Caller::User { name: named(&user)?, administrator: is_admin })
        }
        _ => Err(logged_out("nobody is logged in, or the session has ended")),
    }
}

/// Whether all that listens at this port of the machine belongs to the system. Some web servers
/// believe the request about the port; any user may listen at one, and answer what they like.
fn is_of_the_system(port: u16) -> bool {
    let tables = TABLES.map(|table| fs::read_to_string(table).unwrap_or_default());
    let mut owners = tables.iter().flat_map(|table| listeners(table, port)).peekable();
    owners.peek().is_some() && owners.all(|owner| owner == 0 || owner == geteuid().as_raw())
}

/// Who listens at a port.
fn listeners(table: &str, port: u16) -> impl Iterator<Item = u32> {
    let port = format!(":{port:04X}");
    table.lines().filter_map(move |line| {
        let fields: Vec<_> = line.split_ascii_whitespace().collect();
        let [_, local, _, state, ..] = fields.as_slice() else { return None };
        let listens = *state == LISTENS && local.ends_with(&port);
        // One whose owner can't be read is nobody we know.
        listens.then(|| fields.get(OWNER).and_then(|it| it.parse().ok()).unwrap_or(u32::MAX))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
        0: 00000000:1388 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0\n\
        1: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1030        0 2 1 0 100 0 0 10 0\n\
        2: 0100007F:1388 0100007F:9C40 01 00000000:00000000 00:00000000 00000000  1031        0 3 1 0 100 0 0 10 0\n";

    #[test]
    fn who_listens_is_told_by_the_kernel() {
        let owners = |port| listeners(TABLE, port).collect::<Vec<_>>();
        assert_eq!((owners(5000), owners(8080), owners(40000)), (vec![0], vec![1030], vec![]));
    }

    #[test]
    fn names_that_nobody_may_use_are_refused() {
        for name in ["", "\r", "root", "a\nb", "-G", " "] {
            assert!(named(name).is_err(), "{name:?}");
        }
        for name in ["alice", "alice\r", "DOMAIN\\alice b"] {
            assert_eq!(named(name).unwrap(), name.trim_end());
        }
    }
}
