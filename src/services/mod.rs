//! The registry: every service that Mooring knows, one line each, and one module for all that speak alike.

mod azure_blob;
mod b2;
mod download;
mod dropbox;
mod fault;
mod google;
mod google_cloud_storage;
mod google_drive;
mod notes;
mod objects;
mod order;
mod parts;
mod rfc3339;
mod s3;
mod seconds;
mod swift;
mod webdav;

use crate::error::{Error, Kind, Result};
use crate::remote::Service;

/// All services in the order a person is shown them.
pub static ALL: &[&dyn Service] = &[
    &google_drive::GoogleDrive,
    &dropbox::Dropbox,
    &s3::S3,
    &s3::OSS,
    &s3::COS,
    &s3::JD,
    &google_cloud_storage::GoogleCloudStorage,
    &azure_blob::AzureBlob,
    &b2::B2,
    &swift::Swift,
    &webdav::WebDav,
];

/// The service of this name.
///
/// # Errors
/// `Usage`, listing the names there are.
pub fn find(name: &str) -> Result<&'static dyn Service> {
    ALL.iter().copied().find(|service| service.descriptor().name == name).ok_or_else(|| {
        let names: Vec<_> = ALL.iter().map(|service| service.descriptor().name).collect();
        Error::new(Kind::Usage, format!("service {name}"), "there is no such service")
            .remedy(format!("choose one of: {}", names.join(", ")))
    })
}
