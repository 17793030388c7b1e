//! Stock that the staff and the day change, and what is sold out.

use chrono::{NaiveDate, TimeDelta};
use futures_util::future::join_all;
use reqwest::Method;
use rowlock::domain::MerchantId;
use rowlock::error::Error;
use rowlock::service;
use rowlock::store::settings;
use serde_json::{Value, json};

use crate::clients::{Answer, Staff, all_at_once};
use crate::harness::{TestApp, number, order, words};

fn by(delta: i64) -> Value {
    json!({ "delta": delta, "reason": "delivery" })
}

async fn moves(staff: &Staff<'_>, goods: i64) -> Vec<Value> {
    let page = staff.get(&format!("/goods/{goods}/stock-moves?limit=100")).await.json();
    page["items"].as_array().unwrap().clone()
}

/// What a customer sees of goods.
async fn seen(app: &TestApp, id: i64) -> i64 {
    let menu = app.get("/v1/merchants/1/menu").await.json();
    let goods = menu["categories"][0]["products"][0]["goods"].as_array().unwrap().clone();
    goods.iter().find(|goods| goods["id"] == id).unwrap()["stock"].as_i64().unwrap()
}

#[actix_web::test]
async fn stock_moves_by_deltas_and_never_below_zero() {
    let app = TestApp::start();
    let manager = app.staff("manager").await;
    let path = "/goods/1/stock-moves";
    let delivered =
        manager.post(path, &json!({ "delta": 20, "reason": "delivery", "note": " two boxes\nfrom Li " })).await;
    assert_eq!(delivered.status, 201, "{}", delivered.text);
    let delivered = delivered.json();
    assert_eq!((&delivered["delta"], &delivered["note"]), (&json!(20), &json!("two boxes\nfrom Li")));
    assert!(delivered["actor"].as_str().unwrap().starts_with("staff "), "{delivered}");
    assert_eq!(app.stock(1), 120);
    let refused = manager.post(path, &by(-121)).await;
    assert_eq!(refused.refusal(), (409, "stock_too_low".into()));
    assert_eq!((&refused.json()["stock"], &refused.json()["field"]), (&json!(120), &json!("delta")));
    assert_eq!(manager.post(path, &json!({ "delta": -120, "reason": "waste" })).await.status, 201);
    assert_eq!(app.stock(1), 0);
    for (body, field) in [
        (by(0), "delta"),
        (by(10_000_001), "delta"),
        (json!({ "delta": 1, "reason": "opening" }), "reason"),
        (json!({ "delta": 1, "reason": "sold_out" }), "reason"),
        (json!({ "delta": 1, "reason": "other", "note": "x".repeat(201) }), "note"),
        (json!({ "delta": 1, "reason": "other", "note": "\u{0}" }), "note"),
    ] {
        let answer = manager.post(path, &body).await;
        assert_eq!(
            (answer.refusal(), &answer.json()["field"]),
            ((422, "invalid_field".into()), &json!(field)),
            "{body}"
        );
    }
    assert_eq!(manager.post(path, &by(10_000_000)).await.status, 201);
    assert_eq!(manager.post(path, &by(1)).await.refusal(), (422, "invalid_field".into()), "there is a limit");
    assert_eq!(manager.post(path, &by(3_000_000_000)).await.refusal(), (400, "malformed_body".into()));
    for strange in ["/goods/101/stock-moves", "/goods/999/stock-moves"] {
        assert_eq!(manager.post(strange, &by(1)).await.refusal(), (404, "not_found".into()));
        assert_eq!(manager.get(strange).await.refusal(), (404, "not_found".into()));
    }
}

