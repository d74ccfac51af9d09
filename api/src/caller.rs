//! Who calls: extractors, so that a handler's signature shows who may. The credential's form is checked here; the
//! session or key behind it is looked up in the very unit of work that does what was asked.

use std::future::{Ready, ready};
use std::marker::PhantomData;
use std::sync::Arc;

use actix_web::dev::Payload;
use actix_web::http::header::AUTHORIZATION;
use actix_web::{FromRequest, HttpMessage, HttpRequest, web};
use doorstep_core::access_token::AccessClaims;
use doorstep_core::api_key::{self, PlainKey, Scope};
use doorstep_core::db::{Origin, Work};
use doorstep_core::session::{self, SignedIn};
use doorstep_core::{Error, Result};

use crate::extract::{NoParameters, Query};
use crate::openapi::operations_of;
use crate::problem::Problem;
use crate::problem_code::Code;
use crate::state::State;

/// What no operation knows is refused by who calls it, so that each looks at the credential first. An operation that
/// takes a query reads it by [`Query`], which refuses what it does not know together with what else is wrong.
fn asks_nothing_unknown(request: &HttpRequest) -> Result<(), Problem> {
    let query = request.query_string();
    if query.is_empty() {
        return Ok(());
    }
    let mut asked = operations_of(request.path()).filter(|operation| operation.method == request.method().as_str());
    let takes_none = asked.next().is_some_and(|first| !first.takes_query && asked.all(|other| !other.takes_query));
    if takes_none { Query::<NoParameters>::of(query).map(drop) } else { Ok(()) }
}

/// Where a request comes from. Nobody has to be anybody for this.
#[derive(Debug, Clone)]
pub struct Asker(pub Origin);

impl FromRequest for Asker {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let origin = request.extensions().get::<Origin>().cloned().unwrap_or_default();
        ready(asks_nothing_unknown(request).map(|()| Self(origin)))
    }
}

/// A signed-in customer.
pub struct Customer {
    state: web::Data<State>,
    pub origin: Origin,
    claims: Arc<AccessClaims>,
}

impl FromRequest for Customer {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(customer(request))
    }
}

fn customer(request: &HttpRequest) -> Result<Customer, Problem> {
    let state = state(request)?;
    let token = bearer(request)?;
    if token.starts_with("dsk_") {
        let detail = "This is an API key; the operation takes a session's access token.";
        return Err(Problem::with_detail(Code::Unauthorized, detail));
    }
    let claims = state.tokens.verify(token, state.now())?;
    asks_nothing_unknown(request)?;
    let origin = request.extensions().get::<Origin>().cloned().unwrap_or_default();
    Ok(Customer { state, origin, claims })
}

impl Customer {
    /// A name for the caller of this request, for idempotency keys.
    #[must_use]
    pub fn name(&self) -> String {
        format!("account {}", self.claims.sub)
    }

    pub async fn read<T: Send + 'static>(
        &self,
        reads: impl FnMut(&mut Work<'_>, &SignedIn) -> Result<T> + Send + 'static,
    ) -> Result<T, Problem> {
        Ok(self.state.read(&self.origin, self.signed_in(reads)).await?)
    }

    /// Like [`Customer::read`], for what may take long.
    pub async fn search<T: Send + 'static>(
        &self,
        reads: impl FnMut(&mut Work<'_>, &SignedIn) -> Result<T> + Send + 'static,
    ) -> Result<T, Problem> {
        Ok(self.state.search(&self.origin, self.signed_in(reads)).await?)
    }

