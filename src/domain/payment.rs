//! Payments and refunds: their states, and what becomes of money that a gateway says has come in.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use super::names::{UnknownName, names};
use super::order::OrderState;
use super::{PaymentId, RefundId};

/// Where one attempt to pay stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PaymentState {
    /// The customer may pay.
    Pending,
    /// It is being closed at the gateway; nobody knows yet whether money came first.
    Closing,
    /// Closed without money. Should some come yet, it goes back.
    Closed,
    /// The order is paid by it.
    Paid,
    /// Its money came after the order was called off, and goes back.
    PaidLate,
    /// Its money came when the order was paid already, and goes back.
    PaidDuplicate,
    /// Another amount came than the order's, and goes back.
    PaidMismatch,
}

names!(PaymentState {
    Pending = "pending",
    Closing = "closing",
    Closed = "closed",
    Paid = "paid",
    PaidLate = "paid_late",
    PaidDuplicate = "paid_duplicate",
    PaidMismatch = "paid_mismatch",
});

impl PaymentState {
    /// Whether the gateway may still take money for it, as far as we know.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Pending | Self::Closing)
    }

    /// Whether its money has come in.
    pub const fn has_money(self) -> bool {
        matches!(self, Self::Paid | Self::PaidLate | Self::PaidDuplicate | Self::PaidMismatch)
    }

    /// The state of a payment whose money has come in. `is_paid`: other money has paid the order before; `fits`: it is the order's amount,
    /// paid in the order's way.
    pub const fn settled(order: OrderState, is_paid: bool, fits: bool) -> Self {
        match order {
            OrderState::Cancelled | OrderState::Rejected => Self::PaidLate,
            _ if is_paid => Self::PaidDuplicate,
            OrderState::PendingPayment if fits => Self::Paid,
            OrderState::PendingPayment
            | OrderState::PendingAccept
            | OrderState::Accepted
            | OrderState::Preparing
            | OrderState::Ready
            | OrderState::Delivering
            | OrderState::Completed => Self::PaidMismatch,
        }
    }
}

/// Where a refund stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefundState {
    /// Owed; the gateway does not know of it, or has not said so.
    Due,
    /// The gateway has taken it on. That is not yet done.
    Submitted,
    /// The customer has it. Terminal.
    Succeeded,
    /// The gateway gave up; only now may the refund be asked for under another number.
    Failed,
    /// The gateway cannot go on without a human.
    Abnormal,
}

names!(RefundState {
    Due = "due",
    Submitted = "submitted",
    Succeeded = "succeeded",
    Failed = "failed",
    Abnormal = "abnormal",
});

/// Where a refund stands, as its gateway says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefundStanding {
    /// The gateway has never heard of it.
    Unknown,
    /// On its way.
    Processing,
    /// The customer has it.
    Succeeded,
    /// The gateway gave up: another number may be tried.
    Failed,
    /// The gateway cannot go on without a human.
    Abnormal,
}

/// What an answer about a refund leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefundStep {
    /// How the refund stands then.
    pub state: RefundState,
    /// Whether the answer brought the refund any further.
    pub is_progress: bool,
    /// What a human is told.
    pub alert: Option<AlertKind>,
}

impl RefundState {
    /// What an answer leads to; `answer` is none where the gateway said nothing that counts. `is_last`: should the answer bring no
    /// progress, it is one too many in a row, and a human is to be told.
    pub const fn after(self, answer: Option<RefundStanding>, is_last: bool) -> RefundStep {
        let (state, is_progress, alert) = match (answer, self) {
            (Some(RefundStanding::Succeeded), _) => (Self::Succeeded, true, None),
            (Some(RefundStanding::Failed), _) => (Self::Failed, true, Some(AlertKind::RefundFailed)),
            (Some(RefundStanding::Abnormal), _) => (Self::Abnormal, true, Some(AlertKind::RefundAbnormal)),
            // A refund that is on its way for weeks is no reason to give up. One that the gateway takes on again, after it had lost it, is
            // no progress.
            (Some(RefundStanding::Processing), Self::Due) => (Self::Submitted, false, None),
            (Some(RefundStanding::Processing), _) => (Self::Submitted, true, None),
            (Some(RefundStanding::Unknown), _) | (None, Self::Due) if is_last => {
                (Self::Abnormal, false, Some(AlertKind::RefundStuck))
            }
            // It never arrived there, so it is asked for again, under the same number.
            (Some(RefundStanding::Unknown), _) => (Self::Due, false, None),
            // A refund that the gateway has taken on is asked about for as long as it takes.
            (None, state) if is_last => (state, false, Some(AlertKind::RefundStuck)),
            (None, state) => (state, false, None),
        };
        RefundStep { state, is_progress, alert }
    }
}

/// Where the customer pays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channel {
    /// Inside a mini-program.
    MiniProgram,
    /// On a page of the gateway's, at a desk.
    Page,
    /// On a page of the gateway's, in a telephone's browser.
    Wap,
    /// By scanning a code.
    Qr,
}

names!(Channel { MiniProgram = "mini_program", Page = "page", Wap = "wap", Qr = "qr" });

/// What a human must know of, or do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AlertKind {
    /// Money came for an order that was called off. It goes back by itself.
    PaymentLate,
    /// Money came for an order that was paid. It goes back by itself.
    PaymentDuplicate,
    /// Another amount came than the order's. It goes back by itself.
    PaymentMismatch,
    /// Money came for a payment that nobody knows.
    PaymentUnknown,
    /// A payment whose time is over is neither paid nor closed, and its order waits.
    PaymentStuck,
    /// The gateway cannot pay money back without a human.
    RefundAbnormal,
    /// The gateway gave up paying money back.
    RefundFailed,
    /// Money could not be paid back, however often it was tried.
    RefundStuck,
    /// The gateway has paid back what the staff had paid by hand.
    RefundTwice,
}