#[actix_web::test]
async fn the_history_of_stock_is_read_by_pages() {
    let app = TestApp::start();
    let manager = app.staff("manager").await;
    for delta in 1..=7 {
        // Ids made of keys tell nothing of time.
        app.clock.advance(TimeDelta::milliseconds(if delta % 3 == 0 { 0 } else { 1 }));
        manager.post_once(&format!("k{delta}"), "/goods/1/stock-moves", &by(delta)).await;
    }
    let all = moves(&manager, 1).await;
    assert_eq!(all.len(), 8);
    assert_eq!(all[0]["delta"], 7);
    assert_eq!((&all[7]["reason"], &all[7]["delta"]), (&json!("opening"), &json!(100)));
    let mut paged = Vec::new();
    let mut path = "/goods/1/stock-moves?limit=3".to_owned();
    loop {
        let page = manager.get(&path).await.json();
        paged.extend(page["items"].as_array().unwrap().clone());
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("/goods/1/stock-moves?limit=3&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(paged, all);
    for query in ["limit=0", "limit=101", "cursor=x", "cursor=1-66", "cursor=", "page=2"] {
        let answer = manager.get(&format!("/goods/1/stock-moves?{query}")).await;
        assert_eq!(answer.refusal(), (400, "malformed_query".into()), "{query}");
    }
}

#[actix_web::test]
async fn a_key_moves_stock_once_however_often_it_is_sent() {
    let app = TestApp::start();
    let manager = app.staff("manager").await;
    let path = "/goods/1/stock-moves";
    let body = by(5);
    let requests = (0..12).map(|_| manager.posting("k", path, &body)).collect();
    let answers = all_at_once(&app, "SELECT FROM goods WHERE id = 1", requests).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
    for answer in &answers {
        assert!([200, 201].contains(&answer.status.as_u16()), "{}", answer.text);
        assert_eq!(answer.json(), answers[0].json());
    }
    assert_eq!((app.stock(1), moves(&manager, 1).await.len(), app.count("staff_actions")), (105, 2, 1));
    for other in
        [by(6), json!({ "delta": 5, "reason": "count" }), json!({ "delta": 5, "reason": "delivery", "note": "x" })]
    {
        let answer = manager.post_once("k", path, &other).await;
        assert_eq!(answer.refusal(), (422, "idempotency_key_reused".into()), "{other}");
    }
    assert_eq!(manager.post_once("k", "/goods/2/stock-moves", &body).await.status, 201, "of other goods");
    assert_eq!(manager.post_once("k2", path, &body).await.status, 201);
    assert_eq!(manager.post(path, &body).await.status, 201);
    assert_eq!(manager.post(path, &body).await.status, 201, "without a key it happens each time");
    assert_eq!(manager.post_once("two words", path, &body).await.refusal(), (400, "idempotency_key_malformed".into()));
    assert_eq!(app.stock(1), 120);
    // What a move has taken stays taken for its repeat.
    manager.post_once("all", path, &by(-120)).await;
    assert_eq!(manager.post_once("all", path, &by(-120)).await.status, 200);
}

#[actix_web::test]
async fn hands_and_customers_take_from_one_stock() {
    let app = TestApp::start();
    let (manager, alice) = (app.staff("manager").await, app.customer("alice").await);
    let (body, waste) = (order(&[(1, 3)]), by(-4));
    let keys: Vec<String> = (0..30).map(|key| key.to_string()).collect();
    let (placed, wasted) = tokio::join!(
        join_all(keys.iter().map(|key| alice.place(key, &body))),
        join_all((0..30).map(|_| manager.post("/goods/1/stock-moves", &waste))),
    );
    let count =
        |answers: &[Answer]| i64::try_from(answers.iter().filter(|answer| answer.status == 201).count()).unwrap();
    let left = 100 - 3 * count(&placed) - 4 * count(&wasted);
    assert_eq!(app.stock(1), left);
    assert!((0..4).contains(&left), "as much is taken as there is: {left}");
    for answer in placed.iter().chain(&wasted).filter(|answer| answer.status != 201) {
        assert!(["out_of_stock", "stock_too_low"].contains(&&*answer.code()), "{}", answer.text);
    }
}

#[actix_web::test]
async fn one_tap_sells_out_and_another_takes_it_back() {
    let app = TestApp::start();
    let (kitchen, alice) = (app.staff("kitchen").await, app.customer("alice").await);
    alice.place("a", &order(&[(1, 10)])).await;
    for _ in 0..2 {
        let goods = kitchen.put("/goods/1/sold-out", &json!({})).await;
        assert_eq!(goods.status, 200, "{}", goods.text);
        let goods = goods.json();
        assert_eq!(
            (&goods["sold_out"], &goods["stock"], &goods["sold_out_units"]),
            (&json!(true), &json!(0), &json!(90))
        );
    }
    assert_eq!((app.stock(1), seen(&app, 1).await), (0, 0));
    assert_eq!((moves(&kitchen, 1).await.len(), app.count("staff_actions")), (2, 1), "twice is once");
    assert_eq!(alice.place("b", &order(&[(1, 1)])).await.refusal(), (409, "out_of_stock".into()));
    // What comes in meanwhile is not sold either: the kitchen has not taken it back.
    let manager = app.staff("manager").await;
    manager.post("/goods/1/stock-moves", &by(5)).await;
    assert_eq!((app.stock(1), seen(&app, 1).await), (5, 0));
    assert_eq!(
        alice.place("c", &order(&[(1, 1)])).await.json()["short"],
        json!([{ "goods_id": 1, "wanted": 1, "left": 0 }])
    );
    for _ in 0..2 {
        let goods = kitchen.delete("/goods/1/sold-out").await;
        assert_eq!(goods.status, 200, "{}", goods.text);
        let goods = goods.json();
        assert_eq!(
            (&goods["sold_out"], &goods["stock"], &goods["sold_out_units"]),
            (&json!(false), &json!(95), &Value::Null)
        );
    }
    assert_eq!(seen(&app, 1).await, 95);
    assert_eq!(alice.place("d", &order(&[(1, 1)])).await.status, 201);

    // As many as are named: fewer than were set aside, none, or more. That is moving stock, which the kitchen may not.
    kitchen.put("/goods/1/sold-out", &json!({})).await;
    let refused = kitchen.delete("/goods/1/sold-out?stock=7").await;
    assert_eq!((refused.refusal(), &refused.json()["permission"]), ((403, "forbidden".into()), &json!("move_stock")));
    assert_eq!(kitchen.delete("/goods/1/sold-out").await.status, 200);
    let manager = app.staff("manager").await;
    for (stock, reasons) in [(7, 2), (0, 1), (12, 1)] {
        let before = moves(&kitchen, 1).await.len();
        kitchen.put("/goods/1/sold-out", &json!({})).await;
        let goods = manager.delete(&format!("/goods/1/sold-out?stock={stock}")).await.json();
        assert_eq!((&goods["stock"], &goods["sold_out"]), (&json!(stock), &json!(false)));
        assert_eq!(moves(&kitchen, 1).await.len(), before + reasons);
    }
    for query in ["stock=-1", "stock=10000001"] {
        assert_eq!(
            kitchen.delete(&format!("/goods/1/sold-out?{query}")).await.refusal(),
            (422, "invalid_field".into())
        );
    }
    for query in ["stock=x", "stok=1"] {
        assert_eq!(
            kitchen.delete(&format!("/goods/1/sold-out?{query}")).await.refusal(),
            (400, "malformed_query".into())
        );
    }
    assert_eq!(kitchen.put("/goods/101/sold-out", &json!({})).await.refusal(), (404, "not_found".into()));
    assert_eq!(kitchen.delete("/goods/101/sold-out").await.refusal(), (404, "not_found".into()));
    // Sold out without a unit is sold out all the same, and is told of.
    app.execute("DELETE FROM outbox");
    manager.post("/goods/2/stock-moves", &by(-100)).await;
    kitchen.put("/goods/2/sold-out", &json!({})).await;
    kitchen.delete("/goods/2/sold-out").await;
    assert_eq!(app.count("outbox"), 3);
}

#[actix_web::test]
async fn taps_at_once_set_aside_once() {
    let app = TestApp::start();
    let (kitchen, alice) = (app.staff("kitchen").await, app.customer("alice").await);
    let body = order(&[(1, 1)]);
    for round in 0..5 {
        let keys: Vec<String> = (0..10).map(|key| format!("{round}-{key}")).collect();
        let taps = (0..10).map(|_| Answer::of(kitchen.request(Method::PUT, "/goods/1/sold-out")));
        let (taps, placed) = tokio::join!(join_all(taps), join_all(keys.iter().map(|key| alice.place(key, &body))));
        assert!(taps.iter().all(|tap| tap.status == 200));
        let sold = placed.iter().filter(|answer| answer.status == 201).count();
        assert_eq!(app.stock(1), 0);
        let before = number(&mut app.conn(), "SELECT sales AS value FROM goods WHERE id = 1");
        let lifts = join_all((0..10).map(|_| kitchen.delete("/goods/1/sold-out"))).await;
        assert!(lifts.iter().all(|lift| lift.status == 200));
        assert_eq!(app.stock(1), 100 - before, "round {round}: {sold} were sold");
    }
}

fn day(day: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 11, day).unwrap()
}

fn reset(app: &TestApp, merchant: i64, day: NaiveDate) -> bool {
    let now = app.clock.now();
    app.app.store.write(MerchantId(merchant), |tx| service::stock::reset_daily(tx, day, now)).unwrap()
}

fn turned(app: &TestApp) -> Vec<(i64, NaiveDate)> {
    let now = app.clock.now();
    let turned = app.app.store.read_any(|conn| settings::turned(conn, now).map_err(Error::from)).unwrap();
    turned.into_iter().map(|(merchant, day)| (merchant.0, day)).collect()
}

#[actix_web::test]
async fn every_day_begins_with_the_stock_of_the_day() {
    let app = TestApp::start();
    app.execute(
        "UPDATE goods SET daily_stock = 30 WHERE id IN (1, 2, 3); UPDATE goods SET daily_stock = 100 WHERE id IN (4, 101);
         UPDATE merchants SET time_zone = 'America/New_York' WHERE id = 2",
    );
    // Noon in Shanghai is half past eleven at night, the day before, in New York.
    assert_eq!(turned(&app), [(1, day(21)), (2, day(20))]);
    assert!(!reset(&app, 1, day(21)), "the first day is only noted");
    assert_eq!((turned(&app), app.stock(1)), (vec![(2, day(20))], 100));

    let (kitchen, alice) = (app.staff("kitchen").await, app.customer("alice").await);
    alice.place("a", &order(&[(1, 75), (5, 1)])).await;
    kitchen.put("/goods/3/sold-out", &json!({})).await;
    kitchen.put("/goods/5/sold-out", &json!({})).await;
    app.clock.advance(TimeDelta::hours(16) - TimeDelta::seconds(1));
    assert_eq!(turned(&app), [(2, day(21))], "a second before four in the morning");
    app.clock.advance(TimeDelta::seconds(1));
    assert_eq!(turned(&app)[0], (1, day(22)));
    app.execute("DELETE FROM outbox");
    assert!(reset(&app, 1, day(22)));
    assert_eq!([1, 2, 3, 4, 5].map(|goods| app.stock(goods)), [30, 30, 30, 100, 0]);
    assert_eq!((seen(&app, 3).await, seen(&app, 5).await), (30, 0), "what has no daily stock stays sold out");
    let made = "SELECT goods_id || ' ' || delta || ' ' || actor AS value FROM stock_moves WHERE reason = 'daily_reset' ORDER BY goods_id";
    assert_eq!(words(&mut app.conn(), made), ["1 5 timer", "2 -70 timer", "3 30 timer"]);
    let told = "SELECT goods_id::text AS value FROM outbox ORDER BY goods_id";
    assert_eq!(words(&mut app.conn(), told), ["1", "2", "3"]);
    for late in [day(22), day(21)] {
        assert!(!reset(&app, 1, late), "once a day, and never back");
    }
    assert_eq!(app.stock(101), 100, "another merchant's day is its own");
}

#[actix_web::test]
async fn of_many_who_begin_the_day_one_does() {
    let app = TestApp::start();
    app.execute(
        "UPDATE goods SET daily_stock = 50 WHERE merchant_id = 1; UPDATE merchants SET stock_day = '2026-11-20'",
    );
    let begun = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| reset(&app, 1, day(21)))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).filter(|begun| *begun).count()
    });
    assert_eq!(begun, 1);
    assert_eq!(number(&mut app.conn(), "SELECT count(*) AS value FROM stock_moves WHERE reason = 'daily_reset'"), 6);
}

/// What is set aside may come back, so it counts towards the most there may be.
#[actix_web::test]
async fn what_is_set_aside_counts() {
    let app = TestApp::start();
    let owner = app.staff("owner").await;
    let more = |delta: i64| json!({ "delta": delta, "reason": "count" });
    assert_eq!(owner.post("/goods/1/stock-moves", &more(9_999_900)).await.status, 201);
    assert_eq!(owner.put("/goods/1/sold-out", &json!({})).await.json()["sold_out_units"], 10_000_000);
    assert_eq!(owner.post("/goods/1/stock-moves", &more(1)).await.refusal(), (422, "invalid_field".into()));
    assert_eq!(owner.delete("/goods/1/sold-out").await.json()["stock"], 10_000_000);
}
