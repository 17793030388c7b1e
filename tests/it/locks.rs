//! What must be locked, and in which order: seen by whoever stands in the way.

use std::future::Future;

use actix_web::rt::task::spawn_blocking;
use chrono::TimeDelta;
use diesel::connection::SimpleConnection;
use futures_util::FutureExt;
use rowlock::domain::MerchantId;
use rowlock::domain::payment::PaymentState;
use rowlock::error::Error;
use rowlock::placement::Point;
use rowlock::service;
use rowlock::service::payments::{Settled, confirm};
use rowlock::store::{Tx, events};
use serde_json::json;

use crate::harness::{Freezer, Setup, TestApp, confirmation, number, order, until};
use crate::money::give_points;
use crate::moves::id;
use crate::promises::{order_id, write};

/// Does `work`, which wants two rows of a table, while a stranger has the greater: it must have taken the lesser before.
async fn takes_the_lesser_first(app: &TestApp, rows: [&str; 2], work: impl Future<Output = ()>) {
    const LOCKS: &str = "SELECT count(*) AS value FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%FOR%UPDATE%'";
    let [lesser, greater] = rows.map(|row| format!("SELECT 1 FROM {row} FOR UPDATE"));
    let mut stranger = app.conn();
    stranger.batch_execute(&format!("BEGIN; {greater}")).unwrap();
    let look = async {
        until(|| number(&mut app.conn(), LOCKS) == 1).await;
        let is_taken = app.conn().batch_execute(&format!("{lesser} NOWAIT")).is_err();
        stranger.batch_execute("COMMIT").unwrap();
        is_taken
    };
    let ((), is_taken) = tokio::join!(work, look);
    assert!(is_taken, "{rows:?}");
}

/// In a ring nobody moves. So everybody goes the same way.
#[actix_web::test]
async fn rows_are_locked_in_ascending_order() {
    const ACCOUNTS: [&str; 2] = ["accounts WHERE name = 'first'", "accounts WHERE name = 'second'"];
    // Who waits has time: between two tries nothing is locked.
    let variables =
        vec![("ROWLOCK_DATABASE_LOCK_TIMEOUT_MS", "20000"), ("ROWLOCK_DATABASE_STATEMENT_TIMEOUT_MS", "30000")];
    let app = TestApp::with(Setup { variables, ..Setup::default() });
    app.execute(
        "INSERT INTO accounts (merchant_id, id, kind, name, created_at) VALUES
             (1, '00000000-0000-0000-0000-000000000002', 'votes', 'second', '2026-01-01Z'),
             (1, '00000000-0000-0000-0000-000000000001', 'votes', 'first', '2026-01-01Z');
         UPDATE goods SET grant_per_unit = 1, grant_account_id = format('00000000-0000-0000-0000-00000000000%s', 3 - id)::uuid
             WHERE id IN (1, 2)",
    );
    let alice = app.customer("alice").await;
    let goods = ["goods WHERE id = 1", "goods WHERE id = 2"];
    let body = order(&[(2, 1), (1, 1)]);
    let place = async { assert_eq!(alice.place("k", &body).await.status, 201) };
    takes_the_lesser_first(&app, goods, place).await;

    let placed = id(&alice.place("k", &body).await.json());
    let (inner, money, now) = (app.app.clone(), confirmation(&app, &placed, "30.00", "t"), app.clock.now());
    // It begins when it is waited for, which is when the stranger stands in the way.
    let pay = async {
        let settled = spawn_blocking(move || inner.store.write(MerchantId(1), |tx| confirm(tx, &money, now))).await;
        assert_eq!(settled.unwrap().unwrap(), Settled::Now(PaymentState::Paid));
    };
    takes_the_lesser_first(&app, ACCOUNTS, pay).await;

    let (path, why) = (format!("/orders/{placed}/cancel"), json!({ "reason": "changed_mind" }));
    let cancel = alice.post(&path, &why).map(|answer| assert_eq!(answer.status, 200, "{}", answer.text));
    takes_the_lesser_first(&app, goods, cancel).await;
}

#[actix_web::test]
async fn points_are_locked_before_they_are_spent() {
    let freezer = Freezer::at(Point::Locked);
    let app = TestApp::with(Setup { probe: Some(freezer.probe.clone()), ..Setup::default() });
    let alice = app.customer_id("alice").await;
    app.execute("UPDATE merchants SET points_per_yuan = 100");
    give_points(&app, alice.0, 500);
    let alice = app.customer("alice").await;
    let mut body = order(&[(1, 1)]);
    body["points"] = json!(500);
    let placing = alice.send("k", &body);
    freezer.wait().await;
    let taken = app.conn().batch_execute("SELECT 1 FROM accounts FOR NO KEY UPDATE NOWAIT");
    // As the key of a row that names the account does: an order placed beside it that grants something to it.
    let named = app.conn().batch_execute("SELECT 1 FROM accounts FOR KEY SHARE NOWAIT");
    freezer.release();
    assert_eq!(placing.await.unwrap().status, 201);
    assert!(taken.is_err(), "others may spend them meanwhile");
    named.unwrap();
}

