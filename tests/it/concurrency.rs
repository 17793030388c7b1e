//! Many at once: nothing is oversold, nothing deadlocks, one key stays one order, and only who must waits.

use std::collections::BTreeMap;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use futures_util::future::join_all;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng, rngs::StdRng};
use rowlock::domain::placement::Placement;
use rowlock::domain::{CustomerId, GoodsId, MerchantId};
use rowlock::placement::{Outcome, Point};
use rowlock::store::{SortedIds, placing};
use serde_json::json;

use crate::harness::{Freezer, Setup, TestApp, noon, number, order, placement, until};

/// How many placements wait for somebody's goods.
pub(crate) const WAITING: &str = "SELECT count(*) AS value FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%goods%FOR UPDATE%'";

/// Ends every connection of the service.
pub(crate) const KILL: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'rowlock'";

/// 200 customers want 1 to 3 of each of three goods, in lines of random order, at two instances; 100 of each are there.
#[actix_web::test]
async fn what_fits_is_sold_and_no_more() {
    let seed = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let app = TestApp::start();
    let other = app.beside(Setup::default());
    let wanted: Vec<Vec<(i64, i64)>> = (0..200)
        .map(|_| {
            let mut goods = vec![1, 2, 3];
            goods.shuffle(&mut random);
            goods.truncate(random.random_range(1..=3));
            goods.into_iter().map(|goods| (goods, random.random_range(1..=3))).collect()
        })
        .collect();
    let place = |(number, lines): (usize, &Vec<(i64, i64)>)| {
        let (app, body) = (if number % 2 == 0 { &app } else { &other }, order(lines));
        async move { app.customer(&format!("customer {number}")).await.place("the-order", &body).await }
    };
    let answers = join_all(wanted.iter().enumerate().map(place)).await;

    let mut sold: BTreeMap<i64, i64> = BTreeMap::new();
    for (lines, answer) in wanted.iter().zip(&answers) {
        match answer.status.as_u16() {
            201 => lines.iter().for_each(|(goods, count)| *sold.entry(*goods).or_default() += count),
            _ => assert_eq!(answer.refusal(), (409, "out_of_stock".into()), "{}", answer.text),
        }
    }
    for (goods, sold) in &sold {
        assert_eq!(app.stock(*goods), 100 - sold, "goods {goods}");
    }
    // Refused is only who asked for more than is left now: stock does not come back in this test.
    for (lines, answer) in wanted.iter().zip(&answers).filter(|(_, answer)| answer.status == 409) {
        assert!(lines.iter().any(|(goods, count)| app.stock(*goods) < *count), "{lines:?}: {}", answer.text);
    }
    assert!(sold.values().any(|sold| *sold > 95), "the test sells out: {sold:?}");
    for instance in [&app, &other] {
        let none = "rowlock_transaction_retries_total{code=\"deadlock\"} 0\n";
        assert!(instance.app.metrics.render().contains(none), "goods are locked in order");
    }
}

/// The twin of an order that takes the last units, begun at another instance before that order is committed. It must look for its key when it
/// has the lock: a moment earlier there is no such key, and a moment later nothing is left.
#[actix_web::test]
async fn the_twin_of_the_last_unit_is_a_repeat() {
    let freezer = Freezer::at(Point::Written);
    let app = TestApp::with(Setup { probe: Some(freezer.probe.clone()), ..Setup::default() });
    let other = app.beside(Setup::default());
    let alice = app.customer("alice").await;
    let elsewhere = alice.at(&other);
    let body = order(&[(1, 100)]);
    let (first, twin, ()) = tokio::join!(
        alice.place("key", &body),
        async {
            freezer.wait().await;
            elsewhere.place("key", &body).await
        },
        async {
            until(|| number(&mut app.conn(), WAITING) == 1).await;
            freezer.release();
        }
    );
    assert_eq!((first.status.as_u16(), twin.status.as_u16()), (201, 200), "{}", twin.text);
    assert_eq!((first.text, app.stock(1)), (twin.text, 0));
}

