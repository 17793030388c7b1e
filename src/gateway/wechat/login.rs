//! Who a customer of a mini-program is: `wx.login`'s code, exchanged for the `openid` that the code stands for.
//!
//! Contract: the session key that comes with it is neither kept nor shown, and neither is the app's secret, which stands in the URL.
//! Rules: <https://developers.weixin.qq.com/miniprogram/dev/OpenApiDoc/user-login/code2Session.html>.

use std::collections::HashMap;

use reqwest::{Method, Url};
use serde::Deserialize;

use super::credentials::{Credentials, check_app_id, check_host};
use crate::config::Secret;
use crate::domain::MerchantId;
use crate::gateway::client::{Client, Request};
use crate::gateway::{Login, LoginError, Opening, Subject};

/// Everybody's mini-programs.
pub(in crate::gateway) struct WechatLogin(HashMap<MerchantId, App>);

/// One merchant's mini-program.
struct App {
    id: String,
    secret: Secret,
    host: String,
    client: Client,
}

impl WechatLogin {
    /// With the mini-programs of all merchants that have credentials.
    ///
    /// # Errors
    /// A sentence that names the key at fault.
    pub(in crate::gateway) fn open(openings: &[Opening<'_>]) -> Result<Self, String> {
        let apps = openings.iter().map(|opening| {
            let app = App::read(opening).map_err(|error| format!("wechat.{}: {error}", opening.merchant))?;
            Ok((opening.merchant, app))
        });
        let apps: HashMap<_, _> = apps.collect::<Result<_, String>>()?;
        if apps.is_empty() {
            return Err("login.provider is wechat, and gateways.file has no [wechat.<merchant>]".to_owned());
        }
        Ok(Self(apps))
    }
}

impl App {
    fn read(opening: &Opening<'_>) -> Result<Self, String> {
        let given: Credentials = opening.credentials()?;
        check_app_id(&given.app_id)?;
        let secret = given.app_secret.filter(|secret| !secret.is_empty());
        let secret = secret.ok_or("app_secret is missing, which login.provider = \"wechat\" needs")?;
        let host = check_host("login_url", given.login_url)?;
        Ok(Self { id: given.app_id, secret, host, client: opening.client.clone() })
    }

    fn url(&self, code: &str) -> Option<String> {
        let parameters = [
            ("appid", self.id.as_str()),
            ("secret", self.secret.expose()),
            ("js_code", code),
            ("grant_type", "authorization_code"),
        ];
        Url::parse_with_params(&format!("{}/sns/jscode2session", self.host), parameters).ok().map(String::from)
    }
}

impl Login for WechatLogin {
    fn subject(&self, merchant: MerchantId, code: &str) -> Result<Subject, LoginError> {
        let unavailable = |why: &str| LoginError::Unavailable(format!("WeChat's login: {why}"));
        let app = self.0.get(&merchant).ok_or(LoginError::NotOffered)?;
        let url = app.url(code).ok_or_else(|| unavailable("there is no URL"))?;
        let request = Request { method: Method::GET, url, headers: Vec::new(), body: Vec::new() };
        let response = app.client.send(request).map_err(|error| unavailable(&error.to_string()))?;
        if response.status != 200 {
            return Err(unavailable(&format!("it answered {}", response.status)));
        }
        read(&response.body)
    }
}

/// The fields that matter. The session key is not among them.
#[derive(Deserialize)]
struct Session {
    #[serde(default)]
    errcode: i64,
    openid: Option<String>,
}

/// Whom an answer names. It comes as JSON under whatever type, and always with status 200.
fn read(body: &[u8]) -> Result<Subject, LoginError> {
    let unavailable = |why: String| LoginError::Unavailable(format!("WeChat's login: {why}"));
    let session: Session =
        serde_json::from_slice(body).map_err(|_| unavailable("its answer is not understood".to_owned()))?;
    match session.errcode {
        0 => {}
        // A code that is not known, one that was used, and a customer whom WeChat holds for a risk.
        40029 | 40163 | 40226 => return Err(LoginError::Refused),
        // -1 is a provider that is busy, 45011 a limit; others are mistakes of ours, and no fault of the customer's.
        errcode => return Err(unavailable(format!("errcode {errcode}"))),
    }
    let is_id = |id: &String| (1..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
    let id = session.openid.filter(is_id).ok_or_else(|| unavailable("it names nobody".to_owned()))?;
    Ok(Subject { provider: "wechat", id })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_name_somebody_or_say_why_not() {
        let somebody = Ok(Subject { provider: "wechat", id: "oUpF8u".to_owned() });
        let (refused, other) = (Err(true), Err(false));
        for (body, expected) in [
            (r#"{"openid":"oUpF8u","session_key":"k","unionid":"u"}"#, somebody.clone()),
            (r#"{"openid":"oUpF8u","session_key":"k","errcode":0,"errmsg":"ok"}"#, somebody),
            (r#"{"errcode":40029,"errmsg":"invalid code"}"#, refused.clone()),
            (r#"{"errcode":40163,"errmsg":"code been used"}"#, refused.clone()),
            (r#"{"errcode":40226,"errmsg":"code blocked"}"#, refused),
            (r#"{"errcode":-1,"errmsg":"system error"}"#, other.clone()),
            (r#"{"errcode":45011,"errmsg":"api minute-quota"}"#, other.clone()),
            (r#"{"errcode":40125,"errmsg":"invalid appsecret","openid":"oUpF8u"}"#, other.clone()),
            (r#"{"errcode":40013}"#, other.clone()),
            (r#"{"openid":""}"#, other.clone()),
            (r#"{"openid":"a b"}"#, other.clone()),
            ("{}", other.clone()),
            ("", other.clone()),
            ("<html>", other),
        ] {
            let read = read(body.as_bytes()).map_err(|error| error == LoginError::Refused);
            assert_eq!(read, expected, "{body}");
        }
    }
}
