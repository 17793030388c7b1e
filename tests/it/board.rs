//! The staff look for orders, export them and see what the days came to.

use chrono::{DateTime, Utc};
use reqwest::Method;
use serde_json::{Value, json};

use crate::clients::{Answer, Customer, Staff};
use crate::harness::{TestApp, order};

fn at(app: &TestApp, moment: &str) {
    let moment: DateTime<Utc> = moment.parse().unwrap();
    app.clock.advance(moment - app.clock.now());
}

/// Places an order and returns its id.
async fn place(who: &Customer<'_>, key: &str, change: Value) -> String {
    let mut body = order(&[(1, 2)]);
    body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    let answer = who.place(key, &body).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    answer.json()["id"].as_str().unwrap().to_owned()
}

/// The ids that a query finds.
async fn found(staff: &Staff<'_>, query: &str) -> Vec<String> {
    let answer = staff.get(&format!("/orders{query}")).await;
    assert_eq!(answer.status, 200, "{query}: {}", answer.text);
    answer.json()["items"].as_array().unwrap().iter().map(|order| order["id"].as_str().unwrap().to_owned()).collect()
}

#[actix_web::test]
async fn orders_are_found_by_what_they_are() {
    let app = TestApp::start();
    let alice = app.customer("alice").await;
    let bob = app.customer("bob").await;
    // The day turns at four in the morning in Shanghai.
    at(&app, "2026-11-21T04:00:00Z");
    let noon = place(&alice, "noon", json!({ "remark": "100% 辣", "pay_method": "cash" })).await;
    at(&app, "2026-11-21T19:59:59Z");
    let table = json!({ "fulfilment": { "kind": "dine_in", "table": "A_3" } });
    let night = place(&bob, "night", table).await;
    at(&app, "2026-11-21T20:00:00Z");
    let home = json!({ "contact": "李雷", "phone": "+86 138-0013", "place": "滨江路" });
    let address = alice.post("/addresses", &home).await.json()["id"].clone();
    let delivery = json!({ "fulfilment": { "kind": "delivery", "address_id": address } });
    let dawn = place(&alice, "dawn", delivery).await;
    app.execute(&format!(
        "UPDATE orders SET pickup_no = 42, pickup_day = '2026-11-21' WHERE id = '{noon}';
         UPDATE orders SET pickup_no = 142, pickup_day = '2026-11-21' WHERE id = '{night}'"
    ));
    let elsewhere = app.customer_of(2, "alice").await;
    let theirs = elsewhere.place("else", &order(&[(101, 1)])).await.json()["id"].as_str().unwrap().to_owned();

    let cashier = app.staff("cashier").await;
    let all = [&dawn, &night, &noon];
    let id = |range: std::ops::Range<usize>| format!("?q={}", &noon[range]);
    for (query, expected) in [
        (String::new(), all.to_vec()),
        ("?state=&q=&pay_method=".into(), all.to_vec()),
        ("?state=pending_accept".into(), vec![&noon]),
        ("?state=pending_accept,pending_payment".into(), all.to_vec()),
        ("?state=completed".into(), vec![]),
        ("?pay_method=cash".into(), vec![&noon]),
        ("?pay_method=sandbox&fulfilment=dine_in".into(), vec![&night]),
        ("?fulfilment=delivery".into(), vec![&dawn]),
        ("?from=2026-11-21&to=2026-11-21".into(), vec![&night, &noon]),
        ("?from=2026-11-22".into(), vec![&dawn]),
        ("?to=2026-11-20".into(), vec![]),
        ("?to=2026-11-21&fulfilment=pickup".into(), vec![&noon]),
        ("?q=%E6%9D%8E".into(), vec![&dawn]),
        ("?q=138-0013".into(), vec![&dawn]),
        ("?q=a_3".into(), vec![&night]),
        // Wildcards, and what escapes them, are letters.
        ("?q=100%25".into(), vec![&noon]),
        ("?q=1%25".into(), vec![]),
        ("?q=A-3".into(), vec![]),
        ("?q=_".into(), vec![&night]),
        ("?q=%5C".into(), vec![]),
        ("?q='".into(), vec![]),
        ("?q=42".into(), vec![&noon]),
        ("?q=142".into(), vec![&night]),
        (id(0..36), vec![&noon]),
        (id(0..11), vec![&noon]),
        (id(0..13).to_uppercase().replace("?Q", "?q"), vec![&noon]),
        (id(1..36), vec![]),
        ("?ids=".into(), all.to_vec()),
        (format!("?ids={noon}"), vec![&noon]),
        (format!("?ids={noon},%20{dawn},{noon}"), vec![&dawn, &noon]),
        (format!("?ids={noon},{night}&pay_method=cash"), vec![&noon]),
        (format!("?ids={dawn},{theirs},00000000-0000-0000-0000-000000000000&limit=100"), vec![&dawn]),
        (format!("?ids={theirs}"), vec![]),
        (format!("?ids={}", [&*noon; 100].join(",")), vec![&noon]),
    ] {
        assert_eq!(found(&cashier, &query).await.iter().collect::<Vec<_>>(), expected, "{query}");
    }

    let first = cashier.get("/orders?limit=2").await.json();
    let cursor = first["next_cursor"].as_str().unwrap();
    assert_eq!(cursor, night);
    let second = cashier.get(&format!("/orders?limit=2&cursor={cursor}")).await.json();
    assert_eq!((&second["items"][0]["id"], &second["next_cursor"]), (&json!(noon), &Value::Null));

    let too_many = format!("ids={}", [&*noon; 101].join(","));
    for query in [
        &*too_many,
        "ids=x",
        "ids=,",
        "limit=0",
        "limit=101",
        "limit=x",
        "cursor=x",
        "state=paid",
        "state=accepted,",
        "pay_method=gold",
        "fulfilment=drone",
        "from=2026-13-01",
        "from=21.11.2026",
        "from=1999-12-31",
        "to=9999-01-01",
        "from=2026-11-22&to=2026-11-21",
        "colour=red",
    ] {
        assert_eq!(
            cashier.get(&format!("/orders?{query}")).await.refusal(),
            (400, "malformed_query".into()),
            "{query}"
        );
    }
    let long = cashier.get(&format!("/orders?q={}", "x".repeat(51))).await;
    assert_eq!((long.refusal(), &long.json()["field"]), ((422, "invalid_field".into()), &json!("q")));
    assert_eq!(cashier.get("/orders?q=a%00b").await.refusal(), (422, "invalid_field".into()));
    // Nobody was given these numbers.
    app.execute("UPDATE orders SET pickup_no = NULL, pickup_day = NULL");
}