#[actix_web::test]
async fn one_key_for_different_orders_at_once_is_one_order() {
    let app = TestApp::start();
    let other = app.beside(Setup::default());
    let alice = app.customer("alice").await;
    let elsewhere = alice.at(&other);
    // Different goods: no lock keeps these apart, only the key does.
    let bodies: Vec<_> = (0..40).map(|number| order(&[(1 + number % 4, 1)])).collect();
    let place =
        |number: usize| [&alice, &elsewhere][usize::from(number.is_multiple_of(3))].place("key", &bodies[number]);
    let answers = join_all((0..bodies.len()).map(place)).await;
    for answer in &answers {
        let status = answer.status.as_u16();
        assert!(
            [200, 201].contains(&status) || answer.refusal() == (422, "idempotency_key_reused".into()),
            "{}",
            answer.text
        );
    }
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
    assert_eq!(app.count("orders"), 1);
}

/// The lock itself: a placement that stands before its commit holds up one on the same goods and no other, be it of another
/// instance or of its own.
#[actix_web::test]
async fn a_placement_waits_for_the_same_goods_only() {
    let freezer = Freezer::at(Point::Written);
    let app = TestApp::with(Setup { probe: Some(freezer.probe.clone()), ..Setup::default() });
    let other_instance = app.beside(Setup::default());
    let (alice, bob, carol) = (app.customer("alice").await, app.customer("bob").await, app.customer("carol").await);
    let bob_elsewhere = bob.at(&other_instance);
    let (first, second, other) = (order(&[(1, 60), (2, 1)]), order(&[(3, 1), (1, 60)]), order(&[(3, 1)]));

    let mut frozen = std::pin::pin!(alice.place("k", &first));
    tokio::select! {
        answer = &mut frozen => panic!("not frozen: {}", answer.text),
        () = freezer.wait() => {}
    }
    for (instance, key) in [(&app, "here"), (&other_instance, "there")] {
        assert_eq!(carol.at(instance).place(key, &other).await.status, 201, "other goods are not waited for");
    }
    let mut waiter = std::pin::pin!(bob_elsewhere.place("k", &second));
    let mut neighbour = std::pin::pin!(bob.place("n", &second));
    tokio::select! {
        answer = &mut waiter => panic!("did not wait: {}", answer.text),
        answer = &mut neighbour => panic!("did not wait: {}", answer.text),
        () = until(|| number(&mut app.conn(), WAITING) == 1) => {}
    }
    freezer.release();
    assert_eq!(frozen.await.status, 201);
    // Bob sees what Alice left.
    for answer in [waiter.await, neighbour.await] {
        assert_eq!(answer.refusal(), (409, "out_of_stock".into()));
        assert_eq!(answer.json()["short"], json!([{ "goods_id": 1, "wanted": 60, "left": 40 }]));
    }
}

/// A transaction of somebody else that locks goods the other way round: the database breaks one of the two off, and it
/// is tried again.
#[actix_web::test]
async fn a_deadlock_with_a_stranger_does_not_reach_the_client() {
    // Longer than the server waits before it looks for a deadlock, which is a second.
    let variables = vec![("ROWLOCK_DATABASE_LOCK_TIMEOUT_MS", "5000")];
    let app = TestApp::with(Setup { variables, ..Setup::default() });
    let alice = app.customer("alice").await;
    // Lock order and index order are ours; a stranger needs its own to get in the way: 2, then 1.
    let mut stranger = app.conn();
    stranger.batch_execute("SET deadlock_timeout = '20s'; BEGIN; SELECT 1 FROM goods WHERE id = 2 FOR UPDATE").unwrap();
    let body = order(&[(1, 1), (2, 1)]);
    let (first, second) = tokio::join!(alice.place("k", &body), async {
        until(|| number(&mut app.conn(), WAITING) == 1).await;
        actix_web::rt::task::spawn_blocking(move || {
            stranger.batch_execute("SELECT 1 FROM goods WHERE id = 1 FOR UPDATE; COMMIT")
        })
        .await
        .unwrap()
    });
    assert_eq!((first.status.as_u16(), second), (201, Ok(())));
    let metrics = app.get("/metrics").await.text;
    assert!(metrics.contains("rowlock_transaction_retries_total{code=\"deadlock\"} 1"), "{metrics}");
}

