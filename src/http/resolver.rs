//! Host names looked up once in a while, not once a request: a lookup costs a thread (its only
//! way to have a time limit) and may cost a query.

use crate::memory;
use crate::threads;
use heapless::LinearMap;
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
#[derive(Default)]
pub(super) struct Remembering {
    known: Mutex<LinearMap<String, (Instant, ResolvedSocketAddrs), HOSTS>>,
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

impl std::fmt::Debug for Remembering {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Remembering").finish_non_exhaustive()
    }
}