#[actix_web::test]
async fn the_staff_see_their_own_merchants_orders_as_their_role_permits() {
    let app = TestApp::start();
    let alice = app.customer("alice").await;
    let id = place(&alice, "key", json!({})).await;
    let paths = ["/orders", &format!("/orders/{id}"), "/orders/export", "/statistics"];
    for (role, may) in [
        ("owner", [true; 4]),
        ("manager", [true; 4]),
        ("cashier", [true, true, false, false]),
        ("kitchen", [true, true, false, false]),
    ] {
        let staff = app.staff(role).await;
        for (path, may) in paths.iter().zip(may) {
            let answer = staff.get(path).await;
            if may {
                assert_eq!(answer.status, 200, "{role} {path}: {}", answer.text);
            } else {
                assert_eq!(answer.refusal(), (403, "forbidden".into()), "{role} {path}");
            }
        }
    }
    assert_eq!(app.count("staff_actions WHERE action = 'export_orders'"), 2, "who took the contacts is known");
    let other = app.staff_of(2, "owner").await;
    assert_eq!(found(&other, "").await, Vec::<String>::new());
    assert_eq!(other.get(paths[1]).await.refusal(), (404, "not_found".into()));
    assert_eq!(other.get("/orders/export").await.text.lines().count(), 1);
    assert_eq!(other.get("/statistics").await.json()["total"]["placed"], 0);
    let owner = app.staff("owner").await;
    for path in paths {
        let path = format!("/v1/admin/merchants/1{path}");
        let ask = |token: &str| Answer::of(app.request(Method::GET, &path).bearer_auth(token));
        assert_eq!(ask(&other.token).await.refusal(), (403, "wrong_merchant".into()), "{path}");
        assert_eq!(ask(&alice.token).await.refusal(), (401, "unauthenticated".into()), "{path}");
        assert_eq!(app.get(&path).await.refusal(), (401, "unauthenticated".into()), "{path}");
    }
    assert_eq!(owner.get("/orders/one").await.refusal(), (404, "not_found".into()));
}

