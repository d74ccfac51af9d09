//! Puts a mail into words: subject, text and HTML in the reader's language.

use std::error::Error as _;
use std::fs;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Datelike, Utc};
use doorstep_core::clock::Timestamp;
use doorstep_core::mail::{Mail, MailContent, MailedSecret};
use minijinja::{Environment, UndefinedBehavior, Value, context};
use zeroize::Zeroizing;

/// The languages there are templates for; the first is for everybody else.
const LANGUAGES: [&str; 2] = ["en", "de"];

macro_rules! embedded {
    ($($name:literal)*) => { [$(($name, include_str!(concat!("../../templates/mail/", $name)))),*] };
}

/// The templates of the binary. An operator may replace each by a file of the same name.
const EMBEDDED: [(&str, &str); 33] = embedded! {
    "layout.html"
    "secret.en.txt" "secret.en.html" "secret.de.txt" "secret.de.html"
    "sign_up.en.txt" "sign_up.en.html" "sign_up.de.txt" "sign_up.de.html"
    "already_registered.en.txt" "already_registered.en.html" "already_registered.de.txt" "already_registered.de.html"
    "password_reset.en.txt" "password_reset.en.html" "password_reset.de.txt" "password_reset.de.html"
    "claim.en.txt" "claim.en.html" "claim.de.txt" "claim.de.html"
    "sign_up_instead.en.txt" "sign_up_instead.en.html" "sign_up_instead.de.txt" "sign_up_instead.de.html"
    "admin_invitation.en.txt" "admin_invitation.en.html" "admin_invitation.de.txt" "admin_invitation.de.html"
    "password_set.en.txt" "password_set.en.html" "password_set.de.txt" "password_set.de.html"
};

pub struct RenderOptions {
    /// Whom the mails are from, in the reader's eyes.
    pub site_name: String,
    /// Where a sign-up goes on; `{token}` in it is replaced, as in the two below.
    pub sign_up_link: String,
    /// Where a new password is chosen.
    pub reset_link: String,
    /// Where an admin's invitation is accepted.
    pub admin_link: String,
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
            MailContent::SignUp { .. } | MailContent::SignUpInstead { .. } => &self.options.sign_up_link,
            MailContent::PasswordReset { .. } | MailContent::Claim { .. } => &self.options.reset_link,
            MailContent::AdminInvitation { .. } => &self.options.admin_link,
            MailContent::AlreadyRegistered | MailContent::PasswordSet { .. } => return None,
        };
        content.secret().map(|secret| Zeroizing::new(pattern.replace("{token}", &secret.token)))
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

    /// What a template may say. Nothing in it was typed by a stranger.
    fn values(&self, content: &MailContent, language: &'static str, link: Option<Value>) -> Value {
        let site_name = self.options.site_name.as_str();
        let common = context! { site_name, language };
        match (content, content.secret()) {
            (_, Some(secret)) => context! {
                link,
                code => secret.code.as_str(),
                link_minutes => secret.link_minutes,
                code_minutes => secret.code_minutes,
                link_lifetime => lifetime(secret.link_minutes, language),
                code_lifetime => lifetime(secret.code_minutes, language),
                ..common
            },
            (MailContent::PasswordSet { at }, None) => {
                context! { at => moment(*at, language), at_rfc3339 => at.to_string(), ..common }
            }
            _ => common,
        }
    }

    /// Renders a mail with sample data and looks whether it says what it must and no more.
    fn rehearse(&self, content: &MailContent, language: &'static str) -> Result<(), String> {
        let file = format!("{}.{language}", content.template());
        let rendered = self.fill(content, language).map_err(|e| match e {
            Fault::Engine(e) => in_full(&e),
            Fault::Shape(e) => e,
        })?;
        let (Some(secret), Some(link)) = (content.secret(), self.link(content)) else { return Ok(()) };
        if rendered.subject.contains(secret.token.as_str()) || rendered.subject.contains(secret.code.as_str()) {
            return Err(format!("mail template {file}.txt:1: the subject must not show the link or the code"));
        }
        if !rendered.text.contains(link.as_str()) || !rendered.text.contains(secret.code.as_str()) {
            return Err(format!("mail template {file}.txt: it must show both {{{{ link }}}} and {{{{ code }}}}"));
        }
        if !rendered.html.contains(secret.token.as_str()) || !rendered.html.contains(secret.code.as_str()) {
            return Err(format!("mail template {file}.html: it must show both {{{{ link }}}} and {{{{ code }}}}"));
        }
        Ok(())
    }
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
    let links = [("sign-up", &options.sign_up_link), ("reset", &options.reset_link), ("admin", &options.admin_link)];
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

/// "30 minutes", "1 day": in the largest unit that says it exactly; in German in the accusative.
fn lifetime(minutes: u64, language: &str) -> String {
    let (count, english, german) = if minutes >= 1440 && minutes.is_multiple_of(1440) {
        (minutes / 1440, ["day", "days"], ["Tag", "Tage"])
    } else if minutes >= 60 && minutes.is_multiple_of(60) {
        (minutes / 60, ["hour", "hours"], ["Stunde", "Stunden"])
    } else {
        (minutes, ["minute", "minutes"], ["Minute", "Minuten"])
    };
    let [one, many] = if language == "de" { german } else { english };
    format!("{count} {}", if count == 1 { one } else { many })
}

/// A moment as people read it, to the minute, in UTC: the reader's time zone is not known.
fn moment(at: Timestamp, language: &str) -> String {
    const MONTHS: [&str; 12] = [
        "Januar",
        "Februar",
        "März",
        "April",
        "Mai",
        "Juni",
        "Juli",
        "August",
        "September",
        "Oktober",
        "November",
        "Dezember",
    ];
    let time = DateTime::<Utc>::from_timestamp_micros(at.as_micros()).unwrap_or_default();
    if language != "de" {
        return time.format("%-d %B %Y at %H:%M UTC").to_string();
    }
    let month = usize::try_from(time.month0()).ok().and_then(|index| MONTHS.get(index)).unwrap_or(&"");
    format!("{}. {month} {} um {} Uhr (UTC)", time.day(), time.year(), time.format("%H:%M"))
}

/// One mail of each kind, with a secret that is none.
fn samples() -> [MailContent; 7] {
    let secret = || MailedSecret {
        token: Zeroizing::new("SampleTokenSampleTokenSampleTokenSampleToke".to_owned()),
        code: Zeroizing::new("ABCD-EFGH".to_owned()),
        link_minutes: 30,
        code_minutes: 10,
    };
    [
        MailContent::SignUp { secret: secret() },
        MailContent::AlreadyRegistered,
        MailContent::PasswordReset { secret: secret() },
        MailContent::Claim { secret: secret() },
        MailContent::SignUpInstead { secret: secret() },
        MailContent::AdminInvitation { secret: secret() },
        MailContent::PasswordSet { at: Timestamp::from_micros(1_767_323_045_000_007) },
    ]
}

#[cfg(test)]
#[path = "render_tests.rs"]
mod tests;
