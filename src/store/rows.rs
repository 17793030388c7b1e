//! From columns to values: what every table's rows share.

use rust_decimal::Decimal;

use super::DbError;
use crate::domain::money::Money;

/// Why a row is none of ours: a constraint must have been dropped.
pub(super) type Corrupt = Box<dyn std::error::Error + Send + Sync>;

/// The error of a query that met such a row.
pub(super) fn corrupt(error: Corrupt) -> DbError {
    DbError::DeserializationError(error)
}

/// An amount column's value. The column's CHECK keeps it an amount.
pub(super) fn money(amount: Decimal) -> Result<Money, Corrupt> {
    Ok(Money::new(amount)?)
}
