//! Everything that can be answered instead of what was asked for, and the one table that gives each its status and code.
//!
//! Codes are part of the API: clients branch on them. Details are for people, in Chinese or English.

use std::time::Duration;

use serde_json::{Value, json};

use crate::domain::placement::BadLines;
use crate::domain::{GoodsId, Language, Refusal};
use crate::store::{Cause, CommitUnknown, DbError, Retryable, Unavailable, cause, violates};

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
    /// The body is larger than the limit, in bytes.
    #[error("the body is larger than {0} bytes")]
    BodyTooLarge(usize),
    /// The body did not arrive in time.
    #[error("the body did not arrive in time")]
    BodyTooSlow,
    /// A field holds a value outside its bounds.
    #[error("{field}: {reason}")]
    InvalidField {
        /// Path of the field.
        field: &'static str,
        /// The bound, in words.
        reason: String,
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
    /// The key stands for an order with other contents.
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
    /// Too many requests of one customer or one address.
    #[error("too many requests")]
    TooManyRequests {
        /// When the next one will be let through.
        retry_after: Duration,
    },
    /// A request that HTTP itself refuses, by status.
    #[error("bad request, status {0}")]
    Http(u16),
    /// Whom we depend on cannot be reached: the database, the login provider.
    #[error("unavailable: {0}")]
    Unavailable(String),
    /// As many orders wait as may. Nothing was done.
    #[error("the queue is full")]
    QueueFull,
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
        let is_stranger = |name| violates(&error, name);
        // A token outlives its customer when the database is restored from an older backup.
        if ["orders_customer_fkey", "addresses_customer_fkey"].into_iter().any(is_stranger) {
            return Self::Unauthenticated;
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
    /// This error for one more of those it befell.
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
        Refusal::UnknownAddress => "unknown_address",
        Refusal::UnknownGoods(_) => "unknown_goods",
        Refusal::NotOnSale(_) => "not_on_sale",
        Refusal::OutOfStock(_) => "out_of_stock",
        Refusal::BelowMinimum { .. } => "below_minimum",
        Refusal::PriceChanged { .. } => "price_changed",
    }
}

