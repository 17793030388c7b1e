//! The other way of locking: goods are read without a lock, and taken only if they are what was read. It sells no more than there is, either.

use std::sync::Arc;

use diesel::Connection;
use diesel::connection::SimpleConnection;
use futures_util::FutureExt;
use futures_util::future::join_all;
use rowlock::placement::Point;
use serde_json::json;

use crate::harness::{Freezer, Setup, TestApp, TestDatabase, number, order, until};
use crate::money::{balance, give_points};
use crate::twins::{place_patiently, storm};

const OPTIMISTIC: (&str, &str) = ("ROWLOCK_PLACEMENT_LOCKING", "optimistic");
const RETRIES: &str = "rowlock_transaction_retries_total{code=\"stock_changed\"}";

#[actix_web::test]
async fn a_storm_over_two_instances_is_answered() {
    storm(["optimistic"; 2]).await;
}

/// 130 customers at two instances want one each of the last 100.
#[actix_web::test]
async fn a_hundred_are_sold_a_hundred_times() {
    let app = TestApp::with(Setup { variables: vec![OPTIMISTIC], ..Setup::default() });
    let other = app.beside(Setup { variables: vec![OPTIMISTIC], ..Setup::default() });
    let alice = app.customer("alice").await;
    let body = order(&[(1, 1)]);
    let place = async |n: usize| {
        let who = alice.at(if n.is_multiple_of(2) { &app } else { &other });
        place_patiently(&who, &format!("k{n}"), &body).await
    };
    let answers = join_all((0..130).map(place)).await;
    let sold = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!((sold, app.stock(1), app.count("orders")), (100, 0, 100));
    for answer in answers.iter().filter(|answer| answer.status != 201) {
        assert_eq!(answer.refusal(), (409, "out_of_stock".into()));
        assert_eq!(answer.json()["short"], json!([{ "goods_id": 1, "wanted": 1, "left": 0 }]));
    }
    assert!(app.metric(RETRIES) + other.metric(RETRIES) > 0.0, "somebody was faster than somebody");
}

/// Somebody changes the goods between reading and taking: the order is decided again, by what is there now.
#[actix_web::test]
async fn goods_that_change_meanwhile_are_read_again() {
    let stock = "UPDATE goods SET stock = stock - 97 WHERE id = 1;
        INSERT INTO stock_moves (merchant_id, id, goods_id, delta, reason, actor, moved_at) VALUES (1, gen_random_uuid(), 1, -97, 'broken', 'test', now())";
    let cases = [
        ("UPDATE goods SET price = 11 WHERE id = 1", None, "53.00", 1.0),
        ("UPDATE goods SET price = 11 WHERE id = 1", Some("50.00"), "price_changed", 1.0),
        ("UPDATE goods SET price = 11 WHERE id = 2", Some("50.00"), "price_changed", 1.0),
        ("UPDATE goods SET on_sale = false WHERE id = 1", None, "not_on_sale", 1.0),
        ("UPDATE goods SET sold_out_units = 0 WHERE id = 1", None, "out_of_stock", 1.0),
        (stock, Some("50.00"), "50.00", 1.0),
        (
            &format!(
                "{stock}; UPDATE goods SET stock = 2, on_sale = true WHERE id = 1; UPDATE stock_moves SET delta = -98 WHERE delta = -97"
            ),
            None,
            "out_of_stock",
            1.0,
        ),
        // This changes nothing of what an order is decided by.
        ("UPDATE goods SET position = 9", Some("50.00"), "50.00", 0.0),
        // The shop's own settings are read with the key, and hold from then on.
        ("UPDATE merchants SET offers_pickup = false", None, "50.00", 0.0),
    ];
    for (change, expected_total, expected, retries) in cases {
        let freezer = Freezer::at(Point::Planned);
        let app = TestApp::with(Setup {
            probe: Some(freezer.probe.clone()),
            variables: vec![OPTIMISTIC],
            ..Setup::default()
        });
        let alice = app.customer("alice").await;
        let mut body = order(&[(2, 1), (1, 3)]);
        body["expected_total"] = json!(expected_total);
        let sent = alice.send("k", &body);
        freezer.wait().await;
        app.execute(change);
        let left = app.stock(1);
        freezer.release();
        let answer = sent.await.unwrap();
        if answer.status == 201 {
            assert_eq!(answer.json()["total"], expected, "{change}");
            assert_eq!((app.stock(1), app.stock(2)), (left - 3, 99), "{change}");
        } else {
            assert_eq!(answer.refusal(), (409, expected.into()), "{change}");
            assert_eq!((app.stock(1), app.stock(2), app.count("orders")), (left, 100, 0), "{change}");
        }
        assert_eq!(app.metric(RETRIES), retries, "{change}");
    }
}

