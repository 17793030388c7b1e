//! A provider's bill of a day held against the books.
//!
//! Contract: pure over two lists, but for [`reconcile`], which reads one of them from the database. What differs is told as a
//! [`Finding`]:
//! * a *difference* is money on one side only, or not the same on both: somebody has to look;
//! * a *note* explains what looks odd and is none, such as a payment of 23:59:59 that was booked at 00:00:01;
//! * what is *not ours* carries numbers that this service does not make: others may use the same account.
//!
//! A provider books money no later than we do, and not before the order was placed. What was booked in the day and begun before
//! it may so be in the bill of the day before: where that is not given, its absence is a note, not a difference.

mod report;

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use chrono_tz::Tz::Asia__Shanghai;
use uuid::Version;

pub use self::report::{Finding, Kind, Report, Total};
use crate::domain::money::Money;
use crate::domain::order::PayMethod;
use crate::domain::payment::{PaymentNumber, RefundNumber, RefundState};
use crate::domain::{BusinessDays, MerchantId, PaymentId, RefundId};
use crate::error::Error;
use crate::gateway::bill::{Bill, BillKind, BillRow, BillState};
use crate::store::bills::{Booked, BookedPayment, BookedRefund, Named};
use crate::store::{Conn, bills};

/// A provider's day: from midnight to midnight in China, whatever the merchant's zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProviderDay {
    date: NaiveDate,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
}

impl ProviderDay {
    /// The day of that date; none at the end of time.
    pub fn of(date: NaiveDate) -> Option<Self> {
        let days = BusinessDays { time_zone: Asia__Shanghai, starts_at: NaiveTime::MIN };
        // What providers make bills of; farther off, calendars end.
        let is_near = (2000..3000).contains(&chrono::Datelike::year(&date));
        is_near.then(|| Self { date, from: days.start(date), until: days.start(date + chrono::Days::new(1)) })
    }

    /// The day before.
    pub fn before(self) -> Option<Self> {
        self.date.pred_opt().and_then(Self::of)
    }

    fn has(self, time: DateTime<Utc>) -> bool {
        (self.from..self.until).contains(&time)
    }

    /// Holds the bill's own dates against the day: another day's bill differs in everything, and nobody would look at all of it.
    ///
    /// # Errors
    /// A sentence.
    pub fn check(self, bill: &Bill) -> Result<(), String> {
        let next = self.date.succ_opt().unwrap_or(self.date);
        if let Some((first, last)) = bill.days.filter(|days| *days != (self.date, next)) {
            return Err(format!("it is of the time from {first} until before {last}, not of {}", self.date));
        }
        let mut payments = bill.rows.iter().filter(|row| row.kind == BillKind::Payment).peekable();
        let Some(first) = payments.peek().map(|row| row.line) else { return Ok(()) };
        if payments.any(|row| self.has(row.at)) {
            return Ok(());
        }
        Err(format!("it is not of {}: no payment in it is, neither that of line {first}", self.date))
    }
}

/// Reads the books and holds the bill against them.
///
/// # Errors
/// What the database says.
pub fn reconcile(
    conn: &mut Conn,
    merchant: MerchantId,
    gateway: PayMethod,
    day: ProviderDay,
    bill: &Bill,
    bill_before: Option<&Bill>,
) -> Result<Report, Error> {
    let booked = bills::read(conn, merchant, gateway, (day.from, day.until), &named(bill))?;
    Ok(compare(day, bill, bill_before, &booked))
}

/// Every number in a bill that may be ours.
fn named(bill: &Bill) -> Named {
    let payments: HashSet<PaymentId> = bill.rows.iter().filter_map(payment_id).collect();
    let transactions: HashSet<&String> = bill.rows.iter().map(|row| &row.transaction).collect();
    let refunds: HashSet<RefundId> = bill.rows.iter().filter_map(refund_id).collect();
    Named {
        payments: payments.into_iter().collect(),
        transactions: transactions.into_iter().cloned().collect(),
        refunds: refunds.into_iter().collect(),
    }
}

/// Only ids of version 7 are ours; another system's may be of the same length.
fn payment_id(row: &BillRow) -> Option<PaymentId> {
    let PaymentNumber(id) = row.payment.parse().ok()?;
    (id.0.get_version() == Some(Version::SortRand)).then_some(id)
}

/// Only ids of versions 7 and 8 are ours: the latter are of refunds that were asked for under a key.
fn refund_id(row: &BillRow) -> Option<RefundId> {
    let RefundNumber { refund, .. } = row.refund.as_ref()?.parse().ok()?;
    matches!(refund.0.get_version(), Some(Version::SortRand | Version::Custom)).then_some(refund)
}