/// What a client is told.
#[derive(Debug)]
pub struct Problem {
    /// The HTTP status.
    pub status: u16,
    /// The code to branch on.
    pub code: &'static str,
    /// The field at fault, where there is one.
    pub field: Option<String>,
    /// What happened, for people.
    pub detail: String,
    /// Further members, by code.
    pub more: Vec<(&'static str, Value)>,
    /// When to come back.
    pub retry_after: Option<Duration>,
}

const BUSY_FOR: Duration = Duration::from_secs(1);

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
            Self::LoginRefused => (401, "login_refused"),
            Self::WrongMerchant => (403, "wrong_merchant"),
            Self::NotFound => (404, "not_found"),
            Self::MethodNotAllowed { .. } => (405, "method_not_allowed"),
            Self::BodyTooSlow => (408, "body_too_slow"),
            Self::AddressBookFull { .. } => (409, "address_book_full"),
            Self::Refused(refusal) => match refusal {
                Refusal::UnknownGoods(_) | Refusal::UnknownAddress => (422, refusal_code(refusal)),
                _ => (409, refusal_code(refusal)),
            },
            Self::BodyTooLarge(_) => (413, "body_too_large"),
            Self::NotJson => (415, "not_json"),
            Self::InvalidField { .. } => (422, "invalid_field"),
            Self::BadLines(BadLines::Empty) => (422, "empty_order"),
            Self::BadLines(BadLines::TooMany { .. }) => (422, "too_many_lines"),
            Self::BadLines(BadLines::Count { .. }) => (422, "bad_count"),
            Self::KeyReused => (422, "idempotency_key_reused"),
            Self::TooManyRequests { .. } => (429, "too_many_requests"),
            Self::Http(status) => (*status, "bad_request"),
            Self::QueueFull => (503, "queue_full"),
            Self::Unavailable(_) | Self::StockChanged => (503, "unavailable"),
            Self::OutcomeUnknown => (503, "outcome_unknown"),
            // Retried as often as allowed and still in somebody's way: come back later.
            Self::Database(error) if cause(error).is_some() => (503, "unavailable"),
            Self::Database(_) | Self::Internal(_) => (500, "internal"),
        }
    }

    /// What a client is told of this error. Nothing of the cause where the cause is ours.
    pub fn problem(&self, language: Language) -> Problem {
        let (status, code) = self.status_and_code();
        let (zh, en) = self.detail();
        let retry_after = match self {
            Self::TooManyRequests { retry_after } => Some(*retry_after),
            _ if status == 503 => Some(BUSY_FOR),
            _ => None,
        };
        let detail = match language {
            Language::Zh => zh,
            Language::En => en,
        };
        Problem { status, code, field: self.field(), detail, more: self.more(), retry_after }
    }

    fn field(&self) -> Option<String> {
        match self {
            Self::MalformedBody { field, .. } if !field.is_empty() => Some(field.clone()),
            Self::InvalidField { field, .. } => Some((*field).to_owned()),
            Self::BadLines(BadLines::Empty | BadLines::TooMany { .. }) => Some("lines".to_owned()),
            Self::BadLines(BadLines::Count { line, .. }) => Some(format!("lines[{line}].count")),
            Self::KeyMissing | Self::KeyMalformed | Self::KeyReused => Some("Idempotency-Key".to_owned()),
            Self::Refused(refusal) => match refusal {
                Refusal::UnknownAddress => Some("fulfilment.address_id".to_owned()),
                Refusal::UnknownGoods(_) | Refusal::NotOnSale(_) | Refusal::OutOfStock(_) => Some("lines".to_owned()),
                Refusal::PriceChanged { .. } => Some("expected_total".to_owned()),
                Refusal::ShopPaused | Refusal::ShopClosed { .. } | Refusal::BelowMinimum { .. } => None,
            },
            _ => None,
        }
    }

    fn more(&self) -> Vec<(&'static str, Value)> {
        let Self::Refused(refusal) = self else { return Vec::new() };
        match refusal {
            Refusal::OutOfStock(short) => vec![("short", json!(short))],
            Refusal::UnknownGoods(ids) | Refusal::NotOnSale(ids) => vec![("goods_ids", json!(ids))],
            Refusal::PriceChanged { expected, total } => {
                vec![("expected_total", json!(expected)), ("total", json!(total))]
            }
            Refusal::BelowMinimum { minimum, goods_amount } => {
                vec![("minimum_amount", json!(minimum)), ("goods_amount", json!(goods_amount))]
            }
            Refusal::ShopClosed { opens_at, closes_at } => vec![
                ("opens_at", json!(opens_at.format("%H:%M").to_string())),
                ("closes_at", json!(closes_at.format("%H:%M").to_string())),
            ],
            Refusal::ShopPaused | Refusal::UnknownAddress => Vec::new(),
        }
    }

    /// The words, in Chinese and in English.
    fn detail(&self) -> (String, String) {
        let fixed = |zh: &str, en: &str| (zh.to_owned(), en.to_owned());
        let busy = || fixed("服务繁忙，请稍后重试。", "The service is busy; try again shortly.");
        match self {
            Self::MalformedBody { reason, .. } => {
                (format!("请求体格式不正确：{reason}"), format!("The body is malformed: {reason}."))
            }
            Self::MalformedQuery(reason) => {
                (format!("查询参数不正确：{reason}"), format!("The query string is malformed: {reason}."))
            }
            Self::KeyMissing => fixed(
                "缺少 Idempotency-Key 请求头。",
                "Send an Idempotency-Key header: one key per order, the same on retry.",
            ),
            Self::KeyMalformed => fixed(
                "Idempotency-Key 须只出现一次，且为 1 到 128 个可见 ASCII 字符。",
                "Send one Idempotency-Key of 1 to 128 visible ASCII characters.",
            ),
            Self::KeyReused => fixed(
                "该 Idempotency-Key 已用于内容不同的订单。",
                "This Idempotency-Key stands for an order with other contents.",
            ),
            Self::Unauthenticated => fixed("请先登录。", "Log in first: send a valid bearer token."),
            Self::TokenExpired => fixed("登录已过期，请重新登录。", "The token has expired; log in again."),
            Self::LoginRefused => fixed("登录凭证无效。", "The login code is not valid."),
            Self::WrongMerchant => fixed("登录凭证属于其他商家。", "The token is for another merchant."),
            Self::NotFound => fixed("未找到。", "Not found."),
            Self::MethodNotAllowed { .. } => fixed("不支持该请求方法。", "This path does not take that method."),
            Self::AddressBookFull { addresses_max } => (
                format!("最多保存 {addresses_max} 个地址。"),
                format!("An address book holds at most {addresses_max} addresses."),
            ),
            Self::BodyTooLarge(max) => {
                (format!("请求体不得超过 {max} 字节。"), format!("The body may have at most {max} bytes."))
            }
            Self::NotJson => fixed(
                "Content-Type 须为 application/json，且不得压缩。",
                "The Content-Type must be application/json, without a Content-Encoding.",
            ),
            Self::BodyTooSlow => fixed("请求体未及时到达。", "The body did not arrive in time."),
            Self::InvalidField { field, reason } => {
                (format!("{field} 不正确：{reason}"), format!("{field} is not valid: {reason}."))
            }
            Self::BadLines(bad) => bad_lines_detail(*bad),
            Self::Refused(refusal) => refusal_detail(refusal),
            Self::TooManyRequests { .. } => fixed("请求过于频繁，请稍后再试。", "Too many requests; slow down."),
            Self::Http(_) => fixed("请求无效。", "The request is not valid."),
            Self::OutcomeUnknown => fixed(
                "结果未知：下单请用相同的 Idempotency-Key 重试，其他请求请先查看是否已生效。",
                "The outcome is unknown: repeat an order with the same Idempotency-Key; otherwise look first whether it took effect.",
            ),
            Self::QueueFull => {
                fixed("排队的订单过多，请稍后重试。", "Too many orders wait; nothing was done, try again shortly.")
            }
            Self::Unavailable(_) | Self::StockChanged => busy(),
            Self::Database(error) if cause(error).is_some() => busy(),
            Self::Database(_) | Self::Internal(_) => {
                fixed("服务内部错误。", "Something went wrong on our side; the request id helps to find it.")
            }
        }
    }
}

