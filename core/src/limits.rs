//! Every default of `rules` that is a number, in one place.

use std::time::Duration;

const fn minutes(n: u64) -> Duration {
    Duration::from_secs(n * 60)
}
const fn days(n: u64) -> Duration {
    Duration::from_secs(n * 86_400)
}

/// An access token's life; a stolen one is good for as long at most where nobody asks the session.
pub const ACCESS_TOKEN_LIFE: Duration = minutes(5);
/// What clocks of different machines may be apart.
pub const CLOCK_LEEWAY: Duration = Duration::from_secs(30);
/// A refresh token shown again within so long of its use, its successor unused, was a lost answer.
pub const LOST_ANSWER: Duration = Duration::from_secs(30);
/// How long after a proof of presence a session is fresh.
pub const FRESH: Duration = minutes(10);

/// A mailed link's life.
pub const LINK_LIFE: Duration = minutes(30);
/// A mailed code's life.
pub const CODE_LIFE: Duration = minutes(10);
/// Wrong tries that spend a code (and never the link).
pub const CODE_TRIES: i64 = 5;
/// How long a change of an account's addresses can be undone by whoever had one of them before (rule 13).
pub const UNDO_LIFE: Duration = days(3);
/// Addresses of one account, those that are still to be proven included.
pub const ADDRESSES_PER_ACCOUNT: usize = 20;
/// Custom fields that a desk defines.
pub const CUSTOM_FIELDS: usize = 50;
/// Choices of one of them.
pub const CHOICES: usize = 100;
/// Characters of a custom field's text.
pub const CUSTOM_TEXT: usize = 1000;
/// How long a deleted field is left alone before its values are erased: longer than any unit of work that saw it lasts.
pub const FIELD_AFTERLIFE: Duration = minutes(1);
/// A notice is tried so long; a mail with a secret no longer than its secret lives.
pub const NOTICE_LIFE: Duration = days(1);
/// An event waits so long for those who want it.
pub const EVENT_LIFE: Duration = days(30);

/// A round trip to a provider, from the app that begins it back to that app.
pub const FLOW_LIFE: Duration = minutes(10);
/// The one-time code that the browser carries back to the app.
pub const FLOW_CODE_LIFE: Duration = Duration::from_secs(60);
/// How long an address may be proven for whom a provider gave none: as long as for any other mailed secret.
pub const CONTINUATION_LIFE: Duration = LINK_LIFE;
/// How long a flow that ran out is kept, so that a code shown again is still known for one.
pub const FLOW_AFTERLIFE: Duration = minutes(60);
/// Flows that one caller begins: more than people do, and an office has one address.
pub const FLOWS_PER_CALLER: (u32, Duration) = (200, Duration::from_secs(2));

/// Mail with a secret to one address: so many at once, then one each period.
pub const MAIL_PER_ADDRESS: (u32, Duration) = (3, minutes(60));
/// Mail asked for by one caller.
pub const MAIL_PER_CALLER: (u32, Duration) = (20, minutes(3));

/// Messages one customer writes: more than anybody types, and too few to fill the house.
pub const MESSAGES_PER_ACCOUNT: (u32, Duration) = (100, Duration::from_secs(10));

/// Presence that was shown a moment ago: what deletes an account to which nothing can be mailed.
pub const FRESH_A_MOMENT_AGO: Duration = Duration::from_secs(60);

/// So long a device is known by what it is and where it is used, without a token of its own; and so long by its token after
/// its last session must have ended, or after it was given one without a session.
pub const DEVICE_REMEMBERED: Duration = days(30);

/// A sign-in within so long of what ended all sessions, or made the account its owner's, is expected.
pub const FIRST_SIGN_IN: Duration = minutes(60);
/// Mail of devices that an account does not know.
pub const NEW_DEVICE_MAIL: (u32, Duration) = (10, minutes(60));

/// Changes of an account's addresses: each is told to all of them, and that must not bury a mailbox.
pub const CHANGES_PER_ACCOUNT: (u32, Duration) = (40, minutes(3));

/// Exports of all that is held of an account: each is written to the audit trail, and may be long.
pub const EXPORTS_PER_ACCOUNT: (u32, Duration) = (10, minutes(6));

/// Wrong passwords of one address (or device) in a row that cost no wait.
pub const FREE_FAILURES: i64 = 5;
/// After so many in a row, of an address or of all addresses of an account, a password is not looked at any more, but from a
/// known device (NIST SP 800-63B-4: 100).
pub const MAX_FAILURES: i64 = 100;
/// The longest wait between two tries.
pub const LONGEST_WAIT: Duration = minutes(60);
/// Failures are forgotten so long after the last.
pub const FAILURES_FORGOTTEN: Duration = days(1);
/// Wrong passwords (and codes) of one caller, over all accounts.
pub const FAILURES_PER_CALLER: (u32, Duration) = (100, Duration::from_secs(20));

/// How long an idempotency key is remembered.
pub const IDEMPOTENCY_LIFE: Duration = days(1);

/// A rotated-in signing key is published so long before it signs, so that every instance knows it.
pub const KEY_LEAD: Duration = Duration::from_secs(5);
/// A signing key's age at which the next one is made.
pub const KEY_AGE: Duration = days(90);
/// How long a replaced key goes on verifying: the life of what it signed, and what clocks are apart.
pub const KEY_AFTERLIFE: Duration = minutes(10);
