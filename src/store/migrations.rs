//! The migrations, embedded in the binary.
//!
//! Contract: they run while a service serves. A migration in a transaction waits for a table for `LOCK_TIMEOUT` at most and is then
//! tried again, because all who come after it wait behind it; and it has `STATEMENT_TIMEOUT` for its work, because nobody uses the
//! table meanwhile. One that runs outside a transaction (an index that is built concurrently) keeps nobody from anything, and takes as
//! long as it takes. What fails leaves nothing half done.

use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::migration::{Migration, MigrationSource};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::{Cause, Conn, failure};

/// Every migration in `migrations/`.
pub const MIGRATIONS: EmbeddedMigrations = embed_migrations!();

/// Key of the advisory lock that two starting instances meet at. Any number that is nobody else's.
const LOCK: i64 = 0x526f_774c_6f63_6b21;

/// Shorter than the service itself waits for a lock, so that those who wait behind a migration get theirs in the same attempt.
const LOCK_TIMEOUT: Duration = Duration::from_millis(500);
/// Ten seconds without a table is already an outage; longer work belongs outside a transaction.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two attempts those who waited behind the first have their turn.
const PAUSE: Duration = Duration::from_secs(1);
/// How long a migration is tried in all, whoever keeps its table: a long report, say, or a backup.
const PATIENCE: Duration = Duration::from_secs(300);

type MigrationError = Box<dyn std::error::Error + Send + Sync>;

/// Runs what is missing and returns the names of what ran. Safe when several instances start at once.
///
/// # Errors
/// The database's words, with the name of the migration that failed.
pub fn run(conn: &mut Conn) -> Result<Vec<String>, MigrationError> {
    // Asked for again and again: a statement that waited for the lock would hold a snapshot, which an index that
    // is being built concurrently waits for in turn.
    while !diesel::select(pg_try_advisory_lock(LOCK)).get_result::<bool>(conn)? {
        std::thread::sleep(Duration::from_millis(100));
    }
    let ran = run_pending(conn);
    let unlocked = diesel::select(pg_advisory_unlock(LOCK)).get_result::<bool>(conn);
    let ran = ran?;
    unlocked?;
    Ok(ran)
}

define_sql_function! {
    /// Takes a lock of the session, or tells that somebody has it.
    fn pg_try_advisory_lock(key: diesel::sql_types::BigInt) -> diesel::sql_types::Bool
}

define_sql_function! {
    /// Gives a lock of the session back.
    fn pg_advisory_unlock(key: diesel::sql_types::BigInt) -> diesel::sql_types::Bool
}

fn run_pending(conn: &mut Conn) -> Result<Vec<String>, MigrationError> {
    let mut ran = Vec::new();
    for migration in conn.pending_migrations(MIGRATIONS)? {
        run_one(conn, &*migration)?;
        ran.push(migration.name().to_string());
    }
    Ok(ran)
}

fn run_one(conn: &mut Conn, migration: &dyn Migration<Pg>) -> Result<(), MigrationError> {
    if !migration.metadata().run_in_transaction() {
        return conn.run_migration(migration).map(drop);
    }
    let (lock, statement) = (LOCK_TIMEOUT.as_millis(), STATEMENT_TIMEOUT.as_millis());
    conn.batch_execute(&format!("SET lock_timeout = {lock}; SET statement_timeout = {statement}"))?;
    let begun = Instant::now();
    let ran = loop {
        let Err(error) = conn.run_migration(migration) else { break Ok(()) };
        let passes = matches!(failure::cause_in(&error.to_string()), Some(Cause::LockTimeout | Cause::Deadlock));
        if !passes || begun.elapsed() >= PATIENCE {
            break Err(error);
        }
        log::warn!("Somebody keeps a table that {} is about; it is tried again", migration.name());
        std::thread::sleep(PAUSE);
    };
    let reset = conn.batch_execute("RESET lock_timeout; RESET statement_timeout");
    ran?;
    Ok(reset?)
}

#[derive(QueryableByName)]
struct Applied {
    #[diesel(sql_type = diesel::sql_types::Text)]
    version: String,
}

/// How many migrations the database lacks. Only reads, unlike diesel's own answer, which makes its table where there is
/// none: a service whose role may not create tables asks this.
///
/// # Errors
/// The database's words.
pub fn pending(conn: &mut Conn) -> Result<usize, MigrationError> {
    let exists = "SELECT '' AS version WHERE to_regclass('__diesel_schema_migrations') IS NOT NULL";
    let applied: Vec<Applied> = if diesel::sql_query(exists).load::<Applied>(conn)?.is_empty() {
        Vec::new()
    } else {
        diesel::sql_query("SELECT version FROM __diesel_schema_migrations").load(conn)?
    };
    let all = MigrationSource::<Pg>::migrations(&MIGRATIONS)?;
    let is_applied = |version: String| applied.iter().any(|applied| applied.version == version);
    Ok(all.iter().filter(|migration| !is_applied(migration.name().version().to_string())).count())
}

/// How many migrations there are.
pub fn count() -> usize {
    MigrationSource::<Pg>::migrations(&MIGRATIONS).map_or(0, |all| all.len())
}
