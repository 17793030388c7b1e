//! The database: the only place that names diesel.
//!
//! Contract:
//! * What locks or changes rows takes `&mut Tx`, which only [`Store::write`] and [`Store::write_on`] make; what only reads takes a
//!   [`Conn`].
//! * A `Tx` belongs to one merchant, and every statement carries that merchant's id.
//! * Locks are taken in rank ([`LockRank`]) and, inside a rank, in ascending id order ([`SortedIds`]). Whoever breaks
//!   the order panics in its own test instead of deadlocking at lunch.
//! * No function here reads the clock or makes an id.

pub mod alerts;
pub mod audit;
pub mod bills;
pub mod board;
pub mod carts;
pub mod catalog;
pub mod events;
pub mod leases;
pub mod ledger;
pub mod listen;
pub mod measures;
pub mod menu;
pub mod merchants;
pub mod migrations;
pub mod moves;
pub mod notices;
pub mod orders;
pub mod outbox;
pub mod payments;
pub mod people;
pub mod placing;
pub mod purge;
pub mod refunds;
pub mod settings;
pub mod staff;
pub mod statistics;
pub mod stock;
pub mod tickets;
pub mod webhooks;

mod bulk;
mod failure;
mod rows;
mod schema;

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use diesel::Connection;
use diesel::connection::{AnsiTransactionManager, SimpleConnection, TransactionManager};
use diesel::r2d2::ConnectionManager;
use r2d2::{CustomizeConnection, NopErrorHandler, Pool, PooledConnection};

pub use self::failure::{Cause, CommitUnknown, Retryable, Unavailable, cause, violates};
use crate::config::{Database, Secret};
use crate::domain::MerchantId;
use crate::metrics::{CodeLabels, Metrics};

/// A connection that may read.
pub type Conn = diesel::PgConnection;
/// What the database, or diesel, complains of.
pub type DbError = diesel::result::Error;
/// What a store function returns.
pub type QueryResult<T> = diesel::QueryResult<T>;

/// Called after the commit of a transaction that told of something; see [`Store::on_told`].
pub type Told = Arc<dyn Fn(MerchantId) + Send + Sync>;

type Pooled = PooledConnection<ConnectionManager<Conn>>;

/// The way to the database.
pub struct Store {
    pool: Pool<ConnectionManager<Conn>>,
    url: Secret,
    session: Session,
    attempts_max: u32,
    metrics: Arc<Metrics>,
    told: OnceLock<Told>,
}

/// The session settings every connection of the service starts with.
#[derive(Clone, Copy, Debug)]
struct Session {
    lock_timeout_ms: u64,
    statement_timeout_ms: u64,
}

impl Session {
    fn settings(self) -> String {
        // The idle time-out frees the locks of an instance whose machine has vanished in the middle of a transaction.
        // Every statement here finds its rows by an index; a plan that was made while a table was small, and is
        // kept while it grows, must not think otherwise.
        format!(
            "SET application_name = 'rowlock'; SET lock_timeout = {0}; SET statement_timeout = {1}; \
             SET idle_in_transaction_session_timeout = {1}; SET enable_seqscan = off",
            self.lock_timeout_ms, self.statement_timeout_ms
        )
    }
}

impl CustomizeConnection<Conn, diesel::r2d2::Error> for Session {
    fn on_acquire(&self, conn: &mut Conn) -> Result<(), diesel::r2d2::Error> {
        conn.batch_execute(&self.settings()).map_err(diesel::r2d2::Error::QueryError)
    }
}

impl Store {
    /// Opens a pool on the database at `url`.
    ///
    /// # Errors
    /// [`Unavailable`] when the server does not answer, refuses, or speaks another language than English (the causes of a
    /// retry are told by its messages).
    pub fn connect(url: &str, config: &Database, metrics: Arc<Metrics>) -> Result<Self, Unavailable> {
        let mut first = connect(url)?;
        failure::require_english(&mut first)?;
        drop(first);
        let session =
            Session { lock_timeout_ms: config.lock_timeout_ms, statement_timeout_ms: config.statement_timeout_ms };
        let pool = Pool::builder()
            .max_size(config.pool_size)
            .min_idle(Some(1))
            // Whoever waits in vain reports the reason, once; the pool itself would repeat it at every try.
            .error_handler(Box::new(NopErrorHandler))
            .connection_timeout(Duration::from_millis(config.connect_timeout_ms))
            .connection_customizer(Box::new(session))
            .build(ConnectionManager::new(with_timeouts(url)))
            .map_err(|error| Unavailable(error.to_string()))?;
        let (url, attempts_max) = (url.to_owned().into(), config.attempts_max);
        Ok(Self { pool, url, session, attempts_max, metrics, told: OnceLock::new() })
    }

