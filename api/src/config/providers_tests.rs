use super::*;
use crate::config::Config;

fn load(text: &str, environment: &[(&str, &str)]) -> Result<Config, String> {
    let environment: Vec<_> = environment.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    Config::from_parts(text, &environment)
}

fn known(text: &str, environment: &[(&str, &str)]) -> Vec<Known> {
    load(text, environment).unwrap().providers.resolve().unwrap()
}

const ACME: &str = "[providers.acme]\nissuer = \"https://login.acme.example\"\ntitle = \"Acme\"\nclient_id = \"c\"\n\
                    client_secret = \"s3cr3t\"\n";

#[test]
fn the_environment_alone_configures_a_provider() {
    let known = known(
        "",
        &[
            ("DOORSTEP_PROVIDERS_TWITTER_CLIENT_ID", "t"),
            ("DOORSTEP_PROVIDERS_TWITTER_CLIENT_SECRET", "12345"),
            ("DOORSTEP_PROVIDERS_FACEBOOK_CLIENT_ID", "1234567890"),
            ("DOORSTEP_PROVIDERS_FACEBOOK_CLIENT_SECRET", "true"),
            ("DOORSTEP_PROVIDERS_GOOGLE_CLIENT_ID", "g"),
            ("DOORSTEP_PROVIDERS_GOOGLE_CLIENT_SECRET", "[a]"),
            ("DOORSTEP_PROVIDERS_GOOGLE_NATIVE_CLIENT_IDS", "ios, android"),
            ("DOORSTEP_PROVIDERS_ACME_CLIENT_ID", "a"),
            ("DOORSTEP_PROVIDERS_ACME_CLIENT_SECRET", "s"),
            ("DOORSTEP_PROVIDERS_ACME_ISSUER", "https://login.acme.example"),
            ("DOORSTEP_PROVIDERS_ACME_SCOPES", "openid,email"),
        ],
    );
    let names: Vec<_> = known.iter().map(|known| known.provider.name.as_str()).collect();
    assert_eq!(names, ["google", "facebook", "twitter", "acme"], "in this order");
    let titles: Vec<_> = known.iter().map(|known| known.provider.title.as_str()).collect();
    assert_eq!(titles, ["Google", "Facebook", "Twitter (X)", "acme"]);
    let namespaces: Vec<_> = known.iter().map(|known| known.provider.namespace.as_str()).collect();
    assert_eq!(namespaces, ["https://accounts.google.com", "1234567890", "", "https://login.acme.example"]);
    let secrets: Vec<_> = known.iter().map(|known| known.client_secret.expose()).collect();
    assert_eq!(secrets, ["[a]", "true", "12345", "s"]);
    assert_eq!(known[3].scopes, ["openid", "email"]);
    assert!(matches!(&known[0].road, Road::OpenId { native_client_ids } if native_client_ids == &["ios", "android"]));
}

#[test]
fn the_environment_goes_over_the_file() {
    let known = known(ACME, &[("DOORSTEP_PROVIDERS_ACME_CLIENT_ID", "other")]);
    assert_eq!((known[0].client_id.as_str(), known[0].provider.title.as_str()), ("other", "Acme"));
}