/// Holds a bill against what is booked.
pub fn compare(day: ProviderDay, bill: &Bill, bill_before: Option<&Bill>, booked: &Booked) -> Report {
    let mut work = Comparison::new(day, bill_before, booked);
    for row in &bill.rows {
        match row.kind {
            BillKind::Payment => work.payment(row),
            BillKind::Refund => work.refund(row),
        }
    }
    work.what_is_only_here();
    // The sort is stable: of a kind, the bill's order stays.
    work.findings.sort_by_key(|finding| finding.kind);
    let of = |kind| bill.rows.iter().filter(move |row| row.kind == kind && row.state != BillState::Failed);
    let here = |time: Option<DateTime<Utc>>| time.is_some_and(|time| day.has(time));
    Report {
        findings: work.findings,
        payments_there: Total::of(of(BillKind::Payment).map(|row| row.amount)),
        payments_here: Total::of(
            booked.payments.iter().filter(|p| p.state.has_money() && here(p.settled_at)).map(|p| p.amount),
        ),
        refunds_there: Total::of(of(BillKind::Refund).map(|row| row.amount)),
        refunds_here: Total::of(booked.refunds.iter().filter(|r| is_done(r) && here(r.settled_at)).map(|r| r.amount)),
    }
}

fn is_done(refund: &BookedRefund) -> bool {
    refund.state == RefundState::Succeeded
}

struct Comparison<'a> {
    day: ProviderDay,
    bill_before: Option<&'a Bill>,
    booked: &'a Booked,
    payments: HashMap<PaymentId, &'a BookedPayment>,
    transactions: HashMap<&'a str, &'a BookedPayment>,
    refunds: HashMap<RefundId, &'a BookedRefund>,
    /// Booked payments that the bill has.
    paid: HashSet<PaymentId>,
    /// Transactions that the bill has, and how often it has each number of ours.
    seen: HashSet<&'a str>,
    numbers: HashSet<&'a str>,
    /// Booked refunds that the bill has, and whether in a row that did not fail.
    refunded: HashMap<RefundId, bool>,
    findings: Vec<Finding>,
}

impl<'a> Comparison<'a> {
    fn new(day: ProviderDay, bill_before: Option<&'a Bill>, booked: &'a Booked) -> Self {
        let transaction = |payment: &'a BookedPayment| Some((payment.transaction.as_deref()?, payment));
        Self {
            day,
            bill_before,
            booked,
            payments: booked.payments.iter().map(|payment| (payment.id, payment)).collect(),
            transactions: booked.payments.iter().filter_map(transaction).collect(),
            refunds: booked.refunds.iter().map(|refund| (refund.id, refund)).collect(),
            paid: HashSet::new(),
            seen: HashSet::new(),
            numbers: HashSet::new(),
            refunded: HashMap::new(),
            findings: Vec::new(),
        }
    }

    fn find(&mut self, kind: Kind, row: &BillRow, here: Option<Money>, detail: impl Into<String>) {
        self.findings.push(Finding {
            kind,
            line: Some(row.line),
            payment: row.payment.clone(),
            transaction: Some(row.transaction.clone()),
            refund: row.refund.clone(),
            there: Some(row.amount),
            here,
            detail: detail.into(),
        });
    }

    /// The provider's number tells which payment it is; ours may be paid twice, and the second is booked under an id of its own.
    fn payment(&mut self, row: &'a BillRow) {
        let of_number = payment_id(row).and_then(|id| self.payments.get(&id).copied());
        if !self.seen.insert(&row.transaction) {
            return self.find(Kind::PaidTwice, row, None, "the bill has the transaction twice");
        }
        let is_second = !self.numbers.insert(&row.payment);
        let Some(payment) = self.transactions.get(row.transaction.as_str()).copied() else {
            return match of_number {
                Some(known) if known.state.has_money() => {
                    let other = known.transaction.as_deref().unwrap_or("-");
                    self.find(Kind::PaidTwice, row, Some(known.amount), format!("booked is transaction {other}"));
                }
                Some(known) => self.find(Kind::PaymentOnlyThere, row, None, format!("here it is {}", known.state)),
                None if payment_id(row).is_some() => {
                    self.find(Kind::PaymentOnlyThere, row, None, "there is no such payment here");
                }
                None => self.find(Kind::NotOurs, row, None, ""),
            };
        };
        self.paid.insert(payment.id);
        let here = Some(payment.amount);
        let owner = of_number.filter(|other| other.order != payment.order);
        if !payment.state.has_money() {
            self.find(Kind::PaymentOnlyThere, row, None, format!("here it is {}", payment.state));
        } else if payment.amount != row.amount {
            self.find(Kind::AmountDiffers, row, here, "");
        } else if let Some(other) = owner {
            let detail = format!("booked for order {}, its number is of order {}", payment.order, other.order);
            self.find(Kind::OwnerDiffers, row, here, detail);
        } else if is_second {
            self.find(Kind::SecondPayment, row, here, format!("booked as {}", payment.state));
        } else if let Some(time) = payment.settled_at.filter(|time| !self.day.has(*time)) {
            self.find(Kind::OtherDay, row, here, format!("booked at {}", told(time)));
        }
    }

