//! What keeps the promises where nothing else would tell that it is gone: guards behind locks, and constraints behind guards.

use std::collections::BTreeMap;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};

use actix_web::rt::task::spawn_blocking;
use chrono::TimeDelta;
use diesel::connection::SimpleConnection;
use futures_util::FutureExt;
use rowlock::domain::moves::{Actor, Move};
use rowlock::domain::order::{Order, OrderState, PayMethod};
use rowlock::domain::payment::{PaymentState, RefundNumber, RefundState};
use rowlock::domain::{GoodsId, MerchantId, OrderId, PaymentId, RefundId};
use rowlock::error::Error;
use rowlock::placement::{Outcome, Point};
use rowlock::service;
use rowlock::service::payments::{Confirmation, Settled, confirm};
use rowlock::store::moves::{Changes, Made};
use rowlock::store::refunds::Became;
use rowlock::store::{Tx, events, moves, payments, placing, refunds, stock};
use serde_json::json;
use uuid::Uuid;

use crate::harness::{Freezer, Setup, TestApp, confirmation, number, order, placement, until, words};
use crate::money::pay;
use crate::moves::id;

/// Does `work` in a transaction of shop 1.
fn write<T>(app: &TestApp, mut work: impl FnMut(&mut Tx<'_>) -> diesel::QueryResult<T>) -> Result<T, Error> {
    app.app.store.write(MerchantId(1), |tx| work(tx).map_err(Error::from))
}

/// Whether `work` panics, as it does where what it says of a locked row does not hold.
fn panics<T>(app: &TestApp, work: impl FnMut(&mut Tx<'_>) -> diesel::QueryResult<T>) -> bool {
    catch_unwind(AssertUnwindSafe(|| write(app, work))).is_err()
}

fn order_id(order: &str) -> OrderId {
    OrderId(order.parse().unwrap())
}

fn the_id(app: &TestApp, sql: &str) -> Uuid {
    words(&mut app.conn(), sql).pop().unwrap().parse().unwrap()
}

/// Does `work`, which wants two rows of a table, while a stranger has the greater: it must have taken the lesser before.
async fn takes_the_lesser_first(app: &TestApp, rows: [&str; 2], work: impl Future<Output = ()>) {
    const LOCKS: &str = "SELECT count(*) AS value FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%FOR UPDATE%'";
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
    let pay = spawn_blocking(move || inner.store.write(MerchantId(1), |tx| confirm(tx, &money, now)));
    let pay = pay.map(|settled| assert_eq!(settled.unwrap().unwrap(), Settled::Now(PaymentState::Paid)));
    takes_the_lesser_first(&app, ACCOUNTS, pay).await;

    let (path, why) = (format!("/orders/{placed}/cancel"), json!({ "reason": "changed_mind" }));
    let cancel = alice.post(&path, &why).map(|answer| assert_eq!(answer.status, 200, "{}", answer.text));
    takes_the_lesser_first(&app, goods, cancel).await;
}

/// Whoever holds a row's lock has seen what is in it, so these guards let everybody pass. They are for who has forgotten the lock.
#[actix_web::test]
async fn what_is_not_there_is_not_taken() {
    let app = TestApp::start();
    let take = |count| write(&app, |tx| placing::take(tx, &BTreeMap::from([(GoodsId(1), count)]))).unwrap();
    assert_eq!(take(101), 0);

    let alice = app.customer("alice").await;
    let placed = id(&alice.place("k", &order(&[(1, 3)])).await.json());
    let put_back = |tx: &mut Tx<'_>| stock::put_back(tx, order_id(&placed), GoodsId(1), 4);
    assert!(panics(&app, put_back), "more than the line took");

    assert_eq!(pay(&app, &placed, "30.00", "t").unwrap(), Settled::Now(PaymentState::Paid));
    let paid = PaymentId(the_id(&app, "SELECT id::text AS value FROM payments WHERE state = 'paid'"));
    let amount = "1.00".parse().unwrap();
    let again = |tx: &mut Tx<'_>| payments::take_money(tx, paid, PaymentState::PaidLate, "t2", amount, app.clock.now());
    assert!(panics(&app, again), "the attempt has its money");
    assert!(!write(&app, |tx| payments::turn(tx, paid, PaymentState::Closed, None)).unwrap(), "it is not open");

    let found = |tx: &mut Tx<'_>| rowlock::store::orders::find_all(tx.conn(), MerchantId(1), &[order_id(&placed)]);
    let now = write(&app, found).unwrap().pop().unwrap();
    let before = Order { state: OrderState::PendingPayment, ..now };
    let pay = Made { made: Move::Pay, to: OrderState::PendingAccept, by: Actor::Gateway, why: None };
    let pay = |tx: &mut Tx<'_>| moves::advance(tx, &before, &pay, &Changes::default(), app.clock.now());
    assert!(panics(&app, pay), "it is paid");
}

/// Each breaks a promise, and would be a bug of the service. The database does not know how it came about, and refuses.
#[actix_web::test]
async fn the_schema_keeps_what_it_can() {
    const BROKEN: &[(&str, &str)] = &[
        ("goods_stock_check", "UPDATE goods SET stock = -1"),
        ("goods_sales_check", "UPDATE goods SET sales = -1"),
        ("accounts_balance_check", "UPDATE accounts SET balance = -1"),
        ("entries_pkey", "INSERT INTO entries SELECT * FROM entries"),
        ("entries_balance_check", "UPDATE entries SET balance = -1"),
        ("order_events_pkey", "INSERT INTO order_events SELECT * FROM order_events"),
        ("order_lines_returned_check", "UPDATE order_lines SET returned_count = count + 1"),
        ("order_lines_refunded_check", "UPDATE order_lines SET refunded_count = count + 1"),
        ("orders_idempotency_key", "COPY_OF orders"),
        ("orders_state_check", "UPDATE orders SET state = 'lost'"),
        ("orders_amounts_check", "UPDATE orders SET total = total + 1"),
        ("payments_transaction_key", "COPY_OF payments WHERE state = 'paid'"),
        ("payments_open_key", "COPY_OF payments WHERE state = 'pending'"),
        ("payments_paid_check", "UPDATE payments SET transaction = NULL WHERE state = 'paid'"),
        ("payments_state_check", "UPDATE payments SET state = 'lost'"),
    ];
    let app = TestApp::start();
    app.execute("UPDATE goods SET grant_kind = 'votes', grant_per_unit = 1 WHERE id = 1");
    let alice = app.customer("alice").await;
    let paid = id(&alice.place("paid", &order(&[(1, 1)])).await.json());
    pay(&app, &paid, "10.00", "t").unwrap();
    let open = id(&alice.place("open", &order(&[(1, 1)])).await.json());
    assert_eq!(alice.post(&format!("/orders/{open}/payments"), &json!({})).await.status, 200);
    for (constraint, sql) in BROKEN {
        let sql = match sql.strip_prefix("COPY_OF ") {
            Some(rows) => {
                let table = rows.split(' ').next().unwrap();
                format!(
                    "CREATE TEMP TABLE copy AS SELECT * FROM {rows}; UPDATE copy SET id = gen_random_uuid(); INSERT INTO {table} SELECT * FROM copy"
                )
            }
            None => (*sql).to_owned(),
        };
        let refused = app.conn().batch_execute(&sql).unwrap_err().to_string();
        assert!(refused.contains(&format!("\"{constraint}\"")), "{constraint}: {refused}");
    }
}

#[actix_web::test]
async fn money_by_another_gateway_is_owed_back() {
    let app = TestApp::start();
    let alice = app.customer("alice").await;
    let placed = id(&alice.place("k", &order(&[(1, 1)])).await.json());
    let by_another = Confirmation { gateway: PayMethod::Wechat, ..confirmation(&app, &placed, "10.00", "t") };
    let now = app.clock.now();
    let settled = app.app.store.write(MerchantId(1), |tx| confirm(tx, &by_another, now)).unwrap();
    assert_eq!(settled, Settled::Now(PaymentState::PaidMismatch));
    assert_eq!(alice.get(&format!("/orders/{placed}")).await.json()["state"], "pending_payment");
    assert_eq!(app.count("refunds WHERE state = 'due'"), 1);
}

/// Who had the lease on an attempt before may wake up, and have it in mind to close it.
#[actix_web::test]
async fn an_older_fence_closes_nothing() {
    let app = TestApp::start();
    let alice = app.customer("alice").await;
    let placed = id(&alice.place("k", &order(&[(1, 1)])).await.json());
    assert_eq!(alice.post(&format!("/orders/{placed}/payments"), &json!({})).await.status, 200);
    let open = PaymentId(the_id(&app, "SELECT id::text AS value FROM payments"));
    let turn = |to, fence| write(&app, |tx| payments::turn(tx, open, to, fence)).unwrap();
    assert!(turn(PaymentState::Closing, Some(5)));
    assert!(!turn(PaymentState::Closed, Some(4)));
    assert!(turn(PaymentState::Pending, Some(5)));
    assert!(turn(PaymentState::Pending, Some(6)));
    assert!(turn(PaymentState::Pending, None), "where leases are switched off, the row's lock is enough");
    assert!(!turn(PaymentState::Closed, Some(5)), "the fence is remembered");
}

/// An attempt that was closed has its money after all. The one begun in its place is not left open until its time is over.
#[actix_web::test]
async fn an_attempt_nobody_waits_for_is_closed_at_once() {
    let app = TestApp::start();
    let alice = app.customer("alice").await;
    let placed = id(&alice.place("k", &order(&[(1, 1)])).await.json());
    assert_eq!(alice.post(&format!("/orders/{placed}/payments"), &json!({})).await.status, 200);
    assert_eq!(pay(&app, &placed, "10.00", "t").unwrap(), Settled::Now(PaymentState::Paid));
    let (inner, now) = (app.app.clone(), app.clock.now());
    spawn_blocking(move || inner.jobs.run(now)).await.unwrap();
    let states = "SELECT state AS value FROM payments ORDER BY state";
    assert_eq!(words(&mut app.conn(), states), ["closed", "paid"]);
}

/// Whoever was asked to pay back, and answers late, has nothing to say any more.
#[actix_web::test]
async fn a_refund_is_settled_once_by_its_latest_attempt() {
    let app = TestApp::start();
    let alice = app.customer("alice").await;
    let placed = id(&alice.place("k", &order(&[(1, 1)])).await.json());
    pay(&app, &placed, "10.00", "t").unwrap();
    let cancelled = alice.post(&format!("/orders/{placed}/cancel"), &json!({ "reason": "changed_mind" })).await;
    assert_eq!(cancelled.status, 200, "{}", cancelled.text);
    let refund = RefundId(the_id(&app, "SELECT id::text AS value FROM refunds"));
    let (now, later) = (app.clock.now(), app.clock.now() + TimeDelta::seconds(60));
    let claim = |at| write(&app, |tx| refunds::claim(tx, refund, at, at + TimeDelta::seconds(60))).unwrap();
    assert_eq!(claim(now).map(|refund| refund.attempts), Some(1));
    assert_eq!(claim(now), None, "somebody has it in hand");
    assert_eq!(claim(later).map(|refund| refund.attempts), Some(2));

    let settle = |round, attempt, state| {
        let became = Became { state, check_at: later, failures: 0, trouble: None };
        write(&app, |tx| refunds::settle(tx, RefundNumber { refund, round }, attempt, &became, now)).unwrap()
    };
    assert!(!settle(1, Some(1), RefundState::Abnormal), "there was a later attempt");
    assert!(!settle(2, Some(2), RefundState::Succeeded), "it was never asked for under that number");
    assert!(settle(1, Some(2), RefundState::Succeeded));
    assert!(!settle(1, None, RefundState::Submitted), "the customer has it");
    assert_eq!(claim(later + TimeDelta::days(1)), None);
}

#[actix_web::test]
async fn points_are_locked_before_they_are_spent() {
    let freezer = Freezer::at(Point::Locked);
    let app = TestApp::with(Setup { probe: Some(freezer.probe.clone()), ..Setup::default() });
    let alice = app.customer_id("alice").await;
    app.execute(&format!(
        "UPDATE merchants SET points_per_yuan = 100;
         INSERT INTO accounts (merchant_id, id, kind, customer_id, balance, created_at)
             VALUES (1, '{alice}', 'points', '{alice}', 500, '2026-01-01Z');
         INSERT INTO entries (merchant_id, account_id, cause, delta, balance, actor, made_at)
             VALUES (1, '{alice}', 'correction gift', 500, 500, 'test', '2026-01-01Z')"
    ));
    let alice = app.customer("alice").await;
    let mut body = order(&[(1, 1)]);
    body["points"] = json!(500);
    let placing = alice.send("k", &body);
    freezer.wait().await;
    let taken = app.conn().batch_execute("SELECT 1 FROM accounts FOR UPDATE NOWAIT");
    freezer.release();
    assert_eq!(placing.await.unwrap().status, 201);
    assert!(taken.is_err(), "others may spend them meanwhile");
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
    assert!(time_out(&unpaid, 15));
    assert!(time_out(&unanswered, 10));
    assert!(!time_out(&unpaid, 15), "it is cancelled already");
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

/// Two customers may hit upon one key, one after the other or in one group.
#[actix_web::test]
async fn keys_are_each_customers_own() {
    let app = TestApp::start();
    let customers = [app.customer("alice").await, app.customer("bob").await];
    let mut placed = Vec::new();
    for customer in &customers {
        let answer = customer.place("k", &order(&[(1, 1)])).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        placed.push(id(&answer.json()));
    }
    for (customer, placed) in customers.iter().zip(&placed) {
        let again = customer.place("k", &order(&[(1, 1)])).await;
        assert_eq!((again.status.as_u16(), id(&again.json())), (200, placed.clone()));
    }
    let (alice, bob) = (app.customer_id("alice").await, app.customer_id("bob").await);
    let group = [placement(alice, "g", &[(1, 1)]), placement(bob, "g", &[(1, 1)])];
    let outcomes = app.app.engine.place_group(MerchantId(1), &group.each_ref(), app.clock.now()).unwrap();
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Ok(Outcome::Placed(_)))), "{outcomes:?}");
}
