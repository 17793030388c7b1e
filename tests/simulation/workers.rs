//! Who is at work in a simulation, and what they may think of.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::Duration;

use chrono::TimeDelta;
use futures_util::FutureExt;
use futures_util::future::{LocalBoxFuture, join_all};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use reqwest::{Method, StatusCode};
use rowlock::domain::moves::Move;
use serde_json::{Value, json};

use crate::clients::{Answer, Customer, Staff};
use crate::model::{Done, Model, POINTS, fen};
use crate::two_tills::{Tills, run_timers};

const CUSTOMERS: usize = 5;
/// What each worker does before it goes home.
const STEPS: usize = 40;

/// What everybody can see: the orders that were placed, and the model.
struct World<'a> {
    tills: &'a Tills,
    /// The customers' ids.
    customers: Vec<String>,
    model: RefCell<Model>,
    /// Id, customer, total in fen.
    orders: RefCell<Vec<(String, usize, i64)>>,
}

impl World<'_> {
    /// One of the orders, the late ones more often. Who is early waits for the first.
    async fn pick(&self, random: &mut StdRng) -> (String, usize, i64) {
        while self.orders.borrow().is_empty() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let orders = self.orders.borrow();
        let last = orders.len() - 1;
        let from = if random.random_bool(0.7) { last.saturating_sub(8) } else { 0 };
        orders[random.random_range(from..=last)].clone()
    }

    /// One of a customer's own, of the last few that were placed, if there is one.
    fn pick_of(&self, customer: usize, random: &mut StdRng) -> Option<(String, usize, i64)> {
        let orders = self.orders.borrow();
        let own: Vec<_> = orders.iter().rev().take(30).filter(|order| order.1 == customer).collect();
        own.choose(random).map(|order| (*order).clone())
    }

    /// Counts an operation; nothing that is sent makes the service break. What needs the provider may have to be tried again.
    fn answered(&self, what: &str, answer: &Answer) -> bool {
        let mut model = self.model.borrow_mut();
        model.operations += 1;
        let may_wait = ["cancel", "reject", "refunds", "pay", "check"].contains(&what)
            && answer.status == StatusCode::SERVICE_UNAVAILABLE;
        model.expect(may_wait || !answer.status.is_server_error(), || {
            format!("{what}: {} {}", answer.status, answer.text)
        });
        if may_wait {
            model.did("wait");
        }
        answer.status.is_success()
    }
}

/// Everybody does what they do until they are done.
pub(crate) async fn work(tills: &Tills, seed: u64) -> Model {
    let (app, other) = (&tills.one, &tills.two);
    let (mut customers, mut ids) = (Vec::new(), Vec::new());
    for index in 0..CUSTOMERS {
        let name = format!("customer-{index}");
        let id = app.customer_id(&name).await;
        app.execute(&format!(
            "INSERT INTO accounts (merchant_id, id, kind, customer_id, balance, created_at)
                 VALUES (1, '{id}', 'points', '{id}', {POINTS}, '2026-01-01Z');
             INSERT INTO entries (merchant_id, account_id, cause, delta, balance, actor, made_at)
                 VALUES (1, '{id}', 'correction gift', {POINTS}, {POINTS}, 'test', '2026-01-01Z')"
        ));
        customers.push(app.customer(&name).await);
        ids.push(id.to_string());
    }
    let staff =
        [app.staff("owner").await, app.staff("manager").await, app.staff("cashier").await, app.staff("kitchen").await];
    let world = World { tills, customers: ids, model: RefCell::default(), orders: RefCell::default() };
    let random = |worker: u64| StdRng::seed_from_u64(seed * 1_000 + worker);
    let mut workers: Vec<LocalBoxFuture<'_, ()>> = Vec::new();
    for (index, customer) in customers.iter().enumerate() {
        let at = if index % 2 == 0 { app } else { other };
        workers.push(order_and_regret(&world, index, customer.at(at), random(index as u64)).boxed_local());
    }
    for (index, member) in staff.iter().enumerate() {
        let at = if index % 2 == 0 { other } else { app };
        workers.push(run_the_shop(&world, member.at(at), random(100 + index as u64)).boxed_local());
    }
    workers.push(upset_the_provider(&world, random(200)).boxed_local());
    workers.push(put_in_again(&world, &staff[0], random(201)).boxed_local());
    workers.push(let_time_pass(&world, random(300)).boxed_local());
    let is_over = Cell::new(false);
    let work = async {
        join_all(workers).await;
        tills.switch(None, &json!({})).await;
        if let Err(unrest) = tills.rest(&staff[0]).await {
            world.model.borrow_mut().expect(false, || unrest);
        }
        lift_all(&world, &staff[0]).await;
        is_over.set(true);
    };
    let listener = staff[3].at(other);
    tokio::join!(work, listen(&world, listener, &is_over));
    world.model.into_inner()
}

