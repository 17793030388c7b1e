//! The cart, wherever it is kept: every test runs over PostgreSQL and over Redis.

use diesel::connection::SimpleConnection;
use futures_util::future::join_all;
use reqwest::Method;
use rowlock::domain::{CustomerId, MerchantId};
use rowlock::error::Error;
use rowlock::placement::Point;
use rowlock::service::carts::Owner;
use serde_json::{Value, json};

use crate::clients::{Answer, Customer};
use crate::harness::{Freezer, Setup, TestApp, noon, order, placement, words};
use crate::redis_server::TestRedis;

/// Where carts are kept.
#[derive(Clone, Copy)]
enum Kept {
    InPostgres,
    InRedis,
}

/// A service, and what keeps its carts.
struct Shop {
    app: TestApp,
    redis: Option<TestRedis>,
}

impl Kept {
    fn shop(self) -> Shop {
        self.shop_with(Setup::default())
    }

    fn shop_with(self, mut setup: Setup) -> Shop {
        let redis = match self {
            Self::InPostgres => None,
            Self::InRedis => Some(TestRedis::start()),
        };
        setup.variables.extend(redis.as_ref().map(|redis| ("REDIS_URL", &*redis.url().leak())));
        // A machine that is busy with other tests is slow, not down.
        setup
            .variables
            .extend([("ROWLOCK_REDIS_CONNECT_TIMEOUT_MS", "10000"), ("ROWLOCK_REDIS_COMMAND_TIMEOUT_MS", "10000")]);
        Shop { app: TestApp::with(setup), redis }
    }
}

