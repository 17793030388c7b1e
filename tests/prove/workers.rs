//! Who is at work in a round, and what they may think of.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use futures_util::future::join_all;
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use reqwest::Method;
use rowlock::domain::moves::Move;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::model::{Deed, Kind, Model, id_of, lines_of};
use crate::people::{Answer, Client, Outcome, World};
use crate::plan::Plan;
use crate::provider::fen;
use crate::stage::{GOODS, Person, rows};

type Worker<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// Longer than a request can be on its way that nobody waits for any more.
const ON_ITS_WAY: Duration = Duration::from_secs(10);
/// Members of the staff of each role.
const HANDS: usize = 3;

impl World<'_> {
    /// One of the orders, the late ones more often; none before the first.
    fn pick(&self, random: &mut StdRng) -> Option<(Uuid, usize, i64)> {
        let orders = self.orders.borrow();
        let last = orders.len().checked_sub(1)?;
        let from = if random.random_bool(0.8) { last.saturating_sub(60) } else { 0 };
        Some(orders[random.random_range(from..=last)])
    }

    /// One of a customer's own, of the last that were placed, if there is one.
    fn pick_of(&self, customer: usize, random: &mut StdRng) -> Option<(Uuid, usize, i64)> {
        let orders = self.orders.borrow();
        let own: Vec<_> = orders.iter().rev().take(300).filter(|order| order.1 == customer).collect();
        own.choose(random).map(|order| **order)
    }

    /// Notes a move that was asked for.
    fn moved(&self, order: Uuid, outcome: &Outcome, deed: Deed) {
        let is_certain = matches!(outcome, Outcome::Done(_));
        if is_certain || matches!(outcome, Outcome::Unknown) {
            self.model.borrow_mut().moved(order, Deed { is_certain, ..deed });
        }
    }

    /// Whoever is a stranger to an order is told that there is none.
    fn expect_stranger(&self, is_own: bool, order: Uuid, outcome: &Outcome) {
        let is_told = match outcome {
            Outcome::Done(_) => true,
            Outcome::Refused(status) => ![404, 503].contains(status),
            Outcome::Unknown => false,
        };
        self.model
            .borrow_mut()
            .expect(is_own || !is_told, Kind::Other, &[&order], || format!("order {order} was shown to a stranger"));
    }
}

/// Everybody works until it is over; then what is broken is mended, what is on its way arrives, and the listener hears the last of it.
pub(crate) async fn work(world: &World<'_>, plan: &Plan, mend: impl FnOnce()) {
    let mut workers: Vec<Worker<'_>> = Vec::new();
    for index in 0..plan.customers {
        workers.push(Box::pin(order_and_regret(world, index, plan.random(index as u64))));
    }
    for index in 0..4 * HANDS {
        let client = Client::staff(world, index % 4, index);
        workers.push(Box::pin(run_the_shop(client, plan.random(1_000 + index as u64))));
    }
    workers.push(Box::pin(put_in_again(Client::staff(world, 0, 0), plan.random(1_100))));
    let is_over = Cell::new(false);
    let work = async {
        join_all(workers).await;
        mend();
        clear_doubts(world).await;
        rest(world).await;
        for goods in 1..=GOODS {
            Client::staff(world, 0, 0).settle(Method::DELETE, &format!("/goods/{goods}/sold-out"), None, None).await;
        }
        is_over.set(true);
    };
    tokio::join!(work, listen(Client::staff(world, 3, 1), &is_over));
}

fn wanted(random: &mut StdRng) -> Value {
    let lines: Vec<Value> = (0..random.random_range(1..=3))
        .map(|_| json!({ "goods_id": random.random_range(1..=GOODS), "count": random.random_range(1..=4) }))
        .collect();
    let at =
        if random.random_bool(0.5) { json!({ "kind": "pickup" }) } else { json!({ "kind": "dine_in", "table": "A1" }) };
    let method = if random.random_bool(0.4) { "cash" } else { "sandbox" };
    let mut body = json!({ "lines": lines, "fulfilment": at, "pay_method": method });
    if random.random_bool(0.3) {
        body["points"] = json!(random.random_range(1..=600));
    }
    body
}

