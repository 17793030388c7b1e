//! More connections than are needed, and more than there can be.

use std::fs;
use std::io::{Read, Write};
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
    let (mut idle, mut most) = (Vec::new(), 0);
    while idle.len() < count {
        idle.extend((0..count.min(500)).map(|_| TcpStream::connect(service.address()).unwrap()));
        most = most.max(descriptors(service.pid()).unwrap_or(idle.len()));
    }
    for number in 0..20 {
        let placed = service.place(&token, &format!("k{number}"), &order(&[(1, 1)])).await;
        assert_eq!(placed.status, 201, "{}", placed.text);
    }
    // A slow machine hangs up on the first while the last still come.
    assert!(
        most > 1_500 || count < 2_000,
        "{most} descriptors were open at most: it is not they who are served beside"
    );
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

/// Thirty who ask for much, many times in one go, and do not read: the service holds little of it, not an answer for each question.
#[actix_web::test]
async fn what_nobody_reads_is_not_held() {
    const CLIENTS: u64 = 30;
    let (folder, database) = (Folder::new(), TestDatabase::clone_of("template"));
    let variables = [("DATABASE_URL", &*database.url), ("ROWLOCK_AUTH_TOKEN_SECRET", SECRET)];
    let service = Service::start(&folder.0, &variables);
    let document = format!("http://{}/openapi.json", service.address());
    let length = reqwest::get(&document).await.unwrap().text().await.unwrap().len() as u64;
    let Some(before) = resident_bytes(service.pid()) else { return };
    let asking = "GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n".repeat(50);
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let mut client = TcpStream::connect(service.address()).unwrap();
        client.write_all(asking.as_bytes()).unwrap();
        clients.push(client);
    }
    // It has come to all of them when it answers one who came later.
    for _ in 0..20 {
        assert!(reqwest::get(&document).await.unwrap().status().is_success());
    }
    let held = resident_bytes(service.pid()).unwrap().saturating_sub(before) / CLIENTS;
    assert!(held < 3 * length, "it holds {held} bytes for each, where an answer has {length}");
    drop(clients);
}

/// How many files and connections a process has open; nothing where there is no /proc.
fn descriptors(pid: u32) -> Option<usize> {
    Some(fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count())
}

/// The memory that a process holds; nothing where there is no /proc.
fn resident_bytes(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let kb = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.trim().strip_suffix(" kB")?;
    Some(kb.parse::<u64>().ok()? * 1024)
}

/// Processor time so far, in hundredths of a second; nothing where there is no /proc.
fn cpu_ticks(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    Some(fields[11].parse::<u64>().ok()? + fields[12].parse::<u64>().ok()?)
}
