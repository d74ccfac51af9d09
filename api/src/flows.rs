//! Use cases that hash a password between two units of work, so that no connection is held while it is hashed.

use doorstep_core::access_token::AccessClaims;
use doorstep_core::challenge::{Challenge, Presented};
use doorstep_core::db::{Origin, Work};
use doorstep_core::email::EmailAddress;
use doorstep_core::error::Fault;
use doorstep_core::hashing::{PasswordHash, Place, Verdict};
use doorstep_core::id::AccountId;
use doorstep_core::linking::Desk;
use doorstep_core::mailed_secret::{self, Confirm, Confirmed};
use doorstep_core::own_password;
use doorstep_core::password::{Password, PasswordFault};
use doorstep_core::secret::RefreshToken;
use doorstep_core::session::{self, Issued};
use doorstep_core::sign_in::{self, SignInAsk};
use doorstep_core::undo::{self, Undo, Undone};
use doorstep_core::{Error, Result, account, reauthentication, settings, throttle};

use crate::caller::{Customer, FreshCustomer};
use crate::problem::Problem;
use crate::state::{self, State};

/// What somebody sends who presents a mailed secret.
pub struct Confirmation {
    pub desk: Desk,
    pub presented: Result<Presented>,
    pub password: String,
    pub full_name: Option<String>,
    pub locale: Result<Option<String>>,
    pub unlink_others: bool,
}

/// Spends a mailed secret. Everything else is checked first, and the secret is spent last.
pub async fn confirm(state: &State, origin: &Origin, asked: Confirmation) -> Result<Confirmed> {
    let named = match asked.full_name.as_deref().and_then(account::not_a_name) {
        Some(why) => Err(Error::invalid("/full_name", "invalid", why)),
        None => Ok(()),
    };
    let fields = together(asked.locale, named);
    let password = Password::parse(&asked.password).map_err(|fault| Error::WeakPassword(vec![fault]));
    let (presented, password) = match (asked.presented, password) {
        (Ok(presented), Ok(password)) => (presented, password),
        (Err(error), _) | (Ok(_), Err(error)) => return Err(also(error, fields.err())),
    };
    let place = state.hasher.take_place()?;
    let desk = asked.desk;
    // what follows costs more, and is only for one who knows the secret
    let shown = state.write_forgettably(origin, move |work| mailed_secret::recognise(work, desk, &presented)).await?;
    let weak = weaknesses(state, origin, place, &password, Whose::of(&shown.challenge)).await?;
    let locale = match unless_weak(fields.map(|(locale, ())| locale), weak) {
        Ok(locale) => locale,
        Err(error) => {
            // who knows the secret may try again, and not without end: to judge a password costs as much as to hash it
            state.write_forgettably(origin, throttle::before_try).await?;
            return Err(error);
        }
    };
    let password = state::hash(state.hasher.take_place()?, password).await?;
    let confirm = Confirm {
        challenge: shown.challenge.id,
        how: shown.how,
        password,
        full_name: asked.full_name,
        locale,
        unlink_others: asked.unlink_others,
        sign_in: desk == Desk::SignUp,
    };
    state.write(origin, move |work| mailed_secret::confirm(work, &confirm)).await
}

/// Makes a session fresh by its account's password.
pub async fn reauthenticate(state: &State, customer: &Customer, password: Password) -> Result<Issued, Problem> {
    let place = state.hasher.take_place()?;
    let candidate = customer.write_by(reauthentication::begin_by_password).await?;
    let verdict = state::verify(place, password, candidate.stored.clone()).await?;
    let finish = move |work: &mut Work<'_>, claims: &AccessClaims| {
        reauthentication::finish_by_password(work, claims, &candidate, &verdict)
    };
    customer.write_by(finish).await
}

/// Takes an account's ways in back, with a new password where one is given.
pub async fn undo(state: &State, origin: &Origin, asked: UndoAsked) -> Result<Undone> {
    let UndoAsked { token, password, unlink_others } = asked;
    let password = password.map(|text| Password::parse(&text)).transpose();
    let password = password.map_err(|fault| Error::WeakPassword(vec![fault]))?;
    let place = password.as_ref().map(|_| state.hasher.take_place()).transpose()?;
    let shown = state.write_forgettably(origin, move |work| undo::recognise(work, &token)).await?;
    let password = match (password, place) {
        (Some(password), Some(place)) => Some(hash_strong(state, origin, place, password, Whose::of(&shown)).await?),
        _ => None,
    };
    let undo = Undo { challenge: shown.id, password, unlink_others };
    state.write(origin, move |work| undo::undo(work, &undo)).await
}

/// What somebody sends who undoes a change.
pub struct UndoAsked {
    pub token: String,
    pub password: Option<String>,
    pub unlink_others: bool,
}

/// Whose password is judged: the account's, where there is one, and whoever's who has the address.
struct Whose {
    account: Option<AccountId>,
    address: EmailAddress,
}