    fn refund(&mut self, row: &'a BillRow) {
        let Some(refund) = refund_id(row).and_then(|id| self.refunds.get(&id).copied()) else {
            let is_ours = payment_id(row).is_some()
                || refund_id(row).is_some()
                || self.transactions.contains_key(row.transaction.as_str());
            return if is_ours {
                let state = format!("{:?}", row.state).to_lowercase();
                self.find(Kind::RefundOnlyThere, row, None, format!("{state} there, and no such refund here"));
            } else {
                self.find(Kind::NotOurs, row, None, "");
            };
        };
        let has_moved = row.state != BillState::Failed;
        let here = Some(refund.amount);
        if self.refunded.get(&refund.id) == Some(&true) && has_moved {
            return self.find(Kind::RefundedTwice, row, here, "");
        }
        *self.refunded.entry(refund.id).or_default() |= has_moved;
        if refund.transaction.as_deref() != Some(row.transaction.as_str()) {
            let booked = refund.transaction.as_deref().unwrap_or("-");
            self.find(Kind::OwnerDiffers, row, here, format!("booked is a refund of transaction {booked}"));
        } else if refund.amount != row.amount {
            self.find(Kind::AmountDiffers, row, here, "");
        } else if !agree(row.state, refund.state) {
            let there = format!("{:?}", row.state).to_lowercase();
            self.find(Kind::StateDiffers, row, here, format!("there it is {there}, here {}", refund.state));
        } else if let Some(time) = refund.settled_at.filter(|time| has_moved && !self.day.has(*time)) {
            self.find(Kind::OtherDay, row, here, format!("booked at {}", told(time)));
        }
    }

    /// What is booked in the day and is not in the bill.
    fn what_is_only_here(&mut self) {
        for payment in &self.booked.payments {
            let was_in = payment.settled_at.is_some_and(|time| self.day.has(time));
            if !payment.state.has_money() || !was_in || self.paid.contains(&payment.id) {
                continue;
            }
            let before = self.bill_before.map(|bill| {
                bill.rows.iter().any(|row| {
                    row.kind == BillKind::Payment && Some(row.transaction.as_str()) == payment.transaction.as_deref()
                })
            });
            let (kind, detail) = self.missing(Kind::PaymentOnlyHere, payment.begun_at, before);
            self.findings.push(Finding {
                kind,
                line: None,
                payment: PaymentNumber(payment.id).to_string(),
                transaction: payment.transaction.clone(),
                refund: None,
                there: None,
                here: Some(payment.amount),
                detail: format!("booked as {}{detail}", payment.state),
            });
        }
        for refund in &self.booked.refunds {
            if self.refunded.get(&refund.id) == Some(&true) {
                continue;
            }
            let (kind, detail) = if !is_done(refund) {
                // One that the bill says has failed stands there already.
                if self.refunded.contains_key(&refund.id) || !self.day.has(refund.begun_at) {
                    continue;
                }
                (Kind::RefundOpen, "")
            } else if refund.settled_at.is_some_and(|time| self.day.has(time)) {
                let before = self.bill_before.map(|bill| {
                    bill.rows.iter().any(|row| refund_id(row) == Some(refund.id) && row.state != BillState::Failed)
                });
                self.missing(Kind::RefundOnlyHere, refund.begun_at, before)
            } else {
                continue;
            };
            self.findings.push(Finding {
                kind,
                line: None,
                payment: PaymentNumber(refund.payment).to_string(),
                transaction: refund.transaction.clone(),
                refund: Some(RefundNumber { refund: refund.id, round: refund.round }.to_string()),
                there: None,
                here: Some(refund.amount),
                detail: format!("booked as {}{detail}", refund.state),
            });
        }
    }

    /// What it means that the bill lacks something; `before`: whether the bill of the day before has it, where that is given.
    fn missing(&self, kind: Kind, begun_at: DateTime<Utc>, before: Option<bool>) -> (Kind, &'static str) {
        match before {
            Some(true) => (Kind::OtherDay, ", the bill of the day before has it"),
            None if begun_at < self.day.from => {
                (Kind::MaybeDayBefore, ", begun before the day: see the bill of the day before")
            }
            Some(false) | None => (kind, ""),
        }
    }
}

/// Whether a refund's state here fits its state in the bill. A bill is not corrected later, so that what was on its way then may have come
/// to any end since.
const fn agree(there: BillState, here: RefundState) -> bool {
    match there {
        BillState::Done => matches!(here, RefundState::Succeeded),
        BillState::Processing => !matches!(here, RefundState::Due),
        // It may be asked for again, and have succeeded in a later round.
        BillState::Failed => true,
        BillState::Abnormal => matches!(here, RefundState::Abnormal | RefundState::Succeeded | RefundState::Failed),
    }
}

/// As the provider's clock shows it.
fn told(time: DateTime<Utc>) -> String {
    time.with_timezone(&Asia__Shanghai).format("%Y-%m-%d %H:%M:%S").to_string()
}

#[cfg(test)]
mod tests;
