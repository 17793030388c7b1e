//! What happens reaches whoever listens: every event once, in one order, at every instance, whatever breaks in between.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use futures_util::future::join_all;
use nix::sys::signal::Signal;
use reqwest::Method;
use rowlock::domain::{GoodsId, MerchantId, OrderId};
use rowlock::error::Error;
use rowlock::placement::Point;
use rowlock::store::{events, outbox};
use serde_json::{Value, json};

use crate::clients::{Answer, Staff};
use crate::command::{Folder, SECRET, Service};
use crate::harness::{Freezer, PASSWORD, Setup, TestApp, TestDatabase, noon, number, order, until};
use crate::streams::{Frame, Stream};

const STREAMS: &str = "rowlock_event_streams";
/// Nobody hears of anything by looking: only by being told.
const NO_POLL: (&str, &str) = ("ROWLOCK_EVENTS_POLL_MS", "60000");
const LIVELY: (&str, &str) = ("ROWLOCK_EVENTS_KEEP_ALIVE_MS", "100");

fn with(variables: &[(&'static str, &'static str)]) -> Setup {
    Setup { variables: variables.to_vec(), ..Setup::default() }
}

fn cash(lines: &[(i64, i64)]) -> Value {
    let mut body = order(lines);
    body["pay_method"] = json!("cash");
    body
}

fn id_of(placed: &Answer) -> OrderId {
    assert_eq!(placed.status, 201, "{}", placed.text);
    OrderId(placed.json()["id"].as_str().unwrap().parse().unwrap())
}

