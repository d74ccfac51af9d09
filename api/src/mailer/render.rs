//! Puts a mail into words: subject, text and HTML in the reader's language.

use std::error::Error as _;
use std::fs;
use std::path::{Path, PathBuf};

use doorstep_core::clock::Timestamp;
use doorstep_core::mail::{Mail, MailContent, MailedUndo, Named};
use minijinja::{Environment, UndefinedBehavior, Value, context};
use zeroize::Zeroizing;

use super::words::{SAMPLE_CODE, SAMPLE_TOKEN, lifetime, moment, samples};

/// The languages there are templates for; the first is for everybody else.
const LANGUAGES: [&str; 2] = ["en", "de"];

macro_rules! embedded {
    ($($name:literal)*) => { [$(($name, include_str!(concat!("../../templates/mail/", $name)))),*] };
}

/// The templates of the binary. An operator may replace each by a file of the same name.
const EMBEDDED: [(&str, &str); 117] = embedded! {
    "layout.html"
    "secret.en.txt" "secret.en.html" "secret.de.txt" "secret.de.html"
    "undo.en.txt" "undo.en.html" "undo.de.txt" "undo.de.html"
    "named.en.txt" "named.en.html" "named.de.txt" "named.de.html"
    "sign_up.en.txt" "sign_up.en.html" "sign_up.de.txt" "sign_up.de.html"
    "already_registered.en.txt" "already_registered.en.html" "already_registered.de.txt" "already_registered.de.html"
    "password_reset.en.txt" "password_reset.en.html" "password_reset.de.txt" "password_reset.de.html"
    "claim.en.txt" "claim.en.html" "claim.de.txt" "claim.de.html"
    "sign_up_instead.en.txt" "sign_up_instead.en.html" "sign_up_instead.de.txt" "sign_up_instead.de.html"
    "admin_invitation.en.txt" "admin_invitation.en.html" "admin_invitation.de.txt" "admin_invitation.de.html"
    "password_set.en.txt" "password_set.en.html" "password_set.de.txt" "password_set.de.html"
    "social_email.en.txt" "social_email.en.html" "social_email.de.txt" "social_email.de.html"
    "link_notice.en.txt" "link_notice.en.html" "link_notice.de.txt" "link_notice.de.html"
    "claimed_by_provider.en.txt" "claimed_by_provider.en.html"
    "claimed_by_provider.de.txt" "claimed_by_provider.de.html"
    "identity_linked.en.txt" "identity_linked.en.html" "identity_linked.de.txt" "identity_linked.de.html"
    "identity_unlinked.en.txt" "identity_unlinked.en.html" "identity_unlinked.de.txt" "identity_unlinked.de.html"
    "messenger_linked.en.txt" "messenger_linked.en.html" "messenger_linked.de.txt" "messenger_linked.de.html"
    "messenger_unlinked.en.txt" "messenger_unlinked.en.html" "messenger_unlinked.de.txt" "messenger_unlinked.de.html"
    "accounts_merged.en.txt" "accounts_merged.en.html" "accounts_merged.de.txt" "accounts_merged.de.html"
    "merge_accounts.en.txt" "merge_accounts.en.html" "merge_accounts.de.txt" "merge_accounts.de.html"
    "reauthenticate.en.txt" "reauthenticate.en.html" "reauthenticate.de.txt" "reauthenticate.de.html"
    "delete_account.en.txt" "delete_account.en.html" "delete_account.de.txt" "delete_account.de.html"
    "account_deleted.en.txt" "account_deleted.en.html" "account_deleted.de.txt" "account_deleted.de.html"
    "new_device.en.txt" "new_device.en.html" "new_device.de.txt" "new_device.de.html"
    "add_email.en.txt" "add_email.en.html" "add_email.de.txt" "add_email.de.html"
    "add_email_notice.en.txt" "add_email_notice.en.html" "add_email_notice.de.txt" "add_email_notice.de.html"
    "email_added.en.txt" "email_added.en.html" "email_added.de.txt" "email_added.de.html"
    "primary_email_changed.en.txt" "primary_email_changed.en.html"
    "primary_email_changed.de.txt" "primary_email_changed.de.html"
    "email_removed.en.txt" "email_removed.en.html" "email_removed.de.txt" "email_removed.de.html"
    "email_changes_undone.en.txt" "email_changes_undone.en.html"
    "email_changes_undone.de.txt" "email_changes_undone.de.html"
};

