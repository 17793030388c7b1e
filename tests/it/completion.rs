//! Orders that the staff forget to complete: the customer says that they have them, or time does.

use chrono::TimeDelta;
use diesel::connection::SimpleConnection;
use diesel_migrations::MigrationHarness;
use insta::assert_snapshot;
use rowlock::domain::MerchantId;
use rowlock::service;
use rowlock::store::migrations;
use serde_json::{Value, json};

use crate::clients::{Customer, Staff};
use crate::harness::{Setup, TestApp, TestDatabase, number, order, words};
use crate::money::{balance, pay};
use crate::moves::{history, id};
use crate::promises::order_id;

/// What new merchants have.
const FOUR_HOURS: TimeDelta = TimeDelta::hours(4);

/// An order of one unit of goods 1, as far as the moves take it.
async fn stands(customer: &Customer<'_>, owner: &Staff<'_>, key: &str, body: &Value, moves: &[&str]) -> String {
    let order = id(&customer.place(key, body).await.json());
    make(owner, &order, moves).await;
    order
}

async fn make(owner: &Staff<'_>, order: &str, moves: &[&str]) {
    for made in moves {
        let body = if *made == "delay" { json!({ "minutes": 60 }) } else { json!({}) };
        let answer = owner.post(&format!("/orders/{order}/{made}"), &body).await;
        assert_eq!(answer.status, 200, "{made}: {}", answer.text);
    }
}

fn cash() -> Value {
    json!({ "lines": [{ "goods_id": 1, "count": 1 }], "fulfilment": { "kind": "pickup" }, "pay_method": "cash" })
}

async fn delivery(customer: &Customer<'_>) -> Value {
    let address = json!({ "contact": "Li", "phone": "13800138000", "place": "Road 1" });
    let address = customer.post("/addresses", &address).await.json()["id"].clone();
    json!({
        "lines": [{ "goods_id": 1, "count": 1 }],
        "fulfilment": { "kind": "delivery", "address_id": address }, "pay_method": "sandbox"
    })
}

fn last_move(app: &TestApp, order: &str) -> String {
    history(app, order).lines().last().unwrap_or_default()[2..].to_owned()
}

/// What the timers complete by a time from now on, which is none before that of the last time.
fn run_after(app: &TestApp, wait: TimeDelta) -> usize {
    app.app.jobs.run(app.clock.now() + wait)
}

fn failures(app: &TestApp) -> f64 {
    app.metric("rowlock_job_failures_total{code=\"complete\"}")
}

