//! Those who make things go wrong, while everybody works.

use std::sync::Mutex;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use serde_json::{Value, json};

use crate::history::History;
use crate::plan::{Fault, Finally, Plan, Progress, STRIKERS};
use crate::stage::{Stage, TOO_LONG, rows};

/// Strikes with every fault of the plan, again and again until the operations are done, but with each once at least. The faults that struck.
pub(crate) fn strike(stage: &Stage<'_>, plan: &Plan, history: &History, progress: &Progress) -> Vec<Fault> {
    let (struck, _struck): (Mutex<Vec<Fault>>, _) = (Mutex::default(), Finally(|| progress.struck()));
    std::thread::scope(|threads| {
        for striker in 0..STRIKERS {
            let (struck, mut random) = (&struck, plan.random(500 + striker as u64));
            threads.spawn(move || {
                let mut is_first = true;
                while (is_first && !progress.has_ended()) || !progress.is_done() {
                    let faults = plan.faults_of(striker, &mut random);
                    if faults.is_empty() {
                        break;
                    }
                    for fault in faults {
                        if !is_first && progress.is_done() {
                            break;
                        }
                        pause(&mut random, if is_first { 50..300 } else { 1_000..6_000 });
                        history.struck(fault);
                        Striker { stage, random: &mut random }.strike(fault);
                        struck.lock().unwrap().push(fault);
                    }
                    is_first = false;
                }
            });
        }
    });
    struck.into_inner().unwrap()
}

