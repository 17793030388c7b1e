//! The proof that an order lives on one shard, and that its cost in statements is constant.
//!
//! The same tables are partitioned by a hash of the merchant, which has the uniqueness rules of a sharded database. The
//! real order transaction runs on them; just before its commit, the partitions it has locked must all be the merchant's.

use std::collections::BTreeSet;
use std::fs;
use std::sync::{Arc, Mutex};

use diesel::connection::SimpleConnection;
use rowlock::domain::moves::{Actor, Reason};
use rowlock::domain::placement::{IdempotencyKey, Placement};
use rowlock::domain::staff::Role;
use rowlock::domain::{MerchantId, OrderId, StaffId};
use rowlock::error::Error;
use rowlock::placement::{Outcome, Point};
use rowlock::service::once::Keyed;
use rowlock::service::orders::{self, Cancelling, Refunding};
use rowlock::service::payments::confirm;
use rowlock::store::Tx;
use serde_json::json;

use crate::harness::{Setup, TestApp, TestDatabase, cluster, confirmation, connect, noon, order, placement, words};

const PARTITIONS: usize = 8;

/// The migrations' tables, each partitioned by merchant.
fn partitioned() -> TestDatabase {
    let database = TestDatabase::clone_of("template1");
    let mut conn = database.conn();
    let mut dirs: Vec<_> = fs::read_dir(format!("{}/migrations", env!("CARGO_MANIFEST_DIR")))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    dirs.sort();
    for dir in dirs {
        // PostgreSQL's own partitions have no index that is built concurrently; it is the same index.
        let up = fs::read_to_string(dir.join("up.sql")).unwrap().replace(" CONCURRENTLY", "");
        let Some(table) = up.split("CREATE TABLE ").nth(1).and_then(|rest| rest.split_whitespace().next()) else {
            conn.batch_execute(&up).unwrap();
            continue;
        };
        let key = if table == "merchants" { "id" } else { "merchant_id" };
        let end = up.rfind(')').unwrap();
        let body = up[..=end].split(") WITH (").next().unwrap().trim_end_matches(')');
        conn.batch_execute(&format!("{body}) PARTITION BY HASH ({key})")).unwrap();
        for number in 0..PARTITIONS {
            conn.batch_execute(&format!(
                "CREATE TABLE {table}_p{number} PARTITION OF {table} FOR VALUES WITH (MODULUS {PARTITIONS}, REMAINDER {number})"
            ))
            .unwrap();
        }
    }
    conn.batch_execute(
        "INSERT INTO merchants (id, name_zh, name_en, time_zone, created_at)
             SELECT id, '店', 'Shop', 'Asia/Shanghai', '2026-01-01Z' FROM generate_series(1, 5) id;
         INSERT INTO categories (merchant_id, id, name_zh, name_en, position) SELECT id, id, '菜', 'Dishes', 1 FROM merchants;
         INSERT INTO products (merchant_id, id, category_id, name_zh, name_en, position) SELECT id, id, id, '菜', 'Dish', 1 FROM merchants;
         INSERT INTO goods (merchant_id, id, product_id, spec_zh, spec_en, price, stock, position)
             SELECT m.id, m.id * 10 + n, m.id, '份', 'portion', 10, 1000, n FROM merchants m, generate_series(1, 5) n;
         INSERT INTO stock_moves (merchant_id, id, goods_id, delta, reason, actor, moved_at)
             SELECT merchant_id, gen_random_uuid(), id, stock, 'opening', 'test', '2026-01-01Z' FROM goods;",
    )
    .unwrap();
    // Generic plans lock every partition before they prune, which would make the check noise.
    conn.batch_execute(&format!("ALTER DATABASE {} SET plan_cache_mode = force_custom_plan", database.name)).unwrap();
    database
}

/// The partitions that the service's open transactions have locked.
const LOCKED: &str = "SELECT DISTINCT c.relname::text AS value FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
     JOIN pg_stat_activity a ON a.pid = l.pid
     WHERE c.relispartition AND c.relkind = 'r' AND a.application_name = 'rowlock' AND a.state = 'idle in transaction'
         AND a.datname = current_database() ORDER BY 1";

