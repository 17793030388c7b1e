//! Doubles for development: they behave like the real thing as far as Rowlock can see.

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};

use super::{Login, LoginError, Subject};

/// Takes every code for a customer of that name, and codes that begin with `invalid` for codes that have expired.
pub(super) struct SandboxLogin;

impl Login for SandboxLogin {
    fn subject<'a>(&'a self, code: &'a str) -> BoxFuture<'a, Result<Subject, LoginError>> {
        let subject = if code.starts_with("invalid") {
            Err(LoginError::Refused)
        } else {
            Ok(Subject { provider: "sandbox", id: code.to_owned() })
        };
        ready(subject).boxed()
    }
}