fn bad_lines_detail(bad: BadLines) -> (String, String) {
    match bad {
        BadLines::Empty => ("订单为空。".to_owned(), "The order is empty.".to_owned()),
        BadLines::TooMany { lines_max } => {
            (format!("订单最多 {lines_max} 行。"), format!("An order may have at most {lines_max} lines."))
        }
        BadLines::Count { count_max, .. } => (
            format!("每种商品的数量须在 1 到 {count_max} 之间。"),
            format!("The count of each goods must be from 1 to {count_max}, over all its lines."),
        ),
    }
}

fn refusal_detail(refusal: &Refusal) -> (String, String) {
    let list = |ids: &[GoodsId]| ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    match refusal {
        Refusal::ShopPaused => ("商家暂停接单。".to_owned(), "The shop takes no orders at the moment.".to_owned()),
        Refusal::ShopClosed { opens_at, closes_at } => {
            let (opens_at, closes_at) = (opens_at.format("%H:%M"), closes_at.format("%H:%M"));
            (
                format!("商家休息中，营业时间 {opens_at}–{closes_at}。"),
                format!("The shop is closed; it is open from {opens_at} to {closes_at}."),
            )
        }
        Refusal::UnknownAddress => ("收货地址不存在。".to_owned(), "Your address book has no such address.".to_owned()),
        Refusal::UnknownGoods(ids) => {
            (format!("商品不存在：{}。", list(ids)), format!("No such goods: {}.", list(ids)))
        }
        Refusal::NotOnSale(ids) => (format!("商品已下架：{}。", list(ids)), format!("Not on sale: {}.", list(ids))),
        Refusal::OutOfStock(short) => {
            let zh: Vec<String> = short.iter().map(|s| format!("商品 {} 仅剩 {} 份", s.goods_id, s.left)).collect();
            let en: Vec<String> = short.iter().map(|s| format!("{} left of goods {}", s.left, s.goods_id)).collect();
            (format!("库存不足：{}。", zh.join("，")), format!("Out of stock: {}.", en.join(", ")))
        }
        Refusal::BelowMinimum { minimum, goods_amount } => (
            format!("起送金额为 {minimum} 元，当前 {goods_amount} 元。"),
            format!("Orders start at {minimum} yuan; this one has {goods_amount}."),
        ),
        Refusal::PriceChanged { expected, total } => (
            format!("价格已变动：应付 {total} 元，而非 {expected} 元。"),
            format!("The price has changed: the total is {total} yuan, not {expected}."),
        ),
    }
}
