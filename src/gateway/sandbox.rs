//! The sandbox's side of a merchant: signs what it asks, and believes only what the provider has signed.
//!
//! Contract: it knows of the provider (the module `sandbox`) what a merchant knows of one: where it answers, in what form, and its public
//! key. Both sides make their keys of the service's secret, so that nobody has to set any.
//!
//! A request is signed over method, path with query, time, a random number and body, each with a line's end; an answer over its status,
//! its time, the random number of the request and its body; a notice over its time, its random number and its body.

use aws_lc_rs::hkdf;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use uuid::Uuid;

use super::client::{Client, Request, Response};
use super::{
    Answer, Charge, Checkout, Envelope, Gateway, GatewayError, Notice, NoticeError, Opening, Receipt, RefundStanding,
    Refunding, Says, Standing,
};
use crate::clock::Clock;
use crate::domain::MerchantId;
use crate::domain::money::Money;
use crate::domain::payment::{Channel, PaymentNumber};

const MERCHANT: &str = "sandbox-merchant";
const TIMESTAMP: &str = "sandbox-timestamp";
const NONCE: &str = "sandbox-nonce";
const SIGNATURE: &str = "sandbox-signature";
const CURRENCY: &str = "CNY";
/// How old, or how far ahead of our clock, an answer or a notice may be, in seconds.
const WINDOW_SECONDS: u64 = 300;

struct Sandbox {
    merchant: MerchantId,
    notify_url: String,
    base: String,
    client: Client,
    clock: Clock,
    ours: Ed25519KeyPair,
    /// The provider's public key.
    theirs: Vec<u8>,
}

/// For every merchant, where the sandbox is switched on.
pub(super) fn open(opening: Opening<'_>) -> Result<Box<dyn Gateway>, String> {
    Ok(Box::new(Sandbox {
        ours: key_pair(opening.secret, &format!("merchant {}", opening.merchant))?,
        theirs: key_pair(opening.secret, "provider")?.public_key().as_ref().to_vec(),
        merchant: opening.merchant,
        notify_url: opening.notify_url,
        base: opening.public_url.to_owned(),
        client: opening.client,
        clock: opening.clock,
    }))
}

fn key_pair(secret: &[u8], whose: &str) -> Result<Ed25519KeyPair, String> {
    let mut seed = [0; 32];
    hkdf::Salt::new(hkdf::HKDF_SHA256, b"rowlock sandbox")
        .extract(secret)
        .expand(&[whose.as_bytes()], hkdf::HKDF_SHA256)
        .and_then(|key| key.fill(&mut seed))
        .map_err(|_| "no key can be made of the service's secret".to_owned())?;
    Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|error| error.to_string())
}

/// What a payment looks like there.
#[derive(Deserialize)]
struct PaymentAnswer {
    number: String,
    state: String,
    currency: String,
    transaction: Option<String>,
    amount: Option<Money>,
}

/// What a refund looks like there.
#[derive(Deserialize)]
struct RefundAnswer {
    number: String,
    state: String,
}

#[derive(Deserialize)]
struct CreateAnswer {
    number: String,
    url: String,
}

#[derive(Deserialize)]
struct CloseAnswer {
    number: String,
}

#[derive(Deserialize)]
struct RefusalAnswer {
    code: String,
    message: String,
}

#[derive(Deserialize)]
struct NoticeBody {
    id: String,
    event: String,
    merchant: MerchantId,
    currency: String,
    number: String,
    transaction: Option<String>,
    amount: Option<Money>,
}

