//! What goes wrong in the middle of a group: connections die, code panics, the database refuses. Whoever is harmed is told so, and nobody else is harmed.

use actix_web::rt::task::{JoinHandle, spawn_blocking};
use diesel::connection::SimpleConnection;
use futures_util::future::join_all;
use rowlock::domain::MerchantId;
use rowlock::domain::placement::Placement;
use rowlock::error::Error;
use rowlock::placement::{Outcome, Point};
use serde_json::json;

use crate::clients::Answer;
use crate::concurrency::WAITING;
use crate::harness::{Freezer, Setup, TestApp, noon, number, order, placement, until};
use crate::money::give_points;

const POINTS: [Point; 5] = [Point::Begun, Point::Locked, Point::Planned, Point::Written, Point::Committed];

pub(crate) const PANICS: &str = "rowlock_lane_panics_total";
const RETRIES_LOST: &str = "rowlock_transaction_retries_total{code=\"connection_lost\"}";
pub(crate) const FALLBACKS: &str = "rowlock_group_fallbacks_total";

/// Ends the service's connections that are in `state`, and waits until they are gone. Returns how many there were.
fn kill(app: &TestApp, state: &str) -> i64 {
    let sql = format!(
        "SELECT count(pg_terminate_backend(pid, 10000)) AS value FROM pg_stat_activity
         WHERE datname = current_database() AND application_name = 'rowlock' AND state = '{state}'"
    );
    number(&mut app.conn(), &sql)
}

async fn answers(sent: Vec<JoinHandle<Answer>>) -> Vec<Answer> {
    join_all(sent).await.into_iter().map(Result::unwrap).collect()
}

fn statuses(answers: &[Answer]) -> Vec<u16> {
    answers.iter().map(|answer| answer.status.as_u16()).collect()
}

/// What befalls a group.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// Its connection is ended.
    Lost,
    /// Its lane panics.
    Panic,
}

/// A group of three (two are placed, one is refused) stands at `point` when `fault` befalls it. They are answered `first`, and when they are
/// repeated, `then`.
async fn befalls(fault: Fault, point: Point, first: [u16; 3], then: [u16; 3]) {
    let freezer = Freezer::of(2, point);
    let app = TestApp::with(Setup { probe: Some(freezer.probe.clone()), ..Setup::default() });
    let (alice, bob, carol) =
        (app.customer("alice").await, app.customer("bob").await, app.customer_of(2, "carol").await);
    let before = alice.send("before", &order(&[(1, 1)]));
    freezer.wait().await;
    let group =
        [(&alice, "a", order(&[(1, 2)])), (&bob, "b", order(&[(3, 1), (1, 3)])), (&bob, "c", order(&[(1, 999)]))];
    let sent: Vec<_> = group.iter().map(|(who, key, body)| who.send(key, body)).collect();
    until(|| app.metric("rowlock_queue_orders") == 3.0).await;
    freezer.release();
    freezer.wait().await;
    assert_eq!(before.await.unwrap().status, 201);
    for (who, goods) in [(&bob, 2), (&carol, 101)] {
        assert_eq!(who.place("meanwhile", &order(&[(goods, 1)])).await.status, 201, "a neighbour is placed");
    }

    match fault {
        Fault::Lost if point == Point::Committed => {
            assert!(kill(&app, "idle") > 0);
            freezer.release();
        }
        Fault::Lost => {
            assert_eq!(kill(&app, "idle in transaction"), 1);
            freezer.release();
        }
        Fault::Panic => freezer.panic(),
    }
    let case = format!("{fault:?} at {point:?}");
    let answers = answers(sent).await;
    assert_eq!(statuses(&answers), first, "{case}");
    for answer in answers.iter().filter(|answer| answer.status == 503) {
        assert_eq!(
            (answer.code().as_str(), &answer.headers["retry-after"]),
            ("outcome_unknown", &"1".parse().unwrap())
        );
    }
    let in_invisible_retry = fault == Fault::Lost && ![Point::Written, Point::Committed].contains(&point);
    assert_eq!(app.metric(RETRIES_LOST), f64::from(in_invisible_retry), "{case}");
    assert_eq!(app.metric(PANICS), f64::from(fault == Fault::Panic), "{case}");

    assert_eq!(alice.place("after", &order(&[(1, 1)])).await.status, 201, "{case}: the lane goes on");
    for ((who, key, body), (status, earlier)) in group.iter().zip(then.into_iter().zip(&answers)) {
        let answer = who.place(key, body).await;
        assert_eq!(answer.status, status, "{case}: {}", answer.text);
        if status == 200 && earlier.status == 201 {
            assert_eq!(answer.text, earlier.text, "{case}");
        }
        let again = who.place(key, body).await;
        assert_eq!(again.status, if status == 409 { 409 } else { 200 }, "{case}: {}", again.text);
        assert!(status == 409 || again.text == answer.text, "{case}: one key, one order");
    }
    assert_eq!((app.stock(1), app.stock(3), app.count("orders")), (93, 99, 6), "{case}");
    assert_eq!(app.metric("rowlock_queue_orders"), 0.0, "{case}");
}

