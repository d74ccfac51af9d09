//! The server: everything put together, started, and stopped again.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use actix_cors::Cors;
use actix_web::dev::ServerHandle;
use actix_web::http::header::{ALLOW, HeaderValue};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, ResponseError, middleware, web};
use doorstep_core::access_token::AccessTokens;
use doorstep_core::chance::Chance;
use doorstep_core::clock::Clock;
use doorstep_core::db::{self, Location, Store, StoreOptions};
use doorstep_core::hashing::{HashCost, Hasher};
use doorstep_core::house;
use doorstep_core::keyring::{Keyring, MasterSecret};
use utoipa_actix_web::AppExt;

use crate::background::{self, Stop};
use crate::config::{self, Config};
use crate::connections::{Connections, Patience, room_for};
use crate::envelope::envelope;
use crate::mailer::Mailer;
use crate::openapi::operations_of;
use crate::problem::Problem;
use crate::problem_code::Code;
use crate::providers::Registry;
use crate::signals::Signals;
use crate::state::State;
use crate::{operations, secret_file, v1};

/// What only a test changes.
#[derive(Debug, Clone, Default)]
pub struct Options {
    pub clock: Clock,
    /// What a hash costs, in place of the configured cost.
    pub hash_cost: Option<HashCost>,
    /// Whether the process's signals stop the server.
    pub signals: bool,
    pub patience: Patience,
}

/// How long requests in flight may take when the server is told to stop.
const GRACE_SECONDS: u64 = 10;

/// A server that runs.
pub struct Server {
    address: SocketAddr,
    store: Store,
    handle: ServerHandle,
    connections: Connections,
    hasher: Hasher,
    providers: Registry,
    stop: Arc<Stop>,
    signals: Option<Signals>,
    threads: Vec<JoinHandle<()>>,
    serving: Option<JoinHandle<std::io::Result<()>>>,
}

/// Opens the database of a configuration: migrated, and with this secret.
pub fn open_store(config: &Config, clock: Clock) -> Result<(Store, AccessTokens), String> {
    let location = config.location()?;
    if let Location::Sqlite(file) = &location {
        secret_file::make_private_dir(&config.data.dir)?;
        secret_file::make_private_file(file)?;
    }
    let chance = Chance::System;
    // a secret that cannot be used is said before anything is touched
    let found = config.secret()?;
    let migrated = db::migrate(&location).map_err(|error| error.to_string())?;
    if !migrated.applied.is_empty() {
        tracing::info!(version = migrated.version, applied = migrated.applied.len(), "database migrated");
    }
    let secret = found.map_or_else(|| secret_for(config, &location, &chance), Ok)?;
    let keyring = Keyring::new(&secret).map_err(|error| error.to_string())?;
    let options = StoreOptions {
        location,
        connections: config.database.connections,
        clock,
        chance: chance.clone(),
        keyring,
        providers: config.providers.known()?,
    };
    let store = Store::open(options).map_err(|error| error.to_string())?;
    let keys = house::settle_in(&store).map_err(|error| explain(&error.to_string()))?;
    let tokens = AccessTokens::new(config.public_url(), config.audience(), keys, chance);
    Ok((store, tokens))
}

/// A secret where none is configured or kept: a new one, for a new database only.
fn secret_for(config: &Config, location: &Location, chance: &Chance) -> Result<MasterSecret, String> {
    if !db::instance::exists(location).map_err(|error| error.to_string())? {
        return secret_file::make(&config.data.dir, chance);
    }
    // another process may have set it up since we looked, and it kept the secret first
    config.secret()?.ok_or_else(|| secret_file::missing(&config.data.dir))
}

/// What an operator can do about a database that cannot be opened.
fn explain(error: &str) -> String {
    if error.contains("another secret") {
        return format!(
            "{error}. Set server.secret (DOORSTEP_SERVER_SECRET) to the secret it was set up with, \
             or bring back the secret.key of its data directory"
        );
    }
    error.to_owned()
}

impl Server {
    /// Starts a server on threads of its own, and returns once it listens.
    pub fn start(config: &Config, options: &Options) -> Result<Self, String> {
        let (store, tokens) = open_store(config, options.clock.clone())?;
        let tokens = Arc::new(tokens);
        let cost = options.hash_cost.unwrap_or(HashCost {
            memory_kib: config.hashing.memory_kib,
            passes: config.hashing.passes,
            ..HashCost::default()
        });
        let hasher = Hasher::start(config.hashing.threads.unwrap_or_else(config::cores), cost, &Chance::System)
            .map_err(|error| error.to_string())?;
        let mailer = Arc::new(Mailer::new(config)?);
        let providers = Registry::start(config, &options.clock, options.patience.providers)?;
        let stop = Arc::new(Stop::default());
        let state = web::Data::new(State {
            store: store.clone(),
            hasher: hasher.clone(),
            tokens: Arc::clone(&tokens),
            public_url: config.public_url(),
            site_name: config.site.name.clone(),
            trusted_proxies: config.server.trusted_proxies.clone(),
            providers: providers.clone(),
            redirect_uris: config.social.redirect_uris.clone(),
            messenger: Arc::new(config.messenger.secrets()),
            patience: options.patience,
        });
        let connections = Connections::default();
        let signals = options.signals.then(|| Signals::new(options.clock.clone()));
        let (address, handle, serving) = serve(config, state, signals.clone(), connections.clone())?;
        let thread = |error: std::io::Error| format!("cannot start a thread: {error}");
        let mut threads = mailer.start(&store, &stop).map_err(thread)?;
        threads.push(background::start(store.clone(), tokens, Arc::clone(&stop)).map_err(thread)?);
        let serving = Some(serving);
        Ok(Self { address, store, handle, connections, hasher, providers, stop, signals, threads, serving })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections are open.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.count()
    }

