//! How the provider says no: a status, a code, words.

/// A refusal. The codes are WeChat Pay's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) code: &'static str,
    pub(super) message: &'static str,
}

impl Refusal {
    pub(super) const FREQUENCY_LIMITED: Self = Self::new(429, "FREQUENCY_LIMITED", "too much at once");
    pub(super) const INVALID_REQUEST: Self =
        Self::new(400, "INVALID_REQUEST", "it does not fit the payment, or the number was used for something else");
    pub(super) const NOTHING_LEFT: Self = Self::new(400, "INVALID_REQUEST", "more than is left of the payment");
    pub(super) const NOT_PAID: Self = Self::new(403, "TRADE_ERROR", "the payment is not paid");
    pub(super) const ORDERCLOSED: Self = Self::new(400, "ORDERCLOSED", "the payment is closed");
    pub(super) const ORDERPAID: Self = Self::new(400, "ORDERPAID", "the payment is paid");
    pub(super) const ORDER_NOT_EXIST: Self = Self::new(404, "ORDER_NOT_EXIST", "there is no such payment");
    pub(super) const OUT_TRADE_NO_USED: Self =
        Self::new(403, "OUT_TRADE_NO_USED", "the number was used with other parameters");
    pub(super) const RESOURCE_NOT_EXISTS: Self = Self::new(404, "RESOURCE_NOT_EXISTS", "there is no such refund");
    pub(super) const SIGN_ERROR: Self =
        Self::new(401, "SIGN_ERROR", "the request is not signed by the merchant, or too old");
    pub(super) const SYSTEM_ERROR: Self = Self::new(500, "SYSTEM_ERROR", "the system failed");
    pub(super) const USERPAYING: Self = Self::new(202, "USERPAYING", "the customer is typing their password");

    const fn new(status: u16, code: &'static str, message: &'static str) -> Self {
        Self { status, code, message }
    }

    /// A request that is not as it should be.
    pub(super) const fn bad(message: &'static str) -> Self {
        Self::new(400, "PARAM_ERROR", message)
    }
}