    /// Looks at the session first.
    fn signed_in<T>(
        &self,
        mut reads: impl FnMut(&mut Work<'_>, &SignedIn) -> Result<T> + Send + 'static,
    ) -> impl FnMut(&mut Work<'_>) -> Result<T> + Send + 'static {
        let claims = Arc::clone(&self.claims);
        move |work| {
            let who = session::authenticate(work, &claims)?;
            reads(work, &who)
        }
    }

    /// For a use case that looks at the session by itself, together with something else.
    pub async fn read_by<T: Send + 'static>(
        &self,
        mut reads: impl FnMut(&mut Work<'_>, &AccessClaims) -> Result<T> + Send + 'static,
    ) -> Result<T, Problem> {
        let claims = Arc::clone(&self.claims);
        Ok(self.state.read(&self.origin, move |work| reads(work, &claims)).await?)
    }

    pub async fn write<T: Send + 'static>(
        &self,
        mut writes: impl FnMut(&mut Work<'_>, &SignedIn) -> Result<T> + Send + 'static,
    ) -> Result<T, Problem> {
        let claims = Arc::clone(&self.claims);
        let writes = move |work: &mut Work<'_>| {
            let who = session::authenticate_to_write(work, &claims)?;
            writes(work, &who)
        };
        Ok(self.state.write(&self.origin, writes).await?)
    }

    /// For a use case that holds names before the account, and so looks at the session by itself.
    pub async fn write_by<T: Send + 'static>(
        &self,
        mut writes: impl FnMut(&mut Work<'_>, &AccessClaims) -> Result<T> + Send + 'static,
    ) -> Result<T, Problem> {
        let claims = Arc::clone(&self.claims);
        Ok(self.state.write(&self.origin, move |work| writes(work, &claims)).await?)
    }
}

/// A signed-in customer who has proven their presence within the last minutes (rule 12). Whether they have is looked at
/// in the unit of work, as everything about their session is.
pub struct FreshCustomer(Customer);

impl FreshCustomer {
    /// For what goes on after the session was found fresh.
    #[must_use]
    pub fn into_customer(self) -> Customer {
        self.0
    }

    /// See [`Customer::name`].
    #[must_use]
    pub fn name(&self) -> String {
        self.0.name()
    }

    pub async fn write<T: Send + 'static>(
        &self,
        mut writes: impl FnMut(&mut Work<'_>, &SignedIn) -> Result<T> + Send + 'static,
    ) -> Result<T, Problem> {
        let writes = move |work: &mut Work<'_>, who: &SignedIn| {
            who.require_fresh(work)?;
            writes(work, who)
        };
        self.0.write(writes).await
    }

    /// Who is behind the request, for a use case that hashes between two units of work.
    #[must_use]
    pub const fn origin(&self) -> &Origin {
        &self.0.origin
    }

    /// For a use case that looks at the session by itself, and at how fresh it is: see [`Customer::write_by`].
    pub async fn write_by<T: Send + 'static>(
        &self,
        writes: impl FnMut(&mut Work<'_>, &AccessClaims) -> Result<T> + Send + 'static,
    ) -> Result<T, Problem> {
        self.0.write_by(writes).await
    }
}

/// A signed-in admin; their role is looked at in the unit of work, as everything about their session is.
pub struct Admin(Customer);

impl Admin {
    pub async fn read<T: Send + 'static>(
        &self,
        reads: impl FnMut(&mut Work<'_>, &SignedIn) -> Result<T> + Send + 'static,
    ) -> Result<T, Problem> {
        self.0.read(as_admin(reads)).await
    }

    /// See [`Customer::search`].
    pub async fn search<T: Send + 'static>(
        &self,
        reads: impl FnMut(&mut Work<'_>, &SignedIn) -> Result<T> + Send + 'static,
    ) -> Result<T, Problem> {
        self.0.search(as_admin(reads)).await
    }

    /// For a use case that looks at the session by itself, and at the role: see [`Customer::write_by`].
    pub async fn write_by<T: Send + 'static>(
        &self,
        writes: impl FnMut(&mut Work<'_>, &AccessClaims) -> Result<T> + Send + 'static,
    ) -> Result<T, Problem> {
        self.0.write_by(writes).await
    }
}