async fn order_and_regret(world: &World<'_>, index: usize, mut random: StdRng) {
    let customer = Client::customer(world, index);
    let mut sent: Vec<(String, Value)> = Vec::new();
    for step in 0.. {
        if world.progress.is_over() {
            return;
        }
        match random.random_range(0..24) {
            // Sends the same again, twice at the same moment, as a client that lost the answer.
            0 | 1 if !sent.is_empty() => {
                let (key, body) = sent.choose(&mut random).unwrap().clone();
                let (one, two) = tokio::join!(place(&customer, &key, &body), place(&customer, &key, &body));
                told(world, index, &key, &body, &one);
                told(world, index, &key, &body, &two);
                world.model.borrow_mut().did("repeat");
            }
            2 if !sent.is_empty() => {
                let (key, mut body) = sent.choose(&mut random).unwrap().clone();
                body["remark"] = json!(format!("another {step}"));
                // Where the first was refused, the key is free and this is an order.
                let answer = place(&customer, &key, &body).await;
                if told(world, index, &key, &body, &answer) {
                    sent.push((key, body));
                }
            }
            3 => {
                let Some((order, whose, _)) = world.pick(&mut random) else { continue };
                let note = format!("regret {index} {step}");
                let body = json!({ "reason": "other", "note": note });
                let outcome = customer.post(&format!("/orders/{order}/cancel"), &body).await;
                world.expect_stranger(whose == index, order, &outcome);
                world.moved(order, &outcome, Deed { note, ..Deed::plain(Move::Cancel) });
            }
            4 => place_cart(world, index, &customer, &mut random, step).await,
            5 => {
                let Some((order, whose, _)) = world.pick(&mut random) else { continue };
                let outcome = customer.post(&format!("/orders/{order}/nudge"), &json!({})).await;
                world.expect_stranger(whose == index, order, &outcome);
                world.moved(order, &outcome, Deed::plain(Move::Nudge));
            }
            14 => {
                let Some((order, whose, _)) = world.pick_of(index, &mut random) else { continue };
                let outcome = customer.post(&format!("/orders/{order}/receive"), &json!({})).await;
                world.expect_stranger(whose == index, order, &outcome);
                world.moved(order, &outcome, Deed::plain(Move::Complete));
            }
            6..=8 => {
                let mine = world.pick_of(index, &mut random).or_else(|| world.pick(&mut random));
                if let Some((order, whose, _)) = mine {
                    pay(world, &customer, &mut random, order, whose == index).await;
                }
            }
            9..=13 => look(world, index, &customer, &mut random).await,
            _ => {
                let (key, body) = (format!("key-{step}"), wanted(&mut random));
                let hangs_up = random.random_bool(0.05);
                if hangs_up {
                    customer.hang_up(&key, &body, Duration::from_millis(random.random_range(0..15))).await;
                    world.model.borrow_mut().did("hang up");
                }
                let mut answer = place(&customer, &key, &body).await;
                answer.is_doubtful |= hangs_up;
                sent.push((key.clone(), body.clone()));
                let is_placed = told(world, index, &key, &body, &answer);
                if is_placed && body["pay_method"] == "sandbox" && random.random_bool(0.6) {
                    pay(world, &customer, &mut random, id_of(&answer.body), true).await;
                }
            }
        }
    }
}

async fn place(customer: &Client<'_>, key: &str, body: &Value) -> Answer {
    customer.settle(Method::POST, "/orders", Some(key), Some(body)).await
}

/// Somebody was answered to a placement: whether with an order.
fn told(world: &World<'_>, customer: usize, key: &str, body: &Value, answer: &Answer) -> bool {
    if !answer.is_success() {
        if answer.is_doubtful {
            world.doubtful.borrow_mut().push((customer, key.to_owned(), body.clone()));
        }
        world.model.borrow_mut().did("refused");
        return false;
    }
    let id = world.model.borrow_mut().placed(world.stage.customers[customer].id, key, answer.status, &answer.body);
    let known = (id, customer, fen(answer.body["total"].as_str().unwrap()));
    let mut orders = world.orders.borrow_mut();
    if answer.status == 201 || !orders.iter().rev().take(2_000).any(|order| order.0 == id) {
        orders.push(known);
    }
    true
}

