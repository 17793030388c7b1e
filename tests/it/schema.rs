//! The migrations: reversible, what `schema.rs` says, and fit for a database that is distributed by merchant.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use diesel_migrations::MigrationHarness;
use rowlock::store::migrations;

use crate::harness::{TestDatabase, cluster, connect, words};

fn dump(database: &TestDatabase) -> String {
    let output = Command::new(cluster().cluster.bin_dir().join("pg_dump"))
        .args(["--schema-only", "--restrict-key=same", &database.url])
        .output()
        .unwrap();
    // Older ones have no restrict key to fix.
    let output = if output.status.success() {
        output
    } else {
        Command::new(cluster().cluster.bin_dir().join("pg_dump"))
            .args(["--schema-only", &database.url])
            .output()
            .unwrap()
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn migrations_go_up_down_and_up_again() {
    let database = TestDatabase::clone_of("template1");
    let mut conn = database.conn();
    assert_eq!(migrations::run(&mut conn).unwrap().len(), migrations::count());
    assert_eq!(migrations::run(&mut conn).unwrap(), Vec::<String>::new());
    let up = dump(&database);
    assert!(up.contains("CREATE TABLE public.order_events"));
    conn.revert_all_migrations(migrations::MIGRATIONS).unwrap();
    let tables = words(&mut conn, "SELECT tablename AS value FROM pg_tables WHERE schemaname = 'public'");
    assert_eq!(tables, ["__diesel_schema_migrations"]);
    migrations::run(&mut conn).unwrap();
    assert_eq!(dump(&database), up);
}

#[test]
fn several_instances_may_migrate_at_once() {
    let database = TestDatabase::clone_of("template1");
    let ran: usize = std::thread::scope(|scope| {
        let run = || migrations::run(&mut connect(&database.url)).unwrap().len();
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(run)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(ran, migrations::count());
}

#[test]
fn schema_rs_is_what_the_migrations_make() {
    let database = TestDatabase::clone_of("template");
    let root = env!("CARGO_MANIFEST_DIR");
    let output = Command::new("diesel")
        .args(["--config-file", "diesel.toml", "print-schema", "--database-url", &database.url])
        .current_dir(root)
        .output()
        .expect("diesel_cli is not installed: run `make tools`");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let written = fs::read_to_string(format!("{root}/src/store/schema.rs")).unwrap();
    // diesel_cli formats its output only where it finds rustfmt.
    let words = |text: &str| text.split_whitespace().collect::<String>().replace(",)", ")");
    let generated = String::from_utf8(output.stdout).unwrap();
    assert_eq!(words(&written), words(&generated), "run `diesel print-schema > src/store/schema.rs`");
}

fn migration_files() -> Vec<(PathBuf, String)> {
    let mut files: Vec<PathBuf> = fs::read_dir(format!("{}/migrations", env!("CARGO_MANIFEST_DIR")))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .flat_map(|dir| [dir.join("up.sql"), dir.join("down.sql")])
        .collect();
    files.sort();
    files.into_iter().map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

/// A sharding engine takes one statement at a time.
#[test]
fn a_migration_is_one_statement() {
    for (path, sql) in migration_files() {
        let statements: String = sql.lines().filter(|line| !line.trim_start().starts_with("--")).collect();
        let is_block = statements.trim_start().starts_with("DO $$");
        assert!(is_block || statements.trim_end().matches(';').count() == 1, "{}", path.display());
    }
}

/// Rules for tables that are distributed by merchant, each a query for whatever breaks it.
const LINT: &[(&str, &str)] = &[
    (
        "merchant_id is bigint NOT NULL",
        "SELECT c.relname AS value FROM pg_class c
         LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'merchant_id' AND a.atttypid = 'bigint'::regtype AND a.attnotnull
         WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
             AND c.relname NOT IN ('merchants', '__diesel_schema_migrations') AND a.attname IS NULL",
    ),
    (
        "every table has a primary key",
        "SELECT c.relname AS value FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
             AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary)",
    ),
    (
        "unique indexes begin with merchant_id",
        "SELECT i.indexrelid::regclass::text AS value FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
         JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0]
         WHERE i.indisunique AND c.relnamespace = 'public'::regnamespace
             AND c.relname NOT IN ('merchants', '__diesel_schema_migrations') AND a.attname <> 'merchant_id'",
    ),
    (
        "foreign keys pair merchant_id with merchant_id first",
        "SELECT k.conname::text AS value FROM pg_constraint k
         JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = k.conkey[1]
         JOIN pg_attribute f ON f.attrelid = k.confrelid AND f.attnum = k.confkey[1]
         WHERE k.contype = 'f' AND (a.attname <> 'merchant_id'
             OR f.attname <> CASE k.confrelid WHEN 'merchants'::regclass THEN 'id' ELSE 'merchant_id' END)",
    ),
    (
        "foreign keys neither set columns nor follow updates",
        "SELECT conname::text AS value FROM pg_constraint WHERE contype = 'f' AND (confdeltype IN ('n', 'd') OR confupdtype <> 'a')",
    ),
    (
        "hot tables have no foreign key to merchants",
        "SELECT conname::text AS value FROM pg_constraint WHERE contype = 'f' AND confrelid = 'merchants'::regclass
             AND conrelid IN ('orders'::regclass, 'order_lines'::regclass, 'order_events'::regclass, 'goods'::regclass)",
    ),
    (
        "constraints are named after their table",
        "SELECT conname::text AS value FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
         WHERE c.relnamespace = 'public'::regnamespace AND c.relname <> '__diesel_schema_migrations'
             AND (conname NOT LIKE c.relname || '\\_%' OR conname ~ '[0-9]$')",
    ),
    (
        "no triggers but those of foreign keys",
        "SELECT tgname::text AS value FROM pg_trigger WHERE NOT tgisinternal",
    ),
    (
        "no exclusion constraints",
        "SELECT conname::text AS value FROM pg_constraint WHERE contype = 'x'",
    ),
    (
        "no inheritance, no unlogged tables",
        "SELECT relname::text AS value FROM pg_class c WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
             AND (relpersistence <> 'p' OR EXISTS (SELECT FROM pg_inherits h WHERE h.inhrelid = c.oid))",
    ),
    (
        "sequences are bigint",
        "SELECT s.seqrelid::regclass::text AS value FROM pg_sequence s WHERE s.seqtypid <> 'bigint'::regtype",
    ),
];

#[test]
fn the_schema_can_be_distributed_by_merchant() {
    let database = TestDatabase::clone_of("template");
    for (rule, query) in LINT {
        assert_eq!(words(&mut database.conn(), query), Vec::<String>::new(), "{rule}");
    }
}

/// The lint is worth something only if it finds what it looks for.
#[test]
fn the_lint_finds_what_breaks_it() {
    use diesel::connection::SimpleConnection;
    let broken = "
        CREATE TABLE unkeyed (id integer GENERATED BY DEFAULT AS IDENTITY);
        CREATE UNLOGGED TABLE child (merchant_id bigint NOT NULL, id bigint UNIQUE, parent bigint REFERENCES unkeyed2 (id) ON DELETE SET NULL,
            EXCLUDE USING btree (id WITH =));
        CREATE TRIGGER t BEFORE INSERT ON child EXECUTE FUNCTION suppress_redundant_updates_trigger();
        ALTER TABLE goods ADD CONSTRAINT goods_merchant_fkey FOREIGN KEY (merchant_id) REFERENCES merchants (id);
        ALTER TABLE goods ADD CONSTRAINT price2 CHECK (price < 5000000);
    ";
    let database = TestDatabase::clone_of("template");
    let mut conn = database.conn();
    conn.batch_execute("CREATE TABLE unkeyed2 (merchant_id bigint NOT NULL, id bigint PRIMARY KEY)").unwrap();
    conn.batch_execute(broken).unwrap();
    for (rule, query) in LINT {
        assert!(!words(&mut conn, query).is_empty(), "{rule} finds nothing");
    }
}
