//! The bills that providers make of a day: their own word on what was paid and what went back.
//!
//! Contract:
//! * Pure: bytes in, a [`Bill`] or one sentence out; no bytes make a panic.
//! * A bill is read whole or not at all. A line that is not understood is an error that names it, and so are totals that its
//!   lines do not add up to: a difference found with half a bill is worth nothing, and one not found is worth less.
//! * Columns are found by the names in the head, never by position: providers add columns.

use chrono::{DateTime, NaiveDate, NaiveDateTime, TimeZone, Utc};
use chrono_tz::Asia::Shanghai;
use rust_decimal::Decimal;

use crate::domain::money::Money;
use crate::domain::order::PayMethod;

mod alipay;
mod wechat;

/// What a provider says of a day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bill {
    /// Its rows, in the file's order.
    pub rows: Vec<BillRow>,
    /// The first day it covers and the first that it does not, by the clock of the provider, where it says.
    pub days: Option<(NaiveDate, NaiveDate)>,
}

/// One movement of money.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BillRow {
    /// The line of the file it stands on, from one.
    pub line: u64,
    /// Which way the money went.
    pub kind: BillKind,
    /// The provider's own number of the payment.
    pub transaction: String,
    /// The number the payment was made under, `out_trade_no`: ours, if it can be read as one.
    pub payment: String,
    /// The number the refund was asked for under, `out_refund_no` or `out_request_no`; none where it was not asked for under one.
    pub refund: Option<String>,
    /// The provider's own number of the refund, where the bill has one.
    pub refund_transaction: Option<String>,
    /// Yuan.
    pub amount: Money,
    /// When, by the provider: a payment when it was made, a refund when it was taken on (WeChat) or made (Alipay).
    pub at: DateTime<Utc>,
    /// Where it stood when the bill was made; bills are not corrected later.
    pub state: BillState,
}

/// Which way money went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BillKind {
    /// To the merchant.
    Payment,
    /// Back to the customer.
    Refund,
}

/// Where a row stood when the bill was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BillState {
    /// The money is where it goes to.
    Done,
    /// On its way.
    Processing,
    /// The provider gave up; no money has moved.
    Failed,
    /// The provider cannot go on without a human.
    Abnormal,
}

/// Reads the bill of a day, as the provider's file has it.
///
/// # Errors
/// One sentence that says what is wrong, and on which line.
pub fn read(method: PayMethod, bytes: &[u8]) -> Result<Bill, String> {
    if bytes.starts_with(b"PK\x03\x04") {
        return Err(
            "it is a zip archive: unzip it, and give the file of details (业务明细), not that of sums".to_owned()
        );
    }
    if bytes.starts_with(&[0x1f, 0x8b]) {
        return Err("it is compressed: unpack it with gunzip first".to_owned());
    }
    match method {
        PayMethod::Wechat => wechat::read(bytes),
        PayMethod::Alipay => alipay::read(bytes),
        PayMethod::Cash | PayMethod::Sandbox => Err(format!("{method} has no bills")),
    }
}

/// Where the columns are.
struct Columns(Vec<String>);

impl Columns {
    fn find(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|column| column == name)
    }

    /// The place of the first of `names` that there is.
    fn need(&self, names: &[&str]) -> Result<usize, String> {
        names.iter().find_map(|name| self.find(name)).ok_or_else(|| {
            format!("it has no column {}: it is another kind of bill than is wanted here", names.join(" or "))
        })
    }
}

/// A time on the provider's clock, such as `2026-11-20 12:00:00`.
fn time(text: &str) -> Result<DateTime<Utc>, String> {
    Some(text)
        .filter(|text| text.len() == "2026-11-20 12:00:00".len())
        .and_then(|text| NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S").ok())
        .and_then(|local| Shanghai.from_local_datetime(&local).earliest())
        .map(|time| time.to_utc())
        .ok_or_else(|| format!("{text:?} is not a time such as 2026-11-20 12:00:00"))
}

/// An amount as it is printed; Alipay's have a sign.
fn amount(text: &str) -> Result<Decimal, String> {
    let (is_negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
    let money: Money = digits.parse().map_err(|_| format!("{text:?} is not an amount in yuan"))?;
    Ok(if is_negative { -money.decimal() } else { money.decimal() })
}

/// A number of theirs or ours.
fn number(text: &str) -> Result<String, String> {
    // A spreadsheet shows long numbers as 4.2E+27, and writes them so when it saves the file: what is lost cannot be matched.
    if text.contains("E+") && text.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(format!("{text:?} was a number before a spreadsheet saved it: take the file as it was downloaded"));
    }
    if text.is_empty() || text.chars().any(char::is_control) {
        return Err(format!("{text:?} is not a number of a payment or a refund"));
    }
    Ok(text.to_owned())
}

/// Adds up exactly: no bill has as many rows as it would take to overflow.
fn sum(amounts: impl Iterator<Item = Decimal>) -> Decimal {
    amounts.fold(Decimal::ZERO, |sum, amount| sum.saturating_add(amount))
}

/// Holds a total of the bill's own against its lines.
fn check_total(name: &str, told: Decimal, found: Decimal) -> Result<(), String> {
    if told == found { Ok(()) } else { Err(format!("{name} is {told}, and its lines add up to {found}")) }
}

#[cfg(test)]
mod tests;
