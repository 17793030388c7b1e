//! Who waits for whom, in the one queue all orders go through: groups that form by themselves, turns, bounds, the end.

use std::time::{Duration, Instant};

use actix_web::rt::task::{JoinHandle, spawn_blocking};
use diesel::connection::SimpleConnection;
use futures_util::FutureExt;
use futures_util::future::join_all;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rand::{Rng, SeedableRng, rngs::StdRng};
use reqwest::Method;
use rowlock::domain::MerchantId;
use rowlock::placement::{Outcome, Point};
use serde_json::json;

use crate::clients::{Answer, Customer};
use crate::concurrency::WAITING;
use crate::harness::{Freezer, Setup, TestApp, number, order, placement, until};

/// The shops 3 and 4, with the goods 301 and 401.
const MORE_SHOPS: &str = "
    INSERT INTO merchants (id, name_zh, name_en, time_zone, created_at) SELECT id, '店', 'Shop', 'Asia/Shanghai', '2026-01-01Z' FROM generate_series(3, 4) id;
    INSERT INTO categories (merchant_id, id, name_zh, name_en, position) SELECT id, id, '菜', 'Dishes', 1 FROM generate_series(3, 4) id;
    INSERT INTO products (merchant_id, id, category_id, name_zh, name_en, position) SELECT id, id, id, '面', 'Noodles', 1 FROM generate_series(3, 4) id;
    INSERT INTO goods (merchant_id, id, product_id, spec_zh, spec_en, price, stock, position) SELECT id, id * 100 + 1, id, '碗', 'bowl', 15, 100, 1 FROM generate_series(3, 4) id;
    INSERT INTO stock_moves (merchant_id, id, goods_id, delta, reason, actor, moved_at)
        SELECT merchant_id, gen_random_uuid(), id, stock, 'opening', 'test', '2026-01-01Z' FROM goods WHERE merchant_id > 2;
";

fn frozen_at(point: Point, count: usize, variables: &[(&'static str, &'static str)]) -> (Freezer, TestApp) {
    let freezer = Freezer::of(count, point);
    let app =
        TestApp::with(Setup { probe: Some(freezer.probe.clone()), variables: variables.to_vec(), ..Setup::default() });
    (freezer, app)
}

fn waiting(app: &TestApp) -> usize {
    app.metric("rowlock_queue_orders") as usize
}

/// Sends orders one after the other, each when the one before stands in the queue.
async fn line_up(app: &TestApp, who: &Customer<'_>, orders: &[(&str, &[(i64, i64)])]) -> Vec<JoinHandle<Answer>> {
    let mut sent = Vec::new();
    let before = waiting(app);
    for (key, lines) in orders {
        sent.push(who.send(key, &order(lines)));
        until(|| waiting(app) == before + sent.len()).await;
    }
    sent
}

async fn answers(sent: Vec<JoinHandle<Answer>>) -> Vec<Answer> {
    join_all(sent).await.into_iter().map(Result::unwrap).collect()
}

fn statuses(answers: &[Answer]) -> Vec<u16> {
    answers.iter().map(|answer| answer.status.as_u16()).collect()
}

/// How many groups were committed, and how many orders they had in all.
fn groups(app: &TestApp) -> (f64, f64) {
    (app.metric("rowlock_group_orders_count"), app.metric("rowlock_group_orders_sum"))
}

/// The lock of a stranger, such as a report that somebody runs by hand.
fn stranger_locks(app: &TestApp, goods: &str) -> diesel::PgConnection {
    let mut stranger = app.conn();
    stranger.batch_execute(&format!("BEGIN; SELECT 1 FROM goods WHERE id IN ({goods}) FOR UPDATE")).unwrap();
    stranger
}

