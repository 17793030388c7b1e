//! A webhook that is set is told of what happens from then on; one that is taken away leaves nothing waiting.

use actix_web::rt::task::spawn_blocking;
use chrono::TimeDelta;
use rowlock::domain::MerchantId;
use rowlock::error::Error;
use rowlock::store::events;
use serde_json::{Value, json};

use crate::command::waits_for_a_lock;
use crate::harness::noon;
use crate::two_tills::run_timers;
use crate::webhooks::{Machine, PRIVATE, Reply, deliver, hook, log, start, tell};

#[actix_web::test]
async fn a_webhook_that_is_taken_away_leaves_nothing_waiting() {
    let app = start(&[PRIVATE]);
    let (owner, machine) = (app.staff("owner").await, Machine::start(&[Reply::Status(500)]));
    owner.patch("/settings", &json!({ "webhook_url": machine.url })).await;
    tell(&app, 1, 2);
    deliver(&app).await;
    assert_eq!(log(&app), ["1 pending 1 500 answered 500", "2 pending 0"]);
    hook(&app, 2, "http://127.0.0.1:9/");
    tell(&app, 2, 1);
    let other = app.app.store.write(MerchantId(2), |tx| Ok::<_, Error>(events::publish(tx, 10, noon())?));
    assert_eq!(other.unwrap(), 1);

    assert_eq!(owner.patch("/settings", &json!({ "webhook_url": null })).await.status, 200);
    let parked = ["1 parked 1 the webhook was taken away", "2 parked 0 the webhook was taken away", "1 pending 0"];
    assert_eq!(log(&app), parked, "another merchant's wait as before");
    app.execute("UPDATE webhook_deliveries SET state = 'delivered' WHERE merchant_id = 2");
    app.clock.advance(TimeDelta::hours(1));
    run_timers(&app).await;
    assert!(app.metric("rowlock_lag_seconds{work=\"webhooks\"}") < 0.01, "nothing is late");
    let retry = async |seq: i64| owner.post(&format!("/webhook-deliveries/{seq}/retry"), &json!({})).await.refusal();
    assert_eq!(retry(1).await, (409, "no_webhook".into()));
    assert_eq!(retry(3).await, (404, "not_found".into()));
    assert_eq!(log(&app)[..2], parked[..2]);

    // As an earlier version left them, which parked nothing.
    app.execute("UPDATE webhook_deliveries SET state = 'pending' WHERE merchant_id = 1 AND seq = 2");
    owner.patch("/settings", &json!({ "webhook_url": machine.url })).await;
    assert_eq!(deliver(&app).await, 0, "what was parked waits for somebody");
    assert_eq!(owner.post("/webhook-deliveries/1/retry", &json!({})).await.status, 200);
    assert_eq!((deliver(&app).await, machine.numbers()), (1, vec![1, 1]));
}

/// Whoever publishes has asked for a webhook before it was taken away, and commits after: the counter's lock puts one before the other.
#[actix_web::test]
async fn a_webhook_that_is_taken_away_waits_for_who_publishes() {
    let app = start(&[PRIVATE]);
    let owner = app.staff("owner").await;
    hook(&app, 1, "http://127.0.0.1:9/");
    tell(&app, 1, 1);
    let (served, (published, is_published)) = (app.app.clone(), std::sync::mpsc::channel());
    let (go_on, may_go_on) = std::sync::mpsc::channel::<()>();
    let publisher = spawn_blocking(move || {
        let done = served.store.write(MerchantId(1), |tx| {
            let count = events::publish(tx, 10, noon())?;
            published.send(()).unwrap();
            may_go_on.recv().unwrap();
            Ok::<_, Error>(count)
        });
        assert_eq!(done.unwrap(), 1);
    });
    spawn_blocking(move || is_published.recv().unwrap()).await.unwrap();
    let off = json!({ "webhook_url": null });
    let (answer, ()) = tokio::join!(owner.patch("/settings", &off), async {
        waits_for_a_lock(&mut app.database.conn()).await;
        go_on.send(()).unwrap();
    });
    publisher.await.unwrap();
    assert_eq!((answer.status.as_u16(), log(&app)), (200, vec!["1 parked 0 the webhook was taken away".to_owned()]));
}

#[actix_web::test]
async fn a_new_webhook_is_told_of_what_happens_from_then_on() {
    let app = start(&[PRIVATE]);
    let (owner, machine) = (app.staff("owner").await, Machine::start(&[]));
    // More than are published at once.
    tell(&app, 1, 1203);
    let set = async |url: Value| {
        let answer = owner.patch("/settings", &json!({ "webhook_url": url, "accept_minutes": 7 })).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["accept_minutes"]), (200, &json!(7)), "{}", answer.text);
    };
    set(json!(machine.url)).await;
    assert_eq!((app.count("events"), app.count("outbox"), app.count("webhook_deliveries")), (1203, 0, 0));
    assert_eq!(app.metric("rowlock_events_published_total"), 1203.0);
    assert_eq!(deliver(&app).await, 0);
    tell(&app, 1, 1);
    assert_eq!((deliver(&app).await, machine.numbers()), (1, vec![1204]));

    set(json!(null)).await;
    tell(&app, 1, 1);
    set(json!(machine.url)).await;
    tell(&app, 1, 1);
    set(json!(format!("{}?other", machine.url))).await;
    let pending = app.count("webhook_deliveries WHERE state = 'pending'");
    assert_eq!(pending, 1, "another address gets what the one before would have");
    set(json!(machine.url)).await;
    assert_eq!((deliver(&app).await, machine.numbers()), (1, vec![1204, 1206]));
}