#[actix_web::test]
async fn a_connection_may_be_lost_at_every_point() {
    for point in POINTS {
        let (first, then) = match point {
            Point::Begun | Point::Locked | Point::Planned | Point::Committed => ([201, 201, 409], [200, 200, 409]),
            // Nobody knows whether the commit took effect, not even of the one that would have been refused.
            Point::Written => ([503; 3], [201, 201, 409]),
        };
        befalls(Fault::Lost, point, first, then).await;
    }
}

#[actix_web::test]
async fn a_panic_may_happen_at_every_point() {
    for point in POINTS {
        let then = if point == Point::Committed { [200, 200, 409] } else { [201, 201, 409] };
        befalls(Fault::Panic, point, [503; 3], then).await;
    }
}

/// The same while the lane waits inside a statement, for a lock that a stranger holds.
#[actix_web::test]
async fn a_connection_may_be_lost_in_the_middle_of_a_statement() {
    let app = TestApp::start();
    let alice = app.customer("alice").await;
    let mut stranger = app.conn();
    stranger.batch_execute("BEGIN; SELECT 1 FROM goods WHERE id = 1 FOR UPDATE").unwrap();
    let sent = alice.send("k", &order(&[(1, 1)]));
    until(|| number(&mut app.conn(), WAITING) == 1).await;
    assert_eq!(kill(&app, "active"), 1);
    until(|| app.metric(RETRIES_LOST) == 1.0 && number(&mut app.conn(), WAITING) == 1).await;
    stranger.batch_execute("COMMIT").unwrap();
    let answer = sent.await.unwrap();
    assert_eq!((answer.status.as_u16(), app.stock(1)), (201, 99), "{}", answer.text);
}

/// The connection is lost when whoever ordered has been told that nobody knows: they may have asked another instance meanwhile, and
/// bought elsewhere. So the order is not placed after all.
#[actix_web::test]
async fn what_failed_is_not_run_again_for_whom_has_left() {
    let freezer = Freezer::at(Point::Locked);
    let variables = vec![("ROWLOCK_PLACEMENT_ANSWER_TIMEOUT_MS", "300")];
    let app = TestApp::with(Setup { probe: Some(freezer.probe.clone()), variables, ..Setup::default() });
    let alice = app.customer("alice").await;
    let sent = alice.send("k", &order(&[(1, 1)]));
    freezer.wait().await;
    assert_eq!(sent.await.unwrap().refusal(), (503, "outcome_unknown".into()));
    assert_eq!(kill(&app, "idle in transaction"), 1);
    freezer.release();
    until(|| app.metric(RETRIES_LOST) == 1.0).await;
    // The next order goes after it, whatever became of it.
    assert_eq!(alice.place("next", &order(&[(1, 1)])).await.status, 201);
    assert_eq!((app.stock(1), app.count("orders")), (99, 1));
}

/// What befalls all orders alike is nobody's fault, and passes: a client is to come back, and is served then.
async fn befalls_all(befalls: &str, passes: &str) {
    let app = TestApp::start();
    let alice = app.customer("alice").await;
    assert_eq!(alice.place("before", &order(&[(1, 1)])).await.status, 201);
    app.execute(&befalls.replace("DB", &app.database.name));
    for key in ["a", "b"] {
        let answer = alice.place(key, &order(&[(1, 1)])).await;
        assert!([201, 503].contains(&answer.status.as_u16()), "{key}: {}", answer.text);
    }
    app.execute(&passes.replace("DB", &app.database.name));
    for key in ["a", "b"] {
        let answer = alice.place(key, &order(&[(1, 1)])).await;
        assert!(answer.status.is_success(), "{key}: {}", answer.text);
    }
}

