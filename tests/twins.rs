//! The twins obey the contract that the real adapters obey, and are the same for the same seed.

#[path = "simulate/service/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the simulation uses all of it")]
mod service;

use service::{Abilities, PART, Times, Twin, twins};
use crate::common::by_path::ByPath;
use crate::common::contract::{self, Server};
use mooring::services;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

/// A twin for which a minute passes with every look at the clock.
fn twin(abilities: Abilities) -> Arc<Twin> {
    let now = AtomicI64::new(1_600_000_000_000_000_000);
    Twin::new(abilities, 1, Box::new(move || now.fetch_add(60_000_000_000, Relaxed)))
}

#[test]
fn every_twin_keeps_the_contract() {
    for abilities in twins() {
        // The contract's files are larger than those of a simulation.
        let abilities = Abilities { largest: None, ..abilities };
        let server = Server {
            keeps_mtime: abilities.times != Times::Lost,
            drops_cut_writes: !abilities.keeps_cut,
            creates_once: abilities.conditional,
            large: 3 * PART as usize + 1,
            many: 40,
            ..Server::of(abilities.descriptor)
        };
        eprintln!("twin {}", abilities.name);
        contract::run_on(ByPath::new(twin(abilities)), abilities.descriptor, &server);
    }
}

#[test]
fn every_service_has_a_twin() {
    for service in services::ALL {
        let descriptor: *const _ = service.descriptor();
        let has_twin = twins().iter().any(|twin| std::ptr::eq(twin.descriptor, descriptor));
        assert!(has_twin, "{} has none", service.descriptor().name);
    }
}
