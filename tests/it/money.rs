//! Money, points and votes that follow an order: once each, whatever races.

use std::collections::BTreeMap;
use std::sync::Arc;

use insta::assert_snapshot;
use reqwest::StatusCode;
use rowlock::domain::payment::PaymentState;
use rowlock::domain::{MerchantId, PaymentId};
use rowlock::error::Error;
use rowlock::service::payments::{Confirmation, Settled, confirm};
use serde_json::{Value, json};

use crate::harness::{TestApp, confirmation, number, order, words};
use crate::moves::id;

/// Confirms a payment, as a gateway does.
pub(crate) fn pay(app: &TestApp, order: &str, amount: &str, transaction: &str) -> Result<Settled, Error> {
    let confirmation = confirmation(app, order, amount, transaction);
    let now = app.clock.now();
    app.app.store.write(MerchantId(1), |tx| confirm(tx, &confirmation, now))
}

/// Gives a customer of shop 1 points.
pub(crate) fn give_points(app: &TestApp, customer: uuid::Uuid, points: i64) {
    app.execute(&format!(
        "INSERT INTO accounts (merchant_id, id, kind, customer_id, balance, created_at)
             VALUES (1, '{customer}', 'points', '{customer}', {points}, '2026-01-01Z');
         INSERT INTO entries (merchant_id, account_id, cause, delta, balance, actor, made_at)
             VALUES (1, '{customer}', 'correction gift', {points}, {points}, 'test', '2026-01-01Z')"
    ));
}

pub(crate) fn balance(app: &TestApp, kind: &str) -> i64 {
    let sql = format!("SELECT coalesce(sum(balance), 0)::bigint AS value FROM accounts WHERE kind = '{kind}'");
    number(&mut app.conn(), &sql)
}

fn entries(app: &TestApp) -> Vec<String> {
    let sql = "SELECT delta || ' ' || regexp_replace(cause, '[0-9a-f-]{36}', 'X') AS value FROM entries ORDER BY made_at, cause, delta";
    words(&mut app.conn(), sql)
}

fn refunds(app: &TestApp) -> Vec<String> {
    words(&mut app.conn(), "SELECT amount || ' ' || state || ' ' || reason AS value FROM refunds ORDER BY amount")
}