/// Gives an order a payment, a refund of a part, and a history, by hand.
fn paid_and_refunded(app: &TestApp, id: &str, amount: &str, refund: &str) {
    app.execute(&format!(
        "INSERT INTO payments (merchant_id, id, order_id, gateway, state, amount, transaction, actor, created_at, settled_at)
             VALUES (1, gen_random_uuid(), '{id}', 'sandbox', 'paid', {amount}, 'T-{id}', 'gateway', now(), now());
         INSERT INTO order_events (merchant_id, order_id, seq, from_state, to_state, move, actor, happened_at)
             SELECT 1, id, 1, 'pending_payment', 'pending_accept', 'pay', 'gateway', placed_at + interval '60 s' FROM orders WHERE id = '{id}'
             UNION ALL SELECT 1, id, 2, 'pending_accept', 'accepted', 'accept', 'staff x', placed_at + interval '150 s' FROM orders WHERE id = '{id}';
         UPDATE orders SET state = 'accepted', paid_at = placed_at + interval '60 s' WHERE id = '{id}'"
    ));
    if refund != "0" {
        app.execute(&format!(
            "INSERT INTO refunds (merchant_id, id, payment_id, order_id, state, amount, reason, note, actor, created_at)
                 SELECT 1, gen_random_uuid(), id, order_id, 'due', {refund}, 'bad_quality', 'cold', 'staff x', now()
                 FROM payments WHERE order_id = '{id}'"
        ));
    }
}

#[actix_web::test]
async fn an_order_is_shown_with_all_that_became_of_it() {
    let mut app = TestApp::start();
    app.audit_at_end = false;
    let alice = app.customer("alice").await;
    let id = place(&alice, "key", json!({})).await;
    paid_and_refunded(&app, &id, "20", "5.5");
    let shown = app.staff("kitchen").await.get(&format!("/orders/{id}")).await.json();
    assert_eq!((&shown["order"]["id"], &shown["order"]["lines"][0]["count"]), (&json!(id), &json!(2)));
    let history: Vec<Value> = shown["history"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| json!([m["seq"], m["move"], m["to"], m["actor"]]))
        .collect();
    assert_eq!(history, [json!([1, "pay", "pending_accept", "gateway"]), json!([2, "accept", "accepted", "staff x"])]);
    assert_eq!((&shown["payments"][0]["amount"], &shown["payments"][0]["state"]), (&json!("20.00"), &json!("paid")));
    let refund = &shown["refunds"][0];
    assert_eq!(
        (&refund["amount"], &refund["reason"], &refund["note"]),
        (&json!("5.50"), &json!("bad_quality"), &json!("cold"))
    );
    assert_eq!(refund["payment_id"], shown["payments"][0]["id"]);
}

