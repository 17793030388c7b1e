//! Orders are paid, closed and paid back at a gateway that does everything wrong that gateways do.

use std::time::Duration;

use chrono::TimeDelta;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::clients::{Answer, Customer};
use crate::harness::{Setup, TestApp, number, order, words};
use crate::moves::id;

/// An order of shop 1, and an attempt to pay it.
pub(crate) struct Attempt {
    pub(crate) order: String,
    pub(crate) payment: String,
    /// The payment's number at the gateway.
    pub(crate) number: String,
}

/// Places an order of 20 yuan and begins to pay it.
pub(crate) async fn attempt(alice: &Customer<'_>, key: &str) -> Attempt {
    let order = id(&alice.place(key, &order(&[(1, 2)])).await.json());
    let started = alice.post(&format!("/orders/{order}/payments"), &json!({})).await;
    assert_eq!(started.status, StatusCode::OK, "{started:?}");
    let payment = started.json()["payment"]["id"].as_str().unwrap().to_owned();
    Attempt { order, number: payment.replace('-', ""), payment }
}

pub(crate) async fn press(app: &TestApp, number: &str, button: &str) -> Answer {
    Answer::of(app.request(Method::POST, &format!("/sandbox/v1/payments/{number}/{button}"))).await
}

pub(crate) async fn switch(app: &TestApp, switches: Value) {
    let answer = Answer::of(app.request(Method::PUT, "/sandbox/v1/switches").json(&switches)).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
}

