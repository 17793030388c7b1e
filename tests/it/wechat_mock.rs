//! A server that plays WeChat Pay: it signs as the provider does, with the keys of the vectors, and answers as it is told.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rowlock::clock::Clock;
use serde_json::{Value, json};

/// `tests/vectors/wechat.json`
pub(crate) fn vectors() -> &'static Value {
    static VECTORS: OnceLock<Value> = OnceLock::new();
    VECTORS.get_or_init(|| serde_json::from_str(include_str!("../vectors/wechat.json")).unwrap())
}

pub(crate) fn vector(name: &str) -> &'static str {
    vectors()[name].as_str().unwrap()
}

/// Who signs an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum By {
    /// The key that the account's credentials name.
    PublicKey,
    /// A certificate of the vectors.
    Certificate(usize),
    /// The key of the credentials, under the serial of the first certificate.
    Impostor,
}

/// How a request is answered.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    Signed(By, u16, String),
    /// Signed so many seconds away from the clock.
    SignedAt(i64, u16, String),
    /// Signed, and then changed on the way.
    Changed(u16, String),
    Probe(u16, String),
    Unsigned(u16, String),
    /// Not at all, as long as anybody waits.
    Hang,
    /// A byte now and then, without end.
    Drip,
    /// By hanging up.
    Reset,
}

/// An answer as it should be.
pub(crate) fn good(status: u16, body: &Value) -> Reply {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    Reply::Signed(By::PublicKey, status, body)
}

/// An error, signed.
pub(crate) fn error(status: u16, code: &str) -> Reply {
    good(status, &json!({ "code": code, "message": "words" }))
}

/// What arrived.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) method: String,
    pub(crate) path: String,
    headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// A part of the `Authorization` header.
    pub(crate) fn part(&self, name: &str) -> &str {
        let parts = self.header("authorization").strip_prefix("WECHATPAY2-SHA256-RSA2048 ").unwrap();
        let part = parts.split(',').find_map(|part| part.strip_prefix(&format!("{name}=\"")));
        part.unwrap().strip_suffix('"').unwrap()
    }

    /// Whether the merchant has signed it.
    fn is_signed(&self) -> bool {
        let Self { method, path, body, .. } = self;
        let (timestamp, nonce) = (self.part("timestamp"), self.part("nonce_str"));
        let text = format!("{method}\n{path}\n{timestamp}\n{nonce}\n{body}\n");
        let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, der(vector("merchant_public_key")));
        let signature = STANDARD.decode(self.part("signature")).unwrap();
        let is_named = (self.part("mchid"), self.part("serial_no")) == (vector("mch_id"), vector("serial_no"));
        is_named && key.verify(text.as_bytes(), &signature).is_ok()
    }
}

fn der(pem: &str) -> Vec<u8> {
    STANDARD.decode(pem.lines().filter(|line| !line.starts_with('-')).collect::<String>()).unwrap()
}

/// The provider. Requests for certificates are answered by themselves, unless `list` says otherwise.
pub(crate) struct Provider {
    pub(crate) url: String,
    received: Arc<Mutex<Vec<Received>>>,
    replies: Arc<Mutex<VecDeque<Reply>>>,
    list: Arc<Mutex<Reply>>,
}

