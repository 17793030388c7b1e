//! What people complain of in today's order engines, a test for each family, named as the complaint is: over HTTP, many at once, at two
//! instances on one database.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::TimeDelta;
use diesel::connection::SimpleConnection;
use futures_util::future::join_all;
use rand::seq::SliceRandom;
use reqwest::Method;
use rowlock::placement::Point;
use serde_json::{Value, json};

use crate::clients::{Answer, Customer};
use crate::harness::{Freezer, Setup, TestApp, TestDatabase, number, order, until, words};
use crate::money::{balance, give_points};
use crate::moves::id;
use crate::payments::{attempt, let_refunds_end, pass, press, refunds, state, switch};
use crate::redis_server::TestRedis;
use crate::sharding::{logged, work};

/// How often each status was answered.
fn tally(answers: &[Answer]) -> BTreeMap<u16, usize> {
    let mut tally = BTreeMap::new();
    answers.iter().for_each(|answer| *tally.entry(answer.status.as_u16()).or_default() += 1);
    tally
}

fn set_stock(app: &TestApp, goods: i64, stock: i64) {
    app.execute(&format!(
        "UPDATE goods SET stock = {stock} WHERE id = {goods}; UPDATE stock_moves SET delta = {stock} WHERE goods_id = {goods}"
    ));
}

#[actix_web::test]
async fn the_last_unit_is_sold_once() {
    let app = TestApp::start();
    let other = app.beside(Setup::default());
    set_stock(&app, 1, 1);
    let names: Vec<String> = (0..60).map(|number| format!("customer {number}")).collect();
    let customers = join_all(names.iter().map(|name| app.customer(name))).await;
    let body = order(&[(1, 1)]);
    let at = |number: usize| if number.is_multiple_of(2) { &app } else { &other };
    let placing = customers.iter().enumerate().map(|(number, who)| who.at(at(number)).send("key", &body));
    let answers: Vec<Answer> = join_all(placing).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(tally(&answers), BTreeMap::from([(201, 1), (409, 59)]));
    for refused in answers.iter().filter(|answer| answer.status == 409) {
        assert_eq!((refused.code().as_str(), &refused.json()["short"][0]["left"]), ("out_of_stock", &json!(0)));
    }
    assert_eq!((app.stock(1), app.count("orders")), (0, 1));
}

/// Two lines of the same goods want what they want together.
#[actix_web::test]
async fn the_same_goods_on_two_lines_are_one_demand() {
    let app = TestApp::start();
    set_stock(&app, 1, 3);
    let alice = app.customer("alice").await;
    let refused = alice.place("four", &order(&[(1, 2), (2, 1), (1, 2)])).await;
    assert_eq!(refused.refusal(), (409, "out_of_stock".into()));
    assert_eq!(refused.json()["short"].as_array().unwrap().len(), 1);
    assert_eq!((app.stock(1), app.stock(2)), (3, 100), "all of it, or nothing");
    let two_lines = order(&[(1, 1), (1, 1)]);
    let both = ["a", "b", "c", "d"].map(|key| alice.send(key, &two_lines));
    let answers: Vec<Answer> = join_all(both).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(tally(&answers), BTreeMap::from([(201, 1), (409, 3)]), "three hold one pair");
    let placed = answers.iter().find(|answer| answer.status == 201).unwrap().json();
    assert_eq!((placed["lines"].as_array().unwrap().len(), &placed["lines"][0]["count"]), (1, &json!(2)));
    assert_eq!(app.stock(1), 1);
}

