//! What keeps the promises where nothing else would tell that it is gone: guards behind locks, and constraints behind guards.

use std::panic::{AssertUnwindSafe, catch_unwind};

use actix_web::rt::task::spawn_blocking;
use chrono::TimeDelta;
use diesel::connection::SimpleConnection;
use rowlock::domain::moves::{Actor, Move};
use rowlock::domain::order::{Order, OrderState, PayMethod};
use rowlock::domain::payment::{Channel, PaymentState, RefundNumber, RefundState};
use rowlock::domain::placement::Placement;
use rowlock::domain::{CartId, GoodsId, MerchantId, OrderId, PaymentId, RefundId, Refusal};
use rowlock::error::Error;
use rowlock::placement::{Outcome, Point};
use rowlock::service;
use rowlock::service::payments::{Confirmation, Settled, confirm};
use rowlock::store::moves::{Changes, Made};
use rowlock::store::refunds::Became;
use rowlock::store::{Tx, moves, payments, placing, refunds, stock};
use serde_json::json;
use uuid::Uuid;

use crate::harness::{Freezer, Setup, TestApp, confirmation, order, placement, words};
use crate::money::pay;
use crate::moves::id;

/// Does `work` in a transaction of shop 1.
pub(crate) fn write<T>(app: &TestApp, mut work: impl FnMut(&mut Tx<'_>) -> diesel::QueryResult<T>) -> Result<T, Error> {
    app.app.store.write(MerchantId(1), |tx| work(tx).map_err(Error::from))
}

/// Whether `work` panics, as it does where what it says of a locked row does not hold.
fn panics<T>(app: &TestApp, work: impl FnMut(&mut Tx<'_>) -> diesel::QueryResult<T>) -> bool {
    catch_unwind(AssertUnwindSafe(|| write(app, work))).is_err()
}

pub(crate) fn order_id(order: &str) -> OrderId {
    OrderId(order.parse().unwrap())
}

pub(crate) fn the_id(app: &TestApp, sql: &str) -> Uuid {
    words(&mut app.conn(), sql).pop().unwrap().parse().unwrap()
}

/// Whoever holds a row's lock has seen what is in it, so these guards let everybody pass. They are for who has forgotten the lock.
#[actix_web::test]
async fn what_is_not_there_is_not_taken() {
    let app = TestApp::start();
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
    let take = |count: u32| {
        let request = placement(now.customer_id, &format!("more-{count}"), &[(1, count.into())]);
        let mut more = Order { id: request.id, ..now.clone() };
        more.lines[0].count = count;
        write(&app, |tx| {
            tx.discard();
            let (goods, _) = placing::lock_goods(tx, &[GoodsId(1)].into_iter().collect())?;
            placing::write(tx, &[(&request, &more)], &goods)
        })
    };
    assert_eq!((take(97).unwrap(), take(98).unwrap()), (true, false), "97 are left");
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

/// A cart that was ordered is empty, so whoever submits it once more learns that, and not that its goods are gone.
#[actix_web::test]
async fn a_cart_that_was_ordered_is_known() {
    let app = TestApp::start();
    let alice = app.customer_id("alice").await;
    let place = |key| {
        let request = Placement { cart: Some(CartId(Uuid::from_u128(7))), ..placement(alice, key, &[(1, 100)]) };
        app.app.engine.place_group(MerchantId(1), &[&request], app.clock.now()).unwrap().pop().unwrap().unwrap()
    };
    let Outcome::Placed(first) = place("one") else { panic!("nothing is in the way") };
    assert_eq!(place("two"), Outcome::Refused(Refusal::CartPlaced { order_id: first.id }));
}

/// Its goods were changed in between, so no goods row keeps two submissions of a cart apart.
#[actix_web::test]
async fn a_cart_is_ordered_once_whatever_is_in_it() {
    let freezer = Freezer::at(Point::Planned);
    let app = TestApp::with(Setup { probe: Some(freezer.probe.clone()), ..Setup::default() });
    let other = app.beside(Setup::default());
    let alice = app.customer_id("alice").await;
    let place = |instance: &TestApp, key: &str, goods| {
        let request = Placement { cart: Some(CartId(Uuid::from_u128(7))), ..placement(alice, key, &[(goods, 1)]) };
        let (served, now) = (instance.app.clone(), app.clock.now());
        spawn_blocking(move || served.engine.place_group(MerchantId(1), &[&request], now).unwrap().pop().unwrap())
    };
    let late = place(&app, "one", 1);
    freezer.wait().await;
    let Ok(Outcome::Placed(first)) = place(&other, "two", 2).await.unwrap() else { panic!("nothing is in the way") };
    freezer.release();
    assert_eq!(late.await.unwrap().unwrap(), Outcome::Refused(Refusal::CartPlaced { order_id: first.id }));
    assert_eq!((app.count("orders"), app.stock(1)), (1, 100));
}

/// A gateway that has not heard of an attempt may hear of it yet: it is asked once more when no money can come any more.
#[actix_web::test]
async fn an_attempt_its_gateway_does_not_know_is_asked_about_once_more() {
    let app = TestApp::start();
    let alice = app.customer("alice").await;
    let placed = id(&alice.place("k", &order(&[(1, 1)])).await.json());
    let (by, now) = (Actor::Customer(app.customer_id("alice").await), app.clock.now());
    let begin = |tx: &mut Tx<'_>| service::payments::begin(tx, order_id(&placed), by, Channel::Page, now, now);
    app.app.store.write(MerchantId(1), begin).unwrap();
    let cancelled = alice.post(&format!("/orders/{placed}/cancel"), &json!({ "reason": "changed_mind" })).await;
    assert_eq!(cancelled.status, 200, "{}", cancelled.text);
    let asked_at = "payments WHERE state = 'closed' AND check_at = expires_at + interval '1 minute'";
    assert_eq!(app.count(asked_at), 1);
    app.clock.advance(TimeDelta::minutes(16));
    let (inner, now) = (app.app.clone(), app.clock.now());
    spawn_blocking(move || inner.jobs.run(now)).await.unwrap();
    assert_eq!(app.count("payments WHERE state = 'closed' AND check_at IS NULL"), 1, "that was the last time");
}

/// Under another number it would be another refund: money would go back twice.
#[actix_web::test]
async fn a_refund_keeps_its_number_until_its_gateway_has_given_up() {
    let app = TestApp::start();
    let alice = app.customer("alice").await;
    let placed = id(&alice.place("k", &order(&[(1, 1)])).await.json());
    pay(&app, &placed, "10.00", "t").unwrap();
    alice.post(&format!("/orders/{placed}/cancel"), &json!({ "reason": "changed_mind" })).await;
    let id = RefundId(the_id(&app, "SELECT id::text AS value FROM refunds"));
    let now = app.clock.now();
    for (state, round) in [(RefundState::Abnormal, 1), (RefundState::Failed, 2), (RefundState::Abnormal, 2)] {
        app.execute(&format!("UPDATE refunds SET state = '{}'", state.name()));
        let again = |tx: &mut Tx<'_>| service::refunds::put_in_again(tx, id, Actor::Timer, 12, now);
        let refund = app.app.store.write(MerchantId(1), again);
        assert_eq!(refund.unwrap().round, round, "after {state:?}");
    }
}
