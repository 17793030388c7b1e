//! The migrations, embedded in the binary.

use std::time::Duration;

use diesel::migration::{Migration, MigrationSource};
use diesel::prelude::*;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::Conn;

/// Every migration in `migrations/`.
pub const MIGRATIONS: EmbeddedMigrations = embed_migrations!();

/// Key of the advisory lock that two starting instances meet at. Any number that is nobody else's.
const LOCK: i64 = 0x526f_774c_6f63_6b21;

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
        conn.run_migration(&migration)?;
        ran.push(migration.name().to_string());
    }
    Ok(ran)
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
    let all = MigrationSource::<diesel::pg::Pg>::migrations(&MIGRATIONS)?;
    let is_applied = |version: String| applied.iter().any(|applied| applied.version == version);
    Ok(all.iter().filter(|migration| !is_applied(migration.name().version().to_string())).count())
}

/// How many migrations there are.
pub fn count() -> usize {
    MigrationSource::<diesel::pg::Pg>::migrations(&MIGRATIONS).map_or(0, |all| all.len())
}