fn wanted(random: &mut StdRng) -> Value {
    let lines: Vec<Value> = (0..random.random_range(1..=3))
        .map(|_| json!({ "goods_id": random.random_range(1..=5), "count": random.random_range(1..=4) }))
        .collect();
    let mut body = json!({
        "lines": lines,
        "fulfilment": if random.random_bool(0.5) { json!({ "kind": "pickup" }) } else { json!({ "kind": "dine_in", "table": "A1" }) },
        "pay_method": if random.random_bool(0.25) { "cash" } else { "sandbox" },
    });
    if random.random_bool(0.3) {
        body["points"] = json!(random.random_range(1..=600));
    }
    body
}

async fn order_and_regret(world: &World<'_>, index: usize, customer: Customer<'_>, mut random: StdRng) {
    let mut sent: Vec<(String, Value)> = Vec::new();
    for step in 0..STEPS {
        // Until there is an order, everybody places one: all would wait for somebody else to do it.
        let choice = if world.orders.borrow().is_empty() { 13 } else { random.random_range(0..14) };
        match choice {
            // Sends the same again, once or twice at the same moment, as a client that lost the answer.
            0 if !sent.is_empty() => {
                let (key, body) = sent[random.random_range(0..sent.len())].clone();
                let (one, two) = tokio::join!(customer.place(&key, &body), customer.place(&key, &body));
                for answer in [one, two] {
                    told(world, index, &key, &answer);
                }
            }
            1 if !sent.is_empty() => {
                let (key, mut body) = sent[random.random_range(0..sent.len())].clone();
                body["remark"] = json!(format!("another {step}"));
                let answer = customer.place(&key, &body).await;
                // Where the first was refused, the key is free and this is an order.
                told(world, index, &key, &answer);
            }
            2 | 3 => {
                let (order, whose, _) = world.pick(&mut random).await;
                let answer =
                    customer.post(&format!("/orders/{order}/cancel"), &json!({ "reason": "changed_mind" })).await;
                let is_done = world.answered("cancel", &answer);
                let mut model = world.model.borrow_mut();
                model.expect(whose == index || answer.status == StatusCode::NOT_FOUND, || {
                    format!("a stranger: {}", answer.text)
                });
                if is_done {
                    model.moved(&order, Done::Cancel { returned: None, refund: None });
                }
            }
            // Fills the cart, and presses the button twice: two keys, one order.
            4 => {
                for _ in 0..random.random_range(1..=3) {
                    let line = format!("/cart/lines/{}", random.random_range(1..=5));
                    let body = json!({ "count": random.random_range(1..=3) });
                    let answer = Answer::of(customer.request(Method::PUT, &line).json(&body)).await;
                    world.answered("cart", &answer);
                }
                let mut body = wanted(&mut random);
                body["lines"] = json!("cart");
                let (one, two) = (format!("cart-{step}-1"), format!("cart-{step}-2"));
                let (first, second) = tokio::join!(customer.place(&one, &body), customer.place(&two, &body));
                told(world, index, &one, &first);
                told(world, index, &two, &second);
                let mut model = world.model.borrow_mut();
                let both = first.status.is_success() && second.status.is_success();
                model.expect(!both, || format!("a cart was placed twice: {} {}", first.text, second.text));
                if first.status.is_success() || second.status.is_success() {
                    model.did("cart");
                }
            }
            5 => {
                let (order, whose, _) = world.pick(&mut random).await;
                let answer = customer.post(&format!("/orders/{order}/nudge"), &json!({})).await;
                let is_done = world.answered("nudge", &answer);
                let mut model = world.model.borrow_mut();
                model.expect(whose == index || answer.status == StatusCode::NOT_FOUND, || {
                    format!("a stranger: {}", answer.text)
                });
                if is_done {
                    model.moved(&order, Done::Plain(Move::Nudge));
                }
            }
            6..=8 => {
                let mine = world.pick_of(index, &mut random).unwrap_or(world.pick(&mut random).await);
                pay(world, index, &customer, &mut random, &mine).await;
            }
            _ => {
                let (key, body) = (format!("key-{step}"), wanted(&mut random));
                sent.push((key.clone(), body.clone()));
                let answer = customer.place(&key, &body).await;
                told(world, index, &key, &answer);
                if answer.status == StatusCode::CREATED && body["pay_method"] == "sandbox" && random.random_bool(0.6) {
                    let order = answer.json()["id"].as_str().unwrap().to_owned();
                    pay(world, index, &customer, &mut random, &(order, index, 0)).await;
                }
            }
        }
    }
}