async fn make(who: &Staff<'_>, id: OrderId, made: &str) {
    let body = if ["accept", "delay"].contains(&made) { json!({ "minutes": 20 }) } else { json!({}) };
    let answer = who.post(&format!("/orders/{id}/{made}"), &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
}

fn change_goods(app: &TestApp, merchant: i64, goods: i64) {
    let told = app.app.store.write(MerchantId(merchant), |tx| {
        outbox::tell_of_goods(tx, GoodsId(goods), noon())?;
        Ok::<_, Error>(())
    });
    told.unwrap();
}

#[actix_web::test]
async fn placements_and_moves_arrive_in_order() {
    let app = TestApp::with(with(&[NO_POLL]));
    let owner = app.staff("owner").await;
    let (mut stream, begin) = Stream::begin(&owner).await;
    assert_eq!(begin, 0);
    let alice = app.customer("alice").await;
    let id = id_of(&alice.place("k", &cash(&[(1, 1)])).await);
    for made in ["accept", "delay", "prepare", "ready"] {
        make(&owner, id, made).await;
    }
    let nudged = alice.post(&format!("/orders/{id}/nudge"), &json!({})).await;
    assert!(nudged.status.is_success(), "{}", nudged.text);
    change_goods(&app, 1, 3);
    change_goods(&app, 2, 101);
    let arrived = stream.events(7).await;
    let told: Vec<String> = arrived
        .iter()
        .map(|(seq, kind, data)| {
            assert_eq!(data["seq"], *seq);
            assert_eq!(data["kind"], *kind);
            assert_eq!(data["happened_at"], "2026-11-21T04:00:00Z");
            let subject = data["order_id"].as_str().map_or_else(|| data["goods_id"].to_string(), ToOwned::to_owned);
            format!("{seq} {kind} {} {}", subject.replace(&id.to_string(), "it"), data["state"])
        })
        .collect();
    assert_eq!(
        told,
        [
            "1 order_placed it \"pending_accept\"",
            "2 order_moved it \"accepted\"",
            "3 order_delayed it \"accepted\"",
            "4 order_moved it \"preparing\"",
            "5 order_moved it \"ready\"",
            "6 order_nudged it \"ready\"",
            "7 goods_changed 3 null",
        ]
    );
    // Whoever comes later begins at the end; by the page it is the same story.
    assert_eq!(Stream::begin(&owner).await.1, 7);
    let page = owner.get("/events/page?after=2&limit=3").await.json();
    assert_eq!(page["items"], json!(arrived[2..5].iter().map(|(.., data)| data).collect::<Vec<_>>()));
    assert_eq!((&page["next_after"], &page["is_reset"]), (&json!(5), &json!(false)));
    assert_eq!(owner.get("/events/page").await.json(), json!({ "items": [], "next_after": 7, "is_reset": false }));
    // Nobody listens to shop 2: what happened there waits unpublished, until somebody asks.
    assert_eq!(number(&mut app.conn(), "SELECT count(*) AS value FROM outbox WHERE merchant_id = 2"), 1);
    let elsewhere = app.staff_of(2, "kitchen").await;
    assert_eq!(elsewhere.get("/events/page?after=0").await.json()["items"][0]["goods_id"], 101);
}

/// A placement that is held open before its commit has a smaller id in the outbox than all that are published meanwhile. Its number is
/// given later, and nobody misses it.
#[actix_web::test]
async fn every_listener_of_two_instances_sees_every_event_once_in_the_same_order() {
    let freezer = Freezer::at(Point::Written);
    let app = TestApp::with(Setup { probe: Some(freezer.probe.clone()), ..with(&[NO_POLL]) });
    let other = app.beside(with(&[NO_POLL]));
    let owner = app.staff("owner").await;
    let names: Vec<String> = (0..12).map(|number| format!("customer {number}")).collect();
    let customers = join_all(names.iter().map(|name| app.customer(name))).await;
    let frozen = customers[0].send("frozen", &cash(&[(5, 1)]));
    freezer.wait().await;
    let (mut here, _) = Stream::begin(&owner).await;
    let (mut there, _) = Stream::begin(&owner.at(&other)).await;
    let mut placed = BTreeSet::new();
    let (one, two) = (&app, &other);
    for round in 0..5 {
        let orders = join_all(customers.iter().enumerate().map(|(number, customer)| async move {
            let instance = if number % 2 == 0 { customer.at(one) } else { customer.at(two) };
            let goods = 1 + i64::try_from(number + round).unwrap() % 4;
            instance.place(&format!("round-{round}"), &cash(&[(goods, 1)])).await
        }));
        for (number, placed_now) in orders.await.iter().enumerate() {
            let id = id_of(placed_now);
            make(&owner.at(if number % 3 == 0 { one } else { two }), id, "accept").await;
            placed.insert(id.to_string());
        }
    }
    let mut seen = [here.events(120).await, there.events(120).await];
    freezer.release();
    placed.insert(id_of(&frozen.await.unwrap()).to_string());
    seen[0].extend(here.events(1).await);
    seen[1].extend(there.events(1).await);
    let [here, there] = seen;
    assert_eq!(here, there, "all see the same, in the same order");
    assert_eq!(here.iter().map(|event| event.0).collect::<Vec<_>>(), (1..=121).collect::<Vec<_>>());
    let mut orders: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (_, kind, data) in &here {
        orders.entry(data["order_id"].as_str().unwrap()).or_default().push(kind);
    }
    assert_eq!(orders.keys().copied().collect::<Vec<_>>(), placed.iter().map(String::as_str).collect::<Vec<_>>());
    let of_frozen = here[120].2["order_id"].as_str().unwrap();
    for (id, kinds) in &orders {
        let expected: &[&str] = if *id == of_frozen { &["order_placed"] } else { &["order_placed", "order_moved"] };
        assert_eq!(kinds, expected, "an order is placed before it is moved");
    }
    assert_eq!(app.count("outbox"), 0);
}

#[actix_web::test]
async fn a_listener_that_comes_back_is_given_what_it_missed() {
    // That somebody has hung up is noticed at a sign of life.
    let app = TestApp::with(with(&[NO_POLL, LIVELY]));
    let other = app.beside(with(&[NO_POLL]));
    let owner = app.staff("owner").await;
    let (mut stream, _) = Stream::begin(&owner).await;
    change_goods(&app, 1, 1);
    assert_eq!(stream.event().await.0, 1);
    drop(stream);
    until(|| app.metric(STREAMS) == 0.0).await;
    // More than a page.
    app.execute("INSERT INTO outbox (merchant_id, goods_id, kind, happened_at) SELECT 1, 2, 'goods_changed', now() FROM generate_series(1, 1200)");
    let mut back = Stream::open(&owner.at(&other), Some(1)).await;
    let numbers: Vec<i64> = back.events(1200).await.iter().map(|event| event.0).collect();
    assert_eq!(numbers, (2..=1201).collect::<Vec<_>>());
    change_goods(&app, 1, 3);
    let next = back.event().await;
    assert_eq!((next.0, &next.2["goods_id"]), (1202, &json!(3)), "and goes on live");
    // The header, or where headers cannot be sent, the query.
    let request = owner.request(Method::GET, "/events?last_event_id=1201");
    let mut response = request.send().await.unwrap();
    let mut text = String::new();
    while !text.contains("id: 1202\n") {
        text.push_str(std::str::from_utf8(&response.chunk().await.unwrap().unwrap()).unwrap());
    }
    for bad in ["x", "1.5", "99999999999999999999"] {
        let refused = Answer::of(owner.request(Method::GET, "/events").header("Last-Event-ID", bad)).await;
        assert_eq!(refused.refusal(), (400, "malformed_query".into()), "{bad}");
    }
    for bad in ["/events?last_event_id=x", "/events/page?limit=0", "/events/page?limit=501", "/events/page?before=1"] {
        assert_eq!(owner.get(bad).await.refusal(), (400, "malformed_query".into()), "{bad}");
    }
}

#[actix_web::test]
async fn numbers_that_are_not_there_reset_the_listener() {
    let app = TestApp::with(with(&[NO_POLL]));
    let owner = app.staff("owner").await;
    for goods in [1, 2, 3, 4] {
        app.clock.advance(TimeDelta::hours(1));
        let now = app.clock.now();
        let tell = |tx: &mut rowlock::store::Tx<'_>| Ok::<_, Error>(outbox::tell_of_goods(tx, GoodsId(goods), now)?);
        app.app.store.write(MerchantId(1), tell).unwrap();
    }
    assert_eq!(owner.get("/events/page").await.json()["next_after"], 4);
    let purge = |limit| {
        let before = noon() + TimeDelta::minutes(150);
        app.app.store.write(MerchantId(1), |tx| Ok::<_, Error>(events::purge_events(tx, before, limit)?)).unwrap()
    };
    let merchants = |before| {
        let found = app.app.store.read_any(|conn| Ok::<_, Error>(events::merchants_to_purge(conn, before, 10)?));
        found.unwrap()
    };
    assert_eq!((merchants(noon()), merchants(app.clock.now())), (vec![], vec![MerchantId(1)]));
    assert_eq!((purge(1), purge(100), purge(100)), (1, 1, 0), "two of four are old enough");
    for (last, begins) in [(0, "reset"), (1, "reset"), (2, "3"), (4, "none"), (5, "reset"), (-1, "reset")] {
        let mut stream = Stream::open(&owner, Some(last)).await;
        let first = stream.frame().await.unwrap();
        let page = owner.get(&format!("/events/page?after={last}")).await.json();
        assert_eq!(page["is_reset"], json!(begins == "reset"), "{last}");
        match begins {
            "reset" => {
                let data = json!({ "seq": 4 });
                assert_eq!(first, Frame::Event { id: 4, kind: "reset".into(), data }, "{last}");
                assert_eq!(page["next_after"], 4);
            }
            "none" => assert!(matches!(first, Frame::Comment(_)), "{first:?}"),
            _ => assert_eq!(stream.event().await.0.to_string(), begins),
        }
    }
    // All of them gone, the last number is still a good one.
    app.execute("DELETE FROM events");
    let mut stream = Stream::open(&owner, Some(4)).await;
    change_goods(&app, 1, 5);
    assert_eq!(stream.event().await.0, 5);
    assert_eq!(Stream::open(&owner, Some(3)).await.event().await.1, "reset");
    // The database is set back under an open stream.
    app.execute("DELETE FROM events; UPDATE event_counters SET last_seq = 2");
    change_goods(&app, 1, 5);
    let (number, kind, _) = stream.event().await;
    assert_eq!((number, kind.as_str()), (3, "reset"));
    change_goods(&app, 1, 5);
    assert_eq!(stream.event().await.0, 4);
}

#[actix_web::test]
async fn what_nobody_asked_for_is_purged() {
    let app = TestApp::with(with(&[NO_POLL]));
    for goods in [1, 2, 3] {
        change_goods(&app, 1, goods);
    }
    let purge = |before, limit| {
        app.app.store.write(MerchantId(1), |tx| Ok::<_, Error>(outbox::purge_outbox(tx, before, limit)?)).unwrap()
    };
    let later = noon() + TimeDelta::seconds(1);
    assert_eq!((purge(noon(), 10), purge(later, 2), purge(later, 2), purge(later, 2)), (0, 2, 1, 0));
    assert_eq!(app.count("outbox"), 0);
}

/// Ends of streams: each is at most a sign of life away.
#[actix_web::test]
async fn a_stream_ends_with_the_right_to_it() {
    let app = TestApp::with(with(&[NO_POLL, LIVELY]));
    let open = async |role: &str| {
        let who = app.staff(role).await;
        let (mut stream, _) = Stream::begin(&who).await;
        assert_eq!(stream.frame().await, Some(Frame::Comment("alive".into())), "signs of life");
        stream
    };
    let (owner, cashier, kitchen) = (open("owner").await, open("cashier").await, open("kitchen").await);
    app.execute("UPDATE staff SET is_active = false WHERE role = 'kitchen'");
    kitchen.end().await;
    app.execute("UPDATE staff SET tokens_from = '2027-01-01Z' WHERE role = 'cashier'");
    cashier.end().await;
    assert_eq!(app.metric(STREAMS), 1.0, "the owner is still there");
    app.clock.advance(TimeDelta::hours(169));
    owner.end().await;
    until(|| app.metric(STREAMS) == 0.0).await;
}

#[actix_web::test]
async fn only_a_merchants_own_staff_listens() {
    let app = TestApp::start();
    let stranger = app.staff_of(2, "owner").await;
    let alice = app.customer("alice").await;
    for path in ["events", "events/page"] {
        let path = format!("/v1/admin/merchants/1/{path}");
        let refused = Answer::of(app.request(Method::GET, &path).bearer_auth(&stranger.token)).await;
        assert_eq!(refused.refusal(), (403, "wrong_merchant".into()));
        for request in [app.request(Method::GET, &path), app.request(Method::GET, &path).bearer_auth(&alice.token)] {
            assert_eq!(Answer::of(request).await.refusal(), (401, "unauthenticated".into()));
        }
    }
    // The token does not travel in the URL.
    let by_query = format!("/v1/admin/merchants/2/events?token={}", stranger.token);
    assert_eq!(app.get(&by_query).await.refusal(), (401, "unauthenticated".into()));
    let (mut stream, _) = Stream::begin(&stranger).await;
    change_goods(&app, 1, 1);
    change_goods(&app, 2, 101);
    let (number, _, data) = stream.event().await;
    assert_eq!((number, &data["goods_id"]), (1, &json!(101)), "nothing of the other shop");
}

#[actix_web::test]
async fn there_are_as_many_streams_as_may_be() {
    let limits = [("ROWLOCK_EVENTS_MERCHANT_STREAMS_MAX", "2"), ("ROWLOCK_EVENTS_STREAMS_MAX", "3"), LIVELY];
    let app = TestApp::with(with(&limits));
    let (owner, stranger) = (app.staff("owner").await, app.staff_of(2, "owner").await);
    let full = (503, "too_many_streams".to_owned());
    let one = Stream::begin(&owner).await;
    let _two = Stream::begin(&owner).await;
    let refused = owner.get("/events").await;
    assert_eq!((refused.refusal(), &refused.headers["retry-after"]), (full.clone(), &"1".parse().unwrap()));
    let _three = Stream::begin(&stranger).await;
    assert_eq!(stranger.get("/events").await.refusal(), full, "in all");
    drop(one);
    until(|| app.metric(STREAMS) == 2.0).await;
    let _four = Stream::begin(&owner).await;
}

#[actix_web::test]
async fn who_does_not_read_is_dropped_and_nobody_else_waits() {
    let app = TestApp::with(with(&[NO_POLL, ("ROWLOCK_EVENTS_PATIENCE_MS", "300")]));
    let owner = app.staff("owner").await;
    let mut sleeper = TcpStream::connect(app.address.trim_start_matches("http://")).unwrap();
    write!(
        sleeper,
        "GET /v1/admin/merchants/1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\r\n",
        owner.token
    )
    .unwrap();
    let (mut reader, _) = Stream::begin(&owner).await;
    until(|| app.metric(STREAMS) == 2.0).await;
    // Far more than the kernel buffers.
    app.execute(
        "INSERT INTO outbox (merchant_id, goods_id, kind, state, happened_at)
             SELECT 1, 1, 'goods_changed', repeat('x', 4000), now() FROM generate_series(1, 8000)",
    );
    change_goods(&app, 1, 2);
    let events = reader.events(8001).await;
    assert_eq!((events[8000].0, &events[8000].2["goods_id"]), (8001, &json!(2)));
    until(|| app.metric("rowlock_event_streams_dropped_total") == 1.0).await;
    assert_eq!(app.metric(STREAMS), 1.0);
    change_goods(&app, 1, 3);
    assert_eq!(reader.event().await.0, 8002);
}

#[actix_web::test]
async fn a_listening_connection_that_is_killed_comes_back() {
    let app = TestApp::with(with(&[NO_POLL]));
    let other = app.beside(with(&[NO_POLL]));
    let owner = app.staff("owner").await;
    let (mut stream, _) = Stream::begin(&owner.at(&other)).await;
    let mut seq = 0;
    let listening = "SELECT count(*) AS value FROM pg_stat_activity WHERE application_name = 'rowlock-listener' AND datname = current_database()";
    for round in 0..3 {
        let mut conn = app.conn();
        until(|| number(&mut conn, listening) == 2).await;
        let killed = number(
            &mut conn,
            "SELECT count(pg_terminate_backend(pid, 5000)) AS value FROM pg_stat_activity
             WHERE application_name = 'rowlock-listener' AND datname = current_database()",
        );
        assert_eq!(killed, 2, "round {round}");
        // One while nobody listens, one when they do again: no poll helps.
        change_goods(&app, 1, 1);
        until(|| number(&mut conn, listening) == 2).await;
        change_goods(&app, 1, 2);
        for _ in 0..2 {
            seq += 1;
            assert_eq!(stream.event().await.0, seq);
        }
    }
}

/// A row that nobody was told of, as after a crash between commit and notice, is found by looking.
#[actix_web::test]
async fn polling_is_the_net() {
    let app = TestApp::with(with(&[("ROWLOCK_EVENTS_POLL_MS", "100")]));
    let owner = app.staff("owner").await;
    let (mut stream, _) = Stream::begin(&owner).await;
    for seq in 1..4 {
        app.execute(
            "INSERT INTO outbox (merchant_id, goods_id, kind, happened_at) VALUES (1, 2, 'goods_changed', now())",
        );
        assert_eq!(stream.event().await.0, seq);
    }
}

/// A transaction that fails tells nobody, and one that is repeated is told of once.
#[actix_web::test]
async fn what_is_undone_is_not_told() {
    let app = TestApp::with(with(&[NO_POLL]));
    let owner = app.staff("owner").await;
    let (mut stream, _) = Stream::begin(&owner).await;
    let undone = app.app.store.write(MerchantId(1), |tx| {
        outbox::tell_of_goods(tx, GoodsId(1), noon())?;
        Err::<(), _>(Error::NotFound)
    });
    assert!(matches!(undone, Err(Error::NotFound)));
    let alice = app.customer("alice").await;
    let placed = alice.place("k", &order(&[(1, 1)])).await;
    assert_eq!(alice.place("k", &order(&[(1, 1)])).await.status, 200);
    assert_eq!(alice.place("l", &order(&[(1, 200)])).await.status, 409);
    // Under a savepoint, as orders are that are written one by one.
    let told = app.app.store.write(MerchantId(1), |tx| {
        tx.savepoint(|tx| outbox::tell_of_goods(tx, GoodsId(2), noon()))?;
        Ok::<_, Error>(())
    });
    told.unwrap();
    let events = stream.events(2).await;
    assert_eq!((&events[0].2["order_id"], &events[1].2["goods_id"]), (&placed.json()["id"], &json!(2)));
    assert_eq!(owner.get("/events/page").await.json()["next_after"], 2);
}

/// The real service, by a signal: its streams end at once, and it does not wait for them.
#[actix_web::test]
async fn a_service_that_stops_ends_its_streams() {
    let database = TestDatabase::clone_of("template");
    let variables = [("DATABASE_URL", database.url.as_str()), ("ROWLOCK_AUTH_TOKEN_SECRET", SECRET)];
    let folder = Folder::new();
    let mut service = Service::start(&folder.0, &variables);
    let base = service.url.replace("/v1/", "/v1/admin/");
    let body = json!({ "login": "owner", "password": PASSWORD });
    let session = Answer::of(reqwest::Client::new().post(format!("{base}/sessions")).json(&body)).await;
    let token = session.json()["token"].as_str().unwrap().to_owned();
    let mut streams = Vec::new();
    for _ in 0..3 {
        let request = reqwest::Client::new().get(format!("{base}/events")).bearer_auth(&token);
        let mut stream = request.send().await.unwrap();
        assert!(stream.chunk().await.unwrap().unwrap().starts_with(b"retry: "));
        streams.push(stream);
    }
    let begun = Instant::now();
    service.signal(Signal::SIGTERM);
    for mut stream in streams {
        assert_eq!(stream.chunk().await.unwrap(), None, "ends as an answer ends");
    }
    assert_eq!(service.wait().code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(15), "it took {:?}", begun.elapsed());
}

#[actix_web::test]
async fn a_stream_is_refused_while_the_service_stops() {
    let app = TestApp::start();
    let owner = app.staff("owner").await;
    let (stream, _) = Stream::begin(&owner).await;
    app.app.events.end_streams();
    stream.end().await;
    assert_eq!(owner.get("/events").await.refusal(), (503, "unavailable".into()));
}
