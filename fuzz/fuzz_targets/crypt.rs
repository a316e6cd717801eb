//! Arbitrary bytes as a file, a content or the names of an encrypted folder.
#![no_main]

#[path = "../crypt.rs"]
mod crypt;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| crypt::read(bytes));
