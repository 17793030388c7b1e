//! The next version's migrations run while this one serves.

use std::cell::Cell;
use std::cmp::Reverse;
use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::migration::{Migration, MigrationSource};
use diesel::pg::Pg;
use diesel_migrations::MigrationHarness;
use futures_util::future::join_all;
use rowlock::store::migrations;

use crate::clients::Customer;
use crate::command::{Folder, SECRET, run};
use crate::harness::{Setup, TestApp, TestDatabase, number, order, until};

/// The last migration of the first release. What comes later meets large tables.
const FIRST_RELEASE: &str = "2026-11-21-000078";

/// The migrations since this one leave alone what placing an order reads and writes, but for indexes, constraints and columns that it
/// does not name: so the service as it is serves on the schema as it was.
const EARLIEST: &str = "20261121000042";

/// Those since that add a column which placing an order names: the service as it is does not serve without them.
const NAMED: [&str; 1] = ["20261128000082"];

const CLIENTS: usize = 4;

/// Who waits for a lock of a table that is stronger than any that placing an order asks for.
const MIGRATION_WAITS: &str = "SELECT count(*) AS value FROM pg_locks JOIN pg_database ON pg_database.oid = database
    WHERE datname = current_database() AND locktype = 'relation' AND NOT granted AND mode IN ('ShareLock', 'ShareRowExclusiveLock', 'AccessExclusiveLock')";

/// What came of the orders that were placed meanwhile.
#[derive(Default)]
struct Load {
    placed: Cell<usize>,
    repeated: Cell<usize>,
    slowest: Cell<Duration>,
    stop: Cell<bool>,
}

impl Load {
    async fn run(&self, customer: &Customer<'_>, client: usize) {
        for key in 0.. {
            if self.stop.get() {
                return;
            }
            let (key, body) = (format!("client-{client}-key-{key}"), order(&[(1 + client as i64, 1)]));
            let begun = Instant::now();
            loop {
                let answer = customer.place(&key, &body).await;
                if answer.status.is_success() {
                    break;
                }
                // What a client does then: repeat with the same key.
                assert_eq!(answer.status, 503, "{}", answer.text);
                self.repeated.set(self.repeated.get() + 1);
            }
            self.placed.set(self.placed.get() + 1);
            self.slowest.set(self.slowest.get().max(begun.elapsed()));
        }
    }
}

/// The migrations that the service does without, the last one first.
fn dispensable() -> Vec<Box<dyn Migration<Pg>>> {
    let mut all = MigrationSource::<Pg>::migrations(&migrations::MIGRATIONS).unwrap();
    let version = |migration: &dyn Migration<Pg>| migration.name().version().to_string();
    all.retain(|one| *version(&**one) > *EARLIEST && !NAMED.contains(&&*version(&**one)));
    all.sort_by_key(|one| Reverse(version(&**one)));
    all
}

/// Takes the last `missing` of the migrations back that the service does without, and runs them while it serves, so that each has to pass.
async fn upgrade(database: Arc<TestDatabase>, missing: usize) {
    let mut conn = database.conn();
    for migration in dispensable().iter().take(missing) {
        conn.revert_migration(&**migration).unwrap();
    }
    conn.batch_execute("UPDATE goods SET stock = 1000000 WHERE merchant_id = 1; UPDATE stock_moves SET delta = 1000000 WHERE merchant_id = 1")
        .unwrap();
    let app = TestApp::with(Setup { database: Some(Arc::clone(&database)), ..Setup::default() });
    let alice = app.customer("alice").await;
    let (load, url, folder) = (Load::default(), database.url.clone(), Folder::new());
    let migrate = async {
        // A report that takes its time, and somebody who is in the middle of writing.
        let mut report = database.conn();
        let read = "BEGIN; SELECT FROM merchants, products, goods, orders, refunds, outbox, webhook_deliveries LIMIT 0";
        report.batch_execute(read).unwrap();
        let mut writer = database.conn();
        writer.batch_execute("BEGIN; LOCK TABLE stock_moves, orders IN ROW EXCLUSIVE MODE").unwrap();
        let command = actix_web::rt::task::spawn_blocking(move || {
            run(&folder.0, &["migrate"], &[("DATABASE_URL", &url), ("ROWLOCK_AUTH_TOKEN_SECRET", SECRET)])
        });
        // Once it has waited and given way, and waits again: what the clients place from then on, they place beside it.
        for is_waiting in [true, false, true] {
            until(|| (number(&mut conn, MIGRATION_WAITS) > 0) == is_waiting).await;
        }
        let before = load.placed.get();
        until(|| load.placed.get() > before + 2 * CLIENTS).await;
        for mut stranger in [report, writer] {
            stranger.batch_execute("COMMIT").unwrap();
        }
        let done = command.await.unwrap();
        assert!(done.status.success(), "{done:?}");
        tokio::time::sleep(Duration::from_millis(300)).await;
        load.stop.set(true);
        String::from_utf8(done.stderr).unwrap()
    };
    let (_, said) = tokio::join!(join_all((0..CLIENTS).map(|client| load.run(&alice, client))), migrate);
    let (placed, slowest) = (load.placed.get(), load.slowest.get());
    println!("{missing} missing: {placed} placed, {} repeated, the slowest took {slowest:?}", load.repeated.get());
    assert!(said.contains("it is tried again"), "{missing} missing: it met the report: {said}");
    assert_eq!(migrations::pending(&mut conn).unwrap(), 0);
    assert_eq!(app.count("orders"), placed as i64);
}

