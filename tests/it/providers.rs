//! A provider of payments and its merchants as tests play them.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix_web::rt::task::spawn_blocking;
use aws_lc_rs::hkdf;
use aws_lc_rs::signature::Ed25519KeyPair;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::TimeDelta;
use reqwest::Method;
use rowlock::clock::uuid_at;
use rowlock::domain::money::Money;
use rowlock::domain::order::PayMethod;
use rowlock::domain::payment::{Channel, PaymentNumber, RefundNumber};
use rowlock::domain::{MerchantId, PaymentId, RefundId};
use rowlock::gateway::{Charge, Envelope, Gateway, GatewayError, Notice, NoticeError, Receipt, Refunding, Standing};
use serde_json::{Value, json};

use crate::clients::Answer;
use crate::harness::{TestApp, noon, until};

/// How a merchant's machine answers.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    Status(u16),
    /// With success, but only when so many wait for it.
    Together(usize),
    /// With these headers and this body.
    As(Vec<(String, String)>, String),
}

#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub(crate) fn read_by(&self, gateway: &dyn Gateway) -> Result<Notice, NoticeError> {
        gateway.read_notice(&Envelope { header: &|name| self.header(name), body: self.body.as_bytes() })
    }

    /// The same with another body.
    pub(crate) fn saying(&self, body: String) -> Self {
        Self { headers: self.headers.clone(), body }
    }
}

/// A merchant's machine: answers as it is told, and with 200 when it was told no more.
pub(crate) struct Machine {
    pub(crate) url: String,
    pub(crate) received: Arc<Mutex<Vec<Received>>>,
}

impl Machine {
    pub(crate) fn start(replies: &[Reply]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let received: Arc<Mutex<Vec<Received>>> = Arc::default();
        let (log, mut replies) = (Arc::clone(&received), VecDeque::from(replies.to_vec()));
        let waiting = Arc::new(AtomicUsize::new(0));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let Some(request) = read(&stream) else { continue };
                log.lock().unwrap().push(request);
                let reply = replies.pop_front().unwrap_or(Reply::Status(200));
                let waiting = Arc::clone(&waiting);
                std::thread::spawn(move || answer(&mut stream, &reply, &waiting));
            }
        });
        Self { url, received }
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    pub(crate) async fn first(&self, count: usize) -> Vec<Received> {
        until(|| self.received().len() >= count).await;
        self.received()
    }
}

fn read(stream: &TcpStream) -> Option<Received> {
    let mut lines = BufReader::new(stream);
    let mut line = String::new();
    lines.read_line(&mut line).ok().filter(|bytes| *bytes > 0)?;
    let mut headers = Vec::new();
    loop {
        line.clear();
        lines.read_line(&mut line).unwrap();
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.push((name.to_lowercase(), value.to_owned()));
    }
    let mut request = Received { headers, body: String::new() };
    let mut body = vec![0; request.header("content-length").map_or(0, |length| length.parse().unwrap())];
    lines.read_exact(&mut body).unwrap();
    request.body = String::from_utf8(body).unwrap();
    Some(request)
}

fn answer(stream: &mut TcpStream, reply: &Reply, waiting: &AtomicUsize) {
    let mut say = |status: u16, headers: &str, body: &str| {
        let length = body.len();
        let _ = write!(
            stream,
            "HTTP/1.1 {status} X\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
        );
    };
    match reply {
        Reply::Status(status) => say(*status, "", ""),
        Reply::Together(count) => {
            waiting.fetch_add(1, Ordering::SeqCst);
            while waiting.load(Ordering::SeqCst) < *count {
                std::thread::sleep(Duration::from_millis(5));
            }
            say(200, "", "");
        }
        Reply::As(headers, body) => {
            let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
            say(200, &headers, body);
        }
    }
}

/// Merchant 1 as somebody who wrote their own client, by what the module `gateway::sandbox` tells.
pub(crate) struct Signer {
    pub(crate) key: Ed25519KeyPair,
}