#[actix_web::test]
async fn an_export_is_the_filtered_orders_and_no_formula() {
    let mut app = TestApp::start();
    app.audit_at_end = false;
    let alice = app.customer("alice").await;
    at(&app, "2026-11-21T19:30:00Z");
    let home = json!({ "contact": "=cmd|' /C calc'!A0", "phone": "+86 138", "place": "@home, \"left\"" });
    let address = alice.post("/addresses", &home).await.json()["id"].clone();
    let fulfilment = json!({ "kind": "delivery", "address_id": address });
    let first = place(&alice, "a", json!({ "fulfilment": fulfilment, "remark": "-1\n少辣" })).await;
    paid_and_refunded(&app, &first, "25", "5.5");
    app.clock.advance(chrono::TimeDelta::seconds(1));
    let second = place(&alice, "b", json!({ "pay_method": "cash" })).await;
    let owner = app.staff("owner").await;
    let answer = owner.get("/orders/export").await;
    assert_eq!(answer.headers["content-type"], "text/csv; charset=utf-8");
    assert_eq!(answer.headers["content-disposition"], "attachment; filename=\"orders.csv\"");
    let bytes = owner.request(Method::GET, "/orders/export").send().await.unwrap().bytes().await.unwrap();
    assert!(bytes.starts_with(b"\xef\xbb\xbf") && bytes.ends_with(b"\r\n"));
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let rows = text.trim_start_matches('\u{feff}').split("\r\n").collect::<Vec<_>>();
    assert_eq!(
        rows[1..],
        [
            &*format!(
                "{second},2026-11-22 03:30:01,2026-11-21,,pending_accept,pickup,,,,,cash,饺子 小 × 2,20.00,0.00,20.00,0.00,0.00,"
            ),
            &*format!(
                "{first},2026-11-22 03:30:00,2026-11-21,,accepted,delivery,,'=cmd|' /C calc'!A0,'+86 138,\"'@home, \"\"left\"\"\",sandbox,饺子 小 × 2,20.00,5.00,25.00,25.00,5.50,\"'-1\n少辣\""
            ),
            "",
        ]
    );
    for (query, ids) in [("?pay_method=cash", vec![&second]), ("?q=calc", vec![&first]), ("?from=2026-11-22", vec![])] {
        let text = owner.get(&format!("/orders/export{query}")).await.text;
        let found: Vec<&str> =
            text.split("\r\n").skip(1).filter_map(|row| row.split_once(',')).map(|(id, _)| id).collect();
        assert_eq!(found, ids, "{query}");
    }
    assert_eq!(owner.get("/orders/export?limit=5").await.refusal(), (400, "malformed_query".into()));
    assert_eq!(owner.get("/orders/export?state=gone").await.refusal(), (400, "malformed_query".into()));
}

/// Adds orders of nothing, by the thousand: `count` of them, a second apart.
fn many(app: &TestApp, count: u32) {
    app.execute(&format!(
        "INSERT INTO orders (merchant_id, id, customer_id, state, fulfilment, pay_method, goods_amount, freight, total, remark, placed_at)
             SELECT 1, (lpad(to_hex(1792000000000 + n * 1000), 12, '0') || '7000' || '8000' || lpad(to_hex(n), 12, '0'))::uuid, c.id,
                 'completed', 'pickup', 'cash', 0, 0, 0, '', to_timestamp(1792000000 + n)
             FROM generate_series(1, {count}) n CROSS JOIN customers c"
    ));
}

#[actix_web::test]
async fn an_export_has_every_order_once_or_says_that_there_are_too_many() {
    let mut app = TestApp::start();
    app.audit_at_end = false;
    app.customer("alice").await;
    many(&app, 20_000);
    let owner = app.staff("owner").await;
    let text = owner.get("/orders/export").await.text;
    let mut ids: Vec<&str> =
        text.split("\r\n").skip(1).filter_map(|row| row.split_once(',')).map(|(id, _)| id).collect();
    assert!(ids.len() == 20_000 && ids.is_sorted_by(|a, b| a > b), "{} orders", ids.len());
    ids.dedup();
    assert_eq!(ids.len(), 20_000);
    let customer = app.customer("alice").await;
    place(&customer, "one", json!({})).await;
    assert_eq!(owner.get("/orders/export").await.refusal(), (422, "export_too_large".into()));
    let fewer = owner.get("/orders/export?to=2026-11-20").await;
    assert_eq!(fewer.text.split("\r\n").count(), 20_002);
}

