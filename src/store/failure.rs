//! What can go wrong between a transaction and its commit, and what may be tried again.
//!
//! diesel shows no SQLSTATE. An error's kind and the server's message are all there is, and the message is the only
//! thing a sharding engine forwards from its workers; so this file, and no other, reads messages. They are compared
//! in English: [`require_english`] sees to that.

use std::fmt;
use std::time::Duration;

use diesel::prelude::*;
use diesel::result::{DatabaseErrorInformation, DatabaseErrorKind};

use super::{Conn, DbError};

/// No connection to the database is to be had. Nothing was done.
#[derive(Debug)]
pub struct Unavailable(pub String);

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unavailable {}

/// The connection was lost during the commit: it took effect, or it did not.
#[derive(Debug)]
pub struct CommitUnknown;

/// An error of a transaction, as far as the store must understand it.
pub trait Retryable: From<DbError> + From<Unavailable> + From<CommitUnknown> {
    /// Why it may succeed when it runs again, if it may.
    fn cause(&self) -> Option<Cause>;
}

/// Why a transaction failed that nothing is wrong with: it may succeed when it runs again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// 40P01.
    Deadlock,
    /// 40001.
    Serialization,
    /// 55P03.
    LockTimeout,
    /// The same order, or payment, was committed in between; the next attempt finds it.
    Twin,
    /// Goods changed between reading them without a lock and taking from them.
    StockChanged,
    /// The connection broke before the commit was sent.
    ConnectionLost,
    /// A table was altered under a prepared statement.
    StalePlan,
    /// 25006: the server may not write, as after a failover.
    ReadOnly,
    /// 57014: an operator cancelled the statement.
    Cancelled,
    /// 57014: a statement took longer than `database.statement_timeout_ms`, mostly because it waited for several locks.
    StatementTimeout,
    /// 53100, 53200: the server has no room left, on its disk or in memory.
    NoRoom,
}

impl Cause {
    /// The cause as a metric's label.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Deadlock => "deadlock",
            Self::Serialization => "serialization",
            Self::LockTimeout => "lock_timeout",
            Self::Twin => "twin",
            Self::StockChanged => "stock_changed",
            Self::ConnectionLost => "connection_lost",
            Self::StalePlan => "stale_plan",
            Self::ReadOnly => "read_only",
            Self::Cancelled => "cancelled",
            Self::StatementTimeout => "statement_timeout",
            Self::NoRoom => "no_room",
        }
    }

    /// Whether it is worth running the transaction again at once. A caller who has waited that long already, or whom the server refuses for
    /// now, is answered instead.
    pub const fn passes(self) -> bool {
        match self {
            Self::Deadlock
            | Self::Serialization
            | Self::LockTimeout
            | Self::Twin
            | Self::StockChanged
            | Self::ConnectionLost
            | Self::StalePlan => true,
            Self::ReadOnly | Self::Cancelled | Self::StatementTimeout | Self::NoRoom => false,
        }
    }

    /// Whether the connection would fail again: its statements are stale, or its server is the wrong one.
    pub(super) const fn spoils_the_connection(self) -> bool {
        matches!(self, Self::StalePlan | Self::ReadOnly)
    }
}

/// Tells a failure of circumstances from a lasting one.
///
/// The names of violated constraints are for [`violates`].
pub fn cause(error: &DbError) -> Option<Cause> {
    match error {
        DbError::RollbackErrorOnCommit { commit_error, .. } => cause(commit_error),
        DbError::BrokenTransactionManager => Some(Cause::ConnectionLost),
        DbError::DatabaseError(kind, information) => cause_of(kind, information.as_ref()),
        _ => None,
    }
}

/// As [`cause`], where no more is left of an error than its words.
pub(super) fn cause_in(words: &str) -> Option<Cause> {
    cause_of(&DatabaseErrorKind::Unknown, &words.to_owned())
}

/// The keys at which a transaction meets one that did the same and was faster: the next attempt finds what it did.
const TWINS: [&str; 3] = ["orders_idempotency_key", "orders_cart_key", "payments_transaction_key"];