impl Provider {
    pub(crate) fn start(clock: &Clock) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let provider = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            received: Arc::default(),
            replies: Arc::default(),
            list: Arc::new(Mutex::new(certificates(&[0], By::Certificate(0)))),
        };
        let (received, replies, list) =
            (Arc::clone(&provider.received), Arc::clone(&provider.replies), Arc::clone(&provider.list));
        let clock = clock.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let Some(request) = read(&stream) else { continue };
                let reply = match request.path.as_str() {
                    "/v3/certificates" => list.lock().unwrap().clone(),
                    _ => {
                        replies.lock().unwrap().pop_front().unwrap_or(Reply::Unsigned(404, "nothing to say".to_owned()))
                    }
                };
                let is_signed = !request.path.starts_with("/v3/") || request.is_signed();
                received.lock().unwrap().push(request);
                let reply = if is_signed { reply } else { Reply::Unsigned(401, r#"{"code":"SIGN_ERROR"}"#.to_owned()) };
                let now = clock.now().timestamp();
                thread::spawn(move || answer(&mut stream, reply, now));
            }
        });
        provider
    }

    /// Says how the next requests are answered.
    pub(crate) fn will(&self, replies: impl IntoIterator<Item = Reply>) {
        *self.replies.lock().unwrap() = replies.into_iter().collect();
    }

    /// Says how the list of certificates is answered from now on.
    pub(crate) fn lists(&self, reply: Reply) {
        *self.list.lock().unwrap() = reply;
    }

    /// What has arrived since this was last asked.
    pub(crate) fn received(&self) -> Vec<Received> {
        std::mem::take(&mut *self.received.lock().unwrap())
    }

    pub(crate) fn paths(&self) -> Vec<String> {
        self.received().into_iter().map(|request| request.path).collect()
    }
}

/// The list of such certificates of the vectors.
pub(crate) fn certificates(which: &[usize], by: By) -> Reply {
    let all = &vectors()["platform_certificates"];
    let item = |at: &usize| {
        json!({
            "serial_no": all[*at]["serial_no"], "effective_time": "2026-01-01T00:00:00+08:00",
            "expire_time": "2030-01-01T00:00:00+08:00", "encrypt_certificate": all[*at]["sealed"],
        })
    };
    Reply::Signed(by, 200, json!({ "data": which.iter().map(item).collect::<Vec<_>>() }).to_string())
}

fn read(stream: &TcpStream) -> Option<Received> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let mut words = line.split(' ').map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.push((name.to_lowercase(), value.to_owned()));
    }
    let length =
        headers.iter().find(|(name, _)| name == "content-length").map_or(0, |(_, value)| value.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Received { method, path, headers, body: String::from_utf8(body).unwrap() })
}

/// The headers of a message that is signed: names and values.
pub(crate) fn signed(by: By, body: &str, timestamp: i64) -> Vec<(&'static str, String)> {
    let certificates = &vectors()["platform_certificates"];
    let (serial, key) = match by {
        By::PublicKey => (vector("public_key_id"), vector("platform_private_key")),
        By::Certificate(at) => {
            (certificates[at]["serial_no"].as_str().unwrap(), certificates[at]["private_key"].as_str().unwrap())
        }
        By::Impostor => (certificates[0]["serial_no"].as_str().unwrap(), vector("platform_private_key")),
    };
    let key = KeyPair::from_pkcs8(&der(key)).unwrap();
    let mut signature = vec![0; key.public_modulus_len()];
    let text = format!("{timestamp}\nnonce\n{body}\n");
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature).unwrap();
    vec![
        ("Wechatpay-Timestamp", timestamp.to_string()),
        ("Wechatpay-Nonce", "nonce".to_owned()),
        ("Wechatpay-Signature", STANDARD.encode(signature)),
        ("Wechatpay-Serial", serial.to_owned()),
    ]
}

fn answer(stream: &mut TcpStream, reply: Reply, now: i64) {
    let (status, body, headers) = match reply {
        Reply::Signed(by, status, body) => (status, body.clone(), signed(by, &body, now)),
        Reply::SignedAt(away, status, body) => (status, body.clone(), signed(By::PublicKey, &body, now + away)),
        Reply::Changed(status, body) => (status, format!("{body} "), signed(By::PublicKey, &body, now)),
        Reply::Probe(status, body) => {
            let mut headers = signed(By::PublicKey, &body, now);
            headers[2].1.insert_str(0, "WECHATPAY/SIGNTEST/");
            (status, body, headers)
        }
        Reply::Unsigned(status, body) => (status, body, Vec::new()),
        Reply::Hang => return thread::sleep(Duration::from_secs(20)),
        Reply::Drip => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
            while stream.write_all(b" ").is_ok() {
                thread::sleep(Duration::from_millis(50));
            }
            return;
        }
        Reply::Reset => return,
    };
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = if status == 204 { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    let _ = write!(stream, "HTTP/1.1 {status} Status\r\nConnection: close\r\n{length}{headers}\r\n{body}");
}
