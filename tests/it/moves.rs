//! An order's life over HTTP: every move, who may make it, what happens with it, and what is refused.

use chrono::TimeDelta;
use insta::assert_snapshot;
use reqwest::StatusCode;
use rowlock::domain::moves::Move;
use rowlock::domain::order::OrderState;
use rowlock::domain::staff::{Permission, Role};
use serde_json::{Value, json};

use crate::clients::Customer;
use crate::harness::{TestApp, number, order, words};
use crate::money::pay;

/// A cash order of one unit of goods 1 and two of goods 2, and its id.
async fn placed(customer: &Customer<'_>, key: &str) -> String {
    let body = json!({
        "lines": [{ "goods_id": 1, "count": 1 }, { "goods_id": 2, "count": 2 }],
        "fulfilment": { "kind": "pickup" }, "pay_method": "cash"
    });
    id(&customer.place(key, &body).await.json())
}

pub(crate) fn id(order: &Value) -> String {
    order["id"].as_str().unwrap_or_else(|| panic!("no order: {order}")).to_owned()
}

/// An order's history, a line a row.
pub(crate) fn history(app: &TestApp, order: &str) -> String {
    let rows = format!(
        "SELECT format('%s %s %s -> %s by %s%s%s', seq, move, from_state, to_state, split_part(actor, ' ', 1),
             ', ' || reason, ': ' || note) AS value
         FROM order_events WHERE order_id = '{order}' ORDER BY seq"
    );
    words(&mut app.conn(), &rows).join("\n")
}