    /// Has `told` called after every commit whose transaction wrote to the outbox, on the thread that committed: so it must be quick. Only
    /// the first call counts.
    pub fn on_told(&self, told: Told) {
        let _ = self.told.set(told);
    }

    fn committed(&self, merchant: MerchantId, has_told: bool) {
        if let Some(told) = self.told.get().filter(|_| has_told) {
            told(merchant);
        }
    }

    /// The pool that holds `merchant`'s rows: the only way to a connection that changes any. One server holds every merchant today.
    fn pool_for(&self, _merchant: MerchantId) -> &Pool<ConnectionManager<Conn>> {
        &self.pool
    }

    fn checkout(&self, pool: &Pool<ConnectionManager<Conn>>) -> Result<Pooled, Unavailable> {
        let begun = Instant::now();
        let pooled = pool.get();
        self.metrics.waited_for_connection(begun.elapsed());
        pooled.map_err(|error| {
            self.metrics.pool_timeouts.inc();
            Unavailable(error.to_string())
        })
    }

    /// Runs `work` with a connection, outside any transaction.
    ///
    /// # Errors
    /// [`Unavailable`] when no connection is to be had in time, and whatever `work` returns.
    pub fn read<T, E: From<Unavailable>>(
        &self,
        merchant: MerchantId,
        work: impl FnOnce(&mut Conn) -> Result<T, E>,
    ) -> Result<T, E> {
        work(&mut *self.checkout(self.pool_for(merchant))?)
    }

    /// Reads with a connection that belongs to no merchant: what timers, measures and health ask of all of them.
    ///
    /// # Errors
    /// As [`Store::read`].
    pub fn read_any<T, E: From<Unavailable>>(&self, work: impl FnOnce(&mut Conn) -> Result<T, E>) -> Result<T, E> {
        work(&mut *self.checkout(&self.pool)?)
    }

    /// Runs `work` in one transaction for one merchant: all of it is committed, or nothing.
    ///
    /// When the database breaks the transaction off for a passing [`Cause`], `work` runs again from its start, at most
    /// `database.attempts_max` times with a growing, jittered pause; so it must not have effects of its own.
    ///
    /// # Errors
    /// Whatever `work` returns; [`Unavailable`] when no connection is to be had; [`CommitUnknown`] when the connection
    /// was lost during the commit.
    pub fn write<T, E: Retryable>(
        &self,
        merchant: MerchantId,
        mut work: impl FnMut(&mut Tx<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        self.repeated(merchant, || {
            let (result, has_told) =
                transaction(&mut *self.checkout(self.pool_for(merchant))?, Begin::Plain, merchant, &mut work);
            self.committed(merchant, has_told);
            result
        })
    }

    /// As [`Store::write`], on a connection outside the pool.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub fn write_on<T, E: Retryable>(
        &self,
        own: &mut OwnConnection,
        merchant: MerchantId,
        begin: Begin,
        mut work: impl FnMut(&mut Tx<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        self.repeated(merchant, || {
            let mut conn = match own.0.take() {
                Some(conn) => conn,
                None => self.connect_own()?,
            };
            let (result, has_told) = transaction(&mut conn, begin, merchant, &mut work);
            // A connection that broke is not put back, nor one whose transaction panicked.
            if !AnsiTransactionManager::is_broken_transaction_manager(&mut conn) {
                own.0 = Some(conn);
            }
            self.committed(merchant, has_told);
            result
        })
    }

    fn connect_own(&self) -> Result<Conn, Unavailable> {
        let mut conn = connect(self.url.expose())?;
        // What runs here is written for one plan whatever its arrays hold: planning takes longer than placing an order.
        let plans = "SELECT set_config('plan_cache_mode', 'force_generic_plan', false) WHERE current_setting('plan_cache_mode') = 'auto'";
        let settings = format!("{}; {plans}", self.session.settings());
        conn.batch_execute(&settings).map_err(|error| Unavailable(error.to_string()))?;
        Ok(conn)
    }

    /// Runs `attempt` until it succeeds, fails for good, or has failed `attempts_max` times.
    fn repeated<T, E: Retryable>(
        &self,
        merchant: MerchantId,
        mut attempt: impl FnMut() -> Result<T, E>,
    ) -> Result<T, E> {
        let mut number = 1;
        loop {
            let result = attempt();
            let cause = result.as_ref().err().and_then(Retryable::cause);
            let Some(cause) = cause.filter(|cause| cause.passes() && number < self.attempts_max) else {
                return result;
            };
            self.metrics.transaction_retries.get_or_create(&CodeLabels { code: cause.code() }).inc();
            log::debug!(merchant_id:% = merchant, attempt = number; "Runs a transaction again: {}", cause.code());
            // A twin has committed by the time it is met: there is nothing to wait for.
            if cause != Cause::Twin {
                std::thread::sleep(failure::pause(number));
            }
            number += 1;
        }
    }
}

/// A connection outside the pool, for one owner. Made when it is first used, and again after it broke.
#[derive(Default)]
pub struct OwnConnection(Option<Conn>);

/// How a transaction begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// Without more.
    Plain,
    /// With a savepoint, in the same message, to which [`Tx::undo_all`] returns.
    WithSavepoint,
}

