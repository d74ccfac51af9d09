//! Use cases that hash a password between two units of work, so that no connection is held while it is hashed.

use doorstep_core::challenge::Presented;
use doorstep_core::db::Origin;
use doorstep_core::error::Fault;
use doorstep_core::linking::Desk;
use doorstep_core::mailed_secret::{self, Confirm, Confirmed};
use doorstep_core::password::Password;
use doorstep_core::secret::RefreshToken;
use doorstep_core::session::{self, Issued, SignInAsk};
use doorstep_core::{Error, Result, account, settings, throttle};

use crate::state::{self, State};

/// What somebody sends who presents a mailed secret.
pub struct Confirmation {
    pub desk: Desk,
    pub presented: Presented,
    pub password: String,
    pub full_name: Option<String>,
    pub unlink_others: bool,
}

/// Spends a mailed secret. Everything else is checked first, and the secret is spent last.
pub async fn confirm(state: &State, origin: &Origin, asked: Confirmation) -> Result<Confirmed> {
    if let Some(why) = asked.full_name.as_deref().and_then(account::not_a_name) {
        return Err(Error::invalid("/full_name", "invalid", why));
    }
    let password = Password::parse(&asked.password).map_err(|fault| Error::WeakPassword(vec![fault]))?;
    let place = state.hasher.take_place()?;
    let (desk, presented) = (asked.desk, asked.presented);
    // what follows costs more, and is only for one who knows the secret
    let shown = state.write_forgettably(origin, move |work| mailed_secret::recognise(work, desk, &presented)).await?;
    let policy = state.read(origin, settings::current).await?.password_policy(&state.site_name);
    let mut faults = state::judge(place, password.clone(), policy.clone()).await?;
    faults.extend(policy.faults_for(&password, &shown.challenge.address));
    if !faults.is_empty() {
        // who knows the secret may try again, and not without end: to judge a password costs as much as to hash it
        state.write_forgettably(origin, throttle::before_try).await?;
        return Err(Error::WeakPassword(faults));
    }
    let password = state::hash(state.hasher.take_place()?, password).await?;
    let confirm = Confirm {
        challenge: shown.challenge.id,
        how: shown.how,
        password,
        full_name: asked.full_name,
        unlink_others: asked.unlink_others,
        sign_in: desk == Desk::SignUp,
    };
    state.write(origin, move |work| mailed_secret::confirm(work, &confirm)).await
}

/// Signs in. Whoever finds no place among the hash threads is sent away before anything is counted.
pub async fn sign_in(state: &State, origin: &Origin, ask: SignInAsk, password: &str) -> Result<Issued> {
    let password = Password::parse(password)
        .map_err(|fault| Error::Invalid(vec![Fault::new("/password", fault.code(), fault.detail())]))?;
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
