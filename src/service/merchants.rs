//! Adding a restaurant of one's own.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use crate::domain::money::Money;
use crate::domain::{LocalText, MerchantId};
use crate::error::Error;
use crate::store::Store;
use crate::store::merchants::{self, NewMerchant};

/// Adds a merchant with nobody on its staff and nothing on its menu, always open, without freight and minimum, and returns its id. The
/// transaction is its own.
///
/// # Errors
/// What the database says.
pub fn add(store: &Store, name: &LocalText, time_zone: Tz, now: DateTime<Utc>) -> Result<MerchantId, Error> {
    let id = store.read_any(|conn| merchants::next_id(conn).map_err(Error::from))?;
    let (minimum_amount, freight) = (Money::ZERO, Money::ZERO);
    let merchant = NewMerchant { name, time_zone, minimum_amount, freight, free_freight_from: None };
    store.write(id, |tx| merchants::insert(tx, &merchant, now).map_err(Error::from))?;
    Ok(id)
}