/// Runs `work` in a transaction; what comes of it, and whether the outbox has, or may have, something new.
fn transaction<T, E: Retryable>(
    conn: &mut Conn,
    begin: Begin,
    merchant: MerchantId,
    work: &mut impl FnMut(&mut Tx<'_>) -> Result<T, E>,
) -> (Result<T, E>, bool) {
    let begin = match begin {
        Begin::Plain => "BEGIN",
        Begin::WithSavepoint => "BEGIN; SAVEPOINT begun",
    };
    if let Err(error) = AnsiTransactionManager::begin_transaction_sql(conn, begin) {
        // Should the savepoint alone have failed, the server is in a transaction that diesel does not know of.
        AnsiTransactionManager::transaction_manager_status_mut(conn).set_in_error();
        return (Err(error.into()), false);
    }
    let mut tx = Tx { conn, merchant, rank: None, is_discarded: false, has_told: false };
    let result = work(&mut tx);
    let has_told = tx.has_told;
    if result.is_err() || tx.is_discarded {
        // A rollback fails only with its connection, which then shows as broken; what came before tells why.
        let _ = AnsiTransactionManager::rollback_transaction(conn);
        if result.as_ref().err().and_then(Retryable::cause).is_some_and(Cause::spoils_the_connection) {
            AnsiTransactionManager::transaction_manager_status_mut(conn).set_in_error();
        }
        return (result, false);
    }
    match AnsiTransactionManager::commit_transaction(conn) {
        Ok(()) => (result, has_told),
        // Without the commit's answer nobody knows whether it took effect.
        Err(error) if cause(&error) == Some(Cause::ConnectionLost) => (Err(E::from(CommitUnknown)), has_told),
        Err(error) => (Err(error.into()), false),
    }
}

/// The URL, and how long to wait for a server that has gone without a word, where it does not say: libpq would wait for as
/// long as the kernel repeats its packets, a quarter of an hour.
fn with_timeouts(url: &str) -> String {
    let mut url = url.to_owned();
    for (option, value) in [("connect_timeout", "5"), ("tcp_user_timeout", "15000"), ("keepalives_idle", "15")] {
        if !url.contains(option) {
            url.push(if url.contains('?') { '&' } else { '?' });
            url.push_str(&format!("{option}={value}"));
        }
    }
    url
}

/// One connection outside the pool, for commands.
///
/// # Errors
/// [`Unavailable`] with the server's words.
pub fn connect(url: &str) -> Result<Conn, Unavailable> {
    let malformed =
        || Unavailable("database.url is malformed: percent-encode what is special in user and password".to_owned());
    if is_password_cut(url) {
        return Err(malformed());
    }
    Conn::establish(&with_timeouts(url)).map_err(|error| {
        let words = error.to_string().trim().replace('\n', " ");
        // libpq repeats the part of a URL that it could not read, which may be the password.
        if words.starts_with("invalid ") || words.contains("URI") { malformed() } else { Unavailable(words) }
    })
}

/// Whether a password ends before it should, for it is not percent-encoded. What is left of it would be taken for the host or the port,
/// and told to whoever reads that the host is not there.
fn is_password_cut(url: &str) -> bool {
    let before_host = url.split_once("://").and_then(|(_, rest)| rest.rsplit_once('@')).map(|(user, _)| user);
    // After a question mark stand parameters, and an @ in them is one.
    before_host.is_some_and(|user| user.contains('@') || (user.contains('/') && !user.contains('?')))
}

/// The order in which kinds of rows are locked: a transaction only ever moves on to a greater one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LockRank {
    /// The merchant's own row.
    Merchant,
    /// A notice in the callback inbox.
    Notice,
    /// `orders` rows.
    Order,
    /// `payments` rows of an order, or a `refunds` row.
    Payment,
    /// `goods` rows.
    Goods,
    /// `accounts` rows.
    Account,
    /// The counter of a day's pickup numbers.
    PickupNo,
    /// The counter of a merchant's events.
    EventNo,
    /// A delivery to a merchant's webhook.
    Delivery,
}