#[actix_web::test]
async fn a_cash_order_from_table_to_till() {
    let app = TestApp::start();
    let alice = app.customer("alice").await;
    let (cashier, kitchen) = (app.staff("cashier").await, app.staff("kitchen").await);
    let order = placed(&alice, "k").await;
    let at = |what: &str| format!("/orders/{order}/{what}");
    let accepted = cashier.post(&at("accept"), &json!({ "minutes": 20 })).await.json();
    assert_eq!(accepted["state"], "accepted");
    assert_eq!(accepted["pickup_no"], 1);
    assert_eq!(accepted["promised_at"], "2026-11-21T04:20:00Z");
    assert_eq!(kitchen.post(&at("prepare"), &json!({})).await.json()["state"], "preparing");
    assert_eq!(
        cashier.post(&at("delay"), &json!({ "minutes": 30 })).await.json()["promised_at"],
        "2026-11-21T04:30:00Z"
    );
    assert_eq!(kitchen.post(&at("ready"), &json!({})).await.json()["state"], "ready");
    assert_eq!(kitchen.post(&at("recall"), &json!({})).await.json()["state"], "preparing");
    assert_eq!(kitchen.post(&at("ready"), &json!({})).await.json()["state"], "ready");
    assert_eq!(cashier.post(&at("complete"), &json!({})).await.refusal(), (409, "cash_not_collected".to_owned()));
    assert_eq!(cashier.post(&at("collect"), &json!({})).await.json()["paid_at"], "2026-11-21T04:00:00Z");
    assert_eq!(cashier.post(&at("collect"), &json!({})).await.refusal(), (409, "nothing_to_collect".to_owned()));
    assert_eq!(cashier.post(&at("complete"), &json!({})).await.json()["state"], "completed");
    let again = cashier.post(&at("complete"), &json!({})).await;
    assert_eq!(again.refusal(), (409, "illegal_move".to_owned()));
    assert_eq!((&again.json()["state"], &again.json()["move"]), (&json!("completed"), &json!("complete")));
    assert_snapshot!(history(&app, &order), @"
    1 accept pending_accept -> accepted by staff
    2 prepare accepted -> preparing by staff
    3 delay preparing -> preparing by staff
    4 ready preparing -> ready by staff
    5 recall ready -> preparing by staff
    6 ready preparing -> ready by staff
    7 collect ready -> ready by staff
    8 complete ready -> completed by staff
    ");
    let seen = alice.get(&format!("/orders/{order}")).await.json();
    assert_eq!((&seen["state"], &seen["history"][7]["move"]), (&json!("completed"), &json!("complete")));
    assert_eq!(seen["history"][0]["actor"], "staff", "which of them is theirs");
    let trail = words(&mut app.conn(), "SELECT action AS value FROM staff_actions ORDER BY action");
    assert_eq!(trail, ["accept", "collect", "complete", "delay", "prepare", "ready", "ready", "recall"]);
}

/// Every state × every move that the staff make: legal ones lead where the machine says, all others are refused with the state.
#[actix_web::test]
async fn every_illegal_move_is_refused_with_the_state_it_found() {
    let app = TestApp::start();
    let alice = app.customer("alice").await;
    let owner = app.staff("owner").await;
    app.execute("UPDATE goods SET stock = 1000 WHERE id < 3; UPDATE stock_moves SET delta = 1000 WHERE goods_id < 3");
    let mut number = 0;
    for state in OrderState::ALL {
        for made in Move::ALL {
            let path = match made {
                Move::Pay | Move::Nudge => continue,
                Move::Refund => "refunds",
                other => other.name(),
            };
            number += 1;
            let order = placed(&alice, &format!("k{number}")).await;
            // By the owner's moves, so that the order is what such an order is.
            let way: &[&str] = match state {
                OrderState::PendingPayment => &[],
                OrderState::PendingAccept => &[],
                OrderState::Accepted => &["accept"],
                OrderState::Preparing => &["accept", "prepare"],
                OrderState::Ready => &["accept", "collect", "ready"],
                OrderState::Delivering => continue,
                OrderState::Completed => &["accept", "collect", "ready", "complete"],
                OrderState::Cancelled => &["cancel"],
                OrderState::Rejected => &["reject"],
            };
            let body = |made: &str| match made {
                "accept" => json!({}),
                "delay" => json!({ "minutes": 5 }),
                "reject" | "cancel" | "refunds" => json!({ "reason": "too_busy" }),
                _ => json!({}),
            };
            for step in way {
                let answer = owner.post(&format!("/orders/{order}/{step}"), &body(step)).await;
                assert_eq!(answer.status, StatusCode::OK, "{step}: {}", answer.text);
            }
            if *state == OrderState::PendingPayment {
                app.execute(&format!(
                    "UPDATE orders SET state = 'pending_payment', pay_method = 'sandbox', pay_by = placed_at WHERE id = '{order}'"
                ));
            }
            let answer = owner.post(&format!("/orders/{order}/{path}"), &body(path)).await;
            match state.next(*made).filter(|_| *made != Move::Deliver) {
                None => {
                    assert_eq!(answer.refusal(), (409, "illegal_move".to_owned()), "{made} from {state}");
                    assert_eq!(answer.json()["state"], state.name(), "{made} from {state}");
                }
                Some(to) if answer.status == StatusCode::OK => assert_eq!(answer.json()["state"], to.name()),
                // Cash that was not collected, was collected already, or is not there to be paid back.
                Some(_) => assert!(
                    ["nothing_to_collect", "cash_not_collected", "invalid_field"].contains(&answer.code().as_str()),
                    "{made} from {state}: {}",
                    answer.text
                ),
            }
        }
    }
    assert!(number > 80, "{number} pairs");
}

#[actix_web::test]
async fn only_deliveries_are_delivered_and_they_are_before_they_are_complete() {
    let app = TestApp::start();
    let alice = app.customer("alice").await;
    let owner = app.staff("owner").await;
    let address = json!({ "contact": "Li", "phone": "13800138000", "place": "Road 1" });
    let address = alice.post("/addresses", &address).await.json()["id"].clone();
    let delivery = json!({
        "lines": [{ "goods_id": 1, "count": 1 }],
        "fulfilment": { "kind": "delivery", "address_id": address }, "pay_method": "cash"
    });
    let brought = id(&alice.place("brought", &delivery).await.json());
    let fetched = placed(&alice, "fetched").await;
    for order in [&brought, &fetched] {
        for step in ["accept", "ready"] {
            assert_eq!(owner.post(&format!("/orders/{order}/{step}"), &json!({})).await.status, 200);
        }
    }
    assert_eq!(owner.post(&format!("/orders/{fetched}/deliver"), &json!({})).await.code(), "illegal_move");
    assert_eq!(owner.post(&format!("/orders/{brought}/complete"), &json!({})).await.code(), "illegal_move");
    for step in ["deliver", "collect", "complete"] {
        let answer = owner.post(&format!("/orders/{brought}/{step}"), &json!({})).await;
        assert_eq!(answer.status, 200, "{step}: {}", answer.text);
    }
}

/// What each role may do to orders, by trying.
#[actix_web::test]
async fn moves_need_their_permission() {
    let app = TestApp::start();
    let alice = app.customer("alice").await;
    let order = placed(&alice, "k").await;
    for role in Role::ALL {
        let member = app.staff(role.name()).await;
        for made in Move::ALL {
            let Some(permission) = Permission::to_make(*made) else { continue };
            let path = if *made == Move::Refund { "refunds" } else { made.name() };
            // Values that are refused after the permission was asked for, so that nothing moves where one can be given.
            let body = match made {
                Move::Accept | Move::Delay => json!({ "minutes": 0 }),
                Move::Reject | Move::Cancel | Move::Refund => json!({ "reason": "x" }),
                _ => json!({}),
            };
            let answer = member.post(&format!("/orders/{order}/{path}"), &body).await;
            let is_forbidden = answer.status == StatusCode::FORBIDDEN;
            assert_eq!(is_forbidden, !role.has(permission), "{role} {made}: {}", answer.text);
            if is_forbidden {
                assert_eq!(answer.json()["permission"], permission.name());
                continue;
            }
            app.execute(&format!(
                "DELETE FROM order_events; UPDATE orders SET state = 'pending_accept', pickup_no = NULL, pickup_day = NULL, paid_at = NULL
                     WHERE id = '{order}'; DELETE FROM pickup_counters"
            ));
        }
    }
    let stranger = app.staff_of(2, "owner").await;
    let there = app.request(reqwest::Method::POST, &format!("/v1/admin/merchants/1/orders/{order}/accept"));
    let answer = crate::clients::Answer::of(there.bearer_auth(&stranger.token).json(&json!({}))).await;
    assert_eq!(answer.refusal(), (403, "wrong_merchant".to_owned()));
    let answer = stranger.post(&format!("/orders/{order}/accept"), &json!({})).await;
    assert_eq!(answer.refusal(), (404, "not_found".to_owned()));
}

#[actix_web::test]
async fn a_rejected_order_gives_everything_back() {
    let app = TestApp::start();
    let (alice, cashier) = (app.customer("alice").await, app.staff("cashier").await);
    let order = placed(&alice, "k").await;
    assert_eq!((app.stock(1), app.stock(2)), (99, 98));
    let path = format!("/orders/{order}/reject");
    for (body, field) in [
        (json!({ "reason": "sold_out" }), "sold_out"),
        (json!({ "reason": "too_busy", "sold_out": [1] }), "sold_out"),
        (json!({ "reason": "sold_out", "sold_out": [3] }), "sold_out"),
        (json!({ "reason": "accept_timeout" }), "reason"),
        (json!({ "reason": "because" }), "reason"),
        (json!({ "reason": "other", "note": " " }), "note"),
        (json!({ "reason": "too_busy", "note": "n".repeat(201) }), "note"),
    ] {
        let answer = cashier.post(&path, &body).await;
        assert_eq!(answer.refusal(), (422, "invalid_field".to_owned()), "{body}");
        assert_eq!(answer.json()["field"], field, "{body}");
    }
    assert_eq!(cashier.post(&path, &json!({ "reason": "too_busy", "colour": 1 })).await.code(), "malformed_body");
    let body = json!({ "reason": "sold_out", "note": "没有大的", "sold_out": [2] });
    let rejected = cashier.post(&path, &body).await.json();
    assert_eq!(rejected["state"], "rejected");
    assert_eq!((app.stock(1), app.stock(2)), (100, 0));
    let told = &alice.get(&format!("/orders/{order}")).await.json()["history"][0]["reason"];
    assert_eq!(
        (&told["code"], &told["words"]["zh"], &told["note"]),
        (&json!("sold_out"), &json!("售罄"), &json!("没有大的"))
    );
    assert_snapshot!(history(&app, &order), @"1 reject pending_accept -> rejected by staff, sold_out: 没有大的");
    // There is none, whatever comes back into stock later.
    let answer = alice.place("more", &crate::harness::order(&[(2, 1)])).await;
    assert_eq!(answer.code(), "out_of_stock");
    assert_eq!(answer.json()["short"][0]["left"], 0);
}

#[actix_web::test]
async fn a_customer_cancels_until_the_restaurant_has_accepted() {
    let app = TestApp::start();
    let (alice, bob) = (app.customer("alice").await, app.customer("bob").await);
    let owner = app.staff("owner").await;
    let why = json!({ "reason": "changed_mind" });
    let unpaid = id(&alice.place("unpaid", &order(&[(1, 3)])).await.json());
    let more = json!({ "reason": "changed_mind", "refund": "5.00" });
    assert_eq!(alice.post(&format!("/orders/{unpaid}/cancel"), &more).await.code(), "malformed_body");
    assert_eq!(bob.post(&format!("/orders/{unpaid}/cancel"), &why).await.refusal(), (404, "not_found".to_owned()));
    assert_eq!(alice.post(&format!("/orders/{unpaid}/cancel"), &why).await.json()["state"], "cancelled");
    assert_eq!(app.stock(1), 100);
    assert_eq!(alice.post(&format!("/orders/{unpaid}/cancel"), &why).await.code(), "illegal_move");
    assert_eq!(app.stock(1), 100);

    let waiting = placed(&alice, "waiting").await;
    app.execute("UPDATE merchants SET customer_cancels = false");
    let kept = alice.post(&format!("/orders/{waiting}/cancel"), &why).await;
    assert_eq!(kept.refusal(), (409, "cancel_not_allowed".to_owned()));
    let words = "This merchant does not let customers cancel orders that wait to be accepted; please call.";
    assert_eq!(kept.json()["detail"], words, "this one is to be paid in cash");
    // That is said of customers, and of orders that wait to be accepted.
    let theirs = placed(&alice, "theirs").await;
    assert_eq!(
        owner.post(&format!("/orders/{theirs}/cancel"), &json!({ "reason": "closing" })).await.json()["state"],
        "cancelled"
    );
    let unpaid = id(&alice.place("unpaid-later", &order(&[(1, 1)])).await.json());
    assert_eq!(alice.post(&format!("/orders/{unpaid}/cancel"), &why).await.json()["state"], "cancelled");
    app.execute("UPDATE merchants SET customer_cancels = true");
    assert_eq!(alice.post(&format!("/orders/{waiting}/cancel"), &why).await.json()["state"], "cancelled");

    let accepted = placed(&alice, "accepted").await;
    owner.post(&format!("/orders/{accepted}/accept"), &json!({})).await;
    let answer = alice.post(&format!("/orders/{accepted}/cancel"), &why).await;
    assert_eq!(answer.refusal(), (409, "illegal_move".to_owned()));
    assert_eq!(answer.json()["state"], "accepted");
}

#[actix_web::test]
async fn a_manager_cancels_later_and_says_what_was_wasted() {
    let app = TestApp::start();
    let (alice, manager) = (app.customer("alice").await, app.staff("manager").await);
    let cancelled = async |key: &str, steps: &[&str], body: Value| {
        let order = placed(&alice, key).await;
        for step in steps {
            assert_eq!(manager.post(&format!("/orders/{order}/{step}"), &json!({})).await.status, 200, "{step}");
        }
        let before = (app.stock(1), app.stock(2));
        let answer = manager.post(&format!("/orders/{order}/cancel"), &body).await;
        (answer, app.stock(1) - before.0, app.stock(2) - before.1)
    };
    let why = json!({ "reason": "bad_quality" });
    let (answer, one, two) = cancelled("fresh", &["accept"], why.clone()).await;
    assert_eq!((answer.json()["state"].as_str(), one, two), (Some("cancelled"), 1, 2), "nothing was made yet");
    let (_, one, two) = cancelled("cooking", &["accept", "prepare"], why.clone()).await;
    assert_eq!((one, two), (0, 0), "what was begun is wasted");
    let some = json!({ "reason": "bad_quality", "returned": [{ "goods_id": 2, "count": 1 }] });
    let (answer, one, two) = cancelled("some", &["accept", "prepare"], some).await;
    assert_eq!((one, two), (0, 1));
    assert_eq!(answer.json()["lines"][1]["returned_count"], 1);
    for (key, returned) in [
        ("twice", json!([{ "goods_id": 2, "count": 1 }, { "goods_id": 2, "count": 1 }])),
        ("three", json!([{ "goods_id": 2, "count": 3 }])),
        ("another", json!([{ "goods_id": 4, "count": 1 }])),
    ] {
        let body = json!({ "reason": "bad_quality", "returned": returned });
        let (answer, one, two) = cancelled(key, &["accept"], body).await;
        assert_eq!((answer.code().as_str(), one, two), ("invalid_field", 0, 0));
    }
    let waste = json!({ "reason": "bad_quality", "returned": [] });
    let (answer, ..) = cancelled("early", &[], waste).await;
    assert_eq!(answer.code(), "invalid_field", "nothing was made, so nothing is wasted");
    // Collected cash goes back at once, as much as the manager says.
    let part = json!({ "reason": "bad_quality", "refund": "20.00" });
    let (answer, ..) = cancelled("cash", &["accept", "collect", "prepare"], part).await;
    assert_eq!(answer.json()["state"], "cancelled");
    let refunds = words(&mut app.conn(), "SELECT amount || ' ' || state AS value FROM refunds");
    assert_eq!(refunds, ["20.00 succeeded"]);
    let more = json!({ "reason": "bad_quality", "refund": "50.01" });
    let (answer, ..) = cancelled("too-much", &["accept", "collect"], more).await;
    assert_eq!(answer.code(), "refund_too_large");
    assert_eq!(answer.json()["left"], "50.00");
}

#[actix_web::test]
async fn a_nudge_every_five_minutes() {
    let app = TestApp::start();
    let (alice, bob) = (app.customer("alice").await, app.customer("bob").await);
    let order = placed(&alice, "k").await;
    let path = format!("/orders/{order}/nudge");
    assert_eq!(bob.post(&path, &json!({})).await.status, 404);
    assert_eq!(alice.post(&path, &json!({})).await.json()["nudged_at"], "2026-11-21T04:00:00Z");
    app.clock.advance(TimeDelta::seconds(299));
    let answer = alice.post(&path, &json!({})).await;
    assert_eq!(answer.refusal(), (429, "nudged_already".to_owned()));
    assert_eq!(answer.headers["retry-after"], "1");
    app.clock.advance(TimeDelta::seconds(1));
    assert_eq!(alice.post(&path, &json!({})).await.status, 200);
    let unpaid = id(&alice.place("unpaid", &crate::harness::order(&[(1, 1)])).await.json());
    assert_eq!(alice.post(&format!("/orders/{unpaid}/nudge"), &json!({})).await.code(), "illegal_move");
    assert_eq!(number(&mut app.conn(), "SELECT count(*) AS value FROM outbox WHERE kind = 'order_nudged'"), 2);
}

/// Fifty staff accept at once: one does, the numbers have no gap, and the day has its own.
#[actix_web::test]
async fn pickup_numbers_count_up_by_the_day() {
    let app = TestApp::start();
    let (alice, cashier) = (app.customer("alice").await, app.staff("cashier").await);
    let mut orders = Vec::new();
    for number in 0..12 {
        orders.push(placed(&alice, &number.to_string()).await);
    }
    let accepts = orders.iter().flat_map(|order| std::iter::repeat_n(order, 4)).map(|order| {
        let path = format!("/orders/{order}/accept");
        let cashier = cashier.clone();
        async move { cashier.post(&path, &json!({})).await }
    });
    let answers = futures_util::future::join_all(accepts).await;
    let mut numbers: Vec<i64> =
        answers.iter().filter(|a| a.status == 200).map(|a| a.json()["pickup_no"].as_i64().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=12).collect::<Vec<_>>());
    assert!(answers.iter().filter(|a| a.status != 200).all(|a| a.code() == "illegal_move"));
    // Noon in Shanghai; the day begins at four in the morning.
    app.clock.advance(TimeDelta::hours(15) + TimeDelta::minutes(59));
    let late = placed(&alice, "late").await;
    assert_eq!(cashier.post(&format!("/orders/{late}/accept"), &json!({})).await.json()["pickup_no"], 13);
    app.clock.advance(TimeDelta::minutes(1));
    let early = placed(&alice, "early").await;
    assert_eq!(cashier.post(&format!("/orders/{early}/accept"), &json!({})).await.json()["pickup_no"], 1);
}

