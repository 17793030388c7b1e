//! Two instances on one database: the same key, the same goods, at the same time.

use std::collections::BTreeMap;

use actix_web::rt::task::spawn_blocking;
use futures_util::future::join_all;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng, rngs::StdRng};
use rowlock::domain::MerchantId;
use rowlock::placement::{Outcome, Point};
use serde_json::Value;

use crate::clients::{Answer, Customer};
use crate::faults::{FALLBACKS, PANICS};
use crate::harness::{Freezer, Setup, TestApp, noon, number, order, placement, until};

const RETRIES_TWIN: &str = "rowlock_transaction_retries_total{code=\"twin\"}";

/// Places `here` at one instance and stops it at `point`, `there` with the same key at another, and lets the first go on.
async fn two_instances(
    point: Point,
    locking: &'static str,
    here: &Value,
    there: &Value,
    waits: bool,
    panics: bool,
) -> (Answer, Answer, f64) {
    let freezer = Freezer::at(point);
    let variables = vec![("ROWLOCK_PLACEMENT_LOCKING", locking)];
    let app =
        TestApp::with(Setup { probe: Some(freezer.probe.clone()), variables: variables.clone(), ..Setup::default() });
    let other = app.beside(Setup { variables, ..Setup::default() });
    let alice = app.customer("alice").await;
    let first = alice.send("key", here);
    freezer.wait().await;
    let second = alice.at(&other).send("key", there);
    if waits {
        let waiting = "SELECT count(*) AS value FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        until(|| number(&mut app.conn(), waiting) == 1).await;
    } else {
        until(|| second.is_finished()).await;
    }
    if panics {
        freezer.panic()
    } else {
        freezer.release()
    }
    let (first, second) = (first.await.unwrap(), second.await.unwrap());
    assert_eq!(app.count("orders"), 1, "{} {}", first.text, second.text);
    for instance in [&app, &other] {
        let placed = if second.status == 201 { there } else { here };
        let again = alice.at(instance).place("key", placed).await;
        assert_eq!(again.status, 200, "{}", again.text);
    }
    assert_eq!((app.metric(FALLBACKS), other.metric(FALLBACKS)), (0.0, 0.0), "a twin is no reason to write one by one");
    (first, second, app.metric(RETRIES_TWIN))
}

#[actix_web::test]
async fn a_twin_at_another_instance_may_be_faster_or_slower() {
    let (one, two) = (order(&[(1, 100)]), order(&[(2, 1)]));
    for locking in ["pessimistic", "optimistic"] {
        // Other contents, other goods: no lock keeps them apart. Whoever writes the key first has it.
        let (late, early, retries) = two_instances(Point::Planned, locking, &one, &two, false, false).await;
        assert_eq!((late.refusal(), early.status.as_u16()), ((422, "idempotency_key_reused".into()), 201), "{locking}");
        assert_eq!(retries, 1.0, "the key was not there when it was looked for");
        let (early, late, _) = two_instances(Point::Written, locking, &one, &two, true, false).await;
        assert_eq!((early.status.as_u16(), late.refusal()), (201, (422, "idempotency_key_reused".into())), "{locking}");
        // It had the key, and fell before its commit: the one that waited for it has it now.
        let (fallen, heir, _) = two_instances(Point::Written, locking, &one, &two, true, true).await;
        assert_eq!((fallen.refusal(), heir.status.as_u16()), ((503, "outcome_unknown".into()), 201), "{locking}");

        // The same order, which takes all there is: never out of stock, whoever is faster.
        let (late, early, _) = two_instances(Point::Begun, locking, &one, &one, false, false).await;
        assert_eq!((late.status.as_u16(), early.status.as_u16()), (200, 201), "{locking}: {}", late.text);
        assert_eq!(late.text, early.text);
        let (early, late, _) = two_instances(Point::Written, locking, &one, &one, true, false).await;
        assert_eq!((early.status.as_u16(), late.status.as_u16()), (201, 200), "{locking}: {}", late.text);
        let waits = locking == "pessimistic";
        for point in [Point::Locked, Point::Planned] {
            let (first, second, _) = two_instances(point, locking, &one, &one, waits, false).await;
            let expected = if waits { (201, 200) } else { (200, 201) };
            assert_eq!((first.status.as_u16(), second.status.as_u16()), expected, "{locking} at {point:?}");
            assert_eq!(first.text, second.text);
        }
    }
}

