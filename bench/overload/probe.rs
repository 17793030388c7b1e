//! A few clients beside a flood, who ask now and then: what they are answered, and how fast.

use std::fs;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use rand::Rng;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::Result;
use crate::plan::Load;

const CLIENTS: usize = 32;
const PAUSE: Duration = Duration::from_millis(20);

/// What they saw, in microseconds, sorted.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) accepted_us: Vec<u64>,
    pub(crate) refused_us: Vec<u64>,
    /// Neither placed, nor refused with 503 and a `Retry-After`.
    pub(crate) wrong: u64,
}

/// Asks until it is over.
pub(crate) fn run(url: &str, tokens: &Path, load: Load, over: &AtomicBool) -> Result<Seen> {
    let tokens = fs::read_to_string(tokens)?;
    let customers: Vec<(i64, &str)> = tokens
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(m, token)| Ok((m.parse()?, token)))
        .collect::<Result<_>>()?;
    let client = reqwest::Client::builder().timeout(Duration::from_secs(60)).build()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let all = runtime.block_on(join_all((0..CLIENTS).map(|_| ask(&client, url, &customers, load, over))));
    let mut seen = Seen::default();
    for one in all {
        seen.accepted_us.extend(one.accepted_us);
        seen.refused_us.extend(one.refused_us);
        seen.wrong += one.wrong;
    }
    seen.accepted_us.sort_unstable();
    seen.refused_us.sort_unstable();
    Ok(seen)
}

async fn ask(client: &reqwest::Client, url: &str, customers: &[(i64, &str)], load: Load, over: &AtomicBool) -> Seen {
    let mut seen = Seen::default();
    while !over.load(Ordering::Relaxed) {
        let (merchant, token) = customers[rand::rng().random_range(0..customers.len())];
        let order = client.post(format!("{url}/v1/merchants/{merchant}/orders")).bearer_auth(token);
        let order = order.header("Idempotency-Key", Uuid::new_v4().to_string()).json(&body(merchant, load));
        let begun = Instant::now();
        let answer = order.send().await;
        let us = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        match answer {
            Ok(answer) if answer.status() == 201 => seen.accepted_us.push(us),
            Ok(answer) if answer.status() == 503 && answer.headers().contains_key("retry-after") => {
                seen.refused_us.push(us)
            }
            _ => seen.wrong += 1,
        }
        tokio::time::sleep(PAUSE).await;
    }
    seen
}

/// As bench/place.lua makes them.
fn body(merchant: i64, load: Load) -> Value {
    let parts: &[RangeInclusive<i64>] = match load {
        Load::Spread => &[1..=333, 334..=666, 667..=1_000],
        Load::Many => &[1..=7, 8..=14, 15..=20],
        Load::Hot => &[1_001..=1_001],
        Load::SoldOut => &[1_002..=1_002],
    };
    let number = |part: &RangeInclusive<i64>| merchant * 10_000 + rand::rng().random_range(part.clone());
    let lines: Vec<Value> = parts.iter().map(|part| json!({ "goods_id": number(part), "count": 1 })).collect();
    json!({ "lines": lines, "fulfilment": { "kind": "pickup" }, "pay_method": "cash" })
}