#[test]
fn a_wrong_setting_names_the_key_and_the_cure() {
    let with = |more: &str| format!("{ACME}{more}");
    let google = "[providers.google]\nclient_id = \"c\"\nclient_secret = \"s3cr3t\"\n";
    let wrong: Vec<(String, &[&str])> = vec![
        (with("secret = \"s3cr3t\""), &["secret", "client_secret"]),
        ("[providers.google]".to_owned(), &["providers.google.client_id", "DOORSTEP_PROVIDERS_GOOGLE_CLIENT_ID"]),
        ("[providers.twitter]\nclient_id = \"c\"".to_owned(), &["providers.twitter.client_secret", "not set"]),
        ("[providers.facebook]\nclient_id = \"\"".to_owned(), &["providers.facebook.client_id"]),
        ("[providers.facebook]\nclient_id = \"app\"".to_owned(), &["providers.facebook.client_id", "number"]),
        ("[providers.acme]\nclient_id = \"c\"".to_owned(), &["providers.acme.issuer", "not set"]),
        ("[providers.email]".to_owned(), &["email", "another name"]),
        ("[providers.Acme]".to_owned(), &["Acme", "lower-case"]),
        ("providers = 1".to_owned(), &["providers.google"]),
        (with("scopes = [\"email\"]"), &["providers.acme.scopes", "openid"]),
        (with("scopes = [\"openid email\"]"), &["providers.acme.scopes", "list"]),
        (format!("{google}issuer = \"http://accounts.google.com\""), &["providers.google.issuer", "https://"]),
        (format!("{google}issuer = \"http://127.0.0.1.evil.example\""), &["providers.google.issuer"]),
        (format!("{google}issuer = \"accounts.google.com\""), &["providers.google.issuer"]),
        (format!("{google}issuer = \"https://accounts.google.com?x=1\""), &["providers.google.issuer"]),
        (format!("{google}title = \"a\\nb\""), &["providers.google.title"]),
        (ACME.replace("s3cr3t", "s3cr3t\\n"), &["providers.acme.client_secret", "line break"]),
        (format!("{ACME}{}", ACME.replace("[providers.acme]", "[providers.other]")), &["acme", "other", "one issuer"]),
    ];
    for (text, words) in wrong {
        let error = load(&text, &[]).unwrap_err();
        for word in words {
            assert!(error.contains(word), "{text} says: {error}");
        }
        assert!(!error.contains("s3cr3t"), "{error}");
    }
    for (name, words) in [
        ("DOORSTEP_PROVIDERS_GOOGLE", "PROVIDERS_NAME_KEY"),
        ("DOORSTEP_PROVIDERS_GOOGLE_SPEED", "speed"),
        ("DOORSTEP_PROVIDERS_PASSWORD_CLIENT_ID", "another name"),
    ] {
        let error = load("", &[(name, "x")]).unwrap_err();
        assert!(error.contains(name) && error.contains(words), "{error}");
    }
}

#[test]
fn a_secret_is_never_repeated() {
    let wrong = [
        "[providers.google]\nclient_secret = hunter2\n",
        "[providers.google]\nclient_secret = 7777777\n",
        "[providers.google]\nclient_secret = [\"hunter2\"]\n",
        "[providers.google]\nclient_secret = \"hunter2\n",
        "[providers.google]\nclient_secret = \"hunter2\"\nclient_secret = \"hunter2\"\n",
        "[providers.google]\nclient_id = \"c\"\nclient_secret = \"hunter2 \"\n",
        "[providers.google]\nissuer = \"https://u:hunter2@accounts.google.com\"\n",
    ];
    for text in wrong {
        let error = load(text, &[]).unwrap_err();
        assert!(!error.contains("hunter2") && !error.contains("7777777"), "{error}");
    }
    let error = load("", &[("DOORSTEP_PROVIDERS_GOOGLE_XSECRET", "hunter2")]).unwrap_err();
    assert!(!error.contains("hunter2"), "{error}");
    let config = load(ACME, &[]).unwrap();
    assert!(!format!("{config:?} {:?}", config.providers.resolve()).contains("s3cr3t"));
}

#[test]
fn in_clear_is_for_this_machine() {
    for here in ["http://127.0.0.1:9000", "http://[::1]:9000/x", "http://localhost", "https://a.example/x"] {
        assert!(endpoint("key", here).is_ok(), "{here}");
    }
    for wrong in
        ["http://127.0.0.2", "http://localhost.example", "ftp://localhost", "http://u@localhost", "", "x", "https://"]
    {
        assert!(endpoint("key", wrong).is_err(), "{wrong}");
    }
}

#[test]
fn redirect_uris_are_a_list_of_their_own() {
    let config =
        load("", &[("DOORSTEP_SOCIAL_REDIRECT_URIS", "https://a.example/back,com.example.app:/back")]).unwrap();
    assert!(config.social.redirect_uris.find("com.example.app:/back").is_some());
    let error = load("[social]\nredirect_uris = [\"http://a.example/back\"]", &[]).unwrap_err();
    assert!(error.contains("redirect_uris") && error.contains("http://a.example/back"), "{error}");
}