/// Two that number at once would give one number twice, or leave a gap.
#[actix_web::test]
async fn events_are_numbered_by_one_at_a_time() {
    let app = TestApp::start();
    let alice = app.customer("alice").await;
    let now = app.clock.now();
    assert_eq!(alice.place("one", &order(&[(1, 1)])).await.status, 201);
    let publish = move |tx: &mut Tx<'_>| events::publish(tx, 100, now);
    write(&app, publish).unwrap();
    let mut stranger = app.conn();
    stranger.batch_execute("BEGIN; SELECT 1 FROM event_counters FOR UPDATE").unwrap();
    assert_eq!(alice.place("two", &order(&[(1, 1)])).await.status, 201);
    let inner = app.app.clone();
    let publishing =
        spawn_blocking(move || inner.store.write(MerchantId(1), |tx| publish(tx).map_err(Error::from)).unwrap());
    let waiting = "SELECT count(*) AS value FROM pg_stat_activity WHERE datname = current_database()
        AND wait_event_type = 'Lock' AND query LIKE 'SELECT%event_counters%FOR UPDATE%'";
    until(|| number(&mut app.conn(), waiting) > 0).await;
    stranger.batch_execute("COMMIT").unwrap();
    publishing.await.unwrap();
}

/// Without the lock, the guard of the state would still let one win; the others would find a panic instead of an answer.
#[actix_web::test]
async fn an_order_is_locked_before_it_is_moved() {
    const WAITING: &str = "SELECT count(*) AS value FROM pg_stat_activity WHERE datname = current_database()
        AND wait_event_type = 'Lock' AND query LIKE 'SELECT%\"orders\"%FOR UPDATE%'";
    let app = TestApp::start();
    let (alice, owner) = (app.customer("alice").await, app.staff("owner").await);
    let placed = id(&alice.place("k", &order(&[(1, 1)])).await.json());
    let hold = || {
        let mut stranger = app.conn();
        stranger.batch_execute("BEGIN; SELECT 1 FROM orders FOR UPDATE").unwrap();
        stranger
    };
    let let_go = async |mut stranger: diesel::PgConnection| {
        until(|| number(&mut app.conn(), WAITING) == 1).await;
        stranger.batch_execute("COMMIT").unwrap();
    };

    let (inner, money, now) = (app.app.clone(), confirmation(&app, &placed, "10.00", "t"), app.clock.now());
    let stranger = hold();
    let pay = spawn_blocking(move || inner.store.write(MerchantId(1), |tx| confirm(tx, &money, now)));
    let (settled, ()) = tokio::join!(pay, let_go(stranger));
    assert_eq!(settled.unwrap().unwrap(), Settled::Now(PaymentState::Paid));

    let (stranger, path, nothing) = (hold(), format!("/orders/{placed}/accept"), json!({}));
    let (accepted, ()) = tokio::join!(owner.post(&path, &nothing), let_go(stranger));
    assert_eq!(accepted.status, 200, "{}", accepted.text);
}

/// What was overdue when it was listed may have moved on when it is locked.
#[actix_web::test]
async fn only_what_is_overdue_is_timed_out() {
    let app = TestApp::start();
    let alice = app.customer("alice").await;
    let unpaid = id(&alice.place("unpaid", &order(&[(1, 1)])).await.json());
    let mut cash = order(&[(1, 1)]);
    cash["pay_method"] = json!("cash");
    let unanswered = id(&alice.place("unanswered", &cash).await.json());
    let time_out = |order: &str, minutes| {
        let now = app.clock.now() + TimeDelta::minutes(minutes);
        app.app.store.write(MerchantId(1), |tx| service::orders::time_out(tx, order_id(order), now)).unwrap()
    };
    assert!(!time_out(&unpaid, 14));
    assert!(!time_out(&unanswered, 9));
    let mut stranger = app.conn();
    stranger.batch_execute("BEGIN; SELECT 1 FROM orders FOR UPDATE").unwrap();
    assert!(!time_out(&unpaid, 15), "somebody has it in hand");
    stranger.batch_execute("COMMIT").unwrap();
    assert!(time_out(&unpaid, 15));
    assert!(time_out(&unanswered, 10));
    assert!(!time_out(&unpaid, 15), "it is cancelled already");
}
