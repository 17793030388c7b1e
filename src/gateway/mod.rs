//! What Rowlock asks of the outside, and tells it: payments at gateways, who a customer is, what merchants' webhooks are to know.
//!
//! Contract:
//! * A gateway knows nothing of the database, and is never called inside a transaction.
//! * Whatever it is asked is asked under a number of ours, so that asking again does nothing twice.
//! * What it says counts only when its signature over the bytes as they came is good. An answer that is not understood is
//!   [`GatewayError::Unclear`], never a guess.
//!
//! A gateway is added by a file with an [`Opener`], a name in [`PayMethod`], and a line in `opener`. One that merchants have without
//! credentials is also named in `registry`; one that makes bills has a reader in [`bill`].

pub mod bill;
pub mod client;
pub mod webhook;

mod addresses;
mod alipay;
mod cash;
mod login;
mod registry;
mod sandbox;
mod wechat;

use std::sync::Arc;

use chrono::{DateTime, Utc};

pub use self::login::{Login, LoginError, Subject, login};
pub use self::registry::{Gateways, Opener, Opening};
use crate::clock::Clock;
use crate::config::Config;
use crate::domain::money::Money;
use crate::domain::order::PayMethod;
pub use crate::domain::payment::RefundStanding;
use crate::domain::payment::{Channel, PaymentNumber, RefundNumber};

/// The way to open the gateway of a pay method.
const fn opener(method: PayMethod) -> Opener {
    match method {
        PayMethod::Cash => cash::open,
        PayMethod::Sandbox => sandbox::open,
        PayMethod::Wechat => wechat::open,
        PayMethod::Alipay => alipay::open,
    }
}

/// Whether every merchant's credentials can be used, as far as can be told without calling anybody.
///
/// # Errors
/// One sentence that names the file, the merchant and the key at fault.
pub fn check(config: &Config) -> Result<(), String> {
    let gateways = Gateways::open(&config.gateways, config.public_url(), &[], Clock::System, Arc::default())?;
    login(config.login.provider, &config.gateways, &gateways).map(drop)
}

/// One merchant's account at a provider of payments. Everything blocks, for no longer than the configured time.
pub trait Gateway: Send + Sync {
    /// Where customers can pay; the first is what is taken where they do not say. Empty where nothing is paid through it.
    fn channels(&self) -> &'static [Channel];

    /// Announces a payment, and returns what the customer's device needs to make it. Repeating it with the same parameters is safe.
    ///
    /// # Errors
    /// [`GatewayError::Refused`] also when it is paid or closed already: a query tells.
    fn create(&self, charge: &Charge<'_>) -> Result<Checkout, GatewayError>;

    /// Where a payment stands.
    ///
    /// # Errors
    /// [`GatewayError`].
    fn query(&self, number: PaymentNumber) -> Result<Standing, GatewayError>;

    /// Closes a payment: after success no money can come. Repeatable.
    ///
    /// # Errors
    /// [`GatewayError`]: whichever it is, only a query tells what is so.
    fn close(&self, number: PaymentNumber) -> Result<(), GatewayError>;

    /// Asks for money to go back. Repeating it under the same number pays once.
    ///
    /// # Errors
    /// [`GatewayError`].
    fn refund(&self, refund: &Refunding<'_>) -> Result<RefundStanding, GatewayError>;

    /// Where a refund stands.
    ///
    /// # Errors
    /// [`GatewayError`].
    fn query_refund(&self, refund: &Refunding<'_>) -> Result<RefundStanding, GatewayError>;

    /// Verifies and reads what the provider has sent of its own accord.
    ///
    /// # Errors
    /// [`NoticeError`]; nothing of such a notice may take effect.
    fn read_notice(&self, envelope: &Envelope<'_>) -> Result<Notice, NoticeError>;

    /// What a notice is answered with: that it was taken, or that it shall come again.
    fn answer(&self, is_taken: bool) -> Answer;
}

/// A payment to be announced.
#[derive(Clone, Debug)]
pub struct Charge<'a> {
    /// Our number for it.
    pub number: PaymentNumber,
    /// Yuan.
    pub amount: Money,
    /// What the customer is told it is for; at most 40 characters.
    pub description: &'a str,
    /// Where the customer pays: one of [`Gateway::channels`].
    pub channel: Channel,
    /// The customer's id at the provider's login, where they logged in there: an `openid`, a buyer's id.
    pub payer: Option<&'a str>,
    /// When the provider is to stop taking money for it.
    pub expires_at: DateTime<Utc>,
}

/// What the customer's device needs to make a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Checkout {
    /// The parameters of `wx.requestPayment`.
    WechatMiniProgram {
        /// Seconds since 1970.
        time_stamp: String,
        /// Random.
        nonce_str: String,
        /// `prepay_id=…`
        package: String,
        /// `RSA`
        sign_type: String,
        /// The signature.
        pay_sign: String,
    },
    /// The parameter of `my.tradePay`.
    AlipayMiniProgram {
        /// Alipay's number of the trade.
        trade_no: String,
    },
    /// A page to go to.
    Redirect {
        /// Its address.
        url: String,
    },
    /// A code to show.
    Qr {
        /// What the code says.
        code: String,
    },
}

/// Where a payment stands at its gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The gateway has never heard of it, or so it says: for some ways to pay that is so until the customer opens the page.
    Unknown,
    /// Not paid.
    Open,
    /// The customer is paying at this moment.
    Paying,
    /// Paid.
    Paid(Receipt),
    /// Not paid, and never will be.
    Closed,
}

/// Money that came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The gateway's own number for it.
    pub transaction: String,
    /// Yuan.
    pub amount: Money,
}

