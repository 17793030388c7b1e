//! More connections than are needed, and more than there can be.

use std::fs;
use std::io::Read;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::command::{Folder, SECRET, Service};
use crate::harness::{TestDatabase, order};

/// Ten thousand who say nothing, beside those who order. The service starts with the limit of files that shells have, and raises it.
#[actix_web::test]
async fn ten_thousand_idle_connections_are_no_burden() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    let count = usize::try_from(hard).unwrap_or(usize::MAX).saturating_sub(1_500).min(10_000);
    let (folder, database) = (Folder::new(), TestDatabase::clone_of("template"));
    let variables = [
        ("DATABASE_URL", &*database.url),
        ("ROWLOCK_AUTH_TOKEN_SECRET", SECRET),
        ("ROWLOCK_HTTP_CUSTOMER_REQUESTS_BURST", "1000"),
    ];
    let (service, _) = Service::start_limited(&folder.0, &variables, "ulimit -S -n 1024");
    let token = service.token().await;
    let idle: Vec<TcpStream> = (0..count).map(|_| TcpStream::connect(service.address()).unwrap()).collect();
    for number in 0..20 {
        let placed = service.place(&token, &format!("k{number}"), &order(&[(1, 1)])).await;
        assert_eq!(placed.status, 201, "{}", placed.text);
    }
    let open = fs::read_dir(format!("/proc/{}/fd", service.pid())).map_or(count, Iterator::count);
    assert!(open >= count.min(9_000), "{open} descriptors are open: it is not they who are served beside");
    drop(idle);
    assert_eq!(service.place(&token, "after", &order(&[(1, 1)])).await.status, 201);
}

/// With few files to open, those who come late wait, until those who say nothing are hung up on. Nothing dies of it, and nothing spins.
#[actix_web::test]
async fn without_descriptors_it_waits_for_some() {
    let (folder, database) = (Folder::new(), TestDatabase::clone_of("template"));
    let variables =
        [("DATABASE_URL", &*database.url), ("ROWLOCK_AUTH_TOKEN_SECRET", SECRET), ("ROWLOCK_DATABASE_POOL_SIZE", "4")];
    let (service, log) = Service::start_limited(&folder.0, &variables, "ulimit -n 320");
    assert!(log.iter().any(|line| line.contains("leaves room for")), "{log:#?}");
    let token = service.token().await;
    let before = cpu_ticks(service.pid());
    let begun = Instant::now();
    let mut idle: Vec<TcpStream> = (0..250).map(|_| TcpStream::connect(service.address()).unwrap()).collect();
    let placed = service.place(&token, "k", &order(&[(1, 1)])).await;
    assert_eq!(placed.status, 201, "{}", placed.text);
    assert!(begun.elapsed() < Duration::from_secs(120), "they are hung up on a hundred at a time");
    if let (Some(before), Some(after)) = (before, cpu_ticks(service.pid())) {
        let share = (after - before) as f64 / 100.0 / begun.elapsed().as_secs_f64().max(1.0);
        assert!(share < 0.5, "it spins: {share} of a processor");
    }
    // The first of them has been hung up on.
    idle[0].set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut said = String::new();
    idle[0].read_to_string(&mut said).unwrap();
    assert!(said.is_empty() || said.starts_with("HTTP/1.1 408"), "{said}");
}

/// Processor time so far, in hundredths of a second; nothing where there is no /proc.
fn cpu_ticks(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    Some(fields[11].parse::<u64>().ok()? + fields[12].parse::<u64>().ok()?)
}
