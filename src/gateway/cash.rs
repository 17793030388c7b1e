//! Cash: the staff take it in and hand it back, so there is nobody to ask.

use super::{
    Answer, Charge, Checkout, Envelope, Gateway, GatewayError, Notice, NoticeError, Opening, RefundStanding, Refunding,
    Standing,
};
use crate::domain::payment::{Channel, PaymentNumber};

struct Cash;

/// For every merchant, without credentials.
#[expect(clippy::unnecessary_wraps, reason = "an opener may fail")]
pub(super) fn open(_: Opening<'_>) -> Result<Box<dyn Gateway>, String> {
    Ok(Box::new(Cash))
}

impl Gateway for Cash {
    fn channels(&self) -> &'static [Channel] {
        &[]
    }

    fn create(&self, _: &Charge<'_>) -> Result<Checkout, GatewayError> {
        let message = "cash is paid to the staff".to_owned();
        Err(GatewayError::Refused { code: "cash".to_owned(), message })
    }

    fn query(&self, _: PaymentNumber) -> Result<Standing, GatewayError> {
        Ok(Standing::Unknown)
    }

    fn close(&self, _: PaymentNumber) -> Result<(), GatewayError> {
        Ok(())
    }

    fn refund(&self, _: &Refunding<'_>) -> Result<RefundStanding, GatewayError> {
        Ok(RefundStanding::Succeeded)
    }

    fn query_refund(&self, _: &Refunding<'_>) -> Result<RefundStanding, GatewayError> {
        Ok(RefundStanding::Succeeded)
    }

    fn read_notice(&self, _: &Envelope<'_>) -> Result<Notice, NoticeError> {
        Err(NoticeError::Unverified("cash has nobody to send any"))
    }

    fn answer(&self, is_taken: bool) -> Answer {
        Answer { status: if is_taken { 200 } else { 400 }, content_type: "text/plain", body: String::new() }
    }
}
