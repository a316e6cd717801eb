//! Host names looked up once in a while, not once a request: a lookup costs a thread (its only
//! way to have a time limit) and may cost a query.

use crate::memory;
use crate::threads;
use heapless::LinearMap;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;
use ureq::unversioned::transport::time;

/// How long an answer is used again.
const FRESH: Duration = Duration::from_secs(60);
/// Hosts remembered; a connection talks to one, or a few where a service has several.
const HOSTS: usize = 4;

/// A resolver that remembers its answers.
pub(super) struct Remembering {
    /// Whether it leads only to other machines.
    outside: bool,
    known: Mutex<LinearMap<String, (Instant, ResolvedSocketAddrs), HOSTS>>,
}

/// Who asks may not talk to services of this machine.
#[derive(Debug)]
pub(super) struct NotOutside;

impl fmt::Display for NotOutside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it leads to this machine itself")
    }
}

impl std::error::Error for NotOutside {}

impl Remembering {
    /// One that leads anywhere, or only to other machines.
    pub fn new(outside: bool) -> Self {
        Remembering { outside, known: Mutex::default() }
    }
}

/// Whether an address is that of another machine, as far as it tells: what listens at the others is
/// often meant for this one only.
fn is_outside(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(ip) => !(ip.is_loopback() || ip.is_unspecified() || ip.is_link_local()),
        IpAddr::V6(ip) => !(ip.is_loopback() || ip.is_unspecified() || ip.is_unicast_link_local()),
    }
}

impl Resolver for Remembering {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let host = format!("{:?} {:?}", uri.scheme_str(), uri.authority());
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((since, addresses)) = known().get(&host)
            && since.elapsed() < FRESH
        {
            return Ok(addresses.clone());
        }
        memory::hold_lookup_files();
        let addresses = look_up(uri, config, timeout)?;
        if self.outside && !addresses.iter().all(|address| is_outside(address.ip())) {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, NotOutside).into());
        }
        let mut known = known();
        if known.is_full() && !known.contains_key(&host) {
            known.clear();
        }
        // There is room now; an answer that isn't remembered is asked for again.
        let _ = known.insert(host, (Instant::now(), addresses.clone()));
        Ok(addresses)
    }
}

/// Looks up in a thread of ours: ureq panics when there is none to be had.
fn look_up(
    uri: &Uri,
    config: &Config,
    timeout: NextTimeout,
) -> Result<ResolvedSocketAddrs, ureq::Error> {
    let (uri, config) = (uri.clone(), config.clone());
    let unhurried = NextTimeout { after: time::Duration::NotHappening, ..timeout };
    let (told, answer) = sync_channel(1);
    // Nobody may be waiting any more.
    let ask = move || drop(told.send(DefaultResolver::default().resolve(&uri, &config, unhurried)));
    threads::named("lookup").spawn(ask)?;
    match answer.recv_timeout(*timeout.after) {
        Ok(addresses) => addresses,
        Err(RecvTimeoutError::Timeout) => Err(ureq::Error::Timeout(timeout.reason)),
        Err(RecvTimeoutError::Disconnected) => Err(ureq::Error::HostNotFound),
    }
}

impl fmt::Debug for Remembering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remembering").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_of_this_machine_is_not_outside() {
        for address in [
            "127.0.0.1",
            "127.9.9.9",
            "0.0.0.0",
            "169.254.169.254",
            "::1",
            "::",
            "fe80::1",
            "::ffff:127.0.0.1",
            "::ffff:0.0.0.0",
        ] {
            assert!(!is_outside(address.parse().unwrap()), "{address}");
        }
        for address in ["192.168.1.7", "10.0.0.5", "203.0.113.9", "2001:db8::1", "fd00::2"] {
            assert!(is_outside(address.parse().unwrap()), "{address}");
        }
    }
}