#[actix_web::test]
async fn what_waits_is_one_group_in_the_order_of_arrival() {
    let (freezer, app) = frozen_at(Point::Locked, 1, &[]);
    let alice = app.customer("alice").await;
    let first = alice.send("first", &order(&[(1, 90)]));
    freezer.wait().await;
    let wanted: Vec<(String, [(i64, i64); 1])> =
        [3, 3, 5, 3, 1, 1].iter().enumerate().map(|(n, count)| (format!("k{n}"), [(1, *count)])).collect();
    let wanted: Vec<(&str, &[(i64, i64)])> =
        wanted.iter().map(|(key, lines)| (key.as_str(), lines.as_slice())).collect();
    let sent = line_up(&app, &alice, &wanted).await;
    assert_eq!((waiting(&app), groups(&app)), (6, (0.0, 0.0)));
    freezer.release();
    assert_eq!(first.await.unwrap().status, 201);
    let answers = answers(sent).await;
    // Ten are left: 3 and 3 leave 4, too few for 5, and not for the 3 and the 1 after it.
    assert_eq!(statuses(&answers), [201, 201, 409, 201, 201, 409]);
    assert_eq!(answers[2].json()["short"], json!([{ "goods_id": 1, "wanted": 5, "left": 4 }]));
    assert_eq!(answers[5].json()["short"], json!([{ "goods_id": 1, "wanted": 1, "left": 0 }]));
    assert_eq!((app.stock(1), groups(&app), waiting(&app)), (0, (2.0, 7.0), 0));
    for (name, count) in [("queue_wait", 7.0), ("group", 2.0), ("commit", 2.0)] {
        assert_eq!(app.metric(&format!("rowlock_{name}_seconds_count")), count, "{name}");
        assert!(app.metric(&format!("rowlock_{name}_seconds_sum")) > 0.0, "{name}");
    }
    assert!(app.metric("rowlock_group_seconds_sum") > app.metric("rowlock_commit_seconds_sum"));
    assert_eq!((app.metric("rowlock_orders_placed_total"), app.metric("rowlock_group_fallbacks_total")), (5.0, 0.0));
    assert_eq!(app.metric("rowlock_orders_refused_total{code=\"out_of_stock\"}"), 2.0);
    // A group that places nothing does not wait for the disk, and does not make commits look faster than they are.
    assert_eq!(alice.place("none-left", &order(&[(1, 1)])).await.status, 409);
    assert_eq!((groups(&app).0, app.metric("rowlock_commit_seconds_count")), (3.0, 2.0));
}

#[actix_web::test]
async fn a_group_has_its_bound() {
    let (freezer, app) = frozen_at(Point::Locked, 1, &[("ROWLOCK_PLACEMENT_GROUP_ORDERS_MAX", "3")]);
    let alice = app.customer("alice").await;
    let first = alice.send("first", &order(&[(1, 1)]));
    freezer.wait().await;
    let sent = (0..7).map(|n| alice.send(&format!("k{n}"), &order(&[(1, 1)]))).collect();
    until(|| waiting(&app) == 7).await;
    freezer.release();
    assert_eq!(first.await.unwrap().status, 201);
    assert_eq!(statuses(&answers(sent).await), [201; 7]);
    // 1, 3, 3 and 1; buckets count what is not above them.
    assert_eq!(groups(&app), (4.0, 8.0));
    let bucket = |bound: &str| app.metric(&format!("rowlock_group_orders_bucket{{le=\"{bound}\"}}"));
    assert_eq!((bucket("1.0"), bucket("2.0"), bucket("4.0")), (2.0, 2.0, 4.0));
}

#[actix_web::test]
async fn one_key_is_one_order_inside_one_group() {
    let (freezer, app) = frozen_at(Point::Locked, 1, &[]);
    let (alice, bob) = (app.customer("alice").await, app.customer("bob").await);
    let first = alice.send("first", &order(&[(1, 1)]));
    freezer.wait().await;
    let mut sent =
        line_up(&app, &alice, &[("k", &[(1, 2)]), ("k", &[(1, 2)]), ("k", &[(1, 3)]), ("first", &[(1, 1)])]).await;
    // Another customer's key of that name is another key.
    sent.extend(line_up(&app, &bob, &[("k", &[(1, 2)])]).await);
    freezer.release();
    let first = first.await.unwrap();
    let answers = answers(sent).await;
    assert_eq!(statuses(&answers), [201, 200, 422, 200, 201]);
    assert_eq!(answers[0].text, answers[1].text);
    assert_eq!(answers[2].code(), "idempotency_key_reused");
    assert_eq!(first.text, answers[3].text);
    assert_eq!((groups(&app), app.count("orders"), app.stock(1)), ((2.0, 6.0), 3, 95));
    assert_eq!(app.metric("rowlock_orders_repeated_total"), 2.0);
}

