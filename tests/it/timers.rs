//! What happens by itself when its time has come.

use chrono::TimeDelta;
use insta::assert_snapshot;
use serde_json::json;

use crate::harness::{Setup, TestApp, connect, number, order, until};
use crate::money::pay;
use crate::moves::{history, id};

#[actix_web::test]
async fn orders_nobody_pays_are_cancelled() {
    let app = TestApp::start();
    let alice = app.customer("alice").await;
    let (unpaid, paid) = (
        id(&alice.place("unpaid", &order(&[(1, 2)])).await.json()),
        id(&alice.place("paid", &order(&[(1, 1)])).await.json()),
    );
    app.clock.advance(TimeDelta::minutes(15) - TimeDelta::microseconds(1));
    assert_eq!(app.app.jobs.run(app.clock.now()), 0);
    pay(&app, &paid, "10.00", "t").unwrap();
    app.clock.advance(TimeDelta::microseconds(1));
    assert_eq!(app.app.jobs.run(app.clock.now()), 1);
    assert_eq!(app.app.jobs.run(app.clock.now()), 0);
    assert_snapshot!(history(&app, &unpaid), @"1 cancel pending_payment -> cancelled by timer, pay_timeout");
    assert_eq!(app.stock(1), 99);
    assert!(app.metric("rowlock_orders_timed_out_total") >= 1.0);
}

#[actix_web::test]
async fn orders_nobody_answers_are_rejected_or_accepted() {
    let app = TestApp::start();
    let alice = app.customer("alice").await;
    let mut cash = order(&[(1, 2)]);
    cash["pay_method"] = json!("cash");
    let rejected = id(&alice.place("rejected", &cash).await.json());
    let paid = id(&alice.place("paid", &order(&[(1, 1)])).await.json());
    pay(&app, &paid, "10.00", "t").unwrap();
    app.clock.advance(TimeDelta::minutes(10));
    assert_eq!(app.app.jobs.run(app.clock.now()), 2);
    for order in [&rejected, &paid] {
        assert_eq!(
            history(&app, order).lines().last().unwrap()[2..],
            *"reject pending_accept -> rejected by timer, accept_timeout"
        );
    }
    assert_eq!(app.stock(1), 100);
    assert_eq!(number(&mut app.conn(), "SELECT count(*) AS value FROM refunds WHERE amount = 10"), 1);
    app.execute("UPDATE merchants SET accept_timeout = 'accept'");
    let accepted = id(&alice.place("accepted", &cash).await.json());
    app.clock.advance(TimeDelta::minutes(10));
    app.app.jobs.run(app.clock.now());
    assert_snapshot!(history(&app, &accepted), @"1 accept pending_accept -> accepted by timer");
}

