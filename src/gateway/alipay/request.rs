//! Requests to Alipay: the parameters every method has, signed, and the addresses customers are sent to.
//!
//! Contract: pure; the time is an argument.
//! <https://opendocs.alipay.com/common/02kf5q>

use chrono::{DateTime, FixedOffset, Utc};
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use reqwest::{Method, Url};

use super::credentials::Account;
use super::sign;
use crate::gateway::client::Request;

/// A method of Alipay's, and what it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Api {
    Create,
    PagePay,
    WapPay,
    Precreate,
    Query,
    Close,
    Refund,
    RefundQuery,
}

impl Api {
    /// Its name.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Create => "alipay.trade.create",
            Self::PagePay => "alipay.trade.page.pay",
            Self::WapPay => "alipay.trade.wap.pay",
            Self::Precreate => "alipay.trade.precreate",
            Self::Query => "alipay.trade.query",
            Self::Close => "alipay.trade.close",
            Self::Refund => "alipay.trade.refund",
            Self::RefundQuery => "alipay.trade.fastpay.refund.query",
        }
    }

    /// Whether Alipay tells later what has become of it.
    const fn has_notices(self) -> bool {
        matches!(self, Self::Create | Self::PagePay | Self::WapPay | Self::Precreate)
    }
}

/// A time as Alipay writes it: to the second, China's. There has been no summer time in China since 1991.
pub(super) fn china_time(time: DateTime<Utc>) -> String {
    let china = FixedOffset::east_opt(8 * 3_600).expect("eight hours are less than a day");
    time.with_timezone(&china).format("%Y-%m-%d %H:%M:%S").to_string()
}

/// All parameters of a call but `biz_content`, the signature included, which is over both.
fn parameters(
    account: &Account,
    api: Api,
    biz_content: &str,
    notify_url: &str,
    now: DateTime<Utc>,
) -> Vec<(&'static str, String)> {
    let mut parameters = vec![
        ("app_id", account.app_id.clone()),
        ("method", api.name().to_owned()),
        ("format", "JSON".to_owned()),
        ("charset", "utf-8".to_owned()),
        ("sign_type", "RSA2".to_owned()),
        ("timestamp", china_time(now)),
        ("version", "1.0".to_owned()),
        ("biz_content", biz_content.to_owned()),
    ];
    if api.has_notices() {
        parameters.push(("notify_url", notify_url.to_owned()));
    }
    if let Some(numbers) = &account.certificates {
        parameters.push(("app_cert_sn", numbers.app.clone()));
        parameters.push(("alipay_root_cert_sn", numbers.root.clone()));
    }
    parameters.retain(|(_, value)| !value.is_empty());
    let signature = account.key.sign(&sign::canonical(&parameters));
    parameters.retain(|(name, _)| *name != "biz_content");
    parameters.push(("sign", signature));
    parameters
}

/// A call: what is common in the address, as Alipay's own libraries do it, so that the charset is known before the body is read.
pub(super) fn call(account: &Account, api: Api, biz_content: &str, notify_url: &str, now: DateTime<Utc>) -> Request {
    let mut url = account.base_url.clone();
    url.query_pairs_mut().extend_pairs(parameters(account, api, biz_content, notify_url, now));
    let body = format!("biz_content={}", percent_encode(biz_content.as_bytes(), NON_ALPHANUMERIC));
    let content_type = "application/x-www-form-urlencoded;charset=utf-8".to_owned();
    Request {
        method: Method::POST,
        url: url.into(),
        headers: vec![("content-type", content_type)],
        body: body.into_bytes(),
    }
}

/// An address that a customer is sent to. Alipay knows nothing of the payment until they go there.
pub(super) fn page(account: &Account, api: Api, biz_content: &str, notify_url: &str, now: DateTime<Utc>) -> Url {
    let mut url = account.base_url.clone();
    let parameters = parameters(account, api, biz_content, notify_url, now);
    url.query_pairs_mut().extend_pairs(parameters).append_pair("biz_content", biz_content);
    url
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use chrono::TimeZone;
    use percent_encoding::percent_decode_str;

    use super::super::vectors::Vectors;
    use super::*;

    const NOTIFY_URL: &str = "https://shop.example/v1/callbacks/1/alipay";

    fn noon() -> DateTime<Utc> {
        Utc.with_ymd_and_hms(2026, 11, 21, 4, 0, 0).single().expect("a time")
    }

    fn pairs(url: &Url) -> BTreeMap<String, String> {
        let pairs: Vec<_> = url.query_pairs().into_owned().collect();
        let map: BTreeMap<_, _> = pairs.iter().cloned().collect();
        assert_eq!(map.len(), pairs.len(), "nothing stands there twice");
        map
    }

    #[test]
    fn pages_and_calls_are_what_another_implementation_makes() {
        let vectors = Vectors::read();
        for (request, has_certificates) in vectors.requests.iter().zip([false, false, true]) {
            let account = vectors.account(has_certificates);
            let content = &request.parameters["biz_content"];
            let mut expected = request.parameters.clone();
            expected.insert("sign".to_owned(), request.sign.clone());
            let api =
                [Api::PagePay, Api::Query].into_iter().find(|api| api.name() == expected["method"]).expect("a method");

            let page = page(&account, api, content, NOTIFY_URL, noon());
            assert_eq!(pairs(&page), expected);
            assert_eq!((page.host_str(), page.path()), (Some("alipay.example"), "/gateway.do"));

            let call = call(&account, api, content, NOTIFY_URL, noon());
            let body = String::from_utf8(call.body).expect("ASCII");
            let body = percent_decode_str(body.strip_prefix("biz_content=").expect("the content"))
                .decode_utf8()
                .expect("UTF-8");
            assert_eq!(&body, content);
            let mut all = pairs(&Url::parse(&call.url).expect("an address"));
            assert!(all.insert("biz_content".to_owned(), body.into_owned()).is_none());
            assert_eq!(all, expected);
        }
    }

    #[test]
    fn times_are_chinas_and_to_the_second() {
        let time = Utc.with_ymd_and_hms(2026, 12, 31, 16, 0, 59).single().expect("a time")
            + chrono::TimeDelta::milliseconds(999);
        assert_eq!(china_time(time), "2027-01-01 00:00:59");
        let summer = Utc.with_ymd_and_hms(2026, 7, 1, 0, 0, 0).single().expect("a time");
        assert_eq!(china_time(summer), "2026-07-01 08:00:00");
    }
}
