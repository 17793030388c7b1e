//! The service as a process of its own, and what it says of itself.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::Result;
use crate::plan::System;
use crate::processes::{Guarded, Stop};

/// Signs the customers' tokens.
pub(crate) const TOKEN_SECRET: &str = "a secret that only the benchmark uses";
const START: Duration = Duration::from_secs(30);

/// A running `rowlock serve`.
pub(crate) struct Service {
    process: Guarded,
    address: Address,
    log: PathBuf,
}

/// Where a service is to be found.
#[derive(Clone)]
pub(crate) struct Address {
    url: String,
    process_id: u32,
}

impl Service {
    /// Starts the release build on a port of its own. No setting of the caller's environment reaches it.
    pub(crate) fn start(system: System, database_url: &str, dir: &Path, stop: &Stop) -> Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut serve = Command::new(env!("CARGO_BIN_EXE_rowlock"));
        serve.arg("serve").current_dir(dir).env_clear();
        serve.env("DATABASE_URL", database_url).env("ROWLOCK_HTTP_PORT", port.to_string());
        serve.env("ROWLOCK_AUTH_TOKEN_SECRET", TOKEN_SECRET).env("ROWLOCK_LOG_FILTER", "warn");
        serve.env("ROWLOCK_HTTP_CUSTOMER_REQUESTS_PER_SECOND", "100000");
        serve.env("ROWLOCK_HTTP_CUSTOMER_REQUESTS_BURST", "100000");
        serve.envs(system.variables().iter().copied());
        let log = dir.join(format!("{}.log", system.name()));
        let process = Guarded::spawn(&mut serve, &log)?;
        let address = Address { url: format!("http://127.0.0.1:{port}"), process_id: process.0.id() };
        let mut service = Self { process, address, log };
        let begun = Instant::now();
        while get(&format!("{}/readyz", service.address.url)).is_err() {
            stop.check()?;
            if service.process.0.try_wait()?.is_some() || begun.elapsed() > START {
                return Err(format!("the service {} does not start: {}", system.name(), service.said()).into());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(service)
    }

    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// What it has logged.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Address {
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The memory the service holds; nothing where there is no /proc.
    pub(crate) fn rss_kb(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process_id)).ok()?;
        let kb = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.trim().strip_suffix(" kB")?;
        kb.parse().ok()
    }

    /// How it has answered so far.
    pub(crate) fn answers(&self) -> Result<Answers> {
        Ok(Answers::read(&get(&format!("{}/metrics", self.url))?))
    }

    /// The same when what was under way as the load ended is done: what is measured next must not pay for it.
    pub(crate) fn settled(&self) -> Result<Answers> {
        let mut last = self.answers()?;
        loop {
            std::thread::sleep(Duration::from_millis(100));
            let now = self.answers()?;
            if now == last {
                return Ok(now);
            }
            last = now;
        }
    }
}

/// Answers to requests that place an order.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Answers {
    statuses: BTreeMap<u16, u64>,
    /// What the engine counted, not the HTTP layer.
    pub(crate) placed: u64,
    pub(crate) out_of_stock: u64,
}

impl Answers {
    fn read(metrics: &str) -> Self {
        let mut answers = Self::default();
        for line in metrics.lines() {
            let Some((name, value)) = line.rsplit_once(' ') else { continue };
            let Ok(value) = value.parse::<u64>() else { continue };
            if name == "rowlock_orders_placed_total" {
                answers.placed = value;
            } else if name == r#"rowlock_orders_refused_total{code="out_of_stock"}"# {
                answers.out_of_stock = value;
            } else if name.starts_with("rowlock_http_requests_total{") && name.contains(r#"method="POST""#) {
                let status = name.split_once("status=\"").and_then(|(_, rest)| rest.split_once('"')?.0.parse().ok());
                *answers.statuses.entry(status.unwrap_or(0)).or_default() += value;
            }
        }
        answers
    }

    pub(crate) fn since(mut self, before: &Self) -> Self {
        for (status, count) in &mut self.statuses {
            *count -= before.status(*status);
        }
        self.statuses.retain(|_, count| *count > 0);
        self.placed -= before.placed;
        self.out_of_stock -= before.out_of_stock;
        self
    }

    pub(crate) fn status(&self, status: u16) -> u64 {
        self.statuses.get(&status).copied().unwrap_or(0)
    }

    pub(crate) fn total(&self) -> u64 {
        self.statuses.values().sum()
    }
}

fn get(url: &str) -> Result<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(async { reqwest::get(url).await?.error_for_status()?.text().await })?)
}
