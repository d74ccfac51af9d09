//! The mailer: carries mail from the outbox to SMTP or to files, on threads of its own, never inside a request.

pub mod render;
pub mod transport;
mod words;

use std::collections::HashSet;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use doorstep_core::Result;
use doorstep_core::db::{Origin, Store};
use doorstep_core::outbox::{self, Leased};
use lettre::message::Mailbox;

use crate::background::Stop;
use crate::config::Config;
use render::{RenderOptions, Renderer};
use transport::Transport;

/// Threads that carry mail, so that one slow conversation does not keep the others waiting.
const CARRIERS: usize = 2;
/// The longest nap: mail that another process put into the outbox, or that is tried again, is seen after it.
const NAP: Duration = Duration::from_secs(2);

/// Renders and sends.
pub struct Mailer {
    renderer: Renderer,
    transport: Transport,
    from: Mailbox,
    /// Links and codes are shown in the log only where mail goes to files: nobody but the developer reads either.
    shows_secrets: bool,
    in_flight: InFlight,
}

/// Addresses that a mail is on its way to: two mails to one address never overtake each other, for the last to
/// arrive must be the one whose secret is good.
#[derive(Default)]
struct InFlight {
    addresses: Mutex<HashSet<String>>,
    landed: Condvar,
}

impl InFlight {
    fn take_off(&self, address: &str) {
        let addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.landed.wait_while(addresses, |addresses| addresses.contains(address));
        waited.unwrap_or_else(PoisonError::into_inner).insert(address.to_owned());
    }

    fn land(&self, address: &str) {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner).remove(address);
        self.landed.notify_all();
    }
}

impl Mailer {
    pub fn new(config: &Config) -> Result<Self, String> {
        let options = RenderOptions {
            site_name: config.site.name.clone(),
            sign_up_link: config.links.sign_up.clone(),
            reset_link: config.links.reset.clone(),
            admin_link: config.links.admin.clone(),
            email_link: config.links.email.clone(),
            undo_link: config.links.undo.clone(),
            delete_account_link: config.links.delete_account.clone(),
            templates_dir: config.mail.templates.clone(),
        };
        let from = config.mail.from.parse().map_err(|error| {
            format!(
                "mail.from = {:?}: {error}; expected something like \"Shop Help <help@shop.example>\"",
                config.mail.from
            )
        })?;
        Ok(Self {
            renderer: Renderer::new(options)?,
            transport: Transport::from_config(config.mail.smtp_url.as_deref(), &config.mail_dir())
                .map_err(|why| format!("mail.smtp_url is refused: {why}"))?,
            from,
            shows_secrets: config.mail.smtp_url.is_none(),
            in_flight: InFlight::default(),
        })
    }

    #[must_use]
    pub const fn renderer(&self) -> &Renderer {
        &self.renderer
    }

    /// Starts the threads; they end when told to stop.
    pub fn start(self: &Arc<Self>, store: &Store, stop: &Arc<Stop>) -> std::io::Result<Vec<JoinHandle<()>>> {
        if self.shows_secrets {
            tracing::warn!(
                "mail is written to files, for development: its links and codes stand in this log, and whoever reads it \
                 can sign in with them; set mail.smtp_url (DOORSTEP_MAIL_SMTP_URL) to send mail"
            );
        }
        (0..CARRIERS)
            .map(|number| {
                let (mailer, store, stop) = (Arc::clone(self), store.clone(), Arc::clone(stop));
                let thread = std::thread::Builder::new().name(format!("mailer-{number}"));
                thread.spawn(move || mailer.carry(&store, &stop))
            })
            .collect()
    }

    fn carry(&self, store: &Store, stop: &Stop) {
        while !stop.is_told() {
            let rung = store.bell().count();
            match self.carry_one(store) {
                Ok(true) => {}
                Ok(false) => store.bell().wait(rung, NAP),
                Err(error) => {
                    tracing::warn!(%error, "cannot carry mail");
                    stop.wait(NAP);
                }
            }
        }
    }

    /// Carries the next mail that is due; whether there was one.
    pub fn carry_one(&self, store: &Store) -> Result<bool> {
        let origin = Origin::default();
        // looking is cheap and holds up no writer; taking is a transaction
        if !store.read(&origin, outbox::is_mail_due)? {
            return Ok(false);
        }
        let Some(leased) = store.write(&origin, outbox::lease_mail)? else { return Ok(false) };
        self.in_flight.take_off(&leased.mail.to);
        let carried = self.deliver(store, &leased);
        self.in_flight.land(&leased.mail.to);
        carried.map(|()| true)
    }

    fn deliver(&self, store: &Store, leased: &Leased) -> Result<()> {
        let (id, attempts) = (leased.id, leased.attempts);
        let origin = Origin::default();
        if !store.read(&origin, |work| outbox::is_wanted(work, id))? {
            return store.write(&origin, move |work| outbox::mail_dropped(work, id));
        }
        let Err(error) = self.send(store, leased) else {
            return store.write(&origin, move |work| outbox::mail_sent(work, id));
        };
        let template = leased.mail.content.template();
        tracing::warn!(template, attempts, permanent = error.permanent, error = error.message, "mail not sent");
        store.write(&origin, move |work| outbox::mail_failed(work, attempts, id, &error.message, error.permanent))
    }

    fn send(&self, store: &Store, leased: &Leased) -> Result<(), transport::SendError> {
        let rendered =
            self.renderer.render(&leased.mail).map_err(|message| transport::SendError { permanent: true, message })?;
        let now = store.clock().now();
        self.transport.send(&self.from, &leased.mail.to, &rendered, &leased.id.to_string(), now)?;
        let template = leased.mail.content.template();
        match (self.shows_secrets, leased.mail.content.code(), self.renderer.link(&leased.mail.content)) {
            (true, Some(code), Some(link)) => {
                tracing::info!(to = leased.mail.to, template, code, link = %*link, "mail written to a file");
            }
            (true, Some(code), None) => {
                tracing::info!(to = leased.mail.to, template, code, "mail written to a file");
            }
            (true, None, Some(link)) => {
                tracing::info!(to = leased.mail.to, template, link = %*link, "mail written to a file");
            }
            (true, None, None) => tracing::info!(to = leased.mail.to, template, "mail written to a file"),
            _ => tracing::info!(template, "mail sent"),
        }
        Ok(())
    }
}
