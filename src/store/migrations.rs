//! The migrations, embedded in the binary.

use diesel::connection::SimpleConnection;
use diesel::migration::{Migration, MigrationSource};
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
    conn.batch_execute(&format!("SELECT pg_advisory_lock({LOCK})"))?;
    let ran = run_pending(conn);
    conn.batch_execute(&format!("SELECT pg_advisory_unlock({LOCK})"))?;
    ran
}

fn run_pending(conn: &mut Conn) -> Result<Vec<String>, MigrationError> {
    let mut ran = Vec::new();
    for migration in conn.pending_migrations(MIGRATIONS)? {
        conn.run_migration(&migration)?;
        ran.push(migration.name().to_string());
    }
    Ok(ran)
}

/// How many migrations the database lacks.
///
/// # Errors
/// The database's words.
pub fn pending(conn: &mut Conn) -> Result<usize, MigrationError> {
    Ok(conn.pending_migrations(MIGRATIONS)?.len())
}

/// How many migrations there are.
pub fn count() -> usize {
    MigrationSource::<diesel::pg::Pg>::migrations(&MIGRATIONS).map_or(0, |all| all.len())
}
