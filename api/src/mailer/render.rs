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
mod tests {
    use super::*;

    const TOKEN: &str = "SampleTokenSampleTokenSampleTokenSampleToke";

    fn options() -> RenderOptions {
        RenderOptions {
            site_name: "Shop Help".to_owned(),
            sign_up_link: "https://help.shop.example/sign-up?a=1&b=2#token={token}".to_owned(),
            reset_link: "https://help.shop.example/reset#token={token}".to_owned(),
            admin_link: "https://help.shop.example/admin#token={token}".to_owned(),
            templates_dir: None,
        }
    }

    fn mail(content: MailContent, locale: &str) -> Mail {
        Mail { to: "ada@example.org".to_owned(), locale: Some(locale.to_owned()), content }
    }

    /// A renderer whose operator has written these files.
    fn overridden(files: &[(&str, &str)]) -> Result<Renderer, String> {
        let dir = tempfile::tempdir().unwrap();
        for (name, source) in files {
            fs::write(dir.path().join(name), source).unwrap();
        }
        Renderer::new(RenderOptions { templates_dir: Some(dir.path().to_owned()), ..options() })
    }

    #[test]
    fn every_mail_says_what_it_must_in_every_language() {
        let renderer = Renderer::new(options()).unwrap();
        for content in samples() {
            for language in LANGUAGES {
                let name = format!("{}.{language}", content.template());
                let said = renderer.render(&mail(content.clone(), language)).unwrap();
                assert_eq!(said.language, language);
                for part in [said.subject.as_str(), &said.text, &said.html] {
                    assert!(part.contains("Shop Help"), "{name} says whom it is from");
                    assert!(!part.contains("{{") && !part.contains("{%"), "{name}");
                }
                assert!(!said.subject.contains(TOKEN) && !said.subject.contains("ABCD"), "{name}");
                assert!(said.html.contains(&format!("<html lang=\"{language}\">")), "{name}");
                assert!(!said.html.contains("<img") && !said.html.contains("<style"), "{name}");
                let links = said.text.lines().filter(|line| line.ends_with(&format!("#token={TOKEN}"))).count();
                let codes = said.text.lines().filter(|line| *line == "Code: ABCD-EFGH").count();
                let secrets = usize::from(content.secret().is_some());
                assert_eq!((links, codes), (secrets, secrets), "{name}: each on a line of its own");
                assert_eq!(said.text.matches(TOKEN).count(), secrets, "{name}");
                assert_eq!(said.html.contains("ABCD-EFGH"), secrets == 1, "{name}");
                assert_eq!(said.html.contains("https://"), secrets == 1, "{name}");
                assert_eq!(said.html.matches(&format!("#token={TOKEN}\"")).count(), 2 * secrets, "{name}");
                if secrets == 1 {
                    let (link, code) =
                        if language == "de" { ("30 Minuten", "10 Minuten") } else { ("30 minutes", "10 minutes") };
                    assert!(said.text.contains(link) && said.text.contains(code), "{name}");
                    assert!(said.html.contains(link) && said.html.contains(code), "{name}");
                }
                // German stays readable where a terminal shows 80 columns; a link may be longer
                assert!(said.text.lines().all(|line| line.contains(TOKEN) || line.chars().count() <= 78), "{name}");
            }
        }
    }

    #[test]
    fn each_mail_leads_to_its_page() {
        let renderer = Renderer::new(options()).unwrap();
        let pages = samples().map(|content| renderer.link(&content).map(|link| link.replace(TOKEN, "")));
        let page = |path: &str| Some(format!("https://help.shop.example/{path}#token="));
        let expected =
            [page("sign-up?a=1&b=2"), None, page("reset"), page("reset"), page("sign-up?a=1&b=2"), page("admin"), None];
        assert_eq!(pages, expected);
        let [sign_up, ..] = samples();
        let said = renderer.render(&mail(sign_up, "en")).unwrap();
        assert!(said.html.contains("https://help.shop.example/sign-up?a=1&amp;b=2#token="));
    }

    #[test]
    fn the_language_is_the_nearest_there_is() {
        for (locale, language) in [
            ("de", "de"),
            ("DE-at", "de"),
            ("de_CH", "de"),
            ("en-GB", "en"),
            ("fr", "en"),
            ("deu", "en"),
            ("", "en"),
            ("\r\nBcc: x", "en"),
        ] {
            assert_eq!(language_of(Some(locale)), language, "{locale:?}");
        }
        assert_eq!(language_of(None), "en");
    }

