//! Use cases that hash a password between two units of work, so that no connection is held while it is hashed.

use doorstep_core::challenge::Presented;
use doorstep_core::db::Origin;
use doorstep_core::error::Fault;
use doorstep_core::linking::Desk;
use doorstep_core::mailed_secret::{self, Confirm, Confirmed};
use doorstep_core::password::{Password, PasswordFault, PasswordPolicy};
use doorstep_core::secret::RefreshToken;
use doorstep_core::session::{self, Issued, SignInAsk};
use doorstep_core::{Error, Result, account, settings};

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
    let (presented, (locale, ())) = match together(asked.presented, together(asked.locale, named)) {
        Ok(given) => given,
        Err(Error::Invalid(faults)) => return Err(with_those_of(state, origin, &asked.password, faults).await?),
        Err(other) => return Err(other),
    };
    let (password, policy) = judged(state, origin, &asked.password).await?;
    let desk = asked.desk;
    let shown = state.write_forgettably(origin, move |work| mailed_secret::recognise(work, desk, &presented)).await?;
    refuse(policy.faults_for(&password, &shown.challenge.address))?;
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

/// A password that the policy takes, but for what only its address tells.
async fn judged(state: &State, origin: &Origin, text: &str) -> Result<(Password, PasswordPolicy)> {
    let password = Password::parse(text).map_err(|fault| Error::WeakPassword(vec![fault]))?;
    let policy = state.read(origin, settings::current).await?.password_policy(&state.site_name);
    refuse(state::judge(state.hasher.take_place()?, password.clone(), policy.clone()).await?)?;
    Ok((password, policy))
}

/// What else is wrong with a request, together with what is wrong with its password.
async fn with_those_of(state: &State, origin: &Origin, password: &str, mut faults: Vec<Fault>) -> Result<Error> {
    match judged(state, origin, password).await {
        Ok(_) => {}
        Err(Error::WeakPassword(weak)) => faults.extend(weak.iter().map(of_password)),
        Err(other) => return Err(other),
    }
    Ok(Error::Invalid(faults))
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

fn refuse(faults: Vec<PasswordFault>) -> Result<()> {
    if faults.is_empty() { Ok(()) } else { Err(Error::WeakPassword(faults)) }
}

/// Signs in. Whoever finds no place among the hash threads is sent away before anything is counted.
pub async fn sign_in(state: &State, origin: &Origin, ask: SignInAsk, password: Password) -> Result<Issued> {
    let place = state.hasher.take_place()?;
    let begun = ask.clone();
    let candidate = state.write_forgettably(origin, move |work| session::begin_sign_in(work, &begun)).await?;
    let verdict = state::verify(place, password, candidate.stored.clone()).await?;
    state.write(origin, move |work| session::finish_sign_in(work, &ask, &candidate, &verdict)).await
}

/// Rotates a refresh token: in one statement where all is as it should be, by the book where it is not.
pub async fn refresh(state: &State, origin: &Origin, token: &str) -> Result<Issued> {
    let token = RefreshToken::parse(token, state.store.keyring()).ok_or(Error::SessionEnded)?;
    if let Some(issued) = state.write_at_once(origin, move |work| session::refresh_at_once(work, token)).await? {
        return Ok(issued);
    }
    state.write(origin, move |work| session::refresh(work, token)).await
}
