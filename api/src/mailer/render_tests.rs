use uuid::Uuid;

use super::*;

const TOKEN: &str = "SampleTokenSampleTokenSampleTokenSampleToke";

fn options() -> RenderOptions {
    RenderOptions {
        site_name: "Shop Help".to_owned(),
        sign_up_link: "https://help.shop.example/sign-up?a=1&b=2#token={token}".to_owned(),
        reset_link: "https://help.shop.example/reset#token={token}".to_owned(),
        admin_link: "https://help.shop.example/admin#token={token}".to_owned(),
        email_link: "https://help.shop.example/email#id={id}&token={token}".to_owned(),
        undo_link: "https://help.shop.example/undo#token={token}".to_owned(),
        delete_account_link: "https://help.shop.example/delete#token={token}".to_owned(),
        templates_dir: None,
    }
}

fn mail(content: MailContent, locale: &str) -> Mail {
    Mail { to: "ada@example.org".to_owned(), locale: Some(locale.to_owned()), content }
}

/// The first sample of a kind: where it names an identity, it has a handle.
fn sample(template: &str) -> MailContent {
    samples().into_iter().find(|content| content.template() == template).unwrap()
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
            let links = said.text.lines().filter(|line| line.ends_with(&format!("token={TOKEN}"))).count();
            let codes = said.text.lines().filter(|line| *line == "Code: ABCD-EFGH").count();
            let (undoes, has_code) = (content.undo().is_some(), content.code().is_some());
            let secrets = usize::from(content.secret().is_some() || undoes);
            assert_eq!((links, codes), (secrets, usize::from(has_code)), "{name}: each on a line of its own");
            assert_eq!(said.text.matches(TOKEN).count(), secrets, "{name}");
            assert_eq!(said.text.matches("ABCD-EFGH").count(), usize::from(has_code), "{name}");
            assert_eq!(said.html.matches("ABCD-EFGH").count(), usize::from(has_code), "{name}");
            assert_eq!(said.html.contains("https://"), secrets == 1, "{name}");
            assert_eq!(said.html.matches(&format!("token={TOKEN}\"")).count(), 2 * secrets, "{name}");
            let (link, code, undo) = match language {
                "de" => ("30 Minuten", "10 Minuten", "3 Tage"),
                _ => ("30 minutes", "10 minutes", "3 days"),
            };
            for part in [&said.text, &said.html] {
                let lives = (part.contains(link), part.contains(code), part.contains(undo));
                assert_eq!(lives, (content.secret().is_some(), has_code, undoes), "{name}");
            }
            // German stays readable where a terminal shows 80 columns; a link may be longer
            assert!(said.text.lines().all(|line| line.contains(TOKEN) || line.chars().count() <= 78), "{name}");
        }
    }
}

#[test]
fn each_mail_leads_to_its_page() {
    let renderer = Renderer::new(options()).unwrap();
    for content in samples() {
        let page = match content.template() {
            "sign_up" | "sign_up_instead" => Some("sign-up?a=1&b=2"),
            "password_reset" | "claim" => Some("reset"),
            "admin_invitation" => Some("admin"),
            "delete_account" => Some("delete"),
            _ if content.undo().is_some() => Some("undo"),
            _ => None,
        };
        let expected = match content.template() {
            "add_email" => Some(format!("https://help.shop.example/email#id={}&token={TOKEN}", Uuid::nil())),
            _ => page.map(|page| format!("https://help.shop.example/{page}#token={TOKEN}")),
        };
        assert_eq!(renderer.link(&content).as_deref(), expected.as_ref(), "{}", content.template());
    }
    let said = renderer.render(&mail(sample("sign_up"), "en")).unwrap();
    assert!(said.html.contains("https://help.shop.example/sign-up?a=1&amp;b=2#token="));
}

#[test]
fn every_kind_of_mail_is_tried_before_the_start() {
    let mut tried: Vec<&str> = samples().iter().map(MailContent::template).collect();
    tried.sort_unstable();
    tried.dedup();
    let parts = ["layout", "secret", "undo", "named"];
    let mut embedded: Vec<&str> = EMBEDDED.iter().filter_map(|(name, _)| name.split('.').next()).collect();
    embedded.retain(|name| !parts.contains(name));
    embedded.sort_unstable();
    embedded.dedup();
    assert_eq!(tried, embedded);
}

