//! The staff print tickets of orders: one original, and duplicates that are known to be.

use chrono::TimeDelta;
use reqwest::Method;
use serde_json::{Value, json};

use crate::clients::all_at_once;
use crate::harness::{TestApp, order, words};
use crate::money::pay;
use crate::moves::id;

#[actix_web::test]
async fn a_ticket_is_printed_once_and_then_again() {
    let app = TestApp::start();
    let (alice, kitchen, cashier) =
        (app.customer("alice").await, app.staff("kitchen").await, app.staff("cashier").await);
    let order = id(&alice.place("k", &order(&[(1, 2)])).await.json());
    let path = format!("/orders/{order}");
    let tickets = format!("{path}/tickets");
    let unpaid = kitchen.post(&tickets, &json!({})).await;
    assert_eq!(unpaid.refusal(), (409, "illegal_move".into()));
    assert_eq!((&unpaid.json()["move"], &unpaid.json()["state"]), (&json!("print_ticket"), &json!("pending_payment")));
    assert_eq!(kitchen.get(&path).await.json()["tickets"], json!([]));

    pay(&app, &order, "20.00", "T1").unwrap();
    let first = kitchen.post(&tickets, &json!({})).await;
    let original = json!({ "copy": 1, "printed_at": "2026-11-21T04:00:00Z", "printed_by": "The kitchen" });
    assert_eq!((first.status.as_u16(), first.json()), (201, original.clone()), "{}", first.text);
    app.clock.advance(TimeDelta::minutes(5));
    let second = cashier.post(&tickets, &json!({})).await.json();
    let duplicate = json!({ "copy": 2, "printed_at": "2026-11-21T04:05:00Z", "printed_by": "The cashier" });
    assert_eq!(second, duplicate);
    assert_eq!(cashier.get(&path).await.json()["tickets"], json!([original, duplicate]));

    // An order that is called off is printed too: the kitchen must learn of it.
    let why = json!({ "reason": "too_busy" });
    assert_eq!(cashier.post(&format!("{path}/reject"), &why).await.status, 200);
    assert_eq!(cashier.post(&tickets, &json!({})).await.json()["copy"], 3);

    let trail = "SELECT s.login || ' ' || a.subject AS value FROM staff_actions a JOIN staff s ON s.id = a.staff_id
         WHERE a.action = 'print_ticket' ORDER BY 1";
    let printed = |login| format!("{login} order {order}");
    assert_eq!(words(&mut app.conn(), trail), [printed("cashier"), printed("cashier"), printed("kitchen")]);

    let neighbour = app.staff_of(2, "owner").await;
    assert_eq!(neighbour.post(&tickets, &json!({})).await.refusal(), (404, "not_found".into()));
    assert_eq!(kitchen.post("/orders/x/tickets", &json!({})).await.refusal(), (404, "not_found".into()));
    assert_eq!(app.count("tickets"), 3);
}

/// Several printers at the same moment: one of them prints the original.
#[actix_web::test]
async fn of_tickets_printed_at_once_one_is_the_original() {
    let app = TestApp::start();
    let (alice, kitchen) = (app.customer("alice").await, app.staff("kitchen").await);
    let order = id(&alice.place("k", &order(&[(1, 2)])).await.json());
    pay(&app, &order, "20.00", "T1").unwrap();
    let path = format!("/orders/{order}/tickets");
    let requests = (0..6).map(|_| kitchen.request(Method::POST, &path)).collect();
    let hold = format!("SELECT FROM orders WHERE id = '{order}'");
    let answers = all_at_once(&app, &hold, requests).await;
    let mut copies: Vec<Value> = answers.iter().map(|answer| answer.json()["copy"].clone()).collect();
    copies.sort_by_key(Value::as_i64);
    assert_eq!(copies, [1, 2, 3, 4, 5, 6]);
}