/// A clock that was set to the far east for a moment gives no number twice when it is set back.
#[actix_web::test]
async fn a_zone_that_is_set_back_repeats_no_number() {
    let app = TestApp::start();
    let (alice, owner) = (app.customer("alice").await, app.staff("owner").await);
    app.clock.advance(TimeDelta::hours(12));
    let mut seen = Vec::new();
    let (here, east) = ("Asia/Shanghai", "Pacific/Kiritimati");
    for (key, zone) in [("a", here), ("b", east), ("c", east), ("d", here), ("e", here)] {
        assert_eq!(owner.patch("/settings", &json!({ "time_zone": zone })).await.status, 200);
        let order = placed(&alice, key).await;
        seen.push(
            owner.post(&format!("/orders/{order}/accept"), &json!({})).await.json()["pickup_no"].as_i64().unwrap(),
        );
    }
    // One of today; then those of the day that had begun elsewhere, without a break.
    assert_eq!(seen, [1, 1, 2, 3, 4]);
}

/// Accept, reject, cancel by the customer and by the timer, all at once, again and again: one wins, and stock is what it must be.
#[actix_web::test]
async fn of_moves_that_race_one_wins() {
    let app = TestApp::start();
    let (alice, owner) = (app.customer("alice").await, app.staff("owner").await);
    for round in 0..15 {
        let order = placed(&alice, &round.to_string()).await;
        let why = json!({ "reason": "changed_mind" });
        let (accept, reject) = (format!("/orders/{order}/accept"), format!("/orders/{order}/reject"));
        let (cancel, nothing) = (format!("/orders/{order}/cancel"), json!({}));
        let (a, b, c, d) = tokio::join!(
            owner.post(&accept, &nothing),
            owner.post(&reject, &why),
            alice.post(&cancel, &why),
            owner.post(&cancel, &why),
        );
        let won = [&a, &b, &c, &d].iter().filter(|answer| answer.status == 200).count();
        assert!([&a, &b, &c, &d].iter().all(|answer| answer.status.as_u16() < 500), "who loses is told so");
        // Whoever may cancel may do so after an acceptance.
        let accepted_then_cancelled = a.status == 200 && d.status == 200;
        assert_eq!(won, if accepted_then_cancelled { 2 } else { 1 }, "{} {} {} {}", a.text, b.text, c.text, d.text);
        if won == 1 && a.status == 200 {
            assert_eq!(owner.post(&cancel, &why).await.status, 200);
        }
        assert_eq!((app.stock(1), app.stock(2)), (100, 100), "round {round}");
    }
}

/// Payments confirmed by a gateway wait for the restaurant, unless it accepts by itself.
#[actix_web::test]
async fn auto_accept_numbers_at_once() {
    let app = TestApp::start();
    let alice = app.customer("alice").await;
    app.execute("UPDATE merchants SET auto_accept = true");
    let paid = id(&alice.place("paid", &order(&[(1, 1)])).await.json());
    pay(&app, &paid, "10.00", "t1").unwrap();
    let shown = alice.get(&format!("/orders/{paid}")).await.json();
    assert_eq!((&shown["state"], &shown["pickup_no"]), (&json!("accepted"), &json!(1)));
    let cash = placed(&alice, "cash").await;
    assert_eq!(app.app.jobs.run(app.clock.now()), 1);
    assert_eq!(alice.get(&format!("/orders/{cash}")).await.json()["pickup_no"], 2);
    assert_snapshot!(history(&app, &paid), @"
    1 pay pending_payment -> pending_accept by gateway
    2 accept pending_accept -> accepted by gateway
    ");
}