pub struct RenderOptions {
    /// Whom the mails are from, in the reader's eyes.
    pub site_name: String,
    /// Where a sign-up goes on; `{token}` in it is replaced, as in all below.
    pub sign_up_link: String,
    /// Where a new password is chosen.
    pub reset_link: String,
    /// Where an admin's invitation is accepted.
    pub admin_link: String,
    /// Where an address that is added is proven; `{id}` in it is replaced too.
    pub email_link: String,
    /// Where a change of the ways in is undone.
    pub undo_link: String,
    /// Where it is confirmed that an account is deleted.
    pub delete_account_link: String,
    /// Holds files that replace the embedded templates of the same name.
    pub templates_dir: Option<PathBuf>,
}

/// A mail in words. It carries a secret, so it has no `Debug`.
pub struct Rendered {
    /// One line, without control characters and without a secret.
    pub subject: String,
    pub text: Zeroizing<String>,
    pub html: Zeroizing<String>,
    /// `en` or `de`, for `Content-Language`.
    pub language: &'static str,
}

/// Knows every template; each has been rendered once with sample data.
pub struct Renderer {
    templates: Environment<'static>,
    options: RenderOptions,
}

impl Renderer {
    /// Reads and tries every template, so that a broken one stops the start and not a customer's mail.
    ///
    /// # Errors
    /// Says which file, and on which line, or which option.
    pub fn new(options: RenderOptions) -> Result<Self, String> {
        check_options(&options)?;
        let mut templates = Environment::new();
        templates.set_undefined_behavior(UndefinedBehavior::Strict);
        for (name, source) in EMBEDDED {
            templates.add_template(name, source).map_err(|e| in_full(&e))?;
        }
        for (name, source) in options.templates_dir.as_deref().map(overrides).transpose()?.unwrap_or_default() {
            templates.add_template_owned(name, source).map_err(|e| in_full(&e))?;
        }
        let renderer = Self { templates, options };
        for content in samples() {
            for language in LANGUAGES {
                renderer.rehearse(&content, language)?;
            }
        }
        Ok(renderer)
    }

    /// # Errors
    /// Where a template fails that did not fail on sample data; says which, without its data.
    pub fn render(&self, mail: &Mail) -> Result<Rendered, String> {
        self.fill(&mail.content, language_of(mail.locale.as_deref())).map_err(|e| match e {
            Fault::Engine(e) => in_short(&e),
            Fault::Shape(e) => e,
        })
    }

    /// The link that the mail carries, where it carries one.
    #[must_use]
    pub fn link(&self, content: &MailContent) -> Option<Zeroizing<String>> {
        let pattern = match content {
            MailContent::AddEmail { secret, id } => {
                let link = self.options.email_link.replace("{id}", &id.to_string());
                return Some(Zeroizing::new(link.replace("{token}", &secret.token)));
            }
            MailContent::SignUp { .. } | MailContent::SignUpInstead { .. } => &self.options.sign_up_link,
            MailContent::PasswordReset { .. } | MailContent::Claim { .. } => &self.options.reset_link,
            MailContent::AdminInvitation { .. } => &self.options.admin_link,
            MailContent::DeleteAccount { .. } => &self.options.delete_account_link,
            MailContent::EmailAdded { .. }
            | MailContent::PrimaryEmailChanged { .. }
            | MailContent::EmailRemoved { .. } => &self.options.undo_link,
            MailContent::AlreadyRegistered
            | MailContent::PasswordSet { .. }
            | MailContent::SocialEmail { .. }
            | MailContent::AccountsMerged { .. }
            | MailContent::MergeAccounts { .. }
            | MailContent::AccountDeleted { .. }
            | MailContent::NewDevice { .. }
            | MailContent::Reauthenticate { .. }
            | MailContent::LinkNotice { .. }
            | MailContent::ClaimedByProvider { .. }
            | MailContent::IdentityLinked { .. }
            | MailContent::IdentityUnlinked { .. }
            | MailContent::MessengerLinked { .. }
            | MailContent::MessengerUnlinked { .. }
            | MailContent::AddEmailNotice
            | MailContent::EmailChangesUndone { .. } => return None,
        };
        let token = content.secret().map(|secret| &secret.token).or_else(|| content.undo().map(|undo| &undo.token));
        token.map(|token| Zeroizing::new(pattern.replace("{token}", token)))
    }

    fn fill(&self, content: &MailContent, language: &'static str) -> Result<Rendered, Fault> {
        let name = content.template();
        let file = format!("{name}.{language}.txt");
        let link = self.link(content);
        let plain = link.as_deref().map(|link| Value::from(link.as_str()));
        let text = self.templates.get_template(&file)?.render(self.values(content, language, plain))?;
        let (subject, text) = split(&Zeroizing::new(text)).ok_or_else(|| {
            Fault::Shape(format!(
                "mail template {file}:1: the first line must read \"Subject: …\", the second must be empty"
            ))
        })?;
        // a slash is escaped too by the engine, and an address written in entities is what spam looks like
        let escaped = link.as_deref().map(|link| Value::from_safe_string(escape(link)));
        let values = context! { subject => subject.as_str(), ..self.values(content, language, escaped) };
        let html = self.templates.get_template(&format!("{name}.{language}.html"))?.render(values)?;
        Ok(Rendered { subject, text, html: Zeroizing::new(html), language })
    }

