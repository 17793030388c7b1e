//! Leases when what keeps them dies, hangs or forgets, when they are switched off, and when clocks go wrong.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use diesel::connection::SimpleConnection;
use nix::sys::signal::Signal;
use rowlock::error::Error;
use rowlock::service::leases::{Attempt, Owner, Released};
use rowlock::store;

use crate::harness::{Setup, TestApp, number, words};
use crate::lease_keepers::{
    Instance, Keeper, Kept, LONG, SHOP, SHORT, acquired, counted, is_held_by_another, of, wait_until,
};
use crate::redis_server::TestRedis;

/// Connections are cut at any moment while leases are taken and freed: there is never one that would stay for ever.
#[test]
fn every_lease_has_an_end() {
    let keeper = Kept::InRedis.start();
    let is_over = AtomicBool::new(false);
    let taken = AtomicUsize::new(0);
    let take = || {
        let redis_of = |keeper: &Keeper| keeper.instance().redis.unwrap();
        let mut redis = redis_of(&keeper);
        while !is_over.load(Ordering::Relaxed) {
            match redis.acquire(SHOP, "work", "token", Duration::from_millis(20)) {
                Ok(Some(_)) if redis.release(SHOP, "work", "token").is_ok() => {
                    taken.fetch_add(1, Ordering::Relaxed);
                }
                Ok(_) => {}
                // It would not try again for a while.
                Err(_) => redis = redis_of(&keeper),
            }
        }
    };
    let (mut seen, mut cut, mut endless) = (0, 0, 0);
    thread::scope(|scope| {
        scope.spawn(take);
        let mut conn = keeper.redis().conn();
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(3) {
            for _ in 0..20 {
                let left: i64 = redis::cmd("PTTL").arg("rowlock:lease:1:work").query(&mut conn).unwrap();
                endless += u32::from(left == -1);
                seen += u32::from(left > 0);
            }
            cut += redis::cmd("CLIENT").arg(&["KILL", "TYPE", "normal"]).query::<u32>(&mut conn).unwrap();
        }
        is_over.store(true, Ordering::Relaxed);
    });
    let taken = taken.into_inner();
    assert_eq!(endless, 0, "there was a lease without an end");
    assert!(seen > 10 && cut > 10 && taken > 10, "seen {seen}, cut {cut}, taken {taken}");
}

#[test]
fn a_redis_that_is_killed_is_gone_without() {
    let mut keeper = Kept::InRedis.start();
    let instance = keeper.patient(3_000);
    let metrics = Arc::clone(&instance.metrics);
    let leases = instance.leases(SHORT);
    let lease = acquired(leases.try_acquire(&of("work"), Owner::new()));
    keeper.redis.as_mut().unwrap().kill();
    let begun = Instant::now();
    for number in 1..=5 {
        let attempt = leases.acquire(&of("other work"), Owner::new(), LONG);
        assert!(matches!(attempt, Attempt::Unavailable));
        let without = attempt.unless_held().unwrap();
        assert!(!without.is_held() && !without.is_lost() && without.fence().is_none());
        assert_eq!(counted(&metrics, "unavailable"), number);
    }
    assert!(begun.elapsed() < Duration::from_secs(6), "it waited {:?}", begun.elapsed());
    wait_until("it is lost with its time", || lease.is_lost());
    assert_eq!(lease.release(), Released::Unknown);
    keeper.redis.as_mut().unwrap().start_again();
    wait_until("it is back", || matches!(leases.try_acquire(&of("work"), Owner::new()), Attempt::Acquired(_)));
}

#[test]
fn a_redis_that_hangs_is_gone_without() {
    let keeper = Kept::InRedis.start();
    let leases = keeper.patient(300).leases(LONG);
    drop(acquired(leases.try_acquire(&of("work"), Owner::new())));
    keeper.redis().signal(Signal::SIGSTOP);
    let begun = Instant::now();
    for _ in 0..5 {
        assert!(matches!(leases.try_acquire(&of("work"), Owner::new()), Attempt::Unavailable));
    }
    assert!(begun.elapsed() < Duration::from_secs(10), "it waited {:?}", begun.elapsed());
    keeper.redis().signal(Signal::SIGCONT);
    wait_until("it is back", || matches!(leases.try_acquire(&of("work"), Owner::new()), Attempt::Acquired(_)));
}

/// Stands between a client and Redis, and keeps the answers to scripts to itself while it is told to.
fn silence_scripts(redis: &TestRedis, is_silent: &Arc<AtomicBool>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (socket, is_silent) = (redis.url().replace("redis+unix://", ""), Arc::clone(is_silent));
    let forward = move |mut client: TcpStream| {
        let mut server = UnixStream::connect(&socket).unwrap();
        let (mut answers, mut answered) = (server.try_clone().unwrap(), client.try_clone().unwrap());
        let is_mute = Arc::new(AtomicBool::new(false));
        let muted = Arc::clone(&is_mute);
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(1..) = answers.read(&mut bytes).map(|count| {
                let is_heard = muted.load(Ordering::SeqCst) || answered.write_all(&bytes[..count]).is_ok();
                if is_heard { count } else { 0 }
            }) {}
        });
        let mut bytes = [0; 4096];
        while let Ok(count @ 1..) = client.read(&mut bytes) {
            let is_script = bytes[..count].windows(7).any(|word| word == b"EVALSHA");
            is_mute.fetch_or(is_script && is_silent.load(Ordering::SeqCst), Ordering::SeqCst);
            server.write_all(&bytes[..count]).unwrap();
        }
    };
    thread::spawn(move || {
        while let Ok((client, _)) = listener.accept() {
            let forward = forward.clone();
            thread::spawn(move || forward(client));
        }
    });
    format!("redis://{address}")
}

