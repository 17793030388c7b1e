//! What a reconciliation tells, for people and machines.

use rust_decimal::Decimal;
use serde::Serialize;

use crate::domain::money::Money;

/// What a finding is about, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The provider has money that nobody knows of here.
    PaymentOnlyThere,
    /// The provider was paid twice under one number, or says so.
    PaidTwice,
    /// The provider has sent money back, and nobody knows of it here.
    RefundOnlyThere,
    /// The provider has sent the money of one refund back twice.
    RefundedTwice,
    /// Both know of it, for another amount each.
    AmountDiffers,
    /// The money was booked, and the provider does not have it.
    PaymentOnlyHere,
    /// The refund was booked as done, and the provider does not have it.
    RefundOnlyHere,
    /// Both know of it, and it stands otherwise here than there.
    StateDiffers,
    /// Both know of it, for another order, or of another payment, each.
    OwnerDiffers,
    /// A note: it was booked on another day than the provider's.
    OtherDay,
    /// A note: it was begun before the day and booked in it; the bill of the day before may have it.
    MaybeDayBefore,
    /// A note: an order was paid twice, both is booked, and the second goes back.
    SecondPayment,
    /// A note: a refund that was decided in the day and is not done.
    RefundOpen,
    /// Not ours: the numbers are none that this service makes.
    NotOurs,
}

impl Kind {
    /// The name it is told under.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PaymentOnlyThere => "payment_only_there",
            Self::PaidTwice => "paid_twice",
            Self::RefundOnlyThere => "refund_only_there",
            Self::RefundedTwice => "refunded_twice",
            Self::AmountDiffers => "amount_differs",
            Self::PaymentOnlyHere => "payment_only_here",
            Self::RefundOnlyHere => "refund_only_here",
            Self::StateDiffers => "state_differs",
            Self::OwnerDiffers => "owner_differs",
            Self::OtherDay => "other_day",
            Self::MaybeDayBefore => "maybe_day_before",
            Self::SecondPayment => "second_payment",
            Self::RefundOpen => "refund_open",
            Self::NotOurs => "not_ours",
        }
    }

    /// Whether somebody has to look.
    pub const fn is_difference(self) -> bool {
        match self {
            Self::PaymentOnlyThere
            | Self::PaidTwice
            | Self::RefundOnlyThere
            | Self::RefundedTwice
            | Self::AmountDiffers
            | Self::PaymentOnlyHere
            | Self::RefundOnlyHere
            | Self::StateDiffers
            | Self::OwnerDiffers => true,
            Self::OtherDay | Self::MaybeDayBefore | Self::SecondPayment | Self::RefundOpen | Self::NotOurs => false,
        }
    }
}

/// One thing found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it is about.
    pub kind: Kind,
    /// The line of the bill, where it has one.
    pub line: Option<u64>,
    /// The payment's number.
    pub payment: String,
    /// The provider's number of the payment.
    pub transaction: Option<String>,
    /// The refund's number, where it is about one.
    pub refund: Option<String>,
    /// Yuan, by the bill.
    pub there: Option<Money>,
    /// Yuan, by the books.
    pub here: Option<Money>,
    /// What more there is to say.
    pub detail: String,
}

/// How many, and how much.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Total {
    /// How many.
    pub count: usize,
    /// Yuan.
    pub amount: Decimal,
}

impl Total {
    pub(super) fn of(amounts: impl Iterator<Item = Money>) -> Self {
        // As a decimal: what a file says may add up to more than an amount can be.
        amounts.fold(Self { count: 0, amount: Money::ZERO.decimal() }, |total, amount| Self {
            count: total.count + 1,
            amount: total.amount.saturating_add(amount.decimal()),
        })
    }
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// All that was found, the worst first, and of a kind in the bill's order.
    pub findings: Vec<Finding>,
    /// Payments in the bill.
    pub payments_there: Total,
    /// Payments whose money was booked in the day.
    pub payments_here: Total,
    /// Refunds in the bill, but for those that failed.
    pub refunds_there: Total,
    /// Refunds that were booked as done in the day.
    pub refunds_here: Total,
}

impl Report {
    /// How many findings somebody has to look at.
    pub fn differences(&self) -> usize {
        self.findings.iter().filter(|finding| finding.kind.is_difference()).count()
    }
}