#[test]
fn an_identity_is_named_with_and_without_a_handle() {
    let renderer = Renderer::new(options()).unwrap();
    let names = |content: &MailContent, language: &str, phrase: &str| {
        let said = renderer.render(&mail(content.clone(), language)).unwrap();
        let name = format!("{}.{language}", content.template());
        assert!(said.text.replace('\n', " ").contains(phrase), "{name}: {}", *said.text);
        assert!(said.html.contains(phrase), "{name}: {}", *said.html);
    };
    let (mut with, mut without) = (0, 0);
    for content in samples() {
        let (MailContent::SocialEmail { named, .. }
        | MailContent::LinkNotice { named }
        | MailContent::ClaimedByProvider { named, .. }
        | MailContent::IdentityLinked { named, .. }
        | MailContent::IdentityUnlinked { named, .. }) = &content
        else {
            continue;
        };
        if named.handle.is_some() {
            with += 1;
            names(&content, "en", "the Twitter (X) account @ada");
            names(&content, "de", "das Konto @ada bei Twitter (X)");
        } else {
            without += 1;
            names(&content, "en", "an account at Google");
            names(&content, "de", "ein Konto bei Google");
        }
    }
    assert_eq!((with, without), (5, 5));
}

#[test]
fn a_provider_and_a_handle_are_text() {
    let renderer = Renderer::new(options()).unwrap();
    let named = Named { provider: "<b>A & B</b>".to_owned(), handle: Some("o'hara&<i>@example.org".to_owned()) };
    let content = MailContent::LinkNotice { named };
    for language in LANGUAGES {
        let said = renderer.render(&mail(content.clone(), language)).unwrap();
        assert!(!said.html.contains("<b>") && !said.html.contains("<i>"), "{}", *said.html);
        assert!(
            said.html.contains("&lt;b&gt;A &amp; B") && said.html.contains("o&#x27;hara&amp;&lt;i&gt;@example.org")
        );
        assert!(said.text.contains("<b>A & B</b>") && said.text.contains("o'hara&<i>@example.org"));
    }
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
    for template in [
        "password_set",
        "claimed_by_provider",
        "identity_linked",
        "identity_unlinked",
        "messenger_linked",
        "messenger_unlinked",
        "accounts_merged",
        "email_added",
        "primary_email_changed",
        "email_removed",
        "email_changes_undone",
    ] {
        let says = |language: &str, moment: &str| {
            let said = renderer.render(&mail(sample(template), language)).unwrap();
            assert!(said.text.replace('\n', " ").contains(moment), "{template}: {}", *said.text);
            assert!(said.html.contains(moment), "{template}: {}", *said.html);
        };
        says("en", "n 2 January 2026 at 03:04 UTC");
        says("de", "m 2. Januar 2026 um 03:04 Uhr (UTC)");
    }
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
    let sign_up = sample("sign_up");
    let said = renderer.render(&mail(sign_up.clone(), "de")).unwrap();
    assert_eq!(said.subject, "Moin von Shop Help");
    assert!(said.text.ends_with("\nCode: ABCD-EFGH\n") && !said.text.contains('\r'));
    assert!(said.html.contains("<title>Moin von Shop Help</title>"), "the embedded HTML stays");
    assert_eq!(renderer.render(&mail(sign_up, "en")).unwrap().subject, "Finish signing up at Shop Help");
    assert!(renderer.render(&mail(sample("already_registered"), "de")).unwrap().subject.contains("bereits ein Konto"));
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
        ("social_email.en.txt", "Subject: x\n\n{{ provider }}", "social_email.en.txt: it must show {{ code }}"),
        ("social_email.de.html", "<p>{{ provider }}</p>", "social_email.de.html: it must show {{ code }}"),
        ("social_email.en.txt", "Subject: {{ code }}\n\n{{ code }}", "social_email.en.txt:1: the subject"),
        ("social_email.en.txt", good, "social_email.en.txt:3"),
        ("link_notice.en.txt", "Subject: x\n\n{{ code }}", "link_notice.en.txt:3"),
        ("link_notice.en.txt", "Subject: x\n\nABCD-EFGH", "link_notice.en.txt: it must not show {{ code }}"),
        ("identity_linked.de.html", "<p>{{ code }}</p>", "identity_linked.de.html:1"),
        ("named.en.txt", "\n{{ nothing }}", "named.en.txt:2"),
        ("sign-up.en.txt", good, "sign-up.en.txt: there is no mail template"),
    ] {
        let error = overridden(&[(name, source)]).err().unwrap();
        assert!(error.contains(says), "{name}: {error}");
    }
    let missing = Renderer::new(RenderOptions { templates_dir: Some("/nonexistent/mail".into()), ..options() });
    assert!(missing.err().unwrap().contains("/nonexistent/mail"));
}
