//! Host names looked up once in a while, not once a request: a lookup costs a thread (its only
//! way to have a time limit) and may cost a query.

use heapless::LinearMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// How long an answer is used again.
const FRESH: Duration = Duration::from_secs(60);
/// Hosts remembered; a connection talks to one, or a few where a service has several.
const HOSTS: usize = 4;

/// A resolver that remembers its answers.
#[derive(Default)]
pub(super) struct Remembering {
    inner: DefaultResolver,
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
        let addresses = self.inner.resolve(uri, config, timeout)?;
        let mut known = known();
        if known.is_full() && !known.contains_key(&host) {
            known.clear();
        }
        // There is room now; an answer that isn't remembered is asked for again.
        let _ = known.insert(host, (Instant::now(), addresses.clone()));
        Ok(addresses)
    }
}

impl std::fmt::Debug for Remembering {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Remembering").finish_non_exhaustive()
    }
}