#[actix_web::test]
async fn a_lock_held_too_long_is_tried_again_and_then_given_up() {
    let variables = vec![("ROWLOCK_DATABASE_LOCK_TIMEOUT_MS", "50"), ("ROWLOCK_DATABASE_ATTEMPTS_MAX", "3")];
    let app = TestApp::with(Setup { variables, ..Setup::default() });
    let alice = app.customer("alice").await;
    let mut stranger = app.conn();
    stranger.batch_execute("BEGIN; SELECT 1 FROM goods WHERE id = 1 FOR UPDATE").unwrap();
    let answer = alice.place("k", &order(&[(1, 1)])).await;
    assert_eq!(answer.refusal(), (503, "unavailable".into()));
    assert_eq!(answer.headers["retry-after"], "1");
    let metrics = app.get("/metrics").await.text;
    assert!(metrics.contains("rowlock_transaction_retries_total{code=\"lock_timeout\"} 2"), "{metrics}");
    stranger.batch_execute("COMMIT").unwrap();
    assert_eq!(alice.place("k", &order(&[(1, 1)])).await.status, 201);
}

/// Connections that die between two requests, or in the middle of one, are replaced.
#[actix_web::test]
async fn a_lost_connection_is_replaced() {
    let freezer = Freezer::at(Point::Locked);
    let app = TestApp::with(Setup { probe: Some(freezer.probe.clone()), ..Setup::default() });
    let alice = app.customer("alice").await;
    let body = order(&[(1, 1)]);
    let (placed, ()) = tokio::join!(alice.place("k", &body), async {
        freezer.wait().await;
        app.execute(KILL);
        freezer.release();
    });
    assert_eq!(placed.status, 201, "{}", placed.text);
    app.execute(KILL);
    assert_eq!(alice.place("k", &body).await.status, 200);
    assert_eq!(app.stock(1), 99);
}

/// A connection that is lost between the last write and the answer to COMMIT: nobody knows, and the answer says so. The
/// key finds out.
#[actix_web::test]
async fn a_connection_lost_at_commit_is_an_unknown_outcome() {
    let freezer = Freezer::at(Point::Written);
    let app = TestApp::with(Setup { probe: Some(freezer.probe.clone()), ..Setup::default() });
    let alice = app.customer("alice").await;
    let body = order(&[(1, 1)]);
    let (lost, ()) = tokio::join!(alice.place("k", &body), async {
        freezer.wait().await;
        app.execute(KILL);
        freezer.release();
    });
    assert_eq!(lost.refusal(), (503, "outcome_unknown".into()));
    assert_eq!(lost.headers["retry-after"], "1");
    assert_eq!(alice.place("k", &body).await.status, 201, "this one had not taken effect");
    assert_eq!((app.count("orders"), app.stock(1)), (1, 99));
}

/// The same from the other side: committed, and the client gone before the answer.
#[actix_web::test]
async fn a_client_that_left_before_the_answer_finds_its_order() {
    let freezer = Freezer::at(Point::Committed);
    let app = TestApp::with(Setup { probe: Some(freezer.probe.clone()), ..Setup::default() });
    let alice = app.customer("alice").await;
    let other = app.beside(Setup::default());
    let elsewhere = alice.at(&other);
    let body = order(&[(1, 1)]);
    tokio::select! {
        answer = alice.place("k", &body) => panic!("answered: {}", answer.text),
        () = freezer.wait() => {}
    }
    let repeated = elsewhere.place("k", &body).await;
    freezer.release();
    assert_eq!(repeated.status, 200, "{}", repeated.text);
    assert_eq!((app.count("orders"), app.stock(1)), (1, 99));
}

/// An instance whose machine vanishes in the middle of a transaction does not keep its goods for ever.
#[actix_web::test]
async fn a_vanished_instance_loses_its_locks() {
    let freezer = Freezer::at(Point::Locked);
    let variables = vec![
        ("ROWLOCK_DATABASE_STATEMENT_TIMEOUT_MS", "500"),
        ("ROWLOCK_DATABASE_LOCK_TIMEOUT_MS", "400"),
        ("ROWLOCK_DATABASE_ATTEMPTS_MAX", "20"),
    ];
    let app =
        TestApp::with(Setup { probe: Some(freezer.probe.clone()), variables: variables.clone(), ..Setup::default() });
    let other = app.beside(Setup { variables, ..Setup::default() });
    let (alice, bob) = (app.customer("alice").await, other.customer("bob").await);
    let body = order(&[(1, 1)]);
    let mut vanished = std::pin::pin!(alice.place("k", &body));
    tokio::select! {
        answer = &mut vanished => panic!("not frozen: {}", answer.text),
        () = freezer.wait() => {}
    }
    assert_eq!(bob.place("k", &body).await.status, 201);
    freezer.release();
    assert_eq!(vanished.await.status, 201, "it was not gone after all, and runs again");
    assert_eq!(app.stock(1), 98);
}

