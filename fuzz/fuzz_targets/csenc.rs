//! Arbitrary bytes as a file in Cloud Sync's encrypted format, or as the content of one.
#![no_main]

#[path = "../csenc.rs"]
#[allow(dead_code, reason = "tests use all of it")]
mod csenc;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = csenc::read(bytes);
});