/// Whoever takes or returns the same goods, in whatever order they name them, takes turns.
#[actix_web::test]
async fn no_order_of_lines_deadlocks() {
    let app = TestApp::start();
    let other = app.beside(Setup::default());
    for goods in 1..=5 {
        set_stock(&app, goods, 10_000);
    }
    let (alice, manager) = (app.customer("alice").await, app.staff("manager").await);
    let elsewhere = alice.at(&other);
    let shuffled = || {
        let mut goods = vec![1, 2, 3, 4, 5];
        goods.shuffle(&mut rand::rng());
        order(&goods.into_iter().map(|goods| (goods, 1)).collect::<Vec<_>>())
    };
    let bodies: Vec<Value> = (0..80).map(|_| shuffled()).collect();
    let early =
        join_all(bodies[..40].iter().enumerate().map(|(key, body)| alice.send(&format!("early-{key}"), body))).await;
    let early: Vec<String> = early.into_iter().map(|answer| id(&answer.unwrap().json())).collect();
    // Orders, cancellations, counts and the menu's own order, all at once.
    let placing =
        bodies.iter().enumerate().map(|(key, body)| [&alice, &elsewhere][key % 2].send(&key.to_string(), body));
    let cancelling = early.iter().map(|order| {
        let path = format!("/orders/{order}/cancel");
        Answer::of(alice.request(Method::POST, &path).json(&json!({ "reason": "changed_mind" })))
    });
    let counting = (0..20).map(|number| {
        let path = format!("/goods/{}/stock-moves", 5 - number % 5);
        Answer::of(manager.request(Method::POST, &path).json(&json!({ "delta": 1, "reason": "count" })))
    });
    let orders =
        ["[6,5,4,3,2,1]", "[1,2,3,4,5,6]"].map(|ids| json!({ "ids": serde_json::from_str::<Value>(ids).unwrap() }));
    let sorting = (0..10).map(|number| manager.put("/products/1/goods/order", &orders[number % 2]));
    let (placed, cancelled, counted, sorted) =
        tokio::join!(join_all(placing), join_all(cancelling), join_all(counting), join_all(sorting));
    let placed = placed.into_iter().map(Result::unwrap);
    for answer in placed.chain(cancelled).chain(counted).chain(sorted) {
        assert!(answer.status.is_success(), "{}", answer.text);
    }
    for instance in [&app, &other] {
        let none = "rowlock_transaction_retries_total{code=\"deadlock\"} 0\n";
        assert!(instance.app.metrics.render().contains(none), "goods are locked in order");
    }
}

/// The order is there before its money can be, so that whoever has paid has one, be the gateway mute and the customer gone.
#[actix_web::test]
async fn whoever_has_paid_has_an_order() {
    let app = TestApp::start();
    switch(&app, json!({ "never_call": true })).await;
    let one = attempt(&app.customer("alice").await, "one").await;
    press(&app, &one.number, "pay").await;
    assert_eq!(words(&mut app.conn(), &state(&one)), ["pending_payment"]);
    // At the very last moment before it would be called off.
    pass(&app, TimeDelta::minutes(15)).await;
    pass(&app, TimeDelta::zero()).await;
    assert_eq!(words(&mut app.conn(), &state(&one)), ["pending_accept"]);
    assert_eq!((app.count("payments WHERE state = 'paid'"), app.count("refunds")), (1, 0));
}

#[actix_web::test]
async fn a_webhook_may_race_the_clients_own_question() {
    let app = TestApp::start();
    let other = app.beside(Setup::default());
    app.execute("UPDATE merchants SET points_earned_per_yuan = 1, points_earned_on = 'paid'");
    let alice = app.customer("alice").await;
    let elsewhere = alice.at(&other);
    switch(&app, json!({ "repeat": true })).await;
    for round in 1..=5 {
        let one = attempt(&alice, &format!("round-{round}")).await;
        let mut holder = app.conn();
        holder.batch_execute(&format!("BEGIN; SELECT FROM orders WHERE id = '{}' FOR UPDATE", one.order)).unwrap();
        press(&app, &one.number, "pay").await;
        let path = format!("/orders/{}/payments/{}/check", one.order, one.payment);
        let asking: Vec<_> = (0..6)
            .map(|number| {
                actix_web::rt::spawn(Answer::of([&alice, &elsewhere][number % 2].request(Method::POST, &path)))
            })
            .collect();
        // The gateway's word and a client's question have both come as far as the order's row.
        let waiting = "SELECT count(*) AS value FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        until(|| number(&mut app.conn(), waiting) >= 2).await;
        holder.batch_execute("COMMIT").unwrap();
        for answer in join_all(asking).await {
            let answer = answer.unwrap();
            assert!(answer.status == 200 || answer.status == 503, "{}", answer.text);
        }
        crate::payments::until(&app, &state(&one), "pending_accept").await;
        let paid = "SELECT count(*) || ' ' || (SELECT count(*) FROM order_events WHERE move = 'pay') || ' ' || (SELECT count(*) FROM entries)
            AS value FROM payments WHERE state = 'paid'";
        assert_eq!(words(&mut app.conn(), paid), [format!("{round} {round} {round}")]);
    }
    assert_eq!((balance(&app, "points"), app.count("refunds")), (100, 0));
}