/// Two locks, each waited for less than the bound of one: the statement's own bound ends it, and that is no fault.
#[actix_web::test]
async fn waiting_too_long_in_all_is_answered_503() {
    let variables =
        vec![("ROWLOCK_DATABASE_STATEMENT_TIMEOUT_MS", "1000"), ("ROWLOCK_DATABASE_LOCK_TIMEOUT_MS", "900")];
    let app = TestApp::with(Setup { variables, ..Setup::default() });
    let alice = app.customer("alice").await;
    let (mut first, mut second) = (app.conn(), app.conn());
    first.batch_execute("BEGIN; SELECT 1 FROM goods WHERE id = 1 FOR UPDATE").unwrap();
    second.batch_execute("BEGIN; SELECT 1 FROM goods WHERE id = 2 FOR UPDATE").unwrap();
    let body = order(&[(1, 1), (2, 1)]);
    let (answer, ()) = tokio::join!(alice.place("k", &body), async {
        until(|| number(&mut app.conn(), WAITING) == 1).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        first.batch_execute("COMMIT").unwrap();
    });
    assert_eq!(answer.refusal(), (503, "unavailable".into()));
    second.batch_execute("COMMIT").unwrap();
    assert_eq!(alice.place("k", &body).await.status, 201);
}

/// A group of several: each order has its own outcome.
#[actix_web::test]
async fn a_group_is_as_good_as_its_orders_one_by_one() {
    let app = TestApp::start();
    let alice = app.customer_id("alice").await;
    let nobody = CustomerId(uuid::Uuid::nil());
    let group = [
        placement(alice, "a", &[(1, 60)]),
        placement(alice, "a", &[(1, 60)]),
        placement(alice, "a", &[(1, 61)]),
        // The database refuses this one: its customer does not exist. Its neighbours do not notice.
        placement(nobody, "b", &[(1, 5)]),
        placement(alice, "c", &[(1, 38)]),
        placement(alice, "d", &[(1, 3)]),
        // Refused above, so the key is free.
        placement(alice, "d", &[(1, 2)]),
    ];
    let place = |group: &[Placement]| {
        let outcomes = app.app.engine.place_group(MerchantId(1), &group.iter().collect::<Vec<_>>(), noon()).unwrap();
        let name = |outcome: Result<Outcome, _>| match outcome {
            Ok(Outcome::Placed(order)) => format!("placed {}", order.total),
            Ok(Outcome::Repeated(order)) => format!("repeated {}", order.total),
            Ok(Outcome::Mismatched) => "mismatched".to_owned(),
            Ok(Outcome::Refused(refusal)) => format!("{refusal:?}"),
            Err(_) => "error".to_owned(),
        };
        outcomes.into_iter().map(name).collect::<Vec<_>>()
    };
    let short =
        |wanted, left| format!("OutOfStock([Short {{ goods_id: GoodsId(1), wanted: {wanted}, left: {left} }}])");
    // What could not be written has taken nothing: 40 are left when it comes to "c".
    let expected =
        ["placed 600.00", "repeated 600.00", "mismatched", "error", "placed 380.00", &short(3, 2), "placed 20.00"];
    assert_eq!(place(&group), expected);
    assert_eq!(app.stock(1), 0);
    assert!(app.get("/metrics").await.text.contains("rowlock_group_fallbacks_total 1"));
    assert_eq!(place(&group[..3]), ["repeated 600.00", "repeated 600.00", "mismatched"]);
}

/// Who locks out of rank panics in its own test instead of deadlocking at lunch; the transaction and its connection go.
#[actix_web::test]
async fn locks_out_of_rank_panic() {
    let app = TestApp::start();
    let lock = |id| [GoodsId(id)].into_iter().collect::<SortedIds<_>>();
    let twice = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        app.app.store.write(MerchantId(1), |tx| -> Result<(), rowlock::error::Error> {
            placing::lock_goods(tx, &lock(2))?;
            placing::lock_goods(tx, &lock(1))?;
            Ok(())
        })
    }));
    assert!(twice.is_err(), "the second lock is of the rank of the first");
    assert_eq!(app.customer("alice").await.place("k", &order(&[(2, 1)])).await.status, 201, "nothing stays locked");
}