/// Starts PostgreSQL again whenever it has died, as whoever runs a server does, until the round ends.
pub(crate) fn keep_alive(stage: &Stage<'_>, progress: &Progress) {
    while !progress.has_ended() {
        stage.ground.revive();
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn pause(random: &mut StdRng, milliseconds: std::ops::Range<u64>) {
    std::thread::sleep(Duration::from_millis(random.random_range(milliseconds)));
}

struct Striker<'a> {
    stage: &'a Stage<'a>,
    random: &'a mut StdRng,
}

impl Striker<'_> {
    fn strike(&mut self, fault: Fault) {
        let at = self.random.random_range(0..2);
        match fault {
            Fault::ServiceKill => self.restart(at, Signal::SIGKILL),
            Fault::Deploy => self.restart(at, Signal::SIGTERM),
            Fault::ServiceStop => {
                let instance = self.stage.instances[at].lock().unwrap();
                instance.signal(Signal::SIGSTOP);
                std::thread::sleep(TOO_LONG);
                instance.signal(Signal::SIGCONT);
            }
            Fault::BackendKill => {
                self.backend().map(|pid| kill(pid, Signal::SIGKILL));
            }
            Fault::BackendStop => {
                let Some(pid) = self.backend() else { return };
                let _ = kill(pid, Signal::SIGSTOP);
                std::thread::sleep(TOO_LONG);
                let _ = kill(pid, Signal::SIGCONT);
            }
            Fault::PostgresKill => {
                let file = self.stage.ground.cluster.dir().join("postmaster.pid");
                let pid = std::fs::read_to_string(file).ok().and_then(|text| text.lines().next()?.parse().ok());
                pid.map(|pid| kill(Pid::from_raw(pid), Signal::SIGKILL));
            }
            Fault::DiskFull => {
                let disk = self.stage.ground.small_disk.as_ref().unwrap();
                disk.fill();
                pause(self.random, 500..2_000);
                disk.free();
            }
            Fault::CutBeforeCommit | Fault::CutAfterCommit => self.cut(at, fault),
            Fault::LineDead => {
                self.stage.wires[at].freeze();
                std::thread::sleep(TOO_LONG);
                self.stage.wires[at].mend();
            }
            Fault::RedisKill => {
                let mut redis = self.stage.redis.as_ref().unwrap().lock().unwrap();
                redis.kill();
                pause(self.random, 0..1_500);
                redis.start_again();
            }
            Fault::RedisStop => {
                let redis = self.stage.redis.as_ref().unwrap().lock().unwrap();
                kill(redis.pid(), Signal::SIGSTOP).unwrap();
                pause(self.random, 500..2_500);
                kill(redis.pid(), Signal::SIGCONT).unwrap();
            }
            Fault::ProviderFails | Fault::ProviderHangs | Fault::ProviderErrs => self.upset_the_provider(fault),
            Fault::ClockSkew => {
                let off = self.random.random_range(60..1_800) * if self.random.random_bool(0.5) { 1 } else { -1 };
                self.set_clock(at, off);
                pause(self.random, 1_000..3_000);
                self.set_clock(at, 0);
            }
            Fault::ClockJump => self.stage.advance(self.random.random_range(60..1_200)),
        }
    }

    fn restart(&mut self, at: usize, signal: Signal) {
        let mut instance = self.stage.instances[at].lock().unwrap();
        instance.end(signal);
        pause(self.random, 0..700);
        instance.start();
    }

    fn set_clock(&self, at: usize, off: i64) {
        self.stage.instances[at].lock().unwrap().set_clock(self.stage.seconds() + off);
    }

    /// A process of PostgreSQL that works for an instance.
    fn backend(&mut self) -> Option<Pid> {
        let sql = "SELECT pid FROM pg_stat_activity WHERE application_name = 'rowlock'";
        let found: Vec<Value> = rows(&mut self.stage.connect(), sql);
        let pid = found.choose(self.random)?["pid"].as_i64()?;
        Some(Pid::from_raw(i32::try_from(pid).unwrap()))
    }

    /// Cuts some COMMITs. They come as long as somebody works; a wire on which nobody does is mended.
    fn cut(&mut self, at: usize, fault: Fault) {
        let (wire, count) = (&self.stage.wires[at], self.random.random_range(1..=6));
        if fault == Fault::CutBeforeCommit {
            wire.cut_before(count)
        } else {
            wire.cut_after(count)
        }
        for _ in 0..200 {
            if wire.to_be_cut() == 0 {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        wire.mend();
    }

    fn upset_the_provider(&mut self, fault: Fault) {
        let calls = ["create", "query", "close", "refund", "query_refund"];
        let some: Vec<&str> = calls.choose_multiple(self.random, 2).copied().collect();
        let switches = match fault {
            Fault::ProviderFails => json!({ "fail_after": some }),
            Fault::ProviderHangs => json!({ "hang_after": some }),
            _ => match self.random.random_range(0..9) {
                0 => json!({ "repeat": true, "forge": true }),
                1 => json!({ "delay_s": self.random.random_range(1..3) }),
                2 => json!({ "reorder": true }),
                3 => json!({ "never_call": true }),
                4 => json!({ "pay_twice": true, "repeat": true }),
                5 => json!({ "pay_late": true }),
                6 => json!({ "pay_amount": "0.07" }),
                7 => json!({ "refund": "fail" }),
                _ => json!({ "refund": "abnormal", "refund_asks": self.random.random_range(0..3) }),
            },
        };
        switch(self.stage, &switches);
        pause(self.random, 100..600);
        switch(self.stage, &json!({}));
    }
}

/// By a thread of its own, for whoever asks may be a runtime's.
fn switch(stage: &Stage<'_>, switches: &Value) {
    let url = format!("{}/sandbox/v1/switches", stage.provider.url);
    let put = || {
        let client = reqwest::blocking::Client::builder().no_proxy().build()?;
        client.put(&url).json(switches).send()?.error_for_status()
    };
    std::thread::scope(|threads| threads.spawn(put).join()).unwrap().unwrap();
}

/// Nothing goes wrong any more.
pub(crate) fn mend(stage: &Stage<'_>) {
    for wire in &stage.wires {
        wire.mend();
    }
    switch(stage, &json!({}));
    stage.provider.calm();
    stage.advance(0);
}
