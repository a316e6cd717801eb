//! A service on which a task encrypts.

use super::cloud_sync::CloudSyncRemote;
use super::names::stored_bytes;
use super::{EncryptedRemote, Encryption, KEY_FILE, TRIAL};
use crate::error::Result;
use crate::http::Http;
use crate::remote::{
    Descriptor, ENCRYPTION_KEY, ENCRYPTION_PASSWORD, Listing, NameRule, Remote, Service, Settings,
};
use crate::services;
use std::sync::{Arc, LazyLock};

/// A service, encrypted.
struct Encrypted {
    service: &'static dyn Service,
    descriptor: &'static Descriptor,
    encryption: Encryption,
}

/// Every service, in every way. They last as long as the program does.
static ALL: LazyLock<Vec<Encrypted>> = LazyLock::new(|| {
    let ways = [Encryption::Names, Encryption::Contents, Encryption::CloudSync];
    let of = |service: &&'static dyn Service| ways.map(|how| Encrypted::of(*service, how));
    services::ALL.iter().flat_map(of).collect()
});

/// The service as a task with these settings sees it: encrypted, or as it is.
pub fn of_task(
    service: &'static dyn Service,
    settings: &[(String, String)],
) -> &'static dyn Service {
    let Some(encryption) = Encryption::of(settings) else { return service };
    let name = service.descriptor().name;
    let found = ALL.iter().find(|it| it.descriptor.name == name && it.encryption == encryption);
    found.map_or(service, |found| found as &dyn Service)
}

impl Encrypted {
    fn of(service: &'static dyn Service, encryption: Encryption) -> Encrypted {
        let plain = service.descriptor();
        let descriptor = match encryption {
            // What is stored has no character, case or order that anybody could object to.
            Encryption::Names => Descriptor {
                listing: Listing::Folders,
                folds_case: false,
                names: NameRule::NONE,
                stored_bytes: Some(stored_bytes),
                ..*plain
            },
            Encryption::Contents => {
                // Nobody would be told of a file of this name: it would seem removed.
                let names = [plain.names.names, &[KEY_FILE, TRIAL]].concat();
                let names = NameRule { names: names.leak(), ..plain.names };
                Descriptor { names, ..*plain }
            }
            Encryption::CloudSync => *plain,
        };
        let max_size = match encryption {
            // How small a content becomes isn't known before it is sent.
            Encryption::CloudSync => plain.max_size,
            _ => plain.max_size.map(largest),
        };
        let descriptor = Descriptor { hash: None, max_size, ..descriptor };
        Encrypted { service, descriptor: Box::leak(descriptor.into()), encryption }
    }
}

/// The largest content that takes no more than so many bytes.
fn largest(stored: u64) -> u64 {
    use super::content::{BLOCK_BYTES, HEADER_BYTES, STORED_BYTES};
    stored.saturating_sub(HEADER_BYTES) / STORED_BYTES * BLOCK_BYTES
}

impl Service for Encrypted {
    fn descriptor(&self) -> &'static Descriptor {
        self.descriptor
    }

    fn open(&self, settings: &Settings, http: Http, root: &str) -> Result<Arc<dyn Remote>> {
        let remote = self.service.open(settings, http, root)?;
        let key = settings.given(ENCRYPTION_KEY);
        let password = settings.given(ENCRYPTION_PASSWORD);
        if self.encryption == Encryption::CloudSync {
            return Ok(Arc::new(CloudSyncRemote::new(remote, key, password)?));
        }
        let key = key.unwrap_or_default();
        Ok(Arc::new(EncryptedRemote::new(remote, key, password, self.encryption)?))
    }
}