/// One of a group has a faster twin at another instance: the whole runs again, and its neighbours are placed once.
#[actix_web::test]
async fn a_twin_of_one_does_not_harm_its_group() {
    let freezer = Freezer::at(Point::Planned);
    let app = TestApp::with(Setup { probe: Some(freezer.probe.clone()), ..Setup::default() });
    let other = app.beside(Setup::default());
    let alice = app.customer_id("alice").await;
    let engine = app.app.clone();
    let keys = ["a", "b", "c"];
    let group = spawn_blocking(move || {
        let group = keys.map(|key| placement(alice, key, &[(1, 30)]));
        engine.engine.place_group(MerchantId(1), &group.iter().collect::<Vec<_>>(), noon())
    });
    freezer.wait().await;
    let twin = other.app.engine.place(MerchantId(1), placement(alice, "b", &[(2, 1)])).await.unwrap();
    assert!(matches!(twin, Outcome::Placed(_)), "{twin:?}");
    freezer.release();
    let outcomes = group.await.unwrap().unwrap();
    use Outcome::{Mismatched, Placed};
    assert!(matches!(outcomes[..], [Ok(Placed(_)), Ok(Mismatched), Ok(Placed(_))]), "{outcomes:?}");
    assert_eq!((app.stock(1), app.stock(2), app.metric(RETRIES_TWIN), app.metric(FALLBACKS)), (40, 99, 1.0, 0.0));
}

/// Repeats what is answered 503, as clients do.
pub(crate) async fn place_patiently(who: &Customer<'_>, key: &str, body: &Value) -> Answer {
    for _ in 0..100 {
        let answer = who.place(key, body).await;
        if answer.status != 503 {
            return answer;
        }
        assert_eq!(answer.code(), "unavailable", "{}", answer.text);
    }
    panic!("{key} is never answered");
}

/// Twelve customers send each of eight orders three times, to two instances: the same goods in any order of lines, sometimes with
/// other contents under the same key, sometimes what cannot be had.
pub(crate) async fn storm(lockings: [&'static str; 2]) {
    let seed = rand::random();
    println!("{lockings:?}, seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let setup = |locking| Setup { variables: vec![("ROWLOCK_PLACEMENT_LOCKING", locking)], ..Setup::default() };
    let app = TestApp::with(setup(lockings[0]));
    let other = app.beside(setup(lockings[1]));
    let names: Vec<String> = (0..12).map(|n| format!("customer {n}")).collect();
    let customers = join_all(names.iter().map(|name| app.customer(name))).await;
    let lines = |random: &mut StdRng| {
        let mut goods = vec![1, 2, 3, 4];
        goods.shuffle(random);
        goods.truncate(random.random_range(1..=4));
        if random.random_ratio(1, 12) {
            goods.push([6, 99][random.random_range(0..2)]);
        }
        goods.into_iter().map(|goods| (goods, random.random_range(1..=4))).collect::<Vec<_>>()
    };
    let mut requests = Vec::new();
    for customer in 0..customers.len() {
        for key in 0..8 {
            let body = order(&lines(&mut random));
            let third = if random.random_ratio(1, 4) { order(&lines(&mut random)) } else { body.clone() };
            requests
                .extend([body.clone(), body, third].map(|body| (customer, format!("k{key}"), body, random.random())));
        }
    }
    requests.shuffle(&mut random);
    let send = async |(customer, key, body, elsewhere): &(usize, String, Value, bool)| {
        let who = customers[*customer].at(if *elsewhere { &other } else { &app });
        // Under locks nobody is asked to come back.
        if lockings == ["pessimistic"; 2] { who.place(key, body).await } else { place_patiently(&who, key, body).await }
    };
    let answers = join_all(requests.iter().map(&send)).await;

    let mut standing: BTreeMap<(usize, &str), &str> = BTreeMap::new();
    let mut placed = 0;
    for ((customer, key, _, _), answer) in requests.iter().zip(&answers) {
        match answer.status.as_u16() {
            200 | 201 => {
                let text = standing.entry((*customer, key)).or_insert(&answer.text);
                assert_eq!(*text, answer.text, "one key, one order");
                placed += usize::from(answer.status == 201);
            }
            409 | 422 => {}
            _ => panic!("{}", answer.text),
        }
    }
    assert_eq!((placed, app.count("orders")), (standing.len(), standing.len() as i64), "each was placed once");
    assert!((1..=4).any(|goods| app.stock(goods) < 4), "the storm sells out");
    // Whatever was answered is answered again, at the other instance.
    let elsewhere: Vec<_> = requests.iter().cloned().map(|(who, key, body, at)| (who, key, body, !at)).collect();
    for (answer, again) in answers.iter().zip(join_all(elsewhere.iter().map(&send)).await) {
        match answer.status.as_u16() {
            200 | 201 => assert_eq!((again.status.as_u16(), &again.text), (200, &answer.text)),
            _ => assert!(again.status.is_client_error(), "{} {}", answer.text, again.text),
        }
    }
    for instance in [&app, &other] {
        if lockings[0] == lockings[1] {
            assert_eq!(instance.metric("rowlock_transaction_retries_total{code=\"deadlock\"}"), 0.0);
        }
        assert_eq!((instance.metric(PANICS), instance.metric(FALLBACKS)), (0.0, 0.0));
        assert!(instance.metric("rowlock_orders_repeated_total") > 0.0, "both instances take part");
    }
}

#[actix_web::test]
async fn a_storm_over_two_instances_is_answered() {
    storm(["pessimistic"; 2]).await;
}

/// While one way is replaced by the other, instances of both serve the same goods.
#[actix_web::test]
async fn both_ways_get_along() {
    storm(["pessimistic", "optimistic"]).await;
}