/// Asks once more for what was refused in doubt, when nothing can be on its way any more: the key finds the order if there is one.
async fn clear_doubts(world: &World<'_>) {
    for _ in 0..5 {
        let doubtful = world.doubtful.take();
        if doubtful.is_empty() {
            return;
        }
        tokio::time::sleep(ON_ITS_WAY).await;
        for (customer, key, body) in doubtful {
            let answer = place(&Client::customer(world, customer), &key, &body).await;
            told(world, customer, &key, &body, &answer);
            world.model.borrow_mut().did("doubt");
        }
    }
}

/// Fills the cart, and presses the button twice: two keys, one order.
async fn place_cart(world: &World<'_>, index: usize, customer: &Client<'_>, random: &mut StdRng, step: usize) {
    for _ in 0..random.random_range(1..=3) {
        let line = format!("/cart/lines/{}", random.random_range(1..=GOODS));
        let body = json!({ "count": random.random_range(1..=3) });
        customer.settle(Method::PUT, &line, None, Some(&body)).await;
    }
    let mut body = wanted(random);
    body["lines"] = json!("cart");
    let (one, two) = (format!("cart-{step}-1"), format!("cart-{step}-2"));
    let (first, second) = tokio::join!(place(customer, &one, &body), place(customer, &two, &body));
    let is_first = told(world, index, &one, &body, &first);
    let is_second = told(world, index, &two, &body, &second);
    let mut model = world.model.borrow_mut();
    model.expect(!(is_first && is_second), Kind::Doubled, &[&one, &two], || {
        format!("a cart was placed twice: {} {}", first.body["id"], second.body["id"])
    });
    if is_first || is_second {
        model.did("cart");
    }
}

/// Looks at an order that was answered: it is there at once, at either instance, for its customer alone.
async fn look(world: &World<'_>, index: usize, customer: &Client<'_>, random: &mut StdRng) {
    let Some((order, whose, _)) = world.pick_of(index, random).or_else(|| world.pick(random)) else { return };
    let answer = customer.get(&format!("/orders/{order}")).await;
    let mut model = world.model.borrow_mut();
    if whose != index {
        model.expect(answer.status == 404, Kind::Other, &[&order], || format!("order {order} was shown to a stranger"));
        return;
    }
    let Model { orders, .. } = &*model;
    let told = &orders[&order];
    let is_there = answer.status == 200 && lines_of(&answer.body) == told.lines;
    model.expect(is_there, Kind::Lost, &[&order], || {
        format!("order {order} was looked at: {} {}", answer.status, answer.body)
    });
    model.did("look");
}

/// Begins to pay, or begins anew; and then pays, or types for a while, or does neither.
async fn pay(world: &World<'_>, customer: &Client<'_>, random: &mut StdRng, order: Uuid, is_own: bool) {
    let path = format!("/orders/{order}/payments");
    let body = [json!({}), json!({}), json!({ "channel": "qr" }), json!({ "channel": "page" })].choose(random).cloned();
    let outcome = customer.post(&path, &body.unwrap()).await;
    world.expect_stranger(is_own, order, &outcome);
    let Outcome::Done(begun) = outcome else { return };
    let payment = begun["payment"]["id"].as_str().unwrap().to_owned();
    world.numbers.borrow_mut().push(payment.replace('-', ""));
    let presses: &[&str] = match random.random_range(0..10) {
        0..=5 => &["pay"],
        6 => &["type", "pay"],
        7 => &["type", "cancel"],
        _ => &[],
    };
    for button in presses {
        press(world, &payment.replace('-', ""), button).await;
        tokio::time::sleep(Duration::from_millis(random.random_range(0..30))).await;
    }
    if random.random_bool(0.3) {
        let _ = customer.post(&format!("{path}/{payment}/check"), &json!({})).await;
    }
    // Some find a page still open on which they can pay, whatever became of the order.
    if random.random_bool(0.1) {
        let late = world.numbers.borrow().choose(random).cloned();
        press(world, &late.unwrap(), "pay").await;
    }
}

