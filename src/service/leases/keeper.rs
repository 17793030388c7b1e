//! Where leases are kept: Redis or PostgreSQL, which do the same.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;

use super::LeaseName;
use crate::error::Error;
use crate::redis_store;
use crate::store::{self, Store};

/// What keeps the leases.
pub(super) enum Keeper {
    Redis(redis_store::leases::Leases),
    Postgres(Arc<Store>),
}

impl Keeper {
    /// Takes the lease if nobody has it, and returns its fence.
    pub(super) fn acquire(&self, name: &LeaseName, token: &str, ttl: Duration) -> Result<Option<i64>, Error> {
        let LeaseName { merchant, work } = name;
        match self {
            Self::Redis(redis) => Ok(redis.acquire(*merchant, work, token, ttl)?),
            Self::Postgres(postgres) => {
                // Those who wait for a lease look often; a look without a write leaves nothing to clean up.
                if postgres
                    .read(*merchant, |conn| store::leases::is_held(conn, *merchant, work).map_err(Error::from))?
                {
                    return Ok(None);
                }
                postgres.write(*merchant, |tx| Ok(store::leases::acquire(tx, work, token, delta(ttl))?))
            }
        }
    }

    /// Makes it last from now, if it is the token's.
    pub(super) fn renew(&self, name: &LeaseName, token: &str, ttl: Duration) -> Result<bool, Error> {
        let LeaseName { merchant, work } = name;
        match self {
            Self::Redis(redis) => Ok(redis.renew(*merchant, work, token, ttl)?),
            Self::Postgres(postgres) => {
                postgres.write(*merchant, |tx| Ok(store::leases::renew(tx, work, token, delta(ttl))?))
            }
        }
    }

    /// Frees it, if it is the token's.
    pub(super) fn release(&self, name: &LeaseName, token: &str) -> Result<bool, Error> {
        let LeaseName { merchant, work } = name;
        match self {
            Self::Redis(redis) => Ok(redis.release(*merchant, work, token)?),
            Self::Postgres(postgres) => postgres.write(*merchant, |tx| Ok(store::leases::release(tx, work, token)?)),
        }
    }
}

fn delta(time: Duration) -> TimeDelta {
    TimeDelta::from_std(time).unwrap_or(TimeDelta::MAX)
}
