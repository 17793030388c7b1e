//! The provider's book: which payments there are, what came in under them, and what went back.
//!
//! Contract: everything is idempotent by its number, and refused as WeChat Pay's API v3 refuses it
//! (<https://pay.weixin.qq.com/doc/v3/merchant/4012556398>). No function here reads the clock. The book keeps a bounded number of payments,
//! and forgets those to which nothing can happen any more after [`KEPT`].

use std::collections::{HashMap, VecDeque};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::refusal::Refusal;
use crate::clock::uuid_at;
use crate::domain::MerchantId;
use crate::domain::money::Money;

/// How long a payment is kept after its deadline and after whatever happened to it last.
pub(super) const KEPT: TimeDelta = TimeDelta::days(7);
/// How long a customer types their password, unless they pay or give up before.
pub(super) const TYPING: TimeDelta = TimeDelta::seconds(10);
/// How long a payment may stay open.
const OPEN_MAX: TimeDelta = TimeDelta::days(7);
const PAYMENTS_MAX: usize = 50_000;
const REFUNDS_MAX: usize = 50;

/// Where a payment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum PaymentState {
    /// Can be paid.
    Open,
    /// The customer is typing their password.
    Paying,
    /// Money came in.
    Paid,
    /// Closed by the merchant, or by its deadline.
    Closed,
}

/// Where a refund stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum RefundState {
    /// On its way.
    Processing,
    /// The customer has it.
    Succeeded,
    /// Given up: the money is still here.
    Failed,
    /// Stuck until somebody settles it.
    Abnormal,
}

impl RefundState {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Processing => "processing",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Abnormal => "abnormal",
        }
    }
}

/// What a merchant announces: the same again is a repeat, anything else under the same number is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Terms {
    pub(super) merchant: MerchantId,
    pub(super) number: String,
    /// Yuan.
    pub(super) amount: Money,
    pub(super) description: String,
    pub(super) channel: String,
    pub(super) payer: Option<String>,
    pub(super) notify_url: String,
    pub(super) expires_at: DateTime<Utc>,
}

/// Money that came in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Transaction {
    pub(super) id: String,
    /// Yuan.
    pub(super) amount: Money,
    pub(super) paid_at: DateTime<Utc>,
}

/// What a merchant asks to send back: the same again is a repeat, anything else under the same number is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RefundTerms {
    pub(super) number: String,
    pub(super) transaction: String,
    /// Yuan.
    pub(super) amount: Money,
    /// Yuan that had come in.
    pub(super) paid: Money,
    pub(super) reason: String,
    pub(super) notify_url: String,
}

/// Money that goes back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Refund {
    #[serde(flatten)]
    pub(super) terms: RefundTerms,
    pub(super) state: RefundState,
    /// What becomes of it,
    fate: RefundState,
    /// after having been asked about this many times.
    asks_left: u32,
}

/// A payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Payment {
    #[serde(flatten)]
    pub(super) terms: Terms,
    pub(super) created_at: DateTime<Utc>,
    changed_at: DateTime<Utc>,
    typing_until: Option<DateTime<Utc>>,
    is_closed: bool,
    /// In the order they came in; two where it was paid twice.
    pub(super) transactions: Vec<Transaction>,
    pub(super) refunds: Vec<Refund>,
}

impl Payment {
    pub(super) fn state(&self, now: DateTime<Utc>) -> PaymentState {
        if !self.transactions.is_empty() {
            PaymentState::Paid
        } else if self.is_closed {
            PaymentState::Closed
        } else if self.typing_until.is_some_and(|until| now < until) {
            PaymentState::Paying
        } else if self.terms.expires_at <= now {
            PaymentState::Closed
        } else {
            PaymentState::Open
        }
    }

    fn is_over(&self, now: DateTime<Utc>) -> bool {
        self.changed_at.max(self.terms.expires_at) + KEPT < now
    }

    /// What of a transaction has not gone back and is not on its way.
    fn left(&self, transaction: &Transaction) -> Money {
        let of_it = |refund: &&Refund| refund.terms.transaction == transaction.id;
        let refunds = self.refunds.iter().filter(of_it).filter(|refund| refund.state != RefundState::Failed);
        transaction.amount.minus(refunds.map(|refund| refund.terms.amount).sum()).unwrap_or(Money::ZERO)
    }
}