macro_rules! over_both {
    ($($name:ident),+ $(,)?) => {
        mod in_postgres {
            $(#[actix_web::test] async fn $name() { super::$name(super::Kept::InPostgres).await })+
        }

        mod in_redis {
            $(#[actix_web::test] async fn $name() { super::$name(super::Kept::InRedis).await })+
        }
    };
}

over_both!(
    a_cart_is_filled_changed_and_cleared,
    what_cannot_be_in_a_cart_is_refused,
    a_cart_shows_the_menu_of_now,
    a_cart_is_its_customers_alone,
    changes_at_the_same_moment_all_count,
    an_order_takes_what_is_selected,
    a_refused_order_leaves_the_cart,
    fifty_submissions_place_one_order,
    fifty_repeats_place_one_order,
    a_crash_before_the_clearing_is_healed,
    whoever_reads_during_an_order_sees_one_or_the_other,
    two_instances_share_a_cart,
);

/// Its lines as `goods:count`, with a `-` where they are not selected.
fn lines(cart: &Answer) -> String {
    assert_eq!(cart.status, 200, "{}", cart.text);
    let line = |line: &Value| {
        let mark = if line["selected"] == true { "" } else { "-" };
        format!("{}:{}{mark}", line["goods_id"], line["count"])
    };
    cart.json()["lines"].as_array().unwrap().iter().map(line).collect::<Vec<_>>().join(" ")
}

async fn cart(who: &Customer<'_>) -> String {
    lines(&who.get("/cart").await)
}

async fn put(who: &Customer<'_>, goods: i64, count: i64) -> Answer {
    who.put(&format!("/cart/lines/{goods}"), &json!({ "count": count })).await
}

fn from_cart() -> Value {
    json!({ "lines": "cart", "fulfilment": { "kind": "pickup" }, "pay_method": "cash" })
}

async fn a_cart_is_filled_changed_and_cleared(kept: Kept) {
    let shop = kept.shop();
    let alice = shop.app.customer("alice").await;
    assert_eq!(alice.get("/cart").await.json(), json!({ "lines": [], "amount": "0.00" }));
    let answer = put(&alice, 1, 2).await;
    assert_eq!(
        answer.json(),
        json!({
            "lines": [{
                "goods_id": 1, "name": { "zh": "饺子", "en": "Dumplings" }, "spec": { "zh": "小", "en": "small" }, "price": "10.00",
                "left": 100, "on_sale": true, "count": 2, "selected": true, "orderable": true, "amount": "20.00",
            }],
            "amount": "20.00",
        })
    );
    shop.app.clock.advance(chrono::TimeDelta::seconds(1));
    let answer = alice.put("/cart/lines/4", &json!({ "count": 3, "selected": false })).await;
    assert_eq!((lines(&answer), &answer.json()["amount"]), ("1:2 4:3-".into(), &json!("20.00")));
    assert_eq!(lines(&put(&alice, 4, 5).await), "1:2 4:5-", "a count alone leaves the selection");
    let path = "/cart/lines/4";
    let answer = Answer::of(alice.request(Method::PATCH, path).json(&json!({ "selected": true }))).await;
    assert_eq!((lines(&answer), &answer.json()["amount"]), ("1:2 4:5".into(), &json!("22.50")));
    let answer = Answer::of(alice.request(Method::PATCH, path).json(&json!({ "count": 1 }))).await;
    assert_eq!((lines(&answer), &answer.json()["amount"]), ("1:2 4:1".into(), &json!("20.50")));
    for (selection, expected) in [
        (json!({ "selected": false }), "1:2- 4:1-"),
        (json!({ "goods_ids": [4] }), "1:2- 4:1"),
        (json!({ "goods_ids": [1, 1] }), "1:2 4:1-"),
        (json!({ "goods_ids": [] }), "1:2- 4:1-"),
        (json!({ "selected": true }), "1:2 4:1"),
    ] {
        assert_eq!(lines(&alice.put("/cart/selection", &selection).await), expected);
    }
    assert_eq!(lines(&alice.delete("/cart/lines/1").await), "4:1");
    shop.app.clock.advance(chrono::TimeDelta::seconds(1));
    assert_eq!(lines(&put(&alice, 1, 9).await), "4:1 1:9");
    assert_eq!(lines(&alice.delete("/cart").await), "");
    assert_eq!(lines(&alice.delete("/cart").await), "");
    assert_eq!(cart(&alice).await, "");
}

async fn what_cannot_be_in_a_cart_is_refused(kept: Kept) {
    let variables = vec![("ROWLOCK_ORDERS_LINES_MAX", "2"), ("ROWLOCK_ORDERS_COUNT_MAX", "7")];
    let shop = kept.shop_with(Setup { variables, ..Setup::default() });
    let alice = shop.app.customer("alice").await;
    for (goods, count, refusal) in [
        (7, 1, (422, "unknown_goods")),
        (101, 1, (422, "unknown_goods")),
        (-1, 1, (422, "unknown_goods")),
        (6, 1, (409, "not_on_sale")),
        (1, 0, (422, "invalid_field")),
        (1, -1, (422, "invalid_field")),
        (1, 8, (422, "invalid_field")),
        (1, i64::MAX, (422, "invalid_field")),
    ] {
        let answer = put(&alice, goods, count).await;
        assert_eq!(answer.refusal(), (refusal.0, refusal.1.to_owned()), "{goods} {count}");
        if refusal.1 == "invalid_field" {
            assert_eq!(answer.json()["field"], "count");
        }
    }
    assert_eq!(cart(&alice).await, "");
    put(&alice, 1, 7).await;
    put(&alice, 2, 1).await;
    assert_eq!(put(&alice, 3, 1).await.refusal(), (409, "cart_full".into()));
    assert_eq!(lines(&put(&alice, 2, 2).await), "1:7 2:2", "a full cart can be changed");

    let missing = (404, "not_found".to_owned());
    assert_eq!(alice.delete("/cart/lines/3").await.refusal(), missing);
    let amend = |body: Value| Answer::of(alice.request(Method::PATCH, "/cart/lines/3").json(&body));
    assert_eq!(amend(json!({ "count": 1 })).await.refusal(), missing);
    assert_eq!(amend(json!({ "count": 9 })).await.refusal(), (422, "invalid_field".into()));
    assert_eq!(alice.put("/cart/lines/one", &json!({ "count": 1 })).await.refusal(), missing);
    let unknown = alice.put("/cart/selection", &json!({ "goods_ids": [2, 3] })).await;
    assert_eq!((unknown.refusal(), &unknown.json()["goods_ids"]), ((422, "unknown_goods".into()), &json!([3])));
    for body in [json!({}), json!({ "selected": true, "goods_ids": [1] })] {
        let answer = alice.put("/cart/selection", &body).await;
        assert_eq!((answer.refusal(), &answer.json()["field"]), ((422, "invalid_field".into()), &json!("selected")));
    }
    let many = alice.put("/cart/selection", &json!({ "goods_ids": [1, 2, 1] })).await;
    assert_eq!((many.refusal(), &many.json()["field"]), ((422, "invalid_field".into()), &json!("goods_ids")));
    for (path, body, field) in [
        ("/cart/lines/1", json!({ "count": "1" }), "count"),
        ("/cart/lines/1", json!({ "count": 1, "price": 1 }), "price"),
        ("/cart/selection", json!({ "goods_ids": [1, "2"] }), "goods_ids[1]"),
    ] {
        let answer = alice.put(path, &body).await;
        assert_eq!((answer.refusal(), &answer.json()["field"]), ((400, "malformed_body".into()), &json!(field)));
    }
    assert_eq!(cart(&alice).await, "1:7 2:2");
    assert_eq!(shop.app.get("/v1/merchants/1/cart").await.refusal(), (401, "unauthenticated".into()));
    assert_eq!(shop.app.count("orders"), 0);
}

async fn a_cart_shows_the_menu_of_now(kept: Kept) {
    let shop = kept.shop();
    let alice = shop.app.customer("alice").await;
    for goods in 1..=4 {
        put(&alice, goods, 2).await;
    }
    shop.app.execute(
        "UPDATE goods SET price = 11 WHERE id = 1; UPDATE goods SET on_sale = false WHERE id = 2;
         UPDATE goods SET sold_out_units = stock WHERE id = 3;
         UPDATE goods SET stock = 1 WHERE id = 4; UPDATE stock_moves SET delta = 1 WHERE goods_id = 4",
    );
    let shown = alice.get("/cart").await.json();
    let facts = |line: &Value| {
        json!([line["price"], line["left"], line["on_sale"], line["selected"], line["orderable"], line["amount"]])
    };
    let seen: Vec<Value> = shown["lines"].as_array().unwrap().iter().map(facts).collect();
    assert_eq!(
        seen,
        [
            json!(["11.00", 100, true, true, true, "22.00"]),
            json!(["20.00", 100, false, true, false, "40.00"]),
            json!(["30.00", 0, true, true, false, "60.00"]),
            json!(["0.50", 1, true, true, false, "1.00"]),
        ]
    );
    assert_eq!(shown["amount"], "22.00", "what cannot be ordered is not counted");
    assert_eq!(lines(&put(&alice, 2, 1).await), "1:2 2:1 3:2 4:2", "what has left the menu can still be changed");
    alice.delete("/cart/lines/2").await;
    assert_eq!(put(&alice, 2, 1).await.refusal(), (409, "not_on_sale".into()));
}

async fn a_cart_is_its_customers_alone(kept: Kept) {
    let shop = kept.shop();
    let (alice, bob) = (shop.app.customer("alice").await, shop.app.customer("bob").await);
    let elsewhere = shop.app.customer_of(2, "alice").await;
    put(&alice, 1, 2).await;
    for other in [&bob, &elsewhere] {
        assert_eq!(cart(other).await, "");
        assert_eq!(other.delete("/cart/lines/1").await.refusal(), (404, "not_found".into()));
        assert_eq!(other.place("key", &from_cart()).await.refusal(), (422, "empty_cart".into()));
        assert_eq!(lines(&other.delete("/cart").await), "");
    }
    put(&elsewhere, 101, 1).await;
    assert_eq!(
        (cart(&alice).await, cart(&bob).await, cart(&elsewhere).await),
        ("1:2".into(), "".into(), "101:1".into())
    );
    let mut stranger = alice.clone();
    stranger.merchant = 2;
    assert_eq!(stranger.get("/cart").await.refusal(), (403, "wrong_merchant".into()));
    // Keys are a customer's own, too.
    assert_eq!(alice.place("key", &from_cart()).await.status, 201);
    assert_eq!(bob.place("key", &from_cart()).await.refusal(), (422, "empty_cart".into()));
}

async fn changes_at_the_same_moment_all_count(kept: Kept) {
    let shop = kept.shop();
    let alice = shop.app.customer("alice").await;
    let changes = (0..50).map(|number| put(&alice, 1 + number % 5, 1 + number));
    for answer in join_all(changes).await {
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    let mut goods: Vec<i64> = alice.get("/cart").await.json()["lines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|l| l["goods_id"].as_i64().unwrap())
        .collect();
    goods.sort_unstable();
    assert_eq!(goods, [1, 2, 3, 4, 5]);
}

async fn an_order_takes_what_is_selected(kept: Kept) {
    let shop = kept.shop();
    let app = &shop.app;
    let alice = app.customer("alice").await;
    assert_eq!(alice.place("early", &from_cart()).await.refusal(), (422, "empty_cart".into()));
    put(&alice, 1, 2).await;
    put(&alice, 2, 3).await;
    alice.put("/cart/lines/3", &json!({ "count": 1, "selected": false })).await;
    let placed = alice.place("key", &from_cart()).await;
    assert_eq!(placed.status, 201, "{}", placed.text);
    let ordered: Vec<Value> = placed.json()["lines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| json!([line["goods_id"], line["count"]]))
        .collect();
    assert_eq!((ordered, &placed.json()["total"]), (vec![json!([1, 2]), json!([2, 3])], &json!("80.00")));
    assert_eq!((app.stock(1), app.stock(2), app.stock(3)), (98, 97, 100));
    assert_eq!(cart(&alice).await, "3:1-");
    assert_eq!(alice.place("other", &from_cart()).await.refusal(), (422, "empty_cart".into()));
    // The key stands for the words, not for what they stood for.
    let again = alice.place("key", &from_cart()).await;
    assert_eq!((again.status.as_u16(), &again.text), (200, &placed.text));
    put(&alice, 5, 4).await;
    let again = alice.place("key", &from_cart()).await;
    assert_eq!((again.status.as_u16(), &again.text), (200, &placed.text));
    assert_eq!(cart(&alice).await, "3:1- 5:4", "a repeat takes nothing");
    assert_eq!(app.metric("rowlock_orders_repeated_total"), 2.0);
    assert_eq!(alice.place("key", &order(&[(1, 2), (2, 3)])).await.refusal(), (422, "idempotency_key_reused".into()));
    assert_eq!(alice.place("given", &order(&[(1, 1)])).await.status, 201);
    assert_eq!(alice.place("given", &from_cart()).await.refusal(), (422, "idempotency_key_reused".into()));
    assert_eq!(cart(&alice).await, "3:1- 5:4", "an order of given lines leaves the cart alone");
    // The next filling is another cart.
    assert_eq!(alice.place("next", &from_cart()).await.status, 201);
    assert_eq!((cart(&alice).await, app.count("orders")), ("3:1-".into(), 3));
    for wrong in ["basket", "", "Cart"] {
        let mut body = from_cart();
        body["lines"] = json!(wrong);
        let answer = alice.place("wrong", &body).await;
        assert_eq!((answer.refusal(), &answer.json()["field"]), ((400, "malformed_body".into()), &json!("lines")));
    }
}

/// Whoever only reads a cart waits for nobody who has it locked; and what was ordered from it is gone from it before somebody reads it.
#[actix_web::test]
async fn a_cart_is_read_without_a_lock_and_settled_without_a_reader() {
    let app = TestApp::start();
    let alice = app.customer("alice").await;
    put(&alice, 1, 2).await;
    put(&alice, 2, 1).await;
    alice.put("/cart/selection", &json!({ "goods_ids": [1] })).await;
    let mut stranger = app.conn();
    stranger.batch_execute("BEGIN; SELECT FROM carts FOR UPDATE").unwrap();
    assert_eq!(cart(&alice).await, "1:2 2:1-");
    stranger.batch_execute("COMMIT").unwrap();
    assert_eq!(alice.place("k", &from_cart()).await.status, 201);
    assert_eq!(words(&mut app.conn(), "SELECT goods_id || '' AS value FROM cart_lines"), ["2"]);
}

async fn a_refused_order_leaves_the_cart(kept: Kept) {
    let shop = kept.shop();
    let alice = shop.app.customer("alice").await;
    put(&alice, 1, 2).await;
    put(&alice, 2, 101).await;
    assert_eq!(alice.place("a", &from_cart()).await.refusal(), (409, "out_of_stock".into()));
    let mut dear = from_cart();
    dear["expected_total"] = json!("1.00");
    put(&alice, 2, 1).await;
    assert_eq!(alice.place("a", &dear).await.refusal(), (409, "price_changed".into()));
    shop.app.execute("UPDATE goods SET on_sale = false WHERE id = 2");
    assert_eq!(alice.place("a", &from_cart()).await.refusal(), (409, "not_on_sale".into()));
    assert_eq!(cart(&alice).await, "1:2 2:1");
    alice.put("/cart/selection", &json!({ "goods_ids": [1] })).await;
    assert_eq!(alice.place("a", &from_cart()).await.status, 201, "a refusal does not use the key up");
    assert_eq!(cart(&alice).await, "2:1-");
}

async fn fifty_submissions_place_one_order(kept: Kept) {
    let shop = kept.shop();
    let alice = shop.app.customer("alice").await;
    for round in 0..4 {
        put(&alice, 1, 2).await;
        put(&alice, 2, 1).await;
        let keys: Vec<String> = (0..50).map(|number| format!("{round}-{number}")).collect();
        let body = from_cart();
        let answers = join_all(keys.iter().map(|key| alice.place(key, &body))).await;
        let (placed, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 201);
        assert_eq!(placed.len(), 1);
        for answer in refused {
            match answer.refusal() {
                (409, code) if code == "cart_already_placed" => {
                    assert_eq!(answer.json()["order_id"], placed[0].json()["id"]);
                }
                refusal => assert_eq!(refusal, (422, "empty_cart".into())),
            }
        }
        assert_eq!((shop.app.count("orders"), cart(&alice).await), (round + 1, String::new()));
    }
    assert_eq!(shop.app.stock(1), 92);
}

async fn fifty_repeats_place_one_order(kept: Kept) {
    let shop = kept.shop();
    let alice = shop.app.customer("alice").await;
    for round in 0..4 {
        put(&alice, 1, 2).await;
        alice.put("/cart/lines/2", &json!({ "count": 1, "selected": false })).await;
        let (key, body) = (format!("key-{round}"), from_cart());
        let answers = join_all((0..50).map(|_| alice.place(&key, &body))).await;
        assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
        for answer in &answers {
            assert!(answer.status.is_success(), "{}", answer.text);
            assert_eq!(answer.text, answers[0].text);
        }
        assert_eq!((shop.app.count("orders"), cart(&alice).await), (round + 1, "2:1-".into()));
    }
}

impl Shop {
    async fn owner(&self, name: &str) -> Owner {
        Owner { merchant: MerchantId(1), customer: self.app.customer_id(name).await }
    }

    /// Places what stands in a customer's cart and dies before it is taken out.
    fn place_and_die(&self, customer: CustomerId, key: &str, lines: &[(i64, i64)]) {
        let owner = Owner { merchant: MerchantId(1), customer };
        let shown = self.app.app.carts.show(owner, noon()).map_err(|error: Error| error.to_string()).unwrap();
        let mut request = placement(customer, key, lines);
        request.cart = Some(shown.cart.id);
        let outcomes = self.app.app.engine.place_group(MerchantId(1), &[&request], noon()).unwrap();
        assert!(matches!(outcomes[0], Ok(rowlock::placement::Outcome::Placed(_))), "{outcomes:?}");
    }
}

async fn a_crash_before_the_clearing_is_healed(kept: Kept) {
    let shop = kept.shop();
    let alice = shop.app.customer("alice").await;
    let customer = shop.owner("alice").await.customer;
    let fill = async || {
        alice.delete("/cart").await;
        put(&alice, 1, 2).await;
        alice.put("/cart/lines/2", &json!({ "count": 1, "selected": false })).await;
    };
    // Whatever comes next finds the cart without what was ordered.
    fill().await;
    shop.place_and_die(customer, "a", &[(1, 2)]);
    assert_eq!(cart(&alice).await, "2:1-");
    fill().await;
    shop.place_and_die(customer, "b", &[(1, 2)]);
    assert_eq!(alice.place("again", &from_cart()).await.refusal(), (422, "empty_cart".into()));
    fill().await;
    shop.place_and_die(customer, "c", &[(1, 2)]);
    assert_eq!(lines(&alice.put("/cart/selection", &json!({ "selected": true })).await), "2:1");
    fill().await;
    shop.place_and_die(customer, "d", &[(1, 2)]);
    assert_eq!(alice.delete("/cart/lines/1").await.refusal(), (404, "not_found".into()));
    fill().await;
    shop.place_and_die(customer, "e", &[(1, 2)]);
    shop.app.clock.advance(chrono::TimeDelta::seconds(1));
    assert_eq!(lines(&put(&alice, 1, 2).await), "2:1- 1:2", "it is put in again");
    assert_eq!(cart(&alice).await, "2:1- 1:2");
    // What was added to a line meanwhile stays.
    fill().await;
    shop.place_and_die(customer, "f", &[(1, 1)]);
    assert_eq!(cart(&alice).await, "1:1 2:1-");
    assert_eq!(alice.place("rest", &from_cart()).await.status, 201, "under another id");
    // A cart that is emptied by hand is not the placed one any more.
    fill().await;
    shop.place_and_die(customer, "g", &[(1, 2)]);
    alice.delete("/cart").await;
    put(&alice, 1, 2).await;
    assert_eq!(cart(&alice).await, "1:2");
    assert_eq!((shop.app.count("orders"), shop.app.stock(1)), (8, 100 - 6 * 2 - 1 - 1));
}

async fn whoever_reads_during_an_order_sees_one_or_the_other(kept: Kept) {
    let freezer = Freezer::at(Point::Written);
    let shop = kept.shop_with(Setup { probe: Some(freezer.probe.clone()), ..Setup::default() });
    let alice = shop.app.customer("alice").await;
    put(&alice, 1, 2).await;
    put(&alice, 2, 2).await;
    put(&alice, 3, 2).await;
    let placing = alice.send("key", &from_cart());
    freezer.wait().await;
    assert_eq!(cart(&alice).await, "1:2 2:2 3:2", "nothing is answered yet");
    // A count says how many are wanted in all: what exceeds the order stays.
    put(&alice, 1, 5).await;
    put(&alice, 2, 1).await;
    alice.put("/cart/selection", &json!({ "goods_ids": [1] })).await;
    freezer.release();
    assert_eq!(placing.await.unwrap().status, 201);
    assert_eq!(cart(&alice).await, "1:3");

    let freezer = Freezer::at(Point::Committed);
    let shop = kept.shop_with(Setup { probe: Some(freezer.probe.clone()), ..Setup::default() });
    let alice = shop.app.customer("alice").await;
    put(&alice, 1, 2).await;
    let placing = alice.send("key", &from_cart());
    freezer.wait().await;
    assert_eq!(cart(&alice).await, "", "it is placed, answered or not");
    assert_eq!(alice.get("/orders").await.json()["items"].as_array().unwrap().len(), 1);
    let repeated = alice.place("key", &from_cart()).await;
    assert_eq!(repeated.status, 200);
    freezer.release();
    let placed = placing.await.unwrap();
    assert_eq!((placed.status.as_u16(), placed.text), (201, repeated.text));
}

async fn two_instances_share_a_cart(kept: Kept) {
    let shop = kept.shop();
    let variables = shop.redis.iter().map(|redis| ("REDIS_URL", &*redis.url().leak())).collect();
    let other = shop.app.beside(Setup { variables, ..Setup::default() });
    let alice = shop.app.customer("alice").await;
    let there = alice.at(&other);
    for round in 0..3 {
        put(&alice, 1, 1).await;
        put(&there, 2, 1).await;
        assert_eq!(cart(&alice).await, cart(&there).await);
        let keys: Vec<String> = (0..20).map(|number| format!("{round}-{number}")).collect();
        let places = keys.iter().enumerate().map(|(number, key)| {
            let at = if number % 2 == 0 { &alice } else { &there };
            async move { at.place(key, &from_cart()).await }
        });
        let placed = join_all(places).await.iter().filter(|answer| answer.status == 201).count();
        assert_eq!((placed, shop.app.count("orders")), (1, round + 1));
        assert_eq!((cart(&alice).await, cart(&there).await), (String::new(), String::new()));
    }
}
