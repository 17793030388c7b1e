//! What the provider does when it is asked: by a merchant who signs, or by the customer who presses a button.
//!
//! Contract: everything here blocks for a moment, on the book's lock and on the disk; nothing panics over what it is sent.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::book::{Book, Payment, PaymentState, RefundState, RefundTerms, Terms};
use super::journal::Journal;
use super::keys::Keys;
use super::notify::Outgoing;
use super::refusal::Refusal;
use super::switches::{Call, SwitchBoard, Switches};
use crate::clock::Clock;
use crate::domain::MerchantId;
use crate::domain::money::Money;

const CURRENCY: &str = "CNY";
/// How old, or how far ahead of our clock, a request may be, in seconds.
const WINDOW_SECONDS: u64 = 300;

/// The provider.
pub(super) struct Provider {
    pub(super) clock: Clock,
    pub(super) keys: Arc<Keys>,
    pub(super) public_url: String,
    pub(super) notices: mpsc::Sender<Outgoing>,
    pub(super) desk: Mutex<Desk>,
}

/// What is changed together.
pub(super) struct Desk {
    pub(super) book: Book,
    pub(super) switches: SwitchBoard,
    /// None: the book is kept in memory only.
    pub(super) journal: Option<Journal>,
}

/// A request of a merchant, as it came.
pub(super) struct Asked {
    pub(super) call: Call,
    /// The number in the path, where there is one.
    pub(super) number: String,
    pub(super) method: String,
    /// With the query.
    pub(super) path: String,
    pub(super) merchant: String,
    pub(super) timestamp: String,
    pub(super) nonce: String,
    pub(super) signature: String,
    pub(super) body: Vec<u8>,
}

/// The answer, signed.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) timestamp: String,
    pub(super) signature: String,
    pub(super) body: Vec<u8>,
    /// It comes too late.
    pub(super) hangs: bool,
}

