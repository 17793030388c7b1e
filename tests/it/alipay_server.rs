//! An Alipay of our own: it verifies what it is sent, and signs what it says with the key of the vectors.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::Url;
use rowlock::clock::Clock;
use rowlock::config::Config;
use rowlock::domain::MerchantId;
use rowlock::domain::order::PayMethod;
use rowlock::gateway::{Gateway, Gateways};
use rowlock::metrics::Metrics;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::noon;

pub(crate) fn vectors() -> Value {
    serde_json::from_str(include_str!("../vectors/alipay.json")).unwrap()
}

pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn sign(key: &str, content: &str) -> String {
    let key = KeyPair::from_pkcs8(&STANDARD.decode(text(&vectors()[key]["pkcs8"])).unwrap()).unwrap();
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), content.as_bytes(), &mut signature).unwrap();
    STANDARD.encode(signature)
}

/// Checks that parameters are complete and signed by the application, and returns them.
pub(crate) fn accept(pairs: impl Iterator<Item = (String, String)>) -> BTreeMap<String, String> {
    let mut parameters: BTreeMap<String, String> = pairs.collect();
    let sign = parameters.remove("sign").unwrap();
    let canonical: Vec<String> = parameters.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let public = STANDARD.decode(text(&vectors()["app"]["public"])).unwrap();
    let signature = STANDARD.decode(sign).unwrap();
    let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public);
    key.verify(canonical.join("&").as_bytes(), &signature).unwrap();
    for (name, value) in
        [("charset", "utf-8"), ("sign_type", "RSA2"), ("version", "1.0"), ("app_id", "2021000000000001")]
    {
        assert_eq!(parameters[name], value);
    }
    parameters
}

/// How our Alipay answers.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// Signed as it should be.
    Good(Value),
    /// Signed by somebody else.
    Forged(Value),
    /// Not signed.
    Unsigned(Value),
    /// As an error of the door, signed.
    Error(Value),
    /// Any body, with any status.
    Raw(u16, &'static str),
    /// Half an answer.
    Half,
    /// Not at all, as long as anybody waits.
    Hang,
}

/// An Alipay that answers as it is told, one request after the other.
pub(crate) struct Alipay {
    pub(crate) url: String,
    pub(crate) received: Arc<Mutex<Vec<BTreeMap<String, String>>>>,
}

impl Alipay {
    pub(crate) fn start(replies: &[Reply]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/gateway.do", listener.local_addr().unwrap());
        let received: Arc<Mutex<Vec<BTreeMap<String, String>>>> = Arc::default();
        let (log, mut replies) = (Arc::clone(&received), VecDeque::from(replies.to_vec()));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let parameters = accept(read(&stream).into_iter());
                let member = format!("{}_response", parameters["method"].replace('.', "_"));
                log.lock().unwrap().push(parameters);
                let reply = replies.pop_front().unwrap();
                std::thread::spawn(move || answer(&mut stream, &member, &reply));
            }
        });
        Self { url, received }
    }

    /// What the one request was, and its content.
    pub(crate) fn only(&self) -> (BTreeMap<String, String>, Value) {
        let received = self.received.lock().unwrap();
        assert_eq!(received.len(), 1);
        let content = serde_json::from_str(&received[0]["biz_content"]).unwrap();
        (received[0].clone(), content)
    }
}

fn read(stream: &TcpStream) -> Vec<(String, String)> {
    let mut lines = BufReader::new(stream);
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    let path = line.strip_prefix("POST /gateway.do?").unwrap().strip_suffix(" HTTP/1.1\r\n").unwrap().to_owned();
    let mut length = 0;
    loop {
        line.clear();
        lines.read_line(&mut line).unwrap();
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        match name.to_lowercase().as_str() {
            "content-length" => length = value.parse().unwrap(),
            "content-type" => assert_eq!(value, "application/x-www-form-urlencoded;charset=utf-8"),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    lines.read_exact(&mut body).unwrap();
    let form = format!("http://form/?{path}&{}", String::from_utf8(body).unwrap());
    Url::parse(&form).unwrap().query_pairs().into_owned().collect()
}

fn answer(stream: &mut TcpStream, member: &str, reply: &Reply) {
    let signed = |member: &str, value: &Value, key: &str| {
        json!({ "sign": sign(key, &value.to_string()), member: value }).to_string()
    };
    let (status, body) = match reply {
        Reply::Good(value) => (200, signed(member, value, "alipay")),
        Reply::Forged(value) => (200, signed(member, value, "stranger")),
        Reply::Unsigned(value) => (200, json!({ member: value }).to_string()),
        Reply::Error(value) => (200, signed("error_response", value, "alipay")),
        Reply::Raw(status, body) => (*status, (*body).to_owned()),
        Reply::Half => {
            let _ = write!(stream, "HTTP/1.1 200 X\r\nContent-Length: 100\r\n\r\n{{");
            return;
        }
        Reply::Hang => {
            let _ = stream.read(&mut [0]);
            return;
        }
    };
    let _ = write!(stream, "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
}

/// A folder with a file of credentials, and what is made of it.
pub(crate) struct Opened {
    pub(crate) gateway: Arc<dyn Gateway>,
    pub(crate) metrics: Arc<Metrics>,
    /// Goes with the value.
    _dir: TempDir,
}

pub(crate) fn pem(label: &str, base64: &str) -> String {
    format!("-----BEGIN {label}-----\n{base64}\n-----END {label}-----\n")
}

/// Writes the files that credentials may name, and opens what `credentials` says.
pub(crate) fn try_open(credentials: &str) -> Result<Opened, String> {
    let (dir, vectors) = (tempfile::tempdir().unwrap(), vectors());
    let keys = |name: &str, form: &str| text(&vectors[name][form]).to_owned();
    for (name, content) in [
        ("app.pem", pem("PRIVATE KEY", &keys("app", "pkcs8"))),
        ("app-1.pem", pem("RSA PRIVATE KEY", &keys("app", "pkcs1"))),
        ("app.txt", keys("app", "pkcs8")),
        ("weak.pem", pem("PRIVATE KEY", &keys("weak", "pkcs8"))),
        ("alipay.pem", pem("PUBLIC KEY", &keys("alipay", "public"))),
        ("own.pem", pem("PUBLIC KEY", &keys("app", "public"))),
        ("app.crt", text(&vectors["certificates"]["app"]["pem"]).to_owned()),
        ("alipay.crt", text(&vectors["certificates"]["alipay"]["pem"]).to_owned()),
        ("root.crt", text(&vectors["certificates"]["root"]["pem"]).to_owned()),
        ("gateways.toml", format!("[alipay.1]\n{credentials}")),
    ] {
        fs::write(dir.path().join(name), content).unwrap();
    }
    let file = dir.path().join("gateways.toml");
    let config = Config::from_parts(&format!("[gateways]\nfile = {file:?}\ntimeout_ms = 1500\n"), []).unwrap();
    let metrics = Arc::new(Metrics::default());
    let (url, clock) = ("https://shop.example".to_owned(), Clock::at(noon()));
    let gateways = Gateways::open(&config.gateways, url, b"secret", clock, Arc::clone(&metrics))?;
    let gateway = gateways.get(MerchantId(1), PayMethod::Alipay).unwrap();
    Ok(Opened { gateway, metrics, _dir: dir })
}
