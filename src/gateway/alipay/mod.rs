//! Alipay, through its open API (version 2: parameters signed by RSA2), in public-key or certificate mode.
//!
//! Contract:
//! * Nothing that Alipay says counts before its signature over the text as it came is good ([`response`], [`notice`]).
//! * A call that may have taken effect is not repeated here; one that was not delivered is, twice at most, signed anew, under the same
//!   numbers. A refund is sent once: when to ask again is the caller's to decide.
//! * Payments by page are announced without a call: Alipay knows nothing of them before the customer opens the page, and answers queries and
//!   closes accordingly. What ends them is their `time_expire`, which is always sent.

mod cert;
mod credentials;
mod notice;
mod pem;
mod refund;
mod request;
mod response;
mod sign;
mod trade;
#[cfg(test)]
mod vectors;

use serde::Serialize;
use serde::de::DeserializeOwned;

use self::credentials::Account;
use self::refund::{NewRefund, QueriedRefund, Refunded, WhichRefund};
use self::request::Api;
use self::trade::{Closed, Created, NewTrade, Precreated, Queried, Which};
use super::client::Client;
use super::{
    Answer, Charge, Checkout, Envelope, Gateway, GatewayError, Notice, NoticeError, Opening, RefundStanding, Refunding,
    Standing,
};
use crate::clock::Clock;
use crate::domain::payment::{Channel, PaymentNumber};

/// How often a call is sent that does not get there.
const SENDINGS_MAX: u32 = 3;

/// One merchant's account at Alipay.
struct Alipay {
    account: Account,
    notify_url: String,
    client: Client,
    clock: Clock,
}

/// Of the merchant's credentials, which are checked whole.
pub(super) fn open(opening: Opening<'_>) -> Result<Box<dyn Gateway>, String> {
    let account = Account::read(&opening)?;
    Ok(Box::new(Alipay { account, notify_url: opening.notify_url, client: opening.client, clock: opening.clock }))
}

impl Alipay {
    /// Calls a method about a payment; again while it does not get there, unless it is a refund.
    fn call<T: DeserializeOwned>(
        &self,
        api: Api,
        number: PaymentNumber,
        content: &impl Serialize,
    ) -> Result<T, GatewayError> {
        let content = json(content);
        let sendings = if api == Api::Refund { 1 } else { SENDINGS_MAX };
        let mut sent = 1;
        let answer = loop {
            let request = request::call(&self.account, api, &content, &self.notify_url, self.clock.now());
            match self.client.send(request) {
                Err(GatewayError::Unsent(_)) if sent < sendings => sent += 1,
                answer => break answer?,
            }
        };
        if answer.status != 200 {
            return Err(GatewayError::Unclear(format!("the answer's status is {}", answer.status)));
        }
        let text = response::verified(&self.account, api, &answer.body)?;
        response::read(&self.account, number, &text)
    }

    fn page(&self, api: Api, trade: &NewTrade<'_>) -> Checkout {
        let url = request::page(&self.account, api, &json(trade), &self.notify_url, self.clock.now());
        Checkout::Redirect { url: url.into() }
    }
}

fn json(content: &impl Serialize) -> String {
    serde_json::to_string(content).expect("a struct of texts is JSON")
}

impl Gateway for Alipay {
    fn channels(&self) -> &'static [Channel] {
        &[Channel::Page, Channel::Wap, Channel::MiniProgram, Channel::Qr]
    }

    fn create(&self, charge: &Charge<'_>) -> Result<Checkout, GatewayError> {
        let trade = NewTrade::of(charge, &self.account.app_id)?;
        match charge.channel {
            Channel::Page => Ok(self.page(Api::PagePay, &trade)),
            Channel::Wap => Ok(self.page(Api::WapPay, &trade)),
            Channel::MiniProgram => {
                let created: Created = self.call(Api::Create, charge.number, &trade)?;
                Ok(Checkout::AlipayMiniProgram { trade_no: created.trade_no(charge.number)? })
            }
            Channel::Qr => {
                let created: Precreated = self.call(Api::Precreate, charge.number, &trade)?;
                Ok(Checkout::Qr { code: created.code(charge.number)? })
            }
        }
    }

    fn query(&self, number: PaymentNumber) -> Result<Standing, GatewayError> {
        match self.call::<Queried>(Api::Query, number, &Which::of(number)) {
            Err(GatewayError::Refused { code, .. }) if code == response::TRADE_NOT_EXIST => Ok(Standing::Unknown),
            queried => queried?.standing(number),
        }
    }

    fn close(&self, number: PaymentNumber) -> Result<(), GatewayError> {
        self.call::<Closed>(Api::Close, number, &Which::of(number))?.check(number)
    }

    fn refund(&self, refund: &Refunding<'_>) -> Result<RefundStanding, GatewayError> {
        self.call::<Refunded>(Api::Refund, refund.payment, &NewRefund::of(refund))?.standing(refund)
    }

    fn query_refund(&self, refund: &Refunding<'_>) -> Result<RefundStanding, GatewayError> {
        self.call::<QueriedRefund>(Api::RefundQuery, refund.payment, &WhichRefund::of(refund))?.standing(refund)
    }

    fn read_notice(&self, envelope: &Envelope<'_>) -> Result<Notice, NoticeError> {
        notice::read(&self.account, envelope.body)
    }

    /// By the word `success` alone; anything else has the notice sent again.
    fn answer(&self, is_taken: bool) -> Answer {
        let body = if is_taken { "success" } else { "fail" };
        Answer { status: 200, content_type: "text/plain", body: body.to_owned() }
    }
}