/// Another instance changes the schema under the prepared statements of this one.
#[actix_web::test]
async fn a_stale_plan_does_not_end_a_lane() {
    befalls_all("ALTER TABLE goods ALTER price TYPE numeric(13, 2)", "SELECT 1").await;
}

/// The server became a standby, until somebody leads us to the new primary.
#[actix_web::test]
async fn a_server_that_may_not_write_is_unavailable() {
    let read_only = "ALTER DATABASE DB SET default_transaction_read_only = on";
    let end = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'rowlock'";
    let again = format!("SET TRANSACTION READ WRITE; ALTER DATABASE DB RESET default_transaction_read_only; {end}");
    befalls_all(&format!("{read_only}; {end}"), &again).await;
}

/// Somebody cancels the statement that a lane runs, as one does who looks for what is slow.
#[actix_web::test]
async fn a_cancelled_statement_is_no_fault_of_ours() {
    let app = TestApp::start();
    let alice = app.customer("alice").await;
    let mut stranger = app.conn();
    stranger.batch_execute("BEGIN; SELECT 1 FROM goods WHERE id = 1 FOR UPDATE").unwrap();
    let sent = alice.send("k", &order(&[(1, 1)]));
    until(|| number(&mut app.conn(), WAITING) == 1).await;
    app.execute("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()");
    // It is tried again, or answered.
    let retried = || app.metric("rowlock_transaction_retries_total{code=\"lock_timeout\"}") > 0.0;
    until(|| sent.is_finished() || retried()).await;
    stranger.batch_execute("COMMIT").unwrap();
    let answer = sent.await.unwrap();
    assert!([201, 503].contains(&answer.status.as_u16()), "{}", answer.text);
    assert!(alice.place("k", &order(&[(1, 1)])).await.status.is_success());
}

/// Ways in which the database refuses one order, and how to undo them: at the first row that is written, in the middle, and at the last.
const REFUSALS: [(&str, &str); 3] = [
    (
        "ALTER TABLE orders ADD CONSTRAINT no_poison CHECK (remark <> 'poison')",
        "ALTER TABLE orders DROP CONSTRAINT no_poison",
    ),
    (
        "ALTER TABLE order_lines ADD CONSTRAINT no_poison CHECK (goods_id <> 3)",
        "ALTER TABLE order_lines DROP CONSTRAINT no_poison",
    ),
    (
        "ALTER TABLE goods ADD CONSTRAINT no_poison CHECK (id <> 3 OR stock = 100)",
        "ALTER TABLE goods DROP CONSTRAINT no_poison",
    ),
];

/// One order of a group is refused by the database: it takes neither stock nor key from its neighbours.
#[actix_web::test]
async fn what_the_database_refuses_harms_its_own_order_only() {
    for (locking, (refuse, undo)) in
        ["pessimistic", "optimistic"].into_iter().flat_map(|locking| REFUSALS.map(|refusal| (locking, refusal)))
    {
        let variables = vec![("ROWLOCK_PLACEMENT_LOCKING", locking)];
        let app = TestApp::with(Setup { variables, ..Setup::default() });
        let alice = app.customer_id("alice").await;
        let poison = Placement { remark: "poison".into(), ..placement(alice, "p", &[(1, 50), (3, 1)]) };
        let group = [
            placement(alice, "a", &[(1, 41), (2, 1)]),
            poison.clone(),
            // Its twin shares its fate.
            poison,
            // The key is free, then; this one stands under it.
            placement(alice, "p", &[(1, 9)]),
            placement(alice, "p", &[(1, 9)]),
            placement(alice, "c", &[(2, 1), (1, 50)]),
            placement(alice, "d", &[(1, 1)]),
        ];
        let place = |group: &[Placement]| {
            let outcomes =
                app.app.engine.place_group(MerchantId(1), &group.iter().collect::<Vec<_>>(), noon()).unwrap();
            let name = |outcome: Result<Outcome, _>| match outcome {
                Ok(Outcome::Placed(order)) => format!("placed {}", order.total),
                Ok(Outcome::Repeated(order)) => format!("repeated {}", order.total),
                Ok(Outcome::Mismatched) => "mismatched".to_owned(),
                Ok(Outcome::Refused(_)) => "refused".to_owned(),
                Err(_) => "error".to_owned(),
            };
            outcomes.into_iter().map(name).collect::<Vec<_>>()
        };
        app.execute(refuse);
        let expected =
            ["placed 430.00", "error", "error", "placed 90.00", "repeated 90.00", "placed 520.00", "refused"];
        assert_eq!(place(&group), expected, "{locking}: {refuse}");
        assert_eq!((app.stock(1), app.stock(2), app.stock(3)), (0, 98, 100));
        assert_eq!((app.metric(FALLBACKS), app.metric("rowlock_orders_placed_total")), (1.0, 3.0));
        app.execute(undo);
        assert_eq!(place(&group[1..4]), ["mismatched", "mismatched", "repeated 90.00"], "{locking}: {refuse}");
        assert_eq!(app.metric(FALLBACKS), 1.0);
    }
}