#[actix_web::test]
async fn what_nobody_completes_is_completed_by_itself() {
    let app = TestApp::start();
    app.execute("UPDATE merchants SET points_earned_per_yuan = 1");
    let (alice, owner) = (app.customer("alice").await, app.staff("owner").await);
    assert!(app.app.metrics.render().contains("rowlock_job_failures_total{code=\"complete\"} 0"));
    let fetched = id(&alice.place("fetched", &order(&[(1, 1)])).await.json());
    let delivery = delivery(&alice).await;
    let sent = id(&alice.place("sent", &delivery).await.json());
    let packed = id(&alice.place("packed", &delivery).await.json());
    for (order, amount) in [(&fetched, "10.00"), (&sent, "15.00"), (&packed, "15.00")] {
        pay(&app, order, amount, order).unwrap();
        make(&owner, order, &["accept", "ready"]).await;
    }
    app.clock.advance(TimeDelta::hours(1));
    make(&owner, &sent, &["deliver"]).await;
    let left = FOUR_HOURS - TimeDelta::hours(1);
    assert_eq!(run_after(&app, left - TimeDelta::microseconds(1)), 0);
    assert_eq!(balance(&app, "points"), 0);
    assert_eq!(run_after(&app, left), 2, "what left has its own time");
    assert_eq!(run_after(&app, FOUR_HOURS - TimeDelta::microseconds(1)), 0);
    assert_eq!(run_after(&app, FOUR_HOURS), 1);
    assert_eq!(run_after(&app, FOUR_HOURS * 2), 0);
    assert_snapshot!(history(&app, &fetched), @"
    1 pay pending_payment -> pending_accept by gateway
    2 accept pending_accept -> accepted by staff
    3 ready accepted -> ready by staff
    4 complete ready -> completed by timer
    ");
    assert_eq!(last_move(&app, &packed), "complete ready -> completed by timer", "nobody said that it left");
    assert_eq!(last_move(&app, &sent), "complete delivering -> completed by timer");
    assert_eq!(balance(&app, "points"), 40);
    let told = "SELECT count(*) AS value FROM outbox WHERE kind = 'order_moved' AND state = 'completed'";
    assert_eq!(number(&mut app.conn(), told), 3);
    let seen = alice.get(&format!("/orders/{fetched}")).await.json();
    assert_eq!((&seen["state"], &seen["history"][3]["actor"]), (&json!("completed"), &json!("timer")));
    assert!(failures(&app) < 0.5 && app.metric("rowlock_orders_timed_out_total") > 2.5);
}

#[actix_web::test]
async fn cash_that_is_owed_is_never_taken_to_be_collected() {
    let app = TestApp::start();
    let (alice, owner) = (app.customer("alice").await, app.staff("owner").await);
    let order = stands(&alice, &owner, "k", &cash(), &["accept", "ready"]).await;
    assert_eq!(run_after(&app, FOUR_HOURS), 0);
    assert_eq!(last_move(&app, &order), "ready accepted -> ready by staff");
    assert!(failures(&app) < 0.5, "nobody tries");
    let received = alice.post(&format!("/orders/{order}/receive"), &json!({})).await;
    assert_eq!(received.refusal(), (409, "cash_not_collected".to_owned()));
    // Whatever stands there: the move itself looks, too.
    app.execute("UPDATE orders SET complete_by = placed_at");
    assert_eq!(run_after(&app, FOUR_HOURS), 0);
    assert!(failures(&app) > 0.5);
    app.execute("UPDATE orders SET complete_by = NULL");

    app.clock.advance(TimeDelta::hours(5));
    make(&owner, &order, &["collect"]).await;
    assert_eq!(run_after(&app, FOUR_HOURS - TimeDelta::microseconds(1)), 0);
    assert_eq!(run_after(&app, FOUR_HOURS), 1);
    assert_eq!(last_move(&app, &order), "complete ready -> completed by timer");
    // It was collected before it was ready.
    let order = stands(&alice, &owner, "early", &cash(), &["accept", "collect", "ready"]).await;
    assert_eq!(run_after(&app, FOUR_HOURS), 1);
    assert_eq!(last_move(&app, &order), "complete ready -> completed by timer");
}

/// Whoever asks where it is, has it not; what is promised for later is not handed over before; what went back to the kitchen waits for it.
#[actix_web::test]
async fn time_begins_anew_when_something_is_heard_of_an_order() {
    let app = TestApp::start();
    let (alice, owner) = (app.customer("alice").await, app.staff("owner").await);
    let ready = &["accept", "collect", "ready"];
    let mut orders = Vec::new();
    for key in ["nudged", "delayed", "recalled"] {
        orders.push(stands(&alice, &owner, key, &cash(), ready).await);
    }
    app.clock.advance(TimeDelta::hours(3));
    assert_eq!(alice.post(&format!("/orders/{}/nudge", orders[0]), &json!({})).await.status, 200);
    make(&owner, &orders[1], &["delay"]).await;
    make(&owner, &orders[2], &["recall"]).await;
    assert_eq!(run_after(&app, FOUR_HOURS - TimeDelta::microseconds(1)), 0);
    assert_eq!(run_after(&app, FOUR_HOURS), 1);
    assert_eq!(last_move(&app, &orders[0]), "complete ready -> completed by timer");
    assert_eq!(run_after(&app, FOUR_HOURS + TimeDelta::hours(1)), 1);
    assert_eq!(last_move(&app, &orders[1]), "complete ready -> completed by timer");
    app.clock.advance(TimeDelta::hours(2));
    make(&owner, &orders[2], &["ready"]).await;
    assert_eq!(run_after(&app, FOUR_HOURS - TimeDelta::microseconds(1)), 0);
    assert_eq!(run_after(&app, FOUR_HOURS), 1);
}

#[actix_web::test]
async fn a_merchant_says_after_how_long_if_ever() {
    let app = TestApp::start();
    let (alice, owner) = (app.customer("alice").await, app.staff("owner").await);
    let ready = &["accept", "collect", "ready"];
    let set = async |minutes: Option<i32>| {
        let answer = owner.patch("/settings", &json!({ "complete_after_minutes": minutes })).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["complete_after_minutes"]), (200, &json!(minutes)));
    };
    set(Some(10)).await;
    let soon = stands(&alice, &owner, "soon", &cash(), ready).await;
    set(None).await;
    let never = stands(&alice, &owner, "never", &cash(), ready).await;
    let deadlines = "SELECT count(*) AS value FROM orders WHERE complete_by IS NOT NULL";
    assert_eq!(number(&mut app.conn(), deadlines), 1);
    assert_eq!(run_after(&app, TimeDelta::minutes(10)), 0, "it is not to be any more");
    assert_eq!(number(&mut app.conn(), deadlines), 0, "and nobody looks at it again");
    set(Some(10)).await;
    let next = stands(&alice, &owner, "next", &cash(), ready).await;
    assert_eq!(run_after(&app, TimeDelta::minutes(10)), 1);
    assert_eq!(run_after(&app, FOUR_HOURS), 0, "the others are left to the staff");
    for (order, ended) in [(&soon, false), (&never, false), (&next, true)] {
        assert_eq!(last_move(&app, order).ends_with("completed by timer"), ended);
    }
}

