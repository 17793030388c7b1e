//! What was paid goes back, whatever the gateway does, and those concerned see it.

use chrono::TimeDelta;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::clients::{Answer, Customer};
use crate::harness::{Setup, TestApp, words};
use crate::payments::{Attempt, alerts, attempt, let_refunds_end, pass, press, state, switch, until};

/// Who has called off what they paid for wants to know where the money is, and nothing of the restaurant's trouble with it.
#[actix_web::test]
async fn customers_see_what_goes_back() {
    let app = TestApp::start();
    let (alice, owner) = (app.customer("alice").await, app.staff("owner").await);
    let one = attempt(&alice, "one").await;
    let path = format!("/orders/{}/payments", one.order);
    assert_eq!(alice.get(&path).await.json()["refunds"], json!([]));
    press(&app, &one.number, "pay").await;
    until(&app, &state(&one), "pending_accept").await;
    switch(&app, json!({ "refund": "fail" })).await;
    alice.post(&format!("/orders/{}/cancel", one.order), &json!({ "reason": "changed_mind" })).await;
    pass(&app, TimeDelta::minutes(5)).await;
    let failed = owner.get(&format!("/orders/{}", one.order)).await.json()["refunds"][0].clone();
    assert_eq!(failed["state"], "failed");
    let mut shown = json!([{
        "id": failed["id"], "payment_id": one.payment, "state": "processing", "amount": "20.00",
        "created_at": failed["created_at"], "settled_at": null,
    }]);
    assert_eq!(alice.get(&path).await.json()["refunds"], shown);
    switch(&app, json!({})).await;
    owner.post(&format!("/refunds/{}/retry", failed["id"].as_str().unwrap()), &json!({})).await;
    let_refunds_end(&app).await;
    let settled = owner.get(&format!("/orders/{}", one.order)).await.json()["refunds"][0]["settled_at"].clone();
    assert!(settled.is_string());
    (shown[0]["state"], shown[0]["settled_at"]) = (json!("succeeded"), settled);
    assert_eq!(alice.get(&path).await.json()["refunds"], shown);
    assert_eq!(
        app.count("outbox WHERE kind = 'refund_settled' AND state = 'succeeded'"),
        1,
        "and nothing else is told"
    );
    assert_eq!(app.count("outbox WHERE kind = 'refund_settled'"), 1);
}