/// How a payment is made.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Manner {
    /// Also where it is closed.
    pub(super) late: bool,
    /// Two transactions.
    pub(super) twice: bool,
    /// Another amount than was asked for.
    pub(super) amount: Option<Money>,
}

/// All payments.
#[derive(Default)]
pub(super) struct Book {
    payments: HashMap<String, Payment>,
    /// The payments' numbers, in the order they were announced.
    order: VecDeque<String>,
    /// Under which payment a refund stands.
    refunds: HashMap<String, String>,
}

impl Book {
    /// Puts a payment in as it was written down.
    pub(super) fn restore(&mut self, payment: Payment) {
        for refund in &payment.refunds {
            self.refunds.insert(refund.terms.number.clone(), payment.terms.number.clone());
        }
        let number = payment.terms.number.clone();
        if self.payments.insert(number.clone(), payment).is_none() {
            self.order.push_back(number);
        }
    }

    /// All payments, the oldest first.
    pub(super) fn all(&self) -> impl DoubleEndedIterator<Item = &Payment> {
        self.order.iter().filter_map(|number| self.payments.get(number))
    }

    /// A payment, whoever asks.
    pub(super) fn payment(&self, number: &str) -> Result<&Payment, Refusal> {
        self.payments.get(number).ok_or(Refusal::ORDER_NOT_EXIST)
    }

    /// A merchant's own payment.
    pub(super) fn payment_of(&self, merchant: MerchantId, number: &str) -> Result<&Payment, Refusal> {
        self.payment(number).ok().filter(|payment| payment.terms.merchant == merchant).ok_or(Refusal::ORDER_NOT_EXIST)
    }

    fn payment_mut(&mut self, number: &str) -> Result<&mut Payment, Refusal> {
        self.payments.get_mut(number).ok_or(Refusal::ORDER_NOT_EXIST)
    }

    /// Takes a payment on; the same again changes nothing.
    pub(super) fn announce(&mut self, terms: Terms, now: DateTime<Utc>) -> Result<(), Refusal> {
        if let Some(payment) = self.payments.get(&terms.number) {
            return match payment.state(now) {
                _ if payment.terms != terms => Err(Refusal::OUT_TRADE_NO_USED),
                PaymentState::Open | PaymentState::Paying => Ok(()),
                PaymentState::Paid => Err(Refusal::ORDERPAID),
                PaymentState::Closed => Err(Refusal::ORDERCLOSED),
            };
        }
        let is_named = |number: &str| {
            let fit = |byte: u8| byte.is_ascii_alphanumeric() || b"_-*|".contains(&byte);
            (6..=32).contains(&number.len()) && number.bytes().all(fit)
        };
        if !is_named(&terms.number) {
            return Err(Refusal::bad("number: 6 to 32 of 0-9 A-Z a-z _ - * |"));
        }
        if terms.amount == Money::ZERO {
            return Err(Refusal::bad("amount: at least 0.01"));
        }
        if !(1..=127).contains(&terms.description.chars().count()) {
            return Err(Refusal::bad("description: 1 to 127 characters"));
        }
        if !is_url(&terms.notify_url) {
            return Err(Refusal::bad("notify_url: http or https, and at most 255 bytes"));
        }
        if !(now..=now + OPEN_MAX).contains(&terms.expires_at) {
            return Err(Refusal::bad("expires_at: within the next 7 days"));
        }
        self.make_room(now)?;
        self.restore(Payment {
            terms,
            created_at: now,
            changed_at: now,
            typing_until: None,
            is_closed: false,
            transactions: Vec::new(),
            refunds: Vec::new(),
        });
        Ok(())
    }

    /// Forgets what is over, and, where the book is full, the oldest payment that can no longer be paid.
    fn make_room(&mut self, now: DateTime<Utc>) -> Result<(), Refusal> {
        while self.order.front().is_some_and(|number| self.payments[number].is_over(now)) {
            self.forget(0);
        }
        if self.order.len() >= PAYMENTS_MAX {
            let has_ended =
                |number: &String| matches!(self.payments[number].state(now), PaymentState::Paid | PaymentState::Closed);
            let oldest = self.order.iter().position(has_ended).ok_or(Refusal::FREQUENCY_LIMITED)?;
            self.forget(oldest);
        }
        Ok(())
    }

    fn forget(&mut self, place: usize) {
        let payment = self.order.remove(place).and_then(|number| self.payments.remove(&number));
        for refund in payment.into_iter().flat_map(|payment| payment.refunds) {
            self.refunds.remove(&refund.terms.number);
        }
    }