/// Two groups of one merchant stand at the same time, each with its goods locked; who wants goods of both waits for both.
#[actix_web::test]
async fn disjoint_goods_of_one_merchant_go_side_by_side() {
    let (freezer, app) = frozen_at(Point::Written, 2, &[("ROWLOCK_PLACEMENT_LANES", "2")]);
    let (alice, carol) = (app.customer("alice").await, app.customer_of(2, "carol").await);
    let first = alice.send("first", &order(&[(1, 1)]));
    freezer.wait().await;
    let second = alice.send("second", &order(&[(2, 1)]));
    freezer.wait().await;
    let mut both = line_up(&app, &alice, &[("both", &[(2, 1), (1, 1)])]).await.pop().unwrap();
    assert_eq!(carol.place("k", &order(&[(101, 1)])).await.status, 201, "both lanes are held up: a third steps in");
    freezer.release();
    assert_eq!(first.await.unwrap().status, 201);
    assert!((&mut both).now_or_never().is_none() && waiting(&app) == 1, "it waits for the second, too");
    freezer.release();
    assert_eq!((second.await.unwrap().status.as_u16(), both.await.unwrap().status.as_u16()), (201, 201));
    assert_eq!((groups(&app), app.stock(1), app.stock(2)), ((4.0, 4.0), 98, 98));
}

/// Two merchants' orders come before a lane has woken up: it takes one of them, and sees to it that another takes the other.
#[actix_web::test]
async fn merchants_that_come_together_are_served_together() {
    let (freezer, app) = frozen_at(Point::Locked, 6, &[("ROWLOCK_PLACEMENT_PATIENCE_MS", "10000")]);
    let alice = app.customer_id("alice").await;
    app.execute("INSERT INTO customers SELECT 2, id, provider, subject, created_at FROM customers");
    let begun = Instant::now();
    for key in ["a", "b", "c"] {
        let place = |merchant, goods| app.app.engine.place(MerchantId(merchant), placement(alice, key, &[(goods, 1)]));
        let (first, second, ()) = tokio::join!(place(1, 1), place(2, 101), async {
            freezer.wait().await;
            freezer.wait().await;
            freezer.release();
            freezer.release();
        });
        assert!(matches!((&first, &second), (Ok(Outcome::Placed(_)), Ok(Outcome::Placed(_)))), "{first:?} {second:?}");
    }
    assert!(begun.elapsed() < Duration::from_secs(8), "nobody lost patience: {:?}", begun.elapsed());
}

/// Of the lanes that there are, so many work at once as should, while they move.
#[actix_web::test]
async fn no_more_lanes_work_than_should() {
    let variables = [("ROWLOCK_PLACEMENT_LANES", "2"), ("ROWLOCK_PLACEMENT_PATIENCE_MS", "10000")];
    let (freezer, app) = frozen_at(Point::Locked, 3, &variables);
    app.execute(MORE_SHOPS);
    let mut sent = Vec::new();
    for (who, goods) in [(app.customer("alice").await, 1), (app.customer_of(2, "carol").await, 101)] {
        sent.push(who.send("k", &order(&[(goods, 1)])));
        freezer.wait().await;
    }
    sent.push(app.customer_of(3, "dave").await.send("k", &order(&[(301, 1)])));
    assert!(tokio::time::timeout(Duration::from_millis(500), freezer.wait()).await.is_err(), "two are at work");
    assert_eq!(waiting(&app), 1);
    freezer.release();
    freezer.wait().await;
    freezer.release();
    freezer.release();
    assert_eq!(statuses(&answers(sent).await), [201; 3]);
}

/// An order that may leave does not take along one that must wait, and would then wait with it.
#[actix_web::test]
async fn who_may_leave_leaves_alone() {
    let (freezer, app) = frozen_at(Point::Locked, 1, &[]);
    let alice = app.customer("alice").await;
    let mut sent = vec![alice.send("first", &order(&[(1, 1)]))];
    freezer.wait().await;
    sent.extend(line_up(&app, &alice, &[("a", &[(1, 1)]), ("b", &[(2, 1), (1, 1)])]).await);
    assert_eq!(alice.place("free", &order(&[(3, 1)])).await.status, 201);
    // What "b" wants, too, is not overtaken.
    sent.extend(line_up(&app, &alice, &[("c", &[(2, 99)])]).await);
    assert_eq!(alice.place("free-again", &order(&[(3, 1)])).await.status, 201);
    assert_eq!((waiting(&app), groups(&app)), (3, (2.0, 2.0)));
    freezer.release();
    assert_eq!(statuses(&answers(sent).await), [201; 4]);
    assert_eq!((groups(&app), app.stock(1), app.stock(2)), ((4.0, 6.0), 97, 0));
}