#[actix_web::test]
async fn days_are_summed_by_the_merchants_clock() {
    let mut app = TestApp::start();
    app.audit_at_end = false;
    let alice = app.customer("alice").await;
    // The 20th: paid in whole, cancelled and paid back. The 21st, until four in the morning: two paid, one rejected.
    at(&app, "2026-11-20T04:00:00Z");
    let cancelled = place(&alice, "cancelled", json!({ "lines": [{ "goods_id": 3, "count": 1 }] })).await;
    at(&app, "2026-11-20T20:00:00Z");
    let early = place(&alice, "early", json!({})).await;
    at(&app, "2026-11-21T19:59:59Z");
    let late =
        place(&alice, "late", json!({ "lines": [{ "goods_id": 2, "count": 3 }, { "goods_id": 1, "count": 2 }] })).await;
    let rejected = place(&alice, "rejected", json!({ "pay_method": "cash" })).await;
    at(&app, "2026-11-21T20:00:00Z");
    let next = place(&alice, "next", json!({ "pay_method": "cash", "lines": [{ "goods_id": 4, "count": 9 }] })).await;
    paid_and_refunded(&app, &cancelled, "30", "30");
    paid_and_refunded(&app, &early, "20", "0");
    paid_and_refunded(&app, &late, "80", "20");
    app.execute(&format!(
        "INSERT INTO payments (merchant_id, id, order_id, gateway, state, amount, actor, created_at)
             VALUES (1, gen_random_uuid(), '{early}', 'sandbox', 'closed', 20, 'gateway', now())"
    ));
    app.execute(&format!(
        "UPDATE orders SET state = 'cancelled' WHERE id = '{cancelled}'; UPDATE orders SET state = 'rejected' WHERE id = '{rejected}';
         UPDATE orders SET state = 'completed' WHERE id = '{early}';
         UPDATE order_lines SET refunded_count = 1 WHERE order_id = '{late}' AND goods_id = 2;
         UPDATE order_events SET happened_at = happened_at + interval '21 s' WHERE order_id = '{late}' AND move = 'accept';
         INSERT INTO order_events (merchant_id, order_id, seq, from_state, to_state, move, actor, happened_at)
             VALUES (1, '{next}', 1, 'pending_accept', 'accepted', 'accept', 'timer', now())"
    ));
    let owner = app.staff("owner").await;
    let answer = owner.get("/statistics?from=2026-11-19&to=2026-11-22").await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let answer = answer.json();
    let sums = |turnover: &str, average: Value, counts: [u64; 5], seconds: Value| {
        let [paid, placed, completed, cancelled, rejected] = counts;
        json!({ "turnover": turnover, "average": average, "paid": paid, "placed": placed, "completed": completed,
            "cancelled": cancelled, "rejected": rejected, "mean_accept_seconds": seconds })
    };
    let mut days = answer["days"].as_array().unwrap().clone();
    let named: Vec<Value> = days.iter_mut().map(|day| day.as_object_mut().unwrap().remove("day").unwrap()).collect();
    assert_eq!(named, ["2026-11-19", "2026-11-20", "2026-11-21", "2026-11-22"]);
    assert_eq!(
        days,
        [
            sums("0.00", Value::Null, [0, 0, 0, 0, 0], Value::Null),
            sums("0.00", Value::Null, [0, 1, 0, 1, 0], json!(90)),
            sums("80.00", json!("40.00"), [2, 3, 1, 0, 1], json!(100)),
            sums("0.00", Value::Null, [0, 1, 0, 0, 0], Value::Null),
        ]
    );
    assert_eq!(answer["total"], sums("80.00", json!("40.00"), [2, 5, 1, 1, 1], json!(97)));
    let best = |by: &str| -> Vec<Value> {
        let sold = answer[by].as_array().unwrap().iter();
        sold.map(|sold| json!([sold["goods_id"], sold["units"], sold["amount"]])).collect()
    };
    let (four, one, two) = (json!([4, 9, "4.50"]), json!([1, 4, "40.00"]), json!([2, 2, "40.00"]));
    assert_eq!(best("best_by_units"), [four.clone(), one.clone(), two.clone()]);
    assert_eq!(best("best_by_amount"), [one, two, four]);
    assert_eq!((&answer["time_zone"], &answer["day_starts_at"]), (&json!("Asia/Shanghai"), &json!("04:00")));

    let hours = |answer: &Value| -> Vec<Value> {
        let hours = answer["hours"].as_array().unwrap();
        assert!(hours.iter().map(|hour| hour["hour"].as_u64().unwrap()).eq(0..24));
        let busy = hours.iter().filter(|hour| hour["placed"] != 0 || hour["turnover"] != "0.00");
        busy.map(|hour| json!([hour["hour"], hour["placed"], hour["turnover"]])).collect()
    };
    // Noon of one day; the first and the last hour of another one, and the first of the next.
    assert_eq!(hours(&answer), [json!([3, 2, "60.00"]), json!([4, 2, "20.00"]), json!([12, 1, "0.00"])]);

    // Up to a moment: what was placed then does not count.
    let before = async |days: &str, until: &str| owner.get(&format!("/statistics?{days}&until={until}")).await.json();
    let until_late = before("from=2026-11-20&to=2026-11-21", "2026-11-22T03:59:59%2B08:00").await;
    assert_eq!((&until_late["total"]["placed"], &until_late["total"]["turnover"]), (&json!(2), &json!("20.00")));
    assert_eq!((&until_late["days"][1]["placed"], &until_late["days"][0]["placed"]), (&json!(1), &json!(1)));
    assert_eq!(hours(&until_late), [json!([4, 1, "20.00"]), json!([12, 1, "0.00"])]);
    assert_eq!(until_late["best_by_units"].as_array().unwrap().len(), 1);
    let after_late = before("from=2026-11-20&to=2026-11-21", "2026-11-21T20:00:00Z").await;
    assert_eq!(
        (&after_late["total"]["placed"], &after_late["best_by_amount"][0]["amount"]),
        (&json!(4), &json!("40.00"))
    );
    for (until, placed) in [("0001-01-01T00:00:00Z", 0), ("%2B200000-01-01T00:00:00Z", 3)] {
        assert_eq!(before("from=2026-11-21&to=2026-11-21", until).await["total"]["placed"], placed, "{until}");
    }

    // Without days: today, by the merchant's clock.
    let today = owner.get("/statistics").await.json();
    assert_eq!(
        (&today["from"], &today["to"], &today["total"]["placed"]),
        (&json!("2026-11-22"), &json!("2026-11-22"), &json!(1))
    );
    assert_eq!(owner.get("/statistics?from=2026-11-21").await.json()["total"]["placed"], 4);
    assert_eq!(owner.get("/statistics?from=2025-11-22&to=2026-11-22").await.status, 200);
    for query in [
        "from=2025-11-21&to=2026-11-22",
        "from=2026-11-23",
        "from=x",
        "to=1999-12-31",
        "days=3",
        "until=noon",
        "until=2026-11-21",
    ] {
        assert_eq!(
            owner.get(&format!("/statistics?{query}")).await.refusal(),
            (400, "malformed_query".into()),
            "{query}"
        );
    }
}

/// Samoa went from the 29th of December 2011 to the 31st.
#[actix_web::test]
async fn a_day_that_never_was_came_to_nothing() {
    let app = TestApp::start();
    app.execute("UPDATE merchants SET time_zone = 'Pacific/Apia', day_starts_at = '00:00'");
    let owner = app.staff("owner").await;
    let answer = owner.get("/statistics?from=2011-12-30&to=2011-12-30&until=2011-12-30T12:00:00Z").await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let (statistics, none) = (answer.json(), json!([]));
    assert_eq!((&statistics["total"]["placed"], &statistics["best_by_units"]), (&json!(0), &none));
    let days = statistics["days"].as_array().unwrap();
    assert_eq!((days.len(), &days[0]["day"], &days[0]["placed"]), (1, &json!("2011-12-30"), &json!(0)));
    assert_eq!(statistics["hours"].as_array().unwrap().len(), 24);
    let around = owner.get("/statistics?from=2011-12-29&to=2011-12-31").await.json();
    assert_eq!(around["days"].as_array().unwrap().len(), 3);
}