/// Somebody's orders spend points one after the other, in a group that falls back: each takes from what the one before left.
#[actix_web::test]
async fn points_are_spent_order_by_order() {
    let app = TestApp::start();
    let alice = app.customer_id("alice").await;
    app.execute(REFUSALS[0].0);
    app.execute("UPDATE merchants SET points_per_yuan = 100");
    give_points(&app, alice.0, 500);
    let spending = |key: &str, points| Placement { points, ..placement(alice, key, &[(1, 1)]) };
    let poison = Placement { remark: "poison".into(), ..spending("p", 300) };
    let group = [poison, spending("a", 200), spending("b", 300), spending("c", 100)];
    let placed = app.app.engine.place_group(MerchantId(1), &group.iter().collect::<Vec<_>>(), noon()).unwrap();
    match &placed[..] {
        [Err(_), Ok(Outcome::Placed(a)), Ok(Outcome::Placed(b)), Ok(Outcome::Refused(_))] => {
            assert_eq!((a.points_used, b.points_used), (200, 300));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(number(&mut app.conn(), "SELECT balance AS value FROM accounts"), 0);
    assert_eq!((app.stock(1), app.metric(FALLBACKS)), (98, 1.0));
}

/// A deadlock while orders are written one by one is nobody's refusal: all of them are tried again.
#[actix_web::test]
async fn what_passes_is_tried_again_order_by_order() {
    let app = TestApp::start();
    let alice = app.customer_id("alice").await;
    app.execute(REFUSALS[0].0);
    app.execute(
        "CREATE SEQUENCE tries;
         CREATE FUNCTION fail_once() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             IF NEW.remark = 'unlucky' AND nextval('tries') = 1 THEN
                 RAISE EXCEPTION 'deadlock detected' USING ERRCODE = 'deadlock_detected';
             END IF;
             RETURN NEW;
         END $$;
         CREATE TRIGGER fail_once BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION fail_once()",
    );
    let with = |remark: &str| Placement { remark: remark.into(), ..placement(alice, remark, &[(1, 1)]) };
    let group = [with("poison"), with("unlucky"), with("lucky")];
    let placed = app.app.engine.place_group(MerchantId(1), &group.iter().collect::<Vec<_>>(), noon()).unwrap();
    assert!(matches!(&placed[..], [Err(_), Ok(Outcome::Placed(_)), Ok(Outcome::Placed(_))]), "{placed:?}");
    assert_eq!((app.stock(1), app.metric(FALLBACKS)), (98, 1.0));
}

/// What cannot be undone ends the transaction: its commit would be a rollback that does not say so, of all that is answered "placed".
#[actix_web::test]
async fn a_savepoint_that_is_gone_is_told() {
    let app = TestApp::start();
    let told = app.app.store.write(MerchantId(1), |tx| {
        let undone: Result<(), Error> = tx.savepoint(|tx| {
            tx.conn().batch_execute("RELEASE SAVEPOINT inner_work")?;
            Ok(tx.conn().batch_execute("SELECT 1 / 0")?)
        });
        undone
    });
    assert!(told.unwrap_err().to_string().contains("savepoint"), "and not of the division alone");
}

/// When the group falls back its locks are free for a moment, and somebody who waited for them takes nearly all there is. What is left is
/// read again.
#[actix_web::test]
async fn after_a_refusal_nothing_is_believed_that_was_read_before() {
    const TAKE_95: &str = "WITH gone AS (UPDATE goods SET stock = stock - 95 WHERE id = 1 RETURNING id)
        INSERT INTO stock_moves (merchant_id, id, goods_id, delta, reason, actor, moved_at)
        SELECT 1, gen_random_uuid(), id, -95, 'broken', 'test', now() FROM gone";
    for locking in ["pessimistic", "optimistic"] {
        let freezer = Freezer::at(Point::Planned);
        let variables = vec![("ROWLOCK_PLACEMENT_LOCKING", locking)];
        let app = TestApp::with(Setup { probe: Some(freezer.probe.clone()), variables, ..Setup::default() });
        let alice = app.customer_id("alice").await;
        app.execute(REFUSALS[0].0);
        let engine = app.app.clone();
        let group = spawn_blocking(move || {
            let poison = Placement { remark: "poison".into(), ..placement(alice, "p", &[(1, 1)]) };
            engine.engine.place_group(MerchantId(1), &[&poison, &placement(alice, "a", &[(1, 10)])], noon())
        });
        freezer.wait().await;
        let mut stranger = app.conn();
        let taking = spawn_blocking(move || stranger.batch_execute(TAKE_95));
        let waiting = "SELECT count(*) AS value FROM pg_stat_activity
            WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE 'WITH gone%'";
        until(|| taking.is_finished() || number(&mut app.conn(), waiting) == 1).await;
        assert_eq!(taking.is_finished(), locking == "optimistic");
        freezer.release();
        let outcomes = group.await.unwrap().unwrap();
        assert!(outcomes[0].is_err() && app.metric(FALLBACKS) == 1.0, "{locking}: {outcomes:?}");
        match (&outcomes[1], taking.await.unwrap()) {
            (Ok(Outcome::Refused(_)), Ok(())) => assert_eq!(app.stock(1), 5),
            // Only under locks the order may have been the faster one.
            (Ok(Outcome::Placed(_)), Err(_)) if locking == "pessimistic" => assert_eq!(app.stock(1), 90),
            other => panic!("{locking}: {other:?}"),
        }
    }
}

/// The same as clients see it, who became a group while they waited; one of them is a customer who is no more.
#[actix_web::test]
async fn clients_do_not_notice_that_the_database_refused_their_neighbour() {
    let freezer = Freezer::at(Point::Locked);
    let app = TestApp::with(Setup { probe: Some(freezer.probe.clone()), ..Setup::default() });
    let (alice, bob, ghost) = (app.customer("alice").await, app.customer("bob").await, app.customer("ghost").await);
    app.execute("DELETE FROM customers WHERE subject = 'ghost'");
    app.execute(REFUSALS[0].0);
    let mut poison = order(&[(1, 60)]);
    poison["remark"] = json!("poison");
    let first = alice.send("first", &order(&[(1, 1)]));
    freezer.wait().await;
    let mut sent = Vec::new();
    for (who, key, body) in [
        (&bob, "a", &order(&[(1, 39)])),
        (&ghost, "g", &order(&[(1, 60)])),
        (&alice, "p", &poison),
        (&bob, "b", &order(&[(1, 60)])),
        (&alice, "c", &order(&[(1, 1)])),
    ] {
        sent.push(who.send(key, body));
        until(|| app.metric("rowlock_queue_orders") == sent.len() as f64).await;
    }
    freezer.release();
    assert_eq!(first.await.unwrap().status, 201);
    let answers = answers(sent).await;
    assert_eq!(statuses(&answers), [201, 401, 500, 201, 409]);
    assert!(!answers[2].text.contains("poison"), "{}", answers[2].text);
    assert_eq!((app.stock(1), app.count("orders"), app.metric(FALLBACKS)), (0, 3, 1.0));
    assert_eq!((app.metric("rowlock_group_orders_count"), app.metric("rowlock_group_orders_sum")), (2.0, 6.0));
}