/// Those who were there before there was the setting expect nothing of the kind.
#[test]
fn an_upgrade_completes_nothing_by_itself() {
    const BEFORE: &str = "20261128000083";
    let database = TestDatabase::clone_of("template1");
    let mut conn = database.conn();
    migrations::run(&mut conn).unwrap();
    let last = "SELECT max(version)::text AS value FROM __diesel_schema_migrations";
    while words(&mut conn, last)[0].as_str() >= BEFORE {
        conn.revert_last_migration(migrations::MIGRATIONS).unwrap();
    }
    let add = "INSERT INTO merchants (name_zh, name_en, time_zone, created_at) VALUES ('店', 'Shop', 'Asia/Shanghai', '2026-01-01Z')";
    conn.batch_execute(add).unwrap();
    migrations::run(&mut conn).unwrap();
    conn.batch_execute(add).unwrap();
    let minutes = "SELECT coalesce(complete_after_minutes::text, 'never') AS value FROM merchants ORDER BY id";
    assert_eq!(words(&mut conn, minutes), ["never", "240"]);
}

/// What was overdue when it was listed may have moved on, or be in somebody's hands, when it is locked.
#[actix_web::test]
async fn only_what_is_overdue_is_completed() {
    let app = TestApp::start();
    let (alice, owner) = (app.customer("alice").await, app.staff("owner").await);
    let order = stands(&alice, &owner, "k", &cash(), &["accept", "collect", "ready"]).await;
    let time_out = |minutes| {
        let now = app.clock.now() + TimeDelta::minutes(minutes);
        app.app.store.write(MerchantId(1), |tx| service::orders::time_out(tx, order_id(&order), now)).unwrap()
    };
    assert!(!time_out(239));
    let mut stranger = app.conn();
    stranger.batch_execute("BEGIN; SELECT FROM orders FOR UPDATE").unwrap();
    assert!(!time_out(240), "somebody has it in hand");
    stranger.batch_execute("COMMIT").unwrap();
    assert!(time_out(240));
    assert!(!time_out(240), "it is completed already");
}

