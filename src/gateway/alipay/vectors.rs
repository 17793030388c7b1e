//! What another implementation has made: `tests/vectors/alipay.json`. For tests.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::Url;
use serde::Deserialize;
use serde_json::Value;

use super::credentials::{Account, CertificateNumbers};
use super::sign::{SigningKey, VerifyingKey};

#[derive(Deserialize)]
pub(super) struct Vectors {
    pub(super) app: Keys,
    pub(super) alipay: Keys,
    pub(super) weak: Keys,
    pub(super) certificates: BTreeMap<String, Certificate>,
    pub(super) app_id: String,
    pub(super) seller_id: String,
    pub(super) number: String,
    pub(super) requests: Vec<Request>,
    pub(super) notices: Vec<Notice>,
    pub(super) responses: Vec<Response>,
}

/// DER in base64.
#[derive(Deserialize)]
pub(super) struct Keys {
    pub(super) pkcs8: String,
    pub(super) pkcs1: String,
    pub(super) public: String,
}

#[derive(Deserialize)]
pub(super) struct Certificate {
    pub(super) pem: String,
    pub(super) sn: String,
}

#[derive(Deserialize)]
pub(super) struct Request {
    pub(super) parameters: BTreeMap<String, String>,
    pub(super) canonical: String,
    pub(super) sign: String,
}

#[derive(Deserialize)]
pub(super) struct Notice {
    pub(super) name: String,
    pub(super) body: String,
    pub(super) says: Value,
}

#[derive(Deserialize)]
pub(super) struct Response {
    pub(super) name: String,
    pub(super) body: String,
    pub(super) signed: Option<String>,
}

impl Vectors {
    pub(super) fn read() -> Self {
        serde_json::from_str(include_str!("../../../tests/vectors/alipay.json")).expect("the vectors are complete")
    }

    /// The account they are for.
    pub(super) fn account(&self, has_certificates: bool) -> Account {
        let sn = |name: &str| self.certificates[name].sn.clone();
        let numbers = || CertificateNumbers { app: sn("app"), root: sn("root"), alipay: sn("alipay") };
        Account {
            app_id: self.app_id.clone(),
            seller_id: self.seller_id.clone(),
            key: SigningKey::from_der(&der(&self.app.pkcs8)).expect("a key"),
            alipay_key: VerifyingKey::from_der(&der(&self.alipay.public)).expect("a key"),
            certificates: has_certificates.then(numbers),
            base_url: Url::parse("https://alipay.example/gateway.do").expect("an address"),
        }
    }
}

pub(super) fn der(base64: &str) -> Vec<u8> {
    STANDARD.decode(base64).expect("base64")
}