#[actix_web::test]
async fn orders_are_placed_while_migrations_run() {
    let upgrades =
        [2, 3, dispensable().len()].map(|missing| upgrade(Arc::new(TestDatabase::clone_of("template")), missing));
    join_all(upgrades).await;
}

/// A table that is rewritten is closed for as long as that takes, and the disk must hold it twice.
#[test]
fn no_migration_rewrites_a_table() {
    let database = TestDatabase::clone_of("template1");
    let mut conn = database.conn();
    conn.batch_execute(
        "CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS
             $$ BEGIN RAISE EXCEPTION '% is rewritten', pg_event_trigger_table_rewrite_oid()::regclass; END $$;
         CREATE EVENT TRIGGER refuse ON table_rewrite EXECUTE FUNCTION refuse()",
    )
    .unwrap();
    migrations::run(&mut conn).unwrap();
    conn.batch_execute("ALTER TABLE orders ALTER COLUMN total TYPE numeric(20, 4)")
        .expect_err("it would have been noticed");
}

/// What would keep others out of a large table for as long as it is read: an index, or a constraint that holds for the old rows.
#[test]
fn later_migrations_do_not_scan_tables_behind_a_lock() {
    for folder in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations")).unwrap() {
        let folder = folder.unwrap();
        if !folder.path().is_dir() || folder.file_name().to_str().unwrap()[..FIRST_RELEASE.len()] <= *FIRST_RELEASE {
            continue;
        }
        let sql = fs::read_to_string(folder.path().join("up.sql")).unwrap();
        let creates = sql.contains("CREATE TABLE");
        let name = folder.file_name();
        assert!(
            creates || !sql.contains(" INDEX ") || sql.contains("CONCURRENTLY"),
            "{name:?}: CREATE INDEX CONCURRENTLY"
        );
        assert!(
            creates || !sql.contains("ADD CONSTRAINT") || sql.contains("NOT VALID"),
            "{name:?}: NOT VALID, then VALIDATE"
        );
    }
}

/// Nothing waits without end: a migration that cannot have its table gives up what it holds, again and again.
#[test]
fn a_migration_gives_way_at_once() {
    let database = TestDatabase::clone_of("template");
    let mut conn = database.conn();
    conn.revert_last_migration(migrations::MIGRATIONS).unwrap();
    conn.revert_last_migration(migrations::MIGRATIONS).unwrap();
    let mut report = database.conn();
    report.batch_execute("BEGIN; SELECT FROM orders").unwrap();
    let ran = std::thread::scope(|scope| {
        let migrating = scope.spawn(|| migrations::run(&mut conn).unwrap());
        // Whoever comes later waits behind the migration for half a second, not until the report is done.
        let mut customer = database.conn();
        customer.batch_execute("SET lock_timeout = 5000").unwrap();
        for _ in 0..20 {
            customer
                .batch_execute("SELECT FROM orders LIMIT 1")
                .expect("it waits for the migration, not for the report");
            std::thread::sleep(Duration::from_millis(100));
        }
        report.batch_execute("COMMIT").unwrap();
        migrating.join().unwrap()
    });
    assert_eq!(ran.len(), 2);
    let left =
        "SELECT (current_setting('lock_timeout') || current_setting('statement_timeout') = '00')::int::bigint AS value";
    assert_eq!(number(&mut conn, left), 1, "the connection is as it was");
}
