//! Redis dies, hangs, or was never there: carts are answered 503, all else goes on, and nothing is wrong afterwards.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use nix::sys::signal::Signal;
use rowlock::placement::Point;
use serde_json::{Value, json};

use crate::clients::{Answer, Customer};
use crate::harness::{Freezer, Setup, TestApp, order};
use crate::redis_server::TestRedis;

fn with_carts_in(url: &str, setup: Setup) -> TestApp {
    let mut variables = setup.variables;
    variables.push(("REDIS_URL", url.to_owned().leak()));
    TestApp::with(Setup { variables, ..setup })
}

fn from_cart() -> Value {
    json!({ "lines": "cart", "fulfilment": { "kind": "pickup" }, "pay_method": "cash" })
}

async fn put(who: &Customer<'_>, goods: i64, count: i64) -> Answer {
    who.put(&format!("/cart/lines/{goods}"), &json!({ "count": count })).await
}

/// Holds what must hold while Redis is away.
async fn carts_are_away_and_nothing_else(app: &TestApp, alice: &Customer<'_>, key: &str) {
    let unavailable = (503, "unavailable".to_owned());
    let begun = Instant::now();
    for answer in [
        alice.get("/cart").await,
        put(alice, 2, 1).await,
        alice.delete("/cart").await,
        alice.put("/cart/selection", &json!({ "selected": true })).await,
        alice.place("away", &from_cart()).await,
    ] {
        assert_eq!(answer.refusal(), unavailable);
        assert_eq!(answer.headers["retry-after"], "1");
    }
    assert!(begun.elapsed() < Duration::from_secs(5), "they waited {:?}", begun.elapsed());
    assert_eq!(app.get("/readyz").await.status, 200);
    assert_eq!(app.get("/v1/merchants/1/menu").await.status, 200);
    assert_eq!(alice.place(&format!("{key}-given"), &order(&[(3, 1)])).await.status, 201);
    assert!(app.metric("rowlock_redis_failures_total") > 0.0);
}