    /// Closes a merchant's payment.
    pub(super) fn close(&mut self, merchant: MerchantId, number: &str, now: DateTime<Utc>) -> Result<(), Refusal> {
        match self.payment_of(merchant, number)?.state(now) {
            PaymentState::Open => {}
            PaymentState::Paying => return Err(Refusal::USERPAYING),
            PaymentState::Paid => return Err(Refusal::ORDERPAID),
            PaymentState::Closed => return Err(Refusal::ORDERCLOSED),
        }
        let payment = self.payment_mut(number)?;
        (payment.is_closed, payment.changed_at) = (true, now);
        Ok(())
    }

    /// The customer begins to type their password.
    pub(super) fn begin_typing(&mut self, number: &str, now: DateTime<Utc>) -> Result<(), Refusal> {
        let payment = self.payment_mut(number)?;
        match payment.state(now) {
            PaymentState::Open | PaymentState::Paying => {}
            PaymentState::Paid => return Err(Refusal::ORDERPAID),
            PaymentState::Closed => return Err(Refusal::ORDERCLOSED),
        }
        (payment.typing_until, payment.changed_at) = (Some(now + TYPING), now);
        Ok(())
    }

    /// The customer gives up; the payment stays open.
    pub(super) fn stop_typing(&mut self, number: &str) -> Result<(), Refusal> {
        self.payment_mut(number)?.typing_until = None;
        Ok(())
    }

    /// The customer pays. Returns what came in.
    pub(super) fn pay(
        &mut self,
        number: &str,
        manner: Manner,
        now: DateTime<Utc>,
    ) -> Result<Vec<Transaction>, Refusal> {
        let payment = self.payment_mut(number)?;
        match payment.state(now) {
            PaymentState::Open | PaymentState::Paying => {}
            PaymentState::Closed if manner.late => {}
            PaymentState::Closed => return Err(Refusal::ORDERCLOSED),
            PaymentState::Paid => return Err(Refusal::ORDERPAID),
        }
        let amount = manner.amount.unwrap_or(payment.terms.amount);
        let times = if manner.twice { 2 } else { 1 };
        let transaction = || Transaction { id: format!("SBX{}", uuid_at(now).simple()), amount, paid_at: now };
        payment.transactions = std::iter::repeat_with(transaction).take(times).collect();
        payment.changed_at = now;
        Ok(payment.transactions.clone())
    }

    /// Takes a refund of a merchant's payment on; the same again changes nothing. It comes to `fate` after `asks` questions.
    pub(super) fn refund(
        &mut self,
        merchant: MerchantId,
        number: &str,
        terms: RefundTerms,
        (fate, asks): (RefundState, u32),
        now: DateTime<Utc>,
    ) -> Result<(), Refusal> {
        let payment = self.payment_of(merchant, number)?;
        if let Some(known) = self.refunds.get(&terms.number) {
            let is_repeat = known == number && payment.refunds.iter().any(|refund| refund.terms == terms);
            return if is_repeat { Ok(()) } else { Err(Refusal::INVALID_REQUEST) };
        }
        if payment.state(now) != PaymentState::Paid {
            return Err(Refusal::NOT_PAID);
        }
        if !(1..=64).contains(&terms.number.len()) || !is_url(&terms.notify_url) {
            return Err(Refusal::bad("number: 1 to 64 bytes; notify_url: http or https"));
        }
        let of_it = |transaction: &&Transaction| transaction.id == terms.transaction;
        let transaction = payment.transactions.iter().find(of_it).ok_or(Refusal::INVALID_REQUEST)?;
        if transaction.amount != terms.paid || terms.amount == Money::ZERO {
            return Err(Refusal::INVALID_REQUEST);
        }
        if terms.amount > payment.left(transaction) || payment.refunds.len() >= REFUNDS_MAX {
            return Err(Refusal::NOTHING_LEFT);
        }
        self.refunds.insert(terms.number.clone(), number.to_owned());
        let payment = self.payment_mut(number)?;
        payment.refunds.push(Refund { terms, state: RefundState::Processing, fate, asks_left: asks });
        payment.changed_at = now;
        Ok(())
    }

