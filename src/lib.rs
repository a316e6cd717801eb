//! Mooring keeps folders on a NAS and folders in the cloud the same.
#![warn(missing_docs)]
pub mod admin;
pub mod cli;
pub mod daemon;
#[cfg(feature = "demo")]
pub mod demo;
pub mod engine;
pub mod error;
pub(crate) mod execute;
pub mod http;
pub mod local;
pub mod logs;
pub mod model;
pub mod observe;
pub mod plan;
pub mod remote;
pub mod rules;
pub mod services;
pub mod settings;
pub mod store;