/// Looks at the role first.
fn as_admin<T>(
    mut does: impl FnMut(&mut Work<'_>, &SignedIn) -> Result<T> + Send + 'static,
) -> impl FnMut(&mut Work<'_>, &SignedIn) -> Result<T> + Send + 'static {
    move |work, who| {
        who.require_admin(work)?;
        does(work, who)
    }
}

/// A signed-in admin who has proven their presence within the last minutes.
pub struct FreshAdmin(Customer);

impl FreshAdmin {
    pub async fn write<T: Send + 'static>(
        &self,
        mut writes: impl FnMut(&mut Work<'_>, &SignedIn) -> Result<T> + Send + 'static,
    ) -> Result<T, Problem> {
        let writes = as_admin(move |work, who| {
            who.require_fresh(work)?;
            writes(work, who)
        });
        self.0.write(writes).await
    }
}

/// Those who are a signed-in customer and more: what more is looked at in the unit of work.
macro_rules! signed_in {
    ($($name:ident),*) => {$(
        impl FromRequest for $name {
            type Error = Problem;
            type Future = Ready<Result<Self, Problem>>;

            fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
                ready(customer(request).map(Self))
            }
        }
    )*};
}
signed_in!(FreshCustomer, Admin, FreshAdmin);

/// A scope as a type, for [`Machine`].
pub trait Needs {
    const SCOPE: Scope;
}

macro_rules! needs {
    ($($name:ident = $scope:ident),*) => {$(
        pub struct $name;
        impl Needs for $name {
            const SCOPE: Scope = Scope::$scope;
        }
    )*};
}
needs!(
    PushInteractions = InteractionsWrite,
    ReadConversations = ConversationsRead,
    WriteConversations = ConversationsWrite,
    ReadAccounts = AccountsRead,
    WriteAccounts = AccountsWrite,
    DefineFields = CustomFieldsWrite,
    IntrospectTokens = TokensIntrospect
);

/// A help desk or another back end, with an API key that has a scope.
pub struct Machine<S> {
    state: web::Data<State>,
    pub origin: Origin,
    key_hash: [u8; 32],
    scope: PhantomData<S>,
}

impl<S: Needs> FromRequest for Machine<S> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(machine(request))
    }
}

fn machine<S>(request: &HttpRequest) -> Result<Machine<S>, Problem> {
    let token = bearer(request)?;
    if token.matches('.').count() == 2 {
        let detail = "This is an access token; the operation takes an API key.";
        return Err(Problem::with_detail(Code::Unauthorized, detail));
    }
    let key = PlainKey::parse(token).ok_or(Error::ApiKeyInvalid)?;
    asks_nothing_unknown(request)?;
    let origin = request.extensions().get::<Origin>().cloned().unwrap_or_default();
    Ok(Machine { state: state(request)?, origin, key_hash: key.hash(), scope: PhantomData })
}

impl<S: Needs> Machine<S> {
    pub async fn read<T: Send + 'static>(
        &self,
        mut reads: impl FnMut(&mut Work<'_>, &api_key::ApiKey) -> Result<T> + Send + 'static,
    ) -> Result<T, Problem> {
        let hash = self.key_hash;
        let reads = move |work: &mut Work<'_>| {
            let key = api_key::authenticate(work, &hash, S::SCOPE)?;
            reads(work, &key)
        };
        Ok(self.state.read(&self.origin, reads).await?)
    }

    pub async fn write<T: Send + 'static>(
        &self,
        mut writes: impl FnMut(&mut Work<'_>, &api_key::ApiKey) -> Result<T> + Send + 'static,
    ) -> Result<T, Problem> {
        let hash = self.key_hash;
        let writes = move |work: &mut Work<'_>| {
            let key = api_key::authenticate(work, &hash, S::SCOPE)?;
            writes(work, &key)
        };
        Ok(self.state.write(&self.origin, writes).await?)
    }
}

fn state(request: &HttpRequest) -> Result<web::Data<State>, Problem> {
    request.app_data::<web::Data<State>>().cloned().ok_or_else(|| Problem::new(Code::InternalError))
}

/// The one `Authorization: Bearer …` of a request (RFC 6750, section 2.1).
fn bearer(request: &HttpRequest) -> Result<&str, Problem> {
    let mut headers = request.headers().get_all(AUTHORIZATION);
    let (Some(header), None) = (headers.next(), headers.next()) else {
        return Err(Problem::new(Code::Unauthorized));
    };
    let value = header.to_str().map_err(|_| Problem::new(Code::Unauthorized))?;
    match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() => Ok(token),
        _ => Err(Problem::new(Code::Unauthorized)),
    }
}