/// What the customer does.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Press {
    /// Pays.
    Pay,
    /// Begins to type the password.
    Type,
    /// Stops typing.
    Cancel,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CreateBody {
    number: String,
    amount: Money,
    currency: String,
    description: String,
    channel: String,
    payer: Option<String>,
    expires_at: DateTime<Utc>,
    notify_url: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RefundBody {
    number: String,
    payment: String,
    transaction: String,
    amount: Money,
    paid: Money,
    currency: String,
    reason: String,
    notify_url: String,
}

/// What came of a call, and the payment it was about, if that is known.
type Outcome = (Option<String>, Result<Value, Refusal>);

impl Provider {
    pub(super) fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers a merchant. Whoever is not one is told no more than that.
    pub(super) fn answer(&self, asked: &Asked) -> Reply {
        let mut hangs = false;
        let result = match self.sender(asked) {
            None => Err(Refusal::SIGN_ERROR),
            Some(merchant) => {
                let mut desk = self.desk();
                let (payment, result) = self.act(&mut desk, merchant, asked);
                let switches = desk.switches.of(payment.as_deref());
                hangs = switches.hang_after.contains(&asked.call);
                if switches.fail_after.contains(&asked.call) { Err(Refusal::SYSTEM_ERROR) } else { result }
            }
        };
        let (status, body) = match result {
            Ok(body) => (200, body),
            Err(Refusal { status, code, message }) => (status, json!({ "code": code, "message": message })),
        };
        let body = body.to_string().into_bytes();
        let timestamp = self.clock.now().timestamp().to_string();
        let parts = [status.to_string().into_bytes(), timestamp.clone().into_bytes(), asked.nonce.clone().into_bytes()];
        let signature = self.keys.sign(&[&parts[0], &parts[1], &parts[2], &body]);
        Reply { status, timestamp, signature, body, hangs }
    }

    /// Who has signed that, within the time.
    fn sender(&self, asked: &Asked) -> Option<MerchantId> {
        let merchant = MerchantId(asked.merchant.parse().ok()?);
        let seconds: i64 = asked.timestamp.parse().ok()?;
        let texts = [&asked.method, &asked.path, &asked.timestamp, &asked.nonce].map(String::as_bytes);
        let parts = [texts[0], texts[1], texts[2], texts[3], &asked.body];
        let is_fresh = self.clock.now().timestamp().abs_diff(seconds) <= WINDOW_SECONDS;
        (is_fresh && self.keys.is_of(merchant, &asked.signature, &parts)).then_some(merchant)
    }

    fn act(&self, desk: &mut Desk, merchant: MerchantId, asked: &Asked) -> Outcome {
        match asked.call {
            Call::Create => self.create(desk, merchant, &asked.body),
            Call::Query => {
                let found = desk.book.payment_of(merchant, &asked.number);
                (Some(asked.number.clone()), found.map(|payment| view(payment, self.clock.now())))
            }
            Call::Close => {
                let closed = desk.book.close(merchant, &asked.number, self.clock.now());
                let closed = closed.and_then(|()| desk.write_down(&asked.number));
                (Some(asked.number.clone()), closed.map(|()| json!({ "number": asked.number })))
            }
            Call::Refund => self.refund(desk, merchant, &asked.body),
            Call::QueryRefund => self.query_refund(desk, merchant, &asked.number),
        }
    }

    fn create(&self, desk: &mut Desk, merchant: MerchantId, body: &[u8]) -> Outcome {
        let body: CreateBody = match parse(body) {
            Ok(body) => body,
            Err(refusal) => return (None, Err(refusal)),
        };
        let number = body.number;
        let terms = Terms {
            merchant,
            number: number.clone(),
            amount: body.amount,
            description: body.description,
            channel: body.channel,
            payer: body.payer,
            notify_url: body.notify_url,
            expires_at: body.expires_at,
        };
        let announced = match body.currency.as_str() {
            CURRENCY => desk.book.announce(terms, self.clock.now()).and_then(|()| desk.write_down(&number)),
            _ => Err(Refusal::bad("currency: CNY")),
        };
        let url = format!("{}/sandbox/pay/{number}", self.public_url);
        let answer = announced.map(|()| json!({ "number": number, "url": url }));
        (Some(number), answer)
    }

    fn refund(&self, desk: &mut Desk, merchant: MerchantId, body: &[u8]) -> Outcome {
        let body: RefundBody = match parse::<RefundBody>(body) {
            Ok(body) if body.currency == CURRENCY => body,
            Ok(_) => return (None, Err(Refusal::bad("currency: CNY"))),
            Err(refusal) => return (None, Err(refusal)),
        };
        let (payment, number) = (body.payment, body.number);
        let terms = RefundTerms {
            number: number.clone(),
            transaction: body.transaction,
            amount: body.amount,
            paid: body.paid,
            reason: body.reason,
            notify_url: body.notify_url,
        };
        let fate = desk.switches.of(Some(&payment)).fate();
        let taken = desk.book.refund(merchant, &payment, terms, fate, self.clock.now());
        let answer = taken.and_then(|()| {
            desk.write_down(&payment)?;
            // The answer says what was so when the question came; what follows at once is told by the notice.
            let (_, refund) = desk.book.find_refund(&number)?;
            let answer = json!({ "number": number, "state": refund.state });
            self.bring_due(desk, &number)?;
            Ok(answer)
        });
        (Some(payment), answer)
    }

    fn query_refund(&self, desk: &mut Desk, merchant: MerchantId, number: &str) -> Outcome {
        let payment = match desk.book.refund_of(merchant, number) {
            Ok((payment, _)) => payment.terms.number.clone(),
            Err(refusal) => return (None, Err(refusal)),
        };
        let answer = desk.book.count_ask(number, self.clock.now()).and_then(|()| {
            self.bring_due(desk, number)?;
            let (_, refund) = desk.book.find_refund(number)?;
            Ok(json!({ "number": number, "state": refund.state }))
        });
        (Some(payment), answer)
    }

    /// Brings a refund to its fate if its time has come, and tells the merchant.
    fn bring_due(&self, desk: &mut Desk, number: &str) -> Result<(), Refusal> {
        let has_come = desk.book.come_due(number, self.clock.now())?;
        if has_come { self.tell_of_refund(desk, number) } else { Ok(()) }
    }

    fn tell_of_refund(&self, desk: &mut Desk, number: &str) -> Result<(), Refusal> {
        let (payment, refund) = desk.book.find_refund(number)?;
        let (payment, refund) = (payment.clone(), refund.clone());
        desk.write_down(&payment.terms.number)?;
        let says = |id: String, state: RefundState| {
            json!({
                "id": id,
                "event": format!("refund.{}", state.name()),
                "merchant": payment.terms.merchant,
                "currency": CURRENCY,
                "number": number,
                "payment": payment.terms.number,
                "transaction": refund.terms.transaction,
                "amount": refund.terms.amount,
            })
        };
        let other = if refund.state == RefundState::Failed { RefundState::Succeeded } else { RefundState::Failed };
        let right = says(format!("{number}-{}", refund.state.name()), refund.state);
        let switches = desk.switches.of(Some(&payment.terms.number));
        self.tell(&refund.terms.notify_url, &right, &says(format!("{number}-forged"), other), switches);
        Ok(())
    }

    /// The customer presses a button, or a test does it for them.
    pub(super) fn press(&self, number: &str, press: Press) -> Result<Value, Refusal> {
        let mut desk = self.desk();
        let now = self.clock.now();
        match press {
            Press::Pay => {
                let switches = desk.switches.of(Some(number)).clone();
                let came_in = desk.book.pay(number, switches.manner(), now)?;
                let terms = desk.book.payment(number)?.terms.clone();
                for transaction in came_in {
                    let says = |id: String, name: &str| {
                        json!({
                            "id": id,
                            "event": "payment.paid",
                            "merchant": terms.merchant,
                            "currency": CURRENCY,
                            "number": number,
                            "transaction": name,
                            "amount": transaction.amount,
                        })
                    };
                    let right = says(format!("{}-paid", transaction.id), &transaction.id);
                    let forged = says(format!("{}-forged", transaction.id), &format!("FORGED{}", transaction.id));
                    self.tell(&terms.notify_url, &right, &forged, &switches);
                }
            }
            Press::Type => desk.book.begin_typing(number, now)?,
            Press::Cancel => desk.book.stop_typing(number)?,
        }
        desk.write_down(number)?;
        Ok(view(desk.book.payment(number)?, now))
    }

    /// Somebody at the provider settles a refund that is stuck.
    pub(super) fn settle(&self, number: &str, succeeds: bool) -> Result<Value, Refusal> {
        let mut desk = self.desk();
        desk.book.settle(number, succeeds, self.clock.now())?;
        self.tell_of_refund(&mut desk, number)?;
        let (_, refund) = desk.book.find_refund(number)?;
        Ok(json!({ "number": number, "state": refund.state }))
    }

    fn tell(&self, url: &str, right: &Value, forged: &Value, switches: &Switches) {
        if switches.never_call {
            return;
        }
        let notice = Outgoing {
            url: url.to_owned(),
            body: right.to_string().into_bytes(),
            forged: switches.forge.then(|| forged.to_string().into_bytes()),
            copies: if switches.repeat { 10 } else { 1 },
            delay: TimeDelta::seconds(switches.delay_s.into()),
            is_held: switches.reorder,
        };
        if self.notices.try_send(notice).is_err() {
            log::warn!("The sandbox has too many notices to send, and drops one to {url}");
        }
    }
}

impl Desk {
    /// Writes down how a payment stands. What cannot be written down was done all the same.
    fn write_down(&mut self, number: &str) -> Result<(), Refusal> {
        let payment = self.book.payment(number)?;
        if let Some(journal) = &mut self.journal
            && let Err(error) = journal.write(&self.book, payment)
        {
            log::warn!("Cannot write the sandbox's journal: {error}");
        }
        Ok(())
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|_| Refusal::bad("the body is not as it should be"))
}

/// A payment as merchants see it. Of one that was paid twice, they see what came in first.
fn view(payment: &Payment, now: DateTime<Utc>) -> Value {
    let state: PaymentState = payment.state(now);
    let first = payment.transactions.first();
    json!({
        "number": payment.terms.number,
        "state": state,
        "currency": CURRENCY,
        "transaction": first.map(|transaction| &transaction.id),
        "amount": first.map_or(payment.terms.amount, |transaction| transaction.amount),
        "paid_at": first.map(|transaction| transaction.paid_at),
    })
}
