//! The staff change their merchant's settings.

use serde_json::{Value, json};

use crate::clients::Customer;
use crate::harness::{TestApp, order, words};

#[actix_web::test]
async fn settings_change_by_what_is_sent() {
    let app = TestApp::start();
    let manager = app.staff("manager").await;
    let before = manager.get("/settings").await;
    assert_eq!(before.status, 200, "{}", before.text);
    let mut expected = json!({
        "name": { "zh": "店", "en": "Shop" }, "time_zone": "Asia/Shanghai", "hours": null, "paused": false,
        "minimum_amount": "0.00", "freight": "5.00", "free_freight_from": "100.00", "unpaid_minutes": 15, "accept_minutes": 10,
        "day_starts_at": "04:00", "auto_accept": false, "accept_timeout": "reject", "customer_cancels": true,
        "points_per_yuan": 0, "points_earned_per_yuan": 0, "points_earned_on": "completed", "webhook_url": null,
    });
    assert_eq!(before.json(), expected);
    let changes = json!({
        "name": { "zh": "新店", "en": "New shop" }, "time_zone": "Europe/Berlin",
        "hours": { "opens_at": "18:00", "closes_at": "02:00" }, "paused": true, "minimum_amount": "20.00", "freight": "6.50",
        "free_freight_from": null, "unpaid_minutes": 5, "accept_minutes": 120, "day_starts_at": "05:30", "auto_accept": true,
        "accept_timeout": "accept", "customer_cancels": false, "points_per_yuan": 100, "points_earned_per_yuan": 10000,
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
        (json!({ "minimum_amount": "1000000.01" }), "minimum_amount"),
        (json!({ "freight": "999999999999" }), "freight"),
        (json!({ "free_freight_from": "1000000.01" }), "free_freight_from"),
        (json!({ "unpaid_minutes": 4 }), "unpaid_minutes"),
        (json!({ "unpaid_minutes": 121 }), "unpaid_minutes"),
        (json!({ "accept_minutes": 0 }), "accept_minutes"),
        (json!({ "accept_minutes": 121 }), "accept_minutes"),
        (json!({ "accept_timeout": "ignore" }), "accept_timeout"),
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