/// Money to be sent back.
#[derive(Clone, Debug)]
pub struct Refunding<'a> {
    /// Our number for it.
    pub number: RefundNumber,
    /// Our number of the payment.
    pub payment: PaymentNumber,
    /// The gateway's number of the payment. It says which, where one number of ours was paid twice.
    pub transaction: &'a str,
    /// Yuan to send back.
    pub amount: Money,
    /// Yuan that had come in.
    pub paid: Money,
    /// Why, for the customer; at most 40 characters.
    pub reason: &'a str,
}

/// Why a gateway did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GatewayError {
    /// It was not reached: nothing has happened.
    #[error("not reached: {0}")]
    Unsent(String),
    /// It did not answer, or not so that it can be understood and trusted: it may have happened.
    #[error("unclear: {0}")]
    Unclear(String),
    /// It wants to be left alone for a while: nothing has happened.
    #[error("asked too often")]
    Busy,
    /// It says no.
    #[error("refused: {code} {message}")]
    Refused {
        /// Its code.
        code: String,
        /// Its words.
        message: String,
    },
}

/// A request that a provider has made to us, as it came.
pub struct Envelope<'a> {
    /// A header's value, by its lower-case name, if it is there and text.
    pub header: &'a dyn Fn(&str) -> Option<&'a str>,
    /// The body's bytes.
    pub body: &'a [u8],
}

/// What a provider says, verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The provider's id of it, the same when it is sent again.
    pub id: String,
    /// What it says.
    pub says: Says,
}

/// What a notice says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Says {
    /// A payment was made.
    Paid {
        /// The number it is under. Ours, if it can be read as one.
        number: String,
        /// The money.
        receipt: Receipt,
    },
    /// A refund has come to a point.
    Refund {
        /// The number it is under.
        number: String,
        /// Where it stands.
        standing: RefundStanding,
    },
    /// Nothing that matters here.
    Nothing,
}

/// Why a notice is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoticeError {
    /// Nobody knows who sent it.
    #[error("not verified: {0}")]
    Unverified(&'static str),
    /// The provider sent it, for another merchant, app, seller or currency than ours.
    #[error("not ours: {0}")]
    NotOurs(&'static str),
    /// The provider sent it, and it says something that is not understood.
    #[error("not understood: {0}")]
    Strange(String),
}

/// How a notice is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body's type.
    pub content_type: &'static str,
    /// The body.
    pub body: String,
}