/// The timer, the staff and the customer at once, at two instances: one of them completes it, and what it earns is credited once.
#[actix_web::test]
async fn of_all_who_complete_an_order_one_does() {
    const ROUNDS: i64 = 12;
    let app = TestApp::start();
    let other = app.beside(Setup::default());
    app.execute("UPDATE merchants SET points_earned_per_yuan = 1");
    let (alice, owner) = (app.customer("alice").await, app.staff("owner").await);
    let mut by_people = 0;
    for round in 0..ROUNDS {
        let order = stands(&alice, &owner, &round.to_string(), &cash(), &["accept", "collect", "ready"]).await;
        let now = app.clock.now() + FOUR_HOURS;
        let (receive, complete) = (format!("/orders/{order}/receive"), format!("/orders/{order}/complete"));
        let nothing = json!({});
        let timers = [&app, &other].map(|app| {
            let instance = app.app.clone();
            actix_web::rt::task::spawn_blocking(move || instance.jobs.run(now))
        });
        let (received, completed) = tokio::join!(alice.post(&receive, &nothing), owner.post(&complete, &nothing));
        let mut done = 0;
        for timer in timers {
            done += timer.await.unwrap();
        }
        for answer in [received, completed] {
            let is_made = answer.status == 200;
            assert!(is_made || answer.refusal() == (409, "illegal_move".to_owned()), "{}", answer.text);
            by_people += usize::from(is_made);
            done += usize::from(is_made);
        }
        assert_eq!(done, 1, "{}", history(&app, &order));
    }
    println!("{by_people} of {ROUNDS} by people");
    assert_eq!(balance(&app, "points"), ROUNDS * 10);
    assert_eq!(app.count("order_events WHERE move = 'complete'"), ROUNDS);
    assert_eq!(app.count("entries"), ROUNDS);
}

#[actix_web::test]
async fn a_customer_says_once_that_they_have_their_order() {
    let app = TestApp::start();
    app.execute("UPDATE merchants SET points_earned_per_yuan = 1");
    let (alice, bob, owner) = (app.customer("alice").await, app.customer("bob").await, app.staff("owner").await);
    let order = id(&alice.place("k", &order(&[(1, 1)])).await.json());
    let receive = async |who: &Customer<'_>| who.post(&format!("/orders/{order}/receive"), &json!({})).await;
    let is_early = async |state: &str| {
        let answer = receive(&alice).await;
        assert_eq!(answer.refusal(), (409, "illegal_move".to_owned()), "{state}");
        assert_eq!(answer.json()["state"], state);
    };
    is_early("pending_payment").await;
    pay(&app, &order, "10.00", "t").unwrap();
    is_early("pending_accept").await;
    for (made, state) in [("accept", "accepted"), ("prepare", "preparing")] {
        make(&owner, &order, &[made]).await;
        is_early(state).await;
    }
    make(&owner, &order, &["ready"]).await;
    assert_eq!(receive(&bob).await.refusal(), (404, "not_found".to_owned()));
    let received = receive(&alice).await;
    assert_eq!((received.status.as_u16(), &received.json()["state"]), (200, &json!("completed")), "{}", received.text);
    let again = receive(&alice).await;
    assert_eq!((again.refusal(), &again.json()["state"]), ((409, "illegal_move".to_owned()), &json!("completed")));
    assert_eq!(last_move(&app, &order), "complete ready -> completed by customer");
    assert_eq!(balance(&app, "points"), 10);
    let seen = owner.get(&format!("/orders/{order}")).await.json();
    assert_eq!(seen["history"][4]["actor"], "customer");
    let told = "SELECT count(*) AS value FROM outbox WHERE kind = 'order_moved' AND state = 'completed'";
    assert_eq!(number(&mut app.conn(), told), 1);

    // What is brought, whether or not anybody said that it left.
    let body = delivery(&alice).await;
    for (key, moves) in [("packed", &["accept", "ready"][..]), ("sent", &["accept", "ready", "deliver"])] {
        let order = id(&alice.place(key, &body).await.json());
        pay(&app, &order, "15.00", key).unwrap();
        make(&owner, &order, moves).await;
        assert_eq!(alice.post(&format!("/orders/{order}/receive"), &json!({})).await.status, 200);
    }
}