#[actix_web::test]
async fn a_double_click_places_one_order() {
    let app = TestApp::start();
    let other = app.beside(Setup::default());
    let alice = app.customer("alice").await;
    let elsewhere = alice.at(&other);
    let body = order(&[(1, 100)]);
    let answers =
        join_all((0..50).map(|number| if number % 2 == 0 { &alice } else { &elsewhere }.place("key", &body))).await;
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status.as_u16()).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 49, "{statuses:?}");
    let texts: BTreeSet<&str> = answers.iter().map(|answer| answer.text.as_str()).collect();
    assert_eq!(texts.len(), 1);
    assert_eq!((app.count("orders"), app.stock(1)), (1, 0));
}

/// Money that comes for an order that was cancelled, or that nobody paid in time, goes back by itself, once.
#[actix_web::test]
async fn money_after_cancel_or_expiry_goes_back_once() {
    let app = TestApp::start();
    let alice = app.customer("alice").await;
    let (cancelled, expired) = (attempt(&alice, "cancelled").await, attempt(&alice, "expired").await);
    let path = format!("/orders/{}/cancel", cancelled.order);
    assert_eq!(alice.post(&path, &json!({ "reason": "changed_mind" })).await.status, 200);
    pass(&app, TimeDelta::minutes(15)).await;
    pass(&app, TimeDelta::minutes(1)).await;
    assert_eq!(app.stock(1), 100);
    switch(&app, json!({ "pay_late": true, "repeat": true })).await;
    for late in [&cancelled, &expired] {
        press(&app, &late.number, "pay").await;
    }
    until(|| app.count("refunds") == 2).await;
    let_refunds_end(&app).await;
    assert_eq!(refunds(&app), ["succeeded 20.00 payment_not_wanted"; 2]);
    for late in [&cancelled, &expired] {
        assert_eq!(words(&mut app.conn(), &state(late)), ["cancelled"]);
    }
    assert_eq!((app.stock(1), app.count("order_events WHERE move = 'pay'")), (100, 0));
}

#[actix_web::test]
async fn points_are_spent_once() {
    let app = TestApp::start();
    let other = app.beside(Setup::default());
    let alice = app.customer("alice").await;
    let elsewhere = alice.at(&other);
    app.execute("UPDATE merchants SET points_per_yuan = 100");
    give_points(&app, app.customer_id("alice").await.0, 1_000);
    for round in 0..2 {
        // Different goods, so that nothing but the points keeps them apart.
        let placing = (0..20).map(|number| {
            let mut body = order(&[(1 + i64::from(number) % 3, 1)]);
            body["points"] = json!(1_000);
            [&alice, &elsewhere][usize::from(number % 2 == 0)].send(&format!("{round}-{number}"), &body)
        });
        let answers: Vec<Answer> = join_all(placing).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(tally(&answers), BTreeMap::from([(201, 1), (409, 19)]), "round {round}");
        assert_eq!(balance(&app, "points"), 0);
        // Who calls it off has them back, and so once more, however often they say it.
        let path =
            format!("/orders/{}/cancel", id(&answers.iter().find(|answer| answer.status == 201).unwrap().json()));
        let body = json!({ "reason": "changed_mind" });
        let cancelled = join_all((0..10).map(|_| alice.post(&path, &body))).await;
        assert_eq!(tally(&cancelled)[&200], 1, "{cancelled:?}");
        assert_eq!(balance(&app, "points"), 1_000);
    }
}

