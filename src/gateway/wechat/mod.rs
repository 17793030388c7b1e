//! WeChat Pay, API v3, for mini-programs.
//!
//! Contract: what [`Gateway`] promises. Every request is signed anew, every answer and notice verified over its bytes before anything in
//! it is believed, and its account, app, numbers, amounts and currency are compared with ours. There is no sandbox of the provider's: the
//! tests talk to a server of their own that signs as WeChat Pay does.
//!
//! Reading order: [`credentials`], [`sign`], [`verify`], [`seal`], [`keys`], [`failure`], [`api`], [`wire`], [`notice`]; [`login`] stands
//! by itself.

mod api;
mod credentials;
mod failure;
mod keys;
mod login;
mod notice;
mod seal;
mod sign;
#[cfg(test)]
mod vectors;
mod verify;
mod wire;

use serde::Deserialize;
use serde_json::json;

use self::api::{Ask, Caller};
use self::credentials::Account;
pub(super) use self::login::WechatLogin;
use self::wire::{Misfit, Refund, Transaction};
use super::{
    Answer, Charge, Checkout, Envelope, Gateway, GatewayError, Notice, NoticeError, Opening, RefundStanding, Refunding,
    Standing,
};
use crate::domain::payment::{Channel, PaymentNumber};

/// One merchant's account at WeChat Pay.
struct Wechat(Caller);

/// With the credentials of `[wechat.<merchant>]`.
pub(super) fn open(opening: Opening<'_>) -> Result<Box<dyn Gateway>, String> {
    let account = Account::read(&opening)?;
    Ok(Box::new(Wechat(Caller { account, client: opening.client, clock: opening.clock })))
}

#[derive(Deserialize)]
struct Prepay {
    prepay_id: String,
}

impl Gateway for Wechat {
    fn channels(&self) -> &'static [Channel] {
        &[Channel::MiniProgram]
    }

    fn create(&self, charge: &Charge<'_>) -> Result<Checkout, GatewayError> {
        if charge.channel != Channel::MiniProgram {
            return Err(refused("CHANNEL_NOT_OFFERED", "it is paid in the mini-program only"));
        }
        let Some(openid) = charge.payer.filter(|payer| !payer.is_empty()) else {
            return Err(refused("PAYER_MISSING", "the customer has not logged in by WeChat"));
        };
        if charge.amount.fen() == 0 {
            return Err(refused("AMOUNT_ZERO", "the least amount is one fen"));
        }
        let ask = Ask::post("/v3/pay/transactions/jsapi".to_owned(), &wire::charge(&self.0.account, charge, openid));
        let Prepay { prepay_id } = wire::parse(&self.success(&ask)?)?;
        if !(1..=64).contains(&prepay_id.len()) || !prepay_id.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Misfit::Strange("prepay_id is not as documented".to_owned()).into());
        }
        let Account { signer, app_id, .. } = &self.0.account;
        Ok(signer.checkout(app_id, &prepay_id, self.0.now().timestamp(), sign::nonce()))
    }

    fn query(&self, number: PaymentNumber) -> Result<Standing, GatewayError> {
        let path = format!("/v3/pay/transactions/out-trade-no/{number}?mchid={}", self.0.account.mch_id);
        let body = match self.success(&Ask::get(path)) {
            Err(GatewayError::Refused { code, .. }) if failure::is(&code, "ORDERNOTEXIST") => {
                return Ok(Standing::Unknown);
            }
            other => other?,
        };
        let transaction = Transaction::read(&body, &self.0.account)?;
        if transaction.out_trade_no != number.to_string() {
            return Err(Misfit::NotOurs("out_trade_no").into());
        }
        Ok(transaction.standing()?)
    }

    fn close(&self, number: PaymentNumber) -> Result<(), GatewayError> {
        let path = format!("/v3/pay/transactions/out-trade-no/{number}/close");
        let response = self.0.ask(&Ask::post(path, &json!({ "mchid": self.0.account.mch_id })))?;
        if response.status != 204 {
            return Err(GatewayError::Unclear(format!("closing was answered {}", response.status)));
        }
        Ok(())
    }

    fn refund(&self, refund: &Refunding<'_>) -> Result<RefundStanding, GatewayError> {
        let ask = Ask::post("/v3/refund/domestic/refunds".to_owned(), &wire::refund(&self.0.account, refund));
        let answer: Refund = wire::parse(&self.success(&ask.once())?)?;
        Ok(answer.standing(refund)?)
    }

    fn query_refund(&self, refund: &Refunding<'_>) -> Result<RefundStanding, GatewayError> {
        let path = format!("/v3/refund/domestic/refunds/{}", refund.number);
        let body = match self.success(&Ask::get(path)) {
            Err(GatewayError::Refused { code, .. })
                if ["RESOURCENOTEXISTS", "REFUNDNOTEXISTS"].iter().any(|name| failure::is(&code, name)) =>
            {
                return Ok(RefundStanding::Unknown);
            }
            other => other?,
        };
        Ok(wire::parse::<Refund>(&body)?.standing(refund)?)
    }

    fn read_notice(&self, envelope: &Envelope<'_>) -> Result<Notice, NoticeError> {
        notice::read(&self.0, envelope)
    }

    fn answer(&self, is_taken: bool) -> Answer {
        notice::answer(is_taken)
    }
}

impl Wechat {
    /// The body of an answer with status 200.
    fn success(&self, ask: &Ask) -> Result<Vec<u8>, GatewayError> {
        let response = self.0.ask(ask)?;
        match response.status {
            200 => Ok(response.body),
            other => Err(GatewayError::Unclear(format!("it answered {other}, with nothing"))),
        }
    }
}

fn refused(code: &str, message: &str) -> GatewayError {
    GatewayError::Refused { code: code.to_owned(), message: message.to_owned() }
}