/// Somebody was answered to a placement.
fn told(world: &World<'_>, customer: usize, key: &str, answer: &Answer) {
    if !world.answered("place", answer) {
        return;
    }
    let order = answer.json();
    world.model.borrow_mut().placed(customer, key, answer.status.as_u16(), &order);
    let known = (order["id"].as_str().unwrap().to_owned(), customer, fen(&order["total"]));
    let mut orders = world.orders.borrow_mut();
    if !orders.contains(&known) {
        orders.push(known);
    }
}

async fn run_the_shop(world: &World<'_>, member: Staff<'_>, mut random: StdRng) {
    for _ in 0..STEPS * 2 {
        let (order, _, total) = world.pick(&mut random).await;
        let why = |extra: Value| {
            let mut body = json!({ "reason": "bad_quality" });
            body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            body
        };
        let plain = |made: Move| (made.name(), json!({}), Done::Plain(made));
        if random.random_bool(0.15) {
            mind_the_stock(world, &member, &mut random).await;
            continue;
        }
        // One that is served from the counter to the table, as far as the others let it.
        if random.random_bool(0.15) {
            for made in [Move::Accept, Move::Prepare, Move::Collect, Move::Ready, Move::Complete] {
                let answer = member.post(&format!("/orders/{order}/{made}"), &json!({})).await;
                if world.answered(made.name(), &answer) {
                    world.model.borrow_mut().moved(&order, Done::Plain(made));
                }
            }
            continue;
        }
        let (path, body, done) = match random.random_range(0..16) {
            0..=3 => ("accept", json!({ "minutes": random.random_range(1..30) }), Done::Plain(Move::Accept)),
            4 => ("reject", json!({ "reason": "too_busy" }), Done::Plain(Move::Reject)),
            5 => plain(Move::Prepare),
            6 | 7 => plain(Move::Ready),
            8 => plain(Move::Recall),
            9 => ("delay", json!({ "minutes": 10 }), Done::Plain(Move::Delay)),
            10 | 11 => plain(Move::Collect),
            12 => plain(Move::Complete),
            13 => match random.random_range(0..3) {
                0 => ("cancel", why(json!({})), Done::Cancel { returned: None, refund: None }),
                1 => (
                    "cancel",
                    why(json!({ "returned": [] })),
                    Done::Cancel { returned: Some(BTreeMap::new()), refund: None },
                ),
                _ => {
                    let part = random.random_range(0..=total);
                    let body = why(json!({ "refund": yuan(part) }));
                    ("cancel", body, Done::Cancel { returned: None, refund: Some(part) })
                }
            },
            14 => {
                let part = random.random_range(1..=total.max(1));
                ("refunds", why(json!({ "amount": yuan(part) })), Done::Refund(Some(part)))
            }
            _ => ("refunds", why(json!({})), Done::Refund(None)),
        };
        let answer = member.post(&format!("/orders/{order}/{path}"), &body).await;
        if world.answered(path, &answer) {
            world.model.borrow_mut().moved(&order, done);
        }
    }
}