#[actix_web::test]
async fn an_order_touches_its_merchants_partition_only() {
    let database = partitioned();
    let url = database.url.clone();
    let touched: Arc<Mutex<Vec<String>>> = Arc::default();
    let record = Arc::clone(&touched);
    let probe = Arc::new(move |point| {
        if point == Point::Written {
            *record.lock().unwrap() = words(&mut connect(&url), LOCKED);
        }
    });
    let app = TestApp::with(Setup { probe: Some(probe), database: Some(Arc::new(database)), ..Setup::default() });
    let mut partitions = BTreeSet::new();
    for merchant in 1..=5 {
        let alice = app.customer_of(merchant, "alice").await;
        let address = alice.post("/addresses", &json!({ "contact": "A", "phone": "1234", "place": "x" })).await.json();
        let mut body = order(&[(merchant * 10 + 3, 1), (merchant * 10 + 1, 2)]);
        body["fulfilment"] = json!({ "kind": "delivery", "address_id": address["id"] });
        // More often than a prepared statement needs for its plan to become generic.
        for number in 0..7 {
            let placed = alice.place(&number.to_string(), &body).await;
            assert_eq!(placed.status, 201, "{}", placed.text);
            let tables = std::mem::take(&mut *touched.lock().unwrap());
            let suffix = tables[0].rsplit_once('_').unwrap().1.to_owned();
            let expected =
                ["addresses", "customers", "goods", "merchants", "order_lines", "orders", "outbox", "products"]
                    .map(|table| format!("{table}_{suffix}"));
            assert_eq!(tables, expected);
            partitions.insert(suffix);
        }
    }
    assert!(partitions.len() > 1, "merchants live apart: {partitions:?}");
}

/// The moves of an order's life, with points, grants, money and pickup numbers, live where the order does.
#[actix_web::test]
async fn moves_touch_their_merchants_partition_only() {
    let database = partitioned();
    database
        .conn()
        .batch_execute(
            "UPDATE merchants SET points_per_yuan = 100, points_earned_per_yuan = 1, points_earned_on = 'paid';
             UPDATE goods SET grant_kind = 'votes', grant_per_unit = 1",
        )
        .unwrap();
    let app = TestApp::with(Setup { database: Some(Arc::new(database)), ..Setup::default() });
    let now = app.clock.now();
    let mut partitions = BTreeSet::new();
    for merchant in 1..=3 {
        let alice = app.customer_of(merchant, "alice").await;
        let id = MerchantId(merchant);
        // More often than a prepared statement needs for its plan to become generic.
        for number in 0..7 {
            let placed = alice.place(&number.to_string(), &order(&[(merchant * 10 + 1, 1)])).await;
            let order = OrderId(crate::moves::id(&placed.json()).parse().unwrap());
            let mut step = |work: &dyn Fn(&mut Tx<'_>) -> Result<(), Error>| {
                let url = app.database.url.clone();
                let locked = app.app.store.write(id, |tx| {
                    work(tx)?;
                    Ok::<_, Error>(words(&mut connect(&url), LOCKED))
                });
                for table in locked.unwrap() {
                    let suffix = table.rsplit_once('_').unwrap().1.to_owned();
                    partitions.insert((merchant, suffix));
                }
            };
            let payment = confirmation(&app, &order.to_string(), "10.00", &number.to_string());
            step(&|tx| confirm(tx, &payment, now).map(drop));
            let by = Actor::Timer;
            step(&|tx| orders::accept(tx, order, by, Some(5), now).map(drop));
            let manager = Actor::Staff(StaffId(uuid::Uuid::nil()), Role::Manager);
            let some = Refunding::Amount("1.00".parse().unwrap());
            let asked = Keyed { key: IdempotencyKey::new("refund").unwrap(), request_hash: [0; 32] };
            step(&|tx| orders::refund(tx, order, &some, &asked, manager, &Reason::BadQuality.into(), now).map(drop));
            step(&|tx| {
                orders::cancel(tx, order, manager, &Reason::Closing.into(), &Cancelling::default(), now).map(drop)
            });
        }
    }
    let merchants: BTreeSet<i64> = partitions.iter().map(|(merchant, _)| *merchant).collect();
    assert_eq!((partitions.len(), merchants.len()), (3, 3), "one partition a merchant: {partitions:?}");
}

/// The statements that the server logged for one database.
pub(crate) fn logged(database: &str) -> Vec<String> {
    let log = fs::read_to_string(cluster().cluster.dir().join("server.log")).unwrap();
    let prefix = format!("{database} LOG:  ");
    log.split("\n")
        .filter_map(|line| line.strip_prefix(&prefix))
        .filter_map(|line| line.split_once(": "))
        .map(|(_, statement)| statement.trim().to_owned())
        .collect()
}

/// The statements of transactions: without the settings of new connections, and without what threads tell each other.
pub(crate) fn work(statements: &[String]) -> Vec<String> {
    let is_apart = |statement: &str| {
        statement.starts_with("SET ")
            || ["SELECT", "SELECT 1"].contains(&statement)
            || ["pg_notify", "LISTEN"].iter().any(|word| statement.contains(word))
    };
    statements.iter().filter(|statement| !is_apart(statement)).cloned().collect()
}

