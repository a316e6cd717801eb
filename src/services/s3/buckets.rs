//! The buckets of an account.

use super::Store;
use super::request::Ask;
use crate::error::{Error, Kind, Result};
use std::sync::PoisonError;

impl Store {
    /// Tells the buckets of the account, by one that has none of its own.
    pub fn list_buckets(&self, each: &mut dyn FnMut(&str) -> Result<()>) -> Result<()> {
        let what = "listing buckets";
        let reply = self.send(what, &Ask::new("GET", ""))?;
        self.document(what, reply, "ListAllMyBuckets", &mut |path, text| match path {
            "Buckets/Bucket/Name" => each(&text),
            _ => Ok(()),
        })?;
        Ok(())
    }

    /// Makes the bucket, in the region of the settings.
    pub fn make(&self) -> Result<()> {
        let what = format!("making the bucket {}", self.bucket);
        let region = self.region.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let place = format!(
            "<CreateBucketConfiguration{}>\
             <LocationConstraint>{region}</LocationConstraint></CreateBucketConfiguration>",
            self.dialect.namespace
        );
        let mut ask = Ask::new("PUT", "").bytes(&[]);
        // Elsewhere the address says where; and Amazon's first region has to be left out.
        if self.is_amazon && self.address.follows_region() && region != "us-east-1" {
            ask = ask.bytes(place.as_bytes());
        }
        match self.send(&what, &ask) {
            Ok(reply) => reply.drain(),
            Err(fault) => match &*fault.code {
                "BucketAlreadyOwnedByYou" => {}
                "BucketAlreadyExists" => {
                    let cause = "somebody else has a bucket of this name";
                    return Err(
                        Error::new(Kind::NameTaken, what, cause).remedy("choose another name")
                    );
                }
                _ => return Err(fault.error),
            },
        }
        Ok(())
    }
}
