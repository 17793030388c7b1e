//! The staff log in, and are looked after.

use std::sync::OnceLock;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use chrono::{DateTime, Utc};

use crate::clock::uuid_at;
use crate::domain::staff::Role;
use crate::domain::{MerchantId, StaffId};
use crate::error::Error;
use crate::store::staff::{Member, NewMember};
use crate::store::{Store, Tx, staff};

/// The hash (argon2id, PHC string) that is kept of a password.
///
/// # Errors
/// [`Error::Internal`] when the system gives no random bytes.
pub fn hash(password: &str) -> Result<String, Error> {
    let hash: Result<PasswordHash, _> = Argon2::default().hash_password(password.as_bytes());
    hash.map(|hash| hash.to_string()).map_err(|error| Error::Internal(format!("cannot hash a password: {error}")))
}

/// The member whose login and password these are. Takes its time: not inside a transaction.
///
/// # Errors
/// [`Error::PasswordRefused`] when either is wrong or the account is closed; which of them, and whether there is such a login, is told
/// neither by the answer nor by the time it takes.
pub fn log_in(store: &Store, merchant: MerchantId, login: &str, password: &str) -> Result<Member, Error> {
    static NOBODY: OnceLock<String> = OnceLock::new();
    let found = store.read(merchant, |conn| staff::find_login(conn, merchant, login).map_err(Error::from))?;
    let (member, kept) = match found {
        Some((member, kept)) => (Some(member), kept),
        None => (None, NOBODY.get_or_init(|| hash("nobody").unwrap_or_default()).clone()),
    };
    let kept = PasswordHash::new(&kept).map_err(|error| Error::Internal(format!("a password's hash: {error}")))?;
    let is_right = Argon2::default().verify_password(password.as_bytes(), &kept).is_ok();
    member.filter(|member| is_right && member.is_active).ok_or(Error::PasswordRefused)
}

/// Adds a member with a password that was hashed before; tells whether the login was free.
///
/// # Errors
/// What the database says.
pub fn add(
    tx: &mut Tx<'_>,
    login: &str,
    name: &str,
    password_hash: &str,
    role: Role,
    now: DateTime<Utc>,
) -> Result<Option<StaffId>, Error> {
    let id = StaffId(uuid_at(now));
    let is_added = staff::insert(tx, &NewMember { id, login, name, password_hash, role }, now)?;
    Ok(is_added.then_some(id))
}