/// A lease that was taken without an answer is freed long before its time.
#[test]
fn an_unanswered_lease_is_freed() {
    let keeper = Kept::InRedis.start();
    let is_silent = Arc::new(AtomicBool::new(false));
    let url = silence_scripts(keeper.redis(), &is_silent);
    let (leases, other) = (Instance::new(&keeper.database.url, Some(&url), 500).leases(LONG / 6), keeper.leases(LONG));
    // The scripts are known from here on.
    drop(acquired(leases.try_acquire(&of("work"), Owner::new())));
    is_silent.store(true, Ordering::SeqCst);
    assert!(matches!(leases.try_acquire(&of("work"), Owner::new()), Attempt::Unavailable));
    assert!(is_held_by_another(&other, "work"), "it was taken after all");
    is_silent.store(false, Ordering::SeqCst);
    let begun = Instant::now();
    drop(acquired(other.acquire(&of("work"), Owner::new(), LONG)));
    assert!(begun.elapsed() < LONG / 12, "it took {:?}", begun.elapsed());
}

/// The time of a lease is counted from before it was asked for, however long the answer takes.
#[test]
fn an_answer_that_comes_late_grants_no_time() {
    let keeper = Kept::InPostgres.start();
    let ttl = Duration::from_millis(200);
    assert_eq!(keeper.unwatched("work", LONG).release(), Released::Freed);
    let (mut conn, mut watcher) = (keeper.database.conn(), keeper.database.conn());
    conn.batch_execute("BEGIN; SELECT FROM leases FOR UPDATE").unwrap();
    thread::scope(|scope| {
        let late = scope.spawn(|| keeper.unwatched("work", ttl));
        let waiting = "SELECT count(*) AS value FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        wait_until("it is asked for", || number(&mut watcher, waiting) == 1);
        sleep(ttl);
        conn.batch_execute("COMMIT").unwrap();
        let late = late.join().unwrap();
        assert!(late.is_lost() && !late.is_held());
    });
}

/// A renewal that is answered after the lease has ended finds a holder that may have given up: it stays lost.
#[test]
fn a_renewal_that_comes_late_brings_nothing_back() {
    let keeper = Kept::InPostgres.start();
    let ttl = Duration::from_millis(700);
    let instance = keeper.instance();
    let metrics = Arc::clone(&instance.metrics);
    let leases = instance.leases(ttl);
    let lease = acquired(leases.try_acquire(&of("work"), Owner::new()));
    let begun = Instant::now();
    let (mut conn, mut watcher) = (keeper.database.conn(), keeper.database.conn());
    conn.batch_execute("BEGIN; SELECT FROM leases FOR UPDATE").unwrap();
    let waiting = "SELECT count(*) AS value FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    wait_until("it is renewed", || number(&mut watcher, waiting) == 1);
    sleep((ttl + Duration::from_millis(20)).saturating_sub(begun.elapsed()));
    assert!(!lease.is_held());
    conn.batch_execute("COMMIT").unwrap();
    wait_until("the loss is known", || counted(&metrics, "lost") == 1 || lease.is_held());
    assert!(lease.is_lost() && !lease.is_held());
}

#[test]
fn switched_off_they_hold_nothing() {
    let keeper = Kept::InPostgres.start();
    let leases = keeper.leases(Duration::ZERO);
    let two = [(); 2].map(|()| acquired(leases.try_acquire(&of("work"), Owner::new())));
    for lease in two {
        assert!(!lease.is_held() && !lease.is_lost() && lease.fence().is_none());
        assert_eq!(lease.release(), Released::Nothing);
    }
    assert_eq!(number(&mut keeper.database.conn(), "SELECT count(*) AS value FROM leases"), 0);
}

#[test]
fn dead_leases_are_purged() {
    let keeper = Kept::InPostgres.start();
    let instance = keeper.instance();
    for (work, ttl) in [("dead", Duration::from_millis(1)), ("held", LONG), ("freed", LONG)] {
        assert!(instance.acquire(work, work, ttl).is_some());
    }
    assert!(instance.release("freed", "freed"));
    sleep(Duration::from_millis(20));
    let names = || words(&mut keeper.database.conn(), "SELECT name AS value FROM leases ORDER BY name");
    let due = |before| store::leases::with_expired(&mut keeper.database.conn(), before).unwrap();
    let purge = |before| instance.store.write(SHOP, |tx| Ok::<_, Error>(store::leases::purge(tx, before)?)).unwrap();
    let (early, now) = (Utc::now() - TimeDelta::hours(1), Utc::now());
    assert_eq!((due(early), purge(early), names().len()), (vec![], 0, 3));
    assert_eq!((due(now), purge(now), names()), (vec![SHOP], 2, vec!["held".to_owned()]));
    assert_eq!(due(now), []);
}

/// An instance's clock decides nothing: neither when its own leases end nor when those of others do.
#[actix_web::test]
async fn clocks_that_go_wrong_change_nothing() {
    let app = TestApp::start();
    let beside = app.beside(Setup::default());
    let lease = acquired(app.app.leases.try_acquire(&of("work"), Owner::new()));
    for (clock, days) in [(&app.clock, 400), (&beside.clock, 400), (&app.clock, -800), (&beside.clock, -800)] {
        clock.advance(TimeDelta::days(days));
        assert!(lease.is_held());
        assert!(is_held_by_another(&beside.app.leases, "work"));
    }
    assert_eq!(lease.release(), Released::Freed);
    drop(acquired(beside.app.leases.try_acquire(&of("work"), Owner::new())));
}
