//! Buckets to choose from, for a connection that is being entered.

use super::view::{BucketMade, BucketsView};
use crate::error::{Error, Kind, Result};
use crate::http::{Cancel, Http};
use crate::remote::{Service, Settings as Values};
use crate::services;
use crate::settings::{Book, Entered};

/// Most buckets that are told at once.
const MOST: usize = 1000;

/// The buckets that what was entered may see.
pub(super) fn list(
    book: &Book,
    name: Option<&str>,
    service: &str,
    entered: Entered,
) -> Result<BucketsView> {
    let (service, values, http) = reach(book, name, service, entered)?;
    let mut buckets = Vec::new();
    let mut more = false;
    let enough = || Error::new(Kind::Cancelled, "listing buckets", "there are very many");
    let told = service.buckets(&values, http, &mut |bucket| {
        if buckets.len() == MOST {
            more = true;
            return Err(enough());
        }
        buckets.push(bucket.to_owned());
        Ok(())
    });
    match told {
        Err(error) if !more && error.kind() == Kind::Denied => {
            return Err(
                error.remedy("enter the bucket's name: a key may use one without seeing all")
            );
        }
        Err(error) if !more => return Err(error),
        _ => {}
    }
    buckets.sort_unstable();
    Ok(BucketsView { buckets, more })
}

/// Makes a bucket.
pub(super) fn make(
    book: &Book,
    name: Option<&str>,
    service: &str,
    entered: Entered,
    bucket: String,
) -> Result<BucketMade> {
    let (service, values, http) = reach(book, name, service, entered)?;
    service.make_bucket(&values, http, &bucket)?;
    Ok(BucketMade { bucket })
}

fn reach(
    book: &Book,
    name: Option<&str>,
    service: &str,
    entered: Entered,
) -> Result<(&'static dyn Service, Values, Http)> {
    let values = book.values_but_bucket(name, service, entered)?;
    let service = services::find(service)?;
    let http = Http::new(&values.http_options(service.descriptor(), 1), Cancel::default())?;
    Ok((service, values, http))
}
