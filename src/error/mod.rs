//! Everything that can be answered instead of what was asked for, and the one table that gives each its status and code.
//!
//! Codes are part of the API: clients branch on them. Details are for people, in Chinese or English.

mod problem;
mod words;

use std::fmt::Display;
use std::time::Duration;

use crate::domain::menu::sheet::Fault;
use crate::domain::money::Money;
use crate::domain::order::OrderState;
use crate::domain::payment::RefundState;
use crate::domain::placement::BadLines;
use crate::domain::staff::Permission;
use crate::domain::{LocalText, PaymentId, Refusal};
use crate::store::{Cause, CommitUnknown, DbError, Retryable, Unavailable, cause, violates};

pub use problem::Problem;

/// Why a request is not answered with success.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The body is no JSON of the expected shape.
    #[error("malformed body at {field}: {reason}")]
    MalformedBody {
        /// Path of the field at fault, such as `lines[0].count`; empty when it is the whole body.
        field: String,
        /// What the parser says.
        reason: String,
    },
    /// The body is not declared as JSON, or as compressed.
    #[error("the body is not declared as plain JSON")]
    NotJson,
    /// The body is not declared as CSV, or as compressed.
    #[error("the body is not declared as plain CSV")]
    NotCsv,
    /// The body is larger than the limit, in bytes.
    #[error("the body is larger than {0} bytes")]
    BodyTooLarge(usize),
    /// The body did not arrive in time.
    #[error("the body did not arrive in time")]
    BodyTooSlow,
    /// A field holds a value outside its bounds.
    #[error("{field}: {}", reason.en)]
    InvalidField {
        /// Path of the field.
        field: &'static str,
        /// The bound, in words.
        reason: LocalText,
    },
    /// A parameter of the query string does not parse.
    #[error("malformed query: {0}")]
    MalformedQuery(String),
    /// The lines of an order are outside their limits.
    #[error("bad lines: {0:?}")]
    BadLines(BadLines),
    /// There is no `Idempotency-Key` header.
    #[error("no idempotency key")]
    KeyMissing,
    /// The `Idempotency-Key` is not 1 to 128 visible ASCII characters.
    #[error("malformed idempotency key")]
    KeyMalformed,
    /// The key stands for a request with other contents.
    #[error("idempotency key reused")]
    KeyReused,
    /// The order is refused.
    #[error("refused: {0:?}")]
    Refused(Refusal),
    /// No valid token.
    #[error("not authenticated")]
    Unauthenticated,
    /// The token has expired.
    #[error("token expired")]
    TokenExpired,
    /// The token is for another merchant.
    #[error("token of another merchant")]
    WrongMerchant,
    /// The login provider does not accept the code.
    #[error("login code refused")]
    LoginRefused,
    /// The merchant has no mini-program that its customers could log in from.
    #[error("the merchant has no mini-program")]
    LoginNotOffered,
    /// The login provider does not answer, or not so that it is understood.
    #[error("login: {0}")]
    LoginUnavailable(String),
    /// Login or password of a member of the staff is wrong, or the account is closed.
    #[error("staff login refused")]
    PasswordRefused,
    /// The role of a member of the staff does not include it.
    #[error("not permitted: {0}")]
    Forbidden(Permission),
    /// The order's state does not allow the move, or not to the caller.
    #[error("cannot {made} an order that is {state}")]
    IllegalMove {
        /// What was to be done: a move, or what else asks for a state.
        made: &'static str,
        /// The state it was found in.
        state: OrderState,
    },
    /// The merchant does not let customers cancel orders that wait to be accepted.
    #[error("customers may not cancel orders that wait to be accepted")]
    CancelNotAllowed,
    /// The customer has spent points that the order brought, so they cannot call it off themselves.
    #[error("points that the order brought are spent")]
    PointsSpent,
    /// The cash for an order has not been taken in.
    #[error("cash not collected")]
    CashNotCollected,
    /// There is no cash to be taken in for an order.
    #[error("no cash to collect")]
    NothingToCollect,
    /// The customer asked a moment ago.
    #[error("nudged a moment ago")]
    NudgedAlready {
        /// When they may ask again.
        retry_after: Duration,
    },
    /// The time to pay an order is over.
    #[error("the time to pay is over")]
    PaymentTimeOver,
    /// The customer has begun as many payments of one order as they may.
    #[error("too many payments")]
    TooManyPayments {
        /// The limit.
        payments_max: usize,
    },
    /// An attempt to pay is open at its gateway, which must be asked first.
    #[error("payment {0} is open")]
    PaymentOpen(PaymentId),
    /// The customer may be paying at this moment, so nothing else can be done with the order.
    #[error("a payment is in progress")]
    PaymentInProgress,
    /// The gateway does not let the order be paid.
    #[error("payment refused: {code}")]
    PaymentRefused {
        /// The gateway's code.
        code: String,
    },
    /// The refund does not wait for a human.
    #[error("the refund is {0}")]
    RefundGoesOn(RefundState),
    /// Somebody has dealt with the alert before.
    #[error("alert resolved")]
    AlertResolved,
    /// Somebody else has it in hand, or took it over from whoever was too slow.
    #[error("somebody else has it in hand")]
    LeaseLost,
    /// The gateway does not answer, or not so that it can be relied upon.
    #[error("gateway: {0}")]
    GatewayUnavailable(String),
    /// More is to be paid back than is left of what was paid.
    #[error("refund of {amount} of {left}")]
    RefundTooLarge {
        /// To be paid back.
        amount: Money,
        /// What is left.
        left: Money,
    },
    /// The account does not hold as much as is to be taken from it.
    #[error("balance too low")]
    BalanceTooLow {
        /// What it holds.
        balance: u64,
    },
    /// There are not as many units as are to be moved out of stock.
    #[error("stock too low")]
    StockTooLow {
        /// What there is.
        stock: i32,
    },
    /// A category that has products, or a product that has goods, is to be removed.
    #[error("not empty")]
    NotEmpty,
    /// A sheet of the menu cannot be taken.
    #[error("bad sheet: {0:?}")]
    BadSheet(Vec<Fault>),
    /// A sheet would not do to the menu any more what was previewed.
    #[error("the menu has changed")]
    MenuChanged,
    /// Somebody else logs in by that name.
    #[error("login taken")]
    LoginTaken,
    /// There is an account of that kind and name.
    #[error("name taken")]
    NameTaken,
    /// The last owner who can log in is to be demoted or closed out.
    #[error("last owner")]
    LastOwner,
    /// No such thing, or not the caller's.
    #[error("not found")]
    NotFound,
    /// The path exists, but not with this method.
    #[error("method not allowed")]
    MethodNotAllowed {
        /// The methods it takes.
        allow: String,
    },
    /// The customer's book holds as many addresses as it may.
    #[error("address book full")]
    AddressBookFull {
        /// The limit.
        addresses_max: u32,
    },
    /// The customer's cart holds as many kinds of goods as it may.
    #[error("cart full")]
    CartFull {
        /// The limit.
        lines_max: usize,
    },
    /// Nothing is selected in the cart that is to be placed.
    #[error("nothing selected in the cart")]
    EmptyCart,
    /// More orders than one export holds.
    #[error("export too large")]
    ExportTooLarge {
        /// The limit.
        orders_max: usize,
    },
    /// Too many requests of one customer, member of the staff or address, or too many passwords at once.
    #[error("too many requests")]
    TooManyRequests {
        /// When the next one will be let through.
        retry_after: Duration,
    },
    /// A request that HTTP itself refuses, by status.
    #[error("bad request, status {0}")]
    Http(u16),
    /// Whom we depend on cannot be reached: the database, Redis.
    #[error("unavailable: {0}")]
    Unavailable(String),
    /// As many orders wait as may. Nothing was done.
    #[error("the queue is full")]
    QueueFull,
    /// As many streams of events are open as may be.
    #[error("too many streams of events")]
    TooManyStreams,
    /// A delivery was made, so it cannot be put in again.
    #[error("the delivery was made")]
    AlreadyDelivered,
    /// The merchant has no webhook to deliver to.
    #[error("no webhook")]
    NoWebhook,
    /// Goods changed between reading and taking, in the optimistic way.
    #[error("goods changed while an order was placed")]
    StockChanged,
    /// The connection was lost during the commit.
    #[error("the outcome is unknown")]
    OutcomeUnknown,
    /// The database refused a statement that should have worked.
    #[error("database: {0}")]
    Database(DbError),
    /// A broken promise of our own.
    #[error("internal: {0}")]
    Internal(String),
}