#[actix_web::test]
async fn a_payment_counts_once_however_many_tell_of_it() {
    let app = TestApp::start();
    let alice = app.customer("alice").await;
    app.execute(
        "UPDATE merchants SET points_earned_per_yuan = 2, points_earned_on = 'paid';
                 UPDATE goods SET grant_kind = 'votes', grant_per_unit = 5 WHERE id = 1",
    );
    let order = id(&alice.place("k", &order(&[(1, 3)])).await.json());
    let outcomes: Vec<Settled> = std::thread::scope(|scope| {
        let tell = || pay(&app, &order, "30.00", "wx-1").unwrap();
        let threads: Vec<_> = (0..20).map(|_| scope.spawn(tell)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(outcomes.iter().filter(|settled| **settled == Settled::Now(PaymentState::Paid)).count(), 1);
    assert_eq!(outcomes.iter().filter(|settled| **settled == Settled::KnownBefore).count(), 19);
    assert_eq!((balance(&app, "votes"), balance(&app, "points")), (15, 60));
    assert_eq!(entries(&app), ["60 order X earned", "15 order X granted"]);
    assert_eq!(app.count("payments WHERE state = 'paid'"), 1);
    let shown = alice.get(&format!("/orders/{order}")).await.json();
    assert_eq!((&shown["state"], &shown["accept_by"]), (&json!("pending_accept"), &json!("2026-11-21T04:10:00Z")));
}

#[actix_web::test]
async fn money_that_does_not_fit_is_owed_back() {
    let app = TestApp::start();
    let alice = app.customer("alice").await;
    let one = id(&alice.place("one", &order(&[(1, 1)])).await.json());
    assert_eq!(pay(&app, &one, "9.99", "t1").unwrap(), Settled::Now(PaymentState::PaidMismatch));
    assert_eq!(alice.get(&format!("/orders/{one}")).await.json()["state"], "pending_payment");
    assert_eq!(pay(&app, &one, "10.00", "t2").unwrap(), Settled::Now(PaymentState::Paid));
    assert_eq!(pay(&app, &one, "10.00", "t3").unwrap(), Settled::Now(PaymentState::PaidDuplicate));
    assert_eq!(pay(&app, &one, "10.00", "t3").unwrap(), Settled::KnownBefore);
    let two = id(&alice.place("two", &order(&[(1, 2)])).await.json());
    assert_eq!(pay(&app, &two, "20.00", "t2").unwrap(), Settled::KnownBefore, "the number is another order's");
    alice.post(&format!("/orders/{two}/cancel"), &json!({ "reason": "changed_mind" })).await;
    assert_eq!(pay(&app, &two, "20.00", "t4").unwrap(), Settled::Now(PaymentState::PaidLate));
    assert_eq!(alice.get(&format!("/orders/{two}")).await.json()["state"], "cancelled");
    let now = app.clock.now();
    let unknown = Confirmation { payment: PaymentId(uuid::Uuid::nil()), ..confirmation(&app, &one, "1.00", "t5") };
    let refused = app.app.store.write(MerchantId(1), |tx| confirm(tx, &unknown, now));
    assert!(matches!(refused, Err(Error::NotFound)));
    assert_eq!(
        refunds(&app),
        ["9.99 due payment_not_wanted", "10.00 due payment_not_wanted", "20.00 due payment_not_wanted"]
    );
    assert_eq!(app.stock(1), 99);
}

/// Pay and cancel at once, thirty times: whichever wins, the other finds it so; stock and money follow.
#[actix_web::test]
async fn pay_and_cancel_never_both_win() {
    let app = Arc::new(TestApp::start());
    let alice = app.customer("alice").await;
    let (mut paid, mut late) = (0, 0);
    for round in 0..30 {
        let order = id(&alice.place(&format!("k{round}"), &order(&[(1, 1)])).await.json());
        let (path, why) = (format!("/orders/{order}/cancel"), json!({ "reason": "changed_mind" }));
        let cancel = alice.post(&path, &why);
        let (payer, transaction) = (Arc::clone(&app), format!("t{round}"));
        let paying = order.clone();
        let pay = actix_web::rt::task::spawn_blocking(move || pay(&payer, &paying, "10.00", &transaction).unwrap());
        let (cancel, settled) = tokio::join!(cancel, pay);
        match settled.unwrap() {
            // The customer may still cancel what is paid and not accepted; then the money goes back.
            Settled::Now(PaymentState::Paid) => paid += 1,
            Settled::Now(PaymentState::PaidLate) => late += 1,
            other => panic!("{other:?}"),
        }
        assert_eq!(cancel.status, StatusCode::OK, "{}", cancel.text);
        assert_eq!(alice.get(&format!("/orders/{order}")).await.json()["state"], "cancelled");
    }
    assert_eq!((paid + late, app.stock(1)), (30, 100));
    let back = number(&mut app.conn(), "SELECT sum(amount)::bigint AS value FROM refunds");
    assert_eq!(back, 300);
}

#[actix_web::test]
async fn points_pay_and_come_back() {
    let app = TestApp::start();
    let alice = app.customer("alice").await;
    let customer = app.customer_id("alice").await.0;
    let with = |points: i64, goods: i64, count: i64| {
        let mut body = order(&[(goods, count)]);
        body["points"] = json!(points);
        body
    };
    assert_eq!(alice.place("a", &with(1, 1, 1)).await.refusal(), (409, "points_not_taken".to_owned()));
    app.execute("UPDATE merchants SET points_per_yuan = 100");
    assert_eq!(alice.place("a", &with(1, 1, 1)).await.refusal(), (409, "too_few_points".to_owned()));
    give_points(&app, customer, 1_500);
    let answer = alice.place("a", &with(1_001, 1, 1)).await;
    assert_eq!(answer.refusal(), (409, "too_many_points".to_owned()));
    assert_eq!(answer.json()["points_max"], 1_000);
    assert_eq!(alice.place("a", &with(-1, 1, 1)).await.code(), "malformed_body");

    let part = alice.place("part", &with(250, 1, 1)).await.json();
    assert_eq!((&part["points_amount"], &part["total"]), (&json!("2.50"), &json!("7.50")));
    let whole = alice.place("whole", &with(1_000, 1, 1)).await.json();
    assert_eq!((&whole["total"], &whole["state"]), (&json!("0.00"), &json!("pending_accept")));
    assert_eq!(balance(&app, "points"), 250);
    assert_eq!(alice.place("more", &with(251, 1, 1)).await.json()["balance"], 250);
    // A repeat spends nothing.
    assert_eq!(alice.place("whole", &with(1_000, 1, 1)).await.status, StatusCode::OK);
    assert_eq!(balance(&app, "points"), 250);
    for order in [&part, &whole] {
        let path = format!("/orders/{}/cancel", id(order));
        assert_eq!(alice.post(&path, &json!({ "reason": "changed_mind" })).await.status, 200);
    }
    assert_eq!(balance(&app, "points"), 1_500);
    let mut expected: Vec<&str> = vec![
        "1500 correction gift",
        "-250 order X spent",
        "-1000 order X spent",
        "1000 order X spent back",
        "250 order X spent back",
    ];
    let mut found = entries(&app);
    found.sort();
    expected.sort_unstable();
    assert_eq!(found, expected);
}

/// A hundred orders at once want 27 points each of 1,000: 37 are placed, whatever lanes and groups they meet in.
async fn a_hundred_spenders(locking: &'static str) {
    let variables = vec![("ROWLOCK_PLACEMENT_LOCKING", locking), ("ROWLOCK_DATABASE_ATTEMPTS_MAX", "100")];
    let app = TestApp::with(crate::harness::Setup { variables, ..Default::default() });
    let other = app.beside(crate::harness::Setup::default());
    let alice = app.customer("alice").await;
    let there = alice.at(&other);
    app.execute("UPDATE merchants SET points_per_yuan = 100; UPDATE goods SET stock = 1000; UPDATE stock_moves SET delta = 1000");
    give_points(&app, app.customer_id("alice").await.0, 1_000);
    let orders = (0..100).map(|number| {
        let mut body = order(&[(number % 4 + 1, 1)]);
        body["points"] = json!(27);
        let at = if number % 2 == 0 { &alice } else { &there };
        at.send(&number.to_string(), &body)
    });
    let mut outcomes: BTreeMap<u16, usize> = BTreeMap::new();
    for answer in futures_util::future::join_all(orders).await {
        *outcomes.entry(answer.unwrap().status.as_u16()).or_default() += 1;
    }
    assert_eq!(outcomes, BTreeMap::from([(201, 37), (409, 63)]));
    assert_eq!(balance(&app, "points"), 1_000 - 37 * 27);
}

#[actix_web::test]
async fn a_balance_is_spent_to_its_end_and_no_further() {
    a_hundred_spenders("pessimistic").await;
}

#[actix_web::test]
async fn nor_in_the_optimistic_way() {
    a_hundred_spenders("optimistic").await;
}

/// What nothing is left to pay of counts as paid when the restaurant takes it on; what is to be paid in cash does not.
#[actix_web::test]
async fn an_order_that_costs_nothing_counts_when_it_is_accepted() {
    let app = TestApp::start();
    let (alice, owner) = (app.customer("alice").await, app.staff("owner").await);
    app.execute(
        "UPDATE merchants SET points_per_yuan = 100; UPDATE goods SET grant_kind = 'votes', grant_per_unit = 5 WHERE id = 1",
    );
    give_points(&app, app.customer_id("alice").await.0, 1_000);
    let mut cash = order(&[(1, 1)]);
    cash["pay_method"] = json!("cash");
    let mut free = cash.clone();
    free["points"] = json!(1_000);
    for (key, body, votes) in [("free", free, 5), ("cash", cash, 5)] {
        let placed = id(&alice.place(key, &body).await.json());
        let accepted = owner.post(&format!("/orders/{placed}/accept"), &json!({})).await;
        assert_eq!((accepted.status.as_u16(), balance(&app, "votes")), (200, votes), "{key}");
        // Nor is there anything to collect of it before it is handed over.
        if key == "free" {
            let collected = owner.post(&format!("/orders/{placed}/collect"), &json!({})).await;
            assert_eq!(collected.refusal(), (409, "nothing_to_collect".to_owned()));
        }
        assert_eq!(owner.post(&format!("/orders/{placed}/ready"), &json!({})).await.status, 200);
        let completed = owner.post(&format!("/orders/{placed}/complete"), &json!({})).await;
        assert_eq!(completed.status.is_success(), key == "free", "{}", completed.text);
        if key == "cash" {
            for expected in [200, 409] {
                let collected = owner.post(&format!("/orders/{placed}/collect"), &json!({})).await;
                assert_eq!(collected.status.as_u16(), expected, "{}", collected.text);
            }
        }
    }
}

#[actix_web::test]
async fn grants_go_to_their_accounts_and_back() {
    let app = TestApp::start();
    let (alice, owner) = (app.customer("alice").await, app.staff("owner").await);
    app.execute(
        "INSERT INTO accounts (merchant_id, id, kind, name, created_at) VALUES
             (1, '00000000-0000-0000-0000-000000000007', 'votes', 'Candidate 7', '2026-01-01Z');
         UPDATE goods SET grant_account_id = '00000000-0000-0000-0000-000000000007', grant_per_unit = 3 WHERE id IN (1, 2);
         UPDATE goods SET grant_kind = 'tips', grant_per_unit = 50 WHERE id = 3",
    );
    let placed = id(&alice.place("k", &order(&[(1, 2), (2, 1), (3, 1)])).await.json());
    // What the goods grant later is for later orders.
    app.execute("UPDATE goods SET grant_per_unit = 1000 WHERE id = 1");
    assert_eq!((balance(&app, "votes"), balance(&app, "tips")), (0, 0));
    pay(&app, &placed, "70.00", "t").unwrap();
    assert_eq!((balance(&app, "votes"), balance(&app, "tips")), (9, 50));
    // Somebody spends two of the votes; what is left goes back with the order, no more.
    app.execute(
        "UPDATE accounts SET balance = 7 WHERE kind = 'votes';
         INSERT INTO entries (merchant_id, account_id, cause, delta, balance, actor, made_at)
             VALUES (1, '00000000-0000-0000-0000-000000000007', 'correction x', -2, 7, 'test', '2026-01-01Z')",
    );
    let reject = owner.post(&format!("/orders/{placed}/reject"), &json!({ "reason": "closing" })).await;
    assert_eq!(reject.status, 200, "{}", reject.text);
    assert_eq!((balance(&app, "votes"), balance(&app, "tips")), (0, 0));
    assert_eq!(refunds(&app), ["70.00 due closing"]);
}

/// Who has spent the points that an order brought does not get its money back by cancelling it: they would have the points for nothing.
#[actix_web::test]
async fn points_that_an_order_brought_are_not_spent_and_cancelled() {
    let app = TestApp::start();
    let (alice, owner) = (app.customer("alice").await, app.staff("owner").await);
    app.execute("UPDATE merchants SET points_per_yuan = 1, points_earned_per_yuan = 1, points_earned_on = 'paid'");
    let first = id(&alice.place("first", &order(&[(1, 2)])).await.json());
    pay(&app, &first, "20.00", "t1").unwrap();
    assert_eq!(balance(&app, "points"), 20);
    let mut body = order(&[(1, 1)]);
    body["points"] = json!(10);
    let second = id(&alice.place("second", &body).await.json());
    let cancel =
        async |id: &str| alice.post(&format!("/orders/{id}/cancel"), &json!({ "reason": "changed_mind" })).await;
    assert_eq!(cancel(&first).await.refusal(), (409, "points_spent".to_owned()));
    assert_eq!((balance(&app, "points"), refunds(&app)), (10, vec![]));
    // What was spent comes back, and then the first one can go.
    assert_eq!(cancel(&second).await.status, 200);
    assert_eq!(cancel(&first).await.status, 200);
    assert_eq!((balance(&app, "points"), refunds(&app)), (0, vec!["20.00 due changed_mind".to_owned()]));

    let third = id(&alice.place("third", &order(&[(1, 2)])).await.json());
    pay(&app, &third, "20.00", "t3").unwrap();
    alice.place("fourth", &body).await;
    let reject = owner.post(&format!("/orders/{third}/reject"), &json!({ "reason": "closing" })).await;
    assert_eq!(reject.status, 200, "the restaurant takes back what is there: {}", reject.text);
    assert_eq!(balance(&app, "points"), 0);
}

#[actix_web::test]
async fn refunds_whole_in_part_and_by_lines() {
    let app = TestApp::start();
    let (alice, manager) = (app.customer("alice").await, app.staff("manager").await);
    app.execute(
        "UPDATE merchants SET points_per_yuan = 100, points_earned_per_yuan = 1, points_earned_on = 'completed'",
    );
    give_points(&app, app.customer_id("alice").await.0, 1_000);
    // Three of 10 and one of 20 yuan; ten yuan in points take a fifth off each.
    let mut body = order(&[(1, 3), (2, 1)]);
    body["points"] = json!(1_000);
    let placed = id(&alice.place("k", &body).await.json());
    let path = format!("/orders/{placed}/refunds");
    let refund = async |body: Value| manager.post(&path, &body).await;
    assert_eq!(refund(json!({ "reason": "bad_quality" })).await.code(), "illegal_move", "it is not paid");
    pay(&app, &placed, "40.00", "t").unwrap();
    for step in ["accept", "ready", "complete"] {
        assert_eq!(manager.post(&format!("/orders/{placed}/{step}"), &json!({})).await.status, 200, "{step}");
    }
    assert_eq!(balance(&app, "points"), 40);
    let one = json!({ "reason": "bad_quality", "lines": [{ "goods_id": 1, "count": 1 }] });
    let answer = refund(one.clone()).await.json();
    assert_eq!((&answer["state"], &answer["lines"][0]["refunded_count"]), (&json!("completed"), &json!(1)));
    assert_eq!(balance(&app, "points"), 32);
    let too_many = json!({ "reason": "bad_quality", "lines": [{ "goods_id": 1, "count": 3 }] });
    assert_eq!(refund(too_many).await.code(), "invalid_field");
    let twice =
        json!({ "reason": "bad_quality", "lines": [{ "goods_id": 1, "count": 1 }, { "goods_id": 1, "count": 1 }] });
    assert_eq!(refund(twice).await.code(), "invalid_field");
    assert_eq!(refund(json!({ "reason": "other", "note": "kind", "amount": "0.01" })).await.status, 200);
    let answer = refund(json!({ "reason": "bad_quality", "amount": "32.00" })).await;
    assert_eq!((answer.code(), answer.json()["left"].clone()), ("refund_too_large".to_owned(), json!("31.99")));
    assert_eq!(refund(json!({ "reason": "bad_quality", "amount": "0.00" })).await.code(), "invalid_field");
    assert_eq!(refund(json!({ "reason": "bad_quality", "amount": "-1" })).await.code(), "malformed_body");
    assert_eq!(refund(json!({ "reason": "bad_quality", "amount": "1.00", "lines": [] })).await.code(), "invalid_field");
    assert_eq!(refund(json!({ "reason": "bad_quality" })).await.status, 200);
    assert_eq!(refund(json!({ "reason": "bad_quality" })).await.code(), "invalid_field", "nothing is left");
    assert_eq!(refunds(&app), ["0.01 due other", "8.00 due bad_quality", "31.99 due bad_quality"]);
    assert_eq!(balance(&app, "points"), 0, "what the money earned went with it");
    assert_snapshot!(crate::moves::history(&app, &placed), @"
    1 pay pending_payment -> pending_accept by gateway
    2 accept pending_accept -> accepted by staff
    3 ready accepted -> ready by staff
    4 complete ready -> completed by staff
    5 refund completed -> completed by staff, bad_quality
    6 refund completed -> completed by staff, other: kind
    7 refund completed -> completed by staff, bad_quality
    ");
}

/// A refund whose answer was lost is asked for again: under its key it is the same one.
#[actix_web::test]
async fn a_refund_is_made_once_a_key() {
    let app = TestApp::start();
    let (alice, manager) = (app.customer("alice").await, app.staff("manager").await);
    let placed = id(&alice.place("k", &order(&[(1, 2)])).await.json());
    pay(&app, &placed, "20.00", "t").unwrap();
    manager.post(&format!("/orders/{placed}/accept"), &json!({})).await;
    let path = format!("/orders/{placed}/refunds");
    let body = json!({ "reason": "bad_quality", "amount": "3.00" });
    let answers = futures_util::future::join_all((0..8).map(|_| manager.post_once("again", &path, &body))).await;
    assert!(answers.iter().all(|answer| answer.status == 200), "{}", answers[0].text);
    let other = [
        json!({ "reason": "bad_quality", "amount": "4.00" }),
        json!({ "reason": "bad_quality", "lines": [{ "goods_id": 1, "count": 1 }] }),
        json!({ "reason": "bad_quality" }),
        json!({ "reason": "too_busy", "amount": "3.00" }),
    ];
    let is_reused = (422, "idempotency_key_reused".to_owned());
    for other in &other {
        assert_eq!(manager.post_once("again", &path, other).await.refusal(), is_reused, "{other}");
    }
    let nameless = crate::clients::Answer::of(manager.request(reqwest::Method::POST, &path).json(&body)).await;
    assert_eq!(nameless.refusal(), (400, "idempotency_key_missing".to_owned()));
    // Of one that was made before the request was kept with it, the amount is all that there is to tell.
    app.execute("UPDATE refunds SET request_hash = NULL");
    assert_eq!(manager.post_once("again", &path, &other[0]).await.refusal(), is_reused);
    for same in [&body, &other[1]] {
        assert_eq!(manager.post_once("again", &path, same).await.status, 200);
    }
    assert_eq!(refunds(&app), ["3.00 due bad_quality"]);
    assert_eq!(app.count("staff_actions WHERE action = 'refund'"), 1);
}

/// What came with the money goes with the money: earned before or after a part of it went back, or granted by the goods.
#[actix_web::test]
async fn nothing_is_left_of_what_was_paid_back_whole() {
    let app = TestApp::start();
    let (alice, manager) = (app.customer("alice").await, app.staff("manager").await);
    app.execute(
        "UPDATE merchants SET points_earned_per_yuan = 1, points_earned_on = 'completed';
         UPDATE goods SET grant_kind = 'points', grant_per_unit = 1000 WHERE id = 2;
         UPDATE goods SET grant_kind = 'votes', grant_per_unit = 7 WHERE id = 3",
    );
    let placed = id(&alice.place("k", &order(&[(1, 5), (2, 1), (3, 1)])).await.json());
    let path = format!("/orders/{placed}/refunds");
    let refund = async |amount: &str| {
        let answer = manager.post(&path, &json!({ "reason": "bad_quality", "amount": amount })).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    };
    pay(&app, &placed, "100.00", "t").unwrap();
    manager.post(&format!("/orders/{placed}/accept"), &json!({})).await;
    assert_eq!((balance(&app, "points"), balance(&app, "votes")), (1000, 7));
    refund("10.00").await;
    assert_eq!((balance(&app, "points"), balance(&app, "votes")), (900, 7), "rounded in the customer's favour");
    // The merchant changes its mind on when points are earned: they come once all the same.
    app.execute("UPDATE merchants SET points_earned_on = 'paid'");
    for step in ["ready", "complete"] {
        assert_eq!(manager.post(&format!("/orders/{placed}/{step}"), &json!({})).await.status, 200);
    }
    assert_eq!(balance(&app, "points"), 990);
    for _ in 0..9 {
        refund("10.00").await;
    }
    assert_eq!((balance(&app, "points"), balance(&app, "votes")), (0, 0));
}

/// Ten managers pay the same order back at once: no more goes back than came in.
#[actix_web::test]
async fn refunds_that_race_share_what_there_is() {
    let app = TestApp::start();
    let (alice, manager) = (app.customer("alice").await, app.staff("manager").await);
    let placed = id(&alice.place("k", &order(&[(1, 1)])).await.json());
    pay(&app, &placed, "10.00", "t").unwrap();
    manager.post(&format!("/orders/{placed}/accept"), &json!({})).await;
    let path = format!("/orders/{placed}/refunds");
    let body = json!({ "reason": "bad_quality", "amount": "3.00" });
    let answers = futures_util::future::join_all((0..10).map(|_| manager.post(&path, &body))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 3);
    assert!(answers.iter().filter(|answer| answer.status != 200).all(|answer| answer.code() == "refund_too_large"));
}