/// Counts, declares sold out, gives points: with keys, and twice.
async fn mind_the_stock(world: &World<'_>, member: &Staff<'_>, random: &mut StdRng) {
    let goods = random.random_range(1..=5);
    match random.random_range(0..4) {
        0 => {
            let delta = random.random_range(-10..=10);
            let path = format!("/goods/{goods}/stock-moves");
            let answer = member.post(&path, &json!({ "delta": delta, "reason": "count" })).await;
            if world.answered("stock", &answer) {
                world.model.borrow_mut().stocked(goods, delta);
            }
        }
        1 | 2 => {
            let method = if random.random_bool(0.4) { Method::PUT } else { Method::DELETE };
            let answer = Answer::of(member.request(method, &format!("/goods/{goods}/sold-out"))).await;
            if world.answered("sold-out", &answer) {
                world.model.borrow_mut().did("sold-out");
            }
        }
        _ => {
            let (_, customer, _) = world.pick(random).await;
            let id = &world.customers[customer];
            let (key, delta) = (format!("gift-{}", random.random::<u64>()), random.random_range(-300..=300));
            let path = format!("/customers/{id}/accounts/points/entries");
            let body = json!({ "delta": delta, "reason": "kindness" });
            let give = || Answer::of(member.request(Method::POST, &path).header("Idempotency-Key", &key).json(&body));
            let (one, two) = tokio::join!(give(), give());
            for answer in [one, two] {
                if world.answered("correct", &answer) {
                    world.model.borrow_mut().corrected(&key, delta);
                }
            }
        }
    }
}

/// At the end nothing is sold out any more: what was set aside is back.
async fn lift_all(world: &World<'_>, owner: &Staff<'_>) {
    for goods in 1..=5 {
        let answer = Answer::of(owner.request(Method::DELETE, &format!("/goods/{goods}/sold-out"))).await;
        world.answered("lift", &answer);
    }
}