/// The same with points: somebody else spends them between reading and taking.
#[actix_web::test]
async fn points_that_change_meanwhile_are_read_again() {
    let freezer = Freezer::at(Point::Planned);
    let app =
        TestApp::with(Setup { probe: Some(freezer.probe.clone()), variables: vec![OPTIMISTIC], ..Setup::default() });
    let customer = app.customer_id("alice").await.0;
    app.execute("UPDATE merchants SET points_per_yuan = 100");
    give_points(&app, customer, 500);
    let alice = app.customer("alice").await;
    let mut body = order(&[(1, 1)]);
    body["points"] = json!(500);
    let sent = alice.send("k", &body);
    freezer.wait().await;
    app.execute(
        "INSERT INTO entries (merchant_id, account_id, cause, delta, balance, actor, made_at)
             SELECT 1, id, 'correction elsewhere', -300, 200, 'test', '2026-01-01Z' FROM accounts;
         UPDATE accounts SET balance = 200",
    );
    freezer.release();
    assert_eq!(sent.await.unwrap().refusal(), (409, "too_few_points".to_owned()));
    assert_eq!((balance(&app, "points"), app.stock(1), app.metric(RETRIES)), (200, 100, 1.0));
}

/// In the way of the locks, whoever changes goods that are being ordered waits for the order.
#[actix_web::test]
async fn under_locks_nothing_changes_meanwhile() {
    for point in [Point::Locked, Point::Planned, Point::Written] {
        let freezer = Freezer::at(point);
        let app = TestApp::with(Setup { probe: Some(freezer.probe.clone()), ..Setup::default() });
        let alice = app.customer("alice").await;
        let sent = alice.send("k", &order(&[(1, 3)]));
        freezer.wait().await;
        let url = app.database.url.clone();
        let mut change = actix_web::rt::task::spawn_blocking(move || {
            let mut conn = diesel::PgConnection::establish(&url).unwrap();
            conn.batch_execute("UPDATE goods SET price = 11 WHERE id = 1").unwrap();
        });
        let waiting = "SELECT count(*) AS value FROM pg_stat_activity
            WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE 'UPDATE goods%'";
        until(|| number(&mut app.conn(), waiting) == 1).await;
        assert!((&mut change).now_or_never().is_none());
        freezer.release();
        change.await.unwrap();
        assert_eq!(sent.await.unwrap().json()["total"], "30.00");
        assert_eq!(alice.place("l", &order(&[(1, 3)])).await.json()["total"], "33.00");
    }
}

/// Goods that change each time: it is tried a number of times, and then somebody else's turn.
#[actix_web::test]
async fn goods_that_never_stand_still_are_given_up() {
    let database = Arc::new(TestDatabase::clone_of("template"));
    let url = database.url.clone();
    let changes = Arc::new(std::sync::atomic::AtomicUsize::new(4));
    let left = Arc::clone(&changes);
    let probe = move |point| {
        use std::sync::atomic::Ordering::SeqCst;
        if point == Point::Planned && left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok() {
            let mut conn = diesel::PgConnection::establish(&url).unwrap();
            conn.batch_execute("UPDATE goods SET price = price + 1 WHERE id = 1").unwrap();
        }
    };
    let app = TestApp::with(Setup {
        probe: Some(Arc::new(probe)),
        variables: vec![OPTIMISTIC, ("ROWLOCK_DATABASE_ATTEMPTS_MAX", "4")],
        database: Some(database),
    });
    let alice = app.customer("alice").await;
    let given_up = alice.place("k", &order(&[(1, 1)])).await;
    assert_eq!(given_up.refusal(), (503, "unavailable".into()));
    assert_eq!(given_up.headers["retry-after"], "1");
    assert_eq!((app.metric(RETRIES), app.count("orders"), app.stock(1)), (3.0, 0, 100));
    let placed = alice.place("k", &order(&[(1, 1)])).await;
    assert_eq!((placed.status.as_u16(), &placed.json()["total"]), (201, &json!("14.00")), "it stands still now");
}