    /// What passwords have cost so far.
    #[must_use]
    pub fn hashed(&self) -> u64 {
        self.hasher.spent()
    }

    /// Its store, for what goes around the API.
    #[must_use]
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// Waits until it was stopped by a signal, then lets its threads end.
    pub fn wait(mut self) -> Result<(), String> {
        let served = self.serving.take().map(JoinHandle::join);
        self.end_threads();
        if let Some(signals) = &self.signals {
            signals.say_stopped();
        }
        match served {
            Some(Ok(Err(error))) => Err(format!("the server failed: {error}")),
            Some(Err(_)) => Err("the server panicked".to_owned()),
            _ => Ok(()),
        }
    }

    /// Stops it; requests in flight are finished.
    pub fn stop(self) -> Result<(), String> {
        // the future only waits; what stops the server is the call
        drop(self.handle.stop(true));
        self.wait()
    }

    fn end_threads(&mut self) {
        self.stop.tell();
        self.store.bell().ring();
        self.providers.stop();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread panicked");
            }
        }
    }
}

type Serving = (SocketAddr, ServerHandle, JoinHandle<std::io::Result<()>>);

/// Runs actix on a thread of its own.
fn serve(
    config: &Config,
    state: web::Data<State>,
    signals: Option<Signals>,
    connections: Connections,
) -> Result<Serving, String> {
    let (workers, patience) = (config.workers(), state.patience);
    // each worker keeps to its share
    let share = room_for(config.server.connections).div_ceil(workers);
    let (send, started) = mpsc::channel();
    let (listen, origins) = (config.server.listen, config.server.cors_origins.clone());
    let serving = std::thread::Builder::new()
        .name("server".into())
        .spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let build = move || app(state.clone(), cors(&origins));
                let server = HttpServer::new(build)
                    .workers(workers)
                    .max_connections(share)
                    .on_connect(move |io, extensions| connections.watch(patience, io, extensions))
                    .keep_alive(patience.keep_alive)
                    .client_request_timeout(patience.head)
                    .client_disconnect_timeout(Duration::from_secs(1))
                    .shutdown_timeout(GRACE_SECONDS)
                    .disable_signals()
                    .bind(listen)?;
                let address = server.addrs().first().copied().unwrap_or(listen);
                let server = server.run();
                let handle = server.handle();
                // nobody is told that it listens before signals are listened to
                if let Some(signals) = signals {
                    signals.listen(&handle)?;
                }
                let running = actix_web::rt::spawn(server);
                tokio::task::yield_now().await;
                drop(send.send((address, handle)));
                running.await.map_err(std::io::Error::other)?
            })
        })
        .map_err(|error| format!("cannot start a thread: {error}"))?;
    match started.recv() {
        Ok((address, handle)) => Ok((address, handle, serving)),
        Err(_) => Err(match serving.join() {
            Ok(Err(error)) => format!(
                "server.listen = {listen}: cannot listen there: {error}. Set server.listen (DOORSTEP_SERVER_LISTEN) to \
                 another address or port, such as 127.0.0.1:8081"
            ),
            _ => "the server did not start".to_owned(),
        }),
    }
}

/// The application of one worker.
fn app(
    state: web::Data<State>,
    cors: middleware::Condition<Cors>,
) -> App<
    impl actix_web::dev::ServiceFactory<
        actix_web::dev::ServiceRequest,
        Config = (),
        Response = actix_web::dev::ServiceResponse<impl actix_web::body::MessageBody>,
        Error = actix_web::Error,
        InitError = (),
    >,
> {
    App::new()
        .app_data(state)
        .into_utoipa_app()
        .configure(v1::routes)
        .configure(operations::routes)
        .into_app()
        .configure(operations::pages)
        .default_service(web::to(nothing_here))
        .wrap(cors)
        // the outermost, so that what CORS answers by itself is sealed too
        .wrap(middleware::from_fn(envelope))
}

/// What an answer says in headers, which a page of another origin does not see of itself.
const EXPOSED: [&str; 8] =
    ["allow", "content-disposition", "etag", "link", "location", "retry-after", "www-authenticate", "x-request-id"];

/// By an exact list; without one no browser of another origin is answered.
fn cors(origins: &[String]) -> middleware::Condition<Cors> {
    let listed = origins.iter().fold(Cors::default(), |cors, origin| cors.allowed_origin(origin));
    let cors = listed
        .allowed_methods(["GET", "POST", "PATCH", "PUT", "DELETE"])
        .allowed_headers(["authorization", "content-type", "idempotency-key", "if-match", "if-none-match"])
        .expose_headers(EXPOSED)
        .max_age(600);
    middleware::Condition::new(!origins.is_empty(), cors)
}

/// A path without a resource, or a method that its resource does not have.
async fn nothing_here(request: HttpRequest) -> HttpResponse {
    let allowed = allowed_methods(request.path());
    if allowed.is_empty() {
        return Problem::new(Code::NotFound).error_response();
    }
    let mut response = Problem::new(Code::MethodNotAllowed).error_response();
    if let Ok(allow) = HeaderValue::from_str(&allowed.join(", ")) {
        response.headers_mut().insert(ALLOW, allow);
    }
    response
}

/// The methods that the document gives a path.
fn allowed_methods(path: &str) -> Vec<&'static str> {
    let methods = operations_of(path).map(|operation| operation.method.as_str());
    // what can be got can be asked by HEAD
    methods.flat_map(|method| [method].into_iter().chain((method == "GET").then_some("HEAD"))).collect()
}
