//! How a mail says a span and a moment, and one mail of each kind to try the templates with.

use chrono::{DateTime, Datelike, Utc};
use doorstep_core::clock::Timestamp;
use doorstep_core::device::Device;
use doorstep_core::mail::{MailContent, MailedSecret, MailedUndo, Named};
use uuid::Uuid;
use zeroize::Zeroizing;

/// The secrets of the samples, which are none.
pub const SAMPLE_TOKEN: &str = "SampleTokenSampleTokenSampleTokenSampleToke";
pub const SAMPLE_CODE: &str = "ABCD-EFGH";

/// "30 minutes", "1 day": in the largest unit that says it exactly; in German in the accusative.
pub fn lifetime(minutes: u64, language: &str) -> String {
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
pub fn moment(at: Timestamp, language: &str) -> String {
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

/// One mail of each kind; two where it has a part that may be missing.
pub fn samples() -> Vec<MailContent> {
    let code = || Zeroizing::new(SAMPLE_CODE.to_owned());
    let secret = || MailedSecret {
        token: Zeroizing::new(SAMPLE_TOKEN.to_owned()),
        code: code(),
        link_minutes: 30,
        code_minutes: 10,
    };
    let at = Timestamp::from_micros(1_767_323_045_000_007);
    let mut samples = vec![
        MailContent::SignUp { secret: secret() },
        MailContent::AlreadyRegistered,
        MailContent::PasswordReset { secret: secret() },
        MailContent::Claim { secret: secret() },
        MailContent::SignUpInstead { secret: secret() },
        MailContent::AdminInvitation { secret: secret() },
        MailContent::PasswordSet { at },
        MailContent::DeleteAccount { secret: secret() },
        MailContent::AccountDeleted { at },
        MailContent::Reauthenticate { code: code(), code_minutes: 10 },
        MailContent::AddEmail { secret: secret(), id: Uuid::nil() },
        MailContent::AddEmailNotice,
        MailContent::EmailChangesUndone { at },
    ];
    let undo = || MailedUndo { token: Zeroizing::new(SAMPLE_TOKEN.to_owned()), minutes: 4320 };
    for address in [Some("ada@example.org".to_owned()), None] {
        samples.push(MailContent::EmailAdded { address: address.clone(), at, undo: undo() });
        for undo in [Some(undo()), None] {
            samples.extend([
                MailContent::PrimaryEmailChanged { address: address.clone(), at, undo: undo.clone() },
                MailContent::EmailRemoved { address: address.clone(), at, undo },
            ]);
        }
    }
    let known = |word: Option<&str>| word.map(str::to_owned);
    for (browser, system, place) in
        [(Some("Firefox"), Some("Linux"), Some("203.0.113.0/24")), (Some("App"), None, None), (None, None, None)]
    {
        let device = Device { browser: known(browser), system: known(system) };
        samples.push(MailContent::NewDevice {
            at,
            device,
            network: known(place),
            provider: known(system.map(|_| "Google")),
        });
    }
    samples.extend([
        MailContent::MessengerLinked { at },
        MailContent::MessengerUnlinked { at },
        MailContent::AccountsMerged { at },
    ]);
    for other in [Some("ada@work.example".to_owned()), None] {
        samples.push(MailContent::MergeAccounts { code: code(), code_minutes: 10, remains: other.is_some(), other });
    }
    samples.extend(of_identities(at));
    samples
}

/// Those that name an identity, with a handle and without.
fn of_identities(at: Timestamp) -> Vec<MailContent> {
    let code = || Zeroizing::new(SAMPLE_CODE.to_owned());
    let mut samples = Vec::new();
    for (provider, handle) in [("Twitter (X)", Some("@ada")), ("Google", None)] {
        let named = || Named { provider: provider.to_owned(), handle: handle.map(str::to_owned) };
        samples.extend([
            MailContent::SocialEmail { code: code(), code_minutes: 10, named: named() },
            MailContent::LinkNotice { named: named() },
            MailContent::ClaimedByProvider { named: named(), at },
            MailContent::IdentityLinked { named: named(), at },
            MailContent::IdentityUnlinked { named: named(), at },
        ]);
    }
    samples
}