#[actix_web::test]
async fn a_full_queue_says_so_at_once_and_is_one_merchants_own() {
    let variables = [("ROWLOCK_PLACEMENT_QUEUE_ORDERS_MAX", "5"), ("ROWLOCK_PLACEMENT_QUEUE_MERCHANT_ORDERS_MAX", "3")];
    let (freezer, app) = frozen_at(Point::Locked, 2, &variables);
    let (alice, carol) = (app.customer("alice").await, app.customer_of(2, "carol").await);
    let body = order(&[(1, 1)]);
    let mut sent = vec![alice.send("first", &body)];
    freezer.wait().await;
    sent.extend(line_up(&app, &alice, &[("a", &[(1, 1)]), ("b", &[(1, 1)]), ("c", &[(1, 1)])]).await);
    for key in ["d", "a"] {
        // Nobody has been let go: this is answered while all others wait.
        let full = alice.place(key, &body).await;
        assert_eq!(full.refusal(), (503, "queue_full".into()));
        assert_eq!(full.headers["retry-after"], "1");
        assert!(!full.headers.contains_key("connection"), "whoever comes again need not connect again");
    }
    let unread = alice.request(Method::POST, "/orders").body("not an order");
    assert_eq!(Answer::of(unread).await.refusal(), (503, "queue_full".into()));
    // The other merchant's is not full before the whole is.
    sent.push(carol.send("first", &order(&[(101, 1)])));
    freezer.wait().await;
    sent.extend(line_up(&app, &carol, &[("a", &[(101, 1)]), ("b", &[(101, 1)])]).await);
    assert_eq!(carol.place("c", &order(&[(101, 1)])).await.refusal(), (503, "queue_full".into()));
    freezer.release();
    freezer.release();
    assert_eq!(statuses(&answers(sent).await), [201; 7]);
    assert_eq!(alice.place("d", &body).await.status, 201, "nothing was done about it, and now there is room");
    assert_eq!((app.stock(1), app.stock(101)), (95, 97));
}

/// As many orders as there are lanes wait for rows that a stranger holds: neither they nor their merchants keep others waiting.
#[actix_web::test]
async fn whom_a_stranger_holds_up_holds_up_nobody_else() {
    // The locks are waited for as long as this test goes on, so who is placed was not placed because somebody gave up.
    // Lanes lose patience only after an order has come that needs one more of them.
    let variables = [
        ("ROWLOCK_DATABASE_LOCK_TIMEOUT_MS", "30000"),
        ("ROWLOCK_DATABASE_STATEMENT_TIMEOUT_MS", "40000"),
        ("ROWLOCK_PLACEMENT_LANES", "2"),
        ("ROWLOCK_PLACEMENT_PATIENCE_MS", "500"),
    ];
    let (_, app) = frozen_at(Point::Locked, 0, &variables);
    app.execute(MORE_SHOPS);
    let alice = app.customer("alice").await;
    let (carol, dave, erin) =
        (app.customer_of(2, "carol").await, app.customer_of(3, "dave").await, app.customer_of(4, "erin").await);
    let mut stranger = stranger_locks(&app, "1, 2, 101");
    let mut stuck = Vec::new();
    let place = async |n: usize| {
        let begun = Instant::now();
        for (who, goods) in [(&dave, 301), (&erin, 401)] {
            assert_eq!(who.place(&format!("k{n}"), &order(&[(goods, 1)])).await.status, 201, "{n} are stuck");
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "{n} are stuck: {:?}", begun.elapsed());
    };
    // One lane; both lanes, by one merchant; and more than there are.
    for (who, goods) in [(&alice, 1), (&alice, 2), (&carol, 101)] {
        stuck.push(who.send(&format!("on {goods}").replace(' ', "-"), &order(&[(goods, 1)])));
        until(|| number(&mut app.conn(), WAITING) == stuck.len() as i64).await;
        place(stuck.len()).await;
    }
    assert!(stuck.iter_mut().all(|answer| answer.now_or_never().is_none()), "they still wait");
    stranger.batch_execute("COMMIT").unwrap();
    assert_eq!(statuses(&answers(stuck).await), [201; 3]);
    assert_eq!((app.stock(1), app.stock(301), app.stock(401)), (99, 97, 97));
}

