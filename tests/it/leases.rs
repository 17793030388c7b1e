//! Leases, wherever they are kept: every test runs over PostgreSQL and over Redis, unless it is about one of them.
//!
//! The ways in which SETNX, EXPIRE and DEL fail are here, a test each: `lease_faults::every_lease_has_an_end` (two commands),
//! `one_of_many_takes_over_from_the_dead` (take-over by a time stamp), `a_stopped_holder_frees_nothing_and_writes_nothing` (unconditional
//! DEL; no fencing), `nothing_comes_between_compare_and_delete`, `work_may_take_longer_than_its_lease`, `a_holder_takes_its_lease_again`.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use chrono::Utc;
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rowlock::domain::MerchantId;
use rowlock::service::leases::{Attempt, Fence, Lease, LeaseName, Leases, Owner, Released};

use crate::harness::{connect, words};
use crate::lease_keepers::{
    Instance, Keeper, Kept, LONG, SHORT, acquired, counted, is_held_by_another, of, wait_until,
};
use crate::redis_server::TestRedis;

macro_rules! over_both {
    ($($name:ident),+ $(,)?) => {
        mod in_postgres {
            $(#[test] fn $name() { super::$name(&crate::lease_keepers::Kept::InPostgres.start()) })+
        }

        mod in_redis {
            $(#[test] fn $name() { super::$name(&crate::lease_keepers::Kept::InRedis.start()) })+
        }
    };
}

over_both!(
    one_of_many_takes_over_from_the_dead,
    a_stopped_holder_frees_nothing_and_writes_nothing,
    nothing_comes_between_compare_and_delete,
    work_may_take_longer_than_its_lease,
    a_lease_ends_first_for_its_holder,
    a_holder_takes_its_lease_again,
    a_lease_that_is_taken_away_is_lost,
    fences_grow_whatever_is_forgotten,
    who_waits_gets_it,
    leases_of_others_do_not_matter,
);

fn one_of_many_takes_over_from_the_dead(keeper: &Keeper) {
    const WAITERS: usize = 6;
    let instances: Vec<Leases> = (0..WAITERS).map(|_| keeper.leases(LONG)).collect();
    for round in 0..8 {
        let work = format!("round-{round}");
        let dead = keeper.unwatched(&work, Duration::from_millis(100));
        let (fence, barrier, winners, is_over) =
            (dead.fence(), Barrier::new(WAITERS), AtomicUsize::new(0), AtomicBool::new(false));
        std::mem::forget(dead);
        let wait = |leases: &Leases| {
            barrier.wait();
            let begun = Instant::now();
            while !is_over.load(Ordering::SeqCst) && begun.elapsed() < LONG / 3 {
                if let Attempt::Acquired(lease) = leases.try_acquire(&of(&work), Owner::new()) {
                    assert!(lease.fence() > fence, "{:?} follows {fence:?}", lease.fence());
                    winners.fetch_add(1, Ordering::SeqCst);
                    // The others look on for a while.
                    sleep(Duration::from_millis(50));
                    is_over.store(true, Ordering::SeqCst);
                    assert!(lease.is_held());
                    // Nobody gets it while there may be one who still asks.
                    std::mem::forget(lease);
                }
            }
        };
        thread::scope(|scope| instances.iter().for_each(|leases| drop(scope.spawn(|| wait(leases)))));
        assert_eq!(winners.into_inner(), 1, "round {round}");
    }
}

/// What [`hold`] is started by, in a process of its own.
const HOLDER: (&str, &str, &str) = ("TEST_LEASE_DATABASE", "TEST_LEASE_REDIS", "leases::hold");

/// Writes what only the newest holder may write.
fn write_guarded(database: &str, fence: Fence, writer: &str) -> bool {
    let sql = format!("UPDATE guarded SET fence = {0}, writer = '{writer}' WHERE fence <= {0}", fence.0);
    diesel::sql_query(sql).execute(&mut connect(database)).unwrap() == 1
}

/// Holds a lease, works when it is told to, and says what came of it.
#[test]
#[ignore = "another test runs it in a process of its own"]
fn hold() {
    let (Ok(database), Ok(redis)) = (std::env::var(HOLDER.0), std::env::var(HOLDER.1)) else { return };
    let leases = Instance::new(&database, Some(redis.as_str()).filter(|url| !url.is_empty()), 5_000).leases(SHORT);
    let lease = acquired(leases.try_acquire(&of("work"), Owner::new()));
    let fence = lease.fence().unwrap();
    println!("\nholder: {}", fence.0);
    std::io::stdin().read_line(&mut String::new()).unwrap();
    let (is_lost, has_written) = (lease.is_lost(), write_guarded(&database, fence, "holder"));
    // Stopped in the middle of a renewal, it takes Redis for hung, and leaves it alone for a second.
    sleep(Duration::from_millis(1_200));
    println!("\nholder: lost {is_lost}, written {has_written}, {:?}", lease.release());
}

struct Holder {
    process: Child,
    output: BufReader<ChildStdout>,
}

impl Holder {
    fn start(keeper: &Keeper) -> Self {
        let redis = keeper.redis.as_ref().map(TestRedis::url);
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", HOLDER.2, "--nocapture"])
            .env(HOLDER.0, &keeper.database.url)
            .env(HOLDER.1, redis.unwrap_or_default())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        Self { process, output }
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.process.id().try_into().unwrap()), signal).unwrap();
    }

    fn says(&mut self) -> String {
        let mut line = String::new();
        while !line.starts_with("holder: ") {
            line.clear();
            assert_ne!(self.output.read_line(&mut line).unwrap(), 0, "the holder has gone");
        }
        line.trim_end().trim_start_matches("holder: ").to_owned()
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn a_stopped_holder_frees_nothing_and_writes_nothing(keeper: &Keeper) {
    let url = &keeper.database.url;
    let table = "CREATE TABLE guarded (fence bigint, writer text); INSERT INTO guarded VALUES (0, 'nobody')";
    keeper.database.conn().batch_execute(table).unwrap();
    let leases = keeper.leases(LONG);
    let mut holder = Holder::start(keeper);
    let first = Fence(holder.says().parse().unwrap());
    // Its watchdog keeps it, for longer than it was taken for; with the process, that stops.
    assert!(matches!(leases.acquire(&of("work"), Owner::new(), SHORT * 2), Attempt::Held));
    holder.signal(Signal::SIGSTOP);
    // Where it was stopped while it renewed the lease, what keeps that gives its transaction up first.
    let mut attempts = (0..20).map(|_| leases.acquire(&of("work"), Owner::new(), LONG));
    let second = acquired(attempts.find(|attempt| !matches!(attempt, Attempt::Unavailable)).unwrap());
    let fence = second.fence().unwrap();
    assert!(fence > first, "{fence:?} follows {first:?}");
    let token = keeper.token("work");
    assert!(token.is_some());
    assert!(write_guarded(url, fence, "second"));
    holder.signal(Signal::SIGCONT);
    holder.process.stdin.take().unwrap().write_all(b"on\n").unwrap();
    assert_eq!(holder.says(), "lost true, written false, NotMine");
    assert_eq!(words(&mut connect(url), "SELECT writer AS value FROM guarded"), ["second"]);
    assert_eq!(keeper.token("work"), token);
    assert_eq!(second.release(), Released::Freed);
}

fn nothing_comes_between_compare_and_delete(keeper: &Keeper) {
    let (first, second) = (keeper.instance(), keeper.instance());
    let ttl = Duration::from_millis(15);
    // Each round meets the end of the lease from the side that the one before it did not.
    let (mut handed_over, mut release_after) = (0, ttl);
    for round in 0..120 {
        let work = "work";
        let sent = Instant::now();
        assert!(first.acquire(work, "first", ttl).is_some());
        let (was_mine, took) = thread::scope(|scope| {
            // Takes it the moment it can be had.
            let taker = scope.spawn(|| {
                while second.acquire(work, "second", LONG).is_none() && sent.elapsed() < LONG / 3 {}
                Instant::now()
            });
            while sent.elapsed() < release_after {
                std::hint::spin_loop();
            }
            let was_mine = first.release(work, "first");
            (was_mine, taker.join().unwrap())
        });
        handed_over += u32::from(!was_mine);
        let step = Duration::from_micros(100);
        release_after = if was_mine { release_after + step } else { release_after.saturating_sub(step) };
        assert!(second.renew(work, "second"), "round {round}: taken after {:?}, freed by another", took - sent);
        assert!(!first.release(work, "first"), "round {round}");
        assert!(second.release(work, "second"), "round {round}");
    }
    assert!((1..120).contains(&handed_over), "the release never met the end: {handed_over}");
}

fn work_may_take_longer_than_its_lease(keeper: &Keeper) {
    let (mine, other) = (keeper.leases(SHORT), keeper.leases(LONG));
    let lease = acquired(mine.try_acquire(&of("work"), Owner::new()));
    let begun = Instant::now();
    while begun.elapsed() < SHORT * 3 {
        assert!(is_held_by_another(&other, "work"));
        assert!(lease.is_held() && !lease.is_lost());
        sleep(Duration::from_millis(20));
    }
    drop(lease);
    assert_eq!(keeper.token("work"), None);
    drop(acquired(other.try_acquire(&of("work"), Owner::new())));
}

#[test]
fn a_lease_is_renewed_when_a_third_of_it_is_over() {
    let keeper = Kept::InPostgres.start();
    let leases = keeper.leases(SHORT);
    let _lease = acquired(leases.try_acquire(&of("work"), Owner::new()));
    let (mut conn, mut ends, begun) = (keeper.database.conn(), BTreeSet::new(), Instant::now());
    while begun.elapsed() < SHORT * 2 {
        ends.extend(words(&mut conn, "SELECT expires_at::text AS value FROM leases"));
        sleep(Duration::from_millis(10));
    }
    let renewals = begun.elapsed().as_millis() / (SHORT / 3).as_millis();
    assert!((3..=renewals as usize + 1).contains(&ends.len()), "{ends:?}");
}

/// Without a watchdog: whoever comes next finds that the holder knows.
fn a_lease_ends_first_for_its_holder(keeper: &Keeper) {
    let other = keeper.leases(LONG);
    for _ in 0..10 {
        let lease = keeper.unwatched("work", Duration::from_millis(60));
        let next = acquired(other.acquire(&of("work"), Owner::new(), LONG));
        assert!(lease.is_lost() && !lease.is_held() && next.is_held());
        assert_eq!(lease.release(), Released::NotMine);
        assert_eq!(next.release(), Released::Freed);
    }
}

fn a_holder_takes_its_lease_again(keeper: &Keeper) {
    let (mine, other) = (keeper.leases(SHORT), keeper.leases(SHORT));
    let owner = Owner::new();
    let outer = acquired(mine.try_acquire(&of("work"), owner));
    let inner = acquired(mine.acquire(&of("work"), owner, LONG));
    assert_eq!(inner.fence(), outer.fence());
    assert!(is_held_by_another(&mine, "work") && is_held_by_another(&other, "work"));
    assert_eq!(inner.release(), Released::Nothing);
    assert!(outer.is_held() && is_held_by_another(&mine, "work") && is_held_by_another(&other, "work"));
    let again = acquired(mine.try_acquire(&of("work"), owner));
    assert_eq!(outer.release(), Released::Nothing);
    assert!(again.is_held() && is_held_by_another(&other, "work"));
    assert_eq!(again.release(), Released::Freed);

    // One that is lost is not taken again, but anew, and its end is not the new one's.
    let lost = acquired(mine.try_acquire(&of("work"), owner));
    keeper.wipe();
    wait_until("it is lost", || lost.is_lost());
    let anew = acquired(mine.try_acquire(&of("work"), owner));
    assert!(anew.fence() > lost.fence());
    assert_eq!(lost.release(), Released::NotMine);
    assert!(anew.is_held() && is_held_by_another(&other, "work"));
    assert_eq!(anew.release(), Released::Freed);
}

fn a_lease_that_is_taken_away_is_lost(keeper: &Keeper) {
    let (instance, other) = (keeper.instance(), keeper.leases(LONG));
    let metrics = Arc::clone(&instance.metrics);
    let mine = instance.leases(SHORT);
    let lease = acquired(mine.try_acquire(&of("work"), Owner::new()));
    keeper.wipe();
    let theirs = acquired(other.try_acquire(&of("work"), Owner::new()));
    let token = keeper.token("work");
    wait_until("the first refusal tells", || lease.is_lost());
    wait_until("it is counted", || counted(&metrics, "lost") == 1);
    sleep(SHORT);
    assert!(lease.is_lost() && theirs.is_held());
    assert_eq!((keeper.token("work"), counted(&metrics, "lost")), (token, 1));
    assert_eq!(lease.release(), Released::NotMine);
    assert_eq!(theirs.release(), Released::Freed);
    assert_eq!(counted(&metrics, "acquired"), 1);
}

fn fences_grow_whatever_is_forgotten(keeper: &Keeper) {
    let leases = keeper.leases(LONG);
    let fence = || acquired(leases.try_acquire(&of("work"), Owner::new())).fence().unwrap();
    let mut last = fence();
    for _ in 0..20 {
        let next = fence();
        assert!(next > last, "{next:?} follows {last:?}");
        last = next;
    }
    keeper.wipe();
    let next = fence();
    assert!(next > last, "after a wipe, {next:?} follows {last:?}");
    // The keeper's clock was ahead, and has been set back.
    let ahead = Utc::now().timestamp_micros() + 3_600_000_000;
    match &keeper.redis {
        Some(redis) => {
            redis::cmd("SET").arg(&["rowlock:fence:1:work", &ahead.to_string()]).exec(&mut redis.conn()).unwrap()
        }
        None => keeper.database.conn().batch_execute(&format!("UPDATE leases SET fence = {ahead}")).unwrap(),
    }
    assert_eq!([fence(), fence()], [Fence(ahead + 1), Fence(ahead + 2)]);
}

fn who_waits_gets_it(keeper: &Keeper) {
    let (mine, other) = (keeper.leases(LONG), keeper.leases(LONG));
    let lease = acquired(mine.try_acquire(&of("work"), Owner::new()));
    let begun = Instant::now();
    assert!(matches!(other.acquire(&of("work"), Owner::new(), Duration::from_millis(150)), Attempt::Held));
    assert!(begun.elapsed() >= Duration::from_millis(150));
    thread::scope(|scope| {
        let waiter = scope.spawn(|| acquired(other.acquire(&of("work"), Owner::new(), LONG)).is_held());
        sleep(Duration::from_millis(100));
        assert_eq!(lease.release(), Released::Freed);
        assert!(waiter.join().unwrap());
    });
    assert!(begun.elapsed() < LONG / 2);
}

fn leases_of_others_do_not_matter(keeper: &Keeper) {
    let leases = keeper.leases(LONG);
    let names = [of("one"), of("two"), LeaseName::new(MerchantId(2), "one"), LeaseName::new(MerchantId(12), "e")];
    let held = names.map(|name| acquired(leases.try_acquire(&name, Owner::new())));
    assert!(held.iter().all(Lease::is_held));
}