/// Presses a button of the provider's, which no fault keeps from answering.
async fn press(world: &World<'_>, number: &str, button: &str) {
    let url = format!("{}/sandbox/v1/payments/{number}/{button}", world.stage.provider.url);
    let Ok(answer) = world.http.post(url).send().await else { return };
    let (is_done, now) = (answer.status().is_success(), world.history.now());
    world.history.note(now, || format!("at the provider: {button} {number} -> {}", answer.status()));
    let mut model = world.model.borrow_mut();
    model.operations += 1;
    if is_done {
        model.did("press");
    }
}

async fn run_the_shop(member: Client<'_>, mut random: StdRng) {
    let world = member.world;
    while !world.progress.is_over() {
        let Some((order, _, total)) = world.pick(&mut random) else {
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        };
        if random.random_bool(0.12) {
            mind_the_stock(&member, &mut random).await;
            continue;
        }
        // One that is served from the counter to the table, as far as the others let it.
        if random.random_bool(0.3) {
            for made in [Move::Accept, Move::Prepare, Move::Collect, Move::Ready, Move::Complete] {
                let outcome = member.post(&format!("/orders/{order}/{made}"), &json!({})).await;
                world.moved(order, &outcome, Deed::plain(made));
            }
            continue;
        }
        let note = format!("why {}", random.random::<u32>());
        let why = |extra: Value| {
            let mut body = json!({ "reason": "bad_quality", "note": note });
            body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            body
        };
        let plain = |made: Move| (made.name(), json!({}), Deed::plain(made));
        let noted = |made: Move| Deed { note: note.clone(), ..Deed::plain(made) };
        let (path, body, deed) = match random.random_range(0..16) {
            0..=3 => ("accept", json!({ "minutes": random.random_range(1..30) }), Deed::plain(Move::Accept)),
            4 => ("reject", json!({ "reason": "too_busy", "note": note }), noted(Move::Reject)),
            5 => plain(Move::Prepare),
            6 | 7 => plain(Move::Ready),
            8 => plain(Move::Recall),
            9 => ("delay", json!({ "minutes": 10 }), Deed::plain(Move::Delay)),
            10 | 11 => plain(Move::Collect),
            12 => plain(Move::Complete),
            13 => {
                let part = random.random_range(0..=total);
                let (extra, returned, refund) = match random.random_range(0..3) {
                    0 => (json!({}), None, None),
                    1 => (json!({ "returned": [] }), Some(BTreeMap::new()), None),
                    _ => (json!({ "refund": yuan(part) }), None, Some(part)),
                };
                ("cancel", why(extra), Deed { returned, refund, ..noted(Move::Cancel) })
            }
            _ => {
                let part = random.random_bool(0.6).then(|| random.random_range(1..=total.max(1)));
                let body = why(part.map_or(json!({}), |part| json!({ "amount": yuan(part) })));
                let key = format!("refund-{}", random.random::<u64>());
                let answer =
                    member.settle(Method::POST, &format!("/orders/{order}/refunds"), Some(&key), Some(&body)).await;
                if answer.is_success() {
                    world.model.borrow_mut().moved(order, Deed { refund: part, ..noted(Move::Refund) });
                }
                continue;
            }
        };
        let outcome = member.post(&format!("/orders/{order}/{path}"), &body).await;
        world.moved(order, &outcome, deed);
    }
}

/// Counts, declares sold out, gives points: with keys, and twice.
async fn mind_the_stock(member: &Client<'_>, random: &mut StdRng) {
    let (world, goods) = (member.world, random.random_range(1..=GOODS));
    let key = format!("by-hand-{}", random.random::<u64>());
    match random.random_range(0..6) {
        0..=2 => {
            let delta = random.random_range(-10..=120);
            let body = json!({ "delta": delta, "reason": "count" });
            let path = format!("/goods/{goods}/stock-moves");
            let move_it = || member.settle(Method::POST, &path, Some(&key), Some(&body));
            let (one, two) = tokio::join!(move_it(), move_it());
            for answer in [one, two].iter().filter(|answer| answer.is_success()) {
                world.model.borrow_mut().stock_moves.insert(id_of(&answer.body), (goods, delta));
            }
        }
        3 => {
            member.settle(Method::PUT, &format!("/goods/{goods}/sold-out"), None, None).await;
            tokio::time::sleep(Duration::from_millis(random.random_range(0..200))).await;
            member.settle(Method::DELETE, &format!("/goods/{goods}/sold-out"), None, None).await;
        }
        _ => {
            let Person { id, .. } = world.stage.customers.choose(random).unwrap();
            let delta = random.random_range(-300..=300);
            let path = format!("/customers/{id}/accounts/points/entries");
            let body = json!({ "delta": delta, "reason": "kindness" });
            let give = || member.settle(Method::POST, &path, Some(&key), Some(&body));
            let (one, two) = tokio::join!(give(), give());
            if one.is_success() || two.is_success() {
                world.model.borrow_mut().corrected(&key, delta);
            }
        }
    }
}