/// Four instances' timers over three hundred orders: each is cancelled once.
#[actix_web::test]
async fn several_instances_may_run_the_same_timers() {
    let app = TestApp::start();
    let others: Vec<TestApp> = (0..3).map(|_| app.beside(Setup::default())).collect();
    let alice = app.customer("alice").await;
    app.execute("UPDATE goods SET stock = 1000 WHERE id = 1; UPDATE stock_moves SET delta = 1000 WHERE goods_id = 1");
    let placed = (0..300).map(|number| alice.send(&number.to_string(), &order(&[(1, 1)])));
    for answer in futures_util::future::join_all(placed).await {
        assert_eq!(answer.unwrap().status, 201);
    }
    assert_eq!(app.stock(1), 700);
    let now = app.clock.now() + TimeDelta::minutes(15);
    let done: usize = std::thread::scope(|scope| {
        let threads: Vec<_> =
            others.iter().chain([&app]).map(|app| scope.spawn(move || app.app.jobs.run(now))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    // Whoever finds an order locked leaves it to whoever has it.
    assert_eq!(done + app.app.jobs.run(now), 300);
    assert_eq!((app.stock(1), app.count("order_events")), (1000, 300));
}

/// A deadline is a row, so another instance finds it after the first is gone; and the thread runs by itself.
#[actix_web::test]
async fn a_restart_loses_no_timer() {
    let app = TestApp::start();
    let alice = app.customer("alice").await;
    alice.place("k", &order(&[(1, 5)])).await;
    let later = app.beside(Setup { variables: vec![("ROWLOCK_JOBS_INTERVAL_MS", "20")], ..Setup::default() });
    later.clock.advance(TimeDelta::minutes(16));
    let url = app.database.url.clone();
    until(|| number(&mut connect(&url), "SELECT count(*) AS value FROM orders WHERE state = 'cancelled'") == 1).await;
    assert_eq!(app.stock(1), 100);
}

/// Orders that cannot be moved, for whatever reason, more than one look holds: they stand in nobody's way.
#[actix_web::test]
async fn what_cannot_be_moved_holds_up_nobody() {
    let mut app = TestApp::start();
    app.audit_at_end = false;
    let (alice, neighbour) = (app.customer("alice").await, app.customer_of(2, "bob").await);
    app.execute("UPDATE goods SET stock = 1000 WHERE id = 1");
    let placed = (0..210).map(|number| alice.send(&number.to_string(), &order(&[(1, 1)])));
    for answer in futures_util::future::join_all(placed).await {
        assert_eq!(answer.unwrap().status, 201);
    }
    assert_eq!(neighbour.place("k", &order(&[(101, 1)])).await.status, 201);
    // Nothing can be put back into a stock that is as large as numbers are.
    app.execute("UPDATE goods SET stock = 2147483647 WHERE id = 1");
    assert_eq!(app.app.jobs.run(app.clock.now() + TimeDelta::minutes(15)), 1);
    assert_eq!(app.stock(101), 100);
    assert!(app.metric("rowlock_job_failures_total{code=\"expire\"}") >= 210.0);
}

/// An order that somebody has in hand is left to them, and does not hold up the others.
#[actix_web::test]
async fn what_is_locked_is_left_alone() {
    let app = TestApp::start();
    let alice = app.customer("alice").await;
    let first = id(&alice.place("first", &order(&[(1, 1)])).await.json());
    alice.place("second", &order(&[(2, 1)])).await;
    let mut conn = app.conn();
    diesel::connection::SimpleConnection::batch_execute(
        &mut conn,
        &format!("BEGIN; SELECT FROM orders WHERE id = '{first}' FOR UPDATE"),
    )
    .unwrap();
    let now = app.clock.now() + TimeDelta::minutes(15);
    assert_eq!(app.app.jobs.run(now), 1);
    assert_eq!(app.stock(2), 100);
    drop(conn);
    until(|| app.app.jobs.run(now) == 1).await;
}

#[actix_web::test]
async fn old_keys_are_forgotten_and_only_old_ones() {
    let app = TestApp::start();
    let alice = app.customer("alice").await;
    let old = id(&alice.place("k", &order(&[(1, 1)])).await.json());
    app.clock.advance(TimeDelta::days(15));
    // Tokens last a week.
    let alice = app.customer("alice").await;
    alice.place("younger", &order(&[(1, 1)])).await;
    assert_eq!(alice.place("k", &order(&[(1, 1)])).await.status, 200, "it is remembered");
    app.clock.advance(TimeDelta::days(16));
    app.app.jobs.run(app.clock.now());
    assert_eq!(app.count("orders WHERE state = 'cancelled'"), 2);
    assert_eq!(app.count("outbox WHERE kind = 'order_placed'"), 0);
    let kept = crate::harness::words(
        &mut app.conn(),
        "SELECT idempotency_key AS value FROM orders WHERE idempotency_key IS NOT NULL",
    );
    assert_eq!(kept, ["younger"]);
    let alice = app.customer("alice").await;
    let new = alice.place("k", &order(&[(1, 1)])).await;
    assert_eq!(new.status, 201);
    assert_ne!(id(&new.json()), old);
}

/// The kitchen makes fifty a day: at the cut-over there are fifty again, whatever was sold, once for two instances.
#[actix_web::test]
async fn a_day_of_business_begins_with_its_stock() {
    let app = TestApp::start();
    let other = app.beside(Setup::default());
    let alice = app.customer("alice").await;
    app.execute("UPDATE goods SET daily_stock = 50 WHERE id = 1");
    app.app.jobs.run(app.clock.now());
    assert_eq!(app.stock(1), 100, "the first day is only noted");
    let mut cash = order(&[(1, 30)]);
    cash["pay_method"] = json!("cash");
    app.execute("UPDATE merchants SET accept_timeout = 'accept'");
    alice.place("k", &cash).await;
    // From noon to a microsecond before four in the morning, and to four.
    app.clock.advance(TimeDelta::hours(16) - TimeDelta::microseconds(1));
    app.app.jobs.run(app.clock.now());
    assert_eq!(app.stock(1), 70);
    let now = app.clock.now() + TimeDelta::minutes(1);
    assert_eq!((app.app.jobs.run(now), other.app.jobs.run(now)), (2, 0), "the days of both shops begin, once");
    assert_eq!(app.stock(1), 50);
    assert_eq!(app.count("stock_moves WHERE reason = 'daily_reset' AND delta = -20"), 1);
}