/// However many orders wait for a row that a stranger holds, those of the same merchant for other goods do not wait with them.
#[actix_web::test]
async fn a_crowd_for_one_row_holds_up_no_other_goods() {
    let (freezer, app) = frozen_at(Point::Locked, 1, &[("ROWLOCK_PLACEMENT_GROUP_ORDERS_MAX", "3")]);
    let alice = app.customer("alice").await;
    let mut sent = vec![alice.send("first", &order(&[(1, 1)]))];
    freezer.wait().await;
    sent.extend((0..4).map(|n| alice.send(&format!("k{n}"), &order(&[(1, 1)]))));
    until(|| waiting(&app) == 4).await;
    let other = tokio::time::timeout(Duration::from_secs(5), alice.place("other", &order(&[(2, 1)]))).await;
    freezer.release();
    assert_eq!(statuses(&answers(sent).await), [201; 5]);
    assert_eq!(other.expect("nobody else wants these goods").status, 201);
}

/// A process that goes on with the end of the test, whatever that is: the server would wait for it for ever.
struct Stopped(Pid);

impl Stopped {
    fn stop(pid: i64) -> Self {
        let pid = Pid::from_raw(i32::try_from(pid).unwrap());
        kill(pid, Signal::SIGSTOP).unwrap();
        Self(pid)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = kill(self.0, Signal::SIGCONT);
    }
}

/// A server process that hangs: its lane hangs with it, and nobody else.
#[actix_web::test]
async fn a_server_process_that_hangs_costs_one_lane() {
    let (freezer, app) = frozen_at(Point::Locked, 1, &[("ROWLOCK_PLACEMENT_ANSWER_TIMEOUT_MS", "1500")]);
    let (alice, carol) = (app.customer("alice").await, app.customer_of(2, "carol").await);
    let sent = alice.send("k", &order(&[(1, 1)]));
    freezer.wait().await;
    let frozen = "SELECT pid::bigint AS value FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'";
    let process = Stopped::stop(number(&mut app.conn(), frozen));
    freezer.release();
    assert_eq!(sent.await.unwrap().refusal(), (503, "outcome_unknown".into()));
    for (who, goods) in [(&alice, 2), (&carol, 101)] {
        assert_eq!(who.place("other", &order(&[(goods, 1)])).await.status, 201);
    }
    drop(process);
    assert_eq!(alice.place("k", &order(&[(1, 1)])).await.status, 200);
    assert_eq!((app.stock(1), app.count("orders")), (99, 3));
}

/// A client that hangs up while its order waits, and one whose request is dropped: what became of the order, its key tells.
#[actix_web::test]
async fn who_leaves_the_queue_finds_out_by_the_key() {
    let (freezer, app) = frozen_at(Point::Locked, 1, &[]);
    let alice = app.customer("alice").await;
    let id = app.customer_id("alice").await;
    let first = alice.send("first", &order(&[(1, 1)]));
    freezer.wait().await;
    let hung_up = line_up(&app, &alice, &[("hung-up", &[(1, 1)])]).await.pop().unwrap();
    hung_up.abort();
    assert!(hung_up.await.unwrap_err().is_cancelled());
    let dropped = app.app.engine.place(MerchantId(1), placement(id, "dropped", &[(1, 1)]));
    assert!(tokio::time::timeout(Duration::from_millis(1), dropped).await.is_err());
    assert_eq!(waiting(&app), 2);
    let last = line_up(&app, &alice, &[("last", &[(1, 1)])]).await.pop().unwrap();
    freezer.release();
    assert_eq!((first.await.unwrap().status.as_u16(), last.await.unwrap().status.as_u16()), (201, 201));
    assert_eq!(waiting(&app), 0);
    // Nobody waited for this one's answer any more when a lane came to it: it was not placed.
    let outcome = app.app.engine.place(MerchantId(1), placement(id, "dropped", &[(1, 1)])).await.unwrap();
    assert!(matches!(outcome, Outcome::Placed(_)), "{outcome:?}");
    let repeated = alice.place("hung-up", &order(&[(1, 1)])).await;
    assert!(repeated.status.is_success(), "{}", repeated.text);
    assert_eq!((app.count("orders"), app.stock(1)), (4, 96));
}

