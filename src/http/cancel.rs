//! A request to stop that reaches every waiting and transferring thread at once.

use crate::error::{Error, Result};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Shared by everything that should end together. Clones are the same request.
#[derive(Clone, Default)]
pub struct Cancel(Arc<Inner>);

#[derive(Default)]
struct Inner {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    cancelled: bool,
    hooks: Vec<Box<dyn Fn() + Send>>,
}

impl Cancel {
    /// Asks everything that shares this to stop.
    pub fn cancel(&self) {
        let mut state = self.lock();
        state.cancelled = true;
        let hooks = std::mem::take(&mut state.hooks);
        drop(state);
        self.0.wake.notify_all();
        for hook in hooks {
            hook();
        }
    }

    /// Whether somebody asked to stop.
    pub fn is_cancelled(&self) -> bool {
        self.lock().cancelled
    }

    /// Fails with `Cancelled` once somebody asked to stop.
    pub fn check(&self) -> Result<()> {
        if self.is_cancelled() { Err(Error::cancelled()) } else { Ok(()) }
    }

    /// Waits, or fails with `Cancelled` as soon as somebody asks to stop.
    pub fn sleep(&self, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        let mut state = self.lock();
        while !state.cancelled {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            let waited = self.0.wake.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        Err(Error::cancelled())
    }

    /// Runs `hook` when somebody asks to stop; at once if that has happened.
    pub fn on_cancel(&self, hook: impl Fn() + Send + 'static) {
        let mut state = self.lock();
        if state.cancelled {
            drop(state);
            hook();
        } else {
            state.hooks.push(Box::new(hook));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is two plain fields that no panic can leave half-changed.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