impl Sandbox {
    /// Asks, and returns a verified answer that is no refusal.
    fn ask<T: DeserializeOwned>(&self, method: Method, path: &str, body: Option<Value>) -> Result<T, GatewayError> {
        let body = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
        let timestamp = self.clock.now().timestamp().to_string();
        let nonce = Uuid::new_v4().simple().to_string();
        let signed = [method.as_str().as_bytes(), path.as_bytes(), timestamp.as_bytes(), nonce.as_bytes(), &body];
        let signature = STANDARD.encode(self.ours.sign(&lines(&signed)));
        let headers = vec![
            ("content-type", "application/json".to_owned()),
            (MERCHANT, self.merchant.to_string()),
            (TIMESTAMP, timestamp),
            (NONCE, nonce.clone()),
            (SIGNATURE, signature),
        ];
        let response = self.client.send(Request { method, url: format!("{}{path}", self.base), headers, body })?;
        self.verify(&response, &nonce).map_err(|why| GatewayError::Unclear(format!("{}: {why}", response.status)))?;
        match response.status {
            200 => serde_json::from_slice(&response.body).map_err(|error| GatewayError::Unclear(error.to_string())),
            429 => Err(GatewayError::Busy),
            status if status >= 500 => Err(GatewayError::Unclear(format!("answered {status}"))),
            status => match serde_json::from_slice::<RefusalAnswer>(&response.body) {
                Ok(RefusalAnswer { code, message }) => Err(GatewayError::Refused { code, message }),
                Err(_) => Err(GatewayError::Unclear(format!("answered {status}"))),
            },
        }
    }

    fn verify(&self, response: &Response, nonce: &str) -> Result<(), &'static str> {
        let status = response.status.to_string();
        let timestamp = response.header(TIMESTAMP).unwrap_or_default();
        let signed = lines(&[status.as_bytes(), timestamp.as_bytes(), nonce.as_bytes(), &response.body]);
        self.verify_text(timestamp, response.header(SIGNATURE).unwrap_or_default(), &signed)
    }

    fn verify_text(&self, timestamp: &str, signature: &str, signed: &[u8]) -> Result<(), &'static str> {
        let seconds: i64 = timestamp.parse().map_err(|_| "there is no time")?;
        let signature = STANDARD.decode(signature).map_err(|_| "there is no signature")?;
        let key = UnparsedPublicKey::new(&ED25519, &self.theirs);
        key.verify(signed, &signature).map_err(|_| "the signature is not the provider's")?;
        let is_fresh = self.clock.now().timestamp().abs_diff(seconds) <= WINDOW_SECONDS;
        if is_fresh { Ok(()) } else { Err("it is too old, or a clock is wrong") }
    }
}

fn lines(parts: &[&[u8]]) -> Vec<u8> {
    parts.iter().flat_map(|part| [*part, b"\n"]).flatten().copied().collect()
}

/// An answer to one question must not pass for the answer to another.
fn about(number: &str, asked: &str) -> Result<(), GatewayError> {
    match number == asked {
        true => Ok(()),
        false => Err(GatewayError::Unclear("the answer is about something else".to_owned())),
    }
}

fn refund_standing(state: &str) -> Option<RefundStanding> {
    Some(match state {
        "processing" => RefundStanding::Processing,
        "succeeded" => RefundStanding::Succeeded,
        "failed" => RefundStanding::Failed,
        "abnormal" => RefundStanding::Abnormal,
        _ => return None,
    })
}

impl RefundAnswer {
    fn standing(&self, asked: &str) -> Result<RefundStanding, GatewayError> {
        about(&self.number, asked)?;
        let unknown = || GatewayError::Unclear(format!("unknown state {:?} of a refund", self.state));
        refund_standing(&self.state).ok_or_else(unknown)
    }
}

