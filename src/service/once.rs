//! What may be asked for again under the same key, and is done once.

use aws_lc_rs::digest::{SHA256, digest};
use uuid::{Builder, Uuid};

use crate::domain::placement::{IdempotencyKey, RequestHash};

/// A key, and what it stands for.
#[derive(Clone, Debug)]
pub struct Keyed {
    /// The client's name for the request.
    pub key: IdempotencyKey,
    /// What is asked for under it.
    pub request_hash: RequestHash,
}

/// What became of a request that may be repeated.
#[derive(Clone, Debug)]
pub enum Once<T> {
    /// It was done now.
    Done(T),
    /// It was done before, under the same key.
    DoneBefore(T),
}

/// The id of the row that a key stands for, `of` being what the key is unique in: a repeat finds the row by its primary key.
pub(super) fn id_under(key: &IdempotencyKey, of: &str) -> Uuid {
    let hash = digest(&SHA256, format!("{of} {}", key.as_str()).as_bytes());
    let bytes = hash.as_ref()[..16].try_into().expect("SHA-256 has 32 bytes");
    Builder::from_custom_bytes(bytes).into_uuid()
}
