//! From columns to values: what every table's rows share.

use rust_decimal::Decimal;
use uuid::Uuid;

use super::DbError;
use crate::domain::AccountId;
use crate::domain::money::Money;
use crate::domain::placement::GrantTo;

/// Why a row cannot be read: a constraint must have been dropped.
pub(super) type Corrupt = Box<dyn std::error::Error + Send + Sync>;

/// The error of a query that met such a row.
pub(super) fn corrupt(error: Corrupt) -> DbError {
    DbError::DeserializationError(error)
}

/// An amount column's value. The column's CHECK keeps it an amount.
pub(super) fn money(amount: Decimal) -> Result<Money, Corrupt> {
    Ok(Money::new(amount)?)
}

/// A grant from its columns: whom it is for, and how many units. None where all are null; half a grant is corrupt, for a CHECK forbids it.
pub(super) fn grant(
    account: Option<Uuid>,
    kind: Option<String>,
    units: Option<i64>,
) -> Result<Option<(GrantTo, u64)>, Corrupt> {
    let (to, units) = match (account, kind, units) {
        (None, None, None) => return Ok(None),
        (Some(account), None, Some(units)) => (GrantTo::Account(AccountId(account)), units),
        (None, Some(kind), Some(units)) => (GrantTo::Buyer(kind.parse()?), units),
        (account, kind, units) => return Err(format!("a grant of {units:?} to {account:?} or {kind:?}").into()),
    };
    Ok(Some((to, u64::try_from(units)?)))
}

/// Whom a grant is for, as columns: an account, or the kind of the buyer's own.
pub(super) fn grant_columns(to: GrantTo) -> (Option<Uuid>, Option<&'static str>) {
    match to {
        GrantTo::Account(account) => (Some(account.0), None),
        GrantTo::Buyer(kind) => (None, Some(kind.name())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ledger::AccountKind;

    #[test]
    fn a_grant_is_read_whole_or_not_at_all() {
        let account = Uuid::from_u128(7);
        for (to, units) in [(GrantTo::Account(AccountId(account)), 3), (GrantTo::Buyer(AccountKind::Tips), 1)] {
            let (account, kind) = grant_columns(to);
            let read = grant(account, kind.map(str::to_owned), Some(units)).expect("it was written so");
            assert_eq!(read, Some((to, units.unsigned_abs())));
        }
        assert_eq!(grant(None, None, None).expect("there is none"), None);
        let corrupt = [
            (None, None, Some(1)),
            (Some(account), None, None),
            (None, Some("tips"), None),
            (Some(account), Some("tips"), Some(1)),
            (None, Some("praise"), Some(1)),
            (Some(account), None, Some(-1)),
        ];
        for (account, kind, units) in corrupt {
            assert!(grant(account, kind.map(str::to_owned), units).is_err(), "{account:?} {kind:?} {units:?}");
        }
    }
}
