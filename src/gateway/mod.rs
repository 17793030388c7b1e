//! What Rowlock asks of the outside, and tells it: who a customer is, what merchants' webhooks are to know.
//!
//! Contract: a gateway knows nothing of the database, and is never called inside a transaction.

pub mod webhook;

mod addresses;
mod sandbox;

use futures_util::future::BoxFuture;

use crate::config::LoginProvider;

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
    /// The provider does not answer.
    Unavailable(String),
}

/// Turns the code a mini-program got from its platform into the customer it stands for (WeChat: `code2session`).
pub trait Login: Send + Sync {
    /// Asks the provider.
    fn subject<'a>(&'a self, code: &'a str) -> BoxFuture<'a, Result<Subject, LoginError>>;
}

/// The configured provider.
pub fn login(provider: LoginProvider) -> Box<dyn Login> {
    match provider {
        LoginProvider::Sandbox => Box::new(sandbox::SandboxLogin),
    }
}