/// A transaction of one merchant.
pub struct Tx<'c> {
    conn: &'c mut Conn,
    merchant: MerchantId,
    rank: Option<LockRank>,
    is_discarded: bool,
    has_told: bool,
}

impl Tx<'_> {
    /// The connection, for statements that only read.
    pub fn conn(&mut self) -> &mut Conn {
        self.conn
    }

    /// Whose rows this transaction may touch.
    pub fn merchant(&self) -> MerchantId {
        self.merchant
    }

    /// Notes that rows of `rank` are about to be locked.
    ///
    /// # Panics
    /// When that rank, or a greater one, was locked before.
    fn enter(&mut self, rank: LockRank) {
        assert!(self.rank < Some(rank), "{rank:?} rows are locked after {:?} rows", self.rank);
        self.rank = Some(rank);
    }

    /// Notes that the outbox has something new. Whoever writes a row there calls it.
    fn tell(&mut self) {
        self.has_told = true;
    }

    /// Has the transaction end by a rollback, although its work succeeds: there is nothing to keep, and a rollback need not wait
    /// for the disk.
    pub fn discard(&mut self) {
        self.is_discarded = true;
    }

    /// Goes back to the first moment of a transaction that began with a savepoint: what was written is undone, and what was
    /// locked is free.
    ///
    /// # Errors
    /// When the transaction did not begin with one.
    pub fn undo_all(&mut self) -> QueryResult<()> {
        self.rank = None;
        self.conn.batch_execute("ROLLBACK TO SAVEPOINT begun")
    }

    /// Runs `work` under a savepoint: when it fails, all it wrote is undone and the transaction can go on.
    ///
    /// # Errors
    /// Whatever `work` returns; but where that cannot be undone, why not: then the transaction must end, for its commit would be a
    /// rollback that does not say so.
    pub fn savepoint<T, E: From<DbError>>(&mut self, work: impl FnOnce(&mut Tx<'_>) -> Result<T, E>) -> Result<T, E> {
        // Not by diesel's, which does not tell when it cannot go back.
        self.conn.batch_execute("SAVEPOINT inner_work")?;
        let result = work(self);
        let end = if result.is_ok() { "RELEASE SAVEPOINT inner_work" } else { "ROLLBACK TO SAVEPOINT inner_work" };
        self.conn.batch_execute(end)?;
        result
    }
}

/// Ids in ascending order, each once: what lock functions take, so that no two transactions wait for each other in a ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SortedIds<T>(Vec<T>);

impl<T: Ord> FromIterator<T> for SortedIds<T> {
    fn from_iter<I: IntoIterator<Item = T>>(ids: I) -> Self {
        let mut ids: Vec<T> = ids.into_iter().collect();
        ids.sort_unstable();
        ids.dedup();
        Self(ids)
    }
}

impl<T> SortedIds<T> {
    /// The ids, ascending.
    pub fn as_slice(&self) -> &[T] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_password_is_told_nobody() {
        for url in [
            "postgres://me:hun@ter2@db.invalid/x",
            "postgres://me:12/hunter2@db.invalid/x",
            "postgres://me:hunter2%@db/x",
        ] {
            let Err(Unavailable(words)) = connect(url) else { panic!("{url}") };
            assert_eq!(
                words, "database.url is malformed: percent-encode what is special in user and password",
                "{url}"
            );
        }
        for url in ["postgres://me:hunter%402@db/x", "postgres:///x?host=/run", "postgres://db/x?application_name=a@b"]
        {
            assert!(!is_password_cut(url), "{url}");
        }
    }

    #[test]
    fn sorted_ids_are_sorted_and_single() {
        assert_eq!([3, 1, 2, 3, 1].into_iter().collect::<SortedIds<i32>>().as_slice(), [1, 2, 3]);
    }
}