/// A refund that fails is asked for under another number, one that is stuck under its own; and the customer gets the money once.
#[actix_web::test]
async fn refunds_go_on_until_the_customer_has_the_money() {
    let setup = Setup { variables: vec![("ROWLOCK_GATEWAYS_REFUND_ATTEMPTS_MAX", "3")], ..Setup::default() };
    let app = TestApp::with(setup);
    let (alice, owner) = (app.customer("alice").await, app.staff("owner").await);
    let mut paid: Vec<String> = Vec::new();
    let mut refund = async |switches: Value| {
        let one = attempt(&alice, &paid.len().to_string()).await;
        paid.push(one.number.clone());
        press(&app, &one.number, "pay").await;
        until(&app, &state(&one), "pending_accept").await;
        switch(&app, switches).await;
        alice.post(&format!("/orders/{}/cancel", one.order), &json!({ "reason": "changed_mind" })).await;
        pass(&app, TimeDelta::zero()).await;
        words(&mut app.conn(), &format!("SELECT id::text AS value FROM refunds WHERE order_id = '{}'", one.order))
            .pop()
            .unwrap()
    };
    let row = |id: &str| {
        let sql = format!(
            "SELECT format('%s, round %s, %s attempts', state, round, attempts) AS value FROM refunds WHERE id = '{id}'"
        );
        words(&mut app.conn(), &sql).pop().unwrap()
    };

    let asked_again = |seconds: i64| {
        let at = app.clock.now() + TimeDelta::seconds(seconds);
        app.count(&format!("refunds WHERE check_at = '{at}' AND state <> 'succeeded'"))
    };
    let slow = refund(json!({ "refund_asks": 2 })).await;
    assert_eq!(asked_again(20), 1);
    assert_eq!(row(&slow), "submitted, round 1, 1 attempts");
    pass(&app, TimeDelta::seconds(20)).await;
    pass(&app, TimeDelta::seconds(40)).await;
    pass(&app, TimeDelta::seconds(80)).await;
    assert!(row(&slow).starts_with("succeeded, round 1"), "{}", row(&slow));
    assert_eq!(alerts(&app), Vec::<String>::new());

    let failed = refund(json!({ "refund": "fail" })).await;
    pass(&app, TimeDelta::minutes(5)).await;
    assert!(row(&failed).starts_with("failed, round 1"), "{}", row(&failed));
    assert_eq!(alerts(&app), ["refund_failed"]);
    let listed = owner.get("/alerts").await.json();
    assert_eq!((&listed["items"][0]["refund_id"], listed["items"].as_array().unwrap().len()), (&json!(failed), 1));
    switch(&app, json!({})).await;
    let again = owner.post(&format!("/refunds/{failed}/retry"), &json!({})).await;
    assert_eq!(
        (&again.json()["state"], again.json()["number"].as_str().unwrap().ends_with("-2")),
        (&json!("due"), true)
    );
    assert_eq!(alerts(&app), ["refund_failed, resolved"]);
    pass(&app, TimeDelta::seconds(59)).await;
    assert!(row(&failed).starts_with("due, round 2, 0"), "not within a minute: {}", row(&failed));
    let_refunds_end(&app).await;
    assert!(row(&failed).starts_with("succeeded, round 2"), "{}", row(&failed));
    let again = owner.post(&format!("/refunds/{failed}/retry"), &json!({})).await;
    assert_eq!((again.status.as_u16(), &again.json()["code"]), (409, &json!("refund_goes_on")));

    let unclear = refund(json!({ "fail_after": ["refund"], "never_call": true })).await;
    assert_eq!(row(&unclear), "due, round 1, 1 attempts");
    assert_eq!(asked_again(60), 1, "not within a minute");
    switch(&app, json!({})).await;
    let_refunds_end(&app).await;
    assert!(row(&unclear).starts_with("succeeded, round 1"), "{}", row(&unclear));

    let stuck = refund(json!({ "fail_after": ["refund"], "refund": "abnormal", "never_call": true })).await;
    pass(&app, TimeDelta::minutes(10)).await;
    pass(&app, TimeDelta::minutes(10)).await;
    assert_eq!(row(&stuck), "abnormal, round 1, 3 attempts");
    assert_eq!(alerts(&app)[1..], ["refund_stuck"]);
    pass(&app, TimeDelta::hours(10)).await;
    assert_eq!(row(&stuck), "abnormal, round 1, 3 attempts", "it waits for a human");
    let alert = owner.get("/alerts").await.json()["items"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(owner.post(&format!("/alerts/{alert}/resolve"), &json!({})).await.status, StatusCode::OK);
    let twice = owner.post(&format!("/alerts/{alert}/resolve"), &json!({})).await;
    assert_eq!((twice.status.as_u16(), &twice.json()["code"]), (409, &json!("already_resolved")));
    assert_eq!(owner.get("/alerts").await.json()["items"], json!([]));
    let all = owner.get("/alerts?open=false").await.json();
    assert_eq!(all["items"].as_array().unwrap().len(), 2);
    assert!(all["items"][0]["resolved_by"].as_str().unwrap().starts_with("staff "));
    // What went back is what the gateway has sent back, whatever was asked how often.
    let mut sent = Vec::new();
    for number in &paid {
        sent.push(app.get(&format!("/sandbox/pay/{number}")).await.text.matches("已退款 refunded").count());
    }
    assert_eq!(sent, [1, 1, 1, 0]);
}

/// What the gateway has taken on and then says nothing of is put in again under its own number: should the customer have the money, it
/// stays at that.
#[actix_web::test]
async fn a_refund_that_was_taken_on_and_is_stuck_is_put_in_again() {
    let setup = Setup { variables: vec![("ROWLOCK_GATEWAYS_REFUND_ATTEMPTS_MAX", "3")], ..Setup::default() };
    let app = TestApp::with(setup);
    let (alice, owner) = (app.customer("alice").await, app.staff("owner").await);
    let one = attempt(&alice, "one").await;
    press(&app, &one.number, "pay").await;
    until(&app, &state(&one), "pending_accept").await;
    switch(&app, json!({ "fail_after": ["query_refund"], "refund_asks": 1, "never_call": true })).await;
    let why = json!({ "reason": "changed_mind", "note": "It rains" });
    alice.post(&format!("/orders/{}/cancel", one.order), &why).await;
    pass(&app, TimeDelta::zero()).await;
    let refund = async || owner.get(&format!("/orders/{}", one.order)).await.json()["refunds"][0].clone();
    let first = refund().await;
    assert_eq!(first["note"], "It rains");
    let retry = format!("/refunds/{}/retry", first["id"].as_str().unwrap());
    let early = owner.post(&retry, &json!({})).await;
    assert_eq!((early.refusal(), &early.json()["state"]), ((409, "refund_goes_on".to_owned()), &json!("submitted")));
    for _ in 0..2 {
        pass(&app, TimeDelta::minutes(10)).await;
    }
    let stuck = refund().await;
    assert_eq!((&stuck["state"], alerts(&app)), (&json!("submitted"), vec!["refund_stuck".to_owned()]));
    let trouble = stuck["trouble"].as_str().unwrap();
    assert!(trouble.contains("500"), "{trouble}");
    let again = owner.post(&retry, &json!({})).await.json();
    assert_eq!((&again["state"], &again["number"], &again["attempts"]), (&json!("due"), &first["number"], &json!(0)));
    assert_eq!(alerts(&app), ["refund_stuck, resolved"]);
    let_refunds_end(&app).await;
    assert_eq!(refund().await["state"], "succeeded");
    let page = app.get(&format!("/sandbox/pay/{}", one.number)).await.text;
    assert_eq!(page.matches("已退款 refunded").count(), 1);
}

/// An order that was paid and called off, with a gateway that deals with its refund as it is told to.
async fn called_off(app: &TestApp, alice: &Customer<'_>, refund: &str) -> Attempt {
    let one = attempt(alice, "one").await;
    press(app, &one.number, "pay").await;
    until(app, &state(&one), "pending_accept").await;
    switch(app, json!({ "refund": refund })).await;
    alice.post(&format!("/orders/{}/cancel", one.order), &json!({ "reason": "changed_mind" })).await;
    one
}

/// What was paid by hand is done: the customer sees it so, and the gateway is not asked to pay it once more.
#[actix_web::test]
async fn a_refund_that_was_paid_by_hand_is_not_paid_again() {
    let app = TestApp::start();
    let (alice, owner) = (app.customer("alice").await, app.staff("owner").await);
    let one = called_off(&app, &alice, "fail").await;
    let refund = words(&mut app.conn(), "SELECT id::text AS value FROM refunds").pop().unwrap();
    let (by_hand, retry) = (format!("/refunds/{refund}/paid-by-hand"), format!("/refunds/{refund}/retry"));
    let goes_on = (409, "refund_goes_on".to_owned());
    assert_eq!(owner.post(&by_hand, &json!({})).await.refusal(), goes_on, "the gateway may still pay it");
    pass(&app, TimeDelta::minutes(5)).await;
    assert_eq!(alerts(&app), ["refund_failed"]);
    switch(&app, json!({})).await;
    let paid = owner.post(&by_hand, &json!({})).await.json();
    assert_eq!((&paid["state"], &paid["by_hand"]), (&json!("succeeded"), &json!(true)));
    for path in [&by_hand, &retry] {
        assert_eq!(owner.post(path, &json!({})).await.refusal(), goes_on, "{path}");
    }
    pass(&app, TimeDelta::hours(10)).await;
    let shown = owner.get(&format!("/orders/{}", one.order)).await.json()["refunds"][0].clone();
    assert_eq!(shown, paid);
    let seen = alice.get(&format!("/orders/{}/payments", one.order)).await.json()["refunds"][0].clone();
    assert_eq!((&seen["state"], &seen["settled_at"]), (&json!("succeeded"), &paid["settled_at"]));
    assert_eq!(alerts(&app), ["refund_failed, resolved"]);
    assert_eq!(app.count("outbox WHERE kind = 'refund_settled'"), 1);
    assert_eq!(app.count("staff_actions WHERE action = 'pay_refund_by_hand'"), 1);
    let page = app.get(&format!("/sandbox/pay/{}", one.number)).await.text;
    assert_eq!(page.matches("已退款 refunded").count(), 0);
}

/// Somebody paid by hand what the gateway then pays after all. The customer has the money twice, and a human is told.
#[actix_web::test]
async fn a_refund_that_the_gateway_pays_after_all_is_told_of() {
    let app = TestApp::start();
    let (alice, owner) = (app.customer("alice").await, app.staff("owner").await);
    let one = called_off(&app, &alice, "abnormal").await;
    for _ in 0..2 {
        pass(&app, TimeDelta::minutes(5)).await;
    }
    assert_eq!(alerts(&app), ["refund_abnormal"]);
    let refund = async || owner.get(&format!("/orders/{}", one.order)).await.json()["refunds"][0].clone();
    let shown = refund().await;
    let by_hand = format!("/refunds/{}/paid-by-hand", shown["id"].as_str().unwrap());
    let paid = owner.post(&by_hand, &json!({})).await.json();
    let settle = format!("/sandbox/v1/refunds/{}/succeed", shown["number"].as_str().unwrap());
    assert_eq!(Answer::of(app.request(Method::POST, &settle)).await.status, StatusCode::OK);
    let told = "SELECT kind || ' ' || refund_id AS value FROM alerts WHERE resolved_at IS NULL";
    until(&app, told, &format!("refund_twice {}", shown["id"].as_str().unwrap())).await;
    assert_eq!(refund().await, paid, "what the staff said stands");
}

/// Somebody at the provider settles what was stuck there, and its notice is news.
#[actix_web::test]
async fn a_refund_ends_by_the_gateways_notice() {
    let app = TestApp::start();
    let alice = app.customer("alice").await;
    let one = called_off(&app, &alice, "abnormal").await;
    for _ in 0..2 {
        pass(&app, TimeDelta::minutes(5)).await;
    }
    assert_eq!(alerts(&app), ["refund_abnormal"]);
    let number =
        app.staff("owner").await.get(&format!("/orders/{}", one.order)).await.json()["refunds"][0]["number"].clone();
    let settle = format!("/sandbox/v1/refunds/{}/succeed", number.as_str().unwrap());
    assert_eq!(Answer::of(app.request(Method::POST, &settle)).await.status, StatusCode::OK);
    until(&app, "SELECT state AS value FROM refunds", "succeeded").await;
    assert_eq!(alerts(&app), ["refund_abnormal, resolved"]);
    let notices = "rowlock_notices_total{gateway=\"sandbox\",outcome=\"refund\"}";
    for _ in 0..100 {
        if app.metric(notices) > 0.5 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("the notice was not counted as news");
}