    #[test]
    fn lifetimes_and_moments_read_well() {
        for (minutes, english, german) in [
            (1, "1 minute", "1 Minute"),
            (90, "90 minutes", "90 Minuten"),
            (60, "1 hour", "1 Stunde"),
            (120, "2 hours", "2 Stunden"),
            (1440, "1 day", "1 Tag"),
            (4320, "3 days", "3 Tage"),
            (0, "0 minutes", "0 Minuten"),
        ] {
            assert_eq!((lifetime(minutes, "en").as_str(), lifetime(minutes, "de").as_str()), (english, german));
        }
        let renderer = Renderer::new(options()).unwrap();
        let [.., set] = samples();
        let english = renderer.render(&mail(set.clone(), "en")).unwrap();
        assert!(english.text.replace('\n', " ").contains("on 2 January 2026 at 03:04 UTC"), "{}", *english.text);
        let german = renderer.render(&mail(set, "de")).unwrap();
        assert!(german.text.replace('\n', " ").contains("am 2. Januar 2026 um 03:04 Uhr (UTC)"), "{}", *german.text);
    }

    #[test]
    fn a_site_name_is_text_and_one_line() {
        let named = |name: &str| Renderer::new(RenderOptions { site_name: name.to_owned(), ..options() });
        let renderer = named("<b>A & B</b>").unwrap();
        for content in samples() {
            let said = renderer.render(&mail(content, "en")).unwrap();
            assert!(!said.html.contains("<b>") && said.html.contains("&lt;b&gt;A &amp; B"));
            assert!(said.text.contains("<b>A & B</b>") && said.subject.contains("<b>A & B</b>"));
        }
        for name in ["Shop\r\nBcc: eve@example.org", "Shop\nx", "\u{0}", "", " ", "a\u{85}b"] {
            assert!(named(name).is_err(), "{name:?}");
        }
        let (subject, _) = split("Subject: a\rBcc: b\u{0}\tc\n\nbody").unwrap();
        assert_eq!(subject, "aBcc: bc");
    }

    #[test]
    fn links_need_their_placeholder() {
        for link in ["https://help.shop.example/reset", "", "https://x/{token}\r\nBcc: y", "https://x/ {token}"] {
            let error = Renderer::new(RenderOptions { reset_link: link.to_owned(), ..options() }).err().unwrap();
            assert!(error.contains("the reset link"), "{error}");
        }
    }

    #[test]
    fn an_operator_replaces_some_templates() {
        let ours = "Subject: Moin von {{ site_name }}\r\n\r\n{{ link }}\r\nCode: {{ code }}\r\n";
        let renderer = overridden(&[("sign_up.de.txt", ours), ("notes.md", "{{ broken")]).unwrap();
        let [sign_up, already, ..] = samples();
        let said = renderer.render(&mail(sign_up.clone(), "de")).unwrap();
        assert_eq!(said.subject, "Moin von Shop Help");
        assert!(said.text.ends_with("\nCode: ABCD-EFGH\n") && !said.text.contains('\r'));
        assert!(said.html.contains("<title>Moin von Shop Help</title>"), "the embedded HTML stays");
        assert_eq!(renderer.render(&mail(sign_up, "en")).unwrap().subject, "Finish signing up at Shop Help");
        assert!(renderer.render(&mail(already, "de")).unwrap().subject.contains("bereits ein Konto"));
    }

    #[test]
    fn a_broken_template_stops_the_start() {
        let good = "Subject: x\n\n{{ link }} {{ code }}";
        for (name, source, says) in [
            ("claim.en.txt", "Subject: x\n\n{{ link }\n", "claim.en.txt:3"),
            ("claim.en.txt", "Subject: x\n\n{{ lnik }} {{ code }}", "claim.en.txt:3"),
            ("claim.en.html", "\n\n\n{{ full_name }}", "claim.en.html:4"),
            ("secret.de.html", "\n{{ nothing }}", "secret.de.html:2"),
            ("layout.html", "{% block content %}", "layout.html:1"),
            ("claim.en.txt", "Dear {{ site_name }}", "claim.en.txt:1"),
            ("claim.en.txt", "Subject: {{ code }}\n\n{{ link }} {{ code }}", "claim.en.txt:1: the subject"),
            ("claim.en.txt", "Subject: x\n\n{{ link }}", "claim.en.txt: it must show"),
            ("claim.en.html", "<p>{{ code }}</p>", "claim.en.html: it must show"),
            ("already_registered.en.txt", good, "already_registered.en.txt:3"),
            ("sign-up.en.txt", good, "sign-up.en.txt: there is no mail template"),
        ] {
            let error = overridden(&[(name, source)]).err().unwrap();
            assert!(error.contains(says), "{name}: {error}");
        }
        let missing = Renderer::new(RenderOptions { templates_dir: Some("/nonexistent/mail".into()), ..options() });
        assert!(missing.err().unwrap().contains("/nonexistent/mail"));
    }
}
