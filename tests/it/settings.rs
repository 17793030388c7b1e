//! The staff change their merchant's settings.

use reqwest::Method;
use serde_json::{Value, json};

use crate::clients::{Answer, Customer};
use crate::harness::{Setup, TestApp, order, words};

#[actix_web::test]
async fn settings_change_by_what_is_sent() {
    let app = TestApp::start();
    let manager = app.staff("manager").await;
    let before = manager.get("/settings").await;
    assert_eq!(before.status, 200, "{}", before.text);
    let mut expected = json!({
        "name": { "zh": "店", "en": "Shop" }, "time_zone": "Asia/Shanghai", "hours": null, "paused": false,
        "fulfilments": ["dine_in", "pickup", "delivery"], "takes_cash": true,
        "minimum_amount": "0.00", "freight": "5.00", "free_freight_from": "100.00", "unpaid_minutes": 15, "accept_minutes": 10,
        "day_starts_at": "04:00", "auto_accept": false, "accept_timeout": "reject", "complete_after_minutes": 240, "customer_cancels": true,
        "points_per_yuan": 0, "points_earned_per_yuan": 0, "points_earned_on": "completed", "webhook_url": null,
    });
    assert_eq!(before.json(), expected);
    let changes = json!({
        "name": { "zh": "新店", "en": "New shop" }, "time_zone": "Europe/Berlin",
        "hours": { "opens_at": "18:00", "closes_at": "02:00" }, "paused": true, "fulfilments": ["pickup"], "takes_cash": false,
        "minimum_amount": "20.00", "freight": "6.50",
        "free_freight_from": null, "unpaid_minutes": 5, "accept_minutes": 120, "day_starts_at": "05:30", "auto_accept": true,
        "accept_timeout": "accept", "complete_after_minutes": 10, "customer_cancels": false, "points_per_yuan": 100, "points_earned_per_yuan": 10000,
        "points_earned_on": "paid",
    });
    // One by one, each leaves the others alone.
    for (field, value) in changes.as_object().unwrap() {
        expected[field] = value.clone();
        let answer = manager.patch("/settings", &json!({ field: value })).await;
        assert_eq!((answer.status.as_u16(), answer.json()), (200, expected.clone()), "{field}");
    }
    assert_eq!(manager.get("/settings").await.json(), expected);
    assert_eq!(manager.patch("/settings", &json!({})).await.json(), expected);
    assert_eq!(manager.patch("/settings", &json!({ "hours": null })).await.json()["hours"], Value::Null);
    assert_eq!(
        manager.patch("/settings", &json!({ "complete_after_minutes": null })).await.json()["complete_after_minutes"],
        Value::Null
    );
    let said =
        "SELECT detail::text AS value FROM staff_actions WHERE detail ? 'complete_after_minutes' ORDER BY detail::text";
    assert_eq!(
        words(&mut app.conn(), said),
        [r#"{"complete_after_minutes": 10}"#, r#"{"complete_after_minutes": null}"#]
    );
    assert_eq!(app.staff_of(2, "manager").await.get("/settings").await.json()["name"]["en"], "Shop");

    let alice = app.customer("alice").await;
    assert_eq!(alice.place("a", &order(&[(1, 2)])).await.refusal(), (409, "shop_paused".into()));
    manager.patch("/settings", &json!({ "paused": false })).await;
    assert_eq!(alice.place("a", &order(&[(1, 2)])).await.status, 201);
}

/// The ways to get the same dishes, each in an order that is well-formed.
async fn ways(alice: &Customer<'_>) -> [Value; 3] {
    let address = json!({ "contact": "Li", "phone": "1234", "place": "home" });
    let address = alice.post("/addresses", &address).await.json();
    [
        json!({ "kind": "dine_in", "table": "A3" }),
        json!({ "kind": "pickup" }),
        json!({ "kind": "delivery", "address_id": address["id"] }),
    ]
    .map(|fulfilment| {
        let mut body = order(&[(1, 1)]);
        body["fulfilment"] = fulfilment;
        body
    })
}

/// Under row locks and without.
#[actix_web::test]
async fn what_is_not_offered_is_not_ordered() {
    for locking in ["pessimistic", "optimistic"] {
        let app = TestApp::with(Setup { variables: vec![("ROWLOCK_PLACEMENT_LOCKING", locking)], ..Setup::default() });
        let (manager, alice) = (app.staff("manager").await, app.customer("alice").await);
        let ways = ways(&alice).await;
        for (offered, refused, zh, en) in [
            (["pickup", "delivery"], 0, "商家不提供堂食。", "This merchant does not offer dine-in."),
            (["dine_in", "delivery"], 1, "商家不提供自取。", "This merchant does not offer pickup."),
            (["dine_in", "pickup"], 2, "商家不提供外卖。", "This merchant does not offer delivery."),
        ] {
            let [one, other] = offered;
            // In whatever order they are named, and how often.
            let settings = manager.patch("/settings", &json!({ "fulfilments": [other, one, other] })).await;
            assert_eq!(settings.json()["fulfilments"], json!(offered), "{}", settings.text);
            assert_eq!(app.get("/v1/merchants/1/menu").await.json()["fulfilments"], json!(offered));
            let (orders, left) = (app.count("orders"), app.stock(1));
            for (language, words) in [("zh", zh), ("en", en)] {
                let request = alice.request(Method::POST, "/orders").header("Idempotency-Key", "refused");
                let answer = Answer::of(request.header("Accept-Language", language).json(&ways[refused])).await;
                assert_eq!(answer.refusal(), (422, "fulfilment_not_offered".into()), "{locking} {en}");
                let problem = answer.json();
                assert_eq!((&problem["field"], &problem["detail"]), (&json!("fulfilment.kind"), &json!(words)));
            }
            assert_eq!((app.count("orders"), app.stock(1)), (orders, left), "{locking} {en}");
            for (kind, body) in ways.iter().enumerate().filter(|(kind, _)| *kind != refused) {
                let placed = alice.place(&format!("{kind}-without-{refused}"), body).await;
                assert_eq!(placed.status, 201, "{locking} {offered:?}: {}", placed.text);
            }
        }
        assert_eq!(
            app.get("/v1/merchants/2/menu").await.json()["fulfilments"],
            json!(["dine_in", "pickup", "delivery"])
        );
    }
}

/// A cart that cannot be had that way stays as it is.
#[actix_web::test]
async fn a_cart_is_not_emptied_by_an_order_for_what_is_not_offered() {
    let app = TestApp::start();
    let (manager, alice) = (app.staff("manager").await, app.customer("alice").await);
    alice.put("/cart/lines/1", &json!({ "count": 2 })).await;
    let before = alice.get("/cart").await.json();
    manager.patch("/settings", &json!({ "fulfilments": ["dine_in"], "takes_cash": false })).await;
    let mut body = json!({ "lines": "cart", "fulfilment": { "kind": "pickup" }, "pay_method": "sandbox" });
    assert_eq!(alice.place("a", &body).await.refusal(), (422, "fulfilment_not_offered".into()));
    body["fulfilment"] = json!({ "kind": "dine_in", "table": "A3" });
    body["pay_method"] = json!("cash");
    assert_eq!(alice.place("a", &body).await.refusal(), (422, "pay_method_not_offered".into()));
    assert_eq!((alice.get("/cart").await.json(), app.count("orders")), (before, 0));
    body["pay_method"] = json!("sandbox");
    assert_eq!(alice.place("a", &body).await.status, 201);
}

/// Those who ordered while it was taken pay in cash all the same.
#[actix_web::test]
async fn cash_is_switched_off_for_new_orders() {
    let app = TestApp::start();
    let (manager, alice) = (app.staff("manager").await, app.customer("alice").await);
    let mut body = order(&[(1, 1)]);
    body["pay_method"] = json!("cash");
    let placed = alice.place("before", &body).await;
    assert_eq!(manager.patch("/settings", &json!({ "takes_cash": false })).await.json()["takes_cash"], false);
    let refused = alice.place("after", &body).await;
    assert_eq!(
        (refused.refusal(), &refused.json()["field"]),
        ((422, "pay_method_not_offered".into()), &json!("pay_method"))
    );
    assert_eq!((app.count("orders"), app.stock(1)), (1, 99));
    assert_eq!(app.get("/v1/merchants/1/menu").await.json()["pay_methods"], json!(["sandbox"]));
    assert_eq!(app.get("/v1/merchants/2/menu").await.json()["pay_methods"], json!(["cash", "sandbox"]));
    assert_eq!(alice.place("sandbox", &order(&[(1, 1)])).await.status, 201);

    assert_eq!(alice.place("before", &body).await.text, placed.text, "a repeat is answered as ever");
    let path = format!("/orders/{}", placed.json()["id"].as_str().unwrap());
    for (step, body) in [
        ("accept", json!({ "minutes": 5 })),
        ("ready", json!({})),
        ("collect", json!({})),
        ("complete", json!({})),
        ("refunds", json!({ "amount": "10.00", "reason": "other", "note": "cold" })),
    ] {
        let answer = manager.post(&format!("{path}/{step}"), &body).await;
        assert!(answer.status.is_success(), "{step}: {}", answer.text);
    }
    manager.patch("/settings", &json!({ "takes_cash": true })).await;
    assert_eq!(alice.place("after", &body).await.status, 201);
}

/// Where there is nothing else, nobody could order any more.
#[actix_web::test]
async fn the_only_way_to_pay_stays() {
    let app = TestApp::with(Setup { variables: vec![("ROWLOCK_GATEWAYS_SANDBOX", "false")], ..Setup::default() });
    let manager = app.staff("manager").await;
    let refused = manager.patch("/settings", &json!({ "takes_cash": false })).await;
    assert_eq!((refused.refusal(), &refused.json()["field"]), ((422, "invalid_field".into()), &json!("takes_cash")));
    assert_eq!(manager.patch("/settings", &json!({ "takes_cash": true })).await.json()["takes_cash"], true);
}

#[actix_web::test]
async fn the_minimum_is_for_deliveries() {
    let app = TestApp::start();
    let alice = app.customer("alice").await;
    app.staff("manager").await.patch("/settings", &json!({ "minimum_amount": "20.00" })).await;
    let [dine_in, pickup, mut delivery] = ways(&alice).await;
    assert_eq!(alice.place("dine-in", &dine_in).await.status, 201);
    assert_eq!(alice.place("pickup", &pickup).await.status, 201);
    assert_eq!(alice.place("delivery", &delivery).await.refusal(), (409, "below_minimum".into()));
    delivery["lines"][0]["count"] = json!(2);
    assert_eq!(alice.place("delivery", &delivery).await.json()["total"], "25.00");
}

#[actix_web::test]
async fn settings_out_of_bounds_are_refused_by_field() {
    let app = TestApp::start();
    let manager = app.staff("manager").await;
    for (change, field) in [
        (json!({ "name": { "zh": "", "en": "x" } }), "name.zh"),
        (json!({ "time_zone": "Mars/Olympus" }), "time_zone"),
        (json!({ "time_zone": "" }), "time_zone"),
        (json!({ "hours": { "opens_at": "9:00", "closes_at": "21:00" } }), "hours.opens_at"),
        (json!({ "hours": { "opens_at": "09:00", "closes_at": "24:00" } }), "hours.closes_at"),
        (json!({ "hours": { "opens_at": "09:00", "closes_at": "09:00" } }), "hours.closes_at"),
        (json!({ "day_starts_at": "04:00:00" }), "day_starts_at"),
        (json!({ "fulfilments": [] }), "fulfilments"),
        (json!({ "fulfilments": ["pickup", "drone"] }), "fulfilments"),
        (json!({ "minimum_amount": "1000000.01" }), "minimum_amount"),
        (json!({ "freight": "999999999999" }), "freight"),
        (json!({ "free_freight_from": "1000000.01" }), "free_freight_from"),
        (json!({ "unpaid_minutes": 4 }), "unpaid_minutes"),
        (json!({ "unpaid_minutes": 121 }), "unpaid_minutes"),
        (json!({ "accept_minutes": 0 }), "accept_minutes"),
        (json!({ "accept_minutes": 121 }), "accept_minutes"),
        (json!({ "accept_timeout": "ignore" }), "accept_timeout"),
        (json!({ "complete_after_minutes": 9 }), "complete_after_minutes"),
        (json!({ "complete_after_minutes": 10081 }), "complete_after_minutes"),
        (json!({ "points_per_yuan": 10001 }), "points_per_yuan"),
        (json!({ "points_earned_per_yuan": 10001 }), "points_earned_per_yuan"),
        (json!({ "points_earned_on": "placed" }), "points_earned_on"),
        (json!({ "webhook_url": "ftp://example.org/" }), "webhook_url"),
        (json!({ "webhook_url": "example.org" }), "webhook_url"),
        (json!({ "webhook_url": "http://" }), "webhook_url"),
        (json!({ "webhook_url": "https://user:secret@example.org/" }), "webhook_url"),
        (json!({ "webhook_url": format!("https://example.org/{}", "x".repeat(500)) }), "webhook_url"),
    ] {
        let answer = manager.patch("/settings", &change).await;
        assert_eq!(
            (answer.refusal(), &answer.json()["field"]),
            ((422, "invalid_field".into()), &json!(field)),
            "{change}"
        );
    }
    for change in
        [json!({ "points_per_yuan": -1 }), json!({ "freight": 5 }), json!({ "owner": "me" }), json!({ "hours": {} })]
    {
        assert_eq!(manager.patch("/settings", &change).await.refusal(), (400, "malformed_body".into()), "{change}");
    }
    assert_eq!(app.count("staff_actions"), 0);
}

#[actix_web::test]
async fn a_webhooks_secret_is_shown_once_and_can_be_renewed() {
    let app = TestApp::start();
    let manager = app.staff("manager").await;
    let kept = |app: &TestApp| {
        words(&mut app.conn(), "SELECT coalesce(webhook_secret, 'none') AS value FROM merchants WHERE id = 1").remove(0)
    };
    assert_eq!(manager.post("/settings/webhook-secret", &json!({})).await.refusal(), (404, "not_found".into()));
    let set = manager.patch("/settings", &json!({ "webhook_url": "https://example.org/hook" })).await.json();
    let first = set["webhook_secret"].as_str().unwrap().to_owned();
    assert!(first.starts_with("whsec_") && first.len() == 50, "32 bytes in base64: {first}");
    assert_eq!(set["webhook_url"], "https://example.org/hook");
    assert_eq!(kept(&app), first);
    let moved = manager.patch("/settings", &json!({ "webhook_url": "http://127.0.0.1:9/other", "paused": true })).await;
    for answer in [&moved, &manager.get("/settings").await] {
        assert!(!answer.text.contains("secret"), "{}", answer.text);
        assert_eq!(answer.json()["webhook_url"], "http://127.0.0.1:9/other");
    }
    assert_eq!(kept(&app), first, "another address keeps the secret");
    let renewed = manager.post("/settings/webhook-secret", &json!({})).await;
    assert_eq!(renewed.status, 201);
    let second = renewed.json()["webhook_secret"].as_str().unwrap().to_owned();
    assert_eq!(kept(&app), second);
    assert_ne!(first, second);
    assert_eq!(manager.patch("/settings", &json!({ "webhook_url": null })).await.json()["webhook_url"], Value::Null);
    assert_eq!(kept(&app), "none");
    let again = manager.patch("/settings", &json!({ "webhook_url": "https://example.org/hook" })).await.json();
    assert_ne!(again["webhook_secret"].as_str().unwrap(), second, "a new webhook has a new one");
    let trail = app.staff("owner").await.get("/actions").await.text;
    for hidden in [&first, &second, "example.org"] {
        assert!(!trail.contains(hidden), "{trail}");
    }
}

/// Two who change different settings at once do not undo each other.
#[actix_web::test]
async fn settings_changed_at_once_are_all_changed() {
    let app = TestApp::start();
    let (owner, manager) = (app.staff("owner").await, app.staff("manager").await);
    for minutes in 5..25 {
        let (unpaid, accept) = (json!({ "unpaid_minutes": minutes }), json!({ "accept_minutes": minutes }));
        let (one, other) = tokio::join!(owner.patch("/settings", &unpaid), manager.patch("/settings", &accept));
        assert_eq!((one.status.as_u16(), other.status.as_u16()), (200, 200));
        let settings = owner.get("/settings").await.json();
        assert_eq!((&settings["unpaid_minutes"], &settings["accept_minutes"]), (&json!(minutes), &json!(minutes)));
    }
}