names!(AlertKind {
    PaymentLate = "payment_late",
    PaymentDuplicate = "payment_duplicate",
    PaymentMismatch = "payment_mismatch",
    PaymentUnknown = "payment_unknown",
    PaymentStuck = "payment_stuck",
    RefundAbnormal = "refund_abnormal",
    RefundFailed = "refund_failed",
    RefundStuck = "refund_stuck",
    RefundTwice = "refund_twice",
});

/// A payment's number at its gateway: the 32 hexadecimal digits of its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PaymentNumber(pub PaymentId);

impl fmt::Display for PaymentNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.0.simple().fmt(f)
    }
}

impl FromStr for PaymentNumber {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        simple(text).map(|id| Self(PaymentId(id))).ok_or_else(|| UnknownName(text.to_owned()))
    }
}

/// A refund's number at its gateway: the 32 hexadecimal digits of its id, and the round, from the second on, in which it is asked for.
/// Repeating a number never pays twice; a new one may, so the round changes only after the gateway has given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RefundNumber {
    /// Which refund.
    pub refund: RefundId,
    /// From one.
    pub round: u32,
}

impl fmt::Display for RefundNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.refund.0.simple().fmt(f)?;
        if self.round > 1 { write!(f, "-{}", self.round) } else { Ok(()) }
    }
}

impl FromStr for RefundNumber {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        let (id, round) = text.split_once('-').map_or((text, Some(1)), |(id, round)| (id, round.parse().ok()));
        match (simple(id), round) {
            (Some(id), Some(round)) if Self { refund: RefundId(id), round }.to_string() == text => {
                Ok(Self { refund: RefundId(id), round })
            }
            _ => Err(UnknownName(text.to_owned())),
        }
    }
}

fn simple(text: &str) -> Option<Uuid> {
    Uuid::try_parse(text).ok().filter(|id| id.simple().to_string() == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_lead_back_to_ids() {
        let id = Uuid::from_u128(0x0193_0000_0000_7000_8000_0000_0000_00ab);
        let payment = PaymentNumber(PaymentId(id));
        assert_eq!(payment.to_string(), "019300000000700080000000000000ab");
        assert_eq!(payment.to_string().parse(), Ok(payment));
        for round in [1, 2, 17] {
            let refund = RefundNumber { refund: RefundId(id), round };
            assert_eq!(refund.to_string().parse(), Ok(refund));
        }
        for other in ["", "x", "01930000-0000-7000-8000-0000000000ab", "019300000000700080000000000000AB"] {
            assert!(other.parse::<PaymentNumber>().is_err(), "{other}");
            assert!(other.parse::<RefundNumber>().is_err(), "{other}");
        }
        for other in ["-1", "-0", "-", "-02", "-+2", "-2-2"] {
            assert!(format!("{payment}{other}").parse::<RefundNumber>().is_err(), "{other}");
        }
    }

    /// Of a refund that is due, and of one that was taken on: each answer, and where it leads the first time and the last.
    #[test]
    fn refunds_go_this_way() {
        use RefundStanding::{Abnormal, Failed, Processing, Succeeded, Unknown};
        let mut table = String::new();
        for state in [RefundState::Due, RefundState::Submitted] {
            for answer in [Some(Succeeded), Some(Failed), Some(Abnormal), Some(Processing), Some(Unknown), None] {
                let step = |is_last| {
                    let RefundStep { state, is_progress, alert } = state.after(answer, is_last);
                    let alert = alert.map(|alert| format!(" and {alert}")).unwrap_or_default();
                    format!("{}{state}{alert}", if is_progress { "" } else { "still " })
                };
                let answer = answer.map_or("nothing".to_owned(), |answer| format!("{answer:?}").to_lowercase());
                table += &format!("{state}, {answer}: {} / {}\n", step(false), step(true));
            }
        }
        assert_eq!(
            table,
            "\
due, succeeded: succeeded / succeeded
due, failed: failed and refund_failed / failed and refund_failed
due, abnormal: abnormal and refund_abnormal / abnormal and refund_abnormal
due, processing: still submitted / still submitted
due, unknown: still due / still abnormal and refund_stuck
due, nothing: still due / still abnormal and refund_stuck
submitted, succeeded: succeeded / succeeded
submitted, failed: failed and refund_failed / failed and refund_failed
submitted, abnormal: abnormal and refund_abnormal / abnormal and refund_abnormal
submitted, processing: submitted / submitted
submitted, unknown: still due / still abnormal and refund_stuck
submitted, nothing: still submitted / still submitted and refund_stuck
"
        );
    }

    #[test]
    fn states_are_of_these_kinds() {
        let of = |is: fn(PaymentState) -> bool| {
            let states = PaymentState::ALL.iter().copied().filter(|state| is(*state));
            states.map(PaymentState::name).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(of(PaymentState::is_open), "pending closing");
        assert_eq!(of(PaymentState::has_money), "paid paid_late paid_duplicate paid_mismatch");
    }

    #[test]
    fn money_pays_an_order_once_and_only_where_it_fits() {
        for state in OrderState::ALL {
            for (is_paid, fits) in [(false, false), (false, true), (true, false), (true, true)] {
                let pays = PaymentState::settled(*state, is_paid, fits) == PaymentState::Paid;
                assert_eq!(pays, *state == OrderState::PendingPayment && !is_paid && fits, "{state} {is_paid} {fits}");
            }
        }
    }
}