    /// What a template may say. A handle was chosen by a stranger, and core lets it say nothing else; the rest is ours.
    fn values(&self, content: &MailContent, language: &'static str, link: Option<Value>) -> Value {
        let site_name = self.options.site_name.as_str();
        let common = context! { site_name, language };
        match content {
            MailContent::SignUp { secret }
            | MailContent::PasswordReset { secret }
            | MailContent::Claim { secret }
            | MailContent::SignUpInstead { secret }
            | MailContent::AdminInvitation { secret }
            | MailContent::DeleteAccount { secret }
            | MailContent::AddEmail { secret, .. } => {
                let (link_minutes, link_lifetime) = (secret.link_minutes, lifetime(secret.link_minutes, language));
                let link = context! { link, link_minutes, link_lifetime };
                context! { ..link, ..code_values(&secret.code, secret.code_minutes, language), ..common }
            }
            MailContent::SocialEmail { code, code_minutes, named } => {
                context! { ..code_values(code, *code_minutes, language), ..named_values(named), ..common }
            }
            MailContent::NewDevice { at, device, network, provider } => {
                let (browser, system) = (device.browser.as_deref(), device.system.as_deref());
                let values = context! { browser, system, network, provider };
                context! { ..values, ..moment_values(*at, language), ..common }
            }
            MailContent::Reauthenticate { code, code_minutes } => {
                context! { ..code_values(code, *code_minutes, language), ..common }
            }
            MailContent::LinkNotice { named } => context! { ..named_values(named), ..common },
            MailContent::ClaimedByProvider { named, at }
            | MailContent::IdentityLinked { named, at }
            | MailContent::IdentityUnlinked { named, at } => {
                context! { ..named_values(named), ..moment_values(*at, language), ..common }
            }
            MailContent::PasswordSet { at }
            | MailContent::MessengerLinked { at }
            | MailContent::MessengerUnlinked { at }
            | MailContent::EmailChangesUndone { at }
            | MailContent::AccountsMerged { at }
            | MailContent::AccountDeleted { at } => {
                context! { ..moment_values(*at, language), ..common }
            }
            MailContent::MergeAccounts { code, code_minutes, other, remains } => {
                let values = context! { other, remains };
                context! { ..values, ..code_values(code, *code_minutes, language), ..common }
            }
            MailContent::EmailAdded { address, at, undo } => {
                let values = context! { address, ..undo_values(link, Some(undo), language) };
                context! { ..values, ..moment_values(*at, language), ..common }
            }
            MailContent::PrimaryEmailChanged { address, at, undo }
            | MailContent::EmailRemoved { address, at, undo } => {
                let values = context! { address, ..undo_values(link, undo.as_ref(), language) };
                context! { ..values, ..moment_values(*at, language), ..common }
            }
            MailContent::AlreadyRegistered | MailContent::AddEmailNotice => common,
        }
    }

    /// Renders a mail with sample data and looks whether it says what it must and no more.
    fn rehearse(&self, content: &MailContent, language: &'static str) -> Result<(), String> {
        let file = format!("{}.{language}", content.template());
        let rendered = self.fill(content, language).map_err(|e| match e {
            Fault::Engine(e) => in_full(&e),
            Fault::Shape(e) => e,
        })?;
        if rendered.subject.contains(SAMPLE_TOKEN) || rendered.subject.contains(SAMPLE_CODE) {
            return Err(format!("mail template {file}.txt:1: the subject must not show the link or the code"));
        }
        let link = self.link(content);
        let has_code = content.code().is_some();
        // in HTML the link is escaped, its token is not
        let in_text = link.as_deref().map_or(SAMPLE_TOKEN, String::as_str);
        for (name, due, in_text, in_html) in
            [("link", link.is_some(), in_text, SAMPLE_TOKEN), ("code", has_code, SAMPLE_CODE, SAMPLE_CODE)]
        {
            let must = if due { "must" } else { "must not" };
            for (kind, part, secret) in [("txt", &rendered.text, in_text), ("html", &rendered.html, in_html)] {
                if part.contains(secret) != due {
                    return Err(format!("mail template {file}.{kind}: it {must} show {{{{ {name} }}}}"));
                }
            }
        }
        Ok(())
    }
}

