//! Who a customer is, by what the platform of their mini-program says.

use super::registry::Gateways;
use super::wechat::WechatLogin;
use crate::config::{self, LoginProvider};
use crate::domain::MerchantId;
use crate::domain::order::PayMethod;

/// Who a login provider says a customer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The provider's name, part of the customer's identity.
    pub provider: &'static str,
    /// The customer's id there; an `openid` for WeChat.
    pub id: String,
}

/// Why a login code leads to nobody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoginError {
    /// The provider does not know the code, or it was used or has expired.
    Refused,
    /// The merchant has no mini-program with the provider.
    NotOffered,
    /// The provider does not answer.
    Unavailable(String),
}

/// Turns the code a mini-program got from its platform into the customer it stands for. Blocks, for no longer than the configured time.
pub trait Login: Send + Sync {
    /// Asks the provider.
    ///
    /// # Errors
    /// [`LoginError`].
    fn subject(&self, merchant: MerchantId, code: &str) -> Result<Subject, LoginError>;
}

/// The configured provider, with the merchants' credentials there, which stand beside those of their gateways. Nobody is called yet.
///
/// # Errors
/// One sentence that names the key at fault.
pub fn login(
    provider: LoginProvider,
    config: &config::Gateways,
    gateways: &Gateways,
) -> Result<Box<dyn Login>, String> {
    Ok(match provider {
        LoginProvider::Sandbox => Box::new(SandboxLogin),
        LoginProvider::Wechat => Box::new(gateways.login(config, PayMethod::Wechat, WechatLogin::open)?),
    })
}

/// For development: takes every code for a customer of that name, and codes that begin with `invalid` for codes that have expired.
struct SandboxLogin;

impl Login for SandboxLogin {
    fn subject(&self, _: MerchantId, code: &str) -> Result<Subject, LoginError> {
        if code.starts_with("invalid") {
            return Err(LoginError::Refused);
        }
        Ok(Subject { provider: "sandbox", id: code.to_owned() })
    }
}