/// The constraints a request may meet. Any other violation is a bug of ours.
impl From<DbError> for Error {
    fn from(error: DbError) -> Self {
        let is_violated = |name| violates(&error, name);
        // A token outlives its customer when the database is restored from an older backup.
        if ["orders_customer_fkey", "addresses_customer_fkey", "carts_customer_fkey"].into_iter().any(is_violated) {
            return Self::Unauthenticated;
        }
        // Only a removal violates these: whoever adds a row has locked what it is added to.
        if ["products_category_fkey", "goods_product_fkey"].into_iter().any(is_violated) {
            return Self::NotEmpty;
        }
        Self::Database(error)
    }
}

impl From<Unavailable> for Error {
    fn from(error: Unavailable) -> Self {
        Self::Unavailable(error.0)
    }
}

impl From<CommitUnknown> for Error {
    fn from(CommitUnknown: CommitUnknown) -> Self {
        Self::OutcomeUnknown
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<BadLines> for Error {
    fn from(lines: BadLines) -> Self {
        Self::BadLines(lines)
    }
}

impl Error {
    /// A field that is not as it must be, which is said in Chinese and in English.
    pub fn invalid(field: &'static str, zh: impl Into<String>, en: impl Into<String>) -> Self {
        Self::InvalidField { field, reason: LocalText::new(zh, en) }
    }

    /// A number that is not within its bounds.
    pub fn out_of_bounds(field: &'static str, least: impl Display, most: impl Display) -> Self {
        Self::invalid(field, format!("须在 {least} 到 {most} 之间"), format!("it must be from {least} to {most}"))
    }

    /// A name that is none of `names`.
    pub fn none_of(field: &'static str, names: &str) -> Self {
        Self::invalid(field, format!("须为以下之一：{names}"), format!("it must be one of {names}"))
    }

    /// This error once more, for another request of the group that it ended.
    pub fn for_another(&self) -> Self {
        match self {
            Self::Unavailable(words) => Self::Unavailable(words.clone()),
            Self::NotFound => Self::NotFound,
            Self::OutcomeUnknown => Self::OutcomeUnknown,
            Self::StockChanged => Self::StockChanged,
            Self::Database(error) if cause(error).is_some() => Self::Unavailable(error.to_string()),
            other => Self::Internal(other.to_string()),
        }
    }
}

impl Retryable for Error {
    fn cause(&self) -> Option<Cause> {
        match self {
            Self::Database(error) => cause(error),
            Self::StockChanged => Some(Cause::StockChanged),
            _ => None,
        }
    }
}

/// The code a refusal is answered and counted under.
pub const fn refusal_code(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::ShopPaused => "shop_paused",
        Refusal::ShopClosed { .. } => "shop_closed",
        Refusal::FulfilmentNotOffered(_) => "fulfilment_not_offered",
        Refusal::PayMethodNotOffered(_) => "pay_method_not_offered",
        Refusal::UnknownAddress => "unknown_address",
        Refusal::UnknownGoods(_) => "unknown_goods",
        Refusal::NotOnSale(_) => "not_on_sale",
        Refusal::OutOfStock(_) => "out_of_stock",
        Refusal::BelowMinimum { .. } => "below_minimum",
        Refusal::PriceChanged { .. } => "price_changed",
        Refusal::CartPlaced { .. } => "cart_already_placed",
        Refusal::PointsNotTaken => "points_not_taken",
        Refusal::TooFewPoints { .. } => "too_few_points",
        Refusal::TooManyPoints { .. } => "too_many_points",
    }
}

impl Error {
    /// The table: status and code of every error.
    pub fn status_and_code(&self) -> (u16, &'static str) {
        match self {
            Self::MalformedBody { .. } => (400, "malformed_body"),
            Self::MalformedQuery(_) => (400, "malformed_query"),
            Self::KeyMissing => (400, "idempotency_key_missing"),
            Self::KeyMalformed => (400, "idempotency_key_malformed"),
            Self::Unauthenticated => (401, "unauthenticated"),
            Self::TokenExpired => (401, "token_expired"),
            Self::LoginRefused | Self::PasswordRefused => (401, "login_refused"),
            Self::WrongMerchant => (403, "wrong_merchant"),
            Self::Forbidden(_) => (403, "forbidden"),
            Self::NotFound => (404, "not_found"),
            Self::MethodNotAllowed { .. } => (405, "method_not_allowed"),
            Self::BodyTooSlow => (408, "body_too_slow"),
            Self::AddressBookFull { .. } => (409, "address_book_full"),
            Self::CartFull { .. } => (409, "cart_full"),
            Self::IllegalMove { .. } => (409, "illegal_move"),
            Self::CancelNotAllowed => (409, "cancel_not_allowed"),
            Self::PointsSpent => (409, "points_spent"),
            Self::CashNotCollected => (409, "cash_not_collected"),
            Self::NothingToCollect => (409, "nothing_to_collect"),
            Self::PaymentTimeOver => (409, "payment_time_over"),
            Self::TooManyPayments { .. } => (409, "too_many_payments"),
            Self::PaymentOpen(_) => (409, "payment_open"),
            Self::PaymentInProgress => (409, "payment_in_progress"),
            Self::PaymentRefused { .. } => (409, "payment_refused"),
            Self::RefundGoesOn(_) => (409, "refund_goes_on"),
            Self::AlertResolved => (409, "already_resolved"),
            Self::RefundTooLarge { .. } => (409, "refund_too_large"),
            Self::BalanceTooLow { .. } => (409, "balance_too_low"),
            Self::AlreadyDelivered => (409, "already_delivered"),
            Self::NoWebhook => (409, "no_webhook"),
            Self::StockTooLow { .. } => (409, "stock_too_low"),
            Self::NotEmpty => (409, "not_empty"),
            Self::MenuChanged => (409, "menu_changed"),
            Self::LoginTaken => (409, "login_taken"),
            Self::NameTaken => (409, "name_taken"),
            Self::LastOwner => (409, "last_owner"),
            Self::Refused(refusal) => match refusal {
                Refusal::FulfilmentNotOffered(_)
                | Refusal::PayMethodNotOffered(_)
                | Refusal::UnknownGoods(_)
                | Refusal::UnknownAddress => (422, refusal_code(refusal)),
                _ => (409, refusal_code(refusal)),
            },
            Self::BodyTooLarge(_) => (413, "body_too_large"),
            Self::NotJson => (415, "not_json"),
            Self::NotCsv => (415, "not_csv"),
            Self::InvalidField { .. } => (422, "invalid_field"),
            Self::BadLines(BadLines::Empty) => (422, "empty_order"),
            Self::BadLines(BadLines::TooMany { .. }) => (422, "too_many_lines"),
            Self::BadLines(BadLines::Count { .. }) => (422, "bad_count"),
            Self::ExportTooLarge { .. } => (422, "export_too_large"),
            Self::BadSheet(_) => (422, "bad_sheet"),
            Self::EmptyCart => (422, "empty_cart"),
            Self::LoginNotOffered => (422, "login_not_offered"),
            Self::KeyReused => (422, "idempotency_key_reused"),
            Self::TooManyRequests { .. } => (429, "too_many_requests"),
            Self::NudgedAlready { .. } => (429, "nudged_already"),
            Self::Http(status) => (*status, "bad_request"),
            Self::QueueFull => (503, "queue_full"),
            Self::TooManyStreams => (503, "too_many_streams"),
            Self::Unavailable(_) | Self::StockChanged | Self::LeaseLost => (503, "unavailable"),
            Self::GatewayUnavailable(_) => (503, "gateway_unavailable"),
            Self::LoginUnavailable(_) => (503, "login_unavailable"),
            Self::OutcomeUnknown => (503, "outcome_unknown"),
            // Retried as often as allowed and still in somebody's way: come back later.
            Self::Database(error) if cause(error).is_some() => (503, "unavailable"),
            Self::Database(_) | Self::Internal(_) => (500, "internal"),
        }
    }
}