impl Signer {
    pub(crate) fn new() -> Self {
        let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, b"rowlock sandbox");
        let mut seed = [0; 32];
        salt.extract(&[7; 32]).expand(&[b"merchant 1"], hkdf::HKDF_SHA256).unwrap().fill(&mut seed).unwrap();
        Self { key: Ed25519KeyPair::from_seed_unchecked(&seed).unwrap() }
    }

    pub(crate) fn request(&self, app: &TestApp, method: Method, path: &str, body: &str) -> reqwest::RequestBuilder {
        self.at(app, app.clock.now().timestamp(), method, path, body)
    }

    pub(crate) fn at(
        &self,
        app: &TestApp,
        seconds: i64,
        method: Method,
        path: &str,
        body: &str,
    ) -> reqwest::RequestBuilder {
        let signed = format!("{method}\n{path}\n{seconds}\nabc\n{body}\n");
        let signature = STANDARD.encode(self.key.sign(signed.as_bytes()));
        let request = app.request(method, path).body(body.to_owned()).header("sandbox-merchant", "1");
        let request = request.header("sandbox-timestamp", seconds.to_string()).header("sandbox-nonce", "abc");
        request.header("sandbox-signature", signature)
    }

    pub(crate) async fn post(&self, app: &TestApp, path: &str, body: &Value) -> Answer {
        Answer::of(self.request(app, Method::POST, path, &body.to_string())).await
    }

    /// A payment whose notices go to a machine.
    pub(crate) async fn announce(&self, app: &TestApp, machine: &Machine, amount: &str) -> String {
        let number = uuid_at(noon()).simple().to_string();
        let answer = self.post(app, "/sandbox/v1/payments", &terms(&number, &machine.url, amount)).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        number
    }

    pub(crate) async fn refund(&self, app: &TestApp, machine: &Machine, payment: &str, amount: &str) -> String {
        let paid = Answer::of(self.request(app, Method::GET, &format!("/sandbox/v1/payments/{payment}"), "")).await;
        let paid = paid.json();
        let number = uuid_at(noon()).simple().to_string();
        let body = json!({
            "number": number, "payment": payment, "transaction": paid["transaction"], "amount": amount,
            "paid": paid["amount"], "currency": "CNY", "reason": "r", "notify_url": machine.url,
        });
        let answer = self.post(app, "/sandbox/v1/refunds", &body).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        number
    }
}

pub(crate) fn terms(number: &str, notify_url: &str, amount: &str) -> Value {
    json!({
        "number": number, "amount": amount, "currency": "CNY", "description": "dumplings", "channel": "page",
        "payer": null, "expires_at": noon() + TimeDelta::minutes(15), "notify_url": notify_url,
    })
}

pub(crate) fn yuan(text: &str) -> Money {
    text.parse().unwrap()
}

pub(crate) fn new_number() -> PaymentNumber {
    PaymentNumber(PaymentId(uuid_at(noon())))
}

pub(crate) fn charge(number: PaymentNumber) -> Charge<'static> {
    Charge {
        number,
        amount: yuan("12.50"),
        description: "饺子 & more",
        channel: Channel::Page,
        payer: None,
        expires_at: noon() + TimeDelta::minutes(15),
    }
}

/// A refund of `amount` of what a payment brought.
pub(crate) fn refunding<'a>(payment: PaymentNumber, receipt: &'a Receipt, amount: &str) -> Refunding<'a> {
    Refunding {
        number: RefundNumber { refund: RefundId(uuid_at(noon())), round: 1 },
        payment,
        transaction: &receipt.transaction,
        amount: yuan(amount),
        paid: receipt.amount,
        reason: "cold",
    }
}

pub(crate) fn gateway_of(app: &TestApp, merchant: i64) -> Arc<dyn Gateway> {
    app.app.gateways.get(MerchantId(merchant), PayMethod::Sandbox).unwrap()
}

/// Asks a merchant's gateway, which blocks.
pub(crate) async fn ask_of<T: Send + 'static>(
    app: &TestApp,
    merchant: i64,
    ask: impl FnOnce(&dyn Gateway) -> T + Send + 'static,
) -> T {
    let gateway = gateway_of(app, merchant);
    spawn_blocking(move || ask(&*gateway)).await.unwrap()
}

pub(crate) async fn ask<T: Send + 'static>(
    app: &TestApp,
    question: impl FnOnce(&dyn Gateway) -> T + Send + 'static,
) -> T {
    ask_of(app, 1, question).await
}

pub(crate) async fn create(app: &TestApp) -> PaymentNumber {
    let number = new_number();
    ask(app, move |gateway| gateway.create(&charge(number))).await.unwrap();
    number
}

pub(crate) async fn query(app: &TestApp, number: PaymentNumber) -> Standing {
    ask(app, move |gateway| gateway.query(number)).await.unwrap()
}

pub(crate) async fn close(app: &TestApp, number: PaymentNumber) -> Result<(), GatewayError> {
    ask(app, move |gateway| gateway.close(number)).await
}

/// Presses a button of a payment: its status, and what is said.
pub(crate) async fn press(app: &TestApp, number: impl std::fmt::Display, button: &str) -> (u16, Value) {
    let path = format!("/sandbox/v1/payments/{number}/{button}");
    let answer = Answer::of(app.request(Method::POST, &path)).await;
    (answer.status.as_u16(), answer.json())
}

pub(crate) async fn pay(app: &TestApp, number: PaymentNumber) -> Receipt {
    assert_eq!(press(app, number, "pay").await.0, 200);
    match query(app, number).await {
        Standing::Paid(receipt) => receipt,
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn switch(app: &TestApp, number: Option<&str>, switches: Value) {
    let query = number.map(|number| format!("?number={number}")).unwrap_or_default();
    let request = app.request(Method::PUT, &format!("/sandbox/v1/switches{query}")).json(&switches);
    let answer = Answer::of(request).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
}

pub(crate) fn code<T: std::fmt::Debug>(result: Result<T, GatewayError>) -> String {
    match result {
        Err(GatewayError::Refused { code, .. }) => code,
        other => panic!("{other:?}"),
    }
}
