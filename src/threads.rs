//! Threads, all with the same small stack.

use std::thread::Builder;

/// Stack of a thread, in bytes. The deepest are a TLS handshake and the engine with redb below it:
/// half of this. Without optimization they take three times as much.
const STACK_BYTES: usize = if cfg!(debug_assertions) { 512 << 10 } else { 128 << 10 };

/// A thread of this name, to be started.
pub(crate) fn named(name: impl Into<String>) -> Builder {
    Builder::new().name(name.into()).stack_size(STACK_BYTES)
}
