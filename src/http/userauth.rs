//! HTTP Basic and Digest.