/// Runs the timers until `sql` selects `value`, for twenty seconds at most: notices come when they come.
pub(crate) async fn until(app: &TestApp, sql: &str, value: &str) {
    let mut found = Vec::new();
    for _ in 0..400 {
        found = words(&mut app.conn(), sql);
        if found == [value] {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{sql}: {found:?} instead of {value}");
}

pub(crate) fn state(of: &Attempt) -> String {
    format!("SELECT state AS value FROM orders WHERE id = '{}'", of.order)
}

/// Lets time pass, and the timers run.
pub(crate) async fn pass(app: &TestApp, time: TimeDelta) {
    app.clock.advance(time);
    let inner = app.app.clone();
    actix_web::rt::task::spawn_blocking(move || inner.jobs.run(inner.clock.now())).await.unwrap();
}

pub(crate) fn payments(app: &TestApp) -> Vec<String> {
    words(&mut app.conn(), "SELECT state || ' ' || amount AS value FROM payments ORDER BY created_at, settled_at, id")
}

/// Runs the timers until nothing is on its way back any more: accepted is not done.
pub(crate) async fn let_refunds_end(app: &TestApp) {
    for _ in 0..9 {
        pass(app, TimeDelta::minutes(1)).await;
        if app.count("refunds WHERE state IN ('due', 'submitted')") == 0 {
            return;
        }
    }
    panic!("{:?}", words(&mut app.conn(), "SELECT state || ': ' || coalesce(trouble, '') AS value FROM refunds"));
}

pub(crate) fn refunds(app: &TestApp) -> Vec<String> {
    words(
        &mut app.conn(),
        "SELECT state || ' ' || amount || ' ' || reason AS value FROM refunds ORDER BY created_at, id",
    )
}

pub(crate) fn alerts(app: &TestApp) -> Vec<String> {
    let sql =
        "SELECT kind || CASE WHEN resolved_at IS NULL THEN '' ELSE ', resolved' END AS value FROM alerts ORDER BY id";
    words(&mut app.conn(), sql)
}

#[actix_web::test]
async fn an_order_is_paid() {
    let app = TestApp::start();
    let alice = app.customer("alice").await;
    let one = attempt(&alice, "one").await;
    let path = format!("/orders/{}/payments", one.order);
    let again = alice.post(&path, &json!({ "channel": "page" })).await.json();
    assert_eq!(again["payment"]["id"], one.payment, "an open attempt is not begun anew");
    assert_eq!(again["checkout"]["kind"], "redirect");
    assert_eq!(again["payment"]["expires_at"], "2026-11-21T04:14:50Z");
    let page = again["checkout"]["url"].as_str().unwrap().to_owned();
    assert_eq!(page, format!("{}/sandbox/pay/{}", app.address, one.number));
    assert_eq!(alice.get(&path).await.json()["items"][0]["state"], "pending");
    press(&app, &one.number, "pay").await;
    until(&app, &state(&one), "pending_accept").await;
    assert_eq!(alice.get(&path).await.json()["items"][0]["state"], "paid");
    assert_eq!(app.count("gateway_notices WHERE outcome = 'paid'"), 1);
    let paid = alice.post(&path, &json!({})).await;
    assert_eq!((paid.status, &paid.json()["code"]), (StatusCode::CONFLICT, &json!("illegal_move")));
    assert_eq!(paid.json()["state"], "pending_accept");
}

#[actix_web::test]
async fn who_may_not_pay_is_told_why() {
    let app = TestApp::start();
    let (alice, bob) = (app.customer("alice").await, app.customer("bob").await);
    let one = attempt(&alice, "one").await;
    let path = format!("/orders/{}/payments", one.order);
    let check = format!("{path}/{}/check", one.payment);
    assert_eq!(bob.post(&path, &json!({})).await.status, StatusCode::NOT_FOUND);
    assert_eq!(bob.get(&path).await.status, StatusCode::NOT_FOUND);
    assert_eq!(bob.post(&check, &json!({})).await.status, StatusCode::NOT_FOUND);
    let strange = alice.post(&path, &json!({ "channel": "barter" })).await;
    assert_eq!((strange.status.as_u16(), &strange.json()["field"]), (422, &json!("channel")));
    let mut cash = order(&[(1, 1)]);
    cash["pay_method"] = json!("cash");
    let cash = id(&alice.place("cash", &cash).await.json());
    let refused = alice.post(&format!("/orders/{cash}/payments"), &json!({})).await;
    assert_eq!((refused.status.as_u16(), &refused.json()["code"]), (409, &json!("illegal_move")));
    let mut wechat = order(&[(1, 1)]);
    wechat["pay_method"] = json!("wechat");
    let refused = alice.place("wechat", &wechat).await;
    assert_eq!((refused.status.as_u16(), &refused.json()["code"]), (422, &json!("pay_method_not_offered")));
    assert_eq!(app.get("/v1/merchants/1/menu").await.json()["pay_methods"], json!(["cash", "sandbox"]));
    // Ten seconds before its end: what is paid then would race it.
    app.clock.advance(TimeDelta::seconds(14 * 60 + 50));
    let late = alice.post(&path, &json!({})).await;
    assert_eq!((late.status.as_u16(), &late.json()["code"]), (409, &json!("payment_time_over")));
    let path = "/v1/callbacks/1/sandbox";
    let forged = Answer::of(app.request(Method::POST, path).body("{}")).await;
    assert!(forged.status.is_client_error(), "{forged:?}");
    for nobody in ["/v1/callbacks/1/paypal", "/v1/callbacks/1/alipay", "/v1/callbacks/x/sandbox"] {
        assert_eq!(Answer::of(app.request(Method::POST, nobody)).await.status, StatusCode::NOT_FOUND, "{nobody}");
    }
    assert_eq!(app.count("gateway_notices"), 0);
}

/// Each attempt is asked about and closed at the gateway, so that one order has ten of them, whatever channels they are begun in.
#[actix_web::test]
async fn an_order_has_few_payments() {
    let app = TestApp::start();
    let alice = app.customer("alice").await;
    let order = id(&alice.place("k", &order(&[(1, 1)])).await.json());
    let begin =
        async |channel: &str| alice.post(&format!("/orders/{order}/payments"), &json!({ "channel": channel })).await;
    for number in 0..10 {
        assert_eq!(begin(["page", "qr"][number % 2]).await.status, StatusCode::OK);
    }
    assert_eq!(begin("page").await.refusal(), (409, "too_many_payments".to_owned()));
    assert_eq!(begin("qr").await.status, StatusCode::OK, "the last one goes on");
    assert_eq!(app.count("payments"), 10);
    let number = begin("qr").await.json()["payment"]["id"].as_str().unwrap().replace('-', "");
    press(&app, &number, "pay").await;
    until(&app, "SELECT state AS value FROM orders", "pending_accept").await;
    assert_eq!(app.count("payments WHERE check_at IS NOT NULL"), 0, "of none is there anything to ask");
}

/// Its credentials were taken away while a payment was open: nothing is wrong with what the customer asks.
#[actix_web::test]
async fn a_gateway_without_credentials_is_unavailable() {
    let app = TestApp::start();
    let alice = app.customer("alice").await;
    let Attempt { order, payment, .. } = attempt(&alice, "k").await;
    let other = app.beside(Setup { variables: vec![("ROWLOCK_GATEWAYS_SANDBOX", "false")], ..Setup::default() });
    let alice = alice.at(&other);
    for (path, body) in [
        ("payments", json!({})),
        (&*format!("payments/{payment}/check"), json!({})),
        ("cancel", json!({ "reason": "changed_mind" })),
    ] {
        let refused = alice.post(&format!("/orders/{order}/{path}"), &body).await;
        assert_eq!(refused.refusal(), (503, "gateway_unavailable".into()), "{path}");
    }
}

/// Whatever the gateway repeats, forges, delays or swaps: one order, paid once.
#[actix_web::test]
async fn a_payment_counts_once_whatever_the_gateway_does() {
    for switches in [
        json!({ "repeat": true }),
        json!({ "forge": true }),
        json!({ "forge": true, "repeat": true }),
        json!({ "delay_s": 1 }),
        json!({ "reorder": true }),
        json!({ "fail_after": ["create"] }),
    ] {
        let app = TestApp::start();
        app.execute("UPDATE goods SET grant_kind = 'votes', grant_per_unit = 5 WHERE id = 1");
        let alice = app.customer("alice").await;
        switch(&app, switches.clone()).await;
        let order = id(&alice.place("one", &order(&[(1, 2)])).await.json());
        let path = format!("/orders/{order}/payments");
        let started = alice.post(&path, &json!({})).await;
        if switches.get("fail_after").is_some() {
            assert_eq!((started.status.as_u16(), &started.json()["code"]), (503, &json!("gateway_unavailable")));
            switch(&app, json!({})).await;
        }
        let payment = alice.post(&path, &json!({})).await.json()["payment"]["id"].as_str().unwrap().to_owned();
        press(&app, &payment.replace('-', ""), "pay").await;
        app.clock.advance(TimeDelta::seconds(2));
        if switches.get("reorder").is_some() {
            // Its notice waits for another one, which may never come: the gateway is asked.
            pass(&app, TimeDelta::seconds(20)).await;
        }
        until(&app, "SELECT state AS value FROM orders", "pending_accept").await;
        // Whatever is still on its way changes nothing.
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(payments(&app), ["paid 20.00"], "{switches}");
        assert_eq!(refunds(&app), Vec::<String>::new(), "{switches}");
        assert_eq!(number(&mut app.conn(), "SELECT sum(balance)::bigint AS value FROM accounts"), 10, "{switches}");
        assert_eq!(app.count("order_events WHERE move = 'pay'"), 1, "{switches}");
    }
}

#[actix_web::test]
async fn money_that_does_not_fit_goes_back_by_itself() {
    for (switches, paid, back, alert) in [
        (json!({ "pay_twice": true }), "paid 20.00", "paid_duplicate 20.00", "payment_duplicate"),
        (json!({ "pay_amount": "19.99" }), "", "paid_mismatch 19.99", "payment_mismatch"),
    ] {
        let app = TestApp::start();
        let alice = app.customer("alice").await;
        switch(&app, switches.clone()).await;
        let one = attempt(&alice, "one").await;
        press(&app, &one.number, "pay").await;
        until(&app, "SELECT count(*)::text AS value FROM refunds", "1").await;
        let mut made = payments(&app);
        made.retain(|payment| payment != paid);
        assert_eq!(made, [back], "{switches}");
        let_refunds_end(&app).await;
        let amount = back.split(' ').next_back().unwrap();
        assert_eq!(refunds(&app), [format!("succeeded {amount} payment_not_wanted")]);
        assert_eq!(alerts(&app), [format!("{alert}, resolved")]);
        let expected = if paid.is_empty() { "pending_payment" } else { "pending_accept" };
        assert_eq!(words(&mut app.conn(), &state(&one)), [expected], "{switches}");
        if paid.is_empty() {
            switch(&app, json!({})).await;
            let path = format!("/orders/{}/payments", one.order);
            let second = alice.post(&path, &json!({})).await.json()["payment"]["id"].as_str().unwrap().to_owned();
            assert_ne!(second, one.payment);
            press(&app, &second.replace('-', ""), "pay").await;
            until(&app, &state(&one), "pending_accept").await;
        }
    }
}

#[actix_web::test]
async fn a_gateway_that_never_calls_is_asked() {
    let app = TestApp::start();
    let alice = app.customer("alice").await;
    switch(&app, json!({ "never_call": true })).await;
    let (one, two) = (attempt(&alice, "one").await, attempt(&alice, "two").await);
    for attempt in [&one, &two] {
        press(&app, &attempt.number, "pay").await;
    }
    let path = format!("/orders/{}/payments/{}/check", two.order, two.payment);
    assert_eq!(alice.post(&path, &json!({})).await.json()["state"], "paid", "the customer's device asks at once");
    pass(&app, TimeDelta::seconds(19)).await;
    assert_eq!(words(&mut app.conn(), &state(&one)), ["pending_payment"]);
    pass(&app, TimeDelta::seconds(1)).await;
    assert_eq!(words(&mut app.conn(), &state(&one)), ["pending_accept"]);
    assert_eq!((app.count("gateway_notices"), app.count("payments WHERE state = 'paid'")), (0, 2));
}

/// Less and less often, as long as nobody pays; and a last time when the gateway takes no more.
#[actix_web::test]
async fn a_gateway_is_asked_less_and_less_often() {
    let app = TestApp::start();
    let begun = app.clock.now();
    attempt(&app.customer("alice").await, "one").await;
    let due = "SELECT extract(epoch FROM check_at)::bigint AS value FROM payments";
    let mut waits = Vec::new();
    for _ in 0..7 {
        waits.push(number(&mut app.conn(), due) - app.clock.now().timestamp());
        pass(&app, TimeDelta::seconds(waits[waits.len() - 1])).await;
    }
    assert_eq!(waits, [20, 20, 40, 80, 160, 320, 250]);
    assert_eq!(app.clock.now() - begun, TimeDelta::seconds(14 * 60 + 50));
}

#[actix_web::test]
async fn an_order_is_closed_at_the_gateway_before_it_is_cancelled() {
    let app = TestApp::start();
    let alice = app.customer("alice").await;
    let one = attempt(&alice, "one").await;
    let cancel = format!("/orders/{}/cancel", one.order);
    let cancelled = alice.post(&cancel, &json!({ "reason": "changed_mind" })).await;
    assert_eq!((cancelled.status, &cancelled.json()["state"]), (StatusCode::OK, &json!("cancelled")), "{cancelled:?}");
    assert_eq!((payments(&app), app.stock(1)), (vec!["closed 20.00".to_owned()], 100));
    assert!(press(&app, &one.number, "pay").await.status.is_client_error(), "it is closed");
    // A gateway that takes money for what it has closed.
    switch(&app, json!({ "pay_late": true, "repeat": true })).await;
    assert_eq!(press(&app, &one.number, "pay").await.status, StatusCode::OK);
    until(&app, "SELECT state AS value FROM payments", "paid_late").await;
    assert_eq!(
        (refunds(&app), alerts(&app)),
        (vec!["due 20.00 payment_not_wanted".to_owned()], vec!["payment_late".to_owned()])
    );
    let_refunds_end(&app).await;
    assert_eq!(refunds(&app), ["succeeded 20.00 payment_not_wanted"]);
    assert_eq!((words(&mut app.conn(), &state(&one)), app.stock(1)), (vec!["cancelled".to_owned()], 100));
}

#[actix_web::test]
async fn who_types_the_password_keeps_the_order() {
    let app = TestApp::start();
    let alice = app.customer("alice").await;
    let one = attempt(&alice, "one").await;
    press(&app, &one.number, "type").await;
    let cancel = format!("/orders/{}/cancel", one.order);
    let refused = alice.post(&cancel, &json!({ "reason": "changed_mind" })).await;
    assert_eq!((refused.status.as_u16(), &refused.json()["code"]), (409, &json!("payment_in_progress")));
    assert_eq!((payments(&app), app.stock(1)), (vec!["pending 20.00".to_owned()], 98));
    // The timer keeps it, too.
    app.clock.advance(TimeDelta::seconds(14 * 60 + 45));
    press(&app, &one.number, "type").await;
    pass(&app, TimeDelta::seconds(5)).await;
    assert_eq!((payments(&app), app.stock(1)), (vec!["pending 20.00".to_owned()], 98));
    assert_eq!(press(&app, &one.number, "pay").await.status, StatusCode::OK);
    until(&app, &state(&one), "pending_accept").await;
}

/// The money was first, and nobody has said so yet: the order is paid, and what is cancelled is a paid order.
#[actix_web::test]
async fn a_cancellation_that_meets_money_pays_it_back() {
    let app = TestApp::start();
    let alice = app.customer("alice").await;
    switch(&app, json!({ "never_call": true })).await;
    let (one, two) = (attempt(&alice, "one").await, attempt(&alice, "two").await);
    for attempt in [&one, &two] {
        press(&app, &attempt.number, "pay").await;
    }
    let cancelled = alice.post(&format!("/orders/{}/cancel", one.order), &json!({ "reason": "changed_mind" })).await;
    assert_eq!(cancelled.json()["state"], "cancelled", "{cancelled:?}");
    assert!(cancelled.json()["paid_at"].is_string());
    let_refunds_end(&app).await;
    assert_eq!(refunds(&app), ["succeeded 20.00 changed_mind"]);
    app.execute("UPDATE merchants SET customer_cancels = false");
    let kept = alice.post(&format!("/orders/{}/cancel", two.order), &json!({ "reason": "changed_mind" })).await;
    assert_eq!((kept.status.as_u16(), &kept.json()["code"]), (409, &json!("cancel_not_allowed")));
    assert_eq!(words(&mut app.conn(), &state(&two)), ["pending_accept"]);
}

/// Nothing is decided on a guess: not by an answer that does not come, nor by one that comes too late.
#[actix_web::test]
async fn an_unclear_answer_keeps_the_order() {
    let setup = Setup { variables: vec![("ROWLOCK_GATEWAYS_TIMEOUT_MS", "1500")], ..Setup::default() };
    let app = TestApp::with(setup);
    let alice = app.customer("alice").await;
    for faults in [json!({ "fail_after": ["close", "query"] }), json!({ "hang_after": ["close", "query"] })] {
        let one = attempt(&alice, &faults.to_string().replace(|c: char| !c.is_alphanumeric(), "")).await;
        switch(&app, faults).await;
        let cancel = format!("/orders/{}/cancel", one.order);
        let unclear = alice.post(&cancel, &json!({ "reason": "changed_mind" })).await;
        assert_eq!((unclear.status.as_u16(), &unclear.json()["code"]), (503, &json!("gateway_unavailable")));
        assert_eq!(words(&mut app.conn(), &state(&one)), ["pending_payment"]);
        pass(&app, TimeDelta::minutes(15)).await;
        assert_eq!(words(&mut app.conn(), &state(&one)), ["pending_payment"], "nor does the timer guess");
        switch(&app, json!({})).await;
        // It was closed there all the time.
        pass(&app, TimeDelta::minutes(1)).await;
        pass(&app, TimeDelta::zero()).await;
        assert_eq!(words(&mut app.conn(), &state(&one)), ["cancelled"]);
    }
    assert_eq!(app.stock(1), 100);
}

/// What a gateway has not heard of is taken for closed. Should it hear of it after all, it is asked once more.
#[actix_web::test]
async fn what_was_closed_unheard_is_asked_about_once_more() {
    let app = TestApp::start();
    let alice = app.customer("alice").await;
    switch(&app, json!({ "never_call": true, "pay_late": true })).await;
    let (paid, unpaid) = (attempt(&alice, "paid").await, attempt(&alice, "unpaid").await);
    for attempt in [&paid, &unpaid] {
        alice.post(&format!("/orders/{}/cancel", attempt.order), &json!({ "reason": "changed_mind" })).await;
    }
    // As if the announcement had not arrived yet when they were closed.
    app.execute("UPDATE payments SET check_at = expires_at + interval '1 minute'");
    press(&app, &paid.number, "pay").await;
    pass(&app, TimeDelta::seconds(15 * 60 + 49)).await;
    assert_eq!(payments(&app), ["closed 20.00", "closed 20.00"]);
    switch(&app, json!({ "fail_after": ["query"], "never_call": true, "pay_late": true })).await;
    let mut waits = Vec::new();
    for seconds in [1, 40] {
        pass(&app, TimeDelta::seconds(seconds)).await;
        let next = number(&mut app.conn(), "SELECT extract(epoch FROM min(check_at))::bigint AS value FROM payments");
        waits.push(next - app.clock.now().timestamp());
    }
    assert_eq!(waits, [40, 80], "no order waits: less and less often");
    switch(&app, json!({ "never_call": true, "pay_late": true })).await;
    pass(&app, TimeDelta::seconds(80)).await;
    assert_eq!(app.count("payments WHERE state = 'paid_late'"), 1);
    assert_eq!(app.count("payments WHERE check_at IS NOT NULL"), 0, "that was the last time");
    let_refunds_end(&app).await;
    assert_eq!(refunds(&app), ["succeeded 20.00 payment_not_wanted"]);
}

/// That nothing was paid is no payment, whoever says so.
#[actix_web::test]
async fn nothing_is_not_money() {
    let app = TestApp::start();
    let alice = app.customer("alice").await;
    let one = attempt(&alice, "one").await;
    switch(&app, json!({ "pay_amount": "0.00" })).await;
    press(&app, &one.number, "pay").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let check = format!("/orders/{}/payments/{}/check", one.order, one.payment);
    let unclear = alice.post(&check, &json!({})).await;
    assert_eq!((unclear.status.as_u16(), &unclear.json()["code"]), (503, &json!("gateway_unavailable")));
    assert_eq!((payments(&app), app.count("gateway_notices")), (vec!["pending 20.00".to_owned()], 0));
}

/// A gateway that is gone for good keeps the order until a human gives the payment up.
#[actix_web::test]
async fn a_payment_that_nobody_closes_is_given_up_by_a_human() {
    let app = TestApp::start();
    let (alice, owner) = (app.customer("alice").await, app.staff("owner").await);
    let one = attempt(&alice, "one").await;
    switch(&app, json!({ "fail_after": ["close", "query"], "pay_late": true })).await;
    let path = format!("/payments/{}/give-up", one.payment);
    let early = owner.post(&path, &json!({})).await;
    assert_eq!((early.status.as_u16(), &early.json()["code"]), (409, &json!("payment_in_progress")));
    for _ in 0..3 {
        pass(&app, TimeDelta::minutes(20)).await;
    }
    assert_eq!((alerts(&app), app.stock(1)), (vec!["payment_stuck".to_owned()], 98));
    let soon = format!("payments WHERE check_at = '{}'", app.clock.now() + TimeDelta::seconds(20));
    assert_eq!(app.count(&soon), 1, "an order waits, so the gateway is asked steadily");
    assert_eq!(app.staff("kitchen").await.post(&path, &json!({})).await.status, StatusCode::FORBIDDEN);
    assert_eq!(owner.post(&path, &json!({})).await.json()["state"], "closed");
    let asks = format!("payments WHERE check_at = '{}'", app.clock.now() + TimeDelta::minutes(30));
    assert_eq!(app.count(&asks), 1, "the gateway is asked again, not at once");
    pass(&app, TimeDelta::zero()).await;
    assert_eq!((words(&mut app.conn(), &state(&one)), app.stock(1)), (vec!["cancelled".to_owned()], 100));
    for _ in 0..3 {
        pass(&app, TimeDelta::minutes(30)).await;
    }
    assert_eq!(alerts(&app), ["payment_stuck, resolved"], "nobody waits for it any more");
    // It comes back, and says that the customer has paid.
    switch(&app, json!({ "never_call": true, "pay_late": true })).await;
    press(&app, &one.number, "pay").await;
    pass(&app, TimeDelta::minutes(30)).await;
    let_refunds_end(&app).await;
    assert_eq!(refunds(&app), ["succeeded 20.00 payment_not_wanted"]);
}

#[actix_web::test]
async fn nobody_pays_in_time() {
    let app = TestApp::start();
    let alice = app.customer("alice").await;
    let one = attempt(&alice, "one").await;
    let cancelled = "SELECT move || ' by ' || actor || ', ' || reason AS value FROM order_events";
    pass(&app, TimeDelta::seconds(14 * 60 + 49)).await;
    assert_eq!(payments(&app), ["pending 20.00"]);
    pass(&app, TimeDelta::seconds(1)).await;
    assert_eq!(payments(&app), ["closed 20.00"], "the gateway takes no money in the last seconds");
    assert_eq!(words(&mut app.conn(), &state(&one)), ["pending_payment"]);
    pass(&app, TimeDelta::seconds(10)).await;
    assert_eq!(words(&mut app.conn(), cancelled), ["cancel by timer, pay_timeout"]);
    assert_eq!(app.stock(1), 100);
}