/// Reads what happens, from the first event to the last.
async fn listen(world: &World<'_>, member: Staff<'_>, is_over: &Cell<bool>) {
    let mut after = 0;
    loop {
        let was_over = is_over.get();
        let page = member.get(&format!("/events/page?after={after}&limit=50")).await;
        world.answered("listen", &page);
        let page = page.json();
        for event in page["items"].as_array().unwrap() {
            after = event["seq"].as_i64().unwrap();
            world.model.borrow_mut().heard(after, event["kind"].as_str().unwrap(), event["order_id"].as_str());
        }
        if was_over && page["items"].as_array().unwrap().is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn yuan(fen: i64) -> String {
    format!("{}.{:02}", fen / 100, fen % 100)
}

/// Begins to pay, or begins anew; and then pays, or types for a while, or does neither.
async fn pay(
    world: &World<'_>,
    index: usize,
    customer: &Customer<'_>,
    random: &mut StdRng,
    (order, whose, _): &(String, usize, i64),
) {
    let path = format!("/orders/{order}/payments");
    let body = [json!({}), json!({}), json!({ "channel": "qr" }), json!({ "channel": "page" })].choose(random).cloned();
    let answer = customer.post(&path, &body.unwrap()).await;
    let is_done = world.answered("pay", &answer);
    world
        .model
        .borrow_mut()
        .expect(*whose == index || answer.status == StatusCode::NOT_FOUND, || format!("a stranger: {}", answer.text));
    if !is_done {
        return;
    }
    let payment = answer.json()["payment"]["id"].as_str().unwrap().to_owned();
    let number = payment.replace('-', "");
    world.model.borrow_mut().payable(&number);
    let presses: &[&str] = match random.random_range(0..10) {
        0..=5 => &["pay"],
        6 => &["type", "pay"],
        7 => &["type", "cancel"],
        _ => &[],
    };
    for button in presses {
        if world.tills.press(&number, button).await.status.is_success() {
            world.model.borrow_mut().did("press");
        }
        tokio::time::sleep(Duration::from_millis(random.random_range(0..30))).await;
    }
    if random.random_bool(0.3) {
        let answer = customer.post(&format!("{path}/{payment}/check"), &json!({})).await;
        world.answered("check", &answer);
    }
}

/// The provider, which does now this and now that wrong.
async fn upset_the_provider(world: &World<'_>, mut random: StdRng) {
    let calls = ["create", "query", "close", "refund", "query_refund"];
    for _ in 0..STEPS {
        let call = calls.choose(&mut random).unwrap();
        let switches = match random.random_range(0..15) {
            0 => json!({ "repeat": true, "forge": true }),
            1 => json!({ "delay_s": random.random_range(1..120) }),
            2 => json!({ "reorder": true }),
            3 => json!({ "never_call": true }),
            4 => json!({ "pay_twice": true, "repeat": true }),
            5 | 6 => json!({ "pay_late": true }),
            7 => json!({ "pay_amount": "0.07" }),
            8 => json!({ "fail_after": [call] }),
            9 => json!({ "hang_after": [call] }),
            10 => json!({ "refund": "fail" }),
            11 => json!({ "refund": "abnormal", "refund_asks": random.random_range(0..2) }),
            12 => json!({ "refund_asks": random.random_range(1..4) }),
            _ => json!({}),
        };
        world.tills.switch(None, &switches).await;
        if switches.get("pay_late").is_some() {
            pay_late(world, &mut random).await;
        }
        tokio::time::sleep(Duration::from_millis(random.random_range(20..140))).await;
    }
}

/// Customers find pages still open on which they can pay, whatever became of their orders.
async fn pay_late(world: &World<'_>, random: &mut StdRng) {
    let numbers = world.model.borrow().numbers();
    for number in numbers.choose_multiple(random, 5) {
        if world.tills.press(number, "pay").await.status.is_success() {
            world.model.borrow_mut().did("press late");
        }
    }
}

/// Puts refunds in again that the provider gave up on or got stuck with.
async fn put_in_again(world: &World<'_>, owner: &Staff<'_>, mut random: StdRng) {
    for _ in 0..STEPS / 2 {
        let alerts = owner.get("/alerts").await;
        world.answered("alerts", &alerts);
        for alert in alerts.json()["items"].as_array().unwrap() {
            let is_stuck = alert["kind"].as_str().unwrap().starts_with("refund_");
            if let (true, Some(refund)) = (is_stuck && random.random_bool(0.5), alert["refund_id"].as_str()) {
                let again = owner.post(&format!("/refunds/{refund}/retry"), &json!({})).await;
                if world.answered("put in again", &again) {
                    world.model.borrow_mut().did("put in again");
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(random.random_range(20..100))).await;
    }
}

/// The clock goes on, and the timers of both instances run at the same moment.
async fn let_time_pass(world: &World<'_>, mut random: StdRng) {
    for _ in 0..STEPS / 2 {
        let by = TimeDelta::seconds(random.random_range(1..200));
        world.tills.advance(by);
        let (here, there) = tokio::join!(run_timers(&world.tills.one), run_timers(&world.tills.two));
        world.model.borrow_mut().operations += here + there;
        tokio::time::sleep(Duration::from_millis(random.random_range(1..80))).await;
    }
}
