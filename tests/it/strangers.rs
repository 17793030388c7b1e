//! Clients that are slow, odd or hostile, as bytes on a socket: what they get, and that nobody else notices.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use actix_web::rt::task::{JoinHandle, spawn_blocking};
use rowlock::placement::Point;

use crate::clients::Customer;
use crate::harness::{Freezer, Setup, TestApp, order};

/// Longer than the service waits for anybody here.
const PATIENCE: Duration = Duration::from_secs(30);

/// A service that puts up with less, so that a test need not wait.
fn impatient() -> TestApp {
    let variables = vec![
        ("ROWLOCK_HTTP_SILENCE_SECONDS", "10"),
        ("ROWLOCK_PLACEMENT_ANSWER_TIMEOUT_MS", "4900"),
        ("ROWLOCK_EVENTS_KEEP_ALIVE_MS", "1000"),
    ];
    TestApp::with(Setup { variables, ..Setup::default() })
}

fn connect(app: &TestApp) -> TcpStream {
    let stream = TcpStream::connect(app.address.trim_start_matches("http://")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Reads until the service hangs up.
fn read_to_end(stream: &mut TcpStream) -> String {
    let mut read = Vec::new();
    match stream.read_to_end(&mut read) {
        Ok(_) => {}
        // What was sent after the service had stopped to listen makes the system say so.
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!("{error} after {:?}", String::from_utf8_lossy(&read)),
    }
    String::from_utf8_lossy(&read).into_owned()
}

/// Sends bytes, and reads what comes until the service hangs up.
fn say(app: &TestApp, bytes: Vec<u8>) -> JoinHandle<String> {
    let mut stream = connect(app);
    spawn_blocking(move || {
        let mut writer = stream.try_clone().unwrap();
        // The service need not listen to the end.
        let writing = std::thread::spawn(move || writer.write_all(&bytes));
        let said = read_to_end(&mut stream);
        let _ = writing.join().unwrap();
        said
    })
}

/// Sends bytes one at a time, and reads until the service hangs up. Tells how long that took.
fn drip(app: &TestApp, first: &str, rest: String) -> JoinHandle<(String, Duration)> {
    let mut stream = connect(app);
    stream.write_all(first.as_bytes()).unwrap();
    spawn_blocking(move || {
        let begun = Instant::now();
        let mut writer = stream.try_clone().unwrap();
        let writing = std::thread::spawn(move || {
            for byte in rest.bytes() {
                if writer.write_all(&[byte]).is_err() {
                    return;
                }
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        let said = read_to_end(&mut stream);
        let took = begun.elapsed();
        let _ = stream.shutdown(Shutdown::Both);
        writing.join().unwrap();
        (said, took)
    })
}

/// The statuses of all answers in what was said.
fn statuses(said: &str) -> Vec<u16> {
    said.split("HTTP/1.").skip(1).map(|answer| answer[2..5].parse().unwrap()).collect()
}

/// The head of a request to place, but for what says how long the body is.
fn head(who: &Customer<'_>, key: &str) -> String {
    format!(
        "POST /v1/merchants/1/orders HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nIdempotency-Key: {key}\r\n\
         Authorization: Bearer {}\r\n",
        who.token
    )
}

/// A whole request to place.
fn placing(who: &Customer<'_>, key: &str) -> String {
    let body = order(&[(1, 1)]).to_string();
    format!("{}Content-Length: {}\r\n\r\n{body}", head(who, key), body.len())
}

/// What is no HTTP gets a plain 400, what is too much of it 413 or 431; then the line is cut. A second request hidden behind it is not
/// seen.
#[actix_web::test]
async fn what_is_no_http_is_refused_and_hung_up_on() {
    let app = TestApp::start();
    let alice = app.customer("alice").await;
    let (head, body) = (head(&alice, "smuggled"), order(&[(1, 1)]).to_string());
    let length = body.len();
    let hidden = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    let get = "GET /healthz HTTP/1.1\r\nHost: x\r\n";
    let many: String = (0..10_000).map(|number| format!("X-{number}: 1\r\n")).collect();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("garbage", (0..2_000u32).map(|n| u8::try_from(n * 7 % 251).unwrap()).collect()),
        ("a TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".iter().copied().chain([7; 506]).collect()),
        ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec()),
        ("no such version", b"GET /healthz HTTP/9.9\r\n\r\n".to_vec()),
        ("a zero in a header", format!("{get}X: a\0b\r\n\r\n").into()),
        ("a header without a name", format!("{get}: b\r\n\r\n").into()),
        ("10,000 headers", format!("{get}{many}\r\n").into()),
        ("a header of a megabyte", format!("{get}X: {}\r\n\r\n", "a".repeat(1 << 20)).into()),
        ("a path of a megabyte", format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(1 << 20)).into()),
        ("two lengths", format!("{head}Content-Length: {length}\r\nContent-Length: 5\r\n\r\n{body}{hidden}").into()),
        ("a list of lengths", format!("{head}Content-Length: {length}, 5\r\n\r\n{body}{hidden}").into()),
        ("a length below zero", format!("{head}Content-Length: -1\r\n\r\n{body}{hidden}").into()),
        ("a length with a sign", format!("{head}Content-Length: +{length}\r\n\r\n{body}{hidden}").into()),
        ("a length that is no number", format!("{head}Content-Length: 1e2\r\n\r\n{body}{hidden}").into()),
        ("a length beyond all", format!("{head}Content-Length: 99999999999999999999\r\n\r\n{body}{hidden}").into()),
        (
            "a length and chunks",
            format!("{head}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n{hidden}").into(),
        ),
        (
            "chunks and a length",
            format!("{head}Transfer-Encoding: chunked\r\nContent-Length: {length}\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n{hidden}").into(),
        ),
        (
            "chunks that are not the last encoding",
            format!("{head}Transfer-Encoding: chunked, identity\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n{hidden}").into(),
        ),
        (
            "an unknown encoding",
            format!("{head}Transfer-Encoding: xchunked\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n{hidden}").into(),
        ),
        ("a chunk without a size", format!("{head}Transfer-Encoding: chunked\r\n\r\nzz\r\n{body}\r\n0\r\n\r\n{hidden}").into()),
        (
            "a chunk longer than it says",
            format!("{head}Transfer-Encoding: chunked\r\n\r\n4\r\n{body}\r\n0\r\n\r\n{hidden}").into(),
        ),
        (
            "a chunk of more than there can be",
            format!("{head}Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n{body}\r\n0\r\n\r\n{hidden}").into(),
        ),
    ];
    for (name, bytes) in cases {
        let said = say(&app, bytes).await.unwrap();
        let found = statuses(&said);
        assert!(found.len() == 1 && [400, 413, 414, 431, 505].contains(&found[0]), "{name}: {found:?} {said}");
    }
    assert_eq!(app.count("orders"), 0);
    assert_eq!(alice.place("k", &order(&[(1, 1)])).await.status, 201);
}

/// What is odd, but HTTP.
#[actix_web::test]
async fn what_is_unusual_is_answered() {
    let app = TestApp::start();
    let alice = app.customer("alice").await;
    let body = order(&[(1, 1)]).to_string();
    let (length, close) = (body.len(), "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");

    let pipelined = format!("{}{}{}{close}", placing(&alice, "a"), placing(&alice, "b"), placing(&alice, "a"));
    assert_eq!(statuses(&say(&app, pipelined.into()).await.unwrap()), [201, 201, 200, 200]);

    let old = "GET /healthz HTTP/1.0\r\n\r\n";
    let said = say(&app, old.into()).await.unwrap();
    assert!(said.starts_with("HTTP/1.0 200") || said.starts_with("HTTP/1.1 200"), "{said}");
    assert!(!said.contains("chunked"), "HTTP/1.0 knows no chunks: {said}");
    let kept = "GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
    assert_eq!(statuses(&say(&app, format!("{kept}{old}").into()).await.unwrap()), [200, 200]);

    let expects = format!("{}Expect: 100-continue\r\nContent-Length: {length}\r\n\r\n{body}{close}", head(&alice, "c"));
    assert_eq!(statuses(&say(&app, expects.into()).await.unwrap()), [100, 201, 200]);

    let (first, rest) = body.split_at(10);
    let chunks =
        format!("{:x};name=\"a b\"\r\n{first}\r\n{:X}\r\n{rest}\r\n0\r\nX-Trailer: 1\r\n\r\n", first.len(), rest.len());
    let chunked = format!("{}Transfer-Encoding: chunked\r\n\r\n{chunks}", head(&alice, "d"));
    let said = say(&app, format!("{chunked}{close}").into()).await.unwrap();
    assert!([vec![201, 200], vec![400]].contains(&statuses(&said)), "trailers are read past or refused: {said}");

    // Nobody is told 413 by a line that just breaks: what is on its way is read past, within bounds.
    let large = format!("{}Content-Length: 1000000\r\n\r\n{}", head(&alice, "e"), " ".repeat(1_000_000));
    let said = say(&app, large.into()).await.unwrap();
    assert_eq!(statuses(&said), [413], "{said}");
    assert!(said.contains("application/problem+json") && said.contains("body_too_large"), "{said}");

    let cut_off = format!("{}Content-Length: {length}\r\n\r\n{}", head(&alice, "f"), &body[..length - 5]);
    let mut stream = connect(&app);
    stream.write_all(cut_off.as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let said = spawn_blocking(move || read_to_end(&mut stream)).await.unwrap();
    assert!(statuses(&said).iter().all(|status| *status == 400), "{said}");
    let keys = "SELECT count(*) AS value FROM orders WHERE idempotency_key IN ('e', 'f')";
    assert_eq!(crate::harness::number(&mut app.conn(), keys), 0);
}

/// A head, a body, and the head of a second request, a byte at a time: each is cut off, and meanwhile all others are served.
#[actix_web::test]
async fn who_drips_is_cut_off_and_nobody_else_waits() {
    let app = impatient();
    let alice = app.customer("alice").await;
    let endless = || format!("X-Slow: {}\r\n\r\n", "a".repeat(100_000));
    let get = "GET /healthz HTTP/1.1\r\nHost: x\r\n";
    let slow_body = format!("{}Content-Length: 5000\r\n\r\n", head(&alice, "slow"));
    let slow = [
        ("the first head", drip(&app, get, endless())),
        ("the second head", drip(&app, &format!("{get}\r\n{get}"), endless())),
        ("a second head that comes with the first", drip(&app, &format!("{get}\r\n{}", &get[..10]), String::new())),
        ("a body", drip(&app, &slow_body, " ".repeat(5_000))),
        ("nothing at all", drip(&app, "", String::new())),
    ];
    for number in 0..20 {
        let begun = Instant::now();
        assert_eq!(alice.place(&format!("k{number}"), &order(&[(1, 1)])).await.status, 201);
        assert!(begun.elapsed() < Duration::from_secs(10), "it waits for those who are slow");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for (name, talk) in slow {
        let (said, took) = talk.await.unwrap();
        assert!(took < PATIENCE, "{name} holds the line for {took:?}: {said}");
        let expected = if name.contains("second") { vec![200] } else { vec![] };
        let found: Vec<u16> = statuses(&said).into_iter().filter(|status| *status != 408).collect();
        assert_eq!(found, expected, "{name}: {said}");
    }
    assert_eq!(app.count("orders"), 20);
}

/// A proxy sends its next request on the connection that it has, and none comes to a door that is just being shut.
#[actix_web::test]
async fn a_connection_is_kept_for_the_next_request() {
    let app = TestApp::start();
    let mut stream = connect(&app);
    let said = spawn_blocking(move || {
        write!(stream, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        std::thread::sleep(Duration::from_secs(8));
        write!(stream, "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        read_to_end(&mut stream)
    });
    assert_eq!(statuses(&said.await.unwrap()), [200, 200]);
}

/// Who asks and never reads fills the buffers between, and no more: the service stops to listen, and hangs up.
#[actix_web::test]
async fn who_never_reads_is_not_written_for() {
    let app = impatient();
    let mut stream = connect(&app);
    let sent = spawn_blocking(move || {
        let asking = "GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n".repeat(100);
        let mut sent = 0;
        // Ends when the service hangs up; one that took it all would be asked for some thirty gigabytes of answers.
        while sent < 200_000 && stream.write_all(asking.as_bytes()).is_ok() {
            sent += 100;
        }
        sent
    });
    let sent = tokio::time::timeout(PATIENCE, sent).await.expect("it hangs up").unwrap();
    assert!(sent < 200_000, "it takes as many questions as there are");
    assert_eq!(app.customer("alice").await.place("k", &order(&[(1, 1)])).await.status, 201);
}

/// Who hangs up in the middle of placing has placed: the same key gets the order.
#[actix_web::test]
async fn an_order_stands_though_its_customer_hangs_up() {
    let freezer = Freezer::at(Point::Written);
    let app = TestApp::with(Setup { probe: Some(freezer.probe.clone()), ..Setup::default() });
    let alice = app.customer("alice").await;
    let mut stream = connect(&app);
    stream.write_all(placing(&alice, "k").as_bytes()).unwrap();
    freezer.wait().await;
    drop(stream);
    tokio::time::sleep(Duration::from_millis(100)).await;
    freezer.release();
    let repeated = alice.place("k", &order(&[(1, 1)])).await;
    assert_eq!((repeated.status.as_u16(), app.count("orders"), app.stock(1)), (200, 1, 99));
}
