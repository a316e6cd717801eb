//! Mooring keeps folders on a NAS and folders in the cloud the same.
#![warn(missing_docs)]
pub mod error;
pub mod http;
pub mod model;
pub mod remote;
pub mod services;