/// What holds the last unit is the buyer's own order: they can repeat it, pay it, or call it off and order otherwise.
#[actix_web::test]
async fn nobody_is_blocked_by_their_own_hold() {
    let app = TestApp::start();
    set_stock(&app, 1, 1);
    let (alice, bob) = (app.customer("alice").await, app.customer("bob").await);
    let body = order(&[(1, 1)]);
    assert_eq!(alice.put("/cart/lines/1", &json!({ "count": 1 })).await.status, 200);
    let placed = alice.place("key", &body).await;
    assert_eq!((placed.status.as_u16(), bob.place("key", &body).await.code()), (201, "out_of_stock".into()));
    let again = join_all((0..10).map(|_| alice.place("key", &body))).await;
    assert!(again.iter().all(|answer| answer.status == 200 && answer.text == placed.text), "{again:?}");
    let cancel = |placed: &Answer| format!("/orders/{}/cancel", id(&placed.json()));
    assert_eq!(alice.post(&cancel(&placed), &json!({ "reason": "ordered_by_mistake" })).await.status, 200);
    let mut from_cart = body.clone();
    from_cart["lines"] = json!("cart");
    let placed = alice.place("another", &from_cart).await;
    assert_eq!(placed.status, 201, "{}", placed.text);
    let path = format!("/orders/{}/payments", id(&placed.json()));
    // Another device of hers begins to pay, and another channel.
    let started = join_all((0..5).map(|_| async { alice.post(&path, &json!({})).await })).await;
    let payments: BTreeSet<String> = started.iter().map(|answer| answer.json()["payment"]["id"].to_string()).collect();
    assert_eq!(payments.len(), 1, "{started:?}");
    press(&app, started[0].json()["payment"]["id"].as_str().unwrap().replace('-', "").as_str(), "pay").await;
    crate::payments::until(&app, "SELECT state AS value FROM orders WHERE state <> 'cancelled'", "pending_accept")
        .await;
    assert_eq!(app.stock(1), 0);
}

/// Deadlines are rows, so the instance that took the orders need not be there any more.
#[actix_web::test]
async fn unpaid_orders_give_their_stock_back() {
    let app = TestApp::start();
    set_stock(&app, 1, 4);
    let (alice, bob) = (app.customer("alice").await, app.customer("bob").await);
    // One that nobody began to pay, and one at whose gateway a payment is open.
    assert_eq!(alice.place("never", &order(&[(1, 2)])).await.status, 201);
    let opened = attempt(&alice, "opened").await;
    assert_eq!(bob.place("early", &order(&[(1, 1)])).await.code(), "out_of_stock");
    let others: Vec<TestApp> = (0..2).map(|_| app.beside(Setup::default())).collect();
    for minutes in [15, 1] {
        app.clock.advance(TimeDelta::minutes(minutes));
        let now = app.clock.now();
        let runs = others.iter().map(|other| {
            other.clock.advance(TimeDelta::minutes(minutes));
            let served = other.app.clone();
            actix_web::rt::task::spawn_blocking(move || served.jobs.run(now))
        });
        for run in join_all(runs).await {
            run.unwrap();
        }
    }
    assert_eq!(words(&mut app.conn(), &state(&opened)), ["cancelled"]);
    assert_eq!((app.stock(1), app.count("order_events WHERE move = 'cancel'")), (4, 2));
    assert_eq!(bob.place("late", &order(&[(1, 4)])).await.status, 201);
}

