//! The whole sync core in a simulated world, from one seed.

#[allow(dead_code, unused_imports, reason = "the driver comes later")]
mod service;
