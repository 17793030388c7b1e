//! Notices that come a hundred times at once, and before what they are about.

use chrono::TimeDelta;
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;

use crate::clients::Answer;
use crate::harness::{TestApp, number, order, until, words};
use crate::moves::id;
use crate::providers::{Signer, press, terms};
use crate::two_tills::{Tills, run_timers};

/// The provider calls both instances fifty times each, at once: one payment, one row in the inbox, everything credited once.
#[actix_web::test]
async fn a_hundred_of_the_same_notice_count_once() {
    for variables in [&[][..], &[("ROWLOCK_GATEWAYS_LEASE_MS", "0")][..]] {
        let tills = Tills::start(variables);
        let app = &tills.one;
        app.execute(
            "UPDATE goods SET grant_kind = 'votes', grant_per_unit = 3 WHERE id = 1;
             UPDATE goods SET grant_kind = 'tips', grant_per_unit = 50 WHERE id = 2",
        );
        let alice = app.customer("alice").await;
        let order = id(&alice.place("one", &order(&[(1, 2), (2, 4)])).await.json());
        let started = alice.post(&format!("/orders/{order}/payments"), &json!({})).await.json();
        let number_there = started["payment"]["id"].as_str().unwrap().replace('-', "");
        tills.relay.keep_notices(&number_there);
        assert_eq!(tills.press(&number_there, "pay").await.status, 200);
        let notice = tills.relay.kept(&number_there).await;
        let calls = (0..100).map(|call| Answer::of(notice.to(if call % 2 == 0 { app } else { &tills.two })));
        for answer in join_all(calls).await {
            assert_eq!((answer.status.as_u16(), answer.text.as_str()), (200, r#"{"code":"SUCCESS"}"#));
        }
        assert_eq!((app.count("gateway_notices"), app.count("payments"), app.count("refunds")), (1, 1, 0));
        assert_eq!(app.count("gateway_notices WHERE outcome = 'paid'"), 1, "what came of the first stays written");
        assert_eq!(app.count("order_events WHERE move = 'pay'"), 1);
        let credited = "SELECT kind || ' ' || balance AS value FROM accounts WHERE kind <> 'points' ORDER BY kind";
        assert_eq!(words(&mut app.conn(), credited), ["tips 200", "votes 6"]);
        assert_eq!(app.count("entries WHERE delta IN (6, 200)"), 2);
        let mut conn = app.conn();
        assert_eq!(tills.at_provider_for(&mut conn, &order).await, Tills::in_books(&mut conn, &order));
    }
}

/// Announces a payment that the database does not know, has it paid, and waits until its notice is kept.
async fn pay_unknown(app: &TestApp) -> String {
    let number_there = uuid::Uuid::now_v7().simple().to_string();
    let body = terms(&number_there, &format!("{}/v1/callbacks/1/sandbox", app.address), "5.00");
    let announced = Signer::new().post(app, "/sandbox/v1/payments", &body).await;
    assert_eq!(announced.status, 200, "{}", announced.text);
    assert_eq!(press(app, &number_there, "pay").await.0, 200);
    let kept =
        format!("SELECT count(*) AS value FROM gateway_notices WHERE outcome = 'kept' AND number = '{number_there}'");
    until(|| number(&mut app.conn(), &kept) == 1).await;
    number_there
}

#[actix_web::test]
async fn a_notice_waits_for_its_payment() {
    let app = TestApp::start();
    let alice = app.customer("alice").await;
    let order = id(&alice.place("one", &order(&[(4, 10)])).await.json());
    let number_there = pay_unknown(&app).await;
    let waits = "gateway_notices WHERE outcome = 'kept' AND check_at = received_at + interval '1 minute'";
    assert_eq!(app.count(waits), 1);
    run_timers(&app).await;
    assert_eq!(app.count(waits), 1);
    // Its transaction is committed at last. Long before anybody would ask about it, the notice tells.
    app.execute(&format!(
        "INSERT INTO payments (merchant_id, id, order_id, gateway, state, channel, amount, actor, created_at, expires_at, check_at)
             SELECT 1, '{number_there}', id, 'sandbox', 'pending', 'page', total, 'customer', placed_at, pay_by, pay_by FROM orders"
    ));
    run_timers(&app).await;
    assert_eq!(app.count("payments WHERE state = 'paid'"), 0, "it is not looked at all the time");
    for _ in 0..3 {
        app.clock.advance(TimeDelta::minutes(1));
        run_timers(&app).await;
    }
    assert_eq!(words(&mut app.conn(), "SELECT state || ' ' || amount AS value FROM payments"), ["paid 5.00"]);
    assert_eq!(words(&mut app.conn(), "SELECT outcome AS value FROM gateway_notices"), ["paid"]);
    assert_eq!(app.count("order_events WHERE move = 'pay'"), 1);
    assert_eq!(alice.get(&format!("/orders/{order}")).await.json()["state"], "pending_accept");
    assert_eq!((app.count("refunds"), app.count("alerts")), (0, 0));
}

#[actix_web::test]
async fn who_pays_for_what_nobody_knows_is_told_of() {
    let app = TestApp::start();
    let number_there = pay_unknown(&app).await;
    for _ in 0..23 {
        app.clock.advance(TimeDelta::hours(1));
        run_timers(&app).await;
    }
    let kept = "gateway_notices WHERE outcome = 'kept' AND check_at = received_at + interval '23 hours 1 minute'";
    assert_eq!((app.count("alerts"), app.count(kept)), (0, 1));
    for _ in 0..3 {
        app.clock.advance(TimeDelta::hours(1));
        run_timers(&app).await;
    }
    let alerts = app.staff("owner").await.get("/alerts").await.json();
    assert_eq!(alerts["items"].as_array().unwrap().len(), 1, "{alerts}");
    assert_eq!(alerts["items"][0]["kind"], "payment_unknown");
    assert!(alerts["items"][0]["detail"].as_str().unwrap().contains(&number_there), "{alerts}");
    assert_eq!(words(&mut app.conn(), "SELECT outcome AS value FROM gateway_notices"), ["unknown"]);
    assert_eq!(Answer::of(app.request(Method::GET, "/healthz")).await.status, 200);
}