impl Whose {
    fn of(challenge: &Challenge) -> Self {
        Self { account: challenge.account_id, address: challenge.address.clone() }
    }
}

/// What speaks against a password.
async fn weaknesses(
    state: &State,
    origin: &Origin,
    place: Place,
    password: &Password,
    whose: Whose,
) -> Result<Vec<PasswordFault>> {
    let (settings, addresses) = state
        .read(origin, move |work| {
            Ok((settings::current(work)?, own_password::addresses_of(work, whose.account, &whose.address)?))
        })
        .await?;
    let policy = settings.password_policy(&state.site_name);
    let mut weak = state::judge(place, password.clone(), policy.clone()).await?;
    weak.extend(policy.faults_for(password, &addresses));
    Ok(weak)
}

/// Hashes a password against which nothing speaks. A weak one is counted: to judge it costs as much as to hash it.
async fn hash_strong(
    state: &State,
    origin: &Origin,
    place: Place,
    password: Password,
    whose: Whose,
) -> Result<PasswordHash> {
    let weak = weaknesses(state, origin, place, &password, whose).await?;
    if !weak.is_empty() {
        state.write_forgettably(origin, throttle::before_try).await?;
        return Err(Error::WeakPassword(weak));
    }
    state::hash(state.hasher.take_place()?, password).await
}

fn unless_weak<T>(fields: Result<T>, weak: Vec<PasswordFault>) -> Result<T> {
    if weak.is_empty() { fields } else { Err(also(Error::WeakPassword(weak), fields.err())) }
}

/// An error with what else is wrong.
fn also(error: Error, other: Option<Error>) -> Error {
    let Some(Error::Invalid(mut faults)) = other else { return error };
    match error {
        Error::Invalid(more) => faults.extend(more),
        Error::WeakPassword(weak) => faults.extend(weak.iter().map(of_password)),
        other => return other,
    }
    Error::Invalid(faults)
}

fn of_password(fault: &PasswordFault) -> Fault {
    Fault::new("/password", fault.code(), fault.detail())
}

/// A password that somebody typed, whatever a new one would need.
pub fn password(text: &str) -> Result<Password> {
    Password::parse(text).map_err(|fault| Error::Invalid(vec![of_password(&fault)]))
}

/// Both, or the faults of both.
pub fn together<A, B>(one: Result<A>, other: Result<B>) -> Result<(A, B)> {
    match (one, other) {
        (Ok(one), Ok(other)) => Ok((one, other)),
        (Err(Error::Invalid(one)), Err(Error::Invalid(other))) => Err(Error::Invalid([one, other].concat())),
        (Err(error), _) | (_, Err(error)) => Err(error),
    }
}

/// Sets the owner's first password, or another in place of the current one.
pub async fn change_password(
    state: &State,
    customer: &FreshCustomer,
    current: Option<String>,
    new: &str,
) -> Result<Issued, Problem> {
    let new = Password::parse(new).map_err(|fault| Error::WeakPassword(vec![fault]))?;
    let place = state.hasher.take_place()?;
    let candidate = customer.write_by(own_password::begin).await?;
    let verdict = match (&candidate.stored, current) {
        (None, _) => {
            drop(place);
            None
        }
        (Some(_), None) => return Err(own_password::not_current(false).into()),
        (Some(stored), Some(current)) => {
            let current = Password::parse(&current).map_err(|_| own_password::not_current(true))?;
            Some(state::verify(place, current, Some(stored.clone())).await?)
        }
    };
    if matches!(verdict, Some(Verdict::Wrong)) {
        return Err(own_password::not_current(true).into());
    }
    let whose = Whose { account: Some(candidate.account), address: candidate.address.clone() };
    let hash = hash_strong(state, customer.origin(), state.hasher.take_place()?, new, whose).await?;
    let set = move |work: &mut Work<'_>, claims: &AccessClaims| {
        own_password::finish(work, claims, &candidate, verdict.as_ref(), &hash)
    };
    customer.write_by(set).await
}

/// Signs in. Whoever finds no place among the hash threads is sent away before anything is counted.
pub async fn sign_in(state: &State, origin: &Origin, ask: SignInAsk, password: Password) -> Result<Issued> {
    let place = state.hasher.take_place()?;
    let begun = ask.clone();
    let candidate = state.write_forgettably(origin, move |work| sign_in::begin(work, &begun)).await?;
    let verdict = state::verify(place, password, candidate.stored.clone()).await?;
    state.write(origin, move |work| sign_in::finish(work, &ask, &candidate, &verdict)).await
}

/// Rotates a refresh token: in one statement where all is as it should be, by the book where it is not.
pub async fn refresh(state: &State, origin: &Origin, token: &str) -> Result<Issued> {
    let token = RefreshToken::parse(token, state.store.keyring()).ok_or(Error::SessionEnded)?;
    if let Some(issued) = state.write_at_once(origin, move |work| session::refresh_at_once(work, token)).await? {
        return Ok(issued);
    }
    state.write(origin, move |work| session::refresh(work, token)).await
}