async fn edit_in_parallel(variables: Vec<(&'static str, &'static str)>) {
    let app = TestApp::with(Setup { variables: variables.clone(), ..Setup::default() });
    let other = app.beside(Setup { variables, ..Setup::default() });
    app.execute(
        "INSERT INTO goods (merchant_id, id, product_id, spec_zh, spec_en, price, stock, on_sale, position)
             SELECT 1, id, 1, id, id, 1, 0, true, id FROM generate_series(11, 50) id",
    );
    let alice = app.customer("alice").await;
    let devices = [alice.clone(), alice.at(&other)];
    assert_eq!(alice.put("/cart/lines/1", &json!({ "count": 1 })).await.status, 200);
    let edit = async |number: i64| {
        let device: &Customer<'_> = &devices[usize::from(number % 2 == 0)];
        let line = format!("/cart/lines/{number}");
        match number {
            11..=50 => device.put(&line, &json!({ "count": number })).await,
            51..=60 => device.put("/cart/selection", &json!({ "selected": number % 2 == 0 })).await,
            _ => Answer::of(device.request(Method::PATCH, "/cart/lines/1").json(&json!({ "count": number }))).await,
        }
    };
    let answers = join_all((11..=70).map(edit)).await;
    assert_eq!(tally(&answers), BTreeMap::from([(200, 60)]));
    let cart = alice.get("/cart").await.json();
    let lines: BTreeMap<i64, i64> = cart["lines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| (line["goods_id"].as_i64().unwrap(), line["count"].as_i64().unwrap()))
        .collect();
    assert_eq!(lines.keys().copied().collect::<Vec<_>>(), std::iter::once(1).chain(11..=50).collect::<Vec<_>>());
    assert!((11..=50).all(|goods| lines[&goods] == goods) && (61..=70).contains(&lines[&1]), "{lines:?}");
}

#[actix_web::test]
async fn parallel_edits_lose_no_lines_of_a_cart() {
    edit_in_parallel(Vec::new()).await;
    let redis = TestRedis::start();
    edit_in_parallel(vec![("REDIS_URL", redis.url().leak())]).await;
}

/// What a checkout costs is counted, not timed: the statements of an order are as many for fifty lines as for one, and a queue of such orders
/// shares them.
#[actix_web::test]
async fn a_large_checkout_takes_as_many_statements_as_a_small_one() {
    let database = TestDatabase::clone_of("template");
    database.conn().batch_execute(&format!("ALTER DATABASE {} SET log_statement = 'all'", database.name)).unwrap();
    let name = database.name.clone();
    // The first two orders go through; the third is held up until a queue has formed behind it.
    let freezer = Freezer::of(3, Point::Begun);
    let variables = vec![("ROWLOCK_PLACEMENT_MERCHANT_LANES", "1"), ("ROWLOCK_PLACEMENT_PATIENCE_MS", "10000")];
    let app =
        TestApp::with(Setup { probe: Some(freezer.probe.clone()), database: Some(Arc::new(database)), variables });
    app.execute(
        "INSERT INTO goods (merchant_id, id, product_id, spec_zh, spec_en, price, stock, on_sale, position)
             SELECT 1, id, 1, id, id, 1, 1000, true, id FROM generate_series(11, 60) id;
         INSERT INTO stock_moves (merchant_id, id, goods_id, delta, reason, actor, moved_at)
             SELECT 1, gen_random_uuid(), id, 1000, 'opening', 'test', '2026-01-01Z' FROM generate_series(11, 60) id",
    );
    let alice = app.customer("alice").await;
    let (small, large) = (order(&[(11, 1)]), order(&(11..=60).map(|goods| (goods, 1)).collect::<Vec<_>>()));
    let mut costs = Vec::new();
    for (key, body) in [("small", &small), ("large", &large)] {
        let before = logged(&name).len();
        let sent = alice.send(key, body);
        freezer.wait().await;
        freezer.release();
        assert_eq!(sent.await.unwrap().status, 201);
        costs.push(work(&logged(&name)[before..]).len());
    }
    assert_eq!(costs[0], costs[1], "whatever the number of lines");
    let before = logged(&name).len();
    let first = alice.send("first", &large);
    freezer.wait().await;
    let queue: Vec<_> = (0..40).map(|key| alice.send(&format!("queued-{key}"), &large)).collect();
    until(|| app.metric("rowlock_queue_orders") >= 40.0).await;
    freezer.release();
    for answer in join_all(queue.into_iter().chain([first])).await {
        assert_eq!(answer.unwrap().status, 201);
    }
    let queued = work(&logged(&name)[before..]).len();
    assert!(queued <= costs[1] * 3, "41 orders of 50 lines took {queued} statements, one takes {}", costs[1]);
    assert!(costs[1] < 15, "{costs:?}");
}