    /// A refund and its payment, whoever asks.
    pub(super) fn find_refund(&self, number: &str) -> Result<(&Payment, &Refund), Refusal> {
        let payment = self.refunds.get(number).and_then(|payment| self.payments.get(payment));
        let payment = payment.ok_or(Refusal::RESOURCE_NOT_EXISTS)?;
        let refund = payment.refunds.iter().find(|refund| refund.terms.number == number);
        Ok((payment, refund.ok_or(Refusal::RESOURCE_NOT_EXISTS)?))
    }

    /// A merchant's own refund.
    pub(super) fn refund_of(&self, merchant: MerchantId, number: &str) -> Result<(&Payment, &Refund), Refusal> {
        let found = self.find_refund(number).ok();
        found.filter(|(payment, _)| payment.terms.merchant == merchant).ok_or(Refusal::RESOURCE_NOT_EXISTS)
    }

    fn refund_mut(&mut self, number: &str, now: DateTime<Utc>) -> Result<&mut Refund, Refusal> {
        let payment = self.refunds.get(number).cloned().ok_or(Refusal::RESOURCE_NOT_EXISTS)?;
        let payment = self.payment_mut(&payment)?;
        payment.changed_at = now;
        let refund = payment.refunds.iter_mut().find(|refund| refund.terms.number == number);
        refund.ok_or(Refusal::RESOURCE_NOT_EXISTS)
    }

    /// Somebody asked about a refund, and may be the one too many for it to be still on its way.
    pub(super) fn count_ask(&mut self, number: &str, now: DateTime<Utc>) -> Result<(), Refusal> {
        let refund = self.refund_mut(number, now)?;
        refund.asks_left = refund.asks_left.saturating_sub(1);
        Ok(())
    }

    /// Brings a refund to its fate, if its time has come. Whether it has.
    pub(super) fn come_due(&mut self, number: &str, now: DateTime<Utc>) -> Result<bool, Refusal> {
        let refund = self.refund_mut(number, now)?;
        let is_due = refund.state == RefundState::Processing && refund.asks_left == 0;
        if is_due {
            refund.state = refund.fate;
        }
        Ok(is_due)
    }

    /// Somebody at the provider settles a refund that is stuck, one way or the other.
    pub(super) fn settle(&mut self, number: &str, succeeds: bool, now: DateTime<Utc>) -> Result<(), Refusal> {
        let refund = self.refund_mut(number, now)?;
        if ![RefundState::Processing, RefundState::Abnormal].contains(&refund.state) {
            return Err(Refusal::INVALID_REQUEST);
        }
        refund.state = if succeeds { RefundState::Succeeded } else { RefundState::Failed };
        Ok(())
    }
}

pub(super) fn is_url(text: &str) -> bool {
    text.len() <= 255 && reqwest::Url::parse(text).is_ok_and(|url| ["http", "https"].contains(&url.scheme()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noon() -> DateTime<Utc> {
        DateTime::from_timestamp(1_795_233_600, 0).expect("a time")
    }

    fn terms(number: usize, now: DateTime<Utc>) -> Terms {
        Terms {
            merchant: MerchantId(1),
            number: format!("number-{number}"),
            amount: Money::from_fen(500),
            description: "dumplings".to_owned(),
            channel: "page".to_owned(),
            payer: None,
            notify_url: "http://127.0.0.1:9/".to_owned(),
            expires_at: now + TimeDelta::minutes(15),
        }
    }

    #[test]
    fn what_is_over_is_forgotten_and_no_more_than_so_much_is_kept() {
        let mut book = Book::default();
        for number in 0..PAYMENTS_MAX {
            book.announce(terms(number, noon()), noon()).expect("room");
        }
        let next = terms(PAYMENTS_MAX, noon());
        assert_eq!(book.announce(next.clone(), noon()), Err(Refusal::FREQUENCY_LIMITED), "all are open");
        book.pay("number-7", Manner::default(), noon()).expect("open");
        book.announce(next.clone(), noon()).expect("room where one has ended");
        assert_eq!(book.payment("number-7"), Err(Refusal::ORDER_NOT_EXIST));
        assert_eq!(book.all().count(), PAYMENTS_MAX);

        let later = noon() + TimeDelta::minutes(16) + KEPT;
        book.announce(terms(0, later), later).expect_err("the same number with another deadline");
        book.announce(terms(PAYMENTS_MAX + 1, later), later).expect("room");
        assert_eq!(book.all().count(), 1);
        book.announce(terms(0, later), later).expect("it is forgotten");
    }
}