/// Waits until carts are answered again, and returns one's lines as `goods:count`.
async fn back(alice: &Customer<'_>) -> String {
    let begun = Instant::now();
    loop {
        let answer = alice.get("/cart").await;
        if answer.status == 200 {
            let line = |line: &Value| format!("{}:{}", line["goods_id"], line["count"]);
            return answer.json()["lines"].as_array().unwrap().iter().map(line).collect::<Vec<_>>().join(" ");
        }
        assert_eq!(answer.refusal(), (503, "unavailable".into()));
        assert!(begun.elapsed() < Duration::from_secs(10), "carts never come back");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[actix_web::test]
async fn a_redis_that_is_killed_takes_only_carts_away() {
    let mut redis = TestRedis::start();
    let app = with_carts_in(&redis.url(), Setup::default());
    let alice = app.customer("alice").await;
    put(&alice, 1, 2).await;
    let placed = alice.place("before", &from_cart()).await;
    assert_eq!(placed.status, 201);
    put(&alice, 1, 3).await;

    redis.kill();
    carts_are_away_and_nothing_else(&app, &alice, "killed").await;
    let again = alice.place("before", &from_cart()).await;
    assert_eq!((again.status.as_u16(), again.text), (200, placed.text), "a repeat needs no cart");

    redis.start_again();
    assert_eq!(back(&alice).await, "1:3");
    assert_eq!(alice.place("after", &from_cart()).await.status, 201);
    assert_eq!((back(&alice).await, app.count("orders")), (String::new(), 3));
}

#[actix_web::test]
async fn a_redis_that_hangs_is_not_waited_for() {
    let redis = TestRedis::start();
    let app = with_carts_in(&redis.url(), Setup::default());
    let alice = app.customer("alice").await;
    put(&alice, 1, 3).await;
    redis.signal(Signal::SIGSTOP);
    // Many at once, and all else beside them.
    let hanging = join_all((0..60).map(|_| alice.get("/cart")));
    let beside = async {
        let begun = Instant::now();
        for number in 0..10 {
            assert_eq!(app.get("/v1/merchants/1/menu").await.status, 200);
            assert_eq!(alice.place(&format!("beside-{number}"), &order(&[(2, 1)])).await.status, 201);
        }
        begun.elapsed()
    };
    let begun = Instant::now();
    let (answers, beside) = futures_util::future::join(hanging, beside).await;
    assert!(answers.iter().all(|answer| answer.refusal() == (503, "unavailable".into())));
    assert!(begun.elapsed() < Duration::from_secs(5), "they waited {:?}", begun.elapsed());
    assert!(beside < Duration::from_secs(2), "the others waited {beside:?}");
    carts_are_away_and_nothing_else(&app, &alice, "stopped").await;
    redis.signal(Signal::SIGCONT);
    // What was asked meanwhile may have been done late.
    let left = back(&alice).await;
    assert!(left.starts_with("1:3") || left.is_empty(), "{left}");
    alice.delete("/cart").await;
    put(&alice, 4, 1).await;
    assert_eq!(back(&alice).await, "4:1");
    assert_eq!(alice.place("after", &from_cart()).await.status, 201);
}

#[actix_web::test]
async fn a_redis_that_dies_after_the_commit_leaves_a_placed_order() {
    let mut redis = TestRedis::start();
    let freezer = Freezer::at(Point::Committed);
    let app = with_carts_in(&redis.url(), Setup { probe: Some(freezer.probe.clone()), ..Setup::default() });
    let alice = app.customer("alice").await;
    put(&alice, 1, 2).await;
    let placing = alice.send("key", &from_cart());
    freezer.wait().await;
    redis.kill();
    freezer.release();
    let placed = placing.await.unwrap();
    assert_eq!(placed.status, 201, "{}", placed.text);
    redis.start_again();
    assert_eq!(back(&alice).await, "", "the cart comes back full, and the order is taken out of it");
    assert_eq!(alice.place("other", &from_cart()).await.refusal(), (422, "empty_cart".into()));
    assert_eq!(app.count("orders"), 1);
}

#[actix_web::test]
async fn a_service_starts_without_its_redis() {
    let mut redis = TestRedis::start();
    redis.kill();
    let app = with_carts_in(&redis.url(), Setup::default());
    let alice = app.customer("alice").await;
    carts_are_away_and_nothing_else(&app, &alice, "never").await;
    redis.start_again();
    assert_eq!(back(&alice).await, "");
    assert_eq!(put(&alice, 1, 1).await.status, 200);
    let nowhere = with_carts_in("redis://127.0.0.1:1", Setup::default());
    let bob = nowhere.customer("bob").await;
    carts_are_away_and_nothing_else(&nowhere, &bob, "nowhere").await;
}

#[actix_web::test]
async fn a_cart_that_nobody_changes_is_forgotten() {
    let redis = TestRedis::start();
    let app =
        with_carts_in(&redis.url(), Setup { variables: vec![("ROWLOCK_REDIS_CART_DAYS", "2")], ..Setup::default() });
    let alice = app.customer("alice").await;
    put(&alice, 1, 1).await;
    let mut conn = redis.conn();
    let keys: Vec<String> = redis::cmd("KEYS").arg("*").query(&mut conn).unwrap();
    assert_eq!(keys.len(), 1);
    let kept = |conn: &mut redis::Connection| redis::cmd("TTL").arg(&keys[0]).query::<i64>(conn).unwrap();
    assert!((172_700..=172_800).contains(&kept(&mut conn)));
    redis::cmd("EXPIRE").arg(&keys[0]).arg(100).query::<()>(&mut conn).unwrap();
    alice.get("/cart").await;
    assert!(kept(&mut conn) <= 100, "looking is no change");
    put(&alice, 1, 2).await;
    assert!(kept(&mut conn) > 100);
    // Neither is somebody else's value under its key a reason to answer nothing for ever.
    redis::cmd("SET").arg(&keys[0]).arg("no cart").query::<()>(&mut conn).unwrap();
    assert_eq!(back(&alice).await, "");
    assert_eq!(put(&alice, 3, 1).await.status, 200);
    assert_eq!(back(&alice).await, "3:1");
    alice.delete("/cart").await;
    let keys: Vec<String> = redis::cmd("KEYS").arg("*").query(&mut conn).unwrap();
    assert_eq!(keys, Vec::<String>::new(), "an empty cart takes no room");
}