#[actix_web::test]
async fn an_order_that_waits_too_long_is_unknown_and_its_key_tells() {
    let (freezer, app) = frozen_at(Point::Written, 1, &[("ROWLOCK_PLACEMENT_ANSWER_TIMEOUT_MS", "200")]);
    let alice = app.customer("alice").await;
    let frozen = alice.send("frozen", &order(&[(1, 1)]));
    freezer.wait().await;
    let waits = line_up(&app, &alice, &[("waits", &[(1, 1)])]).await.pop().unwrap();
    for answer in [frozen.await.unwrap(), waits.await.unwrap()] {
        assert_eq!(answer.refusal(), (503, "outcome_unknown".into()));
        assert_eq!(answer.headers["retry-after"], "1");
    }
    let again = alice.place("frozen", &order(&[(1, 1)])).await;
    assert_eq!(again.refusal(), (503, "outcome_unknown".into()), "its twin is still in flight");
    freezer.release();
    until(|| app.count("orders") == 1).await;
    assert_eq!(alice.place("frozen", &order(&[(1, 1)])).await.status, 200, "the first was placed all the same");
    assert_eq!(alice.place("waits", &order(&[(1, 1)])).await.status, 201, "nobody waited for the second any more");
    assert_eq!((app.count("orders"), app.stock(1), waiting(&app)), (2, 98, 0));
}

/// Whatever was accepted before the engine stops is placed and answered, also behind a group that takes its time.
#[actix_web::test]
async fn a_stop_answers_what_was_accepted_and_takes_no_more() {
    let (freezer, app) = frozen_at(Point::Locked, 1, &[]);
    let (alice, carol) = (app.customer("alice").await, app.customer_of(2, "carol").await);
    let mut sent = vec![alice.send("first", &order(&[(1, 1)]))];
    freezer.wait().await;
    sent.extend(line_up(&app, &alice, &[("a", &[(1, 1)]), ("b", &[(2, 1), (1, 1)]), ("c", &[(2, 1)])]).await);
    let stopped = app.app.clone();
    let mut stop = spawn_blocking(move || stopped.engine.stop());
    let mut placed = 0;
    let late = loop {
        let answer = carol.place(&format!("k{placed}"), &order(&[(101, 1)])).await;
        if answer.status != 201 {
            break answer;
        }
        placed += 1;
    };
    assert_eq!(late.refusal(), (503, "unavailable".into()));
    assert_eq!(late.headers["retry-after"], "1");
    assert!((&mut stop).now_or_never().is_none(), "it waits for those in the queue");
    freezer.release();
    stop.await.unwrap();
    assert_eq!(statuses(&answers(sent).await), [201; 4]);
    assert_eq!((app.stock(1), app.stock(2), app.stock(101)), (97, 98, 100 - placed));
    assert_eq!(alice.place("a", &order(&[(1, 1)])).await.refusal(), (503, "unavailable".into()));
}

/// No order is forgotten in the queue, whatever the number of lanes and however the goods of neighbours overlap.
#[actix_web::test]
async fn everybody_is_served_with_any_number_of_lanes() {
    let seed = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    // Without patience lanes come and go; with much, a wake-up that is forgotten is missed.
    for (lanes, lanes_max, group_orders_max, patience_ms) in
        [("1", "1", "1", "10000"), ("1", "2", "3", "1"), ("2", "3", "64", "10000"), ("4", "6", "2", "10000")]
    {
        let variables = [
            ("ROWLOCK_PLACEMENT_LANES", lanes),
            ("ROWLOCK_PLACEMENT_LANES_MAX", lanes_max),
            ("ROWLOCK_PLACEMENT_GROUP_ORDERS_MAX", group_orders_max),
            ("ROWLOCK_PLACEMENT_PATIENCE_MS", patience_ms),
        ];
        let (_, app) = frozen_at(Point::Locked, 0, &variables);
        let (alice, carol) = (app.customer_id("alice").await, app.customer_id("carol").await);
        app.execute("INSERT INTO customers SELECT 2, id, provider, subject, created_at FROM customers");
        let place = |n: usize| {
            let (merchant, who) = (1 + n as i64 % 4 / 3, [alice, carol][n % 2]);
            let goods = if merchant == 2 { 101 } else { random.random_range(1..=5) };
            let mut lines = vec![(goods, 1)];
            if merchant == 1 && random.random_bool(0.3) {
                lines.push((1 + goods % 5, 1));
            }
            app.app.engine.place(MerchantId(merchant), placement(who, &format!("k{n}"), &lines))
        };
        let served = join_all((0..120).map(place).collect::<Vec<_>>());
        let outcomes = tokio::time::timeout(Duration::from_secs(8), served).await.expect("all are served");
        for outcome in &outcomes {
            assert!(matches!(outcome, Ok(Outcome::Placed(_))), "{lanes} lanes: {outcome:?}");
        }
        assert_eq!((app.count("orders"), waiting(&app)), (120, 0));
    }
}