#[actix_web::test]
async fn every_statement_of_an_order_names_its_merchant_and_their_number_is_constant() {
    let database = TestDatabase::clone_of("template");
    database.conn().batch_execute(&format!("ALTER DATABASE {} SET log_statement = 'all'", database.name)).unwrap();
    let name = database.name.clone();
    let app = TestApp::with(Setup { database: Some(Arc::new(database)), ..Setup::default() });
    let alice = app.customer_id("alice").await;
    let logged_since = |before: usize| work(&logged(&name)[before..]);
    let place = |orders: &[(&str, &[(i64, i64)])]| {
        let before = logged(&name).len();
        let group: Vec<_> = orders.iter().map(|(key, lines)| placement(alice, key, lines)).collect();
        let outcomes = app.app.engine.place_group(MerchantId(1), &group.iter().collect::<Vec<_>>(), noon()).unwrap();
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Ok(Outcome::Placed(_)))), "{outcomes:?}");
        logged_since(before)
    };
    let one = place(&[("a", &[(1, 1)])]);
    let five_lines = place(&[("b", &[(5, 1), (4, 2), (3, 3), (2, 4), (1, 5)])]);
    let keys: Vec<String> = (0..40).map(|number| format!("c{number}")).collect();
    let forty = place(&keys.iter().map(|key| (key.as_str(), [(1, 1), (2, 1)].as_slice())).collect::<Vec<_>>());
    // A few rows come by VALUES, many by arrays, and a lone order needs no savepoint; apart from that the statements are the same.
    let beginnings = |statements: &[String]| -> Vec<String> {
        let beginning = |statement: &String| statement.chars().take(20).collect::<String>();
        statements.iter().map(beginning).map(|text| text.split(';').next().unwrap().to_owned()).collect()
    };
    assert_eq!(beginnings(&one), beginnings(&five_lines), "whatever the number of lines");
    assert_eq!(beginnings(&one), beginnings(&forty), "whatever the number of orders");
    assert_eq!(one.len(), 4, "{one:#?}");

    // Points cost a lock, an entry and an update more, whoever spends them.
    let bob = app.customer_id("bob").await;
    app.execute(
        "UPDATE merchants SET points_per_yuan = 100;
         INSERT INTO accounts (merchant_id, id, kind, customer_id, balance, created_at)
             SELECT 1, id, 'points', id, 1000, created_at FROM customers;
         INSERT INTO entries (merchant_id, account_id, cause, delta, balance, actor, made_at)
             SELECT 1, id, 'correction gift', 1000, 1000, 'test', created_at FROM accounts",
    );
    let spend = |keys: &[String]| {
        let before = logged(&name).len();
        let who = |number: usize| if number.is_multiple_of(2) { alice } else { bob };
        let group: Vec<_> = keys
            .iter()
            .enumerate()
            .map(|(number, key)| Placement { points: 3, ..placement(who(number), key, &[(3, 1)]) })
            .collect();
        let outcomes = app.app.engine.place_group(MerchantId(1), &group.iter().collect::<Vec<_>>(), noon()).unwrap();
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Ok(Outcome::Placed(_)))), "{outcomes:?}");
        logged_since(before)
    };
    let keys: Vec<String> = (0..40).map(|number| format!("p{number}")).collect();
    let (lone, many) = (spend(&keys[..1]), spend(&keys[1..]));
    assert_eq!((lone.len(), many.len()), (7, 7), "{lone:#?}");

    for statement in one.iter().chain(&forty).filter(|statement| statement.starts_with(['S', 'I', 'U', 'D', 'W'])) {
        assert!(statement.contains("merchant_id") || statement.contains("merchants.id ="), "{statement}");
        assert!(
            !["now()", "random()", "gen_random_uuid()", "MERGE"].iter().any(|word| statement.contains(word)),
            "{statement}"
        );
        let source = if one.contains(statement) { "VALUES ($" } else { "FROM merchants m CROSS JOIN unnest(" };
        assert_eq!(statement.matches("INSERT INTO").count(), statement.matches(source).count(), "{statement}");
    }
    // A sharded database runs the parts of a WITH one after the other, and checks foreign keys after each; it would commit in two phases
    // did one read what another wrote.
    for write in [&one[2], &forty[2]] {
        assert!(write.starts_with("WITH written_orders AS (INSERT INTO orders "), "{write}");
        for part in ["written_orders", "written_lines", "told"] {
            assert_eq!(write.matches(part).count(), 1, "{part} in {write}");
        }
    }
}
