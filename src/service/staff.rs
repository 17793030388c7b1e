//! The staff log in, and are looked after.

use std::ops::RangeInclusive;
use std::sync::OnceLock;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use chrono::{DateTime, TimeDelta, Utc};

use crate::clock::uuid_at;
use crate::domain::staff::Role;
use crate::domain::{MerchantId, StaffId};
use crate::error::Error;
use crate::store::staff::{Member, NewMember};
use crate::store::{Store, Tx, merchants, staff};

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
    // Before it is known whether it is needed: the first login that is unknown must not take longer than others.
    let nobody = NOBODY.get_or_init(|| hash("nobody").unwrap_or_default());
    let found = store.read(merchant, |conn| staff::find_login(conn, merchant, login).map_err(Error::from))?;
    let (member, kept) = match found {
        Some((member, kept)) => (Some(member), kept),
        None => (None, nobody.clone()),
    };
    let is_right = is_password(password, &kept)?;
    member.filter(|member| is_right && member.is_active).ok_or(Error::PasswordRefused)
}

fn is_password(password: &str, kept: &str) -> Result<bool, Error> {
    let kept = PasswordHash::new(kept).map_err(|error| Error::Internal(format!("a password's hash: {error}")))?;
    Ok(Argon2::default().verify_password(password.as_bytes(), &kept).is_ok())
}

/// Characters of a new password.
pub const PASSWORD_CHARS: RangeInclusive<usize> = 8..=200;

/// Adds a member with a password that was hashed before.
///
/// # Errors
/// [`Error::LoginTaken`] when somebody else logs in so.
pub fn add(
    tx: &mut Tx<'_>,
    login: &str,
    name: &str,
    password_hash: &str,
    role: Role,
    now: DateTime<Utc>,
) -> Result<Member, Error> {
    let id = StaffId(uuid_at(now));
    if !staff::insert(tx, &NewMember { id, login, name, password_hash, role }, now)? {
        return Err(Error::LoginTaken);
    }
    let merchant = tx.merchant();
    staff::find(tx.conn(), merchant, id)?.ok_or_else(|| Error::Internal("a member is not there".to_owned()))
}

/// What is to change of a member; what is none stays.
#[derive(Clone, Debug, Default)]
pub struct MemberChange {
    /// What they are called.
    pub name: Option<String>,
    /// What they may do.
    pub role: Option<Role>,
    /// Whether they may log in.
    pub is_active: Option<bool>,
    /// The hash of another password.
    pub password_hash: Option<String>,
}

/// Changes a member. Another password, or none to log in with any more, ends what tokens they have.
///
/// Every owner is locked with the member: of two who take the last two owners away, the second one sees that it would be the last.
///
/// # Errors
/// [`Error::NotFound`] when the merchant has no such member, [`Error::LastOwner`] when nobody would be left to look after the staff.
pub fn change(tx: &mut Tx<'_>, id: StaffId, change: &MemberChange, now: DateTime<Utc>) -> Result<Member, Error> {
    let locked = staff::lock_with_owners(tx, id)?;
    let is_owner = |member: &Member| member.role == Role::Owner && member.is_active;
    let others = locked.iter().filter(|member| member.id != id && is_owner(member)).count();
    let mut member = locked.into_iter().find(|member| member.id == id).ok_or(Error::NotFound)?;
    let (was_owner, was_active) = (is_owner(&member), member.is_active);
    member.name = change.name.clone().unwrap_or(member.name);
    member.role = change.role.unwrap_or(member.role);
    member.is_active = change.is_active.unwrap_or(member.is_active);
    if was_owner && !is_owner(&member) && others == 0 {
        return Err(Error::LastOwner);
    }
    if change.password_hash.is_some() || was_active && !member.is_active {
        // Never what it was before, whatever the clock says: see `Tokens::issue_staff`.
        member.tokens_from = now.max(member.tokens_from + TimeDelta::microseconds(1));
    }
    staff::update(tx, &member, change.password_hash.as_deref())?;
    Ok(member)
}

/// The hash that is kept of a member's password, when `old` is that password. Takes its time: not inside a transaction.
///
/// # Errors
/// [`Error::InvalidField`] when it is not.
pub fn check_password(store: &Store, merchant: MerchantId, login: &str, old: &str) -> Result<String, Error> {
    let found = store.read(merchant, |conn| staff::find_login(conn, merchant, login).map_err(Error::from))?;
    let (_, kept) = found.ok_or(Error::Unauthenticated)?;
    if is_password(old, &kept)? {
        return Ok(kept);
    }
    Err(Error::invalid("old", "不是您的密码", "it is not your password"))
}

/// Gives a member the password of their choice, if theirs is still the one whose hash was `checked`: of two changes at once, the second
/// one must know what the first one made of it.
///
/// # Errors
/// [`Error::InvalidField`] when it is not.
pub fn change_password(
    tx: &mut Tx<'_>,
    (id, login): (StaffId, &str),
    checked: &str,
    password_hash: &str,
    now: DateTime<Utc>,
) -> Result<Member, Error> {
    let merchant = tx.merchant();
    staff::lock_with_owners(tx, id)?;
    let (_, kept) = staff::find_login(tx.conn(), merchant, login)?.ok_or(Error::Unauthenticated)?;
    if kept != checked {
        return Err(Error::invalid("old", "您的密码已更改", "it is not your password any more"));
    }
    let change_to = MemberChange { password_hash: Some(password_hash.to_owned()), ..MemberChange::default() };
    change(tx, id, &change_to, now)
}

/// Adds a member, or gives the one who logs in so another password and opens their account again: for an operator, before there is an
/// owner or when none can log in.
///
/// # Errors
/// [`Error::NotFound`] when there is no such merchant, [`Error::LastOwner`] as [`change`].
pub fn add_or_reset(
    tx: &mut Tx<'_>,
    login: &str,
    password_hash: &str,
    role: Role,
    now: DateTime<Utc>,
) -> Result<(Member, bool), Error> {
    let merchant = tx.merchant();
    merchants::find(tx.conn(), merchant)?.ok_or(Error::NotFound)?;
    match staff::find_login(tx.conn(), merchant, login)? {
        Some((member, _)) => {
            let change_to = MemberChange {
                role: Some(role),
                is_active: Some(true),
                password_hash: Some(password_hash.to_owned()),
                ..MemberChange::default()
            };
            Ok((change(tx, member.id, &change_to, now)?, false))
        }
        None => Ok((add(tx, login, login, password_hash, role, now)?, true)),
    }
}
