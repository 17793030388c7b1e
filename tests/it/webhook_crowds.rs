//! Webhooks beside each other: slow ones, more than are delivered to at once, and the end.

use std::time::{Duration, Instant};

use actix_web::rt::task::spawn_blocking;
use diesel::connection::SimpleConnection;

use crate::command::waits_for_a_lock;
use crate::harness::{Setup, until};
use crate::webhooks::{Machine, PRIVATE, Reply, deliver, hook, log, start, tell};

/// Whoever waits for a row that somebody keeps waits for longer than a webhook may take to answer.
const LOCKED_OUT: [(&str, &str); 5] = [
    PRIVATE,
    ("ROWLOCK_WEBHOOKS_TIMEOUT_MS", "3000"),
    ("ROWLOCK_WEBHOOKS_INTERVAL_MS", "50"),
    ("ROWLOCK_DATABASE_LOCK_TIMEOUT_MS", "2000"),
    ("ROWLOCK_DATABASE_ATTEMPTS_MAX", "2"),
];

#[actix_web::test]
async fn one_who_is_slow_holds_up_nobody_else() {
    let app = start(&[PRIVATE, ("ROWLOCK_WEBHOOKS_TIMEOUT_MS", "6000")]);
    let (slow, quick) = (Machine::start(&[Reply::Hang]), Machine::start(&[]));
    hook(&app, 1, &slow.url);
    hook(&app, 2, &quick.url);
    tell(&app, 1, 2);
    tell(&app, 2, 3);
    let begun = Instant::now();
    let (made, ()) = tokio::join!(deliver(&app), async {
        until(|| quick.received().len() == 3).await;
        assert!(begun.elapsed() < Duration::from_millis(5_900), "it took {:?}", begun.elapsed());
    });
    assert_eq!((made, slow.received().len()), (4, 1));
}

/// Nor do they wait for the slow one when something happens later.
#[actix_web::test]
async fn what_happens_while_one_is_slow_is_told_at_once() {
    let variables = [PRIVATE, ("ROWLOCK_WEBHOOKS_TIMEOUT_MS", "6000"), ("ROWLOCK_WEBHOOKS_INTERVAL_MS", "50")];
    let app = start(&variables);
    let (slow, quick) = (Machine::start(&[Reply::Hang]), Machine::start(&[]));
    hook(&app, 1, &slow.url);
    hook(&app, 2, &quick.url);
    tell(&app, 1, 1);
    until(|| slow.received().len() == 1).await;
    tell(&app, 2, 1);
    until(|| quick.received().len() == 1).await;
    assert_eq!(log(&app)[0], "1 pending 1", "it is still waited for");
}

/// As while a webhook is taken away that was dead for a week. Others are published all the same, and who answers does not seem slow.
#[actix_web::test]
async fn a_merchant_whose_counter_is_kept_holds_up_nobody_else() {
    let app = start(&LOCKED_OUT);
    let machine = Machine::start(&[Reply::Late]);
    (1..=2).for_each(|merchant| hook(&app, merchant, &machine.url));
    let mut keeper = app.conn();
    keeper.batch_execute("BEGIN; INSERT INTO event_counters (merchant_id, last_seq) VALUES (1, 0)").unwrap();
    tell(&app, 2, 1);
    until(|| machine.received().len() == 1).await;
    tell(&app, 1, 1);
    waits_for_a_lock(&mut app.database.conn()).await;
    tell(&app, 2, 1);
    until(|| machine.received().len() == 2).await;
    until(|| log(&app) == ["1 delivered 1 204", "2 delivered 1 204"]).await;
}

/// Who answers while another's outcome cannot be written down is not told again.
#[actix_web::test]
async fn who_answers_in_time_is_heard_in_time() {
    let app = start(&LOCKED_OUT);
    let machine = Machine::start(&[Reply::Late, Reply::Late]);
    let mut keeper = app.conn();
    for merchant in 1..=2 {
        hook(&app, merchant, &machine.url);
        tell(&app, merchant, 1);
        until(|| machine.received().len() as i64 == merchant).await;
        if merchant == 1 {
            keeper.batch_execute("BEGIN; SELECT FROM webhook_deliveries FOR UPDATE").unwrap();
        }
    }
    until(|| log(&app)[1] == "1 delivered 1 204").await;
}

#[actix_web::test]
async fn a_stop_waits_for_what_is_being_sent_and_for_no_more() {
    let app = start(&[PRIVATE, ("ROWLOCK_WEBHOOKS_TIMEOUT_MS", "2000"), ("ROWLOCK_WEBHOOKS_INTERVAL_MS", "50")]);
    let (slow, quick) = (Machine::start(&[Reply::Hang]), Machine::start(&[]));
    hook(&app, 1, &slow.url);
    tell(&app, 1, 1);
    until(|| slow.received().len() == 1).await;
    hook(&app, 2, &quick.url);
    tell(&app, 2, 5_000);
    until(|| !quick.received().is_empty()).await;
    let (served, before) = (app.app.clone(), quick.received().len());
    spawn_blocking(move || served.webhooks.stop()).await.unwrap();
    let log = log(&app);
    assert_eq!(log[0], "1 pending 1 no answer in time");
    let delivered = log.iter().filter(|line| line.contains("delivered")).count();
    assert_eq!(delivered, quick.received().len(), "nothing is left in the middle");
    assert!(delivered < before + 300, "{delivered} were delivered, {before} before the stop");
}

/// More than are delivered to at once, and nobody looks again for a minute.
#[actix_web::test]
async fn whoever_waits_for_a_place_gets_the_next_that_is_free() {
    let app = start(&[PRIVATE]);
    let machine = Machine::start(&[]);
    hook(&app, 1, &machine.url);
    app.execute(
        "INSERT INTO merchants SELECT (jsonb_populate_record(m, jsonb_build_object('id', number))).*
             FROM merchants m, generate_series(1001, 1200) number WHERE m.id = 1;
         INSERT INTO outbox (merchant_id, goods_id, kind, happened_at)
             SELECT id, 1, 'goods_changed', now() FROM merchants WHERE id > 1000",
    );
    let _other =
        app.beside(Setup { variables: vec![PRIVATE, ("ROWLOCK_WEBHOOKS_INTERVAL_MS", "60000")], ..Setup::default() });
    until(|| machine.received().len() == 200).await;
}