/// Puts refunds in again that the provider gave up on or got stuck with.
async fn put_in_again(owner: Client<'_>, mut random: StdRng) {
    while !owner.world.progress.is_over() {
        let alerts = owner.get("/alerts").await;
        for alert in alerts.body["items"].as_array().into_iter().flatten() {
            let is_stuck = alert["kind"].as_str().unwrap().starts_with("refund_");
            if let (true, Some(refund)) = (is_stuck && random.random_bool(0.3), alert["refund_id"].as_str()) {
                let _ = owner.post(&format!("/refunds/{refund}/retry"), &json!({})).await;
            }
        }
        tokio::time::sleep(Duration::from_millis(random.random_range(100..400))).await;
    }
}

/// Reads what happens, from the first event to the last.
async fn listen(member: Client<'_>, is_over: &Cell<bool>) {
    let mut after = 0;
    loop {
        let was_over = is_over.get();
        let page = member.get(&format!("/events/page?after={after}&limit=100")).await;
        let items = page.body["items"].as_array().cloned().unwrap_or_default();
        for event in &items {
            after = event["seq"].as_i64().unwrap();
            member.world.model.borrow_mut().heard(after, event["kind"].as_str().unwrap(), event["order_id"].as_str());
        }
        if was_over && items.is_empty() {
            return;
        }
        if items.len() < 100 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Lets time pass until nothing is due or on its way any more: what the provider got stuck with is settled there, and what it gave up on is
/// put in again by the staff.
async fn rest(world: &World<'_>) {
    let unrest =
        "SELECT 'payment ' || state AS text FROM payments WHERE state IN ('pending', 'closing') OR check_at IS NOT NULL
        UNION ALL SELECT 'refund ' || state FROM refunds WHERE state <> 'succeeded'
        UNION ALL SELECT 'notice' FROM gateway_notices WHERE outcome = 'kept'
        UNION ALL SELECT 'order ' || state FROM orders WHERE state IN ('pending_payment', 'pending_accept')";
    let stuck =
        "SELECT id AS text, replace(id::text, '-', '') || CASE WHEN round > 1 THEN '-' || round ELSE '' END AS number
        FROM refunds WHERE state IN ('abnormal', 'failed')";
    let text = |row: &Value| row["text"].as_str().unwrap().to_owned();
    let (owner, mut conn) = (Client::staff(world, 0, 0), world.stage.connect());
    let (mut unrested, mut still) = (Vec::new(), 0);
    for _ in 0..400 {
        world.stage.advance(240);
        tokio::time::sleep(Duration::from_millis(300)).await;
        for refund in rows::<Value>(&mut conn, stuck) {
            let url = format!(
                "{}/sandbox/v1/refunds/{}/succeed",
                world.stage.provider.url,
                refund["number"].as_str().unwrap()
            );
            let _ = world.http.post(url).send().await;
            let _ = owner.post(&format!("/refunds/{}/retry", text(&refund)), &json!({})).await;
        }
        unrested = rows::<Value>(&mut conn, unrest).iter().map(text).collect();
        still = if unrested.is_empty() { still + 1 } else { 0 };
        if still == 3 {
            return;
        }
    }
    unrested.truncate(10);
    world.model.borrow_mut().wrong(Kind::Other, format!("there is no rest: {unrested:?}"), Vec::new());
}

fn yuan(fen: i64) -> String {
    format!("{}.{:02}", fen / 100, fen % 100)
}
