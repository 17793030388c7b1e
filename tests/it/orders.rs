//! Placing, repeating, refusing, listing and showing orders.

use chrono::TimeDelta;
use insta::{assert_json_snapshot, assert_snapshot};
use reqwest::Method;
use serde_json::{Value, json};

use crate::clients::{Answer, Customer};
use crate::harness::{Setup, TestApp, number, order, words};

/// Fields that differ from run to run.
macro_rules! assert_answer {
    ($answer:expr, @$snapshot:literal) => {
        assert_json_snapshot!($answer.json(), {
            ".id" => "[id]", ".request_id" => "[request]",
        }, @$snapshot);
    };
}

#[actix_web::test]
async fn an_order_is_placed_shown_and_listed() {
    let app = TestApp::start();
    let alice = app.customer("alice").await;
    let body = json!({
        "lines": [{ "goods_id": 5, "count": 2 }, { "goods_id": 1, "count": 1 }],
        "fulfilment": { "kind": "dine_in", "table": " A3 " },
        "pay_method": "sandbox",
        "points": 0,
        "remark": "<b>少辣</b> & \"谢谢\" \u{1F336}",
        "expected_total": "29.8",
    });
    let placed = alice.place("first", &body).await;
    assert_eq!(placed.status, 201);
    assert_answer!(placed, @r#"
    {
      "accept_by": null,
      "freight": "0.00",
      "fulfilment": {
        "kind": "dine_in",
        "table": "A3"
      },
      "goods_amount": "29.80",
      "id": "[id]",
      "lines": [
        {
          "amount": "19.80",
          "count": 2,
          "goods_id": 5,
          "name": {
            "en": "Dumplings",
            "zh": "饺子"
          },
          "price": "9.90",
          "refunded_count": 0,
          "returned_count": 0,
          "spec": {
            "en": "special",
            "zh": "特"
          }
        },
        {
          "amount": "10.00",
          "count": 1,
          "goods_id": 1,
          "name": {
            "en": "Dumplings",
            "zh": "饺子"
          },
          "price": "10.00",
          "refunded_count": 0,
          "returned_count": 0,
          "spec": {
            "en": "small",
            "zh": "小"
          }
        }
      ],
      "nudged_at": null,
      "paid_at": null,
      "pay_by": "2026-11-21T04:15:00Z",
      "pay_method": "sandbox",
      "pickup_no": null,
      "placed_at": "2026-11-21T04:00:00Z",
      "points_amount": "0.00",
      "points_used": 0,
      "promised_at": null,
      "remark": "<b>少辣</b> & \"谢谢\" 🌶",
      "state": "pending_payment",
      "total": "29.80"
    }
    "#);

    let id = placed.json()["id"].as_str().unwrap().to_owned();
    let mut with_history = placed.json();
    with_history["history"] = json!([]);
    assert_eq!(alice.get(&format!("/orders/{id}")).await.json(), with_history);
    assert_eq!(alice.get("/orders").await.json(), json!({ "items": [placed.json()], "next_cursor": null }));
    assert_eq!((app.stock(5), app.stock(1)), (98, 99));
    assert_eq!(number(&mut app.conn(), "SELECT sales AS value FROM goods WHERE id = 5"), 2);
    assert_eq!(app.count("order_events"), 0, "the order's own row says that it was placed");
    let told = "SELECT kind || ' ' || order_id AS value FROM outbox";
    assert_eq!(words(&mut app.conn(), told), [format!("order_placed {id}")]);
}

#[actix_web::test]
async fn cash_goes_straight_to_the_restaurant() {
    let app = TestApp::start();
    let alice = app.customer("alice").await;
    let mut body = order(&[(1, 1)]);
    body["pay_method"] = json!("cash");
    let placed = alice.place("cash", &body).await.json();
    assert_eq!(placed["state"], "pending_accept");
    assert_eq!(placed["accept_by"], "2026-11-21T04:10:00Z");
    assert_eq!(placed["pay_by"], Value::Null);
}

#[actix_web::test]
async fn a_delivery_pays_freight_and_keeps_its_address() {
    let app = TestApp::start();
    let alice = app.customer("alice").await;
    let address = json!({ "contact": "李雷", "phone": "+86 138-0013-8000", "place": "滨江路 88 号" });
    let saved = alice.post("/addresses", &address).await.json();
    let mut body = order(&[(1, 1)]);
    body["fulfilment"] = json!({ "kind": "delivery", "address_id": saved["id"] });
    let placed = alice.place("near", &body).await.json();
    assert_eq!((&placed["freight"], &placed["total"]), (&json!("5.00"), &json!("15.00")));
    assert_eq!(placed["fulfilment"], json!({ "kind": "delivery", "address": address }));

    // Ten of them make 100 yuan: free.
    body["lines"][0]["count"] = json!(10);
    assert_eq!(alice.place("far", &body).await.json()["total"], "100.00");

    let path = format!("/addresses/{}", saved["id"].as_str().unwrap());
    let moved = json!({ "contact": "韩梅梅", "phone": "1234", "place": "elsewhere" });
    assert_eq!(Answer::of(alice.request(Method::PUT, &path).json(&moved)).await.status, 200);
    assert_eq!(Answer::of(alice.request(Method::DELETE, &path)).await.status, 204);
    let shown = alice.get(&format!("/orders/{}", placed["id"].as_str().unwrap())).await;
    assert_eq!(shown.json()["fulfilment"]["address"], address);
}

#[actix_web::test]
async fn a_key_stands_for_one_order() {
    let app = TestApp::start();
    let alice = app.customer("alice").await;
    let body = order(&[(1, 2)]);
    let placed = alice.place("key", &body).await;
    app.clock.advance(TimeDelta::minutes(5));
    let repeated = alice.place("key", &body).await;
    assert_eq!((repeated.status.as_u16(), &repeated.text), (200, &placed.text));

    // The same order in other words.
    let mut same = body.clone();
    same["remark"] = json!("  ");
    same["points"] = json!(0);
    assert_eq!(alice.place("key", &same).await.text, placed.text);

    for (field, value) in [
        ("lines", json!([{ "goods_id": 1, "count": 3 }])),
        ("remark", json!("x")),
        ("pay_method", json!("cash")),
        ("fulfilment", json!({ "kind": "dine_in", "table": "1" })),
        ("expected_total", json!("20.00")),
    ] {
        let mut other = body.clone();
        other[field] = value;
        assert_eq!(alice.place("key", &other).await.refusal(), (422, "idempotency_key_reused".into()), "{field}");
    }
    assert_eq!(app.customer("bob").await.place("key", &body).await.status, 201);
    assert_eq!((app.count("orders"), app.stock(1)), (2, 96));
}

#[actix_web::test]
async fn a_repeat_is_answered_whatever_has_changed_since() {
    let app = TestApp::start();
    let alice = app.customer("alice").await;
    let placed = alice.place("key", &order(&[(1, 100)])).await;
    app.execute("UPDATE merchants SET paused = true; UPDATE goods SET on_sale = false, price = 99");
    let repeated = alice.place("key", &order(&[(1, 100)])).await;
    assert_eq!((repeated.status.as_u16(), repeated.text), (200, placed.text));
}

/// Nor by another configuration, which a request meets before the engine looks its key up.
#[actix_web::test]
async fn a_repeat_is_answered_whatever_is_configured_since() {
    let app = TestApp::start();
    let body = |count: i64| json!({ "lines": [{ "goods_id": 1, "count": count }, { "goods_id": 2, "count": 1 }], "fulfilment": { "kind": "pickup" }, "pay_method": "sandbox" });
    let placed = app.customer("alice").await.place("key", &body(2)).await;
    assert_eq!(placed.status, 201);
    for (variable, value, code) in [
        ("ROWLOCK_GATEWAYS_SANDBOX", "false", "pay_method_not_offered"),
        ("ROWLOCK_ORDERS_LINES_MAX", "1", "too_many_lines"),
        ("ROWLOCK_ORDERS_COUNT_MAX", "1", "bad_count"),
    ] {
        let later = app.beside(Setup { variables: vec![(variable, value)], ..Setup::default() });
        let alice = later.customer("alice").await;
        let again = alice.place("key", &body(2)).await;
        assert_eq!((again.status.as_u16(), &again.text), (200, &placed.text), "{variable}");
        assert_eq!(later.metric("rowlock_orders_repeated_total"), 1.0);
        assert_eq!(alice.place("key", &body(3)).await.refusal(), (422, "idempotency_key_reused".into()));
        assert_eq!(alice.place("new", &body(2)).await.refusal(), (422, code.into()));
        assert_eq!(later.customer("bob").await.place("key", &body(2)).await.refusal(), (422, code.into()));
    }
    assert_eq!(app.count("orders"), 1);
}

#[actix_web::test]
async fn a_refused_key_may_be_used_again() {
    let app = TestApp::start();
    let alice = app.customer("alice").await;
    assert_eq!(alice.place("key", &order(&[(1, 101)])).await.refusal(), (409, "out_of_stock".into()));
    assert_eq!(alice.place("key", &order(&[(1, 100)])).await.status, 201);
}

/// Dumplings for 10 yuan, brought to an address of hers.
async fn delivery(alice: &Customer<'_>) -> Value {
    let address = json!({ "contact": "Li", "phone": "1234", "place": "home" });
    let mut body = order(&[(1, 1)]);
    body["fulfilment"] =
        json!({ "kind": "delivery", "address_id": alice.post("/addresses", &address).await.json()["id"] });
    body
}

async fn refused(alice: &Customer<'_>, body: &Value) -> Answer {
    let answer = alice.place("refused", body).await;
    assert!(answer.status.is_client_error(), "{}", answer.text);
    answer
}

#[actix_web::test]
async fn every_short_line_is_named() {
    let app = TestApp::start();
    let alice = app.customer("alice").await;
    app.execute("UPDATE goods SET stock = 3 WHERE id = 2; UPDATE stock_moves SET delta = 3 WHERE goods_id = 2");
    let answer = refused(&alice, &order(&[(3, 60), (2, 4), (1, 1), (3, 60)])).await;
    assert_eq!(answer.status, 409);
    assert_answer!(answer, @r#"
    {
      "code": "out_of_stock",
      "detail": "Out of stock: 3 left of goods 2, 100 left of goods 3.",
      "field": "lines",
      "request_id": "[request]",
      "short": [
        {
          "goods_id": 2,
          "left": 3,
          "wanted": 4
        },
        {
          "goods_id": 3,
          "left": 100,
          "wanted": 120
        }
      ],
      "status": 409,
      "title": "Conflict",
      "type": "about:blank"
    }
    "#);
    assert_eq!(app.count("orders"), 0);
}

#[actix_web::test]
async fn decisions_against_an_order() {
    let app = TestApp::start();
    let alice = app.customer("alice").await;
    let unknown = refused(&alice, &order(&[(999, 1), (1, 1), (101, 1), (-5, 1)])).await;
    assert_answer!(unknown, @r#"
    {
      "code": "unknown_goods",
      "detail": "No such goods: -5, 101, 999.",
      "field": "lines",
      "goods_ids": [
        -5,
        101,
        999
      ],
      "request_id": "[request]",
      "status": 422,
      "title": "Unprocessable Entity",
      "type": "about:blank"
    }
    "#);
    let off_sale = refused(&alice, &order(&[(6, 1)])).await;
    assert_eq!((off_sale.refusal(), off_sale.json()["goods_ids"].clone()), ((409, "not_on_sale".into()), json!([6])));

    let mut body = order(&[(1, 1)]);
    body["expected_total"] = json!("9.99");
    assert_answer!(refused(&alice, &body).await, @r#"
    {
      "code": "price_changed",
      "detail": "The price has changed: the total is 10.00 yuan, not 9.99.",
      "expected_total": "9.99",
      "field": "expected_total",
      "request_id": "[request]",
      "status": 409,
      "title": "Conflict",
      "total": "10.00",
      "type": "about:blank"
    }
    "#);

    app.execute("UPDATE merchants SET minimum_amount = 10.01");
    assert_answer!(refused(&alice, &delivery(&alice).await).await, @r#"
    {
      "code": "below_minimum",
      "detail": "Deliveries start at 10.01 yuan; this one has 10.00.",
      "goods_amount": "10.00",
      "minimum_amount": "10.01",
      "request_id": "[request]",
      "status": 409,
      "title": "Conflict",
      "type": "about:blank"
    }
    "#);
    // Noon in UTC+8 is outside.
    app.execute("UPDATE merchants SET opens_at = '12:01', closes_at = '12:00'");
    assert_answer!(refused(&alice, &order(&[(1, 1)])).await, @r#"
    {
      "closes_at": "12:00",
      "code": "shop_closed",
      "detail": "The shop is closed; it is open from 12:01 to 12:00.",
      "opens_at": "12:01",
      "request_id": "[request]",
      "status": 409,
      "title": "Conflict",
      "type": "about:blank"
    }
    "#);
    app.execute("UPDATE merchants SET paused = true");
    assert_eq!(refused(&alice, &order(&[(1, 1)])).await.refusal(), (409, "shop_paused".into()));
    assert_eq!((app.count("orders"), app.count("order_lines"), app.stock(1)), (0, 0, 100));
}

#[actix_web::test]
async fn an_address_of_a_stranger_is_no_address() {
    let app = TestApp::start();
    let (alice, bob) = (app.customer("alice").await, app.customer("bob").await);
    let address = json!({ "contact": "Bob", "phone": "1234", "place": "home" });
    let saved = bob.post("/addresses", &address).await.json();
    let mut body = order(&[(1, 1)]);
    for id in [saved["id"].clone(), json!("00000000-0000-0000-0000-000000000000")] {
        body["fulfilment"] = json!({ "kind": "delivery", "address_id": id });
        assert_eq!(refused(&alice, &body).await.refusal(), (422, "unknown_address".into()));
    }
    assert_eq!(app.count("orders"), 0);
}

#[actix_web::test]
async fn bodies_that_are_no_order() {
    let app = TestApp::start();
    let alice = app.customer("alice").await;
    let with = |field: &str, value: Value| {
        let mut body = order(&[(1, 1)]);
        body[field] = value;
        body.to_string()
    };
    let line = |line: Value| with("lines", json!([line]));
    let cases: &[(&str, String)] = &[
        ("empty", with("lines", json!([]))),
        ("51 lines", with("lines", json!(vec![json!({ "goods_id": 1, "count": 1 }); 51]))),
        ("count 0", line(json!({ "goods_id": 1, "count": 0 }))),
        ("count -1", line(json!({ "goods_id": 1, "count": -1 }))),
        ("count 1000", line(json!({ "goods_id": 1, "count": 1000 }))),
        ("count 2^63", line(json!({ "goods_id": 1, "count": 9_223_372_036_854_775_807_i64 }))),
        ("count 2^64", line(json!({ "goods_id": 1, "count": 18_446_744_073_709_551_615_u64 }))),
        ("count 1.5", line(json!({ "goods_id": 1, "count": 1.5 }))),
        ("count text", line(json!({ "goods_id": 1, "count": "1" }))),
        ("no count", line(json!({ "goods_id": 1 }))),
        ("price of the client's", line(json!({ "goods_id": 1, "count": 1, "price": "0.01" }))),
        ("sum over the bound", with("lines", json!(vec![json!({ "goods_id": 1, "count": 999 }); 2]))),
        ("lines null", with("lines", Value::Null)),
        ("no lines", json!({ "fulfilment": { "kind": "pickup" }, "pay_method": "cash" }).to_string()),
        ("unknown pay method", with("pay_method", json!("gold"))),
        ("unknown fulfilment", with("fulfilment", json!({ "kind": "drone" }))),
        ("no table", with("fulfilment", json!({ "kind": "dine_in" }))),
        ("blank table", with("fulfilment", json!({ "kind": "dine_in", "table": " " }))),
        ("long table", with("fulfilment", json!({ "kind": "dine_in", "table": "x".repeat(21) }))),
        ("address no uuid", with("fulfilment", json!({ "kind": "delivery", "address_id": "1" }))),
        ("total as number", with("expected_total", json!(19.8))),
        ("negative total", with("expected_total", json!("-1"))),
        ("total of a third fen", with("expected_total", json!("0.333"))),
        ("points", with("points", json!(1))),
        ("negative points", with("points", json!(-1))),
        ("long remark", with("remark", json!("饭".repeat(201)))),
        ("NUL in remark", with("remark", json!("a\u{0}b"))),
        ("NUL in table", with("fulfilment", json!({ "kind": "dine_in", "table": "a\u{0}" }))),
        ("unknown field", with("discount", json!("100%"))),
        ("cut off", order(&[(1, 1)]).to_string()[..40].to_owned()),
        ("cut off at once", "{".to_owned()),
        ("two orders", format!("{0}{0}", order(&[(1, 1)]))),
        ("a list", "[]".to_owned()),
        ("nothing", String::new()),
        ("deep", "[".repeat(5_000)),
        ("not UTF-8", "\u{fffd}".to_owned()),
    ];
    let mut table = String::new();
    for (name, body) in cases {
        let body = if *name == "not UTF-8" { b"{\"remark\": \"\xff\"}".to_vec() } else { body.clone().into_bytes() };
        let request = alice.request(Method::POST, "/orders").header("Idempotency-Key", "bad");
        let answer = Answer::of(request.header("content-type", "application/json").body(body)).await;
        let (status, code) = answer.refusal();
        let field = answer.json()["field"].as_str().unwrap_or("-").to_owned();
        table.push_str(&format!("{name}: {status} {code} {field}\n"));
    }
    assert_snapshot!(table, @"
    empty: 422 empty_order lines
    51 lines: 422 too_many_lines lines
    count 0: 422 bad_count lines[0].count
    count -1: 422 bad_count lines[0].count
    count 1000: 422 bad_count lines[0].count
    count 2^63: 422 bad_count lines[0].count
    count 2^64: 400 malformed_body lines[0].count
    count 1.5: 400 malformed_body lines[0].count
    count text: 400 malformed_body lines[0].count
    no count: 400 malformed_body lines[0].count
    price of the client's: 400 malformed_body lines[0].price
    sum over the bound: 422 bad_count lines[1].count
    lines null: 400 malformed_body lines
    no lines: 400 malformed_body lines
    unknown pay method: 400 malformed_body pay_method
    unknown fulfilment: 400 malformed_body fulfilment.kind
    no table: 400 malformed_body fulfilment.table
    blank table: 422 invalid_field fulfilment.table
    long table: 422 invalid_field fulfilment.table
    address no uuid: 400 malformed_body fulfilment
    total as number: 400 malformed_body expected_total
    negative total: 400 malformed_body expected_total
    total of a third fen: 400 malformed_body expected_total
    points: 409 points_not_taken points
    negative points: 400 malformed_body points
    long remark: 422 invalid_field remark
    NUL in remark: 422 invalid_field remark
    NUL in table: 422 invalid_field fulfilment.table
    unknown field: 400 malformed_body discount
    cut off: 400 malformed_body lines
    cut off at once: 400 malformed_body -
    two orders: 400 malformed_body -
    a list: 400 malformed_body -
    nothing: 400 malformed_body -
    deep: 400 malformed_body [0][0][0]
    not UTF-8: 400 malformed_body remark
    ");
    assert_eq!((app.count("orders"), app.stock(1)), (0, 100));
}

#[actix_web::test]
async fn the_key_is_required_and_bounded() {
    let app = TestApp::start();
    let alice = app.customer("alice").await;
    assert_eq!(alice.post("/orders", &order(&[(1, 1)])).await.refusal(), (400, "idempotency_key_missing".into()));
    for key in [String::new(), "two words".into(), "k".repeat(129)] {
        assert_eq!(alice.place(&key, &order(&[(1, 1)])).await.refusal(), (400, "idempotency_key_malformed".into()));
    }
    let two = alice.request(Method::POST, "/orders").header("Idempotency-Key", "a").header("Idempotency-Key", "b");
    let two = Answer::of(two.json(&order(&[(1, 1)]))).await;
    assert_eq!(two.refusal(), (400, "idempotency_key_malformed".into()));
    assert_eq!(app.count("orders"), 0);
}

#[actix_web::test]
async fn orders_are_paged_newest_first() {
    let app = TestApp::start();
    let (alice, bob) = (app.customer("alice").await, app.customer("bob").await);
    let mut placed = Vec::new();
    for number in 0..7 {
        app.clock.advance(TimeDelta::seconds(1));
        placed.push(alice.place(&number.to_string(), &order(&[(1, 1)])).await.json()["id"].clone());
        bob.place(&number.to_string(), &order(&[(2, 1)])).await;
    }
    placed.reverse();
    let (mut seen, mut path) = (Vec::new(), "/orders?limit=3".to_owned());
    loop {
        let page = alice.get(&path).await.json();
        seen.extend(page["items"].as_array().unwrap().iter().map(|order| order["id"].clone()));
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("/orders?limit=3&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(seen, placed);
    assert_eq!(alice.get("/orders?limit=7").await.json()["next_cursor"], Value::Null);
    for query in ["limit=0", "limit=101", "limit=-1", "limit=x", "cursor=1", "cursor=", "page=2"] {
        assert_eq!(alice.get(&format!("/orders?{query}")).await.refusal(), (400, "malformed_query".into()), "{query}");
    }
}

#[actix_web::test]
async fn nobody_sees_another_customers_order() {
    let app = TestApp::start();
    let (alice, bob, carol) =
        (app.customer("alice").await, app.customer("bob").await, app.customer_of(2, "carol").await);
    let placed = alice.place("key", &order(&[(1, 1)])).await.json();
    let path = format!("/orders/{}", placed["id"].as_str().unwrap());
    assert_eq!(bob.get(&path).await.refusal(), (404, "not_found".into()));
    assert_eq!(carol.get(&path).await.refusal(), (404, "not_found".into()));
    assert_eq!(bob.get("/orders").await.json()["items"], json!([]));
    for id in ["1", "00000000-0000-0000-0000-000000000000", "%00", "' OR 1=1"] {
        assert_eq!(alice.get(&format!("/orders/{id}")).await.refusal(), (404, "not_found".into()), "{id}");
    }
}