fn code_values(code: &str, minutes: u64, language: &str) -> Value {
    context! { code, code_minutes => minutes, code_lifetime => lifetime(minutes, language) }
}

/// The link is `none` where nothing may be undone: a template asks before it says it.
fn undo_values(link: Option<Value>, undo: Option<&MailedUndo>, language: &str) -> Value {
    let link_minutes = undo.map(|undo| undo.minutes);
    context! { link, link_minutes, link_lifetime => link_minutes.map(|minutes| lifetime(minutes, language)) }
}

/// The handle is `none` where there is none: a template asks before it says it.
fn named_values(named: &Named) -> Value {
    context! { provider => named.provider.as_str(), handle => named.handle.as_deref() }
}

fn moment_values(at: Timestamp, language: &str) -> Value {
    context! { at => moment(at, language), at_rfc3339 => at.to_string() }
}

enum Fault {
    Engine(minijinja::Error),
    Shape(String),
}

impl From<minijinja::Error> for Fault {
    fn from(error: minijinja::Error) -> Self {
        Self::Engine(error)
    }
}

/// File, line and kind of an error. Its detail may quote the data, and so a secret.
fn in_short(error: &minijinja::Error) -> String {
    let error = innermost(error);
    format!("mail template {}:{}: {}", error.name().unwrap_or("?"), error.line().unwrap_or(0), error.kind())
}

/// The same with its detail, which at the start can only quote sample data.
fn in_full(error: &minijinja::Error) -> String {
    innermost(error).detail().map_or_else(|| in_short(error), |detail| format!("{}: {detail}", in_short(error)))
}

/// An error in an included file: that file and not the one that includes it.
fn innermost(error: &minijinja::Error) -> &minijinja::Error {
    let mut innermost = error;
    while let Some(cause) = innermost.source().and_then(|source| source.downcast_ref()) {
        innermost = cause;
    }
    innermost
}

fn check_options(options: &RenderOptions) -> Result<(), String> {
    let name = &options.site_name;
    if name.trim().is_empty() || name.chars().any(char::is_control) {
        return Err("site.name must not be empty or contain control characters".to_owned());
    }
    let links = [
        ("sign-up", &options.sign_up_link),
        ("reset", &options.reset_link),
        ("admin", &options.admin_link),
        ("email", &options.email_link),
        ("undo", &options.undo_link),
        ("delete-account", &options.delete_account_link),
    ];
    for (which, link) in links {
        if !link.contains("{token}") {
            return Err(format!(
                "the {which} link must contain {{token}}, as in https://help.shop.example/page#token={{token}}"
            ));
        }
        if link.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(format!("the {which} link must not contain spaces or control characters"));
        }
    }
    Ok(())
}

/// The operator's templates, by file name. A name we do not know is an error: it would be a change without effect.
fn overrides(dir: &Path) -> Result<Vec<(String, String)>, String> {
    let unreadable = |path: &Path, e: &dyn std::fmt::Display| format!("mail template {}: {e}", path.display());
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(|e| unreadable(dir, &e))? {
        let path = entry.map_err(|e| unreadable(dir, &e))?.path();
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
        if !matches!(extension, "txt" | "html") {
            continue;
        }
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        if !EMBEDDED.iter().any(|(known, _)| *known == name) {
            return Err(unreadable(&path, &"there is no mail template of this name to replace"));
        }
        let source = fs::read_to_string(&path).map_err(|e| unreadable(&path, &e))?;
        found.push((name.to_owned(), source.replace("\r\n", "\n")));
    }
    Ok(found)
}

/// Takes the subject from the first line, without the control characters that would start another header.
fn split(text: &str) -> Option<(String, Zeroizing<String>)> {
    let (first, rest) = text.split_once('\n')?;
    let subject: String = first.strip_prefix("Subject: ")?.chars().filter(|c| !c.is_control()).collect();
    let body = rest.strip_prefix('\n')?.trim();
    let subject = subject.trim();
    (!subject.is_empty() && !body.is_empty()).then(|| (subject.to_owned(), Zeroizing::new(format!("{body}\n"))))
}

fn escape(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    text.replace('"', "&quot;").replace('\'', "&#x27;")
}

/// Matches the primary language of a BCP 47 tag (RFC 4647, basic filtering), else English.
fn language_of(locale: Option<&str>) -> &'static str {
    let primary = locale.and_then(|tag| tag.split(['-', '_']).next()).unwrap_or_default();
    LANGUAGES.into_iter().find(|known| known.eq_ignore_ascii_case(primary)).unwrap_or("en")
}

#[cfg(test)]
#[path = "render_tests.rs"]
mod tests;