impl Gateway for Sandbox {
    fn channels(&self) -> &'static [Channel] {
        &[Channel::Page, Channel::Wap, Channel::MiniProgram, Channel::Qr]
    }

    fn create(&self, charge: &Charge<'_>) -> Result<Checkout, GatewayError> {
        let number = charge.number.to_string();
        let body = json!({
            "number": number,
            "amount": charge.amount,
            "currency": CURRENCY,
            "description": charge.description,
            "channel": charge.channel.name(),
            "payer": charge.payer,
            "expires_at": charge.expires_at,
            "notify_url": self.notify_url,
        });
        let created: CreateAnswer = self.ask(Method::POST, "/sandbox/v1/payments", Some(body))?;
        about(&created.number, &number)?;
        Ok(match charge.channel {
            Channel::Qr => Checkout::Qr { code: created.url },
            Channel::MiniProgram | Channel::Page | Channel::Wap => Checkout::Redirect { url: created.url },
        })
    }

    fn query(&self, number: PaymentNumber) -> Result<Standing, GatewayError> {
        let number = number.to_string();
        let payment: PaymentAnswer = match self.ask(Method::GET, &format!("/sandbox/v1/payments/{number}"), None) {
            Err(GatewayError::Refused { code, .. }) if code == "ORDER_NOT_EXIST" => return Ok(Standing::Unknown),
            answer => answer?,
        };
        about(&payment.number, &number)?;
        match (payment.state.as_str(), payment.transaction, payment.amount) {
            ("open", ..) => Ok(Standing::Open),
            ("paying", ..) => Ok(Standing::Paying),
            ("closed", ..) => Ok(Standing::Closed),
            ("paid", Some(transaction), Some(amount)) if payment.currency == CURRENCY => {
                Ok(Standing::Paid(Receipt { transaction, amount }))
            }
            (state, ..) => Err(GatewayError::Unclear(format!("a payment is {state:?} in {:?}", payment.currency))),
        }
    }

    fn close(&self, number: PaymentNumber) -> Result<(), GatewayError> {
        let number = number.to_string();
        let path = format!("/sandbox/v1/payments/{number}/close");
        match self.ask::<CloseAnswer>(Method::POST, &path, None) {
            // Closed by an earlier call, or by its own deadline.
            Err(GatewayError::Refused { code, .. }) if code == "ORDERCLOSED" => Ok(()),
            answer => about(&answer?.number, &number),
        }
    }

    fn refund(&self, refund: &Refunding<'_>) -> Result<RefundStanding, GatewayError> {
        let number = refund.number.to_string();
        let body = json!({
            "number": number,
            "payment": refund.payment.to_string(),
            "transaction": refund.transaction,
            "amount": refund.amount,
            "paid": refund.paid,
            "currency": CURRENCY,
            "reason": refund.reason,
            "notify_url": self.notify_url,
        });
        self.ask::<RefundAnswer>(Method::POST, "/sandbox/v1/refunds", Some(body))?.standing(&number)
    }

    fn query_refund(&self, refund: &Refunding<'_>) -> Result<RefundStanding, GatewayError> {
        let number = refund.number.to_string();
        match self.ask::<RefundAnswer>(Method::GET, &format!("/sandbox/v1/refunds/{number}"), None) {
            Err(GatewayError::Refused { code, .. }) if code == "RESOURCE_NOT_EXISTS" => Ok(RefundStanding::Unknown),
            answer => answer?.standing(&number),
        }
    }

    fn read_notice(&self, envelope: &Envelope<'_>) -> Result<Notice, NoticeError> {
        let header = |name| (envelope.header)(name).unwrap_or_default();
        let timestamp = header(TIMESTAMP);
        let signed = lines(&[timestamp.as_bytes(), header(NONCE).as_bytes(), envelope.body]);
        self.verify_text(timestamp, header(SIGNATURE), &signed).map_err(NoticeError::Unverified)?;
        let body: NoticeBody =
            serde_json::from_slice(envelope.body).map_err(|error| NoticeError::Strange(error.to_string()))?;
        if body.merchant != self.merchant {
            return Err(NoticeError::NotOurs("another merchant"));
        }
        if body.currency != CURRENCY {
            return Err(NoticeError::NotOurs("another currency"));
        }
        let says = match (body.event.split_once('.'), body.transaction, body.amount) {
            (Some(("payment", "paid")), Some(transaction), Some(amount)) => {
                Says::Paid { number: body.number, receipt: Receipt { transaction, amount } }
            }
            (Some(("refund", state)), ..) => match refund_standing(state) {
                Some(standing) => Says::Refund { number: body.number, standing },
                None => return Err(NoticeError::Strange(format!("unknown event {:?}", body.event))),
            },
            _ => return Err(NoticeError::Strange(format!("unknown event {:?}", body.event))),
        };
        Ok(Notice { id: body.id, says })
    }

    fn answer(&self, is_taken: bool) -> Answer {
        let (status, body) = if is_taken { (200, r#"{"code":"SUCCESS"}"#) } else { (401, r#"{"code":"FAIL"}"#) };
        Answer { status, content_type: "application/json", body: body.to_owned() }
    }
}