fn cause_of(kind: &DatabaseErrorKind, information: &(dyn DatabaseErrorInformation + Send + Sync)) -> Option<Cause> {
    let message = information.message();
    match kind {
        DatabaseErrorKind::ReadOnlyTransaction => Some(Cause::ReadOnly),
        DatabaseErrorKind::SerializationFailure => Some(Cause::Serialization),
        DatabaseErrorKind::ClosedConnection | DatabaseErrorKind::UnableToSendCommand => Some(Cause::ConnectionLost),
        DatabaseErrorKind::UniqueViolation if TWINS.iter().any(|key| message.contains(key)) => Some(Cause::Twin),
        _ if message.contains("deadlock") => Some(Cause::Deadlock),
        _ if message.contains("due to statement timeout") => Some(Cause::StatementTimeout),
        _ if message.contains("due to lock timeout") => Some(Cause::LockTimeout),
        _ if message.contains("due to user request") => Some(Cause::Cancelled),
        _ if message.contains("cached plan must not change") => Some(Cause::StalePlan),
        _ if message.contains("No space left on device") || message.starts_with("out of ") => Some(Cause::NoRoom),
        // 57P01, 57P02 and what libpq says of a socket that closed under it.
        _ if message.contains("terminating connection") || message.contains("server closed the connection") => {
            Some(Cause::ConnectionLost)
        }
        _ => None,
    }
}

/// Whether `error` is the violation of the constraint `name`. A sharded database names the constraint in the message alone,
/// and may append the shard's number to it.
pub fn violates(error: &DbError, name: &str) -> bool {
    matches!(error, DbError::DatabaseError(_, information) if information.message().contains(&format!("\"{name}")))
}

/// How long to wait before the attempt after `attempt`: doubling from 5 ms, with the upper half left to chance so that
/// two transactions that met do not meet again.
pub(super) fn pause(attempt: u32) -> Duration {
    let ceiling = 5_000_u64 << attempt.min(6);
    let random = uuid::Uuid::new_v4().as_u64_pair().1;
    Duration::from_micros(ceiling / 2 + random % (ceiling / 2))
}

/// Refuses a server whose messages this file could not read.
///
/// # Errors
/// [`Unavailable`] with what to change.
pub(super) fn require_english(conn: &mut Conn) -> Result<(), Unavailable> {
    define_sql_function! {
        /// A setting of the session.
        fn current_setting(name: diesel::sql_types::Text) -> diesel::sql_types::Text
    }
    let language: String = diesel::select(current_setting("lc_messages"))
        .get_result(conn)
        .map_err(|error| Unavailable(error.to_string()))?;
    if ["", "C", "POSIX"].contains(&language.as_str()) || language.starts_with("en") || language.starts_with("C.") {
        Ok(())
    } else {
        Err(Unavailable(format!(
            "the server's lc_messages is {language}; Rowlock reads its messages, so run: ALTER ROLE … SET lc_messages = 'C'"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(kind: DatabaseErrorKind, message: &str) -> DbError {
        DbError::DatabaseError(kind, Box::new(message.to_owned()))
    }

    #[test]
    fn passing_failures_are_told_from_lasting_ones() {
        use DatabaseErrorKind::{
            CheckViolation, ClosedConnection, ReadOnlyTransaction, SerializationFailure, UniqueViolation, Unknown,
        };
        for (kind, message, expected) in [
            (Unknown, "deadlock detected", Some(Cause::Deadlock)),
            (
                Unknown,
                "canceling the transaction since it was involved in a distributed deadlock",
                Some(Cause::Deadlock),
            ),
            (SerializationFailure, "could not serialize access", Some(Cause::Serialization)),
            (Unknown, "canceling statement due to lock timeout", Some(Cause::LockTimeout)),
            (
                UniqueViolation,
                "duplicate key value violates unique constraint \"orders_idempotency_key\"",
                Some(Cause::Twin),
            ),
            (UniqueViolation, "duplicate key value violates unique constraint \"orders_pkey\"", None),
            (Unknown, "terminating connection due to administrator command", Some(Cause::ConnectionLost)),
            (ClosedConnection, "", Some(Cause::ConnectionLost)),
            (CheckViolation, "violates check constraint \"goods_stock_check\"", None),
            (Unknown, "canceling statement due to statement timeout", Some(Cause::StatementTimeout)),
            (Unknown, "terminating connection due to idle-in-transaction timeout", Some(Cause::ConnectionLost)),
            (Unknown, "canceling statement due to user request", Some(Cause::Cancelled)),
            (Unknown, "could not extend file \"base/1/2\": No space left on device", Some(Cause::NoRoom)),
            (Unknown, "out of shared memory", Some(Cause::NoRoom)),
            (Unknown, "cached plan must not change result type", Some(Cause::StalePlan)),
            (ReadOnlyTransaction, "cannot execute SELECT FOR UPDATE in a read-only transaction", Some(Cause::ReadOnly)),
        ] {
            assert_eq!(cause(&error(kind, message)), expected, "{message}");
        }
        assert_eq!(cause(&DbError::NotFound), None);
    }

    #[test]
    fn pauses_grow_and_stay_bounded() {
        for attempt in 1..20 {
            let pause = pause(attempt);
            assert!(pause >= Duration::from_millis(5) && pause < Duration::from_millis(320), "{pause:?}");
        }
    }
}
